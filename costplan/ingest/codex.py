"""Codex rollouts (`~/.codex/sessions/**/rollout-*.jsonl`): one call per new token count; knows no text of the prompts.

A record is read with those before it: the model stands in the turn's context, totals grow over the session, and a fork
starts with a copy of the history of the session that it left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from costplan.ingest.fields import as_dict, as_int, as_text, dig, time_us
from costplan.ingest.loose import first, params_of, reason
from costplan.trace import Call, NotACall

NAME = "codex"
RULE = (
    "OpenAI counts: input includes cached tokens, output includes reasoning; a call is last_token_usage or the "
    "difference of two cumulative totals, never a total; a total that does not move is no call"
)

_TYPES = ("session_meta", "turn_context", "event_msg", "response_item", "compacted")
_COUNTERS = (
    "input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens",
)  # fmt: skip


@dataclass(slots=True)
class _Session:
    """What the records so far say about those that follow."""

    own: str | None = None
    root: str | None = None
    """The session whose history this one started with, or itself: a copied call is the same call."""
    parent: str | None = None
    """The session that it was forked from or spawned by."""
    spawned: bool = False
    provider: str = "openai"
    model: str = ""
    effort: str | None = None
    totals: tuple[int, ...] | None = None
    after_meta: bool = False


def matches(record: dict[str, Any]) -> bool:
    """A rollout line: a payload under one of five types."""
    return "payload" in record and record.get("type") in _TYPES


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The record alone, without what came before it: a call of an unnamed model."""
    return _read(_Session(), record)


def reading() -> tuple[Callable[[dict[str, Any]], list[Call | NotACall]], Callable[[], list[Call | NotACall]]]:
    """(reads the records of one file in order, gives what is left at its end: nothing)."""
    return partial(_read, _Session()), list


def _read(session: _Session, record: dict[str, Any]) -> list[Call | NotACall]:
    kind, payload = as_text(record.get("type")) or "", as_dict(record.get("payload"))
    if kind == "event_msg" and payload.get("type") == "token_count":
        return [_call(session, record, as_dict(payload.get("info")))]
    if kind == "session_meta":
        _start(session, payload)
    elif kind == "turn_context":
        session.model = as_text(payload.get("model")) or session.model
        session.effort = as_text(first(payload.get("effort"), payload.get("reasoning_effort")))
    session.after_meta = kind == "session_meta"
    return [NotACall(reason(NAME, kind))]


def _start(session: _Session, meta: dict[str, Any]) -> None:
    """Another session, unless it is the copied head of the one that this session was forked from."""
    own = as_text(meta.get("id"))
    forked = as_text(meta.get("forked_from_id"))
    session.root = forked or own
    if session.after_meta or (own is not None and own == session.parent):
        return
    spawned = dig(meta, "source", "subagent", "thread_spawn", "parent_thread_id")
    session.own, session.parent = own, forked or as_text(first(spawned, meta.get("parent_thread_id")))
    session.spawned = dig(meta, "source", "subagent") is not None
    session.provider = as_text(meta.get("model_provider")) or "openai"
    session.model, session.effort, session.totals = "", None, None


def _call(session: _Session, record: dict[str, Any], info: dict[str, Any]) -> Call | NotACall:
    session.after_meta = False
    counted, total = _counts(info.get("last_token_usage")), _counts(info.get("total_token_usage"))
    if total is not None:
        before, session.totals = session.totals, total
        if total == before:  # written again with new rate limits
            return NotACall("codex_token_count_repeated")
        if counted is None:
            went_on = before is not None and all(now >= then for now, then in zip(total, before, strict=True))
            counted = tuple(map(int.__sub__, total, before)) if before and went_on else total
    if counted is None or not (counted[0] or counted[3]):
        return NotACall("codex_token_count_without_usage")
    asked, read, written, answered, thought = counted
    return Call(
        request_id=f"{session.root}/{'-'.join(map(str, total))}" if session.root and total else None,
        trace_id=session.root,
        parent_id=session.parent,
        session_id=session.own,
        feature="subagent" if session.spawned else "main",
        time_us=time_us(record.get("timestamp")),
        provider=session.provider,
        request_model=session.model,
        params=params_of({"reasoning_effort": session.effort}),
        input_tokens=asked,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=answered,
        reasoning_tokens=thought,
        cache_reported=True,
    )


def _counts(value: Any) -> tuple[int, ...] | None:
    usage = as_dict(value)
    return tuple(as_int(usage.get(name)) or 0 for name in _COUNTERS) if usage else None
