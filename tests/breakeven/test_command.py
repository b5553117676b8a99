"""`costplan breakeven` on the command line: output, exit codes, errors of two lines, and the real simulator once."""

import json
from pathlib import Path

import jsonschema
import pytest
from costplan.results.breakeven import breakeven_schema
from tests.breakeven.stand_in import use
from tests.test_cli import TINY, Run, run
from tests.test_startup import HEAVY, NETWORK, WATCHED, loaded_by

__all__ = ["run"]


def failed(ran: object, code: int, message: str) -> None:
    """One error line, one hint line, nothing on stdout."""
    assert (ran.code, ran.out) == (code, "")  # type: ignore[attr-defined]
    error, hint = ran.err.splitlines()  # type: ignore[attr-defined]
    assert error.startswith("error: ") and message in error and hint.startswith("hint: ")


def test_it_answers_with_nothing_but_the_gpus(run: Run):
    ran = run("breakeven", "--gpus", "4xA100", "--json", "-")
    assert (ran.code, ran.err) == (0, "")
    document = json.loads(ran.out)
    jsonschema.Draft202012Validator(breakeven_schema()).validate(document)
    lines = document["self_host"]["lines"]
    assert round(sum(lines.values()), 2) == document["self_host"]["usd_month"]["value"]
    assert document["capacity"]["req_s_at_slo"]["value"] > 0
    layouts = {row["layout"]: row["fits"] for row in document["capacity"]["layouts"]}
    assert layouts == {"1 x TP4": True, "2 x TP2": True, "4 x TP1": False}  # 132 GiB of weights on one 80 GB GPU


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--gpus", "4xA10O"], 1, "A10O"),
        (["--gpus", "0xA100"], 1, "0xA100"),
        (["--gpus", "-2xA100"], 1, "-2xA100"),
        ([], 2, "--gpus is missing"),
        (["--gpus", "4xA100", "--tp", "3"], 2, "does not divide"),
        (["--gpus", "4xA100", "--tp", "0"], 2, "--tp"),
        (["--gpus", "4xA100", "--requests-per-day", "0"], 2, "--requests-per-day"),
        (["--gpus", "4xA100", "--requests-per-day", "-5"], 2, "--requests-per-day"),
        (["--gpus", "4xA100", "--gpu-price", "-1"], 2, "--gpu-price"),
        (["--gpus", "4xA100", "--gpu-price", "nan"], 2, "--gpu-price"),
        (["--gpus", "4xA100", "--input", "-3"], 2, "--input"),
        (["--gpus", "4xA100", "--growth", "soon"], 2, "--growth"),
        (["--gpus", "4xA100", "--cloud", "moon"], 2, "--cloud"),
        (["--gpus", "4xA100", "--slo", "fast"], 2, "--slo"),
        (["--gpus", "4xA100", "--slo", "ttft.p95<1us"], 1, "no layout keeps"),
        (["--gpus", "1xL4"], 1, "needs"),
        (["--gpus", "4xA100", "--precision", "fp3"], 1, "fp3"),
        (["--gpus", "4xA100", "--model", "llama-9-900b"], 1, "llama-9-900b"),
        (["--gpus", "4xA100", "--plan", "nowhere.json"], 1, "nowhere.json"),
        (["--gpus", "4xA100", "--profile", "x.yaml"], 1, "x.yaml"),
        (["x.jsonl", "--gpus", "4xA100", "--plan", "plan.json"], 2, "contradict"),
    ],
)
def test_a_users_mistake_is_one_error_and_one_hint(run: Run, arguments: list[str], code: int, message: str):
    failed(run("breakeven", *arguments), code, message)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "costplan/plan/1"}', "\x00\xff"])
def test_what_is_no_plan_is_an_error(run: Run, tmp_path: Path, text: str):
    (tmp_path / "plan.json").write_text(text)
    failed(run("breakeven", "--gpus", "4xA100", "--plan", str(tmp_path / "plan.json")), 1, "not a plan")


def test_a_plan_and_its_log_agree(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch)
    plan, found = tmp_path / "plan.json", []
    assert run("analyze", TINY, "--json", str(plan)).code == 0
    for arguments in (["--plan", str(plan)], [TINY]):
        ran = run("breakeven", *arguments, "--gpus", "4xA100", "--requests-per-day", "50k", "--json", "-")
        assert ran.code == 0, ran.err
        found.append(json.loads(ran.out)["columns"])
    assert found[0]["api"]["usd_month"]["value"] == found[1]["api"]["usd_month"]["value"]


def test_reports_go_where_they_are_sent(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    use(monkeypatch)
    ran = run("breakeven", "--gpus", "4xA100", "--markdown", str(tmp_path / "b.md"), "--json", str(tmp_path / "b.json"))
    assert ran.code == 0 and ran.out.startswith("Traffic")
    assert (tmp_path / "b.md").read_text().startswith("# costplan breakeven")
    assert json.loads((tmp_path / "b.json").read_text())["schema"] == "costplan/breakeven/1"


def test_help_and_schema_load_nothing_heavy():
    assert loaded_by("breakeven", "--help") & HEAVY == set()
    assert loaded_by("schema", "breakeven") & HEAVY == set()


def test_no_data_frame_no_compiler_and_no_network_is_loaded_for_an_answer():
    unwanted = NETWORK | {"pandas", "sklearn", "plotly", "numba"}
    assert loaded_by("breakeven", "--gpus", "1xL40S", "--model", "llama-3.1-8b", before=WATCHED) & unwanted == set()


def test_the_schema_is_printed(run: Run):
    ran = run("schema", "breakeven")
    assert ran.code == 0 and json.loads(ran.out) == breakeven_schema()
