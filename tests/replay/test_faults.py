"""Whatever a server does, each request ends in exactly one state, with the reason that a user can look up."""

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from costplan.replay.script import Load
from tests.replay.mock_server import MockProcess, mock_server
from tests.replay.playing import LOCAL, body, canned, played, records, script_of

ROOT = Path(__file__).resolve().parents[2]
KEEP = replace(LOCAL, collect=True, stall_s=0.4, timeout_s=5.0)
FAULTS = {
    "http_401": "http_401", "http_404": "http_404", "http_429": "http_429", "http_500": "http_500",
    "reset": "connection_reset", "half_close": "stream_ended_early", "truncate": "stream_ended_early",
    "stall": "stalled", "no_answer": "stalled", "garbage_http": "bad_answer", "garbage_json": "bad_answer",
    "error": "server_error",
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
def test_each_fault_has_its_reason_and_touches_no_other_request(tmp_path: Path, stream: bool):
    faults = [fault for fault in FAULTS if stream or fault not in ("garbage_json", "error", "half_close", "truncate")]
    bodies = [one for fault in faults for one in (body(stream=stream, mock_fault=fault), body(stream=stream))]
    with mock_server(ttft_ms=5, itl_ms=5, fault_tokens=2 if stream else 0) as server:
        facts, found = played(tmp_path, server.url, script_of(tmp_path, bodies), KEEP)
    assert {record["state"] for record in found[1::2]} == {"completed"}
    assert [record["reason"] for record in found[::2]] == [FAULTS[fault] for fault in faults]
    assert {record["state"] for record in found[::2]} == {"failed"}
    refused = found[0]
    assert refused["http_status"] == 401 and "as told" in refused["error_text"] and len(refused["error_text"]) <= 300
    assert facts.peak_in_flight == len(bodies)


def test_what_came_before_a_reset_is_kept(tmp_path: Path):
    with mock_server(ttft_ms=5, itl_ms=5, fault="reset", fault_tokens=3) as server:
        _, (found,) = played(tmp_path, server.url, script_of(tmp_path, [body()]), KEEP)
    assert found["text"] == " tok tok tok" and len(found["gaps_s"]) == 2
    assert found["http_status"] == 200 and "output_tokens" not in found


def test_no_usage_and_more_tokens_than_asked_are_no_failure(tmp_path: Path):
    bodies = [body(mock_fault="no_usage"), body(mock_fault="too_many")]
    with mock_server() as server:
        _, (silent, longer) = played(tmp_path, server.url, script_of(tmp_path, bodies))
    assert (silent["state"], longer["state"]) == ("completed", "completed")
    assert "output_tokens" not in silent and len(silent["gaps_s"]) == 4
    assert (longer["asked_output_tokens"], longer["output_tokens"]) == (5, 10)


def test_without_collect_no_text_reaches_the_disk(tmp_path: Path):
    bodies = [body(), body(mock_fault="http_500")]
    with mock_server(answer="xylophone quartz") as server:
        played(tmp_path, server.url, script_of(tmp_path, bodies))
    raw = (tmp_path / "requests.jsonl").read_bytes()
    assert b"xylophone" not in raw and b"as told" not in raw


@pytest.mark.parametrize("stream", [True, False])
def test_a_huge_answer_is_read_to_its_end(tmp_path: Path, stream: bool):
    asked = body(max_tokens=200, ignore_eos=True, mock_fault="huge", stream=stream)
    with mock_server() as server:
        _, (found,) = played(tmp_path, server.url, script_of(tmp_path, [asked]), replace(LOCAL, collect=True))
    assert found["state"] == "completed" and found["output_tokens"] == 200
    assert len(found["text"]) == (200 * 65_536 if stream else 1000 * (200 * 4 - 1))


def test_a_timeout_counts_from_the_send(tmp_path: Path):
    with mock_server(itl_ms=50, tokens=100) as server:
        load = replace(LOCAL, timeout_s=0.5, stall_s=10.0)
        _, (found,) = played(tmp_path, server.url, script_of(tmp_path, [body(max_tokens=100)]), load)
        time.sleep(0.1)
        (truth,) = server.stats()["requests"]
    assert found["reason"] == "timeout" and 0.5 < found["done_s"] - found["sent_s"] < 0.8
    assert truth["aborted"], "the server was told to stop"


def test_nobody_listens(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    facts, found = played(tmp_path, url, script_of(tmp_path, [body()] * 3))
    assert [record["reason"] for record in found] == ["connection_refused"] * 3
    assert facts.connections == 0 and facts.lateness_p50_s is None


def test_a_host_without_an_address(tmp_path: Path):
    _, (found,) = played(tmp_path, "http://no-such-host.invalid:80", script_of(tmp_path, [body()]))
    assert (found["state"], found["reason"]) == ("failed", "cannot_connect")


def test_a_server_that_dies_takes_only_what_came_after(tmp_path: Path):
    bodies = [body(), body(mock_fault="die"), *[body()] * 6]
    due_s = [0.0, 0.2, *(0.5 + 0.01 * k for k in range(6))]
    with mock_server(ttft_ms=5, itl_ms=5) as server:
        _, found = played(tmp_path, server.url, script_of(tmp_path, bodies, due_s))
    reasons = [record.get("reason", "") for record in found]
    assert found[0]["state"] == "completed"
    assert reasons[1] in ("connection_reset", "stream_ended_early")
    assert reasons[2:] == ["connection_refused"] * 6


def test_after_so_many_failures_the_rest_is_unsent(tmp_path: Path):
    bodies = [body(mock_fault="http_500")] * 30
    load = Load(processes=1, concurrency=1, max_failures=4)
    with mock_server(ttft_ms=1) as server:
        _, found = played(tmp_path, server.url, script_of(tmp_path, bodies), load)
    states = Counter((record["state"], record["reason"]) for record in found)
    assert states["failed", "http_500"] in (4, 5)  # the next one may be on its way
    assert states["unsent", "stopped"] == 30 - states["failed", "http_500"]
    assert [record["state"] for record in found] == sorted(record["state"] for record in found)


def test_a_connection_that_the_server_had_closed_costs_no_request(tmp_path: Path):
    bodies = [body(), body(mock_fault="stale"), body()]
    with mock_server() as server:
        facts, found = played(tmp_path, server.url, script_of(tmp_path, bodies), Load(processes=1, concurrency=1))
        seen = server.stats()["requests"]
    assert [record["state"] for record in found] == ["completed"] * 3
    assert [record.get("reused_connection", True) for record in found] == [True, False, True]
    assert len(seen) == 4 and facts.opened_late >= 1


def test_connections_that_end_with_their_answer_are_replaced(tmp_path: Path):
    due_s = [0.05 * k for k in range(8)]
    for options in ({"fault": "close"}, {"framing": "close"}):
        with mock_server(**options) as server:
            facts, found = played(tmp_path, server.url, script_of(tmp_path, [body()] * 8, due_s))
        assert [record["state"] for record in found] == ["completed"] * 8
        # a spare was there before it was needed
        assert all(record.get("reused_connection", True) for record in found)
        assert facts.connections >= 8


def test_an_idle_connection_that_the_server_closes_is_replaced(tmp_path: Path):
    due_s = [0.0, 0.3, 0.6]
    with mock_server(keep_alive_s=0.1) as server:
        _, found = played(tmp_path, server.url, script_of(tmp_path, [body()] * 3, due_s))
    assert [record["state"] for record in found] == ["completed"] * 3


def test_an_interrupt_leaves_a_line_for_every_request(tmp_path: Path):
    for processes in (1, 2):
        interrupted(tmp_path, processes)


def interrupted(folder: Path, processes: int) -> None:
    script_of(folder, [body(max_tokens=100, ignore_eos=True)] * 40)
    with mock_server(ttft_ms=10, itl_ms=20) as server:
        client = in_another_process(folder, server.url, f"Load(processes={processes}, concurrency=4)")
        wait_for(server, client, 4)
        time.sleep(0.3)
        client.send_signal(signal.SIGINT)
        said = client.communicate(timeout=20)[0]
        time.sleep(0.1)
        assert sum(request["aborted"] for request in server.stats()["requests"]) == 4
    assert said.endswith("KeyboardInterrupt again\n"), said
    states = Counter((record["state"], record["reason"]) for record in records(folder / "requests.jsonl", 40))
    assert states == {("failed", "interrupted"): 4, ("unsent", "interrupted"): 36}


def test_a_killed_client_leaves_what_had_ended(tmp_path: Path):
    script_of(tmp_path, [body(user=str(k)) for k in range(400)])
    for processes in (1, 2):
        with mock_server(ttft_ms=20, itl_ms=1) as server:
            client = in_another_process(tmp_path, server.url, f"Load(processes={processes}, concurrency=4)")
            wait_for(server, client, 120)
            client.kill()
            client.communicate()
        parts = [*tmp_path.glob("requests*.jsonl")]
        lines = [line for part in parts for line in part.read_bytes().split(b"\n")[:-1]]
        assert len(lines) >= 20 and all(line.startswith(b'{"index":') and line.endswith(b"}") for line in lines)
        for part in parts:
            part.unlink()


def in_another_process(folder: Path, url: str, load: str) -> "subprocess.Popen[str]":
    """Plays the bodies of `script_of(folder, ...)` until something ends it."""
    code = f"""
import json
from pathlib import Path
from costplan.replay.script import Load, Target
from costplan.replay.shards import play
from tests.replay.playing import script_of
folder, bodies, at = Path({str(folder)!r}), [], 0
text = (folder / "bodies.bin").read_text()
while at < len(text):
    one, at = json.JSONDecoder().raw_decode(text, at)
    bodies.append(one)
try:
    play(script_of(folder, bodies), Target(url="{url}/v1/completions"), {load}, folder / "requests.jsonl")
except KeyboardInterrupt:
    print("KeyboardInterrupt again")
"""
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def wait_for(server: MockProcess, client: "subprocess.Popen[str]", requests: int) -> None:
    while len(server.stats()["requests"]) < requests:
        assert client.poll() is None, client.communicate()[0]
        time.sleep(0.02)


def answer(lines: str, body_text: str) -> bytes:
    return lines.replace("\n", "\r\n").encode() + body_text.encode()


STREAM = 'data: {"choices": [{"text": "a"}]}\n\n'
STREAM += 'data: {"choices": [{"text": "b", "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
CHUNKED = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (STREAM[:7], STREAM[7:50], STREAM[50:])) + "0\r\n\r\n"
LENGTH = len(STREAM)
LIBERAL: dict[str, Any] = {
    "chunked": answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", CHUNKED),
    "lower case, no reason": answer("HTTP/1.1 200\ncontent-length: " + str(LENGTH) + "\n\n", STREAM),
    "closed at the end": answer("HTTP/1.1 200 OK\nConnection: close\n\n", STREAM),
    "HTTP 1.0": answer("HTTP/1.0 200 OK\nContent-Type: text/event-stream\n\n", STREAM),
    "no last line end": answer("HTTP/1.0 200 OK\n\n", STREAM.rstrip()),
    "no [DONE]": answer("HTTP/1.0 200 OK\n\n", STREAM.replace("data: [DONE]\n\n", "")),
    "no finish reason": answer("HTTP/1.0 200 OK\n\n", STREAM.replace(', "finish_reason": "stop"', "")),
    "no space, CRLF": answer("HTTP/1.0 200 OK\n\n", STREAM.replace("data: ", "data:").replace("\n", "\r\n")),
    "an interim answer first": answer(
        f"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: {LENGTH}\n\n", STREAM
    ),
    "bare line feeds": b"HTTP/1.1 200 OK\nConnection: close\n\n" + STREAM.encode(),
    "chunks without an end": answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", CHUNKED[: -len("0\r\n\r\n")]),
}


@pytest.mark.parametrize("name", LIBERAL)
def test_any_legal_answer_is_understood(tmp_path: Path, name: str):
    with canned(LIBERAL[name]) as url:
        _, (found,) = played(tmp_path, url, script_of(tmp_path, [body()]), KEEP)
    assert (found["state"], found.get("reason", ""), found["text"]) == ("completed", "", "ab")


def test_an_answer_that_is_over_counts_even_if_its_connection_never_ends(tmp_path: Path):
    with canned(LIBERAL["closed at the end"], linger=True) as url:
        _, (found,) = played(tmp_path, url, script_of(tmp_path, [body()]), KEEP)
    assert found["state"] == "completed" and found["done_s"] == found["last_token_s"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "connection_closed"),
        (b"HTTP/1.1 2", "connection_closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ndata: {", "stream_ended_early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad_answer"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>Welcome</html>", "bad_answer"),
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "http_307"),
        (b"220 mail.example ESMTP\r\n", "bad_answer"),
    ],
)
def test_what_is_no_answer_has_a_reason(tmp_path: Path, sent: bytes, reason: str):
    with canned(sent, sent) as url:
        _, (found,) = played(tmp_path, url, script_of(tmp_path, [body()]), KEEP)
    assert (found["state"], found["reason"]) == ("failed", reason)


@pytest.mark.parametrize("before", [b"no such key: ", b"x" * 290])
def test_a_server_that_repeats_the_key_does_so_in_vain(tmp_path: Path, before: bytes):
    said = before + b"sk-quartz-1234567890 and more"
    sent = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
    with canned(sent) as url:
        script = script_of(tmp_path, [body()])
        _, (found,) = played(tmp_path, url, script, KEEP, {"authorization": "Bearer sk-quartz-1234567890"})
    assert found["error_text"].startswith(before.decode()) and "sk-q" not in found["error_text"]


def test_a_request_that_waits_for_its_turn_has_not_stalled(tmp_path: Path):
    with mock_server(ttft_ms=700) as server:
        _, (found,) = played(tmp_path, server.url, script_of(tmp_path, [body()]), KEEP)
    assert (found["state"], KEEP.stall_s) == ("completed", 0.4)
