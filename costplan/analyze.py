"""`costplan analyze`: logs in, plan out. Parse the splits, settle what only the whole log can tell, price every row,
let the levers act in physical order on the stream each set leaves, and write down what it means.
"""

import pickle
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import BucketJob, CostJob, Summary, cost_chunk, merge_sessions, merge_summaries, merged
from costplan.economics import (
    Kind,
    Tables,
    baseline_of,
    moment,
    prices_of,
    span_of,
    unit_economics_of,
    unpriced_of,
    warnings_of,
)
from costplan.engine import Executor, executor, usable_cores
from costplan.errors import CostplanError
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, read_log
from costplan.levers import LADDER
from costplan.levers.evidence import evidence_of
from costplan.levers.prompt_cache import Policies, by_block_capacity
from costplan.levers.response_cache import CacheSetting, Replayed, ResponseJob, by_capacity, replay_bucket
from costplan.levers.rungs import Ladder, after_of, opportunities_of, rungs_of
from costplan.levers.sets import NO_HOUR, SetsJob, SetSums, value_bucket
from costplan.month import Month, month_of
from costplan.prices import PriceKey, RateTable, compile_rates
from costplan.profiles import provider_policy
from costplan.results import Assumption, Books, Plan, Skipped, SkippedBooks
from costplan.settings import AnalyzeSettings
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR, format_duration

Progress = Callable[[str, int, int], None]
"""(stage, done, total); bytes for reading, items for the rest."""
BUCKET_BYTES = 128 << 20
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND

# Amazon ElastiCache Serverless (Redis OSS), us-east-1 list price, checked 2026-11: the store a response cache needs.
LOOKUP_USD = 0.0034e-6
STORE_USD_PER_GB_HOUR = 0.125
BYTES_PER_OUTPUT_TOKEN = 4.5
"""English text in o200k_base; keys and framing add about a tenth."""


def analyze(
    paths: list[str], settings: AnalyzeSettings, origins: dict[str, str], progress: Progress | None = None
) -> Plan:
    """The plan for these logs.

    Raises CostplanError where a file cannot be read as a log, where no record is a call, or on --strict findings.
    """
    report = progress or (lambda stage, done, total: None)
    with (
        tempfile.TemporaryDirectory(prefix="costplan-") as folder,
        executor(settings.workers or usable_cores()) as pool,
    ):
        work = Path(folder)
        log = read_log(paths, settings, _feature_settings(settings), work, pool, report)
        run = _Run(settings, origins, log, work, pool, report)
        return run.plan()


def _feature_settings(settings: AnalyzeSettings) -> FeatureSettings:
    return FeatureSettings(
        batchable=frozenset(settings.batchable),
        max_temperature=settings.max_temperature,
        sample_rate=settings.sample_rate,
    )


