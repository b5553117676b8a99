"""Several processes play one script as one would, and how many it takes is reckoned from the script."""

import os
import ssl
from array import array
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme
from costplan.errors import CostplanError
from costplan.replay.health import client_facts, connections_for, processes_for
from costplan.replay.script import Load, Script, Target
from costplan.replay.sender import Played
from costplan.replay.shards import play, shard_of
from costplan.replay.wire import address_of
from hypothesis import given
from hypothesis import strategies as st
from tests.replay.mock_server import mock_server
from tests.replay.playing import LOCAL, body, played, script_of


def arrivals(due_s: Any, output_tokens: Any, previous: Any = None) -> Script:
    n = len(due_s)
    return Script(
        bodies=Path(os.devnull), offsets=np.zeros(n + 1, np.int64), due_s=np.asarray(due_s, np.float64),
        previous=np.full(n, -1, np.int64) if previous is None else np.asarray(previous, np.int64),
        think_s=np.zeros(n), input_tokens=np.full(n, -1, np.int32),
        output_tokens=np.broadcast_to(np.asarray(output_tokens, np.int32), n),
    )  # fmt: skip


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 4))
def test_sessions_stay_together_and_are_dealt_out_in_turn(sessions: list[int], processes: int):
    last: dict[int, int] = {}
    previous: list[int] = []
    for row, session in enumerate(sessions):
        previous.append(last.get(session, -1))
        last[session] = row
    shard = shard_of(arrivals(np.arange(len(sessions)), 1, previous), processes)
    by_session = {session: {int(shard[row]) for row, s in enumerate(sessions) if s == session} for session in last}
    assert all(len(found) == 1 for found in by_session.values())
    held = Counter(next(iter(found)) for found in by_session.values())
    assert max(held.values()) - min((held[k] for k in range(min(processes, len(last)))), default=0) <= 1


def test_two_processes_send_every_request_once(tmp_path: Path):
    n = 60
    bodies = [body(user=str(k)) for k in range(n)]
    due_s = np.linspace(0, 0.5, n).tolist()
    with mock_server(ttft_ms=20, itl_ms=2) as server:
        told: list[tuple[str, int, int]] = []
        script = script_of(tmp_path, bodies, due_s)
        target = Target(url=f"{server.url}/v1/completions")
        facts = play(
            script, target, Load(processes=2), tmp_path / "requests.jsonl", report=lambda *what: told.append(what)
        )
        seen = server.stats()["requests"]
    assert len({request["body"] for request in seen}) == len(seen) == n
    lines = (tmp_path / "requests.jsonl").read_bytes().splitlines()
    assert len(lines) == n and facts.processes == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bodies.bin", "requests.jsonl"]
    assert told and {(stage, total) for stage, _, total in told} == {("replaying", n)}
    # one clock: the halves are not a process start apart
    order = [int(request["index"]) for request in sorted(seen, key=lambda request: request["arrival_s"])]
    assert order == list(range(n))


def test_what_breaks_beside_the_run_ends_it(tmp_path: Path):
    """Here whoever wanted to know how far it is; a full disk comes the same way. The server would stall for ever."""

    def fails(*_: object) -> None:
        raise OSError("no space left")

    with mock_server() as server, pytest.raises(OSError, match="no space left"):
        script, target = script_of(tmp_path, [body(mock_fault="no_answer")]), Target(url=f"{server.url}/v1/completions")
        play(script, target, LOCAL, tmp_path / "requests.jsonl", report=fails)


def test_failures_count_over_all_processes(tmp_path: Path):
    bodies = [body(mock_fault="http_500")] * 60
    load = Load(processes=2, concurrency=2, max_failures=6)
    with mock_server(ttft_ms=1) as server:
        _, found = played(tmp_path, server.url, script_of(tmp_path, bodies), load)
    states = Counter(record["state"] for record in found)
    assert 6 <= states["failed"] < 60 and states["unsent"] == 60 - states["failed"]


def test_as_many_processes_as_keep_a_core_at_60_percent():
    """10 s at 1,000 req/s of 100 tokens: 1,000 * (100 us + 100 * 8 us) = 0.9 cores, so two; 600 req/s: 0.54, so one."""
    cores = len(os.sched_getaffinity(0))
    assert processes_for(arrivals(np.arange(10_000) / 1000, 100), Load()) == min(2, cores)
    assert processes_for(arrivals(np.arange(6_000) / 600, 100), Load()) == 1
    assert processes_for(arrivals(np.zeros(10), 100), Load(concurrency=8)) == 1


def test_connections_are_those_of_the_expected_peak():
    """A request of 100 tokens is taken to last 1 + 100 * 0.03 = 4 s: at 10 a second, 40 are in flight."""
    assert connections_for(arrivals(np.arange(200) / 10, 100), Load()) in (40, 41)
    assert connections_for(arrivals(np.zeros(5000), 100), Load()) == 1024
    assert connections_for(arrivals(np.zeros(5000), 100), Load(concurrency=7)) == 7
    assert connections_for(arrivals([0.0, 100.0], -1), Load()) == 1


SEEN = Played(
    lateness_s=array("d", [0.001] * 100), connected_s=array("d", [0.001] * 100),
    ttft_s=array("d", [0.1] * 100), lag_s=array("d", [0.002] * 100),
    cpu_share=0.3, wall_s=10.0, connections=5, opened_late=1, peak_in_flight=4, out_of_sockets=0, interrupted=False,
)  # fmt: skip


