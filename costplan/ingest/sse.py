"""Streamed bodies (server-sent events) joined into the body of the same call unstreamed; knows no record or price.

Usage is the last one seen. Anthropic sends it in two events whose counts are cumulative: the larger one of each wins.
"""

from typing import Any, cast

from costplan.ingest.fields import as_dict, as_list, dig, from_json

Event = dict[str, Any]
_RUN_ENDS = {"completed", "failed", "cancelled", "expired", "incomplete", "requires_action"}
_RESPONSE_ENDS = {"response.completed", "response.incomplete", "response.failed"}


def is_stream(text: str) -> bool:
    """True for text that starts like server-sent events."""
    return text.lstrip()[:8].startswith(("data:", "event:", "id:", ":", "retry:"))


def events(text: str) -> list[Event]:
    """The JSON objects in the `data:` fields, in order; `[DONE]` is {"done": True}, anything cut off is left out."""
    found: list[Event] = []
    pending = ""
    # Not splitlines(): U+2028 may stand unescaped inside JSON
    for line in [*text.replace("\r\n", "\n").split("\n"), ""]:
        data = line[5:].strip() if line.startswith("data:") else ""
        # An object ends at the blank line, or at the next object where a log drops the blank lines
        if pending and (not line.strip() or data[:1] == "{"):
            decoded = from_json(pending)
            if isinstance(decoded, dict):
                found.append(cast(Event, decoded))
                pending = ""
            elif not data:
                pending = ""
        if data == "[DONE]":
            found.append({"done": True})
        else:
            pending += data
    return found


def assemble(stream: str | list[Any]) -> tuple[Event, bool]:
    """(body, complete) of a stream given as text or as decoded events; complete is False without its last event."""
    chunks = events(stream) if isinstance(stream, str) else [cast(Event, item) for item in stream if type(item) is dict]
    body, complete = _assemble(chunks, any(chunk.get("done") is True for chunk in chunks))
    for chunk in chunks:
        if chunk.get("error"):
            return {**body, "error": chunk["error"]}, False
    return body, complete


def _assemble(chunks: list[Event], done: bool) -> tuple[Event, bool]:
    for chunk in chunks:
        kind = str(chunk.get("type") or "")
        if kind.startswith("response."):
            return _responses(chunks)
        if kind in {"message_start", "content_block_start", "completion"}:
            return _anthropic(chunks)
        if str(chunk.get("object") or "").startswith("thread."):
            return _run(chunks, done)
        if "candidates" in chunk or "usageMetadata" in chunk:
            return _gemini(chunks)
        if "choices" in chunk:
            return _choices(chunks, done)
    return {}, False


def _choices(chunks: list[Event], done: bool) -> tuple[Event, bool]:
    """Chat completion and completion chunks; usage may stand on a last chunk without choices, or under `x_groq`."""
    body: Event = {}
    choices: dict[int, Event] = {}
    for chunk in chunks:
        for key in ("id", "created", "model", "system_fingerprint", "service_tier", "provider"):
            if chunk.get(key):
                body.setdefault(key, chunk[key])
        usage = chunk.get("usage") or dig(chunk, "x_groq", "usage")
        for part in map(as_dict, as_list(chunk.get("choices"))):
            index = part.get("index")
            choice = choices.setdefault(index if type(index) is int else 0, {"text": "", "message": {}})
            usage = usage or part.get("usage")
            choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")
            choice["text"] += _text(part.get("text"))
            _merge(choice["message"], as_dict(part.get("delta")))
        if usage:
            body["usage"] = usage
    chat = any(choice["message"] for choice in choices.values())
    body["object"] = "chat.completion" if chat else "text_completion"
    body["choices"] = [{"index": index, **choices[index]} for index in sorted(choices)]
    for choice in body["choices"]:
        del choice["text" if chat else "message"]
    return body, done or (bool(choices) and all(choice["finish_reason"] for choice in choices.values()))


def _merge(message: Event, delta: Event, depth: int = 0) -> None:
    """Add a chunk's delta to the message: strings append, tool calls by index, the rest is set once."""
    for key, value in delta.items():
        if key == "tool_calls" and depth < 8:
            calls: list[Event] = message.setdefault(key, [])
            for part in map(as_dict, as_list(value)):
                index = part.get("index")
                at = index if type(index) is int and 0 <= index < len(calls) else len(calls)
                if at == len(calls):
                    calls.append({})
                _merge(calls[at], {name: item for name, item in part.items() if name != "index"}, depth + 1)
        elif isinstance(value, dict) and depth < 8:
            nested: Any = message.setdefault(key, {})
            if isinstance(nested, dict):
                _merge(cast(Event, nested), cast(Event, value), depth + 1)
        elif isinstance(value, str) and isinstance(message.get(key), str) and key not in {"role", "id", "type"}:
            message[key] += value
        elif value is not None:
            message.setdefault(key, value)


