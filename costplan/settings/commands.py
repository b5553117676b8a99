"""What the user may decide: one frozen dataclass per command with its defaults; not where a value comes from."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeSettings:
    """Settings of `costplan analyze`."""

    format: str | None = None
    map: tuple[str, ...] = ()
    """`COLUMN=FIELD` items."""
    head: int | None = None
    strict: bool = False
    sample_rate: float = 1.0
    prices: Path | None = None
    price_date: date | None = None
    assume_model: str | None = None
    """Priced as this model where the log names none."""
    month_requests: float | None = None
    revenue_per_user: float | None = None
    """USD a month."""
    ttl: float = 3600.0
    ttl_policy: Literal["store", "sliding"] = "store"
    scope: Literal["global", "user"] = "global"
    capacity: int | None = None
    semantic: Literal["on", "off"] = "on"
    """Whether the response cache is also simulated with answers to similar prompts."""
    max_temperature: float = 1.0
    batchable: tuple[str, ...] = ("batch", "batchable")
    invoice: Path | None = None
    """What the provider billed for the time of the log."""
    ptu: bool = False
    """Size the provisioned units that the contract offers."""
    scale_to_invoice: bool = False
    """Monthly figures times what was billed over what the log holds."""
    quality: Path | None = None
    """How good models are, by call site."""
    max_loss: float = 5.0
    """Points of quality that routing may lose, at the upper 95 % bound."""
    output_ratio: tuple[float, float, float] = (0.45, 0.78, 1.23)
    """As in `route`."""
    penalty: float = 0.0
    """USD a bad answer costs beside its price."""
    judging: float = 0.0
    """USD it costs to judge an answer."""
    workers: int = 0
    """0 = one per usable core; it never changes a figure."""
    day_rate: float = 800.0
    """USD an engineer's day costs, for the payback of an opportunity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakevenSettings:
    """Settings of `costplan breakeven`; None: from the log, else a stated default."""

    gpus: str = ""
    model: str | None = None
    api_model: str | None = None
    precision: str | None = None
    engine: str = "vllm"
    tp: int | None = None
    slo: str = "ttft.p95<2s,tpot.p95<100ms"
    input: str | None = None
    """Tokens of a request, as a number, a distribution or a file; likewise `output`."""
    output: str | None = None
    requests_per_day: float | None = None
    prefix_hit: float | None = None
    growth: str | None = None
    gpu_price: float | None = None
    cloud: str | None = None
    term: str | None = None
    spare: int = 1
    autoscale: bool = False
    open_price: str | None = None
    seller: str | None = None
    fte: float | None = None
    salary: float | None = None
    profile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSettings:
    """Settings of `costplan simulate`; None = not given."""

    model: str | None = None
    gpus: str | None = None
    tp: int | None = None
    replicas: int | None = None
    precision: str | None = None
    """Default: what the published checkpoint holds."""
    kv_dtype: str = "auto"
    engine: str = "vllm"
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    prefix_hit: float | None = None
    input: str | None = None
    output: str | None = None
    trace: str | None = None
    rate: str | None = None
    concurrency: int | None = None
    requests: int | None = None
    cv: float | None = None
    routing: str = "round-robin"
    autoscale_range: str | None = None
    cold_start: float = 120.0
    """Seconds until a new replica takes requests."""
    speculative: str | None = None
    slo: str | None = None
    seed: int = 0
    profile: Path | None = None
    """Measured step times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySettings:
    """Settings of `costplan capacity`."""

    slo: str = "ttft.p95<2s,tpot.p95<100ms"
    model: str = "meta-llama/Llama-3.1-8B-Instruct"
    engine: str = "vllm"
    gpus: str | None = None
    """Types, comma-separated; default: all that have a price."""
    precision: str | None = None
    """Comma-separated; default: the checkpoint's own, fp8 and awq."""
    kv_dtype: str = "auto"
    max_gpus: int = 64
    price: Literal["on-demand", "reserved", "spot"] = "on-demand"
    spare: int = 1
    routing: str = "least-loaded"
    autoscale: bool = False
    cold_start: float = 120.0
    workers: int = 0
    profile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """Settings of `costplan replay`; None = not given."""

    url: str | None = None
    model: str | None = None
    serve: str | None = None
    """A model that costplan starts vLLM with."""
    known_as: str | None = None
    """The known model, or its config.json, that the server has under a name of its own."""
    quantization: str | None = None
    tp: int | None = None
    serve_args: str | None = None
    speed: float = 1.0
    window: str | None = None
    max_gap: float | None = None
    """Seconds."""
    requests: int | None = None
    rate: str | None = None
    concurrency: int | None = None
    sweep: bool = False
    sessions: bool = True
    warm_up: str | None = None
    """A number of requests, or a time with its unit."""
    prompts: Literal["auto", "log", "synthetic"] = "auto"
    endpoint: Literal["auto", "chat", "completions"] = "auto"
    salt: str | None = None
    """None: a fresh one for each run."""
    collect: bool = False
    tasks: str | None = None
    samples: int | None = None
    max_failures: int | None = None
    timeout: float = 3600.0
    processes: int = 0
    seed: int = 0
    slo: str | None = None
    gpus: str | None = None
    gpu_price: float | None = None
    precision: str | None = None
    profile: Path | None = None
    save_profile: Path | None = None
    earlier: tuple[str, ...] = ()
    """Folders of earlier runs that the profile is fitted to as well."""
    api_key_env: str = "OPENAI_API_KEY"
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """Settings of `costplan gate`."""

    tasks: str | None = None
    """`builtin` or a file; default: what the runs were asked."""
    margin: float = 5.0
    """Points that may be lost, or percent of the base's score."""
    relative: bool = False
    grader_command: str | None = None
    base_usd_per_mtok: str | None = None
    """`0.15/0.60`, or one number for both; likewise `candidate_usd_per_mtok`."""
    candidate_usd_per_mtok: str | None = None
    prices: Path | None = None
    show_text: bool = False
    seed: int = 0
    """Of the bootstrap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Settings of `costplan cache`; None = costplan looks at several and recommends one."""

    format: str | None = None
    map: tuple[str, ...] = ()
    prices: Path | None = None
    assume_model: str | None = None
    threshold: float | None = None
    """Least cosine of a stored prompt whose answer is served."""
    ttl: float | None = None
    """Seconds."""
    ttl_policy: Literal["store", "sliding"] = "store"
    capacity: int | None = None
    scope: Literal["global", "user"] = "global"
    max_wrong: float = 0.02
    """Share of semantic hits that may be wrong, at the upper 95 % bound."""
    penalty: float = 0.0
    """USD a wrong hit costs."""
    max_temperature: float = 1.0
    embedder: Literal["static", "minilm"] = "static"
    embeddings: Path | None = None
    labels: Path | None = None
    month_requests: float | None = None
    show_text: bool = False
    seed: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressSettings:
    """Settings of `costplan compress`."""

    format: str | None = None
    map: tuple[str, ...] = ()
    prices: Path | None = None
    assume_model: str | None = None
    keep: float | None = None
    """Share of the tokens that the lossy rung keeps; default 0.65, with --pairs 0.5."""
    rung: tuple[Literal["exact", "reformat", "repeats", "tool_results", "lossy"], ...] = ()
    """Default: all."""
    roles: tuple[str, ...] = ("user", "tool")
    """Whose texts are rewritten."""
    sample: int | None = None
    """Requests that the lossy rung is tried on; default 2,000, with a language model 100."""
    lm: Path | None = None
    """A causal language model that the lossy rung scores words with."""
    month_requests: float | None = None
    show_text: bool = False
    seed: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreSettings:
    """Settings of `costplan explore`."""

    format: str | None = None
    map: tuple[str, ...] = ()
    prices: Path | None = None
    assume_model: str | None = None
    sample_rate: float = 1.0
    by: tuple[str, ...] = ("model",)
    """Columns to group by, two at most."""
    where: str | None = None
    top: int = 20
    sort: Literal["cost", "requests", "input", "output", "failed", "name"] | None = None
    """None: by cost, days and hours by their own order."""
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """Settings of `costplan route`."""

    format: str | None = None
    map: tuple[str, ...] = ()
    prices: Path | None = None
    assume_model: str | None = None
    cheap: tuple[str, ...] = ()
    """Candidate models; empty: costplan proposes some."""
    quality: Path | None = None
    """Scores by call site and model, or a gate.json."""
    labels: Path | None = None
    policy: Literal["site", "complexity", "request", "cascade"] | None = None
    """None: the one with the largest verified saving, else per call site."""
    max_loss: float = 5.0
    """Points of quality that may be lost."""
    penalty: float = 0.0
    """USD a bad answer costs."""
    output_ratio: tuple[float, float, float] = (0.45, 0.78, 1.23)
    """Output tokens of the cheaper model for each one of today's: low, expected, high. Of 500 prompts answered by
    gpt-3.5-turbo-0125 and gpt-4-0314 (arena-hard-auto, Apache-2.0): the ratio of all tokens is 0.78, its deciles over
    single prompts 0.45 and 1.23."""
    slice_by: tuple[str, ...] = ("site",)
    """What groups labels: site, model, level, tag."""
    month_requests: float | None = None
    show_text: bool = False
    seed: int = 0
    workers: int = 0
