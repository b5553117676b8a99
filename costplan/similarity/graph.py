"""Texts -> the pairs among them that lie close together, each with its cosine; what a text means is not known here.

Exact: every pair is looked at, in tiles of the upper triangle. A cheap product, an upper bound of the cosine, picks the
candidates; each candidate's cosine is then computed in float64 and rounded to float32, so that the graph depends on
neither the size of the tiles nor the number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError, UsageError

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Lengths = NDArray[np.float64]
Pairs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""Numbers of the one text and of the other, cosine; each pair once."""
Tile = tuple[int, int, int, int, bool]
"""First row, row after the last, first column, column after the last, whether it holds more than one scope."""

TILE = 512
MOST_PAIRS = 20_000_000
APPROXIMATE_ABOVE = 200_000
"""Texts of one scope from which on `approximate` stops to compare each with each."""
_ROUNDING = 2.0**-24  # half the distance from 1 to the next float32
_WIDE = 4  # columns of a tile per row of it
_SKETCH_FROM_TILES = 100  # making a sketch takes as long as the products of some 50 tiles
_CHUNK = 2_048
_BATCH = 4_096
_MOST_EACH = 2_048  # neighbours asked of an index at once
_HALF_ERROR = 0.005  # a cosine from 16-bit numbers is off by less
_LOOSE = 0.03  # more than rounding, and lengths that are not quite 1, make of a cosine
_Z = 1.959964
_SAMPLE = 2_048
_WIDTHS = (32, 48, 64, 96, 128, 192)
_CHECK_COST = 20_000  # a candidate's cosine costs as much as that many multiply-adds in a tile (measured on x86, AVX2)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Neighbours of U texts with a cosine of at least `least`, symmetric, without the text itself.

    Rows are in CSR form: the neighbours of text i are `neighbour[offsets[i]:offsets[i + 1]]`, nearest first (of equals,
    the lower number).
    """

    offsets: NDArray[np.int64]
    """(U + 1,)"""
    neighbour: NDArray[np.int32]
    """(E,)"""
    cosine: NDArray[np.float32]
    """(E,)"""
    least: float

    @property
    def texts(self) -> int:
        """U."""
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Audit:
    """How many of the true edges an approximate graph has, counted on sampled texts."""

    sampled: int
    """Texts compared with all others of their scope; 0 = nothing was approximated."""
    recall: float
    """Found edges / true edges of the sampled texts; 1 where they have none."""
    low: float
    high: float
    """95 % interval."""


class TooManyPairs(CostplanError):
    """So many texts are alike that their graph would not fit; a higher `least` may."""


def neighbours(
    vectors: Vectors, scope: NDArray[np.uint64], least: float = 0.80, *, tile: int = TILE, most_pairs: int = MOST_PAIRS
) -> Graph:
    """All pairs of texts of equal scope with a cosine of at least `least`; exact.

    Args:
        vectors: (U, d) rows of length 1; rows of zeros are near to nothing.
        scope: (U,) texts are compared within one scope only.
        least: above 0.
        tile: rows of a tile, which has four times as many columns (4 bytes a number).
        most_pairs: the most that are kept.

    Raises:
        TooManyPairs: there are more.
        ValueError: rows that are not of length 1, lengths that differ, `least` not above 0.
    """
    lengths = _lengths(vectors, scope, least)
    order, ends = _comparable(lengths, scope)
    with closing(_compared(vectors, lengths, order, ends, least, tile)) as found:
        return _graph(_gathered(found, len(vectors), least, most_pairs), len(vectors), least)


def rescored(graph: Graph, vectors: Vectors, least: float) -> Graph:
    """The edges of a graph with the cosines of other vectors, (U, d), without those below `least`.

    A pair that the graph lacks stays out, however near the other vectors are: pairs are lost where the two embedders
    disagree. Rows of texts without an edge may hold anything.
    """
    if len(vectors) != graph.texts:
        raise ValueError(f"{len(vectors)} vectors for {graph.texts} texts")
    used = np.diff(graph.offsets) > 0
    lengths = np.zeros(graph.texts)
    lengths[used] = _lengths(vectors[used], graph.offsets[:-1][used], least)
    first, second = np.repeat(np.arange(graph.texts), np.diff(graph.offsets)), graph.neighbour.astype(np.int64)
    once = first < second
    found = _near(vectors, lengths, least, first[once], second[once])
    return _graph(found, graph.texts, least)


def approximate(
    vectors: Vectors,
    scope: NDArray[np.uint64],
    least: float = 0.80,
    *,
    above: int = APPROXIMATE_ABOVE,
    each: int = 16,
    sampled: int = 2_000,
    seed: int = 0,
    most_pairs: int = MOST_PAIRS,
) -> tuple[Graph, Audit]:
    """Graph of the pairs of `close_pairs`."""
    found, audit = close_pairs(
        vectors, scope, least, above=above, each=each, sampled=sampled, seed=seed, most_pairs=most_pairs
    )
    return _graph(found, len(vectors), least), audit


def close_pairs(
    vectors: Vectors,
    scope: NDArray[np.uint64],
    least: float = 0.80,
    *,
    above: int = APPROXIMATE_ABOVE,
    each: int = 16,
    sampled: int = 2_000,
    seed: int = 0,
    most_pairs: int = MOST_PAIRS,
) -> tuple[Pairs, Audit]:
    """Like `neighbours`, but in scopes of more than `above` texts the `each` nearest per text are looked up.

    They come from an HNSW index (Malkov and Yashunin 2016) of usearch with 16-bit numbers; a text whose nearest are all
    near enough is asked again for four times as many, up to 2,048. Cosines are computed as in
    `neighbours`, so every edge is one of the exact graph; how many are missing is estimated on `sampled` texts of those
    scopes, drawn with `seed`. One thread builds the index, so that the same texts give the same graph.

    Raises:
        UsageError: a scope is that large and usearch is not installed.
        TooManyPairs, ValueError: as `neighbours`.
    """
    lengths = _lengths(vectors, scope, least)
    order, ends = _comparable(lengths, scope)
    sizes = np.diff(ends, prepend=0)
    large = [order[end - size : end] for end, size in zip(ends, sizes, strict=True) if size > above]
    kept = np.repeat(sizes <= above, sizes)
    looked_up = (_near(vectors, lengths, least, *_looked_up(vectors, texts, least, each)) for texts in large)
    with closing(_compared(vectors, lengths, order[kept], np.cumsum(sizes[sizes <= above]), least, TILE)) as found:
        pairs = _gathered(chain(looked_up, found), len(vectors), least, most_pairs)
    return pairs, _audit(pairs, vectors, lengths, large, least, sampled, seed)


def _lengths(vectors: Vectors, scope: NDArray[Any], least: float) -> Lengths:
    if len(vectors) != len(scope):
        raise ValueError(f"{len(vectors)} vectors for {len(scope)} scopes")
    if not least > 0:
        raise ValueError(f"least cosine {least} is not above 0")
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if not np.all((np.abs(lengths - 1) < 0.01) | (lengths == 0)):
        raise ValueError("vectors are not of length 1")
    return lengths


def _comparable(lengths: Lengths, scope: NDArray[np.uint64]) -> tuple[Numbers, Numbers]:
    """Texts that have another one to be compared with, scope by scope, and where each scope ends among them."""
    texts = np.flatnonzero(lengths)
    texts = texts[np.argsort(scope[texts], kind="stable")]
    _, sizes = np.unique(scope[texts], return_counts=True)
    return texts[np.repeat(sizes > 1, sizes)], np.cumsum(sizes[sizes > 1])


def _compared(
    vectors: Vectors, lengths: Lengths, order: Numbers, ends: Numbers, least: float, tile: int
) -> Generator[Pairs, None, None]:
    """Every pair of one scope with a cosine of at least `least`."""
    from threadpoolctl import threadpool_limits  # pyright: ignore[reportUnknownVariableType]

    if not len(order):
        return
    limit: Any = threadpool_limits(1, "blas")  # a BLAS's own threads wait for each other too often
    with limit:
        sizes = np.diff(ends, prepend=0).astype(np.float64)
        many = (sizes**2).sum() / 2 >= _SKETCH_FROM_TILES * _WIDE * tile**2
        sketch = _sketch(vectors, order, least) if many else vectors[order]
        # an inner product in float32 is off by at most about d half-units (Higham 2002, section 3.1)
        slack = 1.1 * (sketch.shape[1] + 8) * _ROUNDING + float(np.abs(lengths[order] ** 2 - 1).max())

        def pairs(tile: Tile) -> Pairs:
            top, bottom, left, right, mixed = tile
            near = sketch[top:bottom] @ sketch[left:right].T >= least - slack
            first, second = np.divmod(np.flatnonzero(near), right - left)
            first, second = first + top, second + left
            keep = first < second
            if mixed:
                keep &= np.searchsorted(ends, first, "right") == np.searchsorted(ends, second, "right")
            return _near(vectors, lengths, least, order[first[keep]], order[second[keep]])

        yield from _side_by_side(pairs, _tiles(ends, tile))


def _tiles(ends: Numbers, tile: int) -> Iterator[Tile]:
    """Rows: whole scopes while they fit, or a part of one. Columns: from the first row to the end of those scopes."""
    top = 0
    while top < ends[-1]:
        here, after = np.searchsorted(ends, [top, top + tile], "right").tolist()
        last = int(ends[max(after - 1, here)])
        bottom = last if after > here else top + tile
        for left in range(top, last, _WIDE * tile):
            yield top, bottom, left, min(left + _WIDE * tile, last), after - here > 1
        top = bottom


def _side_by_side(call: Callable[[Tile], Pairs], tiles: Iterator[Tile]) -> Iterator[Pairs]:
    """Results in the order of the tiles, a thread per core."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        ahead: deque[Future[Pairs]] = deque()
        for tile in tiles:
            ahead.append(pool.submit(call, tile))
            if len(ahead) > 2 * cores:  # a tile of near texts only is large
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _sketch(vectors: Vectors, order: Numbers, least: float) -> Vectors:
    """(n, width) numbers whose inner products are at least those of the vectors, or the vectors where that is cheaper.

    They are the coordinates on the axes with the most of the sum of squares, and the length of what is left:
    <a, b> <= <a', b'> + |a - a'| |b - b'| (Cauchy and Schwarz).
    """
    d = vectors.shape[1]
    sample = vectors[order[:: -(-len(order) // _SAMPLE)]].astype(np.float64)
    axes = np.linalg.eigh(sample.T @ sample)[1][:, ::-1]
    turned = sample @ axes

    def cost(width: int) -> float:
        short = _shortened(turned, width)
        return width + _CHECK_COST * float(np.mean(short @ short.T >= least))

    width = min([width for width in _WIDTHS if width < d] + [d], key=cost)
    if width == d:
        return vectors[order]
    sketch = np.empty((len(order), width), np.float32)
    for at in range(0, len(order), _CHUNK):
        sketch[at : at + _CHUNK] = _shortened(vectors[order[at : at + _CHUNK]].astype(np.float64) @ axes, width)
    return sketch


def _shortened(turned: NDArray[np.float64], width: int) -> Vectors:
    if width == turned.shape[1]:
        return turned.astype(np.float32)
    rest = np.linalg.norm(turned[:, width - 1 :], axis=1, keepdims=True)
    return np.hstack([turned[:, : width - 1], rest]).astype(np.float32)


def _near(vectors: Vectors, lengths: Lengths, least: float, first: Numbers, second: Numbers) -> Pairs:
    """Those of the pairs that hold; texts of length 0 are near to nothing."""
    known = (lengths[first] > 0) & (lengths[second] > 0)
    first, second = first[known], second[known]
    cosine = np.empty(len(first), np.float32)
    for at in range(0, len(first), _CHUNK):
        a, b = first[at : at + _CHUNK], second[at : at + _CHUNK]
        products = np.einsum("ij,ij->i", vectors[a], vectors[b], dtype=np.float64)
        cosine[at : at + _CHUNK] = np.minimum(products / (lengths[a] * lengths[b]), 1.0)
    near = cosine >= least
    return first[near].astype(np.int32), second[near].astype(np.int32), cosine[near]


def _gathered(found: Iterable[Pairs], texts: int, least: float, most_pairs: int) -> Pairs:
    """All of them in one; in no order that means anything."""
    kept: list[Pairs] = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))]
    count = 0
    for pairs in found:
        kept.append(pairs)
        count += len(pairs[0])
        if count > most_pairs:
            raise TooManyPairs(
                f"more than {most_pairs:,} pairs among {texts:,} prompts have a cosine of at least {least}",
                hint="start from a higher least cosine: prompts from one long template are all near each other",
            )
    first, second, cosine = (np.concatenate(each) for each in zip(*kept, strict=True))
    return first, second, cosine


