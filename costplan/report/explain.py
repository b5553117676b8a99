"""One lever of a plan in depth: method, evidence, money, risk and what would make it certain; it computes no figure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from costplan.report import facts
from costplan.report.numbers import UNKNOWN, count, interval, mark, money, percent, plain, saving
from costplan.report.screen import hang, put
from costplan.results import Plan, Rung
from costplan.units import format_duration

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What can be said of a lever without any log."""

    does: str
    formula: str
    not_modelled: str
    certain_by: str
    sources: tuple[str, ...]


METHODS: dict[str, Method] = {
    "response_cache": Method(
        does="Every request that may be answered from a cache is replayed in order of arrival. The key is everything "
        "but the last user turn, and that turn: literally (exact), without case, blanks and final punctuation "
        "(respelled), or by the cosine of its vector (semantic), where a guard objects to other numbers, names, "
        "negations and the like. Answers live a TTL; a request that is served is gone for every later lever.",
        formula="saving = cost of the hits - lookups - storage of the answers; it pays from a hit share h with "
        "h x cost per call = lookup + (1 - h) x storage of an answer",
        not_modelled="answers that go stale within the TTL; other traffic than the log's",
        certain_by="costplan cache LOG --label-sample 600 labels.csv: judge the pairs, then --labels labels.csv",
        sources=(
            "prices of lookup and storage: ElastiCache Serverless list price, 2026-11",
            "caches with limited room by stack distances: Mattson et al. 1970; SHARDS, Waldspurger et al. 2015",
        ),
    ),
    "compression": Method(
        does="The rungs run on the log's own prompts: JSON without blanks, trailing blanks and blocks that stand twice "
        "in one request (lossless; what does not parse back equal is left alone), tables for lists of equal objects "
        "(round trip checked), then old tool results and repeated context (structural). Code, system prompts and tool "
        "definitions are left as they are.",
        formula="saving = removed tokens x what these tokens cost, the cached ones at the price of a cached read",
        not_modelled="what a model makes of a shorter prompt: only the lossless part counts as defensible",
        certain_by="costplan compress LOG for the parts; send compressed and whole prompts to the same model and put "
        "the answers through costplan gate",
        sources=("docs/compress.md",),
    ),
    "routing": Method(
        does="Requests of a call site are priced again at a cheaper model that has the context window, tools, JSON "
        "mode and vision that they use. It counts only where --quality says how good that model is at the site.",
        formula="saving = cost - (input at the other model's prices + output x ratio of lengths at its prices); "
        "verified where the upper 95 % bound of the lost quality is within --max-loss",
        not_modelled="other tokenizers than the log's; the complexity of a prompt predicts no quality, and decides "
        "nothing here",
        certain_by="costplan route LOG names the sites and how many labelled pairs each takes",
        sources=("docs/route.md", "Ong et al. 2024 (RouteLLM, arXiv 2406.18665) for the curves"),
    ),
    "prompt_cache": Method(
        does="Prompts are cut into blocks, each with a key of all that stands before it. In order of arrival, a block "
        "is read from the provider's cache when its last use is no longer ago than the provider's TTL. Simulated "
        "again on the requests that the levers before it leave.",
        formula="saving = tokens read x (price of input - price of a cached read) - tokens written x premium, with "
        "the provider's minimum and step; marks are set per family of prompts where they pay",
        not_modelled="which machine a request reaches; eviction before the TTL",
        certain_by="mark the end of the system prompt and compare cache_read_input_tokens for a day",
        sources=("minimums, steps and TTLs: profiles/providers, each with its date", "docs/decisions/007"),
    ),
    "batch": Method(
        does="Calls that bear a tag of --batchable, or that neither stream nor follow an earlier turn, are priced at "
        "the provider's batch tier and taken out of the interactive stream.",
        formula="saving = cost - cost at the batch price; cached tokens keep what the provider's terms say",
        not_modelled="a deadline that is missed and sent again",
        certain_by="ask who waits for the answer; tag what can wait a day (--batchable TAG)",
        sources=("batch prices of the provider, as listed under Prices (-v)",),
    ),
    "self_host": Method(
        does="The traffic that is left is served by GPUs of one's own, simulated step by step.",
        formula="see docs/breakeven.md",
        not_modelled="the quality of another model",
        certain_by="costplan breakeven --gpus 4xA100 --plan plan.json, then costplan replay on a real server",
        sources=("docs/breakeven.md", "docs/serving.md"),
    ),
}


def render_explain(plan: Plan, lever: str, console: Console) -> None:
    """Prints what is behind a lever's lines. `lever` is a key of METHODS."""
    method = METHODS[lever]
    rungs = [rung for rung in plan.ladder if rung.lever == lever]
    key, told = _EVIDENCE.get(lever, ("", None))
    lines: list[tuple[str, str]] = [("Does", method.does), ("Formula", method.formula)]
    lines += [
        ("Evidence", line) for line in (told(rungs[0].evidence) if told and rungs and key in rungs[0].evidence else ())
    ]
    lines += [line for rung in rungs for line in _money(plan, rung)]
    lines += [("Leaves out", method.not_modelled)]
    steps = [item for item in plan.opportunities if item.lever == lever][:3]
    lines += [
        ("Where", f"{facts.place(item, 44)}: {saving(item.usd_month.value, facts.decimals(plan))}/month, "
                  f"{facts.days_of_work(item.effort_days)}") for item in steps
    ]  # fmt: skip
    lines += [("Certain by", method.certain_by)]
    lines += [("Source", source) for source in method.sources]
    put(console, Text(lever.replace("_", " "), "bold"))
    last = ""
    for name, text in lines:
        hang(console, Text(f"  {'' if name == last else name:<11}", "bold"), Text(plain(text, 600)))
        last = name


