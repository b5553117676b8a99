"""`--explain LEVER`: what stands behind a line of the ladder."""

import io

import pytest
from costplan.report import METHODS, render_explain
from costplan.results import Plan, Rung
from msgspec.structs import replace
from rich.console import Console
from tests.report.example_plan import example_plan
from tests.test_cli import TINY, Run, mistake, run

__all__ = ["run"]


def explained(plan: Plan, lever: str) -> str:
    """What is printed."""
    file = io.StringIO()
    render_explain(plan, lever, Console(file=file, width=100, highlight=False))
    return file.getvalue()


@pytest.mark.parametrize("lever", METHODS)
def test_every_lever_can_be_asked_even_where_the_plan_holds_none(lever: str) -> None:
    text = explained(replace(example_plan(), ladder=[]), lever)
    for part in ("Does", "Formula", "Leaves out", "Certain by", "Source"):
        assert part in text


def test_every_lever_that_a_plan_may_hold_has_an_explanation() -> None:
    lever = next(field for field in Rung.__struct_fields__ if field == "lever")
    assert set(METHODS) == set(Rung.__annotations__[lever].__args__)


def test_a_rung_that_does_not_pay_is_said_not_to_count() -> None:
    plan = example_plan()
    rung = plan.ladder[0]
    dear = replace(rung, marginal_usd_month=replace(rung.marginal_usd_month, value=-1.0, low=-2.0, high=0.0))
    assert "is not counted, it does not pay" in explained(replace(plan, ladder=[dear]), rung.lever)


def test_hostile_call_sites_stay_text() -> None:
    plan = example_plan()
    hostile = replace(plan.opportunities[0], call_site="\x1b[31m[bold]x[/bold]</script>")
    text = explained(replace(plan, opportunities=[hostile]), hostile.lever)
    assert "\x1b" not in text
    assert "[bold]x[/bold]</script>" in text


@pytest.mark.parametrize("command", ["analyze", "report"])
def test_explain_replaces_the_report_and_reads_as_reviewed(run: Run, golden, tmp_path, command: str) -> None:
    plan = tmp_path / "plan.json"
    run("analyze", TINY, "--month-requests", "12M", "--json", str(plan))
    asked = [str(plan)] if command == "report" else [TINY, "--month-requests", "12M"]
    ran = run(command, *asked, "--explain", "response-cache")
    assert (ran.code, ran.err) == (0, "")
    golden("report/explain_response_cache.txt", ran.out)


def test_an_unknown_lever_is_answered_with_the_nearest(run: Run) -> None:
    assert mistake(run("analyze", TINY, "--explain", "promt-cache"), 2) == (
        "--explain promt-cache: no such lever", "--explain prompt-cache",
    )  # fmt: skip
