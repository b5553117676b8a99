"""Requests in order of arrival against a cache that serves what is near enough; wrong or right is not known here.

A request is served its own text's answer, else that of the nearest text that is held, near enough and named by no
guard; if there is none, its own answer is stored. An answer counts as stored the moment its request arrives. Expired
entries keep their place in the LRU order until they are replaced or fall out at the end, as in levers.stack.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from costplan.errors import UsageError
from costplan.similarity.graph import Graph
from costplan.units import MICROS_PER_SECOND

LONGEST_TTL_US = 2**62


@dataclass(frozen=True, slots=True)
class Setting:
    """How the simulated cache behaves."""

    threshold: float
    """Least cosine of a stored prompt that is served; above 1 = only the same prompt (after normalisation)."""
    ttl_s: float = 3600.0
    policy: Literal["store", "sliding"] = "store"
    """`store`: an answer lives `ttl_s` after it was stored; `sliding`: after it was last served."""
    capacity: int | None = None
    """Entries held, least recently used out first; None = unlimited."""
    guard: bool = True
    """Pairs that the guard names are not served."""


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """n requests in order of arrival."""

    text: NDArray[np.int32]
    """(n,) number of the request's text in the graph. Texts of different scopes are different texts."""
    time_us: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Outcome of a replay."""

    source: NDArray[np.int32]
    """(n,) the event whose answer is served; -1 = a miss, whose own answer is stored."""
    edge: NDArray[np.int64]
    """(n,) edge of the graph that the hit took; -1 = a miss or the very same text."""


def replay(events: Events, graph: Graph, passes: NDArray[np.bool_], setting: Setting) -> Served:
    """Play n requests through a cache that starts empty; `passes` (E,) are the graph's edges that a guard lets through.

    O(n + edges looked at). UsageError for a threshold below the graph's, a capacity below 1, a TTL below 0.
    """
    _check(events, graph, passes, setting)
    n, texts = len(events.text), graph.texts
    bounded = setting.capacity is not None and setting.capacity < texts
    source, edge = np.empty(n, np.int32), np.empty(n, np.int64)
    ring = np.full((2, texts + 1 if bounded else 1), texts, np.int32)  # the last place stands between oldest and newest
    _compiled()(
        _plain(events.text, np.int32), _plain(events.time_us, np.int64),
        _plain(graph.offsets, np.int64), _plain(graph.neighbour, np.int32), _plain(graph.cosine, np.float32),
        _plain(passes, np.bool_),
        np.float32(setting.threshold), setting.threshold <= 1, setting.guard,
        round(min(setting.ttl_s * MICROS_PER_SECOND, LONGEST_TTL_US)), setting.policy == "sliding",
        setting.capacity if bounded else 0,
        np.full(texts, -1, np.int32), np.zeros(texts, np.int64), ring[0], ring[1],
        source, edge,
    )  # fmt: skip
    return Served(source, edge)


def _check(events: Events, graph: Graph, passes: NDArray[np.bool_], setting: Setting) -> None:
    if setting.threshold < graph.least:
        raise UsageError(
            f"a threshold of {setting.threshold:g} is below {graph.least:g}, to which neighbours were looked for",
            hint=f"give a threshold of at least {graph.least:g}",
        )
    if setting.capacity is not None and setting.capacity < 1:
        raise UsageError(f"a cache of {setting.capacity} entries holds nothing", hint="give a capacity of at least 1")
    if not setting.ttl_s >= 0:
        raise UsageError(f"a time to live of {setting.ttl_s:g} s is below 0", hint="give 0 or more seconds")
    assert len(events.text) == len(events.time_us) and len(passes) == len(graph.neighbour)
    assert not len(events.text) or (events.text.min() >= 0 and events.text.max() < graph.texts)


def _plain(values: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The values as the compiled loop wants them: any other kind of array would be compiled anew."""
    return np.require(values, dtype, ["C", "W"])


@cache
def _compiled() -> Any:
    """The event loop, compiled; numba keeps the result beside the code, or in the user's cache."""
    import numba

    return cast(Any, numba).njit(cache=True, error_model="numpy", _nrt=False)(_play)


def _play(
    text: Any, time: Any, offsets: Any, neighbour: Any, cosine: Any, passes: Any,
    threshold: Any, near: Any, guard: Any, ttl: Any, sliding: Any, capacity: Any,
    holder: Any, since: Any, older: Any, newer: Any,
    source: Any, edge: Any,
) -> None:  # fmt: skip
    """Fill `source` and `edge`; a capacity of 0 is unlimited.

    Per text: `holder` is the event whose answer is held (-1: none), `since` the time that its age counts from, `older`
    and `newer` its place in the order of use, a ring closed by one place more.
    """
    held = 0
    end = len(older) - 1
    for i in range(len(text)):
        own, now = text[i], time[i]
        served, way = -1, -1
        if holder[own] >= 0 and now - since[own] <= ttl:
            served = own
        elif near:
            for e in range(offsets[own], offsets[own + 1]):
                if cosine[e] < threshold:
                    break
                other = neighbour[e]
                if holder[other] >= 0 and now - since[other] <= ttl and (passes[e] or not guard):
                    served, way = other, e
                    break
        edge[i] = way
        used = served
        fresh = False
        if served >= 0:
            source[i] = holder[served]
            if sliding:
                since[served] = now
        else:
            source[i] = -1
            used, fresh = own, holder[own] < 0
            holder[own], since[own] = i, now
        if capacity > 0:
            if fresh:
                held += 1
            else:
                newer[older[used]] = newer[used]
                older[newer[used]] = older[used]
            newest = older[end]
            older[used], newer[used] = newest, end
            newer[newest] = used
            older[end] = used
            if held > capacity:
                out = newer[end]
                newer[end] = newer[out]
                older[newer[out]] = end
                holder[out] = -1
                held -= 1
