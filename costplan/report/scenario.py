"""The report of a product that has no log: its calls, its cost, what arithmetic says of the levers."""

from costplan.report.numbers import interval, mark, money, percent, plain, saving
from costplan.results import Estimate, Plan, Rung, ScenarioFacts

LEGEND = "? assumed   [low … high]~ a plausible range: every figure of the scenario at its low, or high, end"


def scenario_report(plan: Plan, facts: ScenarioFacts) -> str:
    """Plain lines of at most 120 cells, but for names and commands that are longer."""
    models = ", ".join(plain(model, 30) for model in sorted({call.model for call in facts.calls}))
    day = f" · prices of {plan.baseline.price_date}" if plan.baseline.price_date else ""
    lines = [f"{plain(facts.name, 60)}   {len(facts.calls)} calls · {models}{day}"]
    lines += [f"! {warning}" for warning in plan.warnings]
    lines += [f"  {plain(text, 300)}" for text in (facts.about, facts.claim and f"Claim: {facts.claim}") if text]
    lines += ["", *_money(plan, facts), "", *_calls(facts), "", *_levers(plan)]
    lines += [f"Ask   {plain(command, 140)}" for command in facts.asks]
    return "\n".join([*lines, LEGEND, f"Next: costplan generate {plain(plan.inputs[0].path, 120)} -o log.jsonl"])


def _money(plan: Plan, facts: ScenarioFacts) -> list[str]:
    units = plan.unit_economics
    rows = [("Today", plan.baseline.cost_usd_month, "/month")]
    if facts.in_12_months != plan.baseline.cost_usd_month:
        rows.append(("In 12 months", facts.in_12_months, "/month"))
    rows += [("  per 1,000 calls", units.per_1k_requests, ""), ("  per session", units.per_session, "")]
    rows.append(("  per user and month", facts.per_user_month, ""))
    return [_row(*row) for row in rows if row[1].value is not None]


def _calls(facts: ScenarioFacts) -> list[str]:
    lines = [f"{'Call':<24}{'a month':>15}{'':28}share  prompts' part   a call"]
    for call in facts.calls:
        spread = f"{mark(call.cost_usd_month)} {_spread(call.cost_usd_month)}"
        lines.append(
            f"  {plain(call.name, 21):<22}{money(call.cost_usd_month.value):>15} {spread:<26}{percent(call.share):>6}"
            f"{percent(call.input_share):>15}   {money(call.per_call.value)} {mark(call.per_call)} "
            f"{_spread(call.per_call)}".rstrip()
        )
    return [*lines, f"First  {plain(facts.first, 200)}"]


def _levers(plan: Plan) -> list[str]:
    after = plan.after.potential
    less = f"   {percent(after.saving_share)} less" if after.saving_share else ""
    lines = ["Levers, as far as arithmetic goes; each needs a test", *(_rung(rung) for rung in plan.ladder)]
    lines.append(_row("If all hold", after.cost_usd_month, "/month") + less)
    for number, each in enumerate(plan.opportunities[:3], 1):
        place = f"{plain(each.lever.replace('_', ' '), 20)} at {plain(each.call_site, 30)}"
        lines.append(f"  {number}. {place}: {_saved(each.usd_month).strip()}; {plain(each.next_experiment, 90)}")
    return lines


def _rung(rung: Rung) -> str:
    if rung.marginal_usd_month.value is None:
        return f"  {rung.label:<34}{'unknown':>14}   {plain(rung.marginal_usd_month.note, 100)}"
    return f"  {rung.label:<34}{_saved(rung.marginal_usd_month):>14}   {rung.summary}"


def _saved(estimate: Estimate) -> str:
    ends = interval(estimate, saved=True).replace(" range", "~")
    return f"{saving(estimate.value):>14} {mark(estimate)} {ends}".rstrip()


def _row(label: str, estimate: Estimate, unit: str) -> str:
    return f"{label:<24}{money(estimate.value):>15}{unit} {mark(estimate)} {_spread(estimate)}".rstrip()


def _spread(estimate: Estimate) -> str:
    return interval(estimate).replace(" range", "~")
