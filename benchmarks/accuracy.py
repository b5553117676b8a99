"""How far the simulator is from published runs: `python -m benchmarks.accuracy published.csv [sharegpt.jsonl]`.

Prints the error of every metric by source, GPU, precision and engine, for rows the coefficients were fitted to and for
held-back ones apart: median and 90th percentile of |simulated / measured - 1|, the number of rows, and the bias (median
of the signed error). `--bands` adds the medians of the held-back rows as `error:` for the profiles.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from costplan.errors import CostplanError
from costplan.profiles.engines import Speed
from costplan.serving.engine import EngineConfig
from costplan.serving.memory import memory
from costplan.serving.outcome import Outcome
from costplan.serving.roofline import roofline
from costplan.serving.silicon import silicon
from costplan.serving.simulator import simulate
from costplan.serving.step_time import StepTime

from benchmarks.published import Case, read

IN_PROCESS_S = 0.002
"""Tokenising and handing over where client and engine share a process."""
StepBuilder = Callable[[Case, dict[str, float] | None], StepTime]


@dataclass(frozen=True, slots=True)
class Error:
    """One metric of one case."""

    case: Case
    metric: str
    ratio: float
    """Simulated / measured."""


def estimated(case: Case, speed: dict[str, float] | None = None) -> StepTime:
    """The roofline; `speed` replaces the profile's coefficients."""
    engine = case.engine
    if speed is not None:
        engine = replace(engine, speed=Speed(values=speed, source="fit"))
    step = roofline(
        case.model, case.gpu, engine, tp=case.tp, precision=case.precision, kv_dtype=case.kv_dtype,
        max_tokens=case.max_tokens, max_num_seqs=case.max_num_seqs,
    )  # fmt: skip
    return replace(step, frontend_s=IN_PROCESS_S, frontend_token_s=0.0) if case.in_process else step


def tabulated(case: Case, speed: dict[str, float] | None = None) -> StepTime:
    """Operator tables instead of the roofline; raises where there are none."""
    del speed
    return silicon(
        case.model, case.gpu, case.engine, tp=case.tp, precision=case.precision, kv_dtype=case.kv_dtype,
        max_tokens=case.max_tokens,
    )  # fmt: skip


def config(case: Case) -> EngineConfig:
    """The scheduler's limits of a case; raises where the model does not fit."""
    room = memory(
        case.model, case.gpu, case.engine, tp=case.tp, precision=case.precision, kv_dtype=case.kv_dtype,
        max_tokens=case.max_tokens, max_num_seqs=min(case.max_num_seqs, 256), memory_share=case.memory_share,
    )  # fmt: skip
    lengths = case.workload.input_tokens.astype(int) + case.workload.output_tokens
    return EngineConfig(
        blocks=room.blocks(int(lengths.mean())) * room.block_size // 16,
        max_num_seqs=case.max_num_seqs,
        max_num_batched_tokens=case.max_tokens,
        prefix_caching=case.engine.prefix_caching,
        chunked_prefill=case.engine.chunked_prefill,
        reserve_whole_prompt=case.engine.reserve_whole_prompt,
    )


def simulated(case: Case, build: StepBuilder = estimated, speed: dict[str, float] | None = None) -> dict[str, float]:
    """Every published metric of the case, as the simulator has it."""
    outcome = simulate(config(case), build(case, speed), case.workload, compiled=True)
    return summed(case, outcome)


def summed(case: Case, outcome: Outcome) -> dict[str, float]:
    """The case's metrics from request times."""
    tokens = case.workload.output_tokens.astype(float)
    ttft, e2e = outcome.first_token_s - outcome.arrival_s, outcome.done_s - outcome.arrival_s
    several = tokens > 1
    tpot = (e2e - ttft)[several] / (tokens[several] - 1)
    kinds = {"ttft": ttft, "tpot": tpot, "e2e": e2e, "itl": tpot}
    found: dict[str, float] = {}
    for metric in case.measured:
        kind, _, figure = metric.partition(" ")
        if kind == "output":
            found[metric] = float(tokens.sum() / (outcome.done_s.max() - outcome.arrival_s.min()))
        elif figure == "mean":
            found[metric] = float(kinds[kind].mean())
        else:
            found[metric] = float(np.percentile(kinds[kind], float(figure[1:])))
    return found


