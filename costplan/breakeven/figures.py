"""Draws and points made into the rows of breakeven.json: estimates, sensitivities and curves; it decides nothing."""

from dataclasses import replace
from math import isnan

import numpy as np
from numpy.typing import NDArray

from costplan.breakeven.case import MONTHS, Case, Outcome
from costplan.breakeven.crossing import DAYS_PER_MONTH, crossings
from costplan.breakeven.draws import LEVEL, one_at_a_time, point, reached
from costplan.results import Basis, Estimate
from costplan.results.breakeven import BreakEvens, CrossingRow, CurveRow, GrowthRow, PriceRow, Sensitivity
from costplan.tco.bill import Number, migration_usd
from costplan.tco.facts import Fact

Array = NDArray[np.float64]
LABELS = {
    "gpu.usd_hour": "price of a GPU-hour",
    "people.fte_share": "engineers it takes",
    "people.fte_per_gpu": "engineers per further GPU",
    "people.salary_usd_year": "what an engineer costs",
    "people.oncall_usd_week": "on-call pay",
    "people.migration_weeks": "work of moving",
    "people.migration_months": "months it is written off",
    "software.usd_month": "monitoring and gateway",
    "req_s": "rate a replica holds",
    "api_usd_request": "open model's price per token",
    "token_ratio": "tokens of the open model",
    "hour_peak": "busiest hour against the mean",
    "burst": "bursts within an hour",
    "requests_day": "requests per day",
    "overhead.gpu_share": "GPUs for staging and failures",
    "network.bytes_per_output_token": "bytes sent per token",
    "network.egress_usd_gb": "price of traffic out",
    "network.balancer_usd_month": "load balancer",
    "storage.usd_per_gb_month": "price of storage",
    "storage.image_gb": "image and logs",
    "storage.copies": "copies of the weights",
    "power.usd_per_kwh": "price of electricity",
    "power.pue": "cooling (PUE)",
    "power.server_factor": "power of the server around the GPU",
    "power.busy_share": "power draw at work",
    "power.idle_share": "power draw idle",
    "overhead.colocation_usd_kw_month": "rack space",
    "overhead.maintenance_share_year": "hardware support",
    "growth": "growth of the traffic",
}
_CURVE_POINTS, _PRICE_POINTS = 64, 17


