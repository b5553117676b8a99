"""Exports whose rows stand for many calls (provider usage and cost reports, FOCUS, daily tables); knows no price.

Field names: OpenAI's OpenAPI document 2.3.0 (`organization.usage.*.result`, `organization.costs.result`), Anthropic's
Admin API reference (`usage_report/messages`, `cost_report`: amounts in cents), FOCUS 1.0 to 1.2 (focus.finops.org).
Flattened to CSV they keep these names. Not verified: the consoles' own CSV downloads and OpenRouter's activity table.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from costplan.ingest.fields import as_bool, as_dict, as_float, as_int, as_text, time_us
from costplan.ingest.loose import tier_of
from costplan.trace import MAX_TOKENS, BadRecord, NotACall

LONG_CONTEXT_TOKENS = 200_001
"""A prompt of Anthropic's context window 200k-1M has at least so many tokens."""
ROW = "aggregated_row"
"""Under which name the books hold a row that stands for calls: it is none itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One row. Tokens follow the trace's rule: input inclusive of cache, output of reasoning; None: not in the row."""

    start_us: int
    end_us: int | None = None
    provider: str = ""
    model: str = ""
    tier: str = ""
    operation: str = "chat"
    label: str = ""
    """Project, workspace or team."""
    requests: int | None = None
    input_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_tokens: int | None = None
    """Length of its prompts where the row names a range."""
    usd: float | None = None
    """What the row itself says that it cost."""
    unpriceable: str = ""
    empty: bool = False
    """A stretch of time of which the export says that nothing was used."""


Row = dict[str, Any]
Found = Period | NotACall | BadRecord


def export_of(sample: list[Row]) -> str:
    """Which aggregated export the first records of a file are; empty for a log of calls."""
    rows = [row for record in sample for row in flattened(record)]
    votes = Counter(_kind(row) for row in rows)
    if rows and (best := max(votes, key=lambda name: votes[name])):
        return best
    return DAILY if rows and _is_daily(rows) else ""


def flattened(record: Row) -> Iterator[Row]:
    """The results of a page, of a bucket, or the row itself, each with its bucket's times; of an empty bucket one."""
    data: Any = record.get("data")
    results: Any = record.get("results")
    if isinstance(data, list) and data and "request" not in record:
        for bucket in cast(list[Any], data):
            if isinstance(bucket, dict):
                yield from flattened(cast(Row, bucket))
    elif isinstance(results, list) and ("start_time" in record or "starting_at" in record):
        outer = {name: value for name, value in record.items() if name != "results"}
        for result in cast(list[Any], results) or [{"empty_bucket": True}]:
            if isinstance(result, dict):
                yield outer | cast(Row, result)
    else:
        yield record


def periods_of(name: str, record: Row) -> list[Found]:
    """What the rows of one record say, by the export's reader; a bad row does not take its neighbours along."""
    found: list[Found] = []
    for row in flattened(record):
        try:
            found.append(_empty(row) if row.get("empty_bucket") else _READERS[name](row))
        except BadRecord as bad:
            found.append(bad)
    return found


def _kind(row: Row) -> str:
    """The export that a row is of, by what only it holds; empty where only more rows can tell."""
    kind = str(row.get("object") or "")
    if kind == "organization.costs.result" or "amount_value" in row:
        return "openai_costs"
    if kind.startswith("organization.usage.") or "num_model_requests" in row:
        return "openai_usage"
    if "uncached_input_tokens" in row:
        return "anthropic_usage"
    if "starting_at" in row and isinstance(row.get("amount"), str | int | float) and "currency" in row:
        return "anthropic_costs"
    return "focus" if "BilledCost" in row and "ChargePeriodStart" in row else ""


def _empty(row: Row) -> Period:
    return Period(start_us=_start(row, "start_time", "starting_at"), end_us=_end(row), empty=True)


def _start(row: Row, *names: str) -> int:
    found = next((us for name in names if (us := time_us(row.get(name))) is not None), None)
    if found is None:
        raise BadRecord("no_date")
    return found


def _end(row: Row) -> int | None:
    return next((us for name in ("end_time", "ending_at") if (us := time_us(row.get(name))) is not None), None)


def _count(value: Any) -> int:
    number = as_int(value) or 0
    if not 0 <= number <= MAX_TOKENS * 1_000_000:
        raise BadRecord("negative_tokens" if number < 0 else "absurd_tokens")
    return number


