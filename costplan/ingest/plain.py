"""The most common log line, read without detours: flat OpenAI-style chat pairs become columns, block by block.

Only lines in which every field is known and plain take this way; what it appends is what the general way (`pairs`, then
`FeatureBuilder.add`) appends, which a test compares. Everything else it declines, and the line goes the general way.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from costplan.ingest.features import (
    BLOCK_ROWS,
    HISTORY,
    ROLES,
    ROW_INTS,
    ROW_KEYS,
    USER,
    FeatureBuilder,
    FeatureSettings,
)
from costplan.ingest.fields import time_us
from costplan.ingest.hashing import KeyTable, keys_of
from costplan.ingest.request import params_of
from costplan.ingest.walk import ABSENT, ESCAPED, FIELDS, INTEGER, KEY_BYTES, LONG, NULL, SLOT, TEXT, TRUE, walk
from costplan.ingest.walk import ROLES as WALKED_ROLES
from costplan.trace import MAX_TOKENS, UNKNOWN

SHORTEST_RUN = 16
"""Fewer plain lines in a row go the general way: setting up their columns would take as long."""
_ROLE = np.array([ROLES.get(name, HISTORY) for name in WALKED_ROLES], np.int8)
_HOT, _ACTION = 8, 2  # trace.Cacheable
_OK, _STREAM, _CACHE_REPORTED, _BATCHABLE, _BACKWARDS = 1, 2, 16, 64, 128  # trace.Flag
_PARAMS = ("temperature", "max_tokens", "top_p", "seed", "n")
_KNOWN_PARAMS = 4096
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CHAT, _TOOL_CALLS, _TOOL_USE, _MSG = (
    np.uint64(xxhash.xxh3_64_intdigest(word)) for word in (b"chat.completion", b"tool_calls", b"tool_use", b"msg_")
)

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Bools = NDArray[np.bool_]


class Slots:
    """What `walk` found in some lines, field by field."""

    def __init__(self, rows: int, messages: int) -> None:
        self.block = bytearray()
        self.data = np.zeros(0, np.uint8)
        self.kinds = np.empty((rows, len(FIELDS)), np.uint8)
        self.spans = np.empty((rows, len(FIELDS), 2), np.int64)
        self.numbers = np.empty((rows, len(FIELDS)), np.float64)
        self.lines = np.empty((rows, 4), np.int64)
        self.messages = np.empty((messages, 4), np.int64)
        self.rows = 0

    def walked(self, block: bytearray) -> Iterator[None]:
        """Fills the table with the lines of a block, as many at a time as it has rows. `block` holds whole lines."""
        at, size = 0, len(block)
        block += bytes(KEY_BYTES)
        self.block, self.data = block, np.frombuffer(block, np.uint8)
        if len(self.messages) < len(block) // 20:
            self.messages = np.empty((len(block) // 20, 4), np.int64)
        while at < size:
            self.rows, at = walk(self.data, at, self.kinds, self.spans, self.numbers, self.lines, self.messages)
            yield
        self.block, self.data = bytearray(), np.zeros(0, np.uint8)  # the block's memory is the reader's again

    def line(self, row: int) -> bytes:
        """The line without its end."""
        start, end = self.lines[row, :2].tolist()
        return bytes(self.block[start:end])

    def last_turn(self, row: int) -> str | None:
        """Text of the last message; None where the line is not plain."""
        number = int(self.lines[row, 3])
        if not self.lines[row, 2] or number == (int(self.lines[row - 1, 3]) if row else 0):
            return None
        start, end, _, escaped = self.messages[number - 1].tolist()
        raw = self.block[start:end]
        return msgspec.json.decode(b'"%b"' % raw) if escaped else raw.decode()

    def kind(self, name: str) -> NDArray[np.uint8]:
        return self.kinds[: self.rows, SLOT[name]]

    def is_text(self, name: str) -> Bools:
        """Whether the field holds a text that is not empty."""
        span = self.spans[: self.rows, SLOT[name]]
        return (self.kind(name) >= TEXT) & (span[:, 1] > span[:, 0])

    def number(self, name: str, default: float = 0.0) -> NDArray[np.float64]:
        """The field's number, or the default."""
        kind = self.kind(name)
        found = np.where((kind >= INTEGER) & (kind <= LONG), self.numbers[: self.rows, SLOT[name]], default)
        for row in np.flatnonzero(kind == LONG).tolist():
            found[row] = float(self.raw(row, name))
        return found

    def keys(self, name: str) -> Keys:
        """Key of the field's text as it stands in the log, 0 for none."""
        return self.keys_where(name, self.is_text(name))

    def keys_where(self, name: str, there: Bools, size: int | None = None) -> Keys:
        span = self.spans[: self.rows, SLOT[name]]
        start = np.where(there, span[:, 0], 0)
        end = np.where(there, span[:, 1] if size is None else span[:, 0] + size, 0)
        return np.where(there, keys_of(self.data, start, end), np.uint64(0))

    def name_keys(self, name: str) -> Keys:
        """Key of the field's text, 0 for none."""
        keys = self.keys(name)
        for row in np.flatnonzero(self.kind(name) == ESCAPED).tolist():
            keys[row] = xxhash.xxh3_64_intdigest(self.text(row, name).encode())
        return keys

    def raw(self, row: int, name: str) -> bytes:
        start, end = self.spans[row, SLOT[name]].tolist()
        return bytes(self.block[start:end])

    def text(self, row: int, name: str) -> str:
        """The field's text, "" for none."""
        return msgspec.json.decode(b'"%b"' % self.raw(row, name)) if self.kinds[row, SLOT[name]] >= TEXT else ""

    def value(self, row: int, name: str) -> Any:
        return None if self.kinds[row, SLOT[name]] == ABSENT else msgspec.json.decode(self.raw(row, name))


