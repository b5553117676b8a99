"""The monthly bill of GPUs for a number of replicas; people, power, network and software are counted in break-even."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from costplan.capacity.hours import Hours
from costplan.capacity.layout import Layout, basis_of, error_bands, throughput_error
from costplan.capacity.sizing import Sized
from costplan.errors import UsageError
from costplan.profiles.gpus import Gpu, HourPrice
from costplan.results import Estimate
from costplan.results.serving import FleetOption
from costplan.serving.workload import Workload
from costplan.settings import CapacitySettings
from costplan.tco.fleet import FleetRule
from costplan.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK


def price_of(settings: CapacitySettings, gpu: Gpu) -> HourPrice | None:
    """USD per GPU-hour under the chosen term; None where there is no such price."""
    prices = {"on-demand": gpu.on_demand, "reserved": gpu.reserved, "spot": gpu.spot}
    return prices[settings.price]


def gpus_paid(settings: CapacitySettings, layout: Layout, replicas: int) -> int:
    """GPUs of the whole instances that hold the replicas and the spares."""
    rule = FleetRule(
        gpus_per_replica=layout.gpus_per_replica, given=0, spare=settings.spare, sizes=layout.gpu.instance_gpus
    )
    return int(rule.whole(np.array([replicas + settings.spare]))[0])


def _started(counts: Sequence[int]) -> int:
    """Replicas added from one hour to the next."""
    return sum(max(0, later - before) for before, later in zip(counts[:-1], counts[1:], strict=True))


def fleet_cost(settings: CapacitySettings, layout: Layout, by_hour: Sequence[int], note: str = "") -> Estimate:
    """USD a month of replicas that follow the hours; a new one is paid for while it starts.

    Low and high: the range of prices, and as many replicas less or more as the error of simulated rates makes it.
    """
    price = price_of(settings, layout.gpu)
    if price is None:
        raise UsageError(f"{layout.gpu.name} has no {settings.price} price", hint="--price on-demand")
    error = throughput_error(layout.engine)

    def gpu_hours(factor: float) -> float:
        counts = [max(1, math.ceil(n * factor - 1e-9)) for n in by_hour]
        paid: float = sum(times * gpus_paid(settings, layout, n) for n, times in Counter(counts).items())
        paid += _started(counts) * layout.gpus_per_replica * settings.cold_start / SECONDS_PER_HOUR
        return paid / len(counts) * HOURS_PER_MONTH

    return Estimate(
        value=price.usd * gpu_hours(1.0), low=price.low * gpu_hours(1 / (1 + error)),
        high=price.high * gpu_hours(1 + error), unit="usd/month", basis=basis_of(layout),
        note=note or f"{price.usd:g} USD per GPU-hour, {settings.price} ({price.source}, {price.checked})",
    )  # fmt: skip


def fleet_option(settings: CapacitySettings, layout: Layout, found: Sized, hours: Hours) -> FleetOption:
    """The sized layout with its price."""
    figures = found.figures
    assert figures is not None
    by_hour = hours.scaled(found.replicas) if settings.autoscale else [found.replicas]
    month = fleet_cost(settings, layout, by_hour)
    return FleetOption(
        gpu=layout.gpu.name, precision=layout.precision, tp=layout.gpus_per_replica, replicas=found.replicas,
        spare=settings.spare, gpus=gpus_paid(settings, layout, found.replicas),
        usd_hour=(month.value or 0.0) / HOURS_PER_MONTH, usd_month=month, ttft_p95_s=figures.ttft_s.p95,
        tpot_p95_s=figures.tpot_s.p95, e2e_p95_s=figures.e2e_s.p95, headroom_share=found.headroom_share,
        busy_share=figures.busy_share, utilisation=1 / (1 + found.headroom_share),
        binding=found.binding, binding_target=found.target, pareto=False,
        step_time=layout.step.basis, error_band=error_bands(layout.engine),
    )  # fmt: skip


def preference(option: FleetOption) -> tuple[float, float, str, int]:
    """Cheapest first, then fastest."""
    return option.usd_month.value or 0.0, option.e2e_p95_s or 0.0, option.gpu, option.tp


def marked(options: list[FleetOption]) -> list[FleetOption]:
    """Whether no other option is at least as good in cost, latency and headroom and better in one."""

    def key(option: FleetOption) -> tuple[float, float, float]:
        return option.usd_month.value or 0.0, option.e2e_p95_s or float("inf"), -option.headroom_share

    keys = [key(option) for option in options]
    beaten = [any(all(a <= b for a, b in zip(o, k, strict=True)) and o != k for o in keys) for k in keys]
    return [msgspec.structs.replace(o, pareto=not worse) for o, worse in zip(options, beaten, strict=True)]


def usd_per_mtok(best: FleetOption | None, workload: Workload, hours: Hours) -> Estimate | None:
    """Of the fleet, per million tokens of this traffic; None without one or without a price."""
    if best is None or not best.usd_month.value or best.usd_month.low is None or best.usd_month.high is None:
        return None
    tokens = float(workload.input_tokens.sum(dtype=np.int64) + workload.output_tokens.sum(dtype=np.int64))
    month = tokens / hours.span_h * HOURS_PER_MONTH / TOKENS_PER_MTOK
    return Estimate(
        value=best.usd_month.value / month, low=best.usd_month.low / month, high=best.usd_month.high / month,
        unit="usd/mtok", basis=best.usd_month.basis, note="GPU hours only, at the traffic of this trace all month",
    )  # fmt: skip
