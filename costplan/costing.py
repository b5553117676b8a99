"""Rows of one chunk -> money, mergeable sums, and the sessions they belong to; knows no saving.

Sums are integers (requests, tokens, nano-dollars), so their order does not matter: any split, any worker, same bytes.
"""

import pickle
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import Ragged, read_batch, split_by, take, write_batches
from costplan.keyed import Keyed, grouped, merged
from costplan.prices import RateTable
from costplan.trace import NO_TIME, Cacheable, Flag, TextState, UsageSource
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = dict[str, Any]

GROUP_COLUMNS = ("requests", "cost", "cost_price_date", "input", "output", "cache_read", "failed", "unpriced")
PARTS = ("input", "cache_read", "cache_write", "output", "other")
NO_HOUR = -(1 << 40)
"""Hour of the log of a row without a time."""
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND
_HOUR_US = SECONDS_PER_HOUR * MICROS_PER_SECOND
_MINUTE_US = SECONDS_PER_MINUTE * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True)
class CostJob:
    """One chunk and everything needed to price it."""

    index: int
    path: Path
    rows: int
    first_gid: int
    """Number of the chunk's first row in the whole log: the arrival order among equal times."""
    dropped: Ints
    kind_ids: NDArray[np.int32]
    """By the chunk's `kind`: number in the global table of kinds."""
    kind_key: NDArray[np.int32]
    """By global kind: index of its price key; `kind_batch_key` of the same at batch prices, -1 where there are none."""
    kind_batch_key: NDArray[np.int32]
    tags: list[list[int]]
    """By the chunk's `tagset`: numbers in the global table of tags."""
    rates: Path
    price_date_us: int | None
    cut_lengths: dict[str, int]
    n_buckets: int
    folder: Path
    kind_refused: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """By global kind: the call was refused by a rate limit. Only `summarise` asks for it."""

    def file(self, kind: str) -> Path:
        """A file that the chunk's rows are written to."""
        return self.folder / f"{kind}-{self.index:06d}.columns"


@dataclass(slots=True)
class Summary:
    """What one chunk adds to the books and breakdowns; `merge_summaries` adds them up."""

    groups: dict[str, Keyed]
    counts: Counter[str]
    parts: Ints
    """Cost by PARTS at call-date prices, nano-dollars."""
    reported_nanos: int
    """Costs that the log itself states."""
    time_min: int
    time_max: int


def merge_summaries(parts: list[Summary]) -> Summary:
    """The sum of several summaries; integers throughout, so neither order nor grouping matters."""
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    names = sorted({name for part in parts for name in part.groups})
    return Summary(
        groups={name: merged([part.groups[name] for part in parts if name in part.groups]) for name in names},
        counts=counts,
        parts=np.stack([part.parts for part in parts]).sum(axis=0),
        reported_nanos=sum(part.reported_nanos for part in parts),
        time_min=min(part.time_min for part in parts),
        time_max=max(part.time_max for part in parts),
    )


@lru_cache(maxsize=2)
def load_rates(path: Path) -> RateTable:
    """The compiled price table, read once per process."""
    with path.open("rb") as file:
        return pickle.load(file)  # written by this run, in its own private folder


def priced_rows(job: CostJob) -> Rows:
    """A chunk's rows that count, with what they cost. Of a list column there is where a row's part begins and ends."""
    columns = read_batch(job.path, 0)
    offsets = columns["block_key"].offsets
    rows = {name: _wide(column) for name, column in columns.items() if not isinstance(column, Ragged)}
    rows["first_block"], rows["n_blocks"] = offsets[:-1], np.diff(offsets)
    rows["gid"] = job.first_gid + np.arange(job.rows, dtype=np.int64)
    if len(job.dropped):
        keep = np.ones(job.rows, dtype=np.bool_)
        keep[job.dropped] = False
        rows = take(rows, keep)
    _derive(rows, job)
    _price(rows, load_rates(job.rates), job)
    return rows