def errors(cases: Iterable[Case], build: StepBuilder = estimated) -> tuple[list[Error], dict[str, int]]:
    """Errors of all cases, and how many were refused for which reason."""
    found: list[Error] = []
    refused: dict[str, int] = {}
    for case in cases:
        try:
            values = simulated(case, build)
        except CostplanError as error:
            reason = "does not fit" if "fit" in error.message or "GiB" in error.message else error.message[:60]
            refused[f"{case.engine_class}: {reason}"] = refused.get(f"{case.engine_class}: {reason}", 0) + 1
            continue
        found += [Error(case, metric, values[metric] / case.measured[metric]) for metric in values]
    return found, refused


def table(found: list[Error], title: str, key: Callable[[Error], str]) -> list[str]:
    """Lines of one error table, fitted and held back side by side."""
    heads = [f"{half}: med  p90  bias     n" for half in ("fitted", "held back")]
    lines = [f"\n{title:<44} {'metric':<13} {heads[0]:>30} {heads[1]:>34}"]
    for name, metric in sorted({(key(each), each.metric) for each in found}):
        rows = [each for each in found if key(each) == name and each.metric == metric]
        halves = [_cells([e.ratio for e in rows if e.case.held_back == held]) for held in (False, True)]
        lines.append(f"{name:<44} {metric:<13} {halves[0]:>30} {halves[1]:>34}")
    return lines


def _cells(ratios: list[float]) -> str:
    if not ratios:
        return "-"
    off = np.abs(np.array(ratios) - 1)
    return f"{np.median(off):6.1%} {np.quantile(off, 0.9):6.1%} {np.median(ratios) - 1:+6.1%} {len(ratios):5d}"


def bands(found: list[Error]) -> list[str]:
    """`error` per engine for the profiles: median over the held-back rows by kind of figure, from five rows on."""
    lines: list[str] = []
    for engine in sorted({each.case.engine_class for each in found}):
        mine = [each for each in found if each.case.engine_class == engine and each.case.held_back]
        parts: list[str] = []
        for kind in ("ttft", "tpot", "itl", "e2e", "output"):
            off = [abs(each.ratio - 1) for each in mine if each.metric.startswith(kind)]
            if len(off) >= 5:
                parts.append(f"{kind.replace('output', 'throughput')}: {np.median(off):.2f}")
        lines.append(f"  error: {{{', '.join(parts)}}}  # {engine}, {len({id(each.case) for each in mine})} runs")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("prompts", type=Path, nargs="?")
    parser.add_argument("--silicon", action="store_true", help="step times from aiconfigurator tables instead")
    parser.add_argument("--bands", action="store_true")
    options = parser.parse_args()
    cases, left_out = read(options.published, options.prompts)
    if options.silicon:
        found, refused = errors(cases, tabulated)
    else:
        found, refused = errors(cases)
    keys: dict[str, Callable[[Error], str]] = {
        "source": lambda e: e.case.source,
        "source, engine": lambda e: f"{e.case.source} | {e.case.engine_class}",
        "source, GPU": lambda e: f"{e.case.source} | {e.case.gpu.name}",
        "source, precision": lambda e: f"{e.case.source} | {e.case.precision}",
    }
    for title, key in keys.items():
        print("\n".join(table(found, title, key)))
    if options.bands:
        print("\n".join(bands(found)))
    print(f"\n{len(cases)} cases; refused {refused}; left out {left_out}", file=sys.stdout)


if __name__ == "__main__":
    main()
