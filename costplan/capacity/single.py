"""`costplan simulate`: one serving configuration under one workload -> the simulation document; it knows no prices."""

import math
from dataclasses import replace
from typing import cast

import msgspec
import numpy as np

from costplan.capacity.layout import (
    Layout,
    Tuning,
    basis_of,
    config_facts,
    error_bands,
    layout_of,
    parse_speculative,
    servable,
)
from costplan.capacity.measured import check_covered, single_profile
from costplan.capacity.steady import Balance, balance, highest_rate
from costplan.capacity.sustained import cached_share, shape_of
from costplan.capacity.trace import Progress, Trace, read_trace
from costplan.errors import UsageError
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import parse_gpus
from costplan.profiles.measured import MeasuredProfile
from costplan.profiles.models import find_model
from costplan.results import Assumption
from costplan.results.serving import Simulation, Verdict, WorkloadFacts
from costplan.serving.arrivals import Load, first, is_open_ended, make, parse_lengths, parse_rate, shared_prefix
from costplan.serving.measured import beyond, in_flight
from costplan.serving.outcome import Outcome
from costplan.serving.simulator import Autoscale, Routing, simulate
from costplan.serving.slo import Slo, judge, parse_slo
from costplan.serving.static import simulate_static
from costplan.serving.summary import lengths, summarise
from costplan.serving.workload import Workload
from costplan.settings import AnalyzeSettings, SimulateSettings
from costplan.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, plural

AUTOSCALE_LOAD = 0.7
"""Replicas are added so that each runs at this share of the rate it could balance."""
_ONE_OF = "give one of --rate 5, --rate inf --requests 1000, --concurrency 25 --requests 500, --trace FILE"


def run_simulation(settings: SimulateSettings, report: Progress | None = None) -> Simulation:
    """Raises CostplanError for what does not exist, does not fit or contradicts itself."""
    settings, profile = single_profile(settings)
    slo = parse_slo(settings.slo) if settings.slo else Slo()
    _check_load(settings)
    load = _load(settings) if settings.trace is None else None
    engine = find_engine(settings.engine)
    trace = _trace(settings, profile.block_size if profile else engine.block_size, report)
    layout = _layout(settings, profile, trace.workload if trace else None)
    if settings.routing != "round-robin" and layout.replicas == 1:
        raise UsageError(f"--routing {settings.routing} changes nothing: there is one replica", hint="--replicas 2")
    workload, rejected = _workload(settings, load, trace, layout)
    autoscale = _autoscale(settings, layout, workload, slo)
    outcome = _served(settings, layout, workload, autoscale)
    edges = None
    if load is not None and len(load.stages) > 1:
        edges = np.cumsum([0.0, *(stage.seconds or 0.0 for stage in load.stages)])
    found = summarise(outcome, workload, slo, blocks=layout.config.blocks, rejected=rejected, edges_s=edges)
    bands = error_bands(layout.engine)
    extra: list[tuple[str, object]] = [("routing", settings.routing), ("kv_requests", _room(layout, workload))]
    if autoscale:
        extra += [("autoscale", settings.autoscale_range), ("cold_start_s", autoscale.cold_start_s)]
    return Simulation(
        workload=_facts(settings, load, trace, workload), config=config_facts(layout, extra),
        **msgspec.structs.asdict(found),
        slo=[Verdict(target=t.text, value=v, limit=t.limit, met=t.met(v)) for t, v in judge(slo, found.value)],
        basis=basis_of(layout), error_band=bands, error_source=layout.engine.speed.source,
        assumptions=_assumptions(settings, layout, autoscale), warnings=_warnings(layout, trace, rejected, bool(bands))
        + (beyond(profile, int(workload.input_tokens.max()), in_flight(outcome)) if profile else []),
    )  # fmt: skip


