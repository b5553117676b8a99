"""From sums over tasks and answers to the plan's `agents` and `output`, and their opportunities; it walks nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from costplan.agents.parts import CAPS, REGIONS
from costplan.agents.trim import TRIMS
from costplan.agents.walk import STEP_FROM, SUMS, Walked
from costplan.results import Baseline, Estimate, Opportunity, exact, unknown
from costplan.results.agents import Agents, CallTrees, InputPart, Loops, OutputCap, OutputPotential, StepClass, Trim
from costplan.units import HOURS_PER_MONTH, NANOS_PER_USD

_Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""
LESS_THINKING = (0.0, 0.25, 0.5)
"""Low, value and high: share of reasoning tokens that a lower effort might leave out. A what-if, not a finding."""
MAX_CUT_SHARE = 0.01
"""Most answers that an output limit may cut short."""
MIN_SHARE, MAX_SITES = 0.005, 3
_FORMULA = (
    "reasoning tokens x their price x share left out (0 to 50 %, 25 % shown: a what-if that nobody has tested here) + "
    "tokens beyond the limit x their price, for the limit that cuts at most 1 % of the answers; the two overlap where "
    "a cut answer was reasoning, so only the larger counts"
)


@dataclass(frozen=True, slots=True)
class Scale:
    """From nano-dollars in the log, at the price date, to dollars a month."""

    baseline: Baseline

    def month(self, nanos: float, spread: float = 0.0) -> Estimate:
        """`spread`: standard deviation of the nano-dollars over draws of tasks. Widths add up in quadrature."""
        month, log = self.baseline.cost_usd_month, self.baseline.cost_usd_price_date.value
        if month.value is None or month.low is None or month.high is None or not log:
            return unknown("USD/month", month.note or "no request has a price")
        usd, half = nanos / NANOS_PER_USD, _Z * spread / NANOS_PER_USD
        value, per = usd * month.value / log, month.value / log
        low = value - sqrt((half * per) ** 2 + (usd * (month.value - month.low) / log) ** 2)
        high = value + sqrt((half * per) ** 2 + (usd * (month.high - month.value) / log) ** 2)
        return Estimate(
            value=value, low=max(low, 0.0) if usd >= 0 else low, high=high, level=0.95 if spread else month.level,
            unit="USD/month", basis="estimated", note=month.note,
        )  # fmt: skip

    def supposed(self, low: float, nanos: float, high: float, note: str) -> Estimate:
        """The same for a stated range of nano-dollars."""
        ends = [self.month(each) for each in (low, nanos, high)]
        return Estimate(
            value=ends[1].value, low=_end(min, [end.low for end in ends]), high=_end(max, [end.high for end in ends]),
            unit="USD/month", basis="assumed", note=note if ends[1].value is not None else ends[1].note,
        )  # fmt: skip


def _end(which: Callable[[list[float]], float], values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return which(known) if known else None


def agents_of(walked: Walked, counts: Counter[str], scale: Scale, trees: CallTrees | None) -> Agents | None:
    """None where no priced call belongs to a session or trace."""
    found = walked.counts
    if not found["tasks"]:
        return None
    money = dict(zip(SUMS, walked.money.tolist(), strict=True))
    spread = {name: sqrt(square) for name, square in zip(SUMS, walked.squares.tolist(), strict=True)}
    trims = [
        Trim(
            rule=rule, keep_steps=keep, usd_in_log_as_cached_today=money[f"logged:{rule}:{keep}"] / NANOS_PER_USD,
            usd_in_log=money[f"cached:{rule}:{keep}"] / NANOS_PER_USD,
            usd_month=scale.supposed(0, money[f"cached:{rule}:{keep}"], money[f"cached:{rule}:{keep}"], _TRIM_NOTE),
        )
        for rule, keep in TRIMS
    ]  # fmt: skip
    return Agents(
        tasks=found["tasks"], steps=found["steps"], tool_calls=found["tool_calls"],
        growth_tokens_per_step=_growth(walked), by_step=_by_step(walked), input_by=_input(counts),
        loops=Loops(
            groups=found["loops"], repeated_calls=found["loop_calls"], tasks=found["loop_tasks"],
            longest=found["loop_longest"], usd_in_log=exact(money["loop"] / NANOS_PER_USD, "USD", "priced"),
            share=money["loop"] / found["cost"] if found["cost"] else 0.0,
            usd_month=scale.month(money["loop"], spread["loop"]),
        ),
        call_trees=trees, tool_order_breaks=found["order_breaks"],
        tool_order_usd_month=scale.month(money["order"], spread["order"]), trims=trims,
    )  # fmt: skip


_TRIM_NOTE = "through the prompt cache; from nothing (the agent needs more steps) to all of it"


def _growth(walked: Walked) -> Estimate:
    """Tokens a step adds: ratio estimate over tasks (Cochran 1977, ch. 6), which a bootstrap over tasks tends to."""
    x, y, xx, xy, yy = walked.growth.tolist()
    if not x:
        return unknown("tokens/step", "no conversation of two steps")
    rate = y / x
    half = _Z * sqrt(max(yy - 2 * rate * xy + rate * rate * xx, 0.0)) / x
    return Estimate(value=rate, low=rate - half, high=rate + half, level=0.95, unit="tokens/step", basis="measured")


def _by_step(walked: Walked) -> list[StepClass]:
    lasts = [*(step - 1 for step in STEP_FROM[1:]), None]
    return [
        StepClass(first=first, last=last, steps=steps, input_tokens_mean=tokens / steps)
        for first, last, (steps, tokens) in zip(STEP_FROM, lasts, walked.by_step.tolist(), strict=True) if steps
    ]  # fmt: skip


def _input(counts: Counter[str]) -> list[InputPart]:
    tokens, nanos = (sum(counts[f"{unit}:{name}"] for name in REGIONS) for unit in ("tokens", "nanos"))
    return [
        InputPart(
            part=name, tokens=counts[f"tokens:{name}"], token_share=counts[f"tokens:{name}"] / tokens,
            cost_usd=counts[f"nanos:{name}"] / NANOS_PER_USD, cost_share=counts[f"nanos:{name}"] / nanos,
        )
        for name in REGIONS if tokens and nanos
    ]  # fmt: skip


def output_of(counts: Counter[str], baseline: Baseline, scale: Scale) -> OutputPotential:
    """What fewer output tokens might save: always a potential, see docs/decisions/015."""
    calls, output = counts["output:calls"], counts["output:nanos"]
    caps = [
        OutputCap(
            max_tokens=cap, answers_cut_share=counts[f"cap:{cap}:calls"] / calls,
            usd_month=scale.supposed(0, counts[f"cap:{cap}:nanos"], counts[f"cap:{cap}:nanos"], "if cut answers do"),
        )
        for cap in CAPS if counts[f"cap:{cap}:calls"]
    ]  # fmt: skip
    fits = [cap for cap in CAPS if 0 < counts[f"cap:{cap}:calls"] <= MAX_CUT_SHARE * calls]
    beyond = counts[f"cap:{fits[0]}:nanos"] if fits else 0
    low, less, most = (share * counts["reasoning:nanos"] for share in LESS_THINKING)
    return OutputPotential(
        reasoning_share=counts["reasoning:tokens"] / baseline.output_tokens if baseline.output_tokens else 0.0,
        reasoning_calls=counts["reasoning:calls"], reasoning_usd_month=scale.month(counts["reasoning:nanos"]),
        output_usd_month=scale.month(output), caps=caps, recommended_max_tokens=fits[0] if fits else None,
        usd_month=scale.supposed(low, max(less, beyond), max(most, beyond), "untested"), formula=_FORMULA,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Way:
    lever: str
    column: str
    usd: Estimate
    evidence: str
    risk: Literal["none", "verified", "needs-test"]
    effort_days: float
    experiment: str


def opportunities(
    agents: Agents, walked: Walked, label: Callable[[int], str], day_rate_usd: float
) -> list[Opportunity]:
    """Loops, tool order and the best way of trimming, at the call sites where they weigh most."""
    loops = agents.loops
    ways = [
        _Way(
            "agent_loops", "loop", loops.usd_month,
            f"{loops.repeated_calls} tool calls asked again for what their task had asked for 3 times or more",
            "needs-test", 1.0, "give the earlier result back from the second identical call on; except polling",
        ),
        _Way(
            "tool_order", "order", agents.tool_order_usd_month,
            f"{agents.tool_order_breaks} steps sent the same tools in another order: the cached prefix is lost", "none",
            0.5, "sort the tool definitions by name before every call; watch the cached tokens",
        ),
    ]  # fmt: skip
    best = max(agents.trims, key=lambda trim: trim.usd_in_log)
    ways.append(
        _Way(
            "history", f"cached:{best.rule}:{best.keep_steps}", best.usd_month,
            f"{_RULE[best.rule].format(k=best.keep_steps, twice=2 * best.keep_steps)}, with what that does to the "
            "prompt cache", "needs-test", 3.0, "trim in half of the tasks; compare success and number of steps",
        )
    )  # fmt: skip
    return [item for way in ways for item in _by_site(way, walked, label, day_rate_usd)]


_RULE = {
    "last": "only the last {k} steps are sent again",
    "every": "after {twice} steps all but the last {k} go",
    "results": "tool results older than {k} steps go",
}


def _by_site(way: _Way, walked: Walked, label: Callable[[int], str], day_rate_usd: float) -> list[Opportunity]:
    column = SUMS.index(way.column)
    whole = int(walked.money[column])
    if whole < MIN_SHARE * walked.counts["cost"] or whole <= 0 or way.usd.value is None:
        return []
    by_site = sorted(zip(walked.sites.column(column).tolist(), walked.sites.keys.tolist(), strict=True), reverse=True)
    found: list[Opportunity] = []
    for nanos, site in by_site[:MAX_SITES]:
        if nanos < MIN_SHARE * walked.counts["cost"]:
            break
        share, usd = nanos / whole, way.usd
        low, value, high = (None if each is None else each * share for each in (usd.low, usd.value, usd.high))
        usd_day = (value or 0.0) / (HOURS_PER_MONTH / 24)
        found.append(
            Opportunity(
                call_site=label(site), lever=way.lever, evidence=way.evidence, risk=way.risk,
                usd_month=Estimate(
                    value=value, low=low, high=high, unit=usd.unit, basis=usd.basis,
                    note="by the site's share; priced as logged: overlaps with the ladder, in none of its sums",
                ),
                effort_days=way.effort_days, next_experiment=way.experiment,
                payback_days=way.effort_days * day_rate_usd / usd_day if usd_day > 0 else None,
            )
        )  # fmt: skip
    return found
