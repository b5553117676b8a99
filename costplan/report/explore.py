"""Groups of requests as a table and as CSV; it formats and groups nothing."""

import csv
import io

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import plain
from costplan.report.page import grid, line
from costplan.report.screen import put
from costplan.results.explore import Explore, ExploreRow
from costplan.units import plural

_HEADS = ("Cost", "Share", "", "Requests", "Each", "Input", "Cached", "Output", "Failed")
_BAR_CELLS = 16
_NAME_CELLS = 32
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBERS = (
    "requests", "cost_usd", "share", "usd_per_request", "input_tokens", "cache_read_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "failed", "unpriced",
)  # fmt: skip


def render_explore(document: Explore, console: Console) -> None:
    """One table, and what it is of."""
    files = ", ".join(plain(each.path, 60) for each in document.inputs)
    chosen = f", {document.requests:,} of them where {plain(document.where, 120)}" if document.where else ""
    line(console, "Log", f"{files}: {plural(document.requests_log, 'request')}{chosen}")
    of = f" of {numbers.money(document.cost_usd_log)}" if document.where else ""
    line(console, "Cost", f"{numbers.money(document.cost_usd)}{of} in the log")
    console.print()
    if document.rows:
        _table(document, console)
    for note in document.warnings:
        line(console, "!", plain(note, 200), style="yellow", colour="yellow")


def _table(document: Explore, console: Console) -> None:
    columns = len(document.by)
    table = grid(columns + len(_HEADS), left=(*range(columns), columns + 2))
    table.add_row(*(Text(head, "dim") for head in (*document.by, *_HEADS)))
    largest = max((row.cost_usd or 0.0 for row in document.rows), default=0.0)
    decimals = numbers.money_decimals(largest)
    for row in document.rows:
        table.add_row(*_cells(row, largest, decimals))
    if document.rest is not None:
        table.add_row(*_cells(document.rest, 0.0, decimals), style="dim")
    put(console, table)
    console.print()


def _cells(row: ExploreRow, largest: float, decimals: int) -> list[Text]:
    share = "" if row.share is None else numbers.percent(row.share)
    length = round(_BAR_CELLS * row.cost_usd / largest) if largest and row.cost_usd else 0
    each = "" if row.usd_per_request is None else numbers.money(row.usd_per_request)
    cost = "unpriced" if row.cost_usd is None else numbers.money(row.cost_usd, decimals)
    counts = (row.input_tokens, row.cache_read_tokens, row.output_tokens)
    failed = f"{row.failed:,}" if row.failed else ""
    return [
        *(Text(plain(name, _NAME_CELLS)) for name in row.key), Text(cost), Text(share), Text("█" * length, "cyan"),
        Text(f"{row.requests:,}"), Text(each), *(Text(numbers.compact(count)) for count in counts), Text(failed),
    ]  # fmt: skip


def explore_csv(document: Explore) -> bytes:
    """The groups that are shown, and the rest in one row; text that a spreadsheet would run as a formula is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*document.by, *_NUMBERS])
    for row in (*document.rows, *([document.rest] if document.rest else [])):
        numbers_of = (getattr(row, name) for name in _NUMBERS)
        writer.writerow([*map(_safe, row.key), *("" if each is None else each for each in numbers_of)])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _safe(name: str) -> str:
    shown = plain(name, 200)
    return f"'{shown}" if name.startswith(_FORMULA) or shown.startswith(_FORMULA) else shown
