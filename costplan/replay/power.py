"""Power and energy of NVIDIA GPUs through NVML, where there are any; does not know who uses them, nor what power costs.

Energy is the driver's own counter (Volta and newer), else power over time by the trapezoidal rule.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

_MILLI = 1e-3
"""NVML says milliwatts and millijoules (nvmlDeviceGetPowerUsage, nvmlDeviceGetTotalEnergyConsumption)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Open handles of GPUs."""

    nvml: ModuleType
    handles: tuple[Any, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All GPUs of a meter together, at one moment."""

    at_s: float
    power_w: float | None
    counter_j: float | None
    """Energy since the driver was loaded; None where the GPU does not count it."""


def open_meter(first: int | None = None) -> Meter | None:
    """The GPUs that CUDA programs see here, or the first so many of them; None without an NVIDIA driver."""
    try:
        import pynvml
    except ModuleNotFoundError as missing:
        if missing.name != "pynvml":
            raise
        return None
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        handles = [_handle(nvml, name) for name in _visible(nvml.nvmlDeviceGetCount())][:first]
        names = tuple(str(nvml.nvmlDeviceGetName(handle)) for handle in handles)
    except nvml.NVMLError:  # no driver, no GPU, or none that may be asked
        return None
    return Meter(nvml=nvml, handles=tuple(handles), names=names) if handles else None


def read_power(meter: Meter, at_s: float) -> Reading:
    """What NVML can say now; None for what one of the GPUs does not support."""
    return Reading(
        at_s=at_s,
        power_w=_total(meter, "nvmlDeviceGetPowerUsage"),
        counter_j=_total(meter, "nvmlDeviceGetTotalEnergyConsumption"),
    )


def energy_j(readings: Sequence[Reading]) -> float | None:
    """From the first reading to the last; None with fewer than two that say anything."""
    counted = [reading.counter_j for reading in readings if reading.counter_j is not None]
    if len(counted) >= 2:
        return counted[-1] - counted[0]
    drawn = [(reading.at_s, reading.power_w) for reading in readings if reading.power_w is not None]
    if len(drawn) < 2:
        return None
    pairs = zip(drawn, drawn[1:], strict=False)
    return sum((later - earlier) * (power + after) / 2 for (earlier, power), (later, after) in pairs)


def _visible(count: int) -> list[str]:
    """Indices or UUIDs as in CUDA_VISIBLE_DEVICES, which ends at the first that does not exist."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(index) for index in range(count)]
    found: list[str] = []
    for name in filter(None, map(str.strip, named.split(","))):
        if not (name.startswith("GPU-") or (name.isdecimal() and int(name) < count)):
            break
        found.append(name)
    return found


def _handle(nvml: Any, name: str) -> Any:
    return (
        nvml.nvmlDeviceGetHandleByUUID(name) if name.startswith("GPU-") else nvml.nvmlDeviceGetHandleByIndex(int(name))
    )


def _total(meter: Meter, function: str) -> float | None:
    nvml: Any = meter.nvml
    try:
        return sum(getattr(nvml, function)(handle) for handle in meter.handles) * _MILLI
    except nvml.NVMLError:
        return None
