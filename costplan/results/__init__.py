"""The documents costplan writes: every key path of plan.json, and nothing about how the numbers came about.

A document is a tree of frozen msgspec structs, so the JSON Schema (`costplan schema plan`) is derived from this file
and cannot drift from it. Money is USD, times are seconds, tokens are whole numbers.
"""

from typing import Any, Literal

import msgspec

from costplan.results.agents import Agents, OutputPotential
from costplan.results.estimate import Basis as Basis
from costplan.results.estimate import Estimate as Estimate
from costplan.results.estimate import exact as exact
from costplan.results.estimate import unknown as unknown
from costplan.results.latency import Latency

PLAN_SCHEMA = "costplan/plan/1"
NO_MODEL = "the log names no model"
NO_USAGE = "no usage to price"
"""Reasons of an unpriced call that no price list can mend."""


class Input(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    format: str
    runner_up: str = ""
    rule: str = ""
    """How this source's token counts were converted to the inclusive rule."""
    lines: int
    bytes: int
    sha256: str


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    count: int
    first_lines: list[str]
    """`file:line`, at most five."""


class SkippedBooks(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    reasons: dict[str, Skipped]


class UnpricedModel(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    provider: str
    operation: str
    reason: str
    requests: int
    tokens: int
    nearest: list[str]


class UnpricedBooks(msgspec.Struct, frozen=True, kw_only=True):
    requests: int
    tokens: int
    token_share: float
    models: list[UnpricedModel]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    start: str | None
    end: str | None
    days: float | None
    """None where no row carries a time; relative traces have days but neither start nor end."""
    full_days: int = 0
    null_timestamps: int = 0
    backwards: int = 0
    """Rows whose clock ran backwards against the line before."""


class Aggregated(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that stand for many calls: rows = priced + unpriced + reported + unused; among the records they are
    `not_a_call`, under the reason `aggregated_row`."""

    rows: int
    requests: int | None
    """Calls that the rows count; None where no row says so."""
    uncounted_rows: int
    """Rows with tokens or money that do not say how many calls they stand for."""
    priced: int
    unpriced: int
    unpriced_models: list[UnpricedModel]
    reported: int
    """Rows without tokens, whose amount is what the export says."""
    unused: int
    """Amounts of a provider whose tokens are here, too: counting both would count twice."""
    exports: dict[str, int]
    """Rows by kind of export."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """records = requests + not_a_call + skipped.total + duplicates + merged;
    requests = priced + unpriced.requests + failed + gateway_hits."""

    records: int
    requests: int
    not_a_call: int
    not_a_call_reasons: dict[str, int]
    skipped: SkippedBooks
    duplicates: int
    repeated_ids: int
    """Rows whose message id was seen before with other content: kept, because they are separate calls."""
    merged: int
    priced: int
    unpriced: UnpricedBooks
    failed: int
    failed_by: dict[str, int]
    gateway_hits: int
    possibly_billed: int
    """Aborted or failed after tokens may have been produced; counted inside the other classes."""
    retries: int
    """Requests that repeat, within two minutes, a failed one of the same user with the same text."""
    retries_usd: float = 0.0
    """What they cost, at the price date; the failed calls before them are not billed unless `possibly_billed`."""
    usage_source: dict[str, int]
    text_state: dict[str, int]
    cache_reported_share: float
    span: Span
    aggregated: Aggregated | None = None
    """For exports by day or hour instead of a log of calls."""
    partial: bool = False
    """True for `--head`: a first look, no monthly figure."""


class CostParts(msgspec.Struct, frozen=True, kw_only=True):
    """None where no request has a price."""

    input: float | None
    cache_read: float | None
    cache_write: float | None
    output: float | None
    other: float | None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    cost_usd: Estimate
    """At the prices valid on each row's date."""
    cost_usd_price_date: Estimate
    """The same rows at `--price-date`; the ladder and monthly figures start here."""
    cost_usd_month: Estimate
    cash_usd_month: Estimate | None = None
    """What is paid for the month that begins at the price date, under the contract; None without one."""
    cost_usd_reported: float | None
    """Sum of the costs the log itself states, where it states any; never mixed into the computed ones."""
    price_date: str | None
    requests: int | None
    """None where an aggregated export does not count them; likewise in the breakdowns."""
    requests_month: float | None
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_by: CostParts


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a breakdown; `share` is of the priced cost. Both are None where no request of it has a price."""

    key: str
    requests: int | None
    cost_usd: float | None
    share: float | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    failed: int = 0
    unpriced: int = 0
    """Requests that the cost leaves out."""
    note: str = ""
    id: str = ""
    """Of a call site: the same in every log in which its prompts begin alike."""


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    sessions: int
    steps: dict[str, float]
    """p50, p95, p99, max."""
    cost_usd: dict[str, float]
    """Empty where no request has a price."""
    history_share: float | None
    """Share of input characters that is re-sent conversation history; likewise below. None without text."""
    tools_share: float | None
    tool_results_share: float | None
    system_share: float | None
    top_1_percent_share: float | None = None
    """Share of the sessions' cost that the dearest 1 % of them take (at least one)."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    requests_min_peak: int
    requests_min_p99: float
    tokens_min_peak: int
    tokens_min_p99: float
    input_tokens_min_peak: int = 0
    input_tokens_min_p99: float = 0.0
    output_tokens_min_peak: int = 0
    output_tokens_min_p99: float = 0.0
    rate_limited: int = 0
    """Calls refused with 429."""
    ask_requests_min: int = 0
    """What a tier or quota request asks for: the larger of the peak minute and 1.2 x the p99 minute, refused calls
    included, rounded up to two figures; tokens likewise. The 1.2 is an assumption."""
    ask_input_tokens_min: int = 0
    ask_output_tokens_min: int = 0


class UnitEconomics(msgspec.Struct, frozen=True, kw_only=True):
    per_request: Estimate
    per_1k_requests: Estimate
    per_session: Estimate
    per_user_day: Estimate
    per_mtok_blended: Estimate
    per_1k_accepted: Estimate | None = None
    """(Spend + judging + penalty x bad answers) / accepted answers, by the scores of --quality; null without them."""
    margin_per_user: Estimate | None = None
    by_model: list[GroupRow]
    by_call_site: list[GroupRow]
    by_user: list[GroupRow]
    by_tag: list[GroupRow]
    by_hour: list[GroupRow]
    """Hour of the day, UTC, `00` to `23`."""
    by_operation: list[GroupRow]
    by_day: list[GroupRow]
    growth: Estimate | None = None
    """Growth of the daily cost in a month (0.1: a tenth), of an aggregated export."""
    sessions: Sessions | None
    rates: list[Rate]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One lever of the ladder. Stand-alone, marginal and Shapley savings come from the same 2^n sets of levers."""

    lever: Literal["response_cache", "compression", "routing", "prompt_cache", "batch", "self_host"]
    label: str
    headline: bool
    """True: in "defensible today"; False: in "potential"."""
    standalone_usd_month: Estimate
    marginal_usd_month: Estimate
    shapley_usd_month: Estimate
    saving_share: float | None
    """Marginal saving as a share of what the rungs above it left."""
    order_range: list[float] | None
    """Lowest and highest marginal saving over all orders, USD a month."""
    usage_usd_month: Estimate
    cash_usd_month: Estimate
    risk: Literal["none", "verified", "needs-test"]
    summary: str
    """One line for the terminal: the rate that matters and its condition."""
    evidence: dict[str, Any]


class Opportunity(msgspec.Struct, frozen=True, kw_only=True):
    call_site: str
    lever: str
    usd_month: Estimate
    evidence: str
    risk: Literal["none", "verified", "needs-test"]
    effort_days: float
    payback_days: float | None
    next_experiment: str


class AfterTotal(msgspec.Struct, frozen=True, kw_only=True):
    cost_usd_month: Estimate
    cash_usd_month: Estimate | None = None
    """What is paid under the contract; None without one."""
    per_1k_requests: Estimate
    per_1k_accepted: Estimate | None = None
    """What a thousand accepted answers cost then; None without scores of models."""
    saving_share: float | None
    levers: list[str]


class After(msgspec.Struct, frozen=True, kw_only=True):
    defensible: AfterTotal
    potential: AfterTotal
    latency: Latency | None = None
    """None only in plans that were saved before it was computed."""


class Assumption(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    value: str
    origin: str
    note: str = ""
    """What the log has to say against it, as one sentence."""


class PriceUsed(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    provider: str
    tier: str
    requests: int
    rates: dict[str, float]
    """USD per million tokens (or per unit where the key says so)."""
    effective: str
    source: str
    notes: list[str]


class ReconcileModel(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    invoice_usd: float | None
    log_usd: float


class Reconcile(msgspec.Struct, frozen=True, kw_only=True):
    invoice_usd: float
    log_usd: float
    coverage_share: float
    by_model: list[ReconcileModel]
    note: str


class UnitsRow(msgspec.Struct, frozen=True, kw_only=True):
    units: int
    cost_usd_month: float
    spill_token_share: float


class Provisioned(msgspec.Struct, frozen=True, kw_only=True):
    """Provisioned throughput of one model beside pay-as-you-go, on the log's demand by minute."""

    model: str
    provider: str
    usd_per_unit_hour: float
    tokens_per_minute_per_unit: float
    output_weight: float
    """Input tokens that an output token counts as."""
    minimum_units: int
    step_units: int
    units: int | None = None
    """The cheapest number on offer; 0: pay-as-you-go is cheaper than any."""
    pay_as_you_go_usd_month: Estimate
    cost_usd_month: Estimate
    """Of `units`, with what spills over."""
    saving_usd_month: Estimate
    break_even_utilisation: float | None = None
    """Above 1: a unit that is always full costs more than its tokens do by pay-as-you-go."""
    utilisation: float | None = None
    utilisation_by_hour: list[float] = []
    """Hour of the day, UTC."""
    minutes: int = 0
    """Of the log, in the hours that make the month."""
    spill_minutes: int = 0
    spill_token_share: float | None = None
    curve: list[UnitsRow] = []
    """Some of the numbers that were compared."""
    note: str = ""


class CallCost(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the product."""

    name: str
    model: str
    requests_month: Estimate
    cost_usd_month: Estimate
    per_call: Estimate
    share: float
    """Of the product's cost, at the stated values."""
    input_share: float
    """Of the call's cost: prompt tokens; the rest are answers."""


class ScenarioFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A product that has no log: every figure is assumed and has a range."""

    name: str
    about: str
    source: str
    claim: str
    asks: list[str]
    calls: list[CallCost]
    """Dearest first."""
    first: str
    """Which call to look at first, and why."""
    sessions_month: Estimate
    per_user_month: Estimate
    in_12_months: Estimate
    """A month's cost after twelve months of the stated growth."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    schema: Literal["costplan/plan/1"] = PLAN_SCHEMA
    inputs: list[Input]
    ingest: Books
    reconcile: Reconcile | None = None
    baseline: Baseline
    unit_economics: UnitEconomics
    ladder: list[Rung]
    opportunities: list[Opportunity]
    after: After
    provisioned: list[Provisioned] = []
    """With `--ptu`, one per offer of the contract."""
    assumptions: list[Assumption]
    prices: list[PriceUsed]
    agents: Agents | None = None
    """None where no priced call belongs to a session or a trace."""
    output: OutputPotential | None = None
    scenario: ScenarioFacts | None = None
    """For a product without a log: what the plan was computed from."""
    warnings: list[str] = []
    """One sentence each, most important first; shown above the figures they concern."""


def to_json(document: Plan) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def plan_from_json(data: bytes) -> Plan:
    """Raises msgspec.DecodeError or ValidationError when the bytes are no plan of this schema."""
    return msgspec.json.decode(data, type=Plan)


def json_schema(name: Literal["plan"]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a document."""
    schema = {"plan": Plan}[name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(schema)}
