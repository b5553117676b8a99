"""The same sixty calls in five dialects cost the same to the nano-dollar, whatever each dialect counts as input."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from costplan.results import Plan
from tests.ingest.logs import START, nanos, plan_of, rung, write

MODELS = ("gpt-4o", "gpt-4o-mini", "o3-mini")


def sixty_calls() -> list[dict[str, Any]]:
    """Cached tokens on every third call, reasoning on o3-mini, every sixth question asked before, two refusals."""
    calls: list[dict[str, Any]] = []
    for n in range(60):
        model = MODELS[n % 3]
        asked = 2240 + n
        answered = 50 + 11 * n
        calls.append({
            "n": n, "start": START + 600 * n, "seconds": 1.25, "model": model,
            "user": f"u{n % 5}", "session": f"s{n % 9}",
            "messages": [
                {"role": "system", "content": "You answer questions about parcels. " * 320},
                {"role": "user", "content": f"Where is parcel {n // 6 * 6 if n % 6 == 3 else n}?"},
            ],
            "answer": f"Parcel {n} is on its way." , "failed": n in (20, 41),
            "input": asked, "cached": 1024 if n % 3 == 0 else 0, "output": answered,
            "reasoning": answered // 2 if model == "o3-mini" else 0,
        })  # fmt: skip
    return calls


CALLS = sixty_calls()
ERROR = {"error": {"type": "rate_limit_error", "message": "slow down"}}


def usage(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": call["input"],
        "completion_tokens": call["output"],
        "total_tokens": call["input"] + call["output"],
        "prompt_tokens_details": {"cached_tokens": call["cached"]},
        "completion_tokens_details": {"reasoning_tokens": call["reasoning"]},
    }


def completion(call: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": call["answer"]}
    return {
        "id": f"chatcmpl-{call['n']}",
        "object": "chat.completion",
        "model": call["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(call),
    }


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def as_pair(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": "https://api.openai.com/v1/chat/completions",
        "timestamp": call["start"],
        "latency_ms": 1000 * call["seconds"],
        "user": call["user"],
        "session": call["session"],
        "status_code": 429 if call["failed"] else 200,
        "request": {"model": call["model"], "messages": call["messages"]},
        "response": ERROR if call["failed"] else completion(call),
    }


def as_litellm(call: dict[str, Any]) -> dict[str, Any]:
    failed = call["failed"]
    return {
        "id": f"chatcmpl-{call['n']}",
        "call_type": "acompletion",
        "startTime": iso(call["start"]),
        "endTime": iso(call["start"] + call["seconds"]),
        "status": "failure" if failed else "success",
        "custom_llm_provider": "openai",
        "model": call["model"],
        "messages": call["messages"],
        "response": {} if failed else completion(call),
        "response_cost": 0.0 if failed else 0.01,
        "prompt_tokens": 0 if failed else call["input"],
        "completion_tokens": 0 if failed else call["output"],
        "error_information": {"error_code": "429", "error_class": "RateLimitError"} if failed else {},
        "end_user": call["user"],
        "session_id": call["session"],
        "model_parameters": {},
    }


def as_langfuse(call: dict[str, Any]) -> dict[str, Any]:
    buckets = {
        "input": call["input"] - call["cached"],
        "input_cached_tokens": call["cached"],
        "output": call["output"] - call["reasoning"],
        "output_reasoning_tokens": call["reasoning"],
        "total": call["input"] + call["output"],
    }
    return {
        "id": f"o{call['n']}",
        "trace_id": f"t{call['n']}",
        "type": "GENERATION",
        "start_time": iso(call["start"]),
        "end_time": iso(call["start"] + call["seconds"]),
        "provided_model_name": call["model"],
        "input": json.dumps(call["messages"]),
        "output": call["answer"],
        "usage_details": {} if call["failed"] else buckets,
        "level": "ERROR" if call["failed"] else "DEFAULT",
        "status_message": "Error code: 429" if call["failed"] else None,
        "user_id": call["user"],
        "session_id": call["session"],
    }


def as_span(call: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": call["model"],
        "user.id": call["user"],
        "gen_ai.conversation.id": call["session"],
        "gen_ai.input.messages": json.dumps(call["messages"]),
    }
    if call["failed"]:
        attributes["error.type"] = "429"
    else:
        attributes |= {
            "gen_ai.response.id": f"chatcmpl-{call['n']}",
            "gen_ai.usage.input_tokens": call["input"],
            "gen_ai.usage.cache_read.input_tokens": call["cached"],
            "gen_ai.usage.output_tokens": call["output"],
            "gen_ai.usage.reasoning.output_tokens": call["reasoning"],
            "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": call["answer"]}]),
        }
    start = round(call["start"] * 1e9)
    span = {
        "traceId": f"{call['n'] + 1:032x}",
        "spanId": f"{call['n'] + 1:016x}",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + round(call["seconds"] * 1e9)),
        "status": {"code": 2} if call["failed"] else {},
        "attributes": [
            {"key": k, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
            for k, v in attributes.items()
        ],
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def as_csv(calls: list[dict[str, Any]]) -> bytes:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["when", "llm", "tok_in", "tok_cached", "tok_out", "tok_think", "who", "chat", "http", "asked"])
    for c in calls:
        counts = ["", "", "", ""] if c["failed"] else [c["input"], c["cached"], c["output"], c["reasoning"]]
        asked = json.dumps(c["messages"])
        status = 429 if c["failed"] else 200
        table.writerow([c["start"], c["model"], *counts, c["user"], c["session"], status, asked])
    return out.getvalue().encode()


MAP = (
    "when=timestamp", "llm=model", "tok_in=input_tokens", "tok_cached=cache_read_tokens", "tok_out=output_tokens",
    "tok_think=reasoning_tokens", "who=user", "chat=session", "http=status", "asked=prompt",
)  # fmt: skip
WRITERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "pairs": as_pair, "litellm": as_litellm, "langfuse": as_langfuse, "otlp": as_span,
}  # fmt: skip


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Plan]:
    folder = tmp_path_factory.mktemp("dialects")
    found = {name: plan_of(write(folder / f"{name}.jsonl", map(f, CALLS))) for name, f in WRITERS.items()}
    table = folder / "table.csv"
    table.write_bytes(as_csv(CALLS))
    found["generic"] = plan_of(table, map=MAP)
    for name, plan in found.items():
        assert plan.inputs[0].format == name
    return found


def test_one_log_in_five_dialects_costs_the_same_to_the_nano_dollar(plans: dict[str, Plan]):
    """Prices in nano-dollars a token in October 2026 (input, cached, output), reasoning inside the output."""
    rates = {"gpt-4o": (2500, 1250, 10_000), "gpt-4o-mini": (150, 75, 600), "o3-mini": (1100, 550, 4400)}
    by_hand = 0
    for call in CALLS:
        if not call["failed"]:
            fresh, cached, out = rates[call["model"]]
            by_hand += (call["input"] - call["cached"]) * fresh + call["cached"] * cached + call["output"] * out
    assert {name: nanos(plan) for name, plan in plans.items()} == dict.fromkeys(plans, by_hand)


def test_one_log_in_five_dialects_has_the_same_books(plans: dict[str, Plan]):
    books = {name: plan.ingest for name, plan in plans.items()}
    counts = {n: (b.requests, b.priced, b.failed, b.skipped.total, b.duplicates) for n, b in books.items()}
    assert counts == dict.fromkeys(books, (60, 58, 2, 0, 0))
    assert {name: b.failed_by for name, b in books.items()} == dict.fromkeys(books, {"http_429": 2})
    tokens = {
        name: (b.input_tokens, b.cache_read_tokens, b.output_tokens, b.reasoning_tokens)
        for name, b in ((name, plan.baseline) for name, plan in plans.items())
    }
    assert len(set(tokens.values())) == 1, tokens


def test_one_log_in_five_dialects_repeats_itself_equally_often(plans: dict[str, Plan]):
    answered = {name: rung(plan, "response_cache").evidence["hit_share"] for name, plan in plans.items()}
    reused = {name: rung(plan, "prompt_cache").evidence["ceiling"]["token_share"] for name, plan in plans.items()}
    assert len(set(answered.values())) == 1 and answered["pairs"] > 0, answered
    assert len(set(reused.values())) == 1 and reused["pairs"] > 0.5, reused
    users = {name: [row.cost_usd for row in plan.unit_economics.by_user] for name, plan in plans.items()}
    assert users == dict.fromkeys(users, users["pairs"]) and len(users["pairs"]) == 5
