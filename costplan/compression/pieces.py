"""The texts of a request in the order of the prompt, and what may be done with each; tokens are not counted here."""

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from costplan.trace import Message

DEFAULT_ROLES = frozenset({"user", "tool"})
"""Whose texts are rewritten: never system prompts, tool schemas, or what the model wrote itself."""
_RESULT_KEYS = ("tool_result", "toolResult", "functionResponse", "function_response")
_RESULT_ROLES = ("tool", "function")
_HOLDERS = (str, list)
_MEDIA = ("image", "audio", "file", "video", "document", "inlineData", "inline_data")


@dataclass(frozen=True, slots=True)
class Piece:
    """One text of a message."""

    text: str
    role: str
    """`tool` for what a tool returned, whoever sends it."""
    message: int
    fixed: bool = False
    """JSON that the provider defines (tool calls, unknown parts), which counts and nobody may rewrite; or media."""


def pieces_of(messages: list[Message]) -> list[Piece]:
    """Strings and text parts of all messages; of pictures and sound there is a piece without text."""
    found: list[Piece] = []
    for number, message in enumerate(messages):
        role = "tool" if message.role in _RESULT_ROLES else "system" if message.role == "developer" else message.role
        content = message.content
        if type(content) is str:
            found.append(Piece(content, role, number))
        elif content is not None:
            _collect(content, role, number, found)
        if message.tool_calls:
            found.append(Piece(_json(message.tool_calls), role, number, True))
    return found


def _collect(content: Any, role: str, number: int, found: list[Piece], depth: int = 8) -> None:
    if isinstance(content, str):
        found.append(Piece(content, role, number))
    elif isinstance(content, list) and depth:
        for part in cast(list[Any], content):
            _collect(part, role, number, found, depth - 1)
    elif isinstance(content, dict) and depth:
        part = cast(dict[str, Any], content)
        kind = str(part.get("type"))
        result = kind if kind in _RESULT_KEYS else next((key for key in _RESULT_KEYS if key in part), "")
        inner = cast(dict[str, Any], part[result] if isinstance(part.get(result), dict) else part)
        held = next((inner[key] for key in ("text", "content") if isinstance(inner.get(key), _HOLDERS)), None)
        if held is not None:
            _collect(held, "tool" if result else role, number, found, depth - 1)
        else:
            is_media = kind in _MEDIA or any(key in part for key in _MEDIA) or "_url" in kind
            found.append(Piece("" if is_media else _json(part), "tool" if result else role, number, True))
    else:
        found.append(Piece(_json(content), role, number, True))


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, UnicodeError, RecursionError):
        return repr(value)
