"""OTLP JSON traces (GenAI, OpenLLMetry, vLLM, OpenInference); knows not which parent repeats its children's usage."""

import re
from typing import Any, cast

from costplan.ingest.fields import as_bool, as_dict, as_float, as_int, as_list, as_text, from_json
from costplan.ingest.loose import (
    compact,
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
from costplan.trace import BadRecord, Call, Message, NotACall

NAME = "otlp"
RULE = "gen_ai input tokens include cache reads and writes, output tokens include reasoning: taken as they are"

# An attribute's current name first, older and vendors' names after it.
_TOKENS_IN = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_TOKENS_OUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cache_read_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_tokens",
    "llm.token_count.prompt_details.cache_write",
)
_REASONING = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning",
)
_TTFT = (
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.latency.time_to_first_token",
    "gen_ai.server.time_to_first_token",
)
_REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model_name", "llm.model_name")
_OPERATIONS = {
    "chat": "chat",
    "generate_content": "chat",
    "completion": "chat",
    "llm": "chat",
    "text_completion": "text_completion",
    "embeddings": "embeddings",
    "embedding": "embeddings",
    "rerank": "rerank",
    "reranker": "rerank",
}
# What a span says it is, in the order of trust.
_KINDS = ("openinference.span.kind", "gen_ai.operation.name", "traceloop.span.kind", "llm.request.type")
_SAMPLING_TH = re.compile(r"(?:^|,)ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|$)")


def matches(record: dict[str, Any]) -> bool:
    """A TracesData object: one line of the file exporter, or a whole request body."""
    return "resourceSpans" in record or "resource_spans" in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One Call or NotACall per span, in file order. One bad span among others is NotACall("otlp_bad_span…")."""
    rows: list[Call | NotACall] = []
    bad: list[BadRecord] = []
    for resource in _children(record, "resourceSpans", "resource_spans"):
        shared = _attributes(as_dict(resource.get("resource")).get("attributes"))
        for scope in _children(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for span in _children(scope, "spans"):
                try:
                    rows.append(_row(span, shared))
                except BadRecord as error:
                    bad.append(error)
                    rows.append(NotACall(reason("otlp_bad_span", error.reason), *_ids(span)))
    if bad and len(rows) == 1:
        raise bad[0]
    return rows or [NotACall("otlp_no_spans")]


def _children(parent: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    value = first(*(parent.get(name) for name in names))
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadRecord("otlp_not_a_list")
    return [as_dict(item) for item in cast(list[Any], value)]


def _ids(span: dict[str, Any]) -> tuple[str | None, ...]:
    names = (("spanId", "span_id"), ("parentSpanId", "parent_span_id"), ("traceId", "trace_id"))
    return tuple(as_text(first(*(span.get(name) for name in pair))) for pair in names)


def _attributes(value: Any) -> dict[str, Any]:
    """[{key, value: {stringValue: …}}] as a plain mapping."""
    pairs = [as_dict(item) for item in as_list(value)]
    return {key: _plain(pair.get("value")) for pair in pairs if isinstance(key := pair.get("key"), str)}


def _plain(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, dict) or depth > 64:
        return value if isinstance(value, str | int | float) else None
    for kind, item in cast(dict[str, Any], value).items():
        match kind.replace("_v", "V"):  # protobuf's own JSON may keep snake_case names
            case "stringValue" | "boolValue" | "doubleValue" | "bytesValue":
                return item
            case "intValue":
                return as_int(item)
            case "arrayValue":
                return [_plain(inner, depth + 1) for inner in as_list(as_dict(item).get("values"))]
            case "kvlistValue":
                pairs = [as_dict(pair) for pair in as_list(as_dict(item).get("values"))]
                return {str(pair.get("key")): _plain(pair.get("value"), depth + 1) for pair in pairs}
            case _:
                pass
    return None


def _operation(attributes: dict[str, Any]) -> str | NotACall:
    """The operation of a model call, or why the span is none; vLLM's spans name no operation, only usage."""
    for name in _KINDS:
        kind = as_text(attributes.get(name))
        if kind is not None:
            return _OPERATIONS.get(kind.lower()) or NotACall(reason("otlp", kind))
    known = any(name in attributes for name in (*_REQUEST_MODEL, *_TOKENS_IN, *_TOKENS_OUT, "gen_ai.response.model"))
    return "chat" if known else NotACall("otlp_not_a_model_call")


