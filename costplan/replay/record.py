"""What came of one request: its state, a stable reason, its times on the clock of the run; knows no schedule."""

from itertools import pairwise

import msgspec

from costplan.replay.answer import Answer
from costplan.replay.script import Script
from costplan.replay.wire import Exchange
from costplan.results.measurement import RequestRecord, State

ERROR_BYTES = 300
"""Of a refusal are shown; twice as much is kept, so that no part of a key is left at the end."""
_AFTER_THE_END = ("connection_closed", "connection_reset", "stream_ended_early", "stalled", "timeout")
"""What does not matter once an answer has said that it is over: some servers never end what carries it."""
encode = msgspec.json.Encoder().encode


def read_pieces(exchange: Exchange, *, collect: bool) -> None:
    """Decodes what has come since the last time; the body of a refusal is not looked at."""
    pieces, exchange.pieces, exchange.pending_bytes = exchange.pieces, [], 0
    if collect and len(exchange.opening) < 2 * ERROR_BYTES:
        exchange.opening = (exchange.opening + b"".join(data for _, data in pieces))[: 2 * ERROR_BYTES]
    if exchange.status is None or exchange.status // 100 != 2:
        return
    if exchange.answer is None:
        exchange.answer = Answer(collect=collect)
    feed, time_s, held = exchange.answer.feed, 0.0, list[bytes]()
    for at_s, data in pieces:  # what came in one segment is read as one
        if at_s != time_s and held:
            feed(time_s, b"".join(held))
            held.clear()
        time_s = at_s
        held.append(data)
    if held:
        feed(time_s, b"".join(held))


def verdict(exchange: Exchange) -> str:
    """Why the request failed; empty if it did not."""
    answer, trouble = exchange.answer, exchange.trouble
    if trouble and trouble not in _AFTER_THE_END:
        return trouble
    if exchange.status is not None and exchange.status // 100 != 2:
        return f"http_{exchange.status}"
    if answer is None:
        return trouble or "bad_answer"
    if answer.error:
        return "server_error"
    if answer.broken or (answer.seen and not answer.streamed and not answer.plain):
        return "bad_answer"
    if answer.complete:
        return ""
    return trouble or ("stream_ended_early" if answer.streamed else "bad_answer")


def record_of(exchange: Exchange, script: Script, start_s: float, *, collect: bool, key: str = "") -> RequestRecord:
    """Reads what is left of the answer; a server that repeats the key of the API does so in vain."""
    read_pieces(exchange, collect=collect)
    answer = exchange.answer or Answer(collect=collect)
    answer.end(exchange.last_byte_s)
    reason = verdict(exchange)
    found = base(script, exchange.row, "failed" if reason else "completed", reason, exchange.due_s - start_s)
    found.http_status = exchange.status
    found.dispatched_s = round(exchange.dispatched_s - start_s, 6)
    found.sent_s = _since(exchange.sent_s, start_s)
    found.first_byte_s = _since(exchange.first_byte_s, start_s)
    late = exchange.trouble in ("stalled", "timeout") and not reason
    found.done_s = round((exchange.last_byte_s if late else exchange.done_s) - start_s, 6)
    found.reused_connection = exchange.reused
    if tokens := answer.token_s:
        found.first_token_s, found.last_token_s = round(tokens[0] - start_s, 6), round(tokens[-1] - start_s, 6)
        if len(tokens) > 1:
            found.gaps_s = [round(after - before, 6) for before, after in pairwise(tokens)]
    if answer.usage is not None:
        details = answer.usage.prompt_tokens_details
        found.input_tokens, found.output_tokens = answer.usage.prompt_tokens, answer.usage.completion_tokens
        found.cached_tokens = details.cached_tokens if details is not None else None
    found.finish_reason = answer.finish_reason
    if collect:
        found.text = _without("".join(answer.text), key) if answer.seen else None
        if reason and exchange.opening:
            found.error_text = _without(exchange.opening.decode("utf-8", "replace"), key)[:ERROR_BYTES]
    return found


def base(script: Script, row: int, state: State, reason: str, due_s: float) -> RequestRecord:
    """A record of what is known without an answer."""
    wanted_in, wanted_out = int(script.input_tokens[row]), int(script.output_tokens[row])
    return RequestRecord(
        index=row, state=state, reason=reason, due_s=round(due_s, 6),
        asked_input_tokens=wanted_in if wanted_in >= 0 else None,
        asked_output_tokens=wanted_out if wanted_out >= 0 else None,
    )  # fmt: skip


def _without(text: str, key: str) -> str:
    return text.replace(key, "***") if key else text


def _since(moment_s: float | None, start_s: float) -> float | None:
    return None if moment_s is None else round(moment_s - start_s, 6)
