"""Streams cut anywhere, in every legal spelling, and what is no answer at all."""

import json
from typing import Any

import pytest
from costplan.replay import answer as module
from costplan.replay.answer import Answer
from hypothesis import given
from hypothesis import strategies as st


def delta(**what: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": what, "finish_reason": None}]}


STREAM: list[Any] = [
    delta(role="assistant", content=""), delta(content="Grüße"), delta(content=""), delta(content=" an\n\nalle"),
    delta(reasoning_content="hm"), delta(tool_calls=[{"index": 0, "function": {"name": "f"}}]),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [],
     "usage": {"prompt_tokens": 7, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}},
]  # fmt: skip
SPOKEN = 4
"""Chunks with text, a thought or a call."""


def spelled(eol: str, space: str, comment: str) -> bytes:
    events = [*(json.dumps(one, ensure_ascii=False) for one in STREAM), "[DONE]"]
    return "".join(f"{comment}data:{space}{one}{eol}{eol}" for one in events).encode()


def read(pieces: list[bytes]) -> Answer:
    """The k-th piece comes at k seconds."""
    found = Answer(collect=True)
    for k, piece in enumerate(pieces):
        found.feed(float(k), piece)
    found.end(float(len(pieces)))
    return found


@given(
    cuts=st.lists(st.integers(0, 1200), max_size=40),
    eol=st.sampled_from(["\n", "\r\n"]), space=st.sampled_from(["", " "]),
    comment=st.sampled_from(["", ": ping\n\n", "event: message\n", "id: 7\n"]),
)  # fmt: skip
def test_a_stream_says_the_same_wherever_it_is_cut(cuts: list[int], eol: str, space: str, comment: str):
    raw = spelled(eol, space, comment)
    edges = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    pieces = [raw[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    found = read(pieces)
    assert (found.complete, found.ended, found.broken, found.error) == (True, True, False, False)
    assert "".join(found.text) == "Grüße an\n\nalle" and found.finish_reason == "stop"
    assert found.usage is not None and found.usage.prompt_tokens_details is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (7, 4)
    assert found.usage.prompt_tokens_details.cached_tokens == 3
    # a token has come once its line has ended
    ended = {float(k) for k, piece in enumerate(pieces) if b"\n" in piece}
    assert len(found.token_s) == SPOKEN and found.token_s == sorted(found.token_s) and set(found.token_s) <= ended


def test_tokens_have_the_time_of_the_piece_that_ends_their_line():
    first, second = (f"data: {json.dumps(delta(content=text))}\n\n".encode() for text in "ab")
    found = read([first[:9], first[9:] + second, b"data: [DONE]\n\n"])
    assert found.token_s == [1.0, 1.0]


def test_an_answer_in_one_piece_has_text_and_usage_and_no_times():
    whole = {"choices": [{"message": {"content": "yes"}, "finish_reason": "length"}], "usage": {"completion_tokens": 9}}
    raw = json.dumps(whole, indent=1).encode()
    found = read([b" \n", raw[:30], raw[30:]])
    assert (found.complete, found.text, found.token_s, found.finish_reason) == (True, ["yes"], [], "length")
    assert found.usage is not None and found.usage.completion_tokens == 9


@pytest.mark.parametrize(
    "raw",
    [b"[1, 2]", b"{}", b'data: {"choices": [}\n\n', b"data: nonsense\n\n", b"<html>Hi</html>\n", b'{"choices": [{"te',
     b'data: {"choices": [{"finish_reason": 7}]}\n\n', b'data: "\xff"\n\n'],
)  # fmt: skip
def test_garbage_is_no_answer(raw: bytes):
    found = read([raw])
    assert not found.complete and (found.broken or not found.streamed)


@pytest.mark.parametrize("raw", [b'data: {"error": {"message": "no"}}\n\n', b'{"object": "error", "message": "no"}'])
def test_an_error_inside_a_good_answer_is_seen(raw: bytes):
    assert read([raw]).error


def test_a_stream_without_an_end_is_not_complete():
    found = read([f"data: {json.dumps(delta(content='a'))}\n\n".encode()])
    assert not found.complete and not found.broken and found.streamed


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 10_000)
    found = read([b"data: " + b"x" * 6_000, b"x" * 6_000, b"x" * 6_000])
    assert found.broken