def _served(settings: SimulateSettings, layout: Layout, workload: Workload, autoscale: Autoscale | None) -> Outcome:
    """By the engine, or in fixed batches by the one that has no scheduler."""
    if layout.engine.name != "naive":
        return simulate(
            layout.config, layout.step, workload, replicas=layout.replicas, routing=routing_of(settings.routing),
            autoscale=autoscale,
        )  # fmt: skip
    if layout.replicas > 1 or settings.concurrency is not None or settings.speculative is not None:
        raise UsageError(
            "--engine naive: fixed batches are simulated for one replica, with arrivals, without drafts",
            hint="--gpus 1xA100 --rate 5, or --tp with several GPUs",
        )
    longest = int((workload.input_tokens.astype(np.int64) + workload.output_tokens).max())
    room = layout.config.blocks * layout.config.block_size
    return simulate_static(
        layout.step, workload, kv_tokens=room, max_length=longest, max_batch=layout.config.max_num_seqs
    )


def _room(layout: Layout, workload: Workload) -> int:
    """Requests of mean length that the KV cache of one replica holds at once."""
    tokens = float(workload.input_tokens.mean() + workload.output_tokens.mean())
    return layout.config.blocks // max(1, math.ceil(tokens / layout.config.block_size))


def _check_load(settings: SimulateSettings) -> None:
    given = [name for name in ("trace", "rate", "concurrency") if getattr(settings, name) is not None]
    if len(given) != 1:
        said = " and ".join(f"--{name}" for name in given) + " contradict each other" if given else "no load is given"
        raise UsageError(said, hint=_ONE_OF)
    for name in ("input", "output", "cv") if settings.trace is not None else ():
        if getattr(settings, name) is not None:
            raise UsageError(f"--trace and --{name}: the trace says that itself", hint=f"leave out --{name}")
    for name in ("input", "output") if settings.trace is None else ():
        if getattr(settings, name) is None:
            raise UsageError(f"--{name} is missing: how long are the requests?", hint="--input 547 --output 248")
    if settings.concurrency is not None and settings.requests is None:
        raise UsageError("--concurrency needs a number of requests", hint="--concurrency 25 --requests 500")
    if settings.concurrency is not None and settings.cv is not None:
        raise UsageError("--cv spreads arrivals, and a closed loop has none", hint="use --rate, or leave out --cv")
    if settings.rate is not None and settings.rate.strip() == "inf" and settings.cv is not None:
        raise UsageError("--cv spreads arrivals, and these come all at once", hint="--rate 5, or leave out --cv")


def _load(settings: SimulateSettings) -> Load:
    stages = parse_rate(settings.rate) if settings.rate is not None else ()
    if stages and math.isinf(stages[0].req_s) and settings.requests is None:
        raise UsageError("--rate inf needs a number of requests", hint="--rate inf --requests 1000")
    if stages and stages[0].seconds is not None and settings.requests is not None:
        raise UsageError("--requests and stages with durations contradict each other", hint="leave out --requests")
    return Load(
        stages=stages, concurrency=settings.concurrency or 0, requests=settings.requests,
        cv=1.0 if settings.cv is None else settings.cv, input=parse_lengths(settings.input or "", "--input"),
        output=parse_lengths(settings.output or "", "--output"), prefix_share=settings.prefix_hit or 0.0,
        seed=settings.seed,
    )  # fmt: skip


def _trace(settings: SimulateSettings, block_size: int, report: Progress | None) -> Trace | None:
    if settings.trace is None:
        return None
    trace = read_trace([settings.trace], AnalyzeSettings(), block_size, report)
    workload = first(trace.workload, min(settings.requests or trace.workload.requests, trace.workload.requests))
    if settings.prefix_hit is not None:
        if len(workload.shared_ids):
            raise UsageError(
                "--prefix-hit contradicts the trace, which holds its own prefixes", hint="leave out --prefix-hit"
            )
        offsets, ids = shared_prefix(workload.input_tokens, settings.prefix_hit, block_size)
        workload = replace(workload, shared_offsets=offsets, shared_ids=ids)
    return replace(trace, workload=workload)


