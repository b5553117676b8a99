"""route.json: what cheaper models would cost on a log, what is known of their quality, and what to try; no way to it.

Shares and scores are from 0 to 1, losses in points (hundredths of a score), base minus candidate: positive is worse.
"""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Estimate, Input

ROUTE_SCHEMA = "costplan/route/1"
Policy = Literal["site", "complexity", "request", "cascade"]
RouteVerdict = Literal["routes", "no better than random"]
Tier = Literal["T0", "T1", "T2"]
COMPLEXITY_SAYS = "describes the prompt; does not predict quality"


class ComplexityFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How demanding prompts look, by rules over their words."""

    says: str = COMPLEXITY_SAYS
    scored: int
    unscored: int
    """Requests whose text is not whole in the log."""
    level_share: list[float]
    """Of the scored requests, levels 1 to 5."""
    parts: dict[str, float]
    """Mean of each of the six parts."""


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule of the complexity score fires at a call site."""

    call_site: str
    part: str
    rule: str
    count: int
    request_share: float
    """Of the site's scored requests, those in which it fires."""
    words: list[str] = []
    """The most frequent ones; only with --show-text."""


class RouteOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate at one call site."""

    model: str
    provider: str
    cost_usd: Estimate
    """Of the requests that it can take; likewise `saving_usd`."""
    saving_usd: Estimate
    request_share: float
    """Of the site's requests, those that it can take."""
    cannot: dict[str, int]
    """Requests that it cannot take, by reason."""
    loss_points: Estimate


class RouteSite(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that one model answers at one call site."""

    call_site: str
    model: str
    provider: str
    requests: int
    cost_usd: float
    """At the prices of the log's last day, as are all amounts here."""
    level_share: list[float]
    """Levels 1 to 5; empty without text."""
    advice: Literal["switch", "test", "stay"]
    why: str
    candidate: str | None
    """The one to switch to or to test."""
    saving_usd: Estimate
    """Over the log."""
    break_even_gap: Estimate
    """Share of today's good answers that the candidate may lose before a good answer costs more than today."""
    loss_points: Estimate
    labels: int
    """Pairs that are labelled."""
    offers: list[RouteOffer]


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of routing saves; all with the candidate that each call site is advised."""

    policy: Policy
    setting: str
    cheap_share: float | None
    """Of the requests that can be routed, those that a cheaper model answers."""
    cost_usd: Estimate
    saving_usd: Estimate
    """Over the log, with what routing itself costs taken off."""
    saving_usd_month: Estimate
    loss_points: Estimate
    """Mean over the requests of the policy."""
    verified: bool
    """The upper bound of the loss is within --max-loss."""
    note: str


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Requests given to the strong model in the order of the predicted gap."""

    strong_share: float
    usd_share: float | None
    """Of the extra dollars of the strong model."""
    pgr: float | None
    """Performance gap recovered; None where the strong model is no better."""
    quality: float
    random_quality: float
    """At the same share of requests, in a random order."""


class Baselines(msgspec.Struct, frozen=True, kw_only=True):
    random: Estimate
    length: Estimate
    """Longest prompt first."""


class DollarAxis(msgspec.Struct, frozen=True, kw_only=True):
    """The same over the share of extra dollars, in the order of predicted gap per predicted extra dollar."""

    apgr: Estimate
    baselines: Baselines
    over_length: Estimate
    aiq: float
    aiq_random: float


class RoutePairs(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan route --pairs --json`, and what `--labels` say of the requests of a log."""

    schema: Literal["costplan/route-pairs/1"] = "costplan/route-pairs/1"
    verdict: RouteVerdict
    reason: str
    tier: Tier
    """What decisions can rest on: T2 this router, T1 the mean gap of each group, T0 only the break-even gap."""
    n: int
    prompts: int
    """Different ones; copies are held out together."""
    groups: int
    cheap_score: float
    strong_score: float
    gap_points: Estimate
    wins: float
    """Share of pairs in which the strong model scores higher; `losses`: lower."""
    losses: float
    apgr: Estimate
    baselines: Baselines
    over_length: Estimate
    """APGR less that of length alone."""
    slices_apgr: Estimate
    """Of the groups' mean gaps alone."""
    cpt50: Estimate
    """Share of requests for the strong model that recovers half of the gap."""
    cpt80: Estimate
    aiq: float
    """Mean quality under the convex hull of the curve; `aiq_random`: on the line between the two models."""
    aiq_random: float
    usd: DollarAxis | None
    """None where the pairs carry no costs."""
    curve: list[CurvePoint]
    further_labels: int
    """Until the mean gap is known to +-2 points."""
    method: str
    warnings: list[str] = []


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """What would settle whether a candidate will do."""

    call_site: str
    model: str
    candidate: str
    pairs: int
    """To label, beside those there are."""
    half_width_points: float
    """95 % half-width of the loss with them."""
    spread: float
    """Standard deviation of the gap of one pair that this rests on."""
    saving_usd: float
    """At stake, over the log."""
    text: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan route --json`."""

    schema: Literal["costplan/route/1"] = ROUTE_SCHEMA
    inputs: list[Input]
    headline: str
    tier: Tier
    """The best that is known of quality: T0 nothing, T1 means per call site, T2 a router that routes."""
    requests: int
    routable: int
    not_routable: dict[str, int]
    cost_usd: float
    routable_usd: float
    span_days: float | None
    complexity: ComplexityFacts
    by_call_site: list[RouteSite]
    """Most dollars at stake first."""
    policies: list[PolicyRow]
    chosen: Policy
    labels: RoutePairs | None
    """None without --labels."""
    experiments: list[Experiment]
    explain: list[RuleRow]
    """Only with --explain."""
    max_loss_points: float
    next_step: str
    assumptions: list[Assumption]
    warnings: list[str] = []


def route_json(document: Route | RoutePairs) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def route_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Route)}