def spread(value: float, draws: Array, unit: str, basis: Basis, note: str = "") -> Estimate:
    """The value with the range that 95 % of the draws lie in."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(
        value=value, low=min(value, float(low)), high=max(value, float(high)), level=LEVEL, unit=unit, basis=basis,
        note=note,
    )  # fmt: skip


def stated(fact: Fact, *, note: str = "") -> Estimate:
    """A fact as an estimate: a plausible range, no interval."""
    return Estimate(
        value=fact.value, low=fact.low, high=fact.high, unit=fact.unit, basis="assumed", note=note or fact.source
    )  # fmt: skip


def break_evens(case: Case, here: Outcome, draws: Outcome, growth: tuple[float, Number]) -> BreakEvens:
    """The three break-evens, each with why there is none where there is none."""
    volume, price = float(here.volume[0]), float(here.price[0])
    month = float(here.month(growth[0])[0])
    found = crossings(here.cost, case.stairs)
    per_replica = float(here.cost.per_gpu_hour[0]) * case.stairs.gpu_hours[-1] / case.stairs.ends[-1]
    gain = float(here.cost.gain_per_x[0])
    why = f"a replica costs ${per_replica:,.0f} a month, buying what it can serve ${max(gain, 0):,.0f}"
    if (limit := _price_limit(here, gain)) > 0:
        why += f"; below ${limit:,.2f} per GPU-hour there is such a volume"
    cheaper = float(here.saving[0]) > 0
    no_month = f"in {MONTHS} months self-hosting is not cheaper in total"
    no_month += "" if growth[0] or cheaper else "; no --growth is given"
    return BreakEvens(
        requests_per_day=reached(volume, draws.volume, "requests/day", note=why if isnan(volume) else ""),
        usd_per_gpu_hour=reached(
            price, draws.price, "USD/GPU-hour",
            note="the other costs alone exceed the API's bill at this volume" if isnan(price) else "",
        ),
        month=reached(
            month, draws.month(growth[1]), "month",
            note=no_month if isnan(month) else "by its end self-hosting has cost less in total, moving included",
        ),
        crossings=[
            CrossingRow(
                requests_per_day=each.requests_per_day, replicas=each.replicas,
                cheaper_above="self_host" if each.cheaper_above == "self_host" else "api",
                gpus=int(case.rule.gpus(np.array([each.replicas]))[0]),
            )
            for each in found
        ],
    )  # fmt: skip


def _price_limit(here: Outcome, gain: float) -> float:
    """USD per GPU-hour below which some volume makes self-hosting cheaper: a replica in full use just pays."""
    stairs, hourly = here.case.stairs, float(np.asarray(here.values["gpu.usd_hour"]))
    hours = stairs.gpu_hours[-1] / stairs.ends[-1]
    share = 1 + float(np.asarray(here.values["overhead.gpu_share"]))
    return float(gain / hours - (here.cost.per_gpu_hour[0] - share * hourly)) / share


def tornado(case: Case) -> list[Sensitivity]:
    """Every uncertain figure by itself, widest swing first."""
    base = float(case.here.saving[0])

    def run(values: dict[str, Number]) -> tuple[float, float]:
        found = case.outcome(values)
        return float(found.saving[0]), float(found.volume[0])

    rows: list[Sensitivity] = []
    for name, low, high in one_at_a_time(case.facts, run):
        fact = case.facts[name]
        ends = (low[0], base, high[0])
        rows.append(
            Sensitivity(
                name=name, label=LABELS.get(name, name), value=fact.value, low=fact.low, high=fact.high, unit=fact.unit,
                saving_usd_month=[low[0], high[0]],
                requests_per_day=[None if isnan(each) else each for each in (low[1], high[1])],
                swing_usd_month=max(ends) - min(ends), flips=min(ends) < 0 < max(ends), source=fact.source,
                checked=fact.checked,
            )
        )  # fmt: skip
    return sorted((row for row in rows if row.swing_usd_month > 0), key=lambda row: (-row.swing_usd_month, row.name))


def curve(case: Case, api_usd_request: float | None) -> list[CurveRow]:
    """The three bills over volume, around the volume at hand and the break-even."""
    here = case.here
    centres = [float(here.requests_day[0])]
    if not isnan(volume := float(here.volume[0])):
        centres.append(volume)
    grid = np.geomspace(min(centres) / 20, max(centres) * 20, _CURVE_POINTS)
    found = case.outcome(point(case.facts) | {"requests_day": np.unique(np.append(grid, centres))})
    return [
        CurveRow(
            requests_per_day=day, api=None if api_usd_request is None else api_usd_request * day * DAYS_PER_MONTH,
            open_model_api=open_usd, self_host=own_usd, gpus=_gpus(case, found, index),
        )
        for index, (day, open_usd, own_usd) in enumerate(
            zip(found.requests_day.tolist(), found.api_usd.tolist(), found.self_usd.tolist(), strict=True)
        )
    ]  # fmt: skip


def price_curve(case: Case) -> list[PriceRow]:
    """The break-even volume over the price of a GPU-hour, from half the lowest price known to 1.5 times the highest."""
    fact = case.facts["gpu.usd_hour"]
    grid = np.geomspace(max(0.01, fact.low / 2), fact.high * 1.5, _PRICE_POINTS)
    found = case.outcome(point(case.facts) | {"gpu.usd_hour": np.unique(np.append(grid, fact.value))})
    prices = np.unique(np.append(grid, fact.value)).tolist()
    return [
        PriceRow(usd_per_gpu_hour=price, requests_per_day=None if isnan(day) else day, self_host_usd_month=usd)
        for price, day, usd in zip(prices, found.volume.tolist(), found.self_usd.tolist(), strict=True)
    ]


def growth_rows(case: Case, growth: float, api_usd_request: float | None, months: int) -> list[GrowthRow]:
    """Month by month with growing traffic; none where no growth is given."""
    if not growth:
        return []
    first = float(case.here.requests_day[0])
    days = np.asarray(first * (1 + growth) ** np.arange(months), np.float64)
    found = case.outcome(point(case.facts) | {"requests_day": days})
    once = float(migration_usd(case.here.values))
    monthly = once / float(case.here.values["people.migration_months"])
    to_date = np.cumsum(found.api_usd - found.self_usd + monthly) - once
    return [
        GrowthRow(
            month=index + 1, requests_per_day=day, open_model_api=float(found.api_usd[index]),
            api=None if api_usd_request is None else api_usd_request * day * DAYS_PER_MONTH,
            self_host=float(found.self_usd[index]), gpus=_gpus(case, found, index),
            saved_usd_to_date=float(to_date[index]),
        )
        for index, day in enumerate(days.tolist())
    ]  # fmt: skip


def smaller_fleet(case: Case, replicas: int) -> float:
    """USD a month if only so many replicas stood there."""
    rule = replace(case.rule, given=replicas * case.rule.gpus_per_replica, spare=0)
    return replace(case, rule=rule).here.bill_usd()


def _gpus(case: Case, found: Outcome, index: int) -> int:
    needed = np.array([max(1, int(np.ceil(found.x[index])))])
    return int(case.rule.gpus(needed)[0])
