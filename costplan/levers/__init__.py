"""The ladder: which levers there are, in physical order, and how their savings compose; knows no prices.

A state is a set of levers. Every set is valued once, on the stream that is left when its levers act in physical order,
so "after" is the same whatever order the savings are told in, and the parts always add up to the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import factorial

import numpy as np
from numpy.typing import NDArray

LADDER = (
    "response_cache", "response_cache_respelled", "response_cache_semantic", "compression", "compression_structural",
    "routing_verified", "routing", "prompt_cache_marked", "prompt_cache_automatic", "batch_marked", "batch_rest",
)  # fmt: skip
"""Physical order. Bit i of a set's number stands for LADDER[i]."""
N_SETS = 1 << len(LADDER)


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """How one lever's saving depends on what else is done; nano-dollars over the log's span."""

    standalone: int
    marginal: int
    """After all counted levers before it in physical order."""
    shapley: float
    """Mean marginal saving over all orders of the counted levers (Shapley 1953): the fair share of the total."""
    weights: NDArray[np.float64]
    """By set: `shapley` is their scalar product with the costs of the sets, so a series has a Shapley share too."""
    low: int
    high: int
    """Least and most that the lever saves, over all orders of the counted levers."""


def climb(values: Sequence[int], counted: Sequence[int], given: Sequence[int] = ()) -> dict[int, Shares]:
    """Savings of the levers `counted` (indices into LADDER) on top of `given`, from the cost of every set of levers.

    The marginals in physical order sum to the cost of `given` less that of `given` and `counted`; so do the shares.
    """
    return {lever: shares_of(values, lever, counted, given) for lever in counted}


def shares_of(values: Sequence[int], lever: int, counted: Sequence[int], given: Sequence[int] = ()) -> Shares:
    """One lever's part of `climb`."""
    n, base, bit = len(counted), mask_of(given), 1 << lever
    others = [other for other in counted if other != lever]
    weights = np.zeros(len(values))
    gains: dict[int, int] = {}
    for size in range(n):
        weight = factorial(size) * factorial(n - size - 1) / factorial(n)
        for chosen in combinations(others, size):
            before = base | mask_of(chosen)
            gains[before] = int(values[before]) - int(values[before | bit])
            weights[before] += weight
            weights[before | bit] -= weight
    return Shares(
        standalone=gains[base],
        marginal=gains[base | mask_of([other for other in others if other < lever])],
        shapley=sum(float(weights[before]) * gain for before, gain in gains.items()),
        weights=weights,
        low=min(gains.values()),
        high=max(gains.values()),
    )


def mask_of(levers: Sequence[int]) -> int:
    """The set's number."""
    return sum(1 << lever for lever in levers)


def worthwhile(values: Sequence[int], candidates: Sequence[int], given: Sequence[int] = ()) -> list[int]:
    """The candidates that pay on top of `given`, in physical order.

    Of all subsets in which no lever costs more than it saves at its place, the cheapest; of equals, the smallest.
    """
    best: tuple[int, ...] = ()
    for size in range(1, len(candidates) + 1):
        for chosen in combinations(sorted(candidates), size):
            steps = [int(values[mask_of([*given, *chosen[:done]])]) for done in range(size + 1)]
            pays = all(before >= after for before, after in pairwise(steps))
            if pays and steps[-1] < int(values[mask_of([*given, *best])]):
                best = chosen
    return list(best)
