"""The Azure LLM inference trace (arrivals and lengths); it holds no model, no text, no session and no latency."""

from typing import Any

from costplan.ingest.fields import as_int, time_us
from costplan.trace import BadRecord, Call, NotACall

NAME = "azure"
RULE = "ContextTokens and GeneratedTokens are whole prompts and whole answers: taken as they are"


def matches(record: dict[str, Any]) -> bool:
    """The three columns of the public CSV files."""
    return "TIMESTAMP" in record and "ContextTokens" in record and "GeneratedTokens" in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; times are UTC text with seven decimals, cut to microseconds."""
    tokens_in, tokens_out = as_int(record.get("ContextTokens")), as_int(record.get("GeneratedTokens"))
    if tokens_in is None or tokens_out is None:
        raise BadRecord("missing_tokens")
    return [Call(time_us=time_us(record.get("TIMESTAMP")), input_tokens=tokens_in, output_tokens=tokens_out)]
