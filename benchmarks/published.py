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
- AccelMark rows: the 500 published prompt lengths in order, random.Random(42) gaps, answers drawn once from a
  lognormal with mean 350 cut at 512 (the lengths themselves are unpublished).
- TensorRT-LLM rows: all requests at once.

Closed-loop rows whose tokens per second would take more than 70 % of the data sheet's arithmetic are left out: no
measured kernel reaches that, so part of their prompts must have come from a cache that the source does not mention.
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
from costplan.serving.precision import find_precision
from costplan.serving.shapes import dense, experts
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

# Cards as their data sheets have them: architecture, GiB seen by CUDA, GB/s, TFLOP/s (bf16 or fp16 with 32-bit sums,
# fp8, int8), link
_DATA_SHEETS: dict[str, tuple[str, float, float, float, float, float, str, float]] = {
    "NVIDIA H20-3e": ("hopper", 139.8, 4800, 148, 296, 296, "nvlink", 450),
    "NVIDIA RTX A6000": ("ampere", 47.4, 768, 154.8, 0, 309.7, "pcie", 32),
    "NVIDIA GeForce RTX 3090": ("ampere", 23.6, 936, 71, 0, 284, "pcie", 16),
    "NVIDIA GeForce RTX 4090": ("ada", 23.6, 1008, 165.2, 330.3, 660.6, "pcie", 16),
    "NVIDIA GeForce RTX 4090 D": ("ada", 23.6, 1008, 147, 294, 588, "pcie", 16),
    "NVIDIA GeForce RTX 5090": ("blackwell", 31.4, 1792, 209.5, 419, 838, "pcie", 32),
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
    for row in csv.DictReader(table.open(newline="")):
        key = json.dumps({name: value for name, value in row.items() if name not in ("case_id", "source_ref", "notes")})
        case = "a repeated row" if key in seen else _case(row, lengths)
        seen.add(key)
        if isinstance(case, str):
            left_out[case] = left_out.get(case, 0) + 1
        else:
            cases.append(case)
    return cases, left_out


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
    seqs, tokens, share = engine.on(gpu).max_num_seqs, engine.on(gpu).max_num_batched_tokens, engine.memory_share
    if source.startswith("BLIS"):
        seqs, tokens = 128, int(re.findall(r"max_num_batched_tokens=(\d+)", row["notes"])[0])
        given = re.findall(r"gpu_mem_util=([\d.]+)", row["notes"])
        share = float(given[0]) if given else share
    elif "v0.10" in source:
        seqs, tokens = 2048, 2048
    workload = _workload(row, lengths)
    if isinstance(workload, str):
        return workload
    if row["load_kind"] == "concurrency" and _arithmetic_share(row, model, gpu, tp, precision) > 0.7:
        return "faster than the arithmetic allows"
    measured = {
        metric: float(row[column]) / (1.0 if column == "output_tok_s" else 1e3)
        for column, metric in METRICS.items()
        if row[column]
    }
    engine_class = f"{engine.name} {engine.version}"
    parts = (source, row["model"], row["gpu"], str(tp), row["precision"], engine_class)
    kv_dtype = "fp8" if name == "tensorrt-llm" and precision == "fp8" else "auto"
    return Case(
        source=source.split()[0] + (" v1.0" if "v1.0" in source else ""), group="|".join(parts), model=model, gpu=gpu,
        engine=engine, engine_class=engine_class, precision=precision, kv_dtype=kv_dtype, tp=tp, workload=workload,
        max_num_seqs=seqs, max_tokens=max(tokens, seqs), memory_share=share, measured=measured, row=row,
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


def _arithmetic_share(row: dict[str, str], model: Model, gpu: Gpu, tp: int, precision: str) -> float:
    """Share of the peak that a closed loop's reported times imply, from the weights each token goes through alone."""
    isl, osl, ttft_ms, tpot_ms = (float(row[name]) for name in ("isl", "osl", "ttft_mean_ms", "tpot_mean_ms"))
    tokens_s = float(row["load"]) * 0.9 * (isl + osl) / (ttft_ms + 0.9 * osl * tpot_ms) * 1e3
    active = sum(matrix.parameters for matrix in dense(model, 1))
    routed = experts(model, 1)
    active += routed.expert_parameters * routed.per_token * routed.layers if routed else 0
    peak = gpu.flops.get(find_precision(precision, gpu).arithmetic, gpu.flops["bf16"])
    return 2 * active * tokens_s / (peak * tp)


def _engine(row: dict[str, str]) -> tuple[str, str]:
    name = {"trtllm": "tensorrt-llm", "vllm-ascend": "vllm"}.get(row["engine"].lower(), row["engine"].lower())
    found = re.findall(r"^v?(\d+\.\d+(?:\.\d+)?)", row["engine_version"])
    return name, found[0] if found else {"vllm": "0.15.1", "tensorrt-llm": "1.0", "sglang": "0.5"}[name]


def _precision(row: dict[str, str], model: Model, gpu: Gpu) -> str:
    named = row["precision"].lower()
    if named in ("", "nan"):
        return "bf16"
    return "mxfp4" if model.id.startswith("openai/gpt-oss") else named


def _workload(row: dict[str, str], lengths: list[int]) -> Workload | str:
    kind, load = row["load_kind"], row["load"]
    if row["source"].startswith("AccelMark"):
        return _accelmark(row, lengths)
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
    if "sharegpt_standard_v1" not in row["workload"] or not lengths:
        return "prompt lengths unpublished"
    draw = np.random.Generator(np.random.PCG64(7))
    inputs = np.array(lengths)
    outputs = np.minimum(512, np.maximum(1, np.exp(np.log(370) + 0.75 * draw.standard_normal(len(inputs))))).astype(int)
    if row["load_kind"] == "closed loop c=1":
        return _make(np.zeros(100), inputs[:100], outputs[:100], concurrency=1)
    if row["load_kind"] == "all at once":
        return _make(np.zeros(len(inputs)), inputs, outputs)
    clock = random.Random(42)
    gaps = [clock.expovariate(float(row["load"])) for _ in inputs]
    return _make(np.cumsum(gaps), inputs, outputs)


def _make(
    arrival: np.ndarray, inputs: np.ndarray, outputs: np.ndarray, *, concurrency: int = 0, shared: float = 0.0
) -> Workload:
    offsets, ids = shared_prefix(inputs.astype(np.int32), shared, 16)
    return Workload(
        arrival_s=arrival, input_tokens=inputs.astype(np.int32), output_tokens=outputs.astype(np.int32),
        shared_offsets=offsets, shared_ids=ids, block_size=16, concurrency=concurrency,
    )  # fmt: skip
