"""Flat tables: maps given and guessed, relative times, units by name and by size, and the command to paste."""

import csv
import shlex
from pathlib import Path
from typing import Any

import pytest
from costplan.errors import CostplanError, UsageError
from costplan.ingest import generic
from costplan.trace import BadRecord, Call, check
from tests.ingest.logs import plan_of

TRACES = Path(__file__).parents[2] / "traces"
with (TRACES / "generic.csv").open() as file:
    ROWS: list[dict[str, Any]] = list(csv.DictReader(file))


def one(record: dict[str, Any], *items: str) -> Call:
    (call,) = generic.calls_with_map(record, generic.parse_map(list(items))) if items else generic.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def test_a_map_reads_column_to_field():
    assert generic.parse_map(["prompt_tok=input_tokens", "when=timestamp", "a=b=model"]) == {
        "input_tokens": "prompt_tok",
        "timestamp": "when",
        "model": "a=b",
    }


@pytest.mark.parametrize("item", ["prompt_tok=tokens_in_total", "no_equals", "=model", "x="])
def test_an_unknown_field_is_refused_with_the_list_of_fields(item: str):
    with pytest.raises(UsageError) as raised:
        generic.parse_map([item])
    assert "input_tokens" in raised.value.hint and "duration_ms" in raised.value.hint


def test_a_map_written_the_wrong_way_round_is_named():
    with pytest.raises(UsageError) as raised:
        generic.parse_map(["input_tokens=prompt_tok"])
    assert raised.value.hint.startswith("--map prompt_tok=input_tokens; ")


def test_a_field_given_twice_is_refused():
    with pytest.raises(UsageError, match="given twice"):
        generic.parse_map(["a=model", "b=model"])


def test_all_documented_fields_are_accepted():
    documented = """timestamp model provider input_tokens output_tokens cache_read_tokens cache_write_tokens
        reasoning_tokens prompt system response user session tag feature duration_s duration_ms ttft_s ttft_ms status
        error cost_usd request_id tier operation"""
    fields = documented.split()
    assert set(fields) == set(generic.FIELDS)
    assert set(generic.parse_map([f"col_{field}={field}" for field in fields])) == set(fields)


def test_the_sample_needs_a_map_and_the_guess_is_right():
    assert not generic.matches(ROWS[0])
    with pytest.raises(BadRecord, match="columns_need_a_map"):
        generic.calls(ROWS[0])
    assert generic.guess_map(list(ROWS[0]), ROWS) == {
        "timestamp": "when",
        "model": "model",
        "input_tokens": "prompt_tok",
        "output_tokens": "completion_tok",
        "cache_read_tokens": "cached_tok",
        "user": "user",
        "duration_ms": "latency_ms",
        "feature": "route",
        "status": "status",
    }


def test_the_guess_is_printed_as_a_command_that_parses_back():
    mapping = generic.guess_map(list(ROWS[0]), ROWS)
    words = shlex.split(generic.fill_command(mapping | {"tag": "my team's"}, "my log.csv"))
    assert words[:3] == ["costplan", "analyze", "my log.csv"]
    assert generic.parse_map(words[4::2]) == mapping | {"tag": "my team's"}


def test_a_mapped_row_is_a_call():
    """1767225936 is 2026-01-01 00:05:36 UTC; 4,689 ms is 4.689 s."""
    (call,) = generic.calls_with_map(ROWS[0], generic.guess_map(list(ROWS[0]), ROWS))
    assert isinstance(call, Call)
    assert (call.time_us, call.time_is_relative, call.duration_s) == (1_767_225_936_000_000, False, 4.689)
    assert (call.input_tokens, call.output_tokens, call.cache_read_tokens, call.cache_reported) == (657, 54, 0, True)
    assert (call.request_model, call.user, call.feature, call.ok, call.http_status) == (
        "gpt-4o-mini",
        "u1",
        "/chat",
        True,
        200,
    )


@pytest.mark.parametrize(
    "name",
    ["prompt_tok", "tokens_in", "input", "InputTokens", "n_input", "input_token_count", "Prompt Tokens", "in_tok"],
)
def test_input_tokens_are_recognised_under_many_names(name: str):
    samples = [{"at": f"2026-01-0{i}T00:00:00Z", name: n, "out_tok": 5 + i % 2} for i, n in ((1, 9), (2, 4), (3, 7))]
    mapping = generic.guess_map(list(samples[0]), samples)
    assert mapping == {"timestamp": "at", "input_tokens": name, "output_tokens": "out_tok"}


def test_the_same_name_is_text_or_a_count_by_its_values():
    counts = generic.guess_map(["prompt", "response"], [{"prompt": "12", "response": "3"}])
    texts = generic.guess_map(["prompt", "response"], [{"prompt": "Hi there", "response": "Hello"}])
    assert counts == {"input_tokens": "prompt", "output_tokens": "response"}
    assert texts == {"prompt": "prompt", "response": "response"}


def test_increasing_numbers_are_a_relative_time_and_jumping_ones_are_not():
    rising = [{"t": 0.0, "n_in": 5}, {"t": 1.5, "n_in": 9}, {"t": 9.0, "n_in": 7}]
    assert generic.guess_map(["t", "n_in"], rising) == {"timestamp": "t", "input_tokens": "n_in"}
    jumping = [{"t": 9.0, "n_in": 5}, {"t": 1.5, "n_in": 9}]
    assert "timestamp" not in generic.guess_map(["t", "n_in"], jumping)


