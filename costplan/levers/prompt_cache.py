"""Prompt caches: which prefix blocks a provider could have read instead of computed, in arrival order.

A block is keyed by everything before it, so a block can only be held while all blocks before it are; each block's life
is therefore independent: it is held when its last use is no longer ago than the TTL (providers refresh on use).
Provider minimums and steps are data in profiles/providers; which text a provider really hashed is not known here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import read_batch, take
from costplan.levers.stack import stack_distances
from costplan.prices import RateTable
from costplan.profiles import provider_policy
from costplan.trace import BlockEnd
from costplan.units import MICROS_PER_SECOND

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
LAST = 4
"""Bit of a block's end, beside those of BlockEnd: the prompt ends there."""
BLOCK_CAPACITIES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000)
SAMPLE_FROM = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class Policies:
    """Cache rules by price key: `mode` 0 none, 1 automatic, 2 explicit marks; tokens and microseconds."""

    mode: NDArray[np.int8]
    min_tokens: Ints
    step_tokens: Ints
    ttl_us: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Every (row, prefix block) of a bucket. Rows are in arrival order, blocks of a row from first to last."""

    row: Ints
    key: NDArray[np.uint64]
    position: Ints
    """Prompt tokens up to the block's end."""
    end: NDArray[np.int8]
    is_last: Mask
    time_us: Ints
    order: Ints
    """Blocks sorted by key, then time."""

    def select(self, where: Mask) -> "Blocks":
        """Only some of the blocks."""
        renumber = np.cumsum(where) - 1
        return Blocks(
            self.row[where], self.key[where], self.position[where], self.end[where], self.is_last[where],
            self.time_us[where], renumber[self.order[where[self.order]]],
        )  # fmt: skip


def blocks_of(rows: dict[str, Any], columns: dict[str, NDArray[Any]]) -> Blocks:
    """The blocks of rows in arrival order; `order` is left empty, for those who only count.

    A row's blocks are the `n_blocks` from `first_block` on of the values in `columns` (key, weight, end). Their length
    in the text's own unit is scaled so that the whole prompt has the tokens that were counted for it.
    """
    row, index = spread(rows["first_block"], rows["n_blocks"])
    scale = rows["input_tokens"] / np.maximum(rows["total_weight"], 1)
    position = np.floor(columns["block_weight"][index] * scale[row] + 1e-9).astype(np.int64)
    is_last = np.ones(len(row), dtype=np.bool_)
    is_last[:-1] = row[1:] != row[:-1]
    return Blocks(
        row, columns["block_key"][index], np.minimum(position, rows["input_tokens"][row]),
        columns["block_end"][index], is_last, rows["time_us"][row], np.zeros(0, np.int64),
    )  # fmt: skip


def spread(first: NDArray[Any], count: NDArray[Any]) -> tuple[Ints, Ints]:
    """(number of the range, member) for every member of the ranges that begin at `first`."""
    number = np.repeat(np.arange(len(count)), count)
    return number, np.arange(len(number)) + (first - np.cumsum(count) + count)[number]


def held(blocks: Blocks, in_stream: Mask, ttl_us: Ints) -> tuple[Mask, Mask]:
    """(held, held by a marked prefix) per block, when only the rows `in_stream` are asked.

    The second needs the earlier request to have ended its prompt or its system prompt there, where marks are set.
    """
    order = blocks.order[in_stream[blocks.row[blocks.order]]]
    key, time = blocks.key[order], blocks.time_us[order]
    again = (key[1:] == key[:-1]) & (time[1:] - time[:-1] <= ttl_us[blocks.row[order[1:]]])
    marked = blocks.is_last | ((blocks.end & BlockEnd.STATIC) != 0)
    found = np.zeros(len(blocks.row), dtype=np.bool_)
    by_mark = np.zeros(len(blocks.row), dtype=np.bool_)
    found[order[1:]] = again
    by_mark[order[1:]] = again & marked[order[:-1]]
    return found, by_mark


def longest(blocks: Blocks, where: Mask, n_rows: int) -> Ints:
    """Per row, the largest position among the blocks `where`; 0 without one."""
    longest_position = np.zeros(n_rows, dtype=np.int64)
    np.maximum.at(longest_position, blocks.row[where], blocks.position[where])
    return longest_position


@dataclass(frozen=True, slots=True, eq=False)
class Reads:
    """Simulated prompt-cache use per row, tokens."""

    automatic: Ints
    static_read: Ints
    static_write: Ints
    """A mark at the end of the system prompt only."""
    whole_read: Ints
    whole_write: Ints
    """A mark at the end of every prompt too, so that the next turn finds it."""


