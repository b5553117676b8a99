"""Portkey log exports (the columns a user asked for); knows no guardrail and no feedback."""

from typing import Any

from costplan.ingest.fields import as_bool, as_dict, as_text
from costplan.ingest.gateway import calls_of, labels_of, status_of
from costplan.ingest.loose import first
from costplan.trace import Call, NotACall

NAME = "portkey"
RULE = (
    "req_units and res_units are taken as they are, a logged response body counts by its own rule; unverified: whether "
    "req_units hold cache reads, and that response_time is in ms; cost is left out, since its unit may be cents"
)

_PROVIDERS = {"azure-openai": "azure", "vertex-ai": "google", "bedrock": "aws", "anthropic": "anthropic"}


def matches(record: dict[str, Any]) -> bool:
    """`ai_model` beside a column of token units (`req_units`, `res_units`, `total_units`)."""
    return "ai_model" in record and ("req_units" in record or "res_units" in record or "total_units" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; a `cache_status` of HIT was answered by the gateway and is not billed."""
    metadata = as_dict(record.get("metadata"))
    provider = as_text(record.get("ai_org")) or ""
    pair = {
        "request_id": record.get("id"),
        "trace_id": record.get("trace_id"),
        "timestamp": record.get("created_at"),
        "url": record.get("request_url"),
        "provider": _PROVIDERS.get(provider, provider),
        "model": record.get("ai_model"),
        "request": record.get("request"),
        "response": record.get("response"),
        "latency_ms": record.get("response_time"),
        "feature": record.get("prompt_slug"),
        "user": metadata.get("_user"),
        "environment": metadata.get("_environment"),
        "metadata": metadata,
        "tags": labels_of({key: value for key, value in metadata.items() if not key.startswith("_")}),
        "cached": "HIT" in (as_text(record.get("cache_status")) or "").upper().split(),
        **status_of(
            record.get("response_status_code"), ok=record.get("is_success") is None or as_bool(record["is_success"])
        ),
    }
    total = {"total_tokens": record["total_units"]} if first(record.get("total_units")) is not None else {}
    return calls_of(pair, (record.get("req_units"), record.get("res_units")), total)
