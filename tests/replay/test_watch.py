"""A server is looked at while something else happens, with a server that counts how often it was asked."""

import os
import signal
import time
from pathlib import Path

import pytest
from costplan.replay import watch as module
from costplan.replay.metrics import Scrape
from costplan.replay.serve import serve
from costplan.replay.watch import Observed, read_series, watch
from tests.replay.engine import install


def wait_for_looks(series: Path, count: int) -> None:
    deadline_s = time.monotonic() + 30
    while len(read_series(series)) < count:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_counters_peaks_and_the_series_agree(tmp_path: Path):
    """The stand-in's prompt_tokens counts the requests it was asked: each look adds one."""
    series = tmp_path / "metrics.jsonl"
    with serve("m", tmp_path / "log", python=install(tmp_path / "venv")) as served:
        with watch(served.facts.url, series) as observed:
            wait_for_looks(series, 2)
            facts = observed()
        asked_later = module.scrape(served.facts.url)
        time.sleep(1.2)
        asked_last = module.scrape(served.facts.url)
    looks = read_series(series)
    assert facts.counters["prompt_tokens"] > len(looks) >= 3  # two that it waited for, one when it ended
    assert facts.peaks == {"running": 2, "kv_cache_usage": 0.25}
    assert facts.energy_j is None and facts.warnings == ()
    moments = [look["monotonic_s"] for look in looks]
    assert moments == sorted(moments) and moments[-1] <= time.monotonic()
    assert isinstance(asked_later, Scrape) and isinstance(asked_last, Scrape)
    assert asked_last.counters["prompt_tokens"] == asked_later.counters["prompt_tokens"] + 1  # nobody looks any more


def test_a_server_that_dies_leaves_what_was_seen_until_then(tmp_path: Path):
    series = tmp_path / "metrics.jsonl"
    with (
        serve("m", tmp_path / "log", python=install(tmp_path / "venv")) as served,
        watch(served.facts.url, series) as observed,
    ):
        wait_for_looks(series, 1)
        os.killpg(served.pid, signal.SIGKILL)
        facts = observed()
    assert facts.counters == {} and facts.peaks["running"] == 2
    assert "no longer answered" in facts.warnings[0]


def test_the_looking_ends_when_the_run_fails(tmp_path: Path):
    series = tmp_path / "metrics.jsonl"
    with serve("m", tmp_path / "log", python=install(tmp_path / "venv")) as served:
        with pytest.raises(ZeroDivisionError), watch(served.facts.url, series):
            wait_for_looks(series, 1)
            raise ZeroDivisionError
        looks = len(read_series(series))
        time.sleep(1.2)
        assert len(read_series(series)) == looks


def test_where_there_is_nothing_to_see_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "open_meter", lambda *_given: None)
    with watch("http://127.0.0.1:1/v1", tmp_path / "metrics.jsonl") as observed:
        assert observed() == Observed()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path):
    (tmp_path / "series").write_text('{"monotonic_s": 1.0}\n{"monotonic_s": 2')
    assert read_series(tmp_path / "series") == [{"monotonic_s": 1.0}]


def test_energy_is_that_between_the_first_look_and_the_last():
    looks = [{"monotonic_s": float(at), "power_w": 250.0, "counter_j": 1000.0 + 300 * at} for at in range(5)]
    facts = module._summary(None, None, looks, ("H100",))
    assert (facts.energy_j, facts.power_mean_w, facts.gpus) == (1200.0, 300.0, ("H100",))


def test_a_server_that_was_started_anew_has_no_counters():
    fell = module._summary(Scrape(counters={"prompt_tokens": 9}), Scrape(counters={"prompt_tokens": 1}), [], ())
    assert fell.counters == {} and "started anew" in fell.warnings[0]
