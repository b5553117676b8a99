"""How good an order of requests is: areas under quality recovered, on the share and the dollar axis; fits nothing.

Requests are given to the strong model from the highest score down. PGR = (q - q_cheap) / (q_strong - q_cheap) of the
mix (performance gap recovered, RouteLLM, arXiv 2406.18665); APGR is its area over the share of requests, or of extra
dollars, that the strong model gets. A random order has APGR 0.5 on either axis. Requests of equal score are taken
together, as if in all their orders at once.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 999
LEVEL = 0.95
_Z = 1.959963984540054
_CELLS = 4_000_000
_PERMUTATIONS = 199


@dataclass(frozen=True, slots=True)
class Band:
    """A figure with the ends of its two-sided 95 % interval; an end is infinite where the labels leave it open."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """From no request to all: at each point the share of requests and of dollars that go to the strong model."""

    share: Floats
    usd_share: Floats
    gap: Floats
    """Mean quality gained over the cheap model alone."""


def curve(score: Floats, gap: Floats, extra: Floats | None = None) -> Curve:
    """Points after each run of equal scores; all (n,), `extra`: dollars the strong model costs more, None: the same."""
    order, starts = _runs(score)
    dollars = np.ones(len(gap)) if extra is None else np.maximum(extra, 0.0)
    ends = np.append(starts[1:], len(gap))
    sums = [np.append(0.0, np.cumsum(each[order])[ends - 1]) for each in (dollars, gap)]
    return Curve(np.append(0, ends) / len(gap), sums[0] / max(sums[0][-1], 1e-300), sums[1] / len(gap))


def apgr(score: Floats, gap: Floats, extra: Floats | None = None) -> float:
    """Area under PGR; NaN where the strong model is no better on the whole."""
    mean = float(gap.mean())
    return 0.5 + lift(score, gap, extra) / mean if mean > 0 else float("nan")


def lift(score: Floats, gap: Floats, extra: Floats | None = None) -> float:
    """Area between the order's quality and that of a random order, in points of score times share: APGR's numerator."""
    found = curve(score, gap, extra)
    width = np.diff(found.share if extra is None else found.usd_share)
    return float((width * (found.gap[1:] + found.gap[:-1])).sum() / 2 - found.gap[-1] / 2)


def random_band(gap: Floats) -> Band:
    """APGR of a random order, on the share axis: 0.5 and 1.96 standard deviations either side.

    APGR is sum(gap_i w_i) / sum(gap) with w a permutation of (n - k + 0.5) / n, whose variance is that of a linear
    rank statistic: sum (g - mean)^2 sum (w - mean)^2 / (n - 1) (Hajek, Sidak and Sen, Theory of Rank Tests, 3.3.1).
    """
    n, total = len(gap), float(gap.sum())
    if total <= 0 or n < 2:
        return Band(0.5, -np.inf, np.inf)
    weights = (n * n - 1) / (12 * n)  # sum of squares of (n - k + 0.5) / n around their mean
    half = _Z * sqrt(float(((gap - gap.mean()) ** 2).sum()) * weights / (n - 1)) / total
    return Band(0.5, 0.5 - half, 0.5 + half)


def share_needed(score: Floats, gap: Floats, recovered: float) -> float:
    """CPT: share of requests that must go to the strong model to recover that share of the gap; NaN: see `apgr`."""
    found = curve(score, gap)
    return _crossing(found.share, found.gap, recovered * float(found.gap[-1])) if found.gap[-1] > 0 else float("nan")


def hull_area(cost: Floats, quality: Floats) -> float:
    """AIQ of RouterBench (arXiv 2403.12031): mean quality under the non-decreasing convex hull over the cost range."""
    order = np.lexsort((-quality, cost))
    hull: list[tuple[float, float]] = []
    for x, y in zip(cost[order].tolist(), quality[order].tolist(), strict=True):
        if hull and y <= hull[-1][1]:
            continue
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) <= (y - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    hull.append((float(cost.max()), hull[-1][1]))
    x, y = np.array(hull).T
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if x[-1] > x[0] else float(y[-1])


def random_band_usd(gap: Floats, extra: Floats, seed: int) -> Band:
    """The same on the dollar axis, from seeded permutations."""
    if float(gap.mean()) <= 0:
        return Band(0.5, -np.inf, np.inf)
    rng = np.random.default_rng(seed)
    n = len(gap)
    drawn = [apgr(rng.permutation(n).astype(np.float64), gap, extra) for _ in range(_PERMUTATIONS)]
    half = _Z * float(np.std(drawn))
    return Band(0.5, 0.5 - half, 0.5 + half)


@dataclass(frozen=True, slots=True)
class Bands:
    """Of several orders of the same requests."""

    apgr: list[Band]
    needed: list[Band]
    """Of the first order: share of requests for each share of the gap recovered."""
    over_last: Band
    """APGR of the first order less that of the last."""
    lift: Band
    """Of the first order, see `lift`."""


def bands(
    scores: list[Floats], gap: Floats, key: NDArray[np.int64], seed: int, *, extra: Floats | None = None,
    recovered: tuple[float, ...] = (),
) -> Bands:  # fmt: skip
    """Bootstrap intervals.

    Requests are redrawn by `key` (n,): copies of one prompt stay together. Percentiles are moved out as Student's t is
    wider than the normal (Hesterberg, The American Statistician 69, 2015). A resample in which the strong model is no
    better counts as the limit of the ratio, plus or minus infinity by the sign of its numerator; so an APGR's lower end
    is above 0.5 exactly if the lower end of its numerator is above 0.
    """
    _, copies = np.unique(key, return_inverse=True)
    n = int(copies.max()) + 1
    rng = np.random.default_rng(seed)
    areas, needed = np.empty((DRAWS, len(scores))), np.empty((DRAWS, len(recovered)))
    lifts = np.empty((DRAWS, len(scores)))
    step = max(1, _CELLS // len(gap))
    for start in range(0, DRAWS, step):
        counts = [np.bincount(rng.integers(0, n, n), minlength=n)[copies] for _ in range(min(step, DRAWS - start))]
        drawn = np.stack(counts).astype(np.float64)
        block = slice(start, start + len(drawn))
        for index, score in enumerate(scores):
            lifts[block, index], total = _lifts(score, gap, drawn, extra)
            areas[block, index] = _ratio(lifts[block, index], total)
        if recovered:
            needed[block] = _needed(scores[0], gap, drawn, recovered)
    tails = _tails(n)
    found = [_band(apgr(score, gap, extra), areas[:, index], tails) for index, score in enumerate(scores)]
    cpt = [_band(share_needed(scores[0], gap, each), needed[:, at], tails) for at, each in enumerate(recovered)]
    open_ = np.isinf(areas[:, 0]) | np.isinf(areas[:, -1])
    apart = np.where(open_, np.where(areas[:, 0] > areas[:, -1], np.inf, 0.0), 0.0)
    apart[~open_] = areas[~open_, 0] - areas[~open_, -1]
    apart[open_ & (areas[:, 0] < areas[:, -1])] = -np.inf
    raised = _band(lift(scores[0], gap, extra), lifts[:, 0], tails)
    return Bands(found, cpt, _band(found[0].value - found[-1].value, apart, tails), raised)


def _lifts(score: Floats, gap: Floats, drawn: Floats, extra: Floats | None) -> tuple[Floats, Floats]:
    """(lift, mean gap) of each resample (draws, n) of counts."""
    order, starts = _runs(score)
    drawn = drawn[:, order]
    costs = drawn if extra is None else drawn * np.maximum(extra, 0.0)[order]
    width = np.add.reduceat(costs, starts, axis=1)
    gained = np.add.reduceat(drawn * gap[order], starts, axis=1)
    n, total, dollars = drawn.sum(axis=1), gained.sum(axis=1), np.maximum(width.sum(axis=1), 1e-300)
    middle = np.cumsum(gained, axis=1) - gained / 2
    return ((width * middle).sum(axis=1) / dollars - total / 2) / n, total / n


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """0.5 + numerator / denominator, and its limit from above where the denominator is not positive."""
    small = denominator <= 1e-12
    limit = np.select([numerator > 1e-12, numerator < -1e-12], [np.inf, -np.inf], 0.5)
    return np.where(small, limit, 0.5 + numerator / np.where(small, 1.0, denominator))


def _needed(score: Floats, gap: Floats, drawn: Floats, recovered: tuple[float, ...]) -> Floats:
    order, starts = _runs(score)
    counts = np.add.reduceat(drawn[:, order], starts, axis=1)
    gaps = np.cumsum(np.add.reduceat(drawn[:, order] * gap[order], starts, axis=1), axis=1)
    share = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    found = np.ones((len(drawn), len(recovered)))
    for row in np.flatnonzero(gaps[:, -1] > 0).tolist():
        steps = np.append(0.0, share[row]), np.append(0.0, gaps[row])
        found[row] = [_crossing(*steps, each * float(gaps[row, -1])) for each in recovered]
    return found


def _crossing(share: Floats, gained: Floats, target: float) -> float:
    """Where the curve first reaches the target, between two points by a straight line."""
    at = int(np.argmax(gained >= target - 1e-12))
    if at == 0:
        return float(share[0])
    rise = gained[at] - gained[at - 1]
    return float(share[at - 1] + (share[at] - share[at - 1]) * max(0.0, target - gained[at - 1]) / rise)


def _runs(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(order from the highest score down, where each run of equal scores begins in it)."""
    order = np.argsort(-score, kind="stable")
    new = np.append(True, score[order][1:] != score[order][:-1])
    return order, np.flatnonzero(new)


def _band(value: float, drawn: Floats, tails: list[float]) -> Band:
    low, high = np.quantile(drawn, tails, method="inverted_cdf").tolist()
    return Band(value, min(low, value), max(high, value)) if value == value else Band(value, low, high)


def _tails(n: int) -> list[float]:
    from scipy.special import ndtr, stdtrit

    beyond = float(ndtr(np.sqrt(n / max(1, n - 1)) * stdtrit(max(1, n - 1), (1 - LEVEL) / 2)))
    return [beyond, 1 - beyond]