@dataclass(slots=True)
class _Run:
    """One analysis after the log has been read."""

    settings: AnalyzeSettings
    origins: dict[str, str]
    log: Log
    work: Path
    pool: Executor
    report: Progress

    def plan(self) -> Plan:
        log, settings = self.log, self.settings
        kinds, tags = _numbered([kind for chunk in log.chunks for kind in chunk.kinds]), _tag_numbers(log)
        price_day = self._price_day()
        rates, kind_key, kind_batch_key = _compile(list(kinds), settings)
        summary = self._cost(kinds, tags, rates, kind_key, kind_batch_key, price_day)
        if settings.strict:
            _strict(log, summary)
        sessions = self._sessions()
        replayed, cache_settings, capacities = self._response_cache()
        sets, policies = self._sets(replayed, rates)
        hours = sets.by_hour.keys
        month = month_of(
            np.where(hours == NO_HOUR, -1, hours),
            start_us=summary.time_min if summary.time_max >= summary.time_min else None,
            end_us=summary.time_max if summary.time_max >= summary.time_min else None,
            requests=summary.counts["requests"],
            month_requests=settings.month_requests,
            partial=settings.head is not None,
        )
        labels, notes = self._site_names(summary)
        tables = Tables(list(kinds), kind_key, list(tags), labels.__getitem__, notes.__getitem__, rates)
        return self._document(
            summary, tables, sessions, month, sets, replayed, cache_settings, capacities, policies, price_day
        )

    def _price_day(self) -> int | None:
        """Epoch microseconds of the day at whose prices the future is told: --price-date, else the log's last day."""
        if self.settings.price_date is not None:
            day = self.settings.price_date
            return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
        return None if self.log.last_us is None else self.log.last_us // _DAY_US * _DAY_US

    def _cost(
        self, kinds: dict[Kind, int], tags: dict[str, int], rates: RateTable, kind_key: NDArray[np.int32],
        kind_batch_key: NDArray[np.int32], price_day: int | None,
    ) -> Summary:  # fmt: skip
        rates_file = self.work / "rates.pickle"
        rates_file.write_bytes(pickle.dumps(rates))
        jobs: list[CostJob] = []
        first = 0
        for index, (chunk, dropped) in enumerate(zip(self.log.chunks, self.log.dropped, strict=True)):
            jobs.append(
                CostJob(
                    index=index, path=chunk.path, rows=chunk.rows, first_gid=first, dropped=dropped,
                    kind_ids=np.array([kinds[kind] for kind in chunk.kinds], dtype=np.int32).reshape(-1),
                    kind_key=kind_key, kind_batch_key=kind_batch_key,
                    tags=[[tags[tag] for tag in tagset] for tagset in chunk.tagsets],
                    rates=rates_file, price_date_us=price_day, cut_lengths=self.log.cut_lengths,
                    n_buckets=self._buckets(), folder=self.work,
                )
            )  # fmt: skip
            first += chunk.rows
        return merge_summaries(self._map("pricing", cost_chunk, jobs))

    def _map(self, stage: str, fn: Callable[[Any], Any], jobs: list[Any]) -> list[Any]:
        done = 0

        def on_done(job: Any) -> None:
            nonlocal done
            done += 1
            self.report(stage, done, len(jobs))

        return self.pool.map(fn, jobs, on_done)

    def _buckets(self) -> int:
        return max(2, min(256, -(-self.log.bytes // BUCKET_BYTES)))

    def _files(self, kind: str) -> list[Path]:
        return [self.work / f"{kind}-{index:06d}.arrow" for index in range(len(self.log.chunks))]

    def _sessions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        jobs = [BucketJob(bucket, self._files("sessions")) for bucket in range(self._buckets())]
        parts = self._map("sessions", merge_sessions, jobs)
        steps, cost = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
        order = np.lexsort((steps, cost))
        return steps[order], cost[order]

    def _response_cache(self) -> tuple[list[Replayed], tuple[CacheSetting, ...], list[dict[str, Any]]]:
        chosen = CacheSetting(self.settings.ttl, self.settings.ttl_policy, self.settings.scope, self.settings.capacity)
        grid = _cache_grid(chosen)
        files = self._files("response")
        jobs = [ResponseJob(bucket, files, grid) for bucket in range(self._buckets())]
        replayed = self._map("response cache", replay_bucket, jobs)
        self.pool.close()  # the stack distances below need one process and all keys
        capacities = by_capacity(files, self._buckets(), chosen.ttl_s, chosen.policy)
        return replayed, grid, capacities

    def _sets(self, replayed: list[Replayed], rates: RateTable) -> tuple[SetSums, Policies]:
        hits = np.zeros(sum(chunk.rows for chunk in self.log.chunks), dtype=np.uint8)
        for part in replayed:
            hits[part.exact_gid] = 1
            hits[part.normalised_gid] = 1
        hits_file = self.work / "hits.npy"
        np.save(hits_file, hits)
        policies = _policies(rates)
        ttl_hours = self.settings.ttl / SECONDS_PER_HOUR
        store = STORE_USD_PER_GB_HOUR * ttl_hours * BYTES_PER_OUTPUT_TOKEN * 1.1 / 1e9 * NANOS_PER_USD
        jobs = [
            SetsJob(
                bucket=bucket, files=self._files("prefix"), rates=self.work / "rates.pickle", hits=hits_file,
                policies=policies, lookup_nanos=LOOKUP_USD * NANOS_PER_USD, store_nanos_per_output_token=store,
            )
            for bucket in range(self._buckets())
        ]  # fmt: skip
        parts: list[SetSums] = self._map("levers", value_bucket, jobs)
        evidence: Counter[str] = Counter()
        for part in parts:
            evidence.update(part.evidence)
        return (
            SetSums(merged([p.by_hour for p in parts]), merged([p.by_site for p in parts]), dict(evidence)),
            policies,
        )

    def _site_names(self, summary: Summary) -> tuple[dict[int, str], dict[int, str]]:
        """Call sites by the log's own name, else numbered by spend, with the first line where they appear."""
        named: dict[int, tuple[str, str]] = {}
        for chunk in self.log.chunks:
            for key, name, line in chunk.sites:
                where = f"{self.log.sources[chunk.source_index].shown}:{line + self.log.line_offsets[chunk.path]}"
                named.setdefault(key, (name, where))
        group = summary.groups["site"]
        order = np.lexsort((group.keys, -group.column(0), -group.column(1)))
        labels: dict[int, str] = {}
        unnamed = 0
        for key in group.keys[order].tolist():
            name, _ = named[key]
            if not name:
                unnamed += 1
            labels[key] = name or f"site-{unnamed:02d}"
        return labels, {key: where for key, (_, where) in named.items()}

    def _document(
        self, summary: Summary, tables: Tables, sessions: tuple[NDArray[np.int64], NDArray[np.int64]], month: Month,
        sets: SetSums, replayed: list[Replayed], grid: tuple[CacheSetting, ...], capacities: list[dict[str, Any]],
        policies: Policies, price_day: int | None,
    ) -> Plan:  # fmt: skip
        settings = self.settings
        present, evidence, lines, missing = evidence_of(
            summary, sets.evidence, replayed, grid, capacities, by_block_capacity(self._files("prefix"), self._buckets()),
            policies, self.log.cut_lengths,
        )  # fmt: skip
        ladder = Ladder(sets.by_hour, sets.by_site, month, present, evidence, lines, missing)
        rungs, defensible, counted = rungs_of(ladder)
        day = moment(price_day).date().isoformat() if price_day is not None else None
        baseline = baseline_of(summary, sets.by_hour.column(0), month, day, "")
        books = _books(self.log, summary, tables, sum(part.retries for part in replayed), settings.head is not None)
        return Plan(
            inputs=self.log.inputs,
            ingest=books,
            baseline=baseline,
            unit_economics=unit_economics_of(summary, tables, sessions, settings.revenue_per_user),
            ladder=rungs,
            opportunities=opportunities_of(ladder, rungs, counted, tables.site_label, settings.day_rate),
            after=after_of(ladder, defensible, counted, baseline.requests_month),
            assumptions=_assumptions(settings, self.origins, tables.rates, day),
            prices=prices_of(summary, tables),
            warnings=warnings_of(books),
        )


def _numbered(items: list[Any]) -> dict[Any, int]:
    return {item: number for number, item in enumerate(dict.fromkeys(items))}


def _tag_numbers(log: Log) -> dict[str, int]:
    return _numbered([tag for chunk in log.chunks for tagset in chunk.tagsets for tag in tagset])


def _compile(kinds: list[Kind], settings: AnalyzeSettings) -> tuple[RateTable, NDArray[np.int32], NDArray[np.int32]]:
    """(table, price key by kind, key at batch prices by kind).

    A kind is priced by the model that answered; where that name is unknown, by the name that was asked for.
    """

    def keys_of(kind: Kind) -> list[PriceKey]:
        provider, asked, answered, tier, operation, _ = kind
        return [PriceKey(provider, model, tier, operation) for model in dict.fromkeys((answered or asked, asked))]

    wanted = [key for kind in kinds for key in keys_of(kind)]
    twins = [PriceKey(key.provider, key.model, "batch", key.operation) for key in wanted if key.tier == ""]
    table = compile_rates(list(dict.fromkeys([*wanted, *twins])), price_file=settings.prices)
    number = {key: index for index, key in enumerate(table.keys)}
    kind_key = np.zeros(len(kinds), dtype=np.int32)
    batch_key = np.full(len(kinds), -1, dtype=np.int32)
    for index, kind in enumerate(kinds):
        options = keys_of(kind)
        best = next((key for key in options if number[key] not in table.unpriced), options[0])
        kind_key[index] = number[best]
        if best.tier == "" and number[best] not in table.unpriced:
            policy = provider_policy(table.describe(number[best]).provider)
            if policy.batch is not None:
                batch_key[index] = number[PriceKey(best.provider, best.model, "batch", best.operation)]
    return table, kind_key, batch_key


def _policies(rates: RateTable) -> Policies:
    """Prompt-cache rules by price key."""
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


def _cache_grid(chosen: CacheSetting) -> tuple[CacheSetting, ...]:
    """The ladder's setting first, then the neighbours a reader would ask for."""
    grid = [chosen]
    for ttl_s in (300.0, 3600.0, 86_400.0, 604_800.0):
        grid += [CacheSetting(ttl_s, policy, chosen.scope, None) for policy in ("store", "sliding")]
    grid += [CacheSetting(chosen.ttl_s, chosen.policy, scope, None) for scope in ("global", "user")]
    return tuple(dict.fromkeys(grid))


def _books(log: Log, summary: Summary, tables: Tables, retries: int, partial: bool) -> Books:
    counts = summary.counts
    failed: Counter[str] = Counter()
    group = summary.groups["kind"]
    for kind, sums in zip(group.keys.tolist(), group.sums.tolist(), strict=True):
        if tables.kinds[kind][5]:
            failed[tables.kinds[kind][5]] += sums[0]
    with_usage = counts["requests"] - counts["failed"]
    return Books(
        records=log.records,
        requests=counts["requests"],
        not_a_call=sum(log.not_a_call.values()),
        not_a_call_reasons=dict(sorted(log.not_a_call.items())),
        skipped=SkippedBooks(
            total=sum(log.skipped.values()),
            reasons={
                reason: Skipped(count=log.skipped[reason], first_lines=log.first_lines[reason])
                for reason in sorted(log.skipped)
            },
        ),
        duplicates=log.duplicates,
        repeated_ids=log.repeated_ids,
        merged=log.merged,
        priced=counts["priced"],
        unpriced=unpriced_of(summary, tables),
        failed=counts["failed"],
        failed_by=dict(sorted(failed.items())),
        gateway_hits=counts["gateway_hits"],
        possibly_billed=counts["possibly_billed"],
        retries=retries,
        usage_source={n.removeprefix("usage:"): counts[n] for n in sorted(counts) if n.startswith("usage:")},
        text_state={n.removeprefix("text:"): counts[n] for n in sorted(counts) if n.startswith("text:")},
        cache_reported_share=counts["cache_reported"] / with_usage if with_usage else 0.0,
        span=span_of(summary),
        partial=partial,
    )


def _strict(log: Log, summary: Summary) -> None:
    """--strict: a bad record or an unpriced call ends the run."""
    for reason in sorted(log.skipped):
        raise CostplanError(
            f"{log.first_lines[reason][0]}: {reason} ({log.skipped[reason]} records), and --strict is set",
            hint="mend the log, or run without --strict to count and skip such records",
        )
    if summary.counts["unpriced"]:
        raise CostplanError(
            f"{summary.counts['unpriced']} calls have no price, and --strict is set",
            hint="run without --strict to see which, then give their prices with --prices FILE",
        )


def _assumptions(
    settings: AnalyzeSettings, origins: dict[str, str], rates: RateTable, price_day: str | None
) -> list[Assumption]:
    contract = "given, read from the price file" if rates.contract else "none: list price, no contract given"
    newest = "newest listed prices (the log carries no dates)"
    rows = [
        ("contract", contract, origins.get("prices", "default")),
        ("price_date", price_day or newest, origins["price_date"] if settings.price_date else "the log's last day"),
        ("month_hours", "730", "definition"),
        ("response_cache.ttl", format_duration(settings.ttl), origins["ttl"]),
        ("response_cache.policy", settings.ttl_policy, origins["ttl_policy"]),
        ("response_cache.scope", settings.scope, origins["scope"]),
        ("response_cache.capacity", str(settings.capacity or "unlimited"), origins["capacity"]),
        ("response_cache.max_temperature", f"{settings.max_temperature:g}", origins["max_temperature"]),
        (
            "response_cache.lookup_usd_per_million",
            f"{LOOKUP_USD * 1e6:g}",
            "ElastiCache Serverless list price, 2026-11",
        ),
        (
            "response_cache.store_usd_per_gb_hour",
            f"{STORE_USD_PER_GB_HOUR:g}",
            "ElastiCache Serverless list price, 2026-11",
        ),
        ("batchable", ", ".join(settings.batchable), origins["batchable"]),
        ("sample_rate", f"{settings.sample_rate:g}", origins["sample_rate"]),
        ("engineer_day_usd", f"{settings.day_rate:g}", origins["day_rate"]),
        ("levers", ", ".join(LADDER), "physical order"),
    ]
    return [Assumption(name=name, value=value, origin=origin) for name, value, origin in rows]
