"""Vertex AI request-response logs as BigQuery exports them; reads the bodies as any pair, knows no price."""

from typing import Any, cast

from costplan.ingest import pairs
from costplan.ingest.fields import as_dict, as_float, as_list, as_text
from costplan.ingest.loose import first
from costplan.trace import BadRecord, Call, NotACall

NAME = "vertex"
RULE = (
    "the body's own rule (Gemini excludes thoughts, Anthropic excludes cache); a row stands for 1 / sampling_rate "
    "calls; column names are unverified, otel_log is not read"
)


def matches(record: dict[str, Any]) -> bool:
    """A logging time beside a whole request or its payload."""
    return "logging_time" in record and ("full_request" in record or "request_payload" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """The call in the row. Raises BadRecord for a sampling rate that is none."""
    rate = as_float(first(record.get("sampling_rate"), as_dict(record.get("metadata")).get("sampling_rate")))
    if rate is not None and not 0 < rate <= 1:
        raise BadRecord("bad_sampling_rate")
    model = as_text(first(record.get("model"), record.get("deployed_model_id"))) or ""
    identity = record.get("request_id")  # NUMERIC: a decimal in Parquet
    method = (as_text(record.get("api_method")) or "").rpartition(".")[2]
    return pairs.calls({
        "id": None if identity is None or isinstance(identity, dict | list) else str(identity),
        "timestamp": record.get("logging_time"),
        "provider": "google",
        "model": model.rpartition("/")[2],
        "url": f"/models/{model.rpartition('/')[2]}:{method}" if method and model else None,
        "request": _body(first(record.get("full_request"), record.get("request_payload"))),
        "response": _body(first(record.get("full_response"), record.get("response_payload"))),
        "sample_weight": 1 / (rate or 1.0),
    })  # fmt: skip


def _body(value: Any) -> Any:
    """A body, its JSON text, or the chunks of a stream; a repeated column holds its one body in a list."""
    chunks = [as_dict(item) for item in as_list(value)]
    if not chunks:
        return cast(Any, as_dict(value) or value)
    return chunks[0] if len(chunks) == 1 else chunks
