"""Reads a scenario file strictly: every mistake is an error with file and line and the nearest right key."""

import re
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin

from costplan.errors import CostplanError, UsageError
from costplan.profiles import Section, check_keys, nearest, profile_path, read_yaml
from costplan.scenario.spec import LEVELS, CallSpec, Range, Scenario
from costplan.units import parse_count

Struct = TypeVar("Struct")
_YAML = (".yaml", ".yml")


def is_scenario(path: str) -> bool:
    """Whether `analyze` takes this for a product instead of a log: YAML with a `scenario` key, or a shipped name."""
    if Path(path).suffix.lower() not in _YAML:
        return not Path(path).exists() and _shipped(path).is_file()
    try:
        return re.search(r"^scenario[ \t]*:", Path(path).read_text("utf-8-sig"), re.M) is not None
    except (OSError, UnicodeDecodeError):
        return False


def find_scenario(name: str) -> Path:
    """The file of that name, else the shipped scenario. Raises CostplanError with the names there are."""
    shipped = _shipped(name)
    if Path(name).exists() or "/" in name or Path(name).suffix.lower() in _YAML:
        return Path(name)
    if not shipped.is_file():
        names = [path.stem for path in shipped.parent.glob("*.yaml")]
        raise CostplanError(f"{name}: no such file, and no such shipped scenario", hint=nearest(name, names))
    return shipped


def _shipped(name: str) -> Path:
    return profile_path("scenarios", f"{Path(name).name}.yaml")


def with_requests(scenario: Scenario, requests: str | None) -> Scenario:
    """The scenario with a log of about so many lines."""
    if requests is None:
        return scenario
    try:
        lines = parse_count(requests)
    except ValueError:
        lines = 0
    if lines < 1:
        raise UsageError(f"--requests {requests}: not a number of lines", hint="--requests 5000 or --requests 5k")
    return replace(scenario, log=replace(scenario.log, requests=lines))


def read_scenario(path: Path) -> Scenario:
    """The checked scenario. Raises CostplanError with `file:line` for unknown keys, wrong values, contradictions."""
    top = read_yaml(path)
    found = _struct(top, Scenario)
    _check_traffic(top, found)
    calls = cast(list[Section], top.values["calls"])
    if not calls:
        raise CostplanError(f"{top.where('calls')}: there is no call", hint="calls: [{name: ..., model: ...}]")
    for section, call in zip(calls, found.calls, strict=True):
        _check_call(section, call)
    names = [call.name for call in found.calls]
    twice = next((n for n, name in enumerate(names) if name in names[:n]), None)
    if twice is not None:
        raise CostplanError(f"{calls[twice].where('name')}: two calls are named alike", hint="name them apart")
    return found


def _check_traffic(top: Section, found: Scenario) -> None:
    traffic = top.values.get("traffic")
    where = top.where("traffic")
    if isinstance(traffic, Section) and (found.traffic.users is None) == (found.traffic.sessions_per_day is None):
        raise CostplanError(
            f"{where}: give either users or sessions_per_day", hint="users: 1000 and sessions_per_user_day: 1"
        )
    if not any(found.log.hours):
        raise CostplanError(f"{top.where('log')}: no hour has traffic", hint="leave `hours` out, or give 24 numbers")


def _check_call(section: Section, call: CallSpec) -> None:
    def wrong(key: str, what: str, hint: str) -> CostplanError:
        return CostplanError(f"{section.where(key)}: {what}", hint=hint)

    if call.prefix_tokens >= call.input_tokens.value:
        raise wrong("prefix_tokens", "'prefix_tokens' is not less than input_tokens", "input_tokens counts them too")
    parts = call.repeats.exact, call.repeats.respelled, call.repeats.paraphrase, call.repeats.trap
    if sum(part.value for part in parts) > 1:
        raise wrong("repeats", "the shares of 'repeats' add up to more than 1", "the rest of the prompts is new")
    if abs(sum(call.levels) - 1) > 1e-6:
        raise wrong("levels", "'levels' must add up to 1", "levels: [0.4, 0.3, 0.2, 0.1, 0]")
    if call.cheaper and len(call.cheaper.quality) != len(call.quality):
        hint = f"{LEVELS} numbers each: quality of the call's own model, and under `cheaper`"
        raise wrong("quality", "'quality' is known of one model only", hint)