def _layout(settings: SimulateSettings, profile: MeasuredProfile | None, trace: Workload | None) -> Layout:
    if settings.model is None or settings.gpus is None:
        missing = "--model" if settings.model is None else "--gpus"
        raise UsageError(f"{missing} is missing", hint="--model meta-llama/Llama-3.1-8B-Instruct --gpus 1xA100-80GB")
    count, gpu = parse_gpus(settings.gpus)
    model = find_model(settings.model)
    most = _autoscale_range(settings.autoscale_range)[1] if settings.autoscale_range else settings.replicas
    tp = settings.tp if settings.tp is not None else max(1, count // most) if most else count
    replicas = most if most is not None else max(1, count // max(tp, 1))
    if tp * replicas != count:
        raise UsageError(
            f"{plural(replicas, 'replica')} of {plural(tp, 'GPU')}: {tp * replicas} in all, and --gpus says {count}",
            hint=f"--gpus {tp * replicas}x{gpu.name} --tp {tp}" + (f" --replicas {replicas}" if replicas > 1 else ""),
        )
    drafts, acceptance = parse_speculative(settings.speculative) if settings.speculative else (0, 0.0)
    tuning = Tuning(
        kv_dtype=settings.kv_dtype, max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens, draft_tokens=drafts, acceptance=acceptance,
        measured=profile,
    )  # fmt: skip
    if trace is not None:
        tuning = replace(tuning, tokens=int(trace.input_tokens.mean() + trace.output_tokens.mean()))
    precision = settings.precision or model.native_precision
    if profile is not None and settings.profile is not None:
        check_covered(profile, settings.profile, model, [gpu], (tp,), (precision,), settings.kv_dtype)
    return layout_of(
        model, gpu, find_engine(settings.engine), tp=tp, replicas=replicas, precision=precision, tuning=tuning
    )


def _workload(
    settings: SimulateSettings, load: Load | None, trace: Trace | None, layout: Layout
) -> tuple[Workload, int]:
    """(the requests a server would accept, how many it would refuse as longer than its context)."""
    workload = make(load, layout.config.block_size) if load else None
    if workload is None:
        assert trace is not None
        workload = trace.workload
    return servable(workload, layout)


def routing_of(name: str) -> Routing:
    """The routing of that name, which the settings have checked."""
    return cast(Routing, name)


def _autoscale_range(text: str) -> tuple[int, int]:
    least, _, most = text.partition(":")
    if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most)):
        raise UsageError(f"--autoscale {text}: not a lowest and a highest number of replicas", hint="--autoscale 1:4")
    return int(least), int(most)


def _autoscale(settings: SimulateSettings, layout: Layout, workload: Workload, slo: Slo) -> Autoscale | None:
    if settings.autoscale_range is None:
        return None
    least, most = _autoscale_range(settings.autoscale_range)
    if settings.replicas is not None and settings.replicas != most:
        raise UsageError(
            f"--replicas {settings.replicas} and --autoscale {settings.autoscale_range} contradict each other",
            hint="leave out --replicas",
        )
    return Autoscale(least=least, target=target_in_flight(layout, workload, slo), cold_start_s=settings.cold_start)


def target_in_flight(layout: Layout, workload: Workload, slo: Slo) -> float:
    """Requests in flight that a replica is meant to hold: those at 70 % of the rate it balances within the SLO."""
    shape = shape_of(workload, layout.config.prefix_caching)
    limit = min((t.limit for t in slo.targets if t.metric == "tpot"), default=float("inf"))
    found = balance(layout, shape, AUTOSCALE_LOAD * highest_rate(layout, shape, limit))
    return max(1.0, found.running) if isinstance(found, Balance) else 1.0


def _facts(settings: SimulateSettings, load: Load | None, trace: Trace | None, workload: Workload) -> WorkloadFacts:
    facts = trace_facts(workload, trace.inputs[0].path if trace else None)
    if load is None:
        return facts
    kind, text, req_s = _in_words(load, workload.requests)
    timed = kind in ("rate", "stages")
    return msgspec.structs.replace(
        facts, kind=kind, text=text, req_s=req_s, concurrency=load.concurrency or None, seed=load.seed,
        cv=load.cv if timed else None,
    )  # fmt: skip


def trace_facts(workload: Workload, source: str | None) -> WorkloadFacts:
    """The requests of a trace in figures."""
    span = float(workload.arrival_s[-1] - workload.arrival_s[0])
    return WorkloadFacts(
        kind="trace", text=f"{plural(workload.requests, 'request')} of a trace over {_lasting(span)}", source=source,
        req_s=(workload.requests - 1) / span if span > 0 else None, input_tokens=lengths(workload.input_tokens),
        output_tokens=lengths(workload.output_tokens), shared_share=cached_share(workload),
    )  # fmt: skip