def _row(span: dict[str, Any], shared: dict[str, Any]) -> Call | NotACall:
    a = _attributes(span.get("attributes"))
    events = [(as_text(e.get("name")) or "", _attributes(e.get("attributes"))) for e in _events(span)]
    for name, fields in events:
        if name == "gen_ai.client.inference.operation.details":
            a = {**fields, **a}
    span_id, parent_id, trace_id = _ids(span)
    operation = _operation(a)
    if isinstance(operation, NotACall):
        return NotACall(operation.reason, span_id, parent_id, trace_id)
    start, end = (_nano_us(first(span.get(f"{x}TimeUnixNano"), span.get(f"{x}_time_unix_nano"))) for x in _ENDS)
    text, tool_calls = _reply(a, events)
    parameters = _parameters(a)
    read, written = _get(a, *_CACHE_READ), _get(a, *_CACHE_WRITE)
    call = Call(
        # a span is exported again after a collector's retry: its own id tells
        request_id=as_text(_get(a, "gen_ai.response.id", "gen_ai.request.id"))
        or (f"{trace_id}/{span_id}" if trace_id and span_id else None),
        span_id=span_id,
        parent_id=parent_id,
        trace_id=trace_id,
        session_id=as_text(_get(a, "gen_ai.conversation.id", "session.id")),
        user=as_text(_get(a, "user.id", "enduser.id")),
        tags=[*texts_of(shared.get("service.name")), *texts_of(a.get("tag.tags"))],
        feature=as_text(_get(a, "gen_ai.prompt.name", "gen_ai.agent.name", "llm.prompt_template.name")),
        environment=as_text(_get(shared, "deployment.environment.name", "deployment.environment")),
        time_us=start,
        duration_s=first(seconds_between(start, end), as_float(a.get("gen_ai.latency.e2e"))),
        ttft_s=as_float(_get(a, *_TTFT)),
        operation=operation,
        provider=as_text(_get(a, "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")) or "",
        request_model=as_text(_get(a, *_REQUEST_MODEL)) or "",
        response_model=as_text(_get(a, "gen_ai.response.model", "llm.response.model_name")) or "",
        service_tier=tier_of(next((v for k, v in a.items() if k.endswith("service_tier")), None)),
        stream=as_bool(_get(a, "gen_ai.request.stream", "gen_ai.request.is_stream", "llm.is_streaming")),
        messages=_prompt(a, events),
        tools=_tools(a),
        output_text=text,
        output_tool_calls=tool_calls,
        temperature=as_float(parameters.get("temperature")),
        params=params_of(parameters),
        text_cut=any(is_cut(a.get(name)) for name in _JSON_TEXTS),
        input_tokens=as_int(_get(a, *_TOKENS_IN)),
        output_tokens=as_int(_get(a, *_TOKENS_OUT)),
        cache_read_tokens=as_int(read) or 0,
        cache_write_tokens=as_int(written) or 0,
        reasoning_tokens=as_int(_get(a, *_REASONING)) or 0,
        cache_reported=read is not None or written is not None,
        finish_reason=_finish_reason(a),
        cost_usd_reported=as_float(_get(a, "gen_ai.usage.cost", "llm.cost.total")),
        sample_weight=_weight(as_text(first(span.get("traceState"), span.get("trace_state")))),
    )
    _outcome(call, span, a)
    return call


_ENDS = ("start", "end")
_JSON_TEXTS = ("gen_ai.input.messages", "gen_ai.prompt", "input.value", "gen_ai.output.messages")


def _get(attributes: dict[str, Any], *names: str) -> Any:
    return first(*(attributes.get(name) for name in names))


def _events(span: dict[str, Any]) -> list[dict[str, Any]]:
    return [as_dict(event) for event in as_list(span.get("events"))]


def _nano_us(value: Any) -> int | None:
    nanos = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    return nanos // 1000 if isinstance(nanos, int) and 0 < nanos < 1 << 64 else None


def _outcome(call: Call, span: dict[str, Any], a: dict[str, Any]) -> None:
    error = as_text(a.get("error.type"))
    call.ok = error is None and as_dict(span.get("status")).get("code") not in (2, "2", "STATUS_CODE_ERROR")
    if not call.ok:
        code = as_text(first(a.get("http.response.status_code"), error)) or ""
        call.http_status = int(code) if re.fullmatch(r"[45][0-9]{2}", code) else None
        call.error_type = error or "span_error"
        call.possibly_billed = bool(call.output_tokens)


def _weight(trace_state: str | None) -> float:
    """1 / sampling probability from OpenTelemetry's rejection threshold `ot=th:…` (56 bits, trailing zeros cut)."""
    found = _SAMPLING_TH.search(trace_state or "")
    return 1.0 if found is None else 16**14 / (16**14 - int(found[1].ljust(14, "0"), 16))


