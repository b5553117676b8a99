"""Drawn labels: by hand, against Clopper and Pearson, by simulation, and on customer questions with known intents."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks import wrong_hits
from costplan.similarity.labels import Bound, Pairs, Sample, draw, reach, wrong_share
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

EXCERPT = Path(__file__).parent / "data" / "banking77" / "train_excerpt.csv"


def pairs_of(m: int, seed: int = 0, *, zipf: float = 0.0) -> Pairs:
    rng = np.random.default_rng(seed)
    hits = np.ceil(50 * np.arange(1, m + 1) ** -zipf) if zipf else np.ones(m)
    usd = hits * (rng.lognormal(-6, 1, m) if zipf else 0.01)
    return Pairs(cosine=rng.uniform(0.8, 1, m), passes=rng.random(m) < 0.9, hits=hits, usd=usd)


def alike(m: int) -> Pairs:
    """One stratum, equal weights: the draw is a simple random sample."""
    return Pairs(cosine=np.full(m, 0.9), passes=np.ones(m, bool), hits=np.ones(m), usd=np.full(m, 0.01))


def first_wrong(sample: Sample, wrong: int) -> np.ndarray:
    return np.arange(len(sample.index)) < wrong


# --- the draw ---


def test_twice_as_many_hits_are_drawn_twice_as_often():
    """One stratum of weights 1, 1, 2 and one label: probabilities 1/4, 1/4, 1/2."""
    pairs = Pairs(cosine=np.full(3, 0.9), passes=np.ones(3, bool), hits=np.array([1.0, 1, 2]), usd=np.zeros(3))
    assert draw(pairs, 1, 0).probability == pytest.approx([0.25, 0.25, 0.5])


def test_a_pair_too_heavy_for_its_share_is_taken_for_certain():
    """Weights 6, 1, 1, 1, 1 and two labels: 2 x 6/10 > 1, so the first is certain and the rest share one label."""
    pairs = Pairs(
        cosine=np.full(5, 0.9), passes=np.ones(5, bool), hits=np.array([6.0, 1, 1, 1, 1]), usd=np.zeros(5),
    )  # fmt: skip
    assert draw(pairs, 2, 0).probability == pytest.approx([1, 0.25, 0.25, 0.25, 0.25])


def test_pairs_are_drawn_as_often_as_their_probability_says():
    pairs = pairs_of(60, zipf=0.8)
    runs = 1_000
    counts = np.zeros(60)
    for seed in range(runs):
        counts[draw(pairs, 20, seed).index] += 1
    expected = draw(pairs, 20, 0).probability
    error = np.sqrt(expected * (1 - expected) / runs)
    assert np.all(np.abs(counts / runs - expected) <= 4.5 * error + 1e-12)


@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 99), st.sampled_from([0.0, 0.6, 1.2]))
@settings(max_examples=60, deadline=None)
def test_a_draw_has_n_pairs_none_twice_and_repeats_with_its_seed(m: int, n: int, seed: int, zipf: float):
    pairs = pairs_of(m, seed, zipf=zipf)
    sample, again = draw(pairs, n, seed), draw(pairs, n, seed)
    assert len(sample.index) == len(set(sample.index.tolist())) == min(n, m)
    assert sample.index.tolist() == again.index.tolist()
    assert sample.probability.sum() == pytest.approx(min(n, m))
    assert np.all(sample.probability[sample.index] > 0) and np.all(sample.probability <= 1)
    drawn = np.bincount(sample.stratum[sample.index], minlength=sample.stratum.max() + 1)
    of = np.bincount(sample.stratum)
    if min(n, m) > 1:
        assert np.all(drawn >= np.minimum(of, 2)) or len(drawn) == 1


def test_a_pair_that_is_never_served_is_never_drawn():
    pairs = Pairs(cosine=np.full(3, 0.9), passes=np.ones(3, bool), hits=np.array([0.0, 1, 1]), usd=np.zeros(3))
    sample = draw(pairs, 10, 0)
    assert sorted(sample.index.tolist()) == [1, 2]
    assert sample.stratum.tolist() == [-1, 0, 0]


def test_nothing_to_draw_is_an_empty_sample():
    empty = np.zeros(0)
    sample = draw(Pairs(cosine=empty, passes=np.zeros(0, bool), hits=empty, usd=empty), 5, 0)
    assert len(sample.index) == 0
    assert wrong_share(sample, np.zeros(0, bool), empty) == Bound(
        value=0.0, low=0.0, high=0.0, upper=0.0, labels=0, missing=0
    )


# --- the share ---


def test_a_census_has_no_width():
    """Hits 3, 1, 4; the second and third are wrong: 5 of 8."""
    pairs = Pairs(cosine=np.full(3, 0.9), passes=np.ones(3, bool), hits=np.array([3.0, 1, 4]), usd=np.zeros(3))
    sample = draw(pairs, 100, 0)
    found = wrong_share(sample, np.isin(sample.index, [1, 2]), pairs.hits)
    assert (found.value, found.low, found.high, found.upper) == pytest.approx((0.625,) * 4)


@pytest.mark.parametrize("wrong", [0, 1, 7, 30, 60])
def test_with_equal_weights_and_many_pairs_it_is_the_interval_of_clopper_and_pearson(wrong: int):
    sample = draw(alike(1_000_000), 60, 0)
    found = wrong_share(sample, first_wrong(sample, wrong), np.ones(1_000_000))
    exact = binomtest(wrong, 60).proportion_ci(0.95, "exact")
    assert found.value == pytest.approx(wrong / 60, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=2e-4)
    assert found.upper == pytest.approx(binomtest(wrong, 60, alternative="less").proportion_ci(0.95).high, abs=2e-4)


def test_no_wrong_label_of_300_bounds_the_share_by_a_percent():
    assert reach(alike(200_000), 300) == pytest.approx(3 / 300, rel=0.01)
    assert reach(alike(200_000), 600) == pytest.approx(3 / 600, rel=0.01)


def test_half_of_a_small_population_bounds_whole_pairs():
    """100 of 200 labelled, none wrong: 4 wrong would all be missed with 0.5^4 = 6 %, 5 with 3 %: the bound is 4."""
    assert reach(alike(200), 100) == pytest.approx(4 / 200)


def test_weight_where_no_label_is_counts_as_wrong_in_the_upper_bounds():
    """Pairs 0 to 9 have hits; a setting also serves pair 10, which could not be drawn, for a quarter of its hits."""
    hits = np.array([1.0] * 10 + [0.0])
    pairs = Pairs(cosine=np.full(11, 0.9), passes=np.ones(11, bool), hits=hits, usd=np.zeros(11))
    sample = draw(pairs, 10, 0)
    found = wrong_share(sample, np.zeros(10, bool), np.array([3.0] * 10 + [10.0]))
    assert (found.value, found.low) == (0, 0)
    assert found.high == found.upper == pytest.approx(0.25)


def test_empty_labels_are_counted_and_count_as_not_drawn():
    """A census of 40 of which 20 rows are filled and none is wrong: as 20 of 40, so up to 4 may be (0.5^4 = 6 %)."""
    sample = draw(alike(40), 40, 0)
    filled = np.arange(40) < 20
    found = wrong_share(sample, np.ones(40, bool) & ~filled, np.ones(40), filled)
    assert (found.labels, found.missing, found.value, found.low) == (20, 20, 0, 0)
    assert 3 / 40 <= found.upper <= 5 / 40


def test_without_any_label_nothing_is_known():
    found = wrong_share(draw(alike(40), 10, 0), np.zeros(10, bool), np.ones(40), np.zeros(10, bool))
    assert (found.value, found.low, found.high, found.upper) == (0.5, 0, 1, 1)


@given(st.integers(1, 400), st.integers(1, 200), st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_the_value_lies_between_its_bounds_and_the_scale_of_weights_does_not_matter(
    m: int, n: int, seed: int, rate: float, filled: float
):
    pairs, rng = pairs_of(m, seed, zipf=0.9), np.random.default_rng(seed)
    sample = draw(pairs, n, seed)
    weight = pairs.hits * (rng.random(m) < 0.7)
    wrong, got = rng.random(len(sample.index)) < rate, rng.random(len(sample.index)) < filled
    found = wrong_share(sample, wrong, weight, got)
    assert -1e-12 <= found.low <= found.value <= found.upper + 1e-12 and found.upper <= found.high + 1e-9 <= 1 + 2e-9
    scaled = wrong_share(sample, wrong, weight * 1_000, got)
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx((found.value, found.low, found.high), abs=1e-6)


def test_more_labels_narrow_the_interval():
    pairs = pairs_of(2_000, zipf=0.8)
    truth = np.random.default_rng(5).random(2_000) < 0.08
    widths = []
    for n in (50, 100, 200, 400, 800, 1_600, 2_000):
        samples = [draw(pairs, n, seed) for seed in range(9)]
        found = [wrong_share(sample, truth[sample.index], pairs.hits) for sample in samples]
        widths.append(np.median([each.high - each.low for each in found]))
    assert widths == sorted(widths, reverse=True) and widths[-1] < 1e-12


@pytest.mark.parametrize("where", ["anywhere", "often served", "rarely served"])
def test_the_bounds_hold_wherever_the_wrong_pairs_are(where: str):
    """120 draws of 200 from 3,000 pairs of unequal weight; 95 % less three standard errors of 120 runs."""
    pairs = pairs_of(3_000, seed=4, zipf=0.7)
    rank, rng = np.argsort(np.argsort(-pairs.hits, kind="stable")), np.random.default_rng(9)
    rate = {"anywhere": np.full(3_000, 0.03), "often served": np.where(rank < 300, 0.2, 0.01)}.get(
        where, np.where(rank > 1_500, 0.15, 0.01)
    )
    truth = rng.random(3_000) < rate
    share = pairs.usd[truth].sum() / pairs.usd.sum()
    found = [wrong_share(s, truth[s.index], pairs.usd) for s in (draw(pairs, 200, seed) for seed in range(120))]
    least = 0.95 - 3 * np.sqrt(0.05 * 0.95 / 120)
    assert np.mean([each.low <= share <= each.high for each in found]) >= least
    assert np.mean([share <= each.upper for each in found]) >= least
    assert np.mean([each.value for each in found]) == pytest.approx(share, rel=0.15)


def test_the_interval_holds_the_truth_on_customer_questions():
    """12 orders, four thresholds, hits and dollars: 96 intervals of 150 labels, not independent; 90 % must hold."""
    texts, intents = wrong_hits.read(EXCERPT)
    rows = wrong_hits.neighbours(texts)
    seen = []
    for seed in range(12):
        found = wrong_hits.traffic(texts, intents, rows, 5_000, seed)
        seen += wrong_hits.estimates(found, 150, seed).values()
    truths = np.array([truth for _, truth in seen])
    assert 0 < truths.mean() < 0.2
    assert np.mean([bound.low <= truth <= bound.high for bound, truth in seen]) >= 0.9
    assert np.mean([bound.high - bound.low for bound, _ in seen]) < 0.25
