"""The most common log line, read without detours: a flat OpenAI-style chat pair, decoded straight into typed fields.

Only lines in which every field is known and plain take this way; what it appends is what the general way (`pairs`, then
`FeatureBuilder.add`) appends, which a test compares. Everything else it declines, and the line goes the general way.
"""

from collections.abc import Callable
from typing import Literal

import msgspec
import xxhash

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


def plain_adder(builder: FeatureBuilder) -> Callable[[PlainPair, int], bool]:
    """A function that appends a record as a row, or returns False where it needs the general way (and appends nothing).

    The builder's parts are bound once: this runs for every line of the log.
    """
    settings, texts = builder.settings, builder.texts
    ints, u64, ends = builder.ints.extend, builder.u64.extend, builder.text_ends
    numbers, add_number, add_role = builder.text_numbers, builder.text_numbers.append, builder.roles.append
    take_in = texts.take_in
    model_hints, key_of, hottest = builder.model_hints, builder.key, settings.max_temperature

    def add_plain(record: PlainPair, line: int) -> bool:
        request, response = record.request, record.response
        usage, request_id, moment = response.usage, response.id, record.timestamp
        asked = request.model or record.model
        tokens_in, tokens_out = usage.prompt_tokens, usage.completion_tokens
        if not asked or len(response.choices) != 1 or request_id[:4] in ("", "msg_") or not request.messages:
            return False
        choice = response.choices[0]
        finish = choice.finish_reason
        if not (finish and choice.message.content) or usage.total_tokens != tokens_in + tokens_out:
            return False
        if tokens_in < 0 or tokens_out < 0 or usage.total_tokens > MAX_TOKENS or request.model == "":
            return False
        cached = reasoning = 0
        flags = _OK
        if usage.prompt_tokens_details is not None:
            cached, flags = usage.prompt_tokens_details.cached_tokens, _OK | _CACHE_REPORTED
            if usage.prompt_tokens_details.audio_tokens or not 0 <= cached <= tokens_in:
                return False
        if usage.completion_tokens_details is not None:
            reasoning = usage.completion_tokens_details.reasoning_tokens
            if usage.completion_tokens_details.audio_tokens or not 0 <= reasoning <= tokens_out:
                return False
        time = round(moment * 1e6) if type(moment) is float and 0 < moment < 1e11 else time_us(moment)
        latency, temperature, feature = record.latency_ms, request.temperature, record.feature
        if time is None or not 0 <= (latency or 0) < 1e12 or not 0 <= (temperature or 0) < 1e9:
            return False
        model = response.model or asked
        hints = model_hints(model)
        if temperature is not None and temperature > hottest:
            hints |= _HOT
        if finish == "tool_calls" or finish == "tool_use":
            hints |= _ACTION
        if request.stream:
            flags |= _STREAM
        if feature and feature in settings.batchable:
            flags |= _BATCHABLE
        if time < builder.last_time:
            flags |= _BACKWARDS
        builder.last_time = time
        kind = ("", asked, response.model, "", "chat", "")
        kinds = builder.kinds
        number = kinds.get(kind)
        ints((
            line, time, kinds.setdefault(kind, len(kinds)) if number is None else number,
            builder.tagsets.setdefault((), len(builder.tagsets)), flags, 0, tokens_in, cached, 0, 0, tokens_out, reasoning,
            UNKNOWN if latency is None else int(latency / 1000 * 1e6), UNKNOWN, hints,
        ))  # fmt: skip
        u64((
            _xxh3(record.user.encode()) if record.user else 0, _xxh3(record.session.encode()) if record.session else 0,
            _xxh3(request_id.encode()), key_of(model), _params_key(key_of, request),
            builder.feature_site(feature, line) if feature else 0,
        ))  # fmt: skip
        user, other = texts.user, texts.other
        for message in request.messages:
            role, content = _ROLE[message.role], message.content
            found = user.get(content) if role == USER else other.get(content)
            add_number(take_in(content, role == USER) if found is None else found)
            add_role(role)
        ends.append(len(numbers))
        if len(ends) == BLOCK_ROWS:
            builder.close_block()
        return True

    return add_plain


_params: dict[tuple[float | None, int | None, float | None, int | None, int | None], str] = {}


def _params_key(key_of: Callable[[str], int], request: _Request) -> int:
    picked = (request.temperature, request.max_tokens, request.top_p, request.seed, request.n)
    text = _params.get(picked)
    if text is None:
        if len(_params) > 4096:
            _params.clear()
        names = ("temperature", "max_tokens", "top_p", "seed", "n")
        text = _params[picked] = params_of(dict(zip(names, picked, strict=True)))
    return key_of(text) if text else 0
