"""From hourly sums to a month: which hours count, what the interval is, and that parts add up."""

import numpy as np
import pytest
from costplan.month import Month, month_of, trusted
from costplan.results import Estimate
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
EPOCH_DAY = 20_000
"""2024-10-04; a day that starts at 00:00 UTC."""
USD = 10**9
Series = tuple[NDArray[np.int64], NDArray[np.int64]]


def month(start_h: float, end_h: float, first_day: int = EPOCH_DAY) -> Month:
    """A log from hour `start_h` to hour `end_h` after the start of its first day."""
    start = first_day * DAY_US
    return month_of(start + int(start_h * HOUR_US), start + int(end_h * HOUR_US), requests=1)


def hourly(usd: list[float], first_hour: int = EPOCH_DAY * 24) -> Series:
    return np.arange(first_hour, first_hour + len(usd)), np.array([round(each * USD) for each in usd])


def estimate(chosen: Month, series: Series) -> Estimate:
    return chosen.estimate(*series, "priced")


def known(found: Estimate) -> tuple[float, float, float]:
    assert found.value is not None and found.low is not None and found.high is not None
    return found.value, found.low, found.high


def test_ten_full_days_by_hand():
    """Half a day, ten days that cost 24, 48, 24, 48 … USD, half a day: mean 36 a day, 36 x 730/24 = 1095 a month.

    The half days at the edges (1000 USD an hour) are dropped. s = 12 x sqrt(10/9), t(9; 97.5 %) = 2.2622, so the half
    width is 2.2622 x s / sqrt(10) x 730/24; ten days are more than a week, so nothing widens it.
    """
    chosen = month(12, 24 * 11 + 12)
    usd = [1000.0] * 12 + [1.0 + day % 2 for day in range(10) for _ in range(24)] + [1000.0] * 12
    found = estimate(chosen, hourly(usd, EPOCH_DAY * 24 + 12))
    half = 2.2621571 * 12 * (10 / 9) ** 0.5 / 10**0.5 * 730 / 24
    assert known(found) == pytest.approx((1095, 1095 - half, 1095 + half), rel=1e-7)
    assert (found.level, found.unit, found.basis) == (0.95, "USD/month", "priced")
    assert found.note.startswith("10 full days")


def test_the_interval_is_students_t_of_the_days():
    chosen = month(0.5, 24 * 9 + 1)
    usd = np.random.default_rng(2).gamma(2, 1, 24 * 10).tolist()
    days = np.array(usd).round(9).reshape(10, 24).sum(axis=1)[1:9]
    low, high = stats.t.interval(0.95, 7, loc=days.mean(), scale=stats.sem(days))
    found = known(estimate(chosen, hourly(usd)))
    assert found == pytest.approx([x * 730 / 24 for x in (days.mean(), low, high)], rel=1e-6)


def test_fewer_than_seven_full_days_are_widened_for_the_missing_weekdays():
    """Four full days: the half width is sqrt(7/4) times Student's."""
    usd = np.random.default_rng(2).gamma(50, 1, 24 * 6).tolist()
    days = np.array(usd).round(9).reshape(6, 24).sum(axis=1)[1:5]
    value, low, high = known(estimate(month(1, 24 * 5 + 1), hourly(usd)))
    half = stats.t.ppf(0.975, 3) * stats.sem(days) * 730 / 24
    assert (high - value) / half == pytest.approx((7 / 4) ** 0.5)
    assert value - low == pytest.approx(high - value)


def test_under_three_full_days_the_month_is_cost_over_span():
    """36 hours at 2 USD an hour: 72 USD / 1.5 days x 730/24 = 1460 USD; equal hours leave no spread."""
    found = estimate(month(6, 42), hourly([2.0] * 36, EPOCH_DAY * 24 + 6))
    assert known(found) == pytest.approx((1460, 1460, 1460))
    assert "hours are the blocks" in found.note


def test_two_full_days_are_not_enough_to_drop_the_edges():
    """From 01:00 on the first day, 92 hours, two full days: 23 x 9 + 48 x 1 + 21 x 9 = 444 USD / 92 h x 730 h."""
    chosen, dropped = month(1, 24 * 3 + 21), month(1, 24 * 4 + 1)
    usd = [0.0] + [9.0] * 23 + [1.0] * 48 + [9.0] * 21
    assert chosen.n_blocks == 92 and dropped.n_blocks == 3
    assert known(estimate(chosen, hourly(usd)))[0] == pytest.approx(444 / 92 * 730)


def test_a_day_that_begins_or_ends_within_ten_minutes_of_midnight_is_full():
    """A week from five seconds past midnight to three before it keeps its seven days."""
    assert month(5 / 3600, 24 * 7 - 3 / 3600).n_blocks == 7


def test_a_log_whose_money_lies_at_its_edges_gives_no_month():
    """Ten days of which only the first and the last hour cost anything."""
    chosen = month(12, 24 * 10 + 12)
    hours, sums = hourly([0.0] * 12 + [5.0] + [0.0] * (24 * 10 - 2) + [5.0])
    found = trusted(chosen, hours, sums).estimate(hours, sums, "priced")
    assert found.value is None and "at the log's edges" in found.note


def test_under_24_hours_there_is_no_month():
    chosen = month(0, 23.9)
    found = estimate(chosen, hourly([1.0] * 24))
    assert found.value is None and "less than 24 hours" in found.note and found.unit == "USD/month"
    assert chosen.value(*hourly([1.0])) is None


