"""How GPUs are cut into replicas of an engine, and what does not fit; knows neither traffic nor money."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from costplan.errors import CostplanError, UsageError
from costplan.profiles.engines import Engine
from costplan.profiles.gpus import Gpu
from costplan.profiles.measured import MeasuredProfile
from costplan.profiles.models import Model
from costplan.results import Basis
from costplan.results.serving import ServingConfig
from costplan.serving.arrivals import pick
from costplan.serving.engine import EngineConfig
from costplan.serving.measured import covers, measured_engine, measured_step
from costplan.serving.memory import Memory, memory
from costplan.serving.roofline import roofline
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload

UNFITTED_ERROR = 0.25
"""Assumed for an engine profile without fitted error bands."""
MAX_TP = 16
TYPICAL_TOKENS = 2048


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """`replicas` equal replicas of `gpus_per_replica` GPUs (tensor parallel)."""

    gpu: Gpu
    gpus_per_replica: int
    replicas: int
    model: Model
    precision: str
    kv_dtype: str
    engine: Engine
    config: EngineConfig
    step: StepTime
    memory: Memory

    @property
    def gpus(self) -> int:
        return self.gpus_per_replica * self.replicas

    @property
    def name(self) -> str:
        """`2 x TP2 A100-80GB bf16`"""
        return f"{self.replicas} x TP{self.gpus_per_replica} {self.gpu.name} {self.precision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What of the engine's settings the user changed; None = the engine's own default on that GPU."""

    kv_dtype: str = "auto"
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    prefix_caching: bool = True
    draft_tokens: int = 0
    acceptance: float = 0.0
    tokens: int = TYPICAL_TOKENS
    """Of a typical request: with sliding windows, blocks hold more of long requests."""
    measured: MeasuredProfile | None = None
    """Its step times and limits hold for the layouts it covers; the others stay estimated."""


