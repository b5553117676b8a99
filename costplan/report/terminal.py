"""One screen for a terminal of any width; knows neither where colour is allowed nor how wide the screen is."""

import re
from pathlib import PurePath

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from costplan.report import agents, facts, numbers
from costplan.report.numbers import plain
from costplan.report.provisioned import sentence
from costplan.report.scenario import scenario_report
from costplan.report.screen import hang, put
from costplan.results import AfterTotal, Estimate, GroupRow, Plan, Rung
from costplan.units import plural

_BETWEEN = 4
_TOP, _WARNINGS = 5, 4
_UNNAMED = re.compile(r"site-\d+")
# Cells a note needs beside its row; with fewer it goes below.
_NOTE_ROOM = 34

# Cells, note, style.
_Row = tuple[list[str], str, str]


def render_terminal(plan: Plan, console: Console, *, verbose: bool = False) -> None:
    """Prints the report; the most useful next command is the last line. `verbose` adds origins, limits, agents."""
    if plan.scenario is not None:
        return put(console, Text(scenario_report(plan, plan.scenario)))
    _head(plan, console)
    _ladder(plan, console)
    _first(plan, console)
    for offer in plan.provisioned:
        hang(console, Text("Units  ", "bold"), Text(plain(sentence(offer), 800)))
    _money(plan, console)
    _books(plan, console)
    if verbose:
        _origins(plan, console)
    put(console, Text(facts.LEGEND, "dim"))
    put(console, Text("Next: ", "bold").append(plain(facts.next_step(plan), 200), "not bold"))


def _head(plan: Plan, console: Console) -> None:
    books = plan.ingest
    gap = facts.invoice_gap(plan)
    if gap:
        put(console, Text(plain(gap, 400), "bold yellow"))
    names = [plain(PurePath(source.path).name or source.path, 40) for source in plan.inputs]
    files = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    heads = facts.scale(plan)
    if plan.reconcile is not None and not gap:
        heads.insert(-1, f"log covers {numbers.percent(plan.reconcile.coverage_share)} of the invoice")
    if books.partial:
        heads.append("partial: first look only")
    line = Text(files, "bold").append("   " + " · ".join(heads), "not bold")
    problems = list(filter(None, [facts.unpriced_gap(books)]))
    problems += [plural(books.skipped.total, "record") + " skipped"] if books.skipped.total else []
    trouble = Text("; ".join(problems), "yellow")
    fits = line.cell_len + trouble.cell_len + 3 <= console.width
    put(console, line.append(("   " if fits else "\n") if problems else "").append_text(trouble))
    notes = [*plan.warnings[:_WARNINGS], facts.price_change(plan), facts.month_gap(plan)]
    if len(plan.warnings) > _WARNINGS:
        notes.append(f"{len(plan.warnings) - _WARNINGS} more warnings stand in the JSON and Markdown reports.")
    for note in filter(None, notes):
        hang(console, Text("! ", "yellow"), Text(plain(note, 400), "yellow"))
    console.print()


def _ladder(plan: Plan, console: Console) -> None:
    """Today, the rungs that count, what is left; the rungs that need a test, what would be left."""
    rows: list[_Row] = [_today(plan)]
    blocks = ((True, "Defensible", "After"), (False, "Potential, each needs a test", "If all hold"))
    for headline, title, label in blocks:
        rungs = [rung for rung in plan.ladder if rung.headline is headline]
        if rungs:
            rows.append(([title], "", "bold"))
        elif headline:
            rows.append(([title, "", "", "", ""], "nothing that holds without a test", "bold"))
        else:
            continue
        rows += [_rung(plan, rung) for rung in rungs if not facts.rung_empty(plan, rung)]
        empty = [plain(rung.label, 40) for rung in rungs if facts.rung_empty(plan, rung)]
        rows += [([f"  nothing to gain: {', '.join(empty)}"], "", "dim")] if empty else []
        if any(not facts.rung_unknown(plan, rung) for rung in rungs):
            rows.append(_after(plan, label, plan.after.defensible if headline else plan.after.potential))
    amounts = max(len(row[0][1]) for row in rows if len(row[0]) > 1)
    units = max(len(row[0][2]) for row in rows if len(row[0]) > 1)
    for cells, _, _ in rows:
        if len(cells) > 1:
            unit = cells.pop(2)
            cells[1] = cells[1].rjust(amounts) + (unit.rjust(units) if unit.endswith("%") else unit.ljust(units))
    _print_rows(console, rows, right=())
    console.print()


