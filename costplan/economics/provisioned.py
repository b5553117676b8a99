"""Provisioned throughput beside pay-as-you-go, on the demand of every minute; where the terms come from is not known.

A month of n units costs n x price x 730 h plus what spills over: of a minute's demand (input tokens plus output tokens
times their weight), the part above n x tokens per minute per unit, at the spill-over rate, or at what the log's tokens
of that minute cost by pay-as-you-go. Sums over all minutes come from sorted demand and suffix sums, so every number of
units is compared. What a unit's tokens cost equals pay-as-you-go at the break-even utilisation,
price per unit-hour / (tokens per unit and hour x pay-as-you-go USD per token).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Summary
from costplan.economics import Tables
from costplan.errors import UsageError
from costplan.kinds import model_of
from costplan.month import Month
from costplan.prices.contract import UnitOffer
from costplan.prices.names import provider_id
from costplan.results import Estimate, Provisioned, UnitsRow, unknown
from costplan.units import HOURS_PER_MONTH, NANOS_PER_USD, TOKENS_PER_MTOK

Floats = NDArray[np.float64]
_SHOWN = 24
_HINT = (
    "in --prices, under contract: {openai: {provisioned: [{model: gpt-4o, usd_per_unit_hour: 1.00, "
    "tokens_per_minute_per_unit: 2500, minimum_units: 15, step_units: 5}]}}"
)


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """The minutes with a call of one model, of the hours that make the month."""

    minute: NDArray[np.int64]
    """Epoch minutes."""
    tokens: Floats
    usd: Floats
    """At pay-as-you-go prices of the price date."""
    hours: tuple[int, int]
    """First and last epoch hour that counts."""

    @property
    def n_hours(self) -> int:
        return self.hours[1] - self.hours[0] + 1


@dataclass(frozen=True, slots=True, eq=False)
class Spill:
    """By number of units: what goes beyond them in the demand's minutes."""

    usd: Floats
    tokens: Floats
    minutes: NDArray[np.int64]


def spill_of(demand: Demand, units: NDArray[np.int64], offer: UnitOffer) -> Spill:
    """What goes beyond each number of units; of none at all everything does, at pay-as-you-go."""
    order = np.argsort(demand.tokens, kind="stable")
    tokens, usd = demand.tokens[order], demand.usd[order]
    rate = np.divide(usd, tokens, out=np.zeros_like(usd), where=tokens > 0)
    if offer.spill_over_usd_per_mtok is not None:
        rate = np.full_like(usd, offer.spill_over_usd_per_mtok / TOKENS_PER_MTOK)
    held = units * offer.tokens_per_minute_per_unit
    at = np.searchsorted(tokens, held, side="right")
    above, dollars, rates = (_suffix(values) for values in (tokens, rate * tokens, rate))
    minutes = len(tokens) - at
    spilled = np.maximum(0.0, dollars[at] - held * rates[at])
    return Spill(np.where(units > 0, spilled, usd.sum()), above[at] - held * minutes, minutes)


def _suffix(values: Floats) -> Floats:
    return np.append(np.cumsum(values[::-1])[::-1], 0.0)


def provisioned_of(summary: Summary, tables: Tables, month: Month, weight: float) -> list[Provisioned]:
    """One comparison per offer of the contract.

    Raises UsageError where the contract offers no provisioned units.
    """
    offers = [(seller, offer) for seller, terms in tables.rates.contract.items() for offer in terms.provisioned]
    if not offers:
        raise UsageError("--ptu: the price file offers no provisioned units", hint=_HINT)
    return [
        _sized(offer, seller, demand_of(offer, seller, summary, tables, month, weight), month)
        for seller, offer in offers
    ]


def demand_of(
    offer: UnitOffer, seller: str, summary: Summary, tables: Tables, month: Month, weight: float
) -> Demand | None:
    """Priced calls to the offer's model, without batches, by minute; None without a month or a call."""
    if not month.n_blocks:
        return None
    numbers = list(_kinds(offer, seller, tables))
    group = summary.groups["minute"]
    minute = group.keys >> 20
    hour = minute // 60
    mine = np.isin(group.keys & ((1 << 20) - 1), numbers) & (hour >= month.first_hour) & (hour <= month.last_hour)
    minutes, number = np.unique(minute[mine], return_inverse=True)
    prompt, answer, nanos = (np.bincount(number, group.sums[mine, column], len(minutes)) for column in (4, 5, 6))
    tokens = (prompt + answer * offer.output_weight) * weight
    if not tokens.sum():
        return None
    return Demand(minutes, tokens, nanos / NANOS_PER_USD, (month.first_hour, month.last_hour))


def _kinds(offer: UnitOffer, seller: str, tables: Tables) -> Iterator[int]:
    """Numbers of the kinds of call that the units would serve."""
    for number, kind in enumerate(tables.kinds):
        key = int(tables.kind_key[number])
        if key in tables.rates.unpriced or kind[3] == "batch":
            continue
        note = tables.rates.describe(key)
        sellers = ("", note.provider.lower(), provider_id(kind[0]), kind[0].lower())
        if seller in sellers and offer.model.lower() in (note.model.lower(), model_of(kind).lower(), kind[1].lower()):
            yield number


