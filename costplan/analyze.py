"""`costplan analyze`: logs in, plan out; what a lever does to a request is not known here.

Parse the splits, settle what only the whole log can tell, price every row, let the levers act in physical order on the
stream that each set of them leaves, and write down what it means.
"""

import pickle
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from msgspec import structs

from costplan.agents.document import Scale, agents_of, opportunities, output_of
from costplan.agents.trim import Cache
from costplan.agents.walk import Walked, together, walk
from costplan.books import assumptions_of, books_of, objections_of, refuse_findings
from costplan.costing import (
    CostJob,
    Summary,
    load_rates,
    merge_sessions,
    merge_summaries,
)
from costplan.daily import Daily, plan_of
from costplan.economics import (
    Tables,
    Volume,
    at_price_date,
    baseline_of,
    margin_of,
    mixed_clocks,
    moment,
    nothing_priced,
    prices_of,
    unit_economics_of,
    warnings_of,
)
from costplan.economics.groups import UNPRICED
from costplan.economics.provisioned import provisioned_of
from costplan.economics.sessions import session_figures
from costplan.engine import executor, usable_cores
from costplan.errors import CostplanError
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, open_logs, read_log, site_names
from costplan.ingest.reread import prompt_jobs, read_joined_prompts, read_prompts
from costplan.invoice import Invoice, read_invoice, reconcile, scale_of
from costplan.keyed import scaled
from costplan.kinds import Kind, price_kinds, with_model
from costplan.levers.accepted import today_of
from costplan.levers.alike import asked_of, company_of, keep_texts, pairs_of
from costplan.levers.ceiling import NewJob, write_new
from costplan.levers.evidence import CacheFacts, cache_grid, evidence_of
from costplan.levers.latency import Moves, latency_of
from costplan.levers.prompt_cache import by_block_capacity, policies_of
from costplan.levers.response_cache import (
    CacheSetting,
    Replayed,
    ResponseJob,
    limited,
    replay_bucket,
    replay_limited,
)
from costplan.levers.rungs import Ladder, Told, after_of, by_low_bound, opportunities_of, rungs_of
from costplan.levers.semantic import Semantic, none_of, simulate_semantic
from costplan.levers.spill import SpillJob, price_and_spill
from costplan.levers.states import RESPONSE, VERIFIED
from costplan.month import Month, month_of, trusted
from costplan.prices import PriceKey
from costplan.prices.contract import sellers_of
from costplan.results import Plan
from costplan.results.latency import Latency
from costplan.routing.known import read_quality
from costplan.settings import AnalyzeSettings
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_DAY
from costplan.valuation import Acting, Progress, Replays, Run, call_task, cheaper_of, shorter_of, value

Item = TypeVar("Item")
JOB_ROWS = 90_000
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND


def analyze(
    paths: list[str], settings: AnalyzeSettings, origins: dict[str, str], progress: Progress | None = None
) -> Plan:
    """The plan for these logs.

    Raises CostplanError where a file cannot be read as a log, where no record is a call, or on --strict findings.
    """
    with (
        tempfile.TemporaryDirectory(prefix="costplan-") as folder,
        executor(settings.workers or usable_cores()) as pool,
    ):
        work, report = Path(folder), progress or _silent
        quality = read_quality(settings.quality, str) if settings.quality else None
        invoice = read_invoice(settings.invoice) if settings.invoice else None
        opened = open_logs(paths, settings, work)
        if all(detected.aggregated for detected in opened.detected):
            return _of_exports(plan_of(opened, settings, origins), invoice)
        log = read_log(opened, settings, _feature_settings(settings), work, pool, report)
        run = Run(settings, log, work, pool, report, quality)
        price_day = _price_day(settings, log)
        summary, tables = _price(run, price_day)
        if settings.strict:
            refuse_findings(log, summary, tables)
        volume = _volume(summary)
        month = _month(settings, summary, volume)
        replays, walked = _replays(run)
        texts = settings.semantic == "on"
        semantic, shorter = (_semantic(run, replays.settings[0]), shorter_of(run)) if texts else (None, None)
        cheaper, accepted = cheaper_of(run, summary, tables, price_day) if run.quality else (None, None)
        acting = Acting(replays, semantic, shorter, cheaper)
        cache, sets, prefix = value(run, acting, tables, price_day)
        month = trusted(month, sets.by_hour.keys, sets.by_hour.column(0))
        scale = scale_of(invoice, int(summary.parts.sum())) if settings.scale_to_invoice else 1.0
        by_hour = scaled(sets.by_hour, scale) if settings.scale_to_invoice else sets.by_hour
        dollars = replace(month, note=f"the log's, times {scale:.4g} as billed") if scale != 1 else month
        ladder = Ladder(
            by_hour=by_hour, by_site=sets.by_site, columns=acting.levels.columns(),
            lengths={} if cheaper is None else cheaper.lengths,
            month=Month(missing=UNPRICED) if nothing_priced(summary) else dollars, contract=tables.rates.contract,
            by_seller=dict(zip(sellers_of(tables.rates.contract), sets.by_seller, strict=True)),
            price_day=moment(price_day).date() if price_day is not None else None
        )  # fmt: skip
        evidence = evidence_of(summary, cache, prefix, shorter, cheaper, volume.weight)
        told = rungs_of(ladder, evidence)
        day = moment(price_day).date().isoformat() if price_day is not None else None
        basis = "estimated" if scale != 1 else "priced"
        baseline = baseline_of(summary, by_hour, dollars, volume, day, ladder.cash, basis)
        revenue = settings.revenue_per_user
        margin = None if revenue is None else margin_of(summary, baseline, revenue)
        retries = (sum(p.retries for p in replays.replayed), sum(p.retry_nanos for p in replays.replayed))
        books = books_of(log, summary, tables, retries, partial=settings.head is not None)
        latency = _latency(settings, summary, cache, told, volume.weight)
        units_on_offer = provisioned_of(summary, tables, month, volume.weight) if settings.ptu else []
        per_1k = None if cheaper is None else today_of(accepted)
        units = unit_economics_of(summary, tables, replays.sessions, volume, margin, per_1k)
        to_month = Scale(baseline)
        agents = agents_of(walked, summary.counts, to_month, log.trees)
        label = tables.site_label.__getitem__
        found = opportunities_of(ladder, evidence, told, label, settings.day_rate)
        found += opportunities(agents, walked, label, settings.day_rate) if agents else []
        objections = objections_of(settings, origins, log, tables, summary, sets.evidence["marked_requests"])
        return Plan(
            inputs=log.inputs,
            ingest=books,
            reconcile=None if invoice is None else reconcile(invoice, books, baseline, units),
            baseline=baseline,
            unit_economics=units,
            ladder=told.rungs,
            opportunities=by_low_bound(found),
            agents=agents,
            output=output_of(summary.counts, baseline, to_month),
            after=after_of(ladder, told, at_price_date(units.per_1k_requests, baseline), latency, accepted),
            provisioned=units_on_offer,
            assumptions=assumptions_of(settings, origins, tables.rates, day, scale, objections),
            prices=prices_of(summary, tables),
            warnings=warnings_of(books, volume, month) + _unsimulated(semantic),
        )


