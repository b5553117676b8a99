"""How far each prompt runs along an earlier one, however old: what an endless prefix cache would have held.

A block is new where its key is used for the first time in the log; a prompt was held up to its first new block. So only
the first use of each key matters: in its chunk first, then, by key, in the whole log. Knows no provider and no money.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from costplan.costing import BucketJob, Rows, bucket_of
from costplan.engine import concat, read_batch, split_by, take, write_batches
from costplan.keyed import begins, together
from costplan.levers.prompt_cache import Blocks

Ints = NDArray[np.int64]
_MIX = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64; the ids of hash traces are small numbers


def first_uses(blocks: Blocks, gid: Ints, n_buckets: int) -> list[Rows]:
    """The first use of every block key among rows of one chunk, by bucket: time, row, place and tokens before it."""
    before = np.zeros(len(blocks.row), dtype=np.int64)
    before[1:] = np.where(blocks.row[1:] == blocks.row[:-1], blocks.position[:-1], 0)
    first_block = np.flatnonzero(begins(blocks.row))
    place = np.arange(len(blocks.row)) - np.repeat(first_block, np.diff(np.append(first_block, len(blocks.row))))
    first = _first(blocks.key, blocks.time_us)
    uses: Rows = {
        "block_key": blocks.key[first], "time_us": blocks.time_us[first],
        "gid": gid[blocks.row[first]].astype(np.uint32), "place": place[first].astype(np.int32),
        "before": before[first].astype(np.int32),
    }  # fmt: skip
    return split_by(bucket_of((uses["block_key"] * _MIX) >> np.uint64(32), n_buckets), n_buckets, uses)


def _first(key: NDArray[np.uint64], time_us: Ints) -> Ints:
    """Where each key stands for the first time, by time and then by place; in the order of places."""
    in_order = None if (time_us[1:] >= time_us[:-1]).all() else np.argsort(time_us, kind="stable")
    key = key if in_order is None else key[in_order]
    order = together(key)
    first = order[begins(key[order])]
    return np.sort(first if in_order is None else in_order[first])


@dataclass(frozen=True, slots=True)
class NewJob:
    """One bucket of first uses; `chunk_ends` are the row numbers of the log at which its chunks end."""

    bucket: BucketJob
    chunk_ends: list[int]
    target: Path


def write_new(job: NewJob) -> None:
    """Per row, the first of its blocks in this bucket that no row before it had; a batch per chunk of the log."""
    uses = concat([read_batch(path, job.bucket.bucket) for path in job.bucket.files])
    uses = take(uses, _first(uses["block_key"], uses["time_us"]))
    gid = uses["gid"]
    if not (gid[1:] >= gid[:-1]).all():
        uses = take(uses, np.lexsort((uses["place"], gid)))
    new = take({name: uses[name] for name in ("gid", "place", "before")}, begins(uses["gid"]))
    edges = np.searchsorted(new["gid"], np.array([0, *job.chunk_ends], dtype=np.int64))
    write_batches(
        job.target, [{name: v[a:b] for name, v in new.items()} for a, b in zip(edges[:-1], edges[1:], strict=True)]
    )


def held_of(rows: Rows, new: list[Path], chunk: int) -> tuple[Ints, Ints]:
    """(blocks, tokens) of each of a chunk's rows that an endless cache would have held."""
    blocks, tokens = rows["n_blocks"].astype(np.int64), rows["prefix_tokens"].astype(np.int64)
    for path in new:
        found = read_batch(path, chunk)
        row = cast(Ints, np.searchsorted(rows["gid"], found["gid"]))
        sooner = found["place"] < blocks[row]
        blocks[row[sooner]], tokens[row[sooner]] = found["place"][sooner], found["before"][sooner]
    return blocks, tokens


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many requests of a call site have so many tokens: one row per site and number, sorted by both."""

    site: NDArray[np.uint64]
    tokens: Ints
    count: Ints

    def of(self, site: int) -> tuple[Ints, Ints]:
        """(tokens, requests) of one site."""
        low, high = (int(np.searchsorted(self.site, np.uint64(site), side)) for side in ("left", "right"))
        return self.tokens[low:high], self.count[low:high]


def histogram(site: NDArray[np.uint64], tokens: Ints, count: Any = 1) -> Histogram:
    """Counted rows, or histograms one below the other, as one histogram."""
    order = np.lexsort((tokens, site))
    site, tokens = site[order], tokens[order]
    starts = np.flatnonzero(begins(site) | begins(tokens))
    counts = np.broadcast_to(np.asarray(count, np.int64), len(order))[order]
    return Histogram(site[starts], tokens[starts], np.add.reduceat(counts, starts) if len(starts) else counts)


def added(parts: list[Histogram]) -> Histogram:
    """The sum of several histograms."""
    return histogram(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("site", "tokens", "count")))


def median(tokens: Ints, count: Ints) -> float:
    """The middle of counted values in ascending order; between two, their mean."""
    upto = np.cumsum(count)
    middle = tokens[np.searchsorted(upto, [(upto[-1] - 1) // 2, upto[-1] // 2], side="right")]
    return float(middle.mean())
