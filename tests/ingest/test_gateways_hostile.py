"""Whatever a gateway's or an agent's line holds, its dialect returns rows or raises BadRecord; the books balance."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from costplan.ingest import apim, canonical, claude_code, codex, envoy, kong, sagemaker, vertex
from costplan.ingest.fields import dig
from costplan.trace import BadRecord, Call, NotACall
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.logs import TRACES, plan_of, write
from tests.ingest.test_exports_hostile import reads_or_refuses, records, values

Strategy = st.SearchStrategy[Any]


def some(names: str, **inner: Strategy) -> Strategy:
    """An object with some of the names; those given as `inner` hold what it says, or anything."""
    optional = dict.fromkeys(names.split(), values) | {name: values | known for name, known in inner.items()}
    return st.fixed_dictionaries({}, optional=optional)


BODY = some("id model usage content choices created stop_reason error type messages prompt inputs")
USAGE = some(
    "prompt_tokens completion_tokens prompt_token cost time_to_first_token input_tokens output_tokens "
    "cache_read_input_tokens cache_creation_input_tokens service_tier"
)
COUNTS = some("input_tokens cached_input_tokens output_tokens reasoning_output_tokens")
PLUGIN = some(
    "cache", usage=USAGE, meta=some("request_model response_model llm_latency request_mode provider_name"),
    payload=some("request", response=BODY | st.just("data: {")),
)  # fmt: skip
INFO = some("model_context_window", last_token_usage=COUNTS, total_token_usage=COUNTS)
PAYLOAD = some("id forked_from_id source model effort", type=st.just("token_count"), info=INFO)
SIDE = some("data", encoding=st.sampled_from(["JSON", "BASE64", "CSV"]))
SHAPES: list[tuple[ModuleType, Strategy]] = [
    (kong, some("started_at latencies consumer route", ai=some("payload", proxy=PLUGIN, other=PLUGIN),
                response=some("status"), request=some("id"))),
    (envoy, some("start_time duration response_code genai_tokens_input genai_tokens_output genai_model_name x-user-id "
                 "gen_ai.usage.cache_read.input_tokens x-session-id genai_tokens_reasoning route_name x-request-id")),
    (apim, some("CorrelationId SequenceNumber PromptTokens CompletionTokens ModelName DeploymentName RequestMessages "
                "ResponseMessages TimeGenerated ResponseCode BackendTime IsStreamCompletion RequestId")),
    (vertex, some("logging_time request_payload response_payload model request_id sampling_rate metadata api_method",
                  full_request=BODY, full_response=BODY | st.lists(BODY, max_size=3))),
    (sagemaker, some("", captureData=some("", endpointInput=SIDE, endpointOutput=SIDE),
                     eventMetadata=some("eventId inferenceTime"))),
    (claude_code, some("sessionId uuid parentUuid requestId timestamp isSidechain",
                       type=st.sampled_from(["assistant", "user"]),
                       message=some("id model content stop_reason", usage=USAGE))),
    (codex, some("timestamp", type=st.sampled_from(["session_meta", "turn_context", "event_msg"]), payload=PAYLOAD)),
]  # fmt: skip
IDS = [dialect.NAME for dialect, _ in SHAPES]


@pytest.mark.parametrize(("dialect", "shape"), SHAPES, ids=IDS)
def test_hostile_values_under_known_keys_are_read_or_refused(dialect: ModuleType, shape: Strategy):
    @settings(max_examples=60, deadline=None)
    @given(shape | records)
    def check(record: dict[str, Any]) -> None:
        reads_or_refuses(dialect, record)

    check()


@pytest.mark.parametrize(("dialect", "shape"), [s for s in SHAPES if s[0] in (apim, codex)], ids=["apim", "codex"])
def test_hostile_records_one_after_the_other_are_read_or_refused(dialect: ModuleType, shape: Strategy):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(shape, max_size=6))
    def check(rows: list[dict[str, Any]]) -> None:
        read, at_end = dialect.reading()
        found: list[Call | NotACall] = []
        refused = 0
        for row in rows:
            try:
                found += read(row)
            except BadRecord as bad:
                assert bad.reason.isidentifier()
                refused += 1
        found += at_end()
        assert len(found) + refused == len(rows)
        for row in found:
            if isinstance(row, Call):
                canonical.row_of(row)

    check()


BROKEN: dict[str, tuple[str, list[Any]]] = {
    "kong_ai_proxy": ("bad_number", [("ai", "proxy", "usage", "prompt_tokens"), "many"]),
    "envoy_ai_gateway_access": ("bad_number", [("genai_tokens_input",), "many"]),
    "apim_llm_log": ("negative_tokens", [("PromptTokens",), -5]),
    "vertex_request_response": ("bad_sampling_rate", [("sampling_rate",), 3]),
    "sagemaker_data_capture": ("bad_base64", [("captureData", "endpointInput", "encoding"), "BASE64"]),
    "codex_rollout": ("absurd_tokens", [("payload", "info", "last_token_usage", "input_tokens"), 10**12]),
    "claude_code_sessions": ("bad_number", [("message", "usage", "input_tokens"), "many"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_count_is_one_bad_record_among_good_ones(name: str, tmp_path: Path):
    good = [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text().splitlines()]
    reason, (path, value) = BROKEN[name]
    bad = json.loads(json.dumps(next(r for r in good if holds(r, path))))
    inner = bad
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    if name == "apim_llm_log":
        bad["CorrelationId"] = "another"
    plan = plan_of(write(tmp_path / "log.jsonl", [*good, bad, b"{", b"17"]))
    assert {key: entry.count for key, entry in plan.ingest.skipped.reasons.items()} == {
        reason: 1, "truncated_json": 1, "not_an_object": 1,
    }  # fmt: skip
    assert plan.ingest.requests == plan_of(TRACES / f"{name}.jsonl").ingest.requests


def holds(record: dict[str, Any], path: tuple[str, ...]) -> bool:
    return dig(record, *path) is not None
