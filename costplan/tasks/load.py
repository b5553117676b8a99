"""Tasks by name or from the user's YAML or JSONL; errors say the place and never the text, and nothing is executed."""

from pathlib import Path
from typing import Any, cast

import msgspec

from costplan.errors import CostplanError
from costplan.profiles import Section, read_yaml
from costplan.tasks.builtin import builtin_tasks
from costplan.tasks.task import NEEDS_EXPECTED, JsonSchema, Numeric, Regex, Task

_EXAMPLE = '{id: a1, stratum: refunds, prompt: "...", grader: exact, expected: "42"}'


def load_tasks(name_or_path: str, samples: int | None = None) -> list[Task]:
    """`builtin`, or a file: YAML (`tasks:` and a list of mappings) or JSONL (one mapping a line).

    `samples` is at most so many of each stratum, its first; 100 of the built-in ones where it is not given.
    """
    if name_or_path == "builtin":
        return builtin_tasks(samples or 100)
    found = _read(Path(name_or_path))
    seen: dict[str, str] = {}
    taken: dict[str, int] = {}
    kept: list[Task] = []
    for where, task in found:
        if task.id in seen:
            raise CostplanError(f"{where}: this id is given twice", hint=f"first at {seen[task.id]}; ids must differ")
        seen[task.id] = where
        taken[task.stratum] = taken.get(task.stratum, 0) + 1
        if samples is None or taken[task.stratum] <= samples:
            kept.append(task)
    if not kept:
        raise CostplanError(f"{name_or_path}: no task in it", hint=f"write for example {_EXAMPLE}")
    return kept


def _read(path: Path) -> list[tuple[str, Task]]:
    """(place, task) of every task."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return [_of_line(f"{path}:{number}", line) for number, line in _lines(path)]
    section = read_yaml(path)
    rows = section.values.get("tasks")
    if not isinstance(rows, list):
        raise CostplanError(f"{section.where('tasks')}: 'tasks' must be a list", hint=f"tasks:\\n  - {_EXAMPLE}")
    found: list[tuple[str, Task]] = []
    for row in cast(list[Any], rows):
        if not isinstance(row, Section):
            raise CostplanError(f"{section.where('tasks')}: a task must hold keys and values", hint=_EXAMPLE)
        found.append((row.where(), _task(row.where(), _bare(row))))
    return found


def _lines(path: Path) -> list[tuple[int, bytes]]:
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        hint = "--tasks builtin, or a YAML or JSONL file of tasks"
        raise CostplanError(f"{path}: {error.strerror}", hint=hint) from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _of_line(where: str, line: bytes) -> tuple[str, Task]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CostplanError(f"{where}: not JSON", hint=f"one task a line: {_EXAMPLE}") from None
    return where, _task(where, row)


def _bare(value: Any) -> Any:
    """Sections as the mappings they are."""
    if isinstance(value, Section):
        return {key: _bare(each) for key, each in value.values.items()}
    return [_bare(each) for each in cast(list[Any], value)] if isinstance(value, list) else value


def _task(where: str, row: Any) -> Task:
    """The short spellings (`prompt`, a grader's name, one expected value) written out, and everything checked."""
    if not isinstance(row, dict):
        raise CostplanError(f"{where}: a task must hold keys and values", hint=_EXAMPLE)
    values = cast(dict[str, Any], dict(cast(dict[Any, Any], row)))
    if "prompt" in values and "messages" in values:
        raise CostplanError(f"{where}: both 'prompt' and 'messages'", hint="give one of them")
    if "prompt" in values:
        values["messages"] = [{"role": "user", "content": values.pop("prompt")}]
    if isinstance(values.get("grader"), str):
        values["grader"] = {"kind": values["grader"]}
    if isinstance(values.get("id"), int):
        values["id"] = str(values["id"])
    if "expected" in values:
        values["expected"] = [_expected(where, each) for each in _listed(values["expected"])]
    try:
        task = msgspec.convert(values, Task)
    except msgspec.ValidationError as error:
        raise CostplanError(f"{where}: {str(error)[:200]}", hint=f"write for example {_EXAMPLE}") from None
    _check(where, task)
    return task


def _listed(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else [value]


def _expected(where: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CostplanError(
            f"{where}: 'expected' must be text or a number (a bare yes or no is neither in YAML)",
            hint='put it in quotes: expected: "yes"',
        )
    return str(value)


def _check(where: str, task: Task) -> None:
    """What the types do not say."""
    problem, hint = "", ""
    if not task.messages or task.messages[-1].role != "user":
        problem, hint = "the last message must be the user's", "prompt: ..."
    elif not task.id or not task.stratum:
        problem, hint = "'id' and 'stratum' must not be empty", _EXAMPLE
    elif not 0 <= task.chance < 1 or task.max_tokens < 1:
        problem, hint = "'chance' is from 0 to below 1 and 'max_tokens' at least 1", "chance: 0.25"
    elif isinstance(task.grader, NEEDS_EXPECTED) and not any(map(str.strip, task.expected)):
        problem, hint = "this grader needs an expected answer", 'expected: "42"'
    elif isinstance(task.grader, Numeric) and not all(map(_is_number, task.expected)):
        problem, hint = "the numeric grader needs a finite number to expect", "expected: 42"
    elif task.level < 1:
        problem, hint = "'level' counts from 1", "level: 1"
    elif isinstance(task.grader, Regex):
        problem, hint = _pattern_problem(task.grader.pattern), r"pattern: '\bparis\b'"
    elif isinstance(task.grader, JsonSchema):
        problem, hint = _schema_problem(task.grader.schema), "schema: {type: object, required: [name]}"
    if problem:
        raise CostplanError(f"{where}: {problem}", hint=hint)


def _pattern_problem(pattern: str) -> str:
    import regex  # unlike re it can be stopped

    try:
        regex.compile(pattern)
    except regex.error as error:
        return f"the pattern is not a regular expression: {error}"
    return ""


def _schema_problem(schema: dict[str, Any]) -> str:
    import jsonschema

    if b'"patternProperties":' in msgspec.json.encode(schema):
        return "patternProperties cannot be bounded in time, use properties"
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError:
        return "the schema is not a JSON Schema (2020-12)"
    return ""


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
