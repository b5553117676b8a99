"""The quality gate as text, for a terminal and as one Markdown page; it formats and knows no way to a verdict."""

from rich.console import Console
from rich.text import Text

from costplan.report import numbers
from costplan.report.numbers import markdown_text, plain
from costplan.report.page import grid, line, md_table
from costplan.report.screen import put
from costplan.results.gate import Gate, GateItem, GateSide, GateVerdict, StratumResult
from costplan.units import plural

_COLOURS: dict[GateVerdict, str] = {"pass": "green", "fail": "red", "undecided": "yellow", "uninformative": "yellow"}
_TOP_STRATA = 40
_EXAMPLES = 2
_EXAMPLE_CELLS = 300
_RULE = (
    "A stratum passes if the upper one-sided 95% bound of its loss is within the margin, and fails if the lower one "
    "is over it. All strata must pass, so a candidate that loses too much in any slips through in at most 5% of runs."
)
_SENTENCES: dict[GateVerdict, str] = {
    "pass": "The candidate is good enough: on no kind of task does it lose more than the margin.",
    "fail": "The candidate is not good enough: on at least one kind of task it loses more than the margin.",
    "undecided": "Not decided: there are too few answers to tell.",
    "uninformative": "Not decided: on some kind of task even the base does little better than guessing.",
}


def margin_text(document: Gate) -> str:
    """`5 points`, `5% of the base's score`"""
    return f"{document.margin:g}% of the base's score" if document.relative else f"{document.margin:g} points"


def _points(share: float | None) -> str:
    return numbers.UNKNOWN if share is None else f"{100 * share:.1f}"


def loss_cells(row: StratumResult) -> list[str]:
    """The loss and its two bounds."""
    loss = row.loss
    if loss is None or loss.value is None or loss.low is None or loss.high is None:
        return [numbers.UNKNOWN, ""]
    return [f"{loss.value:+.1f}", f"[{loss.low:+.1f} … {loss.high:+.1f}]"]


def stratum_cells(row: StratumResult) -> list[str]:
    """Verdict, stratum, scores, loss, bounds, wins, losses, ties, items."""
    counts = [str(each) for each in (row.wins, row.losses, row.ties)]
    items = f"{row.items:,}" + (f" (-{row.left_out:,})" if row.left_out else "")
    scores = [_points(row.base_score), _points(row.candidate_score)]
    return [row.verdict, row.stratum, *scores, *loss_cells(row), *counts, items]


HEADS = ("Verdict", "Stratum", "Base", "Candidate", "Loss", "Bounds", "Won", "Lost", "Tied", "Items")


def money_row(document: Gate) -> str:
    """Dollars per 1,000 tasks of both, and what is saved; what is missing where a price is."""
    base, candidate = document.base.usd_per_1k_tasks, document.candidate.usd_per_1k_tasks
    amounts = [f"{numbers.money(each.value)} {numbers.mark(each)}".rstrip() for each in (base, candidate)]
    told = f"base {amounts[0]}, candidate {amounts[1]} per 1,000 tasks"
    if base.value and candidate.value is not None:
        return f"{told}: {100 * (candidate.value / base.value - 1):+.0f}%"
    return f"{told}; {base.note or candidate.note}"


def side_text(side: GateSide) -> str:
    """Path, model, tokens, truncated answers."""
    parts = [plain(side.path, 80), *([plain(side.model, 80)] if side.model else []), plural(side.answers, "answer")]
    if side.tokens_per_task:
        parts.append(f"{side.tokens_per_task[0]:,.0f} + {side.tokens_per_task[1]:,.0f} tokens a task")
    if side.cut_short:
        parts.append(f"{side.cut_short:,} cut at their token limit")
    return " · ".join(parts)


def left_out_rows(document: Gate) -> list[str]:
    """`12 x failed timeout: runs/awq/requests.jsonl:7, ...`"""
    return [
        f"{each.count:,} x {plain(reason, 60)}: {', '.join(plain(place, 80) for place in each.first_lines)}"
        + (", ..." if each.count > len(each.first_lines) else "")
        for reason, each in document.left_out.items()
    ]  # fmt: skip


def summary(document: Gate) -> tuple[str, str]:
    """(what is not met, what to do) of a gate that is not passed."""
    missed = [row for row in document.strata if row.verdict != "pass"]
    names = ", ".join(f"{plain(row.stratum, 40)} ({row.verdict})" for row in missed[:6])
    more = f" and {len(missed) - 6} more" if len(missed) > 6 else ""
    hints: dict[GateVerdict, str] = {
        "fail": "keep the base there, route only the strata that pass, or accept more loss with --margin",
        "undecided": "add samples: costplan replay --tasks ... --samples N, and see the reason of each stratum",
        "uninformative": "use tasks that the base can do",
    }
    return f"the gate is not passed: {names}{more}", hints.get(document.verdict, "see the report")


