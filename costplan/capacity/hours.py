"""The hours of a trace: which is the busiest, and whether a fleet holds in all of them; knows no prices."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.capacity.layout import Layout
from costplan.capacity.sizing import Sized, SizeJob, run
from costplan.capacity.trace import Progress, Trace, window
from costplan.results.serving import FleetHour
from costplan.serving.simulator import Routing
from costplan.serving.slo import Slo
from costplan.serving.workload import Workload
from costplan.units import SECONDS_PER_HOUR

SIMULATED_REQUESTS = 2_000_000
"""Hours are simulated, busiest first, up to so many requests; the others only compared with those that were."""
_TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Hours:
    """Requests, input and output tokens of every hour, counted from the first request."""

    rows: list[tuple[int, int]]
    """First row of the trace, and the one behind the last."""
    sums: NDArray[np.int64]
    """(hours, 3)"""
    peak: Workload
    peak_index: int
    span_s: float

    @property
    def span_h(self) -> float:
        """At least a second: a trace may hold one request."""
        return max(self.span_s, 1.0) / SECONDS_PER_HOUR

    @property
    def peak_req_s(self) -> float:
        """Of the busiest hour, over the time it lasts in the trace."""
        arrival = self.peak.arrival_s
        lasts = self.span_s if len(self.rows) == 1 else SECONDS_PER_HOUR
        return len(arrival) / max(min(lasts, SECONDS_PER_HOUR), 1.0)

    @property
    def demand(self) -> NDArray[np.float64]:
        """Of every hour relative to the busiest, by the count in which it comes closest."""
        return np.max(self.sums / np.maximum(self.sums[self.peak_index], 1), axis=1)

    def scaled(self, replicas: int) -> list[int]:
        """Replicas by the hour, when the busiest needs so many: none is taken to need more until it fails."""
        needed = np.ceil(self.demand * replicas - 1e-9).astype(np.int64)
        return np.clip(needed, 1, replicas).tolist()


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Every hour on the fleet, and the replicas the worst of them needs."""

    rows: list[FleetHour]
    replicas: int


def hours_of(trace: Trace) -> Hours:
    """The busiest hour is the one with most work: input and output tokens, each relative to its mean."""
    edges = trace.hour_edges()
    rows = [(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    workload = trace.workload
    counts = np.array(
        [
            (b - a, workload.input_tokens[a:b].sum(dtype=np.int64), workload.output_tokens[a:b].sum(dtype=np.int64))
            for a, b in rows
        ],
        dtype=np.int64,
    )
    work = (counts[:, 1:] / np.maximum(counts[:, 1:].mean(axis=0), 1e-9)).sum(axis=1)
    peak = int(np.argmax(work))
    return Hours(rows, counts, window(workload, *rows[peak]), peak, trace.span_s)


def check_hours(
    slo: Slo, layout: Layout, sized: Sized, routing: Routing, trace: Trace, hours: Hours, follows: bool,
    report: Progress | None,
) -> Checked:  # fmt: skip
    """Simulate every hour with the replicas its demand suggests, adding some until it holds.

    `follows`: the fleet has only these replicas then; else all of them stand there, and more hold whatever fewer hold.
    """
    job = SizeJob(layout=layout, folder=Path(), slo=slo, routing=routing, least=1, most=sized.replicas)
    suggested = hours.scaled(sized.replicas)
    simulated: dict[int, FleetHour] = {}
    left = SIMULATED_REQUESTS
    demand = hours.demand
    order: list[int] = np.argsort(-demand, kind="stable").tolist()
    rows: dict[int, FleetHour] = {}
    for done, index in enumerate(order):
        start, end = hours.rows[index]
        if left >= end - start:
            left -= end - start
            rows[index] = simulated[index] = _simulated(job, trace, hours, index, suggested[index])
        else:
            rows[index] = _compared(trace, hours, index, simulated)
        if report:
            report("checking hours", done + 1, len(order))
    most = max(row.replicas for row in rows.values())
    full = sized.replicas * (1 + sized.headroom_share)
    loads = {i: demand[i] * sized.replicas / full * sized.replicas for i in rows}
    used = {i: loads[i] / (row.replicas if follows else most) for i, row in rows.items()}
    return Checked([msgspec.structs.replace(rows[i], utilisation=float(used[i])) for i in range(len(rows))], most)


def _simulated(job: SizeJob, trace: Trace, hours: Hours, index: int, replicas: int) -> FleetHour:
    start, end = hours.rows[index]
    if start == end:
        return _row(trace, hours, index, replicas, met=True, checked="simulated")
    workload = window(trace.workload, start, end)
    found = run(job, workload, replicas)
    for _ in range(_TRIES):
        if found.holds:
            break
        replicas += max(1, replicas // 10)
        found = run(job, workload, replicas)
    row = _row(trace, hours, index, replicas, met=found.holds, checked="simulated")
    return msgspec.structs.replace(row, ttft_p95_s=found.figures.ttft_s.p95, e2e_p95_s=found.figures.e2e_s.p95)


def _compared(trace: Trace, hours: Hours, index: int, simulated: dict[int, FleetHour]) -> FleetHour:
    """Takes over the verdict of the least busy hour that was simulated and is busier in every respect."""
    above = [i for i in simulated if (hours.sums[i] >= hours.sums[index]).all()]
    model = simulated[min(above, key=lambda i: int(hours.sums[i].sum()))] if above else None
    replicas = model.replicas if model else max(row.replicas for row in simulated.values())
    return _row(trace, hours, index, replicas, met=model is not None and model.met, checked="scaled")


def _row(trace: Trace, hours: Hours, index: int, replicas: int, *, met: bool, checked: str) -> FleetHour:
    requests, inputs, outputs = hours.sums[index].tolist()
    lasts = hours.span_s if len(hours.rows) == 1 else SECONDS_PER_HOUR
    return FleetHour(
        start=trace.hour_name(index), requests=requests, req_s=requests / max(lasts, 1.0), input_tokens=inputs,
        output_tokens=outputs, replicas=replicas, utilisation=0.0, ttft_p95_s=None,
        e2e_p95_s=None, met=met, checked="simulated" if checked == "simulated" else "scaled",
    )  # fmt: skip
