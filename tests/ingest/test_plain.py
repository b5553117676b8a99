"""The plain way writes the very columns that the general way writes, or declines the line."""

import json
import re
import sys
import tempfile
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.engine import Ragged, read_batch
from costplan.ingest import parse, plain, records, source
from costplan.ingest.detect import Detected
from costplan.ingest.features import FeatureBuilder, FeatureSettings
from costplan.ingest.plain import PlainLines
from hypothesis import given, settings
from hypothesis import strategies as st

_SHORT = st.sampled_from(
    [
        "",
        "a",
        "hello there",
        "x" * 600,
        "What is today?",
        "[REDACTED]",
        "é",
        "y" * 5000,
        "日本" * 700,
        "Now\t\tNOW",
        '"😀"\n',
    ]
)
_COUNT = st.sampled_from([0, 1, 3, 17, 1500, -1, 10**9])
_MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": _SHORT})
_REQUEST = st.fixed_dictionaries(
    {"messages": st.lists(_MESSAGE, max_size=4)},
    optional={
        "model": st.sampled_from(["gpt-4o", "gpt-4", "", "claude-x"]),
        "temperature": st.sampled_from([0, 0.2, 1.0, 1.7, -1, 0.1234567890123456789, None]),
        "max_tokens": st.sampled_from([1, 500, None]),
        "top_p": st.sampled_from([0.5, 1]),
        "seed": st.sampled_from([7, 2**70, -1, None]),
        "n": st.just(1),
        "stream": st.booleans(),
    },
)
_USAGE = st.builds(
    lambda a, b, extra, details, spent: {"prompt_tokens": a, "completion_tokens": b, "total_tokens": a + b + extra}
    | ({"prompt_tokens_details": details} if details is not ... else {})
    | ({"completion_tokens_details": spent} if spent is not ... else {}),
    _COUNT, _COUNT, st.sampled_from([0, 0, 0, 5]),
    st.sampled_from(
        [..., None, {"cached_tokens": 0}, {"cached_tokens": 2}, {"cached_tokens": 2, "audio_tokens": 1}]
    ),
    st.sampled_from([..., None, {"reasoning_tokens": 1}, {"reasoning_tokens": 0, "audio_tokens": 0}]),
)  # fmt: skip
_RESPONSE = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["chatcmpl-1", "msg_1", ""]),
        "choices": st.lists(
            st.fixed_dictionaries(
                {
                    "index": st.just(0),
                    "message": st.fixed_dictionaries({"role": st.just("assistant"), "content": _SHORT}),
                    "finish_reason": st.sampled_from(["stop", "length", "tool_calls", ""]),
                }
            ),
            min_size=1,
            max_size=2,
        ),
        "usage": _USAGE,
    },
    optional={
        "object": st.just("chat.completion"),
        "created": st.just(1_790_000_000),
        "model": st.sampled_from(["gpt-4o-2024-08-06", "", "gpt/é"]),
        "system_fingerprint": st.sampled_from([None, "fp_1"]),
    },
)
RECORDS = st.fixed_dictionaries(
    {
        "timestamp": st.sampled_from(
            [1_790_000_000.5, 1_790_000_000, 1_790_000_000.1234567, "2026-10-01T00:00:00Z", "nonsense", 0.0]
        ),
        "request": _REQUEST,
        "response": _RESPONSE,
    },
    optional={
        "id": st.sampled_from([None, "x"]),
        "model": st.sampled_from([None, "gpt-4o-mini"]),
        "user": st.sampled_from([None, "", "u1", "José"]),
        "session": st.sampled_from([None, "s1"]),
        "feature": st.sampled_from([None, "", "faq", "batch", "naïve"]),
        "latency_ms": st.sampled_from([None, 0, 812, 12.5, 0.12345678901234567, -3]),
        "status_code": st.just(200),
    },
)


# what a number, a text or a whole line may look like besides what json.dumps writes
_NUMBERS = ("1e3", "-0", "1.5e300", "0.1234567890123456789", "12345678901234567890", "1.0", "2E2", "01", "1.", "+1")
_NUMBERS += ("1790000000.1234567", "17900000000000001e-7", "true", "null", '"7"', "NaN", "-", "1e", "9007199254740993")
_ESCAPES = (r"\u0000", r"\ud83d\ude00", r"\ud83d", r"\ude00", r"\/", r"\n\t\b\f\r\"\\", r"\u00E9", r"\x", r"\u12", "\t")
_BLANKS = (" ", "\t", "\r", "  ", "\x0b", "\ufeff", "\n", "\0")
_EDITS = st.one_of(
    st.tuples(st.just("number"), st.sampled_from(_NUMBERS), st.integers(0, 99)),
    st.tuples(st.just("escape"), st.sampled_from(_ESCAPES), st.integers(0, 99)),
    st.tuples(st.just("blank"), st.sampled_from(_BLANKS), st.integers(0, 99)),
    st.tuples(st.just("cut"), st.just(""), st.integers(0, 400)),
    st.tuples(st.just("twice"), st.just(""), st.integers(0, 99)),
    st.tuples(st.just("bytes"), st.sampled_from(["\xff", "\xed\xa0\x80", "\xc3"]), st.integers(0, 99)),
)


