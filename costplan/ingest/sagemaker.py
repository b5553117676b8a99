"""SageMaker data capture lines: what an endpoint was asked and answered, read as any pair; knows no price.

The line names no model unless a body does, and no captured share: what the endpoint's sampling left out is not in it.
"""

import base64
import binascii
from typing import Any

from costplan.ingest import pairs
from costplan.ingest.fields import as_dict, as_list, as_text, from_json
from costplan.trace import BadRecord, Call, NotACall

NAME = "sagemaker"
RULE = "the captured body's own rule; a body without usage is counted from its text"


def matches(record: dict[str, Any]) -> bool:
    """The capture beside its event."""
    return "captureData" in record and "eventMetadata" in record


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The call in the line; what is no JSON (CSV of a classic model) is no model call."""
    capture, event = as_dict(record.get("captureData")), as_dict(record.get("eventMetadata"))
    request = _asked(as_dict(_text(as_dict(capture.get("endpointInput")))))
    if not request:
        return [NotACall("sagemaker_no_json")]
    answer = _text(as_dict(capture.get("endpointOutput")))
    generated = from_json(answer) if answer[:1] in "[{" else None
    texts = [as_text(as_dict(item).get("generated_text")) for item in as_list(generated) or [generated]]
    return pairs.calls({
        "id": as_text(event.get("eventId")),
        "timestamp": event.get("inferenceTime"),
        "request": request,
        "response": {"text": texts[0]} if texts[0] else answer,
    })  # fmt: skip


def _text(side: dict[str, Any]) -> str:
    text = as_text(side.get("data")) or ""
    if (as_text(side.get("encoding")) or "").upper() != "BASE64":
        return text
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        raise BadRecord("bad_base64") from None


def _asked(body: dict[str, Any]) -> dict[str, Any]:
    """TGI's `inputs` and `parameters` as the names other servers use."""
    if "inputs" not in body or "messages" in body:
        return body
    parameters = as_dict(body.get("parameters"))
    return {**parameters, "max_tokens": parameters.get("max_new_tokens"), **body, "prompt": body["inputs"]}
