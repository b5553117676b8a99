"""A real vLLM: what it says of itself, that its counters agree with what was sent, and that it ends when told to."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from costplan.errors import CostplanError
from costplan.replay.metrics import parse_metrics
from costplan.replay.serve import Served
from costplan.replay.server import describe, get
from costplan.replay.watch import read_series, watch
from tests.replay.engine import alive
from tests.vllm.conftest import AWQ, BF16, MODELS, PYTHON, Serving, has_avx512

REFERENCE = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
print(json.dumps([
    [s.name, s.value] for family in text_string_to_metric_families(sys.stdin.read()) for s in family.samples
]))
"""


def ask(served: Served, text: str, max_tokens: int, **more: Any) -> dict[str, Any]:
    """One answer, not streamed."""
    body = {
        "model": served.facts.model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens,
        "temperature": 0, **more,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{served.facts.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)


def test_the_server_is_described(bf16: Served):
    facts = bf16.facts
    assert (facts.kind, facts.model, facts.max_model_len) == ("vllm", BF16, 8192)
    assert facts.version and facts.version.startswith("0.32")
    assert facts.block_size and facts.kv_blocks
    # 2 GiB of K and V: 30 layers x 3 heads x 64 values x 2 bytes, twice
    tokens = 2 * 2**30 / (2 * 30 * 3 * 64 * 2)
    assert facts.kv_blocks == int(tokens / facts.block_size)
    assert "--enforce-eager" in facts.flags
    assert describe(facts.url, BF16).block_size == facts.block_size


def test_a_wrong_name_is_told_with_the_right_one(bf16: Served):
    with pytest.raises(CostplanError, match="does not serve") as caught:
        describe(bf16.facts.url, "gpt-2")
    assert caught.value.hint == f"--model {BF16}"


def test_counters_agree_with_what_was_sent(bf16: Served, tmp_path: Path):
    with watch(bf16.facts.url, tmp_path / "metrics.jsonl") as observed:
        answers = [ask(bf16, f"Count to {number}.", 8, ignore_eos=True) for number in range(3, 8)]
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
    text = get(bf16.facts.url.removesuffix("/v1") + "/metrics").text
    said = subprocess.run([PYTHON, "-c", REFERENCE], input=text, capture_output=True, text=True, check=True).stdout
    reference = {name: value for name, value in json.loads(said) if name.startswith("vllm:")}  # one engine: one of each
    found = parse_metrics(text)
    for name in ("prompt_tokens", "generation_tokens", "num_preemptions", "prefix_cache_hits"):
        assert found.counters[name] == reference[f"vllm:{name}_total"]
    for name in ("time_to_first_token_seconds_sum", "request_queue_time_seconds_count"):
        assert found.counters[name] == reference[f"vllm:{name}"]
    assert found.counters["iteration_tokens_sum"] == reference["vllm:iteration_tokens_total_sum"]
    assert found.gauges["kv_cache_usage"] == reference["vllm:kv_cache_usage_perc"]


def test_the_4_bit_kernel_is_named_or_refused_where_the_cpu_cannot_run_it(serving: Serving):
    if has_avx512():
        with serving(AWQ) as served:
            assert any("CPUWNA16LinearKernel" in line for line in served.facts.kernels)
            assert "Paris" in ask(served, "What is the capital of France?", 20)["choices"][0]["message"]["content"]
    else:
        with pytest.raises(CostplanError, match="AVX-512"), serving(AWQ):
            pass


def test_ctrl_c_while_it_starts_leaves_no_process(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from costplan.replay.serve import serve\n"
        "with serve(sys.argv[1], Path(sys.argv[2]), python=Path(sys.argv[3])): pass"
    )
    command = [sys.executable, "-c", program, str(MODELS / BF16), str(tmp_path / "log"), str(PYTHON)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as costplan:
        session = leader_of(costplan.pid)
        wait_until(lambda: len(alive(session)) >= 3)  # the server, its resource tracker, its engine
        costplan.send_signal(signal.SIGINT)
        assert costplan.wait(60) != 0
    wait_until(lambda: not alive(session))


def test_a_model_that_does_not_exist_is_told(tmp_path: Path, serving: Serving):
    with pytest.raises(CostplanError) as caught, serving("config.json/nothing"):
        pass
    assert "ended before it was ready" in caught.value.message and caught.value.hint


def leader_of(parent: int) -> int:
    """The process that leads a session of its own and holds more than a shell; vLLM, not the watchdog."""
    found: list[int] = []

    def look() -> bool:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat, words = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent and b"api_server" in words:
                found.append(int(folder.name))
        return bool(found)

    wait_until(look)
    return found[0]


def wait_until(true: Any) -> None:
    deadline_s = time.monotonic() + 240
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
