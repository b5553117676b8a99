"""Plans of aggregated exports: dollars by hand, books that balance, nothing counted twice, no lever made up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from costplan.analyze import analyze
from costplan.errors import CostplanError, UsageError
from costplan.results import Plan, plan_from_json, to_json
from costplan.settings import AnalyzeSettings, resolve
from tests.ingest.logs import TRACES, lines, pair, run

MINI, FULL, SONNET = "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "claude-sonnet-4-20250514"


def daily(*paths: Path, **flags: Any) -> Plan:
    """The plan of exports; its books must balance."""
    chosen, origins = resolve(AnalyzeSettings, flags)
    plan = analyze([str(path) for path in paths], chosen, origins)
    books, rows = plan.ingest, plan.ingest.aggregated
    assert rows is not None
    assert books.records == books.requests + books.not_a_call + books.skipped.total + books.duplicates + books.merged
    assert books.requests == 0 and books.not_a_call == sum(books.not_a_call_reasons.values())
    assert books.not_a_call_reasons["aggregated_row"] == rows.rows == sum(rows.exports.values())
    assert rows.rows == rows.priced + rows.unpriced + rows.reported + rows.unused
    assert plan_from_json(to_json(plan)) == plan
    total = plan.baseline.cost_usd.value
    for groups in (plan.unit_economics.by_model, plan.unit_economics.by_day, plan.unit_economics.by_operation):
        assert total is None or sum(row.cost_usd or 0.0 for row in groups) == pytest.approx(total, abs=1e-9)
    return plan


def trace(name: str) -> Path:
    return TRACES / name


def test_openai_usage_is_priced_by_hand():
    """Four days: 200k mini tokens (50k cached), 40k out; gpt-4o 50k and 10k, on the last day in a batch (half)."""
    plan = daily(trace("openai_usage.json"))
    mini = 4 * (150_000 * 0.15 + 50_000 * 0.075 + 40_000 * 0.6) / 1e6
    full = 3.5 * (50_000 * 2.5 + 10_000 * 10) / 1e6
    assert plan.baseline.cost_usd.value == pytest.approx(mini + full)
    assert plan.baseline.cost_usd.basis == "priced"
    assert {row.key: row.cost_usd for row in plan.unit_economics.by_model} == pytest.approx({MINI: mini, FULL: full})
    assert plan.baseline.requests == 100 + 110 + 120 + 140 + 40
    assert plan.unit_economics.per_request.value == pytest.approx((mini + full) / 510)
    assert plan.ingest.aggregated is not None and plan.ingest.aggregated.requests == 510
    # a month is 730 h; the day without use is one of five
    assert plan.baseline.cost_usd_month.value == pytest.approx((mini + full) / 5 * 730 / 24)
    assert [row.key for row in plan.unit_economics.by_day] == [f"2026-11-0{day}" for day in (1, 2, 3, 5)]
    assert plan.ingest.span.days == 5


def test_anthropic_usage_adds_the_cache_to_the_input_and_counts_no_requests():
    plan = daily(trace("anthropic_usage_report.json"))
    day = (100_000 * 3 + 300_000 * 0.3 + 20_000 * 3.75 + 10_000 * 6 + 50_000 * 15) / 1e6
    assert plan.baseline.cost_usd.value == pytest.approx(5 * day)
    assert plan.baseline.input_tokens == 5 * 430_000
    assert plan.baseline.requests is None and plan.unit_economics.by_model[0].requests is None
    for each in (plan.unit_economics.per_request, plan.unit_economics.per_1k_requests):
        assert each.value is None and each.note == "the export does not count requests"


@pytest.mark.parametrize(
    ("name", "usd"),
    [("openai_costs.json", 4 * 0.31), ("anthropic_cost_report.json", 5 * 1.285), ("focus.csv", 5 * 2.25 + 2.5)],
)
def test_amounts_are_spend_as_reported(name: str, usd: float):
    """Anthropic's amounts are cents; of the FOCUS file, a server and a tax are left out: 2.25, 2.50 … 3.25 are left."""
    plan = daily(trace(name))
    assert plan.baseline.cost_usd.value == pytest.approx(usd)
    assert plan.baseline.cost_usd.basis == plan.baseline.cost_usd_month.basis == "reported"
    assert plan.prices == [] and plan.baseline.cost_by.input == 0
    if name == "focus.csv":
        assert plan.ingest.not_a_call_reasons == {"aggregated_row": 5, "other_service": 5, "tax": 1}


