"""The most common log line, read without detours: a flat OpenAI-style chat pair, decoded straight into typed fields.

Only lines in which every field is known and plain take this way; what it appends is what the general way (`pairs`, then
`FeatureBuilder.add`) appends, which a test compares. Everything else it declines, and the line goes the general way.
"""

from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from costplan.ingest.features import BLOCK_ROWS, HISTORY, ROLES, USER, FeatureBuilder
from costplan.ingest.fields import time_us
from costplan.ingest.request import params_of
from costplan.trace import MAX_TOKENS, UNKNOWN

_ROLE = {name: ROLES.get(name, HISTORY) for name in ("system", "user", "assistant", "tool", "developer")}
_HOT, _ACTION = 8, 2  # trace.Cacheable
_OK, _STREAM, _CACHE_REPORTED, _BATCHABLE, _BACKWARDS = 1, 2, 16, 64, 128  # trace.Flag
_xxh3 = xxhash.xxh3_64_intdigest


class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str


class _Request(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    messages: list[_Message]
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    seed: int | None = None
    n: int | None = None
    stream: bool = False


class _Answer(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: str
    content: str


class _Choice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: _Answer
    finish_reason: str
    index: int = 0
    logprobs: None = None


class _PromptDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    cached_tokens: int
    audio_tokens: int = 0


class _OutputDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class _Usage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Response(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    id: str
    choices: list[_Choice]
    usage: _Usage
    object: Literal["chat.completion"] = "chat.completion"
    created: int | None = None
    model: str = ""
    system_fingerprint: str | None = None


class PlainPair(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A request next to its response, nothing unusual in either."""

    timestamp: float | str
    request: _Request
    response: _Response
    id: str | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    feature: str | None = None
    latency_ms: float | None = None
    status_code: Literal[200] = 200


decode_plain: Callable[[bytes], PlainPair] = msgspec.json.Decoder(PlainPair).decode


def decode_run(lines: list[bytes]) -> list[PlainPair | None]:
    """Each line's record, None where it needs the general way."""
    try:
        return [decode_plain(line) for line in lines]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return [_decode_or_none(line) for line in lines]


def _decode_or_none(line: bytes) -> PlainPair | None:
    try:
        return decode_plain(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def plain_rows(records: list[PlainPair | None]) -> NDArray[np.bool_]:
    """Which records `PlainAdder` may append; the others need the general way."""
    return np.fromiter((record is not None and _is_plain(record) for record in records), np.bool_, len(records))


def _is_plain(record: PlainPair) -> bool:
    request, response = record.request, record.response
    usage, moment, choices = response.usage, record.timestamp, response.choices
    if isinstance(moment, str):
        if time_us(moment) is None:
            return False
    elif not 0 < moment < 1e11:
        return False
    if len(choices) != 1 or request.model == "":
        return False
    if not (request.model or record.model) or response.id[:4] in ("", "msg_") or not request.messages:
        return False
    if not (choices[0].finish_reason and choices[0].message.content):
        return False
    asked, answered = usage.prompt_tokens, usage.completion_tokens
    if not (asked >= 0 and answered >= 0 and usage.total_tokens == asked + answered <= MAX_TOKENS):
        return False
    details, spent = usage.prompt_tokens_details, usage.completion_tokens_details
    if details is not None and (details.audio_tokens or not 0 <= details.cached_tokens <= asked):
        return False
    if spent is not None and (spent.audio_tokens or not 0 <= spent.reasoning_tokens <= answered):
        return False
    return 0 <= (record.latency_ms or 0) < 1e12 and 0 <= (request.temperature or 0) < 1e9


def _times(moments: list[float | str]) -> NDArray[np.int64]:
    """Microseconds since the epoch; the texts among them are known to be times."""
    if not any(isinstance(moment, str) for moment in moments):
        return np.rint(np.array(moments) * 1e6).astype(np.int64)
    return np.array([time_us(m) if isinstance(m, str) else round(m * 1e6) for m in moments], np.int64)


class PlainAdder:
    """Appends runs of plain records to a builder, field by field instead of row by row."""

    def __init__(self, builder: FeatureBuilder) -> None:
        self._builder = builder
        self._kinds: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._params: dict[tuple[Any, ...], int] = {}
        self._kinds_of: Any = None

    def add(self, records: list[PlainPair], first_line: int) -> None:
        """Append records that `plain_rows` admits, from consecutive lines."""
        builder = self._builder
        requests, responses = [r.request for r in records], [r.response for r in records]
        usages = [response.usage for response in responses]
        kinds = self._kind_columns(records, requests, responses)
        time = _times([r.timestamp for r in records])
        before = np.concatenate([[builder.last_time], time[:-1]])
        builder.last_time = int(time[-1])
        flags = np.where(time < before, _OK | _BACKWARDS, _OK)
        flags[[request.stream for request in requests]] |= _STREAM
        hints = kinds[:, 1].copy()
        hottest = builder.settings.max_temperature
        hot = [r.temperature is not None and r.temperature > hottest for r in requests]
        hints[hot] |= _HOT
        hints[[r.choices[0].finish_reason in ("tool_calls", "tool_use") for r in responses]] |= _ACTION
        cached, reasoning = np.zeros((2, len(records)), np.int64)
        for row, usage in enumerate(usages):
            if usage.prompt_tokens_details is not None:
                cached[row] = usage.prompt_tokens_details.cached_tokens
                flags[row] |= _CACHE_REPORTED
            if usage.completion_tokens_details is not None:
                reasoning[row] = usage.completion_tokens_details.reasoning_tokens
        latency = np.array([np.nan if r.latency_ms is None else r.latency_ms for r in records])
        duration = np.where(np.isnan(latency), UNKNOWN, np.nan_to_num(latency) / 1000 * 1e6).astype(np.int64)
        sites = self._sites(records, first_line, flags)
        zero = np.zeros(len(records), np.int64)
        tagset = builder.tagsets.setdefault((), len(builder.tagsets))
        ints = (
            first_line + np.arange(len(records)), time, kinds[:, 0], zero + tagset, flags, zero,
            np.array([u.prompt_tokens for u in usages]), cached, zero, zero,
            np.array([u.completion_tokens for u in usages]), reasoning, duration, zero + UNKNOWN, hints,
        )  # fmt: skip
        builder.ints.frombytes(np.stack(ints, axis=1).tobytes())
        keys = (
            [_xxh3(r.user.encode()) if r.user else 0 for r in records],
            [_xxh3(r.session.encode()) if r.session else 0 for r in records],
            [_xxh3(r.id.encode()) for r in responses], kinds[:, 2].view(np.uint64), self._param_keys(requests), sites,
        )  # fmt: skip
        builder.u64.frombytes(np.stack([np.array(key, np.uint64) for key in keys], axis=1).tobytes())
        self._add_texts(requests)
        if len(builder.text_ends) >= BLOCK_ROWS:
            builder.close_block()

    def _kind_columns(
        self, records: list[PlainPair], requests: list[_Request], responses: list[_Response]
    ) -> NDArray[np.int64]:
        """(kind, hints, model key) of every record."""
        builder = self._builder
        if self._kinds_of is not builder.kinds:  # the columns were taken: kinds are numbered anew
            self._kinds_of, self._kinds = builder.kinds, {}
        names = [
            (request.model or record.model or "", response.model)
            for record, request, response in zip(records, requests, responses, strict=True)
        ]
        for asked, answered in dict.fromkeys(names):  # in the order of the log, not of a set
            if (asked, answered) in self._kinds:
                continue
            kind = ("", asked, answered, "", "chat", "")
            model = answered or asked
            number = builder.kinds.setdefault(kind, len(builder.kinds))
            key = builder.key(model)
            self._kinds[asked, answered] = (number, builder.model_hints(model), key - (key >> 63 << 64))
        return np.array([self._kinds[name] for name in names], np.int64)

    def _param_keys(self, requests: list[_Request]) -> list[int]:
        known = self._params
        picked = [(r.temperature, r.max_tokens, r.top_p, r.seed, r.n) for r in requests]
        for values in set(picked) - known.keys():
            if len(known) > 4096:
                known.clear()
            text = params_of(dict(zip(("temperature", "max_tokens", "top_p", "seed", "n"), values, strict=True)))
            known[values] = self._builder.key(text) if text else 0
        return [known[values] for values in picked]

    def _sites(self, records: list[PlainPair], first_line: int, flags: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Keys of the call sites that the log names; marks the calls that can wait."""
        sites = np.zeros(len(records), np.uint64)
        features = [record.feature for record in records]
        if any(features):
            batchable = self._builder.settings.batchable
            for row, feature in enumerate(features):
                if feature:
                    sites[row] = self._builder.feature_site(feature, first_line + row)
                    if feature in batchable:
                        flags[row] |= _BATCHABLE
        return sites

    def _add_texts(self, requests: list[_Request]) -> None:
        builder, texts = self._builder, self._builder.texts
        contents = [message.content for request in requests for message in request.messages]
        roles = [_ROLE[message.role] for request in requests for message in request.messages]
        user, other = texts.user.get, texts.other.get
        pairs = zip(contents, roles, strict=True)
        numbers = [user(content) if role == USER else other(content) for content, role in pairs]
        if None in numbers:
            for index, number in enumerate(numbers):
                if number is None:
                    numbers[index] = texts.number(contents[index], roles[index] == USER)
        ends = np.cumsum([len(request.messages) for request in requests]) + len(builder.text_numbers)
        builder.text_numbers.extend(cast(list[int], numbers))
        builder.roles.extend(roles)
        builder.text_ends.extend(ends.tolist())
