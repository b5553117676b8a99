"""Times `costplan analyze` on a generated log beside a plain JSON loop; one machine's figures, compare only ratios.

    python -m benchmarks.analyze [--lines 1000000] [--workers 2] [--semantic off] [--peers] [--memory]

The log is written once into .benchmarks/. `--peers` installs frugon into an environment of its own there. `--memory`
runs costplan on a log and on one five times as long: memory should not grow with the file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Run, measure

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".benchmarks"
FRUGON = "frugon==0.2.6"
GROWTH = 5
HEAD = ("what", "lines", "wall s", "CPU s", "MB/s", "peak MB", "max RSS MB", "wall, x loop", "CPU, x loop")


def main() -> None:
    """Runs what the options ask for and prints one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--semantic", choices=("on", "off"), default="off")
    parser.add_argument("--peers", action="store_true", help=f"also run {FRUGON}")
    parser.add_argument("--memory", action="store_true", help="only costplan, on --lines and on 5 times as many")
    args = parser.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    costplan(log_of(1_000), args)  # not counted: fills the caches of compiled functions, as any earlier run did
    if args.memory:
        sizes = (args.lines, args.lines * GROWTH)
        runs = [(f"costplan, semantic {args.semantic}", n, costplan(log_of(n), args)) for n in sizes]
        show(runs)
        print(f"peak memory, {GROWTH}x the lines: x {runs[1][2].peak_pss_mb / max(runs[0][2].peak_pss_mb, 1e-9):.2f}")
        return
    log = log_of(args.lines)
    subprocess.run(["cat", str(log)], stdout=subprocess.DEVNULL, check=True)  # into the page cache, for everybody
    loop = measure([sys.executable, "-m", "benchmarks.json_loop", str(log)])
    ours = costplan(log, args)
    runs = [("json.loads loop", args.lines, loop), (f"costplan, semantic {args.semantic}", args.lines, ours)]
    if args.peers:
        runs.append((FRUGON, args.lines, frugon(log)))
    show(runs)
    agree(loop, plan_of(log))
    sys.exit(ours.code)


def log_of(lines: int) -> Path:
    """The log with so many lines, written if it is not there."""
    path = FOLDER / f"log-{lines}.jsonl"
    if not path.exists():
        print(f"writing {path.name} ...", file=sys.stderr)
        # in a process of its own: what this one holds in memory is a floor of every child's "max RSS"
        subprocess.run([sys.executable, "-m", "benchmarks.log", "--lines", str(lines), "--out", str(path)], check=True)
    return path


def plan_of(log: Path) -> Path:
    """Where the plan of a log is written."""
    return log.with_suffix(".plan.json")


def costplan(log: Path, args: argparse.Namespace) -> Run:
    """`costplan analyze`, as a user runs it."""
    plan_of(log).unlink(missing_ok=True)
    command = [sys.executable, "-m", "costplan", "analyze", str(log)]
    command += ["--semantic", args.semantic, "--workers", str(args.workers), "--json", str(plan_of(log))]
    return measure(command)


def frugon(log: Path) -> Run:
    """`frugon analyze` on the same requests; it wants usage at the top level and a text timestamp, and gets them."""
    place = FOLDER / "frugon"
    program = place / "bin" / "frugon"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", FRUGON], check=True)
    converted = log.with_suffix(".frugon.jsonl")
    if not converted.exists():
        temporary = converted.with_suffix(".part")
        with log.open("rb") as source, temporary.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(for_frugon(json.loads(line)), ensure_ascii=False) + "\n" for line in source)
        temporary.replace(converted)
    return measure([str(program), "analyze", str(converted), "--no-report"], {"NO_COLOR": "1"})


def for_frugon(record: dict[str, Any]) -> dict[str, Any]:
    """The record in frugon's own layout."""
    when = datetime.fromtimestamp(record["timestamp"], UTC).isoformat()
    return {**record, "timestamp": when, "usage": record["response"]["usage"]}


def show(runs: Iterable[tuple[str, int, Run]]) -> None:
    """The table; the first run is what the others are compared with. A failed run shows its last words instead."""
    rows, first = [HEAD], None
    for name, lines, run in runs:
        first = first or run
        megabytes = (FOLDER / f"log-{lines}.jsonl").stat().st_size / 1e6
        figures = (run.wall_s, run.cpu_s, megabytes / run.wall_s, run.peak_pss_mb, run.max_rss_mb)
        ratios = (run.wall_s / first.wall_s, run.cpu_s / max(first.cpu_s, 1e-9))
        rows.append(
            (
                name + ("" if run.code == 0 else f" FAILED ({run.code})"),
                f"{lines:,}",
                *(f"{x:,.1f}" for x in figures[:2]),
                *(f"{x:,.0f}" for x in figures[2:]),
                *(f"{x:.2f}" for x in ratios),
            )
        )
        if run.code != 0:
            print(f"{name}: {run.output.strip()[-600:]}", file=sys.stderr)
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join([row[0].ljust(widths[0]), *padded]))


def agree(loop: Run, plan: Path) -> None:
    """A fast wrong answer is worth nothing: both must have counted the same."""
    if loop.code != 0 or not plan.exists():
        return
    baseline = json.loads(plan.read_text("utf-8"))["baseline"]
    for key, counted in json.loads(loop.output).items():
        found = baseline[key]["value"] if isinstance(baseline[key], dict) else baseline[key]
        print(f"{key}: loop {counted:,}, costplan {found:,}{'' if counted == found else '  DIFFERENT'}")


if __name__ == "__main__":
    main()
