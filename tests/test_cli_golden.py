"""One golden per command and format, on the log whose answer traces/README.md computes by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from costplan.results import json_schema
from tests.test_cli import TINY, Run, run

__all__ = ["run"]
Golden = Callable[[str, str], None]
REPORTS = {
    "terminal.txt": [],
    "verbose.txt": ["--verbose"],
    "report.md": ["--markdown", "-"],
}


def checked(document: str) -> Any:
    """The document, which must be what its own schema says."""
    plan = json.loads(document)
    jsonschema.Draft202012Validator(json_schema("plan")).validate(plan)
    return plan


@pytest.mark.parametrize("name", [*REPORTS, "plan.json"])
def test_analyze_reads_as_reviewed(run: Run, golden: Golden, name: str) -> None:
    ran = run("analyze", TINY, *REPORTS.get(name, ["--json", "-"]))
    assert (ran.code, ran.err) == (0, "")
    golden(f"analyze/{name}", ran.out)


@pytest.mark.parametrize("name", REPORTS)
def test_a_month_of_it_reads_as_reviewed(run: Run, golden: Golden, name: str) -> None:
    ran = run("analyze", TINY, "--month-requests", "12M", *REPORTS[name])
    assert (ran.code, ran.err) == (0, "")
    golden(f"analyze/month_{name}", ran.out)


@pytest.mark.parametrize("name", REPORTS)
def test_report_shows_the_saved_plan_as_analyze_did(run: Run, golden: Golden, tmp_path: Path, name: str) -> None:
    plan = tmp_path / "plan.json"
    run("analyze", TINY, "--json", str(plan))
    ran = run("report", str(plan), *REPORTS[name])
    assert (ran.code, ran.err) == (0, "")
    golden(f"report/tiny_{name}", ran.out)
    assert ran.out == run("analyze", TINY, *REPORTS[name]).out


@pytest.mark.parametrize(("name", "options"), [("trace.jsonl", []), ("mooncake.jsonl", ["--as", "mooncake"])])
def test_normalize_writes_the_trace_as_reviewed(
    run: Run, golden: Golden, tmp_path: Path, name: str, options: list[str]
) -> None:
    out, salt = tmp_path / name, tmp_path / "salt"
    salt.write_bytes(b"golden salt 0123")
    ran = run("normalize", TINY, "-o", str(out), "--salt-file", str(salt), *options)
    assert (ran.code, ran.err) == (0, "")
    golden(f"normalize/{name}", out.read_text("utf-8"))
    golden(f"normalize/{Path(name).stem}.txt", ran.out.replace(str(out), name))


def test_an_anonymised_trace_holds_no_word_of_the_log(run: Run, golden: Golden, tmp_path: Path) -> None:
    out, salt = tmp_path / "trace.jsonl", tmp_path / "salt"
    salt.write_bytes(b"golden salt 0123")
    assert run("normalize", TINY, "-o", str(out), "--anonymize", "--salt-file", str(salt)).code == 0
    text = out.read_text("utf-8")
    golden("normalize/anonymized.jsonl", text)
    for word in ("handbook", "library", "chatcmpl", "tiny.jsonl"):
        assert word not in text.lower()


def test_the_schema_reads_as_reviewed(run: Run, golden: Golden) -> None:
    ran = run("schema", "plan")
    golden("schema/plan.json", ran.out)
    jsonschema.Draft202012Validator.check_schema(json.loads(ran.out))


@pytest.mark.parametrize(
    "log", ["tiny.jsonl", "pairs_anthropic.jsonl", "mooncake_conversation_excerpt.jsonl", "azure_conv_excerpt.csv"]
)
def test_a_plan_validates_against_its_schema(run: Run, log: str) -> None:
    for options in ([], ["--month-requests", "1M"], ["--head", "2"]):
        plan = checked(run("analyze", f"traces/{log}", "--json", "-", *options).out)
        books = plan["ingest"]
        assert books["records"] == (
            books["requests"] + books["not_a_call"] + books["skipped"]["total"] + books["duplicates"] + books["merged"]
        )


def test_golden_files_name_no_place_outside_the_repository() -> None:
    for path in sorted((Path(__file__).parent / "golden").rglob("*")):
        if path.is_file():
            assert str(Path(__file__).resolve().parents[1]) not in path.read_text("utf-8"), path
