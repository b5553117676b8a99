"""What each grader calls right, and that no answer, pattern or program keeps it for long."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from costplan.errors import CostplanError
from costplan.gate import grade as module
from costplan.gate.embed import embed
from costplan.gate.grade import Ungraded, cosine, grade, last_number, token_f1
from costplan.tasks.task import (
    Command,
    Constraints,
    Exact,
    Grader,
    JsonSchema,
    Message,
    Numeric,
    Regex,
    Similarity,
    Task,
)
from hypothesis import given
from hypothesis import strategies as st

BOUND_S = 20.0
"""Far above what any grader may take, far below what a catastrophic one would."""


def task(grader: Grader, *expected: str) -> Task:
    return Task(
        id="a", stratum="s", messages=(Message(role="user", content="?"),), grader=grader, expected=expected
    )  # fmt: skip


@pytest.mark.parametrize(
    ("how", "answer", "right"),
    [
        (Exact(), " New \n York ", True), (Exact(), "new york", False), (Exact(), "New York.", False),
        (Exact(ignore_case=True), "NEW YORK", True), (Exact(ignore_ends=True), '"New York".', True),
        (Exact(ignore_ends=True), "New York City", False), (Exact(ignore_case=True), "", False),
    ],
)  # fmt: skip
def test_exact_normalises_what_it_is_told_to(how: Exact, answer: str, right: bool) -> None:
    assert grade(task(how, "Boston", "New York"), answer) == right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2 + 3 = 5", 5), ("It is $1,234.50.", 1234.5), ("so x = -7", -7), ("5-3", 3), ("\u22124", -4), ("1,23", 23),
        ("no", None), ("", None), ("about 0.5 or 1/4", 4), ("A7", 7), ("12,345,678", 12345678), ("3.", 3),
    ],
)  # fmt: skip
def test_the_last_number_counts(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_a_number_may_be_off_by_the_tolerance() -> None:
    close = task(Numeric(tolerance=0.01), "3.14")
    assert [grade(close, each) for each in ("3.149", "3.16", "pi")] == [1, 0, 0]
    assert grade(task(Numeric(), "5"), "9" * 5000) == 0


def test_a_pattern_is_found_or_fills_the_answer() -> None:
    assert grade(task(Regex(pattern=r"\bparis\b", ignore_case=True)), "It is Paris!") == 1
    assert grade(task(Regex(pattern="paris", whole=True)), "paris!") == 0


def test_a_catastrophic_pattern_gives_no_score_instead_of_no_end() -> None:
    started = time.monotonic()
    with pytest.raises(Ungraded, match="regex timeout"):
        grade(task(Regex(pattern="^(a|aa)+$")), "a" * 60 + "!")
    schema = {"type": "string", "pattern": "^(a|aa)+$"}
    with pytest.raises(Ungraded, match="regex timeout"):
        grade(task(JsonSchema(schema=schema)), '"' + "a" * 60 + '!"')
    assert time.monotonic() - started < BOUND_S


SCHEMA: dict[str, Any] = {
    "type": "object", "properties": {"name": {"type": "string"}, "age": {"minimum": 18}}, "required": ["name"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"name": "Ann", "age": 31}', True),
        ('Here:\n```json\n{"name": "Ann"}\n```\nDone.', True), ('{"age": 3}', False),
        ('{"name": "Ann", "age": 3}', False), ("name: Ann", False), ('{"name": "\\ud800"}', False), ("", False),
    ],
)  # fmt: skip
def test_json_has_to_fit_the_schema(answer: str, right: bool) -> None:
    assert grade(task(JsonSchema(schema=SCHEMA)), answer) == right


def test_a_schema_reads_nothing_from_elsewhere(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    for where in (other.as_uri(), "http://127.0.0.1:9/schema.json"):
        with pytest.raises(CostplanError, match="schema among the tasks"):
            grade(task(JsonSchema(schema={"$ref": where})), "{}")


def test_json_of_a_thousand_levels_does_not_end_the_run() -> None:
    with pytest.raises(Ungraded, match="too deep"):
        grade(task(JsonSchema(schema=SCHEMA)), "[" * 50_000 + "]" * 50_000)


def test_f1_of_words_by_hand() -> None:
    """`the cat sat` against `a cat sat down`: 2 words in common, 2 * 2 / (3 + 4)."""
    assert token_f1("The cat sat.", "a cat sat down") == pytest.approx(4 / 7)
    assert (token_f1("", "a"), token_f1("dog", "cat"), token_f1("A b", "a B")) == (0, 0, 1)
    assert grade(task(Similarity(), "a cat sat down", "no"), "The cat sat.") == pytest.approx(4 / 7)
    assert grade(task(Similarity(threshold=0.5), "a cat sat down"), "The cat sat.") == 1


def test_embeddings_are_those_of_the_package_they_come_from() -> None:
    import wordllama

    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    texts = ["How do I change my password?", "Straße 7, 10:30 — naïve 漢字", "x"]
    for text, expected in zip(texts, model.embed(texts), strict=True):
        assert embed(text) == pytest.approx(expected, abs=1e-3)
    assert not embed("").any()


def test_embeddings_know_more_than_words_and_need_no_network() -> None:
    question = "How do I change my password?"
    near, far = cosine("reset the password", question), cosine("The soup was too salty.", question)
    assert 0 <= far < 0.3 < near <= 1
    assert cosine(question, question) == pytest.approx(1) and cosine("", question) == 0
    assert grade(task(Similarity(metric="embedding", threshold=0.3), question), "reset the password") == 1


WRITING = Constraints(min_words=4, max_words=10, mention=("river", "old key"), avoid=("dog",))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("The River hid an OLD   key.", True), ("Two rivers, two old keys.", True), ("river old key", False),
        ("The river hid an old red key.", False), ("The river and the old key and a dog.", False),
        ("The river hid an old key for a very long time.", False),
    ],
)  # fmt: skip
def test_writing_is_right_when_every_constraint_holds(answer: str, right: bool) -> None:
    assert grade(task(WRITING), answer) == right


def test_going_in_circles_is_a_fault() -> None:
    loop = "the cat sat on " * 20
    assert grade(task(Constraints()), loop) == 0
    assert grade(task(Constraints(repetition=True)), loop) == 1
    assert grade(task(Constraints()), " ".join(f"word{n}" for n in range(80))) == 1


PROGRAM = """
import json, sys
given = json.load(sys.stdin)
print(len(given["answer"]) / 10 if given["task"]["stratum"] == "s" else 9)
"""


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def test_a_program_of_the_user_says_the_score() -> None:
    assert grade(task(Command()), "seven c", program(PROGRAM)) == 0.7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("print('good')", "no number"), ("print(1.5)", "not from 0 to 1"), ("print(1); raise SystemExit(2)", "failed"),
        ("print('nan')", "not from 0 to 1"), ("", "no number"),
    ],
)  # fmt: skip
def test_a_program_that_gives_no_score_is_named_so(text: str, reason: str) -> None:
    with pytest.raises(Ungraded, match=reason):
        grade(task(Command()), "x", program(text))


def test_a_program_that_hangs_is_ended_with_its_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "COMMAND_TIMEOUT_S", 2.0)
    pid = tmp_path / "pid"
    child = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(Ungraded, match="timeout"):
        grade(task(Command()), "x", program(parent))
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline and running(int(pid.read_text())):
        time.sleep(0.05)
    assert not running(int(pid.read_text()))


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_program_comes_from_the_command_line_only() -> None:
    with pytest.raises(CostplanError, match="no command is given"):
        grade(task(Command()), "x")
    with pytest.raises(CostplanError, match="grader-command"):
        grade(task(Command()), "x", ("no-such-program-anywhere",))


@given(st.text(max_size=300))
def test_every_answer_gets_a_score_from_0_to_1(answer: str) -> None:
    graders: list[Grader] = [
        Exact(ignore_case=True, ignore_ends=True), Numeric(tolerance=1), Regex(pattern="a+"), JsonSchema(schema=SCHEMA),
        Similarity(), WRITING,
    ]  # fmt: skip
    for how in graders:
        assert 0 <= grade(task(how, "7"), answer) <= 1
