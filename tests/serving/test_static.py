"""Static batching: padding, waiting for the longest answer, memory reserved for nobody."""

import numpy as np
import pytest
from costplan.errors import CostplanError
from costplan.serving.engine import EngineConfig
from costplan.serving.simulator import simulate
from costplan.serving.static import reserved_waste, simulate_static, slots
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload

STEP = StepTime(
    base_s=0.006 + np.maximum(0.0, np.arange(8193.0) * 25e-6 - 0.002), pair_s=2e-9, context_token_s=6.5e-8,
    request_s=5e-6, frontend_s=0.015,
)  # fmt: skip


def workload(arrival_s: list[float], inputs: list[int], outputs: list[int]) -> Workload:
    n = len(arrival_s)
    return Workload(
        arrival_s=np.array(arrival_s), input_tokens=np.array(inputs, np.int32),
        output_tokens=np.array(outputs, np.int32), shared_offsets=np.zeros(n + 1, np.int64),
        shared_ids=np.zeros(0, np.int32),
    )  # fmt: skip


def test_a_batch_is_padded_and_ends_with_its_longest_answer() -> None:
    """Two prompts of 100 and 300 tokens: 600 padded tokens; answers of 2 and 5 tokens: four decoding steps for both."""
    run = simulate_static(STEP, workload([0.0, 0.0], [100, 300], [2, 5]), kv_tokens=4096, max_length=512)
    prompt_s = 0.006 + 600 * 25e-6 - 0.002 + 2e-9 * 2 * 300 * 301 / 2 + 2 * 5e-6
    decode_s = sum(0.006 + 2 * 5e-6 + 6.5e-8 * 2 * (300 + j) for j in range(1, 5))
    assert run.first_token_s == pytest.approx([0.015 + prompt_s] * 2)
    assert run.done_s == pytest.approx([0.015 + prompt_s + decode_s] * 2)
    assert run.itl_counts.sum() == 1 + 4


def test_who_comes_late_waits_for_the_whole_batch() -> None:
    run = simulate_static(STEP, workload([0.0, 0.01], [100, 100], [200, 10]), kv_tokens=4096, max_length=512)
    assert run.scheduled_s[1] == pytest.approx(run.done_s[0])


def test_reserving_the_maximum_wastes_what_answers_do_not_use() -> None:
    """(100 + 28) / 512 = 25 % used."""
    assert reserved_waste(workload([0.0], [100], [28]), 512) == pytest.approx(0.75)
    assert slots(4096, 512, 64) == 8


def test_what_cannot_be_reserved_is_refused() -> None:
    with pytest.raises(CostplanError, match="cannot reserve"):
        simulate_static(STEP, workload([0.0], [400], [200]), kv_tokens=4096, max_length=512)


def test_continuous_batching_carries_a_multiple_of_the_load_on_the_same_memory() -> None:
    rng = np.random.default_rng(4)
    n = 600
    load = workload(
        np.cumsum(rng.exponential(1 / 200, n)).tolist(), rng.integers(50, 500, n).tolist(),
        np.clip(rng.exponential(150, n), 1, 1000).astype(int).tolist(),
    )  # fmt: skip
    naive = simulate_static(STEP, load, kv_tokens=32_768, max_length=2048)
    paged = simulate(EngineConfig(blocks=2048), STEP, load)
    assert naive.done_s.max() > 4 * paged.done_s.max()
