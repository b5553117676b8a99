"""analyze SCENARIO.yaml: arithmetic that can be done by hand, ranges around it, one document and one report."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from math import exp
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from costplan.results import json_schema, plan_from_json
from costplan.scenario import find_scenario, read_scenario
from costplan.scenario.arithmetic import ENDS, PREFIX, priced, prompt_tokens
from costplan.scenario.estimate import estimate
from costplan.scenario.money import rates_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.generate.logs import generated
from tests.test_cli import Run, mistake, run

__all__ = ["run"]
DAY = date(2026, 11, 20)
MONTH_DAYS = 730 / 24


def planned(tmp_path: Path, text: str, day: date | None = DAY) -> Any:
    path = tmp_path / "s.yaml"
    path.write_text("scenario: s\n" + text)
    return estimate(str(path), day)


def test_the_writing_assistant_costs_what_the_claim_says() -> None:
    """4 calls x 800 tokens x $0.03 / 1000 = $0.096 a user and day; x 1M users x 730/24 days = $2.92M."""
    plan = estimate("writing-assistant", None)
    assert plan.unit_economics.per_user_day.value == pytest.approx(0.096)
    assert plan.baseline.cost_usd_month.value == pytest.approx(96_000 * MONTH_DAYS)
    assert plan.baseline.requests == round(4e6 * MONTH_DAYS)


def test_at_one_price_two_calls_tie_and_at_two_prices_the_draft_comes_first() -> None:
    """350, 900 and 900 tokens at $5; or 1.0 + 2.25, 2.5 + 6.0 and 4.0 + 1.5 thousandths of a dollar at $5 and $15."""
    flat, split = (estimate(f"productivity-app{name}", None) for name in ("", "-split"))
    assert flat.baseline.cost_usd_month.value == pytest.approx(400_000, rel=1e-4)
    assert flat.scenario.first.startswith("draft and summarise cost the same, 42% each")
    assert [(call.name, round(1e5 * call.per_call.value)) for call in split.scenario.calls] == [
        ("draft", 850), ("summarise", 550), ("suggest", 325)
    ]  # fmt: skip
    assert split.scenario.first == "draft, 49% of the cost; 71% of that are answers"


def test_a_range_holds_every_combination_of_its_ends(tmp_path: Path) -> None:
    plan = planned(tmp_path, """prices: {m: {input: 10, output: 0}}
traffic: {users: {value: 100, low: 50, high: 200}, sessions_per_user_day: {value: 2, low: 1, high: 3},
          growth_per_month: {value: 0.1, low: 0, high: 0.2}}
calls: [{name: a, model: m, input_tokens: {value: 1000, low: 500, high: 1500}, output_tokens: 10}]
""")  # fmt: skip
    month = plan.baseline.cost_usd_month
    found = [month.low, month.value, month.high]
    assert found == pytest.approx([50 * 0.005 * MONTH_DAYS, 200 * 0.01 * MONTH_DAYS, 600 * 0.015 * MONTH_DAYS])
    assert (month.level, month.basis) == (None, "assumed")
    later = plan.scenario.in_12_months
    assert [later.low, later.value, later.high] == pytest.approx(
        [found[0], found[1] * 1.1**12, found[2] * 1.2**12]
    )  # fmt: skip


def test_levers_save_what_their_shares_are_worth(tmp_path: Path) -> None:
    """1,000 calls a day of 1,000 + 100 tokens at $10 / $20: $12 a day. By themselves: 10 % exact repeats save $1.20,
    30 % at a tenth of the price 0.3 x 0.9 x $12, half of them in batches at half price $3."""
    plan = planned(tmp_path, """prices:
  m: {input: 10, output: 20, batch_discount: 0.5}
  n: {input: 1, output: 2, batch_discount: 0.5}
traffic: {sessions_per_day: 1000}
calls:
  - {name: a, model: m, input_tokens: 1000, output_tokens: 100, repeats: {exact: 0.1, respelled: 0.05},
     batch_share: 0.5, cheaper: {model: n, share: 0.3}}
