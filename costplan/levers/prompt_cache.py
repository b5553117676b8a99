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

from costplan.engine import read_batch
from costplan.levers.stack import stack_distances
from costplan.trace import BlockEnd

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
FOREVER = np.iinfo(np.int64).max
BLOCK_CAPACITIES = (1_000, 4_000, 16_000, 64_000, 256_000, 1_000_000)
SAMPLE_FROM = 40_000
_BLOCK_COLUMNS = (
    "gid",
    "time_us",
    "input_tokens",
    "total_weight",
    "blocks_valid",
    "block_key",
    "block_weight",
    "block_end",
)


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


def blocks_of(rows: dict[str, Any], *, ordered: bool = True) -> Blocks:
    """The blocks of rows whose text (or prefix hashes) is whole and whose time is known; rows in arrival order.

    `ordered=False` leaves `order` empty, for those who only count.
    """
    ragged = rows["block_key"]
    lengths = np.diff(ragged.offsets).astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    weight = rows["block_weight"].values
    scale = rows["input_tokens"] / np.maximum(rows["total_weight"], 1)
    position = np.minimum(np.floor(weight * scale[row] + 1e-9).astype(np.int64), rows["input_tokens"][row])
    is_last = np.zeros(len(row), dtype=np.bool_)
    is_last[ragged.offsets[1:][lengths > 0] - 1] = True
    valid = rows["blocks_valid"][row]
    row, key, time = row[valid], ragged.values[valid], rows["time_us"][row[valid]]
    order = np.lexsort((np.arange(len(row)), time, key)) if ordered else np.zeros(0, np.int64)
    return Blocks(row, key, position[valid], rows["block_end"].values[valid], is_last[valid], time, order)


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


def contiguous(blocks: Blocks, found: Mask, n_rows: int) -> tuple[Ints, Ints]:
    """(blocks held, tokens held) per row, counted from the first block up to the first that is not held."""
    numbers = np.arange(len(blocks.row))
    first = np.full(n_rows, len(blocks.row), dtype=np.int64)
    np.minimum.at(first, blocks.row, numbers)
    stop = np.full(n_rows, len(blocks.row), dtype=np.int64)
    np.minimum.at(stop, blocks.row[~found], numbers[~found])
    per_row = np.bincount(blocks.row, minlength=n_rows)
    hit_blocks = np.minimum(stop - first, per_row)
    tokens = np.zeros(n_rows, dtype=np.int64)
    some = hit_blocks > 0
    tokens[some] = blocks.position[(first + hit_blocks - 1)[some]]
    return hit_blocks, tokens


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


def by_block_capacity(files: list[Path], buckets: int) -> list[dict[str, Any]]:
    """Token hit share of an LRU prefix cache that holds so many blocks (a self-hosted KV cache), by stack distance.

    Blocks of one request enter last block first, as an engine frees them, so a held block's prefix is held too.
    Above SAMPLE_FROM accesses only blocks whose key is divisible by k are followed and distances scaled by k
    (Waldspurger et al. 2015, SHARDS); `sampled` says so.
    """
    parts: list[tuple[Ints, Ints, NDArray[np.uint64], Ints, Ints]] = []
    accesses = 0
    for bucket in range(buckets):
        for path in files:
            rows = read_batch(path, bucket, _BLOCK_COLUMNS)
            blocks = blocks_of(rows, ordered=False)
            accesses += len(blocks.row)
            stride = _stride(accesses)
            before = np.concatenate([[0], blocks.position[:-1]])
            before[np.concatenate([[True], blocks.row[1:] != blocks.row[:-1]])] = 0
            keep = blocks.key % np.uint64(stride) == 0
            parts.append(
                (blocks.time_us[keep], rows["gid"][blocks.row[keep]], blocks.key[keep],
                 np.arange(len(blocks.row))[keep], (blocks.position - before)[keep])
            )  # fmt: skip
    stride = _stride(accesses)
    time, gid, key, number, tokens = (np.concatenate([part[i] for part in parts]) for i in range(5))
    keep = key % np.uint64(stride) == 0
    time, gid, key, number, tokens = time[keep], gid[keep], key[keep], number[keep], tokens[keep]
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
