"""The bill beside the log: matched by model, never scaled to it, and a gap comes with its likely causes."""

import io
from pathlib import Path

import pytest
from costplan.errors import CostplanError, UsageError
from costplan.invoice import Invoice, amount_of, read_invoice
from costplan.report import render_markdown, render_terminal
from costplan.report.facts import invoice_gap
from rich.console import Console
from tests.ingest.logs import TRACES
from tests.levers.logs import analyzed, call

DAY_S = 86_400


@pytest.mark.parametrize(
    ("written", "usd"),
    [
        ("1234.5", 1234.5), ("$1,234.50", 1234.5), ("1.234,50", 1234.5), ("1 234,50 USD", 1234.5), ("1,234", 1234.0),
        ("1,234,567", 1234567.0), ("1.234.567", 1234567.0), ("12,34", 12.34), (12, 12.0), ("US$ 7", 7.0),
        ("-3.5", -3.5),
    ],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(written: object, usd: float):
    assert amount_of(written, "bill.csv:2") == usd


@pytest.mark.parametrize("written", ["", "ten", "1,2,3", "12 EUR", "1.2.3,4,5", True, None])
def test_what_is_no_amount_is_refused_with_its_place(written: object):
    with pytest.raises(CostplanError, match="bill.csv:2"):
        amount_of(written, "bill.csv:2")


def written(folder: Path, text: str, name: str = "bill.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lines_are_added_up_by_name_without_lines_of_sums(tmp_path: Path):
    bill = written(tmp_path, "Line Item;Amount\ngpt-4o;10,50\ngpt-4o;1\n;2\nTotal;13,50\n")
    assert read_invoice(bill) == Invoice(13.5, {"gpt-4o": 11.5})
    assert read_invoice(written(tmp_path, "$1,250.00\n", "bill.txt")) == Invoice(1250.0)
    assert read_invoice(written(tmp_path, '{"model": "a", "cost_usd": 3}\n', "bill.jsonl")) == Invoice(3.0, {"a": 3.0})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model,amount\n", "no line with an amount"), ("model,price\na,3\n", "bill.csv:2: no amount"),
        ("model,amount,currency\na,3,EUR\n", "bill.csv:2: an amount in EUR"), ("model,amount\na,-3\n", "add up to"),
    ],
)  # fmt: skip
def test_a_bill_that_says_nothing_in_usd_is_refused(tmp_path: Path, text: str, says: str):
    with pytest.raises(CostplanError, match=says):
        read_invoice(written(tmp_path, text))


def log() -> list[dict[str, object]]:
    """gpt-4o $2.50 / $10 and gpt-4o-mini $0.15 / $0.60: ten calls of $0.0035 and ten of $0.00021 on ten days."""
    return [
        call(DAY_S * day, f"{model} {day}", model=model, tokens=(1000, 100))
        for day in range(10)
        for model in ("gpt-4o", "gpt-4o-mini")
    ]


def test_lines_are_matched_to_the_models_of_the_log(tmp_path: Path):
    bill = written(tmp_path, "model,amount\ngpt-4o-2024-08-06 input,0.02\nGPT-4o output,0.015\ngpt-4o-mini,0.0021\n")
    plan = analyzed(tmp_path, log(), invoice=bill).plan
    assert plan.reconcile is not None and plan.reconcile.coverage_share == pytest.approx(1)
    found = {row.model: (row.invoice_usd, row.log_usd) for row in plan.reconcile.by_model}
    assert found["gpt-4o"] == pytest.approx((0.035, 0.035))
    assert found["gpt-4o-mini"] == pytest.approx((0.0021, 0.0021))
    assert invoice_gap(plan) == ""


def test_a_model_that_is_billed_and_not_logged_is_named_first(tmp_path: Path):
    bill = written(tmp_path, "model,amount\ngpt-4o,0.035\ngpt-4o-mini,0.0021\no3-pro,0.00742\n")
    plan = analyzed(tmp_path, log(), invoice=bill).plan
    assert plan.reconcile is not None and plan.reconcile.coverage_share == pytest.approx(1 / 1.2)
    assert "Likely: 'o3-pro' is billed" in invoice_gap(plan)


