"""What the reports of serving, measured or simulated, are laid out with: labelled lines, grids, Markdown tables."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from costplan.report.numbers import markdown_text, plain
from costplan.report.screen import put
from costplan.results import Assumption
from costplan.results.serving import LengthFacts


def tokens(facts: LengthFacts) -> str:
    """`547 (p95 1,200)`"""
    return f"{facts.mean:,.0f}" if facts.mean == facts.p95 else f"{facts.mean:,.0f} (p95 {facts.p95:,.0f})"


def grid(columns: int, left: tuple[int, ...] = (0,)) -> Table:
    """A table without lines; all columns right but those in `left`."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for index in range(columns):
        table.add_column(no_wrap=True, justify="left" if index in left else "right")
    return table


def line(console: Console, name: str, text: str, *, style: str = "", colour: str = "") -> None:
    """A label of twelve cells and text that folds behind it."""
    label = Text(name.ljust(12) if len(name) < 12 else name + "   ", style or "bold")
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(label, Text(text, colour))
    put(console, grid)


def tail(console: Console, warnings: list[str], assumptions: list[Assumption], verbose: bool) -> None:
    """Warnings, and with `verbose` every assumption."""
    for note in warnings:
        line(console, "!", plain(note, 300), style="yellow", colour="yellow")
    for item in assumptions if verbose else ():
        line(console, "Assume", plain(f"{item.name} = {item.value} ({item.origin})", 240), colour="dim")


def markdown_tail(warnings: list[str], assumptions: list[Assumption]) -> list[str]:
    """The same as Markdown blocks."""
    blocks = [f"> **Note** {markdown_text(note, 300)}" for note in warnings]
    rows = [[markdown_text(each, 200) for each in (a.name, a.value, a.origin)] for a in assumptions]
    return blocks + ([md_table("Assumption | Value | Origin", rows)] if rows else [])


def bullets(facts: list[tuple[str, str]]) -> str:
    """(heading, line) pairs as a list."""
    return "\n".join(f"- {name}: {markdown_text(text, 400)}" for name, text in facts)


def md_table(heads: str, rows: list[list[str]]) -> str:
    """A colon after a heading aligns right."""
    names = [head.strip() for head in heads.split("|")]
    rule = ["---:" if name.endswith(":") else "---" for name in names]
    lines = [[name.removesuffix(":") for name in names], rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
