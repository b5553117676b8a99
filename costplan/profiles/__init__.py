"""Reads the dated facts in profiles/*.yaml into frozen values; knows no price and does not judge how old a fact is.

A profile is data with a source: every rule names the page it was taken from and the day it was checked.
A mistake in a file is reported with the file and the line.
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, cast

from costplan.errors import CostplanError


@dataclass(frozen=True, slots=True)
class Section:
    """A YAML mapping that remembers its file and the line of each key; nested mappings are Sections too."""

    path: Path
    line: int
    values: dict[str, Any]
    lines: dict[str, int]

    def where(self, key: str = "") -> str:
        return f"{self.path}:{self.lines.get(key, self.line)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """When a provider charges the cached-read price for a prefix it has seen before."""

    mode: str
    """`automatic` (any repeated prefix), `explicit` (only marked prefixes) or `none`."""
    min_tokens: int
    min_tokens_by_model: tuple[tuple[str, int], ...] = ()
    """(substring of the model name, minimum), first match wins; other models take `min_tokens`."""
    step_tokens: int = 1
    """Cached lengths are rounded down to a multiple of this."""
    ttl_s: float
    """Typical idle lifetime, used in simulations; `ttl_low_s` and `ttl_high_s` are the documented or observed range."""
    ttl_low_s: float
    ttl_high_s: float
    long_ttl_s: float | None = None
    max_breakpoints: int = 0
    refreshed_on_use: bool = True
    note: str = ""
    source: str
    checked: date

    def minimum_for(self, model: str) -> int:
        name = model.lower()
        return next((tokens for part, tokens in self.min_tokens_by_model if part in name), self.min_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """The documented discount for asynchronous batches."""

    discount: float
    """Share off the standard price, 0.5 = half price."""
    stacks_with_cache: bool
    """Whether cached reads and writes are discounted as well."""
    window_s: float
    note: str = ""
    source: str
    checked: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPolicy:
    """What is known about one provider; None means nothing documented, so nothing is assumed."""

    provider: str
    cache: CachePolicy | None = None
    batch: BatchPolicy | None = None


def profile_path(*parts: str) -> Path:
    """Where a profile lies: inside the installed package, else in the repository of an editable install."""
    here = Path(__file__).parents[1]
    packed = here / "profiles_data"
    return (packed if packed.is_dir() else here.parent / "profiles").joinpath(*parts)


def provider_policy(provider_id: str) -> ProviderPolicy:
    """The rules of a provider (genai-prices id, like `x-ai`); an unknown one caches nothing and discounts nothing."""
    return _provider_policies().get(provider_id.lower(), ProviderPolicy(provider=provider_id))


def load_provider(path: Path) -> ProviderPolicy:
    """One profiles/providers/*.yaml file."""
    section = read_yaml(path)
    check_keys(section, ("provider", "cache", "batch"))
    cache_section, batch_section = section.values.get("cache"), section.values.get("batch")
    provider = section.values.get("provider")
    if not isinstance(provider, str):
        raise CostplanError(f"{section.where('provider')}: 'provider' must be a name", hint="provider: openai")
    return ProviderPolicy(
        provider=provider,
        cache=_cache_policy(cache_section) if isinstance(cache_section, Section) else None,
        batch=BatchPolicy(**_rule(batch_section, BatchPolicy)) if isinstance(batch_section, Section) else None,
    )


def read_yaml(path: Path) -> Section:
    """A YAML file whose top level is a mapping, with line numbers kept."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise CostplanError(f"{path}: {reason}", hint="name a readable YAML file") from error
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)  # libyaml: seven times faster, same lines
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise CostplanError(f"{path}:1: the file must hold keys and values", hint="start it with `models:`")
        return cast(Section, _plain(loader, node, path))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error)
        raise CostplanError(f"{path}:{line}: not valid YAML, {problem}", hint="check indentation and colons") from error
    finally:
        loader.dispose()


def check_keys(section: Section, allowed: Iterable[str], required: Iterable[str] = ()) -> None:
    """Every key must be known, and the required ones present; the error suggests the nearest key."""
    known = sorted(allowed)
    for key in section.values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            raise CostplanError(f"{section.where(key)}: unknown key '{key}'", hint=hint)
    for key in required:
        if key not in section.values:
            raise CostplanError(f"{section.where()}: '{key}' is missing", hint=f"add a line `{key}: ...`")


def number(section: Section, key: str, *, low: float = 0.0, high: float = float("inf")) -> float:
    """A finite number within [low, high]; `5e-06`, which YAML takes for text, is one."""
    value = section.values[key]
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value == high:
        limits = f"from {low:g}" + ("" if high == float("inf") else f" to below {high:g}")
        raise CostplanError(f"{section.where(key)}: '{key}' must be a number {limits}", hint=f"write `{key}: 0.5`")
    return float(value)


def text(section: Section, key: str) -> str:
    """A word or sentence; YAML dates and versions such as 0.15 count as they are written."""
    value = section.values.get(key)
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str) or not value.strip():
        raise CostplanError(f"{section.where(key)}: '{key}' must be text", hint=f'write `{key}: "..."`')
    return value


def checked_on(section: Section) -> str:
    """The ISO day on which the facts were last checked."""
    value = section.values.get("checked")
    if not isinstance(value, date):
        raise CostplanError(f"{section.where('checked')}: 'checked' must be a date", hint="checked: 2026-11-23")
    return value.isoformat()


def words(section: Section, key: str) -> tuple[str, ...]:
    """A list of words; an absent key is an empty list."""
    values = section.values.get(key, [])
    if not isinstance(values, list) or not all(isinstance(each, str) for each in cast(list[Any], values)):
        raise CostplanError(f"{section.where(key)}: '{key}' must be a list of names", hint=f"{key}: [one, two]")
    return tuple(cast(list[str], values))


def part(section: Section, key: str) -> Section:
    """A nested mapping."""
    value = section.values.get(key)
    if not isinstance(value, Section):
        raise CostplanError(f"{section.where(key)}: '{key}' must hold keys and values", hint=f"{key}: {{...}}")
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint of an unknown name: up to three that look alike, else all."""
    names = sorted(set(known))
    lower = {each.lower(): each for each in names}
    near = [lower[each] for each in difflib.get_close_matches(name.lower(), list(lower), 3, 0.5)]
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"


@cache
def _provider_policies() -> dict[str, ProviderPolicy]:
    found = (load_provider(path) for path in sorted(profile_path("providers").glob("*.yaml")))
    return {policy.provider: policy for policy in found}


def _rule(section: Section, kind: type[CachePolicy] | type[BatchPolicy]) -> dict[str, Any]:
    """The checked fields of one rule; which are required and which are numbers the dataclass says."""
    check_keys(section, [f.name for f in fields(kind)], [f.name for f in fields(kind) if f.default is MISSING])
    values = dict(section.values)
    for each in fields(kind):
        if each.type in (int, float, float | None) and values.get(each.name) is not None:
            value = number(section, each.name, high=1.0 if each.name == "discount" else float("inf"))
            values[each.name] = int(value) if each.type is int else value
    if not isinstance(values["checked"], date):
        raise CostplanError(f"{section.where('checked')}: 'checked' must be a date", hint="checked: 2026-11-23")
    return values


def _cache_policy(section: Section) -> CachePolicy:
    values = _rule(section, CachePolicy)
    if values["mode"] not in ("automatic", "explicit", "none"):
        raise CostplanError(f"{section.where('mode')}: unknown cache mode", hint="automatic, explicit or none")
    by_model = values.get("min_tokens_by_model")
    if isinstance(by_model, Section):
        values["min_tokens_by_model"] = tuple((name.lower(), int(number(by_model, name))) for name in by_model.values)
    return CachePolicy(**values)


def _plain(loader: Any, node: Any, path: Path) -> Any:
    """Mappings become Sections, sequences lists, scalars what YAML says they are."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, path) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in values:
            raise CostplanError(f"{path}:{line}: '{key}' is given twice", hint=f"first on line {lines[key]}")
        values[key], lines[key] = _plain(loader, value_node, path), line
    return Section(path, node.start_mark.line + 1, values, lines)
