"""Hours of a trace: the busiest one, what the others need, and what is left of the trace for each."""

import numpy as np
from costplan.capacity.hours import hours_of
from costplan.capacity.trace import Trace, busiest
from costplan.serving.arrivals import pick
from costplan.serving.workload import Workload


def trace(counts: list[int], tokens: list[int]) -> Trace:
    """So many requests in each hour, evenly spread, with so many prompt tokens each."""
    arrival = np.concatenate([3600 * hour + np.arange(n) * 3600 / n for hour, n in enumerate(counts) if n])
    inputs = np.repeat(np.array(tokens, np.int32), counts)
    workload = Workload(
        arrival_s=arrival, input_tokens=inputs, output_tokens=np.full(len(arrival), 10, np.int32),
        shared_offsets=np.zeros(len(arrival) + 1, np.int64), shared_ids=np.zeros(0, np.int32),
    )  # fmt: skip
    return Trace(inputs=[], workload=workload, start=None, left_out={}, out_of_order=0, sampled=False)


def test_every_request_is_in_exactly_one_hour() -> None:
    found = hours_of(trace([10, 0, 40, 20], [100, 100, 100, 100]))
    assert [end - start for start, end in found.rows] == [10, 0, 40, 20]
    assert found.peak_index == 2 and found.peak.requests == 40
    assert found.peak_req_s == 40 / 3600


def test_demand_is_relative_to_the_busiest_hour_and_rounds_up() -> None:
    found = hours_of(trace([10, 0, 40, 20], [100, 100, 100, 100]))
    assert found.demand.tolist() == [0.25, 0.0, 1.0, 0.5]
    assert found.scaled(3) == [1, 1, 3, 2]


def test_an_hour_of_more_but_shorter_requests_starts_with_the_fleet_of_the_busiest() -> None:
    found = hours_of(trace([40, 60], [1000, 10]))
    assert found.peak_index == 0 and found.demand[1] == 1.5
    assert found.scaled(2) == [2, 2]


def test_the_busiest_stretch_has_the_most_work_in_the_least_time() -> None:
    workload = trace([10, 400, 10], [100, 100, 100]).workload
    found = busiest(workload, 100)
    assert found.requests == 100 and found.arrival_s[0] == 0.0 and found.arrival_s[-1] < 3600 / 3
    assert busiest(workload, 1000) is workload


def test_picked_requests_keep_their_blocks() -> None:
    workload = Workload(
        arrival_s=np.arange(3.0), input_tokens=np.full(3, 64, np.int32), output_tokens=np.full(3, 9, np.int32),
        shared_offsets=np.array([0, 2, 2, 5]), shared_ids=np.array([0, 1, 0, 1, 2], np.int32),
    )  # fmt: skip
    found = pick(workload, np.array([True, False, True]))
    assert found.shared_offsets.tolist() == [0, 2, 5] and found.shared_ids.tolist() == [0, 1, 0, 1, 2]
