"""When sessions begin: a renewal process in traffic time, bent by the hours of the week; knows no session's content.

A process of unit rate is mapped through the inverse of the cumulative rate (Çinlar 1975), so the number of sessions is
exact and every hour gets its share. Gaps are exponential (Poisson) or gamma with another spread. Nothing is kept: the
gaps are drawn twice, once for their sum.
"""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import timedelta
from itertools import accumulate

from costplan.generate.draws import gamma, stream
from costplan.scenario.spec import LogSpec
from costplan.units import SECONDS_PER_HOUR

_GAP = 1e6
_HOUR_MS = SECONDS_PER_HOUR * 1000


def starts_ms(log: LogSpec, sessions: int, seed: int) -> Iterator[int]:
    """Milliseconds since the first midnight, ascending."""
    edges = [0.0, *accumulate(rates(log))]
    whole = sum(_gaps(log, sessions + 1, seed))
    at = 0
    for number, gap in enumerate(_gaps(log, sessions, seed)):
        at += gap
        mass = at / max(1, whole) * edges[-1]
        hour = min(bisect_right(edges, mass), len(edges) - 1) - 1
        yield round((hour + (mass - edges[hour]) / (edges[hour + 1] - edges[hour])) * _HOUR_MS) if whole else number


def rates(log: LogSpec) -> list[float]:
    """Relative traffic of every hour of the log."""
    days = (log.start + timedelta(days=day) for day in range(log.days))
    return [rate * (log.weekend if day.weekday() >= 5 else 1.0) for day in days for rate in log.hours]


def _gaps(log: LogSpec, n: int, seed: int) -> Iterator[int]:
    rng = stream(seed, "gaps")
    return (gamma(rng, 1 / log.burst_cv**2, _GAP) for _ in range(n))
