"""Every setting of the cache, replayed over one graph, with what it saves and costs; not whether its answers are right.

Only sums and the pairs that were served are kept of a replay, so memory does not grow with the number of settings.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.cache.near import Near
from costplan.cache.read import Ints, Mask, Requests
from costplan.levers.response_cache import lookup_nanos, store_nanos_per_output_token
from costplan.levers.semantic import TEXTS_PER_CPU_S, VECTOR_OUTPUT_TOKENS, embed_nanos
from costplan.settings import CacheSettings
from costplan.similarity.guard import DEFAULT_THRESHOLD
from costplan.similarity.replay import Served, Setting, replay
from costplan.units import NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

THRESHOLDS = (0.99, 0.98, 0.97, 0.95, 0.92, 0.89, 0.86, 0.83, 0.80)
EXACT = 1.1
TTLS_S = (float(SECONDS_PER_HOUR), float(SECONDS_PER_DAY), 7.0 * SECONDS_PER_DAY)


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What one setting serves."""

    setting: Setting
    hits: tuple[int, int, int]
    """Exact, respelled, semantic."""
    share: float
    token_share: float
    usd_share: float
    open_share: float
    """Without the guard."""
    saved_nanos: float
    cost_nanos: float
    edges: Ints
    """(k,) edges that semantic hits took."""
    times: Ints
    """(k,) how often."""
    usd: NDArray[np.float64]
    """(k,)"""
    first: Ints
    """(k,) the first request that took it, and the one whose answer it got."""
    source: Ints

    @property
    def net_usd(self) -> float:
        """Before any penalty for wrong hits."""
        return (self.saved_nanos - self.cost_nanos) / NANOS_PER_USD


def embed_s(embedder: str) -> float:
    """Seconds of one core to embed a prompt."""
    return 1 / TEXTS_PER_CPU_S[embedder]


def settings_of(chosen: CacheSettings) -> list[Setting]:
    """Strictest first within each TTL, the exact cache before all."""
    thresholds = {EXACT, round(DEFAULT_THRESHOLD, 4), *THRESHOLDS}
    if chosen.threshold is not None:
        thresholds.add(chosen.threshold)
    base = Setting(threshold=EXACT, policy=chosen.ttl_policy, capacity=chosen.capacity)
    return [
        replace(base, threshold=threshold, ttl_s=ttl)
        for ttl in ((chosen.ttl,) if chosen.ttl is not None else TTLS_S)
        for threshold in sorted(thresholds, reverse=True)
    ]


def kinds(requests: Requests, served: Served) -> NDArray[np.int8]:
    """(n,) 0 = miss, 1 = exact, 2 = respelled, 3 = semantic."""
    exact_key, hit = requests.columns["exact_key"], served.source >= 0
    same = exact_key == exact_key[np.maximum(served.source, 0)]
    return np.where(~hit, 0, np.where(served.edge >= 0, 3, np.where(same, 1, 2))).astype(np.int8)


def run(near: Near, setting: Setting) -> Served:
    """One replay with the guard."""
    return replay(near.events, near.graph, near.passes, setting)


def tally(requests: Requests, near: Near, setting: Setting, embedder: str) -> Tally:
    """Replay a setting and add up."""
    served = run(near, setting)
    kind = kinds(requests, served)
    columns, hit = requests.columns, kind > 0
    weight: NDArray[np.float64] = columns["weight"]
    tokens = weight * (columns["input_tokens"] + columns["output_tokens"])
    open_hits = hit if setting.threshold > 1 else replay(near.events, near.graph, near.short, setting).source >= 0
    semantic = np.flatnonzero(kind == 3)
    edges, first, inverse, times = np.unique(
        served.edge[semantic], return_index=True, return_inverse=True, return_counts=True
    )
    return Tally(
        setting=setting, hits=(int((kind == 1).sum()), int((kind == 2).sum()), len(semantic)),
        share=_share(weight, hit), token_share=_share(tokens, hit), usd_share=_share(columns["cost"], hit),
        open_share=_share(weight, open_hits), saved_nanos=float(columns["cost"][hit].sum()),
        cost_nanos=float(running_nanos(columns, kind, setting, embedder).sum()), edges=edges, times=times,
        usd=np.bincount(inverse, columns["cost"][semantic], len(edges)) / NANOS_PER_USD, first=semantic[first],
        source=served.source[semantic[first]].astype(np.int64),
    )  # fmt: skip


def running_nanos(
    columns: dict[str, Any], kind: NDArray[np.int8], setting: Setting, embedder: str
) -> NDArray[np.float64]:
    """(n,) what the cache itself costs: every request asks it; the answer to every miss is stored for the TTL.

    A semantic cache also embeds every prompt that is not literally held, asks again, and stores vectors.
    """
    store = store_nanos_per_output_token(setting.ttl_s)
    cost = lookup_nanos() + np.where(kind == 0, store * columns["output_tokens"], 0.0)
    if setting.threshold <= 1:
        cost += np.where((kind == 0) | (kind == 3), lookup_nanos() + embed_nanos(embedder), 0.0)
        cost += np.where(kind == 0, store * VECTOR_OUTPUT_TOKENS, 0.0)
    return cost * columns["weight"]


def _share(amounts: NDArray[Any], where: Mask) -> float:
    total = float(amounts.sum())
    return float(amounts[where].sum()) / total if total else 0.0