def test_exactly_24_hours_give_a_month():
    assert known(estimate(month(0, 24), hourly([1.0] * 24)))[0] == pytest.approx(730)


def test_a_stated_volume_replaces_time():
    """The log's 2,000 calls cost 10 USD; a million of them 5,000."""
    for start, end in ((None, None), (0, DAY_US // 2), (0, 30 * DAY_US)):
        chosen = month_of(start, end, requests=2000, month_requests=1e6)
        found = estimate(chosen, (np.array([-1, 5]), np.array([4 * USD, 6 * USD])))
        assert known(found) == pytest.approx((5000, 5000, 5000))
        assert found.level is None and found.note == "at 1,000,000 requests a month"


def test_a_stated_volume_spreads_as_the_cost_of_a_call_does_between_days():
    """Four days of 10, 10, 20 and 20 calls that cost 1, 3, 4 and 4 USD: 12 / 60 = $0.20 a call, $200 for a thousand.

    Residuals y - 0.2 x: -1, 1, 0, 0; sqrt(4/3 x 2) / 60 = 0.027217; t(3; 97.5 %) = 3.18245: +-86.62 USD.
    """
    days = np.arange(4) * 24
    chosen = month_of(0, DAY_US // 2, requests=60, month_requests=1000, calls=(days, np.array([10.0, 10, 20, 20])))
    found = estimate(chosen, (days, np.array([1, 3, 4, 4]) * USD))
    assert known(found) == pytest.approx((200, 200 - 86.616, 200 + 86.616), rel=1e-4)
    assert (found.level, found.basis) == (0.95, "assumed") and "over 4 days" in found.note


def test_a_stated_volume_over_one_hour_of_log_says_why_it_has_no_interval():
    chosen = month_of(0, 1, requests=2, month_requests=10, calls=(np.array([7]), np.array([2.0])))
    found = estimate(chosen, (np.array([7]), np.array([USD])))
    assert known(found) == (5, 5, 5) and "no interval: all calls lie in one hour" in found.note


def test_a_first_look_a_log_without_times_and_mixed_clocks_give_no_month():
    for chosen, why in (
        (month_of(0, 30 * DAY_US, requests=1, partial=True), "without --head"),
        (month_of(None, None, requests=1), "no row carries a time"),
        (month_of(0, 30 * DAY_US, requests=1, mixed_clocks=True), "others only offsets"),
    ):
        found = estimate(chosen, hourly([1.0]))
        assert found.value is None and why in found.note


def test_a_trace_whose_times_are_offsets_has_a_month_too():
    """Five days from zero, 1 USD an hour."""
    found = estimate(month(0, 120, first_day=0), hourly([1.0] * 120, 0))
    assert known(found) == pytest.approx((730, 730, 730))


def test_rows_without_a_time_are_spread_over_the_log():
    """Ten days at 1 USD an hour and 24 USD without a time: 730 + 24 / 240 x 730 = 803 USD; the width grows as well."""
    hours, sums = hourly([1.0 + n % 3 for n in range(240)])
    sums = sums * 240 * USD // int(sums.sum())
    untimed = np.concatenate([[-(1 << 40)], hours]), np.concatenate([[24 * USD], sums])
    chosen = month(0, 240)
    with_rows, without = known(estimate(chosen, untimed)), known(estimate(chosen, (hours, sums)))
    assert with_rows[0] - without[0] == pytest.approx(73)
    assert with_rows[2] - with_rows[0] == pytest.approx(1.1 * (without[2] - without[0]))


def test_a_cost_is_never_below_zero_but_a_saving_may_be():
    spiky = [0.0] * 239 + [1000.0]
    assert known(estimate(month(0, 239), hourly(spiky[::-1])))[1] == 0
    mixed = [-1.0] * 100 + [5.0] * 40 + [-1.0] * 100
    assert known(estimate(month(0, 240), hourly(mixed)))[1] < 0
    loss = known(estimate(month(0, 47), hourly([-x for x in spiky[-48:]])))
    assert loss[0] < 0 and loss[2] == 0


MONTHS = st.sampled_from([month(0, 240), month(30, 200), month(0, 40), month_of(0, 1, requests=3, month_requests=7)])


@given(st.integers(0, 10**6), MONTHS, st.booleans())
@settings(deadline=None)
def test_months_of_parts_add_up_to_the_month_of_the_whole(seed: int, chosen: Month, untimed: bool):
    hours = np.arange(EPOCH_DAY * 24, EPOCH_DAY * 24 + 240)
    if untimed:
        hours[:3] = -1
    one, two = np.random.default_rng(seed).integers(-(10**12), 10**12, (2, 240))
    found = [known(chosen.estimate(hours, series, "simulated")) for series in (one, two, one + two)]
    assert found[0][0] + found[1][0] == pytest.approx(found[2][0], abs=1e-6)
    for value, low, high in found:
        assert low <= value <= high


@given(st.floats(24, 24 * 40), st.floats(0, 23))
@settings(deadline=None)
def test_a_steady_log_costs_730_hours_of_itself_whatever_its_edges(length: float, start: float):
    chosen = month(start, start + length)
    first, last = int(start), int(start + length)
    inside = [min(hour + 1.0, start + length) - max(float(hour), start) for hour in range(first, last + 1)]
    found = estimate(chosen, hourly(inside, EPOCH_DAY * 24 + first))
    # an edge day that lacks at most ten minutes counts as full
    assert known(found)[0] == pytest.approx(730, rel=0.006)
