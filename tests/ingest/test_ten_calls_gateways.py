"""The same ten calls of three providers in each gateway's and agent's dialect cost the same to the nano-dollar.

What a dialect cannot say is in CANNOT: the test holds it to exactly that, and the difference is worked out by hand.
"""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest.detect import detect, reading_of
from costplan.ingest.source import open_source
from costplan.results import Plan
from costplan.trace import Call as Row
from tests.ingest.logs import START, nanos, plan_of, write

Call = dict[str, Any]
# nano-dollars a token: fresh input, cache read, cache write, output (list prices of October 2026)
RATES = {
    "gpt-4o": (2500, 1250, 0, 10_000),
    "gpt-4o-mini": (150, 75, 0, 600),
    "claude-sonnet-4-5": (3000, 300, 3750, 15_000),
    "gemini-2.5-flash": (300, 30, 0, 2500),
}
FAMILIES = {"openai": ("gpt-4o", "gpt-4o-mini"), "claude": ("claude-sonnet-4-5",), "gemini": ("gemini-2.5-flash",)}
FAILED = (3, 8)
ASKED = "Where is parcel {}? "


def ten_calls(family: str) -> list[Call]:
    """Cached tokens on every third call, cache writes with Claude, thoughts with Gemini and OpenAI, two refusals."""
    models = FAMILIES[family]
    return [
        {
            "n": n, "family": family, "model": models[n % len(models)], "start": START + 60 * n, "seconds": 1.5,
            "user": f"u{n % 3}", "session": f"s{n % 4}", "failed": n in FAILED,
            "messages": [{"role": "system", "content": "You know all parcels. " * 300},
                         {"role": "user", "content": ASKED.format(n)}],
            "answer": f"Parcel {n} is on its way.",
            "input": 1500 + n, "cached": 1024 if n % 3 == 0 else 0,
            "written": 200 if family == "claude" and n % 2 else 0,
            "output": 60 + 7 * n, "thought": 0 if family == "claude" else 20,
        }
        for n in range(10)
    ]  # fmt: skip


def by_hand(calls: list[Call], *, cached: bool = True) -> int:
    total = 0
    for c in calls:
        fresh, read, write_, out = RATES[c["model"]]
        reads = c["cached"] if cached else 0
        if not c["failed"]:
            total += (c["input"] - reads - c["written"]) * fresh + reads * read
            total += c["written"] * write_ + c["output"] * out
    return total


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def request_of(c: Call) -> dict[str, Any]:
    """The request body in the provider's own shape."""
    system, user = (m["content"] for m in c["messages"])
    if c["family"] == "gemini":
        return {
            "systemInstruction": {"parts": [{"text": system}]},
            "contents": [{"role": "user", "parts": [{"text": user}]}],
        }
    if c["family"] == "claude":
        return {"model": c["model"], "system": system, "messages": c["messages"][1:]}
    return {"model": c["model"], "messages": c["messages"]}


