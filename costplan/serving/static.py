"""Static batching, the naive engine: a batch runs to its last token, its KV reserved to the maximum length."""

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.serving.gaps import ITL_BINS, ITL_FLOOR_S, ITL_RATIO
from costplan.serving.outcome import ITL_EDGES_S, Outcome
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload


def slots(kv_tokens: int, max_length: int, max_batch: int) -> int:
    """Requests that a batch may have when each reserves `max_length` contiguous tokens."""
    return min(max_batch, kv_tokens // max_length)


def reserved_waste(workload: Workload, max_length: int) -> float:
    """Share of the reserved KV that a request never uses, on average (Kwon et al. 2023, section 3.1)."""
    used = workload.input_tokens.astype(np.int64) + workload.output_tokens
    return float(1 - np.mean(used) / max_length)


def simulate_static(
    step: StepTime, workload: Workload, *, kv_tokens: int, max_length: int, max_batch: int = 64
) -> Outcome:
    """Serve an open-loop workload with one replica that takes what waits, pads it, and answers when all are done.

    Prompts are padded to the longest of the batch and everybody decodes until the longest answer ends; the next batch
    starts then. A step's time is that of the same engine without chunking, so the difference is scheduling alone.
    """
    width = slots(kv_tokens, max_length, max_batch)
    longest = int(np.max(workload.input_tokens.astype(np.int64) + workload.output_tokens))
    if width < 1 or longest > max_length:
        raise CostplanError(
            f"static batching cannot reserve {max(max_length, longest):,} tokens of KV for a request",
            hint=f"{kv_tokens:,} tokens fit; use more memory or a shorter maximum length",
        )
    n = workload.requests
    arrival = workload.arrival_s + step.frontend_s
    started, first, done = np.zeros(n), np.zeros(n), np.zeros(n)
    counts, total_gap, longest_gap = np.zeros(ITL_BINS, np.int64), 0.0, 0.0
    clock = busy = 0.0
    steps = tokens = peak = at = 0
    while at < n:
        clock = max(clock, float(arrival[at]))
        end = at + int(np.searchsorted(arrival[at : at + width], clock, side="right"))
        batch = end - at
        inputs, outputs = int(workload.input_tokens[at:end].max()), workload.output_tokens[at:end]
        prompt_s, gaps = _durations(step, batch, inputs, int(outputs.max()))
        started[at:end], first[at:end] = clock, clock + prompt_s
        clock += prompt_s + float(gaps.sum())
        busy += prompt_s + float(gaps.sum())
        done[at:end] = clock + step.frontend_token_s * outputs
        waiting = np.sort(outputs)
        live = batch - np.searchsorted(waiting, np.arange(1, len(gaps) + 1), side="right")
        place = np.log(np.maximum(gaps, ITL_FLOOR_S) / ITL_FLOOR_S) / np.log(ITL_RATIO)
        np.add.at(counts, np.clip(place.astype(np.int64), 0, ITL_BINS - 1), live)
        total_gap += float(gaps @ live)
        longest_gap = max(longest_gap, float(gaps.max(initial=0.0)))
        steps, tokens = steps + 1 + len(gaps), tokens + batch * (inputs + len(gaps))
        peak, at = max(peak, batch), end
    return Outcome(
        arrival_s=np.array(workload.arrival_s, np.float64), scheduled_s=started, first_token_s=first, done_s=done,
        cached_tokens=np.zeros(n, np.int32), preemptions=np.zeros(n, np.int32), replica=np.zeros(n, np.int32),
        itl_edges_s=ITL_EDGES_S, itl_counts=counts,
        itl_sum_s=total_gap, itl_max_s=longest_gap, busy_s=np.array([busy]), steps=np.array([steps]),
        step_tokens=np.array([tokens]), kv_peak_blocks=np.array([-(-peak * max_length // workload.block_size)]),
        replica_s=clock, frontend_s=step.frontend_s,
    )  # fmt: skip


def _durations(step: StepTime, batch: int, inputs: int, outputs: int) -> tuple[float, NDArray[np.float64]]:
    """(seconds of the padded prompts, seconds of each decoding step)."""
    whole, rest = divmod(batch * inputs, len(step.base_s) - 1)
    prompt_s = whole * float(step.base_s[-1]) + (float(step.base_s[rest]) if rest else 0.0)
    prompt_s += step.pair_s * batch * inputs * (inputs + 1) / 2 + step.request_s * batch
    context = inputs + np.arange(1.0, outputs)
    windowed = np.minimum(context, step.window) if step.window else np.zeros(len(context))
    each = float(step.base_s[min(batch, len(step.base_s) - 1)]) + step.request_s * batch
    return prompt_s, each + batch * (step.context_token_s * context + step.window_token_s * windowed)
