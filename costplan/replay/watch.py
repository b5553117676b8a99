"""Looks at a server once a second while a run lasts, from a process of its own; knows nothing of the run itself.

A thread would hold the interpreter of the client whenever it parses 50 kB of metrics, and late requests would be the
server's fault. The looks go to metrics.jsonl as they are made, so a run that breaks off keeps them.
"""

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from costplan.replay.metrics import Scrape, difference, mean_of
from costplan.replay.power import Meter, Reading, energy_j, open_meter, read_power
from costplan.replay.server import is_local, scrape

INTERVAL_S = 1.0
_SETTLE_S, _SETTLE_STEP_S = 2.0, 0.1
"""The last answer may arrive before vLLM has counted it."""
_LOOK_TIMEOUT_S, _GRACE_S = 5.0, 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the server's side of a run was."""

    counters: dict[str, float] = field(default_factory=dict[str, float])
    """Gained from the first look to the last; empty when nobody knows."""
    peaks: dict[str, float] = field(default_factory=dict[str, float])
    ttft_mean_s: float | None = None
    iteration_tokens_mean: float | None = None
    energy_j: float | None = None
    power_mean_w: float | None = None
    gpus: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@contextmanager
def watch(url: str, series: Path, *, gpus: int | None = None) -> Generator[Callable[[], Observed]]:
    """Looks at the server from now on; the function that it yields ends that and says what there was to see.

        with watch(url, folder / "metrics.jsonl") as observed:
            run()
            facts = observed()

    `gpus`: the first so many are the server's, where it runs on this machine; None = all that are visible here.
    """
    meter = open_meter(gpus) if is_local(url) else None
    before = scrape(url)
    if before is None and meter is None:  # nothing to look at: an endpoint of someone else's
        yield Observed
        return
    names = meter.names if meter else ()
    command = [sys.executable, "-m", __name__, url if before else "", str(series), str(len(names))]
    # in a session of its own, so that Ctrl-C reaches costplan alone
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True) as looker:

        def observed() -> Observed:
            _end(looker)
            after = _settled(url) if before else None
            return _summary(before, after, read_series(series), names)

        try:
            yield observed
        finally:
            _end(looker)


def read_series(series: Path) -> list[dict[str, Any]]:
    """The looks in order, each `{monotonic_s, counters, running, waiting, kv_cache_usage, power_w, counter_j}`; a line
    that was cut off in mid-write is left out."""
    looks: list[dict[str, Any]] = []
    for line in series.read_text("utf-8").splitlines() if series.exists() else ():
        with suppress(ValueError):
            looks.append(json.loads(line))
    return looks


def _end(looker: "subprocess.Popen[bytes]") -> None:
    """Its standard input ends, which is also how it learns that costplan was killed."""
    if looker.poll() is None and looker.stdin and not looker.stdin.closed:
        looker.stdin.close()
        try:
            looker.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            looker.kill()


def _settled(url: str) -> Scrape | None:
    """The counters once they no longer move."""
    found, deadline_s = scrape(url), time.monotonic() + _SETTLE_S
    while found and time.monotonic() < deadline_s:
        time.sleep(_SETTLE_STEP_S)
        again = scrape(url)
        if again is None or again.counters == found.counters:
            break
        found = again
    return found


def _summary(
    before: Scrape | None, after: Scrape | None, looks: list[dict[str, Any]], gpus: tuple[str, ...]
) -> Observed:
    gained = difference(before, after) if before and after else None
    warnings: list[str] = []
    if before and not after:
        warnings.append("the server no longer answered /metrics when the run was over: its counters are not known")
    elif before and gained is None:
        warnings.append("the server's counters fell during the run: it was started anew")
    readings = [
        Reading(at_s=look["monotonic_s"], power_w=look.get("power_w"), counter_j=look.get("counter_j"))
        for look in looks
    ]
    spent_j = energy_j(readings)
    lasted_s = readings[-1].at_s - readings[0].at_s if readings else 0.0
    seen = [name for name in ("running", "waiting", "kv_cache_usage") if any(name in look for look in looks)]
    return Observed(
        counters=gained or {}, peaks={name: max(look.get(name, 0.0) for look in looks) for name in seen},
        ttft_mean_s=mean_of(gained or {}, "time_to_first_token_seconds"),
        iteration_tokens_mean=mean_of(gained or {}, "iteration_tokens"), energy_j=spent_j,
        power_mean_w=spent_j / lasted_s if spent_j is not None and lasted_s else None,
        gpus=gpus, warnings=tuple(warnings),
    )  # fmt: skip


def _look_until_told(url: str, series: Path, gpus: int) -> None:
    """One line a second, on a schedule that does not drift, until the standard input ends; then a last one."""
    meter = open_meter(gpus) if gpus else None
    due_s, ended = time.monotonic(), False
    with series.open("w", encoding="utf-8", buffering=1) as lines:
        while True:
            lines.write(json.dumps(_look(url, meter, time.monotonic()), sort_keys=True) + "\n")
            if ended:
                return
            due_s = max(due_s + INTERVAL_S, time.monotonic())
            ended = bool(select.select([sys.stdin], [], [], max(0.0, due_s - time.monotonic()))[0])


def _look(url: str, meter: Meter | None, now_s: float) -> dict[str, Any]:
    look: dict[str, Any] = {"monotonic_s": round(now_s, 3)}
    if meter:
        reading = read_power(meter, now_s)
        look |= {"power_w": reading.power_w, "counter_j": reading.counter_j}
    if url and (found := scrape(url, timeout_s=_LOOK_TIMEOUT_S)):
        look |= found.gauges | {"counters": found.counters}
    return look


if __name__ == "__main__":
    _look_until_told(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
