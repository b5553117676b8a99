"""The compiled price table: a row's price by key, instant and prompt length, vectorised; knows no log and no user text.

Every (key, interval, time of day, context tier) is one row of a rate matrix. `compile_rates` asks the sources once per
cell; afterwards only numpy is needed, so worker processes never import genai-prices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.prices.catalog import DAY_US, Offer, Prices, Quote, Steps, list_offer
from costplan.prices.contract import Contracts
from costplan.prices.userfile import PriceFile, read_price_file
from costplan.profiles import provider_policy
from costplan.units import TOKENS_PER_MTOK

_NEVER = np.iinfo(np.int64).max
_TOKEN_UNITS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")

# Operations billed by image, second or character; a token price of the same model would be the wrong unit for them.
_MEDIA = ("image", "audio", "speech", "transcri", "translation", "tts", "realtime", "video", "ocr", "music", "fine_tun")


# Billed beside tokens: a price for these alone does not price a call.
_EXTRAS = {"requests", "web_searches", "social_searches", "storage_searches", "code_executions"}


@dataclass(frozen=True, slots=True)
class PriceKey:
    """What a row is billed as, spelled as the log spells it."""

    provider: str
    model: str
    tier: str = ""
    operation: str = "chat"


@dataclass(frozen=True, slots=True)
class RateRow:
    """USD per token. Tokens without a rate of their own pay the rate of what they are part of."""

    input: float
    cache_read: float
    cache_write: float
    cache_write_1h: float
    output: float
    reasoning: float


@dataclass(frozen=True, slots=True)
class Costs:
    """USD per row; `input` is the uncached part, `other` a fee per request."""

    input: NDArray[np.float64]
    cache_read: NDArray[np.float64]
    cache_write: NDArray[np.float64]
    output: NDArray[np.float64]
    other: NDArray[np.float64]

    @property
    def total(self) -> NDArray[np.float64]:
        return self.input + self.cache_read + self.cache_write + self.output + self.other


@dataclass(frozen=True, slots=True)
class PriceNote:
    """Where a price comes from; with `unpriced` set there is none, and that says why."""

    model: str
    provider: str
    rates: Mapping[str, float]
    """USD per million tokens, and USD per unit for other units."""
    effective: str = ""
    source: str = ""
    assumed: tuple[str, ...] = ()
    unpriced: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RateTable:
    """Rates of a fixed list of keys. Rate row -1 means unpriced: it costs 0 here and must be counted as unpriced."""

    keys: tuple[PriceKey, ...]
    first_row: NDArray[np.int32]
    starts_us: NDArray[np.int64]
    times_us: NDArray[np.int64]
    levels: NDArray[np.int64]
    rates: NDArray[np.float64]
    """One row per rate row: the fields of RateRow, then the fee per request."""
    units: Mapping[str, NDArray[np.float64]]
    """USD per unit by unit key, for units other than tokens and requests."""
    needs_units: NDArray[np.bool_]
    """By rate row: tokens are free here and only other units are billed; a call that reports none is unpriced."""
    notes: tuple[PriceNote, ...]
    unpriced: Mapping[int, PriceNote]
    contract: Contracts

    def lookup(
        self, key_index: NDArray[np.int32], time_us: NDArray[np.int64], input_tokens: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """The rate row valid at that instant for a prompt of that (inclusive) length, -1 where there is no price."""
        row = np.zeros(len(key_index), np.int64)
        for bounds, value in ((self.starts_us, time_us), (self.times_us, time_us % DAY_US)):
            part, size = _segment(bounds, key_index, value)
            row = row * size + part
        part, size = _segment(self.levels, key_index, input_tokens - 1)  # a tier starts above its bound
        first = self.first_row[key_index]
        return np.where(first < 0, -1, first + row * size + part).astype(np.int32)

    def cost_usd(
        self,
        rate_row: NDArray[np.int32],
        input_tokens: NDArray[np.int64],
        cache_read: NDArray[np.int64],
        cache_write: NDArray[np.int64],
        cache_write_1h: NDArray[np.int64],
        output: NDArray[np.int64],
        reasoning: NDArray[np.int64],
    ) -> Costs:
        """Token counts are inclusive: reads and writes are part of the input, 1-hour writes of the writes."""
        rate = np.take(np.vstack([self.rates, np.zeros((1, 7))]).T, rate_row, axis=1)  # row -1: the zeros
        counts = (input_tokens, cache_read, cache_write, cache_write_1h, output, reasoning)
        prompt, reads, writes, long_writes, outputs, thought = (each.astype(np.float64) for each in counts)
        return Costs(
            input=(prompt - reads - writes) * rate[0],
            cache_read=reads * rate[1],
            cache_write=(writes - long_writes) * rate[2] + long_writes * rate[3],
            output=(outputs - thought) * rate[4] + thought * rate[5],
            other=rate[6],
        )

    def other_usd(self, rate_row: NDArray[np.int32], counts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """USD of units such as web searches; a unit without a rate costs nothing here (see `has_unit`)."""
        total = np.zeros(len(rate_row))
        for unit in sorted(counts.keys() & self.units.keys()):
            total += np.where(rate_row >= 0, self.units[unit][rate_row], 0.0) * counts[unit]
        return total

    def has_unit(self, rate_row: int, unit: str) -> bool:
        """Whether a unit is billed on a rate row, so that a reported count can be called priced."""
        return rate_row >= 0 and unit in self.units and self.units[unit][rate_row] > 0

    def row(self, rate_row: int) -> RateRow:
        return RateRow(*(float(rate) for rate in self.rates[rate_row, :6]))

    def describe(self, key_index: int, rate_row: int | None = None) -> PriceNote:
        """The price of a key: of the rate row used, else the latest one for short prompts."""
        if key_index in self.unpriced:
            return self.unpriced[key_index]
        if rate_row is None:
            last = np.array([_NEVER - 1], np.int64)
            rate_row = int(self.lookup(np.array([key_index], np.int32), last, np.zeros(1, np.int64))[0])
        return self.notes[rate_row]


_Bounds = tuple[Sequence[int], Sequence[int], Sequence[int]]
_Cell = tuple[Prices, PriceNote, bool]


def compile_rates(keys: Sequence[PriceKey], *, price_file: Path | None = None) -> RateTable:
    """The rate table for these keys; a user's price file comes before the list prices."""
    book = read_price_file(price_file) if price_file else PriceFile()
    bounds: list[_Bounds] = []
    first_row: list[int] = []
    cells: list[_Cell] = []
    unpriced: dict[int, PriceNote] = {}
    for index, key in enumerate(keys):
        block = _block(key, book)
        if isinstance(block, str):
            unpriced[index] = PriceNote(key.model, key.provider, {}, unpriced=block)
            first_row.append(-1)
            bounds.append(((), (), ()))
            continue
        first_row.append(len(cells))
        bounds.append(block[0])
        cells.extend(block[1])
    unit_keys = sorted({unit for prices, _, _ in cells for unit in prices if not _is_token(unit)} - {"requests"})
    return RateTable(
        keys=tuple(keys),
        first_row=np.array(first_row, np.int32),
        starts_us=_padded([each[0] for each in bounds]),
        times_us=_padded([each[1] for each in bounds]),
        levels=_padded([each[2] for each in bounds]),
        rates=np.array([_token_rates(prices) for prices, _, _ in cells], np.float64).reshape(len(cells), 7),
        units={unit: np.array([_usd(prices, unit) for prices, _, _ in cells]) for unit in unit_keys},
        needs_units=np.array([media for _, _, media in cells], np.bool_),
        notes=tuple(note for _, note, _ in cells),
        unpriced=unpriced,
        contract=book.contract,
    )


