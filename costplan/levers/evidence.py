"""What each rung rests on: the evidence, the one-line summary and what is missing where a rung has nothing to act on.

Where a prefix breaks it counts in tokens; the text that stood there is long forgotten.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Summary
from costplan.keyed import Keyed
from costplan.levers import LADDER, states
from costplan.levers.alike import THRESHOLD
from costplan.levers.bins import Counts
from costplan.levers.ceiling import added, median
from costplan.levers.compression import Shorter, compression_missing, compression_of
from costplan.levers.prompt_cache import Policies
from costplan.levers.response_cache import CacheSetting, Replayed
from costplan.levers.routing import Cheaper, routing_missing, routing_of
from costplan.levers.rungs import Evidence
from costplan.levers.semantic import Outcome, Semantic
from costplan.levers.sets import CachePrice, Prefixes
from costplan.similarity.embed import STATIC
from costplan.units import NANOS_PER_USD, format_duration, plural

Ints = NDArray[np.int64]
Facts = dict[str, Any]
MIN_SITE_REQUESTS = 20
UNPRICED = "needs prices: no call could be priced"
_CACHES = (states.RESPONSE, states.RESPELLED, states.SEMANTIC)
_PREFIXES = (states.MARKED_PREFIX, states.AUTOMATIC_PREFIX)
_BATCHES = (states.BATCH_MARKED, states.BATCH_REST)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheFacts:
    """What the simulation of the response cache found, and what asking and keeping costs."""

    settings: tuple[CacheSetting, ...]
    """The first one is the ladder's."""
    replayed: list[Replayed]
    capacities: list[Facts]
    price: CachePrice
    answered: Counts
    """Latencies of the literal hits."""
    moved: Keyed
    """Calls that verified routes take to another model, but for those."""
    semantic: Semantic | None
    """None: it was not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixFacts:
    """What the simulation of the prompt caches found."""

    sums: dict[str, int]
    capacities: list[Facts]
    first_break: list[Facts]
    policies: Policies
    cut_lengths: dict[str, int]


def cache_grid(chosen: CacheSetting) -> tuple[CacheSetting, ...]:
    """The ladder's setting first, then the neighbours a reader would ask for: lifetimes x policies, and scopes."""
    grid = [chosen]
    for ttl_s in (300.0, 3600.0, 86_400.0, 604_800.0):
        grid += [CacheSetting(ttl_s, policy, chosen.scope, None) for policy in ("store", "sliding")]
    grid += [CacheSetting(chosen.ttl_s, chosen.policy, scope, None) for scope in ("global", "user")]
    return tuple(dict.fromkeys(grid))


def evidence_of(
    summary: Summary, cache: CacheFacts, prefix: PrefixFacts, shorter: Shorter | None, cheaper: Cheaper | None,
    weight: float,
) -> Evidence:  # fmt: skip
    """The evidence of every lever. `weight`: calls that a logged one stands for; above 1, the log misses repeats."""
    sums = prefix.sums
    response, prompt = _response(summary, cache, weight), _prompt(prefix)
    batch = {"marked_requests": sums["marked_requests"], "other_candidates": sums["rest_requests"]}
    if weight > 1:
        response["lower_bound"] = prompt["lower_bound"] = "the log is a sample: of two equal requests it may hold one"
    used = np.unique(summary.groups["rates"].keys >> 32)
    modes = set(prefix.policies.mode[used].tolist()) if sums["all_blocks"] else set[int]()
    them = "it" if sums["rest_requests"] == 1 else "them"
    told = {
        states.RESPONSE: (
            response, response["eligible_requests"] > 0,
            f"hit {response['hit_share']:.1%}, TTL {format_duration(cache.settings[0].ttl_s)}",
        ),
        states.RESPELLED: (
            response, response["hits"]["normalised"] > 0,
            f"{response['respelled_hit_share']:.1%} more hits on prompts spelled otherwise, unverified",
        ),
        states.SEMANTIC: (response, response["hits"]["semantic"] > 0, _similar_line(cache, response)),
        states.MARKED_PREFIX: (
            prompt, 2 in modes, _line("up to {:.0%} of prompt tokens repeat", prompt["ceiling"]["token_share"], ""),
        ),
        states.AUTOMATIC_PREFIX: (
            prompt, 1 in modes,
            _line(
                "{:.1%} of input read from cache today", prompt["logged"]["token_share"],
                "cached tokens are not in the log",
            ),
        ),
        states.BATCH_MARKED: (
            batch, sums["marked_requests"] > 0, f"{plural(sums['marked_requests'], 'call')} marked as able to wait",
        ),
        states.BATCH_REST: (
            batch, sums["rest_requests"] > 0,
            f"{plural(sums['rest_requests'], 'single call')}, if nobody waits for {them}",
        ),
    }  # fmt: skip
    told |= compression_of(shorter, summary.counts["input_tokens"]) | routing_of(cheaper)
    missing = _missing(summary, prefix) | compression_missing(summary, shorter) | routing_missing(summary, cheaper)
    levers = range(len(LADDER))
    return Evidence(
        present=tuple(lever for lever in levers if told[lever][1]),
        facts=tuple(told[lever][0] for lever in levers),
        summary=tuple(told[lever][2] for lever in levers),
        missing=tuple(missing[lever] for lever in levers),
    )