def _wide(column: NDArray[Any]) -> NDArray[Any]:
    """Integers wide enough to multiply."""
    return column.astype(np.int64) if column.dtype.kind == "i" and column.dtype.itemsize < 8 else column


def _derive(rows: Rows, job: CostJob) -> None:
    """Classes of rows that later steps ask for by name."""
    flags = rows["flags"]
    state = np.array(rows["text_state"])
    for group, length in job.cut_lengths.items():
        state[(rows[f"longest_{group}"] == length) & (state == TextState.FULL)] = TextState.TRUNCATED
    rows["text_state"] = state
    rows["kind"] = job.kind_ids[rows["kind"]].astype(np.int64)
    rows["has_time"] = rows["time_us"] != NO_TIME
    rows["relative"] = (flags & Flag.RELATIVE_TIME) != 0
    rows["ok"] = (flags & Flag.OK) != 0
    rows["gateway"] = rows["ok"] & ((flags & Flag.GATEWAY_HIT) != 0)


def _price(rows: Rows, rates: RateTable, job: CostJob) -> None:
    known = (rows["input_tokens"] >= 0) & (rows["output_tokens"] >= 0)
    for name in ("input_tokens", "output_tokens"):
        rows[name] = np.maximum(rows[name], 0)
    # without a date of its own a row is priced at the price date; without that, at the newest listed price
    newest = np.int64(_DAY_US * 365 * 400)
    at_price_date = np.full(len(known), newest if job.price_date_us is None else job.price_date_us, dtype=np.int64)
    dated = rows["has_time"] & ~rows["relative"]
    call_date = np.where(dated, rows["time_us"], at_price_date)
    at_price_date = np.where(dated, at_price_date + rows["time_us"] % _DAY_US, at_price_date)
    key = job.kind_key[rows["kind"]]
    row = rates.lookup(key, call_date, rows["input_tokens"])
    rows["price_key"] = key
    rows["rate_row"] = rates.lookup(key, at_price_date, rows["input_tokens"])
    batch_key = job.kind_batch_key[rows["kind"]]
    batch_row = rates.lookup(np.maximum(batch_key, 0), at_price_date, rows["input_tokens"])
    rows["batch_rate_row"] = np.where(batch_key >= 0, batch_row, -1).astype(np.int32)
    units = {name[5:]: values for name, values in rows.items() if name.startswith("unit:")}
    has_units = (
        np.sum([values > 0 for values in units.values()], axis=0) > 0 if units else np.zeros(len(known), np.bool_)
    )
    billable = rows["ok"] & ~rows["gateway"]
    needs_units = np.append(rates.needs_units, False)[row]
    rows["priced"] = billable & (row >= 0) & np.where(needs_units, has_units, known)
    rows["unpriced"] = billable & ~rows["priced"]
    rows["call_rate_row"] = row
    parts = _costs(rows, rates, row, units)
    rows["parts"] = parts
    rows["cost"] = parts.sum(axis=1)
    later = _costs(rows, rates, rows["rate_row"], units)
    rows["cost_price_date"], rows["fee"] = later.sum(axis=1), later[:, PARTS.index("other")]


def _costs(rows: Rows, rates: RateTable, row: NDArray[np.int32], units: dict[str, NDArray[np.float64]]) -> Ints:
    """Nano-dollars by PARTS; zero where a row is not priced."""
    cost = rates.cost_usd(
        row, rows["input_tokens"], rows["cache_read_tokens"], rows["cache_write_tokens"],
        rows["cache_write_1h_tokens"], rows["output_tokens"], rows["reasoning_tokens"],
    )  # fmt: skip
    other = cost.other + rates.other_usd(row, units) if units else cost.other
    usd = np.stack([cost.input, cost.cache_read, cost.cache_write, cost.output, other], axis=1)
    scale = np.where(rows["priced"], rows["weight"], 0.0) * NANOS_PER_USD
    return np.rint(usd * scale[:, None]).astype(np.int64)


