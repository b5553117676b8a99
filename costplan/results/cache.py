"""cache.json: what a cache would answer at each setting, what that saves and breaks; knows no way to a number.

Shares are from 0 to 1. `wrong_share` = wrong hits / semantic hits; exact and respelled repeats count as right.
"""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Estimate, Input

CACHE_SCHEMA = "costplan/cache/1"
WrongBasis = Literal["labels", "agreement", "unverified"]


class FrontierRow(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, replayed over the log in order of arrival."""

    threshold: float | None
    """Least cosine that is served; None: only the same prompt (exact cache)."""
    ttl_s: float
    policy: Literal["store", "sliding"]
    capacity: int | None
    hits: int
    exact_hits: int
    respelled_hits: int
    """Same prompt but for case, blanks or final punctuation."""
    semantic_hits: int
    hit_share: float
    """Of the eligible requests; likewise the next ones."""
    hit_share_unguarded: float
    """The same without the guard: what a cache serves that looks at the cosine only."""
    hit_token_share: float
    hit_usd_share: float
    saved_usd: float
    """Over the log; `cost_usd` is what lookups, embedding and storage take."""
    cost_usd: float
    wrong_share: float | None
    wrong_low: float | None
    """95 % interval; None where nothing verifies it."""
    wrong_high: float | None
    wrong_upper: float | None
    """One-sided 95 % bound, held against --max-wrong."""
    wrong_new_upper: float | None
    """The same for new pairs like these, where every pair of the log is labelled."""
    wrong_per_1k_requests: float | None
    net_usd: float
    """saved - cost - penalty x wrong hits (none where unverified)."""
    verified: bool
    """Exact cache, or `wrong_upper` is within --max-wrong and so is that of every stricter setting."""


class CacheChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The recommended or chosen setting."""

    row: FrontierRow
    chosen_by: Literal["user", "costplan"]
    reason: str
    hit_share: Estimate
    hit_usd_share: Estimate
    net_usd_month: Estimate
    design_effect: float | None
    """How many times wider the interval is, squared, than for independent requests."""
    break_even_hit_share: float | None
    """Share of hits that pays for lookups, embedding and storage."""
    second_half_hit_share: float
    """The same replay, counted from the middle of the log on."""


class ScopeRow(msgspec.Struct, frozen=True, kw_only=True):
    scope: Literal["global", "user"]
    eligible: int
    exact_hit_share: float
    hit_share: float
    hit_usd_share: float


class SiteRow(msgspec.Struct, frozen=True, kw_only=True):
    call_site: str
    eligible: int
    cost_usd: float
    hit_share: float
    """Under the advised kind of cache; likewise `net_usd`."""
    semantic_hits: int
    """Under the recommended or else the potential setting; likewise `wrong_share`."""
    wrong_share: float | None
    net_usd: float
    advice: Literal["semantic cache", "exact cache", "never"]
    why: str


class ClusterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One intent that comes again and again; the medoid is the prompt nearest to all others."""

    medoid_id: str
    medoid: str | None = None
    """Its text; only with --show-text."""
    prompts: int
    count: int
    usd: float
    share: float
    """Of the eligible requests."""


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    cold_share: float
    """Hits over the whole log, which starts with an empty cache."""
    steady_share: float | None
    """Chance that the next request hits a cache that has seen the whole log and forgets nothing (Good-Turing)."""
    doubled_share: float | None
    """Hits over the whole of a log twice as long."""
    note: str


class LatencyEffect(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, of the eligible requests whose duration is logged."""

    before_p50_s: float | None
    before_p95_s: float | None
    after_p50_s: float | None
    after_p95_s: float | None
    lookup_s: float
    note: str


class GuardFacts(msgspec.Struct, frozen=True, kw_only=True):
    pairs: int
    """Of different prompts, from the lowest threshold on."""
    objections: dict[str, int]
    """Pairs that the guard refuses, by reason."""
    too_long: int
    """Pairs in which a prompt is too long for an embedding to tell apart; only exact repeats of these are served."""


class LabelFacts(msgspec.Struct, frozen=True, kw_only=True):
    labels: int
    wrong: int
    unanswered: int
    population: int
    """Pairs of prompts that any setting would serve."""


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan cache --json`."""

    schema: Literal["costplan/cache/1"] = CACHE_SCHEMA
    inputs: list[Input]
    headline: str
    """`exact cache only`, `semantic cache at 0.92`, or `no cache`."""
    requests: int
    eligible: int
    ineligible: dict[str, int]
    cost_usd: float
    """Of all requests of the log; `eligible_usd` of the eligible ones."""
    eligible_usd: float
    unpriced: int
    span_days: float
    prompts: int
    """Different ones."""
    scope: Literal["global", "user"]
    embedder: str
    max_wrong: float
    penalty_usd: float
    wrong_basis: WrongBasis
    wrong_note: str
    freshness: str
    """How long the logged answers to repeated prompts stay alike; empty where the log does not tell."""
    frontier: list[FrontierRow]
    recommended: CacheChoice
    potential: FrontierRow | None
    """The setting with the largest net saving among those that nothing verifies."""
    by_scope: list[ScopeRow]
    by_call_site: list[SiteRow]
    clusters: list[ClusterRow]
    growth: Growth
    latency: LatencyEffect
    guard: GuardFacts
    labels: LabelFacts | None
    next_step: str
    assumptions: list[Assumption]
    warnings: list[str] = []


class ServedShares(msgspec.Struct, frozen=True, kw_only=True):
    same: float | None
    different: float | None


class PairsRow(msgspec.Struct, frozen=True, kw_only=True):
    category: str
    same_answer: bool
    served_share: float
    n: int


class CachePairs(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan cache --pairs --json`: shares of labelled pairs that the cache would serve."""

    schema: Literal["costplan/cache-pairs/1"] = "costplan/cache-pairs/1"
    served: ServedShares
    by: list[PairsRow]
    setting: dict[str, float | bool | str]


def cache_json(document: Cache | CachePairs) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def cache_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Cache)}
