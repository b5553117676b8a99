"""Fits an engine's speed coefficients to published runs: `python -m benchmarks.fit_speed published.csv ENGINE...`.

Only the fitted half of the groups is seen (`Case.held_back` is the other). Least squares on the log of simulated over
measured, outliers damped, each source given the same say, coefficients pulled weakly to where they start. ENGINE is
`vllm`, `vllm-0.7.3`, `tensorrt-llm-0.10`, `tensorrt-llm-1.0` or `sglang`; the coefficients are printed as YAML.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from costplan.errors import CostplanError
from costplan.serving.roofline import SPEED_DEFAULTS
from costplan.serving.simulator import simulate

from benchmarks.accuracy import config, estimated, summed
from benchmarks.published import Case, read

# engine: (classes it covers, coefficients fitted)
ENGINES = {
    "vllm": (
        "vllm 0.15 vllm 0.2 vllm 0.3",
        "compute_scale.bf16 compute_scale.fp8 weights_scale.bf16 weights_scale.fp8 experts_scale kv_scale "
        "experts_compute_scale experts_compute_scale.mxfp4 experts_scale.mxfp4 layer_us group_start_us step_ms "
        "request_us frontend_ms",
    ),
    "vllm-0.11": (
        "vllm 0.11",
        "compute_scale.bf16 weights_scale.bf16 layer_us group_start_us step_ms request_us frontend_ms",
    ),
    "vllm-0.7.3": (
        "vllm 0.7",
        "compute_scale.bf16 weights_scale.bf16 weights_scale.fp8 weights_scale.int8 compute_scale.int4 "
        "weights_scale.int4 weights_scale.w8a16 layer_us layer_traffic step_ms request_us kv_scale "
        "group_start_us group_start_pcie_us eager_layer_us experts_scale",
    ),
    "tensorrt-llm-0.10": (
        "tensorrt-llm 0.",
        "compute_scale.bf16 compute_scale.fp8 weights_scale.bf16 weights_scale.fp8 kv_scale layer_us group_start_us "
        "group_share_pcie step_ms request_us",
    ),
    "tensorrt-llm-1.0": (
        "tensorrt-llm 1.",
        "traffic_scale.fp8 compute_scale.bf16 compute_scale.fp8 weights_scale.bf16 weights_scale.fp8 "
        "experts_scale.fp8 experts_scale.mxfp4 experts_compute_scale.mxfp4 kv_scale layer_us "
        "group_start_us step_ms request_us frontend_ms",
    ),
    "sglang": (
        "sglang",
        "compute_scale.bf16 compute_scale.fp8 weights_scale.bf16 weights_scale.fp8 kv_scale layer_us group_start_us "
        "step_ms request_us frontend_ms",
    ),
}
LOW, HIGH = 0.15, 8.0  # times the starting value
FLOOR = {"compute_scale": 0.95, "weights_scale": 0.9, "kv_scale": 0.9, "experts_scale": 0.45}
"""Below these a kernel would come out faster than the data sheet."""
WEIGHT = {"ttft mean": 0.5, "ttft p50": 0.4, "ttft p90": 0.15, "ttft p99": 0.15, "tpot p99": 0.1, "tpot p90": 0.3}
TRUST = {"AccelMark": 0.5}
PULL = 0.06
"""Weight of keeping the logarithm of a coefficient where it starts."""


def start(name: str) -> float:
    """Where the fit starts."""
    base = name.partition(".")[0]
    return {"layer_us": 8.0, "step_ms": 1.0, "frontend_ms": 16.0}.get(name, SPEED_DEFAULTS[base])


def residual(case: Case, speed: dict[str, float]) -> list[float]:
    """Log of simulated over measured per metric, damped; empty where the model does not fit."""
    try:
        outcome = simulate(config(case), estimated(case, speed), case.workload, compiled=True)
    except CostplanError:
        return []
    values = summed(case, outcome)
    logs = [(metric, np.log(values[metric] / case.measured[metric])) for metric in values]
    return [WEIGHT.get(metric, 1.0) * 0.2 * np.arcsinh(log / 0.2) for metric, log in logs]


def chosen(cases: list[Case], prefixes: str, most: int) -> list[Case]:
    """Fitted rows of an engine, at most `most` per source, evenly thinned."""
    kept: list[Case] = []
    starts = tuple(prefix.strip() for prefix in prefixes.replace(" vllm", "|vllm").split("|"))
    mine = [case for case in cases if not case.held_back and case.engine_class.startswith(starts)]
    for source in sorted({case.source for case in mine}):
        rows = [case for case in mine if case.source == source]
        kept += rows[:: max(1, -(-len(rows) // most))]
    return kept


def descend(errors: Callable[[np.ndarray], np.ndarray], low: np.ndarray, rounds: int) -> tuple[np.ndarray, float]:
    """Levenberg-Marquardt with one Jacobian a round and the best of several dampings: queues make the errors jumpy."""
    size = len(low)
    x = np.maximum(np.zeros(size), low)
    here = errors(x)
    for _ in range(rounds):
        slopes = np.stack([(errors(x + 0.06 * unit) - here) / 0.06 for unit in np.eye(size)], axis=1)
        normal, gradient = slopes.T @ slopes, slopes.T @ here
        best = x, here
        for damping in (0.03, 0.3, 3.0):
            scale = damping * (np.diag(normal) + 1e-3)
            step = np.clip(np.linalg.solve(normal + np.diag(scale), -gradient), -0.7, 0.7)
            trial = np.clip(x + step, low, np.log(HIGH))
            there = errors(trial)
            if there @ there < best[1] @ best[1]:
                best = trial, there
        if best[1] is here:
            break
        x, here = best
    return x, float(here @ here) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("engine", choices=sorted(ENGINES), nargs="+")
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--most", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    cases, _ = read(options.published, options.prompts)
    for engine in options.engine:
        fit(engine, cases, options.most, options.rounds)


def fit(engine: str, cases: list[Case], most: int, rounds: int) -> None:
    """One engine's coefficients, printed as YAML."""
    prefixes, names = ENGINES[engine][0], ENGINES[engine][1].split()
    rows = chosen(cases, prefixes, most)
    share = Counter(case.source for case in rows)
    weights = [TRUST.get(case.source, 1.0) / np.sqrt(share[case.source]) for case in rows]
    begin = np.array([start(name) for name in names])
    with ProcessPoolExecutor(2) as pool:

        def errors(x: np.ndarray) -> np.ndarray:
            speed = SPEED_DEFAULTS | dict(zip(names, np.exp(x) * begin, strict=True))
            parts = pool.map(partial(residual, speed=speed), rows, chunksize=4)
            scaled = [np.array(part) * weight for part, weight in zip(parts, weights, strict=True)]
            return np.concatenate([*scaled, PULL / np.sqrt(len(names)) * x])

        low = np.log(
            [FLOOR.get(name.partition(".")[0], LOW * value) / value for name, value in zip(names, begin, strict=True)]
        )
        found, cost = descend(errors, low, rounds)
    print(f"# {engine}: {len(rows)} rows of {dict(share)}; cost {cost:.4f}", flush=True)
    for name, value in zip(names, np.exp(found) * begin, strict=True):
        print(f"  {name}: {value:.4g}", flush=True)


if __name__ == "__main__":
    main()
