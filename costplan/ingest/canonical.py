"""The canonical trace on disk, both ways: what `costplan normalize` writes is what it reads; knows no file or price.

Text is flattened on the way out: the parts of a message become one text, and JSON held as a string comes back decoded.
Halves of a call (`part`, `join_id`) are joined before they are written.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from costplan.ingest.fields import as_bool, as_dict, as_float, as_int, as_list, as_text, from_json, time_us
from costplan.ingest.loose import compact, offset_us, text_of, texts_of
from costplan.ingest.mooncake import block_ids
from costplan.trace import BadRecord, Call, Message, NotACall

NAME = "costplan"
RULE = "canonical rows: input inclusive of cache, output inclusive of reasoning, taken as written"

# Columns named like the fields of Call; on disk "" is null.
_IDS = ("request_id", "trace_id", "span_id", "parent_id", "session_id", "user", "feature", "environment")
_TEXTS = (*_IDS, "output_text", "error_type", "finish_reason")
_NAMES = ("provider", "request_model", "response_model", "service_tier", "params")
_INTEGERS = ("input_tokens", "output_tokens", "http_status")
_NUMBERS = ("duration_s", "ttft_s", "temperature", "cost_usd_reported")
_FLAGS = ("stream", "gateway_cache_hit", "cache_reported", "possibly_billed", "text_cut")
# OpenTelemetry's column name: our field.
_COUNTS = {
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
    "cache_creation_1h_input_tokens": "cache_write_1h_tokens",
    "reasoning_output_tokens": "reasoning_tokens",
    "block_size": "block_size",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SCHEMA = {
    **dict.fromkeys(("source_format", "source_file"), "str"),
    "source_line": "int",
    **dict.fromkeys((*_TEXTS, *_NAMES), "str"),
    **dict.fromkeys((*_INTEGERS, *_COUNTS), "int"),
    **dict.fromkeys((*_NUMBERS, "ts_offset_s", "sample_weight"), "float"),
    **dict.fromkeys(_FLAGS, "bool"),
    **dict.fromkeys(("timestamp", "operation", "tools_text", "output_tool_calls", "usage_source"), "str"),
    **dict.fromkeys(("usage_inclusive_rule", "status", "other_units"), "str"),
    "input_messages": "messages",
    "tags": "strs",
    "prefix_block_ids": "ints",
}
"""Column -> kind; `messages` is a list of {role, text, tool_calls}."""


def matches(record: dict[str, Any]) -> bool:
    """Three columns no other dialect has together."""
    return "usage_source" in record and "cache_read_input_tokens" in record and "ts_offset_s" in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The call a canonical row was written from."""
    moment, offset = time_us(record.get("timestamp")), offset_us(record.get("ts_offset_s"), 1e6)
    relative = moment is None and offset is not None
    call = Call(
        time_us=offset if relative else moment,
        time_is_relative=relative,
        operation=as_text(record.get("operation")) or "chat",
        tags=texts_of(record.get("tags")),
        messages=[_message(as_dict(item)) for item in as_list(record.get("input_messages"))],
        tools=_decoded(record.get("tools_text")),
        output_tool_calls=_decoded(record.get("output_tool_calls")),
        ok=record.get("status") != "error",
        sample_weight=_weight(record.get("sample_weight")),
        block_ids=block_ids(record.get("prefix_block_ids")),
    )
    for unit, count in as_dict(record.get("other_units")).items():
        call.other_units = call.other_units | {unit: as_float(count) or 0.0}
    for name in _TEXTS:
        setattr(call, name, as_text(record.get(name)))
    for name in _NAMES:
        setattr(call, name, as_text(record.get(name)) or "")
    for name in _INTEGERS:
        setattr(call, name, as_int(record.get(name)))
    for name in _NUMBERS:
        setattr(call, name, as_float(record.get(name)))
    for name in _FLAGS:
        setattr(call, name, as_bool(record.get(name)))
    for column, name in _COUNTS.items():
        setattr(call, name, as_int(record.get(column)) or 0)
    return [call]


def row_of(call: Call) -> dict[str, Any]:
    """One canonical row; `source_format`, `source_file`, `source_line` are null for the caller to fill."""
    moment = call.time_us
    row: dict[str, Any] = {"source_format": None, "source_file": None, "source_line": None}
    row |= {name: getattr(call, name) or None for name in (*_TEXTS, *_NAMES)}
    row |= {name: getattr(call, name) for name in (*_INTEGERS, *_NUMBERS, *_FLAGS)}
    row |= {column: getattr(call, name) for column, name in _COUNTS.items()}
    row |= {
        "timestamp": None if moment is None or call.time_is_relative else _iso(moment),
        "ts_offset_s": moment / 1e6 if moment is not None and call.time_is_relative else None,
        "operation": call.operation,
        "input_messages": [_message_row(m) for m in call.messages] or None,
        "tools_text": _encoded(call.tools),
        "output_tool_calls": _encoded(call.output_tool_calls),
        "usage_source": "missing" if call.input_tokens is None else "reported",
        "usage_inclusive_rule": "inclusive",
        "status": "ok" if call.ok else "error",
        "tags": call.tags or None,
        "sample_weight": call.sample_weight,
        "prefix_block_ids": call.block_ids or None,
        "other_units": _encoded(call.other_units or None),
    }
    return row


def mooncake_row(call: Call, start_us: int = 0) -> dict[str, Any]:
    """The row Mooncake's readers take: milliseconds since `start_us`. BadRecord where time or usage is unknown."""
    if call.time_us is None or call.input_tokens is None or call.output_tokens is None:
        raise BadRecord("no_time_or_usage")
    return {
        "timestamp": (call.time_us - start_us) // 1000,
        "input_length": call.input_tokens,
        "output_length": call.output_tokens,
        "hash_ids": call.block_ids,
    }


def _iso(moment_us: int) -> str | None:
    try:
        moment = _EPOCH + timedelta(microseconds=moment_us)
    except OverflowError:
        return None
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _message_row(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": text_of(message.content),
        "tool_calls": _encoded(message.tool_calls),
    }


def _message(row: dict[str, Any]) -> Message:
    text = row.get("text")
    return Message(as_text(row.get("role")) or "user", text_of(text), _decoded(row.get("tool_calls")))


def _encoded(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else compact(value)


def _decoded(value: Any) -> Any:
    decoded = from_json(value) if isinstance(value, str) and value[:1] in {"[", "{"} else None
    return value if decoded is None else decoded


def _weight(value: Any) -> float:
    weight = as_float(value)
    if weight is None:
        return 1.0
    if weight < 1:
        raise BadRecord("bad_sample_weight")
    return weight
