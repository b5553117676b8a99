"""Request bodies of every provider (messages, tools, sampling, labels) read into a Call; knows no response or price."""

import json
from typing import Any, cast

from costplan.ingest.fields import as_dict, as_float, as_list, as_text, dig
from costplan.trace import BadRecord, Call, Message

_ROLES = {"model": "assistant", "chatbot": "assistant", "human": "user", "ai": "assistant"}
_STANDARD = {"", "default", "standard", "auto", "standard_only", "on_demand", "none"}
# What changes an answer, in every provider's spelling; `stream`, `user`, `store`, `metadata` and the like do not.
_PARAMS = frozenset(
    ["temperature", "top_p", "top_k", "min_p", "p", "k", "topP", "topK", "seed", "n", "best_of", "stop"]
    + ["stop_sequences", "max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample"]
    + ["max_gen_len", "maxTokens", "response_format", "text", "output_format", "output_config", "tool_choice"]
    + ["parallel_tool_calls", "reasoning", "reasoning_effort", "thinking", "verbosity", "presence_penalty"]
    + ["frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "top_logprobs", "function_call"]
    + ["suffix", "echo", "modalities", "dimensions", "size", "quality", "style", "voice", "inferenceConfig"]
    + ["textGenerationConfig", "generationConfig", "generation_config", "additionalModelRequestFields"]
    + ["guardrailConfig", "previous_response_id", "context_management"]
)
# (key in the log, field of the call), the more telling key first
_LABELS = tuple(
    (key, field)
    for field, keys in (
        ("user", ("user", "user_id", "end_user", "safety_identifier")),
        ("session_id", ("session_id", "session", "conversation_id", "conversation", "thread_id", "chat_id")),
        ("feature", ("feature", "prompt_name", "route", "app")),
        ("environment", ("environment", "env")),
        ("trace_id", ("trace_id", "traceId")),
        ("span_id", ("span_id", "spanId")),
        ("parent_id", ("parent_id", "parent_span_id", "parentSpanId")),
    )
    for key in keys
)
_texts: dict[tuple[tuple[str, Any], ...], str] = {}


def read_request(call: Call, body: dict[str, Any]) -> None:
    """Fill the call with what its request body says."""
    call.request_model = as_text(body.get("model")) or as_text(body.get("modelId")) or call.request_model
    call.messages = messages_of(body)
    call.tools = body.get("tools") or body.get("functions") or dig(body, "toolConfig", "tools")
    call.params = params_of(body)
    call.stream = call.stream or body.get("stream") is True
    config = next((c for key in _CONFIGS if (c := as_dict(body.get(key)))), body)
    call.temperature = soft_float(config.get("temperature"))
    call.service_tier = tier_of(body) or call.service_tier
    read_labels(call, body)
    read_labels(call, as_dict(body.get("metadata")))
    if call.feature is None:
        call.feature = as_text(dig(body, "prompt", "id"))  # a stored prompt template (Responses)


_CONFIGS = ("inferenceConfig", "textGenerationConfig", "generationConfig", "generation_config")


def read_labels(call: Call, source: dict[str, Any]) -> None:
    """Take user, session, trace, feature, environment and tags where the call has none yet."""
    for key, field in [label for label in _LABELS if label[0] in source]:
        if getattr(call, field) is None:
            value: Any = source[key]
            setattr(call, field, as_text(cast(dict[str, Any], value).get("id") if isinstance(value, dict) else value))
    tags = source.get("tags")
    if tags and not call.tags:
        call.tags = [text for tag in (as_list(tags) or [tags]) if (text := as_text(tag))]


def messages_of(body: dict[str, Any]) -> list[Message]:
    """The prompt in order, system first; token-id prompts hold no text and give no message."""
    found: list[Message] = []
    for key in ("system", "systemInstruction", "system_instruction", "instructions", "preamble"):
        value: Any = body.get(key)
        if value:
            found.append(Message("system", _content(dig(value, "parts") or value)))
    for key in ("chat_history", "messages", "contents", "input", "prompt", "inputText", "query", "documents"):
        value = body.get(key)
        if isinstance(value, str) and value:
            found.append(Message("user", value))
        elif isinstance(value, list):
            found += [message for item in cast(list[Any], value) if (message := _message(item))]
        elif isinstance(value, dict) and key not in {"prompt", "documents"}:
            message = _message(value)
            found += [message] if message else []
    message = body.get("message")
    if isinstance(message, str):  # Cohere v1: the last turn stands alone
        found.append(Message("user", message))
    return found


def _message(item: Any) -> Message | None:
    if isinstance(item, str):
        return Message("user", item)
    if not isinstance(item, dict):
        return None
    item = cast(dict[str, Any], item)
    kind = item.get("type")
    if kind == "function_call_output":
        return Message("tool", _content(item.get("output")))
    if isinstance(kind, str) and kind.endswith("_call"):
        return Message("assistant", None, [item])
    content = next((item[key] for key in ("content", "parts", "message", "text") if item.get(key) is not None), None)
    role = as_text(item.get("role") or item.get("from")) or "user"
    role = _ROLES.get(role.lower(), role.lower())
    return Message(role, _content(content), item.get("tool_calls") or item.get("function_call"))


def _content(value: Any) -> Any:
    """A string, a list of parts or None; a lone part becomes a list, a number its text."""
    if value is None or isinstance(value, str | list):
        return cast(Any, value)
    return [value] if isinstance(value, dict) else str(value)


def params_of(body: dict[str, Any]) -> str:
    """Canonical JSON of the parameters that change an answer; equal numbers (1, 1.0, true) give equal text."""
    picked = tuple([(key, value) for key, value in body.items() if key in _PARAMS and value is not None])
    if not picked:
        return ""
    try:
        text = _texts.get(picked)
    except TypeError:  # a list or an object among the values
        return _canonical(picked)
    if text is None:
        if len(_texts) > 4096:
            _texts.clear()
        text = _texts[picked] = _canonical(picked)
    return text


def _canonical(picked: tuple[tuple[str, Any], ...]) -> str:
    # 1, 1.0 and True are one dict key, so they must be one text: else the text depends on which came first
    plain = {
        key: int(value) if isinstance(value, bool | float) and float(value).is_integer() else value
        for key, value in picked
    }
    try:
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        raise BadRecord("bad_params") from None


def soft_float(value: Any) -> float | None:
    """A finite number, or None where the field is unusable: no reason to lose the row."""
    try:
        return as_float(value)
    except BadRecord:
        return None


def tier_of(*sources: dict[str, Any]) -> str:
    """ "fast", "batch", "priority", "flex" as the source says; every spelling of standard is ""."""
    for source in sources:
        if source.get("speed") == "fast":
            return "fast"
        tier = (as_text(source.get("service_tier") or source.get("serviceTier")) or "").lower()
        if tier not in _STANDARD:
            return tier
    return ""
