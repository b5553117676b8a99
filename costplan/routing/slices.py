"""Mean gap per slice, shrunk towards the mean of all slices as far as the slices do not differ; knows no request.

Empirical Bayes: slice i with n_i labels and mean m_i is taken to be w_i m_i + (1 - w_i) m, w_i = t2 / (t2 + s2 / n_i),
with s2 the variance within slices and t2 that between them, by the method of moments (DerSimonian and Laird 1986).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Per slice, in the order of their numbers 0..k-1; a slice without labels has the mean of all."""

    n: Ints
    mean: Floats
    """Raw mean gap; NaN without labels."""
    gap: Floats
    """Shrunk; `low` and `high` are the ends of its two-sided 95 % interval."""
    low: Floats
    high: Floats
    spread: float
    """Standard deviation of one gap within a slice."""


def slice_gaps(gap: Floats, group: Ints, k: int) -> Slices:
    """Gaps of labelled items (m,) >= 2 and the slice of each, out of `k` slices."""
    n = np.bincount(group, minlength=k)
    there = n > 0
    sums, squares = np.bincount(group, gap, k), np.bincount(group, gap**2, k)
    mean = np.divide(sums, n, out=np.full(k, np.nan), where=there)
    slices = int(there.sum())
    freedom = max(1, len(gap) - slices)
    within = max(float((squares[there] - sums[there] ** 2 / n[there]).sum()) / freedom, 1e-4)
    weight = n[there] / within
    middle = float((weight * mean[there]).sum() / weight.sum())
    excess = float((weight * (mean[there] - middle) ** 2).sum()) - (slices - 1)
    spare = float(weight.sum() - (weight**2).sum() / weight.sum())
    between = max(0.0, excess / spare) if spare > 0 else 0.0
    total = 1 / (between + within / n[there])
    middle = float((total * mean[there]).sum() / total.sum())
    trust = between / (between + within / np.maximum(n, 1)) * there
    shrunk = trust * np.where(there, mean, 0.0) + (1 - trust) * middle
    # spread of a slice around its estimate, and that of the common mean it leans on
    variance = (1 - trust) * between + (1 - trust) ** 2 / float(total.sum())
    half = _Z * np.sqrt(np.maximum(variance, 0.0))
    return Slices(n, mean, shrunk, shrunk - half, shrunk + half, float(np.sqrt(within)))
