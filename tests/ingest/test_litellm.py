"""LiteLLM rows: usage is inclusive already, `response_time` is never latency, cache hits are traffic but not spend."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import litellm
from costplan.trace import Call, NotACall, check

TRACES = Path(__file__).parents[2] / "traces"
PAYLOAD: dict[str, Any] = json.loads((TRACES / "litellm_standard_logging_payload.jsonl").read_text())
SPEND: dict[str, Any] = json.loads((TRACES / "litellm_spend_logs.jsonl").read_text())


def one(record: dict[str, Any]) -> Call:
    assert litellm.matches(record)
    (call,) = litellm.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_the_sample_payload_is_one_streamed_call():
    call = one(PAYLOAD)
    assert (call.input_tokens, call.output_tokens, call.cost_usd_reported) == (10, 20, 0.00022500000000000002)
    assert (call.request_model, call.provider, call.operation, call.stream) == ("gpt-4o", "openai", "chat", True)
    assert call.messages[0].content == "Hello, world!"
    assert (call.output_text, call.finish_reason, call.user, call.ok) == ("hi", "stop", None, True)
    assert not call.cache_reported and not call.gateway_cache_hit


def test_latency_is_end_minus_start_and_never_response_time():
    """09:20:46.851954 - 09:20:46.847371 = 0.004583 s; `response_time` says 0.0074."""
    call = one(PAYLOAD)
    assert call.duration_s == pytest.approx(0.004583)
    assert call.ttft_s == pytest.approx(0.004583)
    assert call.time_us == 1_737_710_446_847_371


def test_epoch_seconds_are_read_like_text_times():
    call = one(PAYLOAD | {"startTime": 1737710446.5, "endTime": 1737710448.5, "completionStartTime": 1737710447.0})
    assert (call.time_us, call.duration_s, call.ttft_s) == (1_737_710_446_500_000, 2.0, 0.5)


def test_an_unstreamed_call_has_no_time_to_first_token():
    assert one(PAYLOAD | {"stream": False}).ttft_s is None
    assert one(SPEND).ttft_s is None  # completionStartTime equals endTime


def test_cached_and_reasoning_tokens_are_parts_of_the_totals():
    """prompt 1,000 holds 800 read and 100 written; completion 50 holds 30 of reasoning: nothing is added up."""
    usage = {
        "prompt_tokens_details": {"cached_tokens": 800, "cache_creation_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    call = one(PAYLOAD | {"prompt_tokens": 1000, "completion_tokens": 50, "response": {"usage": usage}})
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (1000, 800, 100)
    assert (call.output_tokens, call.reasoning_tokens, call.cache_reported) == (50, 30, True)


def test_spend_rows_take_cached_tokens_from_the_json_text_in_metadata():
    metadata = json.dumps({"usage_object": {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}})
    call = one(SPEND | {"metadata": metadata})
    assert (call.input_tokens, call.cache_read_tokens, call.cache_reported) == (10, 4, True)


def test_the_sample_spend_row_has_no_text_and_no_cache_hit():
    call = one(SPEND)
    assert (call.messages, call.output_text, call.gateway_cache_hit) == ([], None, False)
    assert (call.session_id, call.tags, call.user) == ("1234567890", [], None)
    assert call.cost_usd_reported == 0.00022500000000000002


def test_spend_rows_from_csv_hold_only_strings_and_read_the_same():
    out = io.StringIO()
    writer = csv.DictWriter(out, list(SPEND))
    writer.writeheader()
    writer.writerow(SPEND)
    (row,) = csv.DictReader(io.StringIO(out.getvalue()))
    assert one(row) == one(SPEND)


@pytest.mark.parametrize(
    ("value", "hit"), [("True", True), (True, True), ("None", False), ("False", False), (None, False)]
)
def test_cache_hit_is_true_only_when_it_says_so(value: Any, hit: bool):
    assert one(SPEND | {"cache_hit": value}).gateway_cache_hit is hit


def test_a_failed_call_keeps_its_status_and_claims_no_usage():
    error = {"error_code": "429", "error_class": "RateLimitError"}
    call = one(PAYLOAD | {"status": "failure", "error_information": error, "prompt_tokens": 0, "completion_tokens": 0})
    assert (call.ok, call.http_status, call.error_type) == (False, 429, "RateLimitError")
    assert (call.input_tokens, call.output_tokens, call.possibly_billed) == (None, None, False)


def test_zero_and_zero_tokens_are_unknown_not_free():
    call = one(PAYLOAD | {"prompt_tokens": 0, "completion_tokens": 0})
    assert (call.input_tokens, call.output_tokens) == (None, None)


def test_tags_users_and_prompt_names_are_read_but_never_a_raw_key():
    call = one(SPEND | {"request_tags": '["team-a","beta"]', "end_user": "", "api_key": "sk-secret"})
    assert (call.tags, call.user) == (["team-a", "beta"], None)
    metadata = {"user_api_key_user_id": "u1", "prompt_management_metadata": {"prompt_id": "invoice-qa"}}
    call = one(PAYLOAD | {"metadata": metadata})
    assert (call.user, call.feature) == ("u1", "invoice-qa")
    assert one(PAYLOAD | {"end_user": "customer-9", "metadata": metadata}).user == "customer-9"


def test_embeddings_are_an_operation_and_file_calls_are_no_calls():
    assert one(SPEND | {"call_type": "aembedding", "completion_tokens": 0}).operation == "embeddings"
    row = SPEND | {"call_type": "acreate_file", "prompt_tokens": 0, "completion_tokens": 0}
    (dropped,) = litellm.calls(row)
    assert isinstance(dropped, NotACall) and dropped.reason == "litellm_acreate_file"


def test_text_shortened_by_litellm_is_marked_as_cut():
    text = "start ... (litellm_truncated 4096 chars) ... end"
    assert one(SPEND | {"messages": json.dumps([{"role": "user", "content": text}])}).text_cut
    assert one(SPEND | {"messages": '[{"role":"user","content":"st'}).text_cut
    assert not one(PAYLOAD).text_cut


def test_prompts_stored_in_the_proxy_request_are_used_when_messages_are_empty():
    call = one(SPEND | {"proxy_server_request": '{"messages":[{"role":"user","content":"hi"}],"temperature":0.3}'})
    assert (call.messages[0].content, call.temperature, call.params) == ("hi", 0.3, '{"temperature":0.3}')


def test_the_standard_tier_is_written_as_nothing():
    assert one(PAYLOAD | {"response": {"service_tier": "default"}}).service_tier == ""
    assert one(PAYLOAD | {"response": {"service_tier": "flex"}}).service_tier == "flex"