def test_an_unnamed_column_of_epoch_numbers_is_the_time():
    samples = [{"c1": 1_767_225_600 + i, "n_in": 5, "n_out": 4} for i in range(3)]
    assert generic.guess_map(["c1", "n_in", "n_out"], samples)["timestamp"] == "c1"


def test_a_bare_latency_is_milliseconds_when_its_values_are_large():
    assert generic.guess_map(["latency"], [{"latency": 900}, {"latency": 350}]) == {"duration_ms": "latency"}
    assert generic.guess_map(["latency"], [{"latency": 3.2}, {"latency": 0.9}]) == {"duration_s": "latency"}


def test_obvious_files_need_no_map():
    row = {"timestamp": "2026-01-01T00:00:00Z", "model": "gpt-4o", "prompt_tokens": "100", "completion_tokens": "20"}
    assert generic.matches(row)
    call = one(row)
    assert (call.input_tokens, call.output_tokens, call.request_model) == (100, 20, "gpt-4o")
    assert generic.matches({"id": "1", "input_tokens": 1, "output_tokens": 2})
    assert not generic.matches({"model": "gpt-4o", "prompt_tokens": 1, "completion_tokens": 2})


def test_small_times_are_relative_seconds_or_milliseconds_by_name():
    assert one({"t": "12.5", "n": 1}, "t=timestamp", "n=input_tokens").time_us == 12_500_000
    assert one({"t": 12.5, "n": 1}, "t=timestamp", "n=input_tokens").time_is_relative
    assert one({"t_ms": 1500, "n": 1}, "t_ms=timestamp", "n=input_tokens").time_us == 1_500_000
    assert not one({"t": 1_767_225_600, "n": 1}, "t=timestamp", "n=input_tokens").time_is_relative


def test_commas_that_group_thousands_are_read_and_others_are_refused():
    maps = ("tok_in=input_tokens", "tok_out=output_tokens", "usd=cost_usd")
    call = one({"tok_in": "1,000", "tok_out": "2,345,678", "usd": "1,234.50"}, *maps)
    assert (call.input_tokens, call.output_tokens, call.cost_usd_reported) == (1000, 2345678, 1234.5)
    for bad in ({"tok_in": "1,00"}, {"tok_in": "1,5"}, {"usd": "1,234"}, {"tok_in": ",100"}):
        with pytest.raises(BadRecord):
            one({"tok_in": "1", "tok_out": "1", **bad}, *maps)
    row = {"ts": "2026-01-02T00:00:00Z", "model": "gpt-4o", "tok_in": "1,000", "tok_out": "200"}
    assert generic.guess_map(list(row), [row])["input_tokens"] == "tok_in"


def test_a_table_without_rows_names_the_columns_it_found(tmp_path: Path):
    table = tmp_path / "empty.csv"
    table.write_text("ts,model,tok_in,tok_out\n")
    with pytest.raises(CostplanError, match="its columns are: ts, model, tok_in, tok_out"):
        plan_of(table)


def test_counts_are_taken_as_inclusive():
    call = one({"i": 100, "c": 80, "w": 15, "o": 9}, "i=input_tokens", "c=cache_read_tokens", "w=cache_write_tokens")
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (100, 80, 15)


@pytest.mark.parametrize(
    ("status", "ok", "http"),
    [
        ("200", True, 200),
        (500, False, 500),
        (429.0, False, 429),
        ("error", False, None),
        ("Timeout", False, None),
        ("success", True, None),
        (True, True, None),
        (False, False, None),
        ("stop", True, None),
        (None, True, None),
    ],
)
def test_status_may_be_a_code_a_word_or_a_flag(status: Any, ok: bool, http: int | None):
    call = one({"s": status, "n": 1}, "s=status", "n=input_tokens")
    assert (call.ok, call.http_status) == (ok, http)


def test_error_text_is_kept_only_when_it_is_a_name():
    assert one({"e": "RateLimitError", "n": 1}, "e=error", "n=input_tokens").error_type == "RateLimitError"
    assert one({"e": "bad prompt: my secret", "n": 1}, "e=error", "n=input_tokens").error_type == "error"
    assert one({"e": "None", "n": 1}, "e=error", "n=input_tokens").ok


def test_text_columns_become_messages():
    row = {"sys": "Be brief.", "q": "Hi", "a": "Hello"}
    call = one(row, "sys=system", "q=prompt", "a=response")
    assert [(m.role, m.content) for m in call.messages] == [("system", "Be brief."), ("user", "Hi")]
    assert call.output_text == "Hello"
    assert (call.input_tokens, call.output_tokens) == (None, None)


def test_a_nested_column_is_named_by_its_path():
    row = {"usage": {"in": 5, "out": 2}}
    call = one(row, "usage.in=input_tokens", "usage.out=output_tokens")
    assert (call.input_tokens, call.output_tokens) == (5, 2)


def test_a_row_with_none_of_the_mapped_columns_is_bad():
    with pytest.raises(BadRecord, match="no_mapped_column"):
        one({"x": 1}, "y=input_tokens")
