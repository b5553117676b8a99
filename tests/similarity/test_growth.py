"""Hit shares beyond the log: closed forms on small samples, every order tried by hand, and simulated traffic."""

from itertools import combinations

import numpy as np
import pytest
from costplan.similarity.growth import (
    Counted,
    basis,
    clusters,
    counted,
    counted_by_stretch,
    expected_share,
    growth,
    kind_of,
    ordered_share,
    rarefied_share,
    steady_share,
)
from hypothesis import given, settings
from hypothesis import strategies as st

CATALOGUE = 30_000


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def zipf(requests: int, seed: int) -> np.ndarray:
    """Requests for 30,000 prompts, the k-th most popular with weight k^-0.85, in any order alike."""
    weight = np.arange(1, CATALOGUE + 1) ** -0.85
    return np.random.default_rng(seed).choice(CATALOGUE, requests, p=weight / weight.sum()).astype(np.int32)


def in_bursts(requests: int, seed: int, times: int = 5) -> np.ndarray:
    """Each prompt of the catalogue that somebody picks is asked `times` times within a few hundred requests."""
    rng = np.random.default_rng(seed + 100)  # not the numbers that picked the prompts
    picked = zipf(requests // times, seed)
    start = rng.uniform(0, requests, len(picked))
    at = np.concatenate([start + rng.exponential(50, len(picked)) for _ in range(times)])
    return np.tile(picked, times)[np.argsort(at)]


def turning_over(requests: int, seed: int) -> np.ndarray:
    """2,000 prompts at a time, of which old ones go and new ones come all along."""
    window = np.arange(requests) * 5_000 // 50_000
    return (window + np.random.default_rng(seed).integers(0, 2_000, requests)).astype(np.int32)


def next_share(log: np.ndarray, after: int) -> float:
    """Hit share of the requests after the first `after` ones, which are in the cache."""
    first = np.zeros(len(log), np.bool_)
    first[np.unique(log, return_index=True)[1]] = True
    return 1 - float(first[after:].mean())


def test_a_request_belongs_to_the_text_whose_answer_it_got():
    text, source = ids(4, 7, 4, 9), ids(-1, 0, 0, -1)
    assert clusters(text, source).tolist() == [4, 4, 4, 9]
    assert counted(clusters(text, source)).seen.tolist() == [3, 1]
    assert len(clusters(ids(), ids())) == 0


def test_repeats_within_a_stretch_count_once():
    log = counted_by_stretch(ids(1, 1, 2, 1, 3, 3), 3)  # stretches 1 1 | 2 1 | 3 3
    assert (sorted(log.seen.tolist()), log.units, log.requests) == ([1, 1, 2], 3, 6)


def test_the_steady_share_is_the_closed_form():
    # 10 requests, f1 = 3, f2 = 2: 1 - 3/10 * 9*3 / (9*3 + 2*2)
    assert steady_share(counted(ids(1, 2, 3, 4, 4, 5, 5, 6, 6, 6))) == pytest.approx(1 - 0.3 * 27 / 31)
    # no doubles, f1 = 3 of 6: 1 - 3/6 * 5*2 / (5*2 + 2)
    assert steady_share(counted(ids(1, 2, 3, 4, 4, 4))) == pytest.approx(1 - 0.5 * 10 / 12)
    assert steady_share(counted(ids(1, 1, 2, 2))) == 1
    assert steady_share(counted(ids(*range(50)))) == pytest.approx(0, abs=0.001)
    assert steady_share(counted(ids(1))) == steady_share(counted(ids())) == 0


def test_more_traffic_is_the_closed_form_and_refused_beyond_twice_the_log():
    log = counted(ids(1, 2, 3, 4, 4, 5, 5, 6, 6, 6))  # S = 6, f0 = 9/10 * 9/4
    unseen = 0.9 * 9 / 4
    found = unseen * (1 - (1 - 3 / (10 * unseen + 3)) ** 5)
    assert expected_share(log, 5) == pytest.approx(1 - (6 + found) / 15)
    assert expected_share(log, 0) == pytest.approx(0.4)
    assert expected_share(log, 10) is not None
    assert expected_share(log, 11) is None
    assert expected_share(counted(ids()), 0) is None
    assert expected_share(counted(ids(1, 1, 2, 2)), 4) == pytest.approx(0.75)  # nothing new is left


def every_draw(cluster: list[int], size: int) -> float:
    """Mean hit share over all ways to draw `size` requests."""
    drawn = [1 - len(set(part)) / size for part in combinations(cluster, size)]
    return sum(drawn) / len(drawn)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_the_rarefied_curve_is_the_mean_over_all_draws(cluster: list[int]):
    sizes = np.arange(1, len(cluster) + 1)
    found = rarefied_share(counted(ids(*cluster)), sizes)
    assert found.tolist() == pytest.approx([every_draw(cluster, size) for size in sizes.tolist()], abs=1e-9)


def test_the_rarefied_curve_by_stretches_is_the_mean_over_all_draws_of_stretches():
    cluster = ids(1, 1, 2, 1, 3, 3, 4, 2)  # four stretches of two
    stretches = [{1}, {2, 1}, {3}, {4, 2}]
    expected = [
        float(np.mean([1 - len(set().union(*part)) / (2 * size) for part in combinations(stretches, size)]))
        for size in (1, 2, 3, 4)
    ]
    assert rarefied_share(counted_by_stretch(cluster, 4), np.arange(1, 5)).tolist() == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(0, 60))
