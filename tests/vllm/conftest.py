"""Real servers of vLLM on this machine's CPU; `make vllm` has installed it and made the models.

One server is shared by all tests; a test that kills or stops a server, or needs another model, starts its own with
`serving`.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from costplan.replay.serve import Served, serve
from costplan.results.measurement import Measurement

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
MODELS = ROOT / ".venv-vllm" / "models"
BF16, AWQ, AWQ_UNPACKED = "smollm2-135m", "smollm2-135m-awq4", "smollm2-135m-awq4-unpacked"
START_TIMEOUT_S = 600.0
Serving = Callable[..., AbstractContextManager[Served]]


def pytest_sessionstart() -> None:
    # all cores: by default vLLM leaves one to its front end, which is half of a machine of two
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{(os.cpu_count() or 1) - 1}")
    if not (MODELS / BF16).is_dir():
        raise pytest.UsageError("vLLM is not installed for these tests: make vllm")


def cpu_has(flag: str) -> bool:
    return f" {flag} " in Path("/proc/cpuinfo").read_text("utf-8")


# Every CPU multiplies 32 bits; 16 bits are emulated by some, at a fifth of the speed, and others take them in blocks.
DTYPE = "float32"


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """`with serving(BF16, "--seed", "1") as served:` for tests that want a server of their own."""

    def start(model: str, *flags: str) -> AbstractContextManager[Served]:
        log = tmp_path_factory.mktemp("server") / "server.log"
        flags = ("--dtype", "bfloat16" if model == AWQ else DTYPE, *flags)  # its kernel knows 16 bits only
        return serve(str(MODELS / model), log, python=PYTHON, flags=flags, start_timeout_s=START_TIMEOUT_S)

    return start


@pytest.fixture(scope="session")
def bf16(serving: Serving) -> Generator[Served]:
    """SmolLM2-135M-Instruct as it is, from its first use to the end of all tests."""
    with serving(BF16) as served:
        yield served


def rounded() -> str:
    """The model with weights rounded to 4 bits; unpacked where the CPU lacks what vLLM's kernel for them needs."""
    return AWQ if cpu_has("avx512f") else AWQ_UNPACKED


def costplan(*arguments: str | Path) -> str:
    """What a command prints; it has to end well."""
    ran = subprocess.run([sys.executable, "-m", "costplan", *map(str, arguments)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def measured(folder: Path) -> Measurement:
    return msgspec.json.decode((folder / "measurement.json").read_bytes(), type=Measurement)


def ask(served: Served, text: str, max_tokens: int, **more: Any) -> dict[str, Any]:
    """One answer, not streamed."""
    body = {
        "model": served.facts.model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens,
        "temperature": 0, **more,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{served.facts.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)
