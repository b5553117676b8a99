"""Ridge regression of the signed gap (strong - cheap) on blocks of features, judged on items it has not seen.

Each block of columns (text statistics, embedding, slice) has a penalty of its own. The penalties are those under which
the training labels are most likely (evidence procedure, MacKay, Neural Computation 4, 1992, 415-447), found inside each
training part alone: a nested choice without an inner loop. A block without signal is shrunk to nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5
_STEPS = 30
_ENOUGH = 0.1
"""The penalties are settled when no block gains or loses a tenth of a parameter."""
_PENALTY = (1e-3, 1e9)
_MOST_SLICES, _LEAST_IN_SLICE = 128, 3


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """n items as columns of mean 0 and sd 1, which are known without any label; `blocks`: where each block begins."""

    columns: Floats
    blocks: tuple[int, ...]


def design(blocks: Sequence[Floats]) -> Design:
    """Blocks of (n, p) features, side by side; a column that does not vary is all zeros."""
    wide = np.hstack([np.asarray(block, np.float64) for block in blocks])
    scales = wide.std(axis=0)
    starts = np.cumsum([0, *(block.shape[1] for block in blocks[:-1])])
    return Design((wide - wide.mean(axis=0)) / np.where(scales > 1e-9, scales, np.inf), tuple(starts.tolist()))


def slice_columns(group: Ints) -> Floats:
    """(n, slices) membership of the largest slices; the others share the mean of all."""
    names, counts = np.unique(group, return_counts=True)
    largest = names[np.lexsort((names, -counts))][:_MOST_SLICES]
    largest = largest[counts[np.searchsorted(names, largest)] >= _LEAST_IN_SLICE]
    return (group[:, None] == np.sort(largest)[None, :]).astype(np.float64)


def out_of_fold(built: Design, gap: Floats, key: Ints, seed: int) -> Floats:
    """(n,) predicted gap of each item less the mean of what was trained on, from fits that have not seen the item.

    Copies of one prompt (equal `key`) are held out together. Small samples are split several times and averaged.
    """
    from threadpoolctl import threadpool_limits

    total = np.zeros(len(gap))
    repeats = int(np.clip(np.ceil(6_000 / len(gap)), 1, 5))
    _, copies = np.unique(key, return_inverse=True)
    n_keys = int(copies.max()) + 1
    with threadpool_limits(1):  # the matrices are small, and sums come out the same whatever the number of cores
        for repeat in range(repeats):
            fold = (np.random.default_rng((seed, repeat)).permutation(n_keys) % FOLDS)[copies]
            for held in range(min(FOLDS, n_keys)):
                out = fold == held
                seen, labels = built.columns[~out], gap[~out]
                centre = seen.mean(axis=0)
                weights = _weights(seen - centre, labels - labels.mean(), built.blocks)
                total[out] += (built.columns[out] - centre) @ weights
    return total / repeats


def _weights(columns: Floats, target: Floats, starts: tuple[int, ...]) -> Floats:
    """MacKay's fixed point: gamma_b = p_b - lambda_b tr(S_b), lambda_b = gamma_b / |w_b|^2, s^2 = RSS / (n - gamma)."""
    n, p = len(columns), int(columns.shape[1])
    power = float(target @ target)
    if n < 2 or power <= 1e-12:
        return np.zeros(p)
    size = np.diff([*starts, p])
    gram: Floats = columns.T @ columns
    moment: Floats = columns.T @ target
    noise, penalty, before = power / n, 10.0 * size * n / power, np.zeros(len(size))
    weights: Floats = np.zeros(p)
    for _ in range(_STEPS):
        inverse = _inverse(gram / noise + np.diag(np.repeat(penalty, size)))
        weights = inverse @ moment / noise
        gamma = size - penalty * np.add.reduceat(np.diag(inverse), starts)
        squares = np.add.reduceat(weights**2, starts)
        penalty = np.clip(np.maximum(gamma, 1e-9) / np.maximum(squares, 1e-12), *_PENALTY)
        left = power - 2 * float(weights @ moment) + float(weights @ gram @ weights)
        noise = max(left, 1e-9 * power) / max(n - float(gamma.sum()), 1.0)
        if np.abs(gamma - before).max() < _ENOUGH:
            break
        before = gamma
    return weights


def _inverse(symmetric: Floats) -> Floats:
    """Of a positive definite matrix."""
    from scipy import linalg

    lapack: Any = linalg  # untyped
    factor = lapack.cho_factor(symmetric, overwrite_a=True, check_finite=False)
    return lapack.cho_solve(factor, np.eye(len(symmetric)), overwrite_b=True, check_finite=False)
