"""A simulated run -> the figures people ask for; it knows no prices and does not judge how good they are.

Every latency counts from the moment a request was due. TTFT: to the first token. E2E: to the last one. TPOT:
(E2E - TTFT) / (output tokens - 1), of requests with more than one. ITL: every gap between two tokens. Queue: from the
scheduler's first sight of the request to the start of the step that first works on it (vLLM's request_queue_time).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from costplan.results.serving import KvFacts, LengthFacts, RequestCounts, RunFigures, Spread
from costplan.serving.outcome import Outcome
from costplan.serving.slo import Slo
from costplan.serving.workload import Workload
from costplan.units import SECONDS_PER_HOUR

WARM_UP = 0.2
"""Share of an open-ended run left out at both ends: it fills up first and drains last."""
Floats = NDArray[np.float64]
_PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}


class Figures(RunFigures, frozen=True, kw_only=True):
    """What a simulated run comes to."""

    busy_share: float
    replica_hours: float
    mean_batch_tokens: float


def summarise(
    outcome: Outcome, workload: Workload, slo: Slo, *, blocks: int, rejected: int = 0, edges_s: Floats | None = None
) -> Figures:
    """The figures of a run. `edges_s`: where the load changes, so that saturation is judged stage by stage.

    A finite workload reports all its requests up to the last completion, whatever the load did to them. An open-ended
    one reports its steady middle, and above capacity no latency at all: it would only depend on how long one looked.
    """
    sustainable = sustainable_req_s(outcome, workload, edges_s)
    count = workload.requests
    rows = slice(int(count * WARM_UP), count - int(count * WARM_UP)) if workload.open_ended else slice(0, count)
    first, last = float(outcome.arrival_s[rows][0]), float(outcome.done_s.max())
    if workload.open_ended:
        last = float(outcome.arrival_s[rows][-1])
        inside = (outcome.done_s > first) & (outcome.done_s <= last)
    else:
        inside = np.ones(count, dtype=np.bool_)
    duration = max(last - first, 1e-9)
    steady = not (workload.open_ended and sustainable is not None)
    ttft, e2e, tpot, queue = latencies(outcome, workload)
    kept = inside_limits(slo, ttft, tpot, e2e)[rows] if slo.limits_s() and steady else None
    share = None if kept is None else float(kept.sum()) / (len(kept) + (0 if workload.open_ended else rejected))
    busy, steps = float(outcome.busy_s.sum()), int(outcome.steps.sum())
    return Figures(
        requests=RequestCounts(sent=count + rejected, completed=count, failed=rejected, unsent=0),
        duration_s=duration,
        req_s=float(inside.sum()) / duration,
        input_tok_s=float(workload.input_tokens[inside].sum()) / duration,
        output_tok_s=float(workload.output_tokens[inside].sum()) / duration,
        ttft_s=spread(ttft[rows]) if steady else Spread(),
        tpot_s=spread(tpot[rows]) if steady else Spread(),
        itl_s=_gap_spread(outcome) if steady else Spread(),
        e2e_s=spread(e2e[rows]) if steady else Spread(),
        queue_s=spread(queue[rows]) if steady else Spread(),
        goodput_share=share,
        goodput_req_s=None if kept is None else float(kept.sum()) / duration,
        kv=KvFacts(peak_share=float(outcome.kv_peak_blocks.max()) / blocks, preemptions=int(outcome.preemptions.sum())),
        prefix_hit_share=float(outcome.cached_tokens.sum()) / float(workload.input_tokens.sum(dtype=np.int64)),
        saturated=sustainable is not None,
        sustainable_req_s=sustainable,
        busy_share=min(1.0, busy / max(outcome.replica_s, 1e-9)),
        replica_hours=outcome.replica_s / SECONDS_PER_HOUR,
        mean_batch_tokens=float(outcome.step_tokens.sum()) / max(steps, 1),
    )


def latencies(outcome: Outcome, workload: Workload) -> tuple[Floats, Floats, Floats, Floats]:
    """(TTFT, E2E, TPOT, queue) of every request; TPOT is NaN where there was one token only."""
    ttft = outcome.first_token_s - outcome.arrival_s
    e2e = outcome.done_s - outcome.arrival_s
    gaps = workload.output_tokens - 1
    tpot = np.where(gaps > 0, (e2e - ttft) / np.maximum(gaps, 1), np.nan)
    queue = np.maximum(outcome.scheduled_s - outcome.arrival_s - outcome.frontend_s, 0.0)  # rounding, at most
    return ttft, e2e, tpot, queue


def spread(values: Floats) -> Spread:
    """Mean, linear percentiles and maximum of what is a number."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Spread()
    found = np.percentile(known, list(_PERCENTILES.values()))
    return Spread(
        mean=float(known.mean()), max=float(known.max()), **dict(zip(_PERCENTILES, found.tolist(), strict=True))
    )  # fmt: skip