def _today(plan: Plan) -> _Row:
    estimate = facts.today(plan)
    known = estimate.value is not None and not facts.unpriced_only(plan)
    amount = numbers.money(estimate.value) if known else numbers.UNKNOWN
    suffix = facts.today_suffix(plan) if known else ""
    notes = [
        facts.per_1k(plan, plan.unit_economics.per_1k_requests),
        facts.in_cash(plan.baseline.cash_usd_month, estimate),
        plain(facts.contract(plan) or facts.NO_CONTRACT, 80),
    ]
    if not known:
        notes = ["no request has a price" if facts.unpriced_only(plan) else plain(estimate.note, 120)]
    cells = ["Today", amount, suffix, numbers.mark(estimate) if known else "", _spread(estimate, None) if known else ""]
    return cells, " · ".join(filter(None, notes)), "bold"


def _rung(plan: Plan, rung: Rung) -> _Row:
    value, decimals = rung.marginal_usd_month.value, facts.decimals(plan)
    unknown = facts.rung_unknown(plan, rung)
    amount = numbers.UNKNOWN if unknown else numbers.saving(value, decimals) if value is not None else ""
    share = "" if rung.saving_share is None or unknown else numbers.percent(rung.saving_share)
    spread = _spread(rung.marginal_usd_month, decimals, saved=True)
    basis = numbers.mark(rung.marginal_usd_month)
    cells = ["  " + plain(rung.label, 40), amount, share.rjust(7) if share else "", basis, spread]
    colour = "yellow" if value is not None and value < 0 else "dim" if unknown else "green" if value else ""
    return cells, plain(facts.rung_note(plan, rung), 160), colour


def _after(plan: Plan, label: str, total: AfterTotal) -> _Row:
    estimate, decimals = total.cost_usd_month, facts.decimals(plan)
    per_1k = facts.per_1k(plan, total.per_1k_requests)
    less = f"{numbers.percent(total.saving_share)} less" if total.saving_share else ""
    known = estimate.value is not None and not facts.unpriced_only(plan)
    amount = numbers.money(estimate.value, decimals) if known else "" if less else numbers.UNKNOWN
    spread = _spread(estimate, decimals) if known else ""
    cells = [label, amount, "/month" if known else "", numbers.mark(estimate) if known else "", spread]
    cash = facts.in_cash(total.cash_usd_month, estimate)
    return cells, " · ".join(filter(None, (per_1k, less, cash))), "bold"


def _spread(estimate: Estimate, decimals: int | None, *, saved: bool = False) -> str:
    return numbers.interval(estimate, decimals, saved=saved).replace(" range", "~")


def _first(plan: Plan, console: Console) -> None:
    rows: list[_Row] = []
    for number, item in enumerate(plan.opportunities[:3], start=1):
        value = item.usd_month.value
        amount = numbers.saving(value, facts.decimals(plan)) if value is not None else ""
        cells = ["First" if number == 1 else "", f"{number}. {plain(facts.place(item), 44)}", amount]
        repaid = facts.payback(item.payback_days)
        cells += [numbers.mark(item.usd_month)]
        cells += [facts.days_of_work(item.effort_days) + (f", repaid in {repaid}" if repaid else "")]
        rows.append((cells, plain(item.next_experiment or item.evidence, 120), "green"))
    if rows:
        _print_rows(console, rows, right=(2,), accent=2, indent=10)
        console.print()


def _money(plan: Plan, console: Console) -> None:
    """What a unit costs; top call sites and models, side by side where there is room."""
    unit = " · ".join(f"{numbers.money(cost.value)} per {name}" for name, cost in facts.unit_costs(plan))
    if unit:
        hang(console, Text("Unit   ", "bold"), Text(unit))
    trend = plan.unit_economics.growth
    if trend is not None and trend.value is not None:
        hang(console, Text("Trend  ", "bold"), Text(f"cost {' '.join(facts.growth(trend))} a month; {trend.note}"))
    latency = facts.latency(plan)
    if latency:
        hang(console, Text("Latency  ", "bold"), Text(latency))
    told = agents.headline(plan)
    if told:
        hang(console, Text("Agents ", "bold"), Text(plain(told, 240)))
    if unit and not latency:  # with both there is no line left on the screen for a blank one
        console.print()
    groups = (("Call sites", plan.unit_economics.by_call_site), ("Models", plan.unit_economics.by_model))
    tables = [_group(plan, title, rows) for title, rows in groups if rows]
    if len(tables) == 2 and sum(console.measure(table).maximum for table in tables) + _BETWEEN <= console.width:
        pair = Table.grid(padding=(0, _BETWEEN, 0, 0))
        pair.add_row(*tables)
        tables = [pair]
    for table in tables:
        put(console, table)
        console.print()


