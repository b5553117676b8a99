"""A call as one line of a log: an OpenAI-style request beside its response, as gateways and home-made loggers write."""

from datetime import date, datetime, timedelta
from typing import Any

from costplan.generate.calls import Call
from costplan.scenario.spec import LogSpec

MAX_TOKENS = 4096
BATCH_TAG = "batch"
_ERRORS = {429: "rate_limit_exceeded", 500: "server_error"}


def request_id(seed: int, number: int) -> str:
    """The id of the line with that number."""
    return f"chatcmpl-{seed}-{number:08d}"


def moment(start: date, time_ms: int) -> str:
    """ISO 8601 with milliseconds, UTC."""
    day = datetime(start.year, start.month, start.day) + timedelta(milliseconds=time_ms)
    return day.isoformat(timespec="milliseconds") + "Z"


def record(call: Call, log: LogSpec, seed: int) -> dict[str, Any]:
    """The line."""
    spec, name = call.site.spec, request_id(seed, call.number)
    request: dict[str, Any] = {"model": spec.model, "temperature": spec.temperature, "max_tokens": MAX_TOKENS}
    request["messages"] = call.messages
    if call.site.tools:
        request["tools"] = call.site.tools
    if spec.stream and not call.batch:
        request["stream"] = True
    told: dict[str, Any] = {
        "id": name, "timestamp": moment(log.start, call.time_ms), "user": f"u-{call.user:06d}",
        "session": f"s-{call.session:08d}", "feature": spec.name,
    }  # fmt: skip
    if call.batch:
        told["tags"] = [BATCH_TAG]
    told["request"] = request
    told["response"] = _response(call, name) if call.ok else {"error": {"type": _ERRORS[call.status]}}
    told["latency_ms"] = call.latency_ms
    if "stream" in request and call.ok:
        told["ttft_ms"] = call.ttft_ms
    return told | {"status_code": call.status}


def _response(call: Call, name: str) -> dict[str, Any]:
    finish = "tool_calls" if "tool_calls" in call.answer else "stop"
    usage: dict[str, Any] = {
        "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
    }  # fmt: skip
    if call.cached_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": call.cached_tokens}
    return {
        "id": name, "object": "chat.completion", "model": call.site.spec.model,
        "choices": [{"index": 0, "message": call.answer, "finish_reason": finish}], "usage": usage,
    }  # fmt: skip
