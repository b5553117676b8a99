"""measurement.json and the lines of requests.jsonl: what a replay saw; a measurement has the shape of a simulation.

Seconds on the run's own clock, which starts at 0 when the first is due. None: it did not happen, or nobody said.
"""

from typing import Any, Literal

import msgspec

from costplan.results import Assumption, Estimate, Input
from costplan.results.serving import ServingRun, Spread

MEASUREMENT_SCHEMA = "costplan/measurement/1"
State = Literal["completed", "failed", "unsent"]


class RequestRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of requests.jsonl; every request of the script ends in exactly one."""

    index: int
    """Row of the script, from 0."""
    state: State
    reason: str = ""
    """Of a failure or of not being sent, a short stable name: `http_429`, `connection_refused`, `connection_reset`,
    `stream_ended_early`, `timeout`, `stalled`, `bad_answer`, `stopped`, `interrupted`, ..."""
    http_status: int | None = None
    due_s: float
    """Intended; in a closed loop and within a session the moment its predecessor was done (plus the time to think)."""
    dispatched_s: float | None = None
    """The client's loop turned to it."""
    sent_s: float | None = None
    """The last byte of the request was handed to the kernel."""
    first_byte_s: float | None = None
    first_token_s: float | None = None
    """The first chunk with text (or a tool call, or reasoning)."""
    last_token_s: float | None = None
    done_s: float | None = None
    """The answer was complete, or the failure was noticed."""
    gaps_s: list[float] = []
    """Between chunks with text, in order: one less than there were such chunks."""
    input_tokens: int | None = None
    """The server's own count (`usage`); likewise `cached_tokens` and `output_tokens`."""
    cached_tokens: int | None = None
    output_tokens: int | None = None
    asked_input_tokens: int | None = None
    """What the trace says; likewise `asked_output_tokens`."""
    asked_output_tokens: int | None = None
    finish_reason: str | None = None
    reused_connection: bool = True
    """False: the connection had to be opened after the run had begun."""
    text: str | None = None
    """The answer, only with --collect."""
    error_text: str | None = None
    """The first 300 bytes a server sent with a failure, only with --collect."""


class ClientFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the client kept up with what it was asked to send."""

    lateness_p50_s: float | None
    """Sent later than due."""
    lateness_p99_s: float | None
    lateness_max_s: float | None
    loop_lag_p99_s: float | None
    """How late timers of the client's own loop fired."""
    cpu_share: float
    """Of one core, the busiest process of the client, over the run."""
    processes: int
    connections: int
    opened_late: int
    """Connections opened after the start."""
    peak_in_flight: int
    started_at: str
    """UTC, ISO 8601."""
    wall_s: float
    valid: bool
    reasons: list[str]
    """Why the run is INVALID: the client, not the server, was the limit."""


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said of itself, and its counters over the run."""

    url: str
    kind: str
    """vllm, or openai-compatible."""
    version: str | None = None
    model: str
    flags: list[str] = []
    """Of a server that costplan started."""
    kernels: list[str] = []
    """Lines of its log that name the quantization and attention kernels."""
    block_size: int | None = None
    kv_blocks: int | None = None
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    counters: dict[str, float] = {}
    """Differences over the run: prompt_tokens, generation_tokens, prefix_cache_queries, prefix_cache_hits, ..."""
    peaks: dict[str, float] = {}
    """kv_cache_usage, running, waiting."""
    ttft_mean_s: float | None = None
    """The server's own histogram over the run; the client's TTFT from the send less this is overhead outside it."""
    iteration_tokens_mean: float | None = None
    """Tokens in a step."""
    energy_j: float | None = None
    power_mean_w: float | None = None
    gpus: list[str] = []


class PredictedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, measured and simulated on the same trace."""

    figure: str
    """`ttft_s.p50`, `output_tok_s`, ..."""
    measured: float | None
    predicted: float | None
    error_share: float | None
    """predicted / measured - 1."""


class SweepPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One load of a sweep."""

    load: float
    """Requests a second, or requests in flight."""
    unit: Literal["req_s", "concurrency"]
    requests: int
    failed: int
    req_s: float
    output_tok_s: float
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    tpot_p50_s: float | None
    tpot_p95_s: float | None
    e2e_p95_s: float | None
    goodput_share: float | None
    goodput_req_s: float | None
    slo_met: bool | None
    """Every limit of the SLO, and the client kept up; None without an SLO."""
    valid: bool


class SweepFacts(msgspec.Struct, frozen=True, kw_only=True):
    points: list[SweepPoint]
    knee: SweepPoint | None
    """The smallest load with 90 % of the highest throughput seen: from there on, load brings latency."""
    best: SweepPoint | None
    """Highest goodput of the points that keep the SLO; None without one or where none does."""
    note: str = ""


class Measurement(ServingRun, frozen=True, kw_only=True):
    """`costplan replay`: the document measurement.json."""

    schema: Literal["costplan/measurement/1"] = MEASUREMENT_SCHEMA
    inputs: list[Input]
    from_send: dict[str, Spread]
    """ttft_s, e2e_s counted from the actual send; the ones above count from the intended time."""
    failures: dict[str, int]
    """Requests that failed or were not sent, by reason."""
    steady: tuple[float, float] | None
    """Seconds of the run that the rates are taken over: after the warm-up, before the drain."""
    prompts: str
    """log (the trace's own text) or synthetic."""
    salt: str
    lengths_exact_share: float | None
    """Requests whose prompt had, by the server's count, exactly the tokens the trace says."""
    output_exact_share: float | None
    token_chunk_ratio: float | None
    """Tokens per chunk with text; above 1 the gaps between chunks are longer than those between tokens."""
    left_out: dict[str, int] = {}
    """Rows of the trace that were not sent, by reason."""
    client: ClientFacts
    server: ServerFacts
    environment: dict[str, str]
    """Host facts that matter: CPU, cores, GPU, driver, kernel, Python, costplan."""
    usd_per_mtok: Estimate | None = None
    """All tokens, at the price per hour given; needs --gpu-price or a known GPU."""
    usd_per_mtok_input: Estimate | None = None
    usd_per_mtok_output: Estimate | None = None
    joule_per_mtok: Estimate | None = None
    predicted: list[PredictedFigure] = []
    predicted_basis: str | None = None
    sweep: SweepFacts | None = None
    assumptions: list[Assumption] = []
    warnings: list[str] = []


def measurement_json(document: Measurement) -> bytes:
    """Indented UTF-8 JSON, keys in declaration order."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def measurement_schema() -> dict[str, Any]:
    """JSON Schema (2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Measurement)}
