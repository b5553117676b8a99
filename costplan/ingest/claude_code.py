"""Claude Code session files (`~/.claude/projects/**/*.jsonl`); knows not which of a call's records stays.

A call is written once per content block or streaming snapshot, and again where a resumed session copies its history.
The time is when the record was written: the call's end. The prompt as it was sent is not in the file.
"""

from typing import Any

from costplan.ingest.fields import as_bool, as_dict, as_text, time_us
from costplan.ingest.loose import first, reason
from costplan.ingest.pairs import provider_of
from costplan.ingest.response import read_response, side_calls
from costplan.trace import Call, NotACall, Part

NAME = "claude_code"
RULE = (
    "Anthropic counts: cache reads and writes are added to the input; of the records with one message.id, in all "
    "files, the one with the most output tokens counts; rows of model `<synthetic>` (unverified) are no calls"
)

_TYPES = ("user", "assistant", "system", "summary")


def matches(record: dict[str, Any]) -> bool:
    """A message with its session; other lines of the file (summaries, snapshots) are read beside it."""
    return "sessionId" in record and "message" in record and record.get("type") in _TYPES


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One record of a call per assistant row with usage; every other row is no call but keeps its ids."""
    kind = as_text(record.get("type")) or ""
    message = as_dict(record.get("message"))
    ids = [as_text(record.get(name)) for name in ("uuid", "parentUuid", "sessionId")]
    if kind == "assistant" and message.get("model") == "<synthetic>":
        kind = "synthetic"  # written by the program itself, after an error or an interruption
    elif kind == "assistant" and not as_dict(message.get("usage")):
        kind = "assistant_without_usage"
    if kind != "assistant":
        return [NotACall(reason(NAME, kind), *ids)]
    call = Call(
        request_id=as_text(first(record.get("requestId"), record.get("uuid"))),
        span_id=ids[0],
        parent_id=ids[1],
        trace_id=ids[2],
        session_id=ids[2],
        feature="sidechain" if as_bool(record.get("isSidechain")) else "main",
        time_us=time_us(record.get("timestamp")),
        provider=provider_of(message) or "anthropic",
        part=Part.SNAPSHOT,
    )
    read_response(call, message)
    return [*side_calls(call, message)]
