"""OpenInference spans as Phoenix hands them out: a dataframe as Parquet or CSV, JSON of its API; knows no evaluation.

A row is turned into the OTLP span it came from, and read as one.
"""

import ast
import math
from typing import Any, cast

from costplan.ingest import otlp
from costplan.ingest.fields import as_dict, as_text, from_json, time_us
from costplan.ingest.loose import compact, http_status_in
from costplan.trace import Call, NotACall

NAME = "phoenix"
RULE = (
    "token_count.prompt includes cache reads and writes, completion includes reasoning: as they are (pull request "
    "1429 of openinference); a prompt smaller than its cache has left the cache out, which is added; unverified: "
    "columns other than context.span_id"
)

_PREFIX = "attributes."
_LISTS = ("llm.input_messages", "llm.output_messages", "llm.tools", "tag.tags")
_DEEPEST = 12
_LONGEST_LITERAL = 1_000_000


def matches(record: dict[str, Any]) -> bool:
    """`context.trace_id`, any `attributes.llm.` column, or the API's `context` beside `attributes` and `span_kind`."""
    named = "context.trace_id" in record or any(key.startswith("attributes.llm.") for key in record)
    return named or ("span_kind" in record and "attributes" in record and isinstance(record.get("context"), dict))


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per span of kind LLM, EMBEDDING or RERANKER; chains, agents and tools are none but keep their ids."""
    a: dict[str, Any] = {}
    _flatten(a, "", record.get("attributes"))
    for key, value in record.items():
        if key.startswith(_PREFIX):
            _flatten(a, key.removeprefix(_PREFIX), value)
    if kind := as_text(record.get("span_kind")):
        a.setdefault("openinference.span.kind", kind)
    context = as_dict(record.get("context"))
    failed = (as_text(record.get("status_code")) or "").upper().endswith("ERROR")
    span: dict[str, Any] = {
        "traceId": record.get("context.trace_id") or context.get("trace_id"),
        "spanId": record.get("context.span_id") or context.get("span_id"),
        "parentSpanId": as_text(record.get("parent_id")),
        "status": {"code": 2} if failed else {},
        "attributes": [{"key": key, "value": value} for key, value in a.items()],
    }
    for name in ("start", "end"):
        moment = time_us(record.get(f"{name}_time"))
        span[f"{name}TimeUnixNano"] = None if moment is None else moment * 1000
    rows = otlp.calls({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    call = rows[0]
    if isinstance(call, NotACall):
        return [NotACall(call.reason.replace("otlp", NAME, 1), call.span_id, call.parent_id, call.trace_id)]
    cached = call.cache_read_tokens + call.cache_write_tokens
    if call.input_tokens is not None and cached > call.input_tokens:
        call.input_tokens += cached
    if failed and call.http_status is None:
        call.http_status = http_status_in(record.get("status_message"))
    return rows


def _flatten(found: dict[str, Any], key: str, value: Any, depth: int = 0) -> None:
    """Nested attributes under dotted names, lists of mappings by number: `llm.input_messages.0.message.role`.

    A dataframe holds NaN where a span lacks a column; as CSV it holds lists in Python's notation.
    """
    if isinstance(value, str) and key.startswith(_LISTS):
        value = _literal(value)
    if depth > _DEEPEST or value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return
    if isinstance(value, dict) and key != "llm.invocation_parameters":
        for name, inner in cast(dict[Any, Any], value).items():
            _flatten(found, f"{key}.{name}" if key else str(name), inner, depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in cast(list[Any], value)):
        for number, inner in enumerate(cast(list[Any], value)):
            _flatten(found, f"{key}.{number}", inner, depth + 1)
    else:
        found[key] = value if isinstance(value, str | int | float) else compact(value)


def _literal(text: str) -> Any:
    """The list in JSON or Python notation; the text itself where it is neither, too long or nested too deeply."""
    if text[:1] != "[":
        return text
    decoded = from_json(text)
    if decoded is None and len(text) <= _LONGEST_LITERAL and text.count("[") + text.count("{") < 10_000:
        try:
            decoded = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
    return cast(Any, decoded) if isinstance(decoded, list) else text
