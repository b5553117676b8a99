"""Whatever a log line holds, a dialect of exports and traces returns rows or raises BadRecord, nothing else."""

from types import ModuleType
from typing import Any

import pytest
from costplan.ingest import (
    azure,
    bailian,
    bedrock,
    burstgpt,
    canonical,
    cloudflare,
    generic,
    helicone,
    langfuse,
    langsmith,
    litellm,
    mooncake,
    openrouter,
    otlp,
    phoenix,
    portkey,
)
from costplan.trace import BadRecord, Call, NotACall
from hypothesis import given, settings
from hypothesis import strategies as st

SIGNATURES: list[tuple[ModuleType, str, dict[str, Any]]] = [
    (
        litellm,
        """call_type startTime endTime completionStartTime response_cost spend prompt_tokens completion_tokens messages
        response metadata request_tags status error_information cache_hit stream model_parameters proxy_server_request
        end_user id model""",
        {},
    ),
    (
        langfuse,
        """trace_id start_time end_time completion_start_time usage_details input output model_parameters tags metadata
        level status_message total_cost cost_details tool_calls prompt_name id""",
        {"type": "GENERATION"},
    ),
    (
        langfuse,
        "traceId startTime endTime usage usageDetails input output modelParameters calculatedTotalCost level",
        {"type": "EMBEDDING"},
    ),
    (
        helicone,
        """response_id response_status response_model request_created_at request_id request_path request_user_id
        request_properties request_model model_override provider delay_ms latency time_to_first_token total_tokens
        prompt_tokens prompt_cache_write_tokens prompt_cache_read_tokens completion_tokens reasoning_tokens costUSD cost
        request_body response_body cache_reference_id prompt_id target_url""",
        {},
    ),
    (
        langsmith,
        """id trace_id parent_run_id start_time end_time first_token_time inputs outputs error status tags extra
        prompt_tokens completion_tokens total_tokens prompt_token_details completion_token_details total_cost""",
        {"run_type": "llm"},
    ),
    (
        phoenix,
        """context.trace_id context.span_id parent_id start_time end_time status_code status_message attributes context
        attributes.llm.token_count.prompt attributes.llm.token_count.completion attributes.llm.input_messages
        attributes.llm.token_count.prompt_details.cache_read attributes.llm.output_messages attributes.llm.tools
        attributes.llm.invocation_parameters attributes.tag.tags attributes.llm attributes.input.value""",
        {"span_kind": "LLM"},
    ),
    (
        bedrock,
        "timestamp identity requestId operation modelId requestMetadata input output errorCode",
        {"schemaType": "ModelInvocationLog"},
    ),
    (
        bedrock,
        "timestamp identity requestId modelId requestMetadata errorCode",
        {
            "schemaType": "ModelInvocationLog",
            "input": {"inputTokenCount": 10**400, "inputBodyJson": {"messages": [1], "system": [[]]}},
            "output": {"outputBodyJson": [{"metadata": [], "outputs": "x"}, 3, {"contentBlockStart": {"start": 1}}]},
        },
    ),
    (
        openrouter,
        """generation_id created_at cost_total tokens_prompt tokens_completion tokens_reasoning tokens_cached variant
        model_permaslug cancelled streamed user finish_reason_normalized generation_time_ms time_to_first_token_ms
        api_key_name app_name requests usage""",
        {},
    ),
    (
        cloudflare,
        """id created_at provider model path success status_code duration tokens_in tokens_out cost cached metadata
        request response""",
        {},
    ),
    (
        portkey,
        """id trace_id created_at request response is_success ai_org ai_model req_units res_units total_units
        request_url response_time response_status_code prompt_slug metadata cache_status""",
        {},
    ),
    (azure, "TIMESTAMP ContextTokens GeneratedTokens", {}),
    (mooncake, "timestamp input_length output_length hash_ids block_size", {}),
    (bailian, "chat_id parent_chat_id timestamp input_length output_length hash_ids type", {}),
    (burstgpt, "Timestamp Model Elapsed_time Session_ID Log_Type", {"Request tokens": 5, "Response tokens": 5}),
    (
        generic,
        """timestamp prompt_tokens completion_tokens model cost latency_ms status error prompt system response tags
        user session tier provider cached_tokens""",
        {},
    ),
    (canonical, " ".join(canonical.row_of(Call())), {}),
]
VALUE_KINDS = ["stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue", "other"]
ATTRIBUTES = """gen_ai.operation.name gen_ai.usage.input_tokens gen_ai.usage.output_tokens gen_ai.input.messages
    gen_ai.output.messages gen_ai.system_instructions gen_ai.prompt gen_ai.prompt.0.content
    gen_ai.prompt.0.tool_calls.0.name gen_ai.completion gen_ai.completion.0.content openinference.span.kind
    llm.token_count.prompt input.value output.value
    llm.input_messages.0.message.contents.0.message_content.text llm.invocation_parameters gen_ai.request.temperature
    gen_ai.response.finish_reasons gen_ai.tool.definitions error.type gen_ai.usage.cost llm.tools.0.tool.json_schema"""

