"""LRU stack distances: how many other keys were asked since the last time; one pass gives the hits of every capacity.

Mattson et al. 1970 ("Evaluation techniques for storage hierarchies"). The distance of an access is the number of
accesses since the previous one of its key, less those that repeat a key asked in between; the latter are the earlier
accesses with a later previous access, counted for all of them at once, bit by bit. Expired entries keep their place
until they fall out at the end.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.keyed import together

NEVER = np.iinfo(np.int64).max


def stack_distances(keys: NDArray[Any]) -> NDArray[np.int64]:
    """Per access, the number of distinct other keys since the same key was last asked; NEVER for a first access.

    `keys` are in arrival order. A cache of C entries (LRU) holds the key exactly when the distance is below C.
    """
    n = len(keys)
    order = together(keys)
    same = keys[order[1:]] == keys[order[:-1]]
    previous = np.full(n, -1, dtype=np.int64)
    previous[order[1:][same]] = order[:-1][same]
    again = np.flatnonzero(previous >= 0)
    asked = previous[again]
    is_asked = np.zeros(n, dtype=np.bool_)
    is_asked[asked] = True
    rank = np.cumsum(is_asked, dtype=np.int32)[asked] - 1  # an access is the previous one of at most one other
    distances = np.full(n, NEVER, dtype=np.int64)
    distances[again] = again - asked - 1 - greater_before(rank)
    return distances


def greater_before(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Per element of a permutation of 0..n-1, how many earlier elements are greater.

    From the highest bit to the lowest, elements that agree in all higher bits stand together in their first order (as
    in a wavelet tree); there, those with a set bit are greater than the later ones without it.
    """
    n = len(values)
    value, owner = values.astype(np.int32), np.arange(n, dtype=np.int32)
    count = np.zeros(n, dtype=np.int32)
    for bit in reversed(range(max(0, n - 1).bit_length())):
        one = (value >> bit) & 1
        ones_before = np.cumsum(one, dtype=np.int32) - one
        group = (value >> (bit + 1)) << (bit + 1)  # where the group starts: a permutation leaves no gaps
        ones_before -= ones_before[group]
        zero = one == 0
        count[owner[zero]] += ones_before[zero]
        place = np.where(zero, np.arange(n, dtype=np.int32) - ones_before, (group | 1 << bit) + ones_before)
        moved = np.empty_like(value)
        moved[place] = value
        value = moved
        moved = np.empty_like(owner)
        moved[place] = owner
        owner = moved
    return count
