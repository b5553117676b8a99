"""Envoy AI Gateway access logs: JSON lines whose field names the operator chose; holds no text, knows no price.

A field is told by the words in its name: `genai_tokens_input`, `gen_ai.usage.input_tokens` and `llm_input_token`
are one.
"""

import re
from functools import lru_cache
from typing import Any

from costplan.ingest.fields import as_int, as_text, time_us
from costplan.ingest.request import soft_float
from costplan.ingest.response import read_error, status_of
from costplan.trace import Call, NotACall

NAME = "envoy"
RULE = (
    "fields are told by the words in their names, which are the operator's; input tokens include cached ones, output "
    "tokens include reasoning: taken as they are"
)

_MILLISECONDS = ("duration", "duration_ms")
# (field, words that its name must hold, words that it must not), the more telling first
_FIELDS = (
    ("cache_read", {"token", "cached"}, {"creation", "write"}),
    ("cache_read", {"token", "cache", "read"}, set[str]()),
    ("cache_write", {"token", "cache", "creation"}, set[str]()),
    ("cache_write", {"token", "cache", "write"}, set[str]()),
    ("reasoning", {"token", "reasoning"}, set[str]()),
    ("input", {"token", "input"}, {"cache", "cached"}),
    ("input", {"token", "prompt"}, {"cache", "cached"}),
    ("output", {"token", "output"}, {"reasoning"}),
    ("output", {"token", "completion"}, {"reasoning"}),
    ("response_model", {"model", "response"}, set[str]()),
    ("override", {"model", "override"}, set[str]()),
    ("model", {"model"}, set[str]()),
    ("session", {"session"}, set[str]()),
    ("user", {"user"}, {"agent"}),
    ("provider", {"provider"}, set[str]()),
)


def matches(record: dict[str, Any]) -> bool:
    """A start time beside names that begin with genai_tokens, gen_ai. or llm_ and tokens."""
    return "start_time" in record and any(
        key.startswith(("genai_tokens", "gen_ai.", "llm_input_token")) for key in record
    )


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The one call in the line; a request that named no model and counted no token is none."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        field = _field(key)
        if field and value not in (None, "", "-"):  # Envoy writes a dash for what it does not have
            found.setdefault(field, value)
    if not found.keys() & {"model", "override", "response_model", "input", "output"}:
        return [NotACall("envoy_no_model_call")]
    status = soft_float(record.get("response_code"))
    milliseconds = next((n for key in _MILLISECONDS if (n := soft_float(record.get(key))) is not None), None)
    counts = {name: as_int(found.get(name)) for name in ("input", "output", "cache_read", "cache_write", "reasoning")}
    counted = bool(counts["input"] or counts["output"])  # 0 and 0: no usage was seen
    call = Call(
        request_id=as_text(record.get("x-request-id")),
        session_id=as_text(found.get("session")),
        user=as_text(found.get("user")),
        feature=as_text(record.get("route_name")),
        time_us=time_us(record.get("start_time")),
        duration_s=None if milliseconds is None else milliseconds / 1000,
        provider=as_text(found.get("provider")) or "",
        operation="embeddings" if "embed" in (as_text(record.get("x-envoy-origin-path")) or "") else "chat",
        request_model=as_text(found.get("override")) or as_text(found.get("model")) or "",
        response_model=as_text(found.get("response_model")) or "",
        input_tokens=counts["input"] if counted else None,
        output_tokens=counts["output"] if counted else None,
        cache_read_tokens=counts["cache_read"] or 0,
        cache_write_tokens=counts["cache_write"] or 0,
        reasoning_tokens=counts["reasoning"] or 0,
        cache_reported="cache_read" in found,
        http_status=status_of(status),
    )
    if status is not None and not 200 <= status < 300:  # 0: the client was gone before the answer
        read_error(call, None, status_of(status))
        call.possibly_billed = counted or status in (0, 408, 504)
    return [call]


@lru_cache(4096)  # names are few, but hostile lines may each bring their own
def _words(name: str) -> frozenset[str]:
    return frozenset(word.removesuffix("s") for word in re.split(r"[^a-z]+", name.lower()))


def _field(name: str) -> str | None:
    if len(name) > 80:
        return None
    words = _words(name)
    return next((field for field, needed, barred in _FIELDS if needed <= words and not barred & words), None)
