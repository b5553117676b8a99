"""The cost of every state of the traffic, row by row; sums come out, rows stay inside.

Physical order inside a state: the response cache removes requests, compression shortens the others, routing reprices
them, the batch tier takes some out of the interactive stream. Most requests share no prefix long enough for a prompt
cache: their cost hangs on nothing but themselves. The others are valued in families.py.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import read_batch, take
from costplan.keyed import Keyed, grouped, merged, numbered
from costplan.levers.bins import Counts, all_counted, counted
from costplan.levers.ceiling import Histogram, added, held_of, histogram
from costplan.levers.semantic import VECTOR_OUTPUT_TOKENS
from costplan.levers.speed import moved
from costplan.levers.spill import ASKS, MARKED, MEETS, PRICED, REPORTED, REST
from costplan.levers.states import PREFIXES, Levels
from costplan.levers.token_cost import Money
from costplan.levers.variants import Changes

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
LITERAL_HIT, RESPELLED_HIT, KEPT_HIT, SIMILAR_HIT = 1, 2, 4, 8
"""Bits of a row's hits: what an exact cache answers, with the very same prompt or with one that is spelled otherwise;
what a semantic cache, which holds other answers, answers with one to the row's own prompt or to a similar one."""
SEMANTIC_LEVEL = 3
_HITS = 16
NOBODY = Keyed(np.zeros(0, np.int64), np.zeros((0, 1), np.int64))
_CLASSES = 3 * _HITS
"""Of rows that every state treats alike: by hits, and 1 = marked as able to wait, 2 = nobody visibly waits, 0 = not."""


