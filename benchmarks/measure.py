"""Wall time, CPU time and peak memory of a command with all of its child processes; Linux only (reads /proc)."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished command."""

    code: int
    output: str
    wall_s: float
    cpu_s: float
    """User and system time of the command and of every child it waited for."""
    peak_pss_mb: float
    """Highest sum over all processes, shared pages counted once (sampled, so short peaks may be missed)."""
    max_rss_mb: float
    """Highest resident size of a single process, from the kernel."""


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Runs the command to its end; its output is kept, not shown."""
    with TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, sum(map(pss_kb, family(process.pid))))
            time.sleep(INTERVAL_S)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return Run(
            code=process.returncode,
            output=output.read().decode("utf-8", "replace"),
            wall_s=wall,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_pss_mb=peak * 1024 / 1e6,
            max_rss_mb=usage.ru_maxrss * 1024 / 1e6,
        )


def family(root: int) -> Iterator[int]:
    """The process and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # pid (name, which may hold spaces and brackets) state ppid ...
                parent = int((entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    pending = [root]
    while pending:
        pid = pending.pop()
        yield pid
        pending += children.get(pid, ())


def pss_kb(pid: int) -> int:
    """Proportional set size in KiB; 0 for a process that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
