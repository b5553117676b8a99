"""OpenRouter activity exports, one row per generation and without text; knows no aggregated export."""

from typing import Any

from costplan.ingest.fields import as_bool, as_float, as_int, as_text, time_us
from costplan.ingest.request import soft_float
from costplan.trace import Call, NotACall

NAME = "openrouter"
RULE = (
    "tokens_prompt include tokens_cached, tokens_completion include tokens_reasoning: taken as they are; unverified: "
    "that they are the provider's own counts, and that cost_total holds what is paid with one's own key"
)


def matches(record: dict[str, Any]) -> bool:
    """`generation_id` beside `tokens_prompt` or `cost_total`."""
    return "generation_id" in record and ("tokens_prompt" in record or "cost_total" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per generation."""
    model = as_text(record.get("model_permaslug")) or ""
    if as_text(record.get("variant")) == "free" and ":" not in model:
        model += ":free"
    finish = as_text(record.get("finish_reason_normalized"))
    cancelled = as_bool(record.get("cancelled"))
    app = as_text(record.get("app_name"))
    key = as_text(record.get("api_key_name"))
    tokens_out = as_int(record.get("tokens_completion"))
    call = Call(
        request_id=as_text(record.get("generation_id")),
        time_us=time_us(record.get("created_at")),
        duration_s=_seconds(record.get("generation_time_ms")),
        ttft_s=_seconds(record.get("time_to_first_token_ms")),
        provider="openrouter",
        request_model=model,
        stream=as_bool(record.get("streamed")),
        user=as_text(record.get("user")),
        feature=app,
        tags=[f"key={key}"] if key and not key.startswith("sk-") else [],
        input_tokens=as_int(record.get("tokens_prompt")),
        output_tokens=tokens_out,
        cache_read_tokens=as_int(record.get("tokens_cached")) or 0,
        reasoning_tokens=as_int(record.get("tokens_reasoning")) or 0,
        cache_reported="tokens_cached" in record,
        finish_reason="aborted" if cancelled else finish,
        ok=finish != "error",
        error_type="error" if finish == "error" else None,
        possibly_billed=cancelled or (finish == "error" and bool(tokens_out)),
        cost_usd_reported=soft_float(record.get("cost_total")),
    )
    return [call]


def _seconds(milliseconds: Any) -> float | None:
    number = as_float(milliseconds)
    return None if number is None else number / 1000