def test_a_client_that_kept_up_is_valid():
    facts = client_facts([SEEN, replace(SEEN, cpu_share=0.5)], "2026-01-01T00:00:00+00:00")
    assert facts.valid and facts.reasons == []
    assert (facts.lateness_p99_s, facts.cpu_share, facts.connections, facts.processes) == (0.001, 0.5, 10, 2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"connected_s": array("d", [0.001] * 95 + [0.031] * 5)}, "31 ms or more"),
        ({"lag_s": array("d", [0.04] * 100)}, "40 ms late"),
        ({"cpu_share": 0.95}, "95%"),
        ({"out_of_sockets": 2}, "2 requests"),
    ],
)
def test_a_client_that_was_the_limit_says_why(change: dict[str, Any], word: str):
    facts = client_facts([SEEN, replace(SEEN, **change)], "2026-01-01T00:00:00+00:00")
    assert not facts.valid and len(facts.reasons) == 1 and word in facts.reasons[0]


def test_lateness_matters_less_where_answers_take_seconds():
    """31 ms are 2 % of a median of 1.5 s: that run says what it should."""
    late = replace(SEEN, connected_s=array("d", [0.031] * 100), ttft_s=array("d", [1.5] * 100))
    assert client_facts([late], "2026-01-01T00:00:00+00:00").valid


@pytest.mark.parametrize(
    "url", ["", "localhost:8000/v1", "ftp://host/v1", "http://", "http://host:99999/", "http://[::1/"]
)
def test_a_target_that_is_no_url_is_refused(url: str):
    with pytest.raises(CostplanError, match="not the URL"):
        address_of(Target(url=url))


def test_a_header_on_two_lines_is_refused_without_showing_it():
    with pytest.raises(CostplanError) as caught:
        address_of(Target(url="http://host/", headers={"Authorization": "Bearer sk-secret\r\nX: y"}))
    assert "Authorization" in caught.value.message and "secret" not in caught.value.message + caught.value.hint


def test_the_head_of_a_request_says_what_was_given_once():
    address = address_of(
        Target(url="http://[::1]:8000/v1/x?y=z", headers={"content-type": "a/b", "Authorization": "k"})
    )
    lines = address.head.decode().split("\r\n")
    assert lines[0] == "POST /v1/x?y=z HTTP/1.1" and lines[-1] == "Content-Length: "
    assert "Host: [::1]:8000" in lines and "content-type: a/b" in lines and "Authorization: k" in lines
    assert sum(line.lower().startswith("content-type") for line in lines) == 1


def test_the_key_reaches_the_server_and_no_file(tmp_path: Path):
    headers = {"Authorization": "Bearer sk-quartz"}
    with mock_server(api_key="sk-quartz") as server:
        _, (found,) = played(tmp_path, server.url, script_of(tmp_path, [body()]), headers=headers)
        _, (refused,) = played(tmp_path, server.url, script_of(tmp_path, [body()]))
    assert (found["state"], refused["reason"]) == ("completed", "http_401")
    assert b"quartz" not in (tmp_path / "requests.jsonl").read_bytes()
    assert "quartz" not in repr(Target(url="http://host/", headers=headers))


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key and a certificate of this machine's own, which the client trusts."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    path, trusted = tmp_path / "server.pem", tmp_path / "authority.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    ssl.create_default_context()
    return path


def test_through_tls_the_records_are_the_same(tmp_path: Path, certificate: Path):
    faults = {
        "http_429": "http_429", "reset": "connection_reset", "half_close": "stream_ended_early", "stall": "stalled",
        "garbage_http": "bad_answer", "garbage_json": "bad_answer",
    }  # fmt: skip
    bodies = [body(), *(body(mock_fault=fault) for fault in faults), body(stream=False)]
    load = replace(LOCAL, stall_s=0.4, collect=True)
    with mock_server(ttft_ms=30, itl_ms=5, certificate=str(certificate)) as server:
        facts, found = played(tmp_path, server.url.replace("http:", "https:"), script_of(tmp_path, bodies), load)
    assert [record.get("reason", "") for record in found] == ["", *faults.values(), ""]
    whole = found[0]
    assert whole["text"] == " tok" * 5 and whole["output_tokens"] == 5 and len(whole["gaps_s"]) == 4
    assert whole["dispatched_s"] < whole["sent_s"] < whole["first_byte_s"] and whole["first_token_s"] > 0.03
    assert facts.opened_late == facts.connections > 0


def test_an_unknown_certificate_is_refused(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with mock_server(certificate=str(certificate)) as server:
        _, (found,) = played(tmp_path, server.url.replace("http:", "https:"), script_of(tmp_path, [body()]))
    assert (found["state"], found["reason"]) == ("failed", "tls_failed")


def test_a_proxy_in_the_environment_is_used_but_not_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The proxy here is the mock itself: it is asked for http://far.example/v1/completions and ignores the host."""
    with mock_server(ttft_ms=20) as server:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        _, (far,) = played(tmp_path, "http://far.example", script_of(tmp_path, [body()]))
        _, (near,) = played(tmp_path, server.url, script_of(tmp_path, [body()]))
        seen = server.stats()["requests"]
    assert (far["state"], near["state"]) == ("completed", "completed") and len(seen) == 2
    assert far["output_tokens"] == near["output_tokens"] == 5
    assert far["reused_connection"] is False and "reused_connection" not in near
