"""The cost of every state of the traffic, from what caches answer, compression removes and routing moves."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from costplan.costing import BucketJob, Summary
from costplan.economics import Tables
from costplan.economics.sessions import SessionFigures
from costplan.engine import Executor, read_batch
from costplan.ingest.log import Log
from costplan.ingest.parse import COMPILE_FROM_BYTES
from costplan.ingest.reread import no_texts, prompt_jobs
from costplan.ingest.shorten import NO_EDIT, RemovedJob, removed, removed_joined
from costplan.keyed import merged
from costplan.kinds import batch_key_of
from costplan.levers.accepted import Accepted, accepted_of
from costplan.levers.bins import all_counted
from costplan.levers.compression import Shorter
from costplan.levers.evidence import CacheFacts, PrefixFacts, first_break_of
from costplan.levers.families import FamilyJob, value_families
from costplan.levers.prompt_cache import policies_of
from costplan.levers.response_cache import (
    CacheSetting,
    Replayed,
    by_capacity,
    lookup_nanos,
    store_nanos_per_output_token,
)
from costplan.levers.routing import Cheaper, Seller, decide_sites, traffic_of
from costplan.levers.semantic import Semantic, embed_nanos
from costplan.levers.sets import (
    KEPT_HIT,
    LITERAL_HIT,
    RESPELLED_HIT,
    SIMILAR_HIT,
    CachePrice,
    RowsJob,
    SetSums,
    Valued,
    value_rows,
)
from costplan.levers.spill import PRICED
from costplan.levers.states import Levels
from costplan.levers.variants import FIRST_EDIT, NEWEST_US, SAVED_COLUMNS, TOTAL, Changes
from costplan.prices import PriceKey, RateTable
from costplan.prices.contract import sellers_of
from costplan.prices.names import provider_id
from costplan.profiles.capabilities import Capability, capabilities
from costplan.routing.candidates import Candidate
from costplan.routing.decide import Quality
from costplan.settings import AnalyzeSettings
from costplan.trace import TextState

Progress = Callable[[str, int, int], None]
"""(stage, done, total); bytes for reading, items for the rest."""
Item = TypeVar("Item")
Result = TypeVar("Result")
BUCKET_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Run:
    """A log that has been read, and the means to work on it."""

    settings: AnalyzeSettings
    log: Log
    work: Path
    pool: Executor
    report: Progress
    quality: Quality | None

    @property
    def rates(self) -> Path:
        return self.work / "rates.pickle"

    @property
    def n_buckets(self) -> int:
        return max(2, min(256, -(-self.log.rows // BUCKET_ROWS)))

    def files(self, kind: str) -> list[Path]:
        """The files that pricing wrote, by chunk."""
        return [self.work / f"{kind}-{index:06d}.columns" for index in range(len(self.log.chunks))]

    @property
    def new(self) -> list[Path]:
        """What is new in the prompts, by bucket."""
        return [self.work / f"new-{bucket:06d}.columns" for bucket in range(self.n_buckets)]

    def buckets(self, kind: str) -> list[BucketJob]:
        files = self.files(kind)
        return [BucketJob(bucket, files) for bucket in range(self.n_buckets)]

    def map(self, stage: str, fn: Callable[[Item], Result], jobs: Sequence[Item]) -> list[Result]:
        """`fn` of every job, on all workers, reported as `stage`."""
        return self.pool.map(fn, jobs, self.counting(stage, len(jobs)))

    def counting(self, stage: str, total: int) -> Callable[[Any], None]:
        """A function that reports one more job of the stage as done."""
        done = 0

        def on_done(_: Any) -> None:
            nonlocal done
            done += 1
            self.report(stage, done, total)

        return on_done


def call_task(task: tuple[Callable[..., Any], tuple[Any, ...]]) -> Any:
    """One task of a mixed stage, in a worker."""
    function, arguments = task
    return function(*arguments)


@dataclass(frozen=True, slots=True, eq=False)
class Replays:
    """What the buckets tell before any lever acts."""

    settings: tuple[CacheSetting, ...]
    """The chosen setting of the response cache, then its neighbours."""
    replayed: list[Replayed]
    sessions: SessionFigures
    """Steps and cost of every session, sorted by cost."""
    block_capacities: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Acting:
    """What the levers found to do."""

    replays: Replays
    semantic: Semantic | None
    """None: it was not asked for; likewise below."""
    shorter: Shorter | None
    cheaper: Cheaper | None

    @property
    def similar(self) -> bool:
        """A semantic cache was simulated."""
        return self.semantic is not None and bool(self.semantic.outcomes)

    @property
    def levels(self) -> Levels:
        return Levels(
            caches=4 if self.similar else 3,
            compressions=1 if self.shorter is None else self.shorter.levels,
            routings=1 if self.cheaper is None else self.cheaper.levels,
        )


def value(run: Run, acting: Acting, tables: Tables, price_day: int | None) -> tuple[CacheFacts, SetSums, PrefixFacts]:
    """The cost of every state, and what the caches and the prompts rest on."""
    replays, levels, chosen = acting.replays, acting.levels, acting.replays.settings[0]
    policies = policies_of(tables.rates)
    changes = Changes(
        rates=run.rates, mode=policies.mode, price_date_us=price_day,
        saved=None if acting.shorter is None else acting.shorter.file,
        routes=None if acting.cheaper is None else acting.cheaper.routes,
        seller=seller_by_key(tables.rates), sellers=len(sellers_of(tables.rates.contract)),
    )  # fmt: skip
    hits = _hits_file(run, acting)
    eligible = sum(part.eligible for part in replays.replayed)
    near_nanos = embed_nanos() + lookup_nanos() if acting.similar else None
    price = CachePrice(lookup_nanos(), store_nanos_per_output_token(chosen.ttl_s), near_nanos)
    tasks: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (by_capacity, (run.files("response"), run.n_buckets, chosen.ttl_s, chosen.policy, eligible))
    ]
    files, rows, chunks = run.files("family"), run.files("rows"), range(len(run.log.chunks))
    tasks += [
        (value_families, (FamilyJob(bucket, files, hits, policies, price, levels, changes),))
        for bucket in range(run.n_buckets)
    ]
    tasks += [
        (value_rows, (RowsJob(tuple(chunks[part :: run.n_buckets]), rows, run.new, hits, price, levels, changes),))
        for part in range(min(run.n_buckets, len(chunks)))
    ]
    capacities, *parts = run.map("levers", call_task, tasks)
    by_rows: list[Valued] = parts[run.n_buckets :]
    valued: list[SetSums] = [*parts[: run.n_buckets], *(part.sums for part in by_rows)]
    evidence: Counter[str] = Counter()
    for part in valued:
        evidence.update(part.evidence)
    sums = SetSums(
        merged([p.by_hour for p in valued]), merged([p.by_site for p in valued]), dict(evidence),
        np.sum([p.by_seller for p in valued], axis=0),
    )  # fmt: skip
    cache = CacheFacts(
        settings=replays.settings,
        replayed=replays.replayed,
        capacities=capacities,
        price=price,
        answered=all_counted([part.answered for part in by_rows]),
        moved=merged([part.moved for part in by_rows]),
        semantic=acting.semantic,
    )
    prefix = PrefixFacts(
        sums=sums.evidence,
        capacities=replays.block_capacities,
        first_break=first_break_of([part.prefixes for part in by_rows], tables.site_label),
        policies=policies,
        cut_lengths=run.log.cut_lengths,
    )
    return cache, sums, prefix


def seller_by_key(rates: RateTable) -> NDArray[np.int16]:
    """Index into `sellers_of` by price key, -1 where the provider has no contract of its own."""
    sellers = sellers_of(rates.contract)
    found = np.full(len(rates.keys), -1, dtype=np.int16)
    for index, key in enumerate(rates.keys):
        names = (provider_id(key.provider), key.provider.lower())
        if index not in rates.unpriced:
            names = (rates.describe(index).provider.lower(), *names)
        found[index] = next((sellers.index(name) for name in names if name in sellers), -1)
    return found


def _hits_file(run: Run, acting: Acting) -> Path:
    """What the caches answer, by row number of the log."""
    hits = np.zeros(run.log.rows, dtype=np.uint8)
    for part in acting.replays.replayed:
        hits[part.exact_gid] = LITERAL_HIT
        hits[part.normalised_gid] = RESPELLED_HIT
    if acting.semantic is not None:
        hits[acting.semantic.repeat_gid] |= KEPT_HIT
        hits[acting.semantic.similar_gid] |= SIMILAR_HIT
    path = run.work / "hits.npy"
    np.save(path, hits)
    return path


def shorter_of(run: Run) -> Shorter:
    """What compression takes out of the log's whole prompts; they are read a second time."""
    log, head = run.log, run.settings.head
    rows = [read_batch(path, 0, ("gid", "kind", "text_state")) for path in run.files("rows")]
    whole = [part["gid"][((part["kind"] & PRICED) != 0) & (part["text_state"] == TextState.FULL)] for part in rows]
    wanted = np.concatenate(whole).astype(np.int64)
    if log.merged:
        parts = [removed_joined(log, wanted, head)]
    else:
        long = sum(source.size for source in log.sources) >= COMPILE_FROM_BYTES
        jobs = [RemovedJob(job, long) for job in prompt_jobs(log, wanted, head, no_texts)]
        parts = run.map("compression", removed, jobs)
    tokens = np.zeros((log.rows, SAVED_COLUMNS), np.int32)
    tokens[:, FIRST_EDIT] = NO_EDIT
    by_rung: Counter[str] = Counter()
    for part in parts:
        tokens[wanted[part.number]] = part.tokens
        by_rung.update(part.by_rung)
    path = run.work / "saved.npy"
    np.save(path, tokens)
    lossless, everything = tokens[:, TOTAL], tokens[:, TOTAL + 3]
    return Shorter(
        file=path, prompts=len(wanted), by_rung=by_rung,
        touched=(int((lossless > 0).sum()), int((everything != lossless).sum())),
        tokens=(int(lossless.sum(dtype=np.int64)), int((everything - lossless).sum(dtype=np.int64))),
    )  # fmt: skip


