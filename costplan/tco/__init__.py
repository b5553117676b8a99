"""Money of a fleet per month: GPUs, idle, spare, power, people and the rest; knows no traffic and no latency."""
