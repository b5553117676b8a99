"""GPUs: memory, speed, links, power and dated hourly prices, from profiles/gpus/*.yaml; knows no model."""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import cast

from costplan.errors import CostplanError
from costplan.profiles import (
    Section,
    check_keys,
    checked_on,
    nearest,
    number,
    part,
    profile_path,
    read_yaml,
    text,
    words,
)

_GIB = 2**30
_GIGA, _TERA = 1e9, 1e12
_PRICES = ("on_demand", "reserved", "spot", "capex_usd")
_CLOUDS = ("aws", "azure", "gcp", "specialised")
_REQUIRED = (
    *("name", "architecture", "memory_gib", "bandwidth_gb_s", "tflops", "link", "link_gb_s", "power_w"),
    *("on_demand", "source", "checked"),
)
_OPTIONAL = ("aliases", "clouds", "instance_gpus", "cloud_instance_gpus", "note")
_FILLERS = ("nvidia", "geforce", "tesla", "quadro", "generation", "graphics")


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
    """volta, turing, ampere, ada, hopper, blackwell or cpu."""
    memory_bytes: int
    """What CUDA reports as total, which is less than on the box."""
    bandwidth_bytes_s: float
    flops: dict[str, float]
    """FLOP/s by precision: bf16 (fp16 where there is no bf16), fp8, int8, fp4; one without its own units is absent."""
    link: str
    """nvlink, pcie or none."""
    link_bytes_s: float
    """Per GPU and direction."""
    power_w: float
    on_demand: HourPrice
    reserved: HourPrice | None
    """Committed for one year."""
    spot: HourPrice | None
    capex_usd: HourPrice | None
    """Street price of one GPU with its share of the server (the fields mean USD, not USD per hour)."""
    clouds: dict[str, HourPrice]
    """On-demand price by cloud (aws, azure, gcp, specialised)."""
    instance_gpus: tuple[int, ...] = (1, 2, 4, 8)
    """Sizes in which it can be rented."""
    cloud_instance_gpus: dict[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    """The same for clouds that sell it in other sizes, such as eights only."""
    note: str = ""
    source: str
    checked: str


def find_gpu(name: str) -> Gpu:
    """A GPU by name or by what a driver or a log calls it: `A100`, `h100_sxm`, `NVIDIA GeForce RTX 4090`.

    A path that ends in .yaml is a profile of the user's own.
    """
    if name.endswith((".yaml", ".yml")):
        return load_gpu(Path(name).expanduser())
    key = _key(name)
    stems = _stems()
    path = next((path for stem, path in stems.items() if _key(stem) == key), None) or _index().get(key)
    if path is None or not key:
        hint = nearest(name, [gpu.name for gpu in all_gpus()])
        raise CostplanError(f"{name or 'no name'}: unknown GPU", hint=f"{hint} (costplan gpus lists them)")
    return load_gpu(path)


def parse_gpus(spec: str) -> tuple[int, Gpu]:
    """`4xA100` -> (4, A100); a bare name is one."""
    match = re.fullmatch(r"\s*(?:([-+]?\d[\d.]*)\s*[xX×*]\s*)?(\S.*?)\s*", spec)
    if match is None:
        raise CostplanError(f"'{spec}' names no GPUs", hint="write a number, x and a name: 4xA100")
    count, name = match[1] or "1", match[2]
    if not count.isdecimal() or int(count) == 0:
        raise CostplanError(f"'{spec}': the number of GPUs must be whole and at least 1", hint=f"write 1x{name}")
    return int(count), find_gpu(name)


def all_gpus() -> list[Gpu]:
    """Every profile, by name."""
    return sorted((load_gpu(path) for path in _stems().values()), key=lambda gpu: gpu.name.lower())


@cache
def load_gpu(path: Path) -> Gpu:
    """One profiles/gpus/*.yaml file; there GiB, GB/s and TFLOP/s, here bytes and FLOP/s."""
    section = read_yaml(path)
    check_keys(section, (*_REQUIRED, *_PRICES, *_OPTIONAL), _REQUIRED)
    link = text(section, "link")
    if link not in ("nvlink", "pcie", "none"):
        raise CostplanError(f"{section.where('link')}: unknown link '{link}'", hint="nvlink, pcie or none")
    tflops = part(section, "tflops")
    check_keys(tflops, ("bf16", "fp8", "int8", "fp4"), ("bf16",))
    nothing = Section(path, 1, {}, {})
    clouds = part(section, "clouds") if "clouds" in section.values else nothing
    sizes = part(section, "cloud_instance_gpus") if "cloud_instance_gpus" in section.values else nothing
    check_keys(clouds, _CLOUDS)
    check_keys(sizes, _CLOUDS)
    prices = {key: _price(part(section, key)) if key in section.values else None for key in _PRICES}
    on_demand = prices.pop("on_demand")
    assert on_demand is not None
    return Gpu(
        name=text(section, "name"),
        aliases=words(section, "aliases"),
        architecture=text(section, "architecture"),
        memory_bytes=int(number(section, "memory_gib") * _GIB),
        bandwidth_bytes_s=number(section, "bandwidth_gb_s", low=0.1) * _GIGA,
        flops={key: number(tflops, key, low=0.01) * _TERA for key in tflops.values},
        link=link,
        link_bytes_s=number(section, "link_gb_s") * _GIGA,
        power_w=number(section, "power_w"),
        on_demand=on_demand,
        reserved=prices["reserved"],
        spot=prices["spot"],
        capex_usd=prices["capex_usd"],
        clouds={key: _price(part(clouds, key)) for key in clouds.values},
        instance_gpus=_sizes(section, "instance_gpus") or (1, 2, 4, 8),
        cloud_instance_gpus={key: _sizes(sizes, key) for key in sizes.values},
        note=text(section, "note") if "note" in section.values else "",
        source=text(section, "source"),
        checked=checked_on(section),
    )


def _price(section: Section) -> HourPrice:
    keys = ("usd", "low", "high", "source", "checked")
    check_keys(section, keys, keys)
    usd, low, high = (number(section, key) for key in keys[:3])
    if not low <= usd <= high:
        raise CostplanError(f"{section.where('usd')}: low <= usd <= high does not hold", hint="usd: 2, low: 1, high: 3")
    return HourPrice(usd=usd, low=low, high=high, source=text(section, "source"), checked=checked_on(section))


def _sizes(section: Section, key: str) -> tuple[int, ...]:
    """A list of whole numbers; an absent one is empty."""
    sizes = cast(object, section.values.get(key, []))
    if not isinstance(sizes, list):
        raise CostplanError(f"{section.where(key)}: '{key}' must be a list of sizes", hint=f"{key}: [1, 2, 4, 8]")
    found = tuple(each for each in cast(list[object], sizes) if type(each) is int and each > 0)
    if len(found) != len(cast(list[object], sizes)):
        raise CostplanError(f"{section.where(key)}: '{key}' must hold numbers from 1", hint=f"{key}: [1, 2, 4, 8]")
    return found


def _key(name: str) -> str:
    """Letters and digits only, without the maker's words."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "".join(each for each in words if each not in _FILLERS)


@cache
def _stems() -> dict[str, Path]:
    return {path.stem: path for path in sorted(profile_path("gpus").glob("*.yaml"))}


@cache
def _index() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in _stems().values():
        gpu = load_gpu(path)
        for each in (gpu.name, *gpu.aliases):
            found.setdefault(_key(each), path)
    return found
