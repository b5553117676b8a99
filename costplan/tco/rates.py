"""What an hour of one GPU costs by cloud and term: rented at a listed price, or owned and written off."""

from dataclasses import dataclass

from costplan.errors import UsageError
from costplan.profiles.gpus import Gpu, HourPrice
from costplan.tco.facts import Fact, fact, given, times
from costplan.units import HOURS_PER_MONTH

CLOUDS = ("aws", "azure", "gcp", "specialised", "owned")
TERMS = ("on-demand", "reserved", "spot", "owned")
_HOURS_PER_YEAR = 12 * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Where the GPUs come from: the price of an hour, in what sizes, for how long at least."""

    cloud: str
    """"" = no cloud named: the default price and the range over all of them."""
    term: str
    usd_hour: Fact
    sizes: tuple[int, ...]
    minimum_months: int
    capex_usd: float = 0.0
    """Price of one GPU with its share of the server; 0 where it is rented."""

    @property
    def owned(self) -> bool:
        return self.term == "owned"


def supply_of(gpu: Gpu, *, cloud: str = "", term: str = "", usd_hour: float | None = None) -> Supply:
    """The price of a GPU hour. Raises UsageError for flags that contradict each other or a price nobody lists."""
    if (cloud == "owned") != (term == "owned") and cloud and term:
        raise UsageError(f"--cloud {cloud} and --term {term} contradict each other", hint="--cloud owned")
    term = "owned" if cloud == "owned" else term or "on-demand"
    cloud = "owned" if term == "owned" else cloud
    sizes = (1,) if term == "owned" else tuple(sorted(gpu.cloud_instance_gpus.get(cloud, gpu.instance_gpus)))
    capex = gpu.capex_usd.usd if term == "owned" and gpu.capex_usd is not None else 0.0
    price = _price(gpu, cloud, term) if usd_hour is None else given(usd_hour, "USD/GPU-hour", "--gpu-price")
    months = round(fact("terms.reserved_months").value) if term == "reserved" else 0
    return Supply(
        cloud=cloud, term=term, usd_hour=price, sizes=sizes, minimum_months=months, capex_usd=capex
    )  # fmt: skip


def owned_usd_hour(capex: Fact) -> Fact:
    """USD per GPU-hour of an owned GPU, busy or not: straight-line depreciation to the resale value plus the yearly
    cost of the capital tied up on average, (price + resale) / 2. Power, room and support are lines of their own."""
    life, residual, interest = (fact(f"ownership.{name}") for name in ("life_years", "residual_share", "capital_cost"))

    def hourly(price: float, years: float, left: float, rate: float) -> float:
        return price * ((1 - left) / years + (1 + left) / 2 * rate) / _HOURS_PER_YEAR

    return Fact(
        value=hourly(capex.value, life.value, residual.value, interest.value),
        low=hourly(capex.low, life.high, residual.high, interest.low),
        high=hourly(capex.high, life.low, residual.low, interest.high),
        unit="USD/GPU-hour",
        source=f"{capex.value:,.0f} USD a GPU ({capex.source}), {life.value:g} years, {residual.value:.0%} resale, "
        f"{interest.value:.0%} a year for the capital",
        checked=capex.checked,
    )


def _price(gpu: Gpu, cloud: str, term: str) -> Fact:
    if term == "owned":
        if gpu.capex_usd is None:
            raise UsageError(f"{gpu.name}: no purchase price known", hint="--gpu-price 1.20, its cost per hour")
        return owned_usd_hour(_fact(gpu.capex_usd, "USD"))
    if cloud and cloud not in gpu.clouds:
        known = ", ".join(sorted(gpu.clouds)) or "none"
        raise UsageError(f"{gpu.name}: no price of {cloud} known (known: {known})", hint="--gpu-price 2.50")
    on_demand = _fact(gpu.clouds[cloud] if cloud else gpu.on_demand, "USD/GPU-hour")
    if term == "on-demand":
        return on_demand
    own = {"reserved": gpu.reserved, "spot": gpu.spot}[term]
    if own is not None and not cloud:
        return _fact(own, "USD/GPU-hour")
    return times(on_demand, fact(f"terms.{term}"))


def _fact(price: HourPrice, unit: str) -> Fact:
    return Fact(
        value=price.usd, low=price.low, high=price.high, unit=unit, source=price.source, checked=price.checked
    )  # fmt: skip
