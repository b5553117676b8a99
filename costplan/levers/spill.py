"""Priced rows of a chunk, written where those that must meet will meet; knows what must meet, not what comes of it.

Requests that may share an answer meet by their normalised prompt. Prompts that may share a prefix long enough for
their provider's cache meet by their first block; all others, most of an ordinary log, stay with their chunk. The first
use of every block in a chunk meets those of other chunks by the block's key.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.agents.parts import parts_of
from costplan.agents.steps import write_steps
from costplan.costing import (
    NO_HOUR,
    CostJob,
    Rows,
    Summary,
    bucket_of,
    load_rates,
    merge_summaries,
    priced_rows,
    summarise,
    write_sessions,
)
from costplan.engine import Ragged, read_batch, split_by, take, write_batches
from costplan.keyed import Keyed, grouped
from costplan.levers.bins import bins_of, counted
from costplan.levers.ceiling import first_uses
from costplan.levers.prompt_cache import LAST, Blocks, Policies, blocks_of
from costplan.levers.speed import first_tokens, paces
from costplan.levers.variants import route_key
from costplan.trace import Flag, TextState
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_HOUR

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MARKED, REST, ASKS, PRICED, REPORTED, MEETS = 1, 2, 4, 8, 16, 32
"""Bits of a row's `kind`: marked as able to wait; nobody visibly waits for it; asks the response cache; priced; its
cached tokens are in the log; its prompt cache depends on other requests (it stands in the files `family-` too)."""

_DETAIL = (
    "price_key", "rate_row", "batch_rate_row", "fee", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens",
    "text_state",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpillJob:
    """Chunks to price, and the cache rules by price key."""

    chunks: tuple[CostJob, ...]
    policies: Policies
    detail: bool
    """Write what it takes to price a row again, with fewer tokens or at another model."""
    pairs: bool
    """Sum up by call site and price, too, and by the pace of the models."""


def price_and_spill(job: SpillJob) -> Summary:
    """Price the rows of chunks and sum them up.

    Writes the files `response-`, `rows-`, `family-`, `first-`, `sessions-` and `steps-` of every chunk.
    """
    return merge_summaries([_price_and_spill(chunk, job) for chunk in job.chunks])


def _price_and_spill(job: CostJob, spill: SpillJob) -> Summary:
    rows = priced_rows(job)
    rows |= bins_of(rows)
    write_sessions(rows, job)
    write_steps(rows, job)
    _write_response(rows, job)
    _write_prefixes(rows, job, spill)
    summary = summarise(rows, job)
    summary.counts.update(parts_of(rows))
    if spill.pairs:
        summary.groups |= {"pair": _pairs(rows), "pace": paces(rows, rows["ok"])}
    summary.groups |= counted(rows, rows["ok"]) | {"first_token": first_tokens(rows, rows["ok"])}
    return summary


def _pairs(rows: Rows) -> Keyed:
    """PAIR_COLUMNS by `route_key`, of the priced calls."""
    priced = rows["priced"]
    columns = [
        np.ones(len(priced), np.int64), rows["cost_price_date"], rows["input_tokens"], rows["cache_read_tokens"],
        rows["cache_write_tokens"], rows["output_tokens"], (rows["tools_chars"] > 0).astype(np.int64),
    ]  # fmt: skip
    return grouped(route_key(rows["site"], rows["price_key"])[priced], np.stack(columns, axis=1)[priced])


def _write_response(rows: Rows, job: CostJob) -> None:
    """Rows that may share an answer, or repeat a failed one, by normalised prompt."""
    response: Rows = {name: rows[name] for name in ("time_us", "exact_key", "norm_key", "user")}
    response["gid"], response["cost"] = rows["gid"].astype(np.uint32), rows["cost_price_date"]
    response["eligible"], response["failed"] = _eligible(rows) & rows["ok"] & ~rows["gateway"], ~rows["ok"]
    response = take(response, rows["text_state"] != TextState.ABSENT)
    write_batches(
        job.file("response"), split_by(bucket_of(response["norm_key"], job.n_buckets), job.n_buckets, response)
    )


def _eligible(rows: Rows) -> Mask:
    """Rows that a response cache could answer."""
    return (rows["text_state"] == TextState.FULL) & rows["has_time"] & (rows["cacheable"] == 0)


def _write_prefixes(rows: Rows, job: CostJob, spill: SpillJob) -> None:
    names = (
        "gid", "time_us", "has_time", "site", "price_key", "rate_row", "batch_rate_row", "input_tokens",
        "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens",
        "weight", "flags", "total_weight", "history_chars", "root_key", "first_block", "n_blocks", "text_state",
        "cacheable", "priced", "fee", "cost_price_date", "e2e", "ttft",
    )  # fmt: skip
    rows = take({name: rows[name] for name in names}, rows["ok"] & ~rows["gateway"])
    hashed = rows["text_state"] == TextState.ABSENT
    known = ((rows["text_state"] == TextState.FULL) | hashed) & rows["has_time"]
    rows["n_blocks"] = np.where(known, rows["n_blocks"], 0)
    columns = read_batch(job.path, 0, ("block_key", "block_weight", "block_end"))
    blocks = blocks_of(rows, {name: column.values for name, column in columns.items()})
    write_batches(job.file("first"), first_uses(blocks, rows["gid"], job.n_buckets))
    policies = spill.policies
    mode, minimum = policies.mode[rows["price_key"]], policies.min_tokens[rows["price_key"]]
    counts = (blocks.position >= minimum[blocks.row]) & (mode[blocks.row] > 0)
    # where to put marks is decided by prefix family: rows whose cost hangs on that belong to it even without a block
    meets = (mode == 2) & ((rows["cache_read_tokens"] > 0) | (rows["cache_write_tokens"] > 0))
    meets[blocks.row[counts]] = True
    rows["kind"] = _kinds(rows, meets)
    rows["hour"] = np.where(rows["has_time"], rows["time_us"] // (SECONDS_PER_HOUR * MICROS_PER_SECOND), NO_HOUR)
    _write_rows(rows, blocks, job, _DETAIL if spill.detail else ())
    _write_families(rows, blocks, counts, meets, job)


def _kinds(rows: Rows, meets: Mask) -> NDArray[np.uint8]:
    flags, priced = rows["flags"], rows["priced"]
    possible = priced & (rows["batch_rate_row"] >= 0)
    marked = possible & ((flags & Flag.BATCHABLE) != 0)
    rest = possible & ~marked & ((flags & Flag.STREAM) == 0) & (rows["history_chars"] == 0)
    asks = _eligible(rows) & priced
    reported = (flags & Flag.CACHE_REPORTED) != 0
    bits = ((marked, MARKED), (rest, REST), (asks, ASKS), (priced, PRICED), (reported, REPORTED), (meets, MEETS))
    return sum((mask.astype(np.uint8) * np.uint8(bit) for mask, bit in bits), start=np.zeros(len(flags), np.uint8))


def _write_rows(rows: Rows, blocks: Blocks, job: CostJob, more: tuple[str, ...]) -> None:
    """Every living row of the chunk: what it costs without a prompt cache, where its blocks are, and `more` columns."""
    names = ("time_us", "hour", "site", "weight", "total_weight", "kind", "e2e", "ttft", *more)
    table: Rows = {name: rows[name] for name in names}
    table["gid"], table["cost"] = rows["gid"].astype(np.uint32), rows["cost_price_date"]
    table |= {
        name: rows[name].astype(np.int32)
        for name in ("input_tokens", "cache_read_tokens", "output_tokens", "first_block", "n_blocks")
    }
    rates = load_rates(job.rates)
    cost = rates.cost_usd(
        rows["batch_rate_row"], rows["input_tokens"], rows["cache_read_tokens"], rows["cache_write_tokens"],
        rows["cache_write_1h_tokens"], rows["output_tokens"], rows["reasoning_tokens"],
    )  # fmt: skip
    scale = np.where(rows["priced"], rows["weight"], 0.0) * NANOS_PER_USD
    parts = (cost.input, cost.cache_read, cost.cache_write, cost.output)
    table["batch"] = sum((np.rint(part * scale).astype(np.int64) for part in parts), start=rows["fee"])
    table["prefix_tokens"] = np.zeros(len(scale), np.int32)
    table["prefix_tokens"][blocks.row[blocks.is_last]] = blocks.position[blocks.is_last]
    write_batches(job.file("rows"), [table])


def _write_families(rows: Rows, blocks: Blocks, counts: Mask, meets: Mask, job: CostJob) -> None:
    """Rows whose prompt cache depends on other requests, with the blocks that are long enough to count."""
    per_row = np.bincount(blocks.row[counts], minlength=len(meets))
    offsets = np.concatenate([[0], np.cumsum(per_row)]).astype(np.int32)
    lists: dict[str, Any] = {
        "block_key": blocks.key,
        "block_position": blocks.position.astype(np.int32),
        "block_end": blocks.end | (blocks.is_last * LAST).astype(np.int8),
    }
    names = (
        "gid", "time_us", "hour", "site", "kind", "weight", "price_key", "rate_row", "batch_rate_row", "root_key",
        "fee", "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
        "reasoning_tokens",
    )  # fmt: skip
    family: Rows = {name: rows[name].astype(np.int32) if name.endswith("_tokens") else rows[name] for name in names}
    family |= {name: Ragged(offsets, column[counts]) for name, column in lists.items()}
    family = take(family, meets)
    write_batches(job.file("family"), split_by(bucket_of(family["root_key"], job.n_buckets), job.n_buckets, family))
