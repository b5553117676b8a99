"""Sums that do not depend on order, and rows priced at the price of their day and size."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from costplan.costing import merge_summaries
from costplan.keyed import Keyed, begins, grouped, merged, together
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.levers.logs import analyzed, call, random_log

TABLE = st.lists(st.tuples(st.integers(0, 5), st.integers(-(10**15), 10**15)), max_size=40)


def keyed(rows: list[tuple[int, int]]) -> Keyed:
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return grouped(table[:, 0], np.stack([np.ones(len(table), np.int64), table[:, 1]], axis=1))


def as_dict(sums: Keyed) -> dict[int, list[int]]:
    return dict(zip(sums.keys.tolist(), sums.sums.tolist(), strict=True))


@given(TABLE)
@settings(deadline=None)
def test_sums_by_key_equal_a_dictionary(rows: list[tuple[int, int]]):
    expected: dict[int, list[int]] = {}
    for key, amount in rows:
        count, total = expected.get(key, [0, 0])
        expected[key] = [count + 1, total + amount]
    found = keyed(rows)
    assert as_dict(found) == expected
    assert found.keys.tolist() == sorted(expected)


@given(st.lists(TABLE, min_size=1, max_size=4))
@settings(deadline=None)
def test_merging_parts_in_any_order_equals_the_sums_of_all_rows(parts: list[list[tuple[int, int]]]):
    expected = as_dict(keyed([row for part in parts for row in part]))
    for order in permutations([keyed(part) for part in parts]):
        assert as_dict(merged(list(order))) == expected


@given(st.lists(st.integers(0, 6), max_size=60), st.sampled_from([1, 2**40 + 3, 2**61 - 1]))
@settings(deadline=None)
def test_equal_keys_come_together_in_the_order_of_their_rows(numbers: list[int], spread: int):
    keys = np.array(numbers, dtype=np.uint64) * np.uint64(spread)
    order = together(keys)
    assert sorted(order.tolist()) == list(range(len(keys)))
    assert begins(keys[order]).sum() == len(set(numbers))
    for key in set(keys.tolist()):
        mine = [row for row in order.tolist() if keys[row] == key]
        assert mine == sorted(mine)


def test_different_keys_that_agree_in_the_upper_bits_are_told_apart():
    """The inverse of the odd factor makes keys whose mixed forms are small numbers: upper bits all zero."""
    inverse = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
    keys = np.array([1, 2, 1, 3, 2, 1], dtype=np.uint64) * inverse
    assert together(keys).tolist() == [0, 2, 5, 1, 4, 3]


def test_summaries_of_two_logs_add_up_to_the_summary_of_both(tmp_path: Path):
    first, second = random_log(1), random_log(2)
    one, two, both = (analyzed(tmp_path, log).sums["summary"] for log in (first, second, first + second))
    total = merge_summaries([two, one])
    assert both.counts["backwards"] == total.counts["backwards"] + 1  # where the second log begins
    names = total.counts.keys() - {"backwards"}
    assert {name: total.counts[name] for name in names} == {name: both.counts[name] for name in names}
    assert total.parts.tolist() == both.parts.tolist()
    assert (total.time_min, total.time_max) == (both.time_min, both.time_max)
    for name in ("site", "user", "hour", "day", "user_day"):
        assert as_dict(total.groups[name]) == as_dict(both.groups[name]), name


@pytest.mark.parametrize(
    ("tokens", "cached", "nanos"),
    [((1000, 100), None, 210_000), ((1000, 100), 400, 180_000), ((0, 0), None, 0), ((1, 1), 0, 750)],
)
def test_a_call_by_hand(tmp_path: Path, tokens: tuple[int, int], cached: int | None, nanos: int):
    """gpt-4o-mini in nano-dollars a token: 150 in, 75 cached, 600 out; 600 x 150 + 400 x 75 + 100 x 600 = 180,000."""
    plan = analyzed(tmp_path, [call(0, tokens=tokens, cached=cached)]).plan
    assert round((plan.baseline.cost_usd.value or 0) * 1e9) == nanos
    assert plan.ingest.priced == 1


def test_failed_calls_and_gateway_hits_cost_nothing_and_are_counted(tmp_path: Path):
    plan = analyzed(tmp_path, [call(0), call(1, status=429), call(2, status=500)]).plan
    assert (plan.ingest.priced, plan.ingest.failed, plan.ingest.failed_by) == (1, 2, {"http_429": 1, "http_500": 1})
    assert plan.baseline.cost_usd.value == pytest.approx(9150e-9)


def test_a_logged_weight_scales_the_money_of_its_row_only(tmp_path: Path):
    plan = analyzed(tmp_path, [call(0), call(1, "Other?", sample_weight=4.0)]).plan
    assert round((plan.baseline.cost_usd.value or 0) * 1e9) == 5 * 9150
