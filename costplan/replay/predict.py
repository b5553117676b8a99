"""The requests that were measured, simulated: both go through the same arithmetic; it measures nothing itself.

Arrivals are those of the run (in a closed loop its concurrency), lengths the server's own counts, prefixes the trace's.
Blocks of generated tokens are left out: a replayed answer is not the logged one that the next turn repeats.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.capacity.layout import Layout, Tuning, config_facts, error_bands, layout_of
from costplan.capacity.measured import check_covered
from costplan.capacity.trace import trace_of, workload_of
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import parse_gpus
from costplan.profiles.measured import load_profile
from costplan.profiles.models import find_model
from costplan.replay.measure import Figures, Records, figures
from costplan.replay.schedule import Schedule
from costplan.replay.traffic import Traffic
from costplan.results.measurement import PredictedFigure, ServerFacts
from costplan.results.serving import ServingConfig
from costplan.serving.outcome import Outcome
from costplan.serving.simulator import simulate
from costplan.serving.slo import Slo
from costplan.serving.workload import Workload
from costplan.settings import ReplaySettings

_FIGURES = (
    "req_s", "output_tok_s", "ttft_s.p50", "ttft_s.p95", "tpot_s.p50", "tpot_s.p95", "e2e_s.p50", "e2e_s.p95",
    "prefix_hit_share",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Measured beside simulated."""

    config: ServingConfig
    figures: list[PredictedFigure]
    basis: str


def gpus_of(settings: ReplaySettings) -> str | None:
    """What the server runs on, `1xA100`: as the user says, else as the profile does."""
    if settings.gpus is not None or settings.profile is None:
        return settings.gpus
    profile = load_profile(settings.profile)
    return f"{profile.tp}x{profile.gpu}"


def served_layout(settings: ReplaySettings, server: ServerFacts) -> Layout:
    """The layout that is being measured, with the limits and the cache that the server states.

    Raises CostplanError where the model or the GPU is not known, the model does not fit, or the profile is of another.
    """
    profile = load_profile(settings.profile) if settings.profile else None
    count, gpu = parse_gpus(gpus_of(settings) or "")
    model = find_model(settings.known_as or (profile.model if profile else server.model))
    release = server.version.split("+")[0] if server.kind == "vllm" and server.version else ""
    engine = find_engine(profile.engine if profile else f"vllm@{release}" if release else "vllm")
    if server.block_size:
        engine = replace(engine, block_size=server.block_size)
    stated = profile.precision if profile else model.native_precision
    tp, precision = settings.tp or count, settings.precision or settings.quantization or stated
    tuning = Tuning(
        max_num_seqs=server.max_num_seqs, max_num_batched_tokens=server.max_num_batched_tokens, measured=profile,
        kv_dtype=profile.kv_dtype if profile else "auto",
    )  # fmt: skip
    if profile is not None and settings.profile is not None:
        check_covered(profile, settings.profile, model, [gpu], (tp,), (precision,))
    layout = layout_of(
        model, gpu, engine, tp=tp, replicas=max(1, count // tp), precision=precision, tuning=tuning
    )  # fmt: skip
    if server.kv_blocks:
        layout = replace(layout, config=replace(layout.config, blocks=server.kv_blocks))
    return layout


def predict(
    traffic: Traffic, schedule: Schedule, records: Records, measured: Figures, layout: Layout, *, concurrency: int = 0
) -> Prediction:
    """Simulate what was sent and set both side by side."""
    workload = as_sent(traffic, schedule, records, layout.config.block_size, concurrency)
    outcome = simulate(layout.config, layout.step, workload, replicas=layout.replicas)
    hits = {"prefix_cache_hits": outcome.cached_tokens.sum(), "prefix_cache_queries": workload.input_tokens.sum()}
    stand_in = ServerFacts(url="", kind="simulated", model="", counters={k: float(v) for k, v in hits.items()})
    simulated = figures(as_records(outcome, workload), Slo(), stand_in, open_loop=not concurrency)
    bands = ", ".join(f"{name} ±{100 * share:.0f}%" for name, share in error_bands(layout.engine).items())
    return Prediction(
        config=config_facts(layout), figures=[_beside(name, measured, simulated) for name in _FIGURES],
        basis=f"simulated, step times {layout.step.basis}" + (f"; stated errors {bands}" if bands else ""),
    )  # fmt: skip


def as_sent(traffic: Traffic, schedule: Schedule, records: Records, block_size: int, concurrency: int) -> Workload:
    """The workload the server saw: prefix blocks cut anew at its own block size and token counts."""
    _, rows = trace_of(traffic.log, block_size, timed=traffic.timed)
    at = schedule.chosen[records.index[records.sent]]
    for name in ("input_tokens", "output_tokens"):
        counted = records.counts[name][records.sent]
        rows[name][at] = np.where(counted > 0, counted, rows[name][at])
    whole = workload_of(rows, block_size)
    shared = np.minimum(np.diff(whole.shared_offsets), whole.input_tokens // block_size)[at]
    offsets = np.concatenate([[0], np.cumsum(shared)]).astype(np.int64)
    index: NDArray[np.int64] = np.repeat(whole.shared_offsets[:-1][at] - offsets[:-1], shared)
    index = index + np.arange(len(index))
    due = records.times["due_s"][records.sent]
    return replace(
        whole, arrival_s=due - due[0], input_tokens=whole.input_tokens[at], output_tokens=whole.output_tokens[at],
        shared_offsets=offsets, shared_ids=whole.shared_ids[index], concurrency=concurrency,
    )  # fmt: skip


def as_records(outcome: Outcome, workload: Workload) -> Records:
    """A simulated run as the client would have written it down; gaps are known as a histogram only and left out."""
    count = workload.requests
    moments = {"first_token_s": outcome.first_token_s, "last_token_s": outcome.done_s, "done_s": outcome.done_s}
    counts: dict[str, Any] = {
        "input_tokens": workload.input_tokens, "output_tokens": workload.output_tokens,
        "cached_tokens": outcome.cached_tokens, "asked_input_tokens": workload.input_tokens,
        "asked_output_tokens": workload.output_tokens,
    }  # fmt: skip
    everyone = np.ones(count, np.bool_)
    return Records(
        index=np.arange(count), times=dict.fromkeys(("due_s", "dispatched_s", "sent_s"), outcome.arrival_s) | moments,
        counts={name: np.asarray(values, np.int64) for name, values in counts.items()}, completed=everyone,
        sent=everyone, chunks=workload.output_tokens.astype(np.int64), gaps_s=np.zeros(0),
        gap_request=np.zeros(0, np.int64), failures={},
    )  # fmt: skip


def _beside(name: str, measured: Figures, simulated: Figures) -> PredictedFigure:
    ours, theirs = _figure(measured, name), _figure(simulated, name)
    error = theirs / ours - 1 if ours and theirs is not None else None
    return PredictedFigure(figure=name, measured=ours, predicted=theirs, error_share=error)


def _figure(found: Figures, name: str) -> float | None:
    field, _, statistic = name.partition(".")
    value: Any = getattr(found, field)
    return getattr(value, statistic) if statistic else value
