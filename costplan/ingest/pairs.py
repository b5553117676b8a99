"""Request and response logged side by side, home-made or recorded HTTP, of any provider; knows no batch file, no price.

`latency` and `duration` name no unit: below 100 they are seconds, else milliseconds. `elapsed` is seconds.
"""

import re
from typing import Any, cast
from urllib.parse import unquote

from costplan.ingest.fields import as_bool, as_dict, as_text, time_us
from costplan.ingest.request import params_of, read_labels, read_request, soft_float
from costplan.ingest.response import read_error, read_response, set_usage, side_calls
from costplan.ingest.sse import assemble, is_stream
from costplan.ingest.usage import usage_of
from costplan.trace import Call, Message, NotACall

NAME = "pairs"
RULE = (
    "each body's own rule: OpenAI counts are inclusive, Anthropic and Bedrock exclude cache, Gemini excludes thoughts"
)

_HOST = re.compile(
    r"(azure|openai|anthropic|amazonaws|deepseek|googleapis|mistral|groq|openrouter|cohere|x|together|fireworks|perplexity)"
    r"\.(?:com|ai|xyz)(?=[:/]|$)"
)
_PROVIDERS = {"amazonaws": "aws", "googleapis": "google", "x": "x-ai"}
_OPERATIONS = (
    ("/chat/completions", "chat"),
    ("/completions", "text_completion"),
    ("/complete", "text_completion"),
    ("embed", "embeddings"),
    ("/images/", "image"),
    ("/moderations", "moderation"),
    ("/audio/", "audio"),
    ("/realtime", "realtime"),
    ("rerank", "rerank"),
    ("image", "image"),
    ("stability.", "image"),
    ("nova-canvas", "image"),
)
_OBJECTS = {"text_completion": "text_completion", "list": "embeddings"}
_MANAGEMENT = re.compile(
    r"/(files|batches|fine_tuning|vector_stores|uploads|models|count_tokens|input_tokens)(/[\w-]+)?$"
)
# Bedrock's id may be an ARN with slashes; Azure names a deployment; Gemini and Vertex end in `:generateContent`
_MODEL_IN_URL = re.compile(r"/model/(.+?)/(?:invoke|converse)|/(?:deployments|models)/([^/?]+?)(?:/|:\w+(?:\?|$))")
_ASKS = frozenset(["messages", "prompt", "input", "contents", "inputText", "model", "query", "texts"])
_ANSWERS = frozenset(["choices", "usage", "usageMetadata", "candidates", "completion"])
_STATUS = ("status_code", "http_status", "response_status", "status")
_TIMES = ("timestamp", "time", "start_time", "started_at", "request_time", "created_at", "ts", "response_date")
_MS = ("latency_ms", "duration_ms", "elapsed_ms", "response_time_ms", "processing_ms")
_UNITLESS = ("latency", "duration", "response_time")
_SECONDS = ("latency_s", "duration_s", "latency_seconds", "elapsed", "elapsed_s")
_FAILED = {"error", "failed", "failure", "timeout", "exception"}
_PLAIN_RECORD = frozenset(
    [
        "id",
        "timestamp",
        "model",
        "user",
        "session",
        "feature",
        "tags",
        "metadata",
        "request",
        "response",
        "latency_ms",
        "status_code",
    ]
)
_PLAIN_REQUEST = frozenset(["model", "messages", "temperature", "max_tokens", "top_p", "seed", "n", "stop", "stream"])
_PLAIN_CHOICE = frozenset(["index", "message", "finish_reason", "logprobs"])
_TEXT, _NUMBER = {str, type(None)}, {int, float, type(None)}
_PLAIN_ROLES = frozenset(["system", "user", "assistant", "tool", "developer"])
_PLAIN_RESPONSE = frozenset(["id", "object", "created", "model", "choices", "usage", "system_fingerprint"])


