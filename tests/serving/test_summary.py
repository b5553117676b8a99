"""The figures of a run, from outcomes small enough to compute by hand."""

import numpy as np
import pytest
from costplan.serving.outcome import Outcome
from costplan.serving.slo import Slo, parse_slo
from costplan.serving.summary import Figures, spread, summarise, sustainable_req_s
from costplan.serving.workload import Workload
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike


def outcome(arrival: ArrayLike, scheduled: ArrayLike, first: ArrayLike, done: ArrayLike) -> Outcome:
    """A run on one replica; gaps of 10 ms each."""
    floats = [np.array(each, dtype=np.float64) for each in (arrival, scheduled, first, done)]
    n = len(floats[0])
    return Outcome(
        arrival_s=floats[0], scheduled_s=floats[1], first_token_s=floats[2], done_s=floats[3],
        cached_tokens=np.full(n, 16, np.int32), preemptions=np.zeros(n, np.int32), replica=np.zeros(n, np.int32),
        itl_edges_s=np.array([0.0, 0.01, 0.02, 0.04]), itl_counts=np.array([0, 6, 2], np.int64),
        itl_sum_s=0.12, itl_max_s=0.03, busy_s=np.array([3.0]), steps=np.array([30]), step_tokens=np.array([300]),
        kv_peak_blocks=np.array([40]), replica_s=4.0, frontend_s=0.05,
    )  # fmt: skip


def workload(n: int, *, output: int = 11, open_ended: bool = False, concurrency: int = 0) -> Workload:
    return Workload(
        arrival_s=np.zeros(n), input_tokens=np.full(n, 64, np.int32), output_tokens=np.full(n, output, np.int32),
        shared_offsets=np.zeros(n + 1, np.int64), shared_ids=np.zeros(0, np.int32), open_ended=open_ended,
        concurrency=concurrency,
    )  # fmt: skip


def figures() -> Figures:
    """Two requests of 64 + 11 tokens: sent at 0 and 1 s, first tokens at 0.5 and 2 s, done at 1.5 and 4 s."""
    run = outcome([0, 1], [0.1, 1.4], [0.5, 2.0], [1.5, 4.0])
    return summarise(run, workload(2), parse_slo("ttft.p95<0.8s,tpot.p95<1s,goodput>0.4"), blocks=100, rejected=2)


def test_latencies_count_from_the_moment_a_request_was_due() -> None:
    """TTFT 0.5 and 1 s; e2e 1.5 and 3 s; TPOT (e2e - TTFT) / 10 = 0.1 and 0.2 s; queue 0.1 and 0.4 s
    less the 0.05 s that pass before the scheduler sees a request."""
    found = figures()
    assert (found.ttft_s.mean, found.ttft_s.max) == pytest.approx((0.75, 1.0))
    assert (found.e2e_s.mean, found.e2e_s.max) == pytest.approx((2.25, 3.0))
    assert (found.tpot_s.mean, found.tpot_s.max) == pytest.approx((0.15, 0.2))
    assert (found.queue_s.mean, found.queue_s.p50) == pytest.approx((0.2, 0.2))


def test_rates_run_from_the_first_arrival_to_the_last_completion() -> None:
    found = figures()
    assert found.duration_s == 4.0
    assert (found.req_s, found.input_tok_s, found.output_tok_s) == pytest.approx((0.5, 32.0, 5.5))


def test_goodput_is_of_the_requests_sent_and_refused_ones_miss_it() -> None:
    """One of two is inside 0.8 s to the first token; two more were refused: 1 of 4."""
    found = figures()
    assert (found.goodput_share, found.goodput_req_s) == pytest.approx((0.25, 0.25))
    assert (found.requests.sent, found.requests.completed, found.requests.failed) == (4, 2, 2)


def test_memory_cache_and_use_are_shares() -> None:
    found = figures()
    assert (found.kv.peak_share, found.prefix_hit_share, found.busy_share) == pytest.approx((0.4, 0.25, 0.75))
    assert (found.mean_batch_tokens, found.replica_hours) == pytest.approx((10.0, 4 / 3600))


def test_gaps_between_tokens_come_from_the_histogram() -> None:
    """Eight gaps, six in 10-20 ms and two in 20-40 ms: the median is 10 + 10 x 4/6 ms, the p99 at most the longest."""
    found = figures().itl_s
    assert (found.mean, found.p50, found.max) == pytest.approx((0.015, 0.01 + 0.01 * 4 / 6, 0.03))
    assert found.p99 == 0.03


def test_an_answer_of_one_token_has_no_time_per_output_token() -> None:
    found = summarise(outcome([0, 1], [0, 1], [1, 2], [1, 2]), workload(2, output=1), Slo(), blocks=100)
    assert found.tpot_s.mean is None and found.ttft_s.mean == 1.0


def overloaded(n: int = 400, arrivals: float = 2.0, served: float = 1.0) -> Outcome:
    """`arrivals` requests a second come, `served` a second are begun one after the other; each takes 1 / served s."""
    arrival = np.arange(1, n + 1) / arrivals
    scheduled = np.maximum.accumulate(np.maximum(arrival, np.arange(n) / served + arrival[0]))
    return outcome(arrival, scheduled, scheduled + 0.1, scheduled + 1 / served)


def test_a_growing_queue_is_saturation_and_says_what_could_be_sustained() -> None:
    found = summarise(overloaded(), workload(400), Slo(), blocks=100)
    assert found.saturated and found.sustainable_req_s == pytest.approx(1.0, rel=0.02)
    assert found.ttft_s.p95 is not None, "a finite workload reports the latencies of that run"


def test_only_an_open_ended_rate_above_capacity_has_no_latency() -> None:
    over = summarise(overloaded(), workload(400, open_ended=True), Slo(), blocks=100)
    assert over.saturated and over.ttft_s.p95 is None and over.e2e_s.mean is None and over.itl_s.mean is None
    below = summarise(overloaded(arrivals=0.9), workload(400, open_ended=True), Slo(), blocks=100)
    assert not below.saturated and below.ttft_s.p95 is not None and below.sustainable_req_s is None


def test_a_closed_loop_is_never_saturated() -> None:
    assert sustainable_req_s(overloaded(), workload(400, concurrency=4)) is None


def test_requests_that_come_at_once_sustain_what_was_done() -> None:
    run = outcome([0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 4, 4])
    found = summarise(run, workload(4), Slo(), blocks=100)
    assert found.saturated and found.sustainable_req_s == found.req_s == 1.0


def test_a_stage_that_overflows_is_found_behind_a_calm_one() -> None:
    calm, busy = overloaded(300, 0.5), overloaded(600, 2.0)
    shift = float(calm.arrival_s[-1])
    run = outcome(*(
        np.concatenate([getattr(calm, name), getattr(busy, name) + shift])
        for name in ("arrival_s", "scheduled_s", "first_token_s", "done_s")
    ))  # fmt: skip
    edges = np.array([0.0, shift, float(run.arrival_s[-1])])
    assert sustainable_req_s(run, workload(900), edges) == pytest.approx(1.0, rel=0.03)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200))
def test_percentiles_are_ordered_and_between_the_extremes(values: list[float]) -> None:
    found = spread(np.array(values))
    order = [found.p50, found.p90, found.p95, found.p99, found.max]
    assert None not in order
    assert all(a <= b + 1e-9 for a, b in zip(order, order[1:], strict=False) if a is not None and b is not None)
    assert found.max == max(values) and min(values) - 1e-9 <= (found.mean or 0.0) <= max(values) + 1e-9
