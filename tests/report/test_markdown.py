"""The Markdown report: complete, aligned with the terminal's numbers, and safe in a viewer that renders HTML."""

import re
from collections.abc import Callable

import pytest
from costplan.report import facts, render_markdown
from costplan.results import Plan
from tests.report import example_plan as example
from tests.report.test_terminal import CASES


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_report_reads_as_reviewed(golden: Callable[[str, str], None]) -> None:
    golden("report/example.md", render_markdown(example.example_plan()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_table_row_has_as_many_cells_as_its_head(case: Callable[[], Plan]) -> None:
    for block in render_markdown(case()).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) <= 1


def test_the_sections_come_in_the_order_of_the_question() -> None:
    titles = re.findall(r"^## (.*)$", render_markdown(example.example_plan()), re.M)
    assert titles == (
        ["Today", "Ladder", "Opportunities", "Where the money goes", "Sessions and peaks"]
        + ["Books", "Prices used", "Assumptions"]
    )


def test_the_answer_comes_before_any_table() -> None:
    answer = render_markdown(example.example_plan()).split("## Today")[0]
    assert "Today: **$18,420/month**, $4.72 per 1k requests, list price, no contract given" in answer
    assert "**$14,050/month**" in answer and "**$8,780/month**" in answer


def test_all_opportunities_are_listed() -> None:
    assert "| 4 | compression at 'extract' |" in section(render_markdown(example.example_plan()), "Opportunities")


def test_prices_name_their_date_and_source() -> None:
    prices = section(render_markdown(example.example_plan()), "Prices used")
    assert "input $2.50, cache_read $1.25, output $10.00 | 2024-10-01 | genai-prices 0.2.3 |" in prices


def test_long_breakdowns_say_how_much_is_left_out() -> None:
    assert "Hour of the day, UTC, top 10 of 24" in render_markdown(example.example_plan())


def test_unknown_is_never_zero() -> None:
    ladder = section(render_markdown(example.token_only()), "Ladder")
    assert ladder.count("| unknown |") >= 6 and "$0" not in ladder
    assert "$" not in section(render_markdown(example.all_unpriced()), "Where the money goes")


def test_without_a_month_no_monthly_figure_is_printed() -> None:
    text = render_markdown(example.no_month())
    assert "/month" not in text
    assert "Today: **$18,168 in 6.2 h**" in text and "No monthly figure" in text


def test_a_rung_that_costs_money_is_shown_and_not_counted() -> None:
    assert "| +$120 | [40 … 300] | -0.7% |" in render_markdown(example.negative_rung())


def test_log_text_cannot_become_markup() -> None:
    text = render_markdown(example.hostile())
    assert "<script" not in text and "http://" not in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert not re.search(r"(?<!\\)\[l", text) and not re.search(r"^# h", text, re.M)
    assert len(re.findall(r"^#+ ", text, re.M)) == 9


def test_sessions_peaks_and_units_of_use_are_in_the_report() -> None:
    text = render_markdown(example.example_plan())
    for figure in ("Per request", "Per user and day", "Per million tokens, blended"):
        assert f"| {figure} | $" in section(text, "Today")
    assert "| Per session | unknown |" in section(text, "Today")
    assert "Requests a minute, peak" in section(text, "Sessions and peaks")
    assert "Cost of a session: p50 $" in section(text, "Sessions and peaks")


def test_paybacks_are_told_in_days_months_and_years() -> None:
    assert [facts.payback(days) for days in (None, 0.2, 12, 400, 73_000)] == (
        ["", "1 day", "12 days", "13 months", "over 5 years"]
    )
