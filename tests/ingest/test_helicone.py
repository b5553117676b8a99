"""Helicone rows: prompt_tokens leave out the cache, a body counts by its own rule, its own cache's answers are free."""

import csv
import json
from typing import Any

import pytest
from costplan.ingest import helicone
from costplan.trace import BadRecord, Call, check
from tests.ingest.logs import TRACES, nanos, plan_of

ROWS = {row["request_id"]: row for row in map(json.loads, (TRACES / "helicone.jsonl").read_text().splitlines())}


def one(record: dict[str, Any]) -> Call:
    assert helicone.matches(record)
    (call,) = helicone.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_a_logged_body_counts_by_its_own_rule():
    call = one(ROWS["req-1"])
    assert (call.input_tokens, call.output_tokens, call.output_text) == (1000, 120, "On its way.")
    assert [message.role for message in call.messages] == ["system", "user"]
    assert (call.request_model, call.response_model) == ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")


def test_without_a_body_cache_reads_and_writes_are_added_to_the_prompt():
    """976 + 1,024 = 2,000 of OpenAI; 5 + 128,955 + 1,253 = 130,213 of Anthropic, whose total leaves the cache out."""
    call = one(ROWS["req-2"])
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (2000, 1024, 50)
    call = one(ROWS["req-3"])
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (130_213, 128_955, 1253)
    assert (call.output_tokens, call.cache_reported, call.provider) == (100, True, "anthropic")


def test_times_are_milliseconds():
    call = one(ROWS["req-2"])
    assert (call.duration_s, call.ttft_s, call.stream) == (2.5, 0.4, True)
    assert call.time_us == 1_790_812_800_000_000 + 120_000_000


def test_labels_come_from_the_properties():
    call = one(ROWS["req-2"])
    assert (call.user, call.session_id, call.feature, call.environment) == ("u1", "s1", "parcel-faq", "production")
    assert call.tags == ["environment=production", "team=search"]


def test_a_cache_reference_is_a_hit_and_an_enabled_cache_alone_is_none():
    assert one(ROWS["req-4"]).gateway_cache_hit
    assert ROWS["req-1"]["cache_enabled"] and not one(ROWS["req-1"]).gateway_cache_hit


def test_refused_and_cancelled_requests_are_failed_calls():
    call = one(ROWS["req-5"])
    assert (call.ok, call.http_status, call.error_type) == (False, 429, "rate_limit_error")
    assert (call.input_tokens, call.output_tokens) == (None, None)
    call = one(ROWS["req-6"])
    assert (call.ok, call.http_status, call.error_type) == (False, None, "cancelled")


def test_minus_one_is_helicones_unknown():
    row = ROWS["req-2"] | {"prompt_tokens": -1, "completion_tokens": -1, "prompt_cache_read_tokens": None}
    assert (one(row).input_tokens, one(row).output_tokens) == (None, None)


def test_reasoning_that_the_completion_leaves_out_is_added():
    """2,000 in, 50 + 70 out: the total of 2,120 says so, or a reasoning count larger than the completion."""
    row = ROWS["req-2"] | {"reasoning_tokens": 70}
    assert (one(row | {"total_tokens": 2120}).output_tokens, one(row).reasoning_tokens) == (120, 70)
    assert one(row | {"total_tokens": None}).output_tokens == 120
    assert one(ROWS["req-2"] | {"reasoning_tokens": 30}).output_tokens == 50


def test_a_cost_in_billionths_is_read_as_dollars():
    assert one(ROWS["req-2"] | {"costUSD": None, "cost": 253_200}).cost_usd_reported == 0.0002532
    assert one(ROWS["req-2"]).cost_usd_reported == 0.000222


def test_the_csv_has_twelve_columns_and_no_cached_tokens():
    with (TRACES / "helicone.csv").open() as file:
        first, second = csv.DictReader(file)
    assert len(first) == 12
    call = one(first)
    assert (call.input_tokens, call.output_tokens, call.cache_reported, call.duration_s) == (1000, 120, False, 2.5)
    assert (call.messages[1].content, call.session_id) == ("Where is parcel 1?", "s1")
    assert (one(second).ok, one(second).http_status, one(second).input_tokens) == (False, 500, None)


def test_counts_that_are_no_numbers_are_a_bad_record():
    with pytest.raises(BadRecord, match="bad_number"):
        helicone.calls(ROWS["req-2"] | {"prompt_tokens": "many"})


def test_the_sample_by_hand():
    """Nano-dollars: 1,000 x 150 + 120 x 600 = 222,000; 976 x 150 + 1,024 x 75 + 50 x 600 = 253,200;
    5 x 3,000 + 128,955 x 300 + 1,253 x 3,750 + 100 x 15,000 = 44,900,250. The hit and two failures cost nothing."""
    plan = plan_of(TRACES / "helicone.jsonl")
    assert nanos(plan) == 222_000 + 253_200 + 44_900_250
    assert (plan.ingest.priced, plan.ingest.failed, plan.ingest.gateway_hits) == (3, 2, 1)
    assert nanos(plan_of(TRACES / "helicone.csv")) == 222_000