""")  # fmt: skip
    alone = {rung.label: rung.standalone_usd_month.value for rung in plan.ladder}
    for label, usd in {
        "exact cache": 1.2, "cache for respelled prompts": 1.8, "routing to the cheaper model": 3.24, "batch tier": 3.0,
        "prompt cache of the stated prefix": None, "semantic cache": None, "compression": None,
    }.items():  # fmt: skip
        assert alone[label] == (None if usd is None else pytest.approx(usd * MONTH_DAYS)), label
    left = 12 * 0.85 * (1 - 0.27) * 0.75
    assert plan.after.potential.cost_usd_month.value == pytest.approx(left * MONTH_DAYS)
    assert plan.after.defensible.cost_usd_month.value == plan.baseline.cost_usd_month.value


def test_a_prefix_is_read_while_an_earlier_call_keeps_it_warm(tmp_path: Path) -> None:
    """claude-sonnet-4-5, $3, reads $0.30, writes $3.75, 5 minutes: at a steady rate r, exp(-300 r) are cold."""
    text = """traffic: {sessions_per_day: 288}
calls: [{name: a, model: claude-sonnet-4-5, input_tokens: 3000, output_tokens: 100, prefix_tokens: 2000}]
log: {hours: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}
"""
    warm = 1 - exp(-300 * 288 / 86_400)
    saved = 2000 * (warm * 2.7 - (1 - warm) * 0.75) / 1e6
    rung = next(r for r in planned(tmp_path, text).ladder if r.lever == "prompt_cache")
    assert rung.marginal_usd_month.value == pytest.approx(288 * saved * MONTH_DAYS, rel=1e-6)
    short = planned(tmp_path, text.replace("prefix_tokens: 2000", "prefix_tokens: 1000"))
    assert next(r for r in short.ladder if r.lever == "prompt_cache").marginal_usd_month.value is None


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_baseline_less_all_marginals_is_what_is_left(data: st.DataObject) -> None:
    """And Shapley shares add up to the same; on a shipped scenario with other shares and volumes."""
    from costplan.levers import climb
    from costplan.scenario.estimate import _values

    share = st.floats(0, 0.4)
    scenario = read_scenario(find_scenario("support-desk"))
    calls = tuple(
        replace(
            call, batch_share=fixed(data.draw(share)),
            repeats=replace(call.repeats, exact=fixed(data.draw(share)), respelled=fixed(data.draw(share))),
        )
        for call in scenario.calls
    )  # fmt: skip
    scenario = replace(scenario, calls=calls)
    values = [round(1e9 * usd) for usd in _values(scenario, rates_of(scenario, DAY), "value")]
    shares = climb(values, range(5))
    assert values[0] - sum(each.marginal for each in shares.values()) == values[31]
    assert sum(each.shapley for each in shares.values()) == pytest.approx(values[0] - values[31], abs=2)


def fixed(value: float) -> Any:
    from costplan.scenario import Range

    return Range(value, value, value)


def test_a_conversation_s_mean_prompt_is_that_of_its_log(tmp_path: Path) -> None:
    """m - 1 earlier turns on average: here 1,150 tokens first, and 160 + 120 more with each of 3 more calls."""
    text = """scenario: s
calls:
  - {name: a, model: gpt-4.1, per_session: 4, input_tokens: 1150, output_tokens: 160, prefix_tokens: 1000,
     history: true, turn_tokens: 120, think_s: 10, output_cv: 0.1, input_cv: 0.1}
