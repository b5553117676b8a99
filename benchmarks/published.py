"""Published measurements as cases the simulator can run: what was served, on what, how it was loaded, what came out.

The table is not part of this repository: some of its sources allow no copies. What a source leaves open is filled in
here, once and in words:

- BLIS runs (vLLM 0.15.1): evenly spaced arrivals, constant lengths, 100 shared tokens of system prompt (96 in whole
  blocks), 128 requests at most; so says the harness that made them (inference-sim/sim-to-real-accuracy-validation,
  tests/test_ground_truth.py and docs/plans). Rates follow the workload's name; runs called `-lite` whose table gives
  the full rate get 0.3 of it, the ratio of the two general workloads (2.5 to 6 against 8 to 20 requests per second).
- aiconfigurator rows: a closed loop that starts all at once, prompts and answers from 80 to 100 % of the named length
  (InferenceMAX's random range), ten requests per place in the dumps of 2026 and five in the others; rows without a
  precision are 16-bit ones.
- AccelMark rows (FreedomIntelligence/AccelMark: loadgen/loadgen.py, suites/*/suite.json, the vLLM runner): vLLM inside
  the client's process, so no HTTP; each suite takes the first so many of its 500 prompts (how many: tokens per second
  times elapsed seconds, and the sum of the gaps), all at once, one after another, or by the gaps of a random.Random(42)
  that goes on through all rates and three runs, whose requests are pooled. The prefix cache is off: TTFT of one request
  at a time grows with the prompt although runs repeat prompts. Answers are drawn once from a lognormal cut at 512 with
  the mean of 350 that the totals imply; the 28K-token suite always answers 256. A step's budget follows the context.
- TensorRT-LLM rows: all requests at once. Its 8-bit checkpoints hold scales for an 8-bit KV cache (NVIDIA ModelOpt);
  Qwen's own have none and keep 16 bits.

Closed-loop rows whose times would take more than 90 % of the arithmetic and bandwidth of the data sheet are left out:
no measured kernel reaches that, so prompts must have come from a cache, or the KV cache in a smaller format, that the
source does not mention.
Rows that contradict others of the same model, GPUs, engine and lengths are left out, whatever the simulator makes of
them: open-loop ones whose TTFT p90 is twice that at a higher rate (an engine still compiling), and closed-loop ones
with more requests running, by Little's law, yet 20 % less TPOT than another's; of two, the one that contradicts more.
"""

import csv
import json
import random
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from costplan.errors import CostplanError
from costplan.profiles.engines import Engine, find_engine
from costplan.profiles.gpus import Gpu, find_gpu
from costplan.profiles.models import Model, find_model
from costplan.serving.arrivals import shared_prefix
from costplan.serving.precision import dense_precision, find_precision, kv_value_bytes
from costplan.serving.shapes import dense, experts, kv_values
from costplan.serving.workload import Workload

METRICS = {
    "ttft_mean_ms": "ttft mean",
    "ttft_p50_ms": "ttft p50",
    "ttft_p90_ms": "ttft p90",
    "ttft_p99_ms": "ttft p99",
    "tpot_mean_ms": "tpot mean",
    "tpot_p50_ms": "tpot p50",
    "tpot_p90_ms": "tpot p90",
    "tpot_p99_ms": "tpot p99",
    "itl_mean_ms": "itl mean",
    "e2e_mean_ms": "e2e mean",
    "e2e_p90_ms": "e2e p90",
    "e2e_p99_ms": "e2e p99",
    "output_tok_s": "output tok/s",
}
SHARED_TOKENS = 96
ROUNDS = 10
LITE = 0.3
# AccelMark's suites: requests all at once, per Poisson run, one after another; rates in order; longest context
COUNTS = {
    "suite_A": (100, 300, 150), "suite_B": (100, 200, 50), "suite_C": (100, 300, 50), "suite_D": (50, 50, 50),
    "suite_E": (150, 0, 0), "suite_G": (100, 300, 50),
}  # fmt: skip
LEVELS = {
    "suite_A": (5.0, 25.0, 100.0), "suite_B": (2.0, 5.0, 10.0, 25.0), "suite_C": (5.0, 10.0, 25.0, 50.0),
    "suite_D": (0.5, 1.0, 2.0), "suite_G": (2.0, 10.0, 40.0),
}  # fmt: skip
CONTEXT = {"suite_A": 8192, "suite_B": 8192, "suite_C": 4096, "suite_D": 40_000, "suite_E": 8192, "suite_F": 4096,
           "suite_G": 4096}  # fmt: skip
