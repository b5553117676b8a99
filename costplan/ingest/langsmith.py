"""LangSmith runs from its API (JSON, JSONL) or bulk export (Parquet); knows no feedback and no dataset.

The top-level `session_id` is the project: conversations are told apart by the thread in the metadata.
"""

from typing import Any, cast

from costplan.ingest.fields import as_dict, as_list, as_text, dig, time_us
from costplan.ingest.gateway import count_of
from costplan.ingest.loose import (
    first,
    http_status_in,
    is_cut,
    messages_of,
    params_of,
    reason,
    reply_of,
    seconds_between,
    text_of,
    texts_of,
    tier_of,
)
from costplan.ingest.request import soft_float
from costplan.ingest.response import set_usage
from costplan.ingest.usage import Usage, usage_of
from costplan.trace import Call, NotACall

NAME = "langsmith"
RULE = (
    "usage_metadata: input is the sum of all kinds, cache reads and writes are parts of it, reasoning of the output; "
    "unverified: the ls_ names in the metadata and first_token_time"
)

_OPERATIONS = {"llm": "chat", "embedding": "embeddings"}


def matches(record: dict[str, Any]) -> bool:
    """`run_type` and `start_time` beside `inputs` or `extra`."""
    return "run_type" in record and "start_time" in record and ("inputs" in record or "extra" in record)


def calls(record: dict[str, Any]) -> list[Call | NotACall]:
    """One call per run of a model; chains, tools and retrievers repeat their children's usage but keep their ids."""
    kind = (as_text(record.get("run_type")) or "").lower()
    ids = [as_text(record.get(name)) for name in ("id", "parent_run_id", "trace_id")]
    if kind not in _OPERATIONS:
        return [NotACall(reason("langsmith", kind), span_id=ids[0], parent_id=ids[1], trace_id=ids[2])]
    extra, inputs, outputs = (as_dict(record.get(name)) for name in ("extra", "inputs", "outputs"))
    metadata = as_dict(extra.get("metadata")) or as_dict(record.get("metadata"))
    parameters = as_dict(extra.get("invocation_params"))
    replies = _generated(outputs)
    answers = [as_dict(reply.get("response_metadata")) for reply in replies]
    start, end = time_us(record.get("start_time")), time_us(record.get("end_time"))
    wait = seconds_between(start, time_us(record.get("first_token_time")))
    said = {key: value for key, value in outputs.items() if "usage" not in key}
    text, tool_calls = reply_of(replies or first(_message(said.get("output")), said.get("messages"), said))
    failed = first(record.get("error")) is not None or as_text(record.get("status")) == "error"
    call = Call(
        request_id=as_text(first(outputs.get("id"), *(reply.get("id") for reply in replies), ids[0])),
        span_id=ids[0],
        parent_id=ids[1],
        trace_id=ids[2],
        session_id=as_text(first(*(metadata.get(name) for name in ("thread_id", "session_id", "conversation_id")))),
        user=as_text(first(metadata.get("user_id"), metadata.get("user"))),
        tags=texts_of(record.get("tags")),
        feature=as_text(first(metadata.get("lc_hub_repo"), metadata.get("langgraph_node"))),
        environment=as_text(first(metadata.get("environment"), metadata.get("env"))),
        time_us=start,
        duration_s=seconds_between(start, end),
        ttft_s=wait,
        stream=wait is not None,
        operation=_OPERATIONS[kind],
        provider=as_text(metadata.get("ls_provider")) or "",
        request_model=as_text(
            first(metadata.get("ls_model_name"), *(parameters.get(name) for name in ("model", "model_name")))
        )
        or "",
        response_model=as_text(first(outputs.get("model"), *(answer.get("model_name") for answer in answers))) or "",
        service_tier=tier_of(first(outputs.get("service_tier"), *(answer.get("service_tier") for answer in answers))),
        messages=messages_of(_prompt(inputs)),
        tools=first(parameters.get("tools"), inputs.get("tools")),
        output_text=text,
        output_tool_calls=tool_calls,
        temperature=soft_float(first(parameters.get("temperature"), metadata.get("ls_temperature"))),
        params=params_of(parameters),
        text_cut=is_cut(record.get("inputs")),
        ok=not failed,
        http_status=http_status_in(record.get("error")) if failed else None,
        error_type="langsmith_error" if failed else None,
        cost_usd_reported=soft_float(record.get("total_cost")),
    )
    set_usage(call, _usage(record, outputs, replies))
    call.possibly_billed = failed and bool(call.output_tokens)
    return [call]


def _usage(record: dict[str, Any], outputs: dict[str, Any], replies: list[dict[str, Any]]) -> Usage | None:
    """The first counts there are: the answer's usage metadata, LangChain's or OpenAI's usage, the run's own."""
    sources = [as_dict(source.get("usage_metadata")) for source in (outputs, *replies)]
    sources += [as_dict(dig(outputs, "llm_output", "token_usage")), as_dict(outputs.get("usage"))]
    sources.append({
        "input_tokens": count_of(record.get("prompt_tokens")),
        "output_tokens": count_of(record.get("completion_tokens")),
        "total_tokens": count_of(record.get("total_tokens")),
        "input_token_details": record.get("prompt_token_details"),
        "output_token_details": record.get("completion_token_details"),
    })  # fmt: skip
    for source in sources:
        details = as_dict(source.get("input_token_details"))
        if details and details.get("cache_read") is None:  # OpenAI's tiers: `priority_cache_read`
            tiered = next((v for k, v in details.items() if k.endswith("_cache_read") and v is not None), None)
            source = {**source, "input_token_details": details if tiered is None else {**details, "cache_read": tiered}}
        usage = usage_of({"usage": source}) if source else None
        if usage is not None and (usage.input_tokens or usage.output_tokens):
            return usage
    return None


def _prompt(inputs: dict[str, Any]) -> Any:
    """The messages; LangChain's own are constructors with the fields under `kwargs`."""
    turns = as_list(inputs.get("messages"))
    flat = [inner for turn in turns for inner in (cast(list[Any], turn) if isinstance(turn, list) else [turn])]
    return [_message(turn) for turn in flat] or first(inputs.get("prompts"), inputs.get("input"), inputs.get("prompt"))


def _message(item: Any) -> Any:
    fields = as_dict(item)
    inner = as_dict(fields.get("kwargs")) or as_dict(fields.get("data"))
    name = as_text((as_list(fields.get("id")) or [None])[-1]) or ""
    kind = first(inner.get("type"), fields.get("type") if "data" in fields else None)
    kind = first(kind, name.removesuffix("Chunk").removesuffix("Message").lower())
    return {**inner, "type": kind} if inner else item


def _generated(outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """LangChain's `generations`, a list per prompt, as messages."""
    found: list[dict[str, Any]] = []
    for generation in as_list(outputs.get("generations")):
        for item in cast(list[Any], generation) if isinstance(generation, list) else [generation]:
            fields = as_dict(item)
            message = as_dict(_message(fields.get("message")))
            found.append(message if message else {"content": text_of(fields.get("text"))})
    return found
