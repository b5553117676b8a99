"""simulation.json and capacity.json: every key path; a measurement has the shape of a simulation.

Seconds, whole tokens, shares from 0 to 1. None = there is no such figure (a closed loop has no sustainable rate, an
open-ended rate above capacity no latency).
"""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Basis, Estimate, Input

SIMULATION_SCHEMA = "costplan/simulation/1"
CAPACITY_SCHEMA = "costplan/capacity/1"


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A latency over all completed requests; the gaps between tokens over all gaps."""

    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class LengthFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of prompts or answers."""

    mean: float
    p50: float
    p95: float
    max: int


class WorkloadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent."""

    kind: Literal["rate", "stages", "all-at-once", "closed-loop", "trace"]
    text: str
    """In words, for people."""
    source: str | None = None
    req_s: float | None = None
    """Mean rate offered; None in a closed loop and for requests that come all at once."""
    concurrency: int | None = None
    cv: float | None = None
    input_tokens: LengthFacts
    output_tokens: LengthFacts
    shared_share: float
    """Share of all prompt blocks that other requests hold too: the most a prefix cache can find."""
    seed: int | None = None


class ServingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One fleet, with every default filled in."""

    model: str
    gpu: str
    gpus: int
    tp: int
    replicas: int
    precision: str
    kv_dtype: str
    engine: str
    engine_asked: str
    """`vllm@0.15.1`; the profile used is the nearest one known."""
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int
    kv_blocks: int
    kv_tokens: int
    kv_requests: int = 0
    """Requests of the workload's mean length that the cache of one replica holds at once."""
    weights_bytes_gpu: int
    kv_bytes_gpu: int
    memory_bytes_gpu: int
    routing: str = "round-robin"
    autoscale: str | None = None
    cold_start_s: float | None = None
    draft_tokens: int = 0
    acceptance: float | None = None
    step_time: str
    """What the step times rest on: measured, silicon or estimated (roofline with fitted efficiencies)."""


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    sent: int
    completed: int
    failed: int
    unsent: int


class KvFacts(msgspec.Struct, frozen=True, kw_only=True):
    peak_share: float | None
    preemptions: int | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of the SLO."""

    target: str
    value: float | None
    limit: float
    """Seconds, or a share for goodput."""
    met: bool


class RunFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the requests of a run come to, simulated or measured."""

    requests: RequestCounts
    duration_s: float
    req_s: float
    input_tok_s: float
    output_tok_s: float
    ttft_s: Spread
    tpot_s: Spread
    itl_s: Spread
    e2e_s: Spread
    queue_s: Spread
    goodput_share: float | None
    """Of the requests sent, those inside every latency limit; None without limits."""
    goodput_req_s: float | None
    kv: KvFacts
    prefix_hit_share: float | None
    """Prompt tokens found in the prefix cache."""
    saturated: bool
    """The queue grew during an open loop."""
    sustainable_req_s: float | None
    """What got done then, requests a second."""

    def value(self, metric: str, statistic: str) -> float | None:
        """The figure an SLO target names."""
        return self.goodput_share if metric == "goodput" else getattr(getattr(self, f"{metric}_s"), statistic)


class ServingRun(RunFigures, frozen=True, kw_only=True):
    """What simulations and measurements have in common."""

    workload: WorkloadFacts
    config: ServingConfig | None
    slo: list[Verdict] = []


class Simulation(ServingRun, frozen=True, kw_only=True):
    """`costplan simulate --json`."""

    schema: Literal["costplan/simulation/1"] = SIMULATION_SCHEMA
    busy_share: float
    """Time in steps, of the time the replicas were paid for."""
    replica_hours: float
    mean_batch_tokens: float
    """Tokens a step processed on average."""
    basis: Basis
    error_band: dict[str, float]
    """Median absolute error of such predictions by figure, as a share: ttft, tpot, itl, e2e, throughput."""
    error_source: str
    assumptions: list[Assumption] = []
    warnings: list[str] = []


class FleetOption(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration at the smallest number of replicas that holds the SLO in the peak hour."""

    gpu: str
    precision: str
    tp: int
    replicas: int
    """Needed under load; spares come on top."""
    spare: int
    gpus: int
    """Paid for, whole instances where only those can be rented."""
    usd_hour: float
    usd_month: Estimate
    ttft_p95_s: float | None
    tpot_p95_s: float | None
    e2e_p95_s: float | None
    headroom_share: float
    """Traffic that could come on top before the SLO breaks, as a share of the peak; spares not counted."""
    busy_share: float
    """Time in steps in the peak hour; a step runs for one request as for many, so it is no measure of load."""
    utilisation: float
    """Load of the peak hour as a share of what the fleet could hold within the SLO."""
    binding: str
    """memory, compute, bandwidth or queue: what stops a replica from taking more."""
    binding_target: str
    """The limit that gives way first."""
    pareto: bool
    """No other option is cheaper, faster (e2e p95) and roomier at once."""
    step_time: str
    error_band: dict[str, float]


class FleetHour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the trace on the recommended fleet."""

    start: str
    """ISO hour, or `h0`, `h1`, ... of a trace with relative times."""
    requests: int
    req_s: float
    input_tokens: int
    output_tokens: int
    replicas: int
    """Needed in this hour; the fixed fleet has those of the busiest one."""
    utilisation: float
    """Load as a share of what the fleet could hold within the SLO, spares not counted."""
    ttft_p95_s: float | None
    e2e_p95_s: float | None
    met: bool
    checked: Literal["simulated", "scaled"]
    """Simulated on its own arrivals, or no busier in any respect than an hour that was."""


class NaiveFleet(msgspec.Struct, frozen=True, kw_only=True):
    """The same GPUs without continuous batching: fixed batches that wait for their longest answer."""

    batch: int
    req_s_replica: float
    replicas: int
    gpus: int
    usd_month: float
    note: str


class TraceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic the fleet was sized for."""

    workload: WorkloadFacts
    hours: int
    span_s: float
    peak_hour: str
    peak_req_s: float
    left_out: dict[str, int]
    """Rows that an engine cannot replay, by reason."""
    out_of_order: int


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """`costplan capacity --json`."""

    schema: Literal["costplan/capacity/1"] = CAPACITY_SCHEMA
    inputs: list[Input]
    trace: TraceFacts
    model: str
    engine: str
    slo: str
    options: list[FleetOption]
    """Cheapest first."""
    best: FleetOption | None
    """The first option; None where nothing tried holds the SLO."""
    usd_per_mtok: Estimate | None
    """Of the recommended fleet, per million tokens (input and output) of this trace."""
    autoscaled_usd_month: Estimate | None
    """The recommended fleet with replicas following the hours; None for a trace of one hour."""
    hours: list[FleetHour]
    naive: NaiveFleet | None
    searched: int
    """Configurations looked at: those simulated and those ruled out."""
    simulated: int
    pruned: dict[str, int]
    """Ruled out without a simulation, by reason."""
    pruned_examples: dict[str, str]
    error_source: str
    assumptions: list[Assumption] = []
    warnings: list[str] = []


def serving_json(document: ServingRun | Capacity) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order, the same bytes for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def serving_schema(name: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of `simulation` or `capacity`."""
    schema = {"simulation": Simulation, "capacity": Capacity}[name]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(schema)}
