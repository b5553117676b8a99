"""Plan in, text out; it formats and selects, and does not know how any number came about."""

from costplan.report.markdown import render_markdown
from costplan.report.terminal import render_terminal

__all__ = ["render_markdown", "render_terminal"]
