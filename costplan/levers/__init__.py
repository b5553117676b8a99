"""The ladder: which levers there are, in physical order, and how their savings compose; knows no prices.

A state is a set of levers. Every set is valued once, on the stream that is left when its levers act in physical order,
so "after" is the same whatever order the savings are told in, and the parts always add up to the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import NDArray

LADDER = ("response_cache", "prompt_cache_marked", "prompt_cache_automatic", "batch_marked", "batch_rest")
"""Physical order. Bit i of a set's number stands for LADDER[i]."""
N_SETS = 1 << len(LADDER)
Money = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shares:
    """How one lever's saving depends on what else is done; nano-dollars over the log's span."""

    standalone: int
    marginal: int
    """After all counted levers before it in physical order."""
    shapley: float
    """Mean marginal saving over all orders of the counted levers (Shapley 1953): the fair share of the total."""
    low: int
    high: int


def climb(values: Sequence[int], counted: Sequence[int]) -> dict[int, Shares]:
    """Savings of the levers `counted` (indices into LADDER), from the cost of every set of levers.

    The marginals in physical order sum to `values[0] - values[all counted]`, and so do the Shapley shares.
    """
    shares: dict[int, Shares] = {}
    for lever in counted:
        others = [other for other in counted if other != lever]
        gains: list[tuple[int, int]] = []
        for chosen in range(1 << len(others)):
            before = sum(1 << other for i, other in enumerate(others) if chosen >> i & 1)
            gains.append((chosen.bit_count(), int(values[before]) - int(values[before | 1 << lever])))
        n = len(counted)
        weight = [factorial(size) * factorial(n - size - 1) / factorial(n) for size in range(n)]
        earlier = sum(1 << other for other in others if other < lever)
        shares[lever] = Shares(
            standalone=gains[0][1],
            marginal=int(values[earlier]) - int(values[earlier | 1 << lever]),
            shapley=sum(weight[size] * gain for size, gain in gains),
            low=min(gain for _, gain in gains),
            high=max(gain for _, gain in gains),
        )
    return shares


def mask_of(levers: Sequence[int]) -> int:
    """The set's number."""
    return sum(1 << lever for lever in levers)


def worthwhile(values: Sequence[int], candidates: Sequence[int]) -> list[int]:
    """The candidates that pay: those whose marginal saving in physical order is negative are left out, one by one."""
    counted = list(candidates)
    while counted:
        shares = climb(values, counted)
        worst = min(counted, key=lambda lever: shares[lever].marginal)
        if shares[worst].marginal >= 0:
            break
        counted.remove(worst)
    return counted


def all_orders(levers: Sequence[int]) -> list[tuple[int, ...]]:
    """Every order in which the levers could be told; for tests and small sets."""
    return list(permutations(levers))