def candidates(demand: Demand, offer: UnitOffer, factor: float) -> NDArray[np.int64]:
    """None, and every number on offer up to the demand's peak or to where units alone cost more than none."""
    peak = int(np.ceil(demand.tokens.max() / offer.tokens_per_minute_per_unit))
    a_unit = offer.usd_per_unit_hour * HOURS_PER_MONTH
    most = min(peak, int(demand.usd.sum() * factor / a_unit)) if a_unit else peak
    steps = max(0, -(-(most - offer.minimum_units) // offer.step_units))
    return np.append(0, offer.minimum_units + offer.step_units * np.arange(steps + 1))


def _sized(offer: UnitOffer, seller: str, demand: Demand | None, month: Month) -> Provisioned:
    terms: dict[str, Any] = {
        "model": offer.model, "provider": seller, "usd_per_unit_hour": offer.usd_per_unit_hour,
        "tokens_per_minute_per_unit": offer.tokens_per_minute_per_unit, "output_weight": offer.output_weight,
        "minimum_units": offer.minimum_units, "step_units": offer.step_units,
    }  # fmt: skip
    if demand is None:
        why = f"no priced call to {offer.model} in the hours that make the month"
        if not month.n_blocks:
            why = month.missing or "--month-requests says how many calls, not in which minutes: leave it out"
        nothing = unknown("USD/month", why)
        return Provisioned(**terms, pay_as_you_go_usd_month=nothing, cost_usd_month=nothing, saving_usd_month=nothing)
    factor = month.blocks_per_month / month.n_blocks
    units = candidates(demand, offer, factor)
    spill = spill_of(demand, units, offer)
    cost = units * offer.usd_per_unit_hour * HOURS_PER_MONTH + spill.usd * factor
    best = int(np.argmin(cost))
    held = float(units[best] * offer.tokens_per_minute_per_unit)
    served, usd_per_hour = np.minimum(demand.tokens, held), float(units[best] * offer.usd_per_unit_hour)
    all_tokens = demand.tokens.sum()
    full = offer.tokens_per_minute_per_unit * 60 * demand.usd.sum() / all_tokens
    shown = np.unique([0, best, *np.linspace(0, len(units) - 1, _SHOWN).astype(int)])
    spilled = _spilled(demand, held, offer) if held else demand.usd
    return Provisioned(
        **terms,
        units=int(units[best]),
        pay_as_you_go_usd_month=_month(month, demand, demand.usd, 0.0),
        cost_usd_month=_month(month, demand, spilled, usd_per_hour),
        saving_usd_month=_month(month, demand, demand.usd - spilled, -usd_per_hour),
        break_even_utilisation=float(offer.usd_per_unit_hour / full) if full else None,
        utilisation=float(served.sum() / (held * 60 * demand.n_hours)) if held else None,
        utilisation_by_hour=_by_hour(demand, served, held) if held else [],
        minutes=60 * demand.n_hours,
        spill_minutes=int(spill.minutes[best]),
        spill_token_share=float(spill.tokens[best] / all_tokens),
        curve=[_row(int(units[at]), float(cost[at]), float(spill.tokens[at] / all_tokens)) for at in shown],
        note="hangs on tomorrow's minutes being like the log's, all tokens counted alike (cached ones too), and units "
        "that are paid around the clock",
    )


def _row(units: int, usd: float, share: float) -> UnitsRow:
    return UnitsRow(units=units, cost_usd_month=usd, spill_token_share=share)


def _spilled(demand: Demand, held: float, offer: UnitOffer) -> Floats:
    """USD of each minute's spill-over."""
    over = np.maximum(0.0, demand.tokens - held)
    if offer.spill_over_usd_per_mtok is not None:
        return over * offer.spill_over_usd_per_mtok / TOKENS_PER_MTOK
    return np.divide(over * demand.usd, demand.tokens, out=np.zeros_like(over), where=demand.tokens > 0)


def _month(month: Month, demand: Demand, usd: Floats, usd_per_hour: float) -> Estimate:
    """A month of minutes' dollars and of what runs around the clock, with the interval of the log's days."""
    hours = np.arange(demand.hours[0], demand.hours[1] + 1)
    by_hour = np.bincount(demand.minute // 60 - hours[0], usd, len(hours))
    # 730 hours of units, however many hours of the log make the month
    around = usd_per_hour * HOURS_PER_MONTH * month.n_blocks / month.blocks_per_month / len(hours)
    return month.estimate(hours, (by_hour + around) * NANOS_PER_USD, "simulated")


def _by_hour(demand: Demand, served: Floats, held: float) -> list[float]:
    """Share of the units in use, by hour of the day, UTC."""
    hours = np.arange(demand.hours[0], demand.hours[1] + 1) % 24
    there = np.bincount(hours, minlength=24) * 60 * held
    used = np.bincount(demand.minute // 60 % 24, served, 24)
    return [float(part / whole) if whole else 0.0 for part, whole in zip(used, there, strict=True)]