def _block(key: PriceKey, book: PriceFile) -> tuple[_Bounds, list[_Cell]] | str:
    """All rate rows of one key in the order lookup() counts them, or why it has no price."""
    provider, model = book.resolve(key.provider, key.model)
    listed = list_offer(provider, model, key.tier)
    offer = book.offer(provider, model, key.tier, listed if isinstance(listed, Offer) else None)
    if offer is None:
        return listed if isinstance(listed, str) else "no price known for this model"
    media = any(word in key.operation.lower() for word in _MEDIA)
    eras = [offer.starts_us[0] - DAY_US if offer.starts_us else 0, *offer.starts_us]
    quotes = [_settle(offer.at(day + time), key, book) for day, time in product(eras, (0, *offer.times_us))]
    if media:
        quotes = [({k: v for k, v in prices.items() if not _is_token(k)}, note) for prices, note in quotes]
        if not any(set(prices) - _EXTRAS for prices, _ in quotes):
            return f"no {key.operation} price known for this model"
    elif not any("input_tokens" in prices or "output_tokens" in prices for prices, _ in quotes):
        return "listed without a token price"
    levels = sorted({above for prices, _ in quotes for steps in prices.values() for above, _ in steps if above >= 0})
    cells = [(_at_level(prices, level), note) for prices, note in quotes for level in (-1, *levels)]
    rows = [(prices, _described(prices, note), media) for prices, note in cells]
    return (offer.starts_us, offer.times_us, levels), rows


