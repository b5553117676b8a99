"""The cost of every set of levers, row by row, on the stream that each set leaves; sums come out, rows stay inside.

Physical order inside a set: the response cache removes requests, the batch tier takes requests out of the interactive
stream, and the prompt cache works on what is left of that stream (it is simulated again for every such stream). Most
requests have no prompt long enough for a prompt cache: their cost hangs on nothing but themselves.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import load_rates
from costplan.engine import concat, read_batch
from costplan.keyed import Keyed, grouped, merged, numbered, summed, together
from costplan.levers import LADDER, N_SETS
from costplan.levers.ceiling import Histogram, added, held_of, histogram
from costplan.levers.latency import Counts, all_counted, counted
from costplan.levers.prompt_cache import LAST, Blocks, Policies, Reads, simulate
from costplan.levers.semantic import VECTOR_OUTPUT_TOKENS
from costplan.levers.spill import ASKS, MARKED, MEETS, PRICED, REPORTED, REST
from costplan.units import NANOS_PER_USD

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
RESPONSE, RESPELLED, SEMANTIC, MARKED_PREFIX, AUTOMATIC_PREFIX, BATCH_MARKED, BATCH_REST = range(len(LADDER))
LITERAL_HIT, RESPELLED_HIT, KEPT_HIT, SIMILAR_HIT = 1, 2, 4, 8
"""Bits of a row's hits: what an exact cache answers, with the very same prompt or with one that is spelled otherwise;
what a semantic cache, which holds other answers, answers with one to the row's own prompt or to a similar one."""
_STREAMS = 4 * 2 * 2
"""Interactive streams that levers may leave: no cache, one for literal repeats, one for respelled ones too, or a
semantic one; with and without the calls marked as able to wait; with and without the others."""


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
        if level == _SEMANTIC_LEVEL:
            assert self.near_nanos is not None
            cost += np.where((hit & KEPT_HIT) != 0, 0.0, self.near_nanos)
            kept += VECTOR_OUTPUT_TOKENS
        per_row = rows["weight"] * (cost + np.where(_gone(hit, level), 0.0, kept * self.store_nanos_per_output_token))
        return np.rint(np.where((rows["kind"] & ASKS) != 0, per_row, 0.0)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class FamilyJob:
    """One bucket of requests that share prefixes."""

    bucket: int
    files: list[Path]
    rates: Path
    hits: Path
    """uint8 by row number of the log: what the response caches answer under the ladder's setting, as bits."""
    policies: Policies
    price: CachePrice


@dataclass(frozen=True, slots=True)
class RowsJob:
    """Some chunks with all their rows, and what is new in their prompts."""

    chunks: tuple[int, ...]
    files: list[Path]
    """By chunk."""
    new: list[Path]
    hits: Path
    price: CachePrice


@dataclass(frozen=True, slots=True, eq=False)
class SetSums:
    """Nano-dollars by set of levers, by hour of the log and by call site, and prompt-cache evidence."""

    by_hour: Keyed
    by_site: Keyed
    evidence: dict[str, int]


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


def value_rows(job: RowsJob) -> Valued:
    """Value all 2^n sets on the rows that depend on no other, and see how far the prompts of all rows repeat."""
    hours: list[Keyed] = []
    sites: list[Keyed] = []
    shared: list[Histogram] = []
    prompt: list[Histogram] = []
    answered: list[Counts] = []
    evidence = np.zeros(len(_EVIDENCE), dtype=np.int64)
    for chunk in job.chunks:
        rows = read_batch(job.files[chunk], 0)
        alone = (rows["kind"] & MEETS) == 0
        hit = _hits(job.hits)[rows["gid"]]
        answered.append(counted(rows, (hit & LITERAL_HIT) != 0))
        values = _alone(rows, hit, job.price)[alone]
        hours.append(grouped(rows["hour"][alone], values))
        sites.append(grouped(rows["site"][alone], values))
        blocks, tokens = held_of(rows, job.new, chunk)
        evidence += _evidence(rows, blocks, tokens)
        some = rows["n_blocks"] > 0
        shared.append(histogram(rows["site"][some], tokens[some]))
        prompt.append(histogram(rows["site"][some], rows["input_tokens"][some].astype(np.int64)))
    by_hour, by_site = (_expanded(merged(each), job.price) for each in (hours, sites))
    sums = SetSums(by_hour, by_site, dict(zip(_EVIDENCE, evidence.tolist(), strict=True)))
    return Valued(sums, Prefixes(added(shared), added(prompt)), all_counted(answered))


_SEMANTIC_LEVEL = 3


def _gone(hit: NDArray[np.uint8], level: int) -> Mask:
    """Rows that a cache answers: 0 = none, 1 = literal repeats, 2 = respelled ones too, 3 = a semantic cache."""
    bits = (0, LITERAL_HIT, LITERAL_HIT | RESPELLED_HIT, KEPT_HIT | SIMILAR_HIT)[level]
    return (hit & bits) != 0


def _stream(chosen: int, price: CachePrice) -> tuple[int, bool, bool]:
    """(cache, marked calls in batches, others in batches) of a set; a cache that serves similar prompts serves
    respelled ones, too, and one that serves these serves literal repeats."""
    cache = 2 if chosen >> RESPELLED & 1 else chosen >> RESPONSE & 1
    if chosen >> SEMANTIC & 1 and price.near_nanos is not None:
        cache = _SEMANTIC_LEVEL
    return cache, bool(chosen >> BATCH_MARKED & 1), bool(chosen >> BATCH_REST & 1)


def _overheads(rows: dict[str, Any], hit: NDArray[np.uint8], price: CachePrice) -> list[Ints]:
    """What each cache costs by row; of one that was not simulated, nothing."""
    levels = range(_SEMANTIC_LEVEL + (price.near_nanos is not None))
    return [np.zeros(len(hit), np.int64), *(price.of(rows, hit, level) for level in levels if level)]


def _alone(rows: dict[str, Any], hit: NDArray[np.uint8], price: CachePrice) -> Ints:
    """Cost of every row for each of the _STREAMS, in the order of `_expanded`; zeros where there is no such cache."""
    marked, rest = (rows["kind"] & MARKED) != 0, (rows["kind"] & REST) != 0
    values = np.zeros((len(hit), _STREAMS), dtype=np.int64)
    for cache, overhead in enumerate(_overheads(rows, hit, price)):
        gone = _gone(hit, cache)
        for column in range(cache << 2, (cache + 1) << 2):
            batched = (marked & bool(column & 2)) | (rest & bool(column & 1))
            values[:, column] = np.where(batched, rows["batch"], rows["cost"])
            values[gone, column] = 0
            values[:, column] += overhead
    return values


def _expanded(sums: Keyed, price: CachePrice) -> Keyed:
    """Columns for all sets from those by stream."""
    streams = [_stream(chosen, price) for chosen in range(N_SETS)]
    columns = [cache << 2 | with_marked << 1 | with_rest for cache, with_marked, with_rest in streams]
    return Keyed(sums.keys, sums.sums[:, columns])


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


def value_families(job: FamilyJob) -> SetSums:
    """Value all 2^n sets on one bucket of the rows that depend on others."""
    rows, blocks = _families(job)
    n = len(rows["gid"])
    hit = _hits(job.hits)[rows["gid"]]
    mode = job.policies.mode[rows["price_key"]]
    marked, rest = (rows["kind"] & MARKED) != 0, (rows["kind"] & REST) != 0
    money = _Money(rows, job.rates)
    everything = np.ones(n, dtype=np.bool_)
    alone = simulate(blocks, everything, rows, job.policies)
    simulated_all = np.where(mode == 2, alone.whole_read, alone.automatic)
    streams: dict[tuple[int, bool, bool], tuple[Ints, Ints, Ints]] = {}
    overhead = _overheads(rows, hit, job.price)
    # a lever without a request to act on changes nothing: only sets of the other levers need a column
    acts = _gone(hit, 2).any() or overhead[1].any()
    similar = job.price.near_nanos is not None and (_gone(hit, _SEMANTIC_LEVEL).any() or overhead[-1].any())
    respelled = (hit & RESPELLED_HIT).any()
    acting = _acting((acts, respelled, similar, (mode == 2).any(), (mode == 1).any(), marked.any(), rest.any()))
    possible = N_SETS - 1 if job.price.near_nanos is not None else N_SETS - 1 - (1 << SEMANTIC)
    sets = [_implied(chosen & possible) & acting for chosen in range(N_SETS)]
    distinct = sorted(set(sets))
    keys, numbers = zip(numbered(rows["hour"]), numbered(rows["site"]), strict=True)
    sums = [np.zeros((len(each), len(distinct)), dtype=np.int64) for each in keys]
    for column, chosen in enumerate(distinct):
        cache, with_marked, with_rest = stream = _stream(chosen, job.price)
        alive = ~_gone(hit, cache)
        batched = (marked & with_marked) | (rest & with_rest)
        if stream not in streams:
            in_stream = alive & ~batched
            reads = alone if in_stream.all() else simulate(blocks, in_stream, rows, job.policies)
            streams[stream] = money.interactive(reads, simulated_all, mode)
        as_logged, improved, batch = streams[stream]
        prefix_on = (mode == 2) if chosen >> MARKED_PREFIX & 1 else np.zeros(n, np.bool_)
        prefix_on = prefix_on | (mode == 1) if chosen >> AUTOMATIC_PREFIX & 1 else prefix_on
        cost = np.where(batched, batch, np.where(prefix_on, improved, as_logged))
        values = np.where(alive, cost, 0) + overhead[cache]
        for number, table in zip(numbers, sums, strict=True):
            table[:, column] = summed(number, values[:, None], len(table))[:, 0]
    expand = [distinct.index(chosen) for chosen in sets]
    by_hour, by_site = (Keyed(key, table[:, expand]) for key, table in zip(keys, sums, strict=True))
    return SetSums(
        by_hour,
        by_site,
        {"simulated_read_tokens": int(simulated_all[(rows["kind"] & PRICED) != 0].sum())},
    )


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


def _implied(chosen: int) -> int:
    """The set with the caches that one of its caches makes needless: sets of equal cost get one number."""
    chosen |= (chosen >> SEMANTIC & 1) << RESPELLED
    return chosen | (chosen >> RESPELLED & 1) << RESPONSE


def _acting(has_requests: tuple[Any, ...]) -> int:
    """Set number of the levers that have requests to act on."""
    return sum(1 << lever for lever, there in enumerate(has_requests) if there)


@lru_cache(maxsize=1)
def _hits(path: Path) -> NDArray[np.uint8]:
    return np.load(path, mmap_mode="r")


class _Money:
    """Rates of a bucket's rows and the costs they give under a use of the caches; nano-dollars."""

    def __init__(self, rows: dict[str, Any], rates_file: Path) -> None:
        table = load_rates(rates_file)
        rates = np.vstack([table.rates, np.zeros((1, table.rates.shape[1]))])
        self.rows = rows
        self.rate = rates[rows["rate_row"]]
        self.batch_rate = rates[rows["batch_rate_row"]]
        self.scale = np.where((rows["kind"] & PRICED) != 0, rows["weight"], 0.0) * NANOS_PER_USD
        self.root = np.unique(rows["root_key"], return_inverse=True)[1]

    def cost(self, read: Ints, write: Ints, write_1h: Ints, rate: NDArray[np.float64]) -> Ints:
        """Cost of all rows for these cached tokens at these rates."""
        rows = self.rows
        parts = (
            (rows["input_tokens"] - read - write) * rate[:, 0],
            read * rate[:, 1],
            (write - write_1h) * rate[:, 2] + write_1h * rate[:, 3],
            (rows["output_tokens"] - rows["reasoning_tokens"]) * rate[:, 4] + rows["reasoning_tokens"] * rate[:, 5],
        )
        # rounded part by part, as the books are, so that the empty set costs what the books say
        return sum((np.rint(part * self.scale).astype(np.int64) for part in parts), start=rows["fee"])

    def interactive(self, reads: Reads, simulated_all: Ints, mode: NDArray[np.int8]) -> tuple[Ints, Ints, Ints]:
        """(cost as logged, cost with the prompt-cache lever, cost at batch prices) on one stream.

        What the log read from the provider's cache shrinks with the stream: by the ratio of simulated reads.
        """
        rows = self.rows
        logged, zero = rows["cache_read_tokens"], np.zeros(len(mode), dtype=np.int64)
        simulated = np.where(mode == 2, reads.whole_read, reads.automatic)
        kept = np.where(simulated_all > 0, np.minimum(simulated / np.maximum(simulated_all, 1), 1.0), 1.0)
        still = np.floor(logged * kept).astype(np.int64)
        write, write_1h = rows["cache_write_tokens"], rows["cache_write_1h_tokens"]
        as_logged = self.cost(still, write, write_1h, self.rate)
        automatic_read = np.minimum(np.maximum(still, reads.automatic), rows["input_tokens"] - write)
        automatic = self.cost(automatic_read, write, write_1h, self.rate)
        static = self.cost(reads.static_read, reads.static_write, zero, self.rate)
        whole = self.cost(reads.whole_read, reads.whole_write, zero, self.rate)
        improved = np.where(mode == 2, self._cheapest([as_logged, static, whole]), np.minimum(automatic, as_logged))
        # a batch keeps the cache use that the log shows; its price says what a cached token costs there
        return as_logged, improved, self.cost(logged, write, write_1h, self.batch_rate)

    def _cheapest(self, options: list[Ints]) -> Ints:
        """Where to put the marks is one decision per prefix family (same first block), not per request."""
        totals = np.stack([np.bincount(self.root, weights=option) for option in options])
        choice = totals.argmin(axis=0)[self.root]
        return np.choose(choice, options)
