"""The sentences both renderers share: scale, books, gaps, what is missing, what comes next; knows nothing of layout.

Texts that hold log strings are returned as they are: the renderer that prints them makes them safe.
"""

import re
import shlex

from costplan.report.numbers import (
    UNKNOWN,
    compact,
    day,
    mark,
    money,
    money_decimals,
    percent,
    plain,
    saving,
    seconds,
    span,
)
from costplan.results import NO_MODEL, NO_USAGE, Books, Estimate, GroupRow, Opportunity, Plan, Rung, UnpricedModel
from costplan.units import plural

NO_CONTRACT = "list price, no contract given"
LEGEND = "= counted or priced   ≈ modelled   ? assumed   [low … high] 95% interval, with ~ a plausible range"
_GAP = 0.05
_NOTHING = 0.0005
_NO_NAME = ("", "(no model)")
_QUANTILES = ("p50", "p95", "p99", "max")
_TYPEABLE = re.compile(r"(?!-.)[\w./ :@%+=,~-]{1,60}", re.ASCII)


def unpriced_only(plan: Plan) -> bool:
    """No request has a price: every amount is unknown, whatever the sums say."""
    return plan.ingest.priced == 0 and plan.ingest.unpriced.requests > 0


def monthly(plan: Plan) -> bool:
    """Whether the report speaks of months; otherwise of the log's own span and of shares."""
    return plan.baseline.cost_usd_month.value is not None


def decimals(plan: Plan) -> int | None:
    """The decimals every amount of the ladder shares, so that the column adds up on the page."""
    value = plan.baseline.cost_usd_month.value
    return money_decimals(value) if value else None


def today(plan: Plan) -> Estimate:
    """What "today" is: a month where there is one, else the log's spend at the price date."""
    return plan.baseline.cost_usd_month if monthly(plan) else plan.baseline.cost_usd_price_date


def today_suffix(plan: Plan) -> str:
    """`/month`, or the log's own span"""
    days = plan.ingest.span.days
    return "/month" if monthly(plan) else " in this log" if days is None else f" in {span(days)}"


def per_1k(plan: Plan, estimate: Estimate, what: str = "requests") -> str:
    """`$4.78 per 1k requests`, or empty where unknown"""
    known = estimate.value is not None and not unpriced_only(plan)
    return f"{money(estimate.value)} per 1k {what}" if known else ""


def month_gap(plan: Plan) -> str:
    """Why there is no monthly figure and how to get one; empty where there is one."""
    if monthly(plan) or unpriced_only(plan):
        return ""
    if plan.ingest.partial:
        return "No monthly figure: this is a first look at part of the log (--head); analyze all of it."
    days, note = plan.ingest.span.days, plan.baseline.cost_usd_month.note
    why = "the log carries no times" if days is None else f"the log spans {span(days)}, a month needs 24 h"
    why = note or "the log does not allow one" if days is not None and days >= 1 else why
    return f"No monthly figure: {why}; give the volume with --month-requests N."


def unpriced_gap(books: Books) -> str:
    """What the amounts leave out for want of a price; empty where nothing."""
    if books.aggregated is not None and books.aggregated.unpriced:
        named = ", ".join(_unpriced_name(model) for model in books.aggregated.unpriced_models[:3])
        return f"{plural(books.aggregated.unpriced, 'row')} unpriced ({named})"
    if not books.unpriced.requests:
        return ""
    models = [_unpriced_name(model) for model in books.unpriced.models]
    names = ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")
    of = f" ({names})" if names else ""
    return f"{plural(books.unpriced.requests, 'request')} unpriced{of}, {percent(books.unpriced.token_share)} of tokens"


def _unpriced_name(row: UnpricedModel) -> str:
    name = "no model name" if row.model in _NO_NAME else f"'{plain(row.model, 32)}'"
    return f"{name}: no token counts" if row.reason == NO_USAGE else name


def scale(plan: Plan) -> list[str]:
    """How much the log holds: `19,366 requests`, `10 d to 2026-10-29`, `6 models`, `24.1M tokens`."""
    books, base = plan.ingest, plan.baseline
    ends = day(books.span.end)
    models = sum(row.key not in _NO_NAME for row in plan.unit_economics.by_model)
    tokens = base.input_tokens + base.output_tokens + books.unpriced.tokens
    rows = books.aggregated
    calls = plural(books.requests, "request")
    if rows is not None:
        counted = "requests not counted" if rows.requests is None else f"for {plural(rows.requests, 'request')}"
        counted += " and more" if rows.requests is not None and rows.uncounted_rows else ""
        calls = f"{plural(rows.rows, 'row')} {counted}"
    facts = [calls, span(books.span.days) + (f" to {ends}" if ends else "")]
    return [*facts, plural(models, "model") if models else "no model names", f"{compact(tokens)} tokens"]


def unit_costs(plan: Plan) -> list[tuple[str, Estimate]]:
    """What one request, session, user's day and million tokens cost, where it is known."""
    unit = plan.unit_economics
    costs = [("request", unit.per_request), ("session", unit.per_session), ("user and day", unit.per_user_day)]
    costs += [("million tokens", unit.per_mtok_blended)]
    costs += [("1k accepted answers", unit.per_1k_accepted)] if unit.per_1k_accepted else []
    return [] if unpriced_only(plan) else [(name, cost) for name, cost in costs if cost.value is not None]


