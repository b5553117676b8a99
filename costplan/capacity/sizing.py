"""How many replicas of one layout hold the SLO for given requests, by simulating them; knows no prices."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from costplan.capacity.layout import Layout
from costplan.capacity.sustained import binding_of
from costplan.serving.outcome import Outcome
from costplan.serving.simulator import Routing, simulate
from costplan.serving.slo import Slo, judge
from costplan.serving.summary import Figures, summarise
from costplan.serving.workload import Workload

HEADROOM_PRECISION = 0.05
MOST_HEADROOM = 8.0
_COLUMNS = ("arrival_s", "input_tokens", "output_tokens", "shared_offsets", "shared_ids")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeJob:
    """One layout to be sized; the requests lie in a folder, so that a worker reads them once."""

    layout: Layout
    """Of one replica."""
    folder: Path
    slo: Slo
    routing: Routing
    least: int
    """Replicas to start from: a bound by hand."""
    most: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sized:
    """The smallest number of replicas that holds, and what they do there."""

    replicas: int
    """0 = not even the most that was allowed."""
    figures: Figures | None
    headroom_share: float
    binding: str
    target: str
    simulations: int


@dataclass(frozen=True, slots=True, eq=False)
class _Probe:
    figures: Figures
    outcome: Outcome
    workload: Workload
    holds: bool


def save(workload: Workload, folder: Path) -> None:
    """Write the requests for the workers."""
    for name in _COLUMNS:
        np.save(folder / f"{name}.npy", getattr(workload, name))
    (folder / "block_size").write_text(str(workload.block_size))


def size(job: SizeJob) -> Sized:
    """Doubling up from the bound, then bisection; more replicas are taken to hold whenever fewer do."""
    workload = _load(job.folder)
    probes = 0

    def probe(replicas: int, factor: float = 1.0) -> _Probe:
        nonlocal probes
        probes += 1
        return run(job, workload, replicas, factor)

    low, replicas = job.least - 1, job.least
    best, failed = None, None
    while best is None and replicas <= job.most:
        found = probe(replicas)
        if found.holds:
            best = found
        else:
            low, failed = replicas, found
            if replicas == job.most:
                break
            replicas = min(job.most, max(replicas + 1, round(replicas * 1.25)))
    if best is None:
        binding, target = _why(job, failed, job.most)
        return Sized(
            replicas=0, figures=failed.figures if failed else None, headroom_share=0.0, binding=binding, target=target,
            simulations=probes,
        )  # fmt: skip
    while replicas - low > 1:
        middle = (low + replicas) // 2
        found = probe(middle)
        if found.holds:
            replicas, best = middle, found
        else:
            low, failed = middle, found
    headroom, over = _headroom(probe, replicas)
    binding, target = _why(job, over or failed or best, replicas)
    return Sized(
        replicas=replicas, figures=best.figures, headroom_share=headroom, binding=binding, target=target,
        simulations=probes,
    )  # fmt: skip


def run(job: SizeJob, workload: Workload, replicas: int, factor: float = 1.0) -> _Probe:
    """The requests on so many replicas, `factor` times as fast."""
    layout = replace(job.layout, replicas=replicas)
    faster = workload if factor == 1 else replace(workload, arrival_s=workload.arrival_s / factor)
    outcome = simulate(layout.config, layout.step, faster, replicas=replicas, routing=job.routing, compiled=True)
    figures = summarise(outcome, faster, job.slo, blocks=layout.config.blocks)
    holds = not figures.saturated and all(target.met(value) for target, value in judge(job.slo, figures.value))
    return _Probe(figures, outcome, faster, holds)


def _headroom(probe: Callable[[int, float], _Probe], replicas: int) -> tuple[float, _Probe | None]:
    """(traffic on top that still holds, as a share; the run in which it did not)."""
    low, high = 1.0, 1.0 + 1.0 / replicas
    failed: _Probe | None = None
    while failed is None and high <= MOST_HEADROOM:
        found = probe(replicas, high)
        if found.holds:
            low, high = high, high * (1.0 + 1.0 / replicas)
        else:
            failed = found
    while failed is not None and high / low > 1 + HEADROOM_PRECISION:
        middle = (low * high) ** 0.5
        found = probe(replicas, middle)
        if found.holds:
            low = middle
        else:
            high, failed = middle, found
    return low - 1, failed


def _why(job: SizeJob, found: _Probe | None, replicas: int) -> tuple[str, str]:
    """(what the replicas are short of, the limit that breaks by the largest factor)."""
    if found is None:
        return "compute", ""
    layout = replace(job.layout, replicas=replicas)
    binding = binding_of(layout, (found.figures, found.outcome, found.workload))
    values = judge(job.slo, found.figures.value)
    missed = [((value or 0.0) / target.limit, target.text) for target, value in values if not target.met(value)]
    return binding, max(missed)[1] if missed else ""


@lru_cache(maxsize=2)
def _load(folder: Path) -> Workload:
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _COLUMNS}
    return Workload(**columns, block_size=int((folder / "block_size").read_text()))
