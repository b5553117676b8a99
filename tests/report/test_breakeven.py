"""The break-even report: what stands on the first screen, that it fits, and that no log text gets through alive."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from costplan.report.breakeven import breakeven_markdown, chart, render_breakeven
from costplan.results.breakeven import Breakeven, CurveRow
from rich.cells import cell_len
from rich.console import Console
from tests.breakeven.stand_in import compare, use
from tests.report.example_plan import HOSTILE, hostile

CASES: dict[str, dict[str, Any]] = {
    "default": {"open_price": "0.59/0.79"},
    "cheap_gpus": {"open_price": "2/4", "gpu_price": 1.0, "requests_per_day": 400_000.0, "growth": "15%/month"},
    "eights": {"cloud": "aws", "term": "reserved", "requests_per_day": 3_000_000.0, "open_price": "1/2"},
    "owned": {
        "cloud": "owned",
        "open_price": "0.59/0.79",
        "requests_per_day": 200_000.0,
        "api_model": "claude-sonnet-4-5",
    },
}
Golden = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    use(monkeypatch)


def shown(document: Breakeven, width: int = 120, *, verbose: bool = False) -> str:
    out = StringIO()
    render_breakeven(document, Console(width=width, file=out, highlight=False), verbose=verbose)
    return out.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_the_report_reads_as_reviewed(case: str, golden: Golden):
    golden(f"breakeven/terminal_{case}.txt", shown(compare(**CASES[case])))


def test_the_long_reports_read_as_reviewed(golden: Golden):
    document = compare(**CASES["cheap_gpus"])
    golden("breakeven/verbose.txt", shown(document, verbose=True))
    golden("breakeven/report.md", breakeven_markdown(document))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_screen(case: str, width: int):
    text = shown(compare(**CASES[case]), width, verbose=True)
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.parametrize("case", CASES)
def test_the_first_screen_says_what_decides(case: str):
    text = shown(compare(**CASES[case]))
    for needed in ("Verdict", "requests/day", "$/GPU-hour", "month:", "per Mtok", "People", "BLS", "Hangs on"):
        assert needed in text


def test_names_from_a_log_are_shown_as_text_only():
    plan = hostile()
    document = compare(plan, requests_per_day=1000.0, api_model=HOSTILE)
    for text in (shown(document, verbose=True), breakeven_markdown(document)):
        assert "\x1b" not in text and "\u202e" not in text
    assert "<script>" not in breakeven_markdown(document)


def test_the_chart_marks_where_the_bills_cross():
    """b passes c between 10 and 1,000 requests a day: one star, one bar."""
    rows = [
        CurveRow(requests_per_day=day, api=None, open_model_api=day, self_host=100.0, gpus=1)
        for day in (10.0, 100, 1000)
    ]
    drawn = chart(rows, 100.0)
    assert sum(line.count("*") for line in drawn) == 1
    assert sum("│" in line for line in drawn) == 10
    assert drawn[0].startswith("$1,000") and "1.00k requests/day" in drawn[-1]
