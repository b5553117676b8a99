"""Call trees: how many calls a trace holds, how deep they stand and how many stand side by side; keys only, no text."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from costplan.engine import read_batch
from costplan.ingest.parse import Chunk
from costplan.results.agents import CallTrees

Keys = NDArray[np.uint64]
_MAX_HOPS = 64


def trees_of(chunks: list[Chunk], links: list[Keys], dropped: list[NDArray[np.int64]]) -> CallTrees | None:
    """Of the calls that stay; None where none has a trace. `links`: (span, parent) of spans that are no calls."""
    parts: list[list[Keys]] = [[], [], []]
    for chunk, gone in zip(chunks, dropped, strict=True):
        columns = read_batch(chunk.path, 0, ("trace_key", "span_key", "parent_key"))
        kept = np.flatnonzero(columns["trace_key"])
        kept = kept[~np.isin(kept, gone)]
        for part, name in zip(parts, ("trace_key", "span_key", "parent_key"), strict=True):
            part.append(columns[name][kept])
    traces, spans, parents = (np.concatenate(part) if part else np.zeros(0, np.uint64) for part in parts)
    if not len(traces):
        return None
    above = dict(zip(spans.tolist(), parents.tolist(), strict=True))
    above |= {int(span): int(parent) for pair in links for span, parent in pair}
    depths = Counter(_depth(parent, above) for parent in parents.tolist())
    calls = np.unique(traces, return_counts=True)[1]
    beside = np.unique(parents[parents != 0], return_counts=True)[1]
    p50, p95 = (float(value) for value in np.quantile(calls, (0.5, 0.95)))
    return CallTrees(
        traces=len(calls), calls=len(traces), calls_p50=p50, calls_p95=p95, calls_max=int(calls.max()),
        by_depth={str(depth): depths[depth] for depth in sorted(depths)},
        widest=int(beside.max()) if len(beside) else 0,
    )  # fmt: skip


def _depth(parent: int, above: dict[int, int]) -> int:
    """Spans above a call; a parent that the log does not hold counts as one."""
    hops = 0
    while parent and hops < _MAX_HOPS:
        parent, hops = above.get(parent, 0), hops + 1
    return hops
