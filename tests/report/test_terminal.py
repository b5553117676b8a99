"""The terminal report: what it says, that it fits its width, and that no log text gets through alive."""

import re
from collections.abc import Callable
from io import StringIO

import pytest
from costplan.report import render_terminal
from costplan.results import Assumption, Plan, exact, plan_from_json, to_json
from rich.cells import cell_len
from rich.console import Console
from tests.report import example_plan as example

CASES = (
    example.example_plan,
    example.no_month,
    example.first_look,
    example.token_only,
    example.zero_spend,
    example.all_unpriced,
    example.one_line,
    example.huge,
    example.negative_rung,
    example.with_invoice_gap,
    example.hostile,
)


def shown(plan: Plan, width: int = 110) -> str:
    out = StringIO()
    render_terminal(plan, Console(width=width, file=out, highlight=False))
    return out.getvalue()


def line_with(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize("width", [80, 110])
def test_the_report_reads_as_reviewed(width: int, golden: Callable[[str, str], None]) -> None:
    golden(f"report/terminal_{width}.txt", shown(example.example_plan(), width))


@pytest.mark.parametrize("case", CASES[1:], ids=lambda case: case.__name__)
def test_hard_cases_read_as_reviewed(case: Callable[[], Plan], golden: Callable[[str, str], None]) -> None:
    golden(f"report/terminal_{case.__name__}.txt", shown(case()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_screen(case: Callable[[], Plan], width: int) -> None:
    assert max(cell_len(line.rstrip()) for line in shown(case(), width).splitlines()) <= width


def test_the_example_is_a_plan_like_any_other() -> None:
    plan = example.example_plan()
    assert plan_from_json(to_json(plan)) == plan
    books = plan.ingest
    assert books.records == books.requests + books.not_a_call + books.skipped.total + books.duplicates + books.merged
    assert books.requests == books.priced + books.unpriced.requests + books.failed + books.gateway_hits
    saved = sum(r.marginal_usd_month.value or 0 for r in plan.ladder if r.headline)
    assert example.COST_MONTH - saved == plan.after.defensible.cost_usd_month.value


def test_today_both_totals_and_the_next_command_stand_out() -> None:
    text = shown(example.example_plan())
    assert "$18,420/month" in line_with(text, "Today")
    assert "$4.72 per 1k requests · list price" in line_with(text, "Today")
    assert "$14,050/month" in line_with(text, "After")
    assert "$8,780/month" in line_with(text, "If all hold")
    assert text.splitlines()[-1].startswith("Next: costplan ")


def test_the_report_fits_a_screen() -> None:
    assert len(shown(example.example_plan(), 120).splitlines()) <= 35


def test_a_rung_shows_saving_share_basis_interval_and_condition() -> None:
    line = line_with(shown(example.example_plan()), "exact cache")
    assert re.split(r"\s{2,}", line.strip()) == (
        ["exact cache", "-$940", "5.1%", "≈", "[-1,010 … -880]", "hit 6.2%, TTL 1 h"]
    )


def test_a_plausible_range_is_marked_as_one() -> None:
    text = shown(example.example_plan())
    assert "[-5,200 … -2,600]~" in line_with(text, "routing")
    assert "~ a plausible range" in text


def test_an_unknown_rung_says_what_it_needs_and_never_zero() -> None:
    text = shown(example.token_only(), 160)
    for label in ("exact cache", "prompt cache", "routing", "batch"):
        line = line_with(text, label)
        assert "unknown" in line and "needs the prompt text" in line and "$0" not in line
    assert "nothing that holds without a test" in line_with(text, "Defensible")


def test_unpriced_traffic_is_unknown_and_not_free() -> None:
    text = shown(example.all_unpriced())
    assert "$" not in text
    assert "unknown" in line_with(text, "Today") and "foo-1" in text
    assert text.splitlines()[-1].endswith("--prices prices.yaml")


def test_an_unpriced_model_among_priced_ones_is_not_free() -> None:
    assert "unpriced" in line_with(shown(example.example_plan(), 80), "foo-1")


def test_traffic_that_really_cost_nothing_says_zero() -> None:
    assert "$0/month" in line_with(shown(example.zero_spend()), "Today")


@pytest.mark.parametrize("case", [example.no_month, example.first_look, example.one_line])
def test_without_a_month_there_are_shares_and_no_monthly_figure(case: Callable[[], Plan]) -> None:
    text = shown(case())
    assert "/month" not in text
    assert "No monthly figure" in text


def test_a_short_log_shows_its_own_spend_and_how_to_get_a_month() -> None:
    text = shown(example.no_month())
    assert "$18,168 in 6.2 h" in line_with(text, "Today")
    assert "17.7%" in line_with(text, "prompt cache")
    assert text.splitlines()[-1] == "Next: costplan analyze logs.jsonl --month-requests N"


def test_a_rung_that_costs_money_is_shown_and_not_counted() -> None:
    line = line_with(shown(example.negative_rung()), "prompt cache")
    assert "+$120" in line and "not counted" in line and "[40 … 300]" in line


def test_a_rung_that_costs_money_is_not_counted_without_a_month_either() -> None:
    plan = example.no_month()
    ladder = [
        example.with_(each, saving_share=-0.007) if each.lever == "prompt_cache" else each for each in plan.ladder
    ]
    assert "not counted" in line_with(shown(example.with_(plan, ladder=ladder)), "prompt cache")


def test_an_invoice_gap_is_the_first_line() -> None:
    first = shown(example.with_invoice_gap()).splitlines()[0]
    assert first.startswith("Invoice gap: the log holds $18,168 of $24,000, 75.7%")
    assert "log covers 97.0% of the invoice" in shown(example.example_plan()).splitlines()[0]


def test_the_books_show_both_identities_and_the_sources() -> None:
    text = shown(example.example_plan())
    assert "3,853,297 records = 3,853,000 requests + 40 not a call + 31 skipped + 200 duplicates + 26 merged" in text
    assert "3,853,000 requests = 3,848,786 priced + 214 unpriced + 3,900 failed + 100 gateway hits" in text
    assert "28 bad json (logs.jsonl:418, logs.jsonl:977)" in text
    assert "37,100 tokenizer" in text and "61,000 truncated" in text


def test_warnings_stand_above_the_figures() -> None:
    plan = example.with_(example.example_plan(), warnings=["the log is sampled at 10%"])
    text = shown(plan)
    assert text.index("sampled at 10%") < text.index("Today")


def test_prices_that_moved_are_one_line() -> None:
    plan = example.example_plan()
    base = example.with_(plan.baseline, cost_usd=exact(20_000, "USD", "priced"))
    assert "cost $20,000 at their own dates' prices, $18,168 at the prices of 2026-11-19" in shown(
        example.with_(plan, baseline=base), 160
    )


def test_a_contract_shows_cash_beside_usage() -> None:
    plan = example.example_plan()
    ladder = [example.with_(r, cash_usd_month=exact(0, "USD/month", "priced")) for r in plan.ladder]
    contract = [Assumption(name="contract", value="12% discount, $20,000/month minimum", origin="prices.yaml")]
    text = shown(example.with_(plan, ladder=ladder, assumptions=contract), 160)
    assert "12% discount" in line_with(text, "Today") and "no contract given" not in text
    assert "in cash $0" in line_with(text, "exact cache")


@pytest.mark.parametrize("width", [80, 120])
def test_log_text_can_neither_colour_nor_break_the_screen(width: int) -> None:
    text = shown(example.hostile(), width)
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    assert "[bold red]x[/]" in text and r"\x1b[31mred" in text
    assert text.splitlines()[-1].startswith("Next: costplan analyze LOG ")


def test_colour_leaves_the_words_alone() -> None:
    out = StringIO()
    console = Console(
        width=110, file=out, highlight=False, force_terminal=True, color_system="standard", no_color=False
    )
    render_terminal(example.example_plan(), console)
    coloured = out.getvalue()
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == shown(example.example_plan())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("width", [60, 110])
def test_no_line_ends_in_blanks(case: Callable[[], Plan], width: int) -> None:
    assert [line for line in shown(case(), width).splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("width", [80, 110, 120])
def test_long_labels_are_shown_whole(width: int) -> None:
    plan = example.example_plan()
    label = "batch tier (if calls can wait)"
    ladder = [example.with_(rung, label=label) for rung in plan.ladder]
    assert shown(example.with_(plan, ladder=ladder), width).count(label) == len(ladder)


def test_a_rung_that_rounds_to_nothing_is_folded_into_one_line() -> None:
    plan = example.example_plan()
    first = example.with_(plan.ladder[0], saving_share=0.0001, marginal_usd_month=exact(1, "USD/month", "simulated"))
    text = shown(example.with_(plan, ladder=[first, *plan.ladder[1:]]))
    assert "  nothing to gain: exact cache\n" in text
    assert "nothing to gain" not in shown(example.token_only())


def test_units_of_use_stand_in_one_line() -> None:
    line = line_with(shown(example.example_plan(), 120), "Unit")
    assert re.findall(r"per ([a-z ]+\w)", line) == ["request", "user and day", "million tokens"]  # it has no sessions
    assert "Unit" not in shown(example.all_unpriced())


def test_an_unnamed_call_site_says_where_it_was_first_seen() -> None:
    plan = example.example_plan()
    sites = [example.with_(plan.unit_economics.by_call_site[0], key="site-01", note="logs/a.jsonl:7")]
    text = shown(example.with_(plan, unit_economics=example.with_(plan.unit_economics, by_call_site=sites)))
    assert "site-01 (line 7)" in text


def test_the_verbose_report_names_every_price_and_assumption_with_its_origin() -> None:
    plan = example.example_plan()
    out = StringIO()
    render_terminal(plan, Console(width=200, file=out, highlight=False), verbose=True)
    assert out.getvalue().count("\nPrice  ") == len(plan.prices)
    for item in plan.assumptions:
        assert f"Assume {item.name} = {item.value} ({item.origin})" in out.getvalue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_next_command_exists(case: Callable[[], Plan]) -> None:
    words = shown(case(), 200).splitlines()[-1].removeprefix("Next: ").split()
    assert words[:2] == ["costplan", "analyze"]
    assert set(words[3:]) <= {"--prices", "prices.yaml", "--month-requests", "N", "--markdown", "report.md"}
