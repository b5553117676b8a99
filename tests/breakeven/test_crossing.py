"""Where the two bills cross: worked examples, a brute-force search, and what must not happen when prices rise."""

import numpy as np
import pytest
from costplan.breakeven.crossing import Cost, break_even_price, crossings, first_month, stays_cheaper
from costplan.tco.fleet import FleetRule, Staircase, daily_shape, staircase
from hypothesis import assume, given
from hypothesis import strategies as st

MONTH_DAYS = 730 / 24


def cost(fixed: float, per_gpu_hour: float, api: float, per_x: float = 1000.0, per_request: float = 0.0) -> Cost:
    return Cost(*(np.array([each]) for each in (fixed, per_gpu_hour, per_request, api, per_x)))


def stairs(given_gpus: int = 1, spare: int = 0, most: int = 64) -> Staircase:
    return staircase(FleetRule(gpus_per_replica=1, given=given_gpus, spare=spare), daily_shape(1.6, 730), most)


def test_a_crossing_within_the_given_gpus():
    """Fixed 730, one GPU at $1 an hour 730: 1,460 a month. A replica of 1,000 requests a day at $0.10 saves 3,041.67 a
    month in full use: crossing at 0.48 replicas = 480 requests a day, and every further GPU pays from its start:
    at the start of step 2 it costs 730 + 1,460 = 2,190 < 3,041.67."""
    case = cost(730, 1, 0.1)
    assert case.gain_per_x[0] == pytest.approx(1000 * 0.1 * MONTH_DAYS)
    assert stays_cheaper(case, stairs())[0] == pytest.approx(480)
    found = crossings(case, stairs())
    assert [(round(each.requests_per_day), each.cheaper_above) for each in found] == [(480, "self_host")]


def test_a_new_step_can_lose_what_was_won():
    """A GPU costs 730, a replica of 1,000 requests a day at $0.04 saves 1,216.67, fixed costs are 365.
    Step 1: 1,095 / 1,216.67, from 900 a day cheaper. Step 2 starts with 1,825 > 1,216.67: dearer from 1,000 on,
    cheaper again from 1,825 / 1,216.67 = 1,500. Step 3 starts with 2,555 > 2,433.33: from 2,000 dearer, from 2,100
    cheaper. Step 4: 3,285 < 3,650: from 2,100 on it stays cheaper."""
    case = cost(365, 1, 0.04)
    found = [(round(each.requests_per_day), each.cheaper_above) for each in crossings(case, stairs())]
    assert found == [(900, "self_host"), (1000, "api"), (1500, "self_host"), (2000, "api"), (2100, "self_host")]
    assert stays_cheaper(case, stairs())[0] == pytest.approx(2100)


def test_there_is_none_where_a_full_replica_costs_more_than_it_saves():
    """A GPU costs 730 a month, in full use it saves 608.33."""
    case = cost(0, 1, 0.02)
    assert np.isnan(stays_cheaper(case, stairs())[0])
    assert crossings(case, stairs()) == []


def test_there_is_none_where_traffic_costs_more_to_send_than_to_buy():
    assert np.isnan(stays_cheaper(cost(0, 1, 0.01, per_request=0.02), stairs())[0])


def test_the_price_of_a_gpu_hour_that_breaks_even():
    """At half a replica the API costs 1,520.83; without fixed costs of 730 the rest pays 730 GPU-hours with 5 %
    overhead: (1,520.83 - 730) / (730 x 1.05) = 1.0317. Fixed costs above the API's bill: no price does."""
    half, hours, share = np.array([0.5]), np.array([730.0]), np.array([1.05])
    price = break_even_price(cost(730, 2 * 1.05, 0.1), share, np.array([2.0]), half, hours)
    assert price[0] == pytest.approx((1520.8333 - 730) / 766.5)
    assert np.isnan(break_even_price(cost(2000, 2.1, 0.1), share, np.array([2.0]), half, hours)[0])


def test_the_month_counts_the_work_of_moving():
    """The API costs 1,520.83, own GPUs 1,460 of which 100 are the moving written off: 160.83 saved a month.
    400 USD of moving are back after 2.49 months: month 3."""
    args = (cost(730, 1, 0.1), stairs(), np.array([0.5]), np.array([0.0]))
    assert first_month(*args, np.array([400.0]), np.array([100.0]), 60)[0] == 3
    assert np.isnan(first_month(*args, np.array([1e6]), np.array([100.0]), 60)[0])


def test_growth_brings_the_month_nearer():
    flat, growing = (
        first_month(
            cost(730, 1, 0.1), stairs(), np.array([0.3]), np.array([rate]), np.array([100.0]), np.array([0.0]), 60
        )[0]
        for rate in (0.0, 0.2)
    )  # fmt: skip
    assert np.isnan(flat) and 1 < growing < 20


amounts = st.floats(1, 5000)


@given(
    fixed=amounts, price=st.floats(0.05, 5), api=st.floats(0.005, 0.5), spare=st.integers(0, 2), count=st.integers(1, 6)
)
def test_the_volume_is_what_a_search_over_volumes_finds(fixed: float, price: float, api: float, spare: int, count: int):
    case, steps = cost(fixed, price, api), stairs(count, spare, 40)
    found = stays_cheaper(case, steps)[0]
    x = np.linspace(1e-6, 40, 160_001)
    dearer = fixed + price * steps.at(x) >= case.gain_per_x[0] * x
    assume(not dearer[-1])
    last = x[np.flatnonzero(dearer)[-1]] if dearer.any() else 0.0
    assume(last < 39)  # in the last step nobody knows what the next one costs
    assert found / 1000 == pytest.approx(last, abs=0.001)
    found_by_steps = crossings(case, steps)
    assert found_by_steps[-1].requests_per_day == pytest.approx(found, rel=1e-9)
    assert [each.cheaper_above for each in found_by_steps][::2] == ["self_host"] * ((len(found_by_steps) + 1) // 2)


@given(fixed=amounts, price=st.floats(0.05, 5), api=st.floats(0.005, 0.5), dearer=st.floats(1, 3))
def test_a_dearer_gpu_never_lowers_the_volume_and_a_dearer_api_never_raises_it(
    fixed: float, price: float, api: float, dearer: float
):
    def volume(gpu: float, token: float) -> float:
        found = stays_cheaper(cost(fixed, gpu, token), stairs(2, 1))[0]
        return float("inf") if np.isnan(found) else float(found)

    here = volume(price, api)
    assert volume(price * dearer, api) >= here * (1 - 1e-12)
    assert volume(price, api * dearer) <= here * (1 + 1e-12)


@given(st.floats(0.0005, 0.5), st.floats(1, 1e6), st.floats(1.01, 5))
def test_the_bill_of_an_api_grows_with_volume(api: float, day: float, more: float):
    case = cost(0, 1, api)
    x = np.array([day, day * more]) / case.requests_day_per_x
    assert np.diff(case.gain_per_x * x)[0] > 0
