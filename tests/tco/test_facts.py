"""Every cost fact has a range, a source and a date; a wrong file is an error with its line."""

from datetime import date
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles import profile_path, read_yaml
from costplan.tco import facts
from costplan.tco.facts import Fact, fact, given, stand_in, times

FILES = [path for path in sorted(profile_path("tco").glob("*.yaml")) if path.stem != "equivalents"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_fact_has_a_range_a_source_and_a_date(path: Path):
    for name in read_yaml(path).values:
        found = fact(f"{path.stem}.{name}")
        assert found.low <= found.value <= found.high
        assert len(found.source) > 5 and found.unit
        assert date.fromisoformat(found.checked) <= date(2030, 1, 1)


def test_people_power_and_overhead_are_ranges_and_not_points():
    for name in (
        "people.fte_share",
        "people.salary_usd_year",
        "power.usd_per_kwh",
        "power.pue",
        "ownership.life_years",
    ):
        assert fact(name).low < fact(name).high


def test_a_range_that_does_not_hold_its_value_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tco").mkdir()
    wrong = "x: {value: 5, low: 1, high: 2, unit: u, source: somewhere, checked: 2026-11-23}\n"
    (tmp_path / "tco" / "wrong.yaml").write_text(wrong)
    monkeypatch.setattr(facts, "profile_path", lambda *parts: tmp_path.joinpath(*parts))
    with pytest.raises(CostplanError, match=r"wrong\.yaml:1.*outside its range"):
        fact("wrong.x")


def test_a_product_takes_both_ranges():
    """2 (1-3) times 0.5 (0.4-0.6) = 1 (0.4-1.8)."""
    half = Fact(value=0.5, low=0.4, high=0.6, unit="share", source="b", checked="2026-02-01")
    two = Fact(value=2, low=1, high=3, unit="USD", source="a", checked="2026-01-01")
    product = times(two, half)
    assert (product.value, product.low) == (1.0, 0.4)
    assert product.high == pytest.approx(1.8)
    assert (product.unit, product.checked) == ("USD", "2026-01-01")


def test_what_the_user_states_has_no_range():
    assert given(3, "USD", "--x") == Fact(value=3, low=3, high=3, unit="USD", source="--x")


@pytest.mark.parametrize(
    ("api", "size"), [("gpt-4o-mini", "8B"), ("gpt-4o", "70B"), ("claude-sonnet-4-5", "70B"), ("something-new", "70B")]
)
def test_a_stand_in_is_of_the_same_class_and_says_on_whose_word(api: str, size: str):
    model, source = stand_in(api)
    assert size in model and "judgement" in source
