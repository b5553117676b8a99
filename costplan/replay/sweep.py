"""Which loads to try, and what they say: the knee and the highest goodput; how a load is played is not known here.

Loads double until the server is past its best, then the gap between the last good and the first bad one is halved
(geometrically) a few times. Past its best: the SLO is missed, throughput grows by under a tenth for twice the load, or
requests fail.
"""

from collections.abc import Callable
from math import sqrt
from typing import Literal

from costplan.results.measurement import SweepFacts, SweepPoint

MOST_POINTS = 16
HALVINGS = 3
KNEE = 0.9
LEAST_GAIN = 1.1
MOST_FAILED = 0.05


def search(
    measure: Callable[[float], SweepPoint], start: float, unit: Literal["req_s", "concurrency"], most: float
) -> SweepFacts:
    """Try loads from `start` to at most `most` (what the trace has requests for)."""
    points: list[SweepPoint] = []
    good, bad, load = 0.0, 0.0, start
    while not bad and len(points) < MOST_POINTS:
        points.append(measure(load))
        if past_best(points[-1], points[-2] if len(points) > 1 else None):
            bad = load
        elif load >= most:
            break
        else:
            good, load = load, min(2 * load, most)
    for _ in range(HALVINGS if good and bad else 0):
        load = sqrt(good * bad)
        load = float(round(load)) if unit == "concurrency" else load
        if load in (good, bad) or not points[-1].valid:
            break
        points.append(measure(load))
        below = max((p for p in points if p.load < load), key=lambda p: p.load)
        good, bad = (good, load) if past_best(points[-1], below) else (load, bad)
    note = "" if bad else f"the trace has requests for a load of {most:g} only: nothing was past its best"
    if not points[-1].valid:
        note = "stopped where the client was the limit"
    return facts(points, note)


def past_best(point: SweepPoint, before: SweepPoint | None) -> bool:
    """Whether more load than this is not worth trying."""
    if not point.valid or point.slo_met is False or point.failed > MOST_FAILED * point.requests:
        return True
    if before is None or before.output_tok_s <= 0 or point.load < 1.5 * before.load:
        return False
    return point.output_tok_s < LEAST_GAIN * before.output_tok_s


def facts(points: list[SweepPoint], note: str = "") -> SweepFacts:
    """The points by load, the knee and the best."""
    ordered = sorted(points, key=lambda point: point.load)
    usable = [point for point in ordered if point.valid]
    most = max((point.output_tok_s for point in usable), default=0.0)
    knee = next((point for point in usable if point.output_tok_s >= KNEE * most), None)
    # while twice the load still brings twice the tokens, the server has no knee among the loads that were tried
    if knee and usable[-1].output_tok_s / usable[-1].load >= KNEE * usable[0].output_tok_s / usable[0].load:
        knee = None
    within = [point for point in usable if point.slo_met]
    best = max(within, key=lambda p: p.req_s if p.goodput_req_s is None else p.goodput_req_s, default=None)
    return SweepFacts(points=ordered, knee=knee, best=best, note=note)
