"""The cost of every state of the traffic for requests that share prefixes: the prompt cache depends on who else asks.

The prompt cache works on the interactive stream that a state leaves, and is simulated again for every such stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import concat, read_batch
from costplan.keyed import Keyed, numbered, summed, together
from costplan.levers.prompt_cache import LAST, Blocks, Policies, Reads, simulate
from costplan.levers.sets import CachePrice, SetSums, gone_of, hits_of, overheads_of
from costplan.levers.spill import MARKED, PRICED, REST
from costplan.levers.states import Levels, State
from costplan.levers.token_cost import Money
from costplan.levers.variants import Changes

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_EXPLICIT, _AUTOMATIC = 2, 1


@dataclass(frozen=True, slots=True)
class FamilyJob:
    """One bucket of requests that share prefixes."""

    bucket: int
    files: list[Path]
    hits: Path
    policies: Policies
    price: CachePrice
    levels: Levels
    changes: Changes


@dataclass(frozen=True, slots=True, eq=False)
class _Variant:
    """The rows under a level of compression and one of routing."""

    rows: dict[str, Any]
    blocks: Blocks
    mode: NDArray[np.int8]
    money: Money
    everyone: Reads
    """What they read from the providers' caches when all of them ask."""

    @property
    def simulated(self) -> Ints:
        return np.where(self.mode == _EXPLICIT, self.everyone.whole_read, self.everyone.automatic)


def value_families(job: FamilyJob) -> SetSums:
    """Value all states on one bucket of the rows that depend on others."""
    rows, blocks = _families(job)
    hit = hits_of(job.hits, rows)
    waits = (rows["kind"] & REST) != 0, (rows["kind"] & MARKED) != 0
    overheads = overheads_of(rows, hit, job.price, job.levels)
    variants = _variants(rows, blocks, job)
    caches = _lowest([(gone_of(hit, cache), overheads[cache]) for cache in range(job.levels.caches)])
    states = [_plain(state, caches, variants, waits) for state in job.levels.all()]
    distinct = sorted(set(states))
    keys, numbers = zip(numbered(rows["hour"]), numbered(rows["site"]), strict=True)
    sums = [np.zeros((len(each), len(distinct)), dtype=np.int64) for each in keys]
    billed = np.zeros((job.changes.sellers, len(distinct)), dtype=np.int64)
    streams: dict[State, tuple[Ints, Ints, Ints]] = {}
    for column, state in enumerate(distinct):
        variant = variants[state.compression, state.routing]
        alive = ~gone_of(hit, state.cache)
        batched = (waits[0] & bool(state.batch & 1)) | (waits[1] & bool(state.batch & 2))
        stream = state._replace(prefix=0)
        if stream not in streams:
            in_stream = alive & ~batched
            all_ask = in_stream.all()
            reads = variant.everyone if all_ask else simulate(variant.blocks, in_stream, variant.rows, job.policies)
            streams[stream] = variant.money.interactive(reads, variant.simulated, variant.mode)
        as_logged, improved, batch = streams[stream]
        cached = (variant.mode == _EXPLICIT) & bool(state.prefix & 1)
        cached |= (variant.mode == _AUTOMATIC) & bool(state.prefix & 2)
        cost = np.where(batched, batch, np.where(cached, improved, as_logged))
        values = np.where(alive, cost, 0) + overheads[state.cache]
        for number, table in zip(numbers, sums, strict=True):
            table[:, column] = summed(number, values[:, None], len(table))[:, 0]
        for seller in range(len(billed)):
            mine = np.where(job.changes.billed(variant.rows, seller), np.where(alive, cost, 0), 0)
            mine += np.where(job.changes.billed(rows, seller), overheads[state.cache], 0)
            billed[seller, column] = mine.sum()
    expand = [distinct.index(state) for state in states]
    by_hour, by_site = (Keyed(key, table[:, expand]) for key, table in zip(keys, sums, strict=True))
    logged = variants[0, 0].simulated[(rows["kind"] & PRICED) != 0]
    return SetSums(by_hour, by_site, {"simulated_read_tokens": int(logged.sum())}, billed[:, expand])


def _lowest(levels: Sequence[tuple[NDArray[Any], ...]]) -> list[int]:
    """By level, the lowest one that does the same: a level that finds nothing to do here needs no column of its own."""
    lowest: list[int] = []
    for number, level in enumerate(levels):
        alike = (low for low in lowest if all(map(np.array_equal, level, levels[low])))
        lowest.append(next(alike, number))
    return lowest


def _plain(
    state: State, caches: list[int], variants: dict[tuple[int, int], _Variant], waits: tuple[Mask, Mask]
) -> State:
    """The least state that costs the same on these rows."""
    variant = variants[state.compression, state.routing]
    compression, routing = next(levels for levels, each in variants.items() if each is variant)
    explicit, automatic = bool((variant.mode == _EXPLICIT).any()), bool((variant.mode == _AUTOMATIC).any())
    waiting = bool(waits[0].any()), bool(waits[1].any())
    return State(
        caches[state.cache], compression, routing, state.batch & (waiting[0] | waiting[1] << 1),
        state.prefix & (explicit | automatic << 1),
    )  # fmt: skip


def _variants(rows: dict[str, Any], blocks: Blocks, job: FamilyJob) -> dict[tuple[int, int], _Variant]:
    """By level of compression and of routing; levels that do the same share one."""
    columns = ("input_tokens", "price_key")
    variants: dict[tuple[int, int], _Variant] = {}
    for compression in range(job.levels.compressions):
        for routing in range(job.levels.routings):
            changed = job.changes.applied(rows, compression, routing)
            edit = job.changes.first_edit(rows, compression)
            alike = (
                each for each in variants.values()
                if edit is None and all(np.array_equal(changed[name], each.rows[name]) for name in columns)
            )  # fmt: skip
            variants[compression, routing] = next(alike, None) or _variant(rows, changed, blocks, edit, job)
    return variants


def _variant(
    rows: dict[str, Any], changed: dict[str, Any], blocks: Blocks, edit: Ints | None, job: FamilyJob
) -> _Variant:
    """`edit`: the token of each prompt from which on it differs from what was sent before."""
    if edit is not None:
        blocks = blocks.select(blocks.position <= edit[blocks.row])
    if changed["input_tokens"] is not rows["input_tokens"]:
        position = (
            blocks.position * changed["input_tokens"][blocks.row] // np.maximum(rows["input_tokens"], 1)[blocks.row]
        )
        blocks = replace(blocks, position=position)
    everyone = simulate(blocks, np.ones(len(rows["gid"]), np.bool_), changed, job.policies)
    mode = job.policies.mode[changed["price_key"]]
    return _Variant(changed, blocks, mode, Money(changed, job.changes.rates), everyone)


def _families(job: FamilyJob) -> tuple[dict[str, Any], Blocks]:
    """A bucket's rows in arrival order, with their blocks."""
    rows = concat([read_batch(path, job.bucket) for path in job.files])
    order = np.lexsort((rows["gid"], rows["time_us"]))
    rows = {
        name: column.astype(np.int64) if name.endswith("_tokens") else column
        for name, column in ((name, column.take(order)) for name, column in rows.items())
    }
    key, position, end = (rows.pop(name) for name in ("block_key", "block_position", "block_end"))
    row = np.repeat(np.arange(len(order)), np.diff(key.offsets))
    blocks = Blocks(
        row, key.values, position.values.astype(np.int64), end.values, (end.values & LAST) != 0, rows["time_us"][row],
        together(key.values),
    )  # fmt: skip
    return rows, blocks