def _money(plan: Plan, rung: Rung) -> Iterator[tuple[str, str]]:
    """What one rung saves: in its place, alone, in any order, its fair share; and whether it counts."""
    name, decimals = plain(rung.label, 40), facts.decimals(plan)
    estimate = rung.marginal_usd_month
    if estimate.value is None:
        yield "Money", f"{name}: {UNKNOWN}; {estimate.note}"
        return
    spread = interval(estimate, decimals, saved=True)
    amounts = [f"{saving(estimate.value, decimals)}/month {mark(estimate)} {spread}".rstrip()]
    amounts.append(f"alone {saving(rung.standalone_usd_month.value, decimals)}")
    if rung.order_range is not None:
        ends = [saving(end, decimals) for end in rung.order_range]
        amounts.append(f"in any order {ends[0]} to {ends[1]}" if ends[0] != ends[1] else "the same in any order")
    amounts.append(f"fair share (Shapley) {saving(rung.shapley_usd_month.value, decimals)}")
    yield "Money", f"{name}: {'; '.join(amounts)}"
    counts = "counts as defensible" if rung.headline else "counts as potential"
    counts = "is not counted, it does not pay" if estimate.value < 0 else counts
    wide = "no answer changes, but the interval is wider than the saving"
    why = {
        "none": "no answer changes" if rung.headline else wide,
        "verified": "verified",
        "needs-test": "needs a test",
    }[rung.risk]
    yield "Risk", f"{name} {counts}: {why}{f'; {estimate.note}' if estimate.level is None else ''}"


def _response(evidence: Facts) -> list[str]:
    excluded = ", ".join(f"{count(n)} {name.replace('_', ' ')}" for name, n in evidence["not_eligible"].items() if n)
    lines = [
        f"{count(evidence['eligible_requests'])} requests may be answered from a cache, "
        f"{count(evidence['distinct_prompts'])} different prompts" + (f"; not: {excluded}" if excluded else "")
    ]
    chosen = evidence["recommended"]
    by_ttl = [
        f"{format_duration(each['ttl_s'])} {percent(each['hit_share'])}"
        for each in sorted(evidence["frontier"], key=lambda each: each["ttl_s"])
        if each["policy"] == chosen["policy"] and each["scope"] == chosen["scope"] and each["capacity"] is None
        and each["threshold"] == chosen["threshold"]
    ]  # fmt: skip
    lines.append(f"exact hits by TTL: {' · '.join(dict.fromkeys(by_ttl))}")
    lines.append("exact hits by who shares: " + ", ".join(
        f"{each['scope']} {percent(each['hit_share'])}" for each in evidence["by_scope"] if each["threshold"] == 1.0
    ))  # fmt: skip
    if evidence["break_even_hit_share"] is not None:
        lines.append(f"it pays from a hit share of {percent(evidence['break_even_hit_share'])}")
    return lines


def _prompt(evidence: Facts) -> list[str]:
    ceiling, logged, simulated = (evidence[name]["token_share"] for name in ("ceiling", "logged", "simulated"))
    lines = [f"{percent(ceiling)} of prompt tokens repeat an earlier prompt, in a cache that forgets nothing"]
    lines.append(f"read from cache in the log {percent(logged)}, by the providers' rules {percent(simulated)} of input")
    lines += [
        f"'{plain(each['call_site'], 44)}': prompts of {count(each['prompt_tokens_p50'])} tokens stop repeating at "
        f"token {count(each['shared_tokens_p50'])} (medians of {count(each['requests'])} requests)"
        for each in evidence["first_break"][:3]
    ]
    return lines


def _compression(evidence: Facts) -> list[str]:
    lines = [f"{count(evidence['looked_at'])} whole prompts looked at"]
    lines += [
        f"{name}: {count(evidence['removed_tokens'][name])} tokens, {percent(evidence['removed_share'][name])} of "
        f"input, in {count(evidence['touched'][name])} prompts"
        for name in ("lossless", "structural")
    ]
    rungs = ", ".join(f"{name.replace('_', ' ')} {count(tokens)}" for name, tokens in evidence["by_rung"].items())
    return [*lines, f"tokens by step: {rungs}"] if rungs else lines


def _routing(evidence: Facts) -> list[str]:
    lines: list[str] = []
    for site in evidence["sites"]:
        move = f"stays on {plain(site['model'], 44)}"
        if site["candidate"] is not None:
            move = f"{plain(site['model'], 44)} -> {plain(site['candidate'], 44)}"
            move += f", {money(site['now_usd_in_log'])} -> {money(site['usd_in_log'])} in the log"
        lines.append(f"'{plain(site['call_site'], 44)}': {move}; {site['note']}")
    return lines


def _batch(evidence: Facts) -> list[str]:
    return [
        f"{count(evidence['marked_requests'])} calls are marked as able to wait; {count(evidence['other_candidates'])} "
        "more neither stream nor follow an earlier turn"
    ]


_EVIDENCE: dict[str, tuple[str, Callable[[Facts], list[str]]]] = {
    "response_cache": ("frontier", _response),
    "prompt_cache": ("ceiling", _prompt),
    "compression": ("touched", _compression),
    "routing": ("decided_sites", _routing),
    "batch": ("marked_requests", _batch),
}
"""By lever: a key that its evidence has where a log was read, and the lines that tell of it."""
