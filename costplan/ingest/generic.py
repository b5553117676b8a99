"""Flat rows of any table through a map from fields to columns, guessed or given; knows no nested body and no price."""

import re
import shlex
from functools import lru_cache
from statistics import median
from typing import Any

from costplan.errors import UsageError
from costplan.ingest.fields import as_bool, as_float, as_int, as_text, dig, time_us
from costplan.ingest.loose import first, is_cut, messages_of, offset_us, reply_of, texts_of, tier_of
from costplan.trace import BadRecord, Call, Message, NotACall

NAME = "generic"
RULE = "the mapped counts are taken as they are: input inclusive of cache, output inclusive of reasoning"

# field: (standard column names, a pattern for others, what its values must be). Names without case and separators;
# patterns on snake_case. The order decides who gets a column that fits two fields.
_COUNT = r"(_?(n|num|tok\w*|len\w*|count|cnt))*"
_HEAD = r"(.*_)?(n_|num_|tok(en)?s?_)?"
_START = r"(?!.*(end|finish|complet|updat|first|last)).*"
_SPELLINGS: dict[str, tuple[str, str, str]] = {
    "timestamp": ("timestamp ts createdat created datetime starttime", _START + r"(time|date|when|at|ts|t)", "time"),
    "model": ("model modelname modelid requestmodel", r".*(model|engine|deployment).*", "text"),
    "cache_write_tokens": ("cachewritetokens cachecreationinputtokens", r".*cach.*(writ|creat).*", "number"),
    "cache_read_tokens": ("cachereadtokens cachedtokens cachereadinputtokens", r"(?!.*hit).*cach.*", "number"),
    "reasoning_tokens": ("reasoningtokens reasoningoutputtokens", r".*(reasoning|think).*", "number"),
    "input_tokens": (
        "inputtokens prompttokens tokensin",
        rf"{_HEAD}(prompt|input|in|context|request){_COUNT}",
        "number",
    ),
    "output_tokens": (
        "outputtokens completiontokens tokensout",
        rf"{_HEAD}(completion|output|out|response|reply|answer|gen\w*){_COUNT}",
        "number",
    ),
    "cost_usd": ("costusd cost totalcost", r".*(cost|usd|price|spend).*", "number"),
    "ttft_ms": ("ttftms timetofirsttokenms", r".*(ttft|first).*_?ms", "number"),
    "ttft_s": ("ttfts", r".*(ttft|first_(token|chunk)).*", "number"),
    "duration_ms": ("durationms latencyms elapsedms", r".*(duration|latency|elapsed|took|time).*_?ms", "number"),
    "duration_s": ("durations latencys elapseds", r".*(duration|latency|elapsed|took|response_time).*", "number"),
    "request_id": ("requestid id callid", r".*(request|call|message|log|trace)_?id", ""),
    "session": ("sessionid session conversationid threadid", r".*(session|conversation|thread|chat).*", ""),
    "user": ("user userid enduser customer customerid", r".*(user|customer|tenant|account|client).*", ""),
    "feature": ("feature route endpoint promptname", r".*(feature|route|endpoint|prompt_name|app|use_?case).*", "text"),
    "tag": ("tag tags team", r".*(tag|team|project|label).*", "text"),
    "tier": ("tier servicetier", r".*tier.*", "text"),
    "error": ("error errortype errorcode", r".*(error|exception).*", "text"),
    "status": ("status statuscode httpstatus success ok", r".*(status|success).*", ""),
    "provider": ("provider vendor", r".*(provider|vendor).*", "text"),
    "operation": ("operation calltype", r".*operation.*", "text"),
    "system": ("system systemprompt", r".*system.*", "text"),
    "prompt": ("prompt messages question query input", r".*(prompt|messages|question|query|input).*", "text"),
    "response": ("response completion answer output", r".*(response|completion|answer|output|reply).*", "text"),
}
FIELDS = tuple(_SPELLINGS)
_STANDARD = {name: field for field, (names, _, _) in _SPELLINGS.items() for name in names.split()}
_KIND_OF = {field: kind for field, (_, _, kind) in _SPELLINGS.items()}
_GROUPED = re.compile(r"\s*\d{1,3}(,\d{3})+(\.\d+)?\s*")
_FAILED = re.compile(r"err.*|fail.*|timeout|timed.?out|cancel.*|abort.*|false|no|[45]\d\d", re.IGNORECASE)
_NO_ERROR = {"", "none", "null", "false", "0", "nan"}