def test_shares_stay_between_nothing_and_all(cluster: list[int], more: int):
    for log in (counted(ids(*cluster)), counted_by_stretch(ids(*cluster))):
        assert 0 <= steady_share(log) <= 1
        expected = expected_share(log, more)
        assert (expected is None) == (more > len(cluster))
        assert expected is None or 0 <= expected <= 1


@pytest.mark.parametrize("requests", [20_000, 100_000])
def test_steady_traffic_is_foretold_from_the_first_half(requests: int):
    log = zipf(2 * requests, seed=requests)
    half = log[:requests]
    found = growth(half)
    assert found.kind == "steady"
    assert found.cold_share == pytest.approx({20_000: 0.5695, 100_000: 0.7888}[requests], abs=0.006)
    weight = np.arange(1, CATALOGUE + 1) ** -0.85
    truth = weight[np.unique(half)].sum() / weight.sum()
    assert found.steady_share == pytest.approx(truth, abs=0.01)
    assert found.late_share == pytest.approx(found.steady_share, abs=4 * np.sqrt(0.2 * 20 / requests))
    assert found.cold_share < found.steady_share - 0.1  # the log's own average is far below what comes next
    at = np.array([requests // 10, requests // 2, requests])
    assert rarefied_share(counted(half), at).tolist() == pytest.approx(ordered_share(half, at).tolist(), abs=0.012)
    doubled = float(ordered_share(log, np.array([2 * requests]))[0])
    assert expected_share(counted(half), requests) == pytest.approx(doubled, abs=0.004)


def test_repeats_in_bursts_are_foretold_by_stretches_and_not_by_requests():
    log = in_bursts(60_000, seed=3)
    half = log[:50_000]
    found, truth = growth(half), next_share(log, 50_000)
    assert found.kind == "bursts"
    assert found.steady_share == pytest.approx(truth, abs=0.01)
    assert steady_share(counted(half)) > truth + 0.05  # nothing is asked once only, so requests say all will hit
    assert expected_share(basis(half, found.kind), 10_000) == pytest.approx(
        ordered_share(log, np.array([60_000]))[0], abs=0.003
    )


def test_prompts_that_come_and_go_are_drift_and_nothing_is_foretold():
    log = turning_over(60_000, seed=4)
    found = growth(log[:50_000])
    assert (found.kind, found.steady_share) == ("drift", None)
    assert found.late_share == pytest.approx(next_share(log, 50_000), abs=0.01)
    assert steady_share(counted(log[:50_000])) > next_share(log, 50_000) + 0.05


def test_traffic_that_narrows_is_drift():
    rng = np.random.default_rng(5)
    new = rng.random(40_000) < np.linspace(0.8, 0.1, 40_000)
    log = np.where(new, np.arange(40_000) + 1_000, rng.integers(0, 500, 40_000)).astype(np.int32)
    assert kind_of(log) == "drift"


def test_steady_traffic_is_seldom_called_anything_else():
    weight = np.arange(1, 2_001) ** -0.85
    rng = np.random.default_rng(6)
    logs = rng.choice(2_000, (60, 3_000), p=weight / weight.sum()).astype(np.int32)
    assert [kind_of(log) for log in logs] == ["steady"] * 60


def test_logs_too_small_to_say_anything_are_not_judged():
    assert kind_of(ids(1, 2, 1)) == "steady"
    assert growth(ids()).cold_share == 0
    assert growth(ids(1, 1)).late_share == 0.5


def test_a_million_requests_are_counted_exactly_enough_at_the_ends_of_the_curve():
    seen = np.concatenate([np.ones(600_000, np.int64), np.full(20_000, 20)])
    log = Counted(seen, 1_000_000, 1_000_000)
    shares = rarefied_share(log, np.array([1, 1_000_000]))
    assert shares.tolist() == pytest.approx([0, 0.38], abs=1e-5)