def _struct(section: Section, kind: type[Struct]) -> Struct:
    known = {each.name: each for each in fields(cast(Any, kind))}
    required = [each.name for each in known.values() if each.default is each.default_factory is MISSING]
    check_keys(section, known, required)
    return kind(**{name: _value(section, name, known[name]) for name in section.values})


def _value(section: Section, name: str, key: Field[Any]) -> Any:
    """One value in its field's type."""
    raw, where, kind = section.values[name], section.where(name), cast(Any, key.type)
    if isinstance(kind, UnionType):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if kind is Range:
        return _range(raw, where, name, key)
    if is_dataclass(kind):
        return _struct(_section(raw, where, name), cast(type[Any], kind))
    if get_origin(kind) is tuple:
        return _list(raw, where, name, key, get_args(kind)[0])
    if get_origin(kind) is dict:
        inner = _section(raw, where, name)
        return {str(each): _struct(_section(raw, inner.where(each), each), get_args(kind)[1])
                for each, raw in inner.values.items()}  # fmt: skip
    return _scalar(raw, where, name, key, kind)


def _scalar(raw: Any, where: str, name: str, key: Field[Any], kind: Any) -> Any:
    if kind is float:
        return _number(raw, where, name, key)
    if kind is int:
        number = _number(raw, where, name, key)
        if number != int(number):
            raise CostplanError(f"{where}: '{name}' must be a whole number", hint=f"{name}: {round(number)}")
        return int(number)
    example = {bool: "true", date: "2026-10-05"}.get(kind, "...")
    if type(raw) is not kind or raw == "":
        what = {bool: "true or false", date: "a date"}.get(kind, "text")
        raise CostplanError(f"{where}: '{name}' must be {what}", hint=f"{name}: {example}")
    return raw.strip() if kind is str else raw


def _number(raw: Any, where: str, name: str, key: Field[Any]) -> float:
    low, high = key.metadata.get("low", float("-inf")), key.metadata.get("high", float("inf"))
    if isinstance(raw, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?e[-+]?\d+", raw):
        raw = float(raw)  # YAML 1.1 takes 5e-06 for text
    number = float("nan") if isinstance(raw, bool) or not isinstance(raw, int | float) else float(raw)
    if not low <= number <= high or number in (float("inf"), float("-inf")):
        limits = (f" from {low:g}" if low > float("-inf") else "") + (f" to {high:g}" if high < float("inf") else "")
        raise CostplanError(f"{where}: '{name}' must be a number{limits}", hint=f"write `{name}: {max(low, 0):g}`")
    return number


def _range(raw: Any, where: str, name: str, key: Field[Any]) -> Range:
    if not isinstance(raw, Section):
        number = _number(raw, where, name, key)
        return Range(number, number, number)
    check_keys(raw, ("value", "low", "high"), ("value", "low", "high"))
    value, low, high = (_number(raw.values[end], raw.where(end), end, key) for end in ("value", "low", "high"))
    if not low <= value <= high:
        raise CostplanError(f"{where}: '{name}' must have low <= value <= high", hint="{value: 5, low: 4, high: 8}")
    return Range(value, low, high)


def _list(raw: Any, where: str, name: str, key: Field[Any], kind: Any) -> tuple[Any, ...]:
    items = cast(list[Any], raw) if isinstance(raw, list) else None
    size = key.metadata.get("size")
    if items is None or (size is not None and len(items) != size):
        many = f"a list of {size} numbers" if size else "a list"
        raise CostplanError(f"{where}: '{name}' must be {many}", hint=f"{name}: [...]")
    if is_dataclass(kind):
        return tuple(_struct(_section(item, where, name), cast(type[Any], kind)) for item in items)
    return tuple(_scalar(item, where, name, key, kind) for item in items)


def _section(raw: Any, where: str, name: str) -> Section:
    if not isinstance(raw, Section):
        raise CostplanError(f"{where}: '{name}' must hold keys and values", hint=f"{name}: {{...}}")
    return raw