def _usd(value: Any, currency: Any) -> float:
    amount = as_float(value)
    if amount is None:
        raise BadRecord("no_amount")
    if (as_text(currency) or "USD").strip().upper() != "USD":
        raise BadRecord("not_in_usd")
    return amount


def _checked(period: Period) -> Period:
    if period.cache_read_tokens + period.cache_write_tokens > (period.input_tokens or 0):
        raise BadRecord("cached_tokens_exceed_input")
    if period.reasoning_tokens > period.output_tokens:
        raise BadRecord("reasoning_exceeds_output")
    return period


def _openai_usage(row: Row) -> Period:
    """`input_tokens` holds cached and cache-write tokens; rows with audio tokens cannot be priced by text rates."""
    found = re.match(r"organization\.usage\.(\w+)\.result", str(row.get("object") or ""))
    operation = found[1] if found else "completions"
    audio = _count(row.get("input_audio_tokens")) + _count(row.get("output_audio_tokens"))
    tier = tier_of(row.get("service_tier"))
    return _checked(Period(
        start_us=_start(row, "start_time"), end_us=_end(row), provider="openai",
        model=as_text(row.get("model")) or "", tier="batch" if as_bool(row.get("batch")) else tier,
        operation="chat" if operation == "completions" else operation, label=as_text(row.get("project_id")) or "",
        requests=as_int(row.get("num_model_requests")),
        input_tokens=None if row.get("input_tokens") in (None, "") else _count(row["input_tokens"]),
        cache_read_tokens=_count(row.get("input_cached_tokens")),
        cache_write_tokens=_count(row.get("input_cache_write_tokens")), output_tokens=_count(row.get("output_tokens")),
        unpriceable="audio tokens, which the row does not part from text" if audio else "",
    ))  # fmt: skip


def _openai_costs(row: Row) -> Period:
    amount = as_dict(row.get("amount")) or {"value": row.get("amount_value"), "currency": row.get("amount_currency")}
    return Period(
        start_us=_start(row, "start_time"), end_us=_end(row), provider="openai",
        model=(as_text(row.get("line_item")) or "").partition(", ")[0], label=as_text(row.get("project_id")) or "",
        usd=_usd(amount.get("value"), amount.get("currency")),
    )  # fmt: skip


def _anthropic_usage(row: Row) -> Period:
    """Exclusive of cache: reads and writes are added to the input. The report does not count requests."""
    writes = as_dict(row.get("cache_creation")) or {
        name: row.get(f"cache_creation.{name}") for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    }
    short, long = (_count(writes.get(f"ephemeral_{ttl}_input_tokens")) for ttl in ("5m", "1h"))
    read = _count(row.get("cache_read_input_tokens"))
    return Period(
        start_us=_start(row, "starting_at"), end_us=_end(row), provider="anthropic",
        model=as_text(row.get("model")) or "", tier=tier_of(row.get("service_tier")),
        label=as_text(row.get("workspace_id")) or "",
        input_tokens=_count(row["uncached_input_tokens"]) + read + short + long, cache_read_tokens=read,
        cache_write_tokens=short + long, cache_write_1h_tokens=long, output_tokens=_count(row.get("output_tokens")),
        prompt_tokens=LONG_CONTEXT_TOKENS if row.get("context_window") == "200k-1M" else None,
    )  # fmt: skip


def _anthropic_costs(row: Row) -> Period:
    """Amounts are in the lowest unit of the currency: "123.45" in USD is $1.23."""
    return Period(
        start_us=_start(row, "starting_at"), end_us=_end(row), provider="anthropic",
        model=as_text(row.get("model")) or as_text(row.get("description")) or "",
        label=as_text(row.get("workspace_id")) or "", usd=_usd(row.get("amount"), row.get("currency")) / 100,
    )  # fmt: skip


def _focus(row: Row) -> Found:
    """EffectiveCost (commitments spread over their use), else BilledCost; taxes and other services are left out."""
    category = (as_text(row.get("ServiceCategory")) or "").strip().lower()
    if category and category != "ai and machine learning":
        return NotACall("other_service")
    if (as_text(row.get("ChargeCategory")) or "").strip().lower() == "tax":
        return NotACall("tax")
    effective = row.get("EffectiveCost")
    cost = row.get("BilledCost") if effective in (None, "") else effective
    end = time_us(row.get("ChargePeriodEnd"))
    names = (as_text(row.get(name)) for name in ("ServiceProviderName", "ProviderName", "PublisherName"))
    parts = (as_text(row.get(name)) for name in ("ServiceName", "SkuMeter"))
    return Period(
        start_us=_start(row, "ChargePeriodStart"), end_us=end, provider=next(filter(None, names), ""),
        model=" ".join(filter(None, parts)), label=as_text(row.get("SubAccountName")) or "",
        usd=_usd(cost, row.get("BillingCurrency")),
    )  # fmt: skip


