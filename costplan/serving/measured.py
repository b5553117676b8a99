"""A measured profile in the form of StepTime, and where a run leaves the range that was measured; fits nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from costplan.profiles.engines import Engine, Speed
from costplan.profiles.gpus import Gpu
from costplan.profiles.measured import MeasuredProfile
from costplan.profiles.models import Model, find_model
from costplan.serving.outcome import Outcome
from costplan.serving.precision import find_precision, kv_value_bytes
from costplan.serving.step_time import StepTime

FAR = 1.5
"""Up to so many times the measured range an extrapolation goes without a warning."""


def base_seconds(tokens: Sequence[int], seconds: Sequence[float], most: int) -> NDArray[np.float64]:
    """(most + 1,) straight lines between the points; the last goes on, a single point is a constant."""
    grid = np.arange(most + 1, dtype=np.float64)
    found = np.interp(grid, tokens, seconds)
    if len(tokens) > 1:
        slope = (seconds[-1] - seconds[-2]) / (tokens[-1] - tokens[-2])
        found += slope * np.maximum(0.0, grid - tokens[-1])
    return found


def step_time(
    base_s: NDArray[np.float64], coefficients: dict[str, float], model: Model, basis: str = "measured"
) -> StepTime:
    """The coefficients hold for all layers together; those with a sliding window read at most the window."""
    windowed = model.windowed_layers / model.layers
    context_s = coefficients["context_token_s"]
    return StepTime(
        base_s=base_s, pair_s=coefficients["pair_s"] * (1 - windowed), context_token_s=context_s * (1 - windowed),
        window_token_s=context_s * windowed, window=model.window if windowed else 0,
        request_s=coefficients["request_s"], frontend_s=coefficients["frontend_s"], basis=basis,
    )  # fmt: skip


def measured_step(profile: MeasuredProfile, model: Model, max_tokens: int) -> StepTime:
    """Step times of one replica, for steps of up to `max_tokens` tokens."""
    tokens = [tokens for tokens, _ in profile.base_s]
    base_s = base_seconds(tokens, [found.value for _, found in profile.base_s], max_tokens)
    return step_time(base_s, {key: found.value for key, found in profile.coefficients.items()}, model)


def covers(profile: MeasuredProfile, model: Model, gpu: Gpu, tp: int, precision: str, kv_dtype: str) -> bool:
    """Whether these replicas are what was measured; `awq` and `int4` are two names of one precision."""
    return (
        (find_model(profile.model).id, profile.gpu, profile.tp) == (model.id, gpu.name, tp)
        and find_precision(profile.precision, gpu).name == find_precision(precision, gpu).name
        and kv_value_bytes(profile.kv_dtype) == kv_value_bytes(kv_dtype)
    )


def measured_engine(profile: MeasuredProfile, engine: Engine) -> Engine:
    """The engine with the limits and the errors that were measured in place of those of its version."""
    seen = profile.measured
    source = (
        f"a replay of {seen.requests:,} requests on {profile.checked}, {seen.concurrency_low} to "
        f"{seen.concurrency_high} in flight, prompts of {seen.input_tokens_low:,} to {seen.input_tokens_high:,} tokens"
    )
    values = {key: value for key, value in engine.speed.values.items() if not key.startswith("error.")}
    values |= {f"error.{figure}": value for figure, value in profile.error.items()}
    return replace(
        engine, block_size=profile.block_size, max_num_seqs=profile.max_num_seqs, by_device=(),
        max_num_batched_tokens=profile.max_num_batched_tokens, prefix_caching=profile.prefix_caching,
        speed=Speed(values=values, source=source),
    )  # fmt: skip


def beyond(profile: MeasuredProfile, longest: int, most: float) -> list[str]:
    """Warnings where the longest prompt, or `most` requests in flight on a replica, go far beyond the measured."""
    found: list[str] = []
    seen = profile.measured
    if longest > FAR * seen.input_tokens_high:
        found.append(
            f"Prompts of up to {longest:,} tokens are beyond the measured range of the profile "
            f"({seen.input_tokens_low:,} to {seen.input_tokens_high:,}): their times are extrapolated."
        )
    if most > FAR * seen.concurrency_high:
        found.append(
            f"Up to {most:,.0f} requests in flight on a replica are beyond the measured range of the profile "
            f"({seen.concurrency_low:,} to {seen.concurrency_high:,}): their times are extrapolated."
        )
    return found


def in_flight(outcome: Outcome) -> int:
    """Most requests that one replica worked on at once."""
    most = 0
    for replica in np.unique(outcome.replica):
        rows = outcome.replica == replica
        most = max(most, overlapping(outcome.scheduled_s[rows], outcome.done_s[rows]))
    return most


def overlapping(start_s: NDArray[np.float64], end_s: NDArray[np.float64]) -> int:
    """Most intervals that hold one instant; one that ends as another starts does not count with it."""
    times = np.concatenate([end_s, start_s])
    change = np.repeat([-1, 1], [len(end_s), len(start_s)])
    order = np.argsort(times, kind="stable")  # ends stand before starts of the same instant
    return int(np.cumsum(change[order]).max(initial=0))
