"""The event loop against queueing theory, against itself, and against what may never happen."""

from heapq import heapreplace
from typing import Any

import numpy as np
import pytest
from benchmarks import simulate as peer
from costplan.errors import CostplanError
from costplan.serving.engine import EngineConfig
from costplan.serving.outcome import Outcome
from costplan.serving.simulator import Autoscale, simulate
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload
from hypothesis import given, settings
from hypothesis import strategies as st

LINEAR = StepTime(base_s=np.arange(200_001, dtype=np.float64) * 1e-5, pair_s=0.0, context_token_s=0.0)
"""10 us a token and nothing else."""
REAL = StepTime(
    base_s=0.006 + np.maximum(0.0, np.arange(8193.0) * 25e-6 - 0.002), pair_s=2e-9, context_token_s=6.5e-8,
    request_s=5e-6, frontend_s=0.015, frontend_token_s=4e-5,
)  # fmt: skip


def workload(
    arrival_s: Any, inputs: Any, outputs: Any, shared: list[list[int]] | None = None, concurrency: int = 0
) -> Workload:
    n = len(arrival_s)
    rows = shared or [[] for _ in range(n)]
    return Workload(
        arrival_s=np.asarray(arrival_s, np.float64),
        input_tokens=np.broadcast_to(np.asarray(inputs, np.int32), n),
        output_tokens=np.broadcast_to(np.asarray(outputs, np.int32), n),
        shared_offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        shared_ids=np.array([i for row in rows for i in row], np.int32),
        concurrency=concurrency,
    )


def poisson(n: int, rate: float, seed: int = 1) -> Any:
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, n))


def queued_s(run: Outcome) -> Any:
    return run.scheduled_s - run.arrival_s


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_with_constant_work_waits_as_long_as_m_d_1_says(load: float) -> None:
    """M/D/1: mean wait = load * S / (2 (1 - load)); S = 1,000 tokens * 10 us = 10 ms."""
    n, service_s = 1_000_000, 0.01
    run = simulate(
        EngineConfig(blocks=10_000, max_num_seqs=1, max_num_batched_tokens=100_000),
        LINEAR, workload(poisson(n, load / service_s), 1000, 1),
    )  # fmt: skip
    assert np.mean(queued_s(run)) == pytest.approx(load * service_s / (2 * (1 - load)), rel=0.01)
    assert run.busy_s[0] == pytest.approx(n * service_s)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_server_with_exponential_work_waits_as_long_as_m_m_1_says(load: float) -> None:
    """M/M/1: mean wait = load * S / (1 - load); prompts of exponential length, 5,000 tokens = 50 ms on average."""
    n, service_s = 2_000_000, 0.05
    inputs = np.maximum(1, np.round(np.random.default_rng(5).exponential(5000, n))).astype(np.int32)
    config = EngineConfig(blocks=20_000, max_num_seqs=1, max_num_batched_tokens=200_000)
    run = simulate(config, LINEAR, workload(poisson(n, load / service_s), inputs, 1))
    assert np.mean(queued_s(run)) == pytest.approx(load * service_s / (1 - load), rel=0.01)


def test_four_servers_with_one_queue_wait_as_long_as_erlang_c_says() -> None:
    """M/M/4 at load 0.7: P(wait) = 0.42866 (Erlang C), mean wait = P(wait) * S / (4 (1 - 0.7)) = 0.35722 S.

    Each wait equals that of a first-come-first-served queue written down in three lines.
    """
    n, service_s = 2_000_000, 0.05
    inputs = np.maximum(1, np.round(np.random.default_rng(8).exponential(5000, n))).astype(np.int32)
    arrivals = poisson(n, 4 * 0.7 / service_s, 14)
    config = EngineConfig(blocks=20_000, max_num_seqs=1, max_num_batched_tokens=200_000)
    run = simulate(config, LINEAR, workload(arrivals, inputs, 1), replicas=4, routing="shared-queue")
    assert np.mean(queued_s(run)) == pytest.approx(0.35722 * service_s, rel=0.01)
    free = [0.0] * 4
    waits: list[float] = []
    for arrival, tokens in zip(arrivals[:100_000].tolist(), inputs[:100_000].tolist(), strict=True):
        start = max(arrival, free[0])
        waits.append(start - arrival)
        heapreplace(free, start + tokens * 1e-5)
    assert np.allclose(queued_s(run)[:100_000], waits, atol=1e-9)


