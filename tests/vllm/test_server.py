"""A real vLLM: what it says of itself, and that its counters agree with what was sent."""

import json
import subprocess
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.replay.metrics import parse_metrics
from costplan.replay.serve import Served
from costplan.replay.server import describe, fetch
from costplan.replay.watch import read_series, watch
from tests.vllm.conftest import BF16, PYTHON, ask

REFERENCE = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
print(json.dumps([
    [s.name, s.value] for family in text_string_to_metric_families(sys.stdin.read()) for s in family.samples
]))
"""


def test_the_server_is_described(bf16: Served):
    facts = bf16.facts
    assert (facts.kind, facts.model, facts.max_model_len) == ("vllm", BF16, 8192)
    assert facts.version and facts.version.startswith("0.32")
    assert facts.block_size and facts.kv_blocks
    # 2 GiB of K and V: 30 layers x 3 heads x 64 values, twice
    tokens = 2 * 2**30 / (2 * 30 * 3 * 64 * 4)
    assert facts.kv_blocks == int(tokens / facts.block_size)
    assert "--enforce-eager" in facts.flags
    assert describe(facts.url, BF16).block_size == facts.block_size


def test_a_wrong_name_is_told_with_the_right_one(bf16: Served):
    with pytest.raises(CostplanError, match="does not serve") as caught:
        describe(bf16.facts.url, "gpt-2")
    assert caught.value.hint == f"--model {BF16}"


def test_counters_agree_with_what_was_sent(bf16: Served, tmp_path: Path):
    with watch(bf16.facts.url, tmp_path / "metrics.jsonl") as observed:
        # long enough for a look, one a second, to fall on one of them
        answers = [ask(bf16, f"Count to {number}.", 40, ignore_eos=True) for number in range(3, 8)]
        answers.append(ask(bf16, "What is the capital of France?", 40))
        facts = observed()
    usage = [answer["usage"] for answer in answers]
    counters = facts.counters
    assert counters["prompt_tokens"] == sum(each["prompt_tokens"] for each in usage)
    assert counters["generation_tokens"] == sum(each["completion_tokens"] for each in usage)
    assert counters["request_success.length"] == 5 and counters["request_success.stop"] == 1
    assert counters["time_to_first_token_seconds_count"] == 6
    assert counters["prefix_cache_queries"] == counters["prompt_tokens"]
    assert facts.ttft_mean_s and facts.iteration_tokens_mean and facts.iteration_tokens_mean > 1
    assert facts.peaks["running"] == 1 and facts.warnings == ()
    assert read_series(tmp_path / "metrics.jsonl")[-1]["counters"]["generation_tokens"] >= counters["generation_tokens"]
    assert "Paris" in answers[-1]["choices"][0]["message"]["content"]


def test_a_prompt_seen_before_is_found_in_the_prefix_cache(bf16: Served, tmp_path: Path):
    """Full blocks only, and never the last token (vllm/v1/core/kv_cache_manager.py)."""
    text = "Repeat: " + "one two three four five six seven eight nine ten. " * 60
    first = ask(bf16, text, 1)["usage"]["prompt_tokens"]
    with watch(bf16.facts.url, tmp_path / "metrics.jsonl") as observed:
        ask(bf16, text, 1)
        facts = observed()
    block = bf16.facts.block_size
    assert block and first > 2 * block
    assert facts.counters["prefix_cache_hits"] == (first - 1) // block * block


def test_metrics_are_read_as_the_reference_parser_reads_them(bf16: Served):
    text = fetch(bf16.facts.url.removesuffix("/v1") + "/metrics").text
    said = subprocess.run([PYTHON, "-c", REFERENCE], input=text, capture_output=True, text=True, check=True).stdout
    reference = {name: value for name, value in json.loads(said) if name.startswith("vllm:")}  # one engine: one of each
    found = parse_metrics(text)
    for name in ("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_hits"):
        assert found.counters[name] == reference[f"vllm:{name}_total"]
    for name in ("time_to_first_token_seconds_sum", "request_queue_time_seconds_count"):
        assert found.counters[name] == reference[f"vllm:{name}"]
    assert found.counters["iteration_tokens_sum"] == reference["vllm:iteration_tokens_total_sum"]
    assert found.gauges["kv_cache_usage"] == reference["vllm:kv_cache_usage_perc"]