def _responses(chunks: list[Event]) -> tuple[Event, bool]:
    """Responses events carry the whole object; an aborted one keeps the pieces of its output that arrived."""
    body: Event = {}
    items: list[Any] = []
    text = ""
    complete = False
    for chunk in chunks:
        kind = chunk.get("type")
        body = as_dict(chunk.get("response")) or body
        complete = complete or kind in _RESPONSE_ENDS
        if kind == "response.output_item.done":
            items.append(chunk.get("item"))
            text = ""
        elif kind == "response.output_text.delta":
            text += _text(chunk.get("delta"))
    if not complete:
        partial = [{"type": "message", "content": [{"type": "output_text", "text": text}]}] if text else []
        body = {**body, "output": [*items, *partial]}
    return body, complete


def _anthropic(chunks: list[Event]) -> tuple[Event, bool]:
    """Messages events and the legacy completion ones. Without an end the output count is a start value: left out."""
    body: Event = {}
    usage: Event = {}
    blocks: dict[int, Event] = {}
    for chunk in chunks:
        kind, index = chunk.get("type"), chunk.get("index")
        index = index if type(index) is int else 0
        delta = as_dict(chunk.get("delta"))
        if kind == "message_start":
            body = {**as_dict(chunk.get("message"))}
            _larger(usage, as_dict(body.get("usage")))
        elif kind == "content_block_start":
            blocks[index] = {**as_dict(chunk.get("content_block"))}
        elif kind == "content_block_delta":
            block = blocks.setdefault(index, {"type": "text"})
            for source, target in (("text", "text"), ("thinking", "thinking"), ("partial_json", "input_json")):
                if source in delta:
                    block[target] = _text(block.get(target)) + _text(delta[source])
        elif kind == "message_delta":
            body.update({key: value for key, value in delta.items() if value is not None})
            _larger(usage, as_dict(chunk.get("usage")))
        elif kind == "completion":
            body = {**chunk, "completion": _text(body.get("completion")) + _text(chunk.get("completion"))}
    complete = any(chunk.get("type") == "message_stop" for chunk in chunks) or bool(body.get("stop_reason"))
    if not complete:
        usage.pop("output_tokens", None)
    for block in blocks.values():
        if "input_json" in block:
            block["input"] = from_json(block["input_json"]) or block["input_json"]
            del block["input_json"]
    if body.get("type") != "completion":
        body = {"type": "message", **body, "content": [blocks[index] for index in sorted(blocks)]}
    return {**body, "usage": usage} if usage else body, complete


def _larger(usage: Event, update: Event) -> None:
    for key, value in update.items():
        old = usage.get(key)
        if value is not None and not (type(old) is int and type(value) is int and old > value):
            usage[key] = value


def _run(chunks: list[Event], done: bool) -> tuple[Event, bool]:
    """Assistants runs: the last `thread.run` object, with the messages it wrote under `output` as in Responses."""
    body: Event = {}
    texts: list[Any] = []
    for chunk in chunks:
        if chunk.get("object") == "thread.run":
            body = chunk
        elif chunk.get("object") == "thread.message.delta":
            parts = [as_dict(part) for part in as_list(dig(chunk, "delta", "content"))]
            texts += [_text(dig(part, "text", "value")) for part in parts]
    output = [{"type": "message", "content": [{"type": "output_text", "text": "".join(texts)}]}]
    return {**body, "output": output}, done or body.get("status") in _RUN_ENDS


def _gemini(chunks: list[Event]) -> tuple[Event, bool]:
    """generateContent chunks repeat a growing usageMetadata; the last one holds."""
    body: Event = {}
    parts: list[Any] = []
    finish: Any = None
    for chunk in chunks:
        body.update({key: value for key, value in chunk.items() if key != "candidates"})
        candidates = as_list(chunk.get("candidates"))
        if candidates:
            parts += as_list(dig(candidates[0], "content", "parts"))
            finish = as_dict(candidates[0]).get("finishReason") or finish
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": finish}
    return {**body, "candidates": [candidate]}, bool(finish)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
