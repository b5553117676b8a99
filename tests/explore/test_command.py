"""`costplan explore` as a user meets it: the same money as analyze, tables as reviewed, safe files, wrong usage."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from costplan.explore import run_explore
from costplan.results import GroupRow, plan_from_json
from costplan.results.explore import Explore, ExploreRow, explore_json, explore_schema
from costplan.settings import ExploreSettings
from tests.levers.logs import call
from tests.test_cli import Run, mistake, run

__all__ = ["run"]
Golden = Callable[[str, str], None]
TRACES = Path(__file__).resolve().parents[2] / "traces"
DEMO = str(TRACES / "demo.jsonl.gz")
HOSTILE = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", "[red]x", "\x1b[31mx", "a,b", 'say "x"']


def explored(*by: str, log: str = DEMO, **settings: object) -> Explore:
    return run_explore([log], ExploreSettings(by=by, workers=1, **settings))  # type: ignore[arg-type]


def amounts(row: ExploreRow | GroupRow) -> tuple[object, ...]:
    return row.requests, row.cost_usd, row.input_tokens, row.output_tokens, row.cache_read_tokens, row.failed


@pytest.mark.parametrize("log", ["demo.jsonl.gz", "pairs_openai.jsonl", "litellm_spend_logs.jsonl"])
def test_groups_are_those_of_analyze_to_the_nano_dollar(run: Run, log: str) -> None:
    plan = plan_from_json(run("analyze", str(TRACES / log), "--semantic", "off", "--json", "-").out.encode())
    unit = plan.unit_economics
    groups = {"model": unit.by_model, "call_site": unit.by_call_site, "user": unit.by_user, "tag": unit.by_tag,
              "hour": unit.by_hour, "day": unit.by_day, "operation": unit.by_operation}  # fmt: skip
    for by, expected in groups.items():
        found = explored(by, log=str(TRACES / log), top=50)
        rows = [row for row in (*found.rows, found.rest) if row and row.key[0] not in ("(no tag)", "(no user)")]
        told = {(row.key[0], *amounts(row)) for row in rows}
        assert told == {(row.key, *amounts(row)) for row in expected}, by
    assert explored("model", log=str(TRACES / log)).cost_usd == plan.baseline.cost_usd.value


def test_two_columns_split_one(run: Run) -> None:
    both, one = explored("call_site", "model", top=100), explored("call_site", top=100)
    requests: Counter[str] = Counter()
    for row in both.rows:
        requests[row.key[0]] += row.requests
    assert requests == {row.key[0]: row.requests for row in one.rows}


def test_what_is_chosen_and_what_is_not_make_the_whole() -> None:
    parts = [explored("model", where=where) for where in ("cost>0.001", "not cost>0.001")]
    whole = explored("model")
    assert sum(part.requests for part in parts) == whole.requests == whole.requests_log
    assert sum(part.cost_usd or 0 for part in parts) == pytest.approx(whole.cost_usd, abs=1e-9)
    assert {part.cost_usd_log for part in parts} == {whole.cost_usd}


def test_the_rest_is_one_row_and_all_rows_add_up() -> None:
    found = explored("user", top=3)
    assert found.rest is not None and found.rest.key == [f"({found.groups - 3} more)"]
    rows = [*found.rows, found.rest]
    assert sum(row.requests for row in rows) == found.requests == found.total.requests
    assert sum(row.cost_usd or 0 for row in rows) == pytest.approx(found.cost_usd)
    assert sum(row.share or 0 for row in rows) == pytest.approx(1)


def test_sorting_is_by_cost_unless_days_have_an_order_or_another_is_asked_for() -> None:
    days = [row.key[0] for row in explored("day").rows]
    assert days == sorted(days) and len(days) == 10
    dear = [row.cost_usd for row in explored("day", sort="cost").rows]
    assert dear == sorted(dear, key=lambda usd: -(usd or 0))
    busy = [row.requests for row in explored("model", sort="requests").rows]
    assert busy == sorted(busy, reverse=True)
    names = [row.key[0] for row in explored("model", sort="name").rows]
    assert names == sorted(names)


def test_a_request_counts_under_each_of_its_tags(tmp_path: Path) -> None:
    log = [call(0, tags=["a", "b"]), call(1, tags=["b"]), call(2)]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in log), "utf-8")
    found = explored("tag", log=str(path), sort="name")
    assert [(row.key[0], row.requests) for row in found.rows] == [("(no tag)", 1), ("a", 1), ("b", 2)]
    assert found.requests == 3 and any("each of its tags" in note for note in found.warnings)
    chosen = explored("tag", "model", log=str(path), where="tag=a", sort="name")
    assert [(row.key, row.requests) for row in chosen.rows] == [(["a", "gpt-4o-mini"], 1), (["b", "gpt-4o-mini"], 1)]


def test_workers_and_reruns_change_no_byte() -> None:
    plans = [run_explore([DEMO], ExploreSettings(by=("user", "hour"), workers=workers)) for workers in (1, 2, 4)]
    assert explore_json(plans[0]) == explore_json(plans[1]) == explore_json(plans[2])


def test_a_spreadsheet_runs_no_name_as_a_formula(tmp_path: Path, run: Run) -> None:
    log = [call(at, tags=[name]) for at, name in enumerate(HOSTILE)]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in log), "utf-8")
    out = run("explore", str(path), "--by", "tag", "--csv", "-").out
    cells = [row[0] for row in csv.reader(io.StringIO(out))][1:]
    assert len(cells) == len(HOSTILE) and "a,b" in cells and 'say "x"' in cells
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells) and "'=HYPERLINK(1)" in cells
    shown = run("explore", str(path), "--by", "tag").out
    assert "\x1b" not in shown and "[red]x" in shown and "\\x1b[31mx" in shown


def test_users_and_sessions_are_never_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = [call(at, user="alice@example.com", session="secret-7") for at in range(3)]
    path.write_text("".join(json.dumps(each) + "\n" for each in log), "utf-8")
    for options in (["--by", "user,session"], ["--by", "user,session", "--json", "-"], ["--by", "user", "--csv", "-"]):
        out = run("explore", str(path), *options).out
        assert "alice" not in out and "secret-7" not in out and "user-001" in out


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("models.txt", []), ("days.txt", ["--by", "day", "--where", "tag=batchable"]),
        ("two.txt", ["--by", "call_site,model", "--where", "cost>0.001 and not weekday in (Sat, Sun)"]),
        ("users.csv", ["--by", "user", "--top", "3", "--csv", "-"]),
        ("none.txt", ["--where", "model=nothing"]),
    ],
)  # fmt: skip
def test_the_table_reads_as_reviewed(
    run: Run, monkeypatch: pytest.MonkeyPatch, golden: Golden, name: str, options: list[str]
) -> None:
    monkeypatch.chdir(TRACES.parent)
    ran = run("explore", "traces/demo.jsonl.gz", *options)
    assert ran.code == 0 and ran.err == ""
    golden(f"explore/{name}", ran.out)


def test_the_document_fits_its_schema(run: Run, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    monkeypatch.chdir(TRACES.parent)
    document = run("explore", "traces/demo.jsonl.gz", "--by", "hour,stream", "--top", "2", "--json", "-").out
    jsonschema.Draft202012Validator(explore_schema()).validate(json.loads(document))
    golden("explore/explore.json", document)
    golden("schema/explore.json", run("schema", "explore").out)


@pytest.mark.parametrize(
    ("options", "code", "error", "hint"),
    [
        (["--by", "usr"], 2, "no column 'usr'", "user"),
        (["--by", "cost"], 2, "a number is no group", "--where 'cost>"),
        (["--by", "model,user,day"], 2, "names 3 columns", "one column or two"), (["--top", "0"], 2, "--top", ""),
        (["--sort", "price"], 2, "--sort", ""), (["--where", "model"], 2, "column 6", ""),
        (["--csv", "no/such/x.csv"], 1, "cannot be written", ""), (["--csv", "-", "--json", "-"], 2, "stdout", ""),
        (["--prices", "none.yaml"], 1, "none.yaml", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_one_error_and_one_hint(run: Run, options: list[str], code: int, error: str, hint: str) -> None:
    told, advice = mistake(run("explore", str(TRACES / "tiny.jsonl"), *options), code)
    assert error in told and hint in advice
