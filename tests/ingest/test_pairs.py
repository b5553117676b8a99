"""Request and response pairs: real recorded HTTP, the flat home-made shape, and the quirks of each provider."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from costplan.ingest import anthropic_batch, bare, batch, pairs
from costplan.trace import BadRecord, Call, Message, NotACall, check
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = Path(__file__).parent.parent / "data/pairs/http_pairs.jsonl.gz"
REAL: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(DATA.read_bytes()).splitlines()]
FLAT: dict[str, Any] = {
    "id": "log-1",
    "timestamp": 1747163251.25,
    "model": "gpt-4o-mini",
    "user": "u-17",
    "session": "s-33",
    "request": {
        "model": "gpt-4o-mini",
        "temperature": 0.2,
        "max_tokens": 300,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    },
    "response": {
        "id": "chatcmpl-abc",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 92, "completion_tokens": 17, "total_tokens": 109},
    },
    "latency_ms": 812,
}


def one(record: dict[str, Any]) -> Call:
    [call] = pairs.calls(record)
    assert isinstance(call, Call)
    check(call)
    return call


def pair(url: str = "", *, request: Any = None, response: Any = None, **more: Any) -> Call:
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]} if request is None else request
    return one({"request": asked, "response": response, **({"url": url} if url else {}), **more})


def chat(**more: Any) -> dict[str, Any]:
    return {**FLAT["response"], **more}


# --- real records ---


def streamed_chunks(record: dict[str, Any]) -> list[dict[str, Any]]:
    lines = (record["response_stream"] or "").splitlines()
    return [json.loads(line[5:]) for line in lines if line.startswith("data: {")]


def provider_usage(record: dict[str, Any]) -> dict[str, Any] | None:
    """The provider's own usage object in the plain body or in the stream, found without the code under test."""
    body = record["response"]
    if isinstance(body, dict):
        if isinstance(body.get("usage"), dict):
            return body["usage"]
        if "generation_token_count" in body:
            return {"prompt_tokens": body["prompt_token_count"], "completion_tokens": body["generation_token_count"]}
        if "inputTextTokenCount" in body:
            return {"prompt_tokens": body["inputTextTokenCount"], "completion_tokens": body["results"][0]["tokenCount"]}
        return None
    found: dict[str, Any] = {}
    for chunk in streamed_chunks(record):
        inner = chunk.get("message") or chunk.get("response") or {}
        found.update(chunk.get("usage") or inner.get("usage") or {})
    return found or None


def inclusive(usage: dict[str, Any]) -> tuple[int | None, int | None, int]:
    """(input, output, cache read) by the rule of the usage's provider, written out apart from the code under test."""
    read = usage.get("cache_read_input_tokens") or usage.get("cacheReadInputTokens") or 0
    write = usage.get("cache_creation_input_tokens") or usage.get("cacheWriteInputTokens") or 0
    if "prompt_tokens" in usage:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        return usage["prompt_tokens"], usage.get("completion_tokens", 0), cached
    if "inputTokens" in usage:
        return usage["inputTokens"] + read + write, usage.get("outputTokens"), read
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or read
    return usage["input_tokens"] + read + write, usage["output_tokens"], cached


def test_every_real_record_is_accounted_for() -> None:
    kinds: Counter[str] = Counter()
    for record in REAL:
        assert pairs.matches(record)
        for result in pairs.calls(record):
            kinds[result.reason if isinstance(result, NotACall) else "call"] += 1
    # 8 threads and 8 messages created, 3 assistants set up, 3 runs queued; the other 334 are calls
    assert kinds == {"call": 334, "assistants_thread": 16, "assistants_setup": 3, "assistants_run": 3}
    assert sum(kinds.values()) == len(REAL) == 356


def test_real_calls_have_the_providers_own_counts() -> None:
    with_usage = 0
    for record in REAL:
        usage = provider_usage(record)
        results = pairs.calls(record)
        if isinstance(results[0], NotACall):
            assert usage is None
            continue
        call = one(record)
        if usage is None:
            assert (call.input_tokens, call.output_tokens) == (None, None), record["url"]
            continue
        with_usage += 1
        assert (call.input_tokens, call.output_tokens, call.cache_read_tokens) == inclusive(usage), record["url"]
    assert with_usage == 265