def _line(text: str, share: float | None, unknown: str) -> str:
    return unknown if share is None else text.format(share)


def _similar_line(cache: CacheFacts, response: Facts) -> str:
    if cache.semantic is None or not cache.semantic.outcomes:
        return ""
    share = response["semantic"]["similar_hit_share"]
    return f"{share:.1%} of requests answered from similar prompts (cosine {THRESHOLD:g}), unverified"


def _response(summary: Summary, cache: CacheFacts, weight: float) -> Facts:
    requests = max(summary.counts["requests"], 1)
    cost = max(int(summary.groups["kind"].column(2).sum()), 1)

    def point(setting: CacheSetting, hits: int, nanos: int, all_hits: int, all_nanos: int) -> Facts:
        return {
            "threshold": 1.0, "ttl_s": setting.ttl_s, "policy": setting.policy, "scope": setting.scope,
            "capacity": setting.capacity, "hit_share": hits / requests, "hit_usd_share": nanos / cost,
            "respelled_hit_share": (all_hits - hits) / requests, "respelled_hit_usd_share": (all_nanos - nanos) / cost,
            "wrong_share": None, "wrong_per_1k_requests": None,
        }  # fmt: skip

    chosen = cache.settings[0]
    hits = np.array([part.hits for part in cache.replayed], dtype=np.int64).sum(axis=0).tolist()
    frontier = [point(setting, *sums) for setting, sums in zip(cache.settings, hits, strict=True)]
    frontier += [
        point(CacheSetting(chosen.ttl_s, chosen.policy, "global", c["capacity"]), *c["sums"])
        | ({"followed_share": c["followed"]} if c["followed"] < 1 else {})
        for c in cache.capacities
    ]
    by_scope = [p for p in frontier if (p["ttl_s"], p["policy"], p["capacity"]) == (chosen.ttl_s, chosen.policy, None)]
    similar: Facts = {}
    if cache.semantic is not None:
        similar = _semantic(cache.semantic, chosen, requests, cost)
        frontier += similar.pop("frontier")
        by_scope += similar.pop("by_scope")
        similar = {"semantic": similar}
    exact = sum(len(part.exact_gid) for part in cache.replayed)
    normalised = sum(len(part.normalised_gid) for part in cache.replayed)
    reasons = [name for name in sorted(summary.counts) if name.startswith("uncacheable:")]
    near = len(cache.semantic.similar_gid) if cache.semantic else 0
    return {
        "eligible_requests": sum(part.eligible for part in cache.replayed),
        "distinct_prompts": sum(part.distinct for part in cache.replayed),
        "not_eligible": {name.removeprefix("uncacheable:"): summary.counts[name] for name in reasons},
        "hits": {"exact": exact, "normalised": normalised, "semantic": near},
        "hit_share": exact / requests,
        "respelled_hit_share": normalised / requests,
        "wrong_basis": "unverified",
        "wrong_share": None,
        "frontier": frontier,
        "recommended": frontier[0] | ({"note": "exact cache only: nothing verifies similar hits"} if similar else {}),
        "by_scope": by_scope,
        "break_even_hit_share": _break_even(summary, cache, cost / weight),
        "note": "hit_share: exact hits, which repeat the very same request; respelled (normalised) hits differ in "
        "case, blanks or final punctuation, and count as potential",
    } | similar  # fmt: skip


