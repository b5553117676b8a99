"""A vLLM server of our own: found, started, waited for, stopped with all its processes; knows nothing of load.

vLLM runs from an interpreter of its own, since it pins versions that costplan does not.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from costplan.errors import CostplanError, UsageError
from costplan.replay.server import describe, get
from costplan.results.measurement import ServerFacts

PYTHON_VARIABLE = "VLLM_PYTHON"
Progress = Callable[[str, int, int], None]
"""Takes (stage, seconds so far, seconds at most)."""
_CPU_KV_GIB = "2"
_POLL_S, _STOP_GRACE_S = 0.25, 20.0
_KERNEL_LINES = 20
_CPU_INFO = Path("/proc/cpuinfo")
_LOG_PREFIX = re.compile(r"^(?:\([^)]*\) )*(?:INFO|WARNING|ERROR) [\d:\- ]+\[[^\]]*\] ?")
_KERNEL = re.compile(
    r"^Using .*(?:[Kk]ernel|[Bb]ackend|[Aa]ttention|[Mm]arlin|Cutlass|GEMM|LinearMethod)"
    r"|convertible to \S*marlin|^Falling back to unoptimized|fallback to torch linear"
)
_ERROR = re.compile(r"\b(?:[A-Za-z_.]*(?:Error|Exception|OutOfMemory)|error): \S.*")
_CONSEQUENCE = re.compile(
    r"Engine core initialization failed|See root cause|Executor failed|WorkerProc (?:init|failed)"
)
_HINTS = {
    r"out of memory|memory for the cache|KV cache memory|larger than the maximum number|MemoryError|memory on":
        "give it less to hold: --max-model-len 4096 among vLLM's own flags",
    r"config\.json|not a valid model identifier|Repo ?id|Repository Not Found|LocalEntryNotFound|offline":
        "name a directory with config.json and weights, or a model on the Hugging Face hub",
    r"unrecognized arguments|invalid choice|expected one argument": "vllm serve --help lists its flags",
    r"[Qq]uantization": "leave out --quantization: vLLM reads the method from the checkpoint",
}  # fmt: skip
"""What to do about a failure, by what it says; the first that fits."""
_PROBE = """
import importlib.metadata as metadata, importlib.util as util, json, pathlib, sys
installed = {each.name.lower().replace("_", "-"): each.version for each in metadata.distributions() if each.name}
openmp = pathlib.Path(sys.prefix, "lib", "libiomp5.so")
spec = util.find_spec("vllm")
places = spec.submodule_search_locations if spec else []
module = any(pathlib.Path(place, "entrypoints/openai/api_server.py").exists() for place in places)
print(json.dumps({"installed": installed, "openmp": str(openmp) if openmp.exists() else "", "module": module}))
"""
_WATCHDOG = 'cat >/dev/null; kill -TERM "$1"; sleep "$2"; kill -KILL "-$1"'
"""Waits until its input ends, which happens when costplan is gone in whatever way; then ends the server's group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An installed vLLM and how it is started."""

    command: tuple[str, ...]
    """What the name of the model follows."""
    version: str
    cpu: bool
    openmp: str = ""
    """The OpenMP runtime that vLLM on CPUs wants loaded first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that answers."""

    facts: ServerFacts
    pid: int
    """Of its first process, whose number is that of the process group."""
    log: Path


@contextmanager
def serve(
    model: str, log: Path, *, quantization: str | None = None, tp: int = 1, flags: Sequence[str] = (), port: int = 0,
    python: Path | None = None, start_timeout_s: float = 1800.0, report: Progress | None = None,
) -> Generator[Served]:  # fmt: skip
    """vLLM with the model on 127.0.0.1 until the block ends, however it ends.

    `model` is a directory, which is served under its own name, or a name on the Hugging Face hub; `flags` go to vLLM as
    they are; `port` 0 = a free one. Without `quantization` vLLM reads from the checkpoint what it holds and takes the
    fastest kernel (naming `awq` forced the slow one in older versions: vLLM issue 21376).
    """
    engine = find_engine(python)
    port = port or free_port()
    given = arguments(engine, model, quantization, tp, flags)
    command = [*engine.command, *given, "--host", "127.0.0.1", "--port", str(port)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            env=environment(engine, model),
        )  # fmt: skip
    watchdog = None
    try:
        watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "costplan-watchdog", str(process.pid), str(_STOP_GRACE_S)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        _wait(process, port, log, start_timeout_s, report)
        facts = msgspec.structs.replace(
            describe(f"http://127.0.0.1:{port}/v1"), flags=given[1:], kernels=kernel_lines(_read(log)),
            max_num_seqs=_flag(flags, "--max-num-seqs"),
            max_num_batched_tokens=_flag(flags, "--max-num-batched-tokens"),
        )  # fmt: skip
        _check_kernels(facts.kernels, _read(_CPU_INFO))
        yield Served(facts=facts, pid=process.pid, log=log)
    finally:
        stop(process)  # a second Ctrl-C breaks this off, and then the watchdog does it
        if watchdog:
            watchdog.kill()
            watchdog.communicate()


