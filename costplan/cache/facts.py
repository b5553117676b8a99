"""What people ask beside the frontier: which intents repeat, which sites pay, how latency changes."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.cache.frontier import kinds, run, running_nanos
from costplan.cache.near import Near
from costplan.cache.read import Ints, Requests
from costplan.levers.bins import LOOKUP_S
from costplan.results.cache import ClusterRow, Growth, LatencyEffect, ScopeRow, SiteRow
from costplan.similarity import growth as growing
from costplan.similarity.embed import Vectors
from costplan.similarity.labels import Bound
from costplan.similarity.replay import Served, Setting
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY

_TOP = 10
_FOREVER_S = 1e5 * SECONDS_PER_DAY


def leaders(near: Near, setting: Setting) -> NDArray[np.int32]:
    """(n,) the node whose answer a cache that forgets nothing would serve: requests of one intent share one."""
    served = run(near, replace(setting, ttl_s=_FOREVER_S, capacity=None))
    return growing.clusters(near.events.text, served.source)


def growth(leader: NDArray[np.int32]) -> Growth:
    """Hits of a cache that forgets nothing, on this log and on more of the same."""
    found = growing.growth(leader)
    if found.kind == "drift":
        note = "what is asked drifts over the log, so nothing is said about more traffic"
        return Growth(cold_share=found.cold_share, steady_share=None, doubled_share=None, note=note)
    doubled = growing.expected_share(growing.basis(leader, found.kind), len(leader))
    note = "of a cache that forgets nothing; not told beyond twice the log"
    if found.kind == "bursts":
        note += "; repeats come in bursts, so stretches of the log are counted"
    return Growth(cold_share=found.cold_share, steady_share=found.steady_share, doubled_share=doubled, note=note)


def clusters(
    requests: Requests, near: Near, leader: NDArray[np.int32], vectors: Vectors, show_text: bool
) -> list[ClusterRow]:
    """The intents asked most often, each by its medoid: the prompt with the largest sum of cosines to all requests."""
    columns = requests.columns
    weight = np.bincount(leader, columns["weight"])
    cost = np.bincount(leader, columns["cost"]) / NANOS_PER_USD
    asked = np.bincount(leader)
    order = np.lexsort((np.arange(len(weight)), -weight))[:_TOP]
    found: list[ClusterRow] = []
    for cluster in order[asked[order] > 1].tolist():
        members = np.flatnonzero(leader == cluster)
        nodes, first, counts = np.unique(near.events.text[members], return_index=True, return_counts=True)
        rows = vectors[near.node_text[nodes]]
        medoid = int(np.argmax(np.round(rows @ (counts @ rows), 4)))
        request = int(members[first[medoid]])
        found.append(ClusterRow(
            medoid_id=requests.ids[request], medoid=requests.texts[int(requests.text[request])] if show_text else None,
            prompts=len(nodes), count=len(members), usd=float(cost[cluster]),
            share=float(weight[cluster] / columns["weight"].sum()),
        ))  # fmt: skip
    return found


def scope_row(requests: Requests, near: Near, setting: Setting, scope: Any) -> ScopeRow:
    """What the same setting hits where answers are shared by all, or kept to one user."""
    kind = kinds(requests, run(near, setting))
    weight, cost = requests.columns["weight"], requests.columns["cost"]
    return ScopeRow(
        scope=scope, eligible=requests.n, exact_hit_share=float(weight[(kind == 1) | (kind == 2)].sum() / weight.sum()),
        hit_share=float(weight[kind > 0].sum() / weight.sum()),
        hit_usd_share=float(cost[kind > 0].sum() / max(1, cost.sum())),
    )  # fmt: skip


def site_rows(
    requests: Requests,
    served: Served,
    setting: Setting,
    exact: Served,
    embedder: str,
    wrong: dict[int, Bound],
    *,
    max_wrong: float,
    penalty: float,
) -> list[SiteRow]:
    """Per call site what the setting brings, and whether it should be cached; most dollars first.

    `exact`: what the exact cache serves for the same TTL. `wrong`: by site, where labels or answers tell.
    """
    columns = requests.columns
    kind, plain = kinds(requests, served), kinds(requests, exact)
    saved = _net(columns, kind, setting, embedder)
    saved_exact = _net(columns, plain, replace(setting, threshold=1.1), embedder)
    rows: list[SiteRow] = []
    for site in np.unique(columns["site"]).tolist():
        mine = columns["site"] == site
        bound, semantic = wrong.get(site), int((kind[mine] == 3).sum())
        net, net_exact = float(saved[mine].sum()), float(saved_exact[mine].sum())
        if bound is not None:
            net -= penalty * bound.value * float(columns["weight"][mine & (kind == 3)].sum())
        advice, why = _advice(semantic, net, net_exact, bound, max_wrong, bool(columns["priced"][mine].any()))
        weight, shown = columns["weight"][mine], kind if advice == "semantic cache" else plain
        rows.append(SiteRow(
            call_site=requests.sites.get(site, "unknown"), eligible=int(mine.sum()),
            cost_usd=float(columns["cost"][mine].sum()) / NANOS_PER_USD,
            hit_share=float(weight[shown[mine] > 0].sum() / weight.sum()), semantic_hits=semantic,
            wrong_share=None if bound is None else float(bound.value),
            net_usd=net if advice == "semantic cache" else net_exact, advice=advice, why=why,
        ))  # fmt: skip
    return sorted(rows, key=lambda row: (-row.cost_usd, row.call_site))


def _net(columns: dict[str, Any], kind: NDArray[np.int8], setting: Setting, embedder: str) -> NDArray[np.float64]:
    """(n,) USD saved less what the cache costs."""
    return (np.where(kind > 0, columns["cost"], 0.0) - running_nanos(columns, kind, setting, embedder)) / NANOS_PER_USD


def _advice(
    semantic: int, net: float, net_exact: float, bound: Bound | None, max_wrong: float, priced: bool
) -> tuple[Any, str]:
    fallback = "exact cache" if net_exact > 0 else "never"
    if not priced:
        return "never", "its calls have no price: nothing can be saved that is known"
    if fallback == "never" and net <= 0:
        return "never", "too few repeats: hits save less than lookups and storage cost"
    if not semantic:
        return fallback, "no prompt is close enough to an earlier one, beside repeats"
    if net <= net_exact:
        return fallback, "similar prompts add less than they cost"
    if bound is None:
        return fallback, f"{semantic:,} more hits are not verified"
    if bound.value > max_wrong:
        return fallback, f"{bound.value:.1%} of its semantic hits are wrong, more than {max_wrong:.1%}"
    if bound.upper > max_wrong:
        return "semantic cache", f"within the bound of the whole log; alone it has too few labels ({bound.labels:,})"
    return "semantic cache", f"at most {bound.upper:.1%} of its semantic hits are wrong"


def latency(requests: Requests, served: Served, embed_s: float) -> LatencyEffect:
    """p50 and p95 of the calls whose duration is logged; every one waits for the lookup, hits for nothing else."""
    duration: Ints = requests.columns["duration_us"]
    known = duration >= 0
    lookup = LOOKUP_S + embed_s
    if not known.any():
        note = "the log carries no durations"
        return LatencyEffect(
            before_p50_s=None, before_p95_s=None, after_p50_s=None, after_p95_s=None, lookup_s=lookup, note=note
        )  # fmt: skip
    before = duration[known] / MICROS_PER_SECOND
    after = np.where(served.source[known] >= 0, 0.0, before) + lookup
    ends = [
        float(each) for values in (before, after) for each in np.percentile(values, (50, 95), method="inverted_cdf")
    ]
    note = f"a lookup takes {1000 * LOOKUP_S:g} ms (assumed)"
    note += f" and {1000 * embed_s:.2g} ms to embed (measured)" if embed_s else ""
    note += "; calls that miss wait for it too"
    return LatencyEffect(
        before_p50_s=ends[0], before_p95_s=ends[1], after_p50_s=ends[2], after_p95_s=ends[3], lookup_s=lookup, note=note
    )  # fmt: skip