def _graph(pairs: Pairs, texts: int, least: float) -> Graph:
    first, second, cosine = pairs
    row, neighbour = np.concatenate([first, second]), np.concatenate([second, first])
    cosine = np.concatenate([cosine, cosine])
    order = np.lexsort((neighbour, -cosine, row))
    offsets = np.zeros(texts + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=texts), out=offsets[1:])
    return Graph(offsets, neighbour[order], cosine[order], least)


def _looked_up(vectors: Vectors, texts: Numbers, least: float, each: int) -> tuple[Numbers, Numbers]:
    """Pairs of `texts` that an HNSW index finds, each once."""
    try:
        from usearch.index import Index
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{len(texts):,} prompts of one scope are too many to compare each with each",
            hint="install the index for that: pip install 'costplan[ann]'",
        ) from error
    index: Any = Index(
        ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=64, expansion_search=64
    )  # fmt: skip
    for at in range(0, len(texts), _BATCH):
        index.add(np.arange(at, min(at + _BATCH, len(texts))), vectors[texts[at : at + _BATCH]], threads=1)
    keys: list[Numbers] = []
    asking, width = np.arange(len(texts)), each + 1
    while len(asking):
        full: list[Numbers] = []
        for at in range(0, len(asking), _BATCH):
            some = asking[at : at + _BATCH]
            found: Any = index.search(vectors[texts[some]], width, threads=0)
            other: Numbers = np.asarray(found.keys).astype(np.int64)
            counts: Numbers = np.asarray(found.counts, np.int64)
            far: Vectors = np.asarray(found.distances, np.float32)
            near: NDArray[np.bool_] = far <= 1 - least + _HALF_ERROR
            near &= np.arange(width, dtype=np.int64)[: other.shape[1]] < counts[:, None]
            one, other = np.repeat(some, near.sum(axis=1)), other[near]
            one, other = np.minimum(one, other), np.maximum(one, other)
            keys.append(np.unique(one[one < other] * len(texts) + other[one < other]))
            full.append(some[near.sum(axis=1) == width])
        asking, width = np.concatenate(full), 4 * width
        if width > _MOST_EACH:
            break
    first, second = np.divmod(np.unique(np.concatenate(keys)), len(texts))
    return texts[first], texts[second]


