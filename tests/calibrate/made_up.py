"""Folders of a replay against a server of known speed: the simulator's own runs, with noise on every latency."""

from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from costplan.profiles.measured import Coefficient, Measured, MeasuredProfile
from costplan.results.measurement import ClientFacts, Measurement, RequestRecord, ServerFacts
from costplan.results.serving import KvFacts, LengthFacts, RequestCounts, Spread, WorkloadFacts
from costplan.serving.engine import EngineConfig
from costplan.serving.simulator import simulate
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONFIG = EngineConfig(
    blocks=6000, block_size=16, max_num_seqs=128, max_num_batched_tokens=2048, reserve_whole_prompt=True
)
GRID = np.arange(2049.0)
FAST = StepTime(
    base_s=0.006 + np.maximum(0.0, GRID * 25e-6 - 0.002), pair_s=2e-9, context_token_s=6.5e-8, request_s=5e-6,
    frontend_s=0.015,
)  # fmt: skip
"""Like an 8B model on a data-centre GPU: weights are read up to 80 tokens, then arithmetic decides."""
SLOW = StepTime(
    base_s=0.040 + 3e-3 * GRID, pair_s=4e-8, context_token_s=8e-7, request_s=0.009, frontend_s=0.012,
)  # fmt: skip
"""Like a small model on two CPU cores: every request in a step costs, and a prompt's token a third of that."""
LIKE_A_CPU = StepTime(
    base_s=np.interp(GRID, [1, 4, 16, 64, 2048], [0.0555, 0.091, 0.242, 0.853, 6.0]), pair_s=3e-8,
    context_token_s=2e-7, frontend_s=0.02,
)  # fmt: skip
"""The output rates of a 135M model on two cores, all in base: 18 tokens/s for one request, 44 for 4, 66, 75 for 64."""


def workload(n: int, concurrency: int, inputs: Any, outputs: Any, seed: int = 0) -> Workload:
    """Lengths are a number or (lowest, highest), drawn evenly."""
    rng = np.random.default_rng([seed, concurrency])

    def lengths(what: Any) -> Any:
        low, high = cast(tuple[int, int], what) if isinstance(what, tuple) else (what, what)
        return rng.integers(low, high + 1, n)

    return Workload(
        arrival_s=np.zeros(n), input_tokens=lengths(inputs).astype(np.int32),
        output_tokens=lengths(outputs).astype(np.int32), shared_offsets=np.zeros(n + 1, np.int64),
        shared_ids=np.zeros(0, np.int32), concurrency=concurrency,
    )  # fmt: skip


def write_run(
    folder: Path, truth: StepTime, load: Workload, *, noise: float = 0.03, seed: int = 0, **changes: Any
) -> Path:
    """measurement.json and requests.jsonl of that load on a server with those step times."""
    run = simulate(CONFIG, truth, load)
    rng = np.random.default_rng([7, seed, load.concurrency])
    ttft = (run.first_token_s - run.arrival_s) * (1 + noise * rng.standard_normal(load.requests))
    decode = (run.done_s - run.first_token_s) * (1 + noise * rng.standard_normal(load.requests))
    records = [
        RequestRecord(
            index=i, state="completed", due_s=sent, sent_s=sent, first_token_s=sent + float(ttft[i]),
            last_token_s=sent + float(ttft[i] + decode[i]), input_tokens=int(load.input_tokens[i]),
            output_tokens=int(load.output_tokens[i]),
        )
        for i, sent in enumerate(run.arrival_s.tolist())
    ]  # fmt: skip
    folder.mkdir()
    (folder / "requests.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, records)))
    (folder / "measurement.json").write_bytes(msgspec.json.encode(document(load, **changes)))
    return folder


def document(
    load: Workload, *, model: str = MODEL, gpus: list[str] | None = None, reasons: tuple[str, ...] = ()
) -> Measurement:
    """A measurement of that load; only what calibration reads is filled in."""
    length = LengthFacts(mean=1, p50=1, p95=1, max=1)
    return Measurement(
        workload=WorkloadFacts(
            kind="closed-loop", text="", concurrency=load.concurrency, input_tokens=length, output_tokens=length,
            shared_share=0.0,
        ),
        config=None, requests=RequestCounts(sent=load.requests, completed=load.requests, failed=0, unsent=0),
        saturated=False, sustainable_req_s=None,
        duration_s=1, req_s=1, input_tok_s=1, output_tok_s=1, ttft_s=Spread(), tpot_s=Spread(), itl_s=Spread(),
        e2e_s=Spread(), queue_s=Spread(), goodput_share=None, goodput_req_s=None,
        kv=KvFacts(peak_share=None, preemptions=None), prefix_hit_share=None, inputs=[], from_send={}, failures={},
        steady=None, prompts="synthetic", salt="s", lengths_exact_share=1.0, output_exact_share=1.0,
        token_chunk_ratio=1.0,
        client=ClientFacts(
            lateness_p50_s=0, lateness_p99_s=0, lateness_max_s=0, loop_lag_p99_s=0, cpu_share=0.1, processes=1,
            connections=1, opened_late=0, peak_in_flight=load.concurrency, started_at="2026-11-23T10:00:00Z",
            wall_s=1, valid=not reasons, reasons=list(reasons),
        ),
        server=ServerFacts(
            url="http://127.0.0.1:8000/v1", kind="vllm", version="0.32.0", model=model, block_size=16, kv_blocks=6000,
            max_num_seqs=128, max_num_batched_tokens=2048, gpus=gpus or [],
        ),
        environment={"cpu": "two cores"},
    )  # fmt: skip


def profile(**changes: Any) -> MeasuredProfile:
    """A profile whose values are easy to follow."""
    plain: dict[str, Any] = {
        "model": MODEL, "gpu": "CPU", "tp": 1, "precision": "bf16", "kv_dtype": "auto", "engine": "vllm@0.32.0",
        "block_size": 16, "kv_blocks": 6000, "max_num_seqs": 128, "max_num_batched_tokens": 2048,
        "prefix_caching": True,
        "base_s": ((1, _at(0.05)), (101, _at(0.25))),
        "coefficients": {
            "context_token_s": _at(1e-6), "pair_s": _at(0.0), "request_s": _at(0.01), "frontend_s": _at(0.02)
        },
        "error": {"ttft": 0.05, "tpot": 0.02, "e2e": 0.02, "throughput": 0.03},
        "noise": {"ttft": 0.04, "tpot": 0.01, "e2e": 0.01, "throughput": 0.01},
        "measured": Measured(
            runs=2, requests=120, concurrency_low=1, concurrency_high=16, input_tokens_low=32, input_tokens_high=512,
            output_tokens_high=64,
        ),
        "environment": {"cpu": "two cores"}, "notes": ("one",), "source": "a test", "checked": "2026-11-23",
    }  # fmt: skip
    return MeasuredProfile(**plain | changes)


def _at(value: float) -> Coefficient:
    return Coefficient(value=value, low=value / 2, high=2 * value)
