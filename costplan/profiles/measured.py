"""What a replay found one engine on one machine to take: a YAML file to write, read and match; simulates nothing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, cast

from costplan.errors import CostplanError
from costplan.profiles import Section, check_keys, checked_on, number, part, read_yaml, text

COEFFICIENTS = ("context_token_s", "pair_s", "request_s", "frontend_s")
FIGURES = ("ttft", "tpot", "e2e", "throughput")
_UNITS = {
    "base_s": "s by tokens in the step",
    "context_token_s": "s per KV token read",
    "pair_s": "s per query token x context token of a prompt",
    "request_s": "s per request in the step",
    "frontend_s": "s before the first step",
}
_HEADER = """\
# Step times measured by a replay; simulate, capacity and breakeven read them with --profile.
# A step of T tokens for N requests takes base_s[T] + context_token_s C + pair_s A + request_s N, with C the KV tokens
# that decoding reads and A query x context tokens of prompts. Low and high: 95 %, of the measured requests.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficient:
    """One fitted value with the range that the measurement leaves."""

    value: float
    low: float
    high: float
    how: str = "fitted"
    """`fitted`, or why the measurement says little and on what the value rests instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What has been measured, beyond which the profile only extrapolates."""

    runs: int
    requests: int
    concurrency_low: int
    concurrency_high: int
    """Most requests in flight at once, in the lightest and in the heaviest run."""
    input_tokens_low: int
    input_tokens_high: int
    output_tokens_high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredProfile:
    """Step times and limits of one replica."""

    model: str
    """A name that `find_model` knows, or the path of its config.json."""
    gpu: str
    tp: int
    precision: str
    kv_dtype: str
    engine: str
    """`vllm@0.32.0`"""
    block_size: int
    kv_blocks: int | None
    """None: the server did not say; the memory model's number is used."""
    max_num_seqs: int
    max_num_batched_tokens: int
    prefix_caching: bool
    base_s: tuple[tuple[int, Coefficient], ...]
    """(tokens, seconds), tokens rising; straight lines between, the last one goes on."""
    coefficients: Mapping[str, Coefficient]
    """One for each of COEFFICIENTS."""
    error: Mapping[str, float]
    """By figure: the larger of residual and noise in the worst run; one for each of FIGURES."""
    noise: Mapping[str, float]
    """By figure: how far a quarter of a run lies from the next."""
    measured: Measured
    environment: Mapping[str, str]
    notes: tuple[str, ...]
    source: str
    checked: str
    """ISO day of the measurement."""


def write_profile(profile: MeasuredProfile, path: Path) -> None:
    """The profile as YAML; the file appears whole or not at all."""
    import yaml

    def rounded(found: Coefficient) -> dict[str, object]:
        plain: dict[str, object] = asdict(found)
        return plain | {key: float(f"{getattr(found, key):.5g}") for key in ("value", "low", "high")}

    plain = {field.name: getattr(profile, field.name) for field in fields(profile)}
    plain |= {
        "base_s": [{"tokens": tokens} | rounded(found) for tokens, found in profile.base_s],
        "coefficients": {
            key: rounded(found) | {"unit": _UNITS[key]} for key, found in profile.coefficients.items()
        },
        "error": {key: float(f"{value:.3g}") for key, value in profile.error.items()},
        "noise": {key: float(f"{value:.3g}") for key, value in profile.noise.items()},
        "measured": asdict(profile.measured),
        "environment": dict(profile.environment), "notes": list(profile.notes),
        "checked": date.fromisoformat(profile.checked),
    }  # fmt: skip
    body = yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=118, allow_unicode=True)
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_text(_HEADER + body, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror}", hint="name a file in a folder that exists") from None
    finally:
        unfinished.unlink(missing_ok=True)


