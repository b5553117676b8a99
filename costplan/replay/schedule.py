"""When each request is due: the trace's own times, faster or cut, or arrivals made up; knows neither text nor server.

Order of the cuts: window, number of requests, speed, longest gap. The first request is due at 0.
"""

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from costplan.errors import UsageError
from costplan.units import parse_duration_s

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Schedule:
    """The requests of a trace that are sent, in the order in which they are due."""

    chosen: Ints
    """Rows of the trace."""
    due_s: Floats
    previous: Ints
    """Place in this schedule of the request whose answer comes first; -1 = none."""
    think_s: Floats


def parse_window(text: str) -> tuple[float, float]:
    """Seconds of the trace in `0:600s`, `10m:20m`, `1h:`; the end is open where it is empty."""
    start, colon, end = text.partition(":")
    try:
        found = (parse_duration_s(start) if start.strip() else 0.0, parse_duration_s(end) if end.strip() else np.inf)
    except ValueError:
        colon, found = "", (0.0, 0.0)
    if not colon or found[1] <= found[0]:
        raise UsageError(f"--window {text}: not a start and a later end", hint="--window 0:600s or --window 1h:2h")
    return found


def chosen_rows(arrival_s: Floats, window: str | None, requests: int | None) -> Ints:
    """The rows in the window, at most the first `requests` of them."""
    start, end = parse_window(window) if window else (0.0, np.inf)
    rows = np.flatnonzero((arrival_s >= start) & (arrival_s < end))
    if not len(rows):
        last = f"the trace ends after {arrival_s[-1]:,.0f} s"
        raise UsageError(f"--window {window}: no request of the trace falls into it ({last})", hint="--window 0:600s")
    if requests is not None and requests > len(rows):
        raise UsageError(
            f"--requests {requests}: there are {len(rows):,} in the trace" + (" and window" if window else ""),
            hint=f"--requests {len(rows)}, or leave it out",
        )
    return rows[:requests]


def recorded(
    arrival_s: Floats, chosen: Ints, *, speed: float = 1.0, max_gap_s: float | None = None,
    previous: Ints | None = None, think_s: Floats | None = None,
) -> Schedule:  # fmt: skip
    """At the trace's own times, `speed` times as fast, no gap (of arrivals or thought) longer than `max_gap_s`.

    `previous` and `think_s` are by row of the trace; a predecessor that is not sent is none.
    """
    longest = np.inf if max_gap_s is None else max_gap_s
    gaps = np.minimum(np.diff(arrival_s[chosen], prepend=arrival_s[chosen[0]]) / speed, longest)
    place = np.full(len(arrival_s) + 1, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    before = np.full(len(chosen), -1, np.int64) if previous is None else place[previous[chosen]]
    think = np.zeros(len(chosen)) if think_s is None else np.minimum(think_s[chosen] / speed, longest)
    return Schedule(
        chosen=chosen, due_s=np.cumsum(gaps), previous=before, think_s=np.where(before >= 0, think, 0.0)
    )  # fmt: skip


def poisson(chosen: Ints, req_s: float, seed: int) -> Schedule:
    """Arrivals without memory, `req_s` a second; another rate stretches the same gaps."""
    gaps = np.random.Generator(np.random.PCG64(seed)).exponential(size=len(chosen)) / req_s
    return _alone(chosen, np.cumsum(gaps) - gaps[0])


def closed(chosen: Ints) -> Schedule:
    """For a closed loop, in which nothing has a time of its own."""
    return _alone(chosen, np.zeros(len(chosen)))


def turns(session: NDArray[np.uint64], arrival_s: Floats, duration_s: Floats) -> tuple[Ints, Floats]:
    """(row of the turn before, -1 = none; seconds from its end to this one) by row of a trace in order of arrival.

    The turn before is the one of the same session that ended last before this one began: turns that overlap do not wait
    for each other. Without a duration nobody knows when a turn ended, and its followers keep their own times.
    """
    previous, think = np.full(len(session), -1, np.int64), np.zeros(len(session))
    running: dict[int, list[tuple[float, int]]] = {}
    over: dict[int, tuple[float, int]] = {}
    known = np.flatnonzero((session != 0) & np.isfinite(duration_s))
    for row, key, start_s in zip(known.tolist(), session[known].tolist(), arrival_s[known].tolist(), strict=True):
        turn = running.setdefault(key, [])
        while turn and turn[0][0] <= start_s:
            over[key] = heappop(turn)
        if key in over:
            ended_s, previous[row] = over[key]
            think[row] = start_s - ended_s
        heappush(turn, (start_s + float(duration_s[row]), row))
    return previous, think


def _alone(chosen: Ints, due_s: Floats) -> Schedule:
    return Schedule(
        chosen=chosen, due_s=due_s, previous=np.full(len(chosen), -1, np.int64), think_s=np.zeros(len(chosen))
    )
