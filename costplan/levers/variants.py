"""A request after compression and routing: fewer tokens, another model's prices; what answers become is not known."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import load_rates
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_DAY

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
TOTAL, READ, WRITE, FIRST_EDIT, SAVED_COLUMNS = 0, 1, 2, 6, 7
"""Columns of the file of saved tokens: removed from the prompt, and how many fewer of what is left are read from and
written to the provider's cache, without loss; the same three by structural edits too; and the first token from which on
these make a prompt differ from what an earlier turn sent (2**31 - 1: nowhere)."""
_CACHED = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
_MIX = np.uint64(0x9E3779B97F4A7C15)
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND
NEWEST_US = _DAY_US * 365 * 400
"""Later than any price."""


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """R pairs of call site and price, and where their requests may go."""

    key: NDArray[np.uint64]
    """(R,) of `route_key`, sorted."""
    to_key: NDArray[np.int32]
    """(R,) price key of the other model, and at batch prices (-1: it has none)."""
    to_batch_key: NDArray[np.int32]
    level: NDArray[np.uint8]
    """(R,) 1 = its quality is verified, 2 = it is known but not verified."""
    output_ratio: NDArray[np.float64]
    """(R,) length of its answers over those of the logged model."""
    window: Ints
    """(R,) tokens of prompt and answer that it takes; longer requests stay."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What compression and routing do to the requests of a log; None: nothing."""

    rates: Path
    mode: NDArray[np.int8]
    """Kind of prompt cache, by price key."""
    price_date_us: int | None
    saved: Path | None = None
    """(rows of the log, SAVED_COLUMNS) int32."""
    routes: Routes | None = None
    seller: NDArray[np.int16] | None = None
    """By price key: which of the contracts it is billed under, -1 for none; None: no provider has one of its own."""
    sellers: int = 0

    def billed(self, rows: dict[str, Any], seller: int) -> Mask:
        """Rows that are billed under this contract."""
        assert self.seller is not None
        return self.seller[rows["price_key"]] == seller

    def touched(self, rows: dict[str, Any], compression: int, routing: int) -> Mask:
        """Rows that are another request under these levels."""
        touched = self._routed(rows, routing)[1]
        if compression:
            touched = touched | (self._cut(rows, compression)[:, TOTAL] > 0)
        return touched

    def applied(self, rows: dict[str, Any], compression: int, routing: int) -> dict[str, Any]:
        """The rows under these levels."""
        rows = dict(rows)
        if compression:
            saved = self._cut(rows, compression)
            write = rows["cache_write_tokens"]
            rows["input_tokens"] = rows["input_tokens"] - saved[:, TOTAL]
            rows["cache_read_tokens"] = rows["cache_read_tokens"] - saved[:, READ]
            rows["cache_write_tokens"] = write - saved[:, WRITE]
            rows["cache_write_1h_tokens"] = (
                rows["cache_write_1h_tokens"] * rows["cache_write_tokens"] // np.maximum(write, 1)
            )
        if routing:
            self._route(rows, routing)
        return rows

    def first_edit(self, rows: dict[str, Any], compression: int) -> Ints | None:
        """The token from which prompts differ from what an earlier turn sent; None where compression keeps prefixes."""
        if compression < 2 or self.saved is None:
            return None
        return _saved(self.saved)[rows["gid"]][:, FIRST_EDIT].astype(np.int64)

    def verified(self, rows: dict[str, Any]) -> tuple[NDArray[np.int32], Mask]:
        """(price key of the other model, whether a verified route takes the row there)."""
        at, goes = self._routed(rows, 1)
        assert self.routes is not None
        return (self.routes.to_key[at] if len(self.routes.key) else np.zeros(len(at), np.int32)), goes

    def _cut(self, rows: dict[str, Any], compression: int) -> Ints:
        """(n, 3) TOTAL, READ, WRITE of each row."""
        assert self.saved is not None
        return _saved(self.saved)[rows["gid"], 3 * (compression - 1) : 3 * compression].astype(np.int64)

    def _routed(self, rows: dict[str, Any], routing: int) -> tuple[Ints, Mask]:
        """(route of each row, whether it takes it)."""
        n = len(rows["gid"])
        if not routing or self.routes is None or not len(self.routes.key):
            return np.zeros(n, np.int64), np.zeros(n, np.bool_)
        routes, key = self.routes, route_key(rows["site"], rows["price_key"])
        at = np.minimum(np.searchsorted(routes.key, key), len(routes.key) - 1)
        answer = np.ceil(rows["output_tokens"] * routes.output_ratio[at])
        fits = rows["input_tokens"] + answer <= routes.window[at]
        return at, (routes.key[at] == key) & (routes.level[at] <= routing) & fits

    def _route(self, rows: dict[str, Any], routing: int) -> None:
        assert self.routes is not None
        at, goes = self._routed(rows, routing)
        rates, routes = load_rates(self.rates), self.routes
        when = self._at_price_date(rows["time_us"])
        prompt = rows["input_tokens"].astype(np.int64)
        rate = rates.lookup(routes.to_key[at], when, prompt)
        batch_key = routes.to_batch_key[at]
        batch = np.where(batch_key < 0, rate, rates.lookup(np.maximum(batch_key, 0), when, prompt))
        # another kind of prompt cache holds nothing of what the log read and wrote
        stays = ~goes | (self.mode[rows["price_key"]] == self.mode[routes.to_key[at]])
        for name in _CACHED:
            rows[name] = np.where(stays, rows[name], 0)
        rows["price_key"] = np.where(goes, routes.to_key[at], rows["price_key"])
        rows["rate_row"] = np.where(goes, rate, rows["rate_row"])
        rows["batch_rate_row"] = np.where(goes, batch, rows["batch_rate_row"])
        for name in ("output_tokens", "reasoning_tokens"):
            longer = np.ceil(rows[name] * routes.output_ratio[at]).astype(np.int64)
            rows[name] = np.where(goes, longer, rows[name])

    def _at_price_date(self, time_us: Ints) -> Ints:
        """The time of day of each call, on the price date."""
        if self.price_date_us is None:
            return np.full(len(time_us), NEWEST_US)
        return np.where(time_us >= 0, self.price_date_us + time_us % _DAY_US, self.price_date_us)


def route_key(site: NDArray[np.uint64], price_key: NDArray[Any]) -> NDArray[np.uint64]:
    """A call site at a price."""
    return (site ^ (price_key.astype(np.int64).view(np.uint64) + np.uint64(1))) * _MIX


@lru_cache(maxsize=1)
def _saved(path: Path) -> NDArray[np.int32]:
    return np.load(path, mmap_mode="r")
