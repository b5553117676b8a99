"""USD per token for the models of a scenario: list prices of a day, or the flat prices that the scenario states."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from costplan.errors import CostplanError
from costplan.prices import PriceKey, compile_rates, nearest
from costplan.profiles import CachePolicy, provider_policy
from costplan.scenario.spec import FlatPrice, Scenario
from costplan.units import MICROS_PER_SECOND, TOKENS_PER_MTOK


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per token of one model, and what its provider's cache does."""

    model: str
    input: float
    cache_read: float
    cache_write: float
    output: float
    provider: str = ""
    effective: str = ""
    source: str = "the scenario"
    cache: CachePolicy | None = None
    batch: "Rates | None" = None

    def usd(self, prompt: float, read: float, write: float, answer: float) -> float:
        """A call with `prompt` tokens, of which `read` came from the provider's cache and `write` went into it."""
        plain = prompt - read - write
        return plain * self.input + read * self.cache_read + write * self.cache_write + answer * self.output


def rates_of(scenario: Scenario, day: date, price_file: Path | None = None) -> dict[str, Rates]:
    """Rates by model, cheaper ones included; a user's price file comes before the list.

    Raises CostplanError for a model without a price.
    """
    wanted: dict[str, float] = {}
    for call in scenario.calls:
        for model in (call.model, call.cheaper.model if call.cheaper else call.model):
            wanted.setdefault(model, call.input_tokens.value)
    stray = next((name for name in scenario.prices if name not in wanted), None)
    if stray is not None:
        raise CostplanError(f"prices: no call uses {stray!r}", hint=f"priced are: {', '.join(wanted)}")
    found = {model: _flat(model, price) for model, price in scenario.prices.items()}
    return found | _listed({model: size for model, size in wanted.items() if model not in found}, day, price_file)


def _flat(model: str, price: FlatPrice) -> Rates:
    usd = [
        (price.input if each is None else each) / TOKENS_PER_MTOK
        for each in (price.input, price.cache_read, price.cache_write, price.output)
    ]
    rates = Rates(model=model, input=usd[0], cache_read=usd[1], cache_write=usd[2], output=usd[3])
    left = 1 - price.batch_discount
    if left == 1:
        return rates
    return replace(rates, batch=Rates(model=model, **{name: getattr(rates, name) * left for name in PARTS}))


PARTS = ("input", "cache_read", "cache_write", "output")


def _listed(wanted: dict[str, float], day: date, price_file: Path | None) -> dict[str, Rates]:
    keys = [PriceKey("", model, tier) for model in wanted for tier in ("", "batch")]
    table = compile_rates(keys, price_file=price_file)
    moment = np.array([int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND])
    rates: list[Rates] = []
    for index, key in enumerate(keys):
        if index in table.unpriced:
            near = nearest(key.model)
            hint = f"did you mean {' or '.join(near)}?" if near else "state it: prices: {" + key.model + ": {...}}"
            raise CostplanError(f"{key.model}: {table.unpriced[index].unpriced}", hint=hint)
        size = np.array([round(wanted[key.model])], np.int64)
        row = int(table.lookup(np.array([index], np.int32), moment, size)[0])
        usd, note = table.row(row), table.describe(index, row)
        rates.append(Rates(
            model=key.model, input=usd.input, cache_read=usd.cache_read, cache_write=usd.cache_write,
            output=usd.output, provider=note.provider, effective=note.effective, source=note.source,
            cache=provider_policy(note.provider).cache,
        ))  # fmt: skip
    return {
        standard.model: replace(standard, batch=batch if provider_policy(standard.provider).batch else None)
        for standard, batch in zip(rates[::2], rates[1::2], strict=True)
    }
