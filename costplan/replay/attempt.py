"""One load, played once: schedule, bodies, run, figures; which loads to play is not decided here."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.replay.ask import generation_url, put
from costplan.replay.bodies import Style, body, write_script
from costplan.replay.measure import Figures, Records, figures, read_records
from costplan.replay.schedule import Schedule, closed, poisson, recorded, turns
from costplan.replay.script import Load, Script, Target
from costplan.replay.shards import play
from costplan.replay.traffic import Traffic, encoded
from costplan.replay.watch import watch
from costplan.results.measurement import ClientFacts, ServerFacts
from costplan.serving.slo import Slo
from costplan.tasks import Task, task_line

Progress = Callable[[str, int, int], None] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """What is the same for every load of a run."""

    server: ServerFacts
    key: str | None = field(repr=False)
    """Of the API."""
    work: Path
    slo: Slo
    style: Style
    load: Load
    traffic: Traffic | None
    tasks: list[Task]
    """Instead of a trace."""
    chosen: NDArray[np.int64]
    speed: float = 1.0
    max_gap_s: float | None = None
    sessions: bool = True
    warm_up: tuple[int, float] = (0, 0.0)
    seed: int = 0
    gpus: int | None = None
    """That belong to the server, where the user says so."""
    report: Progress = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """One load with its outcome."""

    schedule: Schedule
    records: Records
    figures: Figures
    client: ClientFacts
    server: ServerFacts
    style: Style
    concurrency: int
    req_s: float | None
    """Of made-up arrivals."""
    warnings: tuple[str, ...]


def attempt(
    job: Job, folder: Path, *, concurrency: int = 0, req_s: float | None = None, salt: str, requests: int | None = None
) -> Attempt:
    """Write requests.jsonl and the server's metrics to `folder` as the run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    schedule = _schedule(job, job.chosen[:requests], concurrency, req_s)
    style = put(replace(job.style, salt=salt), job.server.url, job.key)
    script = _script(job, schedule, style, folder)
    target = Target(
        url=generation_url(job.server.url, style.endpoint),
        headers={"authorization": f"Bearer {job.key}"} if job.key else {},
    )
    path = folder / "requests.jsonl"
    with watch(job.server.url, folder / "metrics.jsonl", gpus=job.gpus) as observed:
        client = play(script, target, replace(job.load, concurrency=concurrency), path, report=job.report)
        seen = observed()
    found = {name: getattr(seen, name) for name in seen.__slots__ if name not in ("gpus", "warnings")}
    server = msgspec.structs.replace(job.server, gpus=list(seen.gpus) or job.server.gpus, **found)
    records = read_records(path)
    warm = (records.index < job.warm_up[0]) | (records.times["due_s"] < job.warm_up[1])
    return Attempt(
        schedule=schedule, records=records, client=client, server=server, style=style, concurrency=concurrency,
        figures=figures(records, job.slo, server, warm_up=warm, open_loop=not concurrency), req_s=req_s,
        warnings=seen.warnings,
    )  # fmt: skip


def _schedule(job: Job, chosen: NDArray[np.int64], concurrency: int, req_s: float | None) -> Schedule:
    if concurrency or job.traffic is None:
        return closed(chosen)
    if req_s is not None:
        return poisson(chosen, req_s, job.seed)
    arrival_s = job.traffic.trace.workload.arrival_s
    previous, think = (None, None)
    if job.sessions:
        previous, think = turns(job.traffic.session, arrival_s, job.traffic.duration_s)
    return recorded(arrival_s, chosen, speed=job.speed, max_gap_s=job.max_gap_s, previous=previous, think_s=think)


def _script(job: Job, schedule: Schedule, style: Style, folder: Path) -> Script:
    path = job.work / "bodies"
    if job.traffic is not None:
        return write_script(job.traffic, schedule, style, path, job.report)
    with (folder / "tasks.jsonl").open("wb") as file:
        file.writelines(task_line(task) for task in job.tasks)
    asked: list[dict[str, Any]] = [
        {"messages": msgspec.to_builtins(task.messages), "temperature": 0} for task in job.tasks
    ]
    bodies = [body(encoded(ask), task.max_tokens, style) for ask, task in zip(asked, job.tasks, strict=True)]
    unknown = np.full(len(bodies), -1, np.int32)
    path.write_bytes(b"".join(bodies))
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in bodies])]).astype(np.int64)
    return Script(
        bodies=path, offsets=offsets, due_s=schedule.due_s, previous=schedule.previous, think_s=schedule.think_s,
        input_tokens=unknown, output_tokens=unknown,
    )  # fmt: skip
