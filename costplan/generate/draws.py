"""Random numbers that are the same everywhere: only `random.Random.random`, whose sequence Python promises to keep.

What passes through a logarithm becomes a whole number at once, so that the last digit of a machine's libm never shows.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import TypeVar

Item = TypeVar("Item")


def stream(seed: int, *names: object) -> Random:
    """A source of its own for each name."""
    told = "/".join(map(str, (seed, *names))).encode()
    return Random(int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()))


def below(rng: Random, n: int) -> int:
    """A whole number from 0 to n - 1."""
    return int(rng.random() * n)


def pick(rng: Random, items: Sequence[Item]) -> Item:
    """One of the items, all alike."""
    return items[int(rng.random() * len(items))]


def weighted(rng: Random, shares: Sequence[float]) -> int:
    """The number of a share; one past the last for what the shares leave of 1."""
    return bisect_right(list(accumulate(shares)), rng.random())


def exponential(rng: Random, mean: float) -> int:
    """A whole number, exponentially distributed."""
    return round(-math.log(1 - rng.random()) * mean)


def normal(rng: Random) -> float:
    """Standard normal (Box and Muller 1958); to be rounded by whoever uses it."""
    return math.sqrt(-2 * math.log(1 - rng.random())) * math.cos(math.tau * rng.random())


def lognormal(rng: Random, mean: float, cv: float) -> int:
    """A whole number with that mean and coefficient of variation."""
    variance = math.log(1 + cv * cv)
    return round(mean * math.exp(math.sqrt(variance) * normal(rng) - variance / 2))


def geometric(rng: Random, mean: float) -> int:
    """A whole number from 1 on with that mean; a mean of 1 or less is always 1."""
    if mean <= 1:
        return 1
    return 1 + int(math.log(1 - rng.random()) / math.log(1 - 1 / mean))


def often(rng: Random, mean: float) -> int:
    """The whole number below or above the mean, so that it is the mean."""
    return int(mean) + (rng.random() < mean - int(mean))


def zipf(rng: Random, n: int, exponent: float) -> int:
    """A rank from 0 to n - 1, by the continuous bounded power law with that exponent."""
    u = rng.random()
    if abs(exponent - 1) < 1e-9:
        return min(n - 1, int((n + 1) ** u) - 1)
    rest = 1 - exponent
    return min(n - 1, int(((((n + 1) ** rest) - 1) * u + 1) ** (1 / rest)) - 1)


def gamma(rng: Random, shape: float, mean: float) -> int:
    """A whole number, gamma distributed (Marsaglia and Tsang, ACM TOMS 26, 2000); shape 1 is exponential."""
    boost = 1.0
    if shape < 1:
        boost = (1 - rng.random()) ** (1 / shape)
        shape, mean = shape + 1, mean * (shape + 1) / shape  # mean of the unboosted variate
    d = shape - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        x = normal(rng)
        v = (1 + c * x) ** 3
        if v > 0 and math.log(1 - rng.random()) < x * x / 2 + d - d * v + d * math.log(v):
            return round(d * v * boost * mean / shape)
