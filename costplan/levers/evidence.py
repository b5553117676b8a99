"""What each rung rests on: the evidence, the one-line summary and what is missing where a rung has nothing to act on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Summary
from costplan.levers import LADDER
from costplan.levers.prompt_cache import Policies
from costplan.levers.response_cache import CacheSetting, Replayed
from costplan.units import NANOS_PER_USD, format_duration

Evidence = tuple[list[int], list[dict[str, Any]], list[str], list[str]]


def evidence_of(
    summary: Summary, prefix: dict[str, int], replayed: list[Replayed], grid: tuple[CacheSetting, ...],
    capacities: list[dict[str, Any]], block_capacities: list[dict[str, Any]], policies: Policies, cut: dict[str, int],
) -> Evidence:  # fmt: skip
    """(levers present, evidence, summaries, what is missing), the last three by lever in ladder order."""
    response, response_line = _response(summary, replayed, grid, capacities)
    prompt = _prompt(prefix, block_capacities)
    batch = {"marked_requests": prefix["marked_requests"], "other_candidates": prefix["rest_requests"]}
    used = np.unique(summary.groups["rates"].keys >> 32)
    modes = set(policies.mode[used].tolist()) if len(used) else set[int]()
    has_blocks = prefix["all_blocks"] > 0
    present = [
        lever
        for lever, there in enumerate(
            (
                response["eligible_requests"] > 0, 2 in modes and has_blocks, 1 in modes and has_blocks,
                prefix["marked_requests"] > 0, prefix["rest_requests"] > 0,
            )
        )
        if there
    ]  # fmt: skip
    ceiling = prompt["ceiling"]["token_share"]
    logged = prompt["logged"]["token_share"]
    lines = [
        response_line,
        f"up to {ceiling:.0%} of prompt tokens repeat" if ceiling is not None else "",
        f"{logged:.1%} of input read from cache today" if logged is not None else "cached tokens are not in the log",
        f"{prefix['marked_requests']:,} calls marked as able to wait",
        f"{prefix['rest_requests']:,} single calls, if none is waited for",
    ]
    missing = _missing(summary, cut)
    return present, [response, prompt, prompt, batch, batch], lines, missing


def _response(
    summary: Summary, replayed: list[Replayed], grid: tuple[CacheSetting, ...], capacities: list[dict[str, Any]]
) -> tuple[dict[str, Any], str]:
    requests = max(summary.counts["requests"], 1)
    cost = max(int(summary.groups["kind"].column(2).sum()), 1)
    hits: NDArray[np.int64] = np.sum([part.hits for part in replayed], axis=0, dtype=np.int64)
    frontier = [_point(setting, int(n), int(usd), requests, cost) for setting, (n, usd) in zip(grid, hits, strict=True)]
    chosen = grid[0]
    frontier += [
        _point(CacheSetting(chosen.ttl_s, chosen.policy, "global", c["capacity"]), c["hits"], c["cost"], requests, cost)
        for c in capacities
    ]
    exact = sum(len(part.exact_gid) for part in replayed)
    normalised = sum(len(part.normalised_gid) for part in replayed)
    eligible = sum(part.eligible for part in replayed)
    mean_usd = cost / NANOS_PER_USD / requests
    evidence = {
        "eligible_requests": eligible,
        "distinct_prompts": sum(part.distinct for part in replayed),
        "not_eligible": {
            name.removeprefix("uncacheable:"): n for name, n in sorted(summary.counts.items()) if name.startswith("uncacheable:")
        },
        "hits": {"exact": exact, "normalised": normalised, "semantic": 0},
        "hit_share": (exact + normalised) / requests,
        "wrong_basis": "unverified",
        "wrong_share": None,
        "frontier": frontier,
        "recommended": frontier[0],
        "by_scope": [point for point in frontier if point["ttl_s"] == chosen.ttl_s and point["policy"] == chosen.policy and point["capacity"] is None],
        "break_even_hit_share": 0.0034e-6 / mean_usd if mean_usd else None,
        "note": "exact hits repeat the very same request; normalised hits differ in case, blanks or final punctuation",
    }  # fmt: skip
    line = f"hit {evidence['hit_share']:.1%}, TTL {format_duration(chosen.ttl_s)}; {_share(normalised, exact + normalised)} not literal, unverified"
    return evidence, line


def _point(setting: CacheSetting, hits: int, usd: int, requests: int, cost: int) -> dict[str, Any]:
    return {
        "threshold": 1.0, "ttl_s": setting.ttl_s, "policy": setting.policy, "scope": setting.scope,
        "capacity": setting.capacity, "hit_share": hits / requests, "hit_usd_share": usd / cost, "wrong_share": None,
        "wrong_per_1k_requests": None,
    }  # fmt: skip


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _prompt(prefix: dict[str, int], block_capacities: list[dict[str, Any]]) -> dict[str, Any]:
    def ratio(a: str, b: str) -> float | None:
        return prefix[a] / prefix[b] if prefix[b] else None

    reported = prefix["cache_reported_rows"] > 0
    return {
        "ceiling": {
            "block_share": ratio("ceiling_blocks", "all_blocks"),
            "token_share": ratio("ceiling_tokens", "block_row_tokens"),
            "blocks": prefix["all_blocks"],
            "hit_blocks": prefix["ceiling_blocks"],
            "hit_tokens": prefix["ceiling_tokens"],
            "requests": prefix["block_rows"],
        },
        "by_capacity": block_capacities,
        "logged": {
            "token_share": ratio("logged_read_tokens", "priced_input_tokens") if reported else None,
            "reported_request_share": ratio("cache_reported_rows", "priced_rows"),
        },
        "simulated": {"token_share": ratio("simulated_read_tokens", "priced_input_tokens")},
    }


def _missing(summary: Summary, cut: dict[str, int]) -> list[str]:
    counts = summary.counts
    full, requests = counts["text:full"], counts["requests"]
    if full == 0 and counts["text:truncated"]:
        text = (
            "the export cuts the prompts"
            + (f" at {max(cut.values())} characters" if cut else "")
            + ": export whole ones"
        )
    elif full == 0 and counts["text:redacted"]:
        text = "the prompts are masked: needs the text, or hashes of it"
    elif full < requests and full == 0:
        text = "needs prompt text: the log holds token counts only"
    else:
        text = "no request may be answered from a cache (tool calls, time words, high temperature)"
    unpriced = counts["priced"] == 0
    provider = (
        "no priced call goes to a provider with a known prompt cache"
        if not unpriced
        else "needs prices: no call could be priced"
    )
    blocks = provider if full or unpriced else text
    batch = (
        "no call is marked as able to wait: --batchable TAG"
        if not unpriced
        else "needs prices: no call could be priced"
    )
    missing = [text, blocks, blocks, batch, batch]
    assert len(missing) == len(LADDER)
    return missing
