"""Kong Gateway logs (file-log, http-log, …) with the `ai` object of ai-proxy and its kin; knows no price."""

from typing import Any

from costplan.ingest.fields import as_dict, as_text, dig, time_us
from costplan.ingest.loose import first
from costplan.ingest.request import read_request, soft_float
from costplan.ingest.response import read_error, read_response, set_usage, status_of
from costplan.ingest.sse import assemble, is_stream
from costplan.ingest.usage import usage_of
from costplan.trace import Call, NotACall

NAME = "kong"
RULE = (
    "the logged body's own rule; without a body prompt_tokens include cached tokens, unless there are more cached "
    "ones; a cost of 0 is no price"
)


def matches(record: dict[str, Any]) -> bool:
    """An `ai` object beside Kong's own times, or one with a proxy in it."""
    ai = record.get("ai")
    return isinstance(ai, dict) and ("latencies" in record or "started_at" in record or "proxy" in ai)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per AI plugin that called a model: `ai.proxy`, or a plugin's own name before Kong 3.9."""
    ai = as_dict(record.get("ai"))
    plugins = [as_dict(plugin) for plugin in ai.values()]
    found = [_call(record, ai, plugin) for plugin in plugins if as_dict(plugin.get("meta"))]
    for number, call in enumerate(found[1:], start=1):
        call.request_id = f"{call.request_id}/{number}" if call.request_id else None
    return [*found] or [NotACall("kong_no_model_call")]


def _call(record: dict[str, Any], ai: dict[str, Any], plugin: dict[str, Any]) -> Call:
    usage, meta = as_dict(plugin.get("usage")), as_dict(plugin.get("meta"))
    status = status_of(dig(record, "response", "status"))
    consumer = as_dict(record.get("consumer"))
    call = Call(
        request_id=as_text(dig(record, "request", "id")),
        user=as_text(first(consumer.get("username"), consumer.get("custom_id"), consumer.get("id"))),
        feature=as_text(dig(record, "route", "name")),
        time_us=time_us(record.get("started_at")),
        duration_s=_seconds(first(meta.get("llm_latency"), dig(record, "latencies", "request"))),
        ttft_s=_seconds(usage.get("time_to_first_token")),
        provider=as_text(meta.get("provider_name")) or "",
        stream=meta.get("request_mode") == "stream",
        http_status=status,
        gateway_cache_hit=(as_text(dig(plugin, "cache", "cache_status")) or "").lower() == "hit",
    )
    payload = as_dict(plugin.get("payload"))
    read_request(call, as_dict(first(payload.get("request"), dig(ai, "payload", "request"))))
    text: Any = payload.get("response")
    body = assemble(text)[0] if isinstance(text, str) and is_stream(text) else as_dict(text)
    read_response(call, body)
    call.request_model = as_text(meta.get("request_model")) or call.request_model
    call.response_model = call.response_model or as_text(meta.get("response_model")) or ""
    if call.input_tokens is None and call.output_tokens is None:
        _kongs_counts(call, usage)
    call.cost_usd_reported = soft_float(usage.get("cost")) or None
    if status is not None and not 200 <= status < 300:
        read_error(call, body, status)
        call.possibly_billed = bool(call.output_tokens)
    return call


def _kongs_counts(call: Call, usage: dict[str, Any]) -> None:
    """Kong's own counts, under the names of Kong 3.8 too; 0 and 0 is what it writes where it saw none."""
    counts = usage | {f"{name}s": usage[name] for name in ("prompt_token", "completion_token") if name in usage}
    found = usage_of({"usage": counts})
    if found is None or not (found.input_tokens or found.output_tokens):
        return
    set_usage(call, found)
    cached = call.cache_read_tokens + call.cache_write_tokens
    if call.input_tokens is not None and cached > call.input_tokens:
        call.input_tokens += cached  # Anthropic's own count, passed on


def _seconds(value: Any) -> float | None:
    milliseconds = soft_float(value)
    return None if milliseconds is None else milliseconds / 1000
