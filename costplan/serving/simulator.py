"""Runs a workload through the event loop: small ones as plain Python, large ones compiled; sums nothing up.

Compiling pays from a few thousand requests on; both ways run the very same functions and give the same result.
"""

import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import FunctionType, ModuleType
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.serving import blocks, gaps, loop, queues, routes, state, windows
from costplan.serving.engine import EngineConfig
from costplan.serving.outcome import ITL_EDGES_S, Outcome
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload

COMPILE_FROM_REQUESTS = 4_000
Routing = Literal["round-robin", "least-loaded", "prefix-affinity", "shared-queue"]
_ROUTING = {
    "round-robin": routes.ROUND_ROBIN,
    "least-loaded": routes.LEAST_LOADED,
    "prefix-affinity": routes.PREFIX_AFFINITY,
    "shared-queue": routes.SHARED_QUEUE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscale:
    """Replicas come and go between `least` and the number simulated; decided at each arrival."""

    least: int
    target: float
    """Requests in flight per replica that is aimed at."""
    cold_start_s: float = 120.0
    cooldown_s: float = 300.0
    """How long fewer replicas must have been enough before one is switched off."""


def simulate(
    config: EngineConfig,
    step: StepTime,
    workload: Workload,
    *,
    replicas: int = 1,
    routing: Routing = "round-robin",
    autoscale: Autoscale | None = None,
    compiled: bool | None = None,
) -> Outcome:
    """Serve the workload on identical replicas, from an empty prefix cache to the last token.

    `compiled` None decides by size. Raises CostplanError where a request can never fit into a replica's memory.
    """
    _check(config, workload, replicas, autoscale)
    machine = _machine(config, step, workload, replicas)
    fleet = state.Fleet(
        replicas=replicas, routing=_ROUTING[routing], concurrency=workload.concurrency,
        least=autoscale.least if autoscale else replicas, target=autoscale.target if autoscale else 1.0,
        cold_start_s=autoscale.cold_start_s if autoscale else 0.0,
        cooldown_s=autoscale.cooldown_s if autoscale else 0.0,
    )  # fmt: skip
    run_state = _state(step, workload, machine, fleet)
    if workload.requests >= COMPILE_FROM_REQUESTS if compiled is None else compiled:
        _compiled().run(machine, fleet, run_state)
        return _outcome(step, run_state.requests, run_state.replicas, run_state.totals[0], run_state.itl)
    plain = state.State(*map(_plain, run_state))  # numpy's scalars would cost five times the loop
    loop.run(machine, fleet, plain)
    return _outcome(step, _Columns(plain.requests), _Columns(plain.replicas), vars(plain.totals[0]), plain.itl)


def _check(config: EngineConfig, workload: Workload, replicas: int, autoscale: Autoscale | None) -> None:
    if replicas < 1 or (autoscale and not 1 <= autoscale.least <= replicas):
        raise CostplanError(f"{replicas} replicas cannot serve anything", hint="give at least one replica")
    if config.max_num_batched_tokens < config.max_num_seqs * (1 + config.draft_tokens):
        raise CostplanError(
            f"max_num_batched_tokens {config.max_num_batched_tokens} is less than max_num_seqs {config.max_num_seqs}"
            " x tokens per decoding request: the engine would not start",
            hint=f"--max-num-batched-tokens {config.max_num_seqs * (1 + config.draft_tokens)}",
        )
    if workload.block_size != config.block_size and len(workload.shared_ids):
        raise CostplanError(
            f"prefix blocks of {workload.block_size} tokens do not fit an engine with blocks of {config.block_size}",
            hint="read the trace again with the block size of that engine",
        )
    longest = int(np.max(workload.input_tokens.astype(np.int64) + workload.output_tokens, initial=0))
    room = (config.blocks - config.watermark_blocks) * config.block_size
    if longest > room:
        raise CostplanError(
            f"a request of {longest:,} tokens does not fit into the KV cache of one replica ({max(0, room):,} tokens)",
            hint="use more or larger GPUs per replica, a smaller precision or --kv-dtype fp8",
        )


def _machine(config: EngineConfig, step: StepTime, workload: Workload, replicas: int) -> state.Machine:
    drafts, accepted = config.draft_tokens, config.acceptance
    gain = (1 - accepted ** (drafts + 1)) / (1 - accepted) if accepted < 1 else float(drafts + 1)
    return state.Machine(
        pair_s=float(step.pair_s), context_s=float(step.context_token_s), window_s=float(step.window_token_s),
        window=int(step.window), request_s=float(step.request_s), frontend_s=float(step.frontend_s),
        frontend_token_s=float(step.frontend_token_s), blocks=config.blocks, block_size=config.block_size,
        max_seqs=config.max_num_seqs, max_tokens=config.max_num_batched_tokens,
        chunked=config.chunked_prefill, caching=config.prefix_caching,
        whole_prompt=config.reserve_whole_prompt or not config.chunked_prefill,
        watermark=config.watermark_blocks, lookahead=1 + drafts,
        gain=float(gain), growth=max(1, round(config.block_size / gain)), shared_nodes=replicas * _shared(workload),
    )  # fmt: skip


def _shared(workload: Workload) -> int:
    return int(workload.shared_ids.max()) + 1 if len(workload.shared_ids) else 0


def _state(step: StepTime, workload: Workload, m: state.Machine, f: state.Fleet) -> state.State:
    n, index = workload.requests, np.arange(f.replicas)
    replicas = np.zeros(f.replicas, state.REPLICA)
    replicas["index"], replicas["free"], replicas["on"] = index, m.blocks, index < f.least
    replicas["places"], replicas["phases"] = index * m.max_seqs, index * m.growth
    replicas["nodes"] = index * _shared(workload)
    for name in ("wait_head", "wait_tail", "run_tail", "done_head", "lru_head", "lru_tail"):
        replicas[name] = -1
    requests = np.zeros(n, state.REQUEST)
    requests["index"], requests["sent_s"] = np.arange(n), workload.arrival_s
    requests["input"], requests["output"] = workload.input_tokens, workload.output_tokens
    requests["target"] = workload.input_tokens
    requests["shared_start"], requests["shared_end"] = workload.shared_offsets[:-1], workload.shared_offsets[1:]
    for name in ("wait_next", "run_prev", "run_next", "joined", "scheduled_s"):
        requests[name] = -1
    totals = np.zeros(1, state.TOTALS)
    totals["queue_head"] = -1
    return state.State(
        base_s=np.ascontiguousarray(step.base_s, np.float64), shared_ids=workload.shared_ids.astype(np.int64),
        replicas=replicas, requests=requests, nodes=np.zeros(m.shared_nodes + n, state.NODE),
        prompts=np.zeros(f.replicas * m.max_seqs, np.int64), ends=np.zeros(f.replicas * m.max_seqs, state.END),
        phases=np.zeros(f.replicas * m.growth, np.int64), itl=np.zeros(gaps.ITL_BINS, np.int64), totals=totals,
    )  # fmt: skip


class _Record:
    """One row of a record array as a plain object."""

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self.__dict__.update(zip(names, values, strict=True))


class _Columns:
    """Plain objects, read like a record array."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def __getitem__(self, name: str) -> list[Any]:
        return [getattr(row, name) for row in self._rows]


def _plain(array: NDArray[Any]) -> list[Any]:
    names = array.dtype.names
    return array.tolist() if names is None else [_Record(names, row) for row in array.tolist()]


def _outcome(step: StepTime, requests: Any, replicas: Any, totals: Any, itl: Any) -> Outcome:
    def floats(column: Any) -> NDArray[np.float64]:
        return np.array(column, np.float64)

    def counts(column: Any) -> NDArray[np.int32]:
        return np.array(column, np.int32)

    return Outcome(
        arrival_s=floats(requests["sent_s"]), scheduled_s=floats(requests["scheduled_s"]),
        first_token_s=floats(requests["first_s"]), done_s=floats(requests["done_s"]),
        cached_tokens=counts(requests["cached"]), preemptions=counts(requests["preemptions"]),
        replica=counts(requests["replica"]),
        itl_edges_s=ITL_EDGES_S,
        itl_counts=np.array(itl, np.int64), itl_sum_s=float(totals["gaps_s"]), itl_max_s=float(totals["longest_gap_s"]),
        busy_s=floats(replicas["busy_s"]), steps=np.array(replicas["steps"], np.int64),
        step_tokens=np.array(replicas["tokens"], np.int64), kv_peak_blocks=np.array(replicas["peak"], np.int64),
        replica_s=float(np.sum(floats(replicas["paid_s"]))), frontend_s=float(step.frontend_s),
    )  # fmt: skip


@cache
def _compiled() -> ModuleType:
    """A second copy of the loop's modules whose functions are compiled; the plain copy stays as it is."""
    import numba

    compile_one: Any = cast(Any, numba).njit(cache=True, error_model="numpy", _nrt=False)
    known: dict[str, Any] = {}
    twin = loop
    for plain in (blocks, queues, gaps, windows, routes, loop):
        spec = spec_from_file_location(f"{plain.__name__}_compiled", str(plain.__file__))
        assert spec is not None and spec.loader is not None
        twin = sys.modules[spec.name] = module_from_spec(spec)  # numba finds cached code by module name
        spec.loader.exec_module(twin)
        own = {k: v for k, v in vars(twin).items() if isinstance(v, FunctionType) and v.__module__ == spec.name}
        for name, function in own.items():
            known[name] = compile_one(function)
        vars(twin).update({name: known[name] for name in vars(twin) if name in known})
    return twin
