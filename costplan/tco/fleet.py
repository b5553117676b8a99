"""How many GPU-hours a month are paid for at a given demand: a staircase, hour by hour; it knows no price.

Demand is counted in replicas: x = the busiest hour's peak demand over what one replica holds within the SLO. An hour
whose demand is a share w of the busiest one's needs ceil(w x) replicas.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LEVELS = 24
"""Hours are sorted into this many levels of demand, each rounded up, before the fleet follows them."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Demand over a month relative to its busiest hour: how many hours of a month lie at each level in (0, 1]."""

    levels: Array
    """Rounded up: what the fleet follows."""
    hours: Array
    demand: Array
    """Mean demand of the hours at each level, not rounded."""

    @property
    def hour_peak(self) -> float:
        """Busiest hour over mean hour."""
        return float(self.hours.sum() / (self.demand @ self.hours))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRule:
    """How replicas turn into GPUs that are paid for."""

    gpus_per_replica: int
    given: int
    """GPUs that stand there anyway (`--gpus`); the fleet is never smaller, unless it follows the hours."""
    spare: int = 1
    sizes: tuple[int, ...] = (1,)
    """Instance sizes, ascending; a fleet is bought in multiples of the smallest one that holds a replica."""
    hourly: bool = False
    """Whether the fleet follows the hours (rented by the hour) or stands for the busiest one."""

    @property
    def replicas_given(self) -> int:
        return self.given // self.gpus_per_replica

    def replicas(self, needed: NDArray[np.int64]) -> NDArray[np.int64]:
        """Replicas that run: what is needed and the spare ones. Given GPUs that hold the demand are not added to, even
        where they leave no spare."""
        wanted = np.maximum(needed, 1) + self.spare
        if self.hourly:
            return wanted
        return np.where(needed <= self.replicas_given, max(self.replicas_given, 1), wanted)

    def gpus(self, needed: NDArray[np.int64]) -> NDArray[np.int64]:
        """GPUs paid for when `needed` replicas are."""
        paid = self.whole(self.replicas(needed))
        return paid if self.hourly else np.maximum(paid, -(-self.given // self.sizes[0]) * self.sizes[0])

    def whole(self, replicas: NDArray[np.int64]) -> NDArray[np.int64]:
        """GPUs of the whole instances that hold them: a replica spans several only where it fits into none."""
        size = min((size for size in self.sizes if size >= self.gpus_per_replica), default=self.sizes[-1])
        if size < self.gpus_per_replica:
            return -(-replicas * self.gpus_per_replica // size) * size
        return -(-replicas // (size // self.gpus_per_replica)) * size

    def spare_replicas(self, needed: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of the replicas that run, those that stand in for a broken one."""
        return np.clip(self.replicas(needed) - np.maximum(needed, 1), 0, self.spare)


@dataclass(frozen=True, slots=True, eq=False)
class Staircase:
    """GPU-hours a month over demand: `gpu_hours[i]` holds for x in (ends[i - 1], ends[i]]."""

    ends: Array
    gpu_hours: Array

    @property
    def starts(self) -> Array:
        return np.concatenate(([0.0], self.ends[:-1]))

    def at(self, x: Array) -> Array:
        """GPU-hours at demand x; beyond the last step the slope of the whole goes on."""
        index = np.minimum(np.searchsorted(self.ends, x, side="left"), len(self.ends) - 1)
        beyond = np.maximum(x / self.ends[-1], 1.0)
        return self.gpu_hours[index] * beyond


def staircase(rule: FleetRule, shape: Shape, most: int) -> Staircase:
    """All steps up to a demand of `most` replicas in the busiest hour."""
    levels, hours = shape.levels, shape.hours
    if not rule.hourly:
        levels, hours = np.ones(1), np.array([shape.hours.sum()])
    ends: list[Array] = []
    jumps: list[Array] = []
    first = 0.0
    for level, span in zip(levels.tolist(), hours.tolist(), strict=True):
        steps = np.arange(1, max(2, int(np.ceil(most * level)) + 1))
        gpus = rule.gpus(steps)
        first += float(gpus[0]) * span
        ends.append(steps / level)
        jumps.append(np.append(np.diff(gpus), gpus[-1] - gpus[-2] if len(gpus) > 1 else gpus[-1]) * span)
    at = np.concatenate(ends)
    order = np.argsort(at, kind="stable")
    at, rise = at[order], np.concatenate(jumps)[order]
    total = first + np.concatenate(([0.0], np.cumsum(rise)[:-1]))
    keep = at <= most
    return Staircase(at[keep], total[keep])


def shape_of(hourly: Array, hours_per_month: float) -> Shape:
    """The shape of a series of hourly sums; hours without demand stand at the lowest level, as one replica stays."""
    relative = hourly / hourly.max()
    level = np.maximum(np.ceil(relative * _LEVELS - 1e-9), 1.0).astype(np.int64)
    counts, sums = np.bincount(level, minlength=_LEVELS + 1), np.bincount(level, relative, _LEVELS + 1)
    found = np.flatnonzero(counts)
    return Shape(found / _LEVELS, counts[found] * hours_per_month / len(hourly), sums[found] / counts[found])


def daily_shape(hour_peak: float, hours_per_month: float) -> Shape:
    """A day that swings as a cosine around its mean: the busiest hour has `hour_peak` (1 to 2) times the mean."""
    hours = np.arange(24)
    return shape_of(1 + (hour_peak - 1) * np.cos(2 * np.pi * hours / 24), hours_per_month)
