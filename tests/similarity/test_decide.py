"""The choice of a setting by hand, its error rate by simulation with real drawn labels, and the money."""

import numpy as np
import pytest
from costplan.similarity.decide import Candidate, break_even_share, net_saving, passed, recommended
from costplan.similarity.labels import Pairs, draw, wrong_share
from hypothesis import given
from hypothesis import strategies as st


def candidates(*rows: tuple[float, float]) -> list[Candidate]:
    return [Candidate(upper=upper, net_usd=net) for upper, net in rows]


def test_the_largest_net_saving_among_those_before_the_first_failure_wins():
    """The third fails, so the fourth, which would pass and save most, is not looked at."""
    ladder = candidates((0.01, 10), (0.02, 30), (0.04, 50), (0.02, 90))
    assert passed(ladder, 0.03) == 2
    assert recommended(ladder, 0.03) == 1


def test_a_looser_setting_that_saves_less_is_not_taken():
    assert recommended(candidates((0.01, 30), (0.02, 10)), 0.03) == 0
    assert recommended(candidates((0.01, 30), (0.02, 30)), 0.03) == 0


def test_none_if_the_strictest_fails_if_there_is_none_or_if_none_saves_anything():
    assert recommended(candidates((0.04, 10), (0.01, 30)), 0.03) is None
    assert recommended([], 0.03) is None
    assert recommended(candidates((0.01, -1), (0.02, 0)), 0.03) is None


def test_a_bound_that_is_not_a_number_does_not_pass():
    assert recommended(candidates((float("nan"), 10)), 0.03) is None


def test_a_bound_of_exactly_the_limit_passes():
    assert recommended(candidates((0.03, 10)), 0.03) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-10, 10)), max_size=8), st.floats(0, 1))
def test_all_up_to_the_recommended_one_pass_and_none_that_passes_saves_more(
    rows: list[tuple[float, float]], limit: float
):
    ladder = candidates(*rows)
    chosen = recommended(ladder, limit)
    if chosen is None:
        assert all(each.net_usd <= 0 for each in ladder[: passed(ladder, limit)])
    else:
        assert all(each.upper <= limit for each in ladder[: chosen + 1])
        assert ladder[chosen].net_usd == max(each.net_usd for each in ladder[: passed(ladder, limit)])


def ladders(rate: float, limit: float, runs: int) -> float:
    """Share of runs with a recommendation among five nested settings whose pairs are all wrong at `rate`."""
    m = 4_000
    rng = np.random.default_rng(7)
    cosine = np.sort(rng.uniform(0.8, 1, m))[::-1]
    hits = rng.integers(1, 6, m).astype(float)
    weights = [np.where(cosine >= threshold, hits, 0) for threshold in (0.96, 0.92, 0.88, 0.84, 0.80)]
    pairs = Pairs(cosine=cosine, passes=np.ones(m, bool), hits=np.sum(weights, axis=0), usd=np.zeros(m))
    chosen = 0
    for seed in range(runs):
        sample = draw(pairs, 500, seed)
        wrong = rng.random(m) < rate  # a new population each time; the realised share scatters around the rate
        label = wrong[sample.index]
        ladder = [
            Candidate(upper=wrong_share(sample, label, weight).upper, net_usd=float(weight.sum())) for weight in weights
        ]
        truths = [float(weight[wrong].sum() / weight.sum()) for weight in weights]
        best = recommended(ladder, limit)
        chosen += best is not None and truths[best] > limit
    return chosen / runs


def test_a_setting_above_the_limit_is_recommended_in_at_most_five_percent_of_samples():
    """True rate 5.2 %, limit 5 %: 5 % plus two standard errors of 150 runs."""
    assert ladders(0.052, 0.05, 150) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 150)


def test_the_looser_steps_add_no_error_to_that_of_the_first():
    """Five bounds that each miss by chance in 5 % of runs, independent of each other: 5 % pass the first, not 23 %."""
    rng = np.random.default_rng(3)
    runs = 10_000
    below = rng.random((runs, 5)) < 0.05  # every setting is truly above the limit; its bound is below by chance
    chosen = [
        recommended(candidates(*((0.0 if low else 1.0, 1.0 + i) for i, low in enumerate(row))), 0.5) for row in below
    ]
    assert np.mean([each is not None for each in chosen]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert below.any(axis=1).mean() > 0.2


def test_a_good_setting_is_recommended():
    m = 4_000
    pairs = Pairs(cosine=np.full(m, 0.9), passes=np.ones(m, bool), hits=np.ones(m), usd=np.zeros(m))
    truth = np.random.default_rng(1).random(m) < 0.01
    sample = draw(pairs, 500, 0)
    bound = wrong_share(sample, truth[sample.index], pairs.hits)
    assert recommended([Candidate(upper=bound.upper, net_usd=1.0)], 0.05) == 0


def test_the_net_saving_by_hand():
    """100 - 10,000 x 0.0001 - 2,000 x 0.00002 - 3 - 12 x 2 = 100 - 1 - 0.04 - 3 - 24 = 71.96."""
    net = net_saving(
        saved_usd=100, lookups=10_000, lookup_usd=0.0001, embeddings=2_000, embedding_usd=0.00002, storage_usd=3,
        wrong_hits=12, penalty_usd=2,
    )  # fmt: skip
    assert net == pytest.approx(71.96)


def test_the_break_even_share_by_hand():
    """0.0002 / (0.01 - 0.03 x 0.1) = 2.86 %; at a penalty of 0.5 a hit loses 0.005 on average."""
    share = break_even_share(overhead_usd=0.0002, hit_usd=0.01, wrong_share=0.03, penalty_usd=0.1)
    assert share == pytest.approx(0.0002 / 0.007)
    assert break_even_share(overhead_usd=0.0002, hit_usd=0.01, wrong_share=0.03, penalty_usd=0.5) is None


@given(st.floats(1e-6, 1e-2), st.floats(1e-4, 1), st.floats(0, 0.5), st.floats(0, 0.1), st.integers(1, 10_000))
def test_at_the_break_even_share_the_net_saving_is_nothing(
    overhead: float, hit: float, wrong: float, penalty: float, requests: int
):
    share = break_even_share(overhead_usd=overhead, hit_usd=hit, wrong_share=wrong, penalty_usd=penalty)
    if share is None:
        assert hit <= wrong * penalty
        return
    hits = share * requests
    net = net_saving(
        saved_usd=hits * hit, lookups=requests, lookup_usd=overhead, embeddings=0, embedding_usd=0, storage_usd=0,
        wrong_hits=hits * wrong, penalty_usd=penalty,
    )  # fmt: skip
    assert net == pytest.approx(0, abs=1e-6 * max(1.0, hits * hit))
