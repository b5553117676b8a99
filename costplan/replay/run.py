"""`costplan replay`: a trace or tasks and a server -> the measurement of one load or a sweep; it formats nothing."""

import math
import os
import platform
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan import __version__
from costplan.calibrate.runs import model_of
from costplan.capacity.sustained import cached_share
from costplan.errors import CostplanError, UsageError
from costplan.profiles.gpus import parse_gpus
from costplan.profiles.measured import load_profile
from costplan.replay.attempt import Attempt, Job, Progress, attempt
from costplan.replay.bodies import Style
from costplan.replay.measure import Records
from costplan.replay.money import hourly_usd, per_mtok
from costplan.replay.options import check, req_s, told, warm_up
from costplan.replay.predict import Prediction, gpus_of, predict, served_layout
from costplan.replay.schedule import chosen_rows
from costplan.replay.script import Load
from costplan.replay.serve import serve
from costplan.replay.server import describe
from costplan.replay.sweep import search
from costplan.replay.traffic import Traffic, read_traffic
from costplan.results import Assumption
from costplan.results.measurement import Measurement, ServerFacts, SweepFacts, SweepPoint, measurement_json
from costplan.results.serving import LengthFacts, Verdict, WorkloadFacts
from costplan.serving.arrivals import pick
from costplan.serving.measured import beyond
from costplan.serving.slo import Slo, judge, parse_slo
from costplan.serving.summary import lengths
from costplan.settings import ReplaySettings
from costplan.tasks import Task, load_tasks
from costplan.units import SECONDS_PER_DAY, plural

TASK_CONCURRENCY = 8
POINT_S = 20.0
POINT_REQUESTS = 40
"""A load of a sweep lasts for so long, and has at least so many requests (four for each in flight in a closed loop)."""
FIRST_LOOK = 8
_WRITTEN = ("measurement.json", "requests.jsonl", "metrics.jsonl", "tasks.jsonl")
"""Of an earlier run in the same folder, these go: the new answers beside the old tasks would be taken for theirs."""


def run_replay(
    traces: list[str], settings: ReplaySettings, origins: dict[str, str], report: Progress = None
) -> tuple[Measurement, Path]:
    """(the measurement, the folder it was written to). Raises CostplanError for what cannot be started."""
    check(settings, origins, traces)
    slo = parse_slo(settings.slo) if settings.slo else Slo()
    rate, warm, price = req_s(settings), warm_up(settings), hourly_usd(gpus_of(settings), settings.gpu_price)
    tasks = load_tasks(settings.tasks, settings.samples) if settings.tasks else []
    folder = folder_of(settings, traces)
    if folder.resolve() in (Path(each).resolve() for each in settings.earlier):
        raise UsageError(f"--with {folder}: this run is written there", hint="--out with another folder")
    with ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="costplan-"))
        text = settings.prompts != "synthetic"
        # before the server: what is wrong with a trace is not worth a start of vLLM
        timed = _own_times(settings)
        traffic = read_traffic(traces, Path(work), text=text, timed=timed, report=report) if traces else None
        chosen = np.arange(len(tasks)) if traffic is None else _chosen(traffic, settings)
        _make(folder)
        server, key = stack.enter_context(_server(settings, folder, report))
        if settings.save_profile is not None:
            model_of(settings.known_as or server.model)
        for name in _WRITTEN:
            (folder / name).unlink(missing_ok=True)
        job = Job(
            server=server, key=key, work=Path(work), slo=slo, style=_style(settings, server, tasks),
            load=Load(
                timeout_s=settings.timeout, max_failures=settings.max_failures, processes=settings.processes,
                collect=settings.collect or bool(tasks),
            ),
            traffic=traffic, tasks=tasks, chosen=chosen, speed=settings.speed,
            max_gap_s=settings.max_gap, sessions=settings.sessions, warm_up=warm, seed=settings.seed, report=report,
            gpus=parse_gpus(settings.gpus)[0] if settings.gpus else None,
        )  # fmt: skip
        left_out: dict[str, int] = {}
        if traffic is not None:
            job, without_text = _selected(job, traffic, settings)
            left_out = traffic.trace.left_out | without_text
        concurrency = settings.concurrency or (TASK_CONCURRENCY if tasks else 0)
        salt = settings.salt or secrets.token_hex(4)
        sweep = None
        if settings.sweep:
            played, sweep = _sweep(job, folder, salt, concurrency, rate)
        else:
            played = attempt(job, folder, concurrency=concurrency, req_s=rate, salt=salt)
        prediction, doubt = _prediction(settings, job, played)
    document = _document(settings, origins, job, played, prediction)
    document = msgspec.structs.replace(
        document, sweep=sweep, left_out=left_out,
        warnings=[*_warnings(job, left_out, played), *played.warnings, *doubt],
        **per_mtok(played.records, played.figures, played.server, price),
    )  # fmt: skip
    unfinished = folder / "measurement.json.part"
    unfinished.write_bytes(measurement_json(document))
    unfinished.replace(folder / "measurement.json")
    return document, folder


