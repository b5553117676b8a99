"""Response bodies and request bodies that stand alone, of any provider; knows nothing that stood around them.

A request alone is a call without usage; a response alone is a call without a prompt.
"""

from typing import Any

from costplan.ingest.fields import as_dict, as_text, time_us
from costplan.ingest.pairs import provider_of
from costplan.ingest.request import read_labels, read_request
from costplan.ingest.response import read_response, side_calls
from costplan.trace import Call, NotACall

NAME = "bare"
RULE = "the body's own rule: OpenAI counts are inclusive, Anthropic and Bedrock exclude cache, Gemini excludes thoughts"
_OPERATIONS = {"chat.completion": "chat", "response": "chat", "text_completion": "text_completion"}


def matches(record: dict[str, Any]) -> bool:
    """True for a response object by its own type mark, or for a request with messages and a model."""
    return _is_response(record) or ("messages" in record and "model" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The call; stored completions that carry their `messages` beside the answer are read as both."""
    call = Call(time_us=time_us(record.get("timestamp")), provider=as_text(record.get("provider")) or "")
    answered = _is_response(record)
    if answered:
        # A Responses object echoes the request's parameters, but `messages` and `input` only where stored
        kind = record.get("object")
        call.operation = "embeddings" if kind == "list" else _OPERATIONS.get(str(kind), "chat")
        call.provider = call.provider or provider_of(record)
    if answered and record.get("type") == "message":
        read_labels(call, as_dict(record.get("metadata")))
    else:
        read_request(call, {key: value for key, value in record.items() if key != "text" or not answered})
    if answered:
        read_response(call, record)
        return [*side_calls(call, record)]
    return [call]


def _is_response(record: dict[str, Any]) -> bool:
    kind = record.get("object")
    if isinstance(kind, str) and kind in _OPERATIONS:
        return True
    if "usage" in record and (kind == "list" or "stopReason" in record):
        return True
    return (record.get("type") == "message" and "stop_reason" in record) or "usageMetadata" in record
