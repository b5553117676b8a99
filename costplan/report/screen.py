"""Printing to a terminal without trailing blanks; it knows no report."""

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text


def put(console: Console, shown: RenderableType) -> None:
    """Prints without the blanks that pad a wrapped line to the width of the screen."""
    for segments in console.render_lines(shown, pad=False):
        line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        line.rstrip()
        console.print(line, no_wrap=True, overflow="ignore", crop=False)


def hang(console: Console, label: Text, body: Text) -> None:
    """The body beside its label, its further lines below its own start."""
    grid = Table.grid()
    grid.add_column(no_wrap=True, width=cell_len(label.plain))
    grid.add_column(overflow="fold")
    grid.add_row(label, body)
    put(console, grid)