def cheaper_of(run: Run, summary: Summary, tables: Tables, price_day: int | None) -> tuple[Cheaper, Accepted | None]:
    """Which call sites go to another model of the quality table, and what it says of the answers."""
    rates, quality, settings = tables.rates, run.quality, run.settings
    assert quality is not None
    sellers: dict[str, Seller] = {}
    for model in quality.models:
        key = rates.keys.index(PriceKey("", model))
        if key not in rates.unpriced:
            note = rates.describe(key)
            known = capabilities().models.get((note.provider, note.model), Capability())
            candidate = Candidate(provider=note.provider, model=model, usd_per_mtok=0.0, capability=known)
            sellers[note.model] = Seller(candidate, key, batch_key_of(rates, rates.keys[key]))
    spelled = {listed: seller.candidate.model for listed, seller in sellers.items()}
    used = [key for key in sorted(set(tables.kind_key.tolist())) if key not in rates.unpriced]
    listed = {key: rates.describe(key).model for key in used}
    models = {key: spelled.get(model, model) for key, model in listed.items()}
    traffic = traffic_of(summary, sorted(tables.site_label), len(rates.keys))
    found = decide_sites(
        traffic, tables.site_label, rates,
        {key: [seller for model, seller in sellers.items() if model != listed[key]] for key in used}, models, quality,
        time_us=NEWEST_US if price_day is None else price_day, max_loss=settings.max_loss / 100,
        ratio=settings.output_ratio,
    )  # fmt: skip
    spent = int(summary.parts.sum())
    accepted = accepted_of(
        traffic, tables.site_label, models, quality, spent, found, penalty_usd=settings.penalty,
        judging_usd=settings.judging,
    )  # fmt: skip
    return found, accepted