def test_real_plain_bodies_agree_with_genai_prices_where_it_knows_the_model() -> None:
    flavours = [("openai", "chat"), ("openai", "responses"), ("openai", "embeddings"), ("anthropic", "default")]
    flavours += [("aws", "default"), ("azure", "chat")]
    agreed = 0
    for record in REAL:
        body, url = record["response"], record["url"]
        host = next((p for p in ("azure", "anthropic.com", "bedrock", "openai.com") if p in url), "")
        if not isinstance(body, dict) or not host or isinstance(pairs.calls(record)[0], NotACall):
            continue
        call = one(record)
        for provider, flavour in flavours:
            wanted = {"openai.com": "openai", "anthropic.com": "anthropic", "bedrock": "aws", "azure": "azure"}[host]
            if provider != wanted or ("responses" in url) != (flavour == "responses"):
                continue
            if ("embeddings" in url) != (flavour == "embeddings"):
                continue
            try:
                usage = genai_prices.extract_usage(body, provider_id=provider, api_flavor=flavour).usage
            except (LookupError, ValueError):
                continue
            assert (call.input_tokens or 0) == (usage.input_tokens or 0), url
            assert (call.output_tokens or 0) == (usage.output_tokens or 0), url
            agreed += 1
    assert agreed > 150


def test_real_bedrock_streams_without_a_body_are_calls_without_usage() -> None:
    found = [record for record in REAL if record["response"] is None and record["response_stream"] is None]
    assert len(found) == 14
    for record in found:
        call = one(record)
        assert call.provider == "aws" and call.stream and call.ok and call.messages
        assert (call.input_tokens, call.output_tokens, call.output_text) == (None, None, None)


def test_real_failures_are_failed_calls_with_their_text() -> None:
    failed = [call for record in REAL if record["status_code"] != 200 for call in [one(record)]]
    assert Counter(call.http_status for call in failed) == {401: 6, 400: 5}
    assert {call.error_type for call in failed} == {"authentication_error", "invalid_request_error"}
    assert all(not call.ok and call.messages and not call.possibly_billed for call in failed)


def test_real_streams_all_end_and_hold_their_text() -> None:
    for record in REAL:
        if record["response_stream"]:
            call = one(record)
            assert call.stream and not call.possibly_billed and (call.output_text or call.output_tool_calls)


# --- the flat shape, short and long way ---


def test_the_flat_shape_is_read_whole() -> None:
    assert one(FLAT) == Call(
        request_id="chatcmpl-abc",
        session_id="s-33",
        user="u-17",
        time_us=1747163251_250000,
        duration_s=0.812,
        request_model="gpt-4o-mini",
        messages=[Message("system", "Be brief."), Message("user", "Hello")],
        output_text="Hi",
        temperature=0.2,
        params='{"max_tokens":300,"temperature":0.2}',
        finish_reason="stop",
        input_tokens=92,
        output_tokens=17,
    )


USAGES = st.sampled_from(
    [
        {"prompt_tokens": 92, "completion_tokens": 17, "total_tokens": 109},
        {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 8}},
        {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 99},
        {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 5},
        {},
        None,
        [],
    ]
)
VALUES = st.sampled_from(
    [None, "", "x", 0, 1, 1.5, True, -3, [], ["a"], {}, {"id": "y"}, "2026-10-20T09:00:00Z", 200, 429]
)


@settings(max_examples=400, deadline=None)
@given(
    record=st.dictionaries(st.sampled_from([*FLAT, "feature", "tags", "metadata", "status_code"]), VALUES, max_size=3),
    request=st.dictionaries(
        st.sampled_from(["model", "messages", "temperature", "max_tokens", "stream", "n"]), VALUES, max_size=2
    ),
    response=st.dictionaries(st.sampled_from(["id", "object", "model", "created", "choices"]), VALUES, max_size=1),
    choice=st.dictionaries(st.sampled_from(["index", "message", "finish_reason"]), VALUES, max_size=1),
    usage=USAGES,
)
def test_the_short_way_reads_exactly_what_the_long_way_reads(
    record: Any, request: Any, response: Any, choice: Any, usage: Any
) -> None:
    choices = [{**FLAT["response"]["choices"][0], **choice}]
    asked = {**FLAT["request"], **request}
    mixed = (
        {**FLAT, "request": asked, "response": chat(usage=usage, choices=choices, **response), **record}
        if ("choices" not in response)
        else {**FLAT, "request": asked, "response": chat(usage=usage, **response), **record}
    )
    try:
        short = pairs._plain(mixed)  # pyright: ignore[reportPrivateUsage]
    except BadRecord as error:
        with pytest.raises(BadRecord, match=error.reason):
            pairs._pair(mixed)  # pyright: ignore[reportPrivateUsage]
        return
    if short is not None:
        assert [short] == pairs._pair(mixed)  # pyright: ignore[reportPrivateUsage]