def _group(plan: Plan, title: str, rows: list[GroupRow]) -> Table:
    decimals = numbers.money_decimals(max(row.cost_usd or 0 for row in rows))
    more = f", top {_TOP} of {numbers.count(len(rows))}" if len(rows) > _TOP else ""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for _ in range(3):
        table.add_column(no_wrap=True, justify="right")
    table.add_row(Text(title + more, "bold"), *(Text(head, "dim") for head in ("in log", "share", "requests")))
    for row in rows[:_TOP]:
        cost = plain(facts.group_cost(row, decimals), 12)
        share = numbers.percent(row.share) if cost.startswith("$") else ""
        requests = numbers.count(row.requests)
        table.add_row(Text("  " + plain(_key(plan, row), 30)), Text(cost), Text(share), Text(requests, "dim"))
    return table


def _key(plan: Plan, row: GroupRow) -> str:
    """A call site without a name says where it was first seen."""
    if not row.note or not _UNNAMED.fullmatch(row.key):
        return row.key
    file, _, line = row.note.rpartition(":")
    return f"{row.key} (" + (f"line {line}" if len(plan.inputs) == 1 else f"{PurePath(file).name}:{line}") + ")"


def _books(plan: Plan, console: Console) -> None:
    books = plan.ingest
    lines = facts.identities(books)
    reasons = facts.skipped_reasons(books, 2)
    if reasons:
        more = f"; {len(reasons) - 2} more reasons" if len(reasons) > 2 else ""
        lines.append("skipped: " + "; ".join(reasons[:2]) + more)
    sources = facts.mixes(books)
    lines += ["   ".join(sources)] if sum(map(cell_len, sources)) + 10 <= console.width else sources
    for number, line in enumerate(filter(None, lines)):
        hang(console, Text("Books  " if number == 0 else "       ", "bold"), Text(plain(line, 240), "dim"))


def _origins(plan: Plan, console: Console) -> None:
    """Every price and assumption with where it came from."""
    for price in plan.prices:
        rates = ", ".join(f"{unit} {numbers.money(rate)}" for unit, rate in price.rates.items())
        model = f"{price.provider}/{price.model}" + (f" ({price.tier})" if price.tier else "")
        source = " ".join(filter(None, (price.source, price.effective, *price.notes)))
        hang(console, Text("Price  ", "bold"), Text(plain(f"{model}: {rates}; {source}", 400), "dim"))
    for rate in plan.unit_economics.rates:
        hang(console, Text("Limits ", "bold"), Text(plain(agents.asks(rate), 240), "dim"))
    for line in (*agents.agent_facts(plan), *agents.output_facts(plan)):
        hang(console, Text("Agents ", "bold"), Text(plain(line, 600), "dim"))
    for item in plan.assumptions:
        text = plain("; ".join(filter(None, (f"{item.name} = {item.value}", item.note))), 240) + plain(
            f" ({item.origin})", 80
        )
        hang(console, Text("Assume ", "bold"), Text(text, "dim"))


def _print_rows(console: Console, rows: list[_Row], right: tuple[int, ...], accent: int = 1, indent: int = 6) -> None:
    """Columns as wide as their widest cell, the note beside them or, where narrow, below; titles keep to themselves."""
    full = [cells for cells, _, _ in rows if len(cells) > 1]
    widths = [max(map(cell_len, column)) for column in zip(*full, strict=True)]
    beside = console.width - sum(widths) - 2 * sum(map(bool, widths)) >= _NOTE_ROOM
    for cells, note, style in rows:
        line = Text()
        for index, cell in enumerate(cells):
            if len(cells) > 1 and not widths[index]:
                continue
            gap = " " * (widths[index] - cell_len(cell))
            colour = style if style in ("bold", "dim") or index == accent else ""
            line.append(gap + cell + "  " if index in right else cell + gap + "  ", colour)
        quiet = Text(note, "" if style == "bold" else "dim")
        if beside and note:
            hang(console, line, quiet)
        else:
            put(console, line)
            if note:
                put(console, Padding(quiet, (0, 0, 0, indent)))