RUNS = 3
PAUSE_S = 1e5
"""Between two runs, so that the first is over."""

# Cards as their data sheets have them: architecture, GiB seen by CUDA, GB/s, TFLOP/s (bf16 or fp16 with 32-bit sums,
# fp8, int8), link
_DATA_SHEETS: dict[str, tuple[str, float, float, float, float, float, str, float]] = {
    "NVIDIA H20-3e": ("hopper", 139.8, 4800, 148, 296, 296, "nvlink", 450),
    "NVIDIA RTX A6000": ("ampere", 47.4, 768, 154.8, 0, 309.7, "pcie", 32),
    "NVIDIA GeForce RTX 3090": ("ampere", 23.6, 936, 71, 0, 284, "pcie", 16),
    "NVIDIA GeForce RTX 4090": ("ada", 23.6, 1008, 165.2, 330.3, 660.6, "pcie", 16),
    "NVIDIA GeForce RTX 4090 D": ("ada", 23.6, 1008, 147, 294, 588, "pcie", 16),
    # consumer Blackwell has no tensor memory: its kernels are written like those for Ada
    "NVIDIA GeForce RTX 5090": ("ada", 31.4, 1792, 209.5, 419, 838, "pcie", 32),
    "NVIDIA RTX 6000 Ada Generation": ("ada", 47.4, 960, 364, 728, 728, "pcie", 16),
    "NVIDIA RTX 4000 Ada Generation": ("ada", 19.7, 360, 107, 214, 214, "pcie", 16),
    "NVIDIA L4": ("ada", 22.0, 300, 121, 242, 242, "pcie", 16),
    "Tesla V100S-PCIE-32GB": ("volta", 31.7, 1134, 130, 0, 0, "pcie", 16),
    "Tesla T4": ("turing", 14.6, 320, 65, 0, 130, "pcie", 16),
}
_KNOWN_GPUS = {
    "h100_sxm": "H100", "H100": "H100", "H100 SXM 80GB": "H100", "NVIDIA H100 80GB HBM3": "H100", "h200_sxm": "H200",
    "H200 SXM 141GB": "H200", "NVIDIA H200": "H200", "A100-SXM4-80GB": "A100", "L40S": "L40S",
}  # fmt: skip
_MODELS = {
    "LLaMA v3 8B": "meta-llama/Meta-Llama-3-8B-Instruct",
    "LLaMA v3 70B": "meta-llama/Meta-Llama-3-70B-Instruct",
    "LLaMA v2 7B": "meta-llama/Llama-2-7b-hf",
    "LLaMA v2 70B": "meta-llama/Llama-2-70b-hf",
    "nvidia/Llama-3.1-405B-Instruct-FP8": "llama-3.1-405b",
    "nvidia/Llama-3.3-70B-Instruct-FP8": "llama-3.3-70b",
    "nvidia/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic": "llama-4-scout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One published row."""

    source: str
    group: str
    """Source, model, GPU, split, precision and engine: rows that a fit sees together or not at all."""
    model: Model
    gpu: Gpu
    engine: Engine
    engine_class: str
    precision: str
    kv_dtype: str
    tp: int
    workload: Workload
    max_num_seqs: int
    max_tokens: int
    memory_share: float
    in_process: bool
    """No HTTP server between client and engine."""
    measured: dict[str, float]
    """Metric -> seconds or tokens per second."""
    row: dict[str, str]

    @property
    def held_back(self) -> bool:
        """Half of the groups, chosen by a checksum of their name and never used by a fit."""
        return zlib.crc32(self.group.encode()) % 2 == 1


def read(table: Path, prompts: Path | None = None) -> tuple[list[Case], dict[str, int]]:
    """Cases, and how many rows were left out for which reason. `prompts`: AccelMark's sharegpt_standard_v1.jsonl."""
    lengths = [json.loads(line)["input_tokens"] for line in prompts.open()] if prompts else []
    cases: list[Case] = []
    left_out: dict[str, int] = {}
    seen: set[str] = set()
    rows = list(csv.DictReader(table.open(newline="")))
    doubtful = stalled(rows) | contradicting(rows)
    for place, row in enumerate(rows):
        key = json.dumps({name: value for name, value in row.items() if name not in ("case_id", "source_ref", "notes")})
        if key in seen:
            case = "a repeated row"
        else:
            case = "contradicts other rows" if place in doubtful else _case(row, lengths)
        seen.add(key)
        if isinstance(case, str):
            left_out[case] = left_out.get(case, 0) + 1
        else:
            cases.append(case)
    return cases, left_out


def _alike(rows: list[dict[str, str]], kind: str, *more: str) -> list[list[int]]:
    """Places of rows of one kind of load that differ in the load alone."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row["load_kind"] == kind:
            names = ("source", "model", "gpu", "tp", "precision", "engine", "isl", "osl", *more)
            groups.setdefault(tuple(row[name] for name in names), []).append(place)
    return list(groups.values())


def stalled(rows: list[dict[str, str]]) -> set[int]:
    """Open-loop rows with twice the TTFT p90 of a higher rate."""
    found: set[int] = set()
    for places in _alike(rows, "Poisson qps", "engine_version", "workload"):
        for a in places:
            for b in places:
                p90 = [float(rows[place]["ttft_p90_ms"] or 0) for place in (a, b)]
                if float(rows[a]["load"]) < float(rows[b]["load"]) and p90[0] > 2 * p90[1] > 0:
                    found.add(a)
    return found


def contradicting(rows: list[dict[str, str]]) -> set[int]:
    """Closed-loop rows that are 20 % faster per token with more requests running than another with fewer."""
    found: set[int] = set()
    for places in _alike(rows, "concurrency"):
        running: dict[int, float] = {}
        tpot: dict[int, float] = {}
        for place in places:
            ttft, tpot[place], osl = (float(rows[place][name]) for name in ("ttft_mean_ms", "tpot_mean_ms", "osl"))
            answer = 0.9 * osl * tpot[place]
            running[place] = float(rows[place]["load"]) * answer / (ttft + answer)
        left = set(places)
        while left:
            against = {a: sum(_contradict(a, b, running, tpot) for b in left) for a in left}
            worst = max(sorted(left), key=lambda place: against[place])
            if against[worst] == 0:
                break
            left.remove(worst)
            found.add(worst)
    return found


def _contradict(a: int, b: int, running: dict[int, float], tpot: dict[int, float]) -> bool:
    more, fewer = (a, b) if running[a] > running[b] else (b, a)
    return tpot[more] < 0.8 * tpot[fewer]


def _case(row: dict[str, str], lengths: list[int]) -> Case | str:
    """A case, or why there is none."""
    gpu = _gpu(row["gpu"])
    if gpu is None:
        return "not an NVIDIA GPU"
    source = row["source"]
    tp = int(float(row["tp"] or row["num_gpus"]))
    if tp != int(float(row["num_gpus"])) or tp > 8:
        return "more than one replica or node"
    name, version = _engine(row)
    try:
        engine = find_engine(f"{name}@{version}")
    except CostplanError:
        return f"no profile of {name}"
    plain = re.sub(r"^RedHatAI/Meta-(Llama-3.1-8B).*", r"meta-llama/\1", row["model"])
    model = find_model(_MODELS.get(row["model"], plain))
    precision = _precision(row, model, gpu)
    context = CONTEXT.get(row["workload"][:7], 0) if source.startswith("AccelMark") else 0
    if context and not engine.chunked_prefill:  # the V0 engine's rule, vLLM 0.7.3 vllm/config.py
        engine = replace(engine, chunked_prefill=context > 32768)
        engine = replace(engine, max_num_batched_tokens=2048 if context > 32768 else context)
    seqs, tokens, share = engine.on(gpu).max_num_seqs, engine.on(gpu).max_num_batched_tokens, engine.memory_share
    if source.startswith("BLIS"):
        seqs, tokens = 128, int(re.findall(r"max_num_batched_tokens=(\d+)", row["notes"])[0])
        given = re.findall(r"gpu_mem_util=([\d.]+)", row["notes"])
        share = float(given[0]) if given else share
    elif "v0.10" in source:
        seqs, tokens = 2048, 2048
    workload = _accelmark(row, lengths) if context else _workload(row)
    if isinstance(workload, str):
        return workload
    measured = {
        metric: float(row[column]) / (1.0 if column == "output_tok_s" else 1e3)
        for column, metric in METRICS.items()
        if row[column]
    }
    engine_class = f"{engine.name} {engine.version}"
    parts = (source, row["model"], row["gpu"], str(tp), row["precision"], engine_class)
    in_process = source.startswith("AccelMark")
    modelopt = name == "tensorrt-llm" and precision == "fp8" and not row["model"].startswith("Qwen/")
    kv_dtype = "fp8" if modelopt else "auto"
    closed = row["load_kind"] == "concurrency"
    if closed and _datasheet_share(row, model, gpu, tp, precision, kv_dtype) > 0.9:
        return "faster than the data sheet allows"
    return Case(
        source=source.split()[0] + (" v1.0" if "v1.0" in source else ""), group="|".join(parts), model=model, gpu=gpu,
        engine=engine, engine_class=engine_class, precision=precision, kv_dtype=kv_dtype, tp=tp, workload=workload,
        max_num_seqs=seqs, max_tokens=max(tokens, seqs), memory_share=share,
        in_process=in_process, measured=measured, row=row,
    )  # fmt: skip


def _gpu(name: str) -> Gpu | None:
    if name in _KNOWN_GPUS:
        return find_gpu(_KNOWN_GPUS[name])
    if name not in _DATA_SHEETS:
        return None
    arch, gib, gb_s, bf16, fp8, int8, link, link_gb_s = _DATA_SHEETS[name]
    flops = {kind: value * 1e12 for kind, value in (("bf16", bf16), ("fp8", fp8), ("int8", int8)) if value}
    return replace(
        find_gpu("L40S"), name=name, aliases=(), architecture=arch, memory_bytes=round(gib * 2**30),
        bandwidth_bytes_s=gb_s * 1e9, flops=flops, link=link, link_bytes_s=link_gb_s * 1e9,
    )  # fmt: skip


def _datasheet_share(row: dict[str, str], model: Model, gpu: Gpu, tp: int, precision: str, kv_dtype: str) -> float:
    """Share of the data sheet's arithmetic and bandwidth together that a closed loop's reported times imply.

    Arithmetic: of the weights each token goes through alone. Bandwidth: in a token's time the weights (of dense models)
    and the KV cache of the running requests are read once.
    """
    isl, osl, ttft_ms, tpot_ms = (float(row[name]) for name in ("isl", "osl", "ttft_mean_ms", "tpot_mean_ms"))
    answer_ms = 0.9 * osl * tpot_ms
    tokens_s = float(row["load"]) * 0.9 * (isl + osl) / (ttft_ms + answer_ms) * 1e3
    running = float(row["load"]) * answer_ms / (ttft_ms + answer_ms)
    weights = sum(matrix.parameters for matrix in dense(model, 1))
    routed = experts(model, 1)
    active = weights + (routed.expert_parameters * routed.per_token * routed.layers if routed else 0)
    kind = find_precision(precision, gpu)
    peak = gpu.flops.get(kind.arithmetic, gpu.flops["bf16"])
    context = 0.9 * (isl + osl / 2) * (model.layers - model.windowed_layers)
    read = weights * dense_precision(kind).weight_bytes / tp
    read += running * context * kv_values(model, tp) * kv_value_bytes(kv_dtype)
    return 2 * active * tokens_s / (peak * tp) + read / gpu.bandwidth_bytes_s / (tpot_ms / 1e3)


def _engine(row: dict[str, str]) -> tuple[str, str]:
    name = {"trtllm": "tensorrt-llm", "vllm-ascend": "vllm"}.get(row["engine"].lower(), row["engine"].lower())
    found = re.findall(r"^v?(\d+\.\d+(?:\.\d+)?)", row["engine_version"])
    return name, found[0] if found else {"vllm": "0.15.1", "tensorrt-llm": "1.0", "sglang": "0.5"}[name]


def _precision(row: dict[str, str], model: Model, gpu: Gpu) -> str:
    named = row["precision"].lower()
    if named in ("", "nan"):
        return "bf16"
    return "mxfp4" if model.id.startswith("openai/gpt-oss") else named


def _workload(row: dict[str, str]) -> Workload:
    kind, load = row["load_kind"], row["load"]
    inputs, outputs = int(float(row["isl"])), int(float(row["osl"]))
    if kind == "concurrency":
        concurrency = int(float(load))
        count = max((ROUNDS if "aic_2026" in row["case_id"] else ROUNDS // 2) * concurrency, 32)
        draw = np.random.Generator(np.random.PCG64(7))
        sizes = [np.maximum(1, length * draw.uniform(0.8, 1.0, count)).astype(int) for length in (inputs, outputs)]
        return _make(np.zeros(count), *sizes, concurrency=concurrency)
    if kind == "infinite rate":
        found = re.findall(r"(\d+) requests", row["workload"])
        count = int(found[0]) if found else 2000
        return _make(np.zeros(count), np.full(count, inputs), np.full(count, outputs))
    seconds = [float(found) for found in re.findall(r"([\d.]+)s", load)][0]
    lite = LITE if "-lite" in row["case_id"] and "-lite" not in row["workload"] else 1.0
    rates = [lite * float(rate) for rate in load.split(" rps")[0].split("->")]
    gaps = np.concatenate([np.full(int(rate * seconds), 1 / rate) for rate in rates])
    count = len(gaps)
    return _make(np.cumsum(gaps), np.full(count, inputs), np.full(count, outputs), shared=SHARED_TOKENS / inputs)


def _accelmark(row: dict[str, str], lengths: list[int]) -> Workload | str:
    suite, kind = row["workload"][:7], row["load_kind"]
    counts = COUNTS.get(suite)
    if counts is None or not lengths:
        return "prompt lengths unpublished"
    count = counts[0 if kind == "all at once" else 1 if kind == "Poisson qps" else 2]
    draw = np.random.Generator(np.random.PCG64(7))
    answers = np.minimum(512, np.maximum(1, np.exp(np.log(370) + 0.75 * draw.standard_normal(len(lengths)))))
    inputs, outputs = np.array(lengths[:count]), answers[:count].astype(int)
    if suite == "suite_D":
        inputs, outputs = (28_000 * draw.normal(1.0, 0.03, count)).astype(int), np.full(count, 256)
    if kind != "Poisson qps":
        return _make(np.zeros(count), inputs, outputs, concurrency=int(kind == "closed loop c=1"))
    clock, rate = random.Random(42), float(row["load"])
    for _ in range(RUNS * count * LEVELS[suite].index(rate)):
        clock.random()
    runs = [PAUSE_S * run + np.cumsum([clock.expovariate(rate) for _ in range(count)]) for run in range(RUNS)]
    return _make(np.concatenate(runs), np.tile(inputs, RUNS), np.tile(outputs, RUNS))


def _make(
    arrival: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, *, concurrency: int = 0, shared: float = 0.0
) -> Workload:
    offsets, ids = shared_prefix(inputs.astype(np.int32), shared, 16)
    return Workload(
        arrival_s=arrival, input_tokens=inputs.astype(np.int32), output_tokens=outputs.astype(np.int32),
        shared_offsets=offsets, shared_ids=ids, block_size=16, concurrency=concurrency,
    )  # fmt: skip