def _edited(line: bytes, edit: tuple[str, str, int]) -> bytes:
    """The line with one thing changed at the n-th place where that kind of change is possible."""
    kind, new, place = edit
    if kind == "cut":
        return line[: -1 - place % len(line)]
    patterns = {
        "number": rb"(?<=: )-?[0-9][0-9.e+-]*", "escape": rb'(?<=[a-z0-9])(?=[^"]*")', "blank": rb'(?<=[{}:,\[\]])',
        "twice": rb'"\w+": (?:-?[0-9.]+|"[^"\\]*"), ', "bytes": rb"(?<=[a-z0-9])",
    }  # fmt: skip
    found = list(re.finditer(patterns[kind], line))
    if not found:
        return line
    spot = found[place % len(found)]
    text = new.encode("latin-1") if kind == "bytes" else new.encode()
    text = spot[0] * 2 if kind == "twice" else text
    return line[: spot.start()] + text + line[spot.end() :]


_LINES = st.builds(
    lambda record, ascii_only, tight, edits, end: reduce(
        _edited,
        edits,
        json.dumps(record, ensure_ascii=ascii_only, separators=(",", ":") if tight else None).encode(),
    ) + end,
    RECORDS, st.booleans(), st.sampled_from([False, False, False, True]), st.lists(_EDITS, max_size=2),
    st.sampled_from([b"\n", b"\r\n", b" \n", b"\n\n"]),
)  # fmt: skip


@given(st.lists(_LINES, min_size=1, max_size=8), st.sampled_from([1, 2, 16]), st.booleans())
@settings(max_examples=400, deadline=None)  # the first call compiles
def test_the_plain_way_and_the_general_way_read_the_same(lines: list[bytes], shortest_run: int, ended: bool):
    data = b"".join(lines)
    data = data if ended else data.rstrip()
    _same(_parsed(data, fast=True, shortest_run=shortest_run), _parsed(data, fast=False))


def test_most_ordinary_lines_are_taken():
    """And 700 lines in small blocks are read like 700 lines in one."""
    data = b"".join(json.dumps(_record(index), ensure_ascii=index % 2 == 0).encode() + b"\n" for index in range(700))
    lines = PlainLines(FeatureBuilder(FeatureSettings(), compiled=True))
    assert list(lines.declined(bytearray(data), 1)) == []
    assert lines.taken == 700
    _same(_parsed(data, fast=True, block_bytes=3000), _parsed(data, fast=True))


def test_a_line_with_an_unknown_field_is_declined_with_its_number():
    raw = [json.dumps(_record(index) | ({"price_tier": "gold"} if index == 20 else {})).encode() for index in range(40)]
    lines = PlainLines(FeatureBuilder(FeatureSettings(), compiled=True))
    assert list(lines.declined(bytearray(b"\n".join(raw) + b"\n"), 5)) == [(25, raw[20])]


def test_splits_of_a_few_bytes_hold_every_line_once():
    data = b"".join(json.dumps(_record(index)).encode() + b"\n" * (1 + index % 2) for index in range(40))
    with tempfile.TemporaryDirectory() as folder:
        log = source.Source("log", Path(folder, "log"), "lines", "", len(data))
        log.file.write_bytes(data)
        for size in (1, 7, 100, 333, len(data)):
            cut = [source.Split(0, log, at, min(at + size, len(data))) for at in range(0, len(data), size)]
            blocks = [
                bytes(block) for split in cut for _, block in records.line_blocks(split, lambda _line, _why: None, [0])
            ]
            assert b"".join(blocks) == data


def _record(index: int) -> dict[str, Any]:
    return {
        "timestamp": 1_790_000_000.0 + index % 7,
        "user": f"u{index % 5}",
        "feature": "batch" if index % 3 else None,
        "request": {
            "model": f"gpt-4o{'-mini' * (index % 2)}",
            "messages": [{"role": "user", "content": f'hi "{index % 11}"' + "é" * (600 * (index % 13 == 0))}],
        },
        "response": {
            "id": f"chatcmpl-{index}",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 8, "completion_tokens": index, "total_tokens": 8 + index},
        },
    }


def _parsed(data: bytes, *, fast: bool, shortest_run: int = 1, block_bytes: int = records.BLOCK_BYTES) -> Any:
    """(what a split of the data holds, its columns), read by compiled loops or the general way."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(parse, "COMPILE_FROM_BYTES", 0 if fast else sys.maxsize)
        patch.setattr(plain, "SHORTEST_RUN", shortest_run)
        patch.setattr(records, "BLOCK_BYTES", block_bytes)
        log = source.Source("log", Path(folder, "log"), "lines", "", len(data))
        log.file.write_bytes(data)
        split = source.Split(0, log, 0, len(data))
        parsed = parse.parse_split(parse.ParseJob(0, split, Detected("pairs", "", ""), FeatureSettings(), Path(folder)))
        return parsed, [read_batch(chunk.path, 0) for chunk in parsed.chunks]


def _same(one: Any, other: Any) -> None:
    (parsed, columns), (expected, expected_columns) = one, other
    assert parsed.books == expected.books
    assert parsed.lengths == expected.lengths
    for chunk, wanted in zip(parsed.chunks, expected.chunks, strict=True):
        assert (chunk.kinds, chunk.sites, chunk.tagsets) == (wanted.kinds, wanted.sites, wanted.tagsets)
    for found, wanted in zip(columns, expected_columns, strict=True):
        assert found.keys() == wanted.keys()
        for name, column in found.items():
            values = wanted[name]
            if isinstance(column, Ragged):
                np.testing.assert_array_equal(column.offsets, values.offsets, err_msg=name)
                column, values = column.values, values.values
            np.testing.assert_array_equal(column, values, err_msg=name)
