"""List prices from genai-prices as dated quotes; imports it lazily (0.4 s), never calls it per row, judges no age."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from costplan.prices.names import lookups, vouches
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_DAY

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Steps = tuple[tuple[int, float], ...]
"""(applies above this many input tokens, USD per unit), ascending, the first from -1."""
Prices = Mapping[str, Steps]
"""By genai-prices usage key, such as `cache_read_tokens` or `web_searches`."""

CONTEXTS = {
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    "flex": {"service_tier": "flex"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What one seller asks at one instant: the standard price and, where known, the price of the tier asked for."""

    standard: Prices
    tier: Prices | None
    model: str
    provider: str
    source: str
    effective: str
    """First day of this price, ISO; "" when the source gives none."""
    assumed: tuple[str, ...] = ()
    is_list_price: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """Quotes over time: `at(time_us)` is constant between two of `starts_us` and, within a day, of `times_us`."""

    starts_us: tuple[int, ...]
    times_us: tuple[int, ...]
    at: Callable[[int], Quote]


def list_offer(provider: str, model: str, tier: str) -> Offer | str:
    """The list price of a model as logged, or, as text, why there is none."""
    from genai_prices.data_snapshot import get_snapshot

    wanted = lookups(provider, model)
    if isinstance(wanted, str):
        return wanted
    providers = get_snapshot().providers
    by_id = {each.id: each for each in providers}
    for lookup in wanted:
        seller = by_id.get(lookup.provider)
        for ref in lookup.refs if seller else ():
            assert seller is not None
            found = seller.find_model(ref, all_providers=providers)
            if found is not None and (_names_it(found.match, ref) or vouches(ref, found.id)):
                return _offer(seller, found, tier, (lookup.note,) if lookup.note else ())
    return "no price known for this model"


def nearest(model: str) -> list[str]:
    """Up to three known names that resemble an unknown one, best first."""
    return difflib.get_close_matches(model.strip().lower().rpartition("/")[2], _known_names(), 3, 0.7)


def _offer(seller: "Provider", model: "ModelInfo", tier: str, notes: tuple[str, ...]) -> Offer:
    from genai_prices.types import ConditionalPrice, ModelPrice, StartDateConstraint, TimeOfDateConstraint

    listed = [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices
    context = CONTEXTS.get(tier, {})
    # A host that sells another maker's model at the maker's list price does not sell the maker's tiers.
    own = any(model is each for each in seller.models)
    variants = [v for v in model.price_variants or () if own and v.when.items() <= context.items()]
    limits = [each.constraint for each in (*listed, *variants)]
    starts = sorted({day_us(each.start_date) for each in limits if isinstance(each, StartDateConstraint)})
    times = {t for each in limits if isinstance(each, TimeOfDateConstraint) for t in (each.start_time, each.end_time)}
    later = min(
        (v.constraint.start_date for v in variants if isinstance(v.constraint, StartDateConstraint)), default=None
    )

    def at(time_us: int) -> Quote:
        moment = EPOCH + timedelta(microseconds=time_us)
        standard, assumed, tier_prices = _prices(model.get_prices(moment)), notes, None
        if any(v.constraint is None or v.constraint.active(moment) for v in variants):
            tier_prices = _prices(model.get_prices(moment, context))
        elif later is not None:
            # The tier is older than its first recorded price: keep its ratio to the standard price.
            first = EPOCH + timedelta(microseconds=day_us(later))
            then = _prices(model.get_prices(first)), _prices(model.get_prices(first, context))
            tier_prices = {key: _scaled(standard[key], *(each.get(key) for each in then)) for key in standard}
            assumed = (*notes, f"{tier} price known from {later} only, its ratio to standard applied before")
        active = [start for start in starts if start <= time_us]
        return Quote(
            standard=standard,
            tier=tier_prices,
            model=model.id,
            provider=seller.id,
            source=f"genai-prices {version('genai-prices')}",
            effective=(EPOCH + timedelta(microseconds=active[-1])).date().isoformat() if active else "",
            assumed=assumed,
        )

    return Offer(tuple(starts), tuple(sorted(_time_us(each) for each in times)), at)


def _prices(price: "ModelPrice") -> Prices:
    from genai_prices.types import TieredPrices
    from genai_prices.units import _get_registry as registry  # pyright: ignore[reportPrivateUsage]

    found: dict[str, Steps] = {}
    for key, value in price.__dict__.items():
        if value is None:
            continue
        unit = registry().unit_for_price_key(key)
        steps: list[tuple[int, Any]] = [(-1, value)]
        if isinstance(value, TieredPrices):
            steps = [(-1, value.base), *((tier.start, tier.price) for tier in value.tiers)]
        found[unit.usage_key] = tuple((above, float(usd / unit.per)) for above, usd in steps)
    return found


def _scaled(steps: Steps, before: Steps | None, after: Steps | None) -> Steps:
    """Each step times the ratio of the two first steps; unchanged where there is nothing to compare."""
    ratio = after[0][1] / before[0][1] if before and after and before[0][1] else 1.0
    return tuple((above, usd * ratio) for above, usd in steps)


def _names_it(match: Any, ref: str) -> bool:
    """Whether the price data spells the whole name (or an anchored pattern of it), so that no guard is needed."""
    clauses = getattr(match, "or_", None) or [match]
    return any(
        clause.is_match(ref) and (getattr(clause, "regex", "").endswith("$") or ref in vars(clause).values())
        for clause in clauses
    )


@cache
def _known_names() -> list[str]:
    from genai_prices.data_snapshot import get_snapshot

    return sorted({model.id.lower() for provider in get_snapshot().providers for model in provider.models})


def day_us(day: Any) -> int:
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def _time_us(time: Any) -> int:
    zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
    utc = datetime.combine(EPOCH.date(), zoned).astimezone(UTC)
    return (utc - EPOCH) // timedelta(microseconds=1) % DAY_US
