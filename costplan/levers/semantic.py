"""The response cache that also serves prompts close to a stored one; whether their answers fit is not known here.

Requests of equal context (all but the last turn) are compared. Where answers live a TTL from storing, only prompts that
were asked within it can be served for each other, so only these are compared: in windows of two TTLs, laid twice, half
a window apart, any two times within a TTL share a window. That finds every pair that can ever matter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.levers.response_cache import CacheSetting, Scope, eligible_rows
from costplan.similarity.guard import DEFAULT_THRESHOLD, REASONS
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_HOUR

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Item = TypeVar("Item")
Result = TypeVar("Result")
Map = Callable[[Callable[[Item], Result], Sequence[Item]], list[Result]]

THRESHOLD = round(DEFAULT_THRESHOLD, 4)
THRESHOLDS = (THRESHOLD, 0.83, 0.86, 0.89, 0.92, 0.95, 0.98)
"""The one that the ladder uses, then stricter ones."""
LONG_CHARS = 2_000
"""A mean over more words than this looks like every other one: longer prompts are served to exact repeats only."""
MOST_PAIRS = 3_000_000
"""Of which the guard compares some 50,000 in a second of one core."""
LESS = "a shorter --ttl compares fewer prompts; --semantic off none"
CPU_USD_PER_HOUR = 0.045
"""One vCPU of a compute instance, on demand (AWS c7i.large, us-east-1, list price, checked 2026-11)."""
TEXTS_PER_CPU_S = {"static": 14_500, "minilm": 266}
"""Measured on one x86 thread, 13 words a text. Vectors of the user's own count as minilm."""
VECTOR_OUTPUT_TOKENS = 4 * 256 / 4.5
"""256 float32 take the room of so many tokens of an answer."""
_DIMENSIONS = 256
_EMBED_TEXTS = 10_000
_JOB_NODES = 30_000
_GUARD_PAIRS = 25_000
_FOREVER_US = 2**60


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """n eligible requests in order of arrival, and their T different prompts, numbered by first arrival."""

    columns: dict[str, Any]
    """(n,) each: gid, time_us, exact_key, cost, user."""
    text: NDArray[np.int32]
    """(n,)"""
    first_gid: Ints
    """(T,) the row that asks it first."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """P pairs of prompts of equal context that are close, each once, and what the guard says of them."""

    first: Ints
    second: Ints
    cosine: NDArray[np.float32]
    objection: NDArray[np.uint8]
    """(P,) index into guard.REASONS."""


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


def asked_of(files: list[Path], buckets: int) -> Asked:
    """The eligible requests of the files `response-`."""
    rows = eligible_rows(files, buckets)
    _, first, inverse = np.unique(rows.pop("norm_key"), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Asked(rows, rank[inverse], rows["gid"][first[order]].astype(np.int64))


def pairs_of(
    asked: Asked, texts: list[str], context: Keys, setting: CacheSetting, folder: Path, spread: Map[Any, Any]
) -> Pairs:
    """All pairs that a cache under this setting may ever serve for each other.

    Args:
        texts: (T,) empty for those that are too long.
        context: (T,) prompts are compared where it is equal.
        folder: where vectors are kept meanwhile.
        spread: maps a function over jobs.

    Raises:
        CostplanError: too many pairs, or too many prompts to compare each with each.
    """
    nodes = [_company(*each) for each in _scopes(asked, texts, context, setting)]
    vectors, row = _embedded(texts, [text for text, _ in nodes], folder / "vectors.f32", spread)
    jobs = [PairJob(vectors, text, row[text], scope) for each in nodes for text, scope in _cut(*each)]
    found = spread(near_pairs, jobs)
    for part in found:
        if isinstance(part, str):
            raise CostplanError(part, hint=LESS)
    first, second = (
        np.concatenate([part[side] for part in found] or [np.zeros(0, np.int64)]).astype(np.int64) for side in (0, 1)
    )
    cosine = np.concatenate([part[2] for part in found] or [np.zeros(0, np.float32)]).astype(np.float32)
    _, once = np.unique(first * len(texts) + second, return_index=True)
    if len(once) > MOST_PAIRS:
        raise CostplanError(_too_many(len(texts)), hint=LESS)
    first, second, cosine = first[once], second[once], cosine[once]
    guards = [
        _guard_job(first[at : at + _GUARD_PAIRS], second[at : at + _GUARD_PAIRS], texts)
        for at in range(0, len(first), _GUARD_PAIRS)
    ]
    objection = np.concatenate([*spread(objections, guards), np.zeros(0, np.uint8)])
    return Pairs(first, second, cosine, objection)


def _too_many(texts: int) -> str:
    return f"more than {MOST_PAIRS:,} pairs of {texts:,} prompts are close to each other, as if made from one template"


def _scopes(asked: Asked, texts: list[str], context: Keys, setting: CacheSetting) -> Iterator[tuple[Ints, Ints]]:
    """(prompt, key of its context and window) of every request whose prompt can be compared."""
    known = np.array([bool(text) for text in texts], np.bool_)[asked.text]
    text, time = asked.text[known].astype(np.int64), asked.columns["time_us"][known]
    _, number = np.unique(context, return_inverse=True)
    number = number.astype(np.int64)[text]
    ttl_us = int(min(setting.ttl_s * MICROS_PER_SECOND, _FOREVER_US))
    # an answer that lives on with use can outlive any window
    bounded = setting.policy == "store" and len(time) and 2 * (ttl_us + 1) <= int(time[-1] - time[0])
    for shift in (0, ttl_us + 1) if bounded else (0,):
        window = (time - time[0] + shift) // (2 * (ttl_us + 1)) if bounded else np.zeros(len(time), np.int64)
        yield text, number * (int(window.max(initial=0)) + 1) + window


def _company(text: Ints, scope: Ints) -> tuple[Ints, Ints]:
    """Each prompt of each scope once, without those that are alone in theirs; by scope."""
    order = np.lexsort((text, scope))
    text, scope = text[order], scope[order]
    fresh = np.ones(len(text), np.bool_)
    fresh[1:] = (text[1:] != text[:-1]) | (scope[1:] != scope[:-1])
    text, scope = text[fresh], scope[fresh]
    _, counts = np.unique(scope, return_counts=True)
    several = np.repeat(counts > 1, counts)
    return text[several], scope[several]


def _cut(text: Ints, scope: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Whole scopes, together up to some number of nodes."""
    ends = np.append(np.flatnonzero(scope[1:] != scope[:-1]) + 1, len(scope))
    start = 0
    while start < len(scope):
        stop = int(ends[max(np.searchsorted(ends, start + _JOB_NODES, "right") - 1, np.searchsorted(ends, start + 1))])
        yield text[start:stop], scope[start:stop]
        start = stop


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """Texts whose vectors go into a file, from a row on."""

    file: Path
    row: int
    texts: list[str]