def _indexed(attributes: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """`prefix.0.role`, `prefix.0.content`, `prefix.1.role` … as a list of mappings, by number."""
    found: dict[int, dict[str, Any]] = {}
    for key, value in attributes.items():
        if key.startswith(prefix + "."):
            index, _, rest = key[len(prefix) + 1 :].partition(".")
            if index.isascii() and index.isdigit() and len(index) < 7 and rest:
                found.setdefault(int(index), {})[rest] = value
    return [found[index] for index in sorted(found)]


def _flat_messages(attributes: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """OpenLLMetry's `gen_ai.prompt.N.…` and OpenInference's `llm.input_messages.N.message.…` as chat messages."""
    messages: list[dict[str, Any]] = []
    for item in _indexed(attributes, prefix):
        fields = {key.removeprefix("message."): value for key, value in item.items()}
        parts = [part.get("message_content.text") for part in _indexed(fields, "contents")]
        content = first(fields.get("content"), "\n".join(p for p in parts if isinstance(p, str)))
        tool_calls = [
            {"name": _get(c, "tool_call.function.name", "name"), "arguments": _get(c, *_ARGUMENTS)}
            for c in _indexed(fields, "tool_calls")
        ]
        decoded = _parts({"parts": as_list(content)}) if isinstance(content, str) and content[:1] == "[" else None
        content = decoded["content"] if decoded and decoded["content"] else content
        messages.append({"role": fields.get("role"), "content": content, "tool_calls": tool_calls or None})
    return messages


_ARGUMENTS = ("tool_call.function.arguments", "arguments")


def _parts(message: dict[str, Any]) -> dict[str, Any]:
    """A GenAI message {role, parts: [{type, content}]} as {role, content, tool_calls}."""
    if "parts" not in message:
        return message
    content: list[Any] = []
    tool_calls: list[Any] = []
    for part in as_list(message["parts"]):
        fields = as_dict(part)
        if fields.get("type") == "tool_call":
            tool_calls.append(part)
        elif fields.get("type") == "text" or isinstance(part, str):
            content.append({"type": "text", "text": text_of(first(fields.get("content"), fields.get("text"), part))})
        elif fields.get("type") == "tool_call_response":
            answer = first(fields.get("response"), fields.get("result"))
            content.append({"type": "text", "text": answer if isinstance(answer, str) else compact(answer)})
        else:
            content.append(part)
    alone = as_dict(content[0]).get("text") if len(content) == 1 else None
    return {**message, "content": first(alone, content or None), "tool_calls": tool_calls or None}


def _structured(value: Any) -> list[Any]:
    return [_parts(cast(dict[str, Any], m)) if isinstance(m, dict) else m for m in as_list(value)]


def _prompt(a: dict[str, Any], events: list[tuple[str, dict[str, Any]]]) -> list[Message]:
    """Messages from wherever the instrumentation put them; the first place that has any wins."""
    instructions = a.get("gen_ai.system_instructions")
    system = _parts({"role": "system", "parts": as_list(instructions)})["content"] if as_list(instructions) else None
    system = first(system, as_text(instructions))
    found = messages_of(_structured(a.get("gen_ai.input.messages")))
    found = found or messages_of(_flat_messages(a, "gen_ai.prompt")) or messages_of(a.get("gen_ai.prompt"))
    found = found or messages_of(_flat_messages(a, "llm.input_messages"))
    for name, fields in events:
        role = re.fullmatch(r"gen_ai\.(system|user|assistant|tool)\.message", name)
        if role:
            found.append(Message(role[1], fields.get("content"), fields.get("tool_calls")))
        elif name == "gen_ai.content.prompt":
            found += messages_of(fields.get("gen_ai.prompt"))
    found = found or messages_of(first(a.get("gen_ai.input.messages"), a.get("input.value")))
    return ([Message("system", system)] if system else []) + found


def _reply(a: dict[str, Any], events: list[tuple[str, dict[str, Any]]]) -> tuple[str | None, Any]:
    choices = [f for name, f in events if name in {"gen_ai.choice", "gen_ai.content.completion"}]
    sources = (
        _structured(a.get("gen_ai.output.messages")),
        _flat_messages(a, "gen_ai.completion"),
        a.get("gen_ai.completion"),
        _flat_messages(a, "llm.output_messages"),
        [as_dict(f["message"]) or f["message"] for f in choices if f.get("message")],
        first(*(f.get("gen_ai.completion") for f in choices)),
        a.get("output.value"),
    )
    return next((reply for source in sources if (reply := reply_of(source)) != (None, None)), (None, None))


def _tools(a: dict[str, Any]) -> Any:
    functions = _indexed(a, "llm.request.functions") or [t.get("tool.json_schema") for t in _indexed(a, "llm.tools")]
    return first(a.get("gen_ai.tool.definitions"), functions or None)


def _finish_reason(a: dict[str, Any]) -> str | None:
    reasons = as_list(a.get("gen_ai.response.finish_reasons"))
    output = as_dict(next(iter(as_list(a.get("gen_ai.output.messages"))), None))
    flat = _get(a, "gen_ai.completion.0.finish_reason", "llm.finish_reason")
    return as_text(first(*reasons[:1], output.get("finish_reason"), flat))


def _parameters(a: dict[str, Any]) -> dict[str, Any]:
    """`gen_ai.request.top_p` and OpenInference's `llm.invocation_parameters` as one mapping of sampling parameters."""
    invocation = a.get("llm.invocation_parameters")
    loose = as_dict(from_json(invocation) if isinstance(invocation, str) else invocation)
    prefix = "gen_ai.request."
    named = {k.removeprefix(prefix): v for k, v in a.items() if k.startswith(prefix)}
    return {**loose, **named, "n": _get(named, "choice.count", "n")}
