"""Serving engines by version: scheduler defaults and fitted speed coefficients, from profiles/engines/*.yaml."""

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

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
from costplan.profiles.gpus import Gpu

_GIB = 2**30
_OTHER_NAMES = {"trtllm": "tensorrt-llm", "tensorrt": "tensorrt-llm", "static": "naive", "hf": "naive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Efficiencies and overheads of one engine; the roofline in serving.roofline says what each stands for."""

    values: dict[str, float]
    """Name, or `name.case` where it depends on a precision or an architecture (`weights.awq`)."""
    source: str
    """What it was fitted on."""

    def get(self, name: str, *cases: str) -> float:
        """The value for the first case that is listed, else the plain one or `name.default`."""
        for key in (*(f"{name}.{case}" for case in cases), name, f"{name}.default"):
            if key in self.values:
                return self.values[key]
        raise CostplanError(f"speed: no value for '{name}'", hint=f"the engine profile needs `{name}:` under `speed:`")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDefaults:
    """Scheduler limits that an engine picks by the memory of the GPU it finds."""

    min_memory_bytes: int
    architecture: str = ""
    """Only on GPUs of this architecture; "" is all."""
    without: tuple[str, ...] = ()
    """GPU names the engine excludes from the rule."""
    max_num_seqs: int
    max_num_batched_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine version."""

    name: str
    """vllm, tensorrt-llm, sglang or naive (static batching)."""
    version: str
    requested: str = ""
    """The version that was asked for; another one than `version` where there is no profile of its own."""
    released: str
    block_size: int = 16
    max_num_seqs: int
    max_num_batched_tokens: int
    """Of a server; `on(gpu)` fills in what the engine picks on that GPU."""
    by_device: tuple[DeviceDefaults, ...] = ()
    memory_share: float
    """gpu_memory_utilization."""
    prefix_caching: bool = True
    chunked_prefill: bool = True
    static_batching: bool = False
    """A batch is admitted whole and ends with its longest answer."""
    reserve_whole_prompt: bool = False
    watermark: float = 0.0
    """Share of the blocks kept free at admission."""
    attention: dict[str, str]
    """Attention kernel by GPU architecture: fa2, fa3, ..."""
    speed: Speed
    note: str = ""
    source: str
    checked: str

    @property
    def exact(self) -> bool:
        """Whether the profile is of the very version that was asked for."""
        return _numbers(self.requested)[: len(_numbers(self.version))] == _numbers(self.version)

    @property
    def label(self) -> str:
        """`vllm 0.15`, or `vllm 0.14.1 (profile of 0.15)`."""
        return f"{self.name} {self.requested}" + ("" if self.exact else f" (profile of {self.version})")

    def on(self, gpu: Gpu) -> "Engine":
        """The same engine with the limits it picks on this GPU."""
        for rule in sorted(self.by_device, key=lambda each: (not each.architecture, -each.min_memory_bytes)):
            fits = gpu.memory_bytes >= rule.min_memory_bytes and rule.architecture in ("", gpu.architecture)
            if fits and gpu.name not in rule.without:
                return replace(self, max_num_seqs=rule.max_num_seqs, max_num_batched_tokens=rule.max_num_batched_tokens)
        return self


def find_engine(spec: str) -> Engine:
    """`vllm@0.15.1`: the profile nearest to that version; without a version the newest. `requested` keeps the wish."""
    match = re.fullmatch(r"\s*([A-Za-z][A-Za-z_ -]*?)\s*(?:[@:= ]+v?(\d\S*))?\s*", spec)
    name = match[1].lower().replace("_", "-") if match else spec
    name = _OTHER_NAMES.get(name, name)
    paths = {_numbers(path.stem.rpartition("-")[2]): path for path in _paths() if path.stem.rpartition("-")[0] == name}
    if match is None or not paths:
        known = {path.stem.rpartition("-")[0] for path in _paths()}
        raise CostplanError(f"{spec}: unknown engine or version", hint=f"{nearest(name, known)}; write vllm@0.15.1")
    if not match[2]:
        engine = load_engine(paths[max(paths)])
        return replace(engine, requested=engine.version)
    wish = _place(_numbers(match[2]))
    closest = min(sorted(paths), key=lambda version: abs(_place(version) - wish))
    return replace(load_engine(paths[closest]), requested=match[2])


def all_engines() -> list[Engine]:
    """Every profile, by name and version."""
    return sorted((load_engine(path) for path in _paths()), key=lambda each: (each.name, _numbers(each.version)))


@cache
def load_engine(path: Path) -> Engine:
    """One profiles/engines/*.yaml file."""
    section = read_yaml(path)
    required = "name version released max_num_seqs max_num_batched_tokens memory_share attention speed source checked"
    flags = ("prefix_caching", "chunked_prefill", "static_batching", "reserve_whole_prompt")
    check_keys(section, (*required.split(), *flags, "block_size", "by_device", "watermark", "note"), required.split())
    attention = part(section, "attention")
    engine = Engine(
        block_size=int(number(section, "block_size", low=1)) if "block_size" in section.values else 16,
        max_num_seqs=int(number(section, "max_num_seqs", low=1)),
        max_num_batched_tokens=int(number(section, "max_num_batched_tokens", low=1)),
        prefix_caching=_flag(section, "prefix_caching", True),
        chunked_prefill=_flag(section, "chunked_prefill", True),
        static_batching=_flag(section, "static_batching", False),
        reserve_whole_prompt=_flag(section, "reserve_whole_prompt", False),
        name=text(section, "name"),
        version=text(section, "version"),
        released=text(section, "released"),
        by_device=_by_device(section),
        memory_share=number(section, "memory_share", low=0.01, high=1.01),
        watermark=number(section, "watermark", high=1.0) if "watermark" in section.values else 0.0,
        attention={key: text(attention, key) for key in attention.values},
        speed=_speed(part(section, "speed")),
        note=text(section, "note") if "note" in section.values else "",
        source=text(section, "source"),
        checked=checked_on(section),
    )
    if path.stem != f"{engine.name}-{engine.version}":
        raise CostplanError(
            f"{section.where('version')}: the file must be named {engine.name}-{engine.version}.yaml",
            hint="name and version are found by the file's name",
        )
    return engine


def _speed(section: Section) -> Speed:
    """Numbers by name, or by `name.case` for nested ones."""
    values: dict[str, float] = {}
    for key, value in section.values.items():
        if isinstance(value, Section):
            values |= {f"{key}.{case}": number(value, case, low=-1e300) for case in value.values}
        elif key != "source":
            values[key] = number(section, key, low=-1e300)
    return Speed(values=values, source=text(section, "source"))


def _by_device(section: Section) -> tuple[DeviceDefaults, ...]:
    rules = section.values.get("by_device", [])
    keys = ("min_memory_gib", "max_num_seqs", "max_num_batched_tokens")
    if not isinstance(rules, list) or not all(isinstance(rule, Section) for rule in cast(list[Any], rules)):
        raise CostplanError(f"{section.where('by_device')}: must be a list of rules", hint=f"- {{{keys[0]}: 70, ...}}")
    found: list[DeviceDefaults] = []
    for rule in cast(list[Section], rules):
        check_keys(rule, (*keys, "architecture", "without"), keys)
        memory, seqs, tokens = (number(rule, key) for key in keys)
        found.append(
            DeviceDefaults(
                min_memory_bytes=int(memory * _GIB),
                architecture=text(rule, "architecture") if "architecture" in rule.values else "",
                without=words(rule, "without"),
                max_num_seqs=int(seqs),
                max_num_batched_tokens=int(tokens),
            )
        )
    return tuple(found)


def _flag(section: Section, key: str, default: bool) -> bool:
    value = section.values.get(key, default)
    if not isinstance(value, bool):
        raise CostplanError(f"{section.where(key)}: '{key}' must be true or false", hint=f"{key}: true")
    return value


def _numbers(version: str) -> tuple[int, ...]:
    """(0, 19, 1) of `0.19.1rc1.dev339`."""
    leading = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(each) for each in leading[0].split(".")[:3]) if leading else ()


def _place(version: tuple[int, ...]) -> float:
    """Versions on a line, for the nearest: a minor release counts 1, a patch a hundredth, a major 1,000."""
    major, minor, patch = (*version, 0, 0, 0)[:3]
    return major * 1000 + minor + patch / 100


@cache
def _paths() -> list[Path]:
    return sorted(profile_path("engines").glob("*.yaml"))
