"""The sentences of breakeven.json: verdict, warnings, assumptions; it compares figures and computes none."""

from dataclasses import fields
from typing import Any

import numpy as np

from costplan.breakeven.case import Case, needed
from costplan.breakeven.figures import smaller_fleet
from costplan.breakeven.traffic import Traffic
from costplan.report.numbers import percent
from costplan.results import Assumption
from costplan.results.breakeven import Reached, Sensitivity
from costplan.settings import BreakevenSettings
from costplan.tco.rates import Supply
from costplan.units import plural

SURE = 0.95
"""Share of the draws that must agree before the verdict is no longer "depends"."""


def verdict_of(volume_known: bool, share: float, table: list[Sensitivity], volume: Reached) -> tuple[str, str]:
    """(`api`, `self-host` or `depends on X`, why). About (b) - (c); without a volume it is about any volume."""
    flipping = [row for row in table if row.flips] or table
    if not volume_known:
        if volume.share_reached <= 1 - SURE:
            none = percent(1 - volume.share_reached)
            return "api", f"{none} of the draws have no volume at which own GPUs are cheaper"
        if volume.value is not None and volume.share_reached >= SURE:
            return "depends on requests per day", f"own GPUs are cheaper above {volume.value:,.0f} a day"
        what = flipping[0].label if flipping else "the prices"
        return f"depends on {what}", f"{percent(volume.share_reached)} of the draws have a volume with cheaper own GPUs"
    if share >= SURE:
        return "self-host", f"own GPUs are cheaper in {percent(share)} of the draws"
    if share <= 1 - SURE:
        return "api", f"buying the open model by the token is cheaper in {percent(1 - share)} of the draws"
    what = flipping[0].label if flipping else "the prices"
    return f"depends on {what}", f"own GPUs are cheaper in {percent(share)} of the draws"


def fleet_note(case: Case, count: int) -> str:
    """Whether the given GPUs are too many, too few or leave nothing spare."""
    rule, wanted = case.rule, needed(case)
    replicas, used = rule.replicas_given, wanted * rule.gpus_per_replica
    if rule.hourly:
        return "the fleet follows the hours"
    gpus = int(rule.gpus(np.array([wanted]))[0])
    if wanted > replicas:
        given = plural(count, "GPU")
        return f"the busiest hour needs {wanted} replicas, the {given} given hold {replicas}: {gpus} are paid for"
    enough = wanted + rule.spare
    if enough < replicas:
        usd = smaller_fleet(case, enough)
        spared = f", {enough * rule.gpus_per_replica} with a spare" if rule.spare else ""
        return f"{used} of {count} GPUs would do{spared}: ${usd:,.0f} a month"
    if rule.spare and enough > replicas:
        broken = "the only replica" if replicas == 1 else f"one of {replicas} replicas"
        return f"no spare: when {broken} fails, the limits do not hold until it is back"
    return ""


def warnings_of(
    case: Case, supply: Supply, count: int, usd: tuple[float, float, float], stood_in: str, models: tuple[str, str]
) -> list[str]:
    """One sentence each, what matters most first. `usd` are the three columns, `models` the API's and the open one."""
    (api, bought, own), (api_model, open_model) = usd, models
    found: list[str] = []
    if stood_in:
        found.append(
            f"{open_model} stands in for {api_model} ({stood_in}): whether it is good enough is not known here."
        )
    if api <= min(bought, own):
        found.append("Today's API costs less than both ways of using the open model.")
    note = fleet_note(case, count)
    if note and not case.rule.hourly:
        found.append(f"Fleet: {note}.")
    wanted = case.rule.replicas(np.array([needed(case)])) * case.rule.gpus_per_replica
    paid = int(case.rule.gpus(np.array([needed(case)]))[0])
    if supply.sizes[0] > 1 and paid > max(int(wanted[0]), count):
        where = supply.cloud or "the clouds"
        found.append(f"{where} rents this GPU in instances of {supply.sizes[0]} only.")
    if supply.term == "spot":
        found.append("Spot GPUs can be taken away at any time: the price counts, lost requests and restarts do not.")
    if supply.minimum_months:
        found.append(f"Reserved: the price holds for at least {supply.minimum_months} months, also when traffic falls.")
    return [*found, *case.traffic.notes]


def assumptions_of(
    case: Case, settings: BreakevenSettings, origins: dict[str, str], models: tuple[str, str, str]
) -> list[Assumption]:
    """Every figure with its range and source, then the settings and who chose them."""
    rows = [
        Assumption(
            name=name, origin=fact.source + (f" ({fact.checked})" if fact.checked else ""),
            value=f"{fact.value:.6g}" + (f" ({fact.low:.6g} to {fact.high:.6g})" if fact.low < fact.high else "")
            + f" {fact.unit}",
        )
        for name, fact in sorted(case.facts.items())
    ]  # fmt: skip
    api_model, open_model, precision = models
    worked_out = {"api_model": api_model, "model": open_model, "precision": precision}
    for each in fields(settings):
        value = worked_out.get(each.name, getattr(settings, each.name))
        if value is not None:
            rows.append(Assumption(name=each.name, value=str(value), origin=origins.get(each.name, "default")))
    return rows


def traffic_facts(traffic: Traffic) -> dict[str, Any]:
    """What moves, in figures."""
    day = traffic.requests_day
    return {
        "origin": traffic.origin,
        "requests_per_day": {
            "value": day.value,
            "low": day.low,
            "high": day.high,
            "unit": day.unit,
            "note": day.source,
        },
        "volume_assumed": not traffic.volume_known,
        "input_tokens": traffic.input_tokens,
        "output_tokens": traffic.output_tokens,
        "hour_peak": traffic.hour_peak.value,
        "burst": traffic.burst.value,
        "prefix_hit_share": traffic.prefix_hit,
        "cached_share": traffic.cached_share,
    }
