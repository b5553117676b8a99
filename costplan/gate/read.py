"""The answers of one run: a folder that replay wrote, or the user's JSONL of outputs or scores; it grades nothing.

Every item that has no answer keeps the reason and its place; a bad line costs only itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from costplan.errors import CostplanError
from costplan.results import Estimate
from costplan.results.measurement import RequestRecord
from costplan.tasks import Task, load_tasks

_EXAMPLE = '{"id": "a1", "output": "..."} or {"id": "a1", "score": 1}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a run has for one task."""

    place: str
    text: str | None = None
    score: float | None = None
    """The user's own grade; it goes before every grader."""
    missing: str = ""
    """Why there is neither, a short stable name."""
    stratum: str | None = None
    call_site: str | None = None
    chance: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    cut_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One side of the comparison."""

    path: str
    answers: dict[str, Answer]
    """By id of the task."""
    tasks: dict[str, Task]
    """Those that were asked, where the run says so."""
    bad_lines: list[str]
    model: str | None = None
    usd_per_mtok: tuple[float, float] | None = None
    """Input and output, as the run measured them."""


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the user's own file; other keys are ignored."""

    id: str | int | None = None
    task: str | int | None = None
    output: str | None = None
    score: float | bool | None = None
    stratum: str | None = None
    call_site: str | None = None
    chance: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None


class _Server(msgspec.Struct, frozen=True):
    model: str | None = None


class _Measured(msgspec.Struct, frozen=True):
    """What the gate wants to know of measurement.json."""

    server: _Server = _Server()
    usd_per_mtok: Estimate | None = None
    usd_per_mtok_input: Estimate | None = None
    usd_per_mtok_output: Estimate | None = None


def read_run(path: str) -> Run:
    """Raises CostplanError for what is neither, and for an id that is given twice."""
    place = Path(path)
    return _folder(place) if place.is_dir() else _file(place)


def _rows(path: Path, kind: Any, bad: list[str]) -> Iterator[tuple[str, Any]]:
    """(place, line as `kind`); lines that are none are noted."""
    decode = msgspec.json.Decoder(kind).decode
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    yield f"{path}:{number}", decode(line.removeprefix(b"\xef\xbb\xbf"))
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    bad.append(f"{path}:{number}")
    except OSError as error:
        hint = "costplan replay --tasks builtin --collect --out DIR, or a JSONL file of outputs"
        raise CostplanError(f"{path}: {error.strerror}", hint=hint) from None


def _folder(folder: Path) -> Run:
    tasks = load_tasks(str(folder / "tasks.jsonl"))
    bad: list[str] = []
    answers: dict[str, Answer] = {}
    record: RequestRecord
    for place, record in _rows(folder / "requests.jsonl", RequestRecord, bad):
        if not 0 <= record.index < len(tasks):
            bad.append(place)
            continue
        _add(answers, tasks[record.index].id, _collected(place, record))
    for number, task in enumerate(tasks, 1):
        answers.setdefault(task.id, Answer(place=f"{folder / 'tasks.jsonl'}:{number}", missing="no record"))
    run = Run(path=str(folder), answers=answers, tasks={task.id: task for task in tasks}, bad_lines=bad)
    return _measured(run, folder / "measurement.json")


def _collected(place: str, record: RequestRecord) -> Answer:
    missing = ""
    if record.state != "completed":
        missing = f"{record.state} {record.reason}".strip()
    elif record.text is None:
        missing = "no text: replay without --collect"
    return Answer(
        place=place, text=record.text, missing=missing, input_tokens=record.input_tokens,
        output_tokens=record.output_tokens, cut_short=record.finish_reason == "length",
    )  # fmt: skip


def _measured(run: Run, path: Path) -> Run:
    """With the model and the measured prices, where the run has them."""
    try:
        facts = msgspec.json.decode(path.read_bytes(), type=_Measured)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return run
    both = facts.usd_per_mtok.value if facts.usd_per_mtok else None
    ends = [each.value if each else both for each in (facts.usd_per_mtok_input, facts.usd_per_mtok_output)]
    prices = (ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None
    return replace(run, model=facts.server.model, usd_per_mtok=prices)


def _file(path: Path) -> Run:
    bad: list[str] = []
    answers: dict[str, Answer] = {}
    line: _Line
    for place, line in _rows(path, _Line, bad):
        name = line.task if line.id is None else line.id
        if name is None or (line.output is None and line.score is None):
            bad.append(place)
            continue
        for key, value, most in (("score", line.score, 1), ("chance", line.chance, 0.99)):
            if value is not None and not 0 <= value <= most:
                raise CostplanError(f"{place}: '{key}' must be from 0 to {most}", hint=f"write {_EXAMPLE}")
        score = None if line.score is None else float(line.score)
        _add(answers, str(name), Answer(
            place=place, text=line.output, score=score, stratum=line.stratum, call_site=line.call_site,
            chance=line.chance, input_tokens=line.input_tokens, output_tokens=line.output_tokens, usd=line.usd,
        ))  # fmt: skip
    if not answers:
        raise CostplanError(f"{path}: no answer in it", hint=f"one line each: {_EXAMPLE}")
    return Run(path=str(path), answers=answers, tasks={}, bad_lines=bad)


def _add(answers: dict[str, Answer], name: str, answer: Answer) -> None:
    if name in answers:
        raise CostplanError(
            f"{answer.place}: this task was answered before", hint=f"first at {answers[name].place}; keep one of them"
        )
    answers[name] = answer
