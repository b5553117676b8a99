"""API against self-hosting as text, for a terminal and as Markdown; it formats and knows no way to a number."""

import math
from collections.abc import Callable

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.report.screen import put
from costplan.results.breakeven import Breakeven, Column, CurveRow, Reached, Sensitivity
from costplan.units import plural

_TOP = 6
_CHART_ROWS, _CHART_COLUMNS = 11, 64
_BAR = 8
LEGEND = "= priced   ≈ modelled   ? assumed   [low … high] 95% of the draws over the stated ranges"
Row = tuple[str, str]


def scale(document: Breakeven) -> str:
    """What moves: tokens, volume and where both come from."""
    traffic = document.traffic
    day = traffic["requests_per_day"]["value"]
    assumed = " (assumed)" if traffic["volume_assumed"] else ""
    tokens = f"{traffic['input_tokens']:,.0f} + {traffic['output_tokens']:,.0f} tokens a request"
    origin = {"default": "default request shape", "stated": "as stated"}.get(traffic["origin"], traffic["origin"])
    return f"{tokens} · {numbers.count(day)} requests a day{assumed} · {origin}"


def column_rows(document: Breakeven) -> list[list[str]]:
    """The three columns: name, model, month, range, per million tokens, how."""
    columns = document.columns
    fleet = document.fleet
    named = (("(a) today's API", columns.api), ("(b) open, bought", columns.open_model_api))
    rows = [_column(name, column) for name, column in named]
    own = _column("(c) open, own GPUs", columns.self_host)
    spare = f", {fleet.spare} spare" if fleet.spare else ", no spare"
    size = f"{fleet.gpus} x {fleet.gpu} as {fleet.replicas} x TP{fleet.tp}{spare}"
    own[-1] = f"{size} · {numbers.percent(fleet.busy_share)} busy · {own[-1]}"
    return [*rows, own]


def _column(name: str, column: Column) -> list[str]:
    month, token = column.usd_month, column.usd_per_mtok
    amount = f"{numbers.money(month.value)}/month {numbers.mark(month)}"
    return [
        name,
        column.model.rpartition("/")[2],
        amount,
        numbers.interval(month),
        f"{numbers.money(token.value)} per Mtok",
        column.how,
    ]


def gain_rows(document: Breakeven) -> list[Row]:
    """What the change of model brings, and what owning brings on top."""
    model, owning = document.gain_model_usd_month, document.gain_owning_usd_month
    rows = [
        ("a - b", f"changing the model: {numbers.saving(model.value)}/month {numbers.interval(model, saved=True)}"),
        ("b - c", f"owning the GPUs: {numbers.saving(owning.value)}/month {numbers.interval(owning, saved=True)}"),
    ]
    rows[0] = (rows[0][0], f"{rows[0][1]}; {model.note}")
    mixed = document.hybrid
    if mixed is not None:
        share = numbers.percent(mixed.self_hosted_share)
        fleet = f"{plural(mixed.gpus, 'GPU')} serving {share}"
        cost = f"{numbers.money(mixed.usd_month)}/month with {fleet}, the rest bought"
        rows.append(("Hybrid", f"{cost}: {mixed.note}"))
    return rows


def line_row(document: Breakeven) -> str:
    """The lines of (c) that cost anything, largest first."""
    lines = document.self_host.lines
    named = [(name, float(getattr(lines, name))) for name in lines.__struct_fields__]
    return " · ".join(
        f"{name} {numbers.money(usd, 0)}" for name, usd in sorted(named, key=lambda each: -each[1]) if usd
    )


def even_rows(document: Breakeven) -> list[Row]:
    """The three break-evens, or why there is none."""
    evens = document.break_even
    rows = [
        ("requests/day", _even(evens.requests_per_day, numbers.count, "own GPUs stay cheaper above")),
        ("$/GPU-hour", _even(evens.usd_per_gpu_hour, numbers.money, "own GPUs are cheaper below")),
        ("month", _even(evens.month, numbers.count, "in total cheaper by the end of month")),
    ]
    if len(evens.crossings) > 1:
        told = [
            f"{each.cheaper_above} from {each.requests_per_day:,.0f} ({each.gpus} GPUs)" for each in evens.crossings
        ]
        more = f"; {len(told) - 6} more" if len(told) > 6 else ""
        rows.append(("crossings", "; ".join(told[:6]).replace("_", "-") + more))
    return rows


def _even(found: Reached, shown: Callable[[float], str], text: str) -> str:
    share = f"{numbers.percent(found.share_reached)} of the draws have one"
    if found.value is None:
        return f"none: {found.note}; {share}"
    low = shown(found.low) if found.low is not None else "?"
    high = shown(found.high) if found.high is not None else "none"
    return f"≈ {text} {shown(found.value)} [{low} … {high}]; {share}"


