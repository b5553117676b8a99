"""The books, the refusals of --strict and the assumptions of a plan: what was read, left out and taken for granted."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np

from costplan.costing import Summary
from costplan.economics import Tables, span_of, unpriced_of
from costplan.errors import CostplanError
from costplan.ingest.log import Log
from costplan.levers import LADDER
from costplan.levers.alike import LONG_CHARS, THRESHOLD
from costplan.levers.bins import LOOKUP_S
from costplan.levers.latency import LOOKUP_ORIGIN
from costplan.levers.response_cache import LOOKUP_USD, STORE_USD_PER_GB_HOUR
from costplan.levers.semantic import CPU_USD_PER_HOUR
from costplan.prices import RateTable, nearest
from costplan.prices.contract import describe
from costplan.results import NO_MODEL, NO_USAGE, Assumption, Books, Skipped, SkippedBooks
from costplan.settings import AnalyzeSettings
from costplan.similarity.embed import STATIC
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, format_duration, plural


def books_of(log: Log, summary: Summary, tables: Tables, retries: tuple[int, int], *, partial: bool) -> Books:
    """Every record under one heading; `retries` (number, nano-dollars) come from the replay, `partial` from --head."""
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
        retries=retries[0],
        retries_usd=retries[1] / NANOS_PER_USD,
        usage_source={n.removeprefix("usage:"): counts[n] for n in sorted(counts) if n.startswith("usage:")},
        text_state={n.removeprefix("text:"): counts[n] for n in sorted(counts) if n.startswith("text:")},
        cache_reported_share=counts["cache_reported"] / with_usage if with_usage else 0.0,
        span=span_of(summary),
        partial=partial,
    )


def refuse_findings(log: Log, summary: Summary, tables: Tables) -> None:
    """--strict: a bad record or an unpriced call ends the run."""
    for reason in sorted(log.skipped):
        raise CostplanError(
            f"{log.first_lines[reason][0]}: {reason} ({log.skipped[reason]} records), and --strict is set",
            hint="mend the log, or run without --strict to count and skip such records",
        )
    if summary.counts["unpriced"]:
        reasons = {row.reason for row in unpriced_of(summary, tables).models}
        mend = "give their prices with --prices FILE"
        if reasons == {NO_MODEL}:
            mend = "say what to price them as with --assume-model MODEL"
        elif reasons <= {NO_USAGE, NO_MODEL}:
            mend = "log the token counts (usage) of their replies"
        raise CostplanError(
            f"{plural(summary.counts['unpriced'], 'call')} without a price, and --strict is set",
            hint=f"run without --strict to see which, then {mend}",
        )


def objections_of(
    settings: AnalyzeSettings, origins: dict[str, str], log: Log, tables: Tables, summary: Summary, marked: int
) -> dict[str, str]:
    """What the log says against the user's settings, by name of the assumption. `marked`: calls that can wait."""
    found: dict[str, str] = {}
    if origins["batchable"] != "default":
        names = {*tables.tags, *(name for chunk in log.chunks for _, name, _ in chunk.sites)}
        strangers = [name for name in settings.batchable if name not in names]
        if strangers and (not marked or len(strangers) < len(settings.batchable)):
            found["batchable"] = (
                f"--batchable {', '.join(strangers)}: no tag, feature or environment of the log has this name"
            )
        elif not marked:
            found["batchable"] = f"--batchable {', '.join(settings.batchable)}: none of these calls has a batch price"
    if settings.assume_model:
        priced_as = zip(tables.kind_key.tolist(), tables.kinds, strict=True)
        mine = [key for key, kind in priced_as if kind[1] == settings.assume_model and not kind[2]]
        if not mine:
            found["model"] = f"--assume-model {settings.assume_model}: every call names its model, none is priced by it"
        elif all(key in tables.rates.unpriced for key in mine):
            near = nearest(settings.assume_model)
            meant = f"did you mean {' or '.join(near)}?" if near else tables.rates.unpriced[mine[0]].unpriced
            found["model"] = f"--assume-model {settings.assume_model}: no price known; {meant}"
    if settings.price_date is not None:
        unknown = _undated(settings.price_date, span_of(summary).start or "", tables)
        if unknown:
            found["price_date"] = (
                f"--price-date {settings.price_date}: no price of that day is known for {', '.join(unknown[:3])}"
                f"{f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''}; the oldest known one is used"
            )
    return found


def _undated(day: date, start: str, tables: Tables) -> list[str]:
    """Models whose price on a day is a guess: their own price begins later, or nobody says when the listed one began
    and the log begins after that day."""
    day_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
    found: set[str] = set()
    for key in set(tables.kind_key.tolist()) - set(tables.rates.unpriced):
        row = int(tables.rates.lookup(np.array([key], np.int32), np.array([day_us]), np.zeros(1, np.int64))[0])
        note = tables.rates.describe(key, row)
        if (note.effective > day.isoformat()) or (not note.effective and day.isoformat() < start[:10]):
            found.add(note.model)
    return sorted(found)


def assumptions_of(
    settings: AnalyzeSettings,
    origins: dict[str, str],
    rates: RateTable,
    price_day: str | None,
    scale: float,
    objections: Mapping[str, str],
) -> list[Assumption]:
    """What the figures take for granted, who said so, and what speaks against it."""
    listed = "none: list price, no contract given"
    if settings.prices is not None:
        listed = f"prices of {settings.prices.name}, no contract given"
    day = None if price_day is None else date.fromisoformat(price_day)
    contract = describe(rates.contract, day) if rates.contract else listed
    newest = "newest listed prices (the log carries no dates)"
    levers = [name for name in LADDER if settings.semantic == "on" or name != "response_cache_semantic"]
    rows = [
        ("contract", contract, origins.get("prices", "default")),
        *(
            [("scale_to_invoice", f"{scale:.6g}", f"{origins['scale_to_invoice']}: billed over logged, for all models")]
            if settings.scale_to_invoice
            else []
        ),
        ("price_date", price_day or newest, origins["price_date"] if settings.price_date else "the log's last day"),
        ("model", settings.assume_model or "as logged", origins["assume_model"]),
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
        ("response_cache.lookup_ms", f"{LOOKUP_S * 1000:g}", LOOKUP_ORIGIN),
        *_semantic(settings, origins),
        ("batchable", ", ".join(settings.batchable), origins["batchable"]),
        ("sample_rate", f"{settings.sample_rate:g}", origins["sample_rate"]),
        ("engineer_day_usd", f"{settings.day_rate:g}", origins["day_rate"]),
        ("levers", ", ".join(levers), "physical order"),
    ]
    return [Assumption(name=n, value=value, origin=origin, note=objections.get(n, "")) for n, value, origin in rows]


def _semantic(settings: AnalyzeSettings, origins: dict[str, str]) -> list[tuple[str, str, str]]:
    if settings.semantic == "off":
        return []
    return [
        ("response_cache.semantic", settings.semantic, origins["semantic"]),
        ("response_cache.threshold", f"{THRESHOLD:g}", f"cosine of {STATIC}, with the guard"),
        ("response_cache.longest_prompt_chars", f"{LONG_CHARS:,}", "longer prompts are served to exact repeats only"),
        ("response_cache.embedding_usd_per_cpu_hour", f"{CPU_USD_PER_HOUR:g}", "AWS c7i.large list price, 2026-11"),
    ]
