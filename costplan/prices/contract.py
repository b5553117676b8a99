"""What a contract makes of a month's bill: usage in, cash out; knows no lever and no log.

    contract:
      discount: 0.10               # share off every list or own price, on the whole bill
      minimum_usd_month: 50000     # paid even where less is used
      minimum_until: 2027-03-31    # last day of the commitment; without it, it does not end
      credits_usd: 20000           # prepaid or granted; they pay the bill first
      credits_until: 2026-12-31    # last day on which they can be used

One contract holds for all usage of the log. Cash is that of the month that begins at the price date.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from costplan.errors import CostplanError
from costplan.profiles import Section, check_keys, number

_KEYS = ("discount", "minimum_usd_month", "minimum_until", "credits_usd", "credits_until")
_NOT_BUILT = ("volume_tiers", "tiers", "provisioned", "provisioned_units")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The terms; the empty one changes nothing."""

    discount: float = 0.0
    minimum_usd_month: float = 0.0
    minimum_until: date | None = None
    credits_usd: float = 0.0
    credits_until: date | None = None

    def cash(self, usage_usd: float, day: date | None) -> float:
        """What is paid for a month of usage that begins on `day` (None: not known, every term is taken to hold)."""
        bill = usage_usd * (1 - self.discount)
        if _holds(self.minimum_until, day):
            bill = max(bill, self.minimum_usd_month)
        return max(0.0, bill - self.credits_usd) if _holds(self.credits_until, day) else bill

    def __str__(self) -> str:
        terms = (
            (self.discount, f"{self.discount:.1%} discount"),
            (self.minimum_usd_month, f"${self.minimum_usd_month:,.0f}/month minimum{_until(self.minimum_until)}"),
            (self.credits_usd, f"${self.credits_usd:,.0f} credits{_until(self.credits_until)}"),
        )
        return ", ".join(text for value, text in terms if value)


def _holds(until: date | None, day: date | None) -> bool:
    return until is None or day is None or day <= until


def _until(day: date | None) -> str:
    return "" if day is None else f" until {day.isoformat()}"


def read_contract(section: Section) -> Contract | None:
    """The checked terms, None where there are none; what is not built is refused, not ignored."""
    if not section.values:
        return None
    for key in _NOT_BUILT:
        if key in section.values:
            raise CostplanError(
                f"{section.where(key)}: '{key}' is not in this version", hint=f"leave it out; known: {', '.join(_KEYS)}"
            )
    check_keys(section, _KEYS)
    for end, of in (("minimum_until", "minimum_usd_month"), ("credits_until", "credits_usd")):
        if end in section.values and (not isinstance(section.values[end], date) or of not in section.values):
            raise CostplanError(
                f"{section.where(end)}: '{end}' must be the last day of '{of}'", hint=f"{of}: 50000, {end}: 2027-03-31"
            )
    terms: Mapping[str, Any] = {
        key: value if key.endswith("until") else number(section, key, high=1.0 if key == "discount" else float("inf"))
        for key, value in section.values.items()
    }
    return Contract(**terms)
