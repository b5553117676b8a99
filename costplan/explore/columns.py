"""The columns of a log that requests can be grouped by or chosen by; what is done with them is not known.

Text that may be private is none of them: users and sessions are numbered by what they cost.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.kinds import Kind, model_of
from costplan.ledger import Ledger
from costplan.trace import Flag
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

Ints = NDArray[np.int64]
READ = (
    "time_us", "has_time", "relative", "kind", "tagset", "flags", "user", "session", "ok", "gateway", "priced",
    "unpriced", "weight", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "duration_us", "ttft_us",
)  # fmt: skip
"""Columns of the ledger that these are made of."""
_DAY_US, _HOUR_US = SECONDS_PER_DAY * MICROS_PER_SECOND, SECONDS_PER_HOUR * MICROS_PER_SECOND
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = "(no date)"


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A column of names."""

    code: Ints
    """(n,) number of each row's name."""
    names: list[str]
    ordered: bool = False
    """The names have an order of their own, as days have."""


@dataclass(frozen=True, slots=True, eq=False)
class Tags:
    """A column of several names a row."""

    tagset: Ints
    """(n,)"""
    tagsets: list[tuple[str, ...]]


Column = Labels | Tags | NDArray[np.float64]
"""Numbers are NaN where they are not known."""


def column_of(ledger: Ledger, name: str) -> Column:
    """One of NAMES or NUMBERS."""
    return NAMES[name](ledger) if name in NAMES else NUMBERS[name](ledger)


def _by_kind(label: Callable[[Kind], str]) -> Callable[[Ledger], Labels]:
    def labels(ledger: Ledger) -> Labels:
        names = {text: at for at, text in enumerate(dict.fromkeys(map(label, ledger.kinds)))}
        number = np.array([names[label(kind)] for kind in ledger.kinds], np.int64)
        return Labels(number[ledger.columns["kind"]], list(names))

    return labels


def _ranked(column: str, noun: str) -> Callable[[Ledger], Labels]:
    """Numbered by cost, then requests, as the plan numbers users."""

    def labels(ledger: Ledger) -> Labels:
        keys, code = np.unique(ledger.columns[column], return_inverse=True)
        cost = np.zeros(len(keys), np.int64)
        np.add.at(cost, code, ledger.columns["cost"])
        rank = np.empty(len(keys), np.int64)
        order = np.lexsort((keys, -np.bincount(code, minlength=len(keys)), -cost))
        order = np.concatenate([order[keys[order] != 0], order[keys[order] == 0]])
        rank[order] = np.arange(len(keys))
        names = [f"{noun}-{at + 1:03d}" if keys[key] else f"(no {noun})" for at, key in enumerate(order.tolist())]
        return Labels(rank[code], names)

    return labels


def _sites(ledger: Ledger) -> Labels:
    keys, code = np.unique(ledger.columns["site"], return_inverse=True)
    return Labels(code.astype(np.int64), [ledger.sites[int(key)] for key in keys])


def _timed(part: Callable[[Ints], Ints], name: Callable[[int], str]) -> Callable[[Ledger], Labels]:
    def labels(ledger: Ledger) -> Labels:
        time: Ints = ledger.columns["time_us"]
        dated = ledger.columns["has_time"] & ~ledger.columns["relative"]
        parts, code = np.unique(np.where(dated, part(np.where(dated, time, 0)), -1), return_inverse=True)
        names = [_NO_TIME if each < 0 else name(each) for each in parts.tolist()]
        return Labels(code.astype(np.int64), names, ordered=True)

    return labels


def _months(time: Ints) -> Ints:
    return (time.astype("datetime64[us]").astype("datetime64[M]")).astype(np.int64)


def _status(ledger: Ledger) -> Labels:
    """ok, cached by a gateway, or how it failed."""
    found = _by_kind(lambda kind: kind[5] or "ok")(ledger)
    names = [*found.names, "gateway_hit"]
    return Labels(np.where(ledger.columns["gateway"], len(found.names), found.code), names)


def _streams(ledger: Ledger) -> Labels:
    return Labels(((ledger.columns["flags"] & Flag.STREAM) != 0).astype(np.int64), ["no", "yes"])


NAMES: Mapping[str, Callable[[Ledger], Labels | Tags]] = {
    "model": _by_kind(model_of), "asked_model": _by_kind(lambda kind: kind[1] or "(no model)"),
    "provider": _by_kind(lambda kind: kind[0] or "(not named)"), "tier": _by_kind(lambda kind: kind[3] or "standard"),
    "operation": _by_kind(lambda kind: kind[4]), "status": _status, "stream": _streams, "call_site": _sites,
    "tag": lambda ledger: Tags(ledger.columns["tagset"], ledger.tagsets),
    "user": _ranked("user", "user"), "session": _ranked("session", "session"),
    "month": _timed(_months, lambda month: f"{1970 + month // 12}-{month % 12 + 1:02d}"),
    "day": _timed(lambda time: time // _DAY_US, lambda day: (_EPOCH + timedelta(days=day)).date().isoformat()),
    "weekday": _timed(lambda time: (time // _DAY_US + 3) % 7, _WEEKDAYS.__getitem__),
    "hour": _timed(lambda time: time // _HOUR_US % 24, "{:02d}".format),
}  # fmt: skip
"""Columns of names, for --by and --where; times in UTC."""


def _number(column: str, per: float = 1.0) -> Callable[[Ledger], NDArray[np.float64]]:
    def numbers(ledger: Ledger) -> NDArray[np.float64]:
        values: NDArray[Any] = ledger.columns[column]
        return np.where(values < 0, np.nan, values / per)

    return numbers


def _cost(ledger: Ledger) -> NDArray[np.float64]:
    cost = ledger.columns["cost"] / NANOS_PER_USD
    return np.where(ledger.columns["priced"], cost, np.nan)


NUMBERS: Mapping[str, Callable[[Ledger], NDArray[np.float64]]] = {
    "cost": _cost, "input": _number("input_tokens"), "output": _number("output_tokens"),
    "cache_read": _number("cache_read_tokens"), "cache_write": _number("cache_write_tokens"),
    "reasoning": _number("reasoning_tokens"), "latency": _number("duration_us", MICROS_PER_SECOND),
    "ttft": _number("ttft_us", MICROS_PER_SECOND),
}  # fmt: skip
"""Columns of numbers, for --where: USD, tokens and seconds of one request."""


def exploded(columns: Sequence[Labels | Tags], n: int) -> tuple[Ints, list[Labels]]:
    """(rows, labels of these rows): a row once for each of its tags, and once where it has none."""
    rows = np.arange(n)
    found: list[Labels] = []
    for column in columns:
        if isinstance(column, Labels):
            found.append(Labels(column.code[rows], column.names, column.ordered))
            continue
        tags = [tagset or ("(no tag)",) for tagset in column.tagsets]
        number = {tag: at for at, tag in enumerate(dict.fromkeys(tag for tagset in tags for tag in tagset))}
        lengths = np.array([len(tagset) for tagset in tags], np.int64).reshape(-1)
        flat = np.array([number[tag] for tagset in tags for tag in tagset], np.int64)
        starts = np.cumsum(lengths) - lengths
        tagset = column.tagset[rows]
        counts = lengths[tagset]
        again = np.repeat(np.arange(len(rows)), counts)
        nth = np.arange(len(again)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = rows[again]
        found = [Labels(each.code[again], each.names, each.ordered) for each in found]
        found.append(Labels(flat[starts[tagset[again]] + nth], list(number)))
    return rows, found
