"""The search over loads, on servers whose capacity is known."""

from typing import Literal

import pytest
from costplan.replay.sweep import MOST_POINTS, facts, search
from costplan.results.measurement import SweepPoint

Unit = Literal["req_s", "concurrency"]


def point(load: float, req_s: float, ttft_s: float, *, unit: Unit = "req_s", met: bool | None = None, failed: int = 0,
          valid: bool = True) -> SweepPoint:  # fmt: skip
    return SweepPoint(
        load=load, unit=unit, requests=100, failed=failed, req_s=req_s, output_tok_s=100 * req_s, ttft_p50_s=ttft_s,
        ttft_p95_s=ttft_s, tpot_p50_s=0.02, tpot_p95_s=0.02, e2e_p95_s=1.0, goodput_share=1.0 if met else 0.5,
        goodput_req_s=req_s if met else req_s / 2, slo_met=met, valid=valid,
    )  # fmt: skip


def queue(load: float, *, slo_s: float | None = None) -> SweepPoint:
    """A server of 10 req/s: latency of an M/M/1 queue below, a growing queue above."""
    ttft_s = 0.1 / (1 - load / 10) if load < 10 else 30.0
    return point(load, min(load, 10.0), ttft_s, met=None if slo_s is None else ttft_s <= slo_s)


def test_rates_double_until_throughput_stops_growing_and_the_knee_is_near_capacity():
    found = search(queue, 0.5, "req_s", 1000.0)
    loads = [p.load for p in found.points]
    assert loads == sorted(loads) and {0.5, 1, 2, 4, 8, 16, 32} <= set(loads)
    assert found.knee is not None and 9 <= found.knee.load <= 16 and found.best is None


def test_the_best_point_keeps_the_slo_and_is_within_a_tenth_of_the_highest_that_does():
    # 0.1 / (1 - r / 10) <= 0.5 holds up to 8 req/s
    found = search(lambda load: queue(load, slo_s=0.5), 0.5, "req_s", 1000.0)
    assert found.best is not None and 7.2 <= found.best.load <= 8.0 and found.best.slo_met


def test_concurrencies_are_whole_numbers_and_none_is_tried_twice():
    asked: list[float] = []

    def batch(load: float) -> SweepPoint:
        asked.append(load)
        return point(load, 10 * load / (load + 7), 0.1, unit="concurrency", met=load <= 11)

    found = search(batch, 1, "concurrency", 64)
    assert all(load == int(load) for load in asked) and len(set(asked)) == len(asked)
    assert found.best is not None and found.best.load in (10, 11)


def test_where_even_the_first_load_misses_the_slo_nothing_is_best():
    found = search(lambda load: queue(load, slo_s=0.01), 4, "req_s", 1000.0)
    assert len(found.points) == 1 and found.best is None and found.knee is None


def test_a_server_whose_throughput_still_grows_with_the_load_has_no_knee():
    found = facts([point(1, 1.0, 0.1), point(2, 1.98, 0.2), point(4, 3.9, 0.5, met=False)])
    assert found.knee is None


def test_a_trace_that_runs_out_of_requests_says_so():
    found = search(queue, 1, "req_s", 6.0)
    assert [p.load for p in found.points] == [1, 2, 4, 6]
    assert "requests for a load of 6 only" in found.note


def test_a_client_at_its_limit_ends_the_search_and_counts_for_nothing():
    def weak(load: float) -> SweepPoint:
        return point(load, load, 0.1, valid=load < 3)

    found = search(weak, 1, "req_s", 1000.0)
    assert [p.load for p in found.points] == [1, 2, 4] and "client was the limit" in found.note
    assert max(p.load for p in found.points if p.valid) == 2 and found.best is None


@pytest.mark.parametrize("failures", [0, 6])
def test_failures_end_the_search(failures: int):
    found = search(lambda load: point(load, load, 0.1, failed=failures if load >= 4 else 0), 1, "req_s", 1e9)
    assert max(p.load for p in found.points) == (4 if failures else 2.0 ** (MOST_POINTS - 1))


def test_the_knee_is_the_first_point_with_nine_tenths_of_the_best_throughput():
    points = [point(8, 9.5, 2.0), point(1, 1.0, 0.1), point(4, 9.2, 0.3), point(16, 10.0, 9.0)]
    found = facts(points)
    assert [p.load for p in found.points] == [1, 4, 8, 16] and found.knee is not None and found.knee.load == 4
