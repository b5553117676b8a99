"""The benchmark's log is the one its documentation describes, and its measuring stick measures."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.log import MODELS, write_log
from benchmarks.measure import measure

LINES = 6_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small log for all tests here."""
    path = tmp_path_factory.mktemp("benchmark") / "log.jsonl"
    write_log(path, LINES)
    return path


def test_the_log_has_its_lines_in_time_order_and_its_size(log: Path):
    records = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert len(records) == LINES == len({record["id"] for record in records})
    times = [record["timestamp"] for record in records]
    assert times == sorted(times)
    assert 1_300 < log.stat().st_size / LINES < 1_800
    assert set(Counter(record["model"] for record in records)) == set(MODELS)
    history = sum(len(record["request"]["messages"]) == 4 for record in records) / LINES
    assert 0.10 < history < 0.14


def test_the_same_seed_gives_the_same_bytes(log: Path, tmp_path: Path):
    write_log(tmp_path / "again.jsonl", LINES)
    assert (tmp_path / "again.jsonl").read_bytes() == log.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.jsonl"]


def test_the_json_loop_sums_what_the_lines_say(log: Path):
    run = measure([sys.executable, "-m", "benchmarks.json_loop", str(log)])
    assert run.code == 0, run.output
    usages = [json.loads(line)["response"]["usage"] for line in log.read_bytes().splitlines()]
    assert json.loads(run.output) == {
        "requests": LINES,
        "input_tokens": sum(usage["prompt_tokens"] for usage in usages),
        "output_tokens": sum(usage["completion_tokens"] for usage in usages),
    }


def test_memory_and_time_of_children_are_counted():
    child = "x = bytearray(60_000_000)\nimport time\ntime.sleep(0.4)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    run = measure([sys.executable, "-c", parent])
    assert run.code == 0, run.output
    assert run.peak_pss_mb > 60 and run.max_rss_mb > 60 and run.wall_s > 0.4 and run.cpu_s > 0
