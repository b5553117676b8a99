"""The books, today's cost and the breakdowns of a plan, from merged sums; it simulates nothing.

A logged call may stand for several (a sample): money is scaled up row by row, counts of requests stay those of the
log, and whatever divides money by calls or tokens divides by what the rows stand for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.costing import PARTS, Keyed, Summary
from costplan.economics.groups import COLUMN, TOP, UNPRICED, items, ordered, ranked_users, regroup, rows
from costplan.economics.sessions import SessionFigures, rates_of, sessions_of
from costplan.kinds import Kind, model_of
from costplan.month import Month
from costplan.prices import RateTable, nearest
from costplan.results import (
    NO_MODEL,
    NO_USAGE,
    Baseline,
    Basis,
    Books,
    CostParts,
    Estimate,
    GroupRow,
    PriceUsed,
    Span,
    UnitEconomics,
    UnpricedBooks,
    UnpricedModel,
    exact,
    unknown,
)
from costplan.units import (
    MICROS_PER_SECOND,
    NANOS_PER_USD,
    SECONDS_PER_DAY,
    TOKENS_PER_MTOK,
    plural,
)

MIN_CALLS = 100
"""Fewer calls than this make no month that one would plan with."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tables:
    """What the ids in the sums stand for."""

    kinds: list[Kind]
    kind_key: NDArray[np.int32]
    tags: list[str]
    site_label: dict[int, str]
    """One name per call site, no two alike."""
    site_note: dict[int, str]
    rates: RateTable


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """The calls that the log's rows stand for, by epoch hour (below zero: without a time)."""

    hours: NDArray[np.int64]
    calls: NDArray[np.float64]
    weight: float
    """Calls per row, on average; 1 where every call is in the log."""

    @property
    def total(self) -> float:
        return float(self.calls.sum())


def moment(us: int) -> datetime:
    """UTC time of an epoch microsecond count."""
    return _EPOCH + timedelta(microseconds=us)


def nothing_priced(summary: Summary) -> bool:
    """Calls were made and none has a price: what they cost is unknown, not zero."""
    return summary.counts["unpriced"] > 0 and not summary.counts["priced"]


