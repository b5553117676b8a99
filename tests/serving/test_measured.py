"""A measured profile as step times: worked out by hand, and where it is said to go beyond what was measured."""

from typing import Any

import numpy as np
import pytest
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import find_model
from costplan.serving.measured import (
    base_seconds,
    beyond,
    covers,
    measured_engine,
    measured_step,
    overlapping,
    step_time,
)
from tests.calibrate.made_up import profile

SMOL, CPU = find_model("smollm2-135m"), find_gpu("CPU")


def test_base_is_straight_between_points_and_goes_on_behind_the_last():
    found = base_seconds((1, 11, 31), (1.0, 2.0, 6.0), 41)
    assert found[[1, 6, 11, 21, 31, 41]].tolist() == pytest.approx([1.0, 1.5, 2.0, 4.0, 6.0, 8.0])
    assert base_seconds((1,), (0.5,), 3).tolist() == [0.5] * 4


def test_a_profile_becomes_the_step_it_was_measured_from():
    step = measured_step(profile(), SMOL, 2048)
    # 0.05 s for one token, 0.25 s for 101: 2 ms each
    assert step.base_s[[1, 51, 101, 201]].tolist() == pytest.approx([0.05, 0.15, 0.25, 0.45])
    assert (step.request_s, step.context_token_s, step.frontend_s, step.basis) == (0.01, 1e-6, 0.02, "measured")
    assert len(step.base_s) == 2049 and step.window == 0


def test_layers_with_a_window_take_their_share_of_what_context_costs():
    """Gemma 3 27B: 52 of 62 layers look back 1,024 tokens; a cached token costs 62 µs over all layers, 1 µs each."""
    gemma = find_model("gemma-3-27b")
    values = {"context_token_s": 62e-6, "pair_s": 62e-9, "request_s": 0.0, "frontend_s": 0.0}
    step = step_time(np.ones(2), values, gemma)
    assert (gemma.layers, gemma.windowed_layers, step.window) == (62, 52, 1024)
    assert (step.context_token_s, step.window_token_s) == (pytest.approx(10e-6), pytest.approx(52e-6))


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True), ({"model": "smollm2-135m"}, True), ({"precision": "bfloat16"}, True), ({"kv_dtype": "bf16"}, True),
        ({"model": "smollm2-360m"}, False), ({"gpu": "L4"}, False), ({"tp": 3}, False), ({"precision": "awq"}, False),
        ({"kv_dtype": "fp8"}, False),
    ],
)  # fmt: skip
def test_a_profile_covers_what_was_measured_under_any_of_its_names(changes: dict[str, Any], covered: bool):
    assert covers(profile(**changes), SMOL, CPU, 1, "bf16", "auto") is covered


def test_limits_and_errors_come_from_the_measurement():
    engine = measured_engine(profile(max_num_seqs=7, block_size=128), find_engine("vllm@0.32.0").on(CPU)).on(CPU)
    assert (engine.max_num_seqs, engine.block_size) == (7, 128)
    assert {key: value for key, value in engine.speed.values.items() if key.startswith("error.")} == {
        "error.ttft": 0.05, "error.tpot": 0.02, "error.e2e": 0.02, "error.throughput": 0.03,
    }  # fmt: skip
    assert "120 requests on 2026-11-23, 1 to 16 in flight" in engine.speed.source


def test_half_as_much_again_as_measured_is_let_through_and_more_is_told():
    assert beyond(profile(), 768, 24) == []
    prompts, flights = beyond(profile(), 769, 25)
    assert "769 tokens" in prompts and "32 to 512" in prompts
    assert "25 requests" in flights and "1 to 16" in flights


def test_overlapping_counts_what_runs_at_one_instant():
    starts, ends = np.array([0.0, 1.0, 2.0, 5.0]), np.array([3.0, 2.0, 4.0, 6.0])
    assert overlapping(starts, ends) == 2  # the second ends as the third begins
    assert overlapping(starts[:1], ends[:1]) == 1
