"""Non-inferiority of paired scores: bounds of the loss, a verdict, and how many samples it lacks; knows no task.

A loss is base minus candidate, so positive is worse. Each bound is one-sided at 95 %. A verdict needs one bound only,
hence each of the two errors is at most 5 %: to pass a candidate that truly loses more than the margin, and to fail one
that does not. Over strata nothing is corrected: all of them must pass, so a candidate that loses too much in any one
stratum passes the gate in at most 5 % of runs (intersection-union test, Berger 1982).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.95
Z_LEVEL = 1.6448536269514722
Z_POWER = 1.2815515655446004
"""90th percentile of the normal distribution."""
RESAMPLES = 4000
MOST_SAMPLES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Of the candidate against the base; shares, not points."""

    value: float
    low: float
    """One-sided 95 % bounds: the true loss is above `low`, and below `high`, with 95 % confidence each."""
    high: float
    spread: float
    """Standard deviation of one pair, for planning."""
    method: str


def score_bounds(losses: Floats, wins: Floats, pairs: int) -> tuple[Floats, Floats]:
    """(low, high) of the difference of paired proportions, vectorised over (base right only, candidate right only).

    Score interval of Tango (Statistics in Medicine 17, 1998, 891-908), with a continuity correction of half a pair:
    without it the true error rates reach 6.1 % instead of 5 at 30 to 1,000 pairs with few wins, with it 5.1 %
    (tests enumerate them).
    """
    return -highest_difference(wins, losses, pairs), highest_difference(losses, wins, pairs)


def highest_difference(
    losses: Floats, wins: Floats, pairs: int, *, z: float = Z_LEVEL, correction: float = 0.5
) -> Floats:
    """The difference at which the score statistic is -z; found by bisection, since it falls with the difference."""
    low, high = np.full(np.shape(losses), -1.0), np.ones(np.shape(losses))
    for _ in range(50):
        middle = (low + high) / 2
        above = score_statistic(losses, wins, pairs, middle, correction) > -z
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high


def score_statistic(losses: Floats, wins: Floats, pairs: int, difference: Floats, correction: float = 0.0) -> Floats:
    """Tango's T: (observed - supposed difference) over its standard error at the most likely discordance under it.

    The share of wins under the supposed difference D is the root of 2n q^2 + B q + C with B = -b - c + (2n - b + c) D
    and C = -c D (1 - D); the variance of b - c is then n (2 q + D (1 - D)).
    """
    b = -losses - wins + (2 * pairs - losses + wins) * difference
    c = -wins * difference * (1 - difference)
    q = (np.sqrt(np.maximum(b * b - 8 * pairs * c, 0)) - b) / (4 * pairs)
    variance = pairs * np.maximum(2 * q + difference * (1 - difference), 1e-300)
    return (losses - wins - pairs * difference + correction) / np.sqrt(variance)


def bootstrap_bounds(
    base: Floats, candidate: Floats, *, relative: bool, rng: np.random.Generator
) -> tuple[float, float]:
    """(low, high) percentiles of the loss over resampled items.

    One item lost in full and one won in full are added to the sample: without them a stratum of equal scores would
    have no spread at all, however few its items (the idea of Agresti and Min, Statistics in Medicine 24, 2005).
    """
    pairs = np.array([[*base, 1.0, 0.0], [*candidate, 0.0, 1.0]])
    n = pairs.shape[1]
    sums = np.empty((RESAMPLES, 2))
    for index in range(RESAMPLES):
        sums[index] = pairs[:, rng.integers(0, n, n)].sum(axis=1)
    loss = (sums[:, 0] - sums[:, 1]) / (np.maximum(sums[:, 0], 1e-9) if relative else n)
    low, high = np.quantile(loss, (1 - LEVEL, LEVEL))
    return float(low), float(high)


def paired_loss(base: Floats, candidate: Floats, *, relative: bool, rng: np.random.Generator) -> Loss:
    """Scores from 0 to 1 of the same items; `relative`: as a share of the base's mean score."""
    difference = base - candidate
    mean = float(base.mean())
    scale = max(mean, 1e-9) if relative else 1.0
    value = float(difference.mean()) / scale
    right_or_wrong = bool(np.isin(base, (0.0, 1.0)).all() and np.isin(candidate, (0.0, 1.0)).all())
    if right_or_wrong and not relative:
        losses, wins = float((difference > 0).sum()), float((difference < 0).sum())
        low, high = score_bounds(np.array(losses), np.array(wins), len(base))
        method = "paired score interval (Tango 1998), continuity-corrected"
    else:
        low, high = bootstrap_bounds(base, candidate, relative=relative, rng=rng)
        method = f"bootstrap by item, {RESAMPLES:,} resamples"
    # a relative loss of d is a difference of base (1 - d) and candidate; the two added items as in the bootstrap
    pair = (base * (1 - value) - candidate if relative else difference - value) / scale
    spread = math.sqrt((float((pair**2).sum()) + 2) / (len(base) + 2))
    return Loss(value=value, low=min(float(low), value), high=max(float(high), value), spread=spread, method=method)


def further_samples(loss: Loss, pairs: int, margin: float) -> int | None:
    """So many more make the bound clear the margin with a chance of 90 %, if the loss and its spread stay as observed.

    n = ((z95 + z90) spread / (margin - loss))^2, the sample size of a one-sided test of a mean. None: over a million.
    """
    distance = abs(margin - loss.value)
    if distance * math.sqrt(MOST_SAMPLES) <= (Z_LEVEL + Z_POWER) * loss.spread:
        return None
    needed = math.ceil(((Z_LEVEL + Z_POWER) * loss.spread / distance) ** 2)
    return max(needed - pairs, max(1, pairs // 10))
