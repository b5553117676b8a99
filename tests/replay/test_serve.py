"""A server of our own is found, started, described and always ended; the stand-in for vLLM has processes like it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from costplan.errors import CostplanError, UsageError
from costplan.replay import serve as module
from costplan.replay.serve import Engine, arguments, environment, failure, find_engine, kernel_lines, serve
from tests.replay.engine import VERSION, alive, install

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
CPU = Engine(command=("python",), version="0.32.0", cpu=True)
GPU = Engine(command=("vllm", "serve"), version="0.32.0", cpu=False)
OLD_CPU, NEW_CPU = "flags : fpu avx2 bmi2\n", "flags : fpu avx2 avx512f bmi2\n"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return install(tmp_path / "venv")


def gone(session: int) -> bool:
    """Within five seconds."""
    for _ in range(100):
        if not alive(session):
            return True
        time.sleep(0.05)
    return False


def test_a_server_says_what_it_is_and_is_gone_afterwards(python: Path, tmp_path: Path):
    (tmp_path / "tiny").mkdir()
    with serve(
        str(tmp_path / "tiny"), tmp_path / "out" / "server.log", python=python, flags=["--max-num-seqs=4"]
    ) as served:
        facts = served.facts
        assert len(alive(served.pid)) == 2
    assert (facts.kind, facts.version, facts.model, facts.max_model_len) == ("vllm", VERSION, "tiny", 8192)
    assert (facts.block_size, facts.kv_blocks, facts.max_num_seqs) == (128, 728, 4)
    assert facts.flags == ["--served-model-name", "tiny", "--enforce-eager", "--max-num-seqs=4"]
    assert facts.kernels == ["Using FLASH_ATTN attention backend out of potential backends."]
    assert gone(served.pid)


def test_a_run_that_fails_ends_the_server_too(python: Path, tmp_path: Path):
    with pytest.raises(ZeroDivisionError), serve("m", tmp_path / "server.log", python=python) as served:
        raise ZeroDivisionError
    assert gone(served.pid)


def test_a_stopped_server_is_ended_by_force(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_STOP_GRACE_S", 0.3)
    with serve("m", tmp_path / "server.log", python=python) as served:
        os.killpg(served.pid, signal.SIGSTOP)
    assert gone(served.pid)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_however_costplan_ends_no_process_is_left(name: str, python: Path, tmp_path: Path):
    program = (
        "import sys, time; from pathlib import Path; from costplan.replay import serve as module\n"
        "module._STOP_GRACE_S = 0.3\n"
        "with module.serve('m', Path(sys.argv[1]), python=Path(sys.argv[2])) as served:\n"
        "    print(served.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "server.log"), str(python)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as costplan:
        assert costplan.stdout
        session = int(costplan.stdout.readline())
        costplan.send_signal(getattr(signal, name))
        costplan.wait(30)
    assert gone(session)


def test_a_model_that_does_not_load_is_told_with_the_cause_and_a_way_out(python: Path, tmp_path: Path):
    with pytest.raises(CostplanError) as caught, serve("fails", tmp_path / "server.log", python=python):
        pass
    assert "ValueError: No available memory for the cache blocks." in caught.value.message
    assert "--max-model-len" in caught.value.hint


def test_a_server_that_never_gets_ready_is_given_up(python: Path, tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    with (
        pytest.raises(CostplanError, match="not ready after 1 s"),
        serve("hangs", tmp_path / "server.log", python=python, start_timeout_s=1, report=lambda *s: seen.append(s)),
    ):
        pass
    assert seen[0] == ("starting vLLM", 0, 1)


@pytest.mark.parametrize(("cpu", "serves"), [(OLD_CPU, False), (NEW_CPU, True)])
def test_a_kernel_that_the_cpu_cannot_run_is_told_before_the_first_request(
    cpu: str, serves: bool, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cpuinfo").write_text(cpu)
    monkeypatch.setattr(module, "_CPU_INFO", tmp_path / "cpuinfo")
    try:
        with serve("needs-avx512", tmp_path / "server.log", python=python) as served:
            assert serves and "Using CPUWNA16LinearKernel for AutoAWQMarlinLinearMethod" in served.facts.kernels
    except CostplanError as error:
        assert not serves and "AVX-512" in error.message


def test_what_the_user_says_goes_before_what_costplan_would_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert arguments(GPU, "org/model", None, 1, []) == ["org/model"]
    assert arguments(GPU, "org/model", "awq", 2, ["--seed", "1"])[1:] == [
        "--quantization", "awq", "--tensor-parallel-size", "2", "--seed", "1",
    ]  # fmt: skip
    assert arguments(CPU, "m", None, 1, ["--no-enforce-eager"]) == ["m", "--no-enforce-eager"]
    assert arguments(CPU, str(tmp_path), None, 1, ["--served-model-name=x"])[1:] == [
        "--enforce-eager", "--served-model-name=x",
    ]  # fmt: skip
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    made = environment(CPU, str(tmp_path))
    assert made["VLLM_CPU_KVCACHE_SPACE"] == "7" and made["HF_HUB_OFFLINE"] == "1" and "VLLM_API_KEY" not in made
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(GPU, "m").keys() - os.environ.keys()


def test_a_key_among_the_flags_is_refused():
    with pytest.raises(UsageError, match="process lists"):
        arguments(CPU, "m", None, 1, ["--api-key=secret"])


def test_an_interpreter_without_vllm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(CostplanError, match="holds no vLLM"):
        find_engine(Path(sys.executable))
    monkeypatch.delenv("VLLM_PYTHON", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CostplanError, match="not installed") as caught:
        find_engine()
    assert "make vllm" in caught.value.hint or "pip install vllm" in caught.value.hint


def test_the_interpreter_may_come_from_the_environment(python: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VLLM_PYTHON", str(python))
    assert find_engine().version == VERSION


def test_kernel_lines_are_each_kept_once_and_without_their_prefix():
    worker = "(Worker pid=7) INFO 11-23 12:15:50 [auto_awq.py:451] "
    log = (
        f"{worker}Using CPUWNA16LinearKernel for AutoAWQMarlinLinearMethod\n"
        f"{worker}Using CPUWNA16LinearKernel for AutoAWQMarlinLinearMethod\n"
        "INFO 01-02 03:04:05 [awq_marlin.py:120] The model is convertible to awq_marlin during runtime.\n"
        "INFO 01-02 03:04:05 [cuda.py:275] Using Flash Attention backend on V1 engine.\n"
        "(APIServer pid=1) INFO 11-23 12:14:06 [model.py:2152] Using max model len 8192\n"
    )
    assert kernel_lines(log) == [
        "Using CPUWNA16LinearKernel for AutoAWQMarlinLinearMethod",
        "The model is convertible to awq_marlin during runtime.",
        "Using Flash Attention backend on V1 engine.",
    ]


def test_the_cause_of_a_failure_is_not_its_consequence():
    log = (
        "ERROR 11-23 12:26:52 [core.py:1512] Traceback (most recent call last):\n"
        "ERROR 11-23 12:26:52 [core.py:1512] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n"
    )
    assert failure(log) == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    assert failure("api_server.py: error: unrecognized arguments: --x\n") == "error: unrecognized arguments: --x"
    assert failure("killed\n") == "killed"
    assert failure("") == "it wrote nothing"
