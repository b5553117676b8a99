"""What API models take (context, tools, JSON, images), from profiles/capabilities.yaml; a missing fact is unknown."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from costplan.errors import CostplanError
from costplan.profiles import Section, check_keys, checked_on, number, part, profile_path, read_yaml, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Of one model of one seller; None = not known."""

    context: int | None = None
    """Most input tokens."""
    tools: bool | None = None
    json: bool | None = None
    """Answers in a given JSON schema."""
    vision: bool | None = None
    retires: date | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """All of them, by genai-prices ids of seller and model."""

    models: dict[tuple[str, str], Capability]
    source: str
    checked: str


@cache
def capabilities(path: Path | None = None) -> Capabilities:
    """The shipped file, or another of its kind. Raises CostplanError with file and line for a mistake in it."""
    section = read_yaml(path or profile_path("capabilities.yaml"))
    check_keys(section, ("source", "licence", "checked", "models"), ("source", "licence", "checked", "models"))
    sellers = part(section, "models")
    models = {
        (seller, model): _capability(part(part(sellers, seller), model))
        for seller in sellers.values
        for model in part(sellers, seller).values
    }
    return Capabilities(models, text(section, "source"), checked_on(section))


def _capability(section: Section) -> Capability:
    check_keys(section, ("context", "tools", "json", "vision", "retires"))
    values = section.values
    for key in ("tools", "json", "vision"):
        if not isinstance(values.get(key, False), bool):
            raise CostplanError(f"{section.where(key)}: '{key}' must be true or false", hint=f"{key}: true")
    if not isinstance(values.get("retires", date.min), date):
        raise CostplanError(f"{section.where('retires')}: 'retires' must be a date", hint="retires: 2027-01-31")
    return Capability(
        context=int(number(section, "context", low=1)) if "context" in values else None,
        tools=values.get("tools"), json=values.get("json"), vision=values.get("vision"), retires=values.get("retires"),
    )  # fmt: skip
