"""Printing to a terminal without trailing blanks; it knows no report."""

from rich.console import Console, RenderableType
from rich.text import Text


def put(console: Console, shown: RenderableType) -> None:
    """Prints without the blanks that pad a wrapped line to the width of the screen."""
    for segments in console.render_lines(shown, pad=False):
        line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        line.rstrip()
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
