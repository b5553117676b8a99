"""What share of requests would hit with less, more or endless traffic, from how often each answer was asked for.

Everything here is about a cache without limits: nothing expires, nothing falls out. A cluster is a text whose stored
answer serves one or more requests (itself among them); on a log that was played without similarity, a text.

Counting rests on requests that come in any order alike. Where repeats stand closer together than that (bursts),
stretches of the log take the place of requests; where even the stretches differ by more than chance (drift), nothing
is said about more traffic. Prices and time are not known here.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["steady", "bursts", "drift"]

STRETCHES = 20
"""Parts of the log, of equally many requests, that are compared with each other."""
FURTHEST = 2.0
"""Largest log that is foretold, in logs: beyond, the figures depend on what was never seen (Chao & Jost 2012)."""
_NOISE, _FLOOR, _STRETCH_FLOOR = 4.0, 0.01, 0.02
"""A curve leaves another at so many standard deviations and so large a share of the requests; for stretches more,
since a burst that two of them share is no drift."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """In how many units (requests, or stretches of the log) each cluster was seen."""

    seen: Ints
    """(clusters,)"""
    units: int
    requests: int


@dataclass(frozen=True, slots=True)
class Growth:
    """The hit share of a log as it is, and beyond."""

    kind: Kind
    cold_share: float
    """Of this log, from an empty cache."""
    late_share: float
    """Of the last stretch, with all before it in the cache: what was seen, whatever the kind."""
    steady_share: float | None
    """Of the next requests, with the whole log in the cache; None under drift."""


def clusters(text: NDArray[np.int32], source: NDArray[np.int32]) -> NDArray[np.int32]:
    """(n,) the text whose answer each request got: that of the event that served it, else its own.

    `text` (n,) and `source` (n,) are Events.text and Served.source of a replay that forgets nothing.
    """
    return np.where(source >= 0, text[np.maximum(source, 0)], text) if len(text) else text


def counted(cluster: NDArray[np.int32]) -> Counted:
    """Requests of each cluster."""
    seen = np.bincount(cluster)
    return Counted(seen[seen > 0], len(cluster), len(cluster))


def counted_by_stretch(cluster: NDArray[np.int32], stretches: int = STRETCHES) -> Counted:
    """In how many stretches of the log each cluster was seen: repeats within one count once."""
    n = len(cluster)
    stretches = min(stretches, n)
    stretch = np.arange(n) * stretches // max(n, 1)
    both = np.unique(cluster.astype(np.int64) * max(stretches, 1) + stretch)
    seen = np.bincount(both // max(stretches, 1))
    return Counted(seen[seen > 0], stretches, n)


def steady_share(log: Counted) -> float:
    """Hit share of the next requests with the whole log in the cache (Good 1953; Chao & Jost 2012, equation 4a).

    1 - f1 / requests * (u - 1) f1 / ((u - 1) f1 + 2 f2) with f1, f2 clusters seen in one and in two of u units. 0 for
    fewer than two requests.
    """
    if log.requests < 2 or log.units < 2:
        return 0.0
    once, twice = _once_and_twice(log)
    if not once:
        return 1.0
    if twice:
        unseen = (log.units - 1) * once / ((log.units - 1) * once + 2 * twice)
    else:
        unseen = (log.units - 1) * (once - 1) / ((log.units - 1) * (once - 1) + 2)
    return 1.0 - once / log.requests * unseen


def expected_share(log: Counted, more: float) -> float | None:
    """Hit share of the log with `more` requests appended, from an empty cache; None beyond FURTHEST logs.

    Clusters by Chao 1987 (Chao1, Chao2) and Shen, Chao & Lin 2003: S + f0 (1 - (1 - f1 / (u f0 + f1))^m).
    """
    total = log.requests + more
    if not log.requests or total > FURTHEST * log.requests:
        return None
    once, twice = _once_and_twice(log)
    unseen = (log.units - 1) / log.units * (once * once / (2 * twice) if twice else once * (once - 1) / 2)
    units = more * log.units / log.requests
    found = unseen * (1 - (1 - once / (log.units * unseen + once)) ** units) if unseen else 0.0
    return 1.0 - (len(log.seen) + found) / total


def rarefied_share(log: Counted, units: Ints) -> Floats:
    """Hit share of `units` (k,) >= 1 drawn without replacement from the log's, from an empty cache.

    1 - E[distinct] / requests, hypergeometric (Hurlbert 1971; by stretches Mao, Colwell & Chang 2005).
    """
    return np.maximum(0.0, 1.0 - _distinct(log, units)[0] / (units * (log.requests / log.units)))


def ordered_share(cluster: NDArray[np.int32], requests: Ints) -> Floats:
    """Hit share of the first `requests` (k,) >= 1 of the log as they came, from an empty cache."""
    return 1.0 - np.cumsum(_is_first(cluster))[requests - 1] / requests


def kind_of(cluster: NDArray[np.int32]) -> Kind:
    """Whether the requests come in any order alike, at least whole stretches do, or neither.

    The new clusters of the log's first parts are compared with those of as many requests (stretches) drawn at random.
    """
    n = len(cluster)
    if n < 2 * STRETCHES:
        return "steady"  # too few to say otherwise
    parts = np.arange(1, STRETCHES, dtype=np.int64)
    ends = -(-parts * n // STRETCHES)
    came = np.cumsum(_is_first(cluster))[ends - 1].astype(np.float64)
    if not _leaves(came, *_distinct(counted(cluster), ends), _FLOOR * ends.astype(np.float64)):
        return "steady"
    by_stretch = _distinct(counted_by_stretch(cluster), parts)
    return "drift" if _leaves(came, *by_stretch, _STRETCH_FLOOR * ends.astype(np.float64)) else "bursts"


def growth(cluster: NDArray[np.int32]) -> Growth:
    """All of it for one log; see `basis` for `expected_share` and `rarefied_share`."""
    n = len(cluster)
    kind = kind_of(cluster)
    first = _is_first(cluster)
    late = n - n // STRETCHES if n >= 2 * STRETCHES else 0
    return Growth(
        kind,
        cold_share=1.0 - float(first.mean()) if n else 0.0,
        late_share=1.0 - float(first[late:].mean()) if n else 0.0,
        steady_share=None if kind == "drift" else steady_share(basis(cluster, kind)),
    )


def basis(cluster: NDArray[np.int32], kind: Kind) -> Counted:
    """What to count in: requests, or stretches where repeats come in bursts. Under drift neither foretells anything."""
    return counted(cluster) if kind == "steady" else counted_by_stretch(cluster)


def _once_and_twice(log: Counted) -> tuple[int, int]:
    return int((log.seen == 1).sum()), int((log.seen == 2).sum())


def _is_first(cluster: NDArray[np.int32]) -> NDArray[np.bool_]:
    first = np.zeros(len(cluster), np.bool_)
    first[np.unique(cluster, return_index=True)[1]] = True
    return first


def _distinct(log: Counted, units: Ints) -> tuple[Floats, Floats]:
    """(mean, standard deviation at most) of the clusters in `units` (k,) drawn without replacement.

    Whether one cluster is drawn and whether another is are negatively correlated, so variances add up to a bound.
    """
    from scipy.special import gammaln

    seen, clusters_of = np.unique(log.seen, return_counts=True)
    left, drawn = np.meshgrid(log.units - seen, units, indexing="ij")
    possible = drawn <= left
    rest = np.where(possible, left - drawn, 0)
    ways = gammaln(left + 1) - gammaln(rest + 1) - gammaln(log.units + 1) + gammaln(log.units - drawn + 1)
    missed = np.where(possible, np.exp(np.minimum(ways, 0)), 0.0)
    many = clusters_of.astype(np.float64)
    return many @ (1 - missed), np.sqrt(many @ (missed * (1 - missed)))


def _leaves(came: Floats, expected: Floats, deviation: Floats, least: Floats) -> bool:
    return bool((np.abs(came - expected) > np.maximum(_NOISE * deviation, least)).any())
