"""The most common log line, read without detours: a flat OpenAI-style chat pair, decoded straight into typed fields.

Only lines in which every field is known and plain take this way; what it appends is what the general way (`pairs`, then
`FeatureBuilder.add`) appends, which a test compares. Everything else it declines, and the line goes the general way.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from costplan.ingest.features import HISTORY, ROLES, USER, FeatureBuilder
from costplan.ingest.fields import time_us
from costplan.ingest.prompt import text_key
from costplan.ingest.request import params_of
from costplan.trace import MAX_TOKENS, UNKNOWN

_ROLE = {name: ROLES.get(name, HISTORY) for name in ("system", "user", "assistant", "tool", "developer")}
_HOT, _ACTION = 8, 2  # trace.Cacheable


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


def add_plain(builder: FeatureBuilder, record: PlainPair, line: int) -> bool:
    """Append the record as a row; False where it needs the general way (nothing is appended then)."""
    request, response = record.request, record.response
    usage, request_id = response.usage, response.id
    asked = request.model if request.model is not None else record.model
    tokens_in, tokens_out, moment = usage.prompt_tokens, usage.completion_tokens, record.timestamp
    if not asked or len(response.choices) != 1 or not request_id or request_id[:4] == "msg_" or not request.messages:
        return False
    choice = response.choices[0]
    if not (choice.finish_reason and choice.message.content) or usage.total_tokens != tokens_in + tokens_out:
        return False
    if tokens_in < 0 or tokens_out < 0 or usage.total_tokens > MAX_TOKENS:
        return False
    cached, reasoning, flags = 0, 0, 1
    details, spent = usage.prompt_tokens_details, usage.completion_tokens_details
    if details is not None:
        cached, flags = details.cached_tokens, 17  # trace.Flag: OK, CACHE_REPORTED
        if details.audio_tokens or not 0 <= cached <= tokens_in:
            return False
    if spent is not None:
        reasoning = spent.reasoning_tokens
        if spent.audio_tokens or not 0 <= reasoning <= tokens_out:
            return False
    if type(moment) is float and 0 < moment < 1e11:
        time = round(moment * 1e6)
    else:
        found = time_us(moment)
        if found is None:
            return False
        time = found
    latency, temperature = record.latency_ms, request.temperature
    if (latency is not None and not 0 <= latency < 1e12) or (temperature is not None and not 0 <= temperature < 1e9):
        return False
    model = response.model or asked
    hints = builder.model_hints(model)
    if temperature is not None and temperature > builder.settings.max_temperature:
        hints |= _HOT
    if choice.finish_reason in ("tool_calls", "tool_use"):
        hints |= _ACTION
    if request.stream:
        flags |= 2
    if record.feature and record.feature in builder.settings.batchable:
        flags |= 64
    if time < builder.last_time:
        flags |= 128
    builder.last_time = time
    kind = ("", asked, response.model, "", "chat", "")
    builder.ints.extend((
        line, time, builder.kinds.setdefault(kind, len(builder.kinds)),
        builder.tagsets.setdefault((), len(builder.tagsets)), flags, 0, tokens_in, cached, 0, 0, tokens_out, reasoning,
        UNKNOWN if latency is None else int(latency / 1000 * 1e6), UNKNOWN, hints,
    ))  # fmt: skip
    builder.u64.extend((
        builder.key(record.user) if record.user else 0, builder.key(record.session) if record.session else 0,
        text_key(request_id), builder.key(model), _params_key(builder, request),
        builder.feature_site(record.feature, line) if record.feature else 0,
    ))  # fmt: skip
    _add_texts(builder, request.messages)
    builder.end_row()
    return True


def _add_texts(builder: FeatureBuilder, messages: list[_Message]) -> None:
    texts = builder.texts
    user, other, take_in = texts.user.get, texts.other.get, texts.take_in
    for message in messages:
        role, content = _ROLE[message.role], message.content
        for_user = role == USER
        number = user(content) if for_user else other(content)
        builder.text_numbers.append(take_in(content, for_user) if number is None else number)
        builder.roles.append(role)


_params: dict[tuple[float | None, int | None, float | None, int | None, int | None], str] = {}


def _params_key(builder: FeatureBuilder, request: _Request) -> int:
    picked = (request.temperature, request.max_tokens, request.top_p, request.seed, request.n)
    text = _params.get(picked)
    if text is None:
        if len(_params) > 4096:
            _params.clear()
        names = ("temperature", "max_tokens", "top_p", "seed", "n")
        text = _params[picked] = params_of(dict(zip(names, picked, strict=True)))
    return builder.key(text) if text else 0
