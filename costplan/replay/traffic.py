"""A log of any dialect -> the requests to replay: numeric columns, and their texts in a file; sends nothing.

The log is read twice: once for its columns, once (where text is wanted) for its messages, which pass through one
record at a time into a temporary file.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.capacity.trace import Trace, trace_of
from costplan.engine import executor, usable_cores
from costplan.errors import CostplanError
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, read_log
from costplan.ingest.normalize import settled_calls
from costplan.ingest.prompt import flat_text
from costplan.settings import AnalyzeSettings
from costplan.trace import Call, Message
from costplan.units import MICROS_PER_SECOND

PROMPT_BLOCK = 16
"""Tokens of a block of a made-up prompt: the engines' blocks are multiples of it, so the same prompts suit them all."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """The requests of a log that an engine can serve, in order of arrival."""

    log: Log
    trace: Trace
    timed: bool
    """Rows without a time have been left out."""
    row: NDArray[np.int64]
    """Number among the settled rows of the log: it names a request whatever window of the trace is replayed."""
    session: NDArray[np.uint64]
    """0 = none."""
    duration_s: NDArray[np.float64]
    """NaN where the log does not say how long the answer took."""
    texts: Path | None = None
    """JSON objects `{messages, tools?, temperature}`, one after the other."""
    text_start: NDArray[np.int64]
    """Where the text of a request is in that file; -1 = the log holds none. Likewise `text_end`."""
    text_end: NDArray[np.int64]


def read_traffic(
    paths: list[str], work: Path, *, text: bool, timed: bool = True, report: Progress | None = None
) -> Traffic:
    """`timed`: rows without a time are left out. Raises CostplanError for files that are no log and for logs without a
    request to replay.
    """
    with executor(usable_cores()) as pool:
        log = read_log(paths, AnalyzeSettings(), FeatureSettings(), work, pool, report or _silent)
    try:
        trace, rows = trace_of(log, PROMPT_BLOCK, timed=timed)
    except CostplanError as error:
        hint = "a replay needs when each call came and how long it was"
        hint += "; with --concurrency 8 or --rate 5 only how long" if timed else "; costplan analyze reads such a log"
        raise CostplanError(error.message, hint=hint) from None
    number = rows["row"]
    duration = rows["duration_us"]
    start, end = np.full(len(number), -1, np.int64), np.full(len(number), -1, np.int64)
    texts = work / "texts" if text else None
    if texts is not None:
        places = _spill(log, frozenset(number.tolist()), texts)
        for index, row in enumerate(number.tolist()):
            start[index], end[index] = places.get(row, (-1, -1))
    return Traffic(
        log=log, trace=trace, timed=timed, row=number, session=rows["session"],
        duration_s=np.where(duration >= 0, duration / MICROS_PER_SECOND, np.nan), texts=texts, text_start=start,
        text_end=end,
    )  # fmt: skip


def _spill(log: Log, wanted: frozenset[int], path: Path) -> dict[int, tuple[int, int]]:
    """Write the texts of the wanted rows; (start, end) by row, for rows whose prompt is whole."""
    places: dict[int, tuple[int, int]] = {}
    position = 0
    with path.open("wb") as file:
        for row, (call, _, _, _) in enumerate(settled_calls(log, None)):
            if row in wanted and call.messages:
                data = encoded(request_of(call))
                file.write(data)
                places[row] = (position, position + len(data))
                position += len(data)
    return places


def request_of(call: Call) -> dict[str, Any]:
    """What a chat endpoint takes of a logged call: its messages, its tools and its temperature."""
    request: dict[str, Any] = {"messages": _messages(call.messages), "temperature": call.temperature or 0}
    tools = [_function(tool) for tool in cast(list[Any], call.tools)] if isinstance(call.tools, list) else []
    if tools:
        request["tools"] = tools
    return request


def _messages(messages: list[Message]) -> list[dict[str, Any]]:
    """Roles and contents as logged; what is no OpenAI part (another vendor's block) goes as its text.

    A tool's answer needs the id of its call, which logs of other vendors keep inside the content: ids are numbered.
    """
    found: list[dict[str, Any]] = []
    waiting: list[str] = []
    for message in messages:
        content = message.content
        if not isinstance(content, str) and not _is_openai(content):
            content = flat_text(Message(role=message.role, content=content))[0]
        one: dict[str, Any] = {"role": message.role, "content": content}
        if isinstance(message.tool_calls, list) and all(_is_call(each) for each in cast(list[Any], message.tool_calls)):
            one["tool_calls"] = message.tool_calls
            waiting += [each["id"] for each in cast(list[dict[str, str]], message.tool_calls)]
        if message.role == "tool":
            one["tool_call_id"] = waiting.pop(0) if waiting else "call_0"
        found.append(one)
    return found


def _is_openai(content: Any) -> bool:
    """A list of parts that a chat endpoint reads itself."""
    return isinstance(content, list) and all(
        isinstance(part, dict) and cast(dict[str, Any], part).get("type") in ("text", "image_url", "input_audio")
        for part in cast(list[Any], content)
    )


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(cast(dict[str, Any], call).get("id"), str) and "function" in call


def _function(tool: Any) -> Any:
    """Another vendor's tool (`name, description, input_schema`) as an OpenAI function; OpenAI's stay untouched."""
    fields = cast(dict[str, Any], tool) if isinstance(tool, dict) else {}
    if "function" in fields or "name" not in fields:
        return cast(Any, tool)
    schema: Any = fields.get("input_schema") or fields.get("parameters") or {"type": "object"}
    function: dict[str, Any] = {"name": fields["name"], "description": fields.get("description") or ""}
    return {"type": "function", "function": function | {"parameters": schema}}


def encoded(value: Any) -> bytes:
    """JSON; half a surrogate pair, which UTF-8 has no bytes for, as its escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeError:
        return json.dumps(value).encode()


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""
