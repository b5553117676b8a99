"""One comparison: a layout on a fleet against an API, as a function of every uncertain figure at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from costplan.breakeven.crossing import (
    DAYS_PER_MONTH,
    Cost,
    break_even_price,
    cost_of,
    first_month,
    stays_cheaper,
)
from costplan.breakeven.draws import point
from costplan.breakeven.layouts import Served
from costplan.breakeven.traffic import Traffic
from costplan.tco.bill import (
    Host,
    Line,
    Load,
    Number,
    Values,
    busy_hours_per_request,
    lines_of,
    load_of,
    migration_usd,
    month,
    sum_of,
    total,
)
from costplan.tco.facts import Fact
from costplan.tco.fleet import FleetRule, Staircase, staircase

Array = NDArray[np.float64]
MOST_REPLICAS = 512
MOST_HOURLY = 48
"""A fleet that follows the hours has a step per level and replica: fewer of them keep the draws quick."""
MONTHS = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Everything that decides the money, each uncertain figure as a Fact."""

    traffic: Traffic
    host: Host
    rule: FleetRule
    served: Served
    facts: dict[str, Fact]

    @cached_property
    def stairs(self) -> Staircase:
        return staircase(self.rule, self.traffic.shape, MOST_HOURLY if self.rule.hourly else MOST_REPLICAS)

    def prepared(self, values: Values) -> dict[str, Number]:
        """With the rate of a replica at the drawn token ratio: twice the tokens, half the requests."""
        ratio = self.facts["token_ratio"].value / values["token_ratio"]
        return dict(values) | {"req_s": values["req_s"] * ratio}

    def outcome(self, values: Values) -> "Outcome":
        """The comparison at these values: floats, or arrays of draws."""
        ready = self.prepared(values)
        lines = lines_of(ready, self.host)
        cost = cost_of(total(lines), ready)
        day = np.broadcast_to(np.asarray(ready["requests_day"], np.float64), cost.fixed.shape)
        return Outcome(case=self, values=ready, lines=lines, cost=cost, requests_day=day)

    @cached_property
    def here(self) -> "Outcome":
        """At the stated values."""
        return self.outcome(point(self.facts))


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a set of values leads to; every array has one entry per draw."""

    case: Case
    values: dict[str, Number]
    lines: dict[str, Line]
    cost: Cost
    requests_day: Array

    @cached_property
    def x(self) -> Array:
        """Demand in replicas, busiest hour."""
        return self.requests_day / self.cost.requests_day_per_x

    @cached_property
    def gpu_hours(self) -> Array:
        return self.case.stairs.at(self.x)

    @cached_property
    def requests(self) -> Array:
        """A month."""
        return self.requests_day * DAYS_PER_MONTH

    @cached_property
    def api_usd(self) -> Array:
        """(b), USD a month."""
        return self.cost.api_usd_request * self.requests

    @cached_property
    def self_usd(self) -> Array:
        """(c), USD a month, before rounding to cents."""
        return self.cost.fixed + self.cost.per_gpu_hour * self.gpu_hours + self.cost.per_request * self.requests

    @cached_property
    def saving(self) -> Array:
        return self.api_usd - self.self_usd

    @cached_property
    def volume(self) -> Array:
        """Requests a day above which self-hosting stays cheaper; nan = never."""
        return stays_cheaper(self.cost, self.case.stairs)

    @cached_property
    def price(self) -> Array:
        """USD per GPU-hour below which it is cheaper at this volume; nan = not even for free."""
        share = np.asarray(self.values["overhead.gpu_share"], np.float64)
        usd = np.asarray(self.values["gpu.usd_hour"], np.float64)
        return break_even_price(self.cost, 1 + share, usd, self.x, self.gpu_hours)

    def month(self, growth: Number) -> Array:
        """First month by whose end self-hosting has cost less in total; nan = not within `MONTHS`."""

        def wide(number: Number) -> Array:
            return np.broadcast_to(np.asarray(number, np.float64), self.x.shape)

        once = wide(migration_usd(self.values))
        monthly = once / wide(self.values["people.migration_months"])
        return first_month(self.cost, self.case.stairs, self.x, wide(growth), once, monthly, MONTHS)

    def load(self) -> Load:
        """The fleet of a single case."""
        requests = float(self.requests[0])
        busy = requests * float(busy_hours_per_request(self.values, self.case.host))
        return load_of(requests, float(self.x[0]), self.case.rule, self.case.stairs, busy)

    def bill(self) -> dict[str, float]:
        """USD of each line, in cents, of a single case."""
        return month(self.lines, self.load())

    def bill_usd(self) -> float:
        """Their sum."""
        return sum_of(self.bill())


def needed(case: Case) -> int:
    """Replicas that the busiest hour takes, without spare."""
    return max(1, int(np.ceil(case.here.x[0])))