def latency(plan: Plan) -> str:
    """`e2e p50 4.20 s -> 3.10 s · p95 12.0 s -> 11.8 s  ≈ hits answer in 15 ms`; empty where it is not known."""
    found = plan.after.latency
    if found is None:
        return ""
    names = (("e2e", found.before.e2e_s, found.after.e2e_s), ("ttft", found.before.ttft_s, found.after.ttft_s))
    for name, before, after in names:
        if after.p50.value is not None:
            steps = (("p50", before.p50, after.p50), ("p95", before.p95, after.p95))
            told = " · ".join(f"{step} {seconds(old.value)} -> {seconds(new.value)}" for step, old, new in steps)
            return f"{name} {told}  {mark(after.p50)} hits answer in {1000 * (found.lookup_s.value or 0):g} ms"
    return ""


def streaming(plan: Plan) -> str:
    """When users see the first token, today and where every call streams; empty where that is not known."""
    found = plan.after.latency.streaming if plan.after.latency else None
    if found is None or found.after.p50.value is None:
        return ""
    text = f"{percent(found.unstreamed_share)} of the calls are not streamed: their users wait for the whole answer. "
    before, after = found.before, found.after
    steps = (("p50", before.p50, after.p50), ("p95", before.p95, after.p95))
    told = " · ".join(f"{step} {seconds(old.value)} -> {between(new)}" for step, old, new in steps)
    return f"{text}First token {told} if every call streams {mark(after.p50)}."


def between(estimate: Estimate) -> str:
    """`0.4 s (0.3 to 0.5 s)`."""
    return f"{seconds(estimate.value)} ({seconds(estimate.low)} to {seconds(estimate.high)})"


def growth(estimate: Estimate) -> tuple[str, str]:
    """(`+12.0%`, `[+3.0% … +22.0%]`): a share a month"""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return UNKNOWN, ""
    value, low, high = (f"{100 * end:+.1f}%" for end in (estimate.value, estimate.low, estimate.high))
    return value, f"[{low} … {high}]"


def session_facts(plan: Plan) -> list[str]:
    """Steps and cost of sessions, and what their input consists of; empty where the log names none."""
    found = plan.unit_economics.sessions
    if found is None or not found.sessions:
        return []
    steps = ", ".join(f"{name} {value:,.0f}" for name, value in found.steps.items() if name in _QUANTILES)
    costs = ", ".join(f"{name} {money(value)}" for name, value in found.cost_usd.items() if name in _QUANTILES)
    lines = [f"{plural(found.sessions, 'session')}; calls in one: {steps}"]
    top = found.top_1_percent_share
    more = f"; the dearest 1 % take {percent(top)}" if top is not None else ""
    lines += [f"Cost of a session: {costs}{more}"] if costs else []
    shares = (
        ("re-sent history", found.history_share),
        ("system prompt", found.system_share),
        ("tool definitions", found.tools_share),
        ("tool results", found.tool_results_share),
    )
    known = [f"{name} {percent(share)}" for name, share in shares if share is not None]
    return [*lines, "Input text: " + ", ".join(known)] if known else lines


def price_change(plan: Plan) -> str:
    """The one line on prices that moved between the calls and the price date."""
    then, now = money(plan.baseline.cost_usd.value), money(plan.baseline.cost_usd_price_date.value)
    if then == now or UNKNOWN in (then, now) or unpriced_only(plan):
        return ""
    at = f" of {plan.baseline.price_date}" if plan.baseline.price_date else ""
    return f"The logged calls cost {then} at their own dates' prices, {now} at the prices{at} used below."


def invoice_gap(plan: Plan) -> str:
    """The first line of the report where log and invoice differ by more than 5 %."""
    if plan.reconcile is None or abs(1 - plan.reconcile.coverage_share) <= _GAP:
        return ""
    bill = plan.reconcile
    sums = f"the log holds {money(bill.log_usd)} of {money(bill.invoice_usd)}, {percent(bill.coverage_share)}"
    return f"Invoice gap: {sums}. {bill.note or 'Every figure below is about the log.'}"


def contract(plan: Plan) -> str:
    """What the user stated, empty where nothing was: only then does cash differ from usage."""
    stated = next((a.value.strip() for a in plan.assumptions if a.name == "contract"), "")
    return "" if stated.lower().startswith(("none", "no contract", "list price")) else stated


def in_cash(paid: Estimate | None, usage: Estimate) -> str:
    """What a month of usage costs in cash, where a contract makes that another amount."""
    known = paid is not None and paid.value is not None and paid.value != usage.value
    return f"in cash {money(paid.value)}" if known and paid else ""


