"""Anthropic message batches: request lines (`params`) and result lines (`result`) as halves of a call; knows no price.

The halves are joined on `custom_id`. Results hold no time; every row is at the batch tier.
"""

from typing import Any

from costplan.ingest.fields import as_dict, as_text
from costplan.ingest.request import read_request
from costplan.ingest.response import read_error, read_response, side_calls
from costplan.trace import BadRecord, Call, NotACall, Part

NAME = "anthropic_batch"
RULE = "Anthropic counts: cache reads and writes are added to the input, thinking is inside the output"


def matches(record: dict[str, Any]) -> bool:
    """True for a batch line of either half."""
    return "custom_id" in record and ("result" in record or "params" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The half call in the line, with one more per sub-inference on another model."""
    join_id = as_text(record.get("custom_id"))
    if join_id is None:
        raise BadRecord("no_custom_id")
    call = Call(join_id=join_id, provider="anthropic", part=Part.REQUEST if "params" in record else Part.RESPONSE)
    found = [call]
    if call.part is Part.REQUEST:
        read_request(call, as_dict(record["params"]))
    else:
        result = as_dict(record.get("result"))
        message = as_dict(result.get("message"))
        kind = as_text(result.get("type")) or "no_result"
        read_response(call, message)
        found = side_calls(call, message)
        if kind != "succeeded":
            # errored, canceled and expired requests are not charged
            read_error(call, result.get("error") or kind)
    for number, side in enumerate(found):
        side.service_tier = "batch"
        if number:
            side.part, side.join_id = Part.WHOLE, None
    return [*found]
