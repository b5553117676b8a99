"""How long calls take, before and after what is defensible: the exact cache answers literal repeats, verified routes
take other models. The shorter prefill of a prompt cache is not modelled.
"""

from dataclasses import dataclass

import numpy as np

from costplan.keyed import Keyed, merged
from costplan.levers.bins import LOOKUP_S, NO_LATENCY, Counts, known_of, percentiles, share, unknown_percentiles
from costplan.levers.speed import at_new_pace, streaming_of
from costplan.results import exact
from costplan.results.latency import Latencies, Latency, Percentiles

LOOKUP_ORIGIN = "assumed: hashing, a gateway and one round trip to a store in the same region"
MIN_COVERAGE = 0.5
_WHAT = {"e2e": "latency", "ttft": "time to first token"}
_FIRST_LOOK = "this is a first look at part of the log (--head); analyze all of it"
_SAMPLED = "; the log is a sample, in which a cache hits less often"


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Calls that verified routes take to another model."""

    calls: Keyed
    """As speed.moved counts them; literal repeats are not among them."""
    pace: Keyed
    output_ratio: float
    """Length of its answers over today's."""


def latency_of(
    calls: Counts, answered: Counts, moves: Moves | None, *, cached: bool, partial: bool, sampled: bool,
    seen: Keyed | None = None,
) -> Latency:  # fmt: skip
    """Latencies of the successful calls, and of the same calls where a cache and cheaper models answer some.

    `answered`: the literal hits. `moves`: None where no verified route is taken. `cached`: the exact cache is among the
    defensible levers. `partial`: under --head. `seen`: speed.first_tokens.
    """

    def both(name: str) -> tuple[Percentiles, Percentiles]:
        missing = _FIRST_LOOK if partial else _uncovered(name, calls[name])
        if missing:
            return unknown_percentiles(missing), unknown_percentiles(missing)
        before = percentiles(calls[name], "reported", f"as logged, in bins of 1 %{_covered(name, calls[name])}")
        missing = _no_hit(name, answered[name], cached)
        after = calls[name] if missing else _with_hits(calls[name], answered[name])
        moved, routed = _routed(after, moves) if name == "e2e" else (None, "; routing is not modelled here")
        if missing and moved is None:
            return before, unknown_percentiles(missing)
        note = f"literal repeats answered in {1000 * LOOKUP_S:g} ms (assumed), all other calls as logged"
        note = f"{'no repeat is answered' if missing else note}{_SAMPLED if sampled else ''}{routed}"
        note += "; streaming and the shorter prefill of a prompt cache are not modelled"
        return before, percentiles(after if moved is None else moved, "simulated", note)

    ttft, e2e = both("ttft"), both("e2e")
    return Latency(
        before=Latencies(ttft_s=ttft[0], e2e_s=e2e[0]),
        after=Latencies(ttft_s=ttft[1], e2e_s=e2e[1]),
        lookup_s=exact(LOOKUP_S, "s", "assumed", LOOKUP_ORIGIN),
        streaming=None if partial or seen is None else streaming_of(seen),
    )


def _routed(calls: Keyed, moves: Moves | None) -> tuple[Keyed | None, str]:
    """(the calls at their new models' pace, if it is known of any that moves; what to say of it)."""
    if moves is None or not moves.calls.sums.any():
        return None, ""
    found, told = at_new_pace(calls, moves.calls, moves.pace, moves.output_ratio)
    if not told:
        return None, "; no routed call's new model is fast or slow in this log: they keep their time"
    return found, f"; {share(told)} of the routed calls at the pace that both models have in this log"


def _uncovered(name: str, calls: Keyed) -> str:
    """Why the latencies of the log say too little; empty where they do not."""
    known, total = known_of(calls), int(calls.column(0).sum())
    if not total:
        return "no call succeeded"
    if not known:
        return f"the log carries no {_WHAT[name]}"
    if known < MIN_COVERAGE * total:
        few = share(known / total)
        return f"the log carries the {_WHAT[name]} of {few} of the successful calls; half of them are needed"
    return ""


def _covered(name: str, calls: Keyed) -> str:
    known, total = known_of(calls), int(calls.column(0).sum())
    return "" if known == total else f"; {share(known / total)} of the successful calls carry a {_WHAT[name]}"


def _no_hit(name: str, answered: Keyed, cached: bool) -> str:
    """Why the cache changes no latency; empty where it does."""
    if not answered.column(0).any():
        return "no call is a literal hit of the response cache"
    if not cached:
        return "the exact cache is not among the defensible levers"
    return "" if known_of(answered) else f"no hit of the response cache has a {_WHAT[name]} in the log"


def _with_hits(calls: Keyed, answered: Keyed) -> Keyed:
    """The calls, the answered ones among them moved from their own bin to that of a lookup."""
    hits = Keyed(np.zeros(1, answered.keys.dtype), np.array([[known_of(answered)]], dtype=np.int64))
    gone = Keyed(answered.keys, -answered.sums * (answered.keys != NO_LATENCY)[:, None])
    return merged([calls, gone, hits])
