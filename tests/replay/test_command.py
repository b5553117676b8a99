"""costplan replay as a user meets it, against a local server whose truth is known."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from costplan.results.measurement import measurement_schema
from tests.replay.mock_server import MockProcess, mock_server
from tests.test_cli import ROOT, Run, mistake, run

__all__ = ["run"]
TINY, MOONCAKE, AZURE = (
    "traces/tiny.jsonl",
    "traces/mooncake_conversation_excerpt.jsonl",
    "traces/azure_conv_excerpt.csv",
)
FAST = ("--max-gap", "0.02s", "-q")


@pytest.fixture(scope="module")
def vllm() -> Iterator[MockProcess]:
    """With the manners of vLLM: token ids, salts, forced lengths, counters."""
    with mock_server(
        ttft_ms=20, itl_ms=0.2, model="mock", version="0.32.0", check_model=True, max_model_len=200_000
    ) as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[MockProcess]:
    """OpenAI-compatible and no more."""
    with mock_server(ttft_ms=20, itl_ms=1, tokens=5, model="mock") as server:
        yield server


@pytest.fixture
def measured(run: Run, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The document of a run, which must be what its schema says."""

    def call(server: MockProcess, *arguments: str, code: int = 0) -> dict[str, Any]:
        server.reset()
        ran = run("replay", *arguments, "--url", f"{server.url}/v1", "--out", str(tmp_path / "out"), "--json", "-")
        assert ran.code == code, ran
        found = json.loads(ran.out)
        jsonschema.Draft202012Validator(measurement_schema()).validate(found)
        assert json.loads((tmp_path / "out/measurement.json").read_bytes()) == found
        return found

    return call


def written(folder: Path, turns: list[tuple[float | None, str | None]]) -> str:
    """A trace of 40 tokens in and 8 out, half a second each, from (time, session)."""
    fixed = {"usage_source": "reported", "cache_read_input_tokens": 0, "input_tokens": 40, "output_tokens": 8}
    rows = [fixed | {"ts_offset_s": at, "session_id": session, "duration_s": 0.5} for at, session in turns]
    path = folder / "sessions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_every_row_of_a_log_is_sent_and_the_counts_agree_with_the_server_s(
    measured: Callable[..., dict[str, Any]], vllm: MockProcess
):
    found = measured(vllm, TINY, *FAST)
    seen = vllm.stats()["requests"]
    assert found["requests"] == {"sent": 11, "completed": 11, "failed": 0, "unsent": 0} and len(seen) == 11
    assert found["warnings"][0] == "Not replayed: 1 failed calls."
    counters = found["server"]["counters"]
    assert counters["prompt_tokens"] == sum(each["input_tokens"] for each in seen)
    assert counters["generation_tokens"] == sum(each["tokens"] for each in seen)
    assert found["output_exact_share"] == 1 and found["prompts"] == "log"
    assert found["ttft_s"]["p50"] >= 0.02 and found["server"]["block_size"] == 16