def test_a_single_request_takes_what_its_steps_take() -> None:
    """4,000 prompt tokens in chunks of 2,048 and 1,952, then two decoding steps of one token with 4,001, 4,002 context.

    Pairs: 2,048 * 2,049 / 2 + 1,952 * (2,048 + 1,953 / 2) = 2,098,176 + 5,903,824 = 8,002,000.
    """
    run = simulate(EngineConfig(blocks=1000), REAL, workload([0.0], 4000, 3))
    prompt_s = (0.006 + 2048 * 25e-6 - 0.002) + (0.006 + 1952 * 25e-6 - 0.002) + 2e-9 * 8_002_000 + 2 * 5e-6
    decode_s = 2 * 0.006 + 6.5e-8 * (4001 + 4002) + 2 * 5e-6
    assert run.first_token_s[0] == pytest.approx(0.015 + prompt_s)
    assert run.done_s[0] == pytest.approx(0.015 + prompt_s + decode_s + 3 * 4e-5)
    assert run.itl_sum_s == pytest.approx(decode_s)
    assert run.kv_peak_blocks[0] == -(-4002 // 16)


def test_without_chunked_prefill_prompts_go_first_and_decoding_waits() -> None:
    """10 us a token. A (100 tokens in, 3 out) and B (200 in, 2 out), which comes while A takes its first step.

    A's prompt 0-1 ms; B's prompt 1-3 ms while A waits; both decode 3-3.02 ms (B ends); A decodes to 3.03 ms.
    A's gaps: 2.02 ms and 0.01 ms, B's: 0.02 ms.
    """
    config = EngineConfig(blocks=1000, chunked_prefill=False)
    run = simulate(config, LINEAR, workload([0.0, 0.0005], [100, 200], [3, 2]))
    assert run.first_token_s.tolist() == pytest.approx([0.001, 0.003])
    assert run.done_s.tolist() == pytest.approx([0.00303, 0.00302])
    assert run.itl_sum_s == pytest.approx(0.00202 + 0.00001 + 0.00002)
    assert run.itl_max_s == pytest.approx(0.00202)


def test_without_chunked_prefill_only_a_prompt_longer_than_a_step_is_cut() -> None:
    """Steps of 300 tokens, 10 us each.

    Prompts of 200, 200, 100 and 700 tokens at once: 200 alone (200 do not fit beside), 200 + 100, then 300, 300, 100.
    """
    config = EngineConfig(blocks=1000, chunked_prefill=False, max_num_batched_tokens=300)
    run = simulate(config, LINEAR, workload(np.zeros(4), [200, 200, 100, 700], 1))
    assert run.first_token_s.tolist() == pytest.approx([0.002, 0.005, 0.005, 0.012])
    assert run.steps[0] == 5


def test_a_prompt_that_was_seen_before_is_computed_from_its_first_unknown_block_on() -> None:
    run = simulate(EngineConfig(blocks=1000), REAL, workload([0.0, 10.0, 20.0], [160, 200, 160], 1, [[*range(10)]] * 3))
    assert run.cached_tokens.tolist() == [0, 160, 144]  # the last token of a prompt is always computed


def test_generated_blocks_are_found_by_the_next_turn() -> None:
    """The first turn holds 32 + 33 tokens, 64 of them computed: four blocks, two of them generated."""
    run = simulate(
        EngineConfig(blocks=1000), REAL, workload([0.0, 10.0], [32, 100], [33, 1], [[0, 1, 2, 3], [0, 1, 2, 3]])
    )
    assert run.cached_tokens.tolist() == [0, 64]


def test_the_longest_unused_prefix_is_evicted_first() -> None:
    """Twenty blocks: A and B take ten each; A is used again, so C's ten push B out."""
    a, b, c = [*range(10)], [*range(10, 20)], [*range(20, 30)]
    run = simulate(EngineConfig(blocks=20), REAL, workload(np.arange(6) * 10.0, 160, 1, [a, b, a, c, a, b]))
    assert run.cached_tokens.tolist() == [0, 0, 144, 0, 144, 0]


def test_without_memory_the_latest_admitted_is_preempted_and_computed_again() -> None:
    config = EngineConfig(blocks=60, prefix_caching=False)
    run = simulate(config, REAL, workload([0.0, 0.001, 0.002], 160, 300))
    assert run.preemptions.tolist()[0] == 0
    assert run.preemptions.sum() > 0
    assert run.itl_counts.sum() == 3 * 299
    assert (np.diff(run.done_s) > 0).all()


def test_a_closed_loop_keeps_as_many_in_flight_as_asked() -> None:
    run = simulate(EngineConfig(blocks=5000), REAL, workload(np.zeros(200), 100, 50, concurrency=8))
    at = run.arrival_s[50:150]
    flying = [(run.arrival_s <= t).sum() - (run.done_s <= t).sum() for t in at]
    assert set(flying) == {8}


def test_two_replicas_halve_the_load_of_each() -> None:
    arrivals = poisson(2000, 20)
    one = simulate(EngineConfig(blocks=5000), REAL, workload(arrivals[::2], 300, 100))
    two = simulate(EngineConfig(blocks=5000), REAL, workload(arrivals, 300, 100), replicas=2)
    assert np.allclose(two.done_s[::2], one.done_s, rtol=1e-12)


def test_prefix_affinity_finds_more_than_round_robin() -> None:
    rng = np.random.default_rng(3)
    rows = [[int(k) * 20 + j for j in range(20)] for k in rng.integers(0, 40, 1500)]
    load = workload(poisson(1500, 20), 400, 20, rows)
    config = EngineConfig(blocks=400)
    hits = {
        policy: simulate(config, REAL, load, replicas=4, routing=policy).cached_tokens.sum()
        for policy in ("round-robin", "prefix-affinity")
    }
    assert hits["prefix-affinity"] > 1.5 * hits["round-robin"]


def test_autoscaling_pays_for_fewer_replicas_and_waits_for_cold_starts() -> None:
    arrivals = np.concatenate([poisson(1500, 30), 60 + poisson(60, 1.0, 2)])
    fixed = simulate(EngineConfig(blocks=5000), REAL, workload(arrivals, 500, 200), replicas=4, routing="least-loaded")
    scaled = simulate(
        EngineConfig(blocks=5000), REAL, workload(arrivals, 500, 200), replicas=4, routing="least-loaded",
        autoscale=Autoscale(least=1, target=20, cold_start_s=5, cooldown_s=10),
    )  # fmt: skip
    assert scaled.replica_s < 0.8 * fixed.replica_s
    assert np.percentile(queued_s(scaled), 99) >= np.percentile(queued_s(fixed), 99)
    assert fixed.replica_s == pytest.approx(4 * fixed.done_s.max(), rel=0.01)


def test_speculation_emits_the_expected_tokens_per_step() -> None:
    """k = 3 drafts accepted with 0.8: (1 - 0.8^4) / 0.2 = 2.952 tokens a step, so 1,000 take ceil(999 / 2.952)."""
    run = simulate(EngineConfig(blocks=500, draft_tokens=3, acceptance=0.8), REAL, workload([0.0], 100, 1000))
    assert run.itl_counts.sum() == -(-999 // 2.952)


def test_what_can_never_fit_is_refused() -> None:
    with pytest.raises(CostplanError, match="does not fit"):
        simulate(EngineConfig(blocks=10), REAL, workload([0.0], 160, 2))


@st.composite
def cases(draw: st.DrawFn) -> tuple[EngineConfig, Workload, dict[str, Any]]:
    n = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    inputs, outputs = rng.integers(1, 300, n), rng.integers(1, 200, n)
    roots = rng.integers(0, 3, n)
    rows = [[int(root) * 64 + j for j in range(min(int(rng.integers(0, 30)), (i + o - 1) // 16))]
            for root, i, o in zip(roots, inputs, outputs, strict=True)]  # fmt: skip
    drafts = draw(st.sampled_from([0, 0, 2]))
    config = EngineConfig(
        blocks=draw(st.integers(33, 120)), max_num_seqs=draw(st.integers(1, 12)),
        max_num_batched_tokens=draw(st.sampled_from([64, 512])), prefix_caching=draw(st.booleans()),
        reserve_whole_prompt=draw(st.booleans()), chunked_prefill=draw(st.booleans()), draft_tokens=drafts,
        acceptance=0.6 if drafts else 0.0,
    )  # fmt: skip
    load = workload(np.sort(rng.random(n)) * draw(st.sampled_from([0.0, 1.0, 20.0])), inputs, outputs, rows,
                    concurrency=draw(st.sampled_from([0, 0, 3])))  # fmt: skip
    fleet: dict[str, Any] = {"replicas": draw(st.integers(1, 3)), "routing": draw(st.sampled_from(
        ["round-robin", "least-loaded", "prefix-affinity", "shared-queue"]))}  # fmt: skip
    return config, load, fleet


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_request_leaves_once_with_all_its_tokens_and_all_blocks_come_back(case: Any) -> None:
    config, load, fleet = case
    run = simulate(config, REAL, load, **fleet)
    again = simulate(config, REAL, load, **fleet, compiled=True)
    assert (run.scheduled_s >= run.arrival_s).all()
    assert (run.first_token_s > run.scheduled_s).all()
    assert (run.done_s > run.first_token_s).all()
    assert run.kv_peak_blocks.max() <= config.blocks
    assert (run.cached_tokens < load.input_tokens).all()
    if not config.draft_tokens:
        assert run.itl_counts.sum() == int(np.sum(load.output_tokens - 1))
    assert run.busy_s.sum() <= run.replica_s + 1e-9
    for name in Outcome.__slots__:
        assert np.array_equal(getattr(run, name), getattr(again, name)), name


def test_a_plain_model_that_takes_every_step_ends_every_request_at_the_same_time() -> None:
    load = peer.workload(600, 25.0, shared=False)
    assert np.allclose(simulate(peer.CONFIG, peer.STEP, load).done_s, peer.simpy_engine(load), atol=1e-9)
