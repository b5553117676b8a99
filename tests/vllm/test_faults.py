"""A real vLLM that dies or hangs in mid-run: every request ends in one state, and what was answered is kept."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
from costplan.replay.serve import Served
from costplan.results.measurement import RequestRecord
from tests.vllm.conftest import BF16, Serving
from tests.vllm.test_replay import lengths

REQUESTS = 48


def broken_off(served: Served, folder: Path, sent: signal.Signals) -> Counter[tuple[str, str]]:
    """States and reasons of a run whose server gets the signal once eight requests are answered."""
    command = (
        "replay", lengths(folder / "lengths.jsonl"), "--url", served.facts.url, "--model", BF16, "--concurrency", "8",
        "--requests", str(REQUESTS), "--timeout", "10s", "--max-failures", "8", "--out", folder / "run", "--quiet",
    )  # fmt: skip
    records = folder / "run" / "requests.jsonl"
    with subprocess.Popen([sys.executable, "-m", "costplan", *map(str, command)], stderr=subprocess.PIPE) as replay:
        patience = time.monotonic() + 300
        while replay.poll() is None and (not records.is_file() or len(records.read_bytes().splitlines()) < 8):
            assert time.monotonic() < patience
            time.sleep(0.2)
        os.killpg(served.pid, sent)
        replay.communicate(timeout=300)
        assert replay.returncode == 1
    lines = records.read_bytes().splitlines()
    found = [msgspec.json.decode(line, type=RequestRecord) for line in lines]
    assert sorted(record.index for record in found) == list(range(REQUESTS))
    return Counter((record.state, record.reason) for record in found)


def test_a_server_that_hangs_and_one_that_dies_leave_a_record_of_every_request(serving: Serving, tmp_path: Path):
    for name in ("hangs", "dies"):
        (tmp_path / name).mkdir()
    with serving(BF16) as served:
        hung = broken_off(served, tmp_path / "hangs", signal.SIGSTOP)
        os.killpg(served.pid, signal.SIGCONT)
        died = broken_off(served, tmp_path / "dies", signal.SIGKILL)
    assert hung["completed", ""] >= 8 and died["completed", ""] >= 8
    assert {reason for state, reason in hung if state == "failed"} == {"timeout"}
    broken = {"connection_refused", "connection_reset", "connection_closed", "stream_ended_early"}
    assert {reason for state, reason in died if state == "failed"} <= broken