def _semantic(found: Semantic, chosen: CacheSetting, requests: int, cost: int) -> Facts:
    """What the semantic cache adds: its rows of the frontier and of the scopes, and what it rests on."""

    def point(outcome: Outcome, capacity: int | None) -> Facts:
        return {
            "threshold": outcome.threshold, "ttl_s": chosen.ttl_s, "policy": chosen.policy, "scope": outcome.scope,
            "capacity": capacity, "hit_share": outcome.hits / requests, "hit_usd_share": outcome.nanos / cost,
            "similar_hit_share": outcome.similar / requests, "similar_hit_usd_share": outcome.similar_nanos / cost,
            "wrong_share": None, "wrong_per_1k_requests": None,
        }  # fmt: skip

    frontier = [point(outcome, chosen.capacity) for outcome in found.outcomes]
    facts: Facts = {
        "frontier": frontier, "by_scope": [point(outcome, None) for outcome in found.scopes],
        "embedder": STATIC, "threshold": THRESHOLD, "distinct_prompts": found.prompts,
    }  # fmt: skip
    if not frontier:
        return facts | {"not_simulated": found.note}
    first = found.outcomes[0]
    return facts | {
        "hits": first.hits, "saved_usd_in_log": first.nanos / NANOS_PER_USD, "hit_share": first.hits / requests,
        "similar_hit_share": first.similar / requests, "close_pairs": found.pairs,
        "guard": {"pairs": found.objections, "requests": found.held_back},
        "note": "hits of its own replay: it holds other answers than the exact cache, since what it serves is not "
        "stored; close_pairs: prompts of equal context that are asked within a TTL of each other",
    }  # fmt: skip


def _break_even(summary: Summary, cache: CacheFacts, cost: float) -> float | None:
    """The hit share h that pays for the cache: h x cost of a call = asking + (1 - h) x keeping an answer."""
    priced = summary.counts["priced"]
    if not priced:
        return None
    keep = cache.price.store_nanos_per_output_token * summary.counts["output_tokens"] / priced
    return (cache.price.lookup_nanos + keep) / (cost / priced + keep)


def _prompt(prefix: PrefixFacts) -> Facts:
    sums = prefix.sums

    def ratio(part: str, whole: str) -> float | None:
        return sums[part] / sums[whole] if sums[whole] else None

    return {
        "ceiling": {
            "block_share": ratio("ceiling_blocks", "all_blocks"),
            "token_share": ratio("ceiling_tokens", "block_row_tokens"),
            "blocks": sums["all_blocks"],
            "hit_blocks": sums["ceiling_blocks"],
            "hit_tokens": sums["ceiling_tokens"],
            "requests": sums["block_rows"],
        },
        "by_capacity": prefix.capacities,
        "logged": {
            "token_share": ratio("logged_read_tokens", "priced_input_tokens") if sums["cache_reported_rows"] else None,
            "reported_request_share": ratio("cache_reported_rows", "priced_rows"),
        },
        "simulated": {"token_share": ratio("simulated_read_tokens", "priced_input_tokens")},
        "first_break": prefix.first_break,
    }


def first_break_of(parts: list[Prefixes], name: dict[int, str]) -> list[Facts]:
    """Per call site with enough requests, where prompts stop repeating an earlier one: median tokens, most used first.

    A prompt that shares nothing counts as broken at token 0.
    """
    shared, prompt = added([part.shared for part in parts]), added([part.prompt for part in parts])
    rows: list[Facts] = []
    for key in np.unique(prompt.site).tolist():
        tokens, count = prompt.of(key)
        requests = int(count.sum())
        if requests >= MIN_SITE_REQUESTS:
            rows.append(
                {
                    "call_site": name[key], "requests": requests, "prompt_tokens_p50": median(tokens, count),
                    "shared_tokens_p50": median(*shared.of(key)),
                }
            )  # fmt: skip
    return sorted(rows, key=lambda row: (-row["requests"], row["call_site"]))


def _missing(summary: Summary, prefix: PrefixFacts) -> dict[int, str]:
    counts, cut_lengths = summary.counts, prefix.cut_lengths
    untimed = counts["null_time"] >= counts["requests"]
    if untimed:
        text = "needs times: no call of the log says when it was made"
    elif counts["text:full"]:
        text = "no request may be answered from a cache (tool calls, time words, high temperature)"
    elif counts["text:truncated"]:
        at = f" at {max(cut_lengths.values())} characters" if cut_lengths else ""
        text = f"the export cuts the prompts{at}: export whole ones"
    elif counts["text:redacted"]:
        text = "the prompts are masked: needs the text, or hashes of it"
    else:
        text = "needs prompt text: the log holds token counts only"
    if not counts["priced"]:
        return dict.fromkeys(_CACHES, text) | dict.fromkeys((*_PREFIXES, *_BATCHES), UNPRICED)
    blocks = "no priced call goes to a provider with a known prompt cache" if prefix.sums["all_blocks"] else text
    if counts["text:full"] and not untimed and not prefix.sums["all_blocks"]:
        blocks = "needs times: no answered call has both its whole prompt and a time"
    batch = "no call is marked as able to wait: --batchable TAG"
    return dict.fromkeys(_CACHES, text) | dict.fromkeys(_PREFIXES, blocks) | dict.fromkeys(_BATCHES, batch)
