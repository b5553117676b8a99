"""The whole plan as GitHub-flavoured Markdown, longer than a screen; knows nothing of how it will be displayed."""

from collections.abc import Iterable

from costplan.report import agents, facts, numbers
from costplan.report.numbers import markdown_text
from costplan.report.provisioned import markdown_section
from costplan.report.scenario import scenario_report
from costplan.results import AfterTotal, Estimate, GroupRow, Plan

_TOP = 10
_LEGEND = (
    "Basis `reported`, `priced` and `measured` are counted; `simulated` and `estimated` are modelled; `assumed` is "
    "stated by hand. Intervals are 95 % unless they say range. A rung that costs money is shown and not counted."
)


def render_markdown(plan: Plan) -> str:
    """Sections from the answer down to the assumptions; every log string is escaped."""
    if plan.scenario is not None:
        return f"```text\n{scenario_report(plan, plan.scenario)}\n```\n"
    blocks = ["# costplan report", *_answer(plan)]
    for title, section in _SECTIONS:
        body = section(plan)
        blocks += [f"## {title}", *body] if body else []
    return "\n\n".join(blocks) + "\n"


def _safe(*texts: str) -> list[str]:
    return [markdown_text(text) for text in texts]


def _table(heads: str, rows: Iterable[Iterable[str]]) -> str:
    """`heads` is `Name | Number:`; a colon aligns right. Cells are taken as safe."""
    names = [head.strip() for head in heads.split("|")]
    rule = ["---:" if name.endswith(":") else "---" for name in names]
    lines = [[name.removesuffix(":") for name in names], rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _known(plan: Plan, estimate: Estimate, decimals: int | None = None) -> str:
    return numbers.UNKNOWN if facts.unpriced_only(plan) else numbers.money(estimate.value, decimals)


def _answer(plan: Plan) -> list[str]:
    files = ", ".join(markdown_text(source.path, 120) for source in plan.inputs)
    gap = markdown_text(facts.invoice_gap(plan), 400)
    blocks = [f"**{gap}**"] if gap else []
    blocks.append(f"Read {files}: {', '.join(facts.scale(plan))}.")
    amount = _known(plan, facts.today(plan))
    amount += "" if amount == numbers.UNKNOWN else facts.today_suffix(plan)
    detail = (
        facts.per_1k(plan, plan.unit_economics.per_1k_requests),
        facts.in_cash(plan.baseline.cash_usd_month, plan.baseline.cost_usd_month),
        *_safe(facts.contract(plan) or facts.NO_CONTRACT),
    )
    lines = [f"Today: **{amount}**" + "".join(f", {text}" for text in detail if text)]
    for name, total in (("After the defensible steps", plan.after.defensible), ("If all hold", plan.after.potential)):
        lines.append(f"{name}: {_after(plan, total)}")
    lines += [f"Latency: {text}" for text in (facts.latency(plan),) if text]
    lines += [f"Streaming: {text}" for text in (facts.streaming(plan),) if text]
    blocks.append("\n".join(f"- {line}" for line in lines))
    notes = [facts.unpriced_gap(plan.ingest), facts.price_change(plan), facts.month_gap(plan)]
    notes = [*plan.warnings, *filter(None, notes)]
    if notes:
        blocks.append("\n".join(f"> **Note** {markdown_text(note, 400)}\n>" for note in notes).removesuffix("\n>"))
    step = facts.next_step(plan)
    return blocks if "--markdown" in step else [*blocks, f"Next: `{step}`"]


def _after(plan: Plan, total: AfterTotal) -> str:
    less = f"{numbers.percent(total.saving_share)} less" if total.saving_share else ""
    amount = _known(plan, total.cost_usd_month, facts.decimals(plan))
    amount = f"**{amount}/month**" if amount != numbers.UNKNOWN else "" if less else numbers.UNKNOWN
    spread = numbers.interval(total.cost_usd_month, facts.decimals(plan))
    cash = facts.in_cash(total.cash_usd_month, total.cost_usd_month)
    accepted = facts.per_1k(plan, total.per_1k_accepted, "accepted answers") if total.per_1k_accepted else ""
    per_1k = facts.per_1k(plan, total.per_1k_requests)
    return ", ".join(filter(None, (amount, spread, per_1k, accepted, less, cash)))


def _today(plan: Plan) -> list[str]:
    base, unit = plan.baseline, plan.unit_economics
    figures = (
        ("Spend in the log, at the calls' dates", base.cost_usd),
        (f"Spend in the log, at prices of {base.price_date or 'the price date'}", base.cost_usd_price_date),
        ("Spend a month", base.cost_usd_month),
        ("Per request", unit.per_request),
        ("Per 1k requests", unit.per_1k_requests),
        ("Per session", unit.per_session),
        ("Per user and day", unit.per_user_day),
        ("Per million tokens, blended", unit.per_mtok_blended),
        *((("Growth of the cost in a month", unit.growth),) if unit.growth else ()),
        *((("Per 1k accepted answers", unit.per_1k_accepted),) if unit.per_1k_accepted else ()),
        *((("Margin per user and month", unit.margin_per_user),) if unit.margin_per_user else ()),
    )
    rows = [
        (name, *_figure(plan, e), e.basis if e.value is not None else "", markdown_text(e.note)) for name, e in figures
    ]
    parts = base.cost_by
    tokens = (
        ("Input in total", numbers.compact(base.input_tokens), ""),
        ("Input not cached", "", parts.input),
        ("Cache read", numbers.compact(base.cache_read_tokens), parts.cache_read),
        ("Cache write", numbers.compact(base.cache_write_tokens), parts.cache_write),
        ("Output", numbers.compact(base.output_tokens), parts.output),
        ("Other units", "", parts.other),
    )
    decimals = numbers.money_decimals(base.cost_usd.value or 0)
    kinds = [(name, n, usd if isinstance(usd, str) else numbers.money(usd, decimals)) for name, n, usd in tokens]
    heads = "Figure | Value: | Interval | Basis | Note"
    return [_table(heads, rows), _table("Tokens in the log | Count: | Cost:", kinds)]


def _figure(plan: Plan, estimate: Estimate) -> tuple[str, str]:
    if estimate.unit == "share/month":
        return facts.growth(estimate)
    return _known(plan, estimate), numbers.interval(estimate)


def _ladder(plan: Plan) -> list[str]:
    decimals = facts.decimals(plan)
    rows: list[list[str]] = []
    for rung in plan.ladder:
        estimate, value = rung.marginal_usd_month, rung.marginal_usd_month.value
        order = (
            [] if rung.order_range is None else [numbers.saving(end, decimals) for end in reversed(rung.order_range)]
        )
        row = [*_safe(rung.label), "defensible" if rung.headline else "potential", numbers.saving(value, decimals)]
        row += [numbers.interval(estimate, decimals, saved=True)]
        row += ["" if rung.saving_share is None else numbers.percent(rung.saving_share)]
        row += ["" if value is None else estimate.basis, rung.risk]
        row += [numbers.saving(rung.standalone_usd_month.value, decimals), " … ".join(order)]
        rows.append(row + _safe(facts.rung_note(plan, rung)))
    heads = "Lever | Counts as | Saving a month: | Interval | Of what is left: | Basis | Risk | Alone: | Any order"
    heads += " | What it rests on"
    return [_table(heads, rows), _LEGEND] if rows else []


def _opportunities(plan: Plan) -> list[str]:
    decimals = facts.decimals(plan)
    rows = [
        [str(number), *_safe(facts.place(item, 60)), numbers.saving(item.usd_month.value, decimals)]
        + [numbers.interval(item.usd_month, decimals, saved=True), item.risk, facts.days_of_work(item.effort_days)]
        + [facts.payback(item.payback_days)]
        + _safe(item.evidence, item.next_experiment)
        for number, item in enumerate(plan.opportunities, start=1)
    ]
    heads = "# | Where | Saving a month: | Interval | Risk | Effort | Payback | Evidence | Next experiment"
    return [_table(heads, rows)] if rows else []


def _sessions(plan: Plan) -> list[str]:
    """Sessions, and the peaks that rate limits and capacity have to hold."""
    lines = [f"- {markdown_text(line)}" for line in facts.session_facts(plan)]
    rates = [
        [*_safe(rate.model), numbers.count(rate.requests_min_peak), numbers.count(rate.requests_min_p99)]
        + [numbers.count(rate.input_tokens_min_peak), numbers.count(rate.input_tokens_min_p99)]
        + [numbers.count(rate.output_tokens_min_peak), numbers.count(rate.output_tokens_min_p99)]
        + [numbers.count(rate.rate_limited), numbers.count(rate.ask_requests_min)]
        + [numbers.count(rate.ask_input_tokens_min), numbers.count(rate.ask_output_tokens_min)]
        for rate in plan.unit_economics.rates[:_TOP]
    ]
    heads = "Model | Requests a minute, peak: | p99: | Input tokens, peak: | p99: | Output tokens, peak: | p99: | "
    heads += "Refused (429): | Ask for requests: | Input tokens: | Output tokens:"
    note = (
        "Ask for: the larger of the peak minute and 1.2 x the p99 minute (the 1.2 is assumed); "
        f"{numbers.count(plan.ingest.retries)} retries within two minutes of a "
        f"failed call, {numbers.money(plan.ingest.retries_usd)}."
    )
    return (["\n".join(lines)] if lines else []) + ([_table(heads, rates), note] if rates else [])


def _agents(plan: Plan) -> list[str]:
    lines = [f"- {markdown_text(line, 600)}" for line in agents.agent_facts(plan)]
    return ["\n".join(lines)] if lines else []


def _output(plan: Plan) -> list[str]:
    lines = [f"- {markdown_text(line, 600)}" for line in agents.output_facts(plan)]
    return ["\n".join(lines)] if lines else []


def _groups(plan: Plan) -> list[str]:
    unit = plan.unit_economics
    hours = sorted(unit.by_hour, key=lambda row: (-(row.cost_usd or 0), -(row.requests or 0), row.key))
    groups = (
        ("Model", unit.by_model),
        ("Call site", unit.by_call_site),
        ("User", unit.by_user),
        ("Tag", unit.by_tag),
        ("Operation", unit.by_operation if len(unit.by_operation) > 1 else []),
        ("Day", unit.by_day if len(unit.by_day) > 1 else []),
        ("Hour of the day, UTC", hours),
    )
    return [_group(plan, title, rows) for title, rows in groups if rows]


def _group(plan: Plan, title: str, rows: list[GroupRow]) -> str:
    decimals = numbers.money_decimals(max(row.cost_usd or 0 for row in rows))
    more = f", top {_TOP} of {numbers.count(len(rows))}" if len(rows) > _TOP else ""
    noted = title == "Call site" and any(row.note for row in rows)
    cells = [
        [*_safe(row.key, facts.group_cost(row, decimals)), numbers.percent(row.share) if row.share else ""]
        + [numbers.count(row.requests), numbers.compact(row.input_tokens), numbers.compact(row.output_tokens)]
        + (_safe(row.note) if noted else [])
        for row in rows[:_TOP]
    ]
    heads = f"{title}{more} | Cost in the log: | Share: | Requests: | Input tokens: | Output tokens:"
    return _table(heads + (" | First seen" if noted else ""), cells)


def _books(plan: Plan) -> list[str]:
    books = plan.ingest
    lines = facts.identities(books)
    lines += [f"skipped: {reason}" for reason in facts.skipped_reasons(books)]
    lines += [f"failed, {kind}: {numbers.count(n)}" for kind, n in sorted(books.failed_by.items()) if n]
    lines += facts.mixes(books)
    if books.possibly_billed:
        lines.append(f"{numbers.count(books.possibly_billed)} aborted or failed calls may have been billed")
    blocks = ["\n".join(f"- {markdown_text(line, 400)}" for line in lines)]
    missing = [
        [*_safe(m.model or "(no name)", m.reason), numbers.count(m.requests), numbers.compact(m.tokens)]
        + _safe(", ".join(m.nearest))
        for m in books.unpriced.models
    ]
    if missing:
        blocks.append(_table("Unpriced model | Reason | Requests: | Tokens: | Nearest known", missing))
    if plan.reconcile is not None:
        bill = [(r.model, r.invoice_usd, r.log_usd) for r in plan.reconcile.by_model]
        bill.append(("All", plan.reconcile.invoice_usd, plan.reconcile.log_usd))
        rows = [[*_safe(name), numbers.money(invoice), numbers.money(log)] for name, invoice, log in bill]
        blocks.append(_table("Model | Invoice: | Log:", rows))
    files = [
        [*_safe(i.path, i.format), numbers.count(i.lines), numbers.count(i.bytes), *_safe(i.sha256)]
        for i in plan.inputs
    ]
    if numbers.day(books.span.start):
        blocks.append(f"From {numbers.day(books.span.start)} to {numbers.day(books.span.end)}.")
    return [*blocks, _table("File | Format | Lines: | Bytes: | SHA-256", files)]


def _prices(plan: Plan) -> list[str]:
    rows = [
        [*_safe(price.model, price.provider, price.tier)]
        + [", ".join(f"{markdown_text(unit)} {numbers.money(rate)}" for unit, rate in price.rates.items())]
        + _safe(price.effective, "; ".join([price.source, *price.notes]))
        for price in plan.prices
    ]
    note = "USD per million tokens unless the key names another unit."
    return [_table("Model | Provider | Tier | Rates | Effective | Source", rows), note] if rows else []


def _assumptions(plan: Plan) -> list[str]:
    rows = [_safe(a.name, "; ".join(filter(None, (a.value, a.note))), a.origin) for a in plan.assumptions]
    return [_table("Name | Value | Origin", rows)] if rows else []


def _provisioned(plan: Plan) -> list[str]:
    return markdown_section(plan.provisioned)


_SECTIONS = (
    ("Today", _today),
    ("Ladder", _ladder),
    ("Opportunities", _opportunities),
    ("Provisioned units", _provisioned),
    ("Where the money goes", _groups),
    ("Sessions and peaks", _sessions),
    ("Agents", _agents),
    ("Fewer output tokens", _output),
    ("Books", _books),
    ("Prices used", _prices),
    ("Assumptions", _assumptions),
)
