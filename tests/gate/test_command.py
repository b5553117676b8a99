"""`costplan gate` as a user meets it: reports as reviewed, exit codes, a valid document, hostile text."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from costplan.results.gate import gate_schema
from tests.gate.runs import SECRET, folder, lines, sample
from tests.test_cli import Run, mistake, run
from tests.test_startup import HEAVY, WATCHED, loaded_by

__all__ = ["run"]
Golden = Callable[[str, str], None]
STRATA = ("faq", "refunds", "sums", "tone")
TASKS = [sample(index, stratum, chance=0.9 * (stratum == "tone")) for stratum in STRATA for index in range(200)]
WRONG = {*range(0, 40), *range(200, 208)}
"""Of the candidate: 20 points in `faq`, 4 in `refunds`, none in `sums`."""
PRICES = ("--base-usd-per-mtok", "2.50/10", "--candidate-usd-per-mtok", "0.15/0.60")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    records = {410: {"state": "failed", "reason": "http_429", "text": None}, 411: {"finish_reason": "length"}}
    folder(tmp_path / "bf16", TASKS, set())
    folder(tmp_path / "awq", TASKS, WRONG, records=records)
    monkeypatch.chdir(tmp_path)
    return "bf16", "awq"


REPORTS = {
    "terminal.txt": [], "verbose.txt": ["--verbose", *PRICES], "report.md": ["--md", "-", *PRICES],
    "examples.md": ["--md", "-", "--show-text"],
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_reads_as_reviewed(
    run: Run, runs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("gate", *runs, *REPORTS[name])
    assert ran.code == 3
    assert ran.err.splitlines()[0] == (
        "error: the gate is not passed: faq (fail), refunds (undecided), tone (uninformative)"
    )
    golden(f"gate/{name}", ran.out)


def test_the_document_fits_its_schema(
    run: Run, runs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    monkeypatch.chdir(tmp_path)
    document = json.loads(run("gate", *runs, "--json", "-").out)
    jsonschema.Draft202012Validator(gate_schema()).validate(document)
    assert len(document["items"]) == 799
    golden("gate/gate.json", json.dumps({**document, "items": document["items"][:2]}, indent=2))
    golden("schema/gate.json", run("schema", "gate").out)


def test_a_gate_that_passes_exits_with_0(run: Run, tmp_path: Path) -> None:
    same = folder(tmp_path / "same", TASKS[400:600], set())
    ran = run("gate", same, same)
    assert (ran.code, ran.err) == (0, "") and ran.out.startswith("Gate        pass: 1 pass")


@pytest.mark.parametrize("options", [[], ["--verbose"], ["--md", "-"], ["--md", "-", "--show-text"]])
def test_hostile_text_is_neither_shown_nor_interpreted(run: Run, tmp_path: Path, options: list[str]) -> None:
    name = "\x1b[31m[bold]|x\n</script>"
    rows = [{"id": f"{n}{name}", "score": 1, "stratum": name, "output": name + SECRET} for n in range(50)]
    base = lines(tmp_path / "a.jsonl", rows)
    worse = lines(tmp_path / "b.jsonl", [{**row, "score": 0} for row in rows])
    ran = run("gate", base, worse, *options)
    assert ran.code == 3
    shown = ran.out + ran.err
    assert not {character for character in shown if not (character.isprintable() or character == "\n")}
    assert SECRET not in shown
    assert not options or options[0] != "--md" or "</script>" not in ran.out


def test_mistakes_take_two_lines(run: Run, runs: tuple[str, str]) -> None:
    assert "--margin" in mistake(run("gate", *runs, "--margin", "0"), 2)[0]
    assert "No such file" in mistake(run("gate", *runs, "--tasks", "nothing.yaml"), 1)[0]
    assert "not a price" in mistake(run("gate", *runs, "--base-usd-per-mtok", "x"), 2)[0]
    assert "both want stdout" in mistake(run("gate", *runs, "--md", "-", "--json", "-"), 2)[0]


def test_no_grader_touches_a_socket(tmp_path: Path) -> None:
    """The audit hook of `WATCHED` ends the process at the first one."""
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "number"}}}
    graders = [{"kind": "similarity", "metric": "embedding"}, {"kind": "json_schema", "schema": schema}]
    rows = [
        {"id": n, "stratum": "s", "prompt": "?", "grader": grader, "expected": "42"} for n, grader in enumerate(graders)
    ]
    tasks = lines(tmp_path / "tasks.jsonl", rows)
    answers = lines(tmp_path / "a.jsonl", [{"id": n, "output": "42"} for n in range(2)])

    with pytest.raises(AssertionError, match="the gate is not passed"):
        loaded_by("gate", answers, answers, "--tasks", tasks, before=WATCHED)


def test_the_help_loads_nothing_heavy() -> None:
    assert loaded_by("gate", "--help") & (HEAVY | {"jsonschema", "regex"}) == set()
