"""LRU stack distances: how many other keys were asked since the last time; one pass gives the hits of every capacity.

Mattson et al. 1970 ("Evaluation techniques for storage hierarchies"), with a Fenwick tree over arrival positions
(Bennett and Kruskal 1975). Expired entries keep their place until they fall out at the end.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).max
_COMPILE_FROM = 120_000


def stack_distances(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Per access, the number of distinct other keys since the same key was last asked; NEVER for a first access.

    `keys` are in arrival order. A cache of C entries (LRU) holds the key exactly when the distance is below C.
    """
    order = np.argsort(keys, kind="stable")
    previous = np.full(len(keys), -1, dtype=np.int64)
    same = keys[order][1:] == keys[order][:-1]
    previous[order[1:][same]] = order[:-1][same]
    count = _distances
    if len(keys) >= _COMPILE_FROM:  # below that, compiling or even importing numba takes longer than the loop
        import numba

        count = numba.njit(cache=True)(_distances)
    return count(previous)


def _distances(previous: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tree counts positions that are the latest access of their key."""
    n = len(previous)
    tree = np.zeros(n + 1, dtype=np.int32)
    distances = np.full(n, NEVER, dtype=np.int64)
    for i in range(n):
        p = previous[i]
        if p >= 0:
            total = 0
            j = i
            while j > 0:
                total += tree[j]
                j -= j & -j
            j = p + 1
            while j > 0:
                total -= tree[j]
                j -= j & -j
            distances[i] = total
            j = p + 1
            while j <= n:
                tree[j] -= 1
                j += j & -j
        j = i + 1
        while j <= n:
            tree[j] += 1
            j += j & -j
    return distances
