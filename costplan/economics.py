"""The books, today's cost and the breakdowns of a plan, from merged sums; it simulates nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from costplan.costing import GROUP_COLUMNS, PARTS, Keyed, Summary
from costplan.month import Month
from costplan.prices import RateTable, nearest
from costplan.results import (
    Baseline,
    Books,
    CostParts,
    Estimate,
    GroupRow,
    PriceUsed,
    Rate,
    Sessions,
    Span,
    UnitEconomics,
    UnpricedBooks,
    UnpricedModel,
    exact,
    unknown,
)
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_MINUTE, TOKENS_PER_MTOK

Kind = tuple[str, str, str, str, str, str]
TOP = 50
_COLUMN = {name: index for index, name in enumerate(GROUP_COLUMNS)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Tables:
    """What the ids in the sums stand for."""

    kinds: list[Kind]
    kind_key: NDArray[np.int32]
    tags: list[str]
    site_label: Callable[[int], str]
    site_note: Callable[[int], str]
    rates: RateTable


def moment(us: int) -> datetime:
    """UTC time of an epoch microsecond count."""
    return _EPOCH + timedelta(microseconds=us)


def model_of(kind: Kind) -> str:
    """The model that answered, else the one asked for."""
    return kind[2] or kind[1] or "(no model)"


def unpriced_of(summary: Summary, tables: Tables) -> UnpricedBooks:
    """Calls without a price, by model and reason, with their tokens and the nearest known names."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    group = summary.groups["unpriced"]
    for kind_id, (requests, tokens) in zip(group.keys.tolist(), group.sums.tolist(), strict=True):
        kind = tables.kinds[kind_id]
        key = tables.kind_key[kind_id]
        reason = tables.rates.describe(int(key)).unpriced if int(key) in tables.rates.unpriced else "no usage to price"
        if not (kind[1] or kind[2]):
            reason = "the log names no model"
        sums = found.setdefault((model_of(kind), kind[0], kind[4], reason), [0, 0])
        sums[0] += requests
        sums[1] += tokens
    tokens = sum(sums[1] for sums in found.values())
    priced_tokens = summary.counts["input_tokens"] + summary.counts["output_tokens"]
    models = [
        UnpricedModel(
            model=model, provider=provider, operation=operation, reason=reason, requests=sums[0], tokens=sums[1],
            nearest=nearest(model) if reason not in ("the log names no model", "no usage to price") else [],
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


def span_of(summary: Summary) -> Span:
    """From the first to the last time; relative traces have a length but no dates."""
    counts = summary.counts
    if summary.time_max < summary.time_min:
        return Span(start=None, end=None, days=None, null_timestamps=counts["null_time"])
    days = (summary.time_max - summary.time_min) / (SECONDS_PER_DAY * MICROS_PER_SECOND)
    relative = counts["relative"] > 0
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
    summary: Summary, by_hour: NDArray[np.int64], month: Month, price_date: str | None, note: str
) -> Baseline:
    """Today's cost: at call-date prices, at the price date, and a month of it. `by_hour` is nano-dollars."""
    counts = summary.counts
    at_price_date = int(summary.groups["kind"].column(_COLUMN["cost_price_date"]).sum())
    basis = "priced"
    span_scale = month.blocks_per_month
    requests_month = None
    if span_scale:
        value = month.estimate(by_hour, at_price_date, "priced").value
        requests_month = counts["requests"] * span_scale if month.n_blocks == 0 else None
        if requests_month is None and at_price_date and value is not None:
            requests_month = counts["requests"] * value / (at_price_date / NANOS_PER_USD)
    parts = [int(part) / NANOS_PER_USD for part in summary.parts]
    return Baseline(
        cost_usd=exact(int(summary.parts.sum()) / NANOS_PER_USD, "USD", basis, note),
        cost_usd_price_date=exact(at_price_date / NANOS_PER_USD, "USD", basis),
        cost_usd_month=month.estimate(by_hour, at_price_date, basis),
        cost_usd_reported=round(summary.reported, 9) if counts["reported_costs"] else None,
        price_date=price_date,
        requests=counts["requests"],
        requests_month=requests_month,
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
    sessions: tuple[NDArray[np.int64], NDArray[np.int64]],
    revenue_per_user: float | None,
) -> UnitEconomics:
    """Cost per unit of use, and who and what the money goes to."""
    counts, groups = summary.counts, summary.groups
    cost = int(summary.parts.sum()) / NANOS_PER_USD
    priced = counts["priced"]
    tokens = counts["input_tokens"] + counts["output_tokens"]
    user_days = groups["user_day"]
    kinds = groups["kind"]
    return UnitEconomics(
        per_request=_ratio(cost, priced, "USD/request", "no priced request"),
        per_1k_requests=_ratio(cost * 1000, priced, "USD/1k requests", "no priced request"),
        per_session=_ratio(
            int(sessions[1].sum()) / NANOS_PER_USD, len(sessions[0]), "USD/session", "the log names no sessions"
        ),
        per_user_day=_ratio(
            int(user_days.column(0).sum()) / NANOS_PER_USD,
            len(user_days.keys),
            "USD/user-day",
            "the log names no users",
        ),
        per_mtok_blended=_ratio(cost * TOKENS_PER_MTOK, tokens, "USD/Mtok", "no priced tokens"),
        margin_per_user=_margin(summary, revenue_per_user),
        by_model=_rows(_regroup(kinds, [model_of(kind) for kind in tables.kinds]), cost),
        by_call_site=_rows(
            {
                tables.site_label(int(key)): sums
                for key, sums in zip(groups["site"].keys, groups["site"].sums, strict=True)
            },
            cost,
            {tables.site_label(int(key)): tables.site_note(int(key)) for key in groups["site"].keys},
        ),
        by_user=_ranked_users(groups["user"], cost),
        by_tag=_rows(_regroup(groups["tag"], tables.tags) if "tag" in groups else {}, cost),
        by_hour=_ordered(
            {f"{int(k):02d}": s for k, s in zip(groups["hour"].keys, groups["hour"].sums, strict=True)}, cost
        ),
        by_operation=_rows(_regroup(kinds, [kind[4] for kind in tables.kinds]), cost),
        by_day=_ordered(
            {
                moment(int(key) * SECONDS_PER_DAY * MICROS_PER_SECOND).date().isoformat(): sums
                for key, sums in zip(groups["day"].keys, groups["day"].sums, strict=True)
            },
            cost,
        ),
        sessions=_sessions(summary, sessions),
        rates=_rates(summary, tables),
    )


def _ratio(amount: float, units: int, unit: str, missing: str) -> Estimate:
    return exact(amount / units, unit, "priced") if units else unknown(unit, missing)


def _margin(summary: Summary, revenue_per_user: float | None) -> Estimate | None:
    """Revenue less cost per user and month, from the cost per user-day seen and 30.4 days a month."""
    if revenue_per_user is None:
        return None
    users = summary.groups["user"]
    span_days = max(1.0, (summary.time_max - summary.time_min) / (SECONDS_PER_DAY * MICROS_PER_SECOND))
    if not len(users.keys):
        return unknown("USD/user/month", "the log names no users")
    cost = int(users.column(_COLUMN["cost"]).sum()) / NANOS_PER_USD / len(users.keys) / span_days * (730 / 24)
    return exact(revenue_per_user - cost, "USD/user/month", "assumed", "revenue as given; cost of the users in the log")


Sums = NDArray[np.int64]


def _regroup(group: Keyed, names: list[str]) -> dict[str, Sums]:
    found: dict[str, Sums] = {}
    for key, sums in zip(group.keys.tolist(), group.sums, strict=True):
        name = names[key]
        found[name] = found[name] + sums if name in found else sums
    return found


def _row(key: str, sums: Sums, cost: float, note: str = "") -> GroupRow:
    value = {name: int(sums[index]) for name, index in _COLUMN.items()}
    usd = value["cost"] / NANOS_PER_USD
    return GroupRow(
        key=key, requests=value["requests"], cost_usd=usd, share=usd / cost if cost else 0.0, input_tokens=value["input"],
        output_tokens=value["output"], cache_read_tokens=value["cache_read"], failed=value["failed"], note=note,
    )  # fmt: skip


def _rows(groups: dict[str, Sums], cost: float, notes: dict[str, str] | None = None) -> list[GroupRow]:
    """Most expensive first; what is below the TOP is summed into one row, so that the rows add up to the total."""
    ranked = sorted(groups.items(), key=lambda item: (-int(item[1][_COLUMN["cost"]]), -int(item[1][0]), item[0]))
    rows = [_row(key, sums, cost, (notes or {}).get(key, "")) for key, sums in ranked[:TOP]]
    if len(ranked) > TOP:
        rest = np.sum([sums for _, sums in ranked[TOP:]], axis=0, dtype=np.int64)
        rows.append(_row(f"({len(ranked) - TOP} more)", rest, cost))
    return rows


def _ordered(groups: dict[str, Sums], cost: float) -> list[GroupRow]:
    return [_row(key, groups[key], cost) for key in sorted(groups)]


def _ranked_users(users: Keyed, cost: float) -> list[GroupRow]:
    """Users appear by rank of spend, never by name."""
    order = np.lexsort((users.keys, -users.column(0), -users.column(_COLUMN["cost"])))
    rows = [_row(f"user-{rank + 1:03d}", users.sums[index], cost) for rank, index in enumerate(order[:TOP])]
    if len(order) > TOP:
        rows.append(_row(f"({len(order) - TOP} more)", users.sums[order[TOP:]].sum(axis=0), cost))
    return rows


def _sessions(summary: Summary, sessions: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Sessions | None:
    steps, cost = sessions
    if not len(steps):
        return None
    counts = summary.counts
    names = ("history", "tools", "tool_result", "system", "user")
    total = sum(counts[f"{name}_chars"] for name in names)

    def share(name: str) -> float | None:
        return counts[f"{name}_chars"] / total if total else None

    return Sessions(
        sessions=len(steps),
        steps=_quantiles(np.sort(steps).astype(np.float64)),
        cost_usd=_quantiles(cost / NANOS_PER_USD),
        history_share=share("history"),
        tools_share=share("tools"),
        tool_results_share=share("tool_result"),
        system_share=share("system"),
    )


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    p50, p95, p99 = (float(v) for v in np.quantile(values, (0.5, 0.95, 0.99)))
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(values.max()), "mean": float(values.mean())}


def _rates(summary: Summary, tables: Tables) -> list[Rate]:
    """Peak and p99 per minute and model; minutes without a request count as zeros."""
    group = summary.groups["minute"]
    if not len(group.keys):
        return []
    minutes = 1 + (summary.time_max - summary.time_min) // (SECONDS_PER_MINUTE * MICROS_PER_SECOND)
    minute, kind = group.keys >> 20, group.keys & ((1 << 20) - 1)
    names = np.array([model_of(kind) for kind in tables.kinds], dtype=object)
    rates: list[Rate] = []
    for model in sorted(set(names[np.unique(kind)].tolist())):
        mine = names[kind] == model
        starts = np.flatnonzero(np.concatenate([[True], np.diff(minute[mine]) != 0]))
        sums = np.add.reduceat(group.sums[mine], starts, axis=0)
        zeros = max(0, minutes - len(sums))
        padded = np.concatenate([np.zeros((min(zeros, 10 * len(sums) + 1000), 2)), sums])
        level = _level(0.99, zeros, len(sums), len(padded))
        p99 = np.quantile(padded, level, axis=0)
        rates.append(
            Rate(
                model=model, requests_min_peak=int(sums[:, 0].max()), requests_min_p99=float(p99[0]),
                tokens_min_peak=int(sums[:, 1].max()), tokens_min_p99=float(p99[1]),
            )
        )  # fmt: skip
    return sorted(rates, key=lambda rate: (-rate.tokens_min_peak, rate.model))


def _level(level: float, zeros: int, busy: int, shown: int) -> float:
    """The quantile level among `shown` values that equals `level` among all zeros and busy minutes."""
    rank_from_top = (1 - level) * (zeros + busy - 1)
    return max(0.0, 1 - rank_from_top / max(1, shown - 1))


def prices_of(summary: Summary, tables: Tables) -> list[PriceUsed]:
    """Every price that was applied, with its date and source."""
    group = summary.groups["rates"]
    rows: list[PriceUsed] = []
    for packed, (requests, _) in zip(group.keys.tolist(), group.sums.tolist(), strict=True):
        key, rate_row = packed >> 32, packed & 0xFFFFFFFF
        if not requests or key in tables.rates.unpriced:
            continue
        note = tables.rates.describe(key, rate_row)
        rows.append(
            PriceUsed(
                model=note.model, provider=note.provider, tier=tables.rates.keys[key].tier, requests=requests,
                rates=dict(note.rates), effective=note.effective, source=note.source, notes=list(note.assumed),
            )
        )  # fmt: skip
    return sorted(rows, key=lambda row: (-row.requests, row.provider, row.model, row.tier, row.effective))


def warnings_of(books: Books) -> list[str]:
    """Findings that change how the figures are to be read."""
    found: list[str] = []
    if books.records and books.skipped.total / books.records > 0.01:
        found.append(f"{books.skipped.total / books.records:.1%} of the records could not be read: see the books")
    if books.span.backwards > 0.01 * books.requests:
        found.append("the log is not in time order: cache simulations sort it by time")
    if books.span.null_timestamps:
        found.append(
            f"{books.span.null_timestamps:,} requests carry no time: they are priced, but no cache can serve them"
        )
    cut = books.text_state.get("truncated", 0)
    if cut > 0.1 * books.requests:
        found.append(f"{cut / books.requests:.0%} of the prompts are cut short by the export: no text lever uses them")
    return found
