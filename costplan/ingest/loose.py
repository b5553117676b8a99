"""Chat messages, replies, parameters and tiers in the loose shapes exports write; knows no dialect and no usage."""

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from costplan.ingest.fields import as_dict, as_float, as_list, as_text, from_json
from costplan.trace import BadRecord, Message

_NO_TEXT = {"", "{}", "[]", "null", "None", '""'}
_JSON_START = re.compile(r'\s*(\[\s*["\[{\]]|\{\s*["}])')
_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_SAMPLING = re.compile(
    "temperature|top_p|top_k|min_p|n|seed|stop|stop_sequences|max_tokens|max_completion_tokens|max_output_tokens|"
    "presence_penalty|frequency_penalty|repetition_penalty|logit_bias|response_format|reasoning|reasoning_effort|"
    "thinking|tool_choice|verbosity"
)
_HTTP_STATUS = re.compile(r"(?:status|code)\D{0,8}([45]\d\d)\b", re.IGNORECASE)
_STANDARD_TIERS = {"", "default", "standard", "auto", "none", "null"}


def compact(value: Any) -> str:
    """Canonical JSON text: sorted keys, no spaces, dates as text. Raises BadRecord on what JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        raise BadRecord("unwritable_json") from None


def is_cut(value: Any) -> bool:
    """True for a string that starts like JSON and is none: an export's size limit cut it. "[INST] hi" is no JSON."""
    return isinstance(value, str) and _JSON_START.match(value) is not None and from_json(value.strip()) is None


def messages_of(value: Any) -> list[Message]:
    """Messages in a list, one message, a request body, a plain prompt, or any of these as JSON text."""
    if isinstance(value, str):
        if value.strip() in _NO_TEXT:
            return []
        decoded = from_json(value.strip()) if _JSON_START.match(value) else None
        return messages_of(decoded) if isinstance(decoded, dict | list) else [Message("user", value)]
    if isinstance(value, list):
        # LangChain writes one list per prompt of a batch: flattened one level, in order.
        items = cast(list[Any], value)
        flat = [inner for item in items for inner in (cast(list[Any], item) if isinstance(item, list) else [item])]
        return [message for item in flat if (message := _message(item)) is not None]
    if not isinstance(value, dict) or not value:
        return []
    body = cast(dict[str, Any], value)
    if "messages" in body:
        system = body.get("system")
        return ([Message("system", system)] if system else []) + messages_of(body["messages"])
    message = _message(body)
    return [message] if message else []


def _message(item: Any) -> Message | None:
    if isinstance(item, str):
        return Message("user", item) if item else None
    if not isinstance(item, dict):
        return None
    fields = cast(dict[str, Any], item)
    if "content" not in fields and "tool_calls" not in fields:
        return Message("user", compact(fields))
    role = as_text(fields.get("role")) or as_text(fields.get("type")) or "user"
    return Message(_ROLES.get(role, role), fields.get("content"), fields.get("tool_calls") or None)


def text_of(content: Any) -> str | None:
    """Readable text of a message content: text parts joined by newlines, other parts as compact JSON."""
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        return compact(content)
    return "\n".join(_part_text(part) for part in cast(list[Any], content))


def _part_text(part: Any) -> str:
    if isinstance(part, dict):
        fields = cast(dict[str, Any], part)
        if (as_text(fields.get("type")) or "text") in {"text", "input_text", "output_text"}:
            for key in ("text", "content"):
                if isinstance(fields.get(key), str):
                    return fields[key]
    return part if isinstance(part, str) else compact(part)


def reply_of(value: Any) -> tuple[str | None, Any]:
    """Answer text and tool calls in a response body, an assistant message, plain text, or these as JSON text."""
    if isinstance(value, str):
        if value.strip() in _NO_TEXT:
            return None, None
        decoded = from_json(value.strip()) if _JSON_START.match(value) else None
        if not isinstance(decoded, dict | list):
            return value, None
        text, tool_calls = reply_of(decoded)
        return (value if text == compact(decoded) else text), tool_calls
    if isinstance(value, dict):
        body = cast(dict[str, Any], value)
        if isinstance(body.get("choices"), list):
            return _joined([choice.get("message") or choice for choice in map(as_dict, body["choices"])])
        if isinstance(body.get("output"), list):
            return _joined(body["output"])
        return _joined([body]) if body else (None, None)
    return _joined(cast(list[Any], value)) if isinstance(value, list) else (None, None)


def _joined(items: list[Any]) -> tuple[str | None, Any]:
    texts: list[str] = []
    tool_calls: list[Any] = []
    for item in items:
        fields = as_dict(item)
        tool_calls += as_list(fields.get("tool_calls"))
        if as_text(fields.get("type")) in {"tool_use", "function_call", "tool_call"}:
            tool_calls.append(item)
        elif isinstance(fields.get("content"), list):
            inner, inner_calls = _joined(fields["content"])
            texts += [inner] if inner else []
            tool_calls += inner_calls or []
        elif "content" in fields or "tool_calls" in fields:
            texts += [text] if (text := text_of(fields.get("content"))) else []
        elif item:
            texts.append(_part_text(item))
    return "\n".join(texts) or None, tool_calls or None


def params_of(parameters: Mapping[str, Any]) -> str:
    """Canonical text of the parameters that change an answer; "" where there are none."""
    chosen = {k: v for k, v in parameters.items() if _SAMPLING.fullmatch(k) and v is not None and v != ""}
    return compact(chosen) if chosen else ""


def tier_of(value: Any) -> str:
    """ "" for every spelling of the standard tier, else the tier's name in lower case."""
    tier = (as_text(value) or "").strip().lower()
    return "" if tier in _STANDARD_TIERS else tier


def texts_of(value: Any) -> list[str]:
    """The strings of a list (or of its JSON text), or one plain string as a list of one: tags."""
    if isinstance(value, str) and value.strip()[:1] != "[":
        return [] if value.strip() in _NO_TEXT else [value]
    return [text for item in as_list(value) if (text := as_text(item))]


def reason(prefix: str, value: Any) -> str:
    """A name for the books made from hostile text: snake_case, short."""
    name = re.sub(r"[^a-z0-9]+", "_", (as_text(value) or "").lower()[:60]).strip("_")[:40]
    return f"{prefix}_{name or 'untyped'}"


def http_status_in(message: Any) -> int | None:
    """The status that an error text names ("Error code: 429 - …"), None where it names none."""
    found = _HTTP_STATUS.search((as_text(message) or "")[:2000])
    return int(found[1]) if found else None


def seconds_between(start_us: int | None, end_us: int | None) -> float | None:
    """Elapsed seconds, None where either end is unknown or the clock ran backwards."""
    return None if start_us is None or end_us is None or end_us < start_us else (end_us - start_us) / 1e6


def offset_us(value: Any, scale: float) -> int | None:
    """A trace-relative time times `scale` as microseconds; None where it is missing or beyond 30,000 years."""
    number = as_float(value)
    return None if number is None or abs(number * scale) > 1e18 else round(number * scale)


def first(*values: Any) -> Any:
    """The first value that is neither None nor an empty string."""
    return next((value for value in values if value is not None and value != ""), None)