texts = st.sampled_from(
    [
        "",
        "[",
        "{",
        '[{"role":"user"',
        '{"role":"user","content":["x",{"type":"text"}]}',
        "[1,[2]]",
        "{}",
        "nan",
        "1e400",
    ]
) | st.text(max_size=10)
scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | texts
CHAT_KEYS = ["role", "content", "parts", "tool_calls", "type", "text", "choices", "message", "messages", "usage"]
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
        | st.fixed_dictionaries({}, optional=dict.fromkeys(CHAT_KEYS, inner))
    ),
    max_leaves=8,
)
records = st.dictionaries(st.text(max_size=8), values, max_size=4)
attribute_values = st.recursive(
    st.dictionaries(st.sampled_from(VALUE_KINDS), scalars, max_size=1),
    lambda inner: st.fixed_dictionaries({"arrayValue": st.fixed_dictionaries({"values": st.lists(inner, max_size=2)})}),
    max_leaves=4,
)
attributes = st.lists(
    st.fixed_dictionaries(
        {"key": st.sampled_from(ATTRIBUTES.split()) | values, "value": attribute_values | values | st.builds(dict)}
    ),
    max_size=6,
)
spans = st.fixed_dictionaries(
    {},
    optional={
        "attributes": attributes | values,
        "events": st.lists(st.fixed_dictionaries({"name": texts, "attributes": attributes}), max_size=2) | values,
        "spanId": values,
        "parentSpanId": values,
        "startTimeUnixNano": values,
        "endTimeUnixNano": values,
        "status": values,
        "traceState": values | st.just("ot=th:f"),
    },
)


def reads_or_refuses(dialect: ModuleType, record: dict[str, Any]) -> None:
    assert dialect.matches(record) in {True, False}
    try:
        rows = dialect.calls(record)
    except BadRecord as error:
        assert error.reason.isidentifier()
        return
    for row in rows:
        assert isinstance(row, Call | NotACall)
        if isinstance(row, Call):
            canonical.row_of(row)
        else:
            assert row.reason.isidentifier()


@pytest.mark.parametrize(("dialect", "keys", "fixed"), SIGNATURES)
def test_hostile_values_under_known_keys_are_read_or_refused(dialect: ModuleType, keys: str, fixed: dict[str, Any]):
    optional = dict.fromkeys(keys.replace("_ID", " ID").split(), values)

    @settings(max_examples=60, deadline=None)
    @given(st.fixed_dictionaries({}, optional=optional))
    def check(record: dict[str, Any]) -> None:
        reads_or_refuses(dialect, {**record, **fixed})

    check()


@pytest.mark.parametrize("dialect", [*dict.fromkeys(case[0] for case in SIGNATURES), otlp])
def test_arbitrary_objects_are_read_or_refused(dialect: ModuleType):
    @settings(max_examples=60, deadline=None)
    @given(records)
    def check(record: dict[str, Any]) -> None:
        reads_or_refuses(dialect, record)

    check()


@settings(max_examples=60, deadline=None)
@given(st.lists(spans | values, max_size=3) | values, values)
def test_hostile_spans_are_read_or_refused(hostile: Any, resource: Any):
    reads_or_refuses(otlp, {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": hostile}]}]})
    reads_or_refuses(otlp, {"resourceSpans": hostile})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["t", "n_in", "prompt", "latency", "id"]), unique=True), st.data())
def test_a_guess_never_fails_and_names_each_column_once(columns: list[str], data: st.DataObject):
    samples = data.draw(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(columns, values)), max_size=3))
    mapping = generic.guess_map(columns, samples)
    assert set(mapping) <= set(generic.FIELDS) and len(set(mapping.values())) == len(mapping)


NESTED = """
    inputBodyJson outputBodyJson inputTokenCount outputTokenCount cacheReadInputTokenCount metrics metadata
    kwargs generations message usage_metadata input_token_details llm_output token_usage invocation_params
    data id type system contentBlockDelta contentBlockStart delta start stopReason inputTokens
    cacheWriteInputTokens ephemeral_1h_input_tokens Helicone-Session-Id team prompt_tokens completion_tokens
    input_tokens cache_read error status service_tier tools"""
bodies = st.recursive(
    values,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.fixed_dictionaries({}, optional=dict.fromkeys(NESTED.split() + CHAT_KEYS, inner))
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(bodies, bodies, bodies)
def test_hostile_bodies_are_read_or_refused(asked: Any, answered: Any, extra: Any):
    reads_or_refuses(
        bedrock, {"schemaType": "ModelInvocationLog", "input": asked, "output": answered, "identity": extra}
    )
    reads_or_refuses(langsmith, {"run_type": "llm", "inputs": asked, "outputs": answered, "extra": extra})
    reads_or_refuses(
        helicone,
        {"request_created_at": 1, "request_body": asked, "response_body": answered, "request_properties": extra},
    )
    reads_or_refuses(portkey, {"ai_model": "m", "request": asked, "response": answered, "metadata": extra})
    reads_or_refuses(phoenix, {"span_kind": "LLM", "context": {}, "attributes": {"llm": asked, "input": answered}})
