"""Replays of a real vLLM: every prompt is answered and counted alike on both sides, and runs predict others."""

import json
import random
from pathlib import Path

import msgspec
from costplan.calibrate import About, fit_profile
from costplan.profiles.measured import write_profile
from costplan.replay.serve import Served
from costplan.results.measurement import RequestRecord
from tests.vllm.conftest import BF16, ROOT, costplan, measured

PROMPTS = 200
ANSWER_TOKENS = 4
NOISE = 0.15
"""A run of half a minute on two shared cores: a repeat of it differs by that much."""


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
    trace, server = lengths(tmp_path / "lengths.jsonl"), ("--url", bf16.facts.url, "--model", BF16)

    def run(in_flight: int, requests: int, *options: str | Path) -> Path:
        folder = tmp_path / f"at-{in_flight}"
        load = ("--concurrency", str(in_flight), "--requests", str(requests), "--out", folder, "--quiet")
        costplan("replay", trace, *server, *load, *options)
        return folder

    profile = tmp_path / "cpu.yaml"
    run(8, 24)  # the first steps of an engine are slower than any later one
    write_profile(fit_profile([run(1, 20), run(16, 64)], About(model=BF16)), profile)
    for in_flight, requests in ((4, 40), (32, 96)):
        found = measured(run(in_flight, requests, "--profile", profile))
        errors = {each.figure: each.error_share for each in found.predicted}
        print(in_flight, errors)
        assert found.predicted_basis == "measured"
        assert abs(errors["output_tok_s"] or 1) < NOISE and abs(errors["tpot_s.p50"] or 1) < NOISE, errors
