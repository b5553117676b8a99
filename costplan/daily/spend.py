"""What the entries of aggregated exports cost, one by one and added up; it writes no document."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.daily.read import DAY_US, HOUR_US, Entry, Usage, unused_costs
from costplan.economics.groups import UNPRICED
from costplan.kinds import Kind, PricedKinds, price_kinds, with_model
from costplan.results import NO_MODEL, NO_USAGE, Basis, GroupRow
from costplan.settings import AnalyzeSettings
from costplan.units import NANOS_PER_USD

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Spend:
    """The entries with what each of them costs, in nano-dollars, by part; `counted` marks those that make the total."""

    usage: Usage
    entries: list[Entry]
    basis: Basis
    parts: Ints
    """(entries, parts)"""
    at_price_date: Ints
    counted: NDArray[np.bool_]
    reasons: list[str]
    """Why an entry has no price; empty where it has one."""
    unused: set[int]
    compiled: PricedKinds
    kinds: list[Kind]
    rate_rows: NDArray[np.int32]

    @property
    def nanos(self) -> Ints:
        return self.parts.sum(axis=1)

    def total(self) -> int:
        return int(self.nanos[self.counted].sum())


def spend_of(usage: Usage, settings: AnalyzeSettings, day_us: int) -> Spend:
    entries = usage.entries
    kinds: list[Kind] = [
        with_model((p.provider, p.model, "", p.tier, p.operation, ""), settings.assume_model)
        for p in (entry.period for entry in entries)
    ]  # fmt: skip
    compiled = price_kinds(kinds, settings.prices)
    counts = np.array([_counts(e) for e in entries], np.int64).T
    lengths = np.array([_prompt(e) for e in entries], np.int64)
    starts = np.array([e.period.start_us for e in entries], np.int64)

    def cost(times: Ints) -> tuple[NDArray[np.int32], Ints]:
        rows = compiled.rates.lookup(compiled.kind_key, times, lengths)
        usd = compiled.rates.cost_usd(rows, *counts)
        fees = usd.other * np.array([e.period.requests or 0 for e in entries])
        parts = np.stack([usd.input, usd.cache_read, usd.cache_write, usd.output, fees], axis=1)
        return rows, np.rint(parts * NANOS_PER_USD).astype(np.int64)

    rate_rows, parts = cost(starts)
    at_price_date = cost(np.full(len(entries), day_us, np.int64))[1].sum(axis=1)
    reasons = [_unpriced(e, kinds[i], compiled, i) for i, e in enumerate(entries)]
    unused = unused_costs(entries, {e.provider for i, e in enumerate(entries) if not reasons[i]})
    counted = np.array([i not in unused and not reasons[i] for i in range(len(entries))])
    basis: Basis = "priced"
    if not counted.any():
        # nothing has a price: what the rows say that they cost is the spend
        basis = "reported"
        counted = np.array([i not in unused and e.usd_nanos is not None for i, e in enumerate(entries)])
        parts = np.zeros_like(parts)
        parts[:, -1] = [e.usd_nanos or 0 for e in entries]
        at_price_date = parts.sum(axis=1)
    return Spend(usage, entries, basis, parts, at_price_date, counted, reasons, unused, compiled, kinds, rate_rows)


def _counts(entry: Entry) -> tuple[int, int, int, int, int, int]:
    p = entry.period
    return (
        p.input_tokens or 0, p.cache_read_tokens, p.cache_write_tokens, p.cache_write_1h_tokens, p.output_tokens,
        p.reasoning_tokens,
    )  # fmt: skip


def _prompt(entry: Entry) -> int:
    """Length of a prompt, for prices that depend on it: as the row names it, else the mean one, else a short one."""
    p = entry.period
    counted = p.requests if p.requests and not entry.uncounted else 0
    return p.prompt_tokens or ((p.input_tokens or 0) // counted if counted else 1)


def _unpriced(entry: Entry, kind: Kind, compiled: PricedKinds, index: int) -> str:
    if not entry.has_tokens:
        return NO_USAGE
    if entry.period.unpriceable:
        return entry.period.unpriceable
    if not (kind[1] or kind[2]):
        return NO_MODEL
    key = int(compiled.kind_key[index])
    return compiled.rates.unpriced[key].unpriced if key in compiled.rates.unpriced else ""


def requests_of(entries: Iterable[Entry]) -> int | None:
    """Calls that the rows count; None where no row does."""
    counted = [e for e in entries if e.uncounted < e.rows]
    return sum(e.period.requests or 0 for e in counted) if counted else None


def hourly(spend: Spend, amounts: Sequence[int] | Ints, *, every: bool = False) -> tuple[Ints, Ints]:
    """(hours, sums) of amounts by entry; a row of more than a day is spread over its days, to the last unit."""
    found: dict[int, int] = defaultdict(int)
    for i, entry in enumerate(spend.entries):
        if every or spend.counted[i]:
            start, end = entry.period.start_us, entry.period.end_us or entry.period.start_us
            days = max(1, round((end - start) / DAY_US))
            amount = int(amounts[i])
            for day in range(days):
                share = amount * (day + 1) // days - amount * day // days
                found[(start + day * DAY_US) // HOUR_US] += share
    hours = sorted(found)
    return np.array(hours, np.int64), np.array([found[hour] for hour in hours], np.int64)


def only_money(entry: Entry) -> bool:
    return not entry.has_tokens and entry.usd_nanos is not None


def rows_by(spend: Spend, keys: list[str]) -> list[GroupRow]:
    """One row for each key, dearest first; rows that are not used stand in none."""
    total, nanos = spend.total(), spend.nanos
    groups: dict[str, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        if i not in spend.unused and (spend.counted[i] or not only_money(spend.entries[i])):
            groups[key].append(i)
    found: list[GroupRow] = []
    for key, members in groups.items():
        cost = sum(int(nanos[i]) for i in members if spend.counted[i])
        known = any(spend.counted[i] for i in members)
        periods = [spend.entries[i].period for i in members]
        found.append(GroupRow(
            key=key, requests=requests_of(spend.entries[i] for i in members),
            cost_usd=cost / NANOS_PER_USD if known else None, share=cost / total if known and total else None,
            input_tokens=sum(p.input_tokens or 0 for p in periods), output_tokens=sum(p.output_tokens for p in periods),
            cache_read_tokens=sum(p.cache_read_tokens for p in periods), note="" if known else UNPRICED,
        ))  # fmt: skip
    return sorted(found, key=lambda row: (-(row.cost_usd or 0.0), row.key))
