"""Kong, Envoy, Azure APIM, Vertex and SageMaker: what their rows say, and what they leave open."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import apim, envoy, kong, sagemaker, source, vertex
from costplan.ingest.detect import Detected, dialect_of, reading_of
from costplan.trace import BadRecord, Call, NotACall, Part, check
from tests.ingest.logs import TRACES, nanos, plan_of, write

FIXTURES = {
    "kong_ai_proxy": "kong", "envoy_ai_gateway_access": "envoy", "apim_llm_log": "apim",
    "vertex_request_response": "vertex", "sagemaker_data_capture": "sagemaker", "claude_code_sessions": "claude_code",
    "claude_code_repeated": "claude_code", "claude_code_resumed": "claude_code", "codex_rollout": "codex",
    "codex_rollout_fork": "codex", "langfuse_api": "langfuse", "litellm_spend_logs": "litellm",
    "litellm_standard_logging_payload": "litellm", "otlp_genai": "otlp", "openai_batch_output": "openai_batch",
    "anthropic_batch": "anthropic_batch", "bailian_excerpt": "bailian", "pairs_openai": "pairs",
}  # fmt: skip


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text().splitlines()]


def one(found: list[Call | NotACall]) -> Call:
    (call,) = found
    assert isinstance(call, Call)
    check(call)
    return call


@pytest.mark.parametrize(("name", "dialect"), FIXTURES.items())
def test_every_record_is_told_from_all_other_dialects(name: str, dialect: str):
    found = {told for record in rows(name) if (told := dialect_of(record))}
    assert found == {dialect}


# --- Kong ---


def test_a_cost_of_zero_is_no_price():
    first, second = (one(kong.calls(record)) for record in rows("kong_ai_proxy")[:2])
    assert (first.cost_usd_reported, second.cost_usd_reported) == (None, 0.0024)


def test_kongs_documented_example_is_read():
    call = one(kong.calls(rows("kong_ai_proxy")[0]))
    assert (call.input_tokens, call.output_tokens, call.stream) == (119, 29, True)
    assert (call.duration_s, call.ttft_s, call.provider, call.user) == (1.415, 1.286, "anthropic", "anna")
    assert (call.request_model, call.feature) == ("claude-haiku-4-5-20251001", "chat-route")


def test_more_cached_than_prompt_tokens_show_that_the_cache_is_not_in_them():
    call = one(kong.calls(rows("kong_ai_proxy")[2]))
    assert (call.input_tokens, call.cache_read_tokens) == (20_001, 20_000)


def test_a_logged_body_is_believed_before_kongs_counts():
    record = rows("kong_ai_proxy")[2]
    usage = {"input_tokens": 1, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 70, "output_tokens": 3}
    body = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "usage": usage}
    record["ai"]["proxy"]["payload"] = {"response": json.dumps(body)}
    call = one(kong.calls(record))
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens, call.output_tokens) == (571, 500, 70, 3)


def test_a_refused_call_has_no_usage_and_a_health_check_is_no_call():
    refused = one(kong.calls(rows("kong_ai_proxy")[3]))
    assert (refused.ok, refused.http_status, refused.input_tokens) == (False, 429, None)
    assert kong.calls(rows("kong_ai_proxy")[4]) == [NotACall("kong_no_model_call")]


def test_older_kong_names_the_plugin_and_the_counts_otherwise():
    """The example of the 3.8 documentation: two plugins, two calls."""
    record = rows("kong_ai_proxy")[4]
    shared = {"plugin_id": "p", "llm_latency": 2670}
    record["ai"] = {
        "payload": {"request": '{"messages":[{"role":"user","content":"Hi"}]}'},
        "ai-proxy": {
            "usage": {"prompt_token": 28, "completion_token": 20, "total_tokens": 48, "cost": 0.0038},
            "meta": {"request_model": "command", "response_model": "command", "provider_name": "cohere", **shared},
        },
        "ai-request-transformer": {
            "usage": {"prompt_token": 89, "completion_token": 56, "total_tokens": 145, "cost": 0.0012},
            "meta": {"request_model": "gpt-35-turbo", "provider_name": "azure", **shared},
        },
    }
    first, second = (call for call in kong.calls(record) if isinstance(call, Call))
    assert (first.input_tokens, first.output_tokens, first.messages[0].content) == (28, 20, "Hi")
    assert (second.input_tokens, second.output_tokens, second.request_id) == (89, 56, "health/1")


# --- Envoy ---


def test_envoys_documented_line_is_read():
    call = one(envoy.calls(rows("envoy_ai_gateway_access")[0]))
    assert (call.request_model, call.input_tokens, call.output_tokens) == ("gpt-4o-mini", 15, 7)
    assert (call.duration_s, call.http_status, call.ok) == (1.526, 200, True)
    assert call.feature == "httproute/default/aigw-run/rule/0/match/0/*" and call.user is None


@pytest.mark.parametrize(
    "names",
    [
        ("genai_tokens_input", "genai_tokens_cached_input", "genai_tokens_output", "genai_model_name"),
        ("gen_ai.usage.input_tokens", "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.output_tokens",
         "gen_ai.request.model"),
        ("llm_input_token", "llm_cached_input_token", "llm_output_token", "llm_model"),
        ("gen_ai.prompt_tokens", "gen_ai.cached_prompt_tokens", "gen_ai.completion_tokens", "model"),
    ],
)  # fmt: skip
def test_envoys_names_are_the_operators(names: tuple[str, str, str, str]):
    values = dict(zip(names, (1500, "1024", 40, "gpt-4o-mini"), strict=True))
    record = {"start_time": "2026-10-01T00:00:00Z", "response_code": "200", "duration": "-", **values}
    assert envoy.matches(record)
    call = one(envoy.calls(record))
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (1500, 1024, 40)
    assert (call.request_model, call.duration_s, call.cache_reported) == ("gpt-4o-mini", None, True)


def test_requests_without_a_model_and_broken_off_ones():
    base = {"start_time": "2026-10-01T00:00:00Z", "genai_tokens_input": "-", "genai_tokens_output": "-"}
    assert envoy.calls({**base, "genai_model_name": "-"}) == [NotACall("envoy_no_model_call")]
    call = one(envoy.calls({**base, "genai_model_name": "gpt-4o", "response_code": 0}))
    assert (call.ok, call.possibly_billed, call.input_tokens) == (False, True, None)


# --- APIM ---


def in_order(records: list[dict[str, Any]]) -> list[Call | NotACall]:
    read, at_end = reading_of(Detected("apim", "", ""))
    return [call for record in records for call in read(record)] + at_end()


def apim_calls(records: list[dict[str, Any]]) -> list[Call]:
    found = in_order(records)
    assert len(found) == len(records)  # every row is in the books once
    return [call for call in found if isinstance(call, Call)]


def test_a_prompt_in_pieces_of_32_kb_is_put_together_before_anything_is_counted():
    call = apim_calls(rows("apim_llm_log"))[0]
    assert [len(m.content) for m in call.messages] == [19, 66_000] and not call.text_cut
    assert (call.input_tokens, call.output_tokens, call.output_text) == (15_012, 6, "Nothing unusual.")
    assert (call.request_model, call.response_model, call.duration_s) == ("prod-4o", "gpt-4o-2024-08-06", 4.1)
    plan = plan_of(TRACES / "apim_llm_log.jsonl")
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.text_state["full"]) == (8, 3, 2)
    assert nanos(plan) == (15_012 + 21) * 2500 + (6 + 5) * 10_000


def test_pieces_may_come_in_any_order():
    whole = apim_calls(rows("apim_llm_log")[:6])
    for order in permutations(rows("apim_llm_log")[:6]):
        assert sorted(apim_calls(list(order)), key=str) == sorted(whole, key=str)


@pytest.mark.parametrize("size", [500, 9000, 40_000])
def test_splits_cut_no_call_apart(size: int, monkeypatch: pytest.MonkeyPatch):
    whole = plan_of(TRACES / "apim_llm_log.jsonl")
    monkeypatch.setattr(source, "SPLIT_BYTES", size)
    monkeypatch.setattr(source, "FIRST_SPLIT_BYTES", size)
    plan = plan_of(TRACES / "apim_llm_log.jsonl", workers=2)
    assert (plan.ingest, plan.baseline) == (whole.ingest, whole.baseline)


def test_a_prompt_in_another_file_joins_its_call(tmp_path: Path):
    """Exports are cut by the hour; the prompt's pieces stand together, the counts in the next file."""
    header, *pieces = [row for row in rows("apim_llm_log") if row["CorrelationId"] == "cid-1"]
    plan = plan_of(write(tmp_path / "a.jsonl", pieces), write(tmp_path / "b.jsonl", [header]))
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.merged) == (5, 1, 1)
    assert plan.ingest.text_state["full"] == 1 and nanos(plan) == 15_012 * 2500 + 6 * 10_000
    assert len(plan.unit_economics.by_user) == 1  # the user stands beside the counts


