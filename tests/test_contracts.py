"""From usage to cash: every term by hand, and through the analysis of logs."""

from datetime import date
from pathlib import Path

import pytest
from costplan.prices.contract import Contract, cash_of, describe, read_contract
from costplan.profiles import read_yaml
from costplan.results import Estimate
from hypothesis import given
from hypothesis import strategies as st
from tests.levers.logs import analyzed, call, claude

DAY_S = 86_400
TRACES = Path(__file__).parents[1] / "traces"


def value(estimate: Estimate | None) -> float:
    assert estimate is not None and estimate.value is not None
    return estimate.value


def test_volume_tiers_are_marginal_steps():
    """10 % off to $1,000, 20 % on what is above, 50 % above $3,000: 900 + 1600 + 500."""
    terms = Contract(discount=0.1, volume_tiers=((1000, 0.2), (3000, 0.5)))
    assert [terms.cash(usd, None) for usd in (500, 1000, 2000, 4000)] == [450, 900, 1700, 3000]


@given(st.floats(0, 1e6), st.floats(0, 1e5), st.lists(st.floats(0, 1), max_size=3))
def test_more_usage_never_costs_less(usage: float, more: float, shares: list[float]):
    terms = Contract(volume_tiers=tuple((1e5 * (n + 1), share) for n, share in enumerate(shares)), credits_usd=500)
    assert terms.cash(usage + more, None) >= terms.cash(usage, None) - 1e-6


def test_a_yearly_minimum_is_spread_over_the_months_that_are_left():
    """A twelfth of $120,000; of which $90,000 is paid and 73 days (2.4 months of 730 h) are left: $12,500 a month."""
    day, end = date(2027, 1, 1), date(2027, 3, 14)
    assert Contract(minimum_usd_year=120_000).cash(0, day) == 10_000
    terms = Contract(minimum_usd_year=120_000, minimum_used_usd=90_000, minimum_until=end)
    assert terms.cash(0, day) == pytest.approx(30_000 / 2.4)
    assert terms.cash(0, date(2027, 3, 10)) == 30_000  # less than a month is left: it falls due now
    assert terms.cash(70, date(2027, 3, 15)) == 70


def test_after_its_last_day_a_contract_is_void_and_says_so():
    terms = Contract(discount=0.5, minimum_usd_month=100, credits_usd=7, until=date(2026, 12, 31))
    assert [terms.cash(10, day) for day in (date(2026, 12, 31), date(2027, 1, 1))] == [93, 10]
    assert describe({"openai": terms}, date(2027, 1, 1)).endswith("(over since openai 2026-12-31: cash follows usage)")
    assert "over since" not in describe({"openai": terms}, date(2026, 12, 31))


def test_contracts_of_several_providers_are_added():
    """Of $1,000: 30 % at one provider ($500 minimum), 50 % at another (10 % off), the rest at list price."""
    terms = {"openai": Contract(minimum_usd_month=500), "anthropic": Contract(discount=0.1)}
    assert cash_of(terms, 1000, {"openai": 0.3, "anthropic": 0.5}, None) == pytest.approx(500 + 450 + 200)
    assert cash_of({"": Contract(discount=0.1)}, 1000, {}, None) == 900


def test_terms_are_read_by_provider(tmp_path: Path):
    path = tmp_path / "terms.yaml"
    path.write_text(
        "OpenAI: {discount: 0.1, volume_tiers: [{above_usd_month: 10, discount: 0.2}], until: 2027-01-31}\n"
        "minimum_usd_year: 1200\n"
    )
    assert read_contract(read_yaml(path)) == {
        "openai": Contract(discount=0.1, volume_tiers=((10, 0.2),), until=date(2027, 1, 31)),
        "": Contract(minimum_usd_year=1200),
    }


def two_providers() -> list[dict[str, object]]:
    """Ten days, each with six times the same question to gpt-4o-mini and six times another to Claude."""
    calls = [call(DAY_S * day + n, tokens=(29, 8)) for day in range(10) for n in range(6)]
    calls += [
        claude(DAY_S * day + 30 + n, ["When do you open?"], system="Be short.", tokens=(12, 8))
        for day in range(10)
        for n in range(6)
    ]
    return sorted(calls, key=lambda each: str(each["timestamp"]))


@pytest.mark.parametrize("semantic", ["on", "off"])
def test_each_providers_minimum_binds_its_own_usage_only(tmp_path: Path, semantic: str):
    prices = tmp_path / "prices.yaml"
    prices.write_text("contract:\n  openai: {minimum_usd_month: 1000}\n  anthropic: {discount: 0.25}\n")
    plan = analyzed(tmp_path, two_providers(), prices=prices, semantic=semantic).plan
    spent = {row.key: row.cost_usd or 0.0 for row in plan.unit_economics.by_model}
    share = spent["claude-sonnet-4-5"] / sum(spent.values())
    today = value(plan.baseline.cost_usd_month)
    assert value(plan.baseline.cash_usd_month) == pytest.approx(1000 + 0.75 * share * today, rel=1e-6)
    cache = next(rung for rung in plan.ladder if rung.lever == "response_cache" and rung.headline)
    alone = analyzed(tmp_path, [c for c in two_providers() if "claude" in str(c["request"])], semantic=semantic).plan
    saved = value(next(r for r in alone.ladder if r.lever == "response_cache" and r.headline).usage_usd_month)
    assert value(cache.cash_usd_month) == pytest.approx(0.75 * saved, rel=1e-6)
    assert value(cache.usage_usd_month) > value(cache.cash_usd_month) > 0


@pytest.mark.parametrize("terms", ["{minimum_usd_month: 1000000000}", "{openai: {minimum_usd_year: 1000000000000}}"])
@pytest.mark.parametrize("trace", ["mooncake_conversation_excerpt.jsonl", "azure_conv_excerpt.csv"])
def test_where_the_minimum_is_not_reached_no_rung_saves_cash(tmp_path: Path, terms: str, trace: str):
    """On excerpts of real traces, priced as one model."""
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"contract: {terms}\n")
    plan = analyzed(
        tmp_path, TRACES / trace, prices=prices, month_requests=1_000_000.0, assume_model="gpt-4o", semantic="off"
    ).plan
    counted = [rung for rung in plan.ladder if rung.usage_usd_month.value is not None]
    assert any(value(rung.usage_usd_month) > 0 for rung in counted)
    for rung in counted:
        cash = rung.cash_usd_month
        assert (cash.value, cash.low, cash.high) == (0, 0, 0), rung.label
    assert plan.baseline.cash_usd_month == plan.after.potential.cash_usd_month
