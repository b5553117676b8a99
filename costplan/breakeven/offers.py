"""List prices of an API model and of an open model bought per token; who is cheapest tomorrow is not known here.

Rule for the open model: every seller in genai-prices that lists that very model (same family, version and size; words
such as `instruct`, `turbo` or `fp8` do not count) with both token prices above zero. Resellers that repeat others'
prices are left out, and so are variants of lesser quality (`lite`, `awq`). The median seller at this request's shape is
taken, the cheapest and the dearest are the range.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from importlib.metadata import version

from costplan.errors import CostplanError, UsageError
from costplan.prices import PriceKey, compile_rates, nearest
from costplan.results.breakeven import Offer
from costplan.tco.facts import Fact
from costplan.units import MICROS_PER_SECOND, TOKENS_PER_MTOK

_RESELLERS = re.compile(r"^(openrouter|huggingface_|github-copilot|cursor|typesafe)")
_HARMLESS = frozenset(
    re.findall(r"\w+", "meta instruct turbo versatile instant fast hf chat it maas tput reference free cf")
)
_WORD = re.compile(r"\d+(?:\.\d+)?(?:x\d+)?[bm]?(?![a-z])|[a-z]+")
_NEWEST = date(2100, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Tokens of a request, as the seller counts them."""

    input_tokens: float
    cached_tokens: float
    """Of the input, read from the seller's prompt cache where it sells that."""
    output_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPrice:
    """What a request costs at a model's list price."""

    model: str
    provider: str
    usd_request: float
    source: str


def api_price(model: str, shape: Shape, day: date | None) -> ApiPrice:
    """The list price of today's API model. Raises CostplanError where nobody lists one."""
    import numpy as np

    table = compile_rates([PriceKey("", model)])
    if 0 in table.unpriced:
        near = nearest(model)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "--api-model gpt-4o, or with its seller: groq/gpt-oss-120b"
        )
        raise CostplanError(f"--api-model {model}: {table.describe(0).unpriced}", hint=hint)
    at = np.array([_micros(day or _NEWEST)], np.int64)
    row = int(table.lookup(np.zeros(1, np.int32), at, np.array([int(shape.input_tokens)], np.int64))[0])
    rates, note = table.row(row), table.describe(0, row)
    fresh = shape.input_tokens - shape.cached_tokens
    usd = fresh * rates.input + shape.cached_tokens * rates.cache_read + shape.output_tokens * rates.output
    return ApiPrice(model=note.model, provider=note.provider, usd_request=usd, source=note.source)


def open_offers(model_id: str, shape: Shape, day: date | None, seller: str = "") -> list[Offer]:
    """All sellers by price of such a request, one of them chosen. Raises CostplanError where there is none."""
    from genai_prices.data_snapshot import get_snapshot

    source = f"genai-prices {version('genai-prices')}"
    moment = datetime.combine(day or _NEWEST, time(), UTC)
    wanted = words_of(model_id)
    found: dict[str, Offer] = {}
    for provider in get_snapshot().providers:
        if _RESELLERS.match(provider.id) and provider.id != seller:
            continue
        for model in provider.models:
            if words_of(model.id) != wanted or model.id.endswith(":free"):
                continue
            rates = _rates(model.get_prices(moment))
            if rates is None:
                continue
            usd = _usd(shape, rates)
            best = found.get(provider.id)
            if best is None or usd < best.usd_per_request:
                found[provider.id] = Offer(
                    provider=provider.id, model=model.id, input_usd_per_mtok=rates[0], output_usd_per_mtok=rates[2],
                    usd_per_request=usd, chosen=False, source=source,
                )  # fmt: skip
    offers = sorted(found.values(), key=lambda offer: (offer.usd_per_request, offer.provider))
    if not offers:
        raise CostplanError(
            f"{model_id}: no seller lists a price per token for it", hint="give one: --open-price 0.60/0.80 (USD/Mtok)"
        )
    if seller and seller not in found:
        raise UsageError(f"--seller {seller}: does not sell {model_id}", hint=f"one of {', '.join(sorted(found))}")
    chosen = found[seller] if seller else offers[(len(offers) - 1) // 2]
    return [_marked(offer, offer is chosen) for offer in offers]


def stated_offer(text: str, model_id: str, shape: Shape) -> list[Offer]:
    """`--open-price 0.60/0.80`: the user's own price, USD per million input and output tokens."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)\s*", text)
    if match is None:
        raise UsageError(f"--open-price {text}: must be INPUT/OUTPUT", hint="--open-price 0.60/0.80 (USD per Mtok)")
    rates = float(match[1]), float(match[1]), float(match[2])
    return [
        Offer(
            provider="stated", model=model_id, input_usd_per_mtok=rates[0], output_usd_per_mtok=rates[2],
            usd_per_request=_usd(shape, rates), chosen=True, source="--open-price",
        )
    ]  # fmt: skip


def fact_of(offers: list[Offer], *, fixed: bool) -> Fact:
    """The price of a request, in API tokens, with the range over sellers (`fixed`: the user named the seller)."""
    chosen = next(offer for offer in offers if offer.chosen)
    ends = [offer.usd_per_request for offer in ([chosen] if fixed else offers)]
    return Fact(
        value=chosen.usd_per_request, low=min(ends), high=max(ends), unit="USD/request",
        source=f"{chosen.provider} {chosen.input_usd_per_mtok:g}/{chosen.output_usd_per_mtok:g} USD per Mtok"
        + ("" if fixed else f", median of {len(offers)} sellers") + f" ({chosen.source})",
    )  # fmt: skip


def words_of(model_id: str) -> frozenset[str]:
    """What a model's name is made of, without organisation, dots between versions spelled `p`, and harmless words."""
    name = re.sub(r"v(\d)p(\d)", r"\1.\2", model_id.lower().rpartition("/")[2].replace("_", "-"))
    name = re.sub(r"-v0\.\d$|-fp8\b|-bf16\b", "", name).partition(":")[0]
    return frozenset(_WORD.findall(name)) - _HARMLESS


def _rates(price: object) -> tuple[float, float, float] | None:
    """USD per million tokens: input, cached input, output; None where one is free or not sold by the token."""

    def base(name: str) -> float:
        value = getattr(price, name, None)
        return float(getattr(value, "base", value) or 0.0)

    plain, output = base("input_mtok"), base("output_mtok")
    return (plain, base("cache_read_mtok") or plain, output) if plain > 0 and output > 0 else None


def _usd(shape: Shape, rates: tuple[float, float, float]) -> float:
    fresh = shape.input_tokens - shape.cached_tokens
    return (fresh * rates[0] + shape.cached_tokens * rates[1] + shape.output_tokens * rates[2]) / TOKENS_PER_MTOK


def _marked(offer: Offer, chosen: bool) -> Offer:
    import msgspec

    return msgspec.structs.replace(offer, chosen=chosen)


def _micros(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp()) * MICROS_PER_SECOND
