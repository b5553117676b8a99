"""Public traces: units, block sizes and failures that the files do not state, on excerpts and whole files."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import azure, bailian, burstgpt, mooncake
from costplan.trace import BadRecord, Call, NotACall, check

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "traces"
DATA = ROOT / "tests" / "data"


def only(rows: list[Call | NotACall]) -> Call:
    (call,) = rows
    assert isinstance(call, Call)
    check(call)
    return call


def csv_rows(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_azure_rows_are_utc_with_seven_decimals():
    rows = csv_rows((TRACES / "azure_conv_excerpt.csv").read_text())
    assert len(rows) == 500 and azure.matches(rows[0])
    call = only(azure.calls(rows[0]))
    assert (call.input_tokens, call.output_tokens) == (374, 44)
    assert call.time_us == 1_700_158_546_680_590 and not call.time_is_relative


def test_the_whole_azure_trace_adds_up():
    """Totals computed apart from this code: 22,361,870 in and 4,088,665 out over 19,366 rows."""
    rows = csv_rows(gzip.decompress((DATA / "azure" / "AzureLLMInferenceTrace_conv.csv.gz").read_bytes()).decode())
    calls = [only(azure.calls(row)) for row in rows]
    assert len(calls) == 19_366
    assert sum(c.input_tokens or 0 for c in calls) == 22_361_870
    assert sum(c.output_tokens or 0 for c in calls) == 4_088_665
    times = [c.time_us or 0 for c in calls]
    assert times == sorted(times) and round((times[-1] - times[0]) / 1e6) == 3502


def test_an_azure_row_without_counts_is_bad():
    with pytest.raises(BadRecord, match="missing_tokens"):
        azure.calls({"TIMESTAMP": "2023-11-16 18:15:46.6805900", "ContextTokens": "", "GeneratedTokens": "4"})


def test_mooncake_times_are_milliseconds_and_blocks_512_tokens():
    lines = (TRACES / "mooncake_conversation_excerpt.jsonl").read_text().splitlines()
    calls = [only(mooncake.calls(json.loads(line))) for line in lines]
    assert len(calls) == 200 and {c.block_size for c in calls} == {512}
    call = only(
        mooncake.calls({"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [*range(14)]})
    )
    assert (call.time_us, call.time_is_relative, call.block_size) == (27_482_000, True, 512)
    assert (call.input_tokens, call.output_tokens, len(call.block_ids)) == (6955, 52, 14)


def test_the_whole_mooncake_trace_fits_its_block_size():
    """12,031 rows, 144,793,823 input tokens, 288,500 blocks of which 182,790 are distinct."""
    text = gzip.decompress((DATA / "mooncake" / "conversation_trace.jsonl.gz").read_bytes()).decode()
    calls = [only(mooncake.calls(json.loads(line))) for line in text.splitlines()]
    blocks = [block for call in calls for block in call.block_ids]
    assert len(calls) == 12_031 and {c.block_size for c in calls} == {512}
    assert sum(c.input_tokens or 0 for c in calls) == 144_793_823
    assert (len(blocks), len(set(blocks))) == (288_500, 182_790)


def test_another_block_size_is_found_from_the_lengths():
    """ceil(1000 / 16) = 63."""
    row = {"timestamp": 0, "input_length": 1000, "output_length": 1, "hash_ids": [*range(63)]}
    assert only(mooncake.calls(row)).block_size == 16
    assert only(mooncake.calls(row | {"input_length": 4000, "block_size": 64})).block_size == 64


def test_hash_ids_that_fit_no_block_size_are_a_bad_record():
    row = {"timestamp": 0, "input_length": 1000, "output_length": 1, "hash_ids": [1, 2, 3]}
    with pytest.raises(BadRecord, match="hash_ids_do_not_fit_input"):
        mooncake.calls(row)
    with pytest.raises(BadRecord, match="bad_hash_ids"):
        mooncake.calls(row | {"hash_ids": "none"})


def test_a_mooncake_row_without_hashes_still_has_lengths():
    call = only(mooncake.calls({"timestamp": 5, "input_length": 10, "output_length": 1, "hash_ids": []}))
    assert (call.block_ids, call.block_size) == ([], 0)


def test_bailian_times_are_seconds_and_chats_are_chained_by_parent():
    row = json.loads((TRACES / "bailian_excerpt.jsonl").read_text())
    assert bailian.matches(row) and not mooncake.matches(row)
    call = only(bailian.calls(row))
    assert (call.span_id, call.parent_id, call.block_size, len(call.block_ids)) == ("0", None, 16, 32)
    assert (call.input_tokens, call.output_tokens, call.tags) == (502, 1494, ["text"])
    turn = only(bailian.calls(row | {"chat_id": 159, "parent_chat_id": 55, "timestamp": 61.114}))
    assert (turn.span_id, turn.parent_id, turn.time_us, turn.trace_id) == ("159", "55", 61_114_000, None)


def test_burstgpt_times_are_relative_seconds():
    rows = csv_rows((TRACES / "burstgpt.csv").read_text())
    calls = [only(burstgpt.calls(row)) for row in rows if burstgpt.matches(row)]
    assert [(c.time_us, c.request_model, c.input_tokens, c.output_tokens) for c in calls] == [
        (4_000_000, "ChatGPT", 480, 20),
        (30_000_000, "ChatGPT", 1000, 200),
        (95_000_000, "GPT-4", 400, 300),
    ]
    assert calls[0].time_is_relative and calls[0].tags == ["Conversation log"]


def test_burstgpts_third_release_is_read_by_column_name():
    header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    (row,) = csv_rows(header + "5,s1,2.5,GPT-4,472,18,490,API log\n")
    call = only(burstgpt.calls(row))
    assert (call.time_us, call.session_id, call.duration_s, call.ttft_s) == (5_000_000, "s1", 2.5, None)


def test_a_burstgpt_answer_of_zero_tokens_is_a_failed_call():
    (row,) = csv_rows("Timestamp,Model,Request tokens,Response tokens\n5,GPT-4,472,0\n")
    call = only(burstgpt.calls(row))
    assert (call.ok, call.error_type, call.output_tokens) == (False, "no_response", 0)
