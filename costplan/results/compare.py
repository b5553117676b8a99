"""compare.json: two plans, or two runs of a server, side by side."""

from typing import Any, Literal

import msgspec

COMPARE_SCHEMA = "costplan/compare/1"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both documents; None: it is not known there."""

    name: str
    """As --fail-if has it: `cost.month`."""
    label: str
    unit: str
    a: float | None
    b: float | None
    change: float | None
    """b - a."""
    ratio: float | None
    """b / a - 1."""
    differs: bool | None
    """Whether the 95 % intervals tell the two apart; None where a figure has none."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the change of the cost; all parts add up to it."""

    cause: Literal["volume", "mix", "usage", "price"]
    usd: float
    note: str


class ModelChange(msgspec.Struct, frozen=True, kw_only=True):
    """The causes by model; USD over the same time as the causes."""

    model: str
    status: Literal["new", "gone", "both"]
    a_usd: float
    b_usd: float
    volume_usd: float
    mix_usd: float
    usage_usd: float
    price_usd: float


class SiteChange(msgspec.Struct, frozen=True, kw_only=True):
    """A call site; USD over the same time as the causes. Per request None where there was none with a price."""

    call_site: str
    status: Literal["new", "gone", "changed", "same"]
    a_usd: float | None
    b_usd: float | None
    change_usd: float
    a_usd_per_request: float | None
    b_usd_per_request: float | None


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of --fail-if."""

    text: str
    value: float | None
    """What it was held against: the change, the ratio or b itself."""
    broken: bool
    note: str = ""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two documents."""

    path: str
    schema: str
    title: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    schema: Literal["costplan/compare/1"] = COMPARE_SCHEMA
    a: Compared
    b: Compared
    over: Literal["month", "log", ""]
    """The time that costs are over: `log` where one of the plans has no monthly figure; empty for runs."""
    figures: list[Figure]
    causes: list[Cause] = []
    models: list[ModelChange] = []
    """By the size of the change."""
    call_sites: list[SiteChange] = []
    """By the size of the change."""
    limits: list[Limit] = []
    warnings: list[str] = []


def compare_json(document: Comparison) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def compare_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Comparison)}
