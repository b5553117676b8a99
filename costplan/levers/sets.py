"""The cost of every set of levers, row by row, on the stream that each set leaves; sums come out, rows stay inside.

Physical order inside a set: the response cache removes requests, the batch tier takes requests out of the interactive
stream, and the prompt cache works on what is left of that stream (it is simulated again for every such stream).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Keyed, grouped, load_rates
from costplan.engine import concat, read_batch, take
from costplan.levers import LADDER, N_SETS
from costplan.levers.prompt_cache import FOREVER, Blocks, Policies, Reads, blocks_of, contiguous, held, simulate
from costplan.trace import Flag
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_HOUR

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
NO_HOUR = -(1 << 40)
RESPONSE, MARKED_PREFIX, AUTOMATIC_PREFIX, BATCH_MARKED, BATCH_REST = range(len(LADDER))


@dataclass(frozen=True, slots=True)
class SetsJob:
    """One bucket of requests that may share prefixes."""

    bucket: int
    files: list[Path]
    rates: Path
    hits: Path
    """uint8 by row number of the log: 1 = answered by the response cache under the ladder's setting."""
    policies: Policies
    lookup_nanos: float
    """Cost of asking the response cache, per eligible request."""
    store_nanos_per_output_token: float
    """Cost of keeping one answer for the TTL, per output token."""


@dataclass(frozen=True, slots=True, eq=False)
class SetSums:
    """Nano-dollars by set of levers, by hour of the log and by call site, and prompt-cache evidence."""

    by_hour: Keyed
    by_site: Keyed
    evidence: dict[str, int]


