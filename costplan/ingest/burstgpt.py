"""BurstGPT CSV rows, with or without session columns; it holds no text, and its zero-token answers are failures."""

from typing import Any

from costplan.ingest.fields import as_float, as_int, as_text
from costplan.ingest.loose import offset_us
from costplan.trace import BadRecord, Call, NotACall

NAME = "burstgpt"
RULE = "Request tokens and Response tokens are whole prompts and whole answers: taken as they are"


def matches(record: dict[str, Any]) -> bool:
    """Read by column name: the third release puts Session ID and Elapsed time in between."""
    return "Request tokens" in record and "Response tokens" in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; Elapsed time is end to end, not the time to first token."""
    tokens_in, tokens_out = as_int(record.get("Request tokens")), as_int(record.get("Response tokens"))
    offset = offset_us(record.get("Timestamp(s)", record.get("Timestamp")), 1e6)
    if tokens_in is None or tokens_out is None:
        raise BadRecord("missing_tokens")
    kind = as_text(record.get("Log Type"))
    call = Call(
        session_id=as_text(record.get("Session ID")),
        time_us=offset,
        time_is_relative=offset is not None,
        duration_s=as_float(record.get("Elapsed time")),
        provider="azure",
        request_model=as_text(record.get("Model")) or "",
        tags=[kind] if kind else [],
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        ok=tokens_out != 0,
        error_type=None if tokens_out else "no_response",
    )
    return [call]
