"""Streams put together into the body of the same call unstreamed."""

import json
from typing import Any

from costplan.ingest.sse import assemble, events, is_stream


def lines(*chunks: dict[str, Any], done: bool = False) -> str:
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return text + ("data: [DONE]\n\n" if done else "")


def delta(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [choice]}


def test_chat_chunks_become_a_chat_completion_with_the_last_usage() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    last = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    body, complete = assemble(
        lines(delta(role="assistant", content="Hel"), delta(content="lo", finish="stop"), last, done=True)
    )
    assert complete
    assert body == {
        "id": "chatcmpl-1",
        "model": "gpt-4o",
        "object": "chat.completion",
        "usage": usage,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    }


def test_tool_call_arguments_are_joined_by_index() -> None:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    parts = [delta(tool_calls=[first])]
    parts += [delta(tool_calls=[{"index": 0, "function": {"arguments": text}}]) for text in ('{"a"', ":1}")]
    body, complete = assemble(lines(*parts, delta(finish="tool_calls")))
    assert complete
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    assert body["choices"][0]["message"]["tool_calls"] == [call]


def test_completion_chunks_become_a_text_completion() -> None:
    chunks = [{"object": "text_completion", "choices": [{"index": 0, "text": t, "finish_reason": None}]} for t in "ab"]
    body, complete = assemble(lines(*chunks, done=True))
    assert complete and body["object"] == "text_completion" and body["choices"][0]["text"] == "ab"


def test_a_chat_stream_without_its_end_is_incomplete() -> None:
    body, complete = assemble(lines(delta(content="Hel")) + 'data: {"id":"chatcmpl-1","obj')
    assert not complete
    assert body["choices"][0]["message"]["content"] == "Hel"


def anthropic(*, end: bool) -> list[dict[str, Any]]:
    start = {"input_tokens": 17, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 1}
    found: list[dict[str, Any]] = [
        {
            "type": "message_start",
            "message": {"id": "msg_1", "type": "message", "model": "m", "content": [], "usage": start},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
    ]
    if end:
        usage = {"input_tokens": 17, "output_tokens": 108}
        found += [
            {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage},
            {"type": "message_stop"},
        ]
    return found


def test_anthropic_counts_are_cumulative_so_start_and_end_are_not_added() -> None:
    body, complete = assemble(lines(*anthropic(end=True)))
    assert complete
    assert body["usage"] == {
        "input_tokens": 17,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 0,
        "output_tokens": 108,
    }
    assert body["content"] == [
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ]
    assert (body["id"], body["stop_reason"]) == ("msg_1", "tool_use")


def test_an_aborted_anthropic_stream_keeps_its_input_but_not_the_start_value_of_its_output() -> None:
    body, complete = assemble(lines(*anthropic(end=False)))
    assert not complete
    assert body["usage"]["input_tokens"] == 17 and "output_tokens" not in body["usage"]


def test_responses_events_give_the_completed_object() -> None:
    done = {"id": "resp_1", "object": "response", "output": [], "usage": {"input_tokens": 1}}
    body, complete = assemble(
        lines({"type": "response.created", "response": {}}, {"type": "response.completed", "response": done})
    )
    assert complete and body == done


def test_an_aborted_responses_stream_keeps_the_text_that_arrived() -> None:
    created = {"type": "response.created", "response": {"id": "resp_1", "usage": None}}
    body, complete = assemble(lines(created, {"type": "response.output_text.delta", "delta": "Hal"}))
    assert not complete
    assert body["output"] == [{"type": "message", "content": [{"type": "output_text", "text": "Hal"}]}]


def test_the_last_run_object_of_an_assistants_stream_holds() -> None:
    run = {"id": "run_1", "object": "thread.run", "status": "queued", "usage": None}
    text = {"object": "thread.message.delta", "delta": {"content": [{"type": "text", "text": {"value": "4"}}]}}
    body, complete = assemble(lines(run, text, {**run, "status": "completed", "usage": {"prompt_tokens": 3}}))
    assert complete and body["usage"] == {"prompt_tokens": 3}


def test_gemini_chunks_repeat_a_growing_usage() -> None:
    def chunk(text: str, n: int, finish: str | None) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text}]}, "finishReason": finish}
        return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": n}}

    body, complete = assemble([chunk("a", 1, None), chunk("b", 2, "STOP")])
    assert complete and body["usageMetadata"]["candidatesTokenCount"] == 2
    assert [part["text"] for part in body["candidates"][0]["content"]["parts"]] == ["a", "b"]


def test_an_error_event_ends_the_stream() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    body, complete = assemble(lines(*anthropic(end=False), {"type": "error", "error": error}))
    assert not complete and body["error"] == error


def test_events_survive_carriage_returns_missing_blank_lines_split_fields_and_line_separators() -> None:
    assert events('data: {"a": 1}\r\n\r\ndata: {"b": 2}\r\n') == [{"a": 1}, {"b": 2}]
    assert events('data: {"a": 1}\ndata: {"b": 2}') == [{"a": 1}, {"b": 2}]
    assert events('event: x\ndata: {"a":\ndata: 1}\n\n') == [{"a": 1}]
    assert events('data: {"a": "x\u2028y"}\n\n') == [{"a": "x\u2028y"}]
    assert events(": ping\n\ndata: [1]\n\n") == []


def test_a_stream_is_told_from_json_and_text() -> None:
    assert is_stream("data: {}") and is_stream("event: ping") and is_stream("\n: keep-alive")
    assert not is_stream('{"data": 1}') and not is_stream("Hello") and not is_stream("")
