"""Intervals of a share of hits: coverage on series that remember, heavy users, and logs too small to say much."""

import time

import numpy as np
import pytest
from costplan.similarity.intervals import block_length, hit_interval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

REPEATS = 120


def remembering(n: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """Hits with a true share of a half: the sign of an autoregressive series."""
    noise = rng.standard_normal(n + 1000)
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise))[1000:] > 0


def interval(hit: np.ndarray, weight: np.ndarray | None = None, user: np.ndarray | None = None, seed: int = 0):
    n = len(hit)
    weight = np.ones(n) if weight is None else weight
    user = np.zeros(n, np.uint64) if user is None else user.astype(np.uint64)
    return hit_interval(hit, weight, np.arange(n), user, seed)


@pytest.mark.parametrize("memory", [0.0, 0.95, 0.99])
def test_nineteen_in_twenty_intervals_hold_the_true_share_of_requests_that_lean_on_each_other(memory: float):
    rng = np.random.default_rng(7)
    held, held_if_independent, effects = 0, 0, []
    for repeat in range(REPEATS):
        hit = remembering(20_000, memory, rng)
        found = interval(hit, seed=repeat)
        held += found.low <= 0.5 <= found.high
        held_if_independent += abs(hit.mean() - 0.5) < 1.96 * 0.5 / np.sqrt(len(hit))
        effects.append(found.design_effect)
    assert held / REPEATS >= 0.89
    if memory == 0:
        assert np.mean(effects) == pytest.approx(1, abs=0.15)
    else:
        assert held_if_independent / REPEATS < 0.5
        # variance of a mean of signs, by the arcsine law: covariance at lag k is asin(memory^k) / (2 pi)
        lags = np.arange(1, 3000)
        theory = 1 + 2 * np.sum(np.arcsin(memory**lags) / (2 * np.pi)) / 0.25
        assert np.mean(effects) == pytest.approx(theory, rel=0.25)


@pytest.mark.parametrize("users", [10, 60])
def test_users_who_ask_alike_count_as_whole_users_however_their_requests_are_mixed(users: int):
    rng, held = np.random.default_rng(8), 0
    for repeat in range(REPEATS):
        share = rng.beta(2, 2, users)
        user = rng.permutation(np.repeat(np.arange(users), rng.integers(1, 12_000 // users, users)))
        found = interval(rng.random(len(user)) < share[user], user=user + 1, seed=repeat)
        held += found.low <= 0.5 <= found.high
        assert found.design_effect > 5
    assert held / REPEATS >= 0.88


def test_many_users_of_one_request_each_are_as_independent_requests():
    rng = np.random.default_rng(9)
    found = interval(rng.random(50_000) < 0.3, user=np.arange(1, 50_001))
    assert found.design_effect == pytest.approx(1, abs=0.25)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 50_000), rel=0.2)


def test_one_request_that_holds_most_dollars_makes_the_interval_wide():
    rng = np.random.default_rng(10)
    hit, dollars = rng.random(5_000) < 0.5, np.ones(5_000)
    hit[77] = True
    even = interval(hit)
    dollars[77] = 5_000.0
    heavy = interval(hit, dollars)
    assert heavy.high - heavy.low > 5 * (even.high - even.low)
    assert heavy.low <= hit @ dollars / dollars.sum() <= heavy.high


def test_the_unit_of_the_weights_does_not_matter():
    rng = np.random.default_rng(11)
    hit, usd, user = remembering(3_000, 0.9, rng), rng.lognormal(0, 1, 3_000), rng.integers(0, 50, 3_000)
    one, other = interval(hit, usd, user), interval(hit, usd * 1e-9, user)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert one.design_effect == pytest.approx(other.design_effect)


def test_a_log_of_hits_only_is_no_proof_that_all_hit():
    found = interval(np.ones(20, np.bool_))
    assert found.low == pytest.approx(20 / (20 + 1.96**2), abs=1e-4)  # Wilson's interval at 20 of 20
    assert (found.high, found.design_effect) == (1.0, 1.0)


def test_without_requests_or_weight_nothing_is_known():
    nothing = interval(np.zeros(0, np.bool_))
    assert (nothing.low, nothing.high) == (0, 1)
    assert interval(np.ones(3, np.bool_), np.zeros(3)) == nothing


def test_requests_out_of_order_are_put_in_order_of_time():
    rng = np.random.default_rng(12)
    hit, at = remembering(4_000, 0.98, rng), rng.permutation(4_000)
    nobody = np.zeros(4_000, np.uint64)
    mixed = hit_interval(hit[at], np.ones(4_000), at, nobody)
    assert mixed == interval(hit)


def test_the_same_seed_gives_the_same_interval_and_another_seed_nearly_the_same():
    hit = remembering(5_000, 0.9, np.random.default_rng(13))
    assert interval(hit, seed=4) == interval(hit, seed=4)
    one, other = interval(hit, seed=4), interval(hit, seed=5)
    assert one != other
    assert one.low == pytest.approx(other.low, abs=0.01)


def test_blocks_are_longer_where_a_series_remembers_longer():
    rng = np.random.default_rng(14)
    lengths = [block_length(remembering(4_000, memory, rng).astype(float)) for memory in (0.0, 0.7, 0.97)]
    assert lengths[0] <= 4 < lengths[1] < lengths[2] <= 3 * np.sqrt(4_000) + 1
    # an AR(1) series: g / D in closed form gives (6 (memory / (1 - memory^2))^2 n)^(1/3) (Politis & White 2004)
    series = np.asarray(lfilter([1], [1, -0.7], rng.standard_normal(20_000)))
    assert block_length(series) == pytest.approx((6 * (0.7 / (1 - 0.49)) ** 2 * 20_000) ** (1 / 3), rel=0.25)
    assert block_length(np.ones(100)) == block_length(np.zeros(0)) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 5), st.integers(0, 3)), min_size=1, max_size=30), st.integers(0, 9)
)
def test_an_interval_holds_the_share_and_stays_between_nothing_and_all(rows: list[tuple[bool, float, int]], seed: int):
    hit, weight, user = (np.array(column) for column in zip(*rows, strict=True))
    found = interval(hit, weight, user, seed)
    assert 0 <= found.low <= found.high <= 1
    assert found.design_effect >= 0
    if weight.sum() > 1e-290:  # below, the ratio itself is lost
        assert found.low <= weight[hit].sum() / weight.sum() + 1e-9
        assert found.high >= weight[hit].sum() / weight.sum() - 1e-9


def test_a_million_requests_take_about_a_second():
    rng = np.random.default_rng(15)
    hit, usd = remembering(1_000_000, 0.999, rng), rng.lognormal(0, 1, 1_000_000)
    started = time.process_time()
    interval(hit, usd, rng.integers(0, 50_000, 1_000_000))
    assert time.process_time() - started < 2
