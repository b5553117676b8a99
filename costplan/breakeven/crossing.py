"""Where a staircase of fleet cost crosses the straight line of an API bill; every formula also takes arrays of draws.

With x replicas of demand in the busiest hour: self-hosting costs F + c G(x) + r n(x), the API a n(x), where G are the
GPU-hours of the staircase, n = k x the requests of a month and k follows from what one replica holds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.tco.bill import Line, Number, Values
from costplan.tco.fleet import Staircase
from costplan.units import HOURS_PER_MONTH, SECONDS_PER_DAY

Array = NDArray[np.float64]
DAYS_PER_MONTH = HOURS_PER_MONTH / 24


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """The two sides of the comparison; each field is one number, or one per draw."""

    fixed: Array
    per_gpu_hour: Array
    per_request: Array
    """Of self-hosting, beside GPU-hours."""
    api_usd_request: Array
    requests_day_per_x: Array
    """Requests a day that make a demand of one replica in the busiest hour."""

    @property
    def gain_per_x(self) -> Array:
        """USD a month that the API costs more than the per-request part of self-hosting, per replica of demand."""
        return (self.api_usd_request - self.per_request) * self.requests_day_per_x * DAYS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Crossing:
    """A volume where the cheaper side changes."""

    requests_per_day: float
    cheaper_above: str
    """`self_host` or `api`."""
    replicas: int
    gpu_hours: float


def requests_day_per_x(values: Values) -> Number:
    """Requests a day whose busiest hour's peak needs exactly what one replica holds."""
    return values["req_s"] * SECONDS_PER_DAY / (values["hour_peak"] * values["burst"])


def cost_of(line: Line, values: Values) -> Cost:
    """Arrays of one entry, or as many as there are draws of any value."""
    draws = max(np.size(value) for value in values.values())
    parts = (
        line.fixed, line.per_gpu_hour, line.per_request,
        values["api_usd_request"] * values["token_ratio"], requests_day_per_x(values),
    )  # fmt: skip
    return Cost(*(np.broadcast_to(np.asarray(each, np.float64), (draws,)) for each in parts))


def stays_cheaper(cost: Cost, stairs: Staircase) -> Array:
    """Requests a day above which self-hosting is never dearer again, by draw; nan where there is no such volume.

    It is the crossing in the last step at whose start self-hosting is not yet cheaper; were that the last step of the
    staircase, no volume within reach would do.
    """
    gain = cost.gain_per_x
    bill = cost.fixed[:, None] + cost.per_gpu_hour[:, None] * stairs.gpu_hours
    dearer = bill >= gain[:, None] * stairs.starts
    last = dearer.shape[1] - 1 - dearer[:, ::-1].argmax(axis=1)
    reached = (gain > 0) & (last < dearer.shape[1] - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = bill[np.arange(len(last)), last] / gain
    return np.where(reached, x * cost.requests_day_per_x, np.nan)


def crossings(cost: Cost, stairs: Staircase) -> list[Crossing]:
    """Every change of the cheaper side of a single case, in order of volume."""
    gain, per_x = float(cost.gain_per_x[0]), float(cost.requests_day_per_x[0])
    bill = cost.fixed[0] + cost.per_gpu_hour[0] * stairs.gpu_hours
    found: list[Crossing] = []
    self_cheaper = False

    def add(x: float, cheaper: str, step: int) -> None:
        found.append(
            Crossing(
                requests_per_day=x * per_x, cheaper_above=cheaper, replicas=int(np.ceil(stairs.ends[step])),
                gpu_hours=float(stairs.gpu_hours[step]),
            )
        )  # fmt: skip

    for step, (start, end) in enumerate(zip(stairs.starts.tolist(), stairs.ends.tolist(), strict=True)):
        if end == start:
            continue
        if self_cheaper and bill[step] > gain * start:
            add(start, "api", step)
            self_cheaper = False
        if not self_cheaper and gain > 0 and bill[step] < gain * end:
            add(max(start, float(bill[step]) / gain), "self_host", step)
            self_cheaper = True
    return found


def break_even_price(cost: Cost, per_usd: Array, gpu_usd: Array, x: Array, gpu_hours: Array) -> Array:
    """USD per GPU-hour below which self-hosting is cheaper at demand x; nan where not even free GPUs would do.

    `per_usd` is how much the bill grows per GPU-hour and USD of its price, `gpu_usd` the price in `cost`.
    """
    other = cost.fixed + (cost.per_gpu_hour - per_usd * gpu_usd) * gpu_hours
    price = (cost.gain_per_x * x - other) / (per_usd * gpu_hours)
    return np.where(price > 0, price, np.nan)


def first_month(
    cost: Cost, stairs: Staircase, x: Array, growth: Array, once_usd: Array, written_off: Array, months: int
) -> Array:
    """The first month (1 = the first) by whose end self-hosting has cost less in total, the one-off work included; nan
    where no month within `months` does. `written_off` is the monthly share of that work inside `cost.fixed`."""
    index = np.arange(months)
    demand = x[:, None] * (1 + growth[:, None]) ** index
    hours = stairs.at(demand)
    gain = cost.gain_per_x[:, None] * demand - (cost.fixed - written_off)[:, None] - cost.per_gpu_hour[:, None] * hours
    ahead = np.cumsum(gain, axis=1) >= once_usd[:, None]
    return np.where(ahead.any(axis=1), ahead.argmax(axis=1) + 1.0, np.nan)
