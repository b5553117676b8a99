"""The highest rate one replica holds within the SLO, by bisection over simulations of the same requests.

Every probe stretches the same gaps (common random numbers), so a higher rate is never luckier than a lower one by its
draw. A rate holds when the queue does not grow and every limit is kept in the steady middle of the run.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from costplan.capacity.layout import Layout, Tuning, basis_of, layout_of, layouts, servable, throughput_error
from costplan.capacity.steady import Balance, Shape, balance, highest_rate
from costplan.results import Basis
from costplan.serving.arrivals import Lengths, Load, Stage, at_rate, first, make
from costplan.serving.outcome import Outcome
from costplan.serving.simulator import simulate
from costplan.serving.slo import Slo, judge
from costplan.serving.summary import Figures, summarise
from costplan.serving.workload import Workload

__all__ = ["Layout", "Sustained", "Tuning", "binding_of", "layout_of", "layouts", "shape_of", "sustained"]

REQUESTS = (600, 1_500)
SERVICE_TIMES = 12
"""A probe lasts so many times as long as one request, so that its middle is in balance."""
PRECISION = 0.03
FIRST_GUESS = 0.9
"""Of the rate in balance."""
_PLACES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sustained:
    """What one replica holds, and the latencies there; 0 requests a second where not even one request alone fits."""

    req_s: float
    ttft_p95_s: float | None
    tpot_p95_s: float | None
    e2e_p95_s: float | None
    binding: str
    """memory, compute, bandwidth or queue: what stops it from taking more."""
    target: str
    """The limit that breaks first; empty where it is the queue that grows."""
    basis: Basis
    """`simulated`, or `measured` where the step times below it are."""
    error_band: float
    """Median absolute error of requests a second, as a share."""
    busy_share: float
    prefix_hit_share: float


def sustained(
    layout: Layout, traffic: Workload | tuple[Lengths, Lengths], slo: Slo, *, prefix_share: float = 0.0, seed: int = 0
) -> Sustained:
    """`traffic`: prompt and answer lengths, or requests whose lengths and shared prefixes are taken in their order.

    Requests arrive at random (Poisson). Requests longer than the model's context or one replica's cache are not sent.
    """
    unit, _ = servable(_at_one_a_second(traffic, layout.config.block_size, prefix_share, seed), layout)
    shape = shape_of(unit, layout.config.prefix_caching)
    limit = min((t.limit for t in slo.targets if t.metric == "tpot"), default=float("inf"))
    start, most = highest_rate(layout, shape, limit), highest_rate(layout, shape)
    probes: dict[int, tuple[Figures, Outcome, Workload]] = {}

    def holds(place: int) -> bool:
        probes[place] = probes.get(place) or _run(layout, shape, unit, _rate(most, place), slo)
        return _holds(probes[place][0], slo)

    place = _lowest(holds, _place(most, start * FIRST_GUESS)) if start > 0 else None
    best = probes[place] if place is not None else None
    worst = probes.get(place - 1) if place else None
    figures = best[0] if best else None
    found = binding_of(layout, worst or best)
    broken = _broken(worst[0], slo) if worst else ""
    return Sustained(
        req_s=0.0 if place is None else _rate(most, place),
        ttft_p95_s=figures and figures.ttft_s.p95, tpot_p95_s=figures and figures.tpot_s.p95,
        e2e_p95_s=figures and figures.e2e_s.p95, binding=found, target=broken, basis=basis_of(layout),
        error_band=throughput_error(layout.engine), busy_share=figures.busy_share if figures else 0.0,
        prefix_hit_share=(figures.prefix_hit_share or 0.0) if figures else 0.0,
    )  # fmt: skip


def _rate(most: float, place: int) -> float:
    """Rates lie on one ladder below the rate in balance, whatever the SLO: a looser one never ends lower."""
    return most / (1 + PRECISION) ** place


def _place(most: float, rate: float) -> int:
    return min(_PLACES, max(0, math.ceil(math.log(most / rate) / math.log(1 + PRECISION))))


def _lowest(holds: Callable[[int], bool], guess: int) -> int | None:
    """The first place that holds, when all behind it do; found by doubling steps from a guess, then bisection."""
    step, low, high = 2, -1, guess
    while not holds(high):
        if high >= _PLACES:
            return None
        low, high, step = high, min(_PLACES, high + step), 2 * step
    step = 2
    while low < 0 and high > 0:
        below = max(0, high - step)
        if not holds(below):
            low = below
        else:
            high, step = below, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def shape_of(workload: Workload, caching: bool) -> Shape:
    """The mean request, with what an endless prefix cache would find."""
    prompt = float(workload.input_tokens.mean())
    cached = cached_share(workload) * prompt if caching else 0.0
    return Shape(fresh=prompt - cached, cached=cached, output=float(workload.output_tokens.mean()))


def cached_share(workload: Workload) -> float:
    """Share of the prompt tokens whose blocks an earlier request held: the ceiling of a prefix cache."""
    ids, offsets = workload.shared_ids, workload.shared_offsets
    if not len(ids):
        return 0.0
    row = np.repeat(np.arange(workload.requests), np.diff(offsets))
    place = np.arange(len(ids)) - offsets[:-1][row]
    held = np.zeros(int(ids.max()) + 1, dtype=np.int64)
    _, first_seen = np.unique(ids, return_index=True)
    held[ids[first_seen]] = row[first_seen]
    # only blocks of the prompt count, and one token is always computed
    usable = (held[ids] < row) & (place < ((workload.input_tokens - 1) // workload.block_size)[row])
    return float(usable.sum()) * workload.block_size / float(workload.input_tokens.sum(dtype=np.int64))


def binding_of(layout: Layout, run: tuple[Figures, Outcome, Workload] | None) -> str:
    """What a run is short of: KV memory, seats and waiting (queue), arithmetic (compute) or memory reads."""
    if run is None:
        alone = balance(layout, Shape(fresh=1.0, cached=0.0, output=1.0), 1e-6)
        return "compute" if not isinstance(alone, Balance) or alone.compute_share > 0.5 else "bandwidth"
    figures, outcome, workload = run
    if (figures.kv.preemptions or 0) > 0 or (figures.kv.peak_share or 0) > 0.97:
        return "memory"
    span = max(float(outcome.done_s.max() - outcome.arrival_s[0]), 1e-9) * layout.replicas
    running = float((outcome.done_s - outcome.scheduled_s).sum()) / span
    if running > 0.85 * layout.config.max_num_seqs:
        return "queue"
    shape = shape_of(workload, layout.config.prefix_caching)
    rate = min(workload.requests / span, 0.98 * highest_rate(layout, shape))
    found = balance(layout, shape, rate)
    return "compute" if not isinstance(found, Balance) or found.compute_share > 0.5 else "bandwidth"


def _at_one_a_second(
    traffic: Workload | tuple[Lengths, Lengths], block_size: int, prefix_share: float, seed: int
) -> Workload:
    most = REQUESTS[1]
    if isinstance(traffic, tuple):
        load = Load(
            stages=(Stage(req_s=1.0),), requests=most, input=traffic[0], output=traffic[1], prefix_share=prefix_share,
            seed=seed,
        )  # fmt: skip
        return replace(make(load, block_size), open_ended=True)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed).spawn(1)[0]))
    part = first(traffic, min(most, traffic.requests))
    return replace(part, arrival_s=np.cumsum(rng.standard_exponential(part.requests)), concurrency=0, open_ended=True)


def _run(layout: Layout, shape: Shape, unit: Workload, rate: float, slo: Slo) -> tuple[Figures, Outcome, Workload]:
    found = balance(layout, shape, rate)
    tpot = found.tpot_s if isinstance(found, Balance) else 2 * float(layout.step.base_s[-1])
    count = int(np.clip(rate * SERVICE_TIMES * shape.output * tpot, *REQUESTS))
    part = first(unit, min(count, unit.requests))
    workload = at_rate(part, rate * float(part.arrival_s[-1]) / part.requests)  # exactly that rate, whatever was drawn
    outcome = simulate(layout.config, layout.step, workload)
    return summarise(outcome, workload, slo, blocks=layout.config.blocks), outcome, workload


def _holds(figures: Figures, slo: Slo) -> bool:
    return not figures.saturated and all(target.met(value) for target, value in judge(slo, figures.value))


def _broken(figures: Figures, slo: Slo) -> str:
    """The target that is missed by the largest factor."""
    if figures.saturated:
        return ""
    missed = [(value / t.limit, t.text) for t, value in judge(slo, figures.value) if value and not t.met(value)]
    return max(missed)[1] if missed else ""
