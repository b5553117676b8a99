"""Alibaba Bailian (Qwen) hash traces: seconds, blocks of 16, chained chats; one row does not know its chat's root."""

from typing import Any

from costplan.ingest.fields import as_int, as_text
from costplan.ingest.loose import offset_us
from costplan.ingest.mooncake import block_ids
from costplan.trace import BadRecord, Call, NotACall

NAME = "bailian"
RULE = "input_length and output_length are whole prompts and whole answers: taken as they are"


def matches(record: dict[str, Any]) -> bool:
    """Chat ids beside Mooncake's columns."""
    return "chat_id" in record and "parent_chat_id" in record and "hash_ids" in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; `parent_chat_id` -1 starts a conversation, else it is the span of the turn before."""
    tokens_in, tokens_out = as_int(record.get("input_length")), as_int(record.get("output_length"))
    offset, before = offset_us(record.get("timestamp"), 1e6), as_int(record.get("parent_chat_id"))
    if tokens_in is None or tokens_out is None:
        raise BadRecord("missing_tokens")
    ids = block_ids(record.get("hash_ids"))
    kind = as_text(record.get("type"))
    call = Call(
        span_id=as_text(as_int(record.get("chat_id"))),
        parent_id=str(before) if before is not None and before >= 0 else None,
        time_us=offset,
        time_is_relative=offset is not None,
        tags=[kind] if kind else [],
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        block_ids=ids,
        block_size=16 if ids else 0,
    )
    return [call]
