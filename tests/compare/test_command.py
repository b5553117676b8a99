"""`costplan compare` as a user meets it: reports as reviewed, limits and exit codes, a valid document, wrong files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from costplan.compare import compare
from costplan.results.compare import Comparison, compare_schema
from tests.levers.logs import call
from tests.test_cli import Run, mistake, run

__all__ = ["run"]
Golden = Callable[[str, str], None]
LIST = {"input": 2.0, "cache_read": 1.0, "output": 8.0}
PRICES = "models:\n  - model: gpt-4o\n    input: {price}\n    output: 10\n"


def log(
    days: int, *, per_day: int = 40, model: str = "gpt-4o", tokens: int = 1000, **fields: Any
) -> list[dict[str, Any]]:
    """So many calls a day, evenly, of one call site."""
    return [
        call(86_400 * day + 86_400 * at / per_day, f"Question {day} {at}?", model=model, tokens=(tokens, 100), **fields)
        for day in range(days)
        for at in range(per_day)
    ]  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plans(run: Run, here: Path) -> tuple[str, str]:
    """Five days. Then a third more questions, half as long again; the summaries are gone, <b>titles</b> are new."""
    before = [*log(5, feature="ask"), *log(5, per_day=10, model="gpt-4.1", feature="sum up")]
    titles = log(5, per_day=20, model="gpt-4o-mini", feature="<b>titles</b>")
    after = [*log(5, per_day=60, tokens=1500, feature="ask"), *titles]
    for name, records in (("may", before), ("june", after)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), "utf-8")
        assert run("analyze", f"{name}.jsonl", "--semantic", "off", "--json", f"{name}.json").code == 0
    return "may.json", "june.json"


REPORTS = {"terminal.txt": [], "verbose.txt": ["--verbose"], "report.md": ["--md", "-"]}


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_reads_as_reviewed(run: Run, plans: tuple[str, str], golden: Golden, name: str) -> None:
    ran = run("compare", *plans, *REPORTS[name])
    assert ran.code == 0 and ran.err == ""
    assert name != "report.md" or "<b>" not in ran.out
    golden(f"compare/{name}", ran.out)


def test_the_document_fits_its_schema(run: Run, plans: tuple[str, str], golden: Golden) -> None:
    document = run("compare", *plans, "--fail-if", "cost.month<0", "--json", "-").out
    jsonschema.Draft202012Validator(compare_schema()).validate(json.loads(document))
    golden("compare/compare.json", document)
    golden("schema/compare.json", run("schema", "compare").out)


def test_causes_and_call_sites_add_up_to_the_change_of_the_month(plans: tuple[str, str]) -> None:
    found = compare(*plans)
    month = next(figure for figure in found.figures if figure.name == "cost.month")
    assert found.over == "month" and month.change is not None
    assert sum(cause.usd for cause in found.causes) == pytest.approx(month.change, abs=0.005)
    assert sum(site.change_usd for site in found.call_sites) == pytest.approx(month.change, abs=0.005)
    assert {site.call_site: site.status for site in found.call_sites} == {
        "ask": "changed", "sum up": "gone", "<b>titles</b>": "new",
    }  # fmt: skip


def test_a_rise_of_list_prices_is_price_and_nothing_else(run: Run, here: Path) -> None:
    """Input from $2.50 to $5: 1,000 input and 100 output tokens cost $0.0035, then $0.006."""
    Path("log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in log(1)), "utf-8")
    for name, price in (("old", 2.5), ("new", 5)):
        Path(f"{name}.yaml").write_text(PRICES.format(price=price), "utf-8")
        options = ("--prices", f"{name}.yaml", "--semantic", "off", "--json", f"{name}.json")
        assert run("analyze", "log.jsonl", *options).code == 0
    causes = {cause.cause: cause.usd for cause in compare("old.json", "new.json").causes}
    assert causes == pytest.approx({"volume": 0, "mix": 0, "usage": 0, "price": 40 * 0.0025}, abs=1e-9)


def test_call_sites_without_a_name_are_known_by_their_prompts(run: Run, here: Path) -> None:
    """The dearer one changes from one log to the other; what they are called is their rank."""
    for name, tokens in (("a", (1000, 2000)), ("b", (1000, 500))):
        records = [*log(1, tokens=tokens[0], system="You sort."), *log(1, tokens=tokens[1], system="You count.")]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records), "utf-8")
        assert run("analyze", f"{name}.jsonl", "--semantic", "off", "--json", f"{name}.json").code == 0
    sites = compare("a.json", "b.json").call_sites
    assert [(site.status, site.change_usd) for site in sites] == [
        ("changed", pytest.approx(-40 * 1500 * 2.5e-6)), ("same", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "broken"),
    [
        ("cost.month>+5%", True), ("cost.month>+500%", False), ("cost.month<-1%", False), ("cost.request>0.01", False),
        ("cost.request>+$0.0001", True), ("cache.read<10%", True), ("saving<+0.1%,cost.month>+5%", True),
        ("cost.accepted>+5%", None), ("cost.session>0.1", None),
    ],
)  # fmt: skip
def test_a_broken_limit_is_exit_code_3(run: Run, plans: tuple[str, str], limit: str, broken: bool | None) -> None:
    ran = run("compare", *plans, "--fail-if", limit)
    if broken is None:  # in neither of the plans
        assert ran.code == 2 and "no figure" in ran.err
        return
    assert ran.code == (3 if broken else 0)
    assert ("Limit       broken" in ran.out) is broken and ("error: broken" in ran.err) is broken


def test_what_only_one_plan_knows_breaks_its_limit(run: Run, plans: tuple[str, str]) -> None:
    plan = json.loads(Path("may.json").read_text("utf-8"))
    plan["unit_economics"]["per_session"] |= {"value": 0.5, "low": 0.5, "high": 0.5}
    Path("sessions.json").write_text(json.dumps(plan), "utf-8")
    ran = run("compare", "sessions.json", plans[1], "--fail-if", "cost.session>+5%")
    assert ran.code == 3 and "not known in both" in ran.err


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("cost.mnth>+5%", "no figure 'cost.mnth'"), ("cost.month", "is no limit"), ("cost.month>5%", "5% of what?"),
        ("cost.month>+5s", "is in USD, not in seconds"), ("cost.month>+5%; rm -rf /", "is no limit"),
    ],
)  # fmt: skip
def test_a_limit_that_means_nothing_is_wrong_usage(run: Run, plans: tuple[str, str], limit: str, message: str) -> None:
    ran = run("compare", *plans, "--fail-if", limit)
    error, hint = mistake(ran, 2)
    assert message in error and hint


def test_a_prediction_stands_beside_its_measurement(run: Run, here: Path) -> None:
    for name, gpu in (("a", "A100"), ("b", "H100")):
        options = ("--gpus", f"1x{gpu}", "--input", "500", "--output", "100", "--concurrency", "4", "--requests", "40")
        assert run("simulate", "--model", "llama-3.1-8b", *options, "--json", f"{name}.json").code == 0
    found: Comparison = compare("a.json", "b.json", ["ttft.p95>1s", "output_tok_s<+0%"])
    figures = {figure.name: figure for figure in found.figures}
    assert figures["output_tok_s"].ratio is not None and figures["output_tok_s"].ratio > 0.2
    assert figures["ttft.p50"].change is not None and figures["ttft.p50"].change < 0
    assert not any(limit.broken for limit in found.limits) and found.over == "" and not found.causes
    assert "time to first token, p50" in run("compare", "a.json", "b.json").out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing.json", None), ("list.json", "[1]"), ("torn.json", '{"schema": "costplan/plan/1", '),
        ("other.json", '{"schema": "costplan/gate/1"}'), ("none.json", "{}"), ("binary.json", "\x00\x01"),
        ("half.json", '{"schema": "costplan/plan/1"}'),
    ],
)  # fmt: skip
def test_a_file_that_is_no_document_is_named(run: Run, plans: tuple[str, str], name: str, text: str | None) -> None:
    if text is not None:
        Path(name).write_text(text, "utf-8")
    ran = run("compare", plans[0], name)
    error, hint = mistake(ran, 1)
    assert name in error and "compare two plans" in hint


def test_a_plan_and_a_run_are_not_compared(run: Run, plans: tuple[str, str]) -> None:
    options = ("--gpus", "1xA100", "--input", "500", "--output", "100", "--concurrency", "4", "--requests", "40")
    assert run("simulate", "--model", "llama-3.1-8b", *options, "--json", "run.json").code == 0
    ran = run("compare", plans[0], "run.json")
    assert ran.code == 1 and "no figure in common" in ran.err
