"""A real vLLM is started and ended; each test has a server of its own, and those of other files have ended."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from tests.replay.engine import alive
from tests.vllm.conftest import AWQ, BF16, MODELS, PYTHON, ROOT, Serving, ask, cpu_has

PATIENCE_S = 300.0


def test_the_4_bit_kernel_is_named_or_refused_where_the_cpu_cannot_run_it(serving: Serving):
    if cpu_has("avx512f"):
        with serving(AWQ) as served:
            assert any("CPUWNA16LinearKernel" in line for line in served.facts.kernels)
            assert "Paris" in ask(served, "What is the capital of France?", 20)["choices"][0]["message"]["content"]
    else:
        with pytest.raises(CostplanError, match="AVX-512"), serving(AWQ):
            pass


def test_ctrl_c_while_it_starts_leaves_no_process(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from costplan.replay.serve import serve\n"
        "with serve(sys.argv[1], Path(sys.argv[2]), python=Path(sys.argv[3])): pass"
    )
    command = [sys.executable, "-c", program, str(MODELS / BF16), str(tmp_path / "log"), str(PYTHON)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT) as costplan:
        session = leader_of(costplan.pid)
        wait_until(lambda: len(alive(session)) >= 3)  # the server, its resource tracker, its engine
        costplan.send_signal(signal.SIGINT)
        assert costplan.wait(60) != 0
    wait_until(lambda: not alive(session))


def test_a_directory_without_a_model_is_told_with_what_belongs_there(tmp_path: Path, serving: Serving):
    with pytest.raises(CostplanError, match="ended before it was ready") as caught, serving(str(tmp_path)):
        pass
    assert "config.json" in caught.value.hint


def leader_of(parent: int) -> int:
    """The server that a process has started; neither the watchdog nor the question which vLLM is installed."""
    found: list[int] = []

    def look() -> bool:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat, words = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent and b"\0--port\0" in words:
                found.append(int(folder.name))
        return bool(found)

    wait_until(look)
    return found[0]


def wait_until(true: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