def simulate(blocks: Blocks, in_stream: Mask, rows: dict[str, Any], policies: Policies) -> Reads:
    """What each provider's rules would have let the rows `in_stream` read and write."""
    n = len(in_stream)
    key = rows["price_key"]
    minimum, step = policies.min_tokens[key], policies.step_tokens[key]
    found, by_mark = held(blocks, in_stream, policies.ttl_us[key])
    prompt = rows["input_tokens"]

    def at_least(tokens: Ints) -> Ints:
        return np.where(in_stream & (tokens >= minimum), tokens, 0)

    automatic = at_least(longest(blocks, found, n) // step * step)
    is_static = (blocks.end & BlockEnd.STATIC) != 0
    static_end = at_least(longest(blocks, is_static, n))
    static_read = at_least(longest(blocks, by_mark & is_static, n))
    whole_read = at_least(longest(blocks, by_mark & ((blocks.end & (BlockEnd.MESSAGE | BlockEnd.STATIC)) != 0), n))
    has_blocks = np.zeros(n, dtype=np.bool_)
    has_blocks[blocks.row] = True
    whole = at_least(np.where(has_blocks, prompt, 0))
    return Reads(automatic, static_read, static_end - static_read, whole_read, whole - whole_read)


def _stride(accesses: int) -> int:
    """Follow one key in so many; a power of two, so that what a smaller stride kept is never missed."""
    return 1 << max(0, (-(-accesses // SAMPLE_FROM) - 1).bit_length())


def by_block_capacity(chunks: list[Path], rows_files: list[Path]) -> list[dict[str, Any]]:
    """Token hit share of an LRU prefix cache that holds so many blocks (a self-hosted KV cache), by stack distance.

    Blocks of one request enter last block first, as an engine frees them, so a held block's prefix is held too.
    Above SAMPLE_FROM accesses only blocks whose key is divisible by k are followed and distances scaled by k
    (Waldspurger et al. 2015, SHARDS); `sampled` says so. `rows_files` say which blocks of `chunks` count.
    """
    accesses = sum(int(read_batch(path, 0, ("n_blocks",))["n_blocks"].sum()) for path in rows_files)
    stride = _stride(accesses)
    parts = [_followed(*files, stride) for files in zip(chunks, rows_files, strict=True)]
    time, gid, key, number, tokens = (np.concatenate([part[i] for part in parts]) for i in range(5))
    total = int(tokens.sum())
    if not total:
        return []
    order = np.lexsort((-number, gid, time))
    distance = stack_distances(key[order])
    tokens = tokens[order]
    return [
        {
            "capacity_blocks": capacity,
            "token_share": float(tokens[distance < max(1, capacity // stride)].sum()) / total,
            "sampled": stride > 1,
        }
        for capacity in BLOCK_CAPACITIES
    ]


def _followed(chunk: Path, rows_file: Path, stride: int) -> "tuple[NDArray[Any], ...]":
    """(time, row number, key, place in the prompt, tokens) of the blocks of a chunk that are followed."""
    rows = read_batch(rows_file, 0, ("gid", "time_us", "first_block", "n_blocks", "input_tokens", "total_weight"))
    rows = take(rows, rows["n_blocks"] > 0)
    columns = read_batch(chunk, 0, ("block_key", "block_weight"))
    key, weight = columns["block_key"].values, columns["block_weight"].values
    index = np.flatnonzero(key & np.uint64(stride - 1) == 0)
    index = index[index >= rows["first_block"][0]] if len(rows["first_block"]) else index[:0]
    row = np.searchsorted(rows["first_block"], index, side="right") - 1
    number = index - rows["first_block"][row]
    counts = number < rows["n_blocks"][row]
    index, row, number = index[counts], row[counts], number[counts]
    prompt = rows["input_tokens"][row].astype(np.int64)
    scale = prompt / np.maximum(rows["total_weight"][row], 1)

    def position(weight: NDArray[Any]) -> Ints:
        return np.minimum(np.floor(weight * scale + 1e-9).astype(np.int64), prompt)

    before = np.where(number > 0, position(weight[index - 1]), 0)
    return rows["time_us"][row], rows["gid"][row], key[index], number, position(weight[index]) - before


def policies_of(rates: RateTable) -> Policies:
    """The rules of every price key's provider."""
    modes = {"automatic": 1, "explicit": 2}
    rows: list[tuple[int, int, int, int]] = []
    for index, _ in enumerate(rates.keys):
        note = rates.describe(index)
        cache = None if index in rates.unpriced else provider_policy(note.provider).cache
        if cache is None or cache.mode not in modes:
            rows.append((0, 0, 1, 0))
        else:
            ttl_us = int(cache.ttl_s * MICROS_PER_SECOND)
            rows.append((modes[cache.mode], cache.minimum_for(note.model), cache.step_tokens, ttl_us))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Policies(table[:, 0].astype(np.int8), table[:, 1], table[:, 2], table[:, 3])
