"""How far a share of hits may be off by chance: requests lean on each other, so whole blocks and users are redrawn.

Single requests are never redrawn: that would make new repeats, hence hits. Two bootstraps of the ratio of sums:
blocks of consecutive requests (circular blocks, Politis & Romano 1992; their length after Politis & White 2004 with
the correction of Patton, Politis & White 2009) and whole users. The wider counts, never less than Wilson's interval
(1927) of independent requests. What a trend of the share (a cache that warms up) adds is taken for chance: give the
requests after the warm-up.
"""

from dataclasses import dataclass
from math import ceil, log10, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CELLS = 512
"""Pieces of the log, and groups of users, that are redrawn whole: more of them would only take longer."""
DRAWS = 999
LEVEL = 0.95
_Z = 1.959964
_NOTHING = 1e-12
"""Pieces of a smaller part of the weight are left out: sums would lose them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the share lies with 95 % confidence."""

    low: float
    high: float
    design_effect: float
    """Variance of the share, in independent requests of the same weights = 1; 1 where nothing varies."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Weight of hits and of all requests, by piece."""

    hit: Floats
    all: Floats


def hit_interval(
    hit: NDArray[np.bool_], weight: Floats, time_us: Ints, user: NDArray[np.uint64], seed: int = 0
) -> Interval:
    """Interval of sum(weight of hits) / sum(weight); all (n,). User 0 is nobody: such requests are redrawn by time.

    (0, 1) without requests or weight.
    """
    if not weight.any():
        return Interval(0.0, 1.0, 1.0)
    weight = weight / weight.max()  # squares of nano-dollars stay numbers
    total = float(weight.sum())
    if (np.diff(time_us) < 0).any():
        order = np.argsort(time_us, kind="stable")
        hit, weight, user = hit[order], weight[order], user[order]
    rng = np.random.default_rng(seed)
    hits = np.where(hit, weight, 0.0)
    share = float(hits.sum()) / total
    cell = np.arange(len(hit)) * min(CELLS, len(hit)) // len(hit)
    pieces = [(_sums(cell, hits, weight), 0)]
    if user.any():
        pieces.append((_sums(_groups(user, cell, rng), hits, weight), 1))
    independent = float((weight**2 * (hit - share) ** 2).sum()) / total**2
    squares = float((weight**2).sum())
    low, high = _wilson(share, total**2 / squares)
    variance = 0.0
    for sums, length in pieces:
        drawn, count = _draw(sums, length or block_length(sums.hit - share * sums.all), rng)
        if count < 2:
            continue
        variance = max(variance, float(np.var(drawn)) * count / (count - 1))
        ends = np.quantile(drawn, _tails(count))
        if ends[1] - ends[0] > high - low:
            low, high = float(ends[0]), float(ends[1])
    return Interval(min(low, share), max(high, share), variance / independent if independent > 0 else 1.0)


def block_length(series: Floats) -> int:
    """Consecutive values to redraw together, from how far the series remembers (Politis & White 2004, circular)."""
    n = len(series)
    if n < 8:
        return 1
    values = series - series.mean()
    span = float(values @ values) / n
    if span <= 0:
        return 1
    run = max(5, ceil(sqrt(log10(n))))
    furthest = min(ceil(sqrt(n)) + run, n - 1)
    covariance = np.array([float(values[lag:] @ values[: n - lag]) / n for lag in range(furthest + 1)])
    loud = np.flatnonzero(np.abs(covariance[1:]) >= 2 * sqrt(log10(n) / n) * span) + 1
    # the first lag after which `run` lags in a row are quiet
    quiet = next((int(lag) for lag, then in _gaps(loud, furthest) if then - lag > run), furthest)
    width = min(2 * max(quiet, 1), furthest)
    lag = np.arange(1, width + 1)
    taper = np.minimum(1.0, 2 * (1 - lag / width))
    slope = 2 * float((taper * lag * covariance[1 : width + 1]).sum())
    level = span + 2 * float((taper * covariance[1 : width + 1]).sum())
    if level <= 0:
        return 1
    best = (1.5 * slope**2 / level**2 * n) ** (1 / 3)
    return int(min(max(1, round(best)), ceil(min(3 * sqrt(n), n / 3))))


def _gaps(loud: Ints, furthest: int) -> list[tuple[int, int]]:
    """(loud lag or 0, the loud lag that follows) in order."""
    marks = [0, *loud.tolist(), 2 * furthest]
    return list(zip(marks[:-1], marks[1:], strict=True))


def _groups(user: NDArray[np.uint64], cell: Ints, rng: np.random.Generator) -> Ints:
    """Whom each request is redrawn with: its user, a random group of users where there are many, nobody by cell."""
    known = user != 0
    group = cell.copy()
    users, index = np.unique(user[known], return_inverse=True)
    if len(users) > CELLS:
        index = rng.integers(0, CELLS, len(users))[index]
    group[known] = index + (int(cell[-1]) + 1)
    return group


def _sums(piece: Ints, hits: Floats, weight: Floats) -> _Sums:
    hit, every = np.bincount(piece, hits).astype(np.float64), np.bincount(piece, weight).astype(np.float64)
    used = every > _NOTHING * every.sum()
    return _Sums(hit[used], every[used])


def _draw(sums: _Sums, length: int, rng: np.random.Generator) -> tuple[Floats, int]:
    """(DRAWS shares, each from pieces drawn in blocks of `length` that run on over the end; blocks per draw)."""
    n = len(sums.all)
    count = max(1, round(n / length))
    start = rng.integers(0, n, (DRAWS, count))
    hit, every = _blocks(sums.hit, length), _blocks(sums.all, length)
    return np.clip(hit[start].sum(axis=1) / every[start].sum(axis=1), 0, 1), count


def _blocks(values: Floats, length: int) -> Floats:
    """Sum of the `length` values from each place on, around the end."""
    running = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: length - 1]]))])
    return running[length:] - running[:-length]


def _tails(count: int) -> list[float]:
    """Quantiles for few pieces: percentiles moved out as Student's t is wider than the normal (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    beyond = float(ndtr(sqrt(count / (count - 1)) * float(stdtrit(count - 1, (1 - LEVEL) / 2))))
    return [beyond, 1 - beyond]


def _wilson(share: float, n: float) -> tuple[float, float]:
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)