def test_counts_in_every_row_of_a_call_count_once_and_two_answers_of_a_request_are_two_calls():
    """Whether Azure repeats the counts is unverified: the pieces of cid-1 once more, each with its counts."""
    header, *pieces = [row for row in rows("apim_llm_log") if row["CorrelationId"] == "cid-1"]
    repeated = [{**header, **{k: v for k, v in piece.items() if v}} for piece in pieces[:3]]
    (call,) = apim_calls(repeated)
    assert (call.input_tokens, [len(m.content) for m in call.messages]) == (15_012, [19, 66_000])
    retried = apim_calls([header, {**header, "RequestId": "chatcmpl-B", "SequenceNumber": 9}])
    assert [call.request_id for call in retried] == ["chatcmpl-A1", "chatcmpl-B"]


def test_calls_that_leave_the_window_are_closed_and_joined_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Forty calls, first all counts, then all prompts; four may be open at a time."""
    monkeypatch.setattr(apim, "MAX_OPEN_CALLS", 4)
    records: list[dict[str, Any]] = [
        {"CorrelationId": f"c{n}", "ModelName": "gpt-4o", "PromptTokens": 20, "CompletionTokens": 2} for n in range(40)
    ]
    prompt = '[{"role":"user","content":"Where is my parcel, and who took it?"}]'
    records += [{"CorrelationId": f"c{n}", "RequestMessages": prompt} for n in range(40)]
    found = apim_calls(records)
    assert [c.part for c in found].count(Part.REQUEST) == [c.part for c in found].count(Part.RESPONSE) == 40
    plan = plan_of(write(tmp_path / "log.jsonl", records))
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.merged) == (80, 40, 40)
    assert plan.ingest.text_state["full"] == 40 and nanos(plan) == 40 * (20 * 2500 + 2 * 10_000)


def test_no_more_text_is_held_than_the_window_takes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(apim, "MAX_OPEN_CHARS", 10_000)
    read, at_end = apim.reading()
    for n in range(50):
        read({"CorrelationId": f"c{n}", "RequestMessages": "x" * 3000})
    assert len(at_end()) == 3


def test_a_table_exported_twice_is_counted_once(tmp_path: Path):
    plan = plan_of(write(tmp_path / "log.jsonl", rows("apim_llm_log")[:6] * 2))
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.duplicates) == (12, 2, 2)


def test_a_missing_piece_is_cut_text():
    cut = [row for row in rows("apim_llm_log") if row["SequenceNumber"] != 2 or "RequestMessages" not in row]
    assert [call.text_cut for call in apim_calls(cut)] == [True, False, False]


def test_counts_of_zero_are_unknown_and_rows_without_an_id_are_bad():
    stream = next(call for call in apim_calls(rows("apim_llm_log")) if call.http_status == 429)
    assert (stream.input_tokens, stream.output_tokens, stream.ok, stream.stream) == (None, None, False, True)
    with pytest.raises(BadRecord, match="no_correlation_id"):
        apim.calls({"CorrelationId": None, "PromptTokens": 1})


# --- Vertex ---


def test_vertex_weights_scale_spend():
    """Nano-dollars of the four rows: 550,000 + 397,040 + 175,000 + 756,000; a quarter of the calls was logged."""
    rows_cost = 1000 * 300 + 100 * 2500 + 952 * 300 + 2048 * 30 + 20 * 2500 + 500 * 300 + 10 * 2500
    rows_cost += 12 * 3000 + 2000 * 300 + 8 * 15_000
    assert nanos(plan_of(TRACES / "vertex_request_response.jsonl")) == 4 * rows_cost == 4 * 1_878_040


def test_vertex_bodies_keep_their_own_rule():
    gemini, text, stream, claude = (one(vertex.calls(record)) for record in rows("vertex_request_response"))
    assert (gemini.input_tokens, gemini.output_tokens, gemini.reasoning_tokens) == (1000, 100, 70)
    assert (text.cache_read_tokens, text.messages[0].content[0]["text"]) == (2048, "Name a river.")
    assert (stream.input_tokens, stream.output_text, stream.stream) == (500, "The Elbe.", True)
    assert (claude.input_tokens, claude.cache_read_tokens, claude.request_id) == (2012, 2000, "msg_vrtx_01")


@pytest.mark.parametrize("rate", [0, -1, 1.5, "no"])
def test_a_sampling_rate_that_is_none_is_a_bad_record(rate: Any):
    with pytest.raises(BadRecord):
        vertex.calls(rows("vertex_request_response")[0] | {"sampling_rate": rate})


def test_the_rate_may_stand_in_the_metadata_or_nowhere():
    record = {k: v for k, v in rows("vertex_request_response")[0].items() if k != "sampling_rate"}
    assert one(vertex.calls(record)).sample_weight == 1
    assert one(vertex.calls(record | {"metadata": '{"sampling_rate": 0.1}'})).sample_weight == pytest.approx(10)


# --- SageMaker ---


def test_captures_in_json_and_base64_streamed_or_not_are_read():
    plain, coded, stream = (one(sagemaker.calls(record)) for record in rows("sagemaker_data_capture")[:3])
    assert [(c.input_tokens, c.output_tokens) for c in (plain, coded, stream)] == [(14, 4), (14, 5), (14, 4)]
    assert (stream.stream, stream.output_text, coded.output_text) == (True, "The Elbe.", "The Elbe.")
    assert plain.time_us == 1_791_504_180_000_000 and plain.messages[0].content == "Name a river."


def test_tgi_names_its_prompt_inputs():
    call = one(sagemaker.calls(rows("sagemaker_data_capture")[3]))
    assert (call.messages[0].content, call.output_text, call.temperature) == ("Name a river.", "The Elbe.", 0.5)
    assert call.input_tokens is None and call.request_id == "evt-3"


def test_what_is_no_json_is_no_model_call_and_bad_base64_a_bad_record():
    assert sagemaker.calls(rows("sagemaker_data_capture")[4]) == [NotACall("sagemaker_no_json")]
    record = rows("sagemaker_data_capture")[1]
    record["captureData"]["endpointOutput"]["data"] = "%%%"
    with pytest.raises(BadRecord, match="bad_base64"):
        sagemaker.calls(record)
