"""The body of an answer: when its tokens came and what it says of itself; knows no socket, no HTTP and no schedule."""

from typing import Any

import msgspec

MAX_LINE_BYTES = 64 << 20
"""An answer that sends more without the end of a line (or of its JSON) is no answer: memory has to end somewhere."""


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class Usage(msgspec.Struct):
    """The server's own count."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    """Of a streamed chunk the `delta`, of a whole answer the `message`; several names for thinking are in use."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    text: Any = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    object: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


class Answer:
    """Fed with the pieces of a body and their times, in order; streams (server-sent events) and plain JSON alike."""

    __slots__ = (
        "_parts", "_size", "broken", "collect", "ended", "error", "finish_reason", "plain", "seen", "streamed", "text",
        "token_s", "usage",
    )  # fmt: skip

    def __init__(self, *, collect: bool) -> None:
        self.collect = collect
        self.token_s: list[float] = []
        """When each chunk with text came; chunks of one TCP segment have one time. Nothing for an answer in one piece:
        nobody saw its tokens come."""
        self.usage: Usage | None = None
        self.finish_reason: str | None = None
        self.text: list[str] = []
        self.ended = False
        """It said itself that it was over: [DONE], or JSON with choices to its last brace."""
        self.broken = False
        """What came is neither."""
        self.error = False
        """The server reports an error in the middle of a good answer."""
        self.streamed = False
        """At least one line of a stream came; else it is something of another kind."""
        self.seen = False
        self.plain = False
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def complete(self) -> bool:
        return self.ended or self.finish_reason is not None

    def feed(self, at_s: float, data: bytes) -> None:
        """Streams are read line by line as they come, so that no more than a line is ever held."""
        if self.broken:
            return
        if not self.seen:
            data = data.lstrip()
            if not data:
                return
            self.seen, self.plain = True, data[:1] in b"{["
        if self.plain or b"\n" not in data:
            self._parts.append(data)
            self._size += len(data)
            self.broken = self._size > MAX_LINE_BYTES
            return
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
        lines = data.split(b"\n")
        rest = lines.pop()
        self._size = len(rest)
        if rest:
            self._parts.append(rest)
        for line in lines:
            if line[:5] == b"data:":
                self._event(at_s, line[5:])

    def end(self, at_s: float) -> None:
        """Nothing more will come: reads what had no end of line, as far as it is whole."""
        data = b"".join(self._parts)
        self._parts.clear()
        if self.broken or not data:
            return
        if not self.plain:
            if data[:5] == b"data:":
                self._event(at_s, data[5:])
                self.broken = False  # half a line
            return
        try:
            chunk = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        self._take(chunk)
        self.ended = bool(chunk.choices)
        self.broken = not self.ended and not self.error

    def _event(self, at_s: float, payload: bytes) -> None:
        self.streamed = True
        if payload == b" [DONE]":  # the usual way to write it; an exception costs more than all the rest
            self.ended = True
            return
        try:
            chunk = _decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            payload = payload.strip()
            self.ended = self.ended or payload == b"[DONE]"
            self.broken = self.broken or payload not in (b"[DONE]", b"")
            return
        if self._take(chunk):
            self.token_s.append(at_s)

    def _take(self, chunk: _Chunk) -> bool:
        """Whether there is text in it, or a thought or a call of a tool."""
        said = False
        for choice in chunk.choices or ():
            message = choice.delta or choice.message
            text = choice.text if message is None else message.content
            if text:
                said = True
                if self.collect and isinstance(text, str):
                    self.text.append(text)
            elif message is not None and _thinks_or_calls(message):
                said = True
            if choice.finish_reason is not None:
                self.finish_reason = choice.finish_reason
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.error is not None or chunk.object == "error":
            self.error = True
        return said


def _thinks_or_calls(message: _Message) -> bool:
    return bool(message.reasoning_content or message.reasoning or message.tool_calls or message.refusal)
