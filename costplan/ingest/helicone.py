"""Helicone exports: JSONL of its request API, with or without bodies, and its 12-column CSV; knows no score.

Its processors (packages/cost/usage at 05291bc, openaiBodyProcessor.ts at 088ab76) store prompt tokens without cache
reads and writes. `cost` is in billionths of a dollar where it comes from the database as it is.
"""

from typing import Any

from costplan.ingest.fields import as_dict, as_text
from costplan.ingest.gateway import calls_of, count_of, labels_of, status_of
from costplan.ingest.loose import first
from costplan.ingest.request import soft_float
from costplan.trace import Call, NotACall

NAME = "helicone"
RULE = (
    "prompt_tokens leave out cache reads and writes, which are added; a logged response body counts by its own rule; "
    "unverified: whether completion_tokens hold reasoning, and that the CSV's latency is in ms"
)

_INTERNAL = {-1: "timeout", -2: "pending", -3: "cancelled", -4: "threat"}
_NO_REFERENCE = {"", "00000000-0000-0000-0000-000000000000"}


def matches(record: dict[str, Any]) -> bool:
    """`request_created_at` beside `response_status` or `request_id`."""
    return "request_created_at" in record and ("response_status" in record or "request_id" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; a row with a `cache_reference_id` was answered by Helicone's own cache and is not billed."""
    properties = as_dict(first(record.get("request_properties"), record.get("properties")))
    status = soft_float(record.get("response_status")) or 0.0
    read, written = (count_of(record.get(f"prompt_cache_{name}_tokens")) for name in ("read", "write"))
    fresh, out = (count_of(record.get(f"{name}_tokens")) for name in ("prompt", "completion"))
    if (reasoning := count_of(record.get("reasoning_tokens")) or 0) > (out or 0):
        out = (out or 0) + reasoning  # more than all of the output: they stand beside it
    cost = soft_float(first(record.get("costUSD"), record.get("cost")))
    pair = {
        "request_id": first(record.get("request_id"), record.get("response_id")),
        "timestamp": record.get("request_created_at"),
        "url": first(record.get("target_url"), record.get("request_path")),
        "provider": record.get("provider"),
        "model": first(record.get("model_override"), record.get("request_model"), record.get("model")),
        "request": record.get("request_body"),
        "response": record.get("response_body"),
        "latency_ms": first(record.get("delay_ms"), record.get("latency")),
        "ttft_ms": record.get("time_to_first_token"),
        "user": first(record.get("request_user_id"), record.get("helicone_user")),
        "session": properties.get("Helicone-Session-Id"),
        "feature": first(record.get("prompt_id"), properties.get("Helicone-Prompt-Id")),
        "environment": first(properties.get("environment"), properties.get("Environment")),
        "tags": labels_of({k: v for k, v in properties.items() if not k.startswith("Helicone-")}),
        "cost_usd": cost / 1e9 if cost is not None and cost >= 1000 else cost,
        **status_of(status),
        **({"error": _INTERNAL.get(int(status), "error")} if status < 0 else {}),
    }
    details = {
        "total_tokens": count_of(record.get("total_tokens")),
        "prompt_tokens_details": {"cached_tokens": read or 0, "cache_write_tokens": written or 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    if read is None and written is None:
        del details["prompt_tokens_details"]  # the CSV has no such columns: not reported, not zero
    inclusive = None if fresh is None else fresh + (read or 0) + (written or 0)
    rows = calls_of(pair, (inclusive, out), details)
    call = rows[0]
    if isinstance(call, Call):
        call.response_model = call.response_model or as_text(record.get("response_model")) or ""
        call.gateway_cache_hit = (as_text(record.get("cache_reference_id")) or "") not in _NO_REFERENCE
        call.stream = call.stream or call.ttft_s is not None
    return rows
