"""Labelled pairs -> does an order of the requests beat a random one, by how much, and does it beat their length alone?

The router is tier T2: the ridge of `gap` over features and slices, judged out of fold. `routes` needs the lower end of
its 95 % interval above 0.5, so random labels pass in about one of forty data sets; anything else falls back to means
per call site (T1) or to the break-even gap (T0).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from costplan.routing.decide import Z_TWO_SIDED
from costplan.routing.gap import FOLDS, design, out_of_fold, slice_columns
from costplan.routing.metrics import Band, Curve, bands, curve, hull_area, random_band, random_band_usd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Verdict = Literal["routes", "no better than random"]
ROUTES: Verdict = "routes"
NO_BETTER: Verdict = "no better than random"

LEAST_ITEMS = 40
LEAST_TELLING = 20
"""Items whose gap is not the most frequent one: with fewer, a bootstrap has too little to redraw."""
RECOVERED = (0.5, 0.8)
WIDER = sqrt(1 + FOLDS * (1 / (FOLDS - 1)))
"""Each pair of items meets twice, once with either one held out, which a bootstrap of the finished scores does not see:
the variance is 1 + J n_test / n_train times as large for J = 5 folds (Nadeau and Bengio, Machine Learning 52, 2003)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """n labelled requests; scores from 0 to 1, dollars where known of all."""

    cheap: Floats
    strong: Floats
    key: Ints
    """Equal for copies of one prompt."""
    chars: Ints
    """Length of the prompt."""
    blocks: Sequence[Floats]
    """Features, (n, p) each, known before the request is answered."""
    group: Ints | None = None
    """Number of the slice."""
    cheap_usd: Floats | None = None
    strong_usd: Floats | None = None

    @property
    def gap(self) -> Floats:
        return self.strong - self.cheap

    @property
    def extra(self) -> Floats | None:
        """Dollars the strong model costs more, (n,)."""
        if self.cheap_usd is None or self.strong_usd is None:
            return None
        extra = self.strong_usd - self.cheap_usd
        return extra if float(np.maximum(extra, 0).sum()) > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """APGR of the three orders on one axis."""

    apgr: Band
    random: Band
    length: Band
    over_length: Band
    aiq: float
    """Mean quality under the convex hull of the curve; `aiq_random` on the straight line between the models."""
    aiq_random: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What the labels say of a router."""

    verdict: Verdict
    reason: str
    share: Axis
    usd: Axis | None
    needed: list[Band]
    """CPT for each of RECOVERED."""
    curve: Curve
    score: Floats
    """(n,) predicted gap, out of fold."""
    slices: Band | None
    """APGR of the slices' means alone, out of fold; None without slices."""


def judge(pairs: Pairs, seed: int) -> Judged:
    """Scores each request by a fit that has not seen it, and holds the order against chance and length."""
    gap, key = pairs.gap, pairs.key
    chars = pairs.chars.astype(np.float64)
    refusal = _too_few(gap, key)
    memberships = None if pairs.group is None else slice_columns(pairs.group)
    blocks = [*pairs.blocks, *([] if memberships is None else [memberships])]
    score = np.zeros(len(gap)) if refusal else np.round(out_of_fold(design(blocks), gap, key, seed), 9)
    by_slice = None
    if memberships is not None and not refusal and memberships.shape[1] > 1:
        by_slice = np.round(out_of_fold(design([memberships]), gap, key, seed), 9)
    orders = [score, *([by_slice] if by_slice is not None else []), chars]
    found = bands(orders, gap, key, seed, recovered=RECOVERED)
    points = curve(score, gap, pairs.extra)
    share = Axis(
        apgr=widened(found.apgr[0]), random=random_band(gap), length=found.apgr[-1],
        over_length=widened(found.over_last),
        aiq=float(pairs.cheap.mean()) + hull_area(points.share, points.gap),
        aiq_random=float((pairs.cheap.mean() + pairs.strong.mean()) / 2),
    )  # fmt: skip
    # where the gap on the whole may be zero, APGR is anything: then its numerator is what counts
    raised, clear = widened(found.lift), bool(gap.mean() > Z_TWO_SIDED * gap.std() / sqrt(len(gap)))
    routes = not refusal and (share.apgr.low > 0.5 if clear else raised.low > 0)
    return Judged(
        verdict=ROUTES if routes else NO_BETTER,
        reason=refusal or _reason(share, raised, routes, clear),
        share=share,
        usd=_usd_axis(pairs, score, seed),
        needed=[widened(each, 0.0, 1.0) for each in found.needed],
        curve=points,
        score=score,
        slices=None if by_slice is None else widened(found.apgr[1]),
    )


def _too_few(gap: Floats, key: Ints) -> str:
    n = len(np.unique(key))
    if n < LEAST_ITEMS:
        return f"{n:,} different prompts are labelled, {LEAST_ITEMS} are needed"
    _, counts = np.unique(gap, return_counts=True)
    telling = len(gap) - int(counts.max())
    if telling < LEAST_TELLING:
        return f"the gap differs on {telling:,} of {len(gap):,} pairs only, {LEAST_TELLING} are needed"
    return ""


def widened(band: Band, least: float = -inf, most: float = inf) -> Band:
    """An interval of what was judged out of fold, as wide as it is."""
    low, high = (band.value + WIDER * (end - band.value) for end in (band.low, band.high))
    return Band(band.value, max(low, least), min(high, most))


def _reason(share: Axis, raised: Band, routes: bool, clear: bool) -> str:
    length = f"length alone ({share.length.value:.3f})"
    if not clear:
        text = "the strong model is not shown to be better on the whole, "
        if routes:
            return text + f"but the order finds where it is: {100 * raised.low:.2f} points or more above a random order"
        return text + "and nothing shows where it would be"
    if not routes:
        return f"the 95 % interval of its APGR begins at {share.apgr.low:.3f}, and a random order has 0.500"
    text = f"the 95 % interval of its APGR begins at {share.apgr.low:.3f}, above the 0.500 of a random order"
    better = "better than" if share.over_length.low > 0 else "not shown to be better than"
    return f"{text}; {better} {length}"


def _usd_axis(pairs: Pairs, score: Floats, seed: int) -> Axis | None:
    """The same on the dollar axis, where the order is by predicted gap per predicted extra dollar."""
    extra, gap = pairs.extra, pairs.gap
    if extra is None:
        return None
    dollars = np.maximum(extra, 0.0)
    least = float(dollars[dollars > 0].min())
    logs = np.log(np.maximum(dollars, least))
    size = out_of_fold(design(pairs.blocks), logs, pairs.key, seed)
    size = np.exp(size - float(size.mean()))
    order = np.round((score + float(gap.mean())) / size, 9) if score.any() else score
    chars = pairs.chars.astype(np.float64)
    found = bands([order, chars], gap, pairs.key, seed, extra=extra)
    points = curve(order, gap, extra)
    assert pairs.cheap_usd is not None
    return Axis(
        apgr=widened(found.apgr[0]), random=random_band_usd(gap, extra, seed), length=found.apgr[1],
        over_length=widened(found.over_last), aiq=float(pairs.cheap.mean()) + hull_area(points.usd_share, points.gap),
        aiq_random=float((pairs.cheap.mean() + pairs.strong.mean()) / 2),
    )  # fmt: skip
