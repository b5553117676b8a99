"""breakeven.json: API against self-hosting; every key path of it, and nothing about how the numbers came about."""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Estimate

BREAKEVEN_SCHEMA = "costplan/breakeven/1"


class Reached(Estimate, frozen=True, kw_only=True):
    """A break-even: an Estimate that some draws may not have. `value` null: `note` says why there is none."""

    share_reached: float
    """Share of all draws that have one; those that have none count as above `high`, which is null above 2.5 %."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One seller's price of a model."""

    provider: str
    model: str
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    usd_per_request: float
    chosen: bool
    source: str


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What a month costs one way, after every lever that applies to it."""

    usd_month: Estimate
    usd_per_mtok: Estimate
    """Per million tokens as the API of today counts them, input and output together: the same unit in all columns."""
    model: str
    how: str
    offers: list[Offer] = []


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    api: Column
    open_model_api: Column
    self_host: Column


class HostLines(msgspec.Struct, frozen=True, kw_only=True):
    """Disjoint USD a month; their sum is self_host.usd_month to the cent."""

    gpu: float
    """GPU-hours at work: requests over the rate that a replica holds."""
    idle: float
    """GPU-hours paid for in which nothing is served, the spare ones apart."""
    spare: float
    power: float
    network: float
    storage: float
    people: float
    software: float
    overhead: float


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What runs in the busiest hour."""

    gpu: str
    gpus_given: int
    gpus: int
    gpus_needed: int
    """What the traffic needs in its busiest hour, without spare."""
    layout: str
    tp: int
    replicas: int
    replicas_needed: int
    spare: int
    term: str
    cloud: str
    instance_gpus: int
    minimum_months: int
    follows_hours: bool
    busy_share: float
    """Of the GPU-hours paid for, the share at work."""
    note: str = ""


class LayoutRow(msgspec.Struct, frozen=True, kw_only=True):
    """One way to use the given GPUs, at the SLO."""

    layout: str
    tp: int
    replicas: int
    chosen: bool
    fits: bool
    reason: str
    req_s_per_replica: float | None
    req_s: float | None
    """With all replicas; `req_s_spared` without the spare one."""
    req_s_spared: float | None
    usd_month: float | None
    ttft_p95_s: float | None
    tpot_p95_s: float | None
    e2e_p95_s: float | None
    binding: str


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    req_s_at_slo: Estimate
    """Of one replica."""
    slo: str
    binding: str
    layouts: list[LayoutRow]


class SelfHost(msgspec.Struct, frozen=True, kw_only=True):
    usd_month: Estimate
    """Its value is the sum of the lines, to the cent."""
    lines: HostLines
    usd_per_mtok: Estimate
    usd_per_gpu_hour: Estimate
    people: Estimate
    once_usd: Estimate
    """One-off work of moving; a share of it stands in the overhead line."""


class Hybrid(msgspec.Struct, frozen=True, kw_only=True):
    """Base load on own replicas, overflow to the open model's API."""

    replicas: int
    gpus: int
    self_hosted_share: float
    usd_month: float
    note: str = ""


class CrossingRow(msgspec.Struct, frozen=True, kw_only=True):
    requests_per_day: float
    cheaper_above: Literal["self_host", "api"]
    replicas: int
    gpus: int


class BreakEvens(msgspec.Struct, frozen=True, kw_only=True):
    requests_per_day: Reached
    """The volume above which self-hosting stays cheaper."""
    usd_per_gpu_hour: Reached
    """The price of a GPU-hour below which it is cheaper at the given volume."""
    month: Reached
    """The month by whose end it has cost less in total, moving included."""
    crossings: list[CrossingRow]


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """One figure at the ends of its range, all others at their value."""

    name: str
    label: str
    value: float
    low: float
    high: float
    unit: str
    saving_usd_month: list[float]
    """(b) - (c) at the low and at the high end."""
    requests_per_day: list[float | None]
    """Break-even volume at both ends; null: none."""
    swing_usd_month: float
    flips: bool
    """Whether the cheaper side changes within the range."""
    source: str
    checked: str


class CurveRow(msgspec.Struct, frozen=True, kw_only=True):
    """USD a month at one volume."""

    requests_per_day: float
    api: float | None
    open_model_api: float
    self_host: float
    gpus: float


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """Break-even volume at one price of a GPU-hour."""

    usd_per_gpu_hour: float
    requests_per_day: float | None
    self_host_usd_month: float


class GrowthRow(msgspec.Struct, frozen=True, kw_only=True):
    month: int
    requests_per_day: float
    api: float | None
    open_model_api: float
    self_host: float
    gpus: float
    saved_usd_to_date: float
    """(b) - (c) summed up, the one-off work paid in month 1."""


class Breakeven(msgspec.Struct, frozen=True, kw_only=True):
    schema: Literal["costplan/breakeven/1"] = BREAKEVEN_SCHEMA
    verdict: str
    """`api`, `self-host` or `depends on X`; about (b) - (c), owning GPUs, not about changing model."""
    reason: str
    share_self_host: float
    """Share of the draws in which self-hosting is cheaper at the given volume."""
    traffic: dict[str, Any]
    columns: Columns
    gain_model_usd_month: Estimate
    """(a) - (b): from changing the model; `note` holds the quality caveat."""
    gain_owning_usd_month: Estimate
    """(b) - (c): from owning GPUs."""
    self_host: SelfHost
    fleet: Fleet
    capacity: Capacity
    hybrid: Hybrid | None
    break_even: BreakEvens
    sensitivity: list[Sensitivity]
    curve: list[CurveRow]
    price_curve: list[PriceRow]
    growth: list[GrowthRow]
    assumptions: list[Assumption]
    warnings: list[str] = []


def breakeven_to_json(document: Breakeven) -> bytes:
    """Indented UTF-8 JSON, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def breakeven_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of breakeven.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Breakeven)}