def _times(slots: Slots) -> Ints:
    """Microseconds since the epoch, -1 for what is no time that is read here."""
    moment = slots.number("timestamp")
    usual = (moment > 0) & (moment < 1e11)
    times = np.where(usual, np.rint(np.where(usual, moment, 0) * 1e6), -1).astype(np.int64)
    for row in np.flatnonzero(slots.kind("timestamp") >= TEXT).tolist():
        found = time_us(slots.text(row, "timestamp"))
        times[row] = -1 if found is None else found
    return times


def _admitted(slots: Slots, times: Ints) -> Bools:
    """Which lines are plain through and through; the others need the general way."""
    n = slots.rows
    asked, answered = slots.number("usage.prompt_tokens", -1), slots.number("usage.completion_tokens", -1)
    cached, reasoning = slots.number("cached.cached_tokens"), slots.number("spent.reasoning_tokens")
    latency, temperature = slots.number("latency_ms"), slots.number("request.temperature")
    named = slots.is_text("request.model") | ((slots.kind("request.model") < TEXT) & slots.is_text("model"))
    request_id = slots.is_text("response.id") & (slots.kind("response.id") == TEXT)
    spans = slots.spans[:n, SLOT["response.id"]]
    long_id = request_id & (spans[:, 1] - spans[:, 0] >= 4)
    request_id &= slots.keys_where("response.id", long_id, 4) != _MSG
    chat = (slots.kind("response.object") == ABSENT) | (slots.keys("response.object") == _CHAT)
    plain = (slots.lines[:n, 2] != 0) & (np.diff(slots.lines[:n, 3], prepend=0) > 0)
    plain &= (times >= 0) & named & request_id & chat & slots.is_text("choices.finish_reason")
    plain &= slots.is_text("answer.content") & (slots.kind("answer.role") >= TEXT)
    plain &= (asked >= 0) & (answered >= 0) & (asked + answered <= MAX_TOKENS)
    plain &= slots.number("usage.total_tokens", -1) == asked + answered
    plain &= (slots.number("cached.audio_tokens") == 0) & (cached >= 0) & (cached <= asked)
    plain &= (slots.number("spent.audio_tokens") == 0) & (reasoning >= 0) & (reasoning <= answered)
    plain &= (latency >= 0) & (latency < 1e12) & (temperature >= 0) & (temperature < 1e9)
    return plain & (slots.number("status_code", 200) == 200)