def tornado_rows(document: Breakeven, top: int | None = _TOP) -> list[list[str]]:
    """Figure, a bar of its swing, its range, what it makes of b - c at both ends, break-even volume at both ends."""
    widest = document.sensitivity[0].swing_usd_month if document.sensitivity else 1.0
    return [
        [
            row.label, "█" * max(1, round(_BAR * row.swing_usd_month / widest)),
            f"{_short(row.low)} … {_short(row.high)} {row.unit}", *_ends(row), "flips" if row.flips else "",
        ]
        for row in document.sensitivity[:top]
    ]  # fmt: skip


def _ends(row: Sensitivity) -> list[str]:
    days = ["none" if each is None else numbers.compact(each) for each in row.requests_per_day]
    low, high = (numbers.saving(each, 0) for each in row.saving_usd_month)
    return [f"{low} … {high}", f"{days[0]} … {days[1]}" if days != ["none", "none"] else "none"]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def chart(rows: list[CurveRow], even: float | None) -> list[str]:
    """USD a month over requests a day, both axes logarithmic: letters for the columns, `*` where they meet, a bar at
    the break-even."""
    series = {"a": [row.api for row in rows], "b": [row.open_model_api for row in rows]}
    series["c"] = [row.self_host for row in rows]
    values = [value for each in series.values() for value in each if value]
    days = [row.requests_per_day for row in rows]
    bottom, top = math.log(min(values)), math.log(max(values))
    first, last = math.log(days[0]), math.log(days[-1])
    grid = [[" "] * _CHART_COLUMNS for _ in range(_CHART_ROWS)]

    def at(value: float, low: float, high: float, cells: int) -> int:
        return round((math.log(value) - low) / max(high - low, 1e-9) * (cells - 1))

    if even is not None and days[0] <= even <= days[-1]:
        for line in grid:
            line[at(even, first, last, _CHART_COLUMNS)] = "│"
    for letter, amounts in series.items():
        for day, usd in zip(days, amounts, strict=True):
            if usd:
                line = grid[_CHART_ROWS - 1 - at(usd, bottom, top, _CHART_ROWS)]
                column = at(day, first, last, _CHART_COLUMNS)
                line[column] = letter if line[column] in (" ", "│", letter) else "*"
    labels = {0: numbers.money(math.exp(top), 0), _CHART_ROWS - 1: numbers.money(math.exp(bottom), 0)}
    width = max(map(len, labels.values()))
    shown = [f"{labels.get(index, ''):>{width}} ┤{''.join(line).rstrip()}" for index, line in enumerate(grid)]
    ends = f"{numbers.compact(days[0])}", f"{numbers.compact(days[-1])} requests/day"
    axis = " " * width + " └" + "─" * _CHART_COLUMNS
    return [*shown, axis, " " * (width + 2) + ends[0] + ends[1].rjust(_CHART_COLUMNS - len(ends[0]))]


def price_rows(document: Breakeven) -> list[list[str]]:
    """Break-even volume by price of a GPU-hour."""
    return [
        [
            numbers.money(row.usd_per_gpu_hour),
            "none" if row.requests_per_day is None else numbers.count(row.requests_per_day),
        ]
        for row in document.price_curve
    ]


def layout_rows(document: Breakeven) -> list[list[str]]:
    """Every way to use the GPUs."""
    rows: list[list[str]] = []
    for row in document.capacity.layouts:
        if row.req_s is None:
            rows.append([row.layout, "-", "-", "-", row.reason])
            continue
        without = f"{row.req_s_spared:.3g} req/s" if row.req_s_spared else "no spare"
        note = "chosen" if row.chosen else ""
        rows.append([row.layout, f"{row.req_s:.3g} req/s", without, numbers.money(row.usd_month), note])
    return rows


def render_breakeven(document: Breakeven, console: Console, *, verbose: bool = False) -> None:
    """One screen; `verbose` adds the layouts, the price curve and every assumption."""
    _line(console, "Traffic", plain(scale(document), 200))
    style = {"api": "bold", "self-host": "bold green"}.get(document.verdict, "bold yellow")
    _line(console, "Verdict", f"{document.verdict}: {document.reason}", style)
    for warning in document.warnings[: None if verbose else 4]:
        _line(console, "", "! " + plain(warning, 400), "yellow")
    console.print()
    _columns(document, console)
    console.print()
    for name, text in gain_rows(document):
        _line(console, name, text)
    _line(console, "Lines of c", line_row(document))
    people = document.self_host.people
    _line(
        console,
        "People",
        f"? {numbers.money(people.value)}/month {numbers.interval(people)}: {plain(people.note, 420)}",
    )
    console.print()
    for index, (name, text) in enumerate(even_rows(document)):
        _line(console, "Break-even" if index == 0 else "", f"{name}: {plain(text, 300)}")
    console.print()
    _line(console, "Hangs on", "what b - c becomes at the ends of each range, and the break-even requests/day there")
    _table(console, tornado_rows(document), indent=2)
    console.print()
    for row in chart(document.curve, document.break_even.requests_per_day.value):
        console.print(Text(row), soft_wrap=True)
    if verbose:
        _details(document, console)
    put(console, _indented(Text(LEGEND, "dim"), 0))
    told = "costplan analyze LOG --json plan.json; costplan breakeven --gpus 4xA100 --plan plan.json"
    if document.traffic["volume_assumed"]:
        _line(console, "Next:", told)


