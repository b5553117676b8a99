"""Two documents side by side, on a terminal and as a table for a pull request; it formats and compares nothing."""

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.report.page import grid, line, md_table
from costplan.report.screen import put
from costplan.results.compare import Comparison, Figure, Limit, SiteChange
from costplan.units import plural

_FIRST = (
    "cost.month", "cash.month", "cost.log", "cost.request", "cost.mtok", "requests", "requests.month", "tokens.input",
    "tokens.output", "cache.read", "saving", "req_s", "output_tok_s", "ttft.p50", "ttft.p95", "tpot.p50", "tpot.p95",
    "e2e.p50", "e2e.p95", "goodput", "failed",
)  # fmt: skip
_TOP = 8
_NOTHING_USD = 5e-10
_OVER = {"month": "a month", "log": "in the logs", "": ""}


def broken(document: Comparison) -> tuple[str, str]:
    """(which limits are broken, what to do)."""
    names = ", ".join(_held(limit) for limit in document.limits if limit.broken)
    return f"broken: {names}", "see the changes by model and call site above, or in --json"


def _held(limit: Limit) -> str:
    if limit.value is None:
        return f"{limit.text} ({limit.note})"
    value = numbers.percent(limit.value) if "%" in limit.text else f"{limit.value:.4g}"
    return f"{limit.text} (is {value}{'; ' + limit.note if limit.note else ''})"


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return numbers.UNKNOWN
    if unit == "USD":
        return numbers.money(value)
    if unit == "s":
        return numbers.seconds(value)
    return numbers.percent(value) if unit == "share" else f"{value:,.4g}" if value < 10_000 else numbers.count(value)


def _signed(usd: float, decimals: int | None = None) -> str:
    """`+$4.20`, `-$4.20`."""
    return numbers.saving(-usd if abs(usd) >= _NOTHING_USD else 0.0, decimals)


def _change(figure: Figure) -> str:
    """`+6.6%`, of a share `+1.2 points`."""
    if figure.unit == "share":
        return "" if figure.change is None else f"{100 * figure.change:+.1f} points" if figure.change else "same"
    if figure.ratio is None:
        return ""
    return f"{100 * figure.ratio:+,.1f}%" if abs(figure.ratio) >= 0.0005 else "same"


def figure_rows(document: Comparison, verbose: bool) -> list[list[str]]:
    """Label, a, b, change, what the intervals say."""
    shown = [each for each in document.figures if verbose or each.name in _FIRST]
    told = {True: "", False: "within the intervals", None: ""}
    return [
        [each.label, _value(each.a, each.unit), _value(each.b, each.unit), _change(each), told[each.differs]]
        for each in shown
    ]  # fmt: skip


def why(document: Comparison) -> str:
    """`volume +$2.10 (+3.0% requests) · mix …`, empty where nothing was decomposed."""
    decimals = numbers.money_decimals(max((abs(each.usd) for each in document.causes), default=0.0))
    told = (f"{each.cause} {_signed(each.usd, decimals)} ({plain(each.note, 100)})" for each in document.causes)
    return " · ".join(told)


def model_rows(document: Comparison, verbose: bool) -> list[list[str]]:
    """Model, a, b, then the four causes."""
    models = document.models if verbose else document.models[:_TOP]
    decimals = numbers.money_decimals(max((max(m.a_usd, m.b_usd) for m in models), default=0.0))
    rows: list[list[str]] = []
    for m in models:
        parts = (m.volume_usd, m.mix_usd, m.usage_usd, m.price_usd)
        ends = [numbers.money(usd, decimals) for usd in (m.a_usd, m.b_usd)]
        name = m.model if m.status == "both" else f"{m.model} ({m.status})"
        rows.append([name, *ends, *(_signed(part, decimals) for part in parts)])
    return rows


def site_rows(document: Comparison, verbose: bool) -> list[list[str]]:
    """Call site, status, a, b, change, per request before and after; those that stay the same only with `verbose`."""
    sites = [site for site in document.call_sites if verbose or site.status != "same"]
    sites = sites if verbose else sites[:_TOP]
    decimals = numbers.money_decimals(max((max(s.a_usd or 0.0, s.b_usd or 0.0) for s in sites), default=0.0))
    return [_site(site, decimals) for site in sites]


