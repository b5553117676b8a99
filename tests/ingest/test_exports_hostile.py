"""Whatever a log line holds, a dialect of exports and traces returns rows or raises BadRecord, nothing else."""

from types import ModuleType
from typing import Any

import pytest
from costplan.ingest import azure, bailian, burstgpt, canonical, generic, langfuse, litellm, mooncake, otlp
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


@pytest.mark.parametrize("dialect", [azure, bailian, burstgpt, canonical, generic, langfuse, litellm, mooncake, otlp])
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
