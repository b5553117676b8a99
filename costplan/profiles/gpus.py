"""GPUs: memory, speed, links, power and dated hourly prices, from profiles/gpus/*.yaml; knows no model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HourPrice:
    """USD per GPU-hour: a default and the range between providers."""

    usd: float
    low: float
    high: float
    source: str
    checked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One accelerator as its data sheet has it (dense arithmetic, no sparsity)."""

    name: str
    aliases: tuple[str, ...]
    architecture: str
    """ampere, ada, hopper, blackwell, ... or cpu."""
    memory_bytes: int
    bandwidth_bytes_s: float
    flops: dict[str, float]
    """FLOP/s by precision: bf16, fp8, int8; a precision without its own units is absent."""
    link: str
    """nvlink, pcie or none."""
    link_bytes_s: float
    """Per GPU and direction."""
    power_w: float
    on_demand: HourPrice
    reserved: HourPrice | None
    spot: HourPrice | None
    capex_usd: HourPrice | None
    """Street price of one GPU with its share of the server (the fields mean USD, not USD per hour)."""
    clouds: dict[str, HourPrice]
    """On-demand price by cloud (aws, azure, gcp, specialised)."""
    instance_gpus: tuple[int, ...] = (1, 2, 4, 8)
    """Sizes in which it can be rented."""
    source: str
    checked: str