# --- quirks ---


def test_equal_parameters_have_one_text_in_any_order_and_number_type() -> None:
    one_way = {"messages": [], "model": "m", "temperature": 1, "max_tokens": 5, "stop": ["a"]}
    other = {"stop": ["a"], "max_tokens": 5.0, "temperature": 1.0, "user": "u", "model": "n", "messages": []}
    texts = {pair(request=request, response=chat()).params for request in (one_way, other)}
    assert texts == {'{"max_tokens":5,"stop":["a"],"temperature":1}'}


def test_anthropic_system_comes_first_and_its_cache_is_inside_the_input() -> None:
    """3 + 100 read + 20 written = 123 input tokens."""
    usage = {"input_tokens": 3, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20, "output_tokens": 5}
    call = pair(
        "https://api.anthropic.com/v1/messages",
        request={
            "model": "claude-sonnet-4-5",
            "system": [{"type": "text", "text": "Be kind."}],
            "messages": [{"role": "user", "content": "Hi"}],
            "metadata": {"user_id": "u-9"},
            "temperature": 0.5,
        },
        response={
            "id": "msg_1",
            "type": "message",
            "model": "claude-sonnet-4-5-20250929",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}],
            "stop_reason": "end_turn",
            "usage": {**usage, "service_tier": "priority", "server_tool_use": {"web_search_requests": 2}},
        },
    )
    assert [message.role for message in call.messages] == ["system", "user"]
    assert (call.input_tokens, call.cache_read_tokens, call.cache_write_tokens) == (123, 100, 20)
    assert (call.provider, call.request_model, call.response_model) == (
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
    )
    assert (call.user, call.service_tier, call.other_units, call.output_text) == (
        "u-9",
        "priority",
        {"web_searches": 2},
        "Hello",
    )


def test_an_advisor_on_another_model_is_a_call_of_its_own() -> None:
    side = {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 9, "output_tokens": 2}
    usage = {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 0, "iterations": [side]}
    body = {"id": "msg_1", "type": "message", "model": "claude-sonnet-5", "content": [], "usage": usage}
    first, second = pairs.calls({"request": {"model": "claude-sonnet-5", "messages": []}, "response": body})
    assert isinstance(first, Call) and isinstance(second, Call)
    assert (first.response_model, first.input_tokens) == ("claude-sonnet-5", 3)
    assert (second.response_model, second.input_tokens, second.request_id) == ("claude-opus-4-8", 9, "msg_1/1")


def test_responses_instructions_function_items_and_searches() -> None:
    call = pair(
        "https://api.openai.com/v1/responses",
        request={
            "model": "gpt-5",
            "instructions": "Short.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                {"type": "function_call", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "output": "sunny"},
            ],
            "reasoning": {"effort": "low"},
            "safety_identifier": "u-1",
        },
        response={
            "id": "resp_1",
            "object": "response",
            "model": "gpt-5-2025",
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "service_tier": "flex",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "web_search_call", "id": "ws"},
                {"type": "message", "content": [{"type": "output_text", "text": "Sunny."}]},
            ],
            "usage": {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 4}},
        },
    )
    assert [message.role for message in call.messages] == ["system", "user", "assistant", "tool"]
    assert (call.output_text, call.finish_reason, call.service_tier, call.user) == (
        "Sunny.",
        "max_output_tokens",
        "flex",
        "u-1",
    )
    assert (call.reasoning_tokens, call.other_units) == (4, {"web_searches": 1})
    assert call.params == '{"reasoning":{"effort":"low"}}'