def matches(record: dict[str, Any]) -> bool:
    """True for a request next to a response, whether the bodies are objects or JSON text."""
    asked = record.get("request", record.get("body"))
    body = isinstance(asked, dict) or (isinstance(asked, str) and asked[:1] == "{")
    return body and ("response" in record or "response_stream" in record or "status_code" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The call in the record, with one more per sub-inference on another model."""
    call = _plain(record)
    return [call] if call is not None else _pair(record)


def _plain(record: dict[str, Any]) -> Call | None:
    """The flat chat shape in one pass, or None for anything beyond it; what it reads, `_pair` reads the same."""
    try:
        request, response = record["request"], record["response"]
        [choice] = response["choices"]
        answer, finish, request_id = choice["message"], choice["finish_reason"], response["id"]
        text, model = answer["content"], (request if "model" in request else record)["model"]
        time, turns = record["timestamp"], request["messages"]
        usage: dict[str, Any] = response["usage"]
        messages: list[Message] = []
        for item in turns:
            if item["role"] not in _PLAIN_ROLES or len(item) != 2 or type(item["content"]) is not str:
                return None
            messages.append(Message(item["role"], item["content"]))
        keys_known = record.keys() <= _PLAIN_RECORD and request.keys() <= _PLAIN_REQUEST
        if not (
            keys_known and response.keys() <= _PLAIN_RESPONSE and choice.keys() <= _PLAIN_CHOICE and len(answer) == 2
        ):
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    user, session, feature = record.get("user"), record.get("session"), record.get("feature")
    latency, temperature = record.get("latency_ms"), request.get("temperature")
    if record.get("status_code", 200) != 200 or response.get("object", "chat.completion") != "chat.completion":
        return None
    if not type(text) is type(finish) is type(request_id) is type(model) is str or type(cast(Any, usage)) is not dict:
        return None
    if not (text and finish and model and request_id[:4] not in ("", "msg_") and type(turns) is list):
        return None
    if (
        not {type(user), type(session), type(feature)} <= _TEXT
        or type(latency) not in _NUMBER
        or not 0 <= (latency or 0) < 1e12
    ):
        return None
    time = round(time * 1e6) if type(time) is float and 0 < time < 1e11 else time_us(time)
    if time is None and "created" in response:
        return None
    call = Call(
        request_id=request_id,
        session_id=session or None,
        user=user or None,
        feature=feature or None,
        time_us=time,
        duration_s=None if latency is None else latency / 1000,
        request_model=model,
        response_model=as_text(response["model"]) or "" if "model" in response else "",
        messages=messages,
        output_text=text,
        temperature=temperature if type(temperature) is float and 0 <= temperature < 1e9 else soft_float(temperature),
        params=params_of(request),
        finish_reason=finish,
        stream=request.get("stream") is True,
        http_status=200 if "status_code" in record else None,
    )
    if "tags" in record or "metadata" in record:
        read_labels(call, {"tags": record.get("tags")})
        read_labels(call, as_dict(record.get("metadata")))
    asked, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if (
        len(usage) == 3
        and type(asked) is int
        and type(answered) is int
        and usage.get("total_tokens") == asked + answered
    ):
        call.input_tokens, call.output_tokens = asked, answered
    else:
        set_usage(call, usage_of(response))
    return call


def _pair(record: dict[str, Any]) -> list[Call | NotACall]:
    asked: Any = record.get("request", record.get("body"))
    answer: Any = record["response_stream"] if record.get("response_stream") is not None else record.get("response")
    envelope, request = _unwrap(asked)
    reply, body = _unwrap(answer)
    answer = reply.get("body", answer)
    url = as_text(record.get("url") or record.get("path") or record.get("endpoint") or envelope.get("url")) or ""
    call = Call(request_model=as_text(record.get("model")) or "", provider=as_text(record.get("provider")) or "")
    if isinstance(answer, list) or (isinstance(answer, str) and is_stream(answer)):
        body, complete = assemble(cast(Any, answer))
        call.stream = bool(body) or isinstance(answer, str)
        call.possibly_billed = call.stream and not complete  # what came before the cut is billed
    method = as_text(record.get("method") or envelope.get("method")) or ""
    reason = _no_model_call(url, method.upper(), {**request, **({"model": 1} if call.request_model else {})}, body)
    if reason:
        return [NotACall(reason, *(as_text(record.get(key)) for key in ("span_id", "parent_id", "trace_id")))]
    call.text_cut = _is_cut(asked) or _is_cut(answer)
    _read_record(call, record, reply)
    _read_url(call, url, request, body)
    read_request(call, request)
    read_labels(call, as_dict(record.get("metadata")))
    read_response(call, body)
    if isinstance(answer, str) and not body and not call.stream and answer[:1] != "{":
        call.output_text = answer or None
    if call.finish_reason is None and (call.possibly_billed or (call.stream and "choices" in body)):
        call.finish_reason, call.possibly_billed = "aborted", True
    status, error = call.http_status, record.get("error") or body.get("error")
    if (status is not None and not 200 <= status < 300) or record.get("error") or not call.ok:
        read_error(call, error or (body if not call.output_tokens else None), status)
        # The provider may have finished what the client no longer waited for
        late = call.error_type == "timeout" or status in (408, 499, 504)
        call.possibly_billed = call.possibly_billed or late or bool(call.output_tokens)
    return cast(list[Call | NotACall], side_calls(call, body))


def _is_cut(text: Any) -> bool:
    return isinstance(text, str) and text[:1] == "{" and not as_dict(text)


def _unwrap(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(envelope, body): recorded HTTP keeps url, status and headers around the body, which may be JSON text."""
    outer = as_dict(value)
    if "body" in outer and not outer.keys() & {"model", "messages", "choices", "usage"}:
        return outer, as_dict(outer["body"])
    return {}, outer


def _no_model_call(url: str, method: str, request: dict[str, Any], body: dict[str, Any]) -> str | None:
    """Why the pair is no model call, or None. An Assistants run is one as soon as it carries its usage."""
    path, kind = url.partition("?")[0], str(body.get("object") or "")
    if "/threads" in path or "/assistants" in path or kind.startswith(("thread", "assistant")):
        if kind == "thread.run" and body.get("usage"):
            return None
        if kind.startswith("thread.run"):
            return "assistants_run"
        return "assistants_thread" if "thread" in path + kind else "assistants_setup"
    if _MANAGEMENT.search(path) or path.endswith(":countTokens"):
        return "api_management"
    if method in {"GET", "HEAD", "DELETE", "OPTIONS"}:
        return "http_" + method.lower()
    if request.keys() & _ASKS or body.keys() & _ANSWERS or _MODEL_IN_URL.search(url) or operation_of(path) != "chat":
        return None
    return "no_model_call"


def _read_record(call: Call, record: dict[str, Any], reply: dict[str, Any]) -> None:
    """What stands beside the bodies: time, duration, status, labels, cost."""
    read_labels(call, record)
    call.request_id = as_text(record.get("request_id")) or as_text(record.get("id"))
    call.time_us = next((t for key in _TIMES if key in record and (t := time_us(record[key])) is not None), None)
    call.duration_s = _seconds(record, _MS, _SECONDS, _UNITLESS)
    call.ttft_s = _seconds(record, ("ttft_ms", "time_to_first_token_ms"), ("ttft_s",), ("ttft", "time_to_first_token"))
    call.gateway_cache_hit = as_bool(record.get("cache_hit")) or as_bool(record.get("cached"))
    call.cost_usd_reported = soft_float(record.get("cost_usd", record.get("cost")))
    weight = soft_float(record.get("sample_weight"))
    call.sample_weight = weight if weight and weight > 0 else 1.0
    for value in [source[key] for source in (record, reply) for key in _STATUS if key in source]:
        number = soft_float(value)
        if number is not None and 100 <= number < 600:
            call.http_status = int(number)
            break
        if isinstance(value, str) and value.lower() in _FAILED:
            call.ok, call.error_type = False, value.lower()


def _seconds(record: dict[str, Any], ms: tuple[str, ...], s: tuple[str, ...], bare: tuple[str, ...]) -> float | None:
    for keys, scale in ((ms, 1e3), (s, 1.0), (bare, None)):
        for key in keys:
            number = soft_float(record[key]) if key in record else None
            if number is not None and number >= 0:
                return number / (scale or (1.0 if number < 100 else 1e3))
    return None


def _read_url(call: Call, url: str, request: dict[str, Any], body: dict[str, Any]) -> None:
    """Provider, operation and the model of a deployment or Bedrock path, from the url; from the body without one."""
    path = url.partition("?")[0]
    host, model = _HOST.search(path), _MODEL_IN_URL.search(url)
    call.provider = (_PROVIDERS.get(host[1], host[1]) if host else call.provider) or provider_of(body)
    if model:
        call.request_model = unquote(model[1] or model[2])
    call.operation = operation_of(path, call.request_model) if url else _OBJECTS.get(str(body.get("object")), "chat")
    if not url and "prompt" in request and "size" in request:
        call.operation = "image"
    call.stream = call.stream or "stream" in path.rpartition("/")[2].lower()


def operation_of(path: str, model: str = "") -> str:
    """The operation an API path names; Bedrock's invoke says it only in the model id."""
    name = path + (f" {model}" if path.endswith("/invoke") else "")
    return next((operation for mark, operation in _OPERATIONS if mark in name), "chat")


def provider_of(body: dict[str, Any]) -> str:
    """The provider that a response body shows by itself, else ""."""
    request_id = str(body.get("id") or "")
    if request_id.startswith(("msg_bdrk_", "msg_vrtx_")):
        return "aws" if request_id.startswith("msg_bdrk_") else "google"
    if request_id.startswith("msg_") or body.get("type") == "message":
        return "anthropic"
    if "prompt_filter_results" in body:
        return "azure"
    return "google" if "usageMetadata" in body else ""