def _embedded(texts: list[str], used: list[Ints], file: Path, spread: Map[Any, Any]) -> tuple[Path, Ints]:
    """(file of the vectors of the prompts that are used, row in it of each prompt)."""
    wanted = np.unique(np.concatenate(used))
    row = np.full(len(texts), -1, np.int64)
    row[wanted] = np.arange(len(wanted))
    file.write_bytes(b"")
    jobs = [
        EmbedJob(file, at, [texts[text] for text in wanted[at : at + _EMBED_TEXTS].tolist()])
        for at in range(0, len(wanted), _EMBED_TEXTS)
    ]
    spread(write_vectors, jobs)
    return file, row


def write_vectors(job: EmbedJob) -> None:
    """Embed texts and write their vectors to their place."""
    from costplan.similarity.embed import static_vectors

    data = static_vectors(job.texts).tobytes()
    with job.file.open("r+b") as file:
        file.seek(4 * _DIMENSIONS * job.row)
        file.write(data)


@dataclass(frozen=True, slots=True, eq=False)
class PairJob:
    """Prompts of whole scopes."""

    vectors: Path
    text: Ints
    row: Ints
    """Of their vectors in the file."""
    scope: Ints


def near_pairs(job: PairJob) -> tuple[Ints, Ints, NDArray[np.float32]] | str:
    """(prompt, prompt, cosine) of the pairs that are close, or why they cannot be had."""
    from costplan.similarity.graph import TooManyPairs, approximate

    vectors = np.memmap(job.vectors, np.float32, "r").reshape(-1, _DIMENSIONS)[job.row]
    try:
        graph, _ = approximate(np.asarray(vectors), job.scope.astype(np.uint64), THRESHOLD, most_pairs=MOST_PAIRS)
    except TooManyPairs:
        return _too_many(len(job.text))
    except CostplanError as error:  # pickled, it would lose its hint
        return f"{error} ({error.hint})" if error.hint else str(error)
    node = np.repeat(np.arange(graph.texts), np.diff(graph.offsets))
    first, second = job.text[node], job.text[graph.neighbour]
    once = first < second
    return first[once], second[once], graph.cosine[once]


@dataclass(frozen=True, slots=True, eq=False)
class GuardJob:
    """Pairs among some texts, by number, ascending by the first."""

    texts: list[str]
    first: Ints
    second: Ints


def _guard_job(first: Ints, second: Ints, texts: list[str]) -> GuardJob:
    used, number = np.unique(np.concatenate([first, second]), return_inverse=True)
    number = number.astype(np.int64)
    return GuardJob([texts[text] for text in used.tolist()], number[: len(first)], number[len(first) :])