def matches(record: dict[str, Any]) -> bool:
    """A time or an id and both token counts under names that mean nothing else."""
    return _obvious(standard_map(tuple(record)))


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row, by standard column names alone; other names need a map from the user."""
    mapping = standard_map(tuple(record))
    if not _obvious(mapping):
        raise BadRecord("columns_need_a_map")
    return calls_with_map(record, mapping)


def _obvious(mapping: dict[str, str]) -> bool:
    return (
        "input_tokens" in mapping and "output_tokens" in mapping and ("timestamp" in mapping or "request_id" in mapping)
    )


def parse_map(items: list[str]) -> dict[str, str]:
    """`--map column=field` items as field -> column. Raises UsageError for an unknown or repeated field."""
    mapping: dict[str, str] = {}
    for item in items:
        column, _, field = (part.strip() for part in item.rpartition("="))
        if field not in FIELDS or not column:
            swapped = f"--map {shlex.quote(f'{field}={column}')}; " if column in FIELDS else ""
            raise UsageError(f"--map {item}: no such field", hint=f"{swapped}fields: {' '.join(sorted(FIELDS))}")
        if field in mapping:
            raise UsageError(f"--map {item}: {field} is given twice", hint="map each field to one column")
        mapping[field] = column
    return mapping


def fill_command(mapping: dict[str, str], path: str) -> str:
    """The command with this map, quoted for a shell: what to paste after checking the guess."""
    maps = [word for field in FIELDS if field in mapping for word in ("--map", f"{mapping[field]}={field}")]
    return shlex.join(["costplan", "analyze", path, *maps])


@lru_cache(maxsize=256)
def standard_map(columns: tuple[str, ...]) -> dict[str, str]:
    """field -> column for the columns whose name alone says what they hold; the first of two spellings wins."""
    mapping: dict[str, str] = {}
    for column in columns:
        if field := _STANDARD.get(re.sub(r"[^a-z0-9]", "", column.lower())):
            mapping.setdefault(field, column)
    return mapping


def guess_map(columns: list[str], samples: list[dict[str, Any]]) -> dict[str, str]:
    """field -> column from names and values: numbers cannot be prompts, and only times can be the timestamp."""
    values = {c: [v for row in samples if (v := row.get(c)) is not None and v != ""] for c in columns}
    kinds = {column: _kind(found) for column, found in values.items()}
    mapping = {f: c for f, c in standard_map(tuple(columns)).items() if _fits(f, kinds[c])}
    for field, (_, pattern, _) in _SPELLINGS.items():
        free = [c for c in columns if c not in mapping.values() and _fits(field, kinds[c])]
        named = [c for c in free if re.fullmatch(pattern, _snake(c))]
        if field not in mapping and named:
            mapping[field] = named[0]
    times = [c for c in columns if c not in mapping.values() and kinds[c] == "time"]
    if "timestamp" not in mapping and times:
        mapping["timestamp"] = times[0]
    for part in ("duration", "ttft"):
        column = mapping.get(f"{part}_s")
        # A bare "latency" whose typical value is over 200 is in milliseconds: no answer takes minutes as a rule.
        measured = [as_float(v) or 0.0 for v in values[column]] if column and kinds[column] else []
        if measured and f"{part}_ms" not in mapping and median(measured) > 200:
            mapping[f"{part}_ms"] = mapping.pop(f"{part}_s")
    return mapping


def _fits(field: str, kind: str) -> bool:
    wanted = _SPELLINGS[field][2]
    return "" in {wanted, kind} or wanted == kind or (kind == "rising" and wanted in {"time", "number"})


def _kind(values: list[Any]) -> str:
    """What sampled values can be: time, number, rising (a number or a relative time), text, or "" for no values."""
    try:
        numbers = [as_float(_ungrouped(value) if isinstance(value, str) else value) or 0.0 for value in values]
    except BadRecord:
        return "time" if all(time_us(value) is not None for value in values) else "text"
    if numbers and min(numbers) >= 1e9 and max(numbers) < 4e18:
        return "time"
    rising = len(numbers) > 1 and numbers == sorted(numbers) and numbers[0] < numbers[-1]
    return "rising" if rising else "number" if numbers else ""


def _snake(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()).strip("_")


def calls_with_map(record: dict[str, Any], mapping: dict[str, str]) -> list[Call | NotACall]:
    """One call per row. A column may be dotted; times under 1e8 are seconds (`…_ms`: ms) from the start."""
    row = {f: record[c] if c in record else dig(record, *c.split(".")) for f, c in mapping.items()}
    if all(value is None for value in row.values()):
        raise BadRecord("no_mapped_column")
    row |= {
        f: _ungrouped(v, f) for f, v in row.items() if isinstance(v, str) and "," in v and _KIND_OF.get(f) == "number"
    }
    system = as_text(row.get("system"))
    text, tool_calls = reply_of(row.get("response"))
    read, written = row.get("cache_read_tokens"), row.get("cache_write_tokens")
    call = Call(
        request_id=as_text(row.get("request_id")),
        session_id=as_text(row.get("session")),
        user=as_text(row.get("user")),
        tags=texts_of(row.get("tag")),
        feature=as_text(row.get("feature")),
        duration_s=_seconds(row, "duration"),
        ttft_s=_seconds(row, "ttft"),
        operation=as_text(row.get("operation")) or "chat",
        provider=as_text(row.get("provider")) or "",
        request_model=as_text(row.get("model")) or "",
        service_tier=tier_of(row.get("tier")),
        messages=([Message("system", system)] if system else []) + messages_of(row.get("prompt")),
        output_text=text,
        output_tool_calls=tool_calls,
        text_cut=is_cut(row.get("prompt")),
        input_tokens=as_int(row.get("input_tokens")),
        output_tokens=as_int(row.get("output_tokens")),
        cache_read_tokens=as_int(read) or 0,
        cache_write_tokens=as_int(written) or 0,
        reasoning_tokens=as_int(row.get("reasoning_tokens")) or 0,
        cache_reported=read is not None or written is not None,
        cost_usd_reported=as_float(row.get("cost_usd")),
    )
    _time(call, row.get("timestamp"), mapping.get("timestamp", ""))
    _outcome(call, row)
    return [call]


def _ungrouped(value: str, field: str = "tokens") -> str:
    """`1,234` without its comma where that can only group thousands: tokens are whole, two groups are no decimals.

    A cost or duration of `1,234` may be a decimal comma: it stays, and is refused.
    """
    sure = field.endswith("tokens") or value.count(",") > 1 or "." in value
    return value.replace(",", "") if sure and _GROUPED.fullmatch(value) else value


def _seconds(row: dict[str, Any], part: str) -> float | None:
    milliseconds = as_float(row.get(f"{part}_ms"))
    return first(as_float(row.get(f"{part}_s")), None if milliseconds is None else milliseconds / 1000)


def _time(call: Call, value: Any, column: str) -> None:
    try:
        number = as_float(value)
    except BadRecord:
        number = None
    call.time_is_relative = number is not None and 0 <= number < 1e8
    relative_scale = 1e3 if _snake(column).endswith("ms") else 1e6
    call.time_us = offset_us(number, relative_scale) if call.time_is_relative else time_us(value)


def _outcome(call: Call, row: dict[str, Any]) -> None:
    status, error = (as_text(row.get("status")) or "").strip().removesuffix(".0"), as_text(row.get("error"))
    failed = _FAILED.fullmatch(status) is not None
    failed = failed or (isinstance(row.get("status"), bool) and not as_bool(row["status"]))
    named = error is not None and error.strip().lower() not in _NO_ERROR
    call.ok = not failed and not named
    if re.fullmatch(r"[1-5][0-9]{2}", status):
        call.http_status = int(status)
    if not call.ok:
        # Error text may quote the prompt: only a name without spaces is kept.
        call.error_type = error if named and error and re.fullmatch(r"\S{1,60}", error) else "error"
        call.possibly_billed = bool(call.output_tokens)
