"""Batch files: halves of calls that meet on their custom id, at the batch tier."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import anthropic_batch, batch
from costplan.trace import BadRecord, Call, Part

TRACES = Path(__file__).parents[2] / "traces"
BODY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1747163251,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    "service_tier": "default",
}


def only(dialect: Any, record: dict[str, Any]) -> Call:
    assert dialect.matches(record)
    [call] = dialect.calls(record)
    assert isinstance(call, Call)
    return call


def test_an_openai_input_line_is_the_request_half() -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
    line = {"custom_id": "a-1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    call = only(batch, line)
    assert (call.part, call.join_id, call.service_tier, call.operation) == (Part.REQUEST, "a-1", "batch", "chat")
    assert (call.request_model, call.messages[0].content, call.input_tokens) == ("gpt-4o-mini", "Hello", None)
    assert only(batch, {**line, "url": "/v1/embeddings"}).operation == "embeddings"


def test_an_openai_output_line_is_the_response_half_at_the_batch_tier() -> None:
    line = {
        "id": "batch_req_1",
        "custom_id": "a-1",
        "response": {"status_code": 200, "request_id": "r", "body": BODY},
        "error": None,
    }
    call = only(batch, line)
    assert (call.part, call.join_id, call.service_tier) == (Part.RESPONSE, "a-1", "batch")
    assert (call.input_tokens, call.output_tokens, call.output_text, call.ok) == (9, 2, "Hi", True)
    assert (call.request_id, call.time_us) == ("chatcmpl-1", 1747163251_000000)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"response": None, "error": {"code": "batch_expired", "message": "late"}}, "batch_expired"),
        (
            {"response": {"status_code": 429, "body": {"error": {"type": "rate_limit_error"}}}, "error": None},
            "rate_limit_error",
        ),
        ({"response": {"status_code": 500, "body": {}}, "error": None}, "api_error"),
        ({"response": None, "error": None}, "no_response"),
    ],
)
def test_errored_and_expired_openai_lines_are_failed_and_free(line: dict[str, Any], error: str) -> None:
    call = only(batch, {"custom_id": "a-1", **line})
    assert (call.ok, call.error_type, call.input_tokens, call.possibly_billed) == (False, error, None, False)


def test_an_anthropic_request_line_is_the_request_half() -> None:
    params = {"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}]}
    call = only(anthropic_batch, {"custom_id": "b-1", "params": params})
    assert (call.part, call.join_id, call.service_tier) == (Part.REQUEST, "b-1", "batch")
    assert (call.provider, call.request_model, call.params) == ("anthropic", "claude-haiku-4-5", '{"max_tokens":10}')


def test_an_anthropic_result_line_counts_the_cache_into_the_input() -> None:
    """4 + 18,131 written = 18,135."""
    usage = {
        "input_tokens": 4,
        "cache_creation_input_tokens": 18_131,
        "cache_read_input_tokens": 0,
        "output_tokens": 50,
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "model": "m",
        "content": [{"type": "text", "text": "Hi"}],
        "usage": usage,
    }
    call = only(anthropic_batch, {"custom_id": "b-1", "result": {"type": "succeeded", "message": message}})
    assert (call.part, call.input_tokens, call.cache_write_tokens, call.output_text) == (
        Part.RESPONSE,
        18_135,
        18_131,
        "Hi",
    )
    assert (call.service_tier, call.ok) == ("batch", True)


@pytest.mark.parametrize("kind", ["errored", "canceled", "expired"])
def test_unsuccessful_anthropic_results_are_failed_and_free(kind: str) -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error"}} if kind == "errored" else None
    call = only(anthropic_batch, {"custom_id": "b-1", "result": {"type": kind, "error": error}})
    expected = "invalid_request_error" if error else kind
    assert (call.ok, call.error_type, call.input_tokens, call.possibly_billed) == (False, expected, None, False)


@pytest.mark.parametrize("dialect", [batch, anthropic_batch])
def test_a_line_without_an_id_cannot_be_joined(dialect: Any) -> None:
    with pytest.raises(BadRecord, match="no_custom_id"):
        dialect.calls({"custom_id": None, "body": {}, "params": {}})


def test_the_two_batch_dialects_do_not_take_each_others_lines() -> None:
    assert not batch.matches({"custom_id": "a", "result": {}}) and not batch.matches({"custom_id": "a", "params": {}})
    assert not anthropic_batch.matches({"custom_id": "a", "response": {}}) and not anthropic_batch.matches(
        {"custom_id": "a", "body": {}}
    )


def test_the_shipped_samples_join_without_a_rest() -> None:
    lines = [
        (dialect, json.loads(line))
        for name, dialect in (
            ("openai_batch_input", batch),
            ("openai_batch_output", batch),
            ("anthropic_batch", anthropic_batch),
        )
        for line in (TRACES / f"{name}.jsonl").read_text("utf-8").splitlines()
    ]
    halves = [(dialect, only(dialect, record)) for dialect, record in lines]
    asked = {(d.NAME, call.join_id) for d, call in halves if call.part is Part.REQUEST}
    answered = {(d.NAME, call.join_id) for d, call in halves if call.part is Part.RESPONSE}
    assert asked == answered and len(asked) == 11
    assert sum(not call.ok for _, call in halves) == 2
