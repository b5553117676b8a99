"""The plain way writes the very columns that the general way writes, or declines the line."""

import json
from typing import Any

import numpy as np
import pytest
from costplan.engine import Ragged
from costplan.ingest import pairs
from costplan.ingest.features import FeatureBuilder, Features, FeatureSettings
from costplan.ingest.plain import PlainAdder, decode_run, plain_rows
from costplan.trace import BadRecord, Call, check
from hypothesis import given, settings
from hypothesis import strategies as st

_SHORT = st.sampled_from(["", "a", "hello there", "x" * 600, "What is today?", "[REDACTED]", "é", "y" * 5000])
_COUNT = st.sampled_from([0, 1, 3, 17, 1500, -1, 10**9])
_MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": _SHORT})
_REQUEST = st.fixed_dictionaries(
    {"messages": st.lists(_MESSAGE, max_size=4)},
    optional={
        "model": st.sampled_from(["gpt-4o", "gpt-4", "", "claude-x"]),
        "temperature": st.sampled_from([0, 0.2, 1.0, 1.7, -1, None]),
        "max_tokens": st.sampled_from([1, 500, None]),
        "top_p": st.sampled_from([0.5, 1]),
        "seed": st.just(7),
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
        "model": st.sampled_from(["gpt-4o-2024-08-06", ""]),
        "system_fingerprint": st.sampled_from([None, "fp_1"]),
    },
)
RECORDS = st.fixed_dictionaries(
    {
        "timestamp": st.sampled_from([1_790_000_000.5, 1_790_000_000, "2026-10-01T00:00:00Z", "nonsense", 0.0]),
        "request": _REQUEST,
        "response": _RESPONSE,
    },
    optional={
        "id": st.sampled_from([None, "x"]),
        "model": st.sampled_from([None, "gpt-4o-mini"]),
        "user": st.sampled_from([None, "", "u1"]),
        "session": st.sampled_from([None, "s1"]),
        "feature": st.sampled_from([None, "", "faq", "batch"]),
        "latency_ms": st.sampled_from([None, 0, 812, 12.5, -3]),
        "status_code": st.just(200),
    },
)


@given(st.lists(RECORDS, min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_what_the_plain_way_takes_it_reads_like_the_general_way(records: list[dict[str, Any]]):
    plain, general = FeatureBuilder(FeatureSettings()), FeatureBuilder(FeatureSettings())
    adder = PlainAdder(plain)
    decoded = decode_run([json.dumps(record).encode() for record in records])
    line = 0
    for record, pair, taken in zip(records, decoded, plain_rows(decoded), strict=True):
        if not taken or pair is None:
            continue
        adder.add([pair], line)
        try:
            [call] = pairs.calls(record)
            assert isinstance(call, Call)
            check(call)
        except BadRecord as bad:
            pytest.fail(f"the general way rejects what the plain way took: {bad.reason}")
        general.add(call, line)
        line += 1
    _same(plain.features(), general.features())


def test_a_run_of_lines_is_read_like_its_lines_one_by_one():
    records = [_record(index) for index in range(700)]
    decoded = [pair for pair in decode_run([json.dumps(record).encode() for record in records]) if pair]
    together, apart = FeatureBuilder(FeatureSettings()), FeatureBuilder(FeatureSettings())
    PlainAdder(together).add(decoded, 10)
    adder = PlainAdder(apart)
    for index, pair in enumerate(decoded):
        adder.add([pair], 10 + index)
    _same(together.features(), apart.features())


def test_an_ordinary_line_is_taken_and_an_unknown_field_is_not():
    lines = [json.dumps(record).encode() for record in (_record(1), _record(1) | {"price_tier": "gold"})]
    assert plain_rows(decode_run(lines)).tolist() == [True, False]


def _record(index: int) -> dict[str, Any]:
    return {
        "timestamp": 1_790_000_000.0 + index % 7,
        "user": f"u{index % 5}",
        "feature": "batch" if index % 3 else None,
        "request": {
            "model": f"gpt-4o{'-mini' * (index % 2)}",
            "messages": [{"role": "user", "content": f"hi {index % 11}"}],
        },
        "response": {
            "id": f"chatcmpl-{index}",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 8, "completion_tokens": index, "total_tokens": 8 + index},
        },
    }


def _same(one: Features, other: Features) -> None:
    assert one.kinds == other.kinds
    assert one.sites == other.sites
    assert one.tagsets == other.tagsets
    assert one.columns.keys() == other.columns.keys()
    for name, column in one.columns.items():
        expected = other.columns[name]
        if isinstance(column, Ragged):
            np.testing.assert_array_equal(column.offsets, expected.offsets, err_msg=name)
            column, expected = column.values, expected.values
        np.testing.assert_array_equal(column, expected, err_msg=name)
