"""Tool calls and tool lists as 64-bit keys: equal keys are the same tool with the same arguments, or the same tools."""

from typing import Any, cast

import msgspec

from costplan.ingest.fields import as_dict
from costplan.ingest.prompt import json_text, text_key

_ARGUMENTS = ("arguments", "input", "args", "parameters")


def action_keys(tool_calls: Any) -> list[int]:
    """One key per call of a reply; the order and spacing of its arguments do not count. Calls without a name have none.

    OpenAI (`function.name`, `arguments` as JSON text), Responses API, Anthropic (`input`) and Gemini (`functionCall`).
    """
    keys: list[int] = []
    for item in cast(list[Any], tool_calls) if isinstance(tool_calls, list) else [tool_calls]:
        outer = as_dict(item)
        call = as_dict(outer.get("function")) or as_dict(outer.get("functionCall")) or outer
        name = call.get("name")
        if isinstance(name, str) and name:
            arguments = next((call[key] for key in _ARGUMENTS if key in call), None)
            keys.append(text_key(f"{name}\x1f{json_text(_decoded(arguments))}"))
    return keys


def _decoded(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return arguments


def tool_set_key(tools: Any) -> int:
    """Key of tool definitions in whatever order they stand; 0 where they are no list of several."""
    tools = _decoded(tools)
    if not isinstance(tools, list) or len(cast(list[Any], tools)) < 2:
        return 0
    return text_key("\x1f".join(sorted(json_text(tool) for tool in cast(list[Any], tools))))
