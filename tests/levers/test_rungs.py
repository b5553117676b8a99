"""Rungs, totals and opportunities from the cost of every set: they add up in the log and in the month."""

from dataclasses import replace

import numpy as np
import pytest
from costplan.costing import Keyed
from costplan.levers import LADDER, N_SETS, mask_of
from costplan.levers.rungs import (
    CAN_WAIT,
    CASH_NOTE,
    LEVERS,
    Evidence,
    Ladder,
    after_of,
    opportunities_of,
    rungs_of,
)
from costplan.levers.states import AUTOMATIC_PREFIX, BATCH_MARKED, BATCH_REST, COMPRESSION, MARKED_PREFIX, VERIFIED
from costplan.month import Month, month_of
from costplan.prices.contract import Contract
from costplan.results import Estimate, Rung, exact
from hypothesis import given, settings
from hypothesis import strategies as st

SOME_OF_EACH = (0, 1, COMPRESSION, VERIFIED, MARKED_PREFIX, AUTOMATIC_PREFIX, BATCH_MARKED, BATCH_REST)
DAY_US = 86_400_000_000
TEN_DAYS = month_of(0, 10 * DAY_US, requests=1000)
NO_MONTH = month_of(0, DAY_US // 2, requests=1000)
A_MILLION = month_of(None, None, requests=1000, month_requests=1e6)


def evidence(present: tuple[int, ...] = SOME_OF_EACH) -> Evidence:
    n = len(LADDER)
    return Evidence(
        present=present, facts=tuple({"lever": name} for name in LADDER), summary=("",) * n,
        missing=tuple(f"needs {name}" for name in LADDER),
    )  # fmt: skip


def ladder_of(savings: dict[int, int], month: Month = TEN_DAYS, hours: int = 240, noise: int = 0) -> Ladder:
    """Every hour costs 1000; a lever saves a fixed amount of it (with `noise`, now more now less), all add up."""
    rng = np.random.default_rng(1)
    by_hour = np.full((hours, N_SETS), 1000, dtype=np.int64)
    for lever, saved in savings.items():
        having = np.array([bool(mask >> lever & 1) for mask in range(N_SETS)])
        by_hour[:, having] -= saved + (rng.integers(-noise, noise + 1, (hours, 1)) if noise else 0)
    return Ladder(
        by_hour=Keyed(np.arange(hours), by_hour), month=month, columns=np.arange(N_SETS),
        by_site=Keyed(np.array([5], dtype=np.uint64), by_hour.sum(axis=0)[None, :]),
    )  # fmt: skip


def random_ladder(seed: int, month: Month, untimed: bool = False) -> Ladder:
    rng = np.random.default_rng(seed)
    hours, sites = 240, 2
    cells = rng.integers(0, 10**9, (hours, sites, N_SETS))
    cells[:, :, 0] += 2 * 10**9
    keys = np.arange(hours)
    if untimed:
        keys[0] = -(1 << 40)
    return Ladder(
        by_hour=Keyed(keys, cells.sum(axis=1)),
        by_site=Keyed(np.arange(sites).astype(np.uint64), cells.sum(axis=0)),
        month=month,
        columns=np.arange(N_SETS),
    )


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def by_label(rungs: list[Rung]) -> dict[str, Rung]:
    return {rung.label: rung for rung in rungs}


PER_1K = exact(2.0, "USD/1k requests", "priced")
MONTHS = st.sampled_from([TEN_DAYS, A_MILLION, month_of(0, 2 * DAY_US, requests=1000)])


@settings(max_examples=25)
@given(st.integers(0, 10**6), MONTHS, st.booleans(), st.sets(st.sampled_from(range(len(LADDER))), max_size=6))
def test_the_rungs_lead_from_today_to_after_in_the_month_and_in_the_log(
    seed: int, month: Month, untimed: bool, there: set[int]
):
    ladder, proof = random_ladder(seed, month, untimed), evidence(tuple(sorted(there)))
    told = rungs_of(ladder, proof)
    after = after_of(ladder, told, PER_1K)
    today = value(ladder.cost([], "priced"))
    counted = [rung for rung in told.rungs if any(LEVERS[i].label == rung.label for i in told.counted)]
    head = [rung for rung in counted if rung.headline]
    for rungs, total in ((head, after.defensible), (counted, after.potential)):
        for field in ("marginal_usd_month", "shapley_usd_month", "cash_usd_month", "usage_usd_month"):
            saved = sum(value(getattr(rung, field)) for rung in rungs)
            assert today - saved == pytest.approx(value(total.cost_usd_month), abs=1e-6)
        assert today * (1 - (total.saving_share or 0)) == pytest.approx(value(total.cost_usd_month), abs=1e-6)
        assert value(total.per_1k_requests) == pytest.approx(2.0 * (1 - (total.saving_share or 0)))
    assert [LADDER[i] for i in told.counted] == after.potential.levers


@settings(max_examples=25)
@given(st.integers(0, 10**6), MONTHS)
def test_every_estimate_lies_within_its_range(seed: int, month: Month):
    ladder = random_ladder(seed, month)
    told = rungs_of(ladder, evidence())
    after = after_of(ladder, told, PER_1K)
    sites = opportunities_of(ladder, evidence(), told, str, 800.0)
    estimates = [getattr(r, f) for r in told.rungs for f in r.__struct_fields__ if f.endswith("_usd_month")]
    estimates += [o.usd_month for o in sites]
    for total in (after.defensible, after.potential):
        estimates += [total.cost_usd_month, total.per_1k_requests]
    for estimate in estimates:
        slack = 1e-9 * abs(value(estimate))
        assert estimate.low is not None and estimate.high is not None
        assert estimate.low - slack <= value(estimate) <= estimate.high + slack
        assert (estimate.level is None) == (
            estimate.low == estimate.high or estimate.basis == "assumed" or estimate in [o.usd_month for o in sites]
        )


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_what_a_rung_saves_in_some_order_lies_in_its_order_range(seed: int):
    told = rungs_of(random_ladder(seed, TEN_DAYS), evidence())
    for rung in told.rungs:
        assert rung.order_range is not None
        low, high = rung.order_range
        for estimate in (rung.standalone_usd_month, rung.marginal_usd_month, rung.shapley_usd_month):
            assert low - 1e-6 <= value(estimate) <= high + 1e-6


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_no_counted_rung_costs_money(seed: int):
    told = rungs_of(random_ladder(seed, A_MILLION), evidence())
    counted = {LEVERS[i].label for i in told.counted}
    assert all(rung.evidence["saving_usd_in_log"] > 0 for rung in told.rungs if rung.label in counted)
    assert told.counted[: len(told.defensible)] == told.defensible


def test_a_lever_that_costs_money_is_shown_and_not_counted():
    """The cache costs 10 of 1000 an hour, the marks save 200: a month of 730 hours x 800 nano-dollars is left."""
    ladder = ladder_of({0: -10, MARKED_PREFIX: 200})
    told = rungs_of(ladder, evidence((0, MARKED_PREFIX)))
    rungs = by_label(told.rungs)
    assert value(rungs["exact cache"].marginal_usd_month) == pytest.approx(-10 * 730 / 1e9)
    assert rungs["exact cache"].headline
    assert told.counted == [MARKED_PREFIX]
    after = after_of(ladder, told, exact(1000 * 1000 / 1e9, "USD/1k requests", "priced")).defensible
    assert value(after.cost_usd_month) == pytest.approx(800 * 730 / 1e9)
    assert value(after.per_1k_requests) == pytest.approx(800 * 1000 / 1e9)
    assert after.saving_share == pytest.approx(0.2) and after.levers == ["prompt_cache_marked"]


def test_a_saving_wider_than_itself_goes_to_potential():
    """Saves 10 an hour, give or take 3000 now and then: nothing to defend."""
    calm, wild = ladder_of({0: 10, BATCH_MARKED: 50}), ladder_of({0: 10}, noise=3000)
    assert [rung.headline for rung in rungs_of(calm, evidence((0, BATCH_MARKED))).rungs[:2]] == [True, True]
    assert [rung.headline for rung in rungs_of(wild, evidence((0,))).rungs[:1]] == [False]


def test_calls_that_nobody_marked_are_a_range_from_none_to_all():
    """Half of 1000 if all can wait: saves 0 to 500 an hour, leaves 500 to 1000."""
    ladder = ladder_of({BATCH_REST: 500})
    told = rungs_of(ladder, evidence((BATCH_REST,)))
    saving = by_label(told.rungs)["batch tier (if calls can wait)"].marginal_usd_month
    hour = 730 / 1e9
    assert (saving.low, saving.value, saving.high) == pytest.approx((0, 500 * hour, 500 * hour))
    assert (saving.level, saving.basis, saving.note) == (None, "assumed", CAN_WAIT)
    after = after_of(ladder, told, PER_1K)
    cost = after.potential.cost_usd_month
    assert (cost.low, cost.value, cost.high) == pytest.approx((500 * hour, 500 * hour, 1000 * hour))
    assert cost.basis == "assumed" and after.potential.per_1k_requests.value == pytest.approx(1.0)
    assert after.defensible.levers == [] and after.defensible.saving_share == 0


@pytest.mark.parametrize("there", [(), (2,), (0, 4)])
def test_every_rung_is_there_with_its_evidence_even_without_money(there: tuple[int, ...]):
    told = rungs_of(ladder_of({}), evidence(there))
    assert {rung.lever for rung in told.rungs} == {"response_cache", "compression", "routing", "prompt_cache", "batch"}
    absent = [rung for rung in told.rungs if rung.marginal_usd_month.value is None]
    assert len(absent) == 5 - len({LEVERS[i].rung for i in there})
    for rung in absent:
        assert rung.evidence and rung.marginal_usd_month.note.startswith("needs ") and not rung.headline


def test_without_a_month_there_are_shares_but_no_amounts():
    ladder = ladder_of({0: 100}, month=NO_MONTH)
    told = rungs_of(ladder, evidence((0,)))
    rung = told.rungs[0]
    assert rung.headline and rung.marginal_usd_month.value is None and rung.order_range is None
    assert rung.saving_share == pytest.approx(0.1)
    assert after_of(ladder, told, PER_1K).defensible.saving_share == pytest.approx(0.1)
    assert opportunities_of(ladder, evidence((0,)), told, str, 800.0) == []


@pytest.mark.parametrize(("minimum_share", "cash_share"), [(0.0, 1.0), (0.95, 0.5), (1.0, 0.0), (2.0, 0.0)])
def test_below_the_minimum_a_saving_is_no_cash(minimum_share: float, cash_share: float):
    """1000 an hour of which the cache saves 100; of a minimum of 95 % of the month's cost it saves the first half."""
    plain = ladder_of({0: 100})
    month = 1000 * 730 / 1e9
    terms = Contract(minimum_usd_month=minimum_share * month)
    bound = replace(plain, contract={"": terms})
    usage, rung = (rungs_of(ladder, evidence((0,))).rungs[0] for ladder in (plain, bound))
    assert usage.cash_usd_month == usage.usage_usd_month == rung.usage_usd_month
    assert value(rung.cash_usd_month) == pytest.approx(cash_share * 0.1 * month)
    assert (rung.cash_usd_month.basis, rung.cash_usd_month.note) == ("assumed", CASH_NOTE)
    paid = after_of(bound, rungs_of(bound, evidence((0,))), exact(1, "USD/1k requests", "priced")).defensible
    assert paid.cash_usd_month is not None
    assert value(paid.cash_usd_month) == pytest.approx(max(minimum_share, 0.9) * month)


def test_opportunities_of_a_lever_are_its_saving_by_site_by_hand():
    """The lever saves 300 + 100 at two sites and costs 50 at a third: 350 a month's worth, of which 300 and 100 shown.

    A month is 1000 logs: $0.0003 and $0.0001. Two days' work at $800 are repaid by $0.0003 / 30.42 a day.
    """
    sums = np.tile(np.array([[1000], [2000], [3000]]), (1, N_SETS))
    sums[:, 1] -= [300, 100, -50]
    ladder = Ladder(
        by_hour=Keyed(np.array([0]), sums.sum(axis=0)[None, :]), by_site=Keyed(np.arange(3).astype(np.uint64), sums),
        month=month_of(None, None, requests=1000, month_requests=1e6), columns=np.arange(N_SETS),
    )  # fmt: skip
    told = rungs_of(ladder, evidence((0,)))
    first, second = opportunities_of(ladder, evidence((0,)), told, "site-{}".format, 800.0)
    assert (first.call_site, second.call_site) == ("site-0", "site-1")
    assert value(first.usd_month) == pytest.approx(300e-9 * 1000)
    assert value(second.usd_month) == pytest.approx(100e-9 * 1000)
    assert first.payback_days == pytest.approx(1600 / (300e-6 / (730 / 24)))
    assert first.lever == "response_cache" and first.risk == "none" and first.effort_days == 2


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_opportunities_are_sorted_and_add_up_where_no_site_loses(seed: int):
    ladder = random_ladder(seed, A_MILLION)
    told = rungs_of(ladder, evidence())
    found = opportunities_of(ladder, evidence(), told, str, 800.0)
    lows = [o.usd_month.low or 0.0 for o in found]
    assert lows == sorted(lows, reverse=True)
    for position, lever in enumerate(told.counted):
        before, after = mask_of(told.counted[:position]), mask_of(told.counted[: position + 1])
        saved = ladder.by_site.column(before) - ladder.by_site.column(after)
        if (saved > 0.001 * ladder.totals[0]).all():
            label = LEVERS[lever].label
            mine = [o for o in found if o.evidence.startswith(label)]
            rung = by_label(told.rungs)[label]
            assert sum(value(o.usd_month) for o in mine) == pytest.approx(value(rung.marginal_usd_month))


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_a_site_that_would_lose_is_no_opportunity(seed: int):
    ladder = random_ladder(seed, A_MILLION)
    told = rungs_of(ladder, evidence())
    assert all(value(o.usd_month) > 0 for o in opportunities_of(ladder, evidence(), told, str, 800.0))