@dataclass(frozen=True, slots=True)
class CachePrice:
    """What a response cache costs; nano-dollars."""

    lookup_nanos: float
    """Asking it, per eligible request."""
    store_nanos_per_output_token: float
    """Keeping one answer for the TTL."""
    near_nanos: float | None = None
    """Embedding a prompt and asking for the nearest one that is held; None: no semantic cache was simulated."""

    def of(self, rows: dict[str, Any], hit: NDArray[np.uint8], level: int) -> Ints:
        """Every eligible request asks the cache; the answer to every miss is stored.

        A semantic cache also looks for a similar prompt where it does not hold the very same one, and keeps vectors.
        """
        cost = np.full(len(hit), self.lookup_nanos)
        kept = rows["output_tokens"].astype(np.float64)
        if level == SEMANTIC_LEVEL:
            assert self.near_nanos is not None
            cost += np.where((hit & KEPT_HIT) != 0, 0.0, self.near_nanos)
            kept += VECTOR_OUTPUT_TOKENS
        per_row = rows["weight"] * (cost + np.where(gone_of(hit, level), 0.0, kept * self.store_nanos_per_output_token))
        return np.rint(np.where((rows["kind"] & ASKS) != 0, per_row, 0.0)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class RowsJob:
    """Some chunks with all their rows, and what is new in their prompts."""

    chunks: tuple[int, ...]
    files: list[Path]
    """By chunk."""
    new: list[Path]
    hits: Path
    """uint8 by row number of the log: what the response caches answer under the ladder's setting, as bits."""
    price: CachePrice
    levels: Levels
    changes: Changes


@dataclass(frozen=True, slots=True, eq=False)
class SetSums:
    """Nano-dollars by state, by hour of the log and by call site, and prompt-cache evidence."""

    by_hour: Keyed
    by_site: Keyed
    evidence: dict[str, int]
    by_seller: Ints
    """(providers with a contract of their own, states): what is billed by them."""


@dataclass(frozen=True, slots=True, eq=False)
class Prefixes:
    """Requests with a known prefix by call site: tokens shared with an earlier prompt, tokens of the prompt."""

    shared: Histogram
    prompt: Histogram


@dataclass(frozen=True, slots=True, eq=False)
class Valued:
    """What some chunks add."""

    sums: SetSums
    prefixes: Prefixes
    answered: Counts
    """Latencies of the calls that repeat a stored prompt literally."""
    moved: Keyed
    """Calls that verified routes take to another model, but for those (speed.moved)."""


def value_rows(job: RowsJob) -> Valued:
    """Value all states on the rows that depend on no other, and see how far the prompts of all rows repeat."""
    hours: list[Keyed] = []
    sites: list[Keyed] = []
    shared: list[Histogram] = []
    prompt: list[Histogram] = []
    answered: list[Counts] = []
    goes: list[Keyed] = []
    evidence = np.zeros(len(_EVIDENCE), dtype=np.int64)
    billed = np.zeros((job.changes.sellers, job.levels.alone * PREFIXES), dtype=np.int64)
    for chunk in job.chunks:
        rows = read_batch(job.files[chunk], 0)
        hit = hits_of(job.hits, rows)
        literal = (hit & LITERAL_HIT) != 0
        answered.append(counted(rows, literal))
        if job.changes.routes is not None:
            to_key, routed = job.changes.verified(rows)
            goes.append(moved(rows, to_key, routed & ~literal))
        alone = take(rows, (rows["kind"] & MEETS) == 0)
        for keys, sums in (("hour", hours), ("site", sites)):
            sums.append(_alone(alone, alone[keys], job))
        for seller in range(len(billed)):
            billed[seller] += _alone(alone, np.zeros(len(alone["gid"]), np.int64), job, seller).sums.sum(axis=0)
        blocks, tokens = held_of(rows, job.new, chunk)
        evidence += _evidence(rows, blocks, tokens)
        some = rows["n_blocks"] > 0
        shared.append(histogram(rows["site"][some], tokens[some]))
        prompt.append(histogram(rows["site"][some], rows["input_tokens"][some].astype(np.int64)))
    sums = SetSums(merged(hours), merged(sites), dict(zip(_EVIDENCE, evidence.tolist(), strict=True)), billed)
    return Valued(sums, Prefixes(added(shared), added(prompt)), all_counted(answered), merged(goes) if goes else NOBODY)


def gone_of(hit: NDArray[np.uint8], cache: int) -> Mask:
    """Rows that a cache answers: 0 = none, 1 = literal repeats, 2 = respelled ones too, 3 = a semantic cache."""
    bits = (0, LITERAL_HIT, LITERAL_HIT | RESPELLED_HIT, KEPT_HIT | SIMILAR_HIT)[cache]
    return (hit & bits) != 0


def overheads_of(rows: dict[str, Any], hit: NDArray[np.uint8], price: CachePrice, levels: Levels) -> list[Ints]:
    """What each cache costs by row."""
    return [np.zeros(len(hit), np.int64), *(price.of(rows, hit, cache) for cache in range(1, levels.caches))]


def _alone(rows: dict[str, Any], keys: NDArray[Any], job: RowsJob, seller: int | None = None) -> Keyed:
    """Cost of every state by `keys`, of rows that depend on no other; or that part which a seller bills.

    What a cache of one's own costs goes with the request as it was logged.
    """
    hit = hits_of(job.hits, rows)
    waits = np.where((rows["kind"] & MARKED) != 0, 1, np.where((rows["kind"] & REST) != 0, 2, 0))
    distinct, number = numbered(keys)
    variants = _variants(rows, job, seller)
    overheads = overheads_of(rows, hit, job.price, job.levels)[1:]
    if seller is not None:
        overheads = [np.where(job.changes.billed(rows, seller), each, 0) for each in overheads]
    fine = grouped(number * _CLASSES + 3 * hit + waits, np.column_stack([*variants, *overheads]))
    number, kind = np.divmod(fine.keys, _CLASSES)
    hit, waits = (kind // 3).astype(np.uint8), kind % 3
    values = np.zeros((len(kind), job.levels.alone), np.int64)
    for state in job.levels.all():
        if state.prefix:
            continue
        batched = (waits == 1) & bool(state.batch & 2) | (waits == 2) & bool(state.batch & 1)
        variant = 2 * (state.compression * job.levels.routings + state.routing)
        cost = np.where(batched, fine.column(variant + 1), fine.column(variant))
        overhead = fine.column(len(variants) + state.cache - 1) if state.cache else 0
        values[:, job.levels.number(state) // PREFIXES] = np.where(gone_of(hit, state.cache), 0, cost) + overhead
    sums = grouped(number, values)
    return Keyed(distinct[sums.keys], np.repeat(sums.sums, PREFIXES, axis=1))


def _variants(rows: dict[str, Any], job: RowsJob, seller: int | None) -> list[Ints]:
    """(interactive cost, cost in a batch) of every row, by level of compression and then of routing."""
    values: list[Ints] = []
    for compression in range(job.levels.compressions):
        for routing in range(job.levels.routings):
            cost, batch = rows["cost"], rows["batch"]
            if seller is not None:
                billed = job.changes.billed(rows, seller)
                cost, batch = np.where(billed, cost, 0), np.where(billed, batch, 0)
            if compression or routing:
                touched = job.changes.touched(rows, compression, routing)
                some = job.changes.applied(take(rows, touched), compression, routing)
                money = Money(some, job.changes.rates)
                cost, batch = cost.copy(), batch.copy()
                cost[touched], batch[touched] = money.logged(money.rate), money.logged(money.batch_rate)
                if seller is not None:
                    left = touched.copy()
                    left[touched] = ~job.changes.billed(some, seller)
                    cost[left] = batch[left] = 0
            values += [cost, batch]
    return values


_EVIDENCE = (
    "ceiling_blocks", "all_blocks", "ceiling_tokens", "block_row_tokens", "block_rows", "logged_read_tokens",
    "cache_reported_rows", "priced_rows", "priced_input_tokens", "marked_requests", "rest_requests",
)  # fmt: skip


def _evidence(rows: dict[str, Any], blocks: Ints, tokens: Ints) -> Ints:
    """What _EVIDENCE names: reuse in an endless cache, use of the cache in the log, calls that could wait."""
    kind, some = rows["kind"], rows["n_blocks"] > 0
    priced = (kind & PRICED) != 0
    return np.array(
        [
            blocks.sum(), rows["n_blocks"].sum(), tokens.sum(), rows["input_tokens"][some].sum(), some.sum(),
            rows["cache_read_tokens"][priced].sum(), (priced & ((kind & REPORTED) != 0)).sum(), priced.sum(),
            rows["input_tokens"][priced].sum(), ((kind & MARKED) != 0).sum(), ((kind & REST) != 0).sum(),
        ],
        dtype=np.int64,
    )  # fmt: skip


def hits_of(path: Path, rows: dict[str, Any]) -> NDArray[np.uint8]:
    """What the response caches answer, by row: bits."""
    return _hits(path)[rows["gid"]]


@lru_cache(maxsize=1)
def _hits(path: Path) -> NDArray[np.uint8]:
    return np.load(path, mmap_mode="r")
