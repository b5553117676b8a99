"""Exports of Cloudflare AI Gateway, Portkey and OpenRouter: what they count, what was not billed, what failed."""

import csv
import json
from types import ModuleType
from typing import Any

import pytest
from costplan.ingest import cloudflare, openrouter, portkey
from costplan.ingest.gateway import labels_of
from costplan.trace import BadRecord, Call, check
from tests.ingest.logs import TRACES, nanos, plan_of


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TRACES / name).read_text().splitlines()]


def table(name: str) -> list[dict[str, Any]]:
    with (TRACES / name).open() as file:
        return list(csv.DictReader(file))


CLOUDFLARE, PORTKEY, OPENROUTER = (
    lines("cloudflare_ai_gateway.jsonl"),
    lines("portkey_logs.jsonl"),
    table("openrouter_activity.csv"),
)


def one(dialect: ModuleType, record: dict[str, Any]) -> Call:
    assert dialect.matches(record)
    (call,) = dialect.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_cloudflare_rows_are_calls_in_milliseconds():
    call = one(cloudflare, CLOUDFLARE[0])
    assert (call.input_tokens, call.output_tokens, call.duration_s, call.cost_usd_reported) == (
        1000,
        120,
        2.5,
        0.000222,
    )
    assert (call.request_model, call.provider, call.user) == ("gpt-4o-mini", "openai", "u1")
    assert "team=search" in call.tags and not call.cache_reported


def test_cloudflares_own_cache_answers_are_not_billed():
    assert one(cloudflare, CLOUDFLARE[1]).gateway_cache_hit and not one(cloudflare, CLOUDFLARE[0]).gateway_cache_hit


def test_cloudflares_failures_and_operations():
    call = one(cloudflare, CLOUDFLARE[2])
    assert (call.ok, call.http_status, call.input_tokens) == (False, 429, None)
    unnamed = {key: value for key, value in CLOUDFLARE[2].items() if key != "status_code"}
    assert not one(cloudflare, unnamed).ok
    assert one(cloudflare, CLOUDFLARE[3]).provider == "cloudflare"
    assert one(cloudflare, CLOUDFLARE[4]).operation == "embeddings"


def test_cloudflares_csv_reads_like_its_json():
    assert [one(cloudflare, row) for row in table("cloudflare_ai_gateway.csv")] == [
        one(cloudflare, row) for row in CLOUDFLARE
    ]


def test_a_payload_that_cloudflare_logged_counts_by_its_own_rule():
    """Anthropic's 5 fresh tokens with 100 read from the cache are 105, whatever tokens_in says."""
    body = {
        "type": "message",
        "id": "msg_1",
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 7},
    }
    call = one(cloudflare, CLOUDFLARE[0] | {"tokens_in": 5, "tokens_out": 7, "response": json.dumps(body)})
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (105, 100, 7)


def test_cloudflares_api_answer_holds_its_logs_under_result(tmp_path: Any):
    (tmp_path / "logs.json").write_text(json.dumps({"success": True, "errors": [], "result": CLOUDFLARE}))
    plan = plan_of(tmp_path / "logs.json")
    assert (plan.inputs[0].format, plan.ingest.requests) == ("cloudflare", 5)


def test_portkey_bodies_count_by_their_own_rule():
    call = one(portkey, PORTKEY[1])
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens, call.reasoning_tokens) == (
        2000,
        1024,
        50,
        30,
    )
    call = one(portkey, PORTKEY[4])
    assert (call.input_tokens, call.cache_write_tokens, call.provider) == (130_213, 1253, "anthropic")


def test_portkey_without_bodies_counts_by_its_units():
    call = one(portkey, PORTKEY[2])
    assert (call.input_tokens, call.output_tokens, call.messages, call.duration_s) == (1000, 120, [], 2.5)
    assert (call.user, call.feature, call.trace_id, call.tags) == ("u1", "parcel-faq", "trace-3", ["team=search"])


def test_portkeys_cost_may_be_cents_and_is_left_out():
    assert PORTKEY[2]["cost"] == 0.0222 and one(portkey, PORTKEY[2]).cost_usd_reported is None


def test_portkeys_failures_and_cache():
    call = one(portkey, PORTKEY[3])
    assert (call.ok, call.http_status, call.error_type, call.input_tokens) == (False, 429, "rate_limit_error", None)
    for status, hit in (("HIT", True), ("SEMANTIC HIT", True), ("MISS", False), ("DISABLED", False), (None, False)):
        assert one(portkey, PORTKEY[2] | {"cache_status": status}).gateway_cache_hit is hit


def test_openrouter_counts_are_inclusive():
    call = one(openrouter, OPENROUTER[1])
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens, call.reasoning_tokens) == (
        2000,
        1024,
        50,
        30,
    )
    assert (call.duration_s, call.ttft_s, call.stream, call.cost_usd_reported) == (2.5, 0.4, True, 0.000222)
    assert (call.feature, call.tags, call.user, call.provider) == ("parcel-faq", ["key=backend"], "u1", "openrouter")
    assert call.time_us == 1_790_812_920_713_000


def test_openrouters_free_variant_is_not_priced_as_the_paid_one():
    assert one(openrouter, OPENROUTER[2]).request_model == "meta-llama/llama-3.3-70b-instruct:free"


def test_openrouters_cancelled_and_failed_generations():
    call = one(openrouter, OPENROUTER[3])
    assert (call.ok, call.finish_reason, call.possibly_billed, call.output_tokens) == (True, "aborted", True, 20)
    call = one(openrouter, OPENROUTER[4])
    assert (call.ok, call.error_type, call.possibly_billed) == (False, "error", False)


@pytest.mark.parametrize(
    ("dialect", "row", "key"),
    [
        (cloudflare, CLOUDFLARE[0], "tokens_in"),
        (portkey, PORTKEY[2], "res_units"),
        (openrouter, OPENROUTER[0], "tokens_prompt"),
    ],
)
def test_counts_that_are_no_numbers_are_a_bad_record(dialect: ModuleType, row: dict[str, Any], key: str):
    with pytest.raises(BadRecord, match="bad_number"):
        dialect.calls(row | {key: "many"})


def test_labels_are_short_and_never_ids():
    found = labels_of({"team": "search", "run_id": "7", "apiKey": "k", "n": 3, "text": "x" * 80, "list": []})
    assert found == ["n=3", "team=search"]


def test_the_samples_by_hand():
    """Nano-dollars. Cloudflare: 222,000, Llama 3.1 8B 1,000 x 282 + 120 x 827 = 381,240 and embeddings 500 x 20.
    Portkey: 222,000 twice, 253,200 and 44,900,250 as in Helicone's sample. OpenRouter: 222,000 (1,000 in, 120 out),
    253,200 (its list knows gpt-4o-mini's cached rate), 1,000 x 150 + 20 x 600 = 162,000 cancelled; the free one has no
    price."""
    for name in ("cloudflare_ai_gateway.jsonl", "cloudflare_ai_gateway.csv"):
        plan = plan_of(TRACES / name)
        assert nanos(plan) == 222_000 + 381_240 + 10_000
        assert (plan.ingest.gateway_hits, plan.ingest.failed) == (1, 1)
    assert nanos(plan_of(TRACES / "portkey_logs.jsonl")) == 2 * 222_000 + 253_200 + 44_900_250
    plan = plan_of(TRACES / "openrouter_activity.csv")
    assert nanos(plan) == 222_000 + 253_200 + 162_000
    assert (plan.ingest.unpriced.requests, plan.ingest.failed, plan.ingest.possibly_billed) == (1, 1, 1)
