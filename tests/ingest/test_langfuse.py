"""Langfuse observations: exclusive buckets are summed, latency comes from timestamps, cut text is marked."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import langfuse
from costplan.trace import BadRecord, Call, NotACall, check

TRACES = Path(__file__).parents[2] / "traces"


def rows(name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, (TRACES / name).read_text().splitlines())}


BLOB = rows("langfuse_observations_v2.jsonl")
API = rows("langfuse_api.jsonl")


def one(record: dict[str, Any]) -> Call:
    assert langfuse.matches(record)
    (call,) = langfuse.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_input_buckets_are_exclusive_and_summed():
    """86 + 17,817 cached = 17,903 in; the logged total 18,128 = 17,903 + 225 agrees."""
    call = one(BLOB["o1"])
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (17_903, 17_817, 225)
    assert call.cache_reported


def test_cache_writes_and_reasoning_are_buckets_too():
    """5 + 128,955 + 1,253 = 130,213 in (the Anthropic example); 40 + 60 reasoning = 100 out."""
    call = one(BLOB["o2"])
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (130_213, 128_955, 1_253)
    assert (call.output_tokens, call.reasoning_tokens) == (100, 60)


def test_reasoning_without_output_in_its_name_is_output():
    usage = {"input": 10, "output": 5, "reasoning_tokens": 7}
    call = one(BLOB["o1"] | {"usage_details": usage})
    assert (call.output_tokens, call.reasoning_tokens) == (12, 7)


def test_a_total_of_input_plus_output_shows_that_buckets_are_parts():
    """OpenAI's counts posted as they are: total 1,100 = 1,000 + 100, so the 800 cached are inside the 1,000."""
    usage = {"input": 1000, "input_cached_tokens": 800, "output": 100, "output_reasoning_tokens": 60, "total": 1100}
    call = one(BLOB["o1"] | {"usage_details": usage})
    assert (call.input_tokens, call.cache_read_tokens) == (1000, 800)
    assert (call.output_tokens, call.reasoning_tokens) == (100, 60)


def test_such_a_total_cannot_hide_a_cache_larger_than_the_input():
    usage = {"input": 86, "input_cached_tokens": 17817, "output": 225, "total": 311}
    assert one(BLOB["o1"] | {"usage_details": usage}).input_tokens == 17_903


def test_hour_long_cache_writes_are_kept_apart():
    usage = {"input": 1, "input_cache_creation_5m": 20, "input_cache_creation_1h": 300, "output": 4}
    call = one(BLOB["o1"] | {"usage_details": usage})
    assert (call.input_tokens, call.cache_write_tokens, call.cache_write_1h_tokens) == (321, 320, 300)


def test_latency_comes_from_timestamps_not_from_the_latency_column():
    """46:21.200 - 46:19.963 = 1.237 s; the column says 1237."""
    call = one(BLOB["o1"])
    assert (call.duration_s, call.ttft_s, call.stream) == (pytest.approx(1.237), pytest.approx(0.337), True)
    assert one(BLOB["o2"]).ttft_s is None


def test_text_in_json_strings_becomes_messages():
    call = one(BLOB["o1"])
    assert [(m.role, m.content) for m in call.messages] == [
        ("system", "You answer questions about invoices."),
        ("user", "What is the due date?"),
    ]
    assert call.output_text == "The due date is 30 June."
    assert (call.temperature, call.params) == (0.2, '{"max_tokens":500,"temperature":0.2}')


def test_json_that_stops_in_the_middle_is_cut_text():
    assert one(BLOB["o2"]).text_cut
    assert not one(BLOB["o1"]).text_cut
    assert not one(BLOB["o1"] | {"input": "[INST] plain text [/INST]"}).text_cut


def test_names_come_from_the_log():
    call = one(BLOB["o1"])
    assert (call.feature, call.environment, call.user, call.session_id) == ("invoice-qa", "production", "u", "s")
    assert (call.trace_id, call.span_id, call.parent_id, call.tags) == ("t1", "o1", "o0", ["a"])


def test_an_error_level_is_a_failed_call_without_usage():
    call = one(BLOB["o3"])
    assert (call.ok, call.http_status, call.error_type) == (False, 429, "langfuse_error")
    assert (call.input_tokens, call.output_tokens) == (None, None)
    assert call.messages[0].content == "hello"


def test_embeddings_are_kept_and_spans_are_not():
    assert one(BLOB["o4"]).operation == "embeddings"
    (span,) = langfuse.calls(BLOB["o0"])
    assert span == NotACall("langfuse_span", span_id="o0", trace_id="t1")


def test_the_camel_case_export_reads_like_the_blob_export():
    call = one(API["a1"])
    assert (call.input_tokens, call.output_tokens, call.cost_usd_reported) == (12, 4, 4.2e-6)
    assert (call.feature, call.user, call.session_id, call.parent_id) == ("ping", "u7", "s7", "a0")
    assert (call.duration_s, call.ttft_s, call.messages[0].content, call.output_text) == (2.5, 0.4, "Ping?", "Pong.")


def test_the_older_usage_object_is_read():
    call = one(API["a2"])
    assert (call.input_tokens, call.output_tokens, call.cost_usd_reported) == (1200, 4, 0.0001824)


def test_usage_counted_in_characters_is_no_token_count():
    call = one(API["a2"] | {"usage": {"input": 1200, "output": 4, "unit": "CHARACTERS"}})
    assert (call.input_tokens, call.output_tokens) == (None, None)


def test_an_agent_that_repeats_its_childrens_usage_is_no_call():
    (agent,) = langfuse.calls(API["a0"])
    assert agent == NotACall("langfuse_agent", span_id="a0", trace_id="t9")


def test_csv_and_parquet_rows_hold_nested_values_as_text_or_pairs():
    row = BLOB["o1"]
    as_csv = {k: "" if v is None else json.dumps(v) if isinstance(v, dict | list) else str(v) for k, v in row.items()}
    as_parquet = row | {"usage_details": list(row["usage_details"].items())}
    assert one(as_csv) == one(row)
    assert one(as_parquet) == one(row)


def test_usage_that_is_no_number_is_a_bad_record():
    with pytest.raises(BadRecord, match="bad_number"):
        langfuse.calls(BLOB["o1"] | {"usage_details": {"input": "many"}})
