"""Bedrock invocation logs: three counts that do not overlap, aliases counted once, bodies whole or as stream chunks."""

import gzip
import json
from typing import Any

import pytest
from costplan.ingest import bedrock
from costplan.trace import BadRecord, Call, NotACall, check
from tests.ingest.logs import TRACES, nanos, plan_of

LINES = gzip.decompress((TRACES / "bedrock_invocations.jsonl.gz").read_bytes()).decode().splitlines()
ROWS: dict[int, dict[str, Any]] = dict(enumerate(map(json.loads, LINES), start=1))
SONNET = "us.anthropic.claude-sonnet-4-20250514-v1:0"


def one(record: dict[str, Any]) -> Call:
    assert bedrock.matches(record)
    (call,) = bedrock.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_a_converse_call():
    call = one(ROWS[1])
    assert (call.input_tokens, call.output_tokens, call.cache_reported, call.stream) == (20, 72, True, False)
    assert (call.request_model, call.provider, call.duration_s, call.finish_reason) == (SONNET, "aws", 2.9, "end_turn")
    assert (call.messages[0].role, call.output_text, call.tags) == ("system", "On its way.", ["team=engineering"])
    assert call.user == "arn:aws:sts::123456789012:assumed-role/app/session"


def test_cache_counts_stand_under_two_names_and_count_once():
    """255 + 1,000 + 24,479 = 25,734, from a body that is a list of chunks and a model that is a profile's ARN."""
    call = one(ROWS[2])
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (25_734, 1000, 24_479)
    assert (call.output_text, call.stream, call.request_model, call.duration_s) == ("Delivered.", True, SONNET, 3.114)
    body_only = ROWS[2] | {"input": {}, "output": {"outputBodyJson": ROWS[2]["output"]["outputBodyJson"]}}
    assert (one(body_only).input_tokens, one(body_only).output_tokens) == (25_734, 113)


def test_only_anthropics_body_tells_cache_writes_of_an_hour():
    call = one(ROWS[3])
    assert (call.input_tokens, call.cache_write_tokens, call.cache_write_1h_tokens) == (2412, 2403, 2403)
    assert (call.output_text, call.response_model) == ("Lost.", "")


def test_a_streams_start_value_is_not_its_output():
    """message_start says 2 output tokens, the record 40; 6 + 178,945 + 553 = 179,504 in."""
    call = one(ROWS[4])
    assert (call.input_tokens, call.output_tokens, call.output_text) == (179_504, 40, "At the depot.")


def test_titan_streams_and_embeddings():
    call = one(ROWS[5])
    assert (call.input_tokens, call.output_tokens, call.duration_s) == (7, 11, 0.9)
    assert call.output_text == " Hello! How can I assist you today?" and "Hello" in str(call.messages[0].content)
    assert one(ROWS[7]).operation == "embeddings"


def test_older_records_without_cache_counts_take_them_from_the_body():
    record = ROWS[2] | {"input": {"inputTokenCount": 255}}
    assert one(record).input_tokens == 25_734


def test_an_error_code_is_a_failed_call():
    call = one(ROWS[6])
    assert (call.ok, call.http_status, call.error_type) == (False, 429, "ThrottlingException")
    assert (call.input_tokens, call.possibly_billed) == (None, False)


def test_counting_tokens_is_no_model_call():
    assert bedrock.calls(ROWS[8]) == [NotACall("bedrock_count_tokens")]
    assert bedrock.calls(ROWS[8] | {"operation": "ApplyGuardrail"}) == [NotACall("bedrock_other_operation")]


def test_the_arn_of_ones_own_profile_stays_one_and_the_body_may_name_the_model():
    own = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    call = one(ROWS[3] | {"modelId": own})
    assert (call.request_model, call.response_model) == (own, "claude-sonnet-4-20250514")
    assert (
        bedrock.model_of("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0") == "amazon.nova-lite-v1:0"
    )


def test_bodies_as_json_text_are_read():
    record = ROWS[1] | {
        "output": {**ROWS[1]["output"], "outputBodyJson": json.dumps(ROWS[1]["output"]["outputBodyJson"])}
    }
    assert one(record) == one(ROWS[1])


def test_a_tool_call_in_chunks_is_an_action_and_no_text():
    chunks = [
        {"contentBlockStart": {"start": {"toolUse": {"name": "find"}}}},
        {"messageStop": {"stopReason": "tool_use"}},
    ]
    call = one(ROWS[2] | {"output": {"outputBodyJson": chunks, "outputTokenCount": 9}})
    assert (call.output_tool_calls, call.finish_reason, call.output_text) == (
        [{"toolUse": {"name": "find"}}],
        "tool_use",
        None,
    )
    assert call.output_tokens == 9


def test_a_record_of_something_else_is_refused():
    with pytest.raises(BadRecord, match="no_invocation_log"):
        bedrock.calls({"logEvents": []})


def test_counts_that_are_no_numbers_are_a_bad_record():
    with pytest.raises(BadRecord, match="bad_number"):
        bedrock.calls(ROWS[1] | {"input": {"inputTokenCount": "many"}})


def test_the_sample_by_hand():
    """Claude Sonnet 4 on Bedrock in nano-dollars a token: 3,000 in, 300 read, 3,750 written (the list has one rate for
    both lifetimes), 15,000 out; Titan Express 200 and 600, Titan Embeddings 20."""
    converse = 20 * 3000 + 72 * 15_000
    streamed = 255 * 3000 + 1000 * 300 + 24_479 * 3750 + 113 * 15_000
    invoked = 9 * 3000 + 2403 * 3750 + 23 * 15_000
    chunks = 6 * 3000 + 178_945 * 300 + 553 * 3750 + 40 * 15_000
    plan = plan_of(TRACES / "bedrock_invocations.jsonl.gz")
    assert nanos(plan) == converse + streamed + invoked + chunks + 7 * 200 + 11 * 600 + 3 * 20
    assert (plan.ingest.priced, plan.ingest.failed, plan.ingest.not_a_call) == (6, 1, 1)
    assert nanos(plan_of(TRACES / "bedrock_cloudwatch.json")) == converse + streamed + invoked


def test_the_same_record_from_s3_and_from_cloudwatch_counts_once():
    plan = plan_of(TRACES / "bedrock_invocations.jsonl.gz", TRACES / "bedrock_cloudwatch.json")
    assert (plan.ingest.requests, plan.ingest.duplicates) == (7, 3)