def objections(job: GuardJob) -> NDArray[np.uint8]:
    """What the guard says of each pair."""
    from costplan.similarity.graph import Graph
    from costplan.similarity.guard import guarded

    offsets = np.zeros(len(job.texts) + 1, np.int64)
    np.cumsum(np.bincount(job.first, minlength=len(job.texts)), out=offsets[1:])
    one_way = Graph(offsets, job.second.astype(np.int32), np.ones(len(job.second), np.float32), THRESHOLD)
    return guarded(one_way, job.texts)


def simulate_semantic(asked: Asked, pairs: Pairs, setting: CacheSetting) -> Semantic:
    """Replay the requests under the ladder's setting, at other thresholds, and for the other scope."""
    from costplan.similarity import replay as similar
    from costplan.similarity.graph import Graph

    columns, found = asked.columns, dict[Scope, tuple[similar.Events, Graph, NDArray[np.bool_]]]()
    for scope in dict.fromkeys((setting.scope, "global", "user")):
        node, first, second, edge = _nodes(asked, pairs, scope)
        graph, passes = _graph(first, second, pairs.cosine[edge], pairs.objection[edge] == 0, int(node.max()) + 1)
        found[scope] = similar.Events(node, columns["time_us"]), graph, passes

    def served(threshold: float, scope: Scope, capacity: int | None, *, guard: bool = True) -> similar.Served:
        how = similar.Setting(threshold, setting.ttl_s, setting.policy, capacity, guard)
        return similar.replay(*found[scope], how)

    def outcome(threshold: float, scope: Scope, run: similar.Served) -> Outcome:
        hit, near, cost = run.source >= 0, run.edge >= 0, columns["cost"]
        return Outcome(
            threshold=threshold, scope=scope, hits=int(hit.sum()), nanos=int(cost[hit].sum()),
            similar=int(near.sum()), similar_nanos=int(cost[near].sum()),
        )  # fmt: skip

    runs = {threshold: served(threshold, setting.scope, setting.capacity) for threshold in THRESHOLDS}
    chosen = runs[THRESHOLD]
    hit, near = chosen.source >= 0, chosen.edge >= 0
    unguarded = served(THRESHOLD, setting.scope, setting.capacity, guard=False)
    counts = np.bincount(pairs.objection, minlength=len(REASONS)).tolist()
    return Semantic(
        repeat_gid=columns["gid"][hit & ~near], similar_gid=columns["gid"][near],
        outcomes=[outcome(threshold, setting.scope, run) for threshold, run in runs.items()],
        scopes=[outcome(THRESHOLD, scope, served(THRESHOLD, scope, None)) for scope in ("global", "user")],
        prompts=len(asked.first_gid), pairs=len(pairs.first),
        objections={name: count for name, count in zip(REASONS, counts, strict=True) if name and count},
        held_back=int((unguarded.source >= 0).sum()) - int(hit.sum()),
    )  # fmt: skip


def _nodes(asked: Asked, pairs: Pairs, scope: Scope) -> tuple[NDArray[np.int32], Ints, Ints, Ints]:
    """(node of each request, nodes of each edge, the edge's pair). Of a user's own prompts with --scope user.

    Nodes are numbered by first arrival. Nobody shares the answers of a request without a user.
    """
    if scope == "global":
        return asked.text, pairs.first, pairs.second, np.arange(len(pairs.first))
    users, number = np.unique(asked.columns["user"], return_inverse=True)
    number = np.where(asked.columns["user"] == 0, len(users) + np.arange(len(number)), number).astype(np.int64)
    width = len(users) + len(number)
    keys, first, inverse = np.unique(asked.text * np.int64(width) + number, return_index=True, return_inverse=True)
    rank = np.empty(len(keys), np.int64)
    rank[np.argsort(first)] = np.arange(len(keys))
    # every node of a pair's first prompt, beside the same user's node of its second
    text, user = np.divmod(keys, width)
    starts = np.searchsorted(text, pairs.first)
    counts = np.searchsorted(text, pairs.first, "right") - starts
    edge = np.repeat(np.arange(len(counts)), counts)
    one = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + starts[edge]
    wanted = pairs.second[edge] * width + user[one]
    other = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    there = keys[other] == wanted
    return rank[inverse].astype(np.int32), rank[one[there]], rank[other[there]], edge[there]


def _graph(
    first: Ints, second: Ints, cosine: NDArray[np.float32], passes: NDArray[np.bool_], nodes: int
) -> tuple[Any, NDArray[np.bool_]]:
    """(symmetric graph, whether each of its edges may be served)."""
    from costplan.similarity.graph import Graph

    row, neighbour = np.concatenate([first, second]), np.concatenate([second, first])
    cosine, passes = np.concatenate([cosine, cosine]), np.concatenate([passes, passes])
    order = np.lexsort((neighbour, -cosine, row))
    offsets = np.zeros(nodes + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=nodes), out=offsets[1:])
    return Graph(offsets, neighbour[order].astype(np.int32), cosine[order], THRESHOLD), passes[order]