def _settle(quote: Quote, key: PriceKey, book: PriceFile) -> tuple[Prices, PriceNote]:
    """The prices that apply to the key's tier after the user's discount, and what had to be assumed."""
    prices, assumed = quote.standard if quote.tier is None else quote.tier, quote.assumed
    if key.tier and quote.tier is None:
        batch = provider_policy(quote.provider).batch if key.tier == "batch" else None
        if batch is None:
            assumed = (*assumed, f"no {key.tier} price known, standard price used")
        else:
            share = {True: 1.0 - batch.discount, False: 1.0}
            cut = {unit: _is_token(unit) and (batch.stacks_with_cache or "cache" not in unit) for unit in prices}
            prices = {unit: _times(steps, share[cut[unit]]) for unit, steps in prices.items()}
            source = f"{batch.source}, {batch.checked}"
            assumed = (*assumed, f"batch price assumed: {batch.discount:.0%} off standard ({source})")
    if quote.is_list_price and (discount := book.discounts.get(quote.provider, 0.0)):
        prices = {unit: _times(steps, 1.0 - discount) for unit, steps in prices.items()}
        assumed = (*assumed, f"{discount:.1%} off list ({book.name})")
    return prices, PriceNote(quote.model, quote.provider, {}, quote.effective, quote.source, assumed)


def _described(prices: Prices, note: PriceNote) -> PriceNote:
    rates = {} if "input_tokens" not in prices else dict(zip(_TOKEN_UNITS, _token_rates(prices), strict=False))
    per_mtok = {name: round(usd * TOKENS_PER_MTOK, 9) for name, usd in rates.items()}
    others = {unit: _usd(prices, unit) for unit in sorted(prices) if not _is_token(unit)}
    return PriceNote(note.model, note.provider, per_mtok | others, note.effective, note.source, note.assumed)


def _is_token(unit: str) -> bool:
    return unit.endswith("_tokens")


def _token_rates(prices: Prices) -> tuple[float, ...]:
    """RateRow's fields and the fee per request. Tokens whose own price is not listed belong to the wider unit."""
    plain, output = _usd(prices, "input_tokens"), _usd(prices, "output_tokens")
    write = _usd(prices, "cache_write_tokens", plain)
    return (
        plain,
        _usd(prices, "cache_read_tokens", plain),
        write,
        _usd(prices, "cache_write_1h_tokens", write),
        output,
        _usd(prices, "output_reasoning_tokens", output),
        _usd(prices, "requests"),
    )


def _usd(prices: Prices, unit: str, default: float = 0.0) -> float:
    return prices[unit][0][1] if unit in prices else default


def _at_level(prices: Prices, level: int) -> Prices:
    """Only the step that holds above `level` input tokens; crossing a bound reprices the whole request."""
    return {unit: (max(step for step in steps if step[0] <= level),) for unit, steps in prices.items()}


def _times(steps: Steps, factor: float) -> Steps:
    return tuple((above, usd * factor) for above, usd in steps)


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    width = max((len(row) for row in rows), default=0)
    return np.array([[*row, *[_NEVER] * (width - len(row))] for row in rows], np.int64).reshape(len(rows), width)


def _segment(
    bounds: NDArray[np.int64], key_index: NDArray[np.int32], value: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which segment of its key's bounds each value lies in, and how many segments that key has."""
    part = np.zeros(len(value), np.int64)
    for column in bounds.T:
        part += value >= column[key_index]
    return part, ((bounds != _NEVER).sum(axis=1) + 1)[key_index]