def summarise(rows: Rows, job: CostJob) -> Summary:
    """What the rows add to the books."""
    ok, priced, time, user = rows["ok"], rows["priced"], rows["time_us"], rows["user"]
    columns = np.stack(
        [np.ones(len(ok), np.int64), rows["cost"], rows["cost_price_date"], rows["input_tokens"] * priced,
         rows["output_tokens"] * priced, rows["cache_read_tokens"] * priced, ~ok, rows["unpriced"]],
    ).T  # fmt: skip
    groups = _by_kind(rows, columns, job) | _by_time(rows, columns, job)
    groups["site"] = grouped(rows["site"], columns)
    groups["user"] = grouped(user[user != 0], columns[user != 0])
    known_user = (user != 0) & rows["has_time"] & ~rows["relative"]
    user_day = user[known_user] + (time[known_user] // _DAY_US).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    groups["user_day"] = grouped(user_day, columns[known_user, 1:2])
    if any(job.tags):
        pairs = [
            (np.flatnonzero(rows["tagset"] == tagset), tag) for tagset, tags in enumerate(job.tags) for tag in tags
        ]
        index = np.concatenate([found for found, _ in pairs])
        groups["tag"] = grouped(
            np.repeat([tag for _, tag in pairs], [len(found) for found, _ in pairs]), columns[index]
        )
    has_time = rows["has_time"]
    reported = np.clip(np.nan_to_num(rows["cost_reported"]), -1e9, 1e9)
    return Summary(
        groups=groups,
        counts=_counts(rows),
        parts=rows["parts"].sum(axis=0),
        reported_nanos=int(np.rint(reported * NANOS_PER_USD).astype(np.int64).sum()),
        time_min=int(time[has_time].min()) if has_time.any() else 2**62,
        time_max=int(time[has_time].max()) if has_time.any() else -(2**62),
    )


def _by_kind(rows: Rows, columns: Ints, job: CostJob) -> dict[str, Keyed]:
    """Sums by kind of call, by price used, and of what has no price: one grouping, and three of its few groups."""
    priced, unpriced = rows["priced"], rows["unpriced"]
    rate = rows["call_rate_row"].astype(np.int64) * priced
    key = (rows["kind"] << 34) + (rate << 2) + priced * 2 + unpriced
    tokens = rows["input_tokens"] + rows["output_tokens"]
    fine = grouped(key, np.column_stack([columns, tokens]))
    kind, rate = fine.keys >> 34, (fine.keys >> 2) & 0xFFFFFFFF
    is_priced, is_unpriced = (fine.keys & 2) != 0, (fine.keys & 1) != 0
    price_key = job.kind_key.astype(np.int64)[kind]
    return {
        "kind": grouped(kind, fine.sums[:, :-1]),
        "rates": grouped((price_key << 32) + rate, fine.sums[:, :2] * is_priced[:, None]),
        "unpriced": grouped(kind[is_unpriced], fine.sums[is_unpriced][:, [0, -1]]),
    }


def _by_time(rows: Rows, columns: Ints, job: CostJob) -> dict[str, Keyed]:
    """Sums by hour of the day, by day, by minute and kind of call, and calls by hour of the log."""
    time, has_time = rows["time_us"], rows["has_time"]
    # whole millionths: sums that do not depend on how the log was split
    weight = np.rint(rows["weight"] * 1e6).astype(np.int64)
    key = np.where(has_time, time // _HOUR_US, NO_HOUR) * 2 + (has_time & ~rows["relative"])
    fine = grouped(key, np.column_stack([columns, weight]))
    hour, dated = fine.keys >> 1, (fine.keys & 1) != 0
    refused = job.kind_refused[rows["kind"]]
    timed = has_time & (rows["ok"] | refused)
    minute = (time[timed] // _MINUTE_US) * (1 << 20) + rows["kind"][timed]
    ok, refused = rows["ok"][timed], refused[timed]
    per_minute = [ok, rows["input_tokens"][timed] * ok, rows["output_tokens"][timed] * ok, refused]
    per_minute += _billed(rows, timed)
    return {
        "hour": grouped(hour[dated] % 24, fine.sums[dated][:, :-1]),
        "day": grouped(hour[dated] // 24, fine.sums[dated][:, :-1]),
        "calls": grouped(hour, fine.sums[:, -1:]),
        "minute": grouped(minute, np.column_stack([column.astype(np.int64) for column in per_minute])),
    }


def _billed(rows: Rows, which: Mask) -> list[Ints]:
    """Input tokens, output tokens and cost at the price date of priced rows, zeros for others."""
    priced = rows["priced"][which]
    return [rows[name][which] * priced for name in ("input_tokens", "output_tokens", "cost_price_date")]


def _counts(rows: Rows) -> Counter[str]:
    counts: Counter[str] = Counter()
    flags, priced = rows["flags"], rows["priced"]
    failed = ~rows["ok"]
    counts["requests"], counts["priced"], counts["unpriced"] = (
        len(failed),
        int(priced.sum()),
        int(rows["unpriced"].sum()),
    )
    counts["failed"], counts["gateway_hits"] = int(failed.sum()), int(rows["gateway"].sum())
    counts["possibly_billed"] = int(((flags & Flag.POSSIBLY_BILLED) != 0).sum())
    counts["cache_reported"] = int((((flags & Flag.CACHE_REPORTED) != 0) & rows["ok"]).sum())
    counts["backwards"] = int(((flags & Flag.BACKWARDS) != 0).sum())
    counts["null_time"] = int((~rows["has_time"]).sum())
    counts["relative"] = int(rows["relative"].sum())
    counts["reported_costs"] = int((~np.isnan(rows["cost_reported"])).sum())
    for source in UsageSource:
        counts[f"usage:{source.name.lower()}"] = int((rows["usage_source"] == source).sum())
    for state in TextState:
        counts[f"text:{state.name.lower()}"] = int((rows["text_state"] == state).sum())
    for reason in Cacheable:
        counts[f"uncacheable:{reason.name.lower() if reason.name else ''}"] = int(
            ((rows["cacheable"] & reason) != 0).sum()
        )
    for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"):
        counts[name] = int(rows[name][priced].sum())
    with_text = rows["text_state"] == TextState.FULL
    for name in ("system_chars", "tools_chars", "history_chars", "tool_result_chars", "user_chars"):
        counts[name] = int(rows[name][with_text].sum())
    return counts


def write_sessions(rows: Rows, job: CostJob) -> None:
    """Steps and cost by session, in the bucket file `sessions-`: a session may go on in other chunks."""
    session = rows["session"]
    steps = np.stack([np.ones(len(session), np.int64), rows["cost"]], axis=1)
    sums = grouped(session[session != 0], steps[session != 0])
    sessions: Rows = {"session": sums.keys, "steps": sums.column(0).astype(np.int32), "cost": sums.column(1)}
    write_batches(job.file("sessions"), split_by(bucket_of(sums.keys, job.n_buckets), job.n_buckets, sessions))


def bucket_of(keys: NDArray[np.uint64], n_buckets: int) -> Ints:
    """The bucket of each key."""
    return (keys % np.uint64(n_buckets)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class BucketJob:
    """One bucket: batch `bucket` of every file in `files`."""

    bucket: int
    files: list[Path]


def merge_sessions(job: BucketJob) -> tuple[Ints, Ints]:
    """(steps, cost in nano-dollars) of every session of a bucket."""
    parts = [read_batch(path, job.bucket) for path in job.files]
    keys = np.concatenate([part["session"] for part in parts])
    columns = np.stack([np.concatenate([part[name] for part in parts]) for name in ("steps", "cost")], axis=1)
    sums = grouped(keys, columns).sums
    return sums[:, 0], sums[:, 1]