def save_profile(settings: ReplaySettings, folder: Path) -> str:
    """Fit a profile to this run and the earlier ones that were named; one line that says what it leaves unexplained."""
    from costplan.calibrate import About, fit_profile
    from costplan.profiles.measured import write_profile

    assert settings.save_profile is not None
    gpu = parse_gpus(settings.gpus)[1].name if settings.gpus else None
    about = About(
        model=settings.known_as, gpu=gpu, tp=settings.tp, precision=settings.precision or settings.quantization
    )
    profile = fit_profile([folder, *map(Path, settings.earlier)], about)
    write_profile(profile, settings.save_profile)
    errors = ", ".join(f"{name} {100 * share:.1f}%" for name, share in profile.error.items())
    return f"{settings.save_profile}: measured step times, largest error {errors}"


def folder_of(settings: ReplaySettings, traces: list[str]) -> Path:
    """Where everything is written."""
    name = Path(traces[0]).name.split(".")[0] if traces and traces[0] != "-" else "tasks" if settings.tasks else "stdin"
    return settings.out or Path(f"replay-{name}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CostplanError(f"{folder}: {error.strerror}", hint="--out DIR, a folder that can be written") from None


@contextmanager
def _server(
    settings: ReplaySettings, folder: Path, report: Progress
) -> Generator[tuple[ServerFacts, str | None]]:  # fmt: skip
    """(what answers, the key it wants): a server that is there, or one that lives as long as the run."""
    if settings.url is not None:
        key = os.environ.get(settings.api_key_env) or None
        yield describe(settings.url, settings.model, key, settings.api_key_env), key
        return
    assert settings.serve is not None
    with serve(
        settings.serve, folder / "server.log", quantization=settings.quantization, tp=settings.tp or 1,
        flags=shlex.split(settings.serve_args or ""), report=report,
    ) as served:  # fmt: skip
        yield served.facts, None


def _style(settings: ReplaySettings, server: ServerFacts, tasks: list[Task]) -> Style:
    endpoint: Literal["chat", "completions"] = "chat" if settings.endpoint == "auto" else settings.endpoint
    return Style(
        model=server.model,
        endpoint=endpoint,
        prompts="log",
        vllm=server.kind == "vllm",
        salt="",
        forced=not (settings.collect or tasks),
    )


def _own_times(settings: ReplaySettings) -> bool:
    """Requests are sent when the trace says."""
    return settings.rate is None and settings.concurrency is None and not settings.sweep


def _chosen(traffic: Traffic, settings: ReplaySettings) -> NDArray[np.int64]:
    """The rows to send; a log of weeks is not played for weeks because nobody said otherwise."""
    arrival_s = traffic.trace.workload.arrival_s
    chosen = chosen_rows(arrival_s, settings.window, settings.requests)
    days = float(arrival_s[chosen[-1]] - arrival_s[chosen[0]]) / SECONDS_PER_DAY
    if traffic.timed and days > 1 and settings.speed == 1 and settings.window is None and settings.max_gap is None:
        raise UsageError(
            f"{traffic.log.inputs[0].path}: the trace lasts {days:,.1f} days, and as recorded so does its replay",
            hint="--window 0:10m, --max-gap 1s, --speed 100, --rate 5, --concurrency 16, or --window 0: for all of it",
        )
    return chosen


def _selected(job: Job, traffic: Traffic, settings: ReplaySettings) -> tuple[Job, dict[str, int]]:
    """(the job with its rows and the kind of its prompts, rows that are left out for want of text)."""
    chosen = job.chosen
    with_text = traffic.text_start[chosen] >= 0
    left_out: dict[str, int] = {}
    if settings.prompts == "log" and not with_text.all():
        if not with_text.any():
            raise CostplanError("--prompts log: the trace holds no prompt as a whole", hint="--prompts synthetic")
        left_out["without their text"] = int((~with_text).sum())
        chosen = chosen[with_text]
    style = job.style
    if settings.prompts == "synthetic" or not with_text.any() or (settings.prompts == "auto" and not with_text.all()):
        endpoint = "completions" if settings.endpoint == "auto" and style.vllm else style.endpoint
        style = replace(style, prompts="synthetic", endpoint=endpoint)
    return replace(job, chosen=chosen, style=style), left_out


def _sweep(job: Job, folder: Path, salt: str, concurrency: int, rate: float | None) -> tuple[Attempt, SweepFacts]:
    """(the load that the document is about: the best one, else the knee, else the last; all loads)."""
    most, played = len(job.chosen), dict[float, tuple[Attempt, Path]]()
    unit: Literal["req_s", "concurrency"] = "concurrency" if concurrency else "req_s"

    def measure(load: float) -> SweepPoint:
        count = max(POINT_REQUESTS, 4 * load if concurrency else math.ceil(load * POINT_S))
        place = folder / "points" / f"{load:g}"
        for again in ("", "-again"):  # a busy moment of this machine is no reason to end the search
            found = attempt(
                job, place, concurrency=int(load) if concurrency else 0, req_s=None if concurrency else load,
                salt=f"{salt}-{len(played)}{again}", requests=min(most, int(count)),
            )  # fmt: skip
            played[load] = (found, place)
            if found.client.valid:
                break
        return _point(played[load][0], load, unit, job.slo)

    start = float(concurrency) if concurrency else rate
    if start is None:
        look = attempt(job, folder / "points" / "first", concurrency=1, salt=f"{salt}-first", requests=FIRST_LOOK)
        start = 1 / max(look.figures.e2e_s.mean or 1.0, 1e-3)
    found = search(measure, start, unit, max(1, most // 4) if concurrency else max(start, most / POINT_S * 4))
    chosen = found.best or found.knee or found.points[-1]
    best, place = played[chosen.load]
    for name in ("requests.jsonl", "metrics.jsonl"):
        if (place / name).exists():
            shutil.copyfile(place / name, folder / name)
    return best, found


def _point(found: Attempt, load: float, unit: Literal["req_s", "concurrency"], slo: Slo) -> SweepPoint:
    f = found.figures
    met = all(target.met(value) for target, value in judge(slo, f.value)) and found.client.valid
    return SweepPoint(
        load=load, unit=unit, requests=f.requests.sent + f.requests.unsent,
        failed=f.requests.failed + f.requests.unsent, req_s=f.req_s, output_tok_s=f.output_tok_s,
        ttft_p50_s=f.ttft_s.p50, ttft_p95_s=f.ttft_s.p95, tpot_p50_s=f.tpot_s.p50, tpot_p95_s=f.tpot_s.p95,
        e2e_p95_s=f.e2e_s.p95, goodput_share=f.goodput_share, goodput_req_s=f.goodput_req_s,
        slo_met=met if slo.targets else None, valid=found.client.valid,
    )  # fmt: skip


def _prediction(settings: ReplaySettings, job: Job, played: Attempt) -> tuple[Prediction | None, list[str]]:
    """(the same requests simulated, why not or why with doubt); a measurement never fails for it."""
    if job.traffic is None or not played.figures.requests.completed:
        return None, []
    if settings.gpus is None and settings.profile is None:
        return None, []
    try:
        layout = served_layout(settings, played.server)
        found = predict(
            job.traffic, played.schedule, played.records, played.figures, layout, concurrency=played.concurrency
        )
        if settings.profile is None:
            return found, []
        longest = int(played.records.counts["input_tokens"].max())
        return found, beyond(load_profile(settings.profile), longest, played.client.peak_in_flight / layout.replicas)
    except CostplanError as error:
        return None, [f"No prediction: {error.message}."]


def _document(
    settings: ReplaySettings, origins: dict[str, str], job: Job, played: Attempt, prediction: Prediction | None
) -> Measurement:
    found = played.figures
    assumptions = [
        Assumption(name=name, value=str(value), origin=origin) for name, value, origin in told(settings, origins)
    ]
    return Measurement(
        workload=_workload(job, played), config=prediction.config if prediction else None,
        slo=[Verdict(target=t.text, value=v, limit=t.limit, met=t.met(v)) for t, v in judge(job.slo, found.value)],
        inputs=job.traffic.log.inputs if job.traffic else [], prompts=played.style.prompts if job.traffic else "tasks",
        salt=played.style.salt, client=played.client, server=played.server, environment=_environment(played.server),
        predicted=prediction.figures if prediction else [], predicted_basis=prediction.basis if prediction else None,
        assumptions=assumptions, **msgspec.structs.asdict(found),
    )  # fmt: skip


def _workload(job: Job, played: Attempt) -> WorkloadFacts:
    records, traffic = played.records, job.traffic
    count = len(records.index)
    if played.concurrency:
        kind, text = "closed-loop", f"{plural(count, 'request')}, {played.concurrency} at a time"
    elif played.req_s is not None:
        kind, text = "rate", f"{plural(count, 'request')} at {played.req_s:g} req/s (Poisson)"
    else:
        speed = f", {job.speed:g} times as fast as recorded" if job.speed != 1 else " as recorded"
        gaps = f", no pause over {job.max_gap_s:g} s" if job.max_gap_s is not None else ""
        kind, text = "trace", f"{plural(count, 'request')} over {played.schedule.due_s[-1]:,.1f} s{speed}{gaps}"
    span = float(played.schedule.due_s[-1])
    keep = np.zeros(0 if traffic is None else traffic.trace.workload.requests, np.bool_)
    keep[played.schedule.chosen if traffic else []] = True
    return WorkloadFacts(
        kind=kind, text=text, source=traffic.log.inputs[0].path if traffic else f"tasks: {len(job.tasks)}",
        req_s=(count - 1) / span if span > 0 else None, concurrency=played.concurrency or None,
        cv=1.0 if played.req_s is not None else None, input_tokens=_lengths(records, "input_tokens"),
        output_tokens=_lengths(records, "output_tokens"),
        shared_share=cached_share(pick(traffic.trace.workload, keep)) if traffic else 0.0,
        seed=job.seed if played.req_s is not None else None,
    )  # fmt: skip


def _lengths(records: Records, name: str) -> LengthFacts:
    """As the server counted; else answers by their chunks, and all else as asked for."""
    counted, asked = records.counts[name], records.counts[f"asked_{name}"]
    if name == "output_tokens":
        asked = np.where(records.chunks > 0, records.chunks, asked)
    found = np.where(counted >= 0, counted, asked)
    known = found[found >= 0]
    return lengths(known.astype(np.int32)) if len(known) else LengthFacts(mean=0.0, p50=0.0, p95=0.0, max=0)


def _environment(server: ServerFacts) -> dict[str, str]:
    facts = {
        "client": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(), "costplan": __version__,
    }  # fmt: skip
    return facts | ({"gpu": ", ".join(server.gpus)} if server.gpus else {})


def _warnings(job: Job, left_out: dict[str, int], played: Attempt) -> list[str]:
    found: list[str] = []
    trace = job.traffic.trace if job.traffic else None
    if left_out:
        found.append("Not replayed: " + ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) + ".")
    if trace and trace.out_of_order:
        found.append(f"{trace.out_of_order:,} requests stood behind a later one in the trace; they have been sorted.")
    if trace and trace.sampled:
        found.append("The trace is a sample of the traffic: only the logged requests are sent.")
    if job.traffic and job.style.prompts == "synthetic" and (lacking := _without_text(job, job.traffic)):
        found.append(f"{lacking}: words are made up for all.")
    exact = played.figures.output_exact_share
    if job.traffic and not job.style.vllm and job.style.forced and exact != 1.0:
        found.append("The server takes no forced answer length: answers may be shorter than the trace's.")
    records, most = played.records, played.server.max_model_len
    tokens = records.counts["asked_input_tokens"].clip(0) + records.counts["asked_output_tokens"].clip(0)
    if most and (long := int((tokens > most).sum())):
        found.append(f"{plural(long, 'request')} over {most:,} tokens, the most that this server takes in one.")
    if uncounted := int((records.completed & (records.counts["output_tokens"] < 0)).sum()):
        found.append(
            f"The server counted no tokens for {plural(uncounted, 'answer')}: there a chunk is taken for a token, "
            "and the prompt for as long as asked."
        )
    return found


def _without_text(job: Job, traffic: Traffic) -> str:
    """`3 of 20 prompts are not in the log as a whole`; empty where the log holds all or none."""
    missing = int((traffic.text_start[job.chosen] < 0).sum())
    whole = missing in (0, len(job.chosen))
    return "" if whole else f"{missing:,} of {len(job.chosen):,} prompts are not in the log as a whole"
