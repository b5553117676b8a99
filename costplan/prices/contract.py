"""What a contract makes of a month's bill: usage in, cash out; knows no lever and no log.

    contract:
      openai:                        # terms of one provider; terms that stand under no provider hold for all others
        discount: 0.10               # share off every list or own price
        volume_tiers:                # marginal steps: what a month uses above a bound has that step's discount
          - {above_usd_month: 50000, discount: 0.15}
        minimum_usd_month: 50000     # paid even where less is used; or minimum_usd_year
        minimum_until: 2027-03-31    # last day of the commitment; without it, it does not end
        minimum_used_usd: 100000     # of minimum_usd_year: what was already paid; then minimum_until is needed
        credits_usd: 20000           # prepaid or granted; they pay the bill first, until they are used up
        credits_until: 2026-12-31    # last day on which they can be used
        until: 2027-12-31            # last day of the contract; after it every term is void, cash follows usage
        provisioned:                 # an offer, sized by `costplan analyze --ptu`
          - model: gpt-4o
            usd_per_unit_hour: 1.00
            tokens_per_minute_per_unit: 2500
            minimum_units: 15
            step_units: 5                  # optional, 1
            output_weight: 3               # optional, 1: input tokens that an output token counts as
            spill_over_usd_per_mtok: 5.00  # optional, per counted token; without it pay-as-you-go

Cash is that of the month that begins at the price date. A yearly minimum is spread evenly over its months: a twelfth
each, or, with `minimum_used_usd`, what is left of it over the months that are left (days / 30.4, at least one).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

from costplan.errors import CostplanError
from costplan.prices.names import provider_id
from costplan.profiles import Section, check_keys, number, text
from costplan.units import HOURS_PER_MONTH

OTHERS = ""
"""The seller whose terms hold for everything that no provider's own terms cover."""
_NUMBERS = (
    "discount", "minimum_usd_month", "minimum_usd_year", "minimum_used_usd", "credits_usd",
)  # fmt: skip
_DATES = {"minimum_until": "minimum_usd_month", "credits_until": "credits_usd", "until": ""}
_KEYS = (*_NUMBERS, *_DATES, "volume_tiers", "provisioned")
_UNIT_NUMBERS = (
    "usd_per_unit_hour", "tokens_per_minute_per_unit", "minimum_units", "step_units", "output_weight",
    "spill_over_usd_per_mtok",
)  # fmt: skip
UNIT_TERMS = ("model", *_UNIT_NUMBERS[:2])
"""What an offer of provisioned units must say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOffer:
    """Provisioned throughput as it is sold."""

    model: str
    usd_per_unit_hour: float
    tokens_per_minute_per_unit: float
    minimum_units: int = 1
    step_units: int = 1
    output_weight: float = 1.0
    spill_over_usd_per_mtok: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The terms of one seller; the empty one changes nothing."""

    discount: float = 0.0
    volume_tiers: tuple[tuple[float, float], ...] = ()
    """(USD a month above which it holds, discount), bounds in order."""
    minimum_usd_month: float = 0.0
    minimum_usd_year: float = 0.0
    minimum_used_usd: float | None = None
    minimum_until: date | None = None
    credits_usd: float = 0.0
    credits_until: date | None = None
    until: date | None = None
    provisioned: tuple[UnitOffer, ...] = ()

    def cash(self, usage_usd: float, day: date | None) -> float:
        """What is paid for a month of usage that begins on `day` (None: not known, every term is taken to hold)."""
        if not _holds(self.until, day):
            return usage_usd
        bill = self.discounted(usage_usd)
        if _holds(self.minimum_until, day):
            bill = max(bill, self.minimum(day))
        return max(0.0, bill - self.credits_usd) if _holds(self.credits_until, day) else bill

    def discounted(self, usage_usd: float) -> float:
        """A month of usage less discounts: each part of it has the discount of the step that it lies in."""
        steps = ((0.0, self.discount), *self.volume_tiers)
        ends = [*(bound for bound, _ in steps[1:]), float("inf")]
        first, *rest = zip(steps, ends, strict=True)
        bill = min(usage_usd, first[1]) * (1 - self.discount)  # a saving may exceed the cost: negative usage
        return bill + sum(max(0.0, min(usage_usd, end) - bound) * (1 - share) for (bound, share), end in rest)

    def minimum(self, day: date | None) -> float:
        """The month's part of what must be paid."""
        left = self.minimum_usd_year / 12
        if self.minimum_used_usd is not None and self.minimum_until is not None and day is not None:
            months = ((self.minimum_until - day).days + 1) * 24 / HOURS_PER_MONTH
            left = max(0.0, self.minimum_usd_year - self.minimum_used_usd) / max(1.0, months)
        return max(self.minimum_usd_month, left)

    def __str__(self) -> str:
        tiers = (f"{share:.1%} above ${bound:,.0f}/month" for bound, share in self.volume_tiers)
        used = "" if self.minimum_used_usd is None else f" of which ${self.minimum_used_usd:,.0f} is paid"
        terms = (
            (self.discount, f"{self.discount:.1%} discount"),
            (self.volume_tiers, ", ".join(tiers)),
            (self.minimum_usd_month, f"${self.minimum_usd_month:,.0f}/month minimum{_until(self.minimum_until)}"),
            (self.minimum_usd_year, f"${self.minimum_usd_year:,.0f}/year minimum{used}{_until(self.minimum_until)}"),
            (self.credits_usd, f"${self.credits_usd:,.0f} credits{_until(self.credits_until)}"),
            (self.provisioned, f"{len(self.provisioned)} offer(s) of provisioned units, in no cash figure"),
            (self.until, f"all{_until(self.until)}"),
        )
        return ", ".join(said for value, said in terms if value)


