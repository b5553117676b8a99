"""Sentences on agents, sessions, answers and rate limits; where they stand on a page is not known here."""

from costplan.report.numbers import compact, count, money, percent
from costplan.results import Estimate, Plan, Rate
from costplan.units import plural

_PARTS = {
    "tools": "tool definitions", "system": "system prompt", "history": "re-sent history",
    "tool_result": "tool results", "last": "the last message",
}  # fmt: skip
_RULES = {
    "last": "sending only the last {k} steps again",
    "every": "dropping all but the last {k} steps whenever there are twice as many",
    "results": "dropping tool results older than {k} steps",
}


def monthly(estimate: Estimate) -> str:
    """`$29/month [$17, $41]`, a stated range with `~`."""
    if estimate.value is None:
        return ""
    ends = f"{money(estimate.low)}, {money(estimate.high)}"
    return f"{money(estimate.value)}/month {'' if estimate.level else '~'}[{ends}]"


def headline(plan: Plan) -> str:
    """What stands on the first screen: loops and growth, where agents call tools."""
    found = plan.agents
    if found is None or not found.tool_calls:
        return ""
    loops, growth = found.loops, found.growth_tokens_per_step.value
    told = [f"{plural(found.tasks, 'task')}, {plural(found.tool_calls, 'tool call')}"]
    told += [f"a step adds {compact(round(growth))} tokens"] if growth is not None else []
    told += (
        [f"{plural(loops.repeated_calls, 'call')} repeated in loops {monthly(loops.usd_month)}"] if loops.groups else []
    )
    return " · ".join(told)


def agent_facts(plan: Plan) -> list[str]:
    """Growth, parts of the prompts, loops, tool order, trimming; empty without sessions or traces."""
    found = plan.agents
    if found is None:
        return []
    lines: list[str] = []
    growth = found.growth_tokens_per_step
    if growth.value is not None and found.by_step:
        steps = ", ".join(
            f"{step.first}{'' if step.last == step.first else f'-{step.last}' if step.last else '+'}: "
            f"{compact(round(step.input_tokens_mean))}"
            for step in found.by_step
        )
        lines.append(f"A step of a conversation adds {growth.value:,.0f} tokens; prompt by step: {steps}")
    if found.input_by:
        parts = ", ".join(
            f"{_PARTS[p.part]} {percent(p.token_share)} of tokens, {percent(p.cost_share)} of cost"
            for p in found.input_by
        )
        lines.append(f"Prompts: {parts}")
    trees = found.call_trees
    if trees is not None:
        depth = max(map(int, trees.by_depth))
        lines.append(
            f"Call trees: {plural(trees.traces, 'trace')} of {trees.calls_p50:g} calls (p95 {trees.calls_p95:g}, most "
            f"{trees.calls_max}), up to {plural(depth, 'span')} above a call and {trees.widest} calls below one span"
        )
    loops = found.loops
    if loops.groups:
        lines.append(
            f"Loop suspects: {plural(loops.groups, 'tool call')} made 3 times or more alike in a task, "
            f"up to {loops.longest} times; asking again cost {money(loops.usd_in_log.value)} ({percent(loops.share)}) "
            f"in the log, {monthly(loops.usd_month)}"
        )
    if found.tool_order_breaks:
        lines.append(
            f"Tool order: {plural(found.tool_order_breaks, 'step')} sent the same tools in another order; "
            f"a stable order saves {monthly(found.tool_order_usd_month)}"
        )
    return lines + _trims(plan)


def _trims(plan: Plan) -> list[str]:
    trims = plan.agents.trims if plan.agents else []
    moved = [trim for trim in trims if trim.usd_in_log or trim.usd_in_log_as_cached_today]
    if not moved:
        return []
    best = max(moved, key=lambda trim: trim.usd_in_log)
    what = _RULES[best.rule].format(k=best.keep_steps)
    today = f"{money(best.usd_in_log_as_cached_today)} in the log as it is cached today"
    if best.usd_in_log <= 0:
        return [f"Trimming saves nothing once the prompt cache works; best: {what}, {today}"]
    return [f"Trimming, best of {len(trims)} ways: {what}, {monthly(best.usd_month)} through the prompt cache, {today}"]


def output_facts(plan: Plan) -> list[str]:
    """Reasoning and output limits, always as a potential; empty where no answer is long or reasoned."""
    found = plan.output
    if found is None or not found.usd_month.high:
        return []
    lines = [f"Potential, untested and in no sum above: {monthly(found.usd_month)} by fewer output tokens"]
    if found.reasoning_calls:
        cost = f", {money(found.reasoning_usd_month.value)}/month" if found.reasoning_usd_month.value else ""
        lines.append(f"Reasoning is {percent(found.reasoning_share)} of the output tokens{cost}")
    if found.recommended_max_tokens:
        cap = next(cap for cap in found.caps if cap.max_tokens == found.recommended_max_tokens)
        lines.append(f"A limit of {count(cap.max_tokens)} tokens cuts {percent(cap.answers_cut_share)} of the answers")
    return [*lines, f"Formula: {found.formula}", f"Next: {found.next_experiment}"]


def asks(rate: Rate) -> str:
    """What a request for a tier or quota states."""
    refused = f"; {plural(rate.rate_limited, 'call')} refused with 429" if rate.rate_limited else ""
    return (
        f"{rate.model}: ask for {count(rate.ask_requests_min)} requests, "
        f"{compact(rate.ask_input_tokens_min)} input and {compact(rate.ask_output_tokens_min)} output tokens a minute "
        f"(peak {count(rate.requests_min_peak)}, {compact(rate.input_tokens_min_peak)}, "
        f"{compact(rate.output_tokens_min_peak)}){refused}"
    )
