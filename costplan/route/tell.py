"""What the report says in words: headline, experiments, warnings, assumptions, the next step; it decides nothing."""

import numpy as np

from costplan.complexity.rules import RULES
from costplan.results import Assumption
from costplan.results.route import Experiment, RoutePairs, RouteSite, RuleRow
from costplan.route.offers import capability_source
from costplan.route.pairs import pairs_left
from costplan.route.policies import CPU_USD_PER_HOUR, Advised
from costplan.route.read import Traffic
from costplan.routing.decide import half_width
from costplan.settings import RouteSettings
from costplan.units import plural

SPREAD = 0.46
"""Of one right-or-wrong pair where nothing is labelled: RouteLLM's labels of 14,042 MMLU questions (0.178 of them only
the strong model answers, 0.053 only the weak one: sqrt(0.178 + 0.053 - 0.125^2))."""
_SHOWN = 10
_WORDS = 8


def headline(sites: list[RouteSite]) -> str:
    """What to do, in a few words."""
    switch = [site for site in sites if site.advice == "switch"]
    test = next((site for site in sites if site.advice == "test"), None)
    if switch:
        return f"switch {plural(len(switch), 'call site')} to a cheaper model"
    if test is not None:
        return f"nothing is shown to be good enough yet: test {test.candidate} at {test.call_site}"
    return "stay: " + sites[0].why


def experiments(sites: list[RouteSite], advised: dict[tuple[str, str], Advised], max_loss: float) -> list[Experiment]:
    """One per call site that is advised a test, most dollars first."""
    found: list[Experiment] = []
    for site in sites:
        if site.advice != "test" or site.candidate is None or site.saving_usd.value is None:
            continue
        loss = advised[site.call_site, site.model].decision.loss
        spread, done = (SPREAD, 0) if loss is None or not site.labels else (max(loss.spread, 0.05), site.labels)
        total = max(pairs_left(max(max_loss, 1.0), spread), done + 50)
        half = 100 * half_width(spread, total)
        text = (
            f"label {total - done:,}{' more' if done else ''} pairs at call site {site.call_site}: ±{half:.1f} points"
        )
        found.append(Experiment(
            call_site=site.call_site, model=site.model, candidate=site.candidate, pairs=total - done,
            half_width_points=half, spread=spread, saving_usd=site.saving_usd.value, text=text,
        ))  # fmt: skip
    return found[:_SHOWN]


def rule_rows(traffic: Traffic, show: bool) -> list[RuleRow]:
    """For --explain: every rule that fires at a call site."""
    rows: list[RuleRow] = []
    scored = traffic.columns["site"][traffic.level > 0]
    for site, sums in sorted(traffic.fired.counts.items(), key=lambda each: traffic.ledger.sites.get(each[0], "")):
        total = int((scored == site).sum())
        for rule, (count, requests) in zip(RULES, sums.tolist(), strict=True):
            if count:
                words = traffic.fired.words.get((site, rule.name))
                top = sorted(words.items(), key=lambda each: (-each[1], each[0]))[:_WORDS] if words and show else []
                rows.append(RuleRow(
                    call_site=traffic.ledger.sites.get(site, "unknown"), part=rule.part, rule=rule.name, count=count,
                    request_share=requests / max(total, 1), words=[word for word, _ in top],
                ))  # fmt: skip
    return rows


def warnings(traffic: Traffic, sites: list[RouteSite], labels: RoutePairs | None, unused: list[str]) -> list[str]:
    """One sentence each, the most important first."""
    found = list(unused)
    if labels is not None:
        found += labels.warnings
    left = traffic.not_routable.get("without a price", 0)
    if left:
        found.append(f"{plural(left, 'request')} without a price left out: --prices or --assume-model")
    unscored = int((traffic.level == 0).sum())
    if unscored:
        note = f"{plural(unscored, 'request')} without whole text: no complexity, and what they need of a model "
        found.append(note + "(tools, JSON, images) is taken for nothing")
    unknown = sum(
        count for site in sites for offer in site.offers[:1] for why, count in offer.cannot.items() if "known" in why
    )
    if unknown:
        found.append(f"{plural(unknown, 'request')} stay because nothing says that the candidate can do what they need")
    if not any(site.offers for site in sites):
        found.append("no cheaper model of the same seller is known: name one with --cheap")
    return found


def next_step(path: str, settings: RouteSettings, sites: list[RouteSite], tests: list[Experiment]) -> str:
    """One command that would say more."""
    if tests:
        first = tests[0]
        how = f"answer {first.pairs:,} requests of {first.call_site} with {first.candidate}, score both answers"
        return f"{how}, then costplan route {path} --cheap {first.candidate} --labels labels.jsonl"
    if any(site.advice == "switch" for site in sites):
        return f"costplan route {path} --export litellm router.yaml"
    return f"costplan route {path} --cheap MODEL, to try one that is not proposed"


def assumptions(traffic: Traffic, settings: RouteSettings, origins: dict[str, str]) -> list[Assumption]:
    """What the figures take for granted, and who said so."""
    low, middle, high = settings.output_ratio
    cited = origins["output_ratio"]
    if cited == "default":
        cited = "500 prompts, gpt-3.5-turbo-0125 against gpt-4-0314 (arena-hard-auto): all tokens, deciles of prompts"
    weighted = bool((traffic.columns["weight"] != 1).any())
    rows = [
        ("output_ratio", f"{low:g}:{middle:g}:{high:g}", cited),
        ("max_loss_points", f"{settings.max_loss:g}", origins["max_loss"]),
        ("penalty_usd", f"{settings.penalty:g}", origins["penalty"]),
        ("candidates", ", ".join(settings.cheap) or "the same seller's smaller models", origins["cheap"]),
        ("capabilities", capability_source(), "profiles/capabilities.yaml; not known = not met"),
        ("tokens", "as today's model counts them", "definition; other tokenizers differ"),
        ("cached_tokens", "read as often, at the candidate's rates", "where a whole call site moves"),
        ("check", "the candidate reads prompt and answer again", "cascade only"),
        ("router_usd_per_cpu_hour", f"{CPU_USD_PER_HOUR:g}", "AWS c7i.large list price, 2026-11"),
        ("slices", ", ".join(settings.slice_by), origins["slice_by"]),
        ("labels", "drawn at random from the requests of each call site", "definition"),
        ("spread", f"{SPREAD:g}", "RouteLLM's MMLU labels, where nothing is labelled"),
    ]  # fmt: skip
    if weighted:
        rows.append(("sample", "each request stands for its logged weight", "the log"))
    return [Assumption(name=name, value=value, origin=origin) for name, value, origin in rows]


def mean_share(level: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> list[float]:
    """Share of levels 1 to 5 among the scored; empty where none is."""
    counts = np.bincount(level[level > 0], minlength=6)[1:6]
    return (counts / counts.sum()).tolist() if counts.sum() else []