Contracts = Mapping[str, Contract]
"""Terms by provider; those of `OTHERS` hold for the rest."""


def sellers_of(contracts: Contracts) -> list[str]:
    """Providers with terms of their own."""
    return sorted(name for name in contracts if name != OTHERS)


def cash_of(contracts: Contracts, usage_usd: float, shares: Mapping[str, float], day: date | None) -> float:
    """What is paid for a month of usage of which `shares` lie with sellers that have terms of their own."""
    rest = 1.0 - sum(shares.values())
    parts = [*shares.items(), (OTHERS, rest)]
    return sum(contracts.get(name, Contract()).cash(usage_usd * share, day) for name, share in parts)


def describe(contracts: Contracts, day: date | None) -> str:
    """The terms in one line, with those that are over on `day`."""
    told = "; ".join(f"{name}: {terms}" if name else str(terms) for name, terms in contracts.items())
    over = [
        f"{name} {end.isoformat()}".strip()
        for name, terms in contracts.items()
        for end in (terms.until or terms.minimum_until,)
        if end is not None and not _holds(end, day)
    ]
    return f"{told} (over since {', '.join(over)}: cash follows usage)" if over else told


def _holds(until: date | None, day: date | None) -> bool:
    return until is None or day is None or day <= until


def _until(day: date | None) -> str:
    return "" if day is None else f" until {day.isoformat()}"


def read_contract(section: Section) -> dict[str, Contract]:
    """The checked terms by provider, empty where there are none."""
    sellers = {name: terms for name, terms in section.values.items() if isinstance(terms, Section)}
    for key in ("volume_tiers", "provisioned"):
        if key in sellers:
            raise _wrong(section, key, "must be a list", f"start each of {key} with `- `")
    found = {provider_id(name) or name.lower(): _terms(terms) for name, terms in sellers.items()}
    rest = {key: value for key, value in section.values.items() if key not in sellers}
    if rest:
        found[OTHERS] = _terms(Section(section.path, section.line, rest, section.lines))
    return found


def _terms(section: Section) -> Contract:
    check_keys(section, _KEYS)
    given = section.values
    for end, of in _DATES.items():
        minimum = of != "minimum_usd_month" or "minimum_usd_year" in given
        if end in given and (
            not isinstance(given[end], date) or (of and of not in given and not (minimum and of == "minimum_usd_month"))
        ):
            raise _wrong(
                section, end, f"must be the last day of '{of or 'the contract'}'", f"{of}: 50000, {end}: 2027-03-31"
            )
    if "minimum_used_usd" in given and not {"minimum_usd_year", "minimum_until"} <= given.keys():
        raise _wrong(
            section, "minimum_used_usd", "needs minimum_usd_year and minimum_until", "minimum_until: 2027-03-31"
        )
    if {"minimum_usd_month", "minimum_usd_year"} <= given.keys():
        raise _wrong(section, "minimum_usd_year", "stands beside minimum_usd_month", "leave one of them out")
    terms: dict[str, Any] = {
        key: number(section, key, high=1.0 if key == "discount" else float("inf")) for key in _NUMBERS if key in given
    }
    tiers = [_tier(each) for each in _items(section, "volume_tiers")]
    if [bound for bound, _ in tiers] != sorted({bound for bound, _ in tiers}):
        raise _wrong(section, "volume_tiers", "must go up, each bound once", "lowest above_usd_month first")
    units = tuple(_offer(each) for each in _items(section, "provisioned"))
    return Contract(
        **terms, **{key: given[key] for key in _DATES if key in given}, volume_tiers=tuple(tiers), provisioned=units
    )


def _tier(section: Section) -> tuple[float, float]:
    keys = ("above_usd_month", "discount")
    check_keys(section, keys, required=keys)
    return number(section, keys[0]), number(section, keys[1], high=1.0)


def _offer(section: Section) -> UnitOffer:
    check_keys(section, ("model", *_UNIT_NUMBERS), required=UNIT_TERMS)
    given: dict[str, Any] = {key: number(section, key) for key in _UNIT_NUMBERS if key in section.values}
    for key in ("minimum_units", "step_units"):
        if given.get(key, 1) != int(given.get(key, 1)) or given.get(key, 1) < 1:
            raise _wrong(section, key, "must be a whole number of units, at least 1", f"{key}: 1")
        given[key] = int(given.get(key, 1))
    if not given["tokens_per_minute_per_unit"]:
        raise _wrong(section, "tokens_per_minute_per_unit", "must be above zero", "tokens_per_minute_per_unit: 2500")
    return UnitOffer(model=text(section, "model"), **given)


def _items(section: Section, key: str) -> Sequence[Section]:
    found: object = section.values.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, Section) for each in cast(list[Any], found)):
        raise _wrong(section, key, "must be a list of mappings", f"start each of {key} with `- `")
    return cast(list[Section], found)


def _wrong(section: Section, key: str, says: str, hint: str) -> CostplanError:
    return CostplanError(f"{section.where(key)}: '{key}' {says}", hint=hint)