@pytest.mark.parametrize("name", ["openai_usage.json", "openai_costs.json", "daily.csv"])
def test_every_lever_is_there_and_says_that_it_needs_a_log(name: str):
    plan = daily(trace(name))
    levers = ["response_cache", "compression", "routing", "prompt_cache", "batch"]
    assert [rung.lever for rung in plan.ladder] == levers
    for rung in plan.ladder:
        assert rung.marginal_usd_month.value is rung.cash_usd_month.value is rung.saving_share is None
        assert rung.marginal_usd_month.note.startswith("needs a request log: ") and rung.evidence
    assert plan.opportunities == [] and plan.after.potential.saving_share is None


def test_logged_cache_and_batch_shares_are_evidence():
    rungs = {rung.lever: rung.evidence for rung in daily(trace("openai_usage.json")).ladder}
    assert rungs["prompt_cache"]["logged"]["token_share"] == pytest.approx(200_000 / 1_000_000)
    batch = 0.5 * (50_000 * 2.5 + 10_000 * 10) / 1e6
    assert rungs["batch"]["batch_cost_share"] == pytest.approx(batch / (0.201 + 7 * batch))


def test_tokens_and_amounts_of_one_provider_are_not_added_but_compared():
    alone, both = daily(trace("openai_usage.json")), daily(trace("openai_usage.json"), trace("openai_costs.json"))
    assert both.baseline.cost_usd == alone.baseline.cost_usd
    assert both.ingest.aggregated is not None and both.ingest.aggregated.unused == 8
    assert "the $1.24 of openai_costs would count twice and are not added" in " ".join(both.warnings)
    assert both.reconcile is not None and both.reconcile.invoice_usd == pytest.approx(1.24)
    assert {row.model: row.invoice_usd for row in both.reconcile.by_model} == pytest.approx({MINI: 0.24, FULL: 1.0})


def test_amounts_of_another_provider_stand_apart():
    plan = daily(trace("openai_usage.json"), trace("anthropic_cost_report.json"))
    assert plan.baseline.cost_usd.basis == "priced"
    assert plan.baseline.cost_usd.value == daily(trace("openai_usage.json")).baseline.cost_usd.value
    assert plan.baseline.cost_usd_reported == pytest.approx(6.425)
    assert any("anthropic: $6.42 as billed" in warning for warning in plan.warnings)


def test_a_daily_table_grows_and_has_a_mix():
    plan = daily(trace("daily.csv"))
    growth = plan.unit_economics.growth
    assert growth is not None and growth.value == pytest.approx(1.02 ** (730 / 24) - 1, rel=1e-3)
    assert len(plan.unit_economics.by_day) == 28 and plan.ingest.aggregated is not None
    assert plan.ingest.aggregated.requests == 31_492


def test_an_unknown_model_is_unpriced_or_costs_what_the_table_says(tmp_path: Path):
    table = tmp_path / "a.csv"
    table.write_text("date,model,requests,input_tokens,output_tokens,cost\n2026-11-01,my-llm,10,1000,100,0.5\n")
    plan = daily(table)
    assert (plan.baseline.cost_usd.value, plan.baseline.cost_usd.basis) == (0.5, "reported")
    table.write_text(table.read_text() + "2026-11-01,gpt-4o-mini,10,1000000,0,0.15\n")
    plan = daily(table)
    assert (plan.baseline.cost_usd.value, plan.baseline.cost_usd.basis) == (0.15, "priced")
    assert plan.ingest.aggregated is not None
    assert [model.model for model in plan.ingest.aggregated.unpriced_models] == ["my-llm"]
    with pytest.raises(CostplanError, match="1 row without a price"):
        daily(table, strict=True)


