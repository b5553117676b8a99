"""Areas under quality recovered: by hand, against plain summation, against permutations, against resampling."""

import math

import numpy as np
import pytest
from costplan.routing.metrics import (
    Band,
    apgr,
    bands,
    curve,
    hull_area,
    lift,
    random_band,
    random_band_usd,
    share_needed,
)
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def plainly(order: list[int], gap: Floats, extra: Floats) -> float:
    """Trapezoids under PGR over the dollars spent, one request after the other."""
    area, gained, total = 0.0, 0.0, float(gap.sum())
    for request in order:
        area += extra[request] * (gained + gap[request] / 2)
        gained += float(gap[request])
    return area / float(extra.sum()) / total


def test_by_hand() -> None:
    """Gaps 1, 0, 1, -1, 1 in that order: PGR after each request 1/2, 1/2, 1, 1/2, 1; area (1/4+1/2+3/4+3/4+3/4)/5."""
    gap, score = np.array([1.0, 0, 1, -1, 1]), np.array([5.0, 4, 3, 2, 1])
    assert apgr(score, gap) == pytest.approx((0.25 + 0.5 + 0.75 + 0.75 + 0.75) / 5)
    assert lift(score, gap) == pytest.approx((0.6 - 0.5) * 0.4)
    assert share_needed(score, gap, 0.5) == pytest.approx(0.2)
    assert share_needed(score, gap, 0.8) == pytest.approx(0.4 + 0.2 * 0.6)
    assert curve(score, gap).gap.tolist() == pytest.approx([0, 0.2, 0.2, 0.4, 0.2, 0.4])


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.01, 5)), min_size=2, max_size=30), st.integers(0, 9))
def test_equals_plain_summation_on_both_axes(rows: list[tuple[float, float]], seed: int) -> None:
    gap, extra = np.array(rows).T
    gap = gap + (0.5 - min(0.0, float(gap.sum())))
    score = np.random.default_rng(seed).permutation(len(gap)).astype(float)
    order = np.argsort(-score).tolist()
    assert apgr(score, gap, extra) == pytest.approx(plainly(order, gap, extra), abs=1e-9)
    assert apgr(score, gap) == pytest.approx(plainly(order, gap, np.ones(len(gap))), abs=1e-9)


def test_requests_of_equal_score_count_as_in_all_their_orders() -> None:
    rng = np.random.default_rng(0)
    gap, extra, score = rng.normal(0.3, 1, 40), rng.exponential(1, 40), rng.integers(0, 4, 40).astype(float)
    broken = [apgr(score + 0.5 * rng.random(40), gap, extra) for _ in range(4_000)]
    assert apgr(score, gap, extra) == pytest.approx(np.mean(broken), abs=4 * np.std(broken) / 4_000**0.5)
    assert apgr(np.zeros(40), gap, extra) == pytest.approx(0.5)


def test_the_band_of_a_random_order_is_that_of_permutations() -> None:
    rng = np.random.default_rng(1)
    gap = rng.choice([-1.0, 0, 1], 300, p=[0.1, 0.5, 0.4])
    drawn = [apgr(rng.permutation(300).astype(float), gap) for _ in range(4_000)]
    band = random_band(gap)
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.005)
    assert (band.high - 0.5) / 1.959964 == pytest.approx(np.std(drawn), rel=0.05)
    priced = random_band_usd(gap, np.ones(300), 0)
    assert priced.high - 0.5 == pytest.approx(band.high - 0.5, rel=0.2)


def test_the_bootstrap_interval_covers_the_truth() -> None:
    """A fixed order of a population with a known APGR; 120 samples of 200, nominal 95 %."""
    rng = np.random.default_rng(2)
    score = rng.normal(size=200_000)
    gap = np.where(rng.random(200_000) < 0.1 + 0.4 / (1 + np.exp(-score)), 1.0, 0.0) - (rng.random(200_000) < 0.05)
    truth, covered = apgr(score, gap), 0
    for _ in range(120):
        some = rng.integers(0, 200_000, 200)
        band = bands([score[some]], gap[some], np.arange(200), 0).apgr[0]
        covered += band.low <= truth <= band.high
    assert covered / 120 >= 0.91


def test_copies_of_a_prompt_are_redrawn_together() -> None:
    rng = np.random.default_rng(3)
    score, gap = rng.normal(size=150), rng.choice([0.0, 1.0], 150)
    alone = bands([score], gap, np.arange(150), 0).apgr[0]
    copies = bands([np.repeat(score, 4)], np.repeat(gap, 4), np.repeat(np.arange(150), 4), 0).apgr[0]
    assert copies.high - copies.low == pytest.approx(alone.high - alone.low, rel=0.1)
    wrong = bands([np.repeat(score, 4)], np.repeat(gap, 4), np.arange(600), 0).apgr[0]
    assert wrong.high - wrong.low < 0.6 * (copies.high - copies.low)


def test_without_a_gap_there_is_no_apgr_but_a_lift() -> None:
    score = np.arange(100.0)
    gap = np.where(score >= 60, 1.0, -1.0)
    assert math.isnan(apgr(score, gap)) and math.isnan(share_needed(score, gap, 0.5))
    assert lift(score, gap) > 0.2
    found = bands([score, -score], gap, np.arange(100), 0, recovered=(0.5,))
    assert found.lift.low > 0.15
    assert random_band(gap) == Band(0.5, -np.inf, np.inf)


def test_the_hull_is_taken_over_the_best_mixtures() -> None:
    """Points (0, 0), (1, 1), (2, 0.5), (4, 2): the hull goes 0-1-4 straight; area 0.5 + 3 * 1.5 over 4."""
    cost, quality = np.array([0.0, 2, 1, 4]), np.array([0.0, 0.5, 1, 2])
    assert hull_area(cost, quality) == pytest.approx((0.5 + 3 * 1.5) / 4)
    assert hull_area(np.array([0.0, 1, 2]), np.array([1.0, 0.2, 0.1])) == pytest.approx(1.0)