def _columns(document: Breakeven, console: Console) -> None:
    """One line each, with the model and how it came about beside it or, where narrow, below."""
    rows = [[plain(cell, 120) for cell in row] for row in column_rows(document)]
    widths = [max(cell_len(row[index]) for row in rows) for index in (0, 2, 3, 4)]
    for name, model, *cells, how in rows:
        spaces = [" " * (width - cell_len(cell)) for width, cell in zip(widths, (name, *cells), strict=True)]
        line = f"{name}{spaces[0]}  {spaces[1]}{cells[0]}  {cells[1]}{spaces[2]}  {spaces[3]}{cells[2]}"
        told = f"{model} · {how}"
        beside = cell_len(line) + 2 + cell_len(told) <= console.width
        put(console, _indented(Text(line + (f"  {told}" if beside else "")), 0))
        if not beside:
            put(console, _indented(Text(told, "dim"), 4))


def _indented(text: Text, indent: int) -> Table:
    grid = Table.grid()
    if indent:
        grid.add_column(width=indent, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(*([""] if indent else []), text)
    return grid


def _details(document: Breakeven, console: Console) -> None:
    console.print()
    _line(console, "Layouts", f"at {document.capacity.slo}: rate, rate without the spare, USD a month")
    _table(console, layout_rows(document), indent=2)
    _line(console, "GPU price", "USD an hour, and the break-even requests/day there")
    _table(console, price_rows(document), right=(0, 1), indent=2)
    for item in document.assumptions:
        text = plain(f"{item.name} = {item.value} ({item.origin})", 400)
        _line(console, "Assume", text, "dim")


def breakeven_markdown(document: Breakeven) -> str:
    """The same with every figure and its source."""
    traffic = [f"**{document.verdict}**: {document.reason}", markdown_text(scale(document))]
    warnings = "\n".join(f"- {markdown_text(each, 500)}" for each in document.warnings)
    lines = document.self_host.lines
    bill = [[name, numbers.money(float(getattr(lines, name)), 2)] for name in lines.__struct_fields__]
    bill.append(["sum", numbers.money(document.self_host.usd_month.value, 2)])
    people = document.self_host.people
    curve = [
        [
            numbers.count(row.requests_per_day), numbers.money(row.api), numbers.money(row.open_model_api),
            numbers.money(row.self_host), numbers.count(row.gpus),
        ]
        for row in document.curve
    ]  # fmt: skip
    picture = "\n".join(chart(document.curve, document.break_even.requests_per_day.value))
    assumed = [[item.name, item.value, item.origin] for item in document.assumptions]
    growth = [
        [
            str(row.month), numbers.count(row.requests_per_day), numbers.money(row.open_model_api),
            numbers.money(row.self_host), numbers.money(row.saved_usd_to_date),
        ]
        for row in document.growth
    ]  # fmt: skip
    blocks = [
        "# costplan breakeven", *traffic, warnings,
        _md("Column|Model|Month|Range|Per token|How", column_rows(document)),
        _list(gain_rows(document)), "## Break-even", _list(even_rows(document)), f"```text\n{picture}\n```",
        "## The bill of own GPUs", _md("Line|USD a month", bill),
        f"People: {numbers.money(people.value)} a month {numbers.interval(people)}. {markdown_text(people.note, 600)}",
        "## Layouts", f"SLO {markdown_text(document.capacity.slo)}",
        _md("Layout|Rate|Without the spare|USD a month|Note", layout_rows(document)),
        "## What it hangs on",
        _md("Figure|Swing|Range|b - c at both ends|Break-even requests/day|Flips", tornado_rows(document, None)),
        "## Break-even over the price of a GPU-hour", _md("USD an hour|Requests a day", price_rows(document)),
        "## Bills over volume", _md("Requests a day|a|b|c|GPUs", curve),
        *(["## Growth", _md("Month|Requests a day|b|c|Saved to date", growth)] if growth else []),
        "## Assumptions", _md("Name|Value|Source", assumed), LEGEND,
    ]  # fmt: skip
    return "\n\n".join(filter(None, blocks)) + "\n"


def _md(heads: str, rows: list[list[str]]) -> str:
    names = heads.split("|")
    body = ["| " + " | ".join(markdown_text(cell, 400) for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(names) + " |", "|" + " --- |" * len(names), *body])


def _list(rows: list[Row]) -> str:
    return "\n".join(f"- {name}: {markdown_text(text, 500)}" for name, text in rows)


def _line(console: Console, label: str, text: str, style: str = "") -> None:
    grid = Table.grid()
    grid.add_column(no_wrap=True, width=12)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, "bold"), Text(text, style))
    put(console, grid)


def _table(console: Console, rows: list[list[str]], right: tuple[int, ...] = (), indent: int = 0) -> None:
    if not rows:
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for index in range(len(rows[0])):
        last = index == len(rows[0]) - 1
        table.add_column(justify="right" if index in right else "left", no_wrap=not last, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(" " * indent * (index == 0) + cell) for index, cell in enumerate(row)))
    put(console, table)