def test_one_row_that_counts_no_requests_leaves_no_unit_cost(tmp_path: Path):
    table = tmp_path / "a.csv"
    table.write_text(
        "date,model,requests,input_tokens,output_tokens\n2026-11-01,gpt-4o-mini,10,1000000,0\n"
        "2026-11-02,gpt-4o-mini,,3000000,0\n"
    )
    plan = daily(table)
    assert plan.unit_economics.per_request.value is None
    assert plan.unit_economics.per_request.note == "1 row without a count of requests"
    with pytest.raises(UsageError, match="not all rows of the export count"):
        daily(table, month_requests="1000")
    assert plan.ingest.aggregated is not None and plan.ingest.aggregated.uncounted_rows == 1


def test_bad_rows_are_skipped_with_their_lines(tmp_path: Path):
    table = tmp_path / "a.csv"
    table.write_text(
        "date,model,requests,input_tokens,output_tokens\n2026-11-01,gpt-4o-mini,10,1000000,0\n"
        "soon,gpt-4o-mini,10,1000000,0\n2026-11-03,gpt-4o-mini,10,-5,0\nTotal,,20,2000000,0\n"
    )
    books = daily(table).ingest
    assert {reason: found.first_lines for reason, found in books.skipped.reasons.items()} == {
        "no_date": [f"{table}:3"], "negative_tokens": [f"{table}:4"], "totals_row": [f"{table}:5"],
    }  # fmt: skip


def test_months_and_pages_one_a_line_are_read(tmp_path: Path):
    """A month's row is spread over its days; the last unit of money is not lost."""
    page = json.loads(trace("openai_costs.json").read_text())
    page["data"] = [{"object": "bucket", "start_time": 1793491200, "end_time": 1793491200 + 30 * 86_400,
                     "results": [page["data"][0]["results"][0]]}]  # fmt: skip
    log = tmp_path / "a.jsonl"
    log.write_bytes(lines([page, page]))
    plan = daily(log)
    assert plan.baseline.cost_usd.value == pytest.approx(0.12)
    assert plan.baseline.cost_usd_month.value == pytest.approx(0.12 / 30 * 730 / 24)


def test_an_export_beside_a_log_is_refused_with_the_comparison(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(lines([pair(n) for n in range(3)]))
    with pytest.raises(UsageError) as caught:
        daily(log, trace("openai_costs.json"))
    assert caught.value.hint == (
        f"costplan analyze {log} --invoice {trace('openai_costs.json')} compares them; or give one"
    )


def test_other_commands_and_flags_of_calls_refuse_an_export(capfdbinary: pytest.CaptureFixture[bytes]):
    path = str(trace("daily.csv"))
    ran = run(capfdbinary, "cache", path)
    assert ran.code == 1 and "holds no single call" in ran.said[0] and f"costplan analyze {path}" in ran.said[1]
    ran = run(capfdbinary, "analyze", path, "--ttl", "1h")
    assert ran.code == 2 and ran.said[0].startswith("error: --ttl: ")


@pytest.mark.parametrize("name", ["openai_usage.json", "anthropic_usage_report.json", "focus.csv", "daily.csv"])
def test_the_report_on_the_screen_is_as_it_was(
    name: str, golden: Callable[[str, str], None], capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: Any
):
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(TRACES)
    golden(f"daily/{name.partition('.')[0]}.txt", run(capfdbinary, "analyze", name).out.decode())


def test_the_plan_and_the_long_report_are_as_they_were(
    golden: Callable[[str, str], None], capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: Any
):
    monkeypatch.chdir(TRACES)
    golden("daily/openai_usage.json", run(capfdbinary, "analyze", "openai_usage.json", "--json", "-").out.decode())
    golden("daily/daily.md", run(capfdbinary, "analyze", "daily.csv", "--markdown", "-").out.decode())
