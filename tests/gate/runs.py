"""Runs with known scores, as `replay` would have written them or as a user would."""

import json
from pathlib import Path
from typing import Any

import msgspec
from costplan.gate import run_gate
from costplan.results.gate import Gate
from costplan.results.measurement import RequestRecord
from costplan.settings import GateSettings
from costplan.tasks.task import Exact, Message, Task, task_line

SECRET = "xylophone-7391"


def sample(index: int, stratum: str = "sums", *, chance: float = 0.0, call_site: str | None = None) -> Task:
    """A task whose right answer is `right`."""
    question = f"{SECRET} question {index} of {stratum} [bold red]x[/] \x1b[31m <script>"
    return Task(
        id=f"{stratum}-{index}", stratum=stratum, messages=(Message(role="user", content=question),), grader=Exact(),
        expected=("right",), chance=chance, call_site=call_site,
    )  # fmt: skip


def folder(path: Path, tasks: list[Task], wrong: set[int], **changed: dict[int, dict[str, Any]]) -> str:
    """What replay --tasks --collect leaves: tasks `wrong` (by number) are answered wrongly; `changed.records` changes
    the record of a task."""
    path.mkdir()
    (path / "tasks.jsonl").write_bytes(b"".join(map(task_line, tasks)))
    records: list[bytes] = []
    for index in range(len(tasks)):
        values = {
            "index": index, "state": "completed", "due_s": 0.0, "input_tokens": 100, "output_tokens": 10,
            "text": f"{SECRET} \x1b[2J [red]" if index in wrong else "right", "finish_reason": "stop",
        } | changed.get("records", {}).get(index, {})  # fmt: skip
        records.append(msgspec.json.encode(msgspec.convert(values, RequestRecord)))
    (path / "requests.jsonl").write_bytes(b"\n".join(records) + b"\n")
    return str(path)


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def gate(base: str, candidate: str, **settings: Any) -> Gate:
    return run_gate(base, candidate, GateSettings(**settings), {})
