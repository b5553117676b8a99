"""The same ten calls in the exports of seven products: the first nine of the sixty, and the first refused one."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.ingest.test_five_dialects import CALLS, ERROR, completion

TEN = [*CALLS[:9], CALLS[20]]
RATES = {"gpt-4o": (2500, 1250, 10_000), "gpt-4o-mini": (150, 75, 600), "o3-mini": (1100, 550, 4400)}
"""Nano-dollars a token in October 2026: input, cached input, output."""

Row = dict[str, Any]


def by_hand(*, cached: bool = True) -> int:
    """Nano-dollars of the ten; `cached=False`: as a dialect that has no field for cached tokens must count."""
    total = 0
    for call in TEN:
        if not call["failed"]:
            fresh, read, out = RATES[call["model"]]
            hit = call["cached"] if cached else 0
            total += (call["input"] - hit) * fresh + hit * read + call["output"] * out
    return total


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def as_helicone(call: Row) -> Row:
    counts = {
        "prompt_tokens": call["input"] - call["cached"],
        "prompt_cache_read_tokens": call["cached"],
        "completion_tokens": call["output"],
        "reasoning_tokens": call["reasoning"],
        "total_tokens": call["input"] + call["output"],
    }
    return {
        "request_id": f"req-{call['n']}",
        "request_created_at": stamp(call["start"]),
        "response_status": 429 if call["failed"] else 200,
        "request_model": call["model"],
        "provider": "OPENAI",
        "request_user_id": call["user"],
        "request_properties": {"Helicone-Session-Id": call["session"]},
        "delay_ms": 1000 * call["seconds"],
        "request_body": {"model": call["model"], "messages": call["messages"]},
        **({} if call["failed"] else counts),
    }


def as_helicone_csv(call: Row) -> Row:
    """Its twelve columns have no place for cached tokens: prompt_tokens are all of them."""
    return {
        "response_id": f"res-{call['n']}",
        "response_created_at": stamp(call["start"] + call["seconds"]),
        "response_status": 429 if call["failed"] else 200,
        "request_created_at": stamp(call["start"]),
        "request_body": json.dumps({"model": call["model"], "messages": call["messages"]}),
        "request_properties": json.dumps({"Helicone-Session-Id": call["session"]}),
        "request_user_id": call["user"],
        "model": call["model"],
        "prompt_tokens": "" if call["failed"] else call["input"],
        "completion_tokens": "" if call["failed"] else call["output"],
        "latency": 1000 * call["seconds"],
        "cost": "",
    }


def as_langsmith(call: Row) -> Row:
    counts = {
        "input_tokens": call["input"],
        "output_tokens": call["output"],
        "total_tokens": call["input"] + call["output"],
        "input_token_details": {"cache_read": call["cached"]},
        "output_token_details": {"reasoning": call["reasoning"]},
    }
    metadata = {"ls_provider": "openai", "ls_model_name": call["model"], "thread_id": call["session"]}
    reply = {"messages": [{"role": "assistant", "content": call["answer"]}], "usage_metadata": counts}
    return {
        "id": f"run-{call['n']}",
        "trace_id": f"trace-{call['n']}",
        "session_id": "the-project",
        "run_type": "llm",
        "start_time": stamp(call["start"]),
        "end_time": stamp(call["start"] + call["seconds"]),
        "inputs": {"messages": call["messages"]},
        "outputs": {} if call["failed"] else reply,
        "error": "Error code: 429" if call["failed"] else None,
        "extra": {"metadata": {**metadata, "user_id": call["user"]}},
    }


def as_phoenix(call: Row) -> Row:
    counts = {
        "prompt": call["input"],
        "prompt_details.cache_read": call["cached"],
        "completion": call["output"],
        "completion_details.reasoning": call["reasoning"],
    }
    turns = [{"message.role": turn["role"], "message.content": turn["content"]} for turn in call["messages"]]
    return {
        "context.trace_id": f"{call['n'] + 1:032x}",
        "context.span_id": f"{call['n'] + 1:016x}",
        "span_kind": "LLM",
        "start_time": stamp(call["start"]),
        "end_time": stamp(call["start"] + call["seconds"]),
        "status_code": "ERROR" if call["failed"] else "OK",
        "status_message": "Error code: 429" if call["failed"] else "",
        "attributes.llm.provider": "openai",
        "attributes.llm.model_name": call["model"],
        "attributes.llm.input_messages": turns,
        "attributes.user.id": call["user"],
        "attributes.session.id": call["session"],
        **{f"attributes.llm.token_count.{k}": None if call["failed"] else v for k, v in counts.items()},
    }


def as_bedrock(call: Row) -> Row:
    """Reasoning has no count of its own here: it is inside the output. The models are priced by their own makers."""
    fresh, cached = call["input"] - call["cached"], call["cached"]
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": call["answer"]}]}},
        "metrics": {"latencyMs": 1000 * call["seconds"]},
        "usage": {
            "inputTokens": fresh,
            "cacheReadInputTokens": cached,
            "cacheReadInputTokenCount": cached,
            "outputTokens": call["output"],
        },
    }
    turns = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in call["messages"]]
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": stamp(call["start"]),
        "requestId": f"req-{call['n']}",
        "operation": "Converse",
        "modelId": call["model"],
        "identity": {"arn": call["user"]},
        "requestMetadata": {"session_id": call["session"]},
        "input": {
            "inputBodyJson": {"system": turns[0]["content"], "messages": turns[1:]},
            **({} if call["failed"] else {"inputTokenCount": fresh, "cacheReadInputTokenCount": cached}),
        },
        **(
            {"errorCode": "ThrottlingException"}
            if call["failed"]
            else {"output": {"outputBodyJson": body, "outputTokenCount": call["output"]}}
        ),
    }


def as_openrouter(call: Row) -> Row:
    """No text, no session, no HTTP status."""
    return {
        "generation_id": f"gen-{call['n']}",
        "created_at": stamp(call["start"]),
        "cost_total": 0,
        "tokens_prompt": 0 if call["failed"] else call["input"],
        "tokens_completion": 0 if call["failed"] else call["output"],
        "tokens_reasoning": 0 if call["failed"] else call["reasoning"],
        "tokens_cached": 0 if call["failed"] else call["cached"],
        "model_permaslug": f"openai/{call['model']}",
        "user": call["user"],
        "generation_time_ms": 1000 * call["seconds"],
        "finish_reason_normalized": "error" if call["failed"] else "stop",
    }


def as_cloudflare(call: Row) -> Row:
    """No column for cached or reasoning tokens."""
    return {
        "id": f"log-{call['n']}",
        "created_at": stamp(call["start"]),
        "provider": "openai",
        "model": call["model"],
        "path": "chat/completions",
        "success": not call["failed"],
        "status_code": 429 if call["failed"] else 200,
        "duration": 1000 * call["seconds"],
        "tokens_in": 0 if call["failed"] else call["input"],
        "tokens_out": 0 if call["failed"] else call["output"],
        "cached": False,
        "metadata": json.dumps({"user": call["user"], "session": call["session"]}),
    }


def as_portkey(call: Row) -> Row:
    return {
        "id": f"log-{call['n']}",
        "created_at": stamp(call["start"]),
        "request": {"model": call["model"], "messages": call["messages"]},
        "response": ERROR if call["failed"] else completion(call),
        "is_success": not call["failed"],
        "response_status_code": 429 if call["failed"] else 200,
        "ai_org": "openai",
        "ai_model": call["model"],
        "req_units": 0 if call["failed"] else call["input"],
        "res_units": 0 if call["failed"] else call["output"],
        "response_time": 1000 * call["seconds"],
        "metadata": {"_user": call["user"], "session": call["session"]},
    }


WRITERS: dict[str, Callable[[Row], Row]] = {
    "helicone": as_helicone,
    "langsmith": as_langsmith,
    "phoenix": as_phoenix,
    "bedrock": as_bedrock,
    "openrouter": as_openrouter,
    "cloudflare": as_cloudflare,
    "portkey": as_portkey,
}


def as_csv(path: Path, rows: Iterable[Row]) -> Path:
    """The rows as a table; what is no scalar as JSON text."""
    held = list(rows)
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(held[0])
    table.writerows([json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()] for row in held)
    path.write_text(out.getvalue())
    return path