DAILY = "daily"
_COLUMNS = {
    "date": "date day usagedate usagedateutc startdate timestamp datetime starttime periodstart bucketstart",
    "requests": "requests nrequests numrequests requestcount numberofrequests totalrequests calls ncalls callcount "
    "apirequests",
    "input": "inputtokens prompttokens tokensin tokensprompt totalinputtokens totalprompttokens",
    "output": "outputtokens completiontokens tokensout tokenscompletion totaloutputtokens totalcompletiontokens",
    "read": "cachedtokens cachereadtokens inputcachedtokens cachedinputtokens cachereadinputtokens tokenscached",
    "written": "cachewritetokens cachecreationtokens cachecreationinputtokens",
    "reasoning": "reasoningtokens tokensreasoning outputreasoningtokens",
    "usd": "cost costusd totalcost totalcostusd usd spend spendusd usage usageusd amountusd costtotal",
    "model": "model modelname modelpermaslug modelversion modelid",
    "provider": "provider providername vendor",
    "label": "project projectname team workspace tag apikeyname",
    "id": "requestid id callid generationid traceid",
}
_FIELD = {name: field for field, names in _COLUMNS.items() for name in names.split()}


@lru_cache(maxsize=64)
def _daily_map(columns: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for column in columns:
        if field := _FIELD.get(re.sub(r"[^a-z0-9]", "", column.lower())):
            found.setdefault(field, column)
    return found


def _is_daily(rows: list[Row]) -> bool:
    """A column that counts requests says it. Without one: whole dates, no ids, and no two rows of one date and name."""
    columns = _daily_map(tuple(rows[0]))
    if "date" not in columns or "id" in columns or not columns.keys() & {"usd", "input", "output"}:
        return False
    if "requests" in columns:
        return True
    dates = [as_text(row.get(columns["date"])) or "" for row in rows]
    names = [tuple(str(row.get(columns[field])) for field in ("model", "provider", "label") if field in columns)
             for row in rows]  # fmt: skip
    whole = "date" in columns["date"].lower() or columns["date"].lower() == "day"
    whole = whole and all(re.fullmatch(r"\d{4}-\d\d-\d\d([T ]00:00(:00(\.0+)?)?(Z|\+00:00)?)?", date) for date in dates)
    return whole and len(set(zip(dates, names, strict=True))) == len(rows)


def _daily(row: Row) -> Period:
    """Input is taken as inclusive of cached tokens; `usage` is money (OpenRouter)."""
    columns = _daily_map(tuple(row))

    def cell(field: str) -> Any:
        value = row.get(columns[field]) if field in columns else None
        return None if value == "" else value

    tokens = cell("input") is not None or cell("output") is not None
    requests, usd = as_int(cell("requests")), as_float(cell("usd"))
    if not tokens and usd is None:
        raise BadRecord("no_tokens_and_no_cost")
    if requests is not None and requests < 0:
        raise BadRecord("negative_requests")
    return _checked(Period(
        start_us=_start({"date": cell("date")}, "date"), provider=as_text(cell("provider")) or "",
        model=as_text(cell("model")) or "", label=as_text(cell("label")) or "", requests=requests,
        input_tokens=_count(cell("input")) if tokens else None, cache_read_tokens=_count(cell("read")),
        cache_write_tokens=_count(cell("written")), output_tokens=_count(cell("output")),
        reasoning_tokens=_count(cell("reasoning")), usd=usd,
    ))  # fmt: skip


_READERS: dict[str, Callable[[Row], Found]] = {
    "openai_usage": _openai_usage,
    "openai_costs": _openai_costs,
    "anthropic_usage": _anthropic_usage,
    "anthropic_costs": _anthropic_costs,
    "focus": _focus,
    DAILY: _daily,
}
EXPORTS = tuple(_READERS)
COSTS = ("openai_costs", "anthropic_costs", "focus")
"""Exports of amounts without the tokens behind them."""
RULES = {
    "openai_usage": "input_tokens inclusive of cached tokens: taken as they are",
    "anthropic_usage": "uncached input; cache reads and writes are added to it",
    DAILY: "input inclusive of cached tokens: taken as they are",
} | dict.fromkeys(COSTS, "amounts only")
