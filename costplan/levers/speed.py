"""When the first token would come if every call streamed, and how fast models answer: as the log's own calls tell.

Counts are those of bins.py. No server is simulated here.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.keyed import Keyed, grouped, merged
from costplan.levers.bins import (
    GROWTH,
    MILLIONTHS,
    NO_LATENCY,
    bin_of,
    millionths,
    percentile,
    share,
    unknown_percentiles,
)
from costplan.results.latency import Percentiles, Streaming
from costplan.trace import Flag

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
LEAST_CALLS = 30
"""Of a model, from which its speed is told."""
_SPAN = 1 << 12
"""More than there are bins."""
_ERROR = 0.05
_PERCENTS = (("p50", 50), ("p95", 95))


def first_tokens(rows: dict[str, Any], these: Mask) -> Keyed:
    """Calls by model, whether they stream, and when their user sees the first token: without streaming, at the end."""
    streams: Mask = (rows["flags"] & Flag.STREAM) != 0
    first: NDArray[np.int16] = rows["ttft"]
    last: NDArray[np.int16] = rows["e2e"]
    bins = np.where(streams, first, last).astype(np.int64)
    model: Ints = rows["price_key"].astype(np.int64)
    keys = (2 * model + streams) * _SPAN + bins - NO_LATENCY
    return grouped(keys[these], millionths(rows, these))


def paces(rows: dict[str, Any], these: Mask) -> Keyed:
    """Calls by model and seconds per output token, from the request to the last token."""
    output: Ints = rows["output_tokens"].astype(np.int64)
    these = these & (output > 0) & (rows["duration_us"] > 0)
    bins = bin_of(rows["duration_us"][these] // output[these]).astype(np.int64) - NO_LATENCY
    return grouped(rows["price_key"][these].astype(np.int64) * _SPAN + bins, millionths(rows, these))


def moved(rows: dict[str, Any], to_key: NDArray[np.int32], these: Mask) -> Keyed:
    """Calls by their model, the one that takes them (`to_key`, by row) and latency."""
    pair = rows["price_key"].astype(np.int64) << 20 | to_key
    return grouped((pair * _SPAN + rows["e2e"] - NO_LATENCY)[these], millionths(rows, these))


def at_new_pace(calls: Keyed, moves: Keyed, pace: Keyed, output_ratio: float) -> tuple[Keyed, float]:
    """(the calls, those that move at the pace of the model that takes them; share of the moves with known paces).

    Latency in proportion to the median seconds per output token of both models in this log, and to the length of the
    answer.
    """
    middle = _medians(pace)
    pair, bins = np.divmod(moves.keys, _SPAN)
    shift = np.full(len(pair), np.nan)
    for each in np.unique(pair).tolist():
        own, other = middle.get(each >> 20), middle.get(each & ((1 << 20) - 1))
        if own is not None and other is not None:
            shift[pair == each] = other - own + round(math.log(output_ratio) / math.log(GROWTH))
    some = ~np.isnan(shift) & (bins + NO_LATENCY != NO_LATENCY)
    total = int(moves.sums.sum())
    if not some.any():
        return calls, 0.0
    before = (bins[some] + NO_LATENCY).astype(calls.keys.dtype)
    after = np.maximum(before + shift[some], NO_LATENCY + 1).astype(calls.keys.dtype)
    sums = moves.sums[some]
    return merged([calls, grouped(before, -sums), grouped(after, sums)]), float(sums.sum()) / total


def _medians(pace: Keyed) -> dict[int, int]:
    """Bin of the median by model, of those with LEAST_CALLS."""
    model, bins = np.divmod(pace.keys, _SPAN)
    found: dict[int, int] = {}
    for each in np.unique(model).tolist():
        upto = np.cumsum(pace.column(0)[model == each])
        if upto[-1] >= LEAST_CALLS * MILLIONTHS:
            found[each] = int(bins[model == each][np.searchsorted(upto, upto[-1] / 2)])
    return found


def streaming_of(seen: Keyed) -> Streaming | None:
    """First tokens today, and where every call streams; None where all do, or no latency is known.

    A call that does not stream takes the first tokens of its model's streamed calls, as if their prompts were alike.
    The interval is that of their distributions (Dvoretzky, Kiefer, Wolfowitz, Massart; Bonferroni).
    """
    keys, bins = np.divmod(seen.keys, _SPAN)
    model, streams = np.divmod(keys, 2)
    bins, calls = (bins + NO_LATENCY).astype(np.int16), seen.column(0)
    held = (streams == 0) & (bins != NO_LATENCY)
    if not held.any():
        return None
    whole = int(calls[held].sum())
    told = (streams == 1) & (bins != NO_LATENCY)
    parts, spread, covered = [Keyed(bins[told], calls[told][:, None])], 0.0, 0
    models = np.unique(model[held]).tolist()
    for each in models:
        own, like = int(calls[held & (model == each)].sum()), told & (model == each)
        n = int(calls[like].sum())
        if n < LEAST_CALLS * MILLIONTHS:
            continue
        parts.append(Keyed(bins[like], np.rint(calls[like] * (own / n)).astype(np.int64)[:, None]))
        spread += own * math.sqrt(math.log(2 * len(models) / _ERROR) / (2 * n / MILLIONTHS))
        covered += own
    everyone = whole + int(calls[told].sum())
    before = merged([parts[0], Keyed(bins[held], calls[held][:, None])])
    note = "a call that is not streamed shows its first token with its last"
    return Streaming(
        unstreamed_share=whole / everyone,
        before=Percentiles(**{name: percentile(before, at, "reported", note) for name, at in _PERCENTS}),
        after=_streamed(merged(parts), covered / whole, spread / everyone),
    )


def _streamed(after: Keyed, covered: float, spread: float) -> Percentiles:
    if covered < 0.5:
        return unknown_percentiles(
            f"{share(covered) if covered else 'none'} of the calls that are not streamed go to a model with "
            f"{LEAST_CALLS} streamed calls whose time to first token is logged; half are needed"
        )
    note = f"first tokens of the same models' streamed calls, for {share(covered)} of the calls that are not streamed; "
    note += "the end of an answer comes no sooner"
    return Percentiles(**{name: percentile(after, at, "estimated", note, 100 * spread) for name, at in _PERCENTS})
