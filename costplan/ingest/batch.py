"""OpenAI and Azure batch files: input lines are the request half of a call, output lines the response; knows no price.

The halves are joined on `custom_id`. There is no time but the response body's own; every row is at the batch tier.
"""

from typing import Any

from costplan.ingest.fields import as_dict, as_text, dig
from costplan.ingest.pairs import operation_of
from costplan.ingest.request import read_request, soft_float
from costplan.ingest.response import read_error, read_response
from costplan.trace import BadRecord, Call, NotACall, Part

NAME = "openai_batch"
RULE = "OpenAI counts: input includes cached tokens, output includes reasoning"


def matches(record: dict[str, Any]) -> bool:
    """True for a batch line of either half; an Anthropic one has `params` or `result` in their place."""
    return "custom_id" in record and ("body" in record or "response" in record or "error" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The one half call in the line."""
    join_id = as_text(record.get("custom_id"))
    if join_id is None:
        raise BadRecord("no_custom_id")
    call = Call(join_id=join_id, service_tier="batch")
    if "body" in record:
        call.part = Part.REQUEST
        read_request(call, as_dict(record["body"]))
        call.operation = operation_of(as_text(record.get("url")) or "")
    else:
        _read_output(call, record)
    call.service_tier = "batch"
    return [call]


def _read_output(call: Call, record: dict[str, Any]) -> None:
    call.part = Part.RESPONSE
    response = as_dict(record.get("response"))
    body = as_dict(response.get("body"))
    call.operation = "embeddings" if body.get("object") == "list" else "chat"
    read_response(call, body)
    status = soft_float(response.get("status_code"))
    call.http_status = int(status) if status is not None else None
    error = record.get("error") or dig(body, "error")
    if error or not body or (status is not None and not 200 <= status < 300):
        # Errored and expired lines are not charged
        read_error(call, error or "no_response", call.http_status)
