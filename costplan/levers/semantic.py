"""The response cache that also serves prompts close to a stored one; whether their answers fit is not known here."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.levers.alike import THRESHOLD, AlikePairs, Asked
from costplan.levers.response_cache import CacheSetting, Scope
from costplan.similarity.guard import REASONS
from costplan.units import SECONDS_PER_HOUR

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SCOPES: tuple[Scope, ...] = ("global", "user")
THRESHOLDS = (THRESHOLD, 0.83, 0.86, 0.89, 0.92, 0.95, 0.98)
"""The one that the ladder uses, then stricter ones."""
CPU_USD_PER_HOUR = 0.045
"""One vCPU of a compute instance, on demand (AWS c7i.large, us-east-1, list price, checked 2026-11)."""
TEXTS_PER_CPU_S = {"static": 14_500, "minilm": 266}
"""Measured on one x86 thread, 13 words a text. Vectors of the user's own count as minilm."""
VECTOR_OUTPUT_TOKENS = 4 * 256 / 4.5
"""256 float32 take the room of so many tokens of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a setting serves; amounts are nano-dollars."""

    threshold: float
    scope: Scope
    hits: int
    nanos: int
    similar: int
    """Hits on a prompt that is not the same after normalisation."""
    similar_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Semantic:
    """What the simulation of a semantic cache found, or why there is none."""

    repeat_gid: Ints
    """Rows served with an answer to their own prompt, under the ladder's setting."""
    similar_gid: Ints
    """Rows served with the answer to another prompt."""
    outcomes: list[Outcome]
    """By threshold, the ladder's first."""
    scopes: list[Outcome]
    """The ladder's threshold, with unlimited room, by who shares answers."""
    prompts: int
    pairs: int
    objections: dict[str, int]
    """Pairs that the guard holds back, by reason."""
    held_back: int
    """Requests that would hit without the guard."""
    recall: tuple[float, float] | None = None
    """(estimate, lower 95 % bound) of the share of close pairs that an index found; None = all were compared."""
    note: str = ""
    """Why nothing was simulated."""


def none_of(prompts: int, note: str) -> Semantic:
    """Nothing was simulated."""
    none = np.zeros(0, np.int64)
    return Semantic(
        repeat_gid=none, similar_gid=none, outcomes=[], scopes=[], prompts=prompts, pairs=0, objections={},
        held_back=0, note=note,
    )  # fmt: skip


def embed_nanos(embedder: str = "static") -> float:
    """Nano-dollars of embedding a prompt."""
    return CPU_USD_PER_HOUR / SECONDS_PER_HOUR / TEXTS_PER_CPU_S[embedder] * 1e9


def simulate_semantic(asked: Asked, pairs: AlikePairs, setting: CacheSetting) -> Semantic:
    """Replay the requests under the ladder's setting, at other thresholds, and for the other scope."""
    columns, allowed = asked.columns, pairs.objection == 0
    unguarded = _served(asked, _graph_of(asked, pairs, pairs.objection >= 0, setting.scope), setting)
    graphs = {scope: _graph_of(asked, pairs, allowed, scope) for scope in SCOPES}

    def outcome(threshold: float, how: CacheSetting) -> tuple[Outcome, Any]:
        run = _served(asked, graphs[how.scope], how, threshold)
        hit, near, cost = run.source >= 0, run.edge >= 0, columns["cost"]
        return Outcome(
            threshold=threshold, scope=how.scope, hits=int(hit.sum()), nanos=int(cost[hit].sum()),
            similar=int(near.sum()), similar_nanos=int(cost[near].sum()),
        ), run  # fmt: skip

    first, chosen = outcome(THRESHOLD, setting)
    near = chosen.edge >= 0
    counts = np.bincount(pairs.objection, minlength=len(REASONS)).tolist()
    return Semantic(
        repeat_gid=columns["gid"][(chosen.source >= 0) & ~near], similar_gid=columns["gid"][near],
        outcomes=[first, *(outcome(threshold, setting)[0] for threshold in THRESHOLDS[1:])],
        scopes=[outcome(THRESHOLD, replace(setting, scope=scope, capacity=None))[0] for scope in SCOPES],
        prompts=len(asked.first_gid), pairs=len(pairs.first), recall=pairs.recall,
        objections={name: count for name, count in zip(REASONS, counts, strict=True) if name and count},
        held_back=int((unguarded.source >= 0).sum()) - first.hits,
    )  # fmt: skip


def _served(asked: Asked, graph: tuple[Any, Any], setting: CacheSetting, threshold: float = THRESHOLD) -> Any:
    """A replay in which every edge of the graph may be served."""
    from costplan.similarity import replay as similar

    node, edges = graph
    how = similar.Setting(threshold, setting.ttl_s, setting.policy, setting.capacity)
    every = np.ones(len(edges.neighbour), np.bool_)
    return similar.replay(similar.Events(node.astype(np.int32), asked.columns["time_us"]), edges, every, how)


def _graph_of(asked: Asked, pairs: AlikePairs, wanted: Mask, scope: Scope) -> tuple[Any, Any]:
    """(node of each request, graph of the wanted pairs). Of a user's own prompts with --scope user."""
    first, second, cosine = pairs.first[wanted], pairs.second[wanted], pairs.cosine[wanted]
    node = asked.prompt
    if scope == "user":
        node, first, second, cosine = _by_user(asked, first, second, cosine)
    return node, _symmetric(first, second, cosine, int(node.max()) + 1)


def _by_user(asked: Asked, first: NDArray[Any], second: NDArray[Any], cosine: Any) -> tuple[Any, Any, Any, Any]:
    """(node of each request, nodes of each pair that a user asks both of, cosine); nodes by first arrival.

    Nobody shares the answers of a request without a user.
    """
    users, number = np.unique(asked.columns["user"], return_inverse=True)
    number = np.where(asked.columns["user"] == 0, len(users) + np.arange(len(number)), number).astype(np.int64)
    width = int(number.max()) + 1
    keys, arrival, inverse = np.unique(
        asked.prompt.astype(np.int64) * width + number, return_index=True, return_inverse=True
    )
    rank = np.empty(len(keys), np.int32)
    rank[np.argsort(arrival)] = np.arange(len(keys), dtype=np.int32)
    # every node of a pair's first prompt, beside the same user's node of its second
    first, second = first.astype(np.int64), second.astype(np.int64)
    starts: Ints = np.searchsorted(keys, first * width)
    counts: Ints = np.searchsorted(keys, (first + 1) * width) - starts
    pair = np.repeat(np.arange(len(counts)), counts)
    one = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts) + starts[pair]
    wanted = second[pair] * width + keys[one] % width
    other = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    there = keys[other] == wanted
    one, other = rank[one[there]], rank[other[there]]
    low, high = np.minimum(one, other), np.maximum(one, other)
    order = np.lexsort((high, low))
    return rank[inverse], low[order], high[order], cosine[pair[there]][order]


def _symmetric(first: Any, second: Any, cosine: NDArray[np.float32], nodes: int) -> Any:
    """The graph of pairs that are sorted by the lower node, then by the higher one."""
    from costplan.similarity.graph import Graph

    row = np.concatenate([second, first])  # so that of each row, neighbours ascend
    nearness = np.concatenate([cosine, cosine])
    # the bits of a number above 0 ascend with it
    order = np.argsort(row.astype(np.int64) << 32 | (np.int64(2**31 - 1) - nearness.view(np.int32)), kind="stable")
    offsets = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=nodes), out=offsets[1:])
    neighbour = np.concatenate([first, second]).astype(np.int32)[order]
    return Graph(offsets, neighbour, nearness[order], THRESHOLD)
