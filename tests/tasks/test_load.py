"""Tasks of the user: short spellings, both file formats, and mistakes told with their place but not their text."""

from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.tasks import Message, load_tasks, task_line
from costplan.tasks.task import Exact, Numeric, Regex

YAML = """tasks:
  - id: r1
    stratum: refunds
    prompt: Is a refund due? Answer yes or no.
    grader: exact
    expected: "yes"
    chance: 0.5
    call_site: refund-bot
  - id: 2
    stratum: sums
    level: 3
    messages:
      - {role: system, content: Be short.}
      - {role: user, content: 2 + 2 =}
    grader: {kind: numeric, tolerance: 0.5}
    expected: [4, "4.0"]
    max_tokens: 8
"""


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(path: str) -> str:
    with pytest.raises(CostplanError) as caught:
        load_tasks(path)
    assert caught.value.exit_code == 1 and caught.value.hint
    return caught.value.message


def test_yaml_tasks_are_read_with_their_short_spellings(tmp_path: Path) -> None:
    refund, total = load_tasks(write(tmp_path / "tasks.yaml", YAML))
    assert (refund.id, refund.stratum, refund.level, refund.chance, refund.call_site) == (
        "r1", "refunds", 1, 0.5, "refund-bot",
    )  # fmt: skip
    assert refund.messages == (Message(role="user", content="Is a refund due? Answer yes or no."),)
    assert (refund.grader, refund.expected, refund.max_tokens) == (Exact(), ("yes",), 256)
    assert (total.id, total.level, total.grader, total.expected) == ("2", 3, Numeric(tolerance=0.5), ("4", "4.0"))
    assert [message.role for message in total.messages] == ["system", "user"]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    tasks = load_tasks(write(tmp_path / "tasks.yaml", YAML)) + load_tasks("builtin", 20)
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(map(task_line, tasks)))
    assert load_tasks(str(path)) == tasks


def test_the_first_samples_of_each_stratum_are_taken(tmp_path: Path) -> None:
    lines = [f'{{"id": {n}, "stratum": "{"ab"[n % 2]}", "prompt": "?", "grader": "command"}}' for n in range(10)]
    tasks = load_tasks(write(tmp_path / "tasks.jsonl", "\n".join(lines)), 2)
    assert [task.id for task in tasks] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (("grader: exact", "grader: exactly"), 2, "exactly"), (("chance: 0.5", "chance: 1"), 2, "chance"),
        (('expected: "yes"', "expected: yes"), 2, "in YAML"), (("expected: \"yes\"", ""), 2, "needs an expected"),
        (("id: 2", "id: r1"), 9, "given twice"), (("prompt: Is", "prompt: ? Is"), 4, "YAML"),
        (("stratum: sums", "stratum: sums\n    strata: x"), 9, "strata"), (('[4, "4.0"]', "four"), 9, "finite number"),
        (("{kind: numeric, tolerance: 0.5}", "{kind: regex, pattern: '('}"), 9, "regular expression"),
        (("{kind: numeric, tolerance: 0.5}", "{kind: json_schema, schema: {type: 7}}"), 9, "JSON Schema"),
        (("{kind: numeric, tolerance: 0.5}", "{kind: json_schema, schema: {patternProperties: {}}}"), 9, "in time"),
        (("role: user", "role: assistant"), 9, "last message"), (("level: 3", "level: 0"), 9, "level"),
        (("  - id: r1\n", "  - just text\n  - id: r1\n"), 1, "keys and values"),
        (("    prompt:", "    messages: []\n    prompt:"), 2, "both"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(tmp_path: Path, change: tuple[str, str], line: int, said: str) -> None:
    assert change[0] in YAML
    message = refusal(write(tmp_path / "tasks.yaml", YAML.replace(*change)))
    assert message.startswith(f"{tmp_path / 'tasks.yaml'}:{line}: ") and said in message
    assert "refund due" not in message


@pytest.mark.parametrize("text", ["", "\n\n", "{", "[1]", '{"id": "a"}', "\0\0", "[" * 100_000, '{"id": "\\ud800"}'])
def test_a_file_that_holds_no_tasks_says_where(tmp_path: Path, text: str) -> None:
    message = refusal(write(tmp_path / "tasks.jsonl", text))
    assert message.startswith(str(tmp_path / "tasks.jsonl"))


def test_a_name_that_is_no_file_is_a_mistake(tmp_path: Path) -> None:
    assert "No such file" in refusal(str(tmp_path / "builtins"))
    assert refusal(write(tmp_path / "tasks.yaml", "- a\n")).endswith("the file must hold keys and values")


def test_a_task_file_cannot_name_a_program(tmp_path: Path) -> None:
    line = '{"id": "a", "stratum": "s", "prompt": "?", "grader": {"kind": "command", "command": "touch x"}}'
    assert "unknown field" in refusal(write(tmp_path / "tasks.jsonl", line))


def test_regex_options_are_read(tmp_path: Path) -> None:
    text = YAML.replace("grader: exact", "grader: {kind: regex, pattern: '^yes', whole: true}")
    assert load_tasks(write(tmp_path / "tasks.yml", text))[0].grader == Regex(pattern="^yes", whole=True)
