"""When requests go out: on the clock, when a slot is free, when a session goes on."""

import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from costplan.replay.script import Load, Target
from costplan.replay.shards import play
from tests.replay.mock_server import mock_server
from tests.replay.playing import LOCAL, body, played, records, script_of


def test_an_open_loop_sends_on_the_clock_whatever_the_server_does(tmp_path: Path):
    due_s = [0.0, 0.1, 0.1, 0.25]
    bodies = [body(user=str(k)) for k in range(4)]
    with mock_server(ttft_ms=400) as server:
        facts, found = played(tmp_path, server.url, script_of(tmp_path, bodies, due_s))
        truth = server.stats()["requests"]
    start_s = datetime.fromisoformat(facts.started_at).timestamp() - time.time() + time.monotonic()
    assert [record["due_s"] for record in found] == due_s
    assert all(record["sent_s"] >= record["dispatched_s"] >= record["due_s"] for record in found)
    # the server saw them then, too: the clock is shared, the order kept
    seen_s = [request["arrival_s"] - start_s for request in truth]
    assert all(seen >= due - 0.005 for seen, due in zip(seen_s, due_s, strict=True))
    assert max(record["sent_s"] for record in found) < min(record["first_byte_s"] for record in found)
    assert facts.peak_in_flight == 4 and facts.opened_late == 0


def test_the_times_of_a_request_are_in_order_and_agree_with_the_server(tmp_path: Path):
    with mock_server(ttft_ms=60, itl_ms=20, tokens=6) as server:
        facts, (found,) = played(tmp_path, server.url, script_of(tmp_path, [body(max_tokens=6)]))
        (truth,) = server.stats()["requests"]
    order = ["due_s", "dispatched_s", "sent_s", "first_byte_s", "first_token_s", "last_token_s", "done_s"]
    times = [found[name] for name in order]
    assert times == sorted(times)
    start_s = datetime.fromisoformat(facts.started_at).timestamp() - time.time() + time.monotonic()
    assert found["sent_s"] + start_s <= truth["arrival_s"] + 0.005
    assert found["first_token_s"] + start_s >= truth["first_s"] - 0.005
    assert len(found["gaps_s"]) == 5
    assert sum(found["gaps_s"]) == pytest.approx(found["last_token_s"] - found["first_token_s"], abs=1e-5)
    assert (found["input_tokens"], found["output_tokens"], found["cached_tokens"]) == (3, 6, 0)
    assert (found["asked_input_tokens"], found["asked_output_tokens"], found["finish_reason"]) == (3, 6, "length")


def test_the_role_is_no_token(tmp_path: Path):
    """The mock sends a chat's role at once and its first token after 200 ms."""
    lines = tmp_path / "requests.jsonl"
    chat = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 2}
    with mock_server(ttft_ms=200) as server:
        play(script_of(tmp_path, [chat]), Target(url=f"{server.url}/v1/chat/completions"), LOCAL, lines)
    (found,) = records(lines, 1)
    assert found["first_byte_s"] < 0.19 and found["first_token_s"] > 0.19


def test_a_closed_loop_keeps_so_many_in_flight(tmp_path: Path):
    with mock_server(ttft_ms=20, itl_ms=2) as server:
        facts, found = played(
            tmp_path, server.url, script_of(tmp_path, [body()] * 40), Load(processes=1, concurrency=4)
        )
        seen = server.stats()
    assert seen["peak_in_flight"] == facts.peak_in_flight == 4 and seen["connections"] == 5  # one asked for the stats
    sent, done = (np.array([record[name] for record in found]) for name in ("sent_s", "done_s"))
    assert [record["due_s"] for record in found[:4]] == pytest.approx([0.0, 0.001, 0.002, 0.003])
    # each but the first four is due when another is done
    gap = [np.abs(done - record["due_s"]).min() for record in found[4:]]
    assert max(gap) < 0.02
    assert ((sent[:, None] >= sent) & (sent[:, None] < done)).sum(axis=1).max() <= 4


@pytest.mark.parametrize("concurrency", [0, 2])
def test_a_session_waits_for_the_answer_and_thinks(tmp_path: Path, concurrency: int):
    """Rows 0 -> 2 -> 4 are one session, 1 -> 3 another; 1 fails, and 3 is sent all the same."""
    bodies = [body(max_tokens=3), body(mock_fault="http_500"), body(), body(), body()]
    think_s = [0.0, 0.0, 0.2, 0.1, 0.0]
    script = script_of(tmp_path, bodies, [0.0, 0.0, 0.01, 0.01, 0.02], [-1, -1, 0, 1, 2], think_s)
    with mock_server(ttft_ms=50, itl_ms=10) as server:
        _, found = played(tmp_path, server.url, script, Load(processes=1, concurrency=concurrency))
    assert [record["state"] for record in found] == ["completed", "failed", "completed", "completed", "completed"]
    for row, before in ((2, 0), (3, 1), (4, 2)):
        assert found[row]["due_s"] == pytest.approx(found[before]["done_s"] + think_s[row], abs=0.02)
        assert found[row]["sent_s"] >= found[before]["done_s"] + think_s[row] - 0.001


def test_a_burst_larger_than_the_pool_opens_connections_late(tmp_path: Path):
    """Twenty at once after a second, while one is expected at a time: nothing is lost, and the records say it."""
    script = script_of(tmp_path, [body()] * 20, [0.0] * 20, [-1, *[0] * 19])
    with mock_server(ttft_ms=50) as server:
        facts, found = played(tmp_path, server.url, script)
    assert {record["state"] for record in found} == {"completed"}
    late = sum(not record.get("reused_connection", True) for record in found)
    assert late == facts.opened_late == 20 - (facts.connections - facts.opened_late)


def test_a_large_prompt_is_sent_whole_and_its_send_ends_when_the_kernel_has_it(tmp_path: Path):
    prompt = "word " * 4_000_000
    with mock_server(ttft_ms=10, max_model_len=5_000_000) as server:
        _, (found,) = played(tmp_path, server.url, script_of(tmp_path, [body(prompt=prompt)]))
    assert found["state"] == "completed" and found["input_tokens"] == 4_000_000
    assert found["dispatched_s"] < found["sent_s"] < found["first_byte_s"]


def test_nothing_to_send_is_over_at_once(tmp_path: Path):
    facts, found = played(tmp_path, "http://127.0.0.1:9", script_of(tmp_path, []))
    assert found == [] and facts.connections == 0 and facts.valid
