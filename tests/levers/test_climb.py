"""The parts of the ladder add up to the whole, in whatever order they are told."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from costplan.levers import LADDER, N_SETS, climb, mask_of, worthwhile
from hypothesis import given
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**32 - 1)
VALUES = SEEDS.map(lambda seed: np.random.default_rng(seed).integers(0, 10**15, N_SETS).tolist())
LEVERS = st.lists(st.sampled_from(range(len(LADDER))), unique=True, max_size=6).map(sorted)


def costs(by_set: dict[tuple[int, ...], int]) -> list[int]:
    """Costs by set number; a set that the test does not name costs a fortune."""
    values = [10**9] * N_SETS
    for levers, cost in by_set.items():
        values[mask_of(levers)] = cost
    return values


THREE = costs({(): 100, (0,): 80, (1,): 70, (2,): 90, (0, 1): 60, (0, 2): 75, (1, 2): 65, (0, 1, 2): 55})


def test_three_levers_by_hand():
    """Costs: none 100; 0 80; 1 70; 2 90; 01 60; 02 75; 12 65; 012 55.

    Lever 0 saves 100-80 = 20 first, 70-60 = 10 after 1, 90-75 = 15 after 2, 65-55 = 10 last: in physical order 20.
    Lever 1 saves 30 first, 20 after 0, 25 after 2, 20 last: 20. Lever 2: 10, 5, 5, 5: 5. And 20 + 20 + 5 = 100 - 55.
    Of six orders two put a lever first, one after each other one, two last. Shapley of 0: (2x20 + 10 + 15 + 2x10) / 6 =
    85/6; of 1: (60 + 20 + 25 + 40) / 6 = 145/6; of 2: (20 + 5 + 5 + 10) / 6 = 40/6. The sum is 270/6 = 45.
    """
    shares = climb(THREE, [0, 1, 2])
    assert [shares[i].standalone for i in range(3)] == [20, 30, 10]
    assert [shares[i].marginal for i in range(3)] == [20, 20, 5]
    assert [shares[i].shapley for i in range(3)] == pytest.approx([85 / 6, 145 / 6, 40 / 6])
    assert [(shares[i].low, shares[i].high) for i in range(3)] == [(10, 20), (20, 30), (5, 10)]


def test_on_top_of_a_given_lever_only_the_other_two_are_shared_out():
    """With lever 1 given (70): 0 saves 10 then 2 saves 5, or 2 saves 5 then 0 saves 10; 70 - 55 = 15."""
    shares = climb(THREE, [0, 2], given=[1])
    assert {lever: share.shapley for lever, share in shares.items()} == {0: 10, 2: 5}


@given(VALUES, LEVERS, LEVERS)
def test_marginals_and_fair_shares_sum_to_the_saving(values: list[int], counted: list[int], before: list[int]):
    before = [lever for lever in before if lever not in counted]
    shares = climb(values, counted, given=before)
    saved = values[mask_of(before)] - values[mask_of([*before, *counted])]
    assert sum(share.marginal for share in shares.values()) == saved
    assert sum(share.shapley for share in shares.values()) == pytest.approx(saved, abs=1e-9 * max(values))


@given(VALUES, LEVERS)
def test_savings_told_in_any_order_add_up_and_their_mean_is_the_fair_share(values: list[int], counted: list[int]):
    shares = climb(values, counted)
    orders = list(permutations(counted))
    sums = dict.fromkeys(counted, 0)
    for order in orders:
        gains = [values[mask_of(order[:i])] - values[mask_of(order[: i + 1])] for i in range(len(order))]
        assert sum(gains) == values[0] - values[mask_of(counted)]
        for lever, gain in zip(order, gains, strict=True):
            sums[lever] += gain
            assert shares[lever].low <= gain <= shares[lever].high
    for lever, share in shares.items():
        assert share.shapley == pytest.approx(sums[lever] / len(orders), abs=1e-9 * max(values))
        assert float(share.weights @ values) == pytest.approx(share.shapley, abs=1e-6 * max(values) + 1)


def test_a_lever_that_costs_more_than_it_saves_is_left_out():
    values = costs({(): 100, (0,): 104, (1,): 60, (0, 1): 63})
    assert worthwhile(values, [0, 1]) == [1]


def test_a_lever_that_others_have_made_useless_is_left_out_although_it_pays_alone():
    values = costs({(): 100, (0,): 90, (1,): 50, (0, 1): 52})
    assert worthwhile(values, [0, 1]) == [1]


def test_a_lever_that_saves_nothing_does_not_pay():
    assert worthwhile([7] * N_SETS, range(len(LADDER))) == []


@given(VALUES, LEVERS, LEVERS)
def test_no_cheaper_choice_without_a_loss_on_the_way_exists(
    values: list[int], candidates: list[int], before: list[int]
):
    before = [lever for lever in before if lever not in candidates]

    def costs_told(chosen: tuple[int, ...] | list[int]) -> list[int]:
        return [values[mask_of([*before, *chosen[:done]])] for done in range(len(chosen) + 1)]

    chosen = worthwhile(values, candidates, given=before)
    assert chosen == sorted(chosen) and set(chosen) <= set(candidates)
    assert all(a >= b for a, b in pairwise(costs_told(chosen)))
    for size in range(len(candidates) + 1):
        for other in combinations(candidates, size):
            told = costs_told(other)
            if all(a >= b for a, b in pairwise(told)):
                assert told[-1] >= costs_told(chosen)[-1]
