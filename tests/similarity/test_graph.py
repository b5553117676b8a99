"""The graph of near texts holds exactly the pairs that a dense product in float64 finds."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
from costplan.errors import CostplanError, UsageError
from costplan.similarity.embed import static_vectors, unit
from costplan.similarity.graph import Audit, Graph, TooManyPairs, approximate, neighbours, rescored
from hypothesis import given, settings
from hypothesis import strategies as st

QUERIES = Path(__file__).parents[1] / "data" / "banking77" / "queries.txt.gz"


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    """(3000, 256) static vectors of real questions."""
    return static_vectors(gzip.decompress(QUERIES.read_bytes()).decode("utf-8").splitlines()[:3_000])


def rows(graph: Graph) -> list[list[tuple[int, float]]]:
    """Neighbours and cosines of each text."""
    ends = graph.offsets.tolist()
    both = list(zip(graph.neighbour.tolist(), graph.cosine.tolist(), strict=True))
    return [both[start:end] for start, end in zip(ends, ends[1:], strict=False)]


def dense(vectors: np.ndarray, scope: np.ndarray, least: float) -> list[list[tuple[int, float]]]:
    """The same from all products at once, in float64 rounded to float32."""
    exact = vectors.astype(np.float64)
    length = np.linalg.norm(exact, axis=1)
    exact /= np.where(length > 0, length, 1)[:, None]
    cosine = np.minimum(exact @ exact.T, 1).astype(np.float32)
    near = (cosine >= np.float32(least)) & (scope[:, None] == scope[None, :]) & (length > 0)[:, None]
    np.fill_diagonal(near, False)
    return [
        sorted(
            ((j, float(cosine[i, j])) for j in np.flatnonzero(near[i]).tolist()), key=lambda each: (-each[1], each[0])
        )
        for i in range(len(vectors))
    ]


def assert_same(graph: Graph, vectors: np.ndarray, scope: np.ndarray, least: float) -> None:
    """Same neighbours, same cosines but for the last bit, rows in order; pairs within 1e-6 of `least` may differ."""
    expected = dense(vectors, scope, least)
    assert graph.texts == len(vectors) and graph.least == least
    for got, want in zip(rows(graph), expected, strict=True):
        assert got == sorted(got, key=lambda each: (-each[1], each[0]))
        cosines, others = dict(got), dict(want)
        for j in cosines.keys() ^ others.keys():
            assert abs((cosines | others)[j] - least) < 1e-6
        for j in cosines.keys() & others.keys():
            assert abs(cosines[j] - others[j]) < 2e-7


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Vectors around few centres, so that many are near, with duplicates, zeros and scopes; a least and a tile size."""
    n, d = draw(st.integers(0, 60)), draw(st.integers(1, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    centres = rng.normal(size=(draw(st.integers(1, 6)), d))
    noise = draw(st.sampled_from([0.0, 0.1, 0.5, 2.0]))
    vectors = unit((centres[rng.integers(0, len(centres), n)] + noise * rng.normal(size=(n, d))).astype(np.float32))
    vectors[rng.random(n) < draw(st.sampled_from([0.0, 0.2]))] = 0
    if n:
        vectors[rng.random(n) < 0.2] = vectors[0]
    scope = rng.integers(0, draw(st.sampled_from([1, 3, 40])), n).astype(np.uint64) * np.uint64(2**58)
    return vectors, scope, draw(st.sampled_from([0.3, 0.8, 0.95])), draw(st.sampled_from([1, 2, 5, 512]))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_graph_is_that_of_a_dense_product(case: tuple[np.ndarray, np.ndarray, float, int]):
    vectors, scope, least, tile = case
    assert_same(neighbours(vectors, scope, least, tile=tile), vectors, scope, least)


def test_three_texts_by_hand():
    """cos(a, b) = 0.8 * 1 = 0.8, cos(a, c) = 0.6, cos(b, c) = 0.8 * 0.6 + 0.6 * 0.8 = 0.96; d is b in another scope."""
    a, b, c = (1.0, 0.0), (0.8, 0.6), (0.6, 0.8)
    graph = neighbours(np.array([a, b, c, b], np.float32), np.array([1, 1, 1, 2], np.uint64), 0.7)
    assert graph.offsets.tolist() == [0, 1, 3, 4, 4]
    assert graph.neighbour.tolist() == [1, 2, 0, 1]
    assert graph.cosine == pytest.approx([0.8, 0.96, 0.8, 0.96])


def test_equal_texts_have_a_cosine_of_one_and_come_in_order(real: np.ndarray):
    graph = neighbours(np.repeat(real[:1], 9, axis=0), np.zeros(9, np.uint64))
    assert graph.cosine.tolist() == [1.0] * 72
    assert rows(graph)[4] == [(j, 1.0) for j in (0, 1, 2, 3, 5, 6, 7, 8)]


@pytest.mark.parametrize("least", [0.6, 0.8, 0.92])
def test_bounds_from_few_axes_lose_no_pair_of_real_texts(real: np.ndarray, least: float):
    scope = np.where(np.arange(len(real)) % 10 == 0, 5, 9).astype(np.uint64)
    graph = neighbours(real, scope, least, tile=128)
    assert len(graph.neighbour) > 100
    assert_same(graph, real, scope, least)


def test_random_directions_where_few_axes_do_not_help():
    vectors = unit(np.random.default_rng(4).normal(size=(700, 300)).astype(np.float32))
    assert_same(neighbours(vectors, np.zeros(700, np.uint64), 0.1, tile=16), vectors, np.zeros(700), 0.1)


def test_tiles_change_no_bit(real: np.ndarray):
    some, scope = real[:1_500], (np.arange(1_500) // 700).astype(np.uint64)
    one = neighbours(some, scope, 0.7, tile=2_000)
    for tile in (7, 64, 100, 512):
        other = neighbours(some, scope, 0.7, tile=tile)
        for name in ("offsets", "neighbour", "cosine"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_the_graph_is_symmetric(real: np.ndarray):
    edges = {
        (i, j, cosine) for i, row in enumerate(rows(neighbours(real, np.zeros(3_000, np.uint64)))) for j, cosine in row
    }
    assert edges == {(j, i, cosine) for i, j, cosine in edges} and all(i != j for i, j, _ in edges)


def test_a_scope_of_its_own_for_every_text_leaves_no_pair():
    vectors = np.ones((100_000, 1), np.float32)
    assert not len(neighbours(vectors, np.arange(100_000, dtype=np.uint64)).neighbour)
    halves = neighbours(vectors, np.arange(100_000, dtype=np.uint64) % np.uint64(50_000))
    assert halves.neighbour[:3].tolist() == [50_000, 50_001, 50_002] and len(halves.neighbour) == 100_000


def test_too_many_pairs_are_refused_and_not_cut():
    vectors, scope = np.ones((10, 1), np.float32), np.zeros(10, np.uint64)
    assert len(neighbours(vectors, scope, most_pairs=45).neighbour) == 90
    with pytest.raises(TooManyPairs, match="more than 44 pairs among 10 prompts") as caught:
        neighbours(vectors, scope, most_pairs=44)
    assert isinstance(caught.value, CostplanError) and caught.value.hint


@pytest.mark.parametrize(
    ("vectors", "scopes", "least"),
    [([[2.0]], 1, 0.8), ([[np.nan]], 1, 0.8), ([[1.0]], 2, 0.8), ([[1.0]], 1, 0.0), ([[1.0]], 1, np.nan)],
)  # fmt: skip
def test_what_no_graph_can_be_made_of_is_refused(vectors: list[list[float]], scopes: int, least: float):
    with pytest.raises(ValueError):
        neighbours(np.array(vectors, np.float32), np.zeros(scopes, np.uint64), least)


def test_rescoring_takes_other_cosines_for_the_same_pairs_only(real: np.ndarray):
    scope = (np.arange(3_000) % 2).astype(np.uint64)
    graph = neighbours(real, scope, 0.8)
    other = unit(real[:, :60])
    better = rescored(graph, other, 0.85)
    before = [{j for j, _ in row} for row in rows(graph)]
    wanted = [
        [each for each in row if each[0] in near] for row, near in zip(dense(other, scope, 0.85), before, strict=True)
    ]
    assert better.least == 0.85 and 0 < len(better.neighbour) < len(graph.neighbour)
    assert [[j for j, _ in row] for row in rows(better)] == [[j for j, _ in row] for row in wanted]
    np.testing.assert_allclose(better.cosine, [cosine for row in wanted for _, cosine in row], atol=2e-7)


def test_rescoring_with_the_same_vectors_changes_nothing_and_reads_no_row_without_edge(real: np.ndarray):
    graph = neighbours(real, np.zeros(3_000, np.uint64), 0.85)
    alone = np.where((np.diff(graph.offsets) > 0)[:, None], real, np.float32(np.nan))
    again = rescored(graph, alone, 0.85)
    for name in ("offsets", "neighbour", "cosine"):
        assert getattr(again, name).tobytes() == getattr(graph, name).tobytes()
    empty = rescored(graph, np.zeros_like(real), 0.85)
    assert not len(empty.neighbour) and empty.texts == 3_000
    with pytest.raises(ValueError, match="2 vectors for 3000 texts"):
        rescored(graph, real[:2], 0.85)


def test_looked_up_edges_are_edges_of_the_exact_graph_and_the_audit_counts_what_is_missing(real: np.ndarray):
    scope = np.where(np.arange(3_000) < 2_500, 1, 2).astype(np.uint64)
    exact = rows(neighbours(real, scope, 0.75))
    graph, audit = approximate(real, scope, 0.75, above=1_000, each=2, sampled=2_500)
    found = rows(graph)
    assert all(set(row) <= set(whole) for row, whole in zip(found, exact, strict=True))
    assert found[2_500:] == exact[2_500:]
    true, kept = sum(map(len, exact[:2_500])), sum(map(len, found[:2_500]))
    assert audit.sampled == 2_500 and audit.recall == pytest.approx(kept / true)
    assert 0.9 < audit.recall <= 1 and 0 <= audit.low <= audit.recall <= audit.high <= 1 and audit.low < 1


def test_the_audit_is_seeded_and_counts_losses(real: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    """An index that finds only pairs within the first 1,500 texts: the sampled recall is near that of all texts."""
    scope = np.zeros(3_000, np.uint64)
    half = neighbours(real, (np.arange(3_000) >= 1_500).astype(np.uint64), 0.75)
    first = np.repeat(np.arange(3_000), np.diff(half.offsets))
    once = (first < half.neighbour) & (half.neighbour < 1_500)
    pairs = (first[once], half.neighbour[once].astype(np.int64))
    monkeypatch.setattr("costplan.similarity.graph._looked_up", lambda *_: pairs)
    _, audit = approximate(real, scope, 0.75, above=1_000, sampled=1_000, seed=3)
    whole = 2 * len(pairs[0]) / len(neighbours(real, scope, 0.75).neighbour)
    assert audit.low < whole < audit.high and audit.high - audit.low < 0.35
    assert audit == approximate(real, scope, 0.75, above=1_000, sampled=1_000, seed=3)[1]


def test_small_scopes_are_never_approximated(real: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    graph, audit = approximate(real, np.zeros(3_000, np.uint64))
    assert audit == Audit(0, 1.0, 1.0, 1.0)
    assert rows(graph) == rows(neighbours(real, np.zeros(3_000, np.uint64)))


def test_without_the_index_a_large_scope_is_refused_and_not_sampled(real: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(UsageError, match="3,000 prompts of one scope") as caught:
        approximate(real, np.zeros(3_000, np.uint64), above=2_999)
    assert "costplan[ann]" in caught.value.hint