def rung_note(plan: Plan, rung: Rung) -> str:
    """The rung's one line: what it rests on, or what it needs; with the cash effect where a contract changes it."""
    money_, cash, usage = rung.marginal_usd_month, rung.cash_usd_month.value, rung.usage_usd_month.value
    effect = rung.saving_share if money_.value is None else money_.value
    parts = ["not counted"] if effect is not None and effect < 0 else []
    note = money_.note if rung_unknown(plan, rung) and (monthly(plan) or not rung.summary) else ""
    parts += [text for text in (rung.summary, note if note not in rung.summary else "") if text]
    if contract(plan) and cash is not None and cash != usage:
        parts.append(f"in cash {saving(cash, decimals(plan))}")
    return "; ".join(parts)


def rung_unknown(plan: Plan, rung: Rung) -> bool:
    """Neither money nor, without a month, a share is known."""
    return rung.marginal_usd_month.value is None and (monthly(plan) or rung.saving_share is None)


def rung_empty(plan: Plan, rung: Rung) -> bool:
    """The rung was computed and saves nothing worth a line."""
    return not rung_unknown(plan, rung) and rung.saving_share is not None and abs(rung.saving_share) < _NOTHING


def place(item: Opportunity, width: int = 24) -> str:
    """`prompt cache at 'rag-answer'`"""
    return f"{item.lever.replace('_', ' ')} at '{plain(item.call_site, width)}'"


def days_of_work(days: float) -> str:
    return f"{days:.1f}".removesuffix(".0") + (" day" if days == 1 else " days")


def payback(days: float | None) -> str:
    """`12 days`, `41 months`, `over 5 years`: until the work has paid for itself; empty where it never does."""
    if days is None:
        return ""
    if days > 5 * 365.25:
        return "over 5 years"
    return plural(max(1, round(days / 30.4)), "month") if days >= 90 else plural(max(1, round(days)), "day")


def group_cost(row: GroupRow, decimals: int | None) -> str:
    """An amount, or why there is none: an unpriced model is not a free one."""
    return "unpriced" if row.cost_usd is None else money(row.cost_usd, decimals)


def identities(books: Books) -> list[str]:
    """Where every record and every request went; each sum holds."""
    records = (
        f"{plural(books.records, 'record')} = {plural(books.requests, 'request')} + {books.not_a_call:,} not a call"
    )
    records += f" + {books.skipped.total:,} skipped + {plural(books.duplicates, 'duplicate')} + {books.merged:,} merged"
    if books.aggregated is not None:
        rows = books.aggregated
        told = f"{plural(rows.rows, 'aggregated row')} = {rows.priced:,} priced + {rows.unpriced:,} unpriced"
        return [records, f"{told} + {rows.reported:,} as billed + {rows.unused:,} not used (would count twice)"]
    requests = f"{plural(books.requests, 'request')} = {books.priced:,} priced + {books.unpriced.requests:,} unpriced"
    return [records, f"{requests} + {books.failed:,} failed + {plural(books.gateway_hits, 'gateway hit')}"]


def skipped_reasons(books: Books, places: int = 5) -> list[str]:
    """`18 bad json (logs.jsonl:418, logs.jsonl:977)`, most frequent first."""
    reasons = sorted(books.skipped.reasons.items(), key=lambda item: (-item[1].count, item[0]))
    found = [(s.count, name.replace("_", " "), ", ".join(s.first_lines[:places])) for name, s in reasons if s.count]
    return [f"{count:,} {name} ({where})" for count, name, where in found]


def mixes(books: Books) -> list[str]:
    """Where token counts and texts are not all as the provider reported them: `text: 9 full + 1 truncated`."""
    kinds = (("token counts", _mix(books.usage_source, "reported")), ("text", _mix(books.text_state, "full")))
    return [f"{name}: {text}" for name, text in kinds if text]


def _mix(counts: dict[str, int], whole: str) -> str:
    parts = sorted((-n, kind) for kind, n in counts.items() if n)
    return "" if all(kind == whole for _, kind in parts) else " + ".join(f"{-n:,} {kind}" for n, kind in parts)


def next_step(plan: Plan) -> str:
    """The command that takes this plan furthest."""
    path = plan.inputs[0].path if len(plan.inputs) == 1 else ""
    log = shlex.quote(path) if _TYPEABLE.fullmatch(path) and path != "stdin" else "LOG"
    books = plan.ingest
    if books.partial:
        return f"costplan analyze {log}"
    if books.aggregated is not None:
        if 2 * sum(row.reason == NO_MODEL for row in books.aggregated.unpriced_models) > books.aggregated.priced:
            return f"costplan analyze {log} --assume-model gpt-4o-mini, or export it grouped by model"
        return "costplan analyze LOG, once there is a request log of some days: what each lever would save"
    nameless = sum(row.requests for row in books.unpriced.models if row.reason == NO_MODEL)
    if 2 * nameless > books.requests:
        return f"costplan analyze {log} --assume-model gpt-4o-mini --month-requests N"
    if unpriced_only(plan) or books.unpriced.token_share > _GAP:
        if all(row.reason in (NO_USAGE, NO_MODEL) for row in books.unpriced.models):
            return f"costplan analyze {log}, once the log holds each reply's token counts (usage)"
        return f"costplan analyze {log} --prices prices.yaml"
    if not monthly(plan):
        return f"costplan analyze {log} --month-requests N"
    return f"costplan analyze {log} --markdown report.md"
