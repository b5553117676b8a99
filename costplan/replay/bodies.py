"""Requests -> the bodies of HTTP requests in one file, written once before the run; it opens no connection."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.ingest.prompt import flat_text
from costplan.replay.schedule import Schedule
from costplan.replay.script import Script
from costplan.replay.synth import as_ids, as_text, common_words, prompt_numbers
from costplan.replay.traffic import Traffic, encoded
from costplan.trace import Message

_SHOW_EVERY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a request is put to this server; the same style and trace give the same bytes, but for the salt."""

    model: str
    endpoint: Literal["chat", "completions"]
    prompts: Literal["log", "synthetic"]
    vllm: bool
    """The server takes `ignore_eos`, `min_tokens` and `cache_salt`."""
    salt: str
    forced: bool = True
    """Answers get exactly the length in the trace, where the server can be told so."""
    vocabulary: tuple[int, ...] = ()
    """Token ids that are ordinary words; () = words are sent as text."""
    overhead_tokens: int = 0
    """What the server adds to a made-up text of words: the chat template, the salt."""


def write_script(traffic: Traffic, schedule: Schedule, style: Style, path: Path, report: Any = None) -> Script:
    """Write all bodies to `path`."""
    workload = traffic.trace.workload
    count = len(schedule.chosen)
    offsets = np.zeros(count + 1, np.int64)
    with path.open("wb") as file:
        for place, body in enumerate(_bodies(traffic, schedule, style)):
            file.write(body)
            offsets[place + 1] = offsets[place] + len(body)
            if report is not None and place % _SHOW_EVERY == 0:
                report("prompts", place, count)
    return Script(
        bodies=path, offsets=offsets, due_s=schedule.due_s, previous=schedule.previous, think_s=schedule.think_s,
        input_tokens=workload.input_tokens[schedule.chosen], output_tokens=workload.output_tokens[schedule.chosen],
    )  # fmt: skip


def _bodies(traffic: Traffic, schedule: Schedule, style: Style) -> Iterator[bytes]:
    workload = traffic.trace.workload
    words = common_words() if style.prompts == "synthetic" and not style.vocabulary else []
    vocabulary: NDArray[np.int64] = np.array(style.vocabulary, np.int64)
    if style.prompts == "log":
        assert traffic.texts is not None
        with traffic.texts.open("rb") as file:
            for request in schedule.chosen.tolist():
                start, end = int(traffic.text_start[request]), int(traffic.text_end[request])
                file.seek(start)
                yield body(logged(file.read(end - start), style), int(workload.output_tokens[request]), style)
        return
    for request, row in zip(schedule.chosen.tolist(), traffic.row[schedule.chosen].tolist(), strict=True):
        numbers = prompt_numbers(workload, request, row)
        if style.vocabulary:
            prompt: Any = as_ids(numbers, vocabulary)
        else:
            prompt = salted(as_text(numbers[: max(1, len(numbers) - style.overhead_tokens)], words), style)
        fields = {"prompt": prompt} if style.endpoint == "completions" else {"messages": [_user(prompt)]}
        yield body(encoded(fields | {"temperature": 0}), int(workload.output_tokens[request]), style)


def body(request: bytes, output_tokens: int, style: Style) -> bytes:
    """A JSON object (what is asked) with the fields of the run put around it, byte for byte as it is."""
    rest: dict[str, Any] = {
        "max_tokens": output_tokens, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    if style.vllm and style.forced:
        rest |= {"ignore_eos": True, "min_tokens": output_tokens}
    if style.vllm:
        # with tools, vLLM refuses a free choice unless it was started with a parser for it
        rest |= {"tool_choice": "none"} if b'"tools":' in request else {}
        rest["cache_salt"] = style.salt
    head = msgspec.json.encode({"model": style.model})
    return head[:-1] + b"," + request[1:-1] + b"," + msgspec.json.encode(rest)[1:]


def logged(request: bytes, style: Style) -> bytes:
    """The logged request, for a completions endpoint as plain text; the salt goes in front where there is no field."""
    if style.vllm and style.endpoint == "chat":
        return request
    fields = cast(dict[str, Any], msgspec.json.decode(request))
    messages = cast(list[dict[str, Any]], fields["messages"])
    if style.endpoint == "completions":
        flat = [flat_text(Message(role=each["role"], content=each["content"]))[0] for each in messages]
        return encoded({"prompt": salted("\n\n".join(flat), style), "temperature": fields["temperature"]})
    first = messages[0]
    if isinstance(first["content"], str):
        first["content"] = salted(first["content"], style)
    else:
        first["content"] = [{"type": "text", "text": salted("", style)}, *first["content"]]
    return encoded(fields)


def salted(text: str, style: Style) -> str:
    """In front of everything, so that no cached prefix of an earlier run fits."""
    return text if style.vllm or not style.salt else f"run {style.salt}\n{text}"


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
