"""Rows of one chunk -> money, mergeable sums, and bucket files for what must meet; knows no saving.

Sums are integers (requests, tokens, nano-dollars), so their order does not matter: any split, any worker, same bytes.
"""

import pickle
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import read_batch, split_by, take, write_batches
from costplan.prices import RateTable
from costplan.trace import NO_TIME, Cacheable, Flag, TextState, UsageSource
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = dict[str, Any]

GROUP_COLUMNS = ("requests", "cost", "cost_price_date", "input", "output", "cache_read", "failed")
PARTS = ("input", "cache_read", "cache_write", "output", "other")
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND
_HOUR_US = SECONDS_PER_HOUR * MICROS_PER_SECOND
_MINUTE_US = SECONDS_PER_MINUTE * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True, eq=False)
class Keyed:
    """Sums per key: `sums[i]` are the column sums of `keys[i]`; keys sorted and distinct."""

    keys: NDArray[Any]
    sums: Ints

    def column(self, index: int) -> Ints:
        """One column of sums, in key order."""
        return self.sums[:, index]


def grouped(keys: NDArray[Any], columns: Ints) -> Keyed:
    """Column sums (rows x columns, exact integers) per distinct key."""
    if not len(keys):
        return Keyed(keys, columns.reshape(0, columns.shape[1]))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return Keyed(ordered[starts], np.add.reduceat(columns[order], starts, axis=0))


def merged(parts: list[Keyed]) -> Keyed:
    """Sums over several Keyed with the same columns."""
    return grouped(np.concatenate([part.keys for part in parts]), np.concatenate([part.sums for part in parts]))


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


def cost_chunk(job: CostJob) -> Summary:
    """Price a chunk's rows, sum them up, and write the bucket files `response-`, `prefix-` and `sessions-`."""
    rows = read_batch(job.path, 0)
    if len(job.dropped):
        keep = np.ones(job.rows, dtype=np.bool_)
        keep[job.dropped] = False
        rows = take(rows, keep)
        gid = job.first_gid + np.flatnonzero(keep)
    else:
        gid = job.first_gid + np.arange(job.rows, dtype=np.int64)
    rates = load_rates(job.rates)
    _derive(rows, gid, job)
    _price(rows, rates, job)
    _write_buckets(rows, job)
    return _summarise(rows, job)


def _derive(rows: Rows, gid: Ints, job: CostJob) -> None:
    """Classes of rows that later steps ask for by name."""
    flags = rows["flags"]
    state = np.array(rows["text_state"])
    for group, length in job.cut_lengths.items():
        state[(rows[f"longest_{group}"] == length) & (state == TextState.FULL)] = TextState.TRUNCATED
    rows["gid"], rows["text_state"] = gid, state
    rows["kind"] = job.kind_ids[rows["kind"]]
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


