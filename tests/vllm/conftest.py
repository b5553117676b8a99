"""Real servers of vLLM on this machine's CPU; `make vllm` has installed it and made the models.

A fixture serves for one file and is ended before the next; a test that kills or stops a server starts its own with
`serving`.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from costplan.replay.serve import Served, serve

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
MODELS = ROOT / ".venv-vllm" / "models"
BF16, AWQ, AWQ_UNPACKED = "smollm2-135m", "smollm2-135m-awq4", "smollm2-135m-awq4-unpacked"
START_TIMEOUT_S = 600.0
Serving = Callable[..., AbstractContextManager[Served]]


def pytest_sessionstart() -> None:
    if not (MODELS / BF16).is_dir():
        raise pytest.UsageError("vLLM is not installed for these tests: make vllm")


def has_avx512() -> bool:
    """vLLM's kernel for 4-bit weights on x86 CPUs needs it."""
    return " avx512f " in Path("/proc/cpuinfo").read_text("utf-8")


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """`with serving(BF16, "--seed", "1") as served:` for tests that want a server of their own."""

    def start(model: str, *flags: str) -> AbstractContextManager[Served]:
        log = tmp_path_factory.mktemp("server") / "server.log"
        return serve(str(MODELS / model), log, python=PYTHON, flags=flags, start_timeout_s=START_TIMEOUT_S)

    return start


@pytest.fixture(scope="module")
def bf16(serving: Serving) -> Generator[Served]:
    """SmolLM2-135M-Instruct as it is."""
    with serving(BF16) as served:
        yield served


@pytest.fixture(scope="module")
def awq(serving: Serving) -> Generator[Served]:
    """The same with weights rounded to 4 bits, unpacked where the CPU has no kernel for them."""
    with serving(AWQ if has_avx512() else AWQ_UNPACKED) as served:
        yield served