def layout_of(
    model: Model, gpu: Gpu, engine: Engine, *, tp: int = 1, replicas: int = 1, precision: str = "bf16",
    tuning: Tuning | None = None,
) -> Layout:  # fmt: skip
    """One layout; raises CostplanError where it cannot be split so or leaves no room for a KV cache."""
    tuning = tuning or Tuning()
    engine, profile = engine.on(gpu), tuning.measured
    if profile is not None and not covers(profile, model, gpu, tp, precision, tuning.kv_dtype):
        profile = None
    if profile is not None:
        engine = measured_engine(profile, engine)
    drafts = tuning.draft_tokens
    budget = tuning.max_num_batched_tokens or engine.max_num_batched_tokens
    seqs = tuning.max_num_seqs or max(1, min(engine.max_num_seqs, budget // (1 + drafts)))
    shape = {"tp": tp, "max_tokens": budget, "max_num_seqs": seqs}
    room = memory(model, gpu, engine, precision=precision, kv_dtype=tuning.kv_dtype, **shape)
    if profile is not None:
        step = measured_step(profile, model, budget)
        room = room if profile.kv_blocks is None else room.holding(profile.kv_blocks, tuning.tokens)
    else:
        step = roofline(model, gpu, engine, precision=precision, kv_dtype=tuning.kv_dtype, **shape)
    blocks = room.blocks(tuning.tokens)
    config = EngineConfig(
        blocks=blocks, block_size=engine.block_size, max_num_seqs=seqs, max_num_batched_tokens=budget,
        prefix_caching=engine.prefix_caching and tuning.prefix_caching,
        chunked_prefill=engine.chunked_prefill, reserve_whole_prompt=engine.reserve_whole_prompt,
        watermark_blocks=int(engine.watermark * blocks),
        draft_tokens=drafts, acceptance=tuning.acceptance,
    )  # fmt: skip
    return Layout(
        gpu=gpu, gpus_per_replica=tp, replicas=replicas, model=model, precision=precision, kv_dtype=tuning.kv_dtype,
        engine=engine, config=config, step=_with_drafts(step, model, drafts), memory=room,
    )  # fmt: skip


def layouts(
    count: int, gpu: Gpu, model: Model, precision: str, engine: Engine, tuning: Tuning | None = None
) -> tuple[list[Layout], dict[str, str]]:
    """(every way to cut `count` GPUs into equal replicas, largest replicas first; why the other ways do not fit).

    4 x A100: 1 x TP4, 2 x TP2, 4 x TP1.
    """
    found: list[Layout] = []
    refused: dict[str, str] = {}
    for tp in sorted((n for n in range(1, min(count, MAX_TP) + 1) if count % n == 0), reverse=True):
        try:
            found.append(layout_of(model, gpu, engine, tp=tp, replicas=count // tp, precision=precision, tuning=tuning))
        except CostplanError as error:
            refused[f"{count // tp} x TP{tp}"] = error.message
    return found, refused


def servable(workload: Workload, layout: Layout) -> tuple[Workload, int]:
    """(requests that fit the model's context and one replica's cache, how many do not)."""
    room = min(
        layout.model.max_context, (layout.config.blocks - layout.config.watermark_blocks) * layout.config.block_size
    )
    fits = workload.input_tokens.astype(np.int64) + workload.output_tokens <= room
    if not fits.any():
        longest = int((workload.input_tokens.astype(np.int64) + workload.output_tokens).min())
        limit = "the model's context" if room == layout.model.max_context else "the KV cache of one replica"
        raise CostplanError(
            f"every request is longer ({longest:,} tokens and more) than {limit} ({room:,} tokens)",
            hint="shorter requests, a model with a longer context, or more memory per replica (--tp, --kv-dtype fp8)",
        )
    return (workload, 0) if fits.all() else (pick(workload, fits), int((~fits).sum()))


def parse_speculative(text: str) -> tuple[int, float]:
    """(tokens drafted, probability that one is accepted) of `3,0.7`."""
    try:
        drafts, acceptance = text.split(",")
        k, alpha = int(drafts), float(acceptance)
    except ValueError:
        raise UsageError(f"--speculative {text}: not a count and a share", hint="--speculative 3,0.7") from None
    if not (1 <= k <= 16 and 0 <= alpha <= 1):
        raise UsageError(f"--speculative {text}: 1 to 16 tokens, accepted from 0 to 1", hint="--speculative 3,0.7")
    return k, alpha


def error_bands(engine: Engine) -> dict[str, float]:
    """Median absolute error by figure that the engine's profile was fitted with; empty where it says nothing."""
    values = engine.speed.values
    return {key.split(".", 1)[1]: values[key] for key in sorted(values) if key.startswith("error.")}


def basis_of(layout: Layout) -> Basis:
    """Simulated figures count as measured where the step times below them are."""
    return "measured" if layout.step.basis == "measured" else "simulated"


def throughput_error(engine: Engine) -> float:
    """Of requests a second, as a share."""
    return error_bands(engine).get("throughput", UNFITTED_ERROR)


def config_facts(layout: Layout, extra: Sequence[tuple[str, object]] = ()) -> ServingConfig:
    """The layout as the document shows it; `extra` holds routing and autoscaling."""
    config, room = layout.config, layout.memory
    facts = ServingConfig(
        model=layout.model.id, gpu=layout.gpu.name, gpus=layout.gpus, tp=layout.gpus_per_replica,
        replicas=layout.replicas, precision=layout.precision, kv_dtype=layout.kv_dtype, engine=layout.engine.label,
        engine_asked=f"{layout.engine.name}@{layout.engine.requested or layout.engine.version}",
        max_num_seqs=config.max_num_seqs, max_num_batched_tokens=config.max_num_batched_tokens,
        block_size=config.block_size, kv_blocks=config.blocks, kv_tokens=config.blocks * config.block_size,
        weights_bytes_gpu=room.weights_bytes, kv_bytes_gpu=room.kv_bytes, memory_bytes_gpu=layout.gpu.memory_bytes,
        draft_tokens=config.draft_tokens, acceptance=config.acceptance if config.draft_tokens else None,
        step_time=layout.step.basis,
    )  # fmt: skip
    return facts if not extra else _changed(facts, dict(extra))


def _changed(facts: ServingConfig, changes: dict[str, object]) -> ServingConfig:
    import msgspec

    return msgspec.structs.replace(facts, **changes)


def _with_drafts(step: StepTime, model: Model, drafts: int) -> StepTime:
    """Drafting costs k passes of a head the size of one layer and the output matrix (EAGLE), at the speed of decoding.

    Its share of a whole pass is 1/layers and the output matrix over all weights, about 12 layers of hidden² each.
    """
    if not drafts:
        return step
    body = model.layers * (4 * model.hidden**2 + 3 * model.hidden * model.width)
    share = (body / model.layers + model.vocab * model.hidden) / (body + model.vocab * model.hidden)
    return replace(step, base_s=step.base_s + drafts * share * step.base_s[1])
