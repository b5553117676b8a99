"""Signs and sizes a reader would expect, through the public commands alone: no figure of a fit is pinned here."""

from typing import Any

import pytest
from tests.capacity.test_commands import SIZES, document
from tests.test_cli import Run, mistake, run

__all__ = ["run"]
LLAMA = ("simulate", "--model", "llama-3.1-8b")
LARGE = ("simulate", "--model", "llama-3.3-70b", "--gpus", "1xA100-80GB", "--rate", "1", *SIZES)


def saturated(run: Run, gpu: str, precision: str, *sizes: str) -> float:
    """Output tokens a second when 1,000 requests come at once."""
    load = ("--rate", "inf", "--requests", "1000", *(sizes or SIZES))
    return found(run, *LLAMA, "--gpus", gpu, "--precision", precision, *load)["output_tok_s"]


def found(run: Run, *arguments: str) -> dict[str, Any]:
    return document(run, *arguments)


@pytest.mark.parametrize("gpu", ["1xA100", "1xH100"])
def test_four_bit_weights_cost_throughput_at_saturation(run: Run, gpu: str):
    """Unpacking takes arithmetic, which is what a full batch is short of."""
    assert -0.30 < saturated(run, gpu, "awq") / saturated(run, gpu, "bf16") - 1 < -0.05


@pytest.mark.parametrize("gpu", ["1xL4", "1xA10G"])
def test_four_bit_weights_gain_much_where_16_bits_leave_little_room_for_the_cache(run: Run, gpu: str):
    """24 GB: bf16 keeps some 3 GiB for the cache, AWQ 13."""
    sizes = ("--input", "1000", "--output", "1000")
    assert saturated(run, gpu, "awq", *sizes) > 1.4 * saturated(run, gpu, "bf16", *sizes)


def test_beyond_the_knee_concurrency_buys_waiting_and_little_throughput(run: Run):
    """256 sequences run at once: twice as many in flight wait for a whole answer."""
    low, knee, beyond = (
        found(run, *LLAMA, "--gpus", "1xA100", "--concurrency", str(n), "--requests", str(4 * n), *SIZES)
        for n in (32, 256, 512)
    )
    assert knee["output_tok_s"] > 1.8 * low["output_tok_s"]
    assert beyond["output_tok_s"] < 1.1 * knee["output_tok_s"]
    assert beyond["ttft_s"]["mean"] > 4 * knee["ttft_s"]["mean"]


def test_70b_in_16_bits_is_refused_on_one_80_gb_gpu_and_told_what_fits(run: Run):
    error, hint = mistake(run(*LARGE, "--precision", "bf16"), 1)
    assert "GiB" in error and "--precision" in hint and "--tp 2" in hint


def test_70b_in_4_bits_fits_and_says_how_many_requests(run: Run):
    """About 37 GiB of weights leave about 35 GiB of cache, 320 KiB a token, 795 tokens a request."""
    config = found(run, *LARGE, "--precision", "awq")["config"]
    assert 100 <= config["kv_requests"] <= 160
    assert f"{config['kv_requests']} requests of mean length" in " ".join(run(*LARGE, "--precision", "awq").out.split())


def test_drafts_speed_up_a_small_batch(run: Run):
    load = ("--gpus", "1xA100", "--concurrency", "2", "--requests", "40", *SIZES)
    plain, drafted = found(run, *LLAMA, *load), found(run, *LLAMA, *load, "--speculative", "3,0.7")
    assert 1.3 < plain["tpot_s"]["mean"] / drafted["tpot_s"]["mean"] < 2.6  # at most (1 - 0.7^4) / 0.3 = 2.53 tokens


def test_fixed_batches_serve_a_fraction_of_continuous_ones(run: Run):
    load = ("--gpus", "1xA100", "--rate", "inf", "--requests", "300", "--input", "547", "--output", "lognormal:248,600")
    fixed = found(run, *LLAMA, *load, "--engine", "naive")
    assert fixed["output_tok_s"] < 0.3 * found(run, *LLAMA, *load)["output_tok_s"]
    assert fixed["warnings"][0].startswith("Fixed batches")
