"""Fits profiles/kernels.yaml to measured kernel tables: `python -m benchmarks.kernels SYSTEMS_FOLDER > kernels.yaml`.

SYSTEMS_FOLDER is `aiconfigurator_core/systems` of an unpacked aiconfigurator-core 0.12.0 wheel (Apache-2.0, NVIDIA).
Each kernel gets the few coefficients of `costplan.serving.kernels.Product` or a share of the data sheet, by least
squares on log errors with outliers damped; the median error of each fit is printed beside it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

BYTES = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "w8a16": 1.0, "int4": 0.52, "mxfp4": 0.53}
KEYS = ("bandwidth", "compute", "blend", "start_us", "tile", "traffic")


@dataclass(frozen=True)
class Card:
    """A system of the tables and its data sheet."""

    folder: str
    bytes_s: float
    bf16: float
    eight_bit: float


A100 = Card("a100_sxm", 2.039e12, 312e12, 624e12)
H100 = Card("h100_sxm", 3.35e12, 989e12, 1979e12)
H200 = Card("h200_sxm", 4.8e12, 989e12, 1979e12)
L40S = Card("l40s", 0.864e12, 362e12, 733e12)
B200 = Card("b200_sxm", 8.0e12, 2250e12, 4500e12)

# architecture: our kernel -> (cards, table version, the table's name of the number format)
PRODUCTS = {
    "ampere": {
        "bf16": ([A100], "vllm/0.14.0", "bfloat16"),
        "int8": ([A100], "trtllm/1.0.0", "sq"),
        "w8a16": ([A100], "trtllm/1.0.0", "int8_wo"),
        "int4": ([A100], "trtllm/1.0.0", "int4_wo"),
    },
    "ada": {"bf16": ([L40S], "vllm/0.24.0", "bfloat16"), "fp8": ([L40S], "vllm/0.24.0", "fp8")},
    "hopper": {"bf16": ([H100, H200], "vllm/0.24.0", "bfloat16"), "fp8": ([H100, H200], "vllm/0.24.0", "fp8")},
    "blackwell": {"bf16": ([B200], "vllm/0.24.0", "bfloat16"), "fp8": ([B200], "vllm/0.24.0", "fp8")},
}
EXPERTS = {
    "ampere": {"bf16": ([A100], "vllm/0.14.0", "bfloat16")},
    "ada": {name: ([L40S], "vllm/0.24.0", name) for name in ("bf16", "fp8", "mxfp4")},
    "hopper": {name: ([H100, H200], "vllm/0.24.0", name) for name in ("bf16", "fp8", "mxfp4")},
    "blackwell": {name: ([B200], "vllm/0.24.0", name) for name in ("bf16", "fp8", "mxfp4")},
}
MOE_NAMES = {"bf16": "bfloat16", "bfloat16": "bfloat16", "fp8": "fp8_block", "mxfp4": "w4a16_mxfp4"}
ATTENTION = {
    "ampere": (A100, "vllm/0.14.0", "fa2"),
    "ada": (L40S, "vllm/0.24.0", "fa2"),
    "hopper": (H100, "vllm/0.24.0", "fa3"),
    "blackwell": (B200, "vllm/0.24.0", "flashinfer"),
}


def main() -> None:
    systems = Path(sys.argv[1]) / "data"
    for arch in PRODUCTS:
        print(f"  {arch}:\n    products:")
        for name, (cards, version, dtype) in PRODUCTS[arch].items():
            show(name, *fit_products(systems, cards, version, dtype, name))
        print("    experts:")
        for name, (cards, version, _) in EXPERTS[arch].items():
            show(name, *fit_experts(systems, cards, version, MOE_NAMES[name], name))
        card, version, kernel = ATTENTION[arch]
        (compute, half, _), error = fit_prompts(systems, card, version)
        print(f"    attention:\n      {kernel}: {{compute: {compute:.3f}, half_tokens: {half:.0f}}}  # {error}")
        (share, start, heads), error = fit_decode(systems, card, version, "bfloat16", 2)
        (share8, _, _), _ = fit_decode(systems, card, version, "fp8", 1) if arch != "ampere" else ((share, 0, 0), "")
        print(
            f"    decode: {{bandwidth: {share:.3f}, bandwidth_fp8: {share8:.3f}, start_us: {start:.1f}, "
            f"request_head_ns: {heads:.2f}}}  # {error}"
        )


def show(name: str, values: np.ndarray, error: str) -> None:
    inner = ", ".join(f"{key}: {value:.4g}" for key, value in zip(KEYS, values, strict=True))
    print(f"      {name}: {{{inner}}}  # {error}")


def fit(
    model: Callable[[np.ndarray], np.ndarray],
    seconds: np.ndarray,
    start: list[float],
    low: list[float],
    high: list[float],
) -> tuple[np.ndarray, str]:
    found = least_squares(
        lambda x: np.log(model(x) / seconds), start, bounds=(low, high), loss="soft_l1", f_scale=0.1
    ).x
    error = np.abs(model(found) / seconds - 1)
    return found, f"median {np.median(error):.1%}, p90 {np.quantile(error, 0.9):.1%}, n {len(error)}"


def product_seconds(x: np.ndarray, flops: np.ndarray, weights: np.ndarray, moved: np.ndarray) -> np.ndarray:
    compute = flops / x[1]
    read = weights / x[0]
    return x[3] * 1e-6 + (compute ** x[2] + read ** x[2]) ** (1 / x[2]) + x[5] * moved


def fit_products(systems: Path, cards: list[Card], version: str, dtype: str, name: str) -> tuple[np.ndarray, str]:
    parts = []
    for card in cards:
        table = pd.read_parquet(systems / card.folder / "gemm" / version / "gemm_perf.parquet")
        table = table[table.gemm_dtype == dtype].groupby(["m", "n", "k"]).latency.min().reset_index()
        table = table[(table.m <= 8192) & (table.n.between(768, 60000)) & (table.k.between(768, 30000))]
        table = table[table.n * table.k >= 4e6]
        peak = card.eight_bit if name in ("fp8", "int8") else card.bf16
        parts.append(table.assign(peak=peak, bytes_s=card.bytes_s))
    table = pd.concat(parts)
    m, n, k, peak, bytes_s = (table[c].to_numpy(float) for c in ("m", "n", "k", "peak", "bytes_s"))

    def model(x: np.ndarray) -> np.ndarray:
        operations = 2 * k * (m * n + x[4] * 1e4) / peak
        return product_seconds(x, operations, n * k * BYTES[name] / bytes_s, 2 * m * (n + k) / bytes_s)

    found, error = fit(
        model,
        table.latency.to_numpy() * 1e-3,
        [0.8, 0.7, 2, 3, 20, 0.5],
        [0.1, 0.05, 1, 0, 0, 0],
        [1, 1, 5, 30, 3e3, 5],
    )
    found[4] *= 1e4
    return found, error


def fit_experts(systems: Path, cards: list[Card], version: str, dtype: str, name: str) -> tuple[np.ndarray, str]:
    shape = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "distribution"]
    parts = []
    for card in cards:
        table = pd.read_parquet(systems / card.folder / "moe" / version / "moe_perf.parquet")
        table = table[(table.moe_dtype == dtype) & (table.moe_ep_size == 1) & (table.num_tokens <= 8192)]
        table = table[(table.num_experts <= 256) & (table.inter_size // table.moe_tp_size >= 256)]
        table = table.groupby(shape).latency.min().reset_index()
        if (table.distribution == "balanced").sum() > 50:
            table = table[table.distribution == "balanced"]
        peak = card.eight_bit if name == "fp8" else card.bf16
        parts.append(table.assign(peak=peak, bytes_s=card.bytes_s))
    table = pd.concat(parts)
    t, h, w, k, e, tp, peak, bytes_s = (table[c].to_numpy(float) for c in (*shape[:-1], "peak", "bytes_s"))
    w = w / tp
    distinct, per = e * (1 - (1 - k / e) ** t), 3 * h * w

    def model(x: np.ndarray) -> np.ndarray:
        operations = 2 * per * (t * k + x[4] * distinct) / peak
        return product_seconds(
            x, operations, distinct * per * BYTES[name] / bytes_s, 2 * t * k * (2 * h + 3 * w) / bytes_s
        )

    return fit(
        model,
        table.latency.to_numpy() * 1e-3,
        [0.7, 0.5, 2, 20, 8, 0.5],
        [0.1, 0.02, 1, 0, 0, 0],
        [1, 1, 5, 200, 128, 10],
    )


def attention_table(systems: Path, card: Card, version: str, phase: str) -> pd.DataFrame:
    table = pd.read_parquet(systems / card.folder / "attention" / version / f"{phase}_attention_perf.parquet")
    table = table.assign(window_size=table.get("window_size", 0))
    table = table[(table.head_dim == 128) & (table.window_size == 0) & (table.num_heads >= 4)]
    return table[~table.kernel_source.str.contains("triton")]


def fit_prompts(systems: Path, card: Card, version: str) -> tuple[np.ndarray, str]:
    table = attention_table(systems, card, version, "context")
    table = table[(table.kv_cache_dtype == "bfloat16") & (table.isl >= 64) & (table.batch_size <= 8)]
    table = table[table.batch_size * table.isl <= 32768]
    tokens, length = (table.batch_size * table.isl).to_numpy(float), table.isl.to_numpy(float)
    each = 4 * 128 * table.num_heads.to_numpy(float) / card.bf16

    def model(x: np.ndarray) -> np.ndarray:
        return x[2] * 1e-6 + each * tokens * (length / 2 + x[1]) / x[0]

    return fit(model, table.latency.to_numpy() * 1e-3, [0.6, 500, 5], [0.02, 0, 0], [1.5, 9e3, 100])


def fit_decode(systems: Path, card: Card, version: str, dtype: str, size: int) -> tuple[np.ndarray, str]:
    table = attention_table(systems, card, version, "generation")
    table = table[(table.kv_cache_dtype == dtype) & (table.step.between(63, 16383)) & (table.batch_size <= 512)]
    requests = table.batch_size.to_numpy(float)
    read = requests * (table.step + 1) * table.num_key_value_heads * 256 * size / card.bytes_s
    heads = requests * table.num_heads

    def model(x: np.ndarray) -> np.ndarray:
        return (x[1] * 1e-6 + read / x[0] + x[2] * 1e-9 * heads).to_numpy()

    return fit(model, table.latency.to_numpy() * 1e-3, [0.7, 5, 1], [0.02, 0, 0], [0.9, 100, 100])


if __name__ == "__main__":
    main()
