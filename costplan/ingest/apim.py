"""Azure API Management's ApiManagementGatewayLlmLog: a call's counts and its text in pieces of 32 KB, one row each.

Rows that belong together are those of one CorrelationId, in the order of their SequenceNumber. They are put together
before anything is counted, as long as they stand near each other; a prompt that comes later, or in another file, joins
its call as the request half of a batch does. A call's line is the one that closed it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from costplan.ingest.fields import as_bool, as_int, as_text, from_json, time_us
from costplan.ingest.loose import compact, first, is_cut, messages_of, reply_of
from costplan.ingest.request import soft_float
from costplan.ingest.response import read_error, status_of
from costplan.trace import BadRecord, Call, NotACall, Part

NAME = "apim"
RULE = (
    "PromptTokens include cached tokens, CompletionTokens include reasoning: taken as they are; the numbering of "
    "SequenceNumber (unverified) may start anywhere, pieces are joined in its order"
)

MAX_OPEN_CALLS, MAX_OPEN_CHARS = 4096, 16 << 20
_PIECES = ("RequestMessages", "ResponseMessages")


@dataclass(slots=True)
class _Open:
    """What is there of one call so far."""

    call: Call | None = None
    counted: set[int] = field(default_factory=set[int])
    """The numbers of the rows with counts: the same counts may stand in every row of a call."""
    pieces: dict[str, dict[int, str]] = field(default_factory=lambda: {name: {} for name in _PIECES})

    @property
    def chars(self) -> int:
        return sum(len(text) for side in self.pieces.values() for text in side.values())


def matches(record: dict[str, Any]) -> bool:
    """The table's counts or text under a correlation id."""
    return "CorrelationId" in record and any(key in record for key in ("PromptTokens", *_PIECES))


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The row alone: a call, the prompt of one, or a piece of text."""
    read, end = reading()
    return read(record) + end()


def reading() -> tuple[Callable[[dict[str, Any]], list[Call | NotACall]], Callable[[], list[Call | NotACall]]]:
    """(reads the rows of one file in order, gives the calls that are still open at its end).

    Every row gives one item, sooner or later: the first of a call the call, the others a NotACall.
    """
    held: dict[str, _Open] = {}
    chars = 0

    def close(key: str) -> Call | NotACall:
        nonlocal chars
        chars -= held[key].chars
        return _closed(key, held.pop(key))

    def read(record: dict[str, Any]) -> list[Call | NotACall]:
        nonlocal chars
        key = as_text(record.get("CorrelationId"))
        if key is None:
            raise BadRecord("no_correlation_id")
        row = _row(record)
        if row.call is None and not row.chars:
            return [NotACall("apim_neither_counts_nor_text")]
        done: list[Call | NotACall] = []
        known = held.get(key)
        if known is not None and _repeats(row, known):
            done.append(close(key))
            known = None
        if known is None:
            held[key] = row
        else:
            known.call = known.call or row.call
            known.counted |= row.counted
            for name in _PIECES:
                known.pieces[name] |= row.pieces[name]
            done.append(NotACall("apim_part_of_a_call"))
        chars += row.chars
        while len(held) > MAX_OPEN_CALLS or chars > MAX_OPEN_CHARS:
            done.append(close(next(iter(held))))
        return done

    return read, lambda: [close(key) for key in list(held)]


def _repeats(row: _Open, known: _Open) -> bool:
    """The same row again, since the table was exported twice, or another call of the same gateway request."""
    ids = {side.call.request_id for side in (row, known) if side.call and side.call.request_id}
    if len(ids) > 1:
        return True
    again = any(row.pieces[name].keys() & known.pieces[name].keys() for name in _PIECES)
    return again or bool(row.counted & known.counted)


def _row(record: dict[str, Any]) -> _Open:
    found = _Open()
    number = as_int(record.get("SequenceNumber")) or 0
    for name in _PIECES:
        value: Any = record.get(name)
        text = compact(value) if isinstance(value, list | dict) and value else as_text(value)
        if text and text not in ("[]", "{}", "null"):
            found.pieces[name][number] = text
    asked, answered = as_int(record.get("PromptTokens")), as_int(record.get("CompletionTokens"))
    models = [as_text(record.get(name)) or "" for name in ("DeploymentName", "ModelName")]
    if not (asked or answered or any(models)):
        return found
    status = status_of(record.get("ResponseCode"))  # this and the next from ApiManagementGatewayLogs, where joined
    milliseconds = soft_float(first(record.get("BackendTime"), record.get("TotalTime")))
    found.call = call = Call(
        request_id=as_text(record.get("RequestId")),
        user=as_text(first(record.get("ApimSubscriptionId"), record.get("UserId"))),
        feature=as_text(record.get("ApiId")),
        time_us=time_us(first(record.get("TimeGenerated"), record.get("TimeGenerated [UTC]"))),
        duration_s=None if milliseconds is None else milliseconds / 1000,
        provider="azure",
        request_model=models[0] or models[1],
        response_model=models[1],
        stream=as_bool(record.get("IsStreamCompletion")),
        http_status=status,
        # 0 and 0: a stream whose usage the gateway did not see
        input_tokens=asked if asked or answered else None,
        output_tokens=answered if asked or answered else None,
    )
    found.counted.add(number)
    if status is not None and not 200 <= status < 300:
        read_error(call, None, status)
        call.possibly_billed = bool(answered)
    return found


def _closed(key: str, found: _Open) -> Call | NotACall:
    asked, answered = (_joined(found.pieces[name]) for name in _PIECES)
    call = found.call
    if call is None:
        if asked is None:
            return NotACall("apim_answer_without_its_call")
        call = Call(part=Part.REQUEST, provider="azure")
    elif asked is None:
        call.part = Part.RESPONSE
    if call.part is not Part.WHOLE:
        call.join_id = key
    call.request_id = call.request_id or (key if found.call else None)
    numbers = found.pieces["RequestMessages"].keys()
    missing = bool(numbers) and max(numbers) - min(numbers) + 1 > len(numbers)
    call.messages, call.text_cut = messages_of(asked), missing or is_cut(asked)
    call.output_text, call.output_tool_calls = reply_of(answered)
    return call


def _joined(pieces: dict[int, str]) -> Any:
    """One text, or the messages of pieces that are lists of their own; None without any."""
    texts = [pieces[number] for number in sorted(pieces)]
    lists = [from_json(text) for text in texts] if len(texts) > 1 else []
    if lists and all(isinstance(item, list) for item in lists):
        return [message for item in lists for message in item]
    return "".join(texts) or None
