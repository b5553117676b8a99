"""LiteLLM's StandardLoggingPayload and SpendLogs rows; knows no price, and reads LiteLLM's own cost as a claim only."""

from typing import Any

from costplan.ingest.fields import as_bool, as_dict, as_float, as_int, as_list, as_text, dig, time_us
from costplan.ingest.loose import (
    first,
    is_cut,
    messages_of,
    params_of,
    reason,
    reply_of,
    seconds_between,
    text_of,
    texts_of,
    tier_of,
)
from costplan.ingest.usage import usage_of
from costplan.trace import Call, NotACall

NAME = "litellm"
RULE = "prompt_tokens include cache reads and writes, completion_tokens include reasoning: taken as they are"

_OPERATIONS = {
    "": "chat",
    "completion": "chat",
    "responses": "chat",
    "anthropic_messages": "chat",
    "generate_content": "chat",
    "generate_content_stream": "chat",
    "pass_through_endpoint": "chat",
    "text_completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
    "image_generation": "image",
    "image_edit": "image",
    "transcription": "audio",
    "speech": "audio",
    "moderation": "moderation",
    "realtime": "realtime",
}
_CUT = "litellm_truncated"  # LiteLLM's own marker inside shortened SpendLogs text


def matches(record: dict[str, Any]) -> bool:
    """A payload has `response_cost`, a spend row `spend`; both have `call_type` and `startTime`."""
    return "call_type" in record and "startTime" in record and ("response_cost" in record or "spend" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per payload or spend row; file, batch and MCP management rows without usage are no calls."""
    metadata = as_dict(record.get("metadata"))
    response = as_dict(record.get("response"))
    request = as_dict(record.get("proxy_server_request"))
    tokens_in, tokens_out = as_int(record.get("prompt_tokens")), as_int(record.get("completion_tokens"))
    if not tokens_in and not tokens_out:
        tokens_in = tokens_out = None  # LiteLLM's default where it saw no usage: unknown, not free
    call_type = as_text(record.get("call_type")) or ""
    operation = _OPERATIONS.get(call_type) or _OPERATIONS.get(call_type.removeprefix("a"))
    if operation is None and tokens_in is None:
        return [NotACall(reason("litellm", call_type), trace_id=as_text(record.get("trace_id")))]
    parameters = as_dict(record.get("model_parameters")) or request
    messages = messages_of(record.get("messages")) or messages_of({"messages": request.get("messages")})
    text, tool_calls = reply_of(record.get("response"))
    call = Call(
        request_id=as_text(first(record.get("request_id"), record.get("id"))),
        trace_id=as_text(record.get("trace_id")),
        session_id=as_text(first(record.get("session_id"), record.get("trace_id"))),
        user=_user(record, metadata),
        tags=texts_of(record.get("request_tags")),
        feature=as_text(dig(metadata, "prompt_management_metadata", "prompt_id")),
        operation=operation or "chat",
        provider=as_text(record.get("custom_llm_provider")) or "",
        request_model=as_text(record.get("model")) or "",
        response_model=as_text(first(response.get("model"), dig(record, "model_map_information", "model_map_key")))
        or "",
        service_tier=tier_of(first(response.get("service_tier"), parameters.get("service_tier"))),
        messages=messages,
        tools=first(parameters.get("tools"), request.get("tools")),
        output_text=text,
        output_tool_calls=tool_calls,
        temperature=as_float(parameters.get("temperature")),
        params=params_of(parameters),
        text_cut=is_cut(record.get("messages")) or any(_CUT in (text_of(m.content) or "") for m in messages),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        gateway_cache_hit=as_bool(record.get("cache_hit")),
        cost_usd_reported=as_float(first(record.get("response_cost"), record.get("spend"))),
        finish_reason=as_text(next((as_dict(c).get("finish_reason") for c in as_list(response.get("choices"))), None)),
    )
    usages = (metadata.get("additional_usage_values"), metadata.get("usage_object"), response.get("usage"))
    _usage_details(call, [as_dict(usage) for usage in usages])
    _times(call, record)
    _outcome(call, record, metadata)
    return [call]


def _usage_details(call: Call, sources: list[dict[str, Any]]) -> None:
    """Cached and reasoning tokens from the usage objects, later ones first; all are subsets of the totals."""
    merged: dict[str, Any] = {}
    for source in sources:
        merged |= {key: value for key, value in source.items() if value is not None}
    for name, alias in (("prompt_tokens_details", "input_tokens_details"), _REPLY_DETAILS):
        merged[name] = as_dict(merged.get(name)) or as_dict(merged.get(alias))
    counted = {"prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens}
    if (usage := usage_of({"usage": merged | counted})) is None or call.input_tokens is None:
        return
    call.output_tokens = usage.output_tokens  # xAI's reasoning stands beside completion_tokens
    call.cache_read_tokens, call.cache_write_tokens = usage.cache_read_tokens, usage.cache_write_tokens
    call.cache_write_1h_tokens, call.reasoning_tokens = usage.cache_write_1h_tokens, usage.reasoning_tokens
    call.cache_reported = usage.cache_reported
    searches = dig(merged, "server_tool_use", "web_search_requests")
    if count := as_float(first(searches, merged["prompt_tokens_details"].get("web_search_requests"))):
        call.other_units = {"web_searches": count}


_REPLY_DETAILS = ("completion_tokens_details", "output_tokens_details")


def _times(call: Call, record: dict[str, Any]) -> None:
    """`response_time` is the time to first token of streamed calls, so latency is always end minus start."""
    call.time_us = time_us(record.get("startTime"))
    call.duration_s = seconds_between(call.time_us, time_us(record.get("endTime")))
    wait = seconds_between(call.time_us, time_us(record.get("completionStartTime")))
    early = wait is not None and call.duration_s is not None and wait < call.duration_s
    # Spend rows have no `stream`; unstreamed calls have completionStartTime equal to endTime.
    call.stream = as_bool(record["stream"]) if record.get("stream") is not None else early
    call.ttft_s = wait if call.stream else None


def _outcome(call: Call, record: dict[str, Any], metadata: dict[str, Any]) -> None:
    error = as_dict(record.get("error_information")) or as_dict(metadata.get("error_information"))
    status = as_text(first(record.get("status"), metadata.get("status")))
    failed = first(record.get("error_str"), error.get("error_class"), error.get("error_code")) is not None
    call.ok = status != "failure" and not (status is None and failed)
    if call.ok:
        return
    code = as_text(error.get("error_code")) or ""
    call.http_status = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else None
    call.error_type = as_text(error.get("error_class")) or "failure"
    call.possibly_billed = bool(call.output_tokens)


def _user(record: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    """The end user, else the key's user, else the key's alias or hash; never a key itself."""
    names = ("end_user_id", "user_id", "alias", "hash")
    keys = [metadata.get(f"user_api_key_{name}") for name in names]
    user = as_text(first(record.get("end_user"), keys[0], record.get("user"), *keys[1:], record.get("api_key")))
    return None if user and user.startswith("sk-") else user
