"""The requests of a log -> which of their prompts lie close together, and which of these pairs a guard refuses.

A prompt under one context (and, with --scope user, of one user) is one node; only nodes of equal context are compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.cache.read import Ints, Keys, Mask, Requests
from costplan.levers.alike import LONG_CHARS
from costplan.settings import CacheSettings
from costplan.similarity import embed
from costplan.similarity.embed import Vectors
from costplan.similarity.graph import Audit, Graph, approximate, rescored
from costplan.similarity.guard import DEFAULT_THRESHOLD, guarded
from costplan.similarity.replay import Events

LEAST = min(0.80, DEFAULT_THRESHOLD)
_CASCADE_LEAST = 0.70
"""99 % of the pairs that MiniLM puts at 0.90 or above have a static cosine of at least this (QQP)."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """What a replay needs; nodes are numbered by first arrival."""

    events: Events
    graph: Graph
    node_text: Ints
    """(U,) text of each node."""
    objection: NDArray[np.uint8]
    """(E,) index into guard.REASONS."""
    short: Mask
    """(E,) both prompts are short enough to compare."""
    audit: Audit
    """How many edges an approximate graph lacks; exact up to 200,000 prompts of one context."""

    @property
    def passes(self) -> Mask:
        """(E,) pairs that may be served."""
        return self.short & (self.objection == 0)

    def owner(self) -> Ints:
        """(E,) the node whose neighbour an edge leads to."""
        return np.repeat(np.arange(self.graph.texts), np.diff(self.graph.offsets))


def vectors_of(requests: Requests, settings: CacheSettings) -> tuple[Vectors, str]:
    """((T, d) vectors of the texts, what made them). With minilm they are the cheap ones of the cascade."""
    if settings.embeddings is not None:
        rows = embed.load_vectors(settings.embeddings, requests.settled)
        return np.ascontiguousarray(rows[requests.first]), f"your vectors ({settings.embeddings.name})"
    name = embed.STATIC if settings.embedder == "static" else "MiniLM-L6-v2 int8"
    return embed.static_vectors(requests.texts), name


def near(requests: Requests, settings: CacheSettings, vectors: Vectors, scope: str) -> Near:
    """The graph of the requests under a scope, and the guard's word on every edge."""
    node, first = _nodes(requests, scope)
    text: Ints = requests.text[first].astype(np.int64)
    keys = requests.context[text]
    if scope == "user":
        user = requests.columns["user"][first]
        keys = (keys ^ np.where(user == 0, (first + 1).astype(np.uint64) * _MIX, user)) * _MIX
    least = min(LEAST, settings.threshold or LEAST)
    cascade = settings.embedder == "minilm" and settings.embeddings is None
    graph, audit = approximate(vectors[text], keys, min(_CASCADE_LEAST, least) if cascade else least)
    if cascade:
        graph = rescored(graph, _minilm(requests, graph, text), least)
    texts: list[str] = [requests.texts[index] for index in text.tolist()]
    is_short = np.array([len(each) <= LONG_CHARS for each in texts], np.bool_)
    owner = np.repeat(np.arange(graph.texts), np.diff(graph.offsets))
    return Near(
        events=Events(text=node, time_us=requests.columns["time_us"]), graph=graph, node_text=text,
        objection=guarded(graph, texts), short=is_short[owner] & is_short[graph.neighbour], audit=audit,
    )  # fmt: skip


def _nodes(requests: Requests, scope: str) -> tuple[NDArray[np.int32], Ints]:
    """(node of each request, first request of each node). Nobody shares the answers of a request without a user."""
    key: Ints = requests.text.astype(np.int64)
    if scope == "user":
        users: Keys = requests.columns["user"]
        _, number = np.unique(users, return_inverse=True)
        number = np.where(users == 0, number.max() + 1 + np.arange(len(users)), number)
        key = key * (int(number.max()) + 1) + number
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank[inverse], first[order]


def _minilm(requests: Requests, graph: Graph, text: Ints) -> Vectors:
    """(U, 384); only texts with a neighbour are embedded, the others are all zeros."""
    wanted: Ints = np.unique(text[np.diff(graph.offsets) > 0])
    numbers: list[int] = wanted.tolist()
    some = embed.minilm_vectors([requests.texts[index] for index in numbers])
    found = np.zeros((len(requests.texts), some.shape[1]), np.float32)
    found[wanted] = some
    return found[text]
