"""Cost facts of profiles/tco/*.yaml, each with range, unit, source and date; what they serve for is not known here."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import cast

from costplan.errors import CostplanError
from costplan.profiles import Section, check_keys, number, profile_path, read_yaml

_KEYS = ("value", "low", "high", "unit", "source", "checked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A figure taken for granted, with the plausible range that a reader may disagree within."""

    value: float
    low: float
    high: float
    unit: str
    source: str
    checked: str = ""


def fact(name: str) -> Fact:
    """`people.fte_share` is the entry `fte_share` of profiles/tco/people.yaml."""
    file, _, key = name.partition(".")
    return _facts(file)[key]


def given(value: float, unit: str, source: str) -> Fact:
    """What the user stated: a figure without a range."""
    return Fact(value=value, low=value, high=value, unit=unit, source=source)


def times(one: Fact, factor: Fact) -> Fact:
    """The product of two facts; its range is that of both together."""
    source = f"{one.source}; times {factor.value:g} ({factor.unit}: {factor.source})"
    return Fact(
        value=one.value * factor.value, low=one.low * factor.low, high=one.high * factor.high, unit=one.unit,
        source=source, checked=min(filter(None, (one.checked, factor.checked)), default=""),
    )  # fmt: skip


def stand_in(api_model: str) -> tuple[str, str]:
    """(open model that stands in for an API model, on whose word)."""
    top = read_yaml(profile_path("tco", "equivalents.yaml"))
    name = api_model.lower()
    for pair in cast(list[Section], top.values["models"]):
        if str(pair.values["api"]) in name:
            return str(pair.values["open"]), str(top.values["source"])
    return str(top.values["default"]), str(top.values["source"])


@cache
def _facts(file: str) -> dict[str, Fact]:
    top = read_yaml(profile_path("tco", f"{file}.yaml"))
    return {name: _fact(section, name) for name, section in top.values.items()}


def _fact(section: object, name: str) -> Fact:
    if not isinstance(section, Section):
        raise CostplanError(f"{name}: must hold value, low, high, unit, source, checked", hint=f"{name}: {{value: 1}}")
    check_keys(section, _KEYS, _KEYS)
    value, low, high = (number(section, key) for key in ("value", "low", "high"))
    if not low <= value <= high:
        raise CostplanError(f"{section.where('value')}: '{name}' lies outside its range", hint="low <= value <= high")
    checked = section.values["checked"]
    if not isinstance(checked, date):
        raise CostplanError(f"{section.where('checked')}: 'checked' must be a date", hint="checked: 2026-11-23")
    unit, source = str(section.values["unit"]), str(section.values["source"])
    return Fact(value=value, low=low, high=high, unit=unit, source=source, checked=checked.isoformat())
