"""OTLP spans: current and older names, four instrumentations, ids kept on every span, parents' usage never counted."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import otlp
from costplan.trace import BadRecord, Call, NotACall, check

TRACES = Path(__file__).parents[2] / "traces"
LINES: list[dict[str, Any]] = [json.loads(line) for line in (TRACES / "otlp_genai.jsonl").read_text().splitlines()]

# The protocol's own example (opentelemetry-proto, examples/trace.json, Apache-2.0): numeric nanoseconds, no gen_ai.
PROTOCOL_EXAMPLE: dict[str, Any] = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "my.library", "version": "1.0.0"},
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "parentSpanId": "EEE19B7EC3C1B173",
                            "name": "I'm a server span",
                            "startTimeUnixNano": 1544712660000000000,
                            "endTimeUnixNano": 1544712661000000000,
                            "kind": 2,
                            "attributes": [{"key": "my.span.attr", "value": {"stringValue": "some value"}}],
                        }
                    ],
                }
            ],
        }
    ]
}


def attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    def wrap(value: Any) -> dict[str, Any]:
        match value:
            case bool():
                return {"boolValue": value}
            case int():
                return {"intValue": value}
            case float():
                return {"doubleValue": value}
            case list():
                return {"arrayValue": {"values": [wrap(v) for v in value]}}  # type: ignore[reportUnknownVariableType]
            case dict():
                return {"kvlistValue": {"values": attributes(value)}}  # type: ignore[reportUnknownArgumentType]
            case _:
                return {"stringValue": value}

    return [{"key": key, "value": wrap(value)} for key, value in values.items()]


def trace(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def one(values: dict[str, Any], **span: Any) -> Call:
    (call,) = otlp.calls(trace({"attributes": attributes(values), **span}))
    assert isinstance(call, Call)
    check(call)
    return call


def call_in(line: int, index: int = 0) -> Call:
    call = [row for row in otlp.calls(LINES[line]) if isinstance(row, Call)][index]
    check(call)
    return call


def test_only_the_model_call_of_an_agent_trace_is_a_call_and_ids_link_all_spans():
    agent, chat, tool, http = otlp.calls(LINES[0])
    trace_id = "5b8efff798038103d269b633813fc60c"
    assert agent == NotACall("otlp_invoke_agent", "aaaaaaaaaaaaaaa0", None, trace_id)
    assert isinstance(chat, Call) and (chat.span_id, chat.parent_id) == ("aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa0")
    assert tool == NotACall("otlp_execute_tool", "aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa0", trace_id)
    assert http == NotACall("otlp_not_a_model_call", "aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa2", trace_id)


def test_current_names_give_inclusive_usage_times_and_text():
    """1,200 in holds 1,000 read and 100 written, 80 out hold 30 of reasoning; 2,100 ms - 100 ms = 2 s."""
    call = call_in(0)
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (1200, 1000, 100)
    assert (call.output_tokens, call.reasoning_tokens, call.cache_reported) == (80, 30, True)
    assert (call.duration_s, call.ttft_s, call.stream) == (2.0, 0.35, True)
    assert call.time_us == 1_790_409_578_848_000
    assert [(m.role, m.content) for m in call.messages] == [
        ("system", "You are a weather assistant."),
        ("user", "Weather in Paris?"),
    ]
    assert call.output_tool_calls[0]["name"] == "get_weather"
    assert (call.provider, call.request_model, call.response_model) == (
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
    )
    assert (call.request_id, call.session_id, call.user, call.finish_reason) == (
        "msg_01",
        "conv-1",
        "user-7",
        "tool_call",
    )
    assert (call.tags, call.environment) == (["my-agent"], "production")
    assert (call.temperature, call.params) == (0.1, '{"max_tokens":1024,"temperature":0.1}')


def test_openllmetry_names_are_read():
    call = call_in(1)
    assert (call.input_tokens, call.output_tokens, call.provider) == (14, 3, "OpenAI")
    assert [(m.role, m.content) for m in call.messages] == [("system", "Be brief."), ("user", "Hello")]
    assert (call.output_text, call.finish_reason) == ("Hi.", "stop")


def test_vllm_spans_name_no_operation_but_are_calls():
    call = call_in(2)
    assert (call.input_tokens, call.output_tokens, call.ttft_s, call.duration_s) == (512, 128, 0.06, 1.0)
    assert (call.request_id, call.response_model) == ("cmpl-77", "meta-llama/Llama-3.1-8B-Instruct")
    assert call.messages == [] and not call.cache_reported


def test_openinference_llm_spans_are_calls_and_retrievers_are_not():
    call = call_in(3)
    assert (call.input_tokens, call.output_tokens, call.cache_read_tokens) == (40, 9, 0)
    assert (call.cache_reported, call.request_model, call.provider) == (True, "gpt-4o", "openai")
    assert (call.messages[0].content, call.output_text, call.temperature) == ("Name a river.", "The Elbe.", 0.0)
    dropped = [row for row in otlp.calls(LINES[3]) if isinstance(row, NotACall)]
    assert [row.reason for row in dropped] == ["otlp_retriever"]


def test_an_error_span_is_a_failed_call_without_usage():
    call = call_in(3, 1)
    assert (call.ok, call.http_status, call.error_type) == (False, 429, "429")
    assert (call.input_tokens, call.output_tokens) == (None, None)
    assert not one({"gen_ai.request.model": "m"}, status={"code": "STATUS_CODE_ERROR"}).ok
    assert one({"gen_ai.request.model": "m"}, status={"code": 1}).ok


def test_the_protocols_own_example_holds_no_model_call():
    assert otlp.matches(PROTOCOL_EXAMPLE)
    (row,) = otlp.calls(PROTOCOL_EXAMPLE)
    assert row == NotACall(
        "otlp_not_a_model_call", "EEE19B7EC3C1B174", "EEE19B7EC3C1B173", "5B8EFFF798038103D269B633813FC60C"
    )


def test_integers_and_times_may_be_numbers_or_strings():
    values = [{"key": "gen_ai.usage.input_tokens", "value": {"intValue": n}} for n in ("7", 7)]
    for value in values:
        (call,) = otlp.calls(trace({"attributes": [value], "startTimeUnixNano": 1_544_712_660_000_000_000}))
        assert isinstance(call, Call) and (call.input_tokens, call.time_us) == (7, 1_544_712_660_000_000)


def test_structured_messages_read_like_json_text():
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rainy"}]},
    ]
    structured = one({"gen_ai.request.model": "m", "gen_ai.input.messages": messages})
    text = one({"gen_ai.request.model": "m", "gen_ai.input.messages": json.dumps(messages)})
    assert structured.messages == text.messages
    assert [(m.role, m.content) for m in text.messages] == [("user", "Weather?"), ("tool", "rainy")]


def test_prompts_in_span_events_are_read():
    events = [
        {"name": "gen_ai.system.message", "attributes": attributes({"content": "Be kind."})},
        {"name": "gen_ai.user.message", "attributes": attributes({"content": "Hi"})},
        {"name": "gen_ai.choice", "attributes": attributes({"message": '{"content":"Hello"}', "index": 0})},
    ]
    call = one({"gen_ai.request.model": "m"}, events=events)
    assert [(m.role, m.content) for m in call.messages] == [("system", "Be kind."), ("user", "Hi")]
    assert call.output_text == "Hello"
    events = [
        {"name": "gen_ai.content.prompt", "attributes": attributes({"gen_ai.prompt": "Hi"})},
        {"name": "gen_ai.content.completion", "attributes": attributes({"gen_ai.completion": "Hello"})},
    ]
    call = one({"gen_ai.request.model": "m"}, events=events)
    assert (call.messages[0].content, call.output_text) == ("Hi", "Hello")


def test_messages_cut_by_an_attribute_limit_are_marked():
    assert one({"gen_ai.request.model": "m", "gen_ai.input.messages": '[{"role":"user","pa'}).text_cut


def test_sampled_spans_carry_their_weight():
    """Threshold 0xc of 16 rejects 3 in 4: each kept span stands for 4."""
    assert one({"gen_ai.request.model": "m"}, traceState="ot=th:c").sample_weight == 4.0
    assert one({"gen_ai.request.model": "m"}, traceState="vendor=1").sample_weight == 1.0


def test_snake_case_protobuf_names_are_read():
    value = {"key": "gen_ai.usage.input_tokens", "value": {"int_value": "5"}}
    record = {"resource_spans": [{"scope_spans": [{"spans": [{"span_id": "a", "attributes": [value]}]}]}]}
    assert otlp.matches(record)
    (call,) = otlp.calls(record)
    assert isinstance(call, Call) and (call.input_tokens, call.span_id) == (5, "a")


def test_one_bad_span_does_not_take_its_neighbours_with_it():
    good = {"spanId": "g", "attributes": attributes({"gen_ai.usage.input_tokens": 5})}
    bad = {"spanId": "b", "attributes": attributes({"gen_ai.usage.input_tokens": "five"})}
    kept, dropped = otlp.calls(trace(good, bad))
    assert isinstance(kept, Call) and dropped == NotACall("otlp_bad_span_bad_number", span_id="b")
    with pytest.raises(BadRecord, match="bad_number"):
        otlp.calls(trace(bad))


def test_a_record_whose_spans_are_no_list_is_bad():
    with pytest.raises(BadRecord, match="otlp_not_a_list"):
        otlp.calls({"resourceSpans": 5})
