"""Plan in, text out; it formats and selects, and does not know how any number came about."""

from costplan.report.explain import METHODS, render_explain
from costplan.report.markdown import render_markdown
from costplan.report.terminal import render_terminal

__all__ = ["METHODS", "render_explain", "render_markdown", "render_terminal"]
