"""Is the quantized or cheaper model good enough on every stratum of tasks?"""