def render_gate(document: Gate, console: Console, *, verbose: bool = False) -> None:
    """One screen."""
    line(console, "Gate", f"{document.verdict}: {document.reason}", colour=_COLOURS[document.verdict])
    line(console, "Margin", f"{margin_text(document)} · tasks: {plain(document.tasks, 80)}")
    line(console, "Base", side_text(document.base))
    line(console, "Candidate", side_text(document.candidate))
    console.print()
    table = grid(len(HEADS), left=(0, 1, 5))
    table.add_row(*(Text(head, "dim") for head in HEADS))
    for row in document.strata[:_TOP_STRATA]:
        cells = [plain(cell, 24) for cell in stratum_cells(row)]
        table.add_row(Text(cells[0], _COLOURS[row.verdict]), *(Text(cell) for cell in cells[1:]))
        for level in row.levels if verbose and len(row.levels) > 1 else ():
            scores = [Text(_points(each), "dim") for each in (level.base_score, level.candidate_score)]
            blanks = [Text("")] * (len(HEADS) - 5)
            table.add_row("", Text(f"  level {level.level}", "dim"), *scores, *blanks, Text(f"{level.items:,}", "dim"))
    put(console, table)
    if len(document.strata) > _TOP_STRATA:
        line(console, "", f"{len(document.strata) - _TOP_STRATA} more strata in --json")
    console.print()
    for row in [row for row in document.strata if row.verdict != "pass"][:_TOP_STRATA]:
        line(console, "", f"{plain(row.stratum, 24)}: {row.reason}")
    for text in left_out_rows(document):
        line(console, "Left out", text, colour="yellow")
    line(console, "Money", money_row(document))
    for each in document.assumptions if verbose else ():
        line(console, "Assume", f"{each.name} = {plain(each.value, 80)} ({each.origin})", colour="dim")
    console.print(Text(_RULE, "dim"), soft_wrap=True)


def gate_markdown(document: Gate) -> str:
    """One page: the verdict first, then wins and losses, dollars, what was left out; examples where text is allowed."""
    rows = [[markdown_text(cell, 60) for cell in stratum_cells(row)] for row in document.strata]
    table = md_table(" | ".join(HEADS), rows)
    reasons = [f"- {markdown_text(row.stratum, 60)}: {row.verdict}, {row.reason}." for row in document.strata]
    sides = [
        f"- {name}: {markdown_text(side_text(side), 300)}. Price: {markdown_text(side.prices, 200)}."
        for name, side in (("Base", document.base), ("Candidate", document.candidate))
    ]
    right = [numbers.money(side.usd_per_1k_right.value) for side in (document.base, document.candidate)]
    money = [
        f"- {markdown_text(money_row(document))}",
        f"- base {right[0]}, candidate {right[1]} per 1,000 right answers",
    ]
    left_out = [f"- {markdown_text(text, 500)}" for text in left_out_rows(document)]
    methods = sorted({row.method for row in document.strata if row.method})
    blocks = [
        f"# Quality gate: {document.verdict}", _SENTENCES[document.verdict],
        f"{markdown_text(document.reason)}. Margin: {margin_text(document)}.", "## Kinds of task", table,
        "Scores and losses are in points of 100; a loss above zero means that the candidate is worse.",
        "\n".join(reasons), "## Dollars", "\n".join(money), "## What was compared", "\n".join(sides),
        *(["## Left out", "\n".join(left_out)] if left_out else []), *_examples(document),
        "## How", f"{_RULE} Method: {'; '.join(methods)}.",
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _examples(document: Gate) -> list[str]:
    """The first items of each stratum on which the candidate did worse; none without --show-text."""
    blocks: list[str] = []
    for row in document.strata:
        lost = [item for item in document.items if item.stratum == row.stratum and item.prompt is not None]
        worst = [item for item in lost if item.cheap_score < item.strong_score][:_EXAMPLES]
        blocks += [_example(item) for item in worst]
    return ["## Examples that were lost", *blocks] if blocks else []


def _example(item: GateItem) -> str:
    fields = [
        ("Asked", item.prompt), ("Expected", " or ".join(item.expected)), ("Base", item.strong_answer),
        ("Candidate", item.cheap_answer),
    ]  # fmt: skip
    told = [f"  - {name}: {markdown_text(text, _EXAMPLE_CELLS)}" for name, text in fields if text]
    return "\n".join([f"- {markdown_text(item.stratum, 60)}, {markdown_text(item.id, 60)}", *told])