def test_a_bedrock_model_comes_out_of_the_url_with_an_arn_kept_whole() -> None:
    host = "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
    arn = "arn:aws:bedrock:us-east-1:0123:inference-profile/us.anthropic.claude-3-7-sonnet-v1:0"
    body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"temperature": 0.5}}
    for quoted in (arn, arn.replace(":", "%3A").replace("/", "%2F")):
        answer = {"output": {"message": {"content": [{"text": "Yo"}]}}, "usage": {"inputTokens": 1, "outputTokens": 2}}
        call = pair(f"{host}{quoted}/converse", request=body, response={**answer, "metrics": {"latencyMs": 2900}})
        assert (call.request_model, call.provider, call.output_text) == (arn, "aws", "Yo")
        assert (call.temperature, call.duration_s, call.input_tokens) == (0.5, 2.9, 1)
    assert pair(f"{host}amazon.titan-embed-text-v2%3A0/invoke", request={"inputText": "x"}).operation == "embeddings"


def test_azure_and_gemini_models_come_out_of_the_url() -> None:
    messages = {"messages": [{"role": "user", "content": "Hi"}]}
    call = pair(
        "https://x.openai.azure.com/openai/deployments/prod-chat/chat/completions?api-version=1", request=messages
    )
    assert (call.provider, call.request_model) == ("azure", "prod-chat")
    host = "https://generativelanguage.googleapis.com/v1beta/models/"
    contents = {"contents": [{"role": "model", "parts": [{"text": "a"}]}], "generationConfig": {"temperature": 0}}
    candidate = {"content": {"parts": [{"text": "hm", "thought": True}, {"text": "b"}]}, "finishReason": "STOP"}
    answer = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1}}
    call = pair(f"{host}gemini-2.5-pro:generateContent?key=k", request=contents, response=answer)
    assert (call.provider, call.request_model, call.output_text) == ("google", "gemini-2.5-pro", "b")
    assert call.messages[0].role == "assistant" and call.temperature == 0


def test_recorded_http_with_bodies_as_json_text_is_unwrapped() -> None:
    record = {
        "request": {
            "url": "https://api.openai.com/v1/chat/completions",
            "method": "POST",
            "body": json.dumps(FLAT["request"]),
        },
        "response": {"status": 200, "headers": {}, "body": json.dumps(FLAT["response"])},
    }
    call = one(record)
    assert (call.provider, call.http_status, call.input_tokens, len(call.messages)) == ("openai", 200, 92, 2)


@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("https://api.openai.com/v1/embeddings", "embeddings"),
        ("https://api.openai.com/v1/images/generations", "image"),
        ("https://api.openai.com/v1/moderations", "moderation"),
        ("https://api.openai.com/v1/audio/speech", "audio"),
        ("https://api.openai.com/v1/completions", "text_completion"),
        ("https://api.anthropic.com/v1/complete", "text_completion"),
        ("https://api.cohere.com/v2/rerank", "rerank"),
        ("http://localhost:8000/v1/chat/completions", "chat"),
    ],
)
def test_the_operation_is_the_path(url: str, operation: str) -> None:
    assert pair(url).operation == operation


@pytest.mark.parametrize(
    "record",
    [
        {"url": "https://api.openai.com/v1/files", "request": {}, "response": {"id": "file-1"}},
        {"url": "https://api.openai.com/v1/models", "method": "GET", "request": {}, "response": {"data": []}},
        {
            "url": "https://api.anthropic.com/v1/messages/count_tokens",
            "request": {"model": "m", "messages": []},
            "response": {},
        },
        {"url": "https://api.openai.com/v1/responses/resp_1", "method": "GET", "request": {}, "response": chat()},
        {"url": "https://example.com/users", "request": {"name": "x"}, "response": {"id": 1}},
        {"request": {}, "response": {}},
    ],
)
def test_management_and_foreign_traffic_is_no_call(record: dict[str, Any]) -> None:
    [result] = pairs.calls(record)
    assert isinstance(result, NotACall)


