"""The canonical trace: what is written is what is read back, also through JSON and Parquet."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from costplan.ingest import canonical, mooncake
from costplan.trace import BadRecord, Call, Message
from hypothesis import given, settings
from hypothesis import strategies as st

COLUMNS = """request_id source_format source_file source_line timestamp ts_offset_s operation provider request_model
    response_model input_messages tools_text output_text input_tokens cache_read_input_tokens
    cache_creation_input_tokens cache_creation_1h_input_tokens output_tokens reasoning_output_tokens usage_source
    usage_inclusive_rule duration_s ttft_s stream status http_status error_type finish_reason user session_id trace_id
    span_id parent_id feature tags environment cost_usd_reported service_tier gateway_cache_hit sample_weight
    prefix_block_ids block_size params temperature other_units cache_reported possibly_billed"""

FULL = Call(
    request_id="chatcmpl-1",
    trace_id="t",
    span_id="s",
    parent_id="p",
    session_id="c",
    user="u",
    tags=["a", "b"],
    feature="invoice-qa",
    environment="production",
    time_us=1_700_158_546_680_590,
    duration_s=1.5,
    ttft_s=0.25,
    provider="openai",
    request_model="gpt-4o",
    response_model="gpt-4o-2024-08-06",
    service_tier="batch",
    stream=True,
    messages=[Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", None, [{"name": "f"}])],
    tools=[{"type": "function", "function": {"name": "f"}}],
    output_text="Hello",
    output_tool_calls=[{"name": "f", "arguments": "{}"}],
    temperature=0.2,
    params='{"temperature":0.2}',
    input_tokens=100,
    cache_read_tokens=60,
    cache_write_tokens=30,
    cache_write_1h_tokens=10,
    output_tokens=20,
    reasoning_tokens=5,
    other_units={"web_searches": 2.0},
    cache_reported=True,
    finish_reason="stop",
    cost_usd_reported=0.01,
    sample_weight=4.0,
)

words = st.text(max_size=12)
names = st.none() | st.text(min_size=1, max_size=12)
tokens = st.integers(0, 10**8)
seconds = st.none() | st.floats(0, 1e6)
prose = st.text(max_size=20).filter(lambda text: text[:1] not in {"[", "{"})
objects = st.lists(st.dictionaries(words, words | st.integers(-9, 9), min_size=1, max_size=2), min_size=1, max_size=2)
calls = st.builds(
    Call,
    request_id=names,
    trace_id=names,
    span_id=names,
    parent_id=names,
    session_id=names,
    user=names,
    tags=st.lists(st.text(min_size=1, max_size=8), max_size=3),
    feature=names,
    environment=names,
    time_us=st.integers(1, 10**15),
    time_is_relative=st.booleans(),
    duration_s=seconds,
    ttft_s=seconds,
    operation=st.sampled_from(["chat", "embeddings", "rerank"]),
    provider=words,
    request_model=words,
    response_model=words,
    service_tier=words,
    stream=st.booleans(),
    messages=st.lists(
        st.builds(Message, st.text(min_size=1, max_size=9), st.none() | st.text(max_size=20), st.none() | objects),
        max_size=3,
    ),
    tools=st.none() | objects | prose.filter(bool),
    output_text=names,
    output_tool_calls=st.none() | objects,
    temperature=seconds,
    params=words,
    text_cut=st.booleans(),
    input_tokens=st.none() | tokens,
    cache_read_tokens=tokens,
    cache_write_tokens=tokens,
    cache_write_1h_tokens=tokens,
    output_tokens=st.none() | tokens,
    reasoning_tokens=tokens,
    other_units=st.dictionaries(words, st.floats(0.5, 1e6), max_size=2),
    cache_reported=st.booleans(),
    ok=st.booleans(),
    http_status=st.none() | st.integers(100, 599),
    error_type=names,
    finish_reason=names,
    possibly_billed=st.booleans(),
    gateway_cache_hit=st.booleans(),
    cost_usd_reported=seconds,
    sample_weight=st.floats(1, 1e4),
    block_ids=st.lists(st.integers(0, 2**62), max_size=3),
    block_size=st.sampled_from([0, 16, 512]),
)


@settings(deadline=None)
@given(calls)
def test_a_call_survives_the_round_trip_through_json(call: Call):
    row = json.loads(json.dumps(canonical.row_of(call)))
    assert canonical.matches(row)
    assert canonical.calls(row) == [call]


@settings(deadline=None)
@given(calls)
def test_a_row_read_and_written_again_is_the_same_row(call: Call):
    row = canonical.row_of(call)
    (again,) = canonical.calls(row)
    assert isinstance(again, Call)
    assert canonical.row_of(again) == row


def test_a_call_survives_the_round_trip_through_parquet(tmp_path: Path):
    path = tmp_path / "trace.parquet"
    pq.write_table(pa.Table.from_pylist([canonical.row_of(FULL), canonical.row_of(Call(input_tokens=1))]), path)
    first, second = pq.read_table(path).to_pylist()
    assert canonical.calls(first) == [FULL]
    assert canonical.calls(second) == [Call(input_tokens=1)]


def test_a_row_has_every_documented_column():
    assert set(COLUMNS.split()) <= set(canonical.row_of(Call()))


def test_times_are_iso_8601_with_microseconds_or_an_offset():
    row = canonical.row_of(FULL)
    assert (row["timestamp"], row["ts_offset_s"]) == ("2023-11-16T18:15:46.680590Z", None)
    row = canonical.row_of(Call(time_us=27_482_000, time_is_relative=True))
    assert (row["timestamp"], row["ts_offset_s"]) == (None, 27.482)


def test_parts_of_a_message_are_flattened_to_one_text():
    image = {"type": "image_url", "image_url": {"url": "x"}}
    content = [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}, image]
    (message,) = canonical.row_of(Call(messages=[Message("user", content)]))["input_messages"]
    assert message["text"] == 'What is\nthis?\n{"image_url":{"url":"x"},"type":"image_url"}'


def test_the_source_columns_are_left_to_the_caller():
    row = canonical.row_of(FULL)
    assert row["source_format"] is row["source_file"] is row["source_line"] is None


def test_a_row_without_tokens_says_that_its_usage_is_missing():
    assert canonical.row_of(Call())["usage_source"] == "missing"


def test_a_weight_below_one_is_a_bad_record():
    with pytest.raises(BadRecord, match="bad_sample_weight"):
        canonical.calls(canonical.row_of(FULL) | {"sample_weight": 0.5})


def test_a_mooncake_row_reads_back_as_the_same_load():
    call = Call(time_us=2_500_000, input_tokens=1000, output_tokens=7, block_ids=[4, 5], block_size=512)
    row = canonical.mooncake_row(call, start_us=500_000)
    assert row == {"timestamp": 2000, "input_length": 1000, "output_length": 7, "hash_ids": [4, 5]}
    (read,) = mooncake.calls(row)
    assert isinstance(read, Call) and (read.time_us, read.block_size, read.block_ids) == (2_000_000, 512, [4, 5])


def test_a_call_of_unknown_length_is_no_mooncake_row():
    with pytest.raises(BadRecord, match="no_time_or_usage"):
        canonical.mooncake_row(Call(time_us=5, input_tokens=5))