def _audit(
    pairs: Pairs, vectors: Vectors, lengths: Lengths, large: list[Numbers], least: float, sampled: int, seed: int
) -> Audit:
    """Pairs of sampled texts of the large scopes against all their true ones; those that were found are true."""
    if not large:
        return Audit(0, 1.0, 1.0, 1.0)
    members, sizes = np.concatenate(large), [len(texts) for texts in large]
    drawn = np.sort(np.random.default_rng(seed).choice(len(members), min(sampled, len(members)), replace=False))
    parts = np.split(members[drawn], np.searchsorted(drawn, np.cumsum(sizes)[:-1]))
    true = np.concatenate([
        _true_edges(part, texts, vectors, lengths, least) for part, texts in zip(parts, large, strict=True)
    ])  # fmt: skip
    found = np.bincount(np.concatenate(pairs[:2]), minlength=len(vectors))[members[drawn]]
    return _recall(len(drawn), float(found.sum()), true.astype(np.float64))


def _true_edges(some: Numbers, texts: Numbers, vectors: Vectors, lengths: Lengths, least: float) -> Numbers:
    """(len(some),) edges of some texts, in ascending order, with those of their scope, by looking at all pairs."""
    counts = np.zeros(len(some), np.int64)
    asked = vectors[some]
    for at in range(0, len(texts), _BATCH):
        others = texts[at : at + _BATCH]
        first, second = np.nonzero(asked @ vectors[others].T >= least - _LOOSE)
        first, second = some[first], others[second]
        row, _, _ = _near(vectors, lengths, least, first[first != second], second[first != second])
        counts += np.bincount(np.searchsorted(some, row), minlength=len(some))
    return counts


def _recall(sampled: int, found: float, edges: NDArray[np.float64]) -> Audit:
    """Wilson's interval (1927) with (sum m)^2 / sum m^2 trials, m a text's edges: they may be missed together."""
    if not edges.any():
        return Audit(sampled, 1.0, 0.0, 1.0)
    recall, trials = found / edges.sum(), edges.sum() ** 2 / (edges**2).sum()
    middle = (recall + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * np.sqrt(recall * (1 - recall) / trials + (_Z / (2 * trials)) ** 2)
    return Audit(sampled, float(recall), float(max(middle - half, 0.0)), float(min(middle + half, 1.0)))
