"""OpenInference spans from Phoenix: dataframe columns become the span they came from; only model calls count."""

import csv
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from costplan.ingest import phoenix
from costplan.trace import BadRecord, Call, NotACall, check
from tests.ingest.logs import TRACES, nanos, plan_of


def parquet_rows() -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return cast(Any, pq).read_table(TRACES / "phoenix_spans.parquet").to_pylist()


def csv_rows() -> list[dict[str, Any]]:
    with (TRACES / "phoenix_spans.csv").open() as file:
        return list(csv.DictReader(file))


ROWS = parquet_rows()


def one(record: dict[str, Any]) -> Call:
    assert phoenix.matches(record)
    (call,) = phoenix.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_columns_become_a_call():
    call = one(ROWS[2])
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens, call.reasoning_tokens) == (
        2000,
        1024,
        50,
        30,
    )
    assert (call.request_model, call.provider, call.session_id, call.user) == ("gpt-4o-mini", "openai", "s1", "u1")
    assert [(m.role, m.content) for m in call.messages][1] == ("user", "Where is parcel 2?")
    assert (call.output_text, call.temperature, call.tags) == ("On its way.", 0.2, ["prod"])
    assert (call.span_id, call.parent_id, call.duration_s) == ("00000000000000a2", "00000000000000a0", 2.0)


def test_a_csv_row_with_lists_in_pythons_notation_reads_the_same():
    assert csv_rows()[2]["attributes.llm.input_messages"].startswith("[{'message.role'")
    assert [one(row) for row in csv_rows()[1:5]] == [one(row) for row in ROWS[1:5]]


def test_text_in_pythons_notation_is_never_executed():
    row = ROWS[2] | {"attributes.llm.input_messages": "[__import__('os').getcwd()]"}
    assert one(row).messages == []


def test_a_prompt_smaller_than_its_cache_has_left_the_cache_out():
    """5 + 128,955 + 1,253 = 130,213; one that is larger holds it: 2,000 with 1,024 cached stay 2,000."""
    call = one(ROWS[4])
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (130_213, 128_955, 1253)
    assert one(ROWS[2]).input_tokens == 2000


def test_nan_of_a_dataframe_is_no_value():
    call = one(ROWS[1] | {"attributes.llm.token_count.prompt_details.cache_read": float("nan")})
    assert (call.input_tokens, call.cache_read_tokens, call.cache_reported) == (1000, 0, False)


def test_chains_and_retrievers_are_no_calls():
    (chain,) = phoenix.calls(ROWS[0])
    assert chain == NotACall("phoenix_chain", "00000000000000a0", None, ROWS[0]["context.trace_id"])
    assert [type(row) for row in phoenix.calls(ROWS[5])] == [NotACall]


def test_an_error_is_a_failed_call_with_the_status_its_message_names():
    call = one(ROWS[3])
    assert (call.ok, call.http_status, call.input_tokens) == (False, 429, None)


def test_spans_of_the_api_have_nested_attributes():
    attributes = {
        "openinference": {"span": {"kind": "LLM"}},
        "llm": {
            "model_name": "gpt-4o-mini",
            "token_count": {"prompt": 10, "completion": 2, "prompt_details": {"cache_read": 4}},
            "input_messages": [{"message": {"role": "user", "content": "Hi"}}],
        },
    }
    start = datetime(2026, 10, 1, tzinfo=UTC).isoformat()
    call = one({"span_kind": "LLM", "context": {"span_id": "a"}, "attributes": attributes, "start_time": start})
    assert (call.input_tokens, call.cache_read_tokens, call.output_tokens) == (10, 4, 2)
    assert (call.messages[0].content, call.span_id) == ("Hi", "a")
    flat = {"llm.model_name": "gpt-4o-mini", "llm.token_count.prompt": 10, "llm.token_count.completion": 2}
    assert one({"span_kind": "LLM", "context": {}, "attributes": flat}).input_tokens == 10


def test_counts_that_are_no_numbers_are_a_bad_record():
    with pytest.raises(BadRecord, match="bad_number"):
        phoenix.calls(ROWS[1] | {"attributes.llm.token_count.prompt": "many"})


def test_the_sample_by_hand_as_csv_and_as_parquet():
    """The priced spans are Helicone's sample: 222,000 + 253,200 + 44,900,250 nano-dollars."""
    for name in ("phoenix_spans.csv", "phoenix_spans.parquet"):
        plan = plan_of(TRACES / name)
        assert nanos(plan) == 222_000 + 253_200 + 44_900_250
        assert plan.ingest.failed_by == {"http_429": 1}
        assert plan.ingest.not_a_call_reasons == {"phoenix_chain": 1, "phoenix_retriever": 1}