log: {requests: 2500, days: 3}
"""
    made = generated(tmp_path, text)
    call = read_scenario(tmp_path / "scenario.yaml").calls[0]
    assert prompt_tokens(call, "value") == 1150 + 3 * 280
    mean = sum(row["input_tokens"] for row in made.rows) / len(made.rows)
    assert mean == pytest.approx(prompt_tokens(call, "value"), rel=0.08)


def test_the_estimate_of_a_generated_product_is_near_its_log(tmp_path: Path) -> None:
    """The scenario's arithmetic, and the sum over the lines of the log that is generated from it."""
    text = find_scenario("document-search").read_text().replace("requests: 6000", "requests: 1500")
    truth = generated(tmp_path, text).truth
    plan = estimate(str(tmp_path / "scenario.yaml"), date.fromisoformat(truth["price_date"]))
    per_call = truth["baseline"]["usd"] / truth["requests"]
    assert plan.unit_economics.per_request.value == pytest.approx(per_call, rel=0.1)
    low, high = plan.unit_economics.per_request.low, plan.unit_economics.per_request.high
    assert low < per_call < high


def test_the_ends_of_a_scenario_are_ordered_by_cost() -> None:
    scenario = read_scenario(find_scenario("agent-fleet"))
    rates = rates_of(scenario, DAY)
    low, value, high = (
        sum(priced(scenario, rates, c, end).usd for c in scenario.calls) for end in ("low", "value", "high")
    )
    assert low < value < high
    assert all(priced(scenario, rates, scenario.calls[0], end, (PREFIX,)).usd > 0 for end in ENDS)


@pytest.mark.parametrize("name", ["support-desk", "productivity-app"])
def test_the_report_reads_as_reviewed(run: Run, golden: Callable[[str, str], None], name: str) -> None:
    ran = run("analyze", name, "--price-date", "2026-11-20", "-q")
    assert (ran.code, ran.err) == (0, "")
    golden(f"scenario/{name}.txt", ran.out)


def test_the_document_is_a_plan_and_is_shown_again_by_report(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "plan.json"
    shown = run("analyze", "chat-app", "--price-date", "2026-11-20", "--json", str(file), "-q").out
    jsonschema.Draft202012Validator(json_schema("plan")).validate(json.loads(file.read_bytes()))
    plan = plan_from_json(file.read_bytes())
    assert (plan.inputs[0].format, plan.ingest.requests) == ("scenario", 0)
    estimates = [plan.baseline.cost_usd_month, *(call.cost_usd_month for call in plan.scenario.calls)]
    assert all((each.basis, each.level) == ("assumed", None) for each in estimates)
    assert run("report", str(file)).out == shown
    page = run("analyze", "chat-app", "--price-date", "2026-11-20", "--markdown", "-", "-q").out
    assert page == f"```text\n{shown.rstrip()}\n```\n"


def test_options_for_logs_are_refused_and_prices_are_taken(run: Run, tmp_path: Path) -> None:
    error, _ = mistake(run("analyze", "chat-app", "--ttl", "1d"), 2)
    assert error == "--ttl: chat-app is a scenario, there is no log to read"
    prices = tmp_path / "prices.yaml"
    names = ("gpt-4.1", "gpt-4.1-nano")
    prices.write_text("models:\n" + "".join(f"  - {{model: {name}, input: 0, output: 1}}\n" for name in names))
    ran = run("analyze", "chat-app", "--price-date", "2026-11-20", "--prices", str(prices), "--json", "-")
    call = next(each for each in json.loads(ran.out)["scenario"]["calls"] if each["name"] == "chat")
    assert (call["per_call"]["value"], call["input_share"]) == (pytest.approx(260e-6), 0)


def test_what_has_no_price_is_said_with_the_nearest_name(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    calls = "calls: [{name: a, model: gpt-4.1x-minni, input_tokens: 10, output_tokens: 10}]\n"
    path.write_text("scenario: s\n" + calls)
    error, hint = mistake(run("analyze", str(path)), 1)
    assert "no day is given" in error and "--price-date" in hint
    error, hint = mistake(run("analyze", str(path), "--price-date", "2026-11-20"), 1)
    assert error.startswith("gpt-4.1x-minni: ") and hint
    path.write_text("scenario: s\nprices: {other: {input: 1, output: 1}}\nprice_date: 2026-11-20\n" + calls)
    assert "no call uses 'other'" in mistake(run("analyze", str(path)), 1)[0]
