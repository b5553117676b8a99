"""Entries of aggregated exports -> the plan: books, spend, mix, trend; each lever says that it needs a request log."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.daily.growth import growth_of
from costplan.daily.read import DAY_US, HOUR_US, Entry, day_of, read_exports
from costplan.daily.spend import Spend, hourly, only_money, requests_of, rows_by, spend_of
from costplan.economics import moment
from costplan.economics.groups import TOP, UNPRICED
from costplan.errors import CostplanError, UsageError
from costplan.ingest.log import Opened
from costplan.kinds import Kind, model_of
from costplan.month import MIN_FULL_DAYS, Month, month_of
from costplan.prices import nearest
from costplan.prices.contract import cash_of, sellers_of
from costplan.results import (
    NO_MODEL,
    NO_USAGE,
    After,
    AfterTotal,
    Aggregated,
    Assumption,
    Baseline,
    Books,
    CostParts,
    Estimate,
    GroupRow,
    Plan,
    PriceUsed,
    Rung,
    Skipped,
    SkippedBooks,
    Span,
    UnitEconomics,
    UnpricedBooks,
    UnpricedModel,
    exact,
    unknown,
)
from costplan.settings import AnalyzeSettings
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, TOKENS_PER_MTOK, plural

NEEDS_LOG = "needs a request log"
_ACTS_ON = ("price_date", "prices", "assume_model", "month_requests", "invoice", "strict", "workers", "format")
_MONTH = "USD/month"
_PARTS = ("input", "cache_read", "cache_write", "output", "other")
Ints = NDArray[np.int64]
Lever = Literal["response_cache", "compression", "routing", "prompt_cache", "batch"]


@dataclass(frozen=True, slots=True)
class Daily:
    """The plan, and the provider's own amounts that it leaves out: USD by what the lines are called."""

    plan: Plan
    billed: dict[str, float]


def plan_of(opened: Opened, settings: AnalyzeSettings, origins: dict[str, str]) -> Daily:
    """Raises UsageError for a flag that only a log can answer, CostplanError where nothing can be read."""
    name = opened.sources[0].shown
    idle = [n for n, o in origins.items() if o == "flag" and n not in _ACTS_ON]
    idle = [n for n in idle if n != "semantic" or settings.semantic == "on"]
    if idle:
        raise UsageError(
            f"--{idle[0].replace('_', '-')}: {name} is an aggregated export, there is no call to act on",
            hint="of an export there are --price-date, --prices, --assume-model, --month-requests and --invoice",
        )
    usage = read_exports(opened)
    day_us = (usage.span_us[1] - 1) // DAY_US * DAY_US
    if settings.price_date is not None:
        at = settings.price_date
        day_us = int(datetime(at.year, at.month, at.day, tzinfo=UTC).timestamp()) * MICROS_PER_SECOND
    spend = spend_of(usage, settings, day_us)
    month = _month(spend, settings)
    books = _books(spend)
    if settings.strict:
        _refuse(books)
    baseline, units = _baseline(spend, month, day_us), _units(spend)
    after = AfterTotal(
        cost_usd_month=baseline.cost_usd_month, per_1k_requests=units.per_1k_requests, saving_share=None, levers=[]
    )
    billed: dict[str, float] = defaultdict(float)
    for i in sorted(spend.unused):
        billed[usage.entries[i].period.model] += (usage.entries[i].usd_nanos or 0) / NANOS_PER_USD
    plan = Plan(
        inputs=usage.inputs, ingest=books, baseline=baseline, unit_economics=units, ladder=_rungs(spend),
        opportunities=[], after=After(defensible=after, potential=after), prices=_prices(spend),
        assumptions=_assumptions(spend, settings, origins, day_of(day_us)), warnings=_warnings(spend),
    )  # fmt: skip
    return Daily(plan, dict(billed))


