"""Langfuse observations, from the blob export (snake_case) or the API and UI (camelCase); knows no scores."""

from functools import cache
from typing import Any, cast

from costplan.ingest.fields import as_dict, as_float, as_int, as_list, as_text, time_us
from costplan.ingest.loose import (
    first,
    http_status_in,
    is_cut,
    messages_of,
    params_of,
    reason,
    reply_of,
    seconds_between,
    texts_of,
    tier_of,
)
from costplan.trace import BadRecord, Call, NotACall

NAME = "langfuse"
RULE = (
    "usage buckets are exclusive: input is the sum of every input bucket, output of every output and reasoning bucket; "
    "only where the logged total equals input + output alone are the other buckets parts of them"
)

_OPERATIONS = {"GENERATION": "chat", "EMBEDDING": "embeddings"}


def matches(record: dict[str, Any]) -> bool:
    """Blob export rows have `usage_details` with snake_case times, API rows `usageDetails` or the older `usage`."""
    blob = "trace_id" in record and "type" in record and "start_time" in record and "usage_details" in record
    return blob or ("traceId" in record and "startTime" in record and ("usageDetails" in record or "usage" in record))


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per GENERATION or EMBEDDING; spans, tools, agents and events are no calls but keep their ids."""
    kind = (as_text(record.get("type")) or "").upper()
    ids = [as_text(_get(record, name)) for name in ("id", "parent_observation_id", "trace_id")]
    if kind not in _OPERATIONS:
        return [NotACall(reason("langfuse", kind), span_id=ids[0], parent_id=ids[1], trace_id=ids[2])]
    parameters = _mapping(_get(record, "model_parameters"))
    metadata = _mapping(record.get("metadata"))
    costs = _mapping(_get(record, "cost_details"))
    body = as_dict(record.get("input"))
    # Latency columns are seconds or milliseconds depending on the integration's age: only timestamps are read.
    start, end = time_us(_get(record, "start_time")), time_us(_get(record, "end_time"))
    wait = seconds_between(start, time_us(_get(record, "completion_start_time")))
    text, tool_calls = reply_of(record.get("output"))
    ok = (as_text(record.get("level")) or "").upper() != "ERROR"
    call = Call(
        request_id=ids[0],
        span_id=ids[0],
        parent_id=ids[1],
        trace_id=ids[2],
        session_id=as_text(_get(record, "session_id")),
        user=as_text(_get(record, "user_id")),
        tags=texts_of(record.get("tags")),
        feature=as_text(_get(record, "prompt_name")),
        environment=as_text(record.get("environment")),
        time_us=start,
        duration_s=seconds_between(start, end),
        ttft_s=wait,
        stream=wait is not None,
        operation=_OPERATIONS[kind],
        provider=as_text(metadata.get("ls_provider")) or "",
        request_model=as_text(first(record.get("provided_model_name"), record.get("model"))) or "",
        service_tier=tier_of(parameters.get("service_tier")),
        messages=messages_of(record.get("input")),
        tools=first(_get(record, "tool_definitions"), body.get("tools"), parameters.get("tools")),
        output_text=text,
        output_tool_calls=first(tool_calls, as_list(_get(record, "tool_calls")) or None),
        temperature=_number(parameters.get("temperature")),
        params=params_of(parameters),
        text_cut=is_cut(record.get("input")),
        ok=ok,
        http_status=None if ok else http_status_in(_get(record, "status_message")),
        error_type=None if ok else "langfuse_error",
        cost_usd_reported=_number(
            first(_get(record, "total_cost"), _get(record, "calculated_total_cost"), costs.get("total"))
        ),
    )
    _usage(call, _mapping(_get(record, "usage_details")) or _mapping(record.get("usage")))
    call.possibly_billed = not ok and bool(call.output_tokens)
    return [call]


def _usage(call: Call, usage: dict[str, Any]) -> None:
    """Sum the buckets: {"input": 86, "input_cached_tokens": 17817, "output": 225} is 17,903 in, 225 out."""
    if (as_text(usage.get("unit")) or "TOKENS").upper() != "TOKENS":
        return  # older rows may count characters, images or seconds
    counts = {key.lower(): n for key, value in usage.items() if (n := _count(key, value)) is not None}
    caches = {key: n for key, n in counts.items() if "cache" in key and "output" not in key}
    written = {key: n for key, n in caches.items() if "creat" in key or "write" in key}
    inputs = {key: n for key, n in counts.items() if "input" in key or "prompt" in key} | caches
    thoughts = {key: n for key, n in counts.items() if "reasoning" in key or "thought" in key}
    outputs = {key: n for key, n in counts.items() if "output" in key or "completion" in key} | thoughts
    call.cache_reported = bool(caches)
    if not any(inputs.values()) and not any(outputs.values()):
        return  # nothing counted: unknown, not free
    call.cache_write_tokens = sum(written.values())
    call.cache_write_1h_tokens = sum(n for key, n in written.items() if "1h" in key)
    call.cache_read_tokens = sum(caches.values()) - call.cache_write_tokens
    call.reasoning_tokens = sum(thoughts.values())
    call.input_tokens, call.output_tokens = sum(inputs.values()), sum(outputs.values())
    # Some integrations post OpenAI's inclusive counts as they are (langfuse issue 12306, about twice the cost).
    plain_in, plain_out = counts.get("input", 0), counts.get("output", 0)
    nested = sum(caches.values()) <= plain_in and call.reasoning_tokens <= plain_out
    if nested and counts.get("total") == plain_in + plain_out:
        call.input_tokens, call.output_tokens = plain_in, plain_out


def _count(key: str, value: Any) -> int | None:
    skipped = key == "unit" or key.lower().endswith("cost") or isinstance(value, dict | list)
    return None if skipped else as_int(value)


@cache
def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _get(record: dict[str, Any], name: str) -> Any:
    return record[name] if record.get(name) is not None else record.get(_camel(name))


def _mapping(value: Any) -> dict[str, Any]:
    """A mapping, its JSON text, or the key-value pairs that a Parquet map column arrives as."""
    if isinstance(value, list):
        pairs = [cast(tuple[Any, Any], p) for p in cast(list[Any], value) if isinstance(p, tuple)]
        return {key: item for key, item in (p for p in pairs if len(p) == 2) if isinstance(key, str)}
    return as_dict(value)


def _number(value: Any) -> float | None:
    """A number that is only a claim (a cost, a temperature): unreadable is unknown; Parquet writes decimals."""
    try:
        return as_float(value if isinstance(value, int | float | str) else str(value))
    except BadRecord:
        return None
