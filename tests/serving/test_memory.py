"""GPU memory: weights by precision and tensor parallelism, KV bytes by attention kind, and what does not fit."""

import csv
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import find_model
from costplan.serving.memory import memory, weight_bytes
from costplan.serving.precision import find_precision
from tests.serving.hardware import A100, DEEPSEEK, GPT_OSS_20B, H100, LLAMA_8B, LLAMA_70B, MIXTRAL, RTX4090, engine

GIB = 2**30


def test_published_checkpoint_sizes_are_met() -> None:
    """Parameters: 8.03 B, 70.55 B, 46.7 B; AWQ of 70B is 39.8 GB on the Hub (hugging-quants)."""
    assert weight_bytes(LLAMA_8B, 1, find_precision("bf16", A100)) == pytest.approx(16.06e9, rel=0.002)
    assert weight_bytes(LLAMA_70B, 1, find_precision("bf16", A100)) == pytest.approx(141.1e9, rel=0.002)
    assert weight_bytes(MIXTRAL, 1, find_precision("bf16", A100)) == pytest.approx(93.4e9, rel=0.002)
    assert weight_bytes(LLAMA_70B, 1, find_precision("awq", A100)) == pytest.approx(39.8e9, rel=0.01)
    assert weight_bytes(DEEPSEEK, 1, find_precision("fp8", H100)) == pytest.approx(673e9, rel=0.02)


def test_70b_in_16_bits_does_not_fit_one_a100_and_the_hint_says_what_does() -> None:
    with pytest.raises(CostplanError) as raised:
        memory(LLAMA_70B, A100, engine())
    assert "--precision" in raised.value.hint
    assert "--tp 2" in raised.value.hint


def test_awq_70b_fits_one_a100_with_the_concurrency_of_each_layout() -> None:
    """Four 16-bit GPUs hold about as much KV cache as weights; one AWQ GPU holds about 28 GiB, each token 320 KiB."""
    awq = memory(LLAMA_70B, A100, engine(), precision="awq")
    four = memory(LLAMA_70B, A100, engine(), tp=4)
    assert awq.token_bytes == 320 * 1024
    assert four.token_bytes == 80 * 1024
    assert 25 < awq.kv_bytes / GIB < 34
    assert 35 < awq.requests(2048) < 56
    assert 150 < four.requests(2048) < 260


def test_kv_bytes_per_token() -> None:
    assert memory(LLAMA_8B, A100, engine()).token_bytes == 2 * 8 * 128 * 2 * 32
    assert memory(LLAMA_8B, A100, engine(), kv_dtype="fp8").token_bytes == 2 * 8 * 128 * 32
    assert memory(LLAMA_8B, A100, engine(), tp=16).token_bytes == 2 * 1 * 128 * 2 * 32  # 8 heads, each on two GPUs
    # DeepSeek-V3 caches 576 numbers per layer (technical report, 2.1.1), on every GPU of the group
    assert memory(DEEPSEEK, H100, engine(), tp=16, precision="fp8").token_bytes == 576 * 2 * 61


def test_window_layers_hold_no_more_than_their_window() -> None:
    small = memory(GPT_OSS_20B, A100, engine(), precision="mxfp4")
    assert small.token_bytes == small.window_token_bytes == 2 * 8 * 64 * 2 * 12
    assert small.request_bytes(64) == 64 * 2 * small.token_bytes
    assert small.request_bytes(16000) == 16000 * small.token_bytes + 144 * small.window_token_bytes
    assert small.tokens(16000) > 1.9 * small.tokens(64)


def test_tp_must_divide_the_heads() -> None:
    with pytest.raises(CostplanError, match="64 attention heads") as raised:
        memory(LLAMA_70B, A100, engine(), tp=3)
    assert "1, 2, 4, 8, 16" in raised.value.hint


def test_nothing_fits_says_so() -> None:
    with pytest.raises(CostplanError) as raised:
        memory(DEEPSEEK, RTX4090, engine(), precision="fp8", tp=8)
    assert "more memory" in raised.value.hint


def test_kv_room_matches_what_servers_logged() -> None:
    """Nine start-up logs; vLLM from 0.11 on within 2 %, the older engines' larger reserves within 6 % of the budget."""
    errors: dict[str, tuple[float, float]] = {}
    with (Path(__file__).parents[1] / "data" / "memory" / "kv_cache_logs.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            model, engine_ = find_model(row["model"]), find_engine(f"vllm@{row['vllm']}")
            card = replace(find_gpu("H100"), memory_bytes=round(float(row["gpu_gib"]) * GIB))
            found = memory(
                model, card, engine_, tp=int(row["tp"]), precision=row["precision"],
                max_tokens=int(row["max_num_batched_tokens"]), max_num_seqs=int(row["max_num_seqs"]),
                memory_share=float(row["memory_share"]),
            )  # fmt: skip
            each = found.token_bytes + found.window_token_bytes
            seen = float(row["kv_gib"]) * GIB if row["kv_gib"] else int(row["kv_tokens"]) * each
            errors[row["model"]] = (found.kv_bytes / seen - 1, (found.kv_bytes - seen) / found.budget_bytes)
    assert len(errors) == 9
    assert statistics.median(abs(relative) for relative, _ in errors.values()) < 0.02
    for name in ("llama-2-7b", "llama-2-70b", "mixtral-8x7b", "codellama-34b", "gpt-oss-20b"):
        assert abs(errors[name][0]) < 0.02, name
    # 0.9.2 with a KV connector lost 7 GiB to its profiling run (vllm-project/vllm#21348): not modelled
    assert all(abs(share) < 0.06 for name, (_, share) in errors.items() if name != "qwen3-235b-a22b")