def _month(spend: Spend, settings: AnalyzeSettings) -> Month:
    start, end = spend.usage.span_us
    requests = requests_of(spend.entries)
    counts = (not e.uncounted for i, e in enumerate(spend.entries) if spend.counted[i])
    if settings.month_requests is not None and not (requests and all(counts)):
        raise UsageError(
            "--month-requests: not all rows of the export count their requests",
            hint="run it without: the month is made from days",
        )
    short = spend.usage.width_us > HOUR_US and end - start < MIN_FULL_DAYS * DAY_US
    if settings.month_requests is None and short:
        return Month(missing=f"fewer than {MIN_FULL_DAYS} full days make no month: export more of them")
    hours, calls = hourly(spend, [e.period.requests or 0 for e in spend.entries], every=True)
    return month_of(
        start, end, requests=requests or 0, month_requests=settings.month_requests,
        calls=(hours, calls.astype(np.float64)),
    )  # fmt: skip


def _books(spend: Spend) -> Books:
    usage, entries = spend.usage, spend.entries
    classes: Counter[str] = Counter()
    missing: dict[tuple[str, str, str, str], list[int]] = {}
    for i, entry in enumerate(entries):
        name = "unused" if i in spend.unused else "priced" if spend.counted[i] else "unpriced"
        if i not in spend.unused and (spend.basis == "reported" and spend.counted[i] or only_money(entry)):
            name = "reported"
        classes[name] += entry.rows
        if name == "unpriced":
            p = entry.period
            row = missing.setdefault((model_of(spend.kinds[i]), p.provider, p.operation, spend.reasons[i]), [0, 0])
            row[0] += p.requests or 0
            row[1] += (p.input_tokens or 0) + p.output_tokens
    models = [
        UnpricedModel(
            model=model, provider=provider, operation=operation, reason=reason, requests=sums[0], tokens=sums[1],
            nearest=nearest(model) if reason not in (NO_MODEL, NO_USAGE) else [],
        )
        for (model, provider, operation, reason), sums in sorted(missing.items(), key=lambda m: (-m[1][1], m[0]))
    ]  # fmt: skip
    exports: Counter[str] = Counter()
    for entry in entries:
        exports[entry.export] += entry.rows
    start, end = usage.span_us
    used = [entry for i, entry in enumerate(entries) if i not in spend.unused]
    return Books(
        records=usage.records, requests=0, not_a_call=sum(usage.not_a_call.values()),
        not_a_call_reasons=dict(sorted(usage.not_a_call.items())),
        skipped=SkippedBooks(
            total=sum(usage.skipped.values()),
            reasons={
                reason: Skipped(count=count, first_lines=usage.first_lines[reason])
                for reason, count in sorted(usage.skipped.items())
            },
        ),
        duplicates=0, repeated_ids=0, merged=0, priced=0,
        unpriced=UnpricedBooks(requests=0, tokens=0, token_share=0.0, models=[]), failed=0, failed_by={},
        gateway_hits=0, possibly_billed=0, retries=0, usage_source={}, text_state={},
        cache_reported_share=0.0,
        span=Span(
            start=f"{moment(start):%Y-%m-%dT%H:%M:%SZ}", end=f"{moment(end - MICROS_PER_SECOND):%Y-%m-%dT%H:%M:%SZ}",
            days=(end - start) / DAY_US, full_days=(end // DAY_US) - -(-start // DAY_US),
        ),
        aggregated=Aggregated(
            rows=sum(entry.rows for entry in entries), requests=requests_of(used),
            uncounted_rows=sum(entry.uncounted for entry in used), priced=classes["priced"],
            unpriced=classes["unpriced"], unpriced_models=models[:TOP], reported=classes["reported"],
            unused=classes["unused"], exports=dict(sorted(exports.items())),
        ),
    )  # fmt: skip


def _refuse(books: Books) -> None:
    for reason, skipped in books.skipped.reasons.items():
        raise CostplanError(
            f"{skipped.first_lines[0]}: {reason} ({skipped.count} rows), and --strict is set",
            hint="mend the export, or run without --strict to count and skip such rows",
        )
    if books.aggregated is not None and books.aggregated.unpriced:
        raise CostplanError(
            f"{plural(books.aggregated.unpriced, 'row')} without a price, and --strict is set",
            hint="run without --strict to see which, then give their prices with --prices FILE",
        )


def _shares(spend: Spend) -> dict[str, float]:
    """Of the spend at the price date, by provider with terms of its own."""
    total = int(spend.at_price_date[spend.counted].sum())
    shares = dict.fromkeys(sellers_of(spend.compiled.rates.contract), 0.0)
    for at, entry in enumerate(spend.entries):
        if total and spend.counted[at] and entry.provider in shares:
            shares[entry.provider] += int(spend.at_price_date[at]) / total
    return shares


def _baseline(spend: Spend, month: Month, day_us: int) -> Baseline:
    known = bool(spend.counted.any())
    hours, nanos = hourly(spend, spend.at_price_date)
    used = [e for i, e in enumerate(spend.entries) if i not in spend.unused]
    a_month = month.estimate(hours, nanos, spend.basis) if known else unknown(_MONTH, UNPRICED)
    contract, day = spend.compiled.rates.contract, moment(day_us).date()
    cash = None
    if contract and spend.basis == "priced" and a_month.value is not None:
        shares = _shares(spend)
        ends = [cash_of(contract, end or 0.0, shares, day) for end in (a_month.value, a_month.low, a_month.high)]
        cash = replace(a_month, value=ends[0], low=ends[1], high=ends[2], basis="assumed", note="under the contract")
    reported = [e.usd_nanos for e in used if e.usd_nanos is not None]
    parts = [int(spend.parts[spend.counted, part].sum()) / NANOS_PER_USD for part in range(len(_PARTS))]
    requests = requests_of(used)
    calls_hours, calls = hourly(spend, [e.period.requests or 0 for e in spend.entries], every=True)

    def sums(nanos: int) -> Estimate:
        return exact(nanos / NANOS_PER_USD, "USD", spend.basis) if known else unknown("USD", UNPRICED)

    return Baseline(
        cost_usd=sums(spend.total()), cost_usd_price_date=sums(int(spend.at_price_date[spend.counted].sum())),
        cost_usd_month=a_month, cash_usd_month=cash,
        cost_usd_reported=sum(reported) / NANOS_PER_USD if reported else None,
        price_date=day.isoformat(), requests=requests,
        requests_month=None if requests is None else month.value(calls_hours, calls),
        input_tokens=sum(e.period.input_tokens or 0 for e in used),
        cache_read_tokens=sum(e.period.cache_read_tokens for e in used),
        cache_write_tokens=sum(e.period.cache_write_tokens for e in used),
        output_tokens=sum(e.period.output_tokens for e in used),
        reasoning_tokens=sum(e.period.reasoning_tokens for e in used),
        cost_by=CostParts(**dict(zip(_PARTS, parts if known else [None] * len(_PARTS), strict=True))),
    )  # fmt: skip


def _units(spend: Spend) -> UnitEconomics:
    nanos, chosen = spend.nanos, [i for i in range(len(spend.entries)) if spend.counted[i]]
    uncounted = sum(spend.entries[i].uncounted for i in chosen)
    calls = 0 if uncounted else sum(spend.entries[i].period.requests or 0 for i in chosen)
    usd = spend.total() / NANOS_PER_USD
    tokens = sum((spend.entries[i].period.input_tokens or 0) + spend.entries[i].period.output_tokens for i in chosen)
    start, end = spend.usage.span_us
    hours, by_hour = hourly(spend, nanos)
    days = np.arange(-(-start // DAY_US), end // DAY_US)
    sums = np.bincount(np.searchsorted(days, hours // 24), by_hour, len(days) + 1)[: len(days)] if len(days) else days
    missing = "the export does not count requests"
    if uncounted and requests_of(spend.entries):
        missing = f"{plural(uncounted, 'row')} without a count of requests"
    missing = missing if chosen else UNPRICED

    def per(amount: float, units: float, unit: str, missing: str) -> Estimate:
        return exact(amount / units, unit, spend.basis) if units else unknown(unit, missing)

    def grouped(key: Callable[[Entry, Kind], str]) -> list[GroupRow]:
        return rows_by(spend, [key(e, k) for e, k in zip(spend.entries, spend.kinds, strict=True)])

    days_rows = grouped(lambda e, _: day_of(e.period.start_us))
    by_the_hour = spend.usage.width_us <= HOUR_US
    by_clock = grouped(lambda e, _: f"{e.period.start_us // HOUR_US % 24:02d}") if by_the_hour else []
    labels = grouped(lambda e, _: e.period.label or "(none)")
    return UnitEconomics(
        per_request=per(usd, calls, "USD/request", missing),
        per_1k_requests=per(usd * 1000, calls, "USD/1k requests", missing),
        per_session=unknown("USD/session", NEEDS_LOG), per_user_day=unknown("USD/user-day", NEEDS_LOG),
        per_mtok_blended=per(
            usd * TOKENS_PER_MTOK, tokens, "USD/Mtok", "the export holds no tokens"
        ),
        by_model=_top(grouped(lambda _, kind: model_of(kind))), by_call_site=[], by_user=[],
        by_tag=_top(labels) if len(labels) > 1 else [], by_hour=sorted(by_clock, key=lambda row: row.key),
        by_operation=_top(grouped(lambda e, _: e.period.operation)),
        by_day=sorted(days_rows, key=lambda row: row.key), growth=growth_of(sums.astype(np.float64)), sessions=None,
        rates=[],
    )  # fmt: skip


def _top(rows: list[GroupRow]) -> list[GroupRow]:
    """The dearest, and one row for the rest, so that they add up."""
    if len(rows) <= TOP:
        return rows
    rest = rows[TOP:]
    counted = [row.requests for row in rest if row.requests is not None]
    return [*rows[:TOP], GroupRow(
        key=f"({len(rest)} more)", requests=sum(counted) if counted else None,
        cost_usd=sum(row.cost_usd or 0.0 for row in rest), share=sum(row.share or 0.0 for row in rest),
        input_tokens=sum(row.input_tokens for row in rest), output_tokens=sum(row.output_tokens for row in rest),
        cache_read_tokens=sum(row.cache_read_tokens for row in rest),
    )]  # fmt: skip


def _rungs(spend: Spend) -> list[Rung]:
    """Every lever acts on single requests: money is unknown, what the export shows of it is the evidence."""
    chosen = [i for i in range(len(spend.entries)) if spend.counted[i]]
    periods = [spend.entries[i].period for i in chosen]
    prompt, read = sum(p.input_tokens or 0 for p in periods), sum(p.cache_read_tokens for p in periods)
    total, nanos = spend.total(), spend.nanos
    batched = sum(int(nanos[i]) for i in chosen if spend.entries[i].period.tier == "batch")
    top = rows_by(spend, [model_of(kind) for kind in spend.kinds])[:5]
    logged: dict[str, object] = {"logged": {"token_share": read / prompt if prompt else None}}
    levers: tuple[tuple[Lever, str, str, dict[str, object]], ...] = (
        ("response_cache", "response cache", "which prompts come again", {"requests": requests_of(spend.entries)}),
        ("compression", "compression", "the text of the prompts", {"input_tokens": prompt or None}),
        ("routing", "routing", "what is asked of which model", {"cost_share": {r.key: r.share for r in top}}),
        ("prompt_cache", "prompt cache (beyond what is billed)", "prefixes and their times", logged),
        ("batch", "batch tier", "which calls can wait", {"batch_cost_share": batched / total if total else None}),
    )
    rungs: list[Rung] = []
    for lever, label, missing, evidence in levers:
        nothing = unknown(_MONTH, f"{NEEDS_LOG}: {missing}")
        rungs.append(Rung(
            lever=lever, label=label, headline=False, standalone_usd_month=nothing, marginal_usd_month=nothing,
            shapley_usd_month=nothing, saving_share=None, order_range=None, usage_usd_month=nothing,
            cash_usd_month=nothing, risk="needs-test", summary="", evidence=evidence,
        ))  # fmt: skip
    return rungs


def _prices(spend: Spend) -> list[PriceUsed]:
    if spend.basis != "priced":
        return []
    requests: Counter[tuple[int, int]] = Counter()
    for i in range(len(spend.entries)):
        if spend.counted[i]:
            key = int(spend.compiled.kind_key[i]), int(spend.rate_rows[i])
            requests[key] += spend.entries[i].period.requests or 0
    rows: list[PriceUsed] = []
    for (key, rate_row), count in requests.items():
        note = spend.compiled.rates.describe(key, rate_row)
        rows.append(PriceUsed(
            model=note.model, provider=note.provider, tier=spend.compiled.rates.keys[key].tier, requests=count,
            rates=dict(note.rates), effective=note.effective, source=note.source, notes=list(note.assumed),
        ))  # fmt: skip
    return sorted(rows, key=lambda row: (-row.requests, row.provider, row.model, row.tier, row.effective))


def _assumptions(spend: Spend, settings: AnalyzeSettings, origins: dict[str, str], price_day: str) -> list[Assumption]:
    contract = spend.compiled.rates.contract
    terms = str(contract) if contract else "none: list price, no contract given"
    if spend.basis == "reported":
        terms = "as billed: whatever discount there is stands in the amounts"
    rows = [
        ("contract", terms, origins.get("prices", "default")),
        ("price_date", price_day, origins["price_date"] if settings.price_date else "the export's last day"),
        ("model", settings.assume_model or "as in the export", origins["assume_model"]),
        ("month_hours", "730", "definition"),
        ("long_context", "by the mean prompt of a row, else by the range that the row names", "definition"),
        ("last_day", "taken as whole", "definition"),
    ]
    if spend.usage.width_us > DAY_US:
        rows.append(("long_rows", "a row of more than a day is spread evenly over its days", "definition"))
    return [Assumption(name=name, value=value, origin=origin) for name, value, origin in rows]


def _warnings(spend: Spend) -> list[str]:
    found = ["This is an aggregated export, not a log of calls: it tells spend, mix and trend; levers need a log."]
    for provider in sorted({spend.entries[i].provider for i in spend.unused}):
        mine = [e for i, e in enumerate(spend.entries) if i in spend.unused and e.provider == provider]
        usd = sum(e.usd_nanos or 0 for e in mine) / NANOS_PER_USD
        names = ", ".join(sorted({e.export for e in mine}))
        found.append(
            f"{provider}: its tokens at list prices are used, or its first cost export; the ${usd:,.2f} of {names} "
            "would count twice and are not added"
        )
    apart = [e for i, e in enumerate(spend.entries) if i not in spend.unused and only_money(e) and not spend.counted[i]]
    if apart:
        usd = sum(e.usd_nanos or 0 for e in apart) / NANOS_PER_USD
        names = ", ".join(sorted({e.provider or e.export for e in apart}))
        found.append(f"{names}: ${usd:,.2f} as billed, without tokens to price: not part of the amounts below")
    stated = [i for i, e in enumerate(spend.entries) if spend.counted[i] and e.usd_nanos is not None]
    if spend.basis == "priced" and stated:
        own = sum(spend.entries[i].usd_nanos or 0 for i in stated) / NANOS_PER_USD
        listed = sum(int(spend.nanos[i]) for i in stated) / NANOS_PER_USD
        if abs(own - listed) > 0.05 * max(own, listed):
            found.append(f"the export states ${own:,.2f} for rows that list prices make ${listed:,.2f}")
    return found