def _summarise(rows: Rows, job: CostJob) -> Summary:
    ok, priced, dated = rows["ok"], rows["priced"], rows["has_time"] & ~rows["relative"]
    columns = np.stack(
        [np.ones(len(ok), np.int64), rows["cost"], rows["cost_price_date"], rows["input_tokens"] * priced,
         rows["output_tokens"] * priced, rows["cache_read_tokens"] * priced, (~ok).astype(np.int64)], axis=1,
    )  # fmt: skip
    time = rows["time_us"]
    user = rows["user"]
    groups = {
        "kind": grouped(rows["kind"].astype(np.int64), columns),
        "site": grouped(rows["site"], columns),
        "user": grouped(user[user != 0], columns[user != 0]),
        "hour": grouped((time[dated] // _HOUR_US) % 24, columns[dated]),
        "day": grouped(time[dated] // _DAY_US, columns[dated]),
        "unpriced": _by_kind(rows, rows["unpriced"]),
        "rates": grouped(
            (rows["price_key"].astype(np.int64) << 32) + rows["call_rate_row"] * priced,
            columns[:, :2] * priced[:, None],
        ),
    }
    known_user = (user != 0) & dated
    user_day = user[known_user] + (time[known_user] // _DAY_US).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    groups["user_day"] = grouped(user_day, columns[known_user, 1:2])
    timed = rows["has_time"] & ok
    minute = (time[timed] // _MINUTE_US) * (1 << 20) + rows["kind"][timed]
    tokens = rows["input_tokens"][timed] + rows["output_tokens"][timed]
    groups["minute"] = grouped(minute, np.stack([np.ones(len(minute), np.int64), tokens], axis=1))
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


def _by_kind(rows: Rows, where: Mask) -> Keyed:
    tokens = (rows["input_tokens"] + rows["output_tokens"])[where]
    return grouped(rows["kind"][where].astype(np.int64), np.stack([np.ones(len(tokens), np.int64), tokens], axis=1))


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


def _write_buckets(rows: Rows, job: CostJob) -> None:
    """Rows that may share a cache entry, a prefix or a session go to the same bucket, whatever split they came from."""
    full = (rows["text_state"] == TextState.FULL) & rows["has_time"]
    alive = rows["ok"] & ~rows["gateway"]
    n = job.n_buckets
    response: Rows = {name: rows[name] for name in ("gid", "time_us", "exact_key", "norm_key", "user", "site")}
    response["cost"] = rows["cost_price_date"]
    response["eligible"] = full & alive & (rows["cacheable"] == 0)
    response["failed"] = ~rows["ok"]
    with_text = rows["text_state"] != TextState.ABSENT
    response = take(response, with_text)
    write_batches(
        job.folder / f"response-{job.index:06d}.arrow",
        split_by((response["norm_key"] % np.uint64(n)).astype(np.int64), n, response),
    )
    prefix: Rows = {
        name: rows[name]
        for name in (
            "gid", "time_us", "site", "price_key", "rate_row", "batch_rate_row", "input_tokens", "cache_read_tokens",
            "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens", "weight", "flags",
            "total_weight", "history_chars", "root_key", "block_key", "block_weight", "block_end", "has_time",
        )
    }  # fmt: skip
    prefix["priced"], prefix["fee"] = rows["priced"], rows["fee"]
    hashed = rows["text_state"] == TextState.ABSENT
    prefix["blocks_valid"] = (full | hashed) & rows["has_time"]
    prefix["full"] = rows["text_state"] == TextState.FULL
    prefix["eligible"] = full & (rows["cacheable"] == 0)
    prefix = take(prefix, alive)
    write_batches(
        job.folder / f"prefix-{job.index:06d}.arrow",
        split_by((prefix["root_key"] % np.uint64(n)).astype(np.int64), n, prefix),
    )
    session = rows["session"]
    steps = np.stack([np.ones(len(session), np.int64), rows["cost"]], axis=1)
    sums = grouped(session[session != 0], steps[session != 0])
    sessions: Rows = {"session": sums.keys, "steps": sums.column(0), "cost": sums.column(1)}
    write_batches(
        job.folder / f"sessions-{job.index:06d}.arrow",
        split_by((sums.keys % np.uint64(n)).astype(np.int64), n, sessions),
    )


@dataclass(frozen=True, slots=True)
class BucketJob:
    """One bucket: batch `bucket` of every file in `files`."""

    bucket: int
    files: list[Path]


def merge_sessions(job: BucketJob) -> tuple[Ints, Ints]:
    """(steps, cost in nano-dollars) of every session of a bucket, sorted by cost."""
    parts = [read_batch(path, job.bucket) for path in job.files]
    keys = np.concatenate([part["session"] for part in parts])
    columns = np.stack([np.concatenate([part[name] for part in parts]) for name in ("steps", "cost")], axis=1)
    sums = grouped(keys, columns).sums
    sums = sums[np.lexsort((sums[:, 0], sums[:, 1]))]
    return sums[:, 0], sums[:, 1]