def test_a_rate_limited_call_is_failed_and_keeps_its_prompt() -> None:
    error = {"error": {"message": "slow down", "type": "rate_limit_error"}}
    call = pair(response=error, status_code=429)
    assert (call.ok, call.http_status, call.error_type, call.possibly_billed) == (False, 429, "rate_limit_error", False)
    assert call.messages[0].content == "Hi"
    assert pair(response={"message": "no"}, status=503).error_type == "overloaded_error"
    assert pair(response=None, status="error", error="boom boom").error_type == "error"


def test_a_timeout_may_have_been_billed() -> None:
    call = pair(response=None, status="timeout")
    assert (call.ok, call.error_type, call.possibly_billed) == (False, "timeout", True)


def test_an_aborted_stream_may_have_been_billed() -> None:
    chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hel"}}]}
    call = pair(response=f"data: {json.dumps(chunk)}\n\ndata: {{")
    assert (call.ok, call.possibly_billed, call.finish_reason, call.output_text) == (True, True, "aborted", "Hel")
    assert (call.input_tokens, call.output_tokens) == (None, None)


def test_a_200_without_usage_keeps_its_counts_unknown() -> None:
    call = pair(response=chat(usage=None), status_code=200)
    assert (call.ok, call.input_tokens, call.output_tokens) == (True, None, None)


@pytest.mark.parametrize(
    ("field", "value", "seconds"),
    [
        ("latency_ms", 812.0, 0.812),
        ("latency", 1.5, 1.5),
        ("latency", 1500, 1.5),
        ("elapsed", 120, 120),
        ("duration", "2", 2),
    ],
)
def test_latency_units(field: str, value: Any, seconds: float) -> None:
    assert pair(response=chat(), **{field: value}).duration_s == seconds


@pytest.mark.parametrize(
    ("tier", "expected"),
    [("default", ""), ("auto", ""), ("standard", ""), ("flex", "flex"), ("priority", "priority"), ("batch", "batch")],
)
def test_service_tiers(tier: str, expected: str) -> None:
    assert pair(response=chat(service_tier=tier)).service_tier == expected


def test_the_tier_that_served_wins_over_the_tier_asked_for() -> None:
    request = {**FLAT["request"], "service_tier": "priority"}
    assert pair(request=request, response=chat(service_tier="default")).service_tier == ""
    usage = {"input_tokens": 1, "output_tokens": 1, "speed": "fast", "service_tier": "standard"}
    assert pair(response={"type": "message", "content": [], "usage": usage}).service_tier == "fast"


def test_unusable_usage_is_a_bad_record() -> None:
    with pytest.raises(BadRecord, match="bad_usage"):
        pair(response=chat(usage="lots"))


def test_labels_tags_and_reported_cost() -> None:
    record = {**FLAT, "tags": ["a", 2, None], "metadata": {"environment": "prod", "feature": "faq", "user_id": "other"}}
    call = one({**record, "response": chat(usage={**FLAT["response"]["usage"], "cost": 0.25}), "cache_hit": True})
    assert (call.tags, call.environment, call.feature, call.user) == (["a", "2"], "prod", "faq", "u-17")
    assert (call.cost_usd_reported, call.gateway_cache_hit) == (0.25, True)


def test_token_id_prompts_have_no_text_and_lists_become_one_message_each() -> None:
    usage = {"usage": {"prompt_tokens": 4, "total_tokens": 4}}
    assert pair(request={"model": "e", "input": [[1, 2], [3, 4]]}, response=usage).messages == []
    assert [m.content for m in pair(request={"model": "e", "input": ["a", "b"]}, response=usage).messages] == ["a", "b"]


def test_json_that_stops_in_the_middle_is_marked_as_cut() -> None:
    assert pair(request='{"model": "m", "messa', response=chat()).text_cut


# --- bare bodies ---


def test_a_bare_response_is_a_call_without_a_prompt() -> None:
    assert bare.matches(FLAT["response"]) and not bare.matches({"object": ["x"], "usage": 1})
    [call] = bare.calls({**FLAT["response"], "created": 1747163251, "model": "gpt-4o-2024"})
    assert isinstance(call, Call)
    assert (call.input_tokens, call.response_model, call.time_us, call.messages) == (
        92,
        "gpt-4o-2024",
        1747163251_000000,
        [],
    )


