"""Cloudflare AI Gateway logs as its API lists them, in JSON or as CSV; knows no Logpush dataset."""

from typing import Any

from costplan.ingest.fields import as_bool, as_dict, as_text
from costplan.ingest.gateway import calls_of, labels_of, status_of
from costplan.ingest.loose import first
from costplan.trace import Call, NotACall

NAME = "cloudflare"
RULE = (
    "tokens_in and tokens_out are taken as they are, a logged response body counts by its own rule; unverified: "
    "whether tokens_in hold cache reads for providers that count them apart"
)

_MARKS = frozenset(["cached", "success", "custom_cost", "request_type", "step", "status_code"])
_PROVIDERS = {"workers-ai": "cloudflare", "google-ai-studio": "google", "google-vertex-ai": "google", "grok": "x-ai"}


def matches(record: dict[str, Any]) -> bool:
    """`tokens_in`, `tokens_out` and `duration` beside two more columns of a gateway's log (`cached`, `success` …)."""
    return (
        "tokens_in" in record and "tokens_out" in record and "duration" in record and len(record.keys() & _MARKS) >= 2
    )


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per row; `cached` rows were answered by the gateway and are not billed. `duration` is in ms."""
    metadata = as_dict(record.get("metadata"))
    path, provider = as_text(record.get("path")) or "", as_text(record.get("provider")) or ""
    pair = {
        "request_id": record.get("id"),
        "timestamp": record.get("created_at"),
        "url": f"/{path.lstrip('/')}" if path else None,
        "provider": _PROVIDERS.get(provider, provider),
        "model": record.get("model"),
        "request": first(record.get("request"), record.get("request_body")),
        "response": first(record.get("response"), record.get("response_body")),
        "latency_ms": record.get("duration"),
        "metadata": metadata,
        "tags": labels_of(metadata),
        "cached": record.get("cached"),
        "cost_usd": record.get("cost"),
        **status_of(record.get("status_code"), ok=record.get("success") is None or as_bool(record["success"])),
    }
    return calls_of(pair, (record.get("tokens_in"), record.get("tokens_out")), {})