def _site(site: SiteChange, decimals: int) -> list[str]:
    ends = ["" if usd is None else numbers.money(usd, decimals) for usd in (site.a_usd, site.b_usd)]
    each = ["" if usd is None else numbers.money(usd) for usd in (site.a_usd_per_request, site.b_usd_per_request)]
    return [site.call_site, site.status, *ends, _signed(site.change_usd, decimals), *each]


_MODELS = ("Model", "A", "B", "Volume", "Mix", "Usage", "Price")
_SITES = ("Call site", "", "A", "B", "Change", "Per request A", "B")


def render_compare(document: Comparison, console: Console, *, verbose: bool = False) -> None:
    """One screen: figures, why, models, call sites, limits."""
    for name, side in (("A", document.a), ("B", document.b)):
        line(console, name, f"{plain(side.path, 80)}: {plain(side.title, 160)}")
    console.print()
    table = grid(5, left=(0, 4))
    for cells in figure_rows(document, verbose):
        table.add_row(*(Text(plain(cell, 40)) for cell in cells[:4]), Text(cells[4], "dim"))
    put(console, table)
    console.print()
    if document.causes:
        line(console, "Why", f"{why(document)}   {_OVER[document.over]}")
        console.print()
    for heads, rows, left in (
        (_MODELS, model_rows(document, verbose), (0,)), (_SITES, site_rows(document, verbose), (0, 1)),
    ):  # fmt: skip
        if rows:
            table = grid(len(heads), left=left)
            table.add_row(*(Text(head, "dim") for head in heads))
            for cells in rows:
                table.add_row(*(Text(plain(cell, 40)) for cell in cells))
            put(console, table)
            console.print()
    same = sum(site.status == "same" for site in document.call_sites)
    if same and not verbose:
        line(console, "", f"{plural(same, 'call site')} as before", colour="dim")
    for note in document.warnings:
        line(console, "!", plain(note, 300), style="yellow", colour="yellow")
    for limit in document.limits:
        colour = "red" if limit.broken else "green"
        line(console, "Limit", f"{'broken' if limit.broken else 'holds'}: {plain(_held(limit), 200)}", colour=colour)


def compare_markdown(document: Comparison) -> str:
    """A table fit for a pull request."""

    def cells(row: list[str]) -> list[str]:
        return [markdown_text(cell, 80) for cell in row]

    first = next((each for each in document.figures if each.name in ("cost.month", "cost.request", "e2e.p95")), None)
    change = f": {first.label} {_change(first)}" if first is not None and _change(first) else ""
    sides = [f"- {name}: {markdown_text(f'{side.path}, {side.title}', 300)}" for name, side in
             (("A", document.a), ("B", document.b))]  # fmt: skip
    told = {True: "**broken**", False: "holds"}
    limits = [f"- {told[each.broken]}: {markdown_text(_held(each), 200)}" for each in document.limits]
    blocks = [f"# costplan compare{markdown_text(change, 100)}", "\n".join(sides)]
    blocks += ["\n".join(limits)] if limits else []
    blocks.append(md_table(" | A: | B: | Change: | ", [cells(row) for row in figure_rows(document, False)]))
    if document.causes:
        causes = [[each.cause, _signed(each.usd), markdown_text(each.note, 160)] for each in document.causes]
        blocks += [f"## Why the cost {_OVER[document.over]} changed", md_table("Cause | USD: | ", causes)]
    for title, heads, rows in (
        ("Models", "Model | A: | B: | Volume: | Mix: | Usage: | Price:", model_rows(document, False)),
        ("Call sites", "Call site | | A: | B: | Change: | Per request A: | B:", site_rows(document, False)),
    ):
        if rows:
            blocks += [f"## {title}", md_table(heads, [cells(row) for row in rows])]
    blocks += [f"> **Note** {markdown_text(note, 300)}" for note in document.warnings]
    return "\n\n".join(blocks) + "\n"
