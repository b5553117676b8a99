"""Replays of a real vLLM: every prompt is answered and counted alike on both sides, and runs predict others."""

import json
import random
from pathlib import Path
from statistics import mean

import msgspec
from costplan.calibrate import About, fit_profile
from costplan.profiles.measured import write_profile
from costplan.replay.serve import Served
from costplan.results.measurement import RequestRecord
from tests.vllm.conftest import BF16, ROOT, costplan, measured

PROMPTS = 200
ANSWER_TOKENS = 4
NOISE = 0.25
"""Repeats of a run of 20 seconds on two shared cores lie up to 25 % apart; docs/calibration.md has quieter figures."""
TRIES = 3
"""Work beside it for some seconds makes a run anything; three times in a row it does not."""


def prompts(path: Path) -> Path:
    """The first prompts of the demo log, with short answers: the log's words are what counts here."""
    every = path.with_name("every.jsonl")
    costplan("normalize", ROOT / "traces" / "demo.jsonl.gz", "-o", every, "--quiet")
    with every.open(encoding="utf-8") as lines:
        calls = [json.loads(next(lines)) for _ in range(2 * PROMPTS)]
    answered = [call for call in calls if call["output_tokens"] and not call["error_type"]][:PROMPTS]
    path.write_text("".join(json.dumps(call | {"output_tokens": ANSWER_TOKENS}) + "\n" for call in answered))
    return path


def lengths(path: Path) -> Path:
    """Prompts of mixed lengths that share nothing, as a hash trace."""
    draw = random.Random(7)
    rows = [
        {
            "timestamp": n * 500, "input_length": draw.choice([24, 48, 96, 160]), "output_length": draw.randint(12, 32),
            "hash_ids": [n],
        }
        for n in range(128)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_200_real_prompts_are_answered_and_counted_alike_on_both_sides(bf16: Served, tmp_path: Path):
    folder = tmp_path / "run"
    server = ("--url", bf16.facts.url, "--model", BF16)
    costplan("replay", prompts(tmp_path / "prompts.jsonl"), *server, "--concurrency", "16", "--out", folder, "--quiet")
    found = measured(folder)
    lines = (folder / "requests.jsonl").read_bytes().splitlines()
    records = [msgspec.json.decode(line, type=RequestRecord) for line in lines]
    assert found.requests.sent == found.requests.completed == len(records) == PROMPTS
    assert found.prompts == "log"
    assert found.server.block_size == bf16.facts.block_size
    counters = found.server.counters
    assert counters["prompt_tokens"] == sum(record.input_tokens or 0 for record in records)
    assert counters["generation_tokens"] == sum(record.output_tokens or 0 for record in records)
    assert found.output_exact_share == 1.0
    hits = counters["prefix_cache_hits"] / counters["prefix_cache_queries"]
    assert found.prefix_hit_share == hits


def test_runs_at_1_and_16_in_flight_predict_those_at_4_and_32(bf16: Served, tmp_path: Path):
    trace = lengths(tmp_path / "lengths.jsonl")
    for again in range(TRIES):
        (tmp_path / str(again)).mkdir()
        errors = prediction_errors(bf16, trace, tmp_path / str(again))
        print(errors)
        if max(map(abs, errors.values())) < NOISE:
            return
    raise AssertionError(errors)


def prediction_errors(served: Served, trace: Path, folder: Path) -> dict[str, float]:
    """predicted / measured - 1 at loads that the profile has not seen, each measured before and after its fit."""

    def run(name: str, in_flight: int, requests: int, *options: str | Path) -> Path:
        load = ("--concurrency", str(in_flight), "--requests", str(requests), "--out", folder / name, "--quiet")
        costplan("replay", trace, "--url", served.facts.url, "--model", BF16, *load, *options)
        return folder / name

    run("warm", 16, 32)  # the first steps of an engine are slower than any later one
    before = [run("one", 1, 10), run("sixteen", 16, 32)]
    first = {in_flight: run(f"at-{in_flight}", in_flight, 16 + in_flight) for in_flight in (4, 32)}
    after = [run("one-again", 1, 10), run("sixteen-again", 16, 32)]  # a machine that drifts is met in the middle
    profile = folder / "cpu.yaml"
    write_profile(fit_profile(before + after, About(model=BF16)), profile)
    errors: dict[str, float] = {}
    for in_flight in (4, 32):
        found = measured(run(f"at-{in_flight}-again", in_flight, 16 + in_flight, "--profile", profile))
        assert found.predicted_basis and "step times measured" in found.predicted_basis
        predicted = {each.figure: each.predicted or 0.0 for each in found.predicted}
        runs = [measured(first[in_flight]), found]
        rate, tpot_s = mean(each.output_tok_s for each in runs), mean(each.tpot_s.p50 or 0.0 for each in runs)
        errors[f"tok/s at {in_flight}"] = predicted["output_tok_s"] / rate - 1
        errors[f"TPOT at {in_flight}"] = predicted["tpot_s.p50"] / tpot_s - 1
    return errors