def test_a_bare_request_is_a_call_without_usage() -> None:
    assert bare.matches(FLAT["request"])
    [call] = bare.calls(FLAT["request"])
    assert isinstance(call, Call)
    assert (call.request_model, call.input_tokens, len(call.messages)) == ("gpt-4o-mini", None, 2)


def test_a_bare_anthropic_message_names_its_provider_by_its_id() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5}
    body = {"type": "message", "stop_reason": "end_turn", "content": [{"type": "text", "text": "Hi"}], "usage": usage}
    found = {id_: bare.calls({"id": id_, **body})[0] for id_ in ("msg_01", "msg_bdrk_01", "msg_vrtx_01")}
    providers = [call.provider for call in found.values() if isinstance(call, Call)]
    assert providers == ["anthropic", "aws", "google"]


# --- hostile records ---

KEYS = st.sampled_from(
    """request response response_stream body url method status status_code error usage usageMetadata prompt_tokens
    completion_tokens total_tokens prompt_tokens_details cached_tokens input_tokens output_tokens cache_creation
    iterations cache_read_input_tokens inputTokens cacheDetails billed_units tokens promptTokenCount results
    inputTextTokenCount choices message messages content role text type object id model output candidates parts
    system input prompt tools tags metadata stream temperature stop delta index tool_calls function
    finish_reason created timestamp latency_ms custom_id params result service_tier data generations completions
    outputs""".split()  # noqa: SIM905
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["data: {}", "{", "[1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
RECORDS = st.dictionaries(KEYS, JSON, max_size=8)
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(["request_id", "session_id", "user", "feature", "environment", "trace_id"], (str, type(None))),
    **dict.fromkeys(["request_model", "response_model", "provider", "operation", "service_tier", "params"], (str,)),
    **dict.fromkeys(["output_text", "error_type", "finish_reason", "join_id"], (str, type(None))),
    **dict.fromkeys(["input_tokens", "output_tokens", "time_us", "http_status"], (int, type(None))),
    **dict.fromkeys(["cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens"], (int,)),
    **dict.fromkeys(["duration_s", "ttft_s", "temperature", "cost_usd_reported"], (float, int, type(None))),
    **dict.fromkeys(["ok", "stream", "possibly_billed", "gateway_cache_hit", "cache_reported", "text_cut"], (bool,)),
    **dict.fromkeys(["messages", "tags"], (list,)),
}


def survives(dialect: Any, record: dict[str, Any]) -> None:
    assert dialect.matches(record) in (True, False)
    try:
        results = dialect.calls(record)
    except BadRecord as error:
        assert error.reason
        return
    assert results
    for result in results:
        if isinstance(result, Call):
            for field, types in TYPES.items():
                assert type(getattr(result, field)) in types, (field, getattr(result, field))
            assert all(type(m.role) is str and isinstance(m.content, str | list | None) for m in result.messages)
        else:
            assert isinstance(result, NotACall)


@settings(max_examples=300, deadline=None)
@given(record=RECORDS, asked=RECORDS, answered=RECORDS)
def test_any_json_gives_calls_or_a_bad_record(record: Any, asked: Any, answered: Any) -> None:
    for dialect in (pairs, batch, anthropic_batch, bare):
        survives(dialect, record)
    survives(pairs, {**record, "request": asked, "response": answered})
    survives(pairs, {**record, "request": asked, "response": [answered, asked]})
    stream = f"data: {json.dumps(asked)}\n\ndata: {json.dumps(answered)}\n\n"
    survives(pairs, {**record, "request": asked, "response": stream})
    survives(batch, {"custom_id": "a", "body": asked})
    survives(batch, {"custom_id": "a", "response": {"status_code": 200, "body": answered}})
    survives(anthropic_batch, {"custom_id": "a", "params": asked})
    survives(anthropic_batch, {"custom_id": "a", "result": {"type": "succeeded", "message": answered}})
    survives(bare, {**answered, "object": "chat.completion"})


def test_deep_nesting_is_survived() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = {"content": [deep]}
    chunk = {"choices": [{"index": 0, "delta": deep}]}
    survives(
        pairs,
        {"request": {"model": "m", "messages": [deep], "stop": deep}, "response": {"choices": [{"message": deep}]}},
    )
    survives(pairs, {"request": {"model": "m", "messages": [deep]}, "response": [chunk, chunk]})