def test_made_up_prompts_are_exact_and_hit_the_cache_as_the_trace_s_blocks_say(
    measured: Callable[..., dict[str, Any]], vllm: MockProcess
):
    arguments = (MOONCAKE, "--requests", "40", "--concurrency", "1", "-q")
    found = measured(vllm, *arguments, "--gpus", "1xA100")
    assert found["prompts"] == "synthetic" and found["lengths_exact_share"] == 1 == found["output_exact_share"]
    rows = [json.loads(line) for line in Path(MOONCAKE).read_text("utf-8").splitlines()[:40]]
    held: set[int] = set()
    hits = 0
    for row in rows:  # hash ids of 512 tokens, known when they came before; the last block is whole or none
        leading = 0
        for number in row["hash_ids"]:
            if number not in held:
                break
            leading += 1
        hits += min(512 * leading, row["input_length"] // 16 * 16 - 16 * (row["input_length"] % 16 == 0))
        held.update(row["hash_ids"])
    share = hits / sum(row["input_length"] for row in rows)
    assert share > 0.01 and found["prefix_hit_share"] == pytest.approx(share, abs=0.005)
    again = measured(vllm, *arguments)
    assert again["prefix_hit_share"] == pytest.approx(share, abs=0.005)  # a new salt: nothing of the first run is left


def test_a_server_that_is_not_vllm_gets_words_of_the_exact_length(
    measured: Callable[..., dict[str, Any]], other: MockProcess
):
    found = measured(other, AZURE, "--requests", "20", *FAST)
    assert found["prompts"] == "synthetic" and found["lengths_exact_share"] == 1
    assert found["server"]["kind"] == "openai-compatible"
    assert any("no forced answer length" in each for each in found["warnings"])
    assert {each["path"] for each in other.stats()["requests"]} == {"/v1/chat/completions"}


def test_a_sweep_plays_each_load_into_a_folder_of_its_own(run: Run, tmp_path: Path):
    log = written(tmp_path, [(0.1 * k, None) for k in range(96)])
    with mock_server(ttft_ms=60, itl_ms=5, slots=4, model="mock", version="0.32.0") as server:
        ran = run(
            "replay", log, "--sweep", "--concurrency", "1", "--slo", "ttft.p95<2s", "--url", f"{server.url}/v1",
            "--out", str(tmp_path / "out"), "--json", str(tmp_path / "found.json"),
        )  # fmt: skip
    assert ran.code in (0, 3), ran
    found = json.loads((tmp_path / "found.json").read_bytes())
    jsonschema.Draft202012Validator(measurement_schema()).validate(found)
    points = found["sweep"]["points"]
    assert [point["load"] for point in points] == sorted(point["load"] for point in points)
    assert points[0]["load"] == 1 and all(point["unit"] == "concurrency" for point in points)
    for point in points:
        place = tmp_path / f"out/points/{point['load']:g}/requests.jsonl"
        assert len(place.read_text("utf-8").splitlines()) == point["requests"] >= 40
    assert found["sweep"]["knee"] is None or found["sweep"]["knee"] in points
    assert (tmp_path / "out/requests.jsonl").exists()


def test_tasks_are_asked_and_their_answers_kept(run: Run, vllm: MockProcess, tmp_path: Path):
    out = tmp_path / "base"
    ran = run(
        "replay", "--tasks", "builtin", "--samples", "2", "--collect", "--url", f"{vllm.url}/v1", "--out", str(out)
    )
    assert ran.code == 0, ran
    answers = [json.loads(line) for line in (out / "requests.jsonl").read_text("utf-8").splitlines()]
    tasks = (out / "tasks.jsonl").read_text("utf-8").splitlines()
    assert len(answers) == len(tasks) >= 10 and all(answer["text"] for answer in answers)
    assert {answer["index"] for answer in answers} == set(range(len(tasks)))


def test_what_fails_is_said_by_reason_and_by_the_exit_code(run: Run, tmp_path: Path):
    with mock_server(model="mock", version="0.32.0", fault="http_429", fault_every=3) as server:
        ran = run("replay", TINY, *FAST, "--url", f"{server.url}/v1", "--out", str(tmp_path / "out"))
        assert ran.code == 1 and "3 http_429" in ran.out
        assert ran.err.splitlines()[0] == "error: 8 of 11 requests were completed (3 http_429)"
        stopped = run(
            "replay", TINY, *FAST, "--url", f"{server.url}/v1", "--out", str(tmp_path / "out"), "--max-failures", "1"
        )
    assert stopped.code == 1 and "stopped" in stopped.err


def test_the_key_comes_from_the_environment_and_is_nowhere_in_what_is_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MY_KEY", "sk-secret-1")
    with mock_server(model="mock", version="0.32.0", api_key="sk-secret-1") as server:
        arguments = ("replay", TINY, *FAST, "--url", f"{server.url}/v1", "--out", str(tmp_path / "out"))
        ran = run(*arguments, "--api-key-env", "MY_KEY", "-v")
        refused = run(*arguments)
    assert ran.code == 0, ran
    written = ran.out + ran.err + "".join(path.read_text("utf-8") for path in (tmp_path / "out").iterdir())
    assert "sk-secret-1" not in written
    assert refused.code == 1 and "401" in refused.err and "export OPENAI_API_KEY" in refused.err
    assert "TTFT" not in refused.out


def test_a_key_given_in_place_of_its_variable_s_name_is_refused_and_not_repeated(run: Run, tmp_path: Path):
    ran = run("replay", TINY, "--url", "http://127.0.0.1:9/v1", "--api-key-env", "sk-secret-2", "--out", str(tmp_path))
    assert "no variable of that name" in mistake(ran, 2)[0] and "sk-secret-2" not in ran.err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_used_again_holds_nothing_of_the_run_before(run: Run, other: MockProcess, tmp_path: Path):
    where = ("--url", f"{other.url}/v1", "--out", str(tmp_path / "out"), "-q")
    assert run("replay", "--tasks", "builtin", "--samples", "1", *where).code == 0
    assert (tmp_path / "out/tasks.jsonl").exists()
    assert run("replay", TINY, "--max-gap", "0.02s", *where).code == 0
    assert not (tmp_path / "out/tasks.jsonl").exists()
    mistake(run("replay", "no.jsonl", *where), 1)
    assert (tmp_path / "out/measurement.json").exists()  # what could not begin destroys nothing


def test_what_is_read_after_the_run_is_looked_at_before_it(run: Run, vllm: MockProcess, tmp_path: Path):
    out = str(tmp_path / "out")
    where = (TINY, *FAST, "--url", f"{vllm.url}/v1", "--out", out)
    vllm.reset()
    earlier = ("--save-profile", str(tmp_path / "p.yaml"), "--with")
    assert "measurement.json: No such file" in mistake(run("replay", *where, *earlier, str(tmp_path / "no")), 1)[0]
    assert "no.yaml" in mistake(run("replay", *where, "--profile", "no.yaml"), 1)[0]
    assert "name for the model is unknown" in mistake(run("replay", *where, *earlier[:2]), 1)[0]
    assert vllm.stats()["requests"] == []
    assert run("replay", *where).code == 0
    assert "this run is written there" in mistake(run("replay", *where, *earlier, out), 2)[0]


def test_a_trace_of_days_is_not_played_for_days_unless_it_is_asked_for(run: Run, tmp_path: Path):
    rows = [{"timestamp": at, "input_length": 9, "output_length": 2, "hash_ids": []} for at in (0, 200_000_000)]
    trace = tmp_path / "days.jsonl"
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    ran = run("replay", str(trace), "--url", "http://127.0.0.1:9/v1", "--out", str(tmp_path / "out"))
    error, hint = mistake(ran, 2)
    assert "lasts 2.3 days" in error and "--window 0:10m" in hint


def test_the_report_says_what_was_cut_and_warns_of_nothing_that_did_not_happen(
    measured: Callable[..., dict[str, Any]], other: MockProcess
):
    found = measured(other, MOONCAKE, "--requests", "3", "--max-gap", "0.1s", "-q")
    assert "as recorded, no pause over 0.1 s" in found["workload"]["text"]
    assert any("no forced answer length" in warning for warning in found["warnings"])
    asked = measured(other, "--tasks", "builtin", "--samples", "1", "-q")
    assert asked["output_exact_share"] is None and asked["warnings"] == []


def test_answers_without_a_count_are_counted_by_chunks_and_said_so(run: Run, tmp_path: Path):
    with mock_server(model="mock", tokens=5, fault="no_usage") as server:
        out = ("--out", str(tmp_path / "out"), "--json", "-", "-q")
        ran = run("replay", "--tasks", "builtin", "--samples", "1", "--url", f"{server.url}/v1", *out)
    found = json.loads(ran.out)
    assert found["workload"]["output_tokens"]["mean"] == 5
    assert any(warning.startswith("The server counted no tokens for 5 answers") for warning in found["warnings"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((TINY,), "no server is given"),
        ((TINY, "--url", "http://127.0.0.1:1/v1", "--serve", "m"), "--url and --serve contradict each other"),
        (("--url", "http://127.0.0.1:1/v1"), "no trace is given"),
        ((TINY, "--serve", "m", "--seed", "3"), "--seed changes nothing without --rate or --sweep"),
        ((TINY, "--serve", "m", "--precision", "awq"), "--precision changes nothing without --gpus"),
        ((TINY, "--url", "http://127.0.0.1:1/v1", "--tp", "2"), "--tp changes nothing without --serve"),
        ((TINY, "--serve", "m", "--sessions", "--rate", "5"), "--sessions and --rate: turns wait"),
        ((TINY, "--serve", "m", "--api-key-env", "HOME"), "--serve and --api-key-env: that vLLM asks for no key"),
        ((TINY, "--tasks", "builtin", "--serve", "m"), "a trace and --tasks contradict each other"),
        ((TINY, "--serve", "m", "--rate", "5", "--concurrency", "2"), "--rate and --concurrency: arrivals have times"),
        ((TINY, "--serve", "m", "--rate", "5", "--speed", "2"), "--speed and --rate: the trace's times, or made-up"),
        ((TINY, "--serve", "m", "--rate", "8:600s"), "--rate 8:600s: a replay takes one rate"),
        ((TINY, "--serve", "m", "--warm-up", "soon"), "--warm-up soon: neither a number of requests nor a time"),
        ((TINY, "--url", "http://127.0.0.1:1/v1", "--quantization", "awq"), "--url and --quantization: that server"),
        ((TINY, "--serve", "m", "--samples", "3"), "--samples changes nothing without --tasks"),
        ((TINY, "--serve", "m", "--slo", "speed<3"), "--slo: unknown figure 'speed'"),
        ((TINY, "--serve", "m", "--prompts", "poem"), "--prompts: 'poem' does not fit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_that_contradict_each_other_are_wrong_usage(run: Run, arguments: tuple[str, ...], said: str):
    error, hint = mistake(run("replay", *arguments), 2)
    assert error.startswith(said) and hint


def test_a_window_or_a_number_beyond_the_trace_is_wrong_usage(run: Run, vllm: MockProcess, tmp_path: Path):
    where = ("--url", f"{vllm.url}/v1", "--out", str(tmp_path / "out"))
    assert "there are 11 in the trace" in mistake(run("replay", TINY, *where, "--requests", "12"), 2)[0]
    assert "no request of the trace falls" in mistake(run("replay", TINY, *where, "--window", "9h:"), 2)[0]
    error, _ = mistake(run("replay", AZURE, *where, "--prompts", "log"), 1)
    assert error == "--prompts log: the trace holds no prompt as a whole"


def test_a_server_that_is_down_or_has_another_model_is_said_so(run: Run, vllm: MockProcess, tmp_path: Path):
    out = ("--out", str(tmp_path / "out"))
    error, hint = mistake(run("replay", TINY, "--url", "http://127.0.0.1:9/v1", *out), 1)
    assert "no answer from http://127.0.0.1:9/v1" in error and "--serve" in hint
    error, hint = mistake(run("replay", TINY, "--url", f"{vllm.url}/v1", "--model", "mok", *out), 1)
    assert "does not serve 'mok'" in error and hint == "--model mock"


def test_two_runs_with_one_salt_send_the_same_bodies(measured: Callable[..., dict[str, Any]], vllm: MockProcess):
    found: list[str] = []
    for salt in ("one", "one", "two"):
        measured(vllm, TINY, *FAST, "--salt", salt)
        bodies = sorted(each["body"] for each in vllm.stats()["requests"])
        found.append(hashlib.sha256("".join(bodies).encode()).hexdigest())
    assert found[0] == found[1] != found[2]


def test_rows_without_a_time_are_sent_where_no_time_is_needed_and_missed_where_one_is(
    run: Run, vllm: MockProcess, tmp_path: Path
):
    log = written(tmp_path, [(None, None), (0.0, None), (None, None), (0.1, None)])
    fixed = ("replay", log, "-q", "--url", f"{vllm.url}/v1", "--out", str(tmp_path / "out"))
    late = run(*fixed)
    assert late.code == 1
    assert late.err.splitlines()[0] == "error: 2 rows of the trace were not sent (2 without a time)"
    assert "--concurrency 8" in late.err
    for load in ("--concurrency", "--rate"):
        assert run(*fixed, load, "4").code == 0
        found = json.loads((tmp_path / "out/measurement.json").read_bytes())
        assert found["requests"]["completed"] == 4 and found["left_out"] == {}
    assert run(*fixed, "--requests", "2").code == 0  # no more was asked for


def test_a_model_under_a_name_of_its_own_is_predicted_as_the_one_it_is(run: Run, vllm: MockProcess, tmp_path: Path):
    fixed = ("replay", MOONCAKE, "--requests", "4", "--concurrency", "1", "--gpus", "1xA100", "-q")
    fixed += ("--url", f"{vllm.url}/v1", "--out", str(tmp_path / "out"))
    unknown = run(*fixed, "--json", "-")
    assert unknown.code == 0 and "No prediction" in " ".join(json.loads(unknown.out)["warnings"])
    known = json.loads(run(*fixed, "--json", "-", "--as", "llama-3.1-8b").out)
    assert known["config"]["model"] == "meta-llama/Llama-3.1-8B-Instruct" and known["predicted"]
    assert known["server"]["model"] == "mock"


def test_requests_longer_than_the_server_takes_are_said_so(run: Run, tmp_path: Path):
    with mock_server(model="mock", version="0.32.0", max_model_len=47) as server:
        ran = run(
            "replay", written(tmp_path, [(0.0, None)]), "-q", "--url", f"{server.url}/v1", "--out", str(tmp_path / "o")
        )
    assert "1 request over 47 tokens, the most that this server takes in one." in ran.out


def test_a_mistyped_trace_leaves_no_folder(run: Run, vllm: MockProcess, tmp_path: Path):
    ran = run("replay", "nowhere.jsonl", "-q", "--url", f"{vllm.url}/v1", "--out", str(tmp_path / "out"))
    assert "nowhere.jsonl" in mistake(ran, 1)[0] and not (tmp_path / "out").exists()


def test_a_missed_slo_is_exit_code_3(run: Run, vllm: MockProcess, tmp_path: Path):
    ran = run("replay", TINY, *FAST, "--url", f"{vllm.url}/v1", "--out", str(tmp_path / "out"), "--slo", "ttft.p50<1ms")
    assert ran.code == 3 and ran.err.splitlines()[0] == "error: the SLO is not met: ttft.p50<1ms"
    assert re.search(r"SLO\s+ttft.p50<1ms .* missed", ran.out)


def test_the_next_turn_of_a_session_waits_for_the_answer_and_the_time_to_think(
    run: Run, vllm: MockProcess, tmp_path: Path
):
    log = written(tmp_path, [(0.0, "a"), (0.1, "b"), (0.7, "a"), (2.0, "a")])
    arguments = ("replay", log, "-q", "--url", f"{vllm.url}/v1", "--out", str(tmp_path / "out"))
    assert run(*arguments).code == 0
    sent = {row["index"]: row for row in map(json.loads, (tmp_path / "out/requests.jsonl").read_text().splitlines())}
    for turn_, before, think_s in ((2, 0, 0.2), (3, 2, 0.8)):
        assert sent[turn_]["due_s"] == pytest.approx(sent[before]["done_s"] + think_s, abs=1e-3)
    assert run(*arguments, "--no-sessions").code == 0
    sent = {row["index"]: row for row in map(json.loads, (tmp_path / "out/requests.jsonl").read_text().splitlines())}
    assert [sent[k]["due_s"] for k in range(4)] == pytest.approx([0.0, 0.1, 0.7, 2.0])


def test_the_same_requests_are_simulated_and_stand_beside_the_measured_ones(run: Run, tmp_path: Path):
    with mock_server(ttft_ms=20, itl_ms=0.2, model="llama-3.1-8b", version="0.32.0", max_model_len=200_000) as server:
        ran = run(
            "replay", MOONCAKE, "--requests", "30", "--concurrency", "1", "--gpus", "1xA100", "-q",
            "--url", f"{server.url}/v1", "--out", str(tmp_path / "out"),
        )  # fmt: skip
    assert ran.code == 0, ran
    found = json.loads((tmp_path / "out/measurement.json").read_bytes())
    figures = {each["figure"]: each for each in found["predicted"]}
    hits = figures["prefix_hit_share"]
    assert hits["measured"] > 0.01 and hits["predicted"] == pytest.approx(hits["measured"], abs=0.01)
    assert figures["tpot_s.p50"]["error_share"] == pytest.approx(
        figures["tpot_s.p50"]["predicted"] / figures["tpot_s.p50"]["measured"] - 1
    )
    assert found["config"]["model"] == "meta-llama/Llama-3.1-8B-Instruct" and found["config"]["kv_blocks"] == 10_000
    assert found["usd_per_mtok"]["value"] > 0 and "1 x A100" in found["usd_per_mtok"]["note"]


def test_runs_of_two_loads_make_a_profile_that_the_next_run_is_predicted_with(run: Run, tmp_path: Path):
    profile = str(tmp_path / "server.yaml")
    fixed = (AZURE, "--requests", "36", "--gpus", "1xA100", "-q")
    with mock_server(ttft_ms=30, itl_ms=4, itl_slope_us=200, model="llama-3.1-8b", version="0.32.0") as server:
        where = ("--url", f"{server.url}/v1")
        light = run("replay", *fixed, *where, "--concurrency", "1", "--requests", "8", "--out", str(tmp_path / "1"))
        heavy = run(
            "replay", *fixed, *where, "--concurrency", "12", "--out", str(tmp_path / "12"),
            "--save-profile", profile, "--with", str(tmp_path / "1"),
        )  # fmt: skip
        assert (light.code, heavy.code) == (0, 0), (light, heavy)
        assert heavy.err.startswith(f"{profile}: measured step times, largest error")
        run("replay", AZURE, "--requests", "36", "-q", *where, "--concurrency", "6", "--out", str(tmp_path / "6"),
            "--profile", profile)  # fmt: skip
    found = json.loads((tmp_path / "6/measurement.json").read_bytes())
    assert found["config"]["step_time"] == "measured" and found["predicted_basis"].startswith(
        "simulated, step times me"
    )
    figures = {each["figure"]: each["error_share"] for each in found["predicted"]}
    assert "1 x A100" in found["usd_per_mtok"]["note"]
    assert abs(figures["tpot_s.p50"]) < 0.25  # a busy machine; the calibration's own tests are strict


def test_a_server_that_dies_in_mid_run_leaves_every_request_in_one_state(run: Run, tmp_path: Path):
    log = written(tmp_path, [(0.02 * k, None) for k in range(30)])
    with mock_server(ttft_ms=20, itl_ms=2, model="mock", version="0.32.0", fault="die", fault_every=10) as server:
        ran = run("replay", log, "-q", "--url", f"{server.url}/v1", "--out", str(tmp_path / "out"))
    assert ran.code == 1 and "of 30 requests were completed" in ran.err.splitlines()[0]
    rows = [json.loads(line) for line in (tmp_path / "out/requests.jsonl").read_text("utf-8").splitlines()]
    assert sorted(row["index"] for row in rows) == list(range(30))
    assert {row["state"] for row in rows} == {"completed", "failed"}
    found = json.loads((tmp_path / "out/measurement.json").read_bytes())
    assert any("no longer answered /metrics" in each for each in found["warnings"])


def test_an_interrupted_run_says_where_the_finished_requests_are(vllm: MockProcess, tmp_path: Path):
    log, out = written(tmp_path, [(0.2 * k, None) for k in range(200)]), tmp_path / "out"
    command = [sys.executable, "-m", "costplan", "replay", log, "-q", "--url", f"{vllm.url}/v1", "--out", str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (out / "requests.jsonl").exists() or not (out / "requests.jsonl").stat().st_size:
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        shown, said = process.communicate(timeout=60)
    assert (process.returncode, shown) == (130, "")
    assert said == f"interrupted: what came before is in {out}/requests.jsonl\n"
    states = [json.loads(line)["state"] for line in (out / "requests.jsonl").read_text("utf-8").splitlines()]
    assert len(states) == 200 and "completed" in states and "unsent" in states
