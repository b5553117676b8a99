"""Latencies counted in bins of 1 %, in whole millionths of a call, so that the counts of chunks add up exactly."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.keyed import Keyed, grouped, merged
from costplan.results import Basis, Estimate, unknown
from costplan.results.latency import Percentiles
from costplan.units import MICROS_PER_SECOND

Mask = NDArray[np.bool_]
Counts = dict[str, Keyed]
"""By latency, `e2e` and `ttft`: millionths of a call by bin."""

LOOKUP_S = 0.015
GROWTH = 1.01
"""Of the latencies from one bin to the next; the middle of bin 0 is the time of a lookup in a cache."""
NO_LATENCY = -1024
"""Bin of a call whose latency is not known: below that of a microsecond."""
MILLIONTHS = 1_000_000
_COLUMNS = {"e2e": "duration_us", "ttft": "ttft_us"}
_HALF_BIN = GROWTH**0.5


def bins_of(rows: dict[str, Any]) -> dict[str, NDArray[np.int16]]:
    """The bin of each row's latencies."""
    return {name: bin_of(rows[column]) for name, column in _COLUMNS.items()}


def bin_of(micros: NDArray[np.int64]) -> NDArray[np.int16]:
    lookups = np.maximum(micros, 1) / (LOOKUP_S * MICROS_PER_SECOND)
    return np.where(micros < 0, NO_LATENCY, np.rint(np.log(lookups) / math.log(GROWTH))).astype(np.int16)


def counted(rows: dict[str, Any], these: Mask) -> Counts:
    """Some of the rows, which have bins and weights."""
    weight = millionths(rows, these)
    return {name: grouped(rows[name][these], weight) for name in _COLUMNS}


def millionths(rows: dict[str, Any], these: Mask) -> NDArray[np.int64]:
    """(n, 1) calls that some of the rows stand for."""
    return np.rint(rows["weight"][these] * MILLIONTHS).astype(np.int64)[:, None]


def all_counted(parts: list[Counts]) -> Counts:
    """The sum of several counts."""
    return {name: merged([part[name] for part in parts]) for name in _COLUMNS}


def known_of(calls: Keyed) -> int:
    """Millionths of a call whose latency is known."""
    return int(calls.column(0)[calls.keys != NO_LATENCY].sum())


def share(share: float) -> str:
    """A share that is neither 0 nor 1 is not shown as such."""
    return "under 0.1%" if share < 0.001 else "over 99.9%" if 0.999 < share < 1 else f"{share:.1%}"


def percentiles(calls: Keyed, basis: Basis, note: str) -> Percentiles:
    return Percentiles(p50=percentile(calls, 50, basis, note), p95=percentile(calls, 95, basis, note))


def percentile(calls: Keyed, percent: float, basis: Basis, note: str, spread: float = 0.0) -> Estimate:
    """The nearest rank, to half a bin; with a spread in points of percent, from the rank below to the one above."""
    some = calls.keys != NO_LATENCY
    bins, upto = calls.keys[some], np.cumsum(calls.column(0)[some])

    def at(rank: float) -> float:
        # in whole numbers
        place = -(-round(1000 * min(max(rank, 0.0), 100.0)) * int(upto[-1]) // 100_000)
        return LOOKUP_S * GROWTH ** int(bins[int(np.searchsorted(upto, max(place, 1)))])

    return Estimate(
        value=at(percent), low=at(percent - spread) / _HALF_BIN, high=at(percent + spread) * _HALF_BIN,
        level=0.95 if spread else None, unit="s", basis=basis, note=note,
    )  # fmt: skip


def unknown_percentiles(note: str) -> Percentiles:
    """`note` says what is missing."""
    return Percentiles(p50=unknown("s", note), p95=unknown("s", note))