def _lasting(seconds: float) -> str:
    """`72 s`, `1.67 h`, `10.0 days`"""
    if seconds < SECONDS_PER_HOUR:
        return f"{seconds:,.0f} s"
    size, unit = (SECONDS_PER_DAY, "days") if seconds >= 2 * SECONDS_PER_DAY else (SECONDS_PER_HOUR, "h")
    return f"{seconds / size:,.{1 if seconds >= 10 * size else 2}f} {unit}"


def _in_words(load: Load, requests: int) -> tuple[str, str, float | None]:
    """(kind, description, mean rate) of a made-up load."""
    if not load.stages:
        return "closed-loop", f"{plural(requests, 'request')}, {load.concurrency} at a time", None
    if math.isinf(load.stages[0].req_s):
        return "all-at-once", f"{plural(requests, 'request')} at once", None
    process = "Poisson" if load.cv == 1 else "even gaps" if load.cv == 0 else f"gamma, cv {load.cv:g}"
    if load.stages[0].seconds is None:
        rate = load.stages[0].req_s
        until = "without end" if is_open_ended(load) else plural(requests, "request")
        return "rate", f"{rate:g} req/s, {until} ({process})", rate
    seconds = sum(stage.seconds or 0.0 for stage in load.stages)
    rate = sum(stage.req_s * (stage.seconds or 0.0) for stage in load.stages) / seconds
    steps = ", then ".join(f"{stage.req_s:g} req/s for {stage.seconds:g} s" for stage in load.stages)
    return "stages", f"{steps} ({process})", rate


def _assumptions(settings: SimulateSettings, layout: Layout, autoscale: Autoscale | None) -> list[Assumption]:
    config, measured = layout.config, layout.step.basis == "measured"
    default = "measured profile" if measured else "engine default"
    given = "measured profile or flag" if measured else "flag"
    found = [
        ("precision", layout.precision, given if settings.precision else "the checkpoint's own"),
        ("engine", layout.engine.label, given if settings.engine != "vllm" else "newest profile"),
        ("max_num_seqs", str(config.max_num_seqs), "flag" if settings.max_num_seqs else default),
        ("max_num_batched_tokens", str(config.max_num_batched_tokens),
         "flag" if settings.max_num_batched_tokens else default),
        ("step time", layout.step.basis, layout.engine.speed.source),
    ]  # fmt: skip
    if config.draft_tokens:
        found.append(("draft model", "one layer and the output matrix, as in EAGLE", "assumed"))
    if autoscale:
        found.append(("requests in flight aimed at", f"{autoscale.target:.0f} per replica", "70 % of balance"))
        found.append(("cold start", f"{autoscale.cold_start_s:g} s", "option"))
    return [Assumption(name=name, value=value, origin=origin) for name, value, origin in found]


def _warnings(layout: Layout, trace: Trace | None, rejected: int, fitted: bool) -> list[str]:
    found: list[str] = []
    if layout.engine.name == "naive":
        found.append("Fixed batches, no scheduler: a batch is padded and runs until its longest answer is done.")
    if not layout.engine.exact:
        found.append(f"There is no profile of that engine version; the nearest is used: {layout.engine.label}.")
    if not fitted:
        found.append("The engine profile states no fitted error: take latencies as ±25 % at best.")
    if rejected:
        found.append(f"{rejected:,} requests are longer than a replica takes: a server would refuse them.")
    return found + (trace_warnings(trace) if trace else [])


def trace_warnings(trace: Trace) -> list[str]:
    """What was done to the trace before it was replayed."""
    found: list[str] = []
    if trace.out_of_order:
        found.append(f"{trace.out_of_order:,} requests stood behind a later one in the trace; they have been sorted.")
    if trace.left_out:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in trace.left_out.items())
        found.append(f"Left out: {listed}.")
    if trace.sampled:
        found.append("The trace is a sample of the traffic: the fleet serves the logged requests only.")
    return found