def lengths(tokens: NDArray[np.int32]) -> LengthFacts:
    """Mean, median, p95 and maximum."""
    p50, p95 = np.percentile(tokens, [50, 95]).tolist()
    return LengthFacts(mean=float(tokens.mean()), p50=p50, p95=p95, max=int(tokens.max()))


def _gap_spread(outcome: Outcome) -> Spread:
    """Percentiles from the histogram of the gaps, mean and maximum from the gaps themselves."""
    counts, edges = outcome.itl_counts, outcome.itl_edges_s
    total = int(counts.sum())
    if not total:
        return Spread()
    below = np.concatenate([[0], np.cumsum(counts)]) / total
    found = {n: min(float(np.interp(p / 100, below, edges)), outcome.itl_max_s) for n, p in _PERCENTILES.items()}
    return Spread(mean=outcome.itl_sum_s / total, max=outcome.itl_max_s, **found)


def inside_limits(slo: Slo, ttft: Floats, tpot: Floats, e2e: Floats) -> NDArray[np.bool_]:
    """By request: every limit that it can keep by itself is kept; what is not a number keeps them all."""
    limits = slo.limits_s()
    kept = np.ones(len(ttft), dtype=np.bool_)
    for metric, values in (("ttft", ttft), ("tpot", tpot), ("e2e", e2e)):
        if metric in limits:
            kept &= np.isnan(values) | (values <= limits[metric])
    return kept


def sustainable_req_s(outcome: Outcome, workload: Workload, edges_s: Floats | None = None) -> float | None:
    """Requests a second that get done while the queue grows; None where it does not grow.

    The queue grows when, over the second half of a stage, requests that wait for their first step become more by over
    three standard deviations of a queue that only fluctuates (a random walk: the root of the arrivals). What gets done
    counts in parts: a request that runs from 0 s to 10 s is half done by 5 s.
    """
    if workload.concurrency:
        return None
    return balanced_req_s(outcome.arrival_s, outcome.scheduled_s, outcome.done_s, edges_s)


def balanced_req_s(arrival: Floats, begun_s: Floats, done_s: Floats, edges_s: Floats | None = None) -> float | None:
    """`sustainable_req_s` of requests in order of arrival that were begun and done at these times."""
    scheduled: Floats = np.sort(begun_s)
    if arrival[-1] <= arrival[0]:
        span = float(done_s.max() - arrival[0])
        return len(arrival) / span if len(arrival) > 1 else None
    edges = np.array([arrival[0], arrival[-1]]) if edges_s is None else np.minimum(edges_s, arrival[-1])
    for start, end in pairwise(map(float, edges)):
        middle = (start + end) / 2
        arrived, begun = _between(arrival, middle, end), _between(scheduled, middle, end)
        if arrived - begun > 5 + 3 * np.sqrt(arrived):
            # the queue is never empty until the last request that came in this stage has been started
            until = max(end, float(np.max(begun_s, where=arrival <= end, initial=0.0)))
            inside = np.minimum(done_s, until) - np.maximum(begun_s, middle)
            parts = np.clip(inside, 0, None) / np.maximum(done_s - begun_s, 1e-9)
            return float(parts.sum()) / (until - middle)
    return None


def _between(times: Floats, start: float, end: float) -> int:
    """Sorted times in (start, end]."""
    first, last = np.searchsorted(times, np.array([start, end]), "right").tolist()
    return last - first