class _Known:
    """Whole numbers for every key, made when it first comes; keys of 64 bits are kept as signed numbers."""

    def __init__(self) -> None:
        self.values: list[tuple[int, ...]] = []
        self._table = KeyTable()

    def of(self, keys: Keys, make: Callable[[int], tuple[int, ...]]) -> Ints:
        """One row for each key; `make` gets the place of a new one, in the log's order."""
        found, new = self._table.numbers(keys)
        self.values += [make(place) for place in new.tolist()]
        return np.array(self.values, np.int64)[found]


def _signed(key: int) -> int:
    return key - (key >> 63 << 64)


class PlainLines:
    """Appends the plain ones among lines of bytes to a builder."""

    def __init__(self, builder: FeatureBuilder) -> None:
        self.taken = 0
        """Records appended so far."""
        self._builder = builder
        self._slots = Slots(BLOCK_ROWS, 0)
        self._params, self._kinds, self._sites = _Known(), _Known(), _Known()
        self._kinds_of: Any = None

    def declined(self, block: bytearray, first_line: int) -> Iterator[tuple[int, bytes]]:
        """Appends plain lines and yields (number, line) of all others, in order. `block` holds whole lines."""
        slots = self._slots
        for _ in slots.walked(block):
            times = _times(slots)
            plain = _admitted(slots, times)
            slots.kinds[: slots.rows][~plain] = ABSENT
            columns = self._columns(slots, times) if plain.any() else None
            edges = [0, *(np.flatnonzero(plain[1:] != plain[:-1]) + 1).tolist(), slots.rows]
            for start, end in pairwise(edges):
                if columns is not None and plain[start] and end - start >= SHORTEST_RUN:
                    self._add(columns, start, end, first_line + start)
                else:
                    for row in range(start, end):
                        yield first_line + row, slots.line(row)
            first_line += slots.rows

    def _columns(self, slots: Slots, times: Ints) -> dict[str, NDArray[Any]]:
        """Columns of all lines that do not depend on the lines before; of lines that are not plain, anything."""
        cached = slots.kind("cached.cached_tokens") != ABSENT
        flags = np.where(slots.kind("request.stream") == TRUE, _OK | _STREAM, _OK) | np.where(
            cached, _CACHE_REPORTED, 0
        )
        finish = slots.keys("choices.finish_reason")
        hot = slots.number("request.temperature") > self._builder.settings.max_temperature
        latency = slots.number("latency_ms", -1)
        ints = np.zeros((slots.rows, len(ROW_INTS)), np.int64)
        for name, column in {
            "time_us": times, "flags": flags, "input_tokens": slots.number("usage.prompt_tokens"),
            "cache_read_tokens": slots.number("cached.cached_tokens"),
            "output_tokens": slots.number("usage.completion_tokens"),
            "reasoning_tokens": slots.number("spent.reasoning_tokens"),
            "duration_us": np.where(latency < 0, UNKNOWN, latency / 1000 * 1e6), "ttft_us": UNKNOWN,
            "hints": np.where(hot, _HOT, 0) | np.where((finish == _TOOL_CALLS) | (finish == _TOOL_USE), _ACTION, 0),
        }.items():  # fmt: skip
            ints[:, ROW_INTS.index(name)] = column
        u64 = np.zeros((slots.rows, len(ROW_KEYS)), np.uint64)
        u64[:, 0], u64[:, 1], u64[:, 2] = slots.name_keys("user"), slots.name_keys("session"), slots.keys("response.id")
        asked = np.where(slots.is_text("request.model"), slots.keys("request.model"), slots.keys("model"))
        params = np.zeros(slots.rows, np.uint64)
        for name in _PARAMS:
            there = slots.kind(f"request.{name}") > NULL
            if there.any():
                params = params * _MIX + slots.keys_where(f"request.{name}", there)
        return {
            "ints": ints, "u64": u64, "kind": asked * _MIX + slots.keys("response.model"), "params": params,
            "feature": slots.keys("feature"),
        }  # fmt: skip

    def _add(self, columns: dict[str, NDArray[Any]], start: int, end: int, line: int) -> None:
        """Append the lines [start, end) of the slots; the first one's number is `line`."""
        builder, slots = self._builder, self._slots
        if self._kinds_of is not builder.kinds:  # the columns were taken: kinds and sites are numbered anew
            self._kinds_of, self._kinds, self._sites = builder.kinds, _Known(), _Known()
        if len(self._params.values) > _KNOWN_PARAMS:
            self._params = _Known()
        run = slice(start, end)
        ints, u64 = columns["ints"][run], columns["u64"][run]
        kinds = self._kinds.of(columns["kind"][run], lambda row: self._kind(start + row))
        sites = self._sites.of(columns["feature"][run], lambda row: self._site(start + row, line + row))
        params = self._params.of(columns["params"][run], lambda row: self._params_key(start + row))
        time = ints[:, 1]
        late = time < np.concatenate([[builder.last_time], time[:-1]])
        builder.last_time = int(time[-1])
        ints[:, 0] = line + np.arange(end - start)
        ints[:, 2], ints[:, 3] = kinds[:, 0], builder.tagsets.setdefault((), len(builder.tagsets))
        ints[:, 4] |= np.where(late, _BACKWARDS, 0) | sites[:, 1]
        ints[:, -1] |= kinds[:, 1]
        u64[:, 3:] = np.stack([kinds[:, 2], params[:, 0], sites[:, 0]], axis=1).view(np.uint64)
        builder.ints.frombytes(ints.tobytes())
        builder.u64.frombytes(u64.tobytes())
        first = int(slots.lines[start - 1, 3]) if start else 0
        ends = slots.lines[run, 3]
        messages = slots.messages[first : int(ends[-1])]
        roles = _ROLE[messages[:, 2]]
        numbers = builder.texts.take_in(slots.data, messages[:, 0], messages[:, 1], messages[:, 3] != 0, roles == USER)
        builder.text_ends.frombytes((ends - first + len(builder.text_numbers)).tobytes())
        builder.text_numbers.frombytes(numbers.tobytes())
        builder.roles.frombytes(roles.tobytes())
        self.taken += end - start
        if len(builder.text_ends) >= BLOCK_ROWS:
            builder.close_block()

    def _kind(self, row: int) -> tuple[int, int, int]:
        """(number of the kind of call, hints, model key as a signed number)."""
        builder, slots = self._builder, self._slots
        asked, answered = (
            slots.text(row, "request.model") or slots.text(row, "model"),
            slots.text(row, "response.model"),
        )
        number = builder.kinds.setdefault(("", asked, answered, "", "chat", ""), len(builder.kinds))
        key = builder.key(answered or asked)
        return number, builder.model_hints(answered or asked), _signed(key)

    def _site(self, row: int, line: int) -> tuple[int, int]:
        """(key of the call site that the log names, 0 for none; the flag of calls that can wait)."""
        feature = self._slots.text(row, "feature")
        if not feature:
            return 0, 0
        can_wait = feature in self._builder.settings.batchable
        return _signed(self._builder.feature_site(feature, line)), _BATCHABLE if can_wait else 0

    def _params_key(self, row: int) -> tuple[int, ...]:
        text = params_of({name: self._slots.value(row, f"request.{name}") for name in _PARAMS})
        return (_signed(self._builder.key(text)) if text else 0,)


def main() -> None:
    """Compile what reading a long log needs; numba keeps the result beside the code, or in the user's cache."""
    message = {"role": "user", "content": "\t"}
    line: dict[str, Any] = {
        "timestamp": 1, "request": {"model": "m", "n": 1, "messages": [message]},
        "response": {
            "id": "1", "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        },
    }  # fmt: skip
    builder = FeatureBuilder(FeatureSettings(), compiled=True)
    for _ in PlainLines(builder).declined(bytearray((msgspec.json.encode(line) + b"\n") * SHORTEST_RUN), 1):
        raise AssertionError
    builder.features()


if __name__ == "__main__":
    main()