def body_of(c: Call) -> dict[str, Any]:
    """The response body in the provider's own shape, with its own way to count."""
    if c["failed"]:
        return {"error": {"type": "rate_limit_error", "message": "slow down"}}
    if c["family"] == "gemini":
        return {
            "responseId": f"g-{c['n']}", "modelVersion": c["model"],
            "candidates": [{"content": {"role": "model", "parts": [{"text": c["answer"]}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": c["input"], "cachedContentTokenCount": c["cached"],
                              "candidatesTokenCount": c["output"] - c["thought"], "thoughtsTokenCount": c["thought"]},
        }  # fmt: skip
    if c["family"] == "claude":
        return message_of(c)
    return {
        "id": f"chatcmpl-{c['n']}", "object": "chat.completion", "model": c["model"], "usage": openai_usage(c),
        "choices": [{"message": {"role": "assistant", "content": c["answer"]}, "finish_reason": "stop"}],
    }  # fmt: skip


def message_of(c: Call) -> dict[str, Any]:
    usage = {"input_tokens": c["input"] - c["cached"] - c["written"], "cache_read_input_tokens": c["cached"],
             "cache_creation_input_tokens": c["written"], "output_tokens": c["output"]}  # fmt: skip
    return {
        "id": f"msg_{c['n']:04d}", "type": "message", "role": "assistant", "model": c["model"], "usage": usage,
        "content": [{"type": "text", "text": c["answer"]}], "stop_reason": "end_turn",
    }  # fmt: skip


def openai_usage(c: Call) -> dict[str, Any]:
    return {
        "prompt_tokens": c["input"], "completion_tokens": c["output"], "total_tokens": c["input"] + c["output"],
        "prompt_tokens_details": {"cached_tokens": c["cached"], "cache_write_tokens": c["written"]},
        "completion_tokens_details": {"reasoning_tokens": c["thought"]},
    }  # fmt: skip


def as_pairs(c: Call) -> Iterator[Any]:
    """The reference: home-made pairs of the provider's own bodies."""
    yield {
        "timestamp": c["start"], "latency_s": c["seconds"], "user": c["user"], "session": c["session"],
        "model": c["model"], "status_code": 429 if c["failed"] else 200,
        "request": request_of(c), "response": body_of(c),
    }  # fmt: skip


def as_kong(c: Call) -> Iterator[Any]:
    yield {
        "started_at": round(1000 * c["start"]), "latencies": {"request": 1600}, "consumer": {"username": c["user"]},
        "request": {"id": f"k{c['n']}"}, "response": {"status": 429 if c["failed"] else 200},
        "ai": {"proxy": {
            "usage": {} if c["failed"] else {**openai_usage(c), "cost": 0},
            "meta": {"request_model": c["model"], "response_model": c["model"], "provider_name": c["family"],
                     "llm_latency": 1000 * c["seconds"], "request_mode": "oneshot"},
            "payload": {"request": json.dumps({"model": c["model"], "messages": c["messages"]})},
        }},
    }  # fmt: skip


def as_kong_bodies(c: Call) -> Iterator[Any]:
    """With the provider's own body logged, whose rule is another for Claude and Gemini."""
    (record,) = as_kong(c)
    payload = {"request": json.dumps(request_of(c)), "response": json.dumps(body_of(c))}
    record["ai"]["proxy"] |= {"payload": payload, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    yield record


def as_envoy(c: Call) -> Iterator[Any]:
    counts = {} if c["failed"] else {
        "genai_tokens_input": c["input"], "genai_tokens_cached_input": c["cached"], "genai_tokens_output": c["output"],
        "genai_tokens_cache_creation_input": c["written"], "genai_tokens_reasoning": c["thought"],
        "genai_tokens_total": c["input"] + c["output"],
    }  # fmt: skip
    yield {
        "start_time": stamp(c["start"]), "duration": 1000 * c["seconds"], "genai_model_name": c["model"],
        "genai_model_name_override": None, "response_code": 429 if c["failed"] else 200, "x-session-id": c["session"],
        "x-user-id": c["user"], "x-request-id": f"e{c['n']}", "user-agent": "curl/8", **counts,
    }  # fmt: skip


def as_apim(c: Call) -> Iterator[Any]:
    """Three rows a call, the prompt in two of them, out of order."""
    key = {"CorrelationId": f"c{c['n']}"}
    text = json.dumps(c["messages"])
    yield {**key, "SequenceNumber": 2, "RequestMessages": text[3000:]}
    yield {
        **key, "TimeGenerated": stamp(c["start"]), "DeploymentName": "prod", "ModelName": c["model"],
        "PromptTokens": 0 if c["failed"] else c["input"], "CompletionTokens": 0 if c["failed"] else c["output"],
        "ResponseCode": 429 if c["failed"] else 200, "BackendTime": 1000 * c["seconds"], "SequenceNumber": 0,
        "ApimSubscriptionId": c["user"], "RequestId": "" if c["failed"] else f"chatcmpl-{c['n']}",
    }  # fmt: skip
    yield {**key, "SequenceNumber": 1, "RequestMessages": text[:3000]}


def as_vertex(c: Call) -> Iterator[Any]:
    if not c["failed"]:
        yield {
            "logging_time": stamp(c["start"]), "request_id": 10**17 + c["n"], "sampling_rate": 1.0,
            "model": f"publishers/x/models/{c['model']}", "full_request": json.dumps(request_of(c)),
            "full_response": json.dumps(body_of(c)), "api_method": "GenerateContent",
        }  # fmt: skip


def as_sagemaker(c: Call) -> Iterator[Any]:
    if not c["failed"]:
        answer = json.dumps(body_of(c))
        base = c["n"] % 2 == 1
        yield {
            "captureData": {
                "endpointInput": {"data": json.dumps(request_of(c)), "encoding": "JSON"},
                "endpointOutput": {"data": base64.b64encode(answer.encode()).decode() if base else answer,
                                   "encoding": "BASE64" if base else "JSON"},
            },
            "eventMetadata": {"eventId": f"e{c['n']}", "inferenceTime": stamp(c["start"])}, "eventVersion": "0",
        }  # fmt: skip


def as_claude_code(c: Call) -> Iterator[Any]:
    """Each call as two records: a snapshot of the stream, then the whole."""
    if c["failed"]:
        return
    message = message_of(c)
    shared = {"type": "assistant", "sessionId": c["session"], "timestamp": stamp(c["start"])}
    early = {**message, "usage": {**message["usage"], "output_tokens": 1}, "stop_reason": None}
    yield {"type": "user", "sessionId": c["session"], "message": c["messages"][1]}
    yield {**shared, "uuid": f"a{c['n']}", "message": early}
    yield {**shared, "uuid": f"b{c['n']}", "parentUuid": f"a{c['n']}", "message": message}


def as_codex(calls: list[Call]) -> Iterator[Any]:
    """One session in which only totals are logged, and each of them twice."""
    total = dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens"), 0)
    yield {"type": "session_meta", "payload": {"id": "s0", "model_provider": "openai"}}
    for c in calls:
        yield {"type": "turn_context", "payload": {"model": c["model"]}}
        if c["failed"]:
            continue
        for name, field in zip(total, ("input", "cached", "output", "thought"), strict=True):
            total[name] += c[field]
        event = {"type": "token_count", "info": {"total_token_usage": dict(total)}}
        for _ in range(2):
            yield {"timestamp": stamp(c["start"]), "type": "event_msg", "payload": event}


def as_vllm(c: Call) -> Iterator[Any]:
    """vLLM's own spans, under the old names."""
    values = {
        "gen_ai.response.model": c["model"], "gen_ai.request.id": f"v{c['n']}", "gen_ai.request.max_tokens": 512,
        "gen_ai.usage.prompt_tokens": c["input"], "gen_ai.usage.completion_tokens": c["output"],
        "gen_ai.latency.time_to_first_token": 0.25, "gen_ai.latency.e2e": c["seconds"],
    }  # fmt: skip
    span = {"traceId": f"{c['n'] + 1:032x}", "spanId": f"{c['n'] + 1:016x}", "attributes": [
        {"key": k, "value": {{int: "intValue", float: "doubleValue", str: "stringValue"}[type(v)]: v}}
        for k, v in values.items()], "startTimeUnixNano": str(round(c["start"] * 1e9))}  # fmt: skip
    if not c["failed"]:
        yield {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def each(writer: Callable[[Call], Iterator[Any]]) -> Callable[[list[Call]], list[Any]]:
    return lambda calls: [record for call in calls for record in writer(call)]


WRITERS: dict[str, tuple[str, Callable[[list[Call]], Any]]] = {
    "pairs": ("pairs", each(as_pairs)), "kong": ("kong", each(as_kong)), "kong bodies": ("kong", each(as_kong_bodies)),
    "envoy": ("envoy", each(as_envoy)), "apim": ("apim", each(as_apim)), "vertex": ("vertex", each(as_vertex)),
    "sagemaker": ("sagemaker", each(as_sagemaker)), "claude_code": ("claude_code", each(as_claude_code)),
    "codex": ("codex", as_codex), "vllm": ("otlp", each(as_vllm)),
}  # fmt: skip
CANNOT: dict[str, set[str]] = {
    "pairs": set(),
    "kong": {"session"},
    "kong bodies": {"session"},
    "envoy": {"text"},
    "apim": {"session", "cached"},
    "vertex": {"session", "user", "failed", "duration"},
    "sagemaker": {"session", "user", "failed", "duration"},
    "claude_code": {"text", "user", "failed", "duration"},
    "codex": {"text", "user", "failed", "duration"},
    "vllm": {"text", "session", "user", "failed", "cached"},
}
SPEAKS = {
    "openai": ["pairs", "kong", "kong bodies", "envoy", "apim", "sagemaker", "codex", "vllm"],
    "claude": ["pairs", "kong", "kong bodies", "envoy", "vertex", "claude_code"],
    "gemini": ["pairs", "kong", "kong bodies", "envoy", "vertex"],
}
CASES = [(family, name) for family, names in SPEAKS.items() for name in names]


def rows_of(log: Path) -> list[Row]:
    """The calls of a log as its dialect reads them."""
    read, at_end = reading_of(detect(open_source(str(log)), forced=None, mapping={}))
    found = [row for line in log.read_text().splitlines() for row in read(json.loads(line))] + at_end()
    return [row for row in found if isinstance(row, Row)]


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Plan]:
    folder = tmp_path_factory.mktemp("ten")
    found: dict[tuple[str, str], Plan] = {}
    for family, name in CASES:
        log = write(folder / f"{family}-{name}.jsonl", WRITERS[name][1](ten_calls(family)))
        found[family, name] = plan_of(log)
        assert found[family, name].inputs[0].format == WRITERS[name][0]
    return found


@pytest.mark.parametrize(("family", "name"), CASES)
def test_ten_calls_cost_the_same_to_the_nano_dollar(plans: dict[tuple[str, str], Plan], family: str, name: str):
    plan, calls = plans[family, name], ten_calls(family)
    assert nanos(plan) == by_hand(calls, cached="cached" not in CANNOT[name])
    books = plan.ingest
    assert books.failed == (0 if "failed" in CANNOT[name] else 2) and books.priced == 8
    assert books.skipped.total == 0 and books.unpriced.requests == 0
    known = {row.key: row.requests for row in plan.unit_economics.by_model}
    models = [c["model"] for c in calls if not (c["failed"] and "failed" in CANNOT[name])]
    assert known == {model: models.count(model) for model in models}


@pytest.mark.parametrize(("family", "name"), CASES)
def test_what_a_dialect_cannot_say_is_missing_and_nothing_else(
    plans: dict[tuple[str, str], Plan], family: str, name: str
):
    plan, cannot = plans[family, name], CANNOT[name]
    assert plan.ingest.text_state["absent"] == (plan.ingest.requests if "text" in cannot else 0)
    assert (plan.ingest.cache_reported_share == 0) == ("cached" in cannot)
    assert len(plan.unit_economics.by_user) == (0 if "user" in cannot else 3)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_sessions_and_durations_are_those_of_the_calls(tmp_path: Path, family: str, name: str):
    log = write(tmp_path / "log.jsonl", WRITERS[name][1](ten_calls(family)))
    rows, cannot = rows_of(log), CANNOT[name]
    sessions = {None} if "session" in cannot else {"s0"} if name == "codex" else {"s0", "s1", "s2", "s3"}
    assert {row.session_id for row in rows} == sessions
    assert {row.duration_s for row in rows} == {None if "duration" in cannot else 1.5}
    assert {row.time_us for row in rows} <= {round(1e6 * c["start"]) for c in ten_calls(family)}


def test_without_a_count_of_cached_tokens_all_input_is_priced_as_fresh():
    """OpenAI's ten calls: 0, 6 and 9 read 1,024 tokens at half price (3 failed); 1,250 and twice 75, 1,250 … more."""
    calls = ten_calls("openai")
    more = sum(1024 * (2500 - 1250 if c["model"] == "gpt-4o" else 150 - 75) for c in calls if c["n"] in (0, 6, 9))
    assert by_hand(calls, cached=False) - by_hand(calls) == more == 1024 * (1250 + 1250 + 75)
