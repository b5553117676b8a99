"""Every way to use the given GPUs and the rate that one replica of each holds within the SLO; knows no money."""

from dataclasses import dataclass, replace
from math import log
from typing import Any

from costplan.breakeven.traffic import Traffic
from costplan.capacity.sustained import Layout, Tuning, layouts, sustained
from costplan.errors import CostplanError, UsageError
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import Gpu
from costplan.profiles.models import Model
from costplan.results import Basis
from costplan.serving.arrivals import Lengths
from costplan.serving.slo import Slo
from costplan.serving.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One layout at the SLO; `reason` says why it serves nothing."""

    name: str
    tp: int
    replicas: int
    weights_bytes: float = 0.0
    """Of one replica."""
    req_s: float = 0.0
    """Of one replica, at the assumed token ratio."""
    error_band: float = 0.0
    ttft_p95_s: float | None = None
    tpot_p95_s: float | None = None
    e2e_p95_s: float | None = None
    binding: str = ""
    basis: Basis = "simulated"
    reason: str = ""
    step_time: str = ""
    """Where the step times come from: `measured`, `silicon` or `estimated`."""


def served(
    count: int, gpu: Gpu, model: Model, precision: str, engine: str, tp: int | None, slo: Slo, traffic: Traffic,
    token_ratio: float, workload: Workload | None = None, tuning: Tuning | None = None,
) -> list[Served]:  # fmt: skip
    """All layouts, those that serve nothing included. Raises where none fits into memory or keeps the SLO."""
    if tp is not None and count % tp:
        raise UsageError(f"--tp {tp} does not divide {count} GPUs", hint=f"--tp {_divisors(count)}")
    found, refused = layouts(count, gpu, model, precision, find_engine(engine), tuning)
    wanted = [each for each in found if tp in (None, each.gpus_per_replica)]
    rows = [_measured(layout, slo, traffic, token_ratio, workload) for layout in wanted]
    rows += [
        Served(name=name, tp=int(name.rpartition("TP")[2]), replicas=int(name.partition(" ")[0]), reason=reason)
        for name, reason in refused.items()
        if tp in (None, int(name.rpartition("TP")[2]))
    ]
    if not any(row.req_s > 0 for row in rows):
        raise _nothing_serves(rows, gpu, model, slo)
    return sorted(rows, key=lambda row: -row.tp)


def _measured(layout: Layout, slo: Slo, traffic: Traffic, ratio: float, workload: Workload | None) -> Served:
    what: Workload | tuple[Lengths, Lengths] = (
        _lengths(traffic, ratio) if workload is None else _scaled(workload, ratio)
    )
    share = traffic.prefix_hit if workload is None else 0.0
    result = sustained(layout, what, slo, prefix_share=share)
    reason = "" if result.req_s > 0 else f"misses {result.target or slo} even for one request at a time"
    return Served(
        name=f"{layout.replicas} x TP{layout.gpus_per_replica}", tp=layout.gpus_per_replica, replicas=layout.replicas,
        weights_bytes=float(layout.memory.weights_bytes) * layout.gpus_per_replica, req_s=result.req_s,
        error_band=result.error_band, ttft_p95_s=result.ttft_p95_s, tpot_p95_s=result.tpot_p95_s,
        e2e_p95_s=result.e2e_p95_s, binding=result.target or result.binding, basis=result.basis, reason=reason,
        step_time=layout.step.basis,
    )  # fmt: skip


def _lengths(traffic: Traffic, ratio: float) -> tuple[Lengths, Lengths]:
    """In the open model's tokens; constant lengths where only the mean is known."""
    if traffic.lengths is not None:
        return _stretched(traffic.lengths[0], ratio), _stretched(traffic.lengths[1], ratio)
    means = (traffic.input_tokens * ratio, traffic.output_tokens * ratio)
    known = [Lengths(f"{mean:.0f}", mu=log(max(mean, 1.0))) for mean in means]
    return known[0], known[1]


def _stretched(lengths: Lengths, ratio: float) -> Lengths:
    if lengths.listed is not None:
        return replace(lengths, listed=(lengths.listed * ratio).round().clip(1).astype("int64"))
    return replace(lengths, mu=lengths.mu + log(ratio))


def _scaled(workload: Workload, ratio: float) -> Workload:
    """Prompts and answers of a trace in the open model's tokens; shared blocks stay as many as they were."""

    def tokens(column: Any) -> Any:
        return (column * ratio).round().clip(1).astype("int32")

    return replace(
        workload, input_tokens=tokens(workload.input_tokens), output_tokens=tokens(workload.output_tokens)
    )  # fmt: skip


def _nothing_serves(rows: list[Served], gpu: Gpu, model: Model, slo: Slo) -> CostplanError:
    slow = next((row for row in rows if row.weights_bytes), None)
    if slow is not None:
        return CostplanError(
            f"{model.id} on {gpu.name}: no layout keeps {slo} ({slow.name}: {slow.reason})",
            hint="a looser --slo, a smaller --precision, more GPUs per replica or another --gpus",
        )
    reason = rows[0].reason if rows else "no layout"
    return CostplanError(f"{reason}", hint="--precision awq, more GPUs (--gpus 8xA100) or a smaller --model")


def _divisors(count: int) -> str:
    return ", ".join(str(n) for n in range(1, count + 1) if count % n == 0)
