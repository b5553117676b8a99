"""How long calls take, before and after the exact cache answers the literal repeats; no other lever is modelled.

Latencies are counted in bins of 1 %, in whole millionths of a call, so that the counts of chunks add up exactly.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.keyed import Keyed, grouped, merged
from costplan.results import Basis, Estimate, Latencies, Latency, Percentiles, exact, unknown
from costplan.units import MICROS_PER_SECOND

Mask = NDArray[np.bool_]
Counts = dict[str, Keyed]
"""By latency, `e2e` and `ttft`: millionths of a call by bin."""

LOOKUP_S = 0.015
LOOKUP_ORIGIN = "assumed: hashing, a gateway and one round trip to a store in the same region"
GROWTH = 1.01
"""Of the latencies from one bin to the next; the middle of bin 0 is the time of a lookup."""
NO_LATENCY = -1024
"""Bin of a call whose latency is not known: below that of a microsecond."""
MIN_COVERAGE = 0.5
_WHAT = {"e2e": "latency", "ttft": "time to first token"}
_COLUMNS = {"e2e": "duration_us", "ttft": "ttft_us"}
_MILLIONTHS = 1_000_000
_HALF_BIN = GROWTH**0.5
_NOT_MODELLED = "routing, streaming and the shorter prefill of a prompt cache are not modelled"
_FIRST_LOOK = "this is a first look at part of the log (--head); analyze all of it"
_SAMPLED = "; the log is a sample, in which a cache hits less often"


def bins_of(rows: dict[str, Any]) -> dict[str, NDArray[np.int16]]:
    """The bin of each row's latencies."""
    return {name: _bin(rows[column]) for name, column in _COLUMNS.items()}


def _bin(micros: NDArray[np.int64]) -> NDArray[np.int16]:
    lookups = np.maximum(micros, 1) / (LOOKUP_S * MICROS_PER_SECOND)
    return np.where(micros < 0, NO_LATENCY, np.rint(np.log(lookups) / math.log(GROWTH))).astype(np.int16)


def counted(rows: dict[str, Any], these: Mask) -> Counts:
    """Some of the rows, which have bins and weights."""
    weight = np.rint(rows["weight"][these] * _MILLIONTHS).astype(np.int64)[:, None]
    return {name: grouped(rows[name][these], weight) for name in _COLUMNS}


def all_counted(parts: list[Counts]) -> Counts:
    """The sum of several counts."""
    return {name: merged([part[name] for part in parts]) for name in _COLUMNS}


def latency_of(calls: Counts, answered: Counts, *, cached: bool, partial: bool, sampled: bool) -> Latency:
    """Latencies of the successful calls, and of the same calls where a cache answers some.

    `answered`: the literal hits. `cached`: the exact cache is among the defensible levers. `partial`: under --head.
    """

    def both(name: str) -> tuple[Percentiles, Percentiles]:
        missing = _FIRST_LOOK if partial else _uncovered(name, calls[name])
        if missing:
            return _unknown(missing), _unknown(missing)
        before = _percentiles(calls[name], "reported", f"as logged, in bins of 1 %{_covered(name, calls[name])}")
        missing = _no_hit(name, answered[name], cached)
        if missing:
            return before, _unknown(missing)
        note = f"literal repeats answered in {1000 * LOOKUP_S:g} ms (assumed), all other calls as logged"
        note += f"{_SAMPLED if sampled else ''}; {_NOT_MODELLED}"
        return before, _percentiles(_with_hits(calls[name], answered[name]), "simulated", note)

    ttft, e2e = both("ttft"), both("e2e")
    return Latency(
        before=Latencies(ttft_s=ttft[0], e2e_s=e2e[0]),
        after=Latencies(ttft_s=ttft[1], e2e_s=e2e[1]),
        lookup_s=exact(LOOKUP_S, "s", "assumed", LOOKUP_ORIGIN),
    )


def _known(calls: Keyed) -> int:
    """Millionths of a call whose latency is known."""
    return int(calls.column(0)[calls.keys != NO_LATENCY].sum())


def _uncovered(name: str, calls: Keyed) -> str:
    """Why the latencies of the log say too little; empty where they do not."""
    known, total = _known(calls), int(calls.column(0).sum())
    if not total:
        return "no call succeeded"
    if not known:
        return f"the log carries no {_WHAT[name]}"
    if known < MIN_COVERAGE * total:
        share = _share(known / total)
        return f"the log carries the {_WHAT[name]} of {share} of the successful calls; half of them are needed"
    return ""


def _covered(name: str, calls: Keyed) -> str:
    known, total = _known(calls), int(calls.column(0).sum())
    return "" if known == total else f"; {_share(known / total)} of the successful calls carry a {_WHAT[name]}"


def _share(share: float) -> str:
    """A share that is neither 0 nor 1 is not shown as such."""
    return "under 0.1%" if share < 0.001 else "over 99.9%" if share > 0.999 else f"{share:.1%}"


def _no_hit(name: str, answered: Keyed, cached: bool) -> str:
    """Why the cache changes no latency; empty where it does."""
    if not answered.column(0).any():
        return "no call is a literal hit of the response cache"
    if not cached:
        return "the exact cache is not among the defensible levers"
    return "" if _known(answered) else f"no hit of the response cache has a {_WHAT[name]} in the log"


def _with_hits(calls: Keyed, answered: Keyed) -> Keyed:
    """The calls, the answered ones among them moved from their own bin to that of a lookup."""
    hits = Keyed(np.zeros(1, answered.keys.dtype), np.array([[_known(answered)]], dtype=np.int64))
    gone = Keyed(answered.keys, -answered.sums * (answered.keys != NO_LATENCY)[:, None])
    return merged([calls, gone, hits])


def _percentiles(calls: Keyed, basis: Basis, note: str) -> Percentiles:
    some = calls.keys != NO_LATENCY
    bins, upto = calls.keys[some], np.cumsum(calls.column(0)[some])

    def at(percent: int) -> Estimate:
        # the nearest rank, in whole numbers
        rank = -(-percent * int(upto[-1]) // 100)
        middle = LOOKUP_S * GROWTH ** int(bins[int(np.searchsorted(upto, rank))])
        return Estimate(
            value=middle, low=middle / _HALF_BIN, high=middle * _HALF_BIN, unit="s", basis=basis, note=note
        )  # fmt: skip

    return Percentiles(p50=at(50), p95=at(95))


def _unknown(note: str) -> Percentiles:
    return Percentiles(p50=unknown("s", note), p95=unknown("s", note))