def load_profile(path: Path) -> MeasuredProfile:
    """One measured profile; what is missing or out of range is an error with file and line."""
    section = read_yaml(path)
    optional = ("kv_blocks", "environment", "notes", "noise")
    names = [field.name for field in fields(MeasuredProfile)]
    check_keys(section, names, [name for name in names if name not in optional])
    given = part(section, "coefficients")
    check_keys(given, COEFFICIENTS, COEFFICIENTS)
    extent = part(section, "measured")
    check_keys(extent, *[[field.name for field in fields(Measured)]] * 2)
    engine = text(section, "engine")
    if "@" not in engine:
        raise CostplanError(f"{section.where('engine')}: '{engine}' has no version", hint="engine: vllm@0.32.0")
    return MeasuredProfile(
        model=text(section, "model"), gpu=text(section, "gpu"), precision=text(section, "precision"),
        kv_dtype=text(section, "kv_dtype"), engine=engine, tp=_count(section, "tp"),
        block_size=_count(section, "block_size"),
        kv_blocks=_count(section, "kv_blocks") if section.values.get("kv_blocks") is not None else None,
        max_num_seqs=_count(section, "max_num_seqs"), max_num_batched_tokens=_count(section, "max_num_batched_tokens"),
        prefix_caching=_flag(section, "prefix_caching"), base_s=_base(section),
        coefficients={key: _coefficient(part(given, key)) for key in COEFFICIENTS},
        error=_shares(section, "error", required=True), noise=_shares(section, "noise", required=False),
        measured=Measured(**{key: _count(extent, key) for key in extent.values}),
        environment=_texts(section), notes=_notes(section), source=text(section, "source"), checked=checked_on(section),
    )  # fmt: skip


def _base(section: Section) -> tuple[tuple[int, Coefficient], ...]:
    points = section.values["base_s"]
    if not isinstance(points, list) or not points or not all(isinstance(p, Section) for p in cast(list[Any], points)):
        raise CostplanError(
            f"{section.where('base_s')}: 'base_s' must be a list of points", hint="- {tokens: 1, value: 0.02}"
        )
    rows = cast(list[Section], points)
    found = tuple((_count(row, "tokens"), _coefficient(row, "tokens")) for row in rows)
    for row, (before, after) in zip(rows[1:], zip(found, found[1:], strict=False), strict=True):
        if after[0] <= before[0] or after[1].value < before[1].value:
            raise CostplanError(
                f"{row.where('tokens')}: tokens must rise from point to point, and seconds must not fall",
                hint="put the points in order",
            )
    return found


def _coefficient(section: Section, *more: str) -> Coefficient:
    check_keys(section, ("value", "low", "high", "how", "unit", *more), ("value", *more))
    value = number(section, "value")
    low, high = (number(section, key) if key in section.values else value for key in ("low", "high"))
    how = text(section, "how") if "how" in section.values else "stated"
    if not low <= value <= high:
        raise CostplanError(f"{section.where('value')}: low <= value <= high does not hold", hint="check the three")
    return Coefficient(value=value, low=low, high=high, how=how)


def _shares(section: Section, key: str, *, required: bool) -> dict[str, float]:
    if key not in section.values and not required:
        return {}
    found = part(section, key)
    check_keys(found, FIGURES, FIGURES if required else ())
    return {name: number(found, name) for name in found.values}


def _count(section: Section, key: str) -> int:
    found = number(section, key, low=1)
    if found != int(found):
        raise CostplanError(f"{section.where(key)}: '{key}' must be a whole number", hint=f"{key}: {int(found)}")
    return int(found)


def _flag(section: Section, key: str) -> bool:
    found = section.values[key]
    if not isinstance(found, bool):
        raise CostplanError(f"{section.where(key)}: '{key}' must be true or false", hint=f"{key}: true")
    return found


def _texts(section: Section) -> dict[str, str]:
    found = part(section, "environment").values if section.values.get("environment") is not None else {}
    return {key: str(value) for key, value in found.items()}


def _notes(section: Section) -> tuple[str, ...]:
    notes: object = section.values.get("notes") or []
    if not isinstance(notes, list):
        raise CostplanError(f"{section.where('notes')}: 'notes' must be a list", hint='notes: ["..."]')
    return tuple(str(each) for each in cast(list[object], notes))
