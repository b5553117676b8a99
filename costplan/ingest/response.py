"""Response bodies of every provider (ids, text, usage, errors) read into a Call; knows no request, no price."""

import re
from typing import Any, cast

import msgspec

from costplan.ingest.fields import as_dict, as_list, as_text, dig, time_us
from costplan.ingest.request import soft_float, tier_of
from costplan.ingest.usage import Usage, side_usages, usage_of
from costplan.trace import Call

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_THOUGHTS = {"thinking", "redacted_thinking", "reasoning"}
_FAILED = {"failed", "cancelled", "canceled", "expired"}


def read_response(call: Call, body: dict[str, Any]) -> None:
    """Fill the call with what its response body says; raises BadRecord where the counts are unusable."""
    call.request_id = as_text(body.get("id")) or as_text(body.get("responseId")) or call.request_id
    call.response_model = as_text(body.get("model")) or as_text(body.get("modelVersion")) or call.response_model
    if call.time_us is None:
        call.time_us = time_us(body.get("created") or body.get("created_at") or body.get("createTime"))
    set_usage(call, usage_of(body))
    detail = as_dict(body.get("usage") or body.get("usageMetadata"))
    # The tier that served the call stands in the answer; the request only asks for one
    if "service_tier" in body or "service_tier" in detail or "speed" in detail:
        call.service_tier = "batch" if call.service_tier == "batch" else tier_of(detail, body)
    call.cost_usd_reported = (
        soft_float(detail.get("cost")) if call.cost_usd_reported is None else call.cost_usd_reported
    )
    if call.duration_s is None and (latency := soft_float(dig(body, "metrics", "latencyMs"))):
        call.duration_s = latency / 1000
    _read_text(call, body)
    call.finish_reason = _finish(body)
    status = body.get("status")
    if body.get("error") or body.get("type") == "error" or (isinstance(status, str) and status in _FAILED):
        read_error(call, body.get("error") or status)
        # A failed run or response may have produced tokens before it stopped
        call.possibly_billed = call.possibly_billed or bool(call.output_tokens)


def set_usage(call: Call, usage: Usage | None) -> None:
    """Copy the counts into the call; without usage it keeps none."""
    if usage is None:
        return
    call.input_tokens, call.output_tokens = usage.input_tokens, usage.output_tokens
    if usage.cache_reported or usage.cache_write_tokens or usage.reasoning_tokens or usage.other_units:
        call.cache_read_tokens, call.cache_write_tokens = usage.cache_read_tokens, usage.cache_write_tokens
        call.cache_write_1h_tokens, call.reasoning_tokens = usage.cache_write_1h_tokens, usage.reasoning_tokens
        call.other_units, call.cache_reported = usage.other_units, usage.cache_reported


def side_calls(call: Call, body: dict[str, Any]) -> list[Call]:
    """The call, then one more per sub-inference the provider ran on another model inside it (billed at that model)."""
    found = [call]
    for number, (model, usage) in enumerate(side_usages(body), start=1):
        side = msgspec.structs.replace(call, request_model=model, response_model=model, messages=[], tools=None)
        side.output_text = side.output_tool_calls = None
        side.request_id = f"{call.request_id}/{number}" if call.request_id else None
        set_usage(side, usage)
        found.append(side)
    return found


def status_of(value: Any) -> int | None:
    """An HTTP status, or None for anything else."""
    number = soft_float(value)
    return int(number) if number is not None and 100 <= number < 600 else None


def read_error(call: Call, error: Any, status: int | None = None) -> None:
    """Mark the call as failed, under the provider's own error name where it has one."""
    call.ok = False
    call.http_status = status if status is not None else call.http_status
    detail = as_dict(error)
    detail = as_dict(detail.get("error")) or detail
    name = as_text(detail.get("type") or detail.get("__type")) or _ERRORS.get(call.http_status or 0)
    name = (
        name
        or call.error_type
        or as_text(detail.get("code"))
        or (error if isinstance(error, str) and error.isidentifier() else None)
    )
    if name and not re.fullmatch(r"\S{1,60}", name):  # a sentence may quote the prompt
        name = None
    call.error_type = name or (f"http_{call.http_status}" if call.http_status else "error")


def _read_text(call: Call, body: dict[str, Any]) -> None:
    texts: list[str] = []
    tools: list[Any] = []
    for choice in map(as_dict, as_list(body.get("choices"))):
        message = as_dict(choice.get("message"))
        _collect([message.get("content"), message.get("refusal"), choice.get("text")], texts, tools)
        tools += as_list(message.get("tool_calls")) or ([fn] if (fn := message.get("function_call")) else [])
    for candidate in map(as_dict, as_list(body.get("candidates"))):
        _collect(dig(candidate, "content", "parts"), texts, tools)
    output: Any = body.get("output")
    _collect(dig(output, "message", "content") if isinstance(output, dict) else output, texts, tools)
    for key in ("content", "completion", "generation", "text"):
        if key in body:
            _collect(body[key], texts, tools)
    message = as_dict(body.get("message"))
    _collect(message.get("content"), texts, tools)
    tools += as_list(message.get("tool_calls"))
    for part in [p for key in ("results", "generations", "completions", "outputs") for p in as_list(body.get(key))]:
        _collect([dig(part, "outputText"), dig(part, "text"), dig(part, "data", "text")], texts, tools)
    call.output_text = "\n".join(texts) or None
    call.output_tool_calls = tools or None
    searches = sum(1 for tool in tools if dig(tool, "type") == "web_search_call")
    if searches:
        call.other_units = {"web_searches": float(searches), **call.other_units}


def _collect(value: Any, texts: list[str], tools: list[Any], depth: int = 0) -> None:
    """Texts and tool calls in any provider's content: a string, parts, or items that hold parts; no thoughts."""
    if depth > 8:  # no provider nests deeper; a hostile log may
        return
    if isinstance(value, str):
        texts += [value] if value else []
    elif isinstance(value, list):
        for part in cast(list[Any], value):
            _collect(part, texts, tools, depth + 1)
    elif isinstance(value, dict):
        part = cast(dict[str, Any], value)
        kind = part.get("type")
        kind = kind if isinstance(kind, str) else ""
        if kind in _THOUGHTS or part.get("thought") is True:
            return
        if (
            kind in {"tool_use", "server_tool_use"}
            or kind.endswith("_call")
            or "toolUse" in part
            or "functionCall" in part
        ):
            tools.append(part)
        else:
            _collect(part.get("content") or part.get("text") or part.get("refusal"), texts, tools, depth + 1)


def _finish(body: dict[str, Any]) -> str | None:
    for key in ("choices", "candidates", "results", "generations", "completions"):
        for item in map(as_dict, as_list(body.get(key))[:1]):
            reason: Any = item.get("finish_reason") or item.get("finishReason") or item.get("completionReason")
            return as_text(dig(reason, "reason") or reason)
    return (
        as_text(body.get("stop_reason"))
        or as_text(body.get("stopReason"))
        or as_text(dig(body, "incomplete_details", "reason"))
        or as_text(body.get("finish_reason"))
        or as_text(body.get("status"))
    )
