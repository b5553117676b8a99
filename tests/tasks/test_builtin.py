"""The built-in tasks: enough, different, always the same, and such that their own right answer is right."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from costplan.errors import UsageError
from costplan.gate.grade import grade
from costplan.tasks import Task, load_tasks, task_line
from costplan.tasks.task import Constraints, JsonSchema

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "0"
"""Of all tasks. If it changes, raise the seed's number in tasks/builtin.py: results before and after do not compare."""


def solved(task: Task) -> str:
    """A right answer, made from what the grader wants."""
    if isinstance(task.grader, JsonSchema):
        return json.dumps({key: value["const"] for key, value in task.grader.schema["properties"].items()})
    if isinstance(task.grader, Constraints):
        filler = " ".join(f"word{n}" for n in range(task.grader.min_words))
        return f"{' and '.join(task.grader.mention)} {filler}"
    return task.expected[0]


def test_six_hundred_of_each_stratum_differ() -> None:
    tasks = load_tasks("builtin", 600)
    assert Counter(task.stratum for task in tasks) == dict.fromkeys(
        ("arithmetic", "format", "reasoning", "extraction", "writing"), 600
    )
    assert len({task.id for task in tasks}) == len({task.messages[-1].content for task in tasks}) == 3000
    assert set(Counter((task.stratum, task.level) for task in tasks).values()) == {150}


def test_no_task_is_among_the_examples_shown_before_it() -> None:
    for task in load_tasks("builtin", 600):
        assert task.messages[-1] not in task.messages[:-1] and len(task.messages) == 7


def test_every_task_accepts_a_right_answer_and_no_other() -> None:
    for task in load_tasks("builtin", 40):
        assert grade(task, solved(task)) == 1, task.id
        assert grade(task, "I do not know.") == grade(task, "") == 0, task.id


def test_the_answers_in_the_examples_are_right() -> None:
    """A task whose question is the last example must accept that example's answer; one per level is enough."""
    for task in load_tasks("builtin", 4):
        if isinstance(task.grader, JsonSchema | Constraints):
            continue  # these say what they want in the grader, which belongs to the question
        question, answer = task.messages[-3].content, task.messages[-2].content
        if task.stratum == "arithmetic":
            assert eval(question.removesuffix("=")) == int(answer)
        elif task.stratum == "extraction":
            assert answer in question
        else:
            assert answer


def test_fewer_samples_are_the_first_of_more() -> None:
    few, many = load_tasks("builtin", 7), load_tasks("builtin", 50)
    assert few == many[: len(few)]
    assert len(load_tasks("builtin")) == 500


def test_another_process_makes_the_same_bytes() -> None:
    lines = b"".join(map(task_line, load_tasks("builtin", 600)))
    assert hashlib.sha256(lines).hexdigest() == DIGEST
    program = (
        "import hashlib; from costplan.tasks import load_tasks, task_line;"
        "print(hashlib.sha256(b''.join(map(task_line, load_tasks('builtin', 600)))).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == DIGEST


@pytest.mark.parametrize("samples", [601, 10_000])
def test_more_samples_than_there_are_is_a_mistake(samples: int) -> None:
    with pytest.raises(UsageError, match="1 to 600"):
        load_tasks("builtin", samples)