def test_days_without_a_call_are_named_and_counted(tmp_path: Path):
    """Eight of ten days are logged, the bill is for ten: 20 % of it is not in the log, which is two days' worth."""
    rows = [row for at, row in enumerate(log()) if at // 2 not in (4, 5)]
    plan = analyzed(tmp_path, rows, invoice=written(tmp_path, "0.0371", "bill.txt")).plan
    assert "Likely: 2 days of 10 without any request (about $0.01)" in invoice_gap(plan)


def test_nothing_is_scaled_to_the_bill(tmp_path: Path):
    bill = written(tmp_path, "0.5", "bill.txt")
    plain, billed = analyzed(tmp_path, log()).plan, analyzed(tmp_path, log(), invoice=bill).plan
    assert billed.baseline.cost_usd == plain.baseline.cost_usd and billed.ladder == plain.ladder


@pytest.mark.parametrize(
    ("name", "usd", "lines"),
    [
        ("openai_costs.json", 1.24, {"gpt-4o-mini-2024-07-18": 0.24, "gpt-4o-2024-08-06": 1.0}),
        ("anthropic_cost_report.json", 6.425, {"claude-sonnet-4-20250514": 6.425}),
    ],
)
def test_a_providers_cost_report_is_a_bill(name: str, usd: float, lines: dict[str, float]):
    bill = read_invoice(TRACES / name)
    assert bill.total == pytest.approx(usd) and bill.lines == pytest.approx(lines)


def test_a_focus_bill_counts_what_was_billed_by_meter_taxes_included():
    bill = read_invoice(TRACES / "focus.csv")
    assert bill.total == pytest.approx(5 * 2.5 + 2.5 + 5 * 1.5 + 0.9)
    assert bill.lines == pytest.approx({"Claude Sonnet 4 input": 15.0, "m7i.large": 7.5, "Tax": 0.9})


def test_a_usage_report_is_no_bill():
    with pytest.raises(CostplanError) as caught:
        read_invoice(TRACES / "openai_usage.json")
    assert "openai_usage: tokens, no amounts" in caught.value.message


GAP = {"missing days": "days of 10 without any request", "unpriced": "without a price ('acme-7b')",
       "operation": "call of another operation, embeddings", "cached": "cached tokens may be billed like others",
       "failed": "failed calls may have been billed", "model": "'o3-pro' is billed"}  # fmt: skip


def planted(cause: str) -> list[dict[str, object]]:
    """Twelve days' worth of gpt-4o calls, of which a sixth is hidden from the log's cost in one way."""
    rows = [call(3600 * n, f"Question {n}", model="gpt-4o", tokens=(1000, 100)) for n in range(240)]
    hidden = set(range(100, 140))
    if cause == "missing days":
        return [row for n, row in enumerate(rows) if n not in range(96, 144)]
    if cause == "unpriced":
        return [
            call(3600 * n, f"Question {n}", model="acme-7b", tokens=(1000, 100)) if n in hidden else row
            for n, row in enumerate(rows)
        ]
    if cause == "operation":
        embed = {
            n: {
                "timestamp": rows[n]["timestamp"],
                "operation": "embeddings",
                "request": {"model": "acme-embed", "input": f"Question {n}"},
                "response": {"object": "list", "model": "acme-embed", "data": [], "usage": {"prompt_tokens": 1000}},
                "status_code": 200,
            }
            for n in hidden
        }
        return [embed.get(n, row) for n, row in enumerate(rows)]
    if cause == "failed":
        return [
            call(3600 * n, f"Question {n}", model="gpt-4o", status=500) if n in hidden else row
            for n, row in enumerate(rows)
        ]
    if cause == "cached":  # $2.50 less $1.25 for 467 of 1000 tokens: $0.002916 where $0.0035 is billed, 20 % more
        return [call(3600 * n, f"Question {n}", model="gpt-4o", tokens=(1000, 100), cached=467) for n in range(240)]
    return rows


@pytest.mark.parametrize("cause", GAP)
def test_of_a_bill_a_fifth_above_the_log_the_planted_cause_comes_first(tmp_path: Path, cause: str):
    log = planted(cause)
    spent = analyzed(tmp_path, log).plan.baseline.cost_usd.value
    assert spent is not None
    lines = f"model,amount\ngpt-4o,{spent}\no3-pro,{0.2 * spent}\n"
    bill = written(tmp_path, lines) if cause == "model" else written(tmp_path, str(1.2 * spent), "bill.txt")
    plan = analyzed(tmp_path, log, invoice=bill).plan
    assert plan.reconcile is not None and plan.reconcile.coverage_share == pytest.approx(1 / 1.2)
    first = plan.reconcile.note.removeprefix("Likely: ").split(";")[0]
    assert GAP[cause] in first
    screen = Console(width=400, file=io.StringIO())
    render_terminal(plan, screen)
    assert isinstance(screen.file, io.StringIO)
    assert screen.file.getvalue().startswith("Invoice gap: the log holds ")
    assert first in screen.file.getvalue().splitlines()[0]
    assert render_markdown(plan).splitlines()[2].startswith("**Invoice gap: the log holds ")


def test_a_billed_model_that_has_no_price_is_said_to_be_in_the_log(tmp_path: Path):
    bill = written(tmp_path, "model,amount\ngpt-4o,0.7\nacme-7b,0.14\n")
    plan = analyzed(tmp_path, planted("unpriced"), invoice=bill).plan
    assert plan.reconcile is not None
    assert plan.reconcile.note.startswith("Likely: 'acme-7b' is billed ($0.14) and has no price here")


def test_months_are_scaled_to_the_bill_only_when_asked(tmp_path: Path):
    """The bill is 1.2 times the log: so is the month, every rung and every opportunity, and the report says it."""
    rows = [row for row in log() for _ in range(3)]
    spent = analyzed(tmp_path, rows).plan.baseline.cost_usd.value
    assert spent is not None
    bill = written(tmp_path, f"{1.2 * spent}", "bill.txt")
    plain = analyzed(tmp_path, rows, invoice=bill).plan
    scaled = analyzed(tmp_path, rows, invoice=bill, scale_to_invoice=True).plan
    assert scaled.baseline.cost_usd == plain.baseline.cost_usd
    assert scaled.baseline.requests_month == plain.baseline.requests_month
    before, after = plain.baseline.cost_usd_month, scaled.baseline.cost_usd_month
    assert before.value and after.value == pytest.approx(1.2 * before.value, rel=1e-4)
    assert after.basis == "estimated" and "times 1.2 as billed" in after.note
    pairs = list(zip(plain.ladder, scaled.ladder, strict=True))
    pairs = [(a.usage_usd_month.value, b.usage_usd_month.value) for a, b in pairs if a.usage_usd_month.value]
    pairs += [
        (a.usd_month.value, b.usd_month.value) for a, b in zip(plain.opportunities, scaled.opportunities, strict=True)
    ]
    assert pairs and all(b == pytest.approx(1.2 * a, rel=1e-3) for a, b in pairs)
    assert {a.name: a.value for a in scaled.assumptions}["scale_to_invoice"] == "1.2"
    assert all(a.name != "scale_to_invoice" for a in plain.assumptions)
    with pytest.raises(UsageError, match="no invoice"):
        analyzed(tmp_path, rows, scale_to_invoice=True)