def unpriced_of(summary: Summary, tables: Tables) -> UnpricedBooks:
    """Calls without a price, by model and reason, with their tokens and the nearest known names."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for kind_id, (requests, tokens) in items(summary.groups["unpriced"]):
        kind = tables.kinds[kind_id]
        key = int(tables.kind_key[kind_id])
        reason = tables.rates.describe(key).unpriced if key in tables.rates.unpriced else NO_USAGE
        if not (kind[1] or kind[2]):
            reason = NO_MODEL
        sums = found.setdefault((model_of(kind), kind[0], kind[4], reason), [0, 0])
        sums[0] += int(requests)
        sums[1] += int(tokens)
    tokens = sum(sums[1] for sums in found.values())
    priced_tokens = summary.counts["input_tokens"] + summary.counts["output_tokens"]
    models = [
        UnpricedModel(
            model=model, provider=provider, operation=operation, reason=reason, requests=sums[0], tokens=sums[1],
            nearest=nearest(model) if reason not in (NO_MODEL, NO_USAGE) else [],
        )
        for (model, provider, operation, reason), sums in found.items()
    ]  # fmt: skip
    models.sort(key=lambda row: (-row.tokens, -row.requests, row.model, row.provider, row.operation, row.reason))
    return UnpricedBooks(
        requests=summary.counts["unpriced"],
        tokens=tokens,
        token_share=tokens / (tokens + priced_tokens) if tokens else 0.0,
        models=models[:TOP],
    )


def mixed_clocks(summary: Summary) -> bool:
    """Some rows carry dates, others only offsets from a start: no span holds both."""
    return 0 < summary.counts["relative"] < summary.counts["requests"] - summary.counts["null_time"]


def span_of(summary: Summary) -> Span:
    """From the first to the last time; relative traces have a length but no dates."""
    counts = summary.counts
    if summary.time_max < summary.time_min:
        return Span(start=None, end=None, days=None, null_timestamps=counts["null_time"])
    relative = counts["relative"] > 0
    if mixed_clocks(summary):
        return Span(start=None, end=None, days=None, null_timestamps=counts["null_time"])
    days = (summary.time_max - summary.time_min) / (SECONDS_PER_DAY * MICROS_PER_SECOND)
    first, last = (us // (SECONDS_PER_DAY * MICROS_PER_SECOND) for us in (summary.time_min, summary.time_max))
    return Span(
        start=None if relative else _iso(summary.time_min),
        end=None if relative else _iso(summary.time_max),
        days=days,
        full_days=max(0, last - first - 1),
        null_timestamps=counts["null_time"],
        backwards=counts["backwards"],
    )


def _iso(us: int) -> str:
    return moment(us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def baseline_of(
    summary: Summary,
    by_hour: Keyed,
    month: Month,
    volume: Volume,
    price_date: str | None,
    cash: Callable[[Estimate], Estimate | None],
    basis: Basis = "priced",
) -> Baseline:
    """Today's cost: at call-date prices, at the price date, and a month of it. `by_hour` starts with today's cost.

    `basis`: of the month.
    """
    counts = summary.counts
    at_price_date = int(summary.groups["kind"].column(COLUMN["cost_price_date"]).sum())
    none = nothing_priced(summary)
    a_month = month.estimate(by_hour.keys, by_hour.column(0), basis)
    a_month = unknown("USD/month", UNPRICED) if none else a_month
    parts = [None if none else int(part) / NANOS_PER_USD for part in summary.parts]

    def sum_of(nanos: int) -> Estimate:
        return unknown("USD", UNPRICED) if none else exact(nanos / NANOS_PER_USD, "USD", "priced")

    return Baseline(
        cost_usd=sum_of(int(summary.parts.sum())),
        cost_usd_price_date=sum_of(at_price_date),
        cost_usd_month=a_month,
        cash_usd_month=cash(a_month),
        cost_usd_reported=summary.reported_nanos / NANOS_PER_USD if counts["reported_costs"] else None,
        price_date=price_date,
        requests=counts["requests"],
        requests_month=month.value(volume.hours, volume.calls),
        input_tokens=counts["input_tokens"],
        cache_read_tokens=counts["cache_read_tokens"],
        cache_write_tokens=counts["cache_write_tokens"],
        output_tokens=counts["output_tokens"],
        reasoning_tokens=counts["reasoning_tokens"],
        cost_by=CostParts(**dict(zip(PARTS, parts, strict=True))),
    )


def unit_economics_of(
    summary: Summary,
    tables: Tables,
    sessions: SessionFigures,
    volume: Volume,
    margin_per_user: Estimate | None,
    per_1k_accepted: Estimate | None,
) -> UnitEconomics:
    """Cost per unit of use, and who and what the money goes to."""
    counts, groups = summary.counts, summary.groups
    cost = int(summary.parts.sum()) / NANOS_PER_USD
    priced = counts["priced"] * volume.weight
    tokens = (counts["input_tokens"] + counts["output_tokens"]) * volume.weight
    user_days = groups["user_day"]
    none = nothing_priced(summary)
    seen = "at most: money is scaled up, but a sample misses some of them" if volume.weight > 1 else ""
    kinds, sites = groups["kind"], groups["site"]
    return UnitEconomics(
        per_request=_ratio(cost, priced, "USD/request", "no priced request"),
        per_1k_requests=_ratio(cost * 1000, priced, "USD/1k requests", "no priced request"),
        per_session=_ratio(
            sessions.cost_nanos / NANOS_PER_USD,
            0 if none else sessions.count,
            "USD/session",
            UNPRICED if none else "the log names no sessions",
            seen,
        ),
        per_user_day=_ratio(
            int(user_days.column(0).sum()) / NANOS_PER_USD,
            0 if none else len(user_days.keys),
            "USD/user-day",
            UNPRICED if none else "the log names no users",
            seen,
        ),
        per_mtok_blended=_ratio(cost * TOKENS_PER_MTOK, tokens, "USD/Mtok", "no priced tokens"),
        per_1k_accepted=per_1k_accepted,
        margin_per_user=margin_per_user,
        by_model=rows(regroup(kinds, [model_of(kind) for kind in tables.kinds]), cost),
        by_call_site=_sites(sites, tables, cost),
        by_user=ranked_users(groups["user"], cost),
        by_tag=rows(regroup(groups["tag"], tables.tags) if "tag" in groups else {}, cost),
        by_hour=ordered({f"{key:02d}": sums for key, sums in items(groups["hour"])}, cost),
        by_operation=rows(regroup(kinds, [kind[4] for kind in tables.kinds]), cost),
        by_day=ordered(
            {
                moment(key * SECONDS_PER_DAY * MICROS_PER_SECOND).date().isoformat(): sums
                for key, sums in items(groups["day"])
            },
            cost,
        ),
        sessions=sessions_of(summary, sessions, priceless=none),
        rates=rates_of(summary, tables.kinds, volume.weight),
    )


def _sites(sites: Keyed, tables: Tables, cost: float) -> list[GroupRow]:
    labels = {tables.site_label[key]: key for key, _ in items(sites)}
    notes = {label: tables.site_note[key] for label, key in labels.items()}
    found = rows({tables.site_label[key]: sums for key, sums in items(sites)}, cost, notes)
    return [replace(row, id=f"{labels[row.key]:016x}") if row.key in labels else row for row in found]


def _ratio(amount: float, units: float, unit: str, missing: str, note: str = "") -> Estimate:
    return exact(amount / units, unit, "priced", note) if units else unknown(unit, missing)


def margin_of(summary: Summary, baseline: Baseline, revenue_per_user: float) -> Estimate:
    """Revenue less cost per user and month, if the users of the log are the users of a month."""
    users = summary.groups["user"]
    month, in_log = baseline.cost_usd_month, baseline.cost_usd_price_date.value
    if not len(users.keys):
        return unknown("USD/user/month", "the log names no users")
    if month.value is None or month.low is None or month.high is None:
        return unknown("USD/user/month", month.note)
    cost = int(users.column(COLUMN["cost_price_date"]).sum()) / NANOS_PER_USD / len(users.keys)
    months = 1 / in_log if in_log else 0.0
    value, low, high = (revenue_per_user - cost * months * usd for usd in (month.value, month.high, month.low))
    return Estimate(
        value=value, low=low, high=high, unit="USD/user/month", basis="assumed",
        note="revenue as given; the users of the log, as if no others came in a month",
    )  # fmt: skip


def at_price_date(per_call: Estimate, baseline: Baseline) -> Estimate:
    """A unit cost at call-date prices, told at the price date."""
    then, now = baseline.cost_usd.value, baseline.cost_usd_price_date.value
    if per_call.value is None or not then or now is None:
        return per_call
    value = per_call.value * now / then
    return exact(value, per_call.unit, per_call.basis)


def prices_of(summary: Summary, tables: Tables) -> list[PriceUsed]:
    """Every price that was applied, with its date and source."""
    rows: list[PriceUsed] = []
    for packed, (requests, _) in items(summary.groups["rates"]):
        key, rate_row = packed >> 32, packed & 0xFFFFFFFF
        if not requests or key in tables.rates.unpriced:
            continue
        note = tables.rates.describe(key, rate_row)
        rows.append(
            PriceUsed(
                model=note.model, provider=note.provider, tier=tables.rates.keys[key].tier, requests=int(requests),
                rates=dict(note.rates), effective=note.effective, source=note.source, notes=list(note.assumed),
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: (-row.requests, row.provider, row.model, row.tier, row.effective))


def thin(books: Books, volume: Volume) -> str:
    """Why a month made from this log says little: under MIN_CALLS calls, or days with calls on under half of its days.

    Empty where it is thick enough, or too short for a month.
    """
    days = books.span.days
    if days is None or days < 1:
        return ""
    timed = volume.hours >= 0
    busy = len(np.unique(volume.hours[timed] // 24))
    calls = round(float(volume.calls[timed].sum()))
    whole = max(busy, ceil(days))
    if calls >= MIN_CALLS and (2 * busy >= whole or whole < 4):
        return ""
    seen = f"{plural(calls, 'call')} on {busy:,} of {plural(whole, 'day')}"
    rule = f"a month needs {MIN_CALLS} calls, and calls on half of the days"
    return f"{seen}: too thin for a monthly figure to mean much ({rule}); --month-requests states a volume"


def warnings_of(books: Books, volume: Volume, month: Month) -> list[str]:
    """Findings that change how the figures are to be read."""
    found: list[str] = []
    if month.n_blocks and (sparse := thin(books, volume)):
        found.append(sparse)
    if books.records and books.skipped.total / books.records > 0.01:
        found.append(f"{books.skipped.total / books.records:.1%} of the records could not be read: see the books")
    if books.span.backwards > 0.01 * books.requests:
        found.append("the log is not in time order: cache simulations sort it by time")
    if books.span.null_timestamps:
        found.append(
            f"{plural(books.span.null_timestamps, 'request')} without a time: priced, but no cache can serve them"
        )
    if volume.weight > 1:
        found.append(
            f"the log is a sample: a logged call stands for {volume.weight:.3g}; money is scaled up, requests are "
            "counted as logged, and cache hits are lower bounds"
        )
    if books.span.days is None and books.span.null_timestamps < books.requests:
        found.append("some rows carry dates, others only offsets from a start: the log has no span")
    cut = books.text_state.get("truncated", 0)
    if cut > 0.1 * books.requests:
        found.append(f"{cut / books.requests:.0%} of the prompts are cut short by the export: no text lever uses them")
    return found
