"""What GPU kernels reach of the data sheet, by architecture, as fitted to measured tables; knows no engine or model.

The numbers live in profiles/kernels.yaml. An architecture without measurements borrows those of a related one.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.profiles import Section, check_keys, number, profile_path, read_yaml

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Peak:
    """The data sheet: FLOP/s in the arithmetic at hand and bytes/s of memory."""

    flops: float
    bytes_s: float


@dataclass(frozen=True, slots=True)
class Product:
    """A kernel for matrix products.

    seconds = start + ((compute time)^blend + (weight time)^blend)^(1/blend) + traffic x activation bytes / bandwidth,
    where the compute time counts `tile` extra outputs for the last, half-filled wave of tiles. With blend = 1 the two
    add up, with a large one the longer hides the shorter.
    """

    bandwidth: float
    """Share of the memory bandwidth reached when reading weights."""
    compute: float
    """Share of the arithmetic peak reached by large products."""
    blend: float
    start_us: float
    tile: float
    """Outputs lost at the edges of a product (for experts: rows lost by each expert)."""
    traffic: float

    def seconds(self, operations: Floats, weight_bytes: Floats, activation_bytes: Floats, peak: Peak) -> Floats:
        """Time of one product; `operations` include those lost at the edges."""
        compute_s = operations / (self.compute * peak.flops)
        weight_s = weight_bytes / (self.bandwidth * peak.bytes_s)
        blended = (compute_s**self.blend + weight_s**self.blend) ** (1.0 / self.blend)
        return self.start_us * 1e-6 + blended + self.traffic * activation_bytes / peak.bytes_s


@dataclass(frozen=True, slots=True)
class Attention:
    """A kernel for attention over prompts."""

    compute: float
    """Share of the 16-bit peak on long prompts."""
    half_tokens: float
    """Context at which half of the time goes into starting and masking: cost per query token beyond the pairs."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """All kernels of one architecture."""

    products: dict[str, Product]
    experts: dict[str, Product]
    attention: dict[str, Attention]
    kv_bandwidth: float
    """Share of the memory bandwidth when decoding reads the KV cache."""
    kv_bandwidth_fp8: float
    decode_start_us: float
    """One attention call, however small."""
    request_head_ns: float
    """Per decoding request and query head of one layer."""


def find_kernels(architecture: str) -> Kernels:
    """The kernels of an architecture as profiles name it (ampere, ada, hopper, ...)."""
    table = _table()
    found = table.get(architecture.lower())
    if found is None:
        raise CostplanError(
            f"no kernel efficiencies for GPU architecture '{architecture}'", hint=f"known: {', '.join(sorted(table))}"
        )
    return found


@cache
def _table() -> dict[str, Kernels]:
    return load_kernels(profile_path("kernels.yaml"))


def load_kernels(path: Path) -> dict[str, Kernels]:
    """Architecture -> kernels; `like: NAME` borrows everything from another one."""
    top = read_yaml(path)
    check_keys(top, ("source", "licence", "checked", "architectures"), ("source", "checked", "architectures"))
    architectures = _section(top, "architectures")
    table: dict[str, Kernels] = {}
    for name in architectures.values:
        section = _section(architectures, name)
        like = section.values.get("like")
        table[name] = table[str(like)] if like else _kernels(section)
    return table


def _kernels(section: Section) -> Kernels:
    check_keys(section, ("products", "experts", "attention", "decode", "note"), ("products", "experts", "attention"))
    products, attention, decode = (_section(section, key) for key in ("products", "attention", "decode"))
    experts = _section(section, "experts")
    return Kernels(
        {name: _product(_section(products, name)) for name in products.values},
        {name: _product(_section(experts, name)) for name in experts.values},
        {name: _prompt_attention(_section(attention, name)) for name in attention.values},
        *(number(decode, key) for key in ("bandwidth", "bandwidth_fp8", "start_us", "request_head_ns")),
    )


def _product(section: Section) -> Product:
    keys = ("bandwidth", "compute", "blend", "start_us", "tile", "traffic")
    check_keys(section, (*keys, "note"), keys)
    return Product(*(number(section, key) for key in keys))


def _prompt_attention(section: Section) -> Attention:
    check_keys(section, ("compute", "half_tokens", "note"), ("compute", "half_tokens"))
    return Attention(number(section, "compute"), number(section, "half_tokens"))


def _section(parent: Section, key: str) -> Section:
    value = parent.values.get(key)
    if not isinstance(value, Section):
        raise CostplanError(f"{parent.where(key)}: '{key}' must hold keys and values", hint="see profiles/kernels.yaml")
    return value
