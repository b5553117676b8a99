"""The monthly bill of self-hosting as lines, each linear in GPU-hours and requests; it chooses neither fleet nor price.

A line costs `fixed + per_gpu_hour x GPU-hours + per_request x requests` USD a month. Values are floats, or arrays of
draws that broadcast: the same formulas give the point estimate, a sensitivity and the sampled range.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.tco.facts import Fact, fact
from costplan.tco.fleet import FleetRule, Staircase
from costplan.tco.rates import Supply
from costplan.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

Number = float | NDArray[np.float64]
Values = Mapping[str, Number]

LINES = ("gpu", "idle", "spare", "power", "network", "storage", "people", "software", "overhead")
_BYTES_PER_GB = 1e9
_WEEKS_PER_YEAR, _MONTHS_PER_YEAR = 52, 12
_WATTS_PER_KW = 1000
_RENTED = (
    "people.fte_share", "people.fte_per_gpu", "people.salary_usd_year", "people.oncall_usd_week",
    "people.migration_weeks", "people.migration_months", "software.usd_month", "network.balancer_usd_month",
    "network.bytes_per_output_token", "storage.usd_per_gb_month", "storage.image_gb", "storage.copies",
    "overhead.gpu_share",
)  # fmt: skip
_OWNED = (
    "power.usd_per_kwh", "power.pue", "power.server_factor", "power.busy_share", "power.idle_share",
    "overhead.colocation_usd_kw_month", "overhead.maintenance_share_year",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What is hosted on what, as far as the bill is concerned."""

    supply: Supply
    gpus_per_replica: int
    gpu_power_w: float
    weights_bytes: float
    output_tokens: float
    """Per request, in tokens of the API model."""


@dataclass(frozen=True, slots=True)
class Line:
    """USD a month, per GPU-hour and per request."""

    fixed: Number = 0.0
    per_gpu_hour: Number = 0.0
    per_request: Number = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Demand of a month, and what the fleet makes of it."""

    requests: Number
    gpu_hours: Number
    busy_gpu_hours: Number
    """Of these, the ones that serve requests at the rate a replica holds."""
    spare_gpu_hours: Number


def cost_facts(supply: Supply) -> dict[str, Fact]:
    """Every figure the bill rests on besides demand and speed, by name."""
    names = (*_RENTED, *(_OWNED if supply.owned else ()))
    egress = "owned" if supply.owned else supply.cloud or "aws"
    return {"gpu.usd_hour": supply.usd_hour, "network.egress_usd_gb": fact(f"network.egress_{egress}")} | {
        name: fact(name) for name in names
    }


def lines_of(values: Values, host: Host) -> dict[str, Line]:
    """The lines; `gpu` holds the whole price of GPU-hours, which `month` splits into work, idle and spare."""
    v, hourly = values, values["gpu.usd_hour"]
    year = v["people.fte_share"] * v["people.salary_usd_year"]
    people = year / _MONTHS_PER_YEAR + v["people.oncall_usd_week"] * _WEEKS_PER_YEAR / _MONTHS_PER_YEAR
    gpu_people = v["people.fte_per_gpu"] * v["people.salary_usd_year"] / _MONTHS_PER_YEAR / HOURS_PER_MONTH
    weights = host.weights_bytes / _BYTES_PER_GB * v["storage.copies"] + v["storage.image_gb"]
    replica_hours = host.gpus_per_replica * HOURS_PER_MONTH
    sent_gb = host.output_tokens * v["token_ratio"] * v["network.bytes_per_output_token"] / _BYTES_PER_GB
    overhead: Number = hourly * v["overhead.gpu_share"]
    power = Line()
    if host.supply.owned:
        server_kw = host.gpu_power_w * v["power.server_factor"] / _WATTS_PER_KW
        kwh_usd = server_kw * v["power.pue"] * v["power.usd_per_kwh"]
        busy = kwh_usd * (v["power.busy_share"] - v["power.idle_share"])
        power = Line(per_gpu_hour=kwh_usd * v["power.idle_share"], per_request=busy * busy_hours_per_request(v, host))
        overhead = overhead + server_kw * v["overhead.colocation_usd_kw_month"] / HOURS_PER_MONTH
        yearly = v["overhead.maintenance_share_year"] * host.supply.capex_usd
        overhead = overhead + yearly / _MONTHS_PER_YEAR / HOURS_PER_MONTH
    return {
        "gpu": Line(per_gpu_hour=hourly),
        "power": power,
        "network": Line(v["network.balancer_usd_month"], 0.0, sent_gb * v["network.egress_usd_gb"]),
        "storage": Line(per_gpu_hour=weights * v["storage.usd_per_gb_month"] / replica_hours),
        "people": Line(people, gpu_people),
        "software": Line(v["software.usd_month"]),
        "overhead": Line(migration_usd(v) / v["people.migration_months"], overhead),
    }


def migration_usd(values: Values) -> Number:
    """The one-off work of moving, in USD."""
    return values["people.migration_weeks"] * values["people.salary_usd_year"] / _WEEKS_PER_YEAR


def busy_hours_per_request(values: Values, host: Host) -> Number:
    """GPU-hours a request takes on a replica that runs at the rate it holds."""
    return host.gpus_per_replica / (values["req_s"] * SECONDS_PER_HOUR)


def total(lines: Mapping[str, Line]) -> Line:
    """All lines together; still linear."""
    fixed: Number = 0.0
    per_gpu_hour: Number = 0.0
    per_request: Number = 0.0
    for line in lines.values():
        fixed = fixed + line.fixed
        per_gpu_hour = per_gpu_hour + line.per_gpu_hour
        per_request = per_request + line.per_request
    return Line(fixed, per_gpu_hour, per_request)


def load_of(requests: float, x: float, rule: FleetRule, stairs: Staircase, busy_gpu_hours: float) -> Load:
    """The fleet of a month with that many requests and a demand of `x` replicas in the busiest hour."""
    needed = np.array([max(1, int(np.ceil(x)))])
    spare = float(rule.spare_replicas(needed)[0]) * rule.gpus_per_replica * HOURS_PER_MONTH
    return Load(
        requests=requests, gpu_hours=float(stairs.at(np.array([x]))[0]), busy_gpu_hours=busy_gpu_hours,
        spare_gpu_hours=spare,
    )  # fmt: skip


def month(lines: Mapping[str, Line], load: Load) -> dict[str, float]:
    """USD of each line of LINES, in whole cents: disjoint, and their sum is the bill."""
    price = float(lines["gpu"].per_gpu_hour)
    hours, busy, spare = float(load.gpu_hours), float(load.busy_gpu_hours), float(load.spare_gpu_hours)
    usd = {"gpu": price * busy, "idle": price * max(0.0, hours - busy - spare), "spare": price * spare}
    for name in LINES[3:]:
        line = lines[name]
        usd[name] = float(line.fixed + line.per_gpu_hour * hours + line.per_request * load.requests)
    return {name: round(usd[name], 2) for name in LINES}


def sum_of(usd: Mapping[str, float]) -> float:
    """The bill to the cent, without the dust of adding floats."""
    return round(sum(round(100 * each) for each in usd.values()) / 100, 2)
