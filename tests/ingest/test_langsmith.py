"""LangSmith runs: only runs of models count, usage is inclusive, the top-level session is the project."""

import json
from typing import Any

import pytest
from costplan.ingest import langsmith
from costplan.trace import BadRecord, Call, NotACall, check
from tests.ingest.logs import TRACES, nanos, plan_of

RUNS = {row["id"]: row for row in map(json.loads, (TRACES / "langsmith_runs.jsonl").read_text().splitlines())}


def one(record: dict[str, Any]) -> Call:
    assert langsmith.matches(record)
    (call,) = langsmith.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_langchains_own_messages_and_generations_are_read():
    call = one(RUNS["run-1"])
    assert [(message.role, message.content) for message in call.messages] == [
        ("system", "You answer questions about parcels."),
        ("user", "Where is parcel 1?"),
    ]
    assert (call.output_text, call.request_id, call.response_model) == (
        "On its way.",
        "chatcmpl-1",
        "gpt-4o-mini-2024-07-18",
    )
    assert (call.temperature, call.params) == (0.2, '{"max_tokens":300,"temperature":0.2}')


def test_usage_metadata_is_inclusive():
    call = one(RUNS["run-1"])
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (2000, 1024, 100)
    call = one(RUNS["run-2"])
    assert (call.input_tokens, call.output_tokens, call.reasoning_tokens, call.output_text) == (
        2800,
        230,
        180,
        "Delivered.",
    )


def test_cache_writes_that_are_given_by_lifetime_alone_are_summed():
    """1,000 for 5 minutes and 253 for an hour, while the sum is left at 0: 1,253 written."""
    call = one(RUNS["run-5"])
    assert (call.input_tokens, call.cache_read_tokens) == (130_213, 128_955)
    assert (call.cache_write_tokens, call.cache_write_1h_tokens) == (1253, 253)


def test_cached_tokens_of_a_service_tier_are_cached_tokens():
    usage = {"input_tokens": 900, "output_tokens": 9, "input_token_details": {"priority_cache_read": 512}}
    assert one(RUNS["run-2"] | {"outputs": {"usage_metadata": usage}}).cache_read_tokens == 512


def test_a_run_without_usage_in_its_answer_has_its_own_columns():
    run = RUNS["run-2"] | {"outputs": {"content": "Hi."}, "prompt_token_details": {"cache_read": 256}}
    call = one(run)
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (2800, 256, 230)
    assert call.output_text == "Hi."


def test_the_session_is_the_thread_and_never_the_project():
    assert RUNS["run-1"]["session_id"] == "project-1" and one(RUNS["run-1"]).session_id == "thread-7"
    bare = RUNS["run-1"] | {"extra": {"metadata": {"ls_model_name": "gpt-4o-mini"}}}
    assert one(bare).session_id is None


def test_latency_and_first_token_come_from_the_timestamps():
    call = one(RUNS["run-1"])
    assert (call.duration_s, call.ttft_s, call.stream) == (2.0, 0.5, True)
    assert one(RUNS["run-2"]).ttft_s is None


def test_chains_and_tools_are_no_calls_but_keep_their_place_in_the_tree():
    assert langsmith.calls(RUNS["run-0"]) == [NotACall("langsmith_chain", span_id="run-0", trace_id="run-0")]
    assert langsmith.calls(RUNS["run-4"]) == [NotACall("langsmith_tool", "run-4", "run-0", "run-0")]


def test_an_error_is_a_failed_call_with_the_status_its_text_names():
    call = one(RUNS["run-3"])
    assert (call.ok, call.http_status, call.error_type) == (False, 429, "langsmith_error")
    assert (call.input_tokens, call.output_tokens) == (None, None)


def test_counts_that_are_no_numbers_are_a_bad_record():
    with pytest.raises(BadRecord, match="bad_number"):
        langsmith.calls(RUNS["run-2"] | {"outputs": {"usage_metadata": {"input_tokens": "many", "output_tokens": 1}}})


def test_the_sample_by_hand_as_lines_and_as_parquet():
    """Nano-dollars: 976 x 150 + 1,024 x 75 + 100 x 600 = 283,200; 2,800 x 150 + 230 x 600 = 558,000;
    5 x 3,000 + 128,955 x 300 + 1,000 x 3,750 + 253 x 6,000 + 100 x 15,000 = 45,469,500. The chain's 5,130 tokens
    are its children's."""
    for name in ("langsmith_runs.jsonl", "langsmith_runs.parquet"):
        plan = plan_of(TRACES / name)
        assert nanos(plan) == 283_200 + 558_000 + 45_469_500
        assert plan.ingest.not_a_call_reasons == {"langsmith_chain": 1, "langsmith_tool": 1}
