"""Plays a script in as many processes as the load needs and merges what they wrote; knows no socket."""

import asyncio
import mmap
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.replay.health import client_facts, connections_for, processes_for
from costplan.replay.script import Load, Script, Target
from costplan.replay.sender import Played, Start, play_rows
from costplan.replay.wire import address_of
from costplan.results.measurement import ClientFacts

LEAD_S = 0.05
"""From the last process being ready to the start of all."""
REPORT_S = 0.2
Progress = Callable[[str, int, int], None]


def play(
    script: Script, target: Target, load: Load, records: Path, *, report: Progress | None = None
) -> ClientFacts:  # fmt: skip
    """Sends every request and writes one line for each to `records`, as they end; KeyboardInterrupt comes after that.

    What goes wrong with a request is in its record. Raises CostplanError for a target that is no URL, and where a
    process of the client itself dies.
    """
    address_of(target)
    processes = load.processes or processes_for(script, load)
    processes = max(1, min(processes, load.concurrency or processes, script.requests))
    _allow_open_files()
    if processes == 1:
        one, started_at = _alone(script, target, load, records, report)
        played = [one]
    else:
        played, started_at = _together(script, target, load, records, report, processes)
    if any(one.interrupted for one in played):
        raise KeyboardInterrupt
    return client_facts(played, started_at)


def shard_of(script: Script, processes: int) -> NDArray[np.int64]:
    """(n,) the process of each request: sessions in turn, each as a whole."""
    root = np.where(script.previous < 0, np.arange(script.requests), script.previous)
    while not np.array_equal(further := root[root], root):
        root = further
    return np.unique(root, return_inverse=True)[1] % processes


def _alone(
    script: Script, target: Target, load: Load, records: Path, report: Progress | None
) -> tuple[Played, str]:  # fmt: skip
    started_at = ""

    async def start() -> float:
        nonlocal started_at
        start_s = monotonic() + LEAD_S
        started_at = _utc(start_s)
        return start_s

    failures = 0

    def failed(more: int) -> int:
        nonlocal failures
        failures += more
        return failures

    def progress(done: int) -> None:
        if report is not None:
            report("replaying", done, script.requests)

    rows = np.arange(script.requests)
    connections = connections_for(script, load)
    played = _run(script, rows, target, load, records, connections, start, failed, progress)
    return played, started_at


def _run(
    script: Script, rows: NDArray[np.int64], target: Target, load: Load, records: Path, connections: int,
    start: Start, failed: Callable[[int], int], progress: Callable[[int], None],
) -> Played:  # fmt: skip
    """One process: its loop, its file, its view of the bodies."""
    with ExitStack() as stack:
        lines = os.open(records, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        stack.callback(os.close, lines)
        bodies: memoryview[int] = memoryview(b"")
        if script.bodies.stat().st_size:
            with script.bodies.open("rb") as opened:  # unmapped with the last view of it
                bodies = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        runner = stack.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
        work = play_rows(
            script, rows, target, load, bodies=bodies, lines=lines, connections=connections, start=start,
            failed=failed, progress=progress,
        )  # fmt: skip
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError as error:
        if error.name != "uvloop":
            raise
        return None
    return uvloop.new_event_loop


def _together(
    script: Script, target: Target, load: Load, records: Path, report: Progress | None, processes: int
) -> tuple[list[Played], str]:
    context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    shard = shard_of(script, processes)
    failures, settled = context.Value("q", 0), context.Array("q", processes, lock=False)
    connections = -(-connections_for(script, load) // processes)
    workers: list[Any] = []
    pipes: list[Any] = []
    files = [records.with_suffix(f".{k}.jsonl") for k in range(processes)]
    for k in range(processes):
        own = replace(load, concurrency=(load.concurrency + k) // processes)
        ours, theirs = context.Pipe()
        rows = np.flatnonzero(shard == k)
        shared = (theirs, failures, settled, k)
        worker = context.Process(
            target=_work, args=(script, rows, target, own, files[k], connections, *shared), daemon=True
        )
        worker.start()
        theirs.close()
        workers.append(worker)
        pipes.append(ours)
    try:
        for pipe in pipes:
            _receive(pipe)
        start_s = monotonic() + LEAD_S
        for pipe in pipes:
            pipe.send(start_s)
        played = _gather(pipes, workers, lambda: report and report("replaying", sum(settled), script.requests))
    finally:
        for worker, pipe in zip(workers, pipes, strict=True):
            pipe.close()
            worker.join(1.0)
            worker.kill()
            worker.join()
    with records.open("wb") as merged:
        for file in files:
            with file.open("rb") as part:
                shutil.copyfileobj(part, merged, 1 << 20)
            file.unlink()
    return played, _utc(start_s)


def _gather(pipes: list[Any], workers: list[Any], tell: Callable[[], object]) -> list[Played]:
    """What the processes return; an interrupt goes on to them, and they still say what they have done."""
    found: dict[int, Played] = {}
    while len(found) < len(pipes):
        try:
            for pipe in wait([pipe for k, pipe in enumerate(pipes) if k not in found], REPORT_S):
                found[pipes.index(pipe)] = _receive(pipe)
            tell()
        except KeyboardInterrupt:
            for worker in workers:
                if worker.is_alive():
                    os.kill(worker.pid, signal.SIGINT)
            workers = []
    return [found[k] for k in range(len(pipes))]


def _receive(pipe: Any) -> Any:
    try:
        message = pipe.recv()
    except EOFError:
        raise CostplanError(
            "a process of the client died; what it had finished is beside the records",
            hint="--processes 1, or a machine with more memory",
        ) from None
    if isinstance(message, Exception):
        raise message
    return message


def _work(
    script: Script, rows: NDArray[np.int64], target: Target, load: Load, records: Path, connections: int, pipe: Any,
    failures: Any, settled: Any, k: int,
) -> None:  # fmt: skip
    """A process of its own: an interrupt comes from its parent, once, not from the terminal; it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    if hasattr(os, "setpgrp"):
        os.setpgrp()

    async def start() -> float:
        pipe.send("ready")
        return await asyncio.get_running_loop().run_in_executor(None, pipe.recv)

    def failed(more: int) -> int:
        with failures.get_lock():
            failures.value += more
            return failures.value

    def progress(done: int) -> None:
        settled[k] = done
        if os.getppid() != parent:
            os._exit(1)

    try:
        pipe.send(_run(script, rows, target, load, records, connections, start, failed, progress))
    except Exception as error:
        pipe.send(error)


def _allow_open_files() -> None:
    """The system's own limit instead of the usual 1,024."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _utc(start_s: float) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=start_s - monotonic())
    return moment.isoformat(timespec="microseconds")
