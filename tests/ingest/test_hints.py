"""A line without a hint is one that compression leaves as it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from costplan.compression.saved import saved
from costplan.ingest.hints import _hinted
from costplan.trace import Message
from hypothesis import given, settings
from hypothesis import strategies as st

LONG = "The library opens at nine in the morning and closes at six in the evening."
PIECES = st.sampled_from(
    [
        "a", "b. ", "\n", "\n\n", " ", "\t", "\\", '"', "{", "}", "[", "]", ":", ",", '{"a": 1}', '{"a":1}', "[[1, 2]]",
        '[{"k": [1,\n 2]}]', LONG, LONG + " ", LONG + "\n", "x" * 210, "\n- item\n- item two\n" * 12, "é", "🙂",
        "```\n", "Answer: ",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join)


def hinted(line: dict[str, object], *, compact: bool, ascii_only: bool) -> bool:
    separators = (",", ":") if compact else (", ", ": ")
    data = json.dumps(line, separators=separators, ensure_ascii=ascii_only).encode() + b"\n"
    return bool(_hinted(np.frombuffer(data, np.uint8))[0])


@settings(max_examples=400)
@given(TEXTS, TEXTS, st.booleans(), st.booleans())
def test_what_gets_shorter_has_a_hint(first: str, second: str, compact: bool, ascii_only: bool):
    messages = [Message("system", first), Message("user", second), Message("user", first)]
    if saved(messages, "o200k_base").cuts:
        line = {"messages": [{"role": each.role, "content": each.content} for each in messages]}
        assert hinted(line, compact=compact, ascii_only=ascii_only)


@pytest.mark.parametrize("text", ["Where do I return a book?", LONG + " " + LONG[:50], "Say: 'a, b'.\nThen stop."])
@pytest.mark.parametrize("compact", [True, False])
def test_ordinary_prose_has_none(text: str, compact: bool):
    line = {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": text}], "n": [1]}
    assert not hinted(line, compact=compact, ascii_only=True)


def test_each_line_of_a_block_is_judged_by_itself():
    lines = [json.dumps({"content": text}).encode() + b"\n" for text in (LONG, LONG + " " + LONG, LONG, '{"a": 1}')]
    assert _hinted(np.frombuffer(b"".join(lines), np.uint8)).tolist() == [False, True, False, True]


def test_blank_and_broken_lines_do_no_harm(tmp_path: Path):
    assert _hinted(np.frombuffer(b'\n\n{\n\\\n"\n"\\\n', np.uint8)).tolist()[:2] == [False, False]