def find_engine(python: Path | None = None) -> Engine:
    """vLLM of the given interpreter, else of $VLLM_PYTHON, else of this one, else of ./.venv-vllm."""
    named = python or os.environ.get(PYTHON_VARIABLE)
    for candidate in [named] if named else [sys.executable, ".venv-vllm/bin/python"]:
        if engine := _probe(Path(candidate)):
            return engine
    if named:
        raise CostplanError(f"{named} holds no vLLM", hint=f"export {PYTHON_VARIABLE}=/path/to/venv/bin/python")
    gpu = shutil.which("nvidia-smi") or shutil.which("rocm-smi")
    install = "python -m venv .venv-vllm && .venv-vllm/bin/pip install vllm"
    on_cpu = "no GPU here: `make vllm` in a checkout of costplan installs the build for CPUs"
    raise CostplanError("vLLM is not installed here", hint=f"{install if gpu else on_cpu}; or --url of a server")


def arguments(engine: Engine, model: str, quantization: str | None, tp: int, flags: Sequence[str]) -> list[str]:
    """The model and the flags behind it, without the address."""
    names = {flag.partition("=")[0] for flag in flags}
    if "--api-key" in names:
        raise UsageError(
            "--api-key among vLLM's flags would stand in process lists",
            hint="leave it out: only this machine can reach the server",
        )
    own: list[str] = []
    if Path(model).is_dir() and "--served-model-name" not in names:
        own += ["--served-model-name", Path(model).resolve().name]
    if quantization:
        own += ["--quantization", quantization]
    if tp != 1:
        own += ["--tensor-parallel-size", str(tp)]
    # compiling takes minutes on a CPU
    if engine.cpu and not names & {"--enforce-eager", "--no-enforce-eager", "--compilation-config", "-O"}:
        own.append("--enforce-eager")
    return [model, *own, *flags]


def environment(engine: Engine, model: str) -> dict[str, str]:
    """Ours, with what keeps vLLM off the network and makes its CPU build usable; what the user has set stays."""
    ours = dict(os.environ) | {"VLLM_NO_USAGE_STATS": "1", "PYTHONUNBUFFERED": "1"}
    ours.pop("VLLM_API_KEY", None)  # the server would ask us for it
    if Path(model).is_dir():
        ours.setdefault("HF_HUB_OFFLINE", "1")
    if engine.cpu:
        ours.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_KV_GIB)
        if engine.openmp:
            ours["LD_PRELOAD"] = ":".join(filter(None, (engine.openmp, ours.get("LD_PRELOAD"))))
    return ours


def free_port() -> int:
    """On 127.0.0.1; nobody else takes it in the next moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Asks first, so that vLLM ends its own processes and frees shared memory; then ends what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_GRACE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kernel_lines(log: str) -> list[str]:
    """The messages that say which kernels run, each once."""
    messages = (_LOG_PREFIX.sub("", line).strip() for line in log.splitlines())
    return list(dict.fromkeys(message[:200] for message in messages if _KERNEL.search(message)))[:_KERNEL_LINES]


def failure(log: str) -> str:
    """The last message of an error that is no consequence of another, else the last line."""
    lines = [_LOG_PREFIX.sub("", line).strip() for line in log.splitlines() if line.strip()]
    causes = [match[0] for line in lines if (match := _ERROR.search(line)) and not _CONSEQUENCE.search(line)]
    found = (causes or lines or ["it wrote nothing"])[-1][:300]
    return found if found.isprintable() else ascii(found)


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path, at_most_s: float, report: Progress | None) -> None:
    """Until /health answers 200."""
    started_s = time.monotonic()
    while (waited_s := time.monotonic() - started_s) < at_most_s:
        if process.poll() is not None:
            said = failure(_read(log))
            hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, said)), f"all it said: {log}")
            raise CostplanError(f"vLLM ended before it was ready: {said} ({log})", hint=hint)
        if report:
            report("starting vLLM", int(waited_s), int(at_most_s))
        try:
            if get(f"http://127.0.0.1:{port}/health", timeout_s=5.0).status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(_POLL_S)
    raise CostplanError(f"vLLM was not ready after {at_most_s:.0f} s ({log})", hint=f"what it said last: {log}")


def _check_kernels(kernels: Sequence[str], cpuinfo: str) -> None:
    """vLLM 0.32 loads a 4-bit checkpoint on any x86 CPU, but its kernel is compiled for AVX-512 alone: without that the
    first request ends the engine (vllm/platforms/cpu.py, import_kernels)."""
    if any("CPUWNA16" in line for line in kernels) and " avx2 " in cpuinfo and " avx512f " not in cpuinfo:
        raise CostplanError(
            "vLLM's kernel for 4-bit weights needs AVX-512, which this CPU has not",
            hint="serve the unquantized checkpoint here, or this one on another machine",
        )


def _probe(python: Path) -> Engine | None:
    """What an interpreter holds; vLLM itself, which takes seconds to import, is not loaded."""
    try:
        said = subprocess.run([python, "-c", _PROBE], capture_output=True, timeout=60, check=False).stdout
        facts = json.loads(said)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    installed: dict[str, str] = facts["installed"]
    version = installed.get("vllm") or installed.get("vllm-cpu")
    if version is None:
        return None
    script = python.parent / "vllm"
    command = (str(script), "serve")
    # the script of vllm-cpu 0.32.0 asks for a distribution named vllm and fails (entrypoints/cli/main.py)
    if facts["module"] and ("vllm" not in installed or not script.exists()):
        command = (str(python), "-m", "vllm.entrypoints.openai.api_server", "--model")
    cpu = "vllm-cpu" in installed or "+cpu" in version + installed.get("torch", "")
    return Engine(command=command, version=version, cpu=cpu, openmp=facts["openmp"])


def _flag(flags: Sequence[str], name: str) -> int | None:
    """The value in `--name 5` or `--name=5`."""
    found = re.search(rf"{name}[ =](\d+)", " ".join(flags))
    return int(found[1]) if found else None


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