def _latency(settings: AnalyzeSettings, summary: Summary, cache: CacheFacts, told: Told, weight: float) -> Latency:
    verified = VERIFIED in told.defensible
    moves = Moves(cache.moved, summary.groups["pace"], settings.output_ratio[1]) if verified else None
    return latency_of(
        summary.groups, cache.answered, moves, cached=RESPONSE in told.defensible, partial=settings.head is not None,
        sampled=weight > 1, seen=summary.groups["first_token"],
    )  # fmt: skip


def _of_exports(found: Daily, invoice: Invoice | None) -> Plan:
    """The plan of aggregated exports, beside the bill: the one given, else the providers' own amounts among them."""
    plan = found.plan
    bill = invoice or (Invoice(sum(found.billed.values()), found.billed) if sum(found.billed.values()) > 0 else None)
    if bill is None:
        return plan
    return structs.replace(plan, reconcile=reconcile(bill, plan.ingest, plan.baseline, plan.unit_economics))


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def _feature_settings(settings: AnalyzeSettings) -> FeatureSettings:
    return FeatureSettings(
        batchable=frozenset(settings.batchable),
        max_temperature=settings.max_temperature,
        sample_rate=settings.sample_rate,
    )


def _price_day(settings: AnalyzeSettings, log: Log) -> int | None:
    """Epoch microseconds of the day at whose prices the future is told: --price-date, else the log's last day."""
    if settings.price_date is not None:
        day = settings.price_date
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
    return None if log.last_us is None else log.last_us // _DAY_US * _DAY_US


