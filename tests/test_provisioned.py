"""Provisioned units: a case worked by hand, a brute-force reference, and the command on a log."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.economics.provisioned import Demand, candidates, spill_of
from costplan.errors import UsageError
from costplan.prices.contract import UnitOffer
from costplan.report.provisioned import markdown_section, sentence
from costplan.results import Estimate
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.levers.logs import analyzed, call

TERMS = """contract:
  openai:
    provisioned:
      - {model: gpt-4o, usd_per_unit_hour: %s, tokens_per_minute_per_unit: 1000, minimum_units: 1, output_weight: 4}
"""


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def by_the_hour(calls_of: dict[int, int]) -> list[dict[str, Any]]:
    """Three days from midnight to midnight; in every minute calls of (1000, 250) tokens, by hour of the day."""
    return [
        call(
            86_400 * day + 3600 * hour + 60 * minute + n, f"{day}-{hour}-{minute}-{n}", model="gpt-4o",
            tokens=(1000, 250),
        )
        for day in range(3)
        for hour in range(24)
        for minute in range(60)
        for n in range(calls_of.get(hour, 1))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One call a minute, six in the hour from noon."""
    path = tmp_path_factory.mktemp("ptu") / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in by_the_hour({12: 6})))
    return path


def test_units_worked_by_hand(log: Path, tmp_path: Path):
    """gpt-4o at $2.50 / $10: a call is $0.005 and 1000 + 4 x 250 = 2000 counted tokens, $2.50 a million.

    A unit serves 60,000 counted tokens an hour, $0.15 of pay-as-you-go, for $0.10: break-even at 2/3 utilisation.
    In 23 hours of the day two units are full (2000 a minute); from noon 12,000 a minute are asked for. Two units: $0.20
    an hour; beyond them go 10,000 a minute, $1.50 in that hour: 730 x 0.20 + 30.4167 x 1.50 = $191.625. Pay-as-you-go:
    29 x 60 x $0.005 = $8.70 a day, $264.625 a month.
    """
    prices = tmp_path / "prices.yaml"
    prices.write_text(TERMS % "0.10")
    (found,) = analyzed(tmp_path, log, prices=prices, ptu=True, semantic="off").plan.provisioned
    assert found.units == 2
    assert value(found.pay_as_you_go_usd_month) == pytest.approx(8.7 * 730 / 24)
    assert value(found.cost_usd_month) == pytest.approx(730 * 0.20 + 730 / 24 * 1.5)
    assert value(found.saving_usd_month) == pytest.approx(8.7 * 730 / 24 - 730 * 0.20 - 730 / 24 * 1.5)
    assert found.break_even_utilisation == pytest.approx(2 / 3)
    assert (found.utilisation, found.utilisation_by_hour) == (1.0, [1.0] * 24)
    assert (found.minutes, found.spill_minutes) == (4320, 180)
    assert found.spill_token_share == pytest.approx(10 / (12 + 23 * 2))
    assert "2 units" in sentence(found) and "break-even at 66.7%" in sentence(found)
    assert any("| 2 | $" in block for block in markdown_section([found]))


def test_units_that_cost_more_when_full_are_not_bought(log: Path, tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(TERMS % "0.30")
    (found,) = analyzed(tmp_path, log, prices=prices, ptu=True, semantic="off").plan.provisioned
    assert found.units == 0 and value(found.saving_usd_month) == 0
    assert found.break_even_utilisation == pytest.approx(2)
    assert "pay-as-you-go is cheapest" in sentence(found) and "no unit reaches" in sentence(found)


def test_without_an_offer_the_hint_says_what_to_write(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        analyzed(tmp_path, [call(0)], ptu=True)
    assert "offers no provisioned units" in caught.value.message and "usd_per_unit_hour" in caught.value.hint


def test_without_a_month_nothing_is_sized(tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(TERMS % "0.10")
    (found,) = analyzed(tmp_path, [call(0, model="gpt-4o")], prices=prices, ptu=True).plan.provisioned
    assert found.units is None and found.cost_usd_month.value is None and "not sized" in sentence(found)


minutes = st.lists(st.tuples(st.integers(1, 5000), st.floats(0, 2)), min_size=1, max_size=40)


@settings(deadline=None)
@given(minutes, st.integers(100, 900), st.one_of(st.none(), st.floats(0, 50)), st.integers(1, 4), st.integers(1, 4))
def test_every_number_of_units_spills_what_a_loop_over_the_minutes_says(
    drawn: list[tuple[int, float]], held: int, rate: float | None, least: int, step: int
):
    offer = UnitOffer(
        model="m", usd_per_unit_hour=0.001, tokens_per_minute_per_unit=held, spill_over_usd_per_mtok=rate,
        minimum_units=least, step_units=step,
    )  # fmt: skip
    tokens, usd = (np.array(column, dtype=np.float64) for column in zip(*drawn, strict=True))
    demand = Demand(np.arange(len(drawn)), tokens, usd, (0, 0))
    units = candidates(demand, offer, 1000.0)
    assert units[0] == 0 and (np.diff(units[1:]) == step).all() and (units[1:] >= least).all()
    spill = spill_of(demand, units, offer)
    for at, n in enumerate(units.tolist()):
        over = [max(0.0, asked - n * held) for asked, _ in drawn]
        priced = [o * d / asked for o, (asked, d) in zip(over, drawn, strict=True)]
        if rate is not None and n:
            priced = [o * rate / 1e6 for o in over]
        assert spill.usd[at] == pytest.approx(sum(priced), abs=1e-9)
        assert spill.tokens[at] == pytest.approx(sum(over), abs=1e-6)
        assert spill.minutes[at] == sum(o > 0 for o in over)


@settings(deadline=None)
@given(minutes, st.integers(1, 900), st.floats(0.001, 1), st.integers(1, 4))
def test_no_number_of_units_that_is_left_out_is_cheaper(
    drawn: list[tuple[int, float]], held: int, price: float, step: int
):
    offer = UnitOffer(model="m", usd_per_unit_hour=price, tokens_per_minute_per_unit=held, step_units=step)
    tokens, usd = (np.array(column, dtype=np.float64) for column in zip(*drawn, strict=True))
    demand, factor = Demand(np.arange(len(drawn)), tokens, usd, (0, 0)), 10.0

    def cheapest(units: np.ndarray[Any, Any]) -> float:
        return float((units * price * 730 + spill_of(demand, units, offer).usd * factor).min())

    wide = np.append(0, 1 + step * np.arange(6000 // held + 2))
    assert cheapest(candidates(demand, offer, factor)) == pytest.approx(cheapest(wide), rel=1e-9, abs=1e-9)
