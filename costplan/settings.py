"""What the user decided, where each decision came from, and what the values may be; one frozen dataclass per command.

Precedence: flag > COSTPLAN_* environment variable > ./costplan.yaml > user configuration > default.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from costplan.errors import UsageError
from costplan.units import parse_count, parse_duration_s

Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeSettings:
    """Settings of `costplan analyze`."""

    format: str | None = None
    map: tuple[str, ...] = ()
    head: int | None = None
    strict: bool = False
    sample_rate: float = 1.0
    prices: Path | None = None
    price_date: date | None = None
    month_requests: float | None = None
    revenue_per_user: float | None = None
    """USD a month."""
    ttl: float = 3600.0
    ttl_policy: Literal["store", "sliding"] = "store"
    scope: Literal["global", "user"] = "global"
    capacity: int | None = None
    max_temperature: float = 1.0
    batchable: tuple[str, ...] = ("batch", "batchable")
    workers: int = 0
    """0 = one per usable core; it never changes a figure."""
    day_rate: float = 800.0
    """USD an engineer's day costs, for the payback of an opportunity."""


def resolve(kind: type[Settings], flags: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    """(settings, origin of each value): `flags` holds what the command line gave, None or () = not given."""
    sources = [
        ("flag", {name: value for name, value in flags.items() if value not in (None, ())}),
        ("environment", _environment(kind)),
        ("costplan.yaml", _config(kind, Path("costplan.yaml"))),
        ("user configuration", _config(kind, _user_config())),
    ]
    chosen: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for field in fields(cast(Any, kind)):
        for origin, values in sources:
            if field.name in values:
                chosen[field.name] = _value(field.name, str(field.type), values[field.name], origin)
                origins[field.name] = origin
                break
        else:
            origins[field.name] = "default"
    return kind(**chosen), origins


def _environment(kind: type[Any]) -> dict[str, Any]:
    found = {field.name: os.environ.get(f"COSTPLAN_{field.name.upper()}") for field in fields(kind)}
    return {name: value for name, value in found.items() if value is not None}


def _user_config() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "costplan" / "config.yaml"


def _config(kind: type[Any], path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    from costplan.profiles import read_yaml

    section = read_yaml(path)
    known = [field.name for field in fields(kind)]
    for key in section.values:
        if key.replace("-", "_") not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{section.where(key)}: unknown setting {key!r}", hint=hint)
    return {key.replace("-", "_"): value for key, value in section.values.items()}


_CHOICES = {"ttl_policy": ("store", "sliding"), "scope": ("global", "user")}


def _value(name: str, kind: str, value: Any, origin: str) -> Any:
    """The value in the field's type; flags arrive typed except for durations, counts and dates."""
    try:
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"one of {', '.join(_CHOICES[name])}")
        if name == "ttl":
            seconds = parse_duration_s(value) if isinstance(value, str) else float(value)
            return _within(seconds, above=0)
        if name in ("month_requests", "capacity", "head"):
            count = parse_count(value) if isinstance(value, str) else value
            return _within(count, above=0)
        if name == "price_date":
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        if name == "sample_rate":
            return _within(float(value), above=0, most=1)
        if name in ("map", "batchable"):
            return tuple(value.split(",")) if isinstance(value, str) else tuple(str(item) for item in value)
        if kind.startswith("bool"):
            return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes", "on")
        if kind.startswith("float"):
            return _within(float(value), above=-1)
        if kind.startswith("int"):
            return _within(int(value), above=-1)
        return Path(value) if "Path" in kind else value
    except (ValueError, TypeError) as error:
        option = "--" + name.replace("_", "-")
        raise UsageError(
            f"{option} ({origin}): {value!r} does not fit: {error}", hint=_EXAMPLES.get(name, f"see --help, {option}")
        ) from None


_EXAMPLES = {
    "ttl": "write a duration: --ttl 15m, --ttl 1h, --ttl 7d",
    "price_date": "write a date: --price-date 2026-11-01",
    "month_requests": "write a count: --month-requests 5M",
    "sample_rate": "the share of requests that was logged: --sample-rate 0.1",
}


def _within(number: Any, *, above: float, most: float = float("inf")) -> Any:
    if not above < number <= most:
        raise ValueError(f"must be above {above:g}" + (f" and at most {most:g}" if most < float("inf") else ""))
    return number