def _price(run: Run, price_day: int | None) -> tuple[Summary, Tables]:
    """Price every row; the bucket files of the later stages are written on the way."""
    log = run.log
    kinds = _numbered([kind for chunk in log.chunks for kind in chunk.kinds])
    named = [with_model(kind, run.settings.assume_model) for kind in kinds]
    tags = _numbered([tag for chunk in log.chunks for tagset in chunk.tagsets for tag in tagset])
    quality = run.quality
    scored = [PriceKey("", model) for model in quality.models] if quality else []
    compiled = price_kinds(named, run.settings.prices, scored)
    run.rates.write_bytes(pickle.dumps(compiled.rates))
    policies = policies_of(compiled.rates)
    jobs: list[CostJob] = []
    first = 0
    for index, (chunk, dropped) in enumerate(zip(log.chunks, log.dropped, strict=True)):
        jobs.append(
            CostJob(
                index=index, path=chunk.path, rows=chunk.rows, first_gid=first, dropped=dropped,
                kind_ids=np.array([kinds[kind] for kind in chunk.kinds], dtype=np.int32).reshape(-1),
                kind_refused=np.array([_refused(kind) for kind in named], dtype=np.bool_),
                kind_key=compiled.kind_key, kind_batch_key=compiled.kind_batch_key,
                tags=[[tags[tag] for tag in tagset] for tagset in chunk.tagsets],
                rates=run.rates, price_date_us=price_day, cut_lengths=log.cut_lengths,
                n_buckets=run.n_buckets, folder=run.work,
            )
        )  # fmt: skip
        first += chunk.rows
    detail = run.settings.semantic == "on" or quality is not None or bool(sellers_of(compiled.rates.contract))
    # a worker adds the sums of several chunks up before it hands them over
    together = max(1, JOB_ROWS * len(jobs) // max(1, first))
    spills = [
        SpillJob(tuple(jobs[at : at + together]), policies, detail, quality is not None)
        for at in range(0, len(jobs), together)
    ]
    summary = run.pool.reduce(price_and_spill, spills, merge_summaries, run.counting("pricing", len(spills)))
    spend = summary.groups["site"]
    by_spend = spend.keys[np.lexsort((spend.keys, -spend.column(0), -spend.column(1)))].tolist()
    labels, places = site_names(log, by_spend)
    return summary, Tables(named, compiled.kind_key, list(tags), labels, places, compiled.rates)


def _volume(summary: Summary) -> Volume:
    """The calls by hour that the rows stand for."""
    calls = summary.groups["calls"]
    total = float(calls.sums.sum()) / 1e6
    return Volume(calls.keys, calls.column(0) / 1e6, total / max(1, summary.counts["requests"]))


def _month(settings: AnalyzeSettings, summary: Summary, volume: Volume) -> Month:
    timed = summary.time_max >= summary.time_min
    return month_of(
        summary.time_min if timed else None,
        summary.time_max if timed else None,
        requests=volume.total,
        month_requests=settings.month_requests,
        calls=(volume.hours, volume.calls),
        partial=settings.head is not None,
        mixed_clocks=mixed_clocks(summary),
    )


def _replays(run: Run) -> tuple[Replays, Walked]:
    """Replay the log against an exact cache under the chosen setting and its neighbours; add up sessions and steps."""
    settings = run.settings
    chosen = CacheSetting(settings.ttl, settings.ttl_policy, settings.scope, settings.capacity)
    grid = cache_grid(chosen)
    unlimited = (replace(chosen, capacity=None), *grid[1:])
    files = run.files("response")
    ends = np.cumsum([chunk.rows for chunk in run.log.chunks]).tolist()
    # the long task first: it takes one worker while the other works through the buckets
    tasks: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (by_block_capacity, ([chunk.path for chunk in run.log.chunks], run.files("rows")))
    ]
    tasks += [(replay_bucket, (ResponseJob(bucket, files, unlimited),)) for bucket in range(run.n_buckets)]
    tasks += [(merge_sessions, (job,)) for job in run.buckets("sessions")]
    tasks += [(walk, (job, run.rates, _cache(run))) for job in run.buckets("steps")]
    tasks += [(write_new, (NewJob(job, ends, run.new[job.bucket]),)) for job in run.buckets("first")]
    capacities, *parts = run.map("replay", call_task, tasks)
    sessions = session_figures(parts[run.n_buckets : 2 * run.n_buckets])
    replayed: list[Replayed] = parts[: run.n_buckets]
    if chosen.capacity is not None:
        replayed = limited(replayed, replay_limited(files, run.n_buckets, chosen))
    walked = together(parts[2 * run.n_buckets : 3 * run.n_buckets])
    return Replays(grid, replayed, sessions, capacities), walked


def _cache(run: Run) -> Cache:
    """The providers' cache rules by price key."""
    rules = policies_of(load_rates(run.rates))
    return Cache(rules.mode, rules.min_tokens, rules.step_tokens, rules.ttl_us)


def _refused(kind: Kind) -> bool:
    return kind[5] == "http_429" or "rate_limit" in kind[5].lower()


def _semantic(run: Run, chosen: CacheSetting) -> Semantic:
    """Replay the log against a semantic cache; its prompts are read a second time."""
    log, head = run.log, run.settings.head
    asked = asked_of(run.files("response"), run.n_buckets, [chunk.path for chunk in log.chunks])
    if not len(asked.prompt):
        return none_of(0, "")
    company = company_of(asked, chosen)
    rows, keep = asked.first_gid[company.prompt], partial(keep_texts, run.work)
    if log.merged:
        parts = [read_joined_prompts(log, rows, head, keep)]
    else:
        parts = run.map("prompts", read_prompts, prompt_jobs(log, rows, head, keep))
    try:
        pairs = pairs_of(asked, company, [kept for part in parts for kept in part], run.work, chosen, run.map)
    except CostplanError as error:
        return none_of(len(asked.first_gid), str(error))
    return simulate_semantic(asked, pairs, chosen)


def _unsimulated(semantic: Semantic | None) -> list[str]:
    if semantic is None or not semantic.note:
        return []
    return [f"only exact repeats are matched, similar prompts are not: {semantic.note}"]


def _numbered(items: list[Item]) -> dict[Item, int]:
    return {item: number for number, item in enumerate(dict.fromkeys(items))}
