"""The documents costplan writes: every key path of plan.json, and nothing about how the numbers came about.

A document is a tree of frozen msgspec structs, so the JSON Schema (`costplan schema plan`) is derived from this file
and cannot drift from it. Money is USD, times are seconds, tokens are whole numbers.
"""

from typing import Any, Literal

import msgspec

PLAN_SCHEMA = "costplan/plan/1"
NO_MODEL = "the log names no model"
NO_USAGE = "no usage to price"
"""Reasons of an unpriced call that no price list can mend."""

Basis = Literal["reported", "priced", "measured", "simulated", "estimated", "assumed"]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number that says where it comes from and how wide it is.

    `level` is 0.95 for a two-sided sampling interval and None for a stated plausible range, which is never called a
    confidence interval. Exact figures have low = value = high. `value` None means unknown; `note` says what is missing.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float | None = None
    unit: str
    basis: Basis
    note: str = ""


def exact(value: float, unit: str, basis: Basis, note: str = "") -> Estimate:
    """An Estimate without spread, e.g. a sum of priced rows."""
    return Estimate(value=value, low=value, high=value, unit=unit, basis=basis, note=note)


def unknown(unit: str, note: str) -> Estimate:
    """An Estimate that is not known; `note` says what it would take to know it."""
    return Estimate(value=None, low=None, high=None, unit=unit, basis="assumed", note=note)


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
    requests: int
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
    requests: int
    cost_usd: float | None
    share: float | None
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0
    failed: int = 0
    unpriced: int = 0
    """Requests that the cost leaves out."""
    note: str = ""


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
    """Spend over accepted answers, by the scores of --quality; null without them."""
    margin_per_user: Estimate | None = None
    by_model: list[GroupRow]
    by_call_site: list[GroupRow]
    by_user: list[GroupRow]
    by_tag: list[GroupRow]
    by_hour: list[GroupRow]
    """Hour of the day, UTC, `00` to `23`."""
    by_operation: list[GroupRow]
    by_day: list[GroupRow]
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


class StepClass(msgspec.Struct, frozen=True, kw_only=True):
    """Steps by their place in a conversation; `last` None = and all later ones."""

    first: int
    last: int | None
    steps: int
    input_tokens_mean: float


class InputPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the prompts with full text: tools, system, history, tool_result, last (the last message)."""

    part: str
    tokens: int
    token_share: float
    cost_usd: float
    """With the cache's prices for what was read from it."""
    cost_share: float


class Loops(msgspec.Struct, frozen=True, kw_only=True):
    """The same tool with the same arguments 3 times or more in a task; the first call of each is free of blame."""

    groups: int
    repeated_calls: int
    tasks: int
    longest: int
    usd_in_log: Estimate
    """What the steps that asked again cost; that they make later prompts longer is not in it."""
    share: float
    usd_month: Estimate


class Trim(msgspec.Struct, frozen=True, kw_only=True):
    rule: Literal["last", "every", "results"]
    """Only the last steps; all but the last whenever there are twice as many; tool results older than that."""
    keep_steps: int
    usd_in_log_as_cached_today: float
    usd_in_log: float
    """Where the prompt cache works as it can: a trimmed prompt loses its cached prefix. May be negative."""
    usd_month: Estimate


class CallTrees(msgspec.Struct, frozen=True, kw_only=True):
    """Traces of calls with parent ids."""

    traces: int
    calls: int
    calls_p50: float
    calls_p95: float
    calls_max: int
    """Calls in one trace."""
    by_depth: dict[str, int]
    """Calls by the number of spans above them."""
    widest: int
    """Most calls right below one span."""


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks (sessions; traces where the log names none) step by step; not part of the ladder."""

    tasks: int
    steps: int
    tool_calls: int
    growth_tokens_per_step: Estimate
    by_step: list[StepClass]
    input_by: list[InputPart]
    loops: Loops
    call_trees: CallTrees | None = None
    tool_order_breaks: int
    tool_order_usd_month: Estimate
    trims: list[Trim]


class OutputCap(msgspec.Struct, frozen=True, kw_only=True):
    max_tokens: int
    answers_cut_share: float
    usd_month: Estimate


class OutputPotential(msgspec.Struct, frozen=True, kw_only=True):
    """Fewer output tokens: always a potential that needs an experiment, beside the ladder and in none of its sums."""

    reasoning_share: float
    """Of the output tokens."""
    reasoning_calls: int
    reasoning_usd_month: Estimate
    output_usd_month: Estimate
    caps: list[OutputCap]
    recommended_max_tokens: int | None
    """The lowest limit that cuts at most 1 % of the answers."""
    usd_month: Estimate
    formula: str
    risk: Literal["needs-test"] = "needs-test"
    next_experiment: str = "lower the effort, or set the limit, for a tenth of the calls; grade the answers of both"


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
    saving_share: float | None
    levers: list[str]


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    p50: Estimate
    p95: Estimate


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    ttft_s: Percentiles
    e2e_s: Percentiles


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    before: Latencies
    """As logged, of the successful calls."""
    after: Latencies
    """Of the same calls, where the exact cache answers the literal repeats; no other lever is modelled."""
    lookup_s: Estimate
    """What an answer from the cache takes."""


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