def value_bucket(job: SetsJob) -> SetSums:
    """Value all 2^n sets on one bucket."""
    parts = [read_batch(path, job.bucket) for path in job.files]
    rows = concat(parts)
    del parts
    rows = take(rows, np.lexsort((rows["gid"], rows["time_us"])))
    n = len(rows["gid"])
    blocks = blocks_of(rows)
    evidence = _ceiling(blocks, rows)
    hit = _hits(job.hits)[rows["gid"]] != 0
    mode = job.policies.mode[rows["price_key"]]
    blocks = blocks.select(
        (blocks.position >= job.policies.min_tokens[rows["price_key"]][blocks.row]) & (mode[blocks.row] > 0)
    )
    marked, rest = _batchable(rows)
    money = _Money(rows, job)
    everything = np.ones(n, dtype=np.bool_)
    alone = simulate(blocks, everything, rows, job.policies)
    simulated_all = np.where(mode == 2, alone.whole_read, alone.automatic)
    evidence["simulated_read_tokens"] = int(np.where(rows["priced"], simulated_all, 0).sum())
    streams: dict[tuple[bool, bool, bool], tuple[Ints, Ints, Ints]] = {}
    overhead = money.cache_overhead(hit)
    # a lever without a request to act on changes nothing: only sets of the other levers need a column
    acting = _acting((hit.any() or overhead.any(), (mode == 2).any(), (mode == 1).any(), marked.any(), rest.any()))
    distinct = sorted({chosen & acting for chosen in range(N_SETS)})
    values = np.zeros((n, len(distinct)), dtype=np.int64)
    for column, chosen in enumerate(distinct):
        cached, with_marked, with_rest = (bool(chosen >> bit & 1) for bit in (RESPONSE, BATCH_MARKED, BATCH_REST))
        alive = ~hit if cached else everything
        batched = (marked & with_marked) | (rest & with_rest)
        stream = (cached, with_marked, with_rest)
        if stream not in streams:
            in_stream = alive & ~batched
            reads = alone if in_stream.all() else simulate(blocks, in_stream, rows, job.policies)
            streams[stream] = money.interactive(reads, simulated_all, mode)
        as_logged, improved, batch = streams[stream]
        prefix_on = (mode == 2) if chosen >> MARKED_PREFIX & 1 else np.zeros(n, np.bool_)
        prefix_on = prefix_on | (mode == 1) if chosen >> AUTOMATIC_PREFIX & 1 else prefix_on
        cost = np.where(batched, batch, np.where(prefix_on, improved, as_logged))
        values[:, column] = np.where(alive, cost, 0) + (overhead if cached else 0)
    evidence["marked_requests"], evidence["rest_requests"] = int(marked.sum()), int(rest.sum())
    hour = np.where(rows["has_time"], rows["time_us"] // (SECONDS_PER_HOUR * MICROS_PER_SECOND), NO_HOUR)
    expand = [distinct.index(chosen & acting) for chosen in range(N_SETS)]
    by_hour, by_site = grouped(hour, values), grouped(rows["site"], values)
    return SetSums(Keyed(by_hour.keys, by_hour.sums[:, expand]), Keyed(by_site.keys, by_site.sums[:, expand]), evidence)


def _acting(has_requests: tuple[Any, ...]) -> int:
    """Set number of the levers that have requests to act on."""
    return sum(1 << lever for lever, there in enumerate(has_requests) if there)


@lru_cache(maxsize=1)
def _hits(path: Path) -> NDArray[np.uint8]:
    return np.load(path, mmap_mode="r")


def _batchable(rows: dict[str, Any]) -> tuple[Mask, Mask]:
    """(requests the user marked as able to wait, the others that nobody visibly waits for: no stream, no history)."""
    flags = rows["flags"]
    possible = rows["priced"] & (rows["batch_rate_row"] >= 0)
    marked = possible & ((flags & Flag.BATCHABLE) != 0)
    rest = possible & ~marked & ((flags & Flag.STREAM) == 0) & (rows["history_chars"] == 0)
    return marked, rest


def _ceiling(blocks: Blocks, rows: dict[str, Any]) -> dict[str, int]:
    """Reuse in an infinite cache: contiguous blocks from the start, and min(tokens up to there, prompt)."""
    n = len(rows["gid"])
    found, _ = held(blocks, np.ones(n, dtype=np.bool_), np.full(n, FOREVER, dtype=np.int64))
    hit_blocks, tokens = contiguous(blocks, found, n)
    with_blocks = np.bincount(blocks.row, minlength=n) > 0
    return {
        "ceiling_blocks": int(hit_blocks.sum()),
        "all_blocks": len(blocks.row),
        "ceiling_tokens": int(tokens.sum()),
        "block_row_tokens": int(rows["input_tokens"][with_blocks].sum()),
        "block_rows": int(with_blocks.sum()),
        "logged_read_tokens": int((rows["cache_read_tokens"] * rows["priced"]).sum()),
        "cache_reported_rows": int((((rows["flags"] & Flag.CACHE_REPORTED) != 0) & rows["priced"]).sum()),
        "priced_rows": int(rows["priced"].sum()),
        "priced_input_tokens": int((rows["input_tokens"] * rows["priced"]).sum()),
    }


class _Money:
    """Rates of a bucket's rows and the costs they give under a use of the caches; nano-dollars."""

    def __init__(self, rows: dict[str, Any], job: SetsJob) -> None:
        table = load_rates(job.rates)
        rates = np.vstack([table.rates, np.zeros((1, table.rates.shape[1]))])
        self.rows, self.job = rows, job
        self.rate = rates[rows["rate_row"]]
        self.batch_rate = rates[rows["batch_rate_row"]]
        self.scale = np.where(rows["priced"], rows["weight"], 0.0) * NANOS_PER_USD
        self.root = np.unique(rows["root_key"], return_inverse=True)[1]

    def cache_overhead(self, hit: Mask) -> Ints:
        """Every eligible request asks the cache; the answer to every miss is stored."""
        rows = self.rows
        store = rows["output_tokens"] * self.job.store_nanos_per_output_token
        per_row = rows["weight"] * (self.job.lookup_nanos + np.where(hit, 0.0, store))
        return np.rint(np.where(rows["eligible"] & rows["priced"], per_row, 0.0)).astype(np.int64)

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
