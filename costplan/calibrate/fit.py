"""Coefficients of a step that make simulated runs agree with measured ones; knows neither files nor GPUs' names.

    step = base(T) + context C + pair A + request N      (serving.step_time), base piecewise linear in the tokens T

All are fitted as logarithms, so none turns negative and base never falls. First guesses are read off: a step of one
token from the answers of the lightest run, the time of a prompt's token from its first tokens by Theil-Sen, that of a
request from the heaviest run. Then the runs are simulated with the very same requests, and robust least squares
(soft L1: Triggs et al. 2000, section 3.3) brings the figures of both together. Each guess is a weak prior, so what the
measurement does not say stays where it was, and the curvature at the end tells which those are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from costplan.calibrate.runs import Deployment, Run
from costplan.profiles.measured import COEFFICIENTS, FIGURES, Coefficient
from costplan.serving.measured import base_seconds, step_time
from costplan.serving.memory import weight_bytes
from costplan.serving.outcome import Outcome
from costplan.serving.precision import find_precision, kv_value_bytes
from costplan.serving.roofline import coefficients
from costplan.serving.shapes import pair_flops
from costplan.serving.simulator import simulate
from costplan.serving.step_time import StepTime

Floats = NDArray[np.float64]
PRIOR = {"base": 2.0, "slope": 4.0, "context_token_s": 1.0, "pair_s": 0.7, "request_s": 2.0, "frontend_s": 1.0}
"""Standard deviation of the logarithm of a first guess: 1.0 is a factor of 2.7 either way."""
BEND = 1.0
"""The same for the slope of one stretch of base against the next."""
SIGMA = {"ttft": 0.03, "tpot": 0.02, "e2e": 0.02, "throughput": 0.02}
"""Agreement aimed at, as a share; first tokens hang on which prompts happen to meet."""
QUEUED = 2.5
"""First tokens under load count so many times less than those of one request at a time."""
STRETCH = 4
"""Points of base lie so many times apart."""
BINS, FEWEST = 4, 4
"""Groups of prompts by length, and requests in a group."""
ALIKE = 1.5
"""Longest over shortest prompt of a run, below which lengths tell nothing."""
HELD = 0.6
"""Where the measurement narrows a guess to no less than this share of its width, the value counts as held."""
SOFT_FROM = 2.0
"""Times the agreement aimed at; what is further off counts as an outlier."""
REACH = 8.0
_DIFFERENCE = 0.04  # of the logarithm: coarse enough that batches falling otherwise do not matter
_BLOCKS = 4
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Coefficients with their ranges, and how well they describe the runs."""

    base_s: tuple[tuple[int, Coefficient], ...]
    coefficients: dict[str, Coefficient]
    residual: list[dict[str, float]]
    """By run and figure: simulated / measured - 1."""
    noise: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Guess:
    """Where the search starts: logarithms of base[1], the slopes of base, then COEFFICIENTS."""

    points: tuple[int, ...]
    start: Floats
    width: Floats

    @property
    def slopes(self) -> slice:
        return slice(1, len(self.points))


def fit(runs: list[Run], deployment: Deployment) -> Fit:
    """Deterministic; some seconds for runs of some hundred requests."""
    from scipy import optimize

    least_squares: Any = cast(Any, optimize).least_squares
    guess = _guess(runs, deployment)
    targets = [_Target(run) for run in runs]

    def residuals(x: Floats) -> Floats:
        step = _step(x, guess, deployment)
        parts = [
            target.misses(simulate(deployment.config, step, run.workload))
            for run, target in zip(runs, targets, strict=True)
        ]
        bends = np.diff(x[guess.slopes]) / BEND
        return np.concatenate([_soft(np.concatenate(parts)), (x - guess.start) / guess.width, bends])

    def jacobian(x: Floats) -> Floats:
        return _jacobian(residuals, x)

    found = least_squares(
        residuals, guess.start, jac=jacobian, bounds=(guess.start - REACH, guess.start + REACH), max_nfev=40,
        xtol=1e-3, ftol=1e-3,
    )  # fmt: skip
    x = np.asarray(found.x, np.float64)
    step = _step(x, guess, deployment)
    outcomes = [simulate(deployment.config, step, run.workload) for run in runs]
    data = np.concatenate([target.misses(each) for target, each in zip(targets, outcomes, strict=True)])
    spread = max(1.0, float(np.median(np.abs(data))) / 0.6745)  # misses of one sigma have a median of 0.6745 (MAD)
    jac = np.asarray(found.jac, np.float64)
    covariance: Floats = np.asarray(np.linalg.inv(jac.T @ jac) * spread**2, np.float64)
    return Fit(
        base_s=_base(x, guess, covariance), coefficients=_coefficients(x, guess, covariance),
        residual=[target.errors(each) for target, each in zip(targets, outcomes, strict=True)],
        noise=worst_of([_noise(run, each) for run, each in zip(runs, outcomes, strict=True)]),
    )  # fmt: skip


def _soft(misses: Floats) -> Floats:
    """Soft L1: squares of small ones, and of large ones little more than their size; priors stay as they are."""
    return np.sign(misses) * SOFT_FROM * np.sqrt(2 * (np.sqrt(1 + (misses / SOFT_FROM) ** 2) - 1))


def _jacobian(function: Callable[[Floats], Floats], x: Floats) -> Floats:
    """Central differences over a step at which the runs differ by more than the order of their batches."""
    columns: list[Floats] = []
    for i in range(len(x)):
        change = np.zeros_like(x)
        change[i] = _DIFFERENCE
        columns.append((function(x + change) - function(x - change)) / (2 * _DIFFERENCE))
    return np.stack(columns, axis=1)


def _step(x: Floats, guess: _Guess, deployment: Deployment) -> StepTime:
    values = np.exp(x)
    seconds = _seconds(values, guess.points)
    base_s = base_seconds(guess.points, seconds.tolist(), deployment.config.max_num_batched_tokens)
    return step_time(
        base_s, dict(zip(COEFFICIENTS, values[len(guess.points) :].tolist(), strict=True)), deployment.model
    )


def _seconds(values: Floats, points: tuple[int, ...]) -> Floats:
    """base at its points."""
    rises = values[1 : len(points)] * np.diff(points)
    return values[0] + np.concatenate([[0.0], np.cumsum(rises)])


# --- first guesses ----------------------------------------------------------------------------------------------------


def _guess(runs: list[Run], deployment: Deployment) -> _Guess:
    light, heavy = (choose(runs, key=lambda run: run.most_in_flight) for choose in (min, max))
    points = _points(runs, deployment, heavy.most_in_flight)
    speed = coefficients(deployment.engine)
    one_s = _median_tpot(light) / max(1.0, 0.5 * light.most_in_flight)
    frontend_s = min(speed["frontend_ms"] * 1e-3, 0.5 * float(np.median(light.ttft_s)))
    slope = _prompt_token_s(light, one_s + frontend_s)
    apart = heavy.most_in_flight - light.most_in_flight
    # half of what a further request adds; the other half is prompts that are computed meanwhile
    per_request = 0.5 * max(0.0, _median_tpot(heavy) - _median_tpot(light)) / apart if apart else 0.0
    model = deployment.model
    matrices = max(1, model.active_parameters - model.embedding_parameters)
    read_s = 1 / (deployment.tp * deployment.gpu.bandwidth_bytes_s)
    weights = deployment.tp * weight_bytes(model, deployment.tp, find_precision(deployment.precision, deployment.gpu))
    slower = float(np.clip(one_s / (weights * read_s), 1.0, 30.0))
    first = {
        # the cache is read as much slower than the data sheet says as the weights are
        "context_token_s": slower * model.kv_bytes_per_token(kv_value_bytes(deployment.kv_dtype)) * read_s,
        # attention computes as fast as the matrix products: 2 operations a weight and token
        "pair_s": slope * pair_flops(model, 1) * model.layers / (2 * matrices),
        "request_s": max(per_request, speed["request_us"] * 1e-6),
        "frontend_s": frontend_s,
    }
    start = [one_s, *[slope] * (len(points) - 1), *(first[name] for name in COEFFICIENTS)]
    width = [PRIOR["base"], *[PRIOR["slope"]] * (len(points) - 1), *(PRIOR[name] for name in COEFFICIENTS)]
    return _Guess(points=points, start=np.log(start), width=np.array(width))


def _points(runs: list[Run], deployment: Deployment, most_in_flight: int) -> tuple[int, ...]:
    """1, the largest batch that only decodes, and prompt lengths: no two closer than twice."""
    prompts = np.concatenate([run.workload.input_tokens for run in runs])
    low, top = (min(int(n), deployment.config.max_num_batched_tokens) for n in np.quantile(prompts, [0.05, 1.0]))
    found = [max(top, 2)]
    while found[-1] // STRETCH >= max(low, 2) and found[-1] // STRETCH > most_in_flight:
        found.append(found[-1] // STRETCH)
    while found[-1] // 2 >= max(most_in_flight, 2) and len(found) < 8:
        found.append(found[-1] // 2)
    if 2 <= most_in_flight < found[-1]:
        found.append(most_in_flight)
    return (1, *reversed(found))


def _median_tpot(run: Run) -> float:
    """Of answers of more than one token; the whole answer where there are none."""
    gaps = run.workload.output_tokens - 1
    long = gaps > 0
    return (
        float(np.median((run.last_s - run.first_s)[long] / gaps[long])) if long.any() else float(np.median(run.ttft_s))
    )


def _prompt_token_s(run: Run, fixed_s: float) -> float:
    """Seconds per prompt token by the first tokens of the lightest run; `fixed_s`: what no prompt is without."""
    from scipy import stats

    theilslopes: Any = cast(Any, stats).theilslopes
    lengths, ttft = run.workload.input_tokens.astype(np.float64), run.ttft_s
    typical, length = float(np.median(ttft)), float(np.median(lengths))
    least = 0.05 * typical / length
    if lengths.max() < ALIKE * lengths.min():
        return max(least, (typical - fixed_s) / length)
    return max(least, float(theilslopes(ttft, lengths)[0]))


# --- measured beside simulated ----------------------------------------------------------------------------------------


class _Target:
    """The figures of a measured run, once, and how far a simulated one is from them."""

    def __init__(self, run: Run) -> None:
        self._outputs = run.workload.output_tokens[: run.counted]
        groups = _groups(run)
        queued = QUEUED if run.most_in_flight > 1 else 1.0
        self._parts = [(figure, rows) for figure in ("ttft", "tpot") for rows in groups]
        widths = [
            SIGMA[figure] * (queued if figure == "ttft" else 1.0) * len(groups) ** 0.5 for figure, _ in self._parts
        ]
        self._width = np.array([*widths, SIGMA["e2e"], SIGMA["throughput"]])
        self._measured = self._figures(run.start_s, run.first_s, run.last_s, self._parts)
        whole = np.arange(run.counted)
        self._plain = [("ttft", whole), ("tpot", whole)]
        self._seen = self._figures(run.start_s, run.first_s, run.last_s, self._plain)

    def misses(self, outcome: Outcome) -> Floats:
        """log(simulated / measured) over the agreement aimed at."""
        found = self._figures(outcome.arrival_s, outcome.first_token_s, outcome.done_s, self._parts)
        return np.nan_to_num((found - self._measured) / self._width)

    def errors(self, outcome: Outcome) -> dict[str, float]:
        found = self._figures(outcome.arrival_s, outcome.first_token_s, outcome.done_s, self._plain)
        return dict(zip(FIGURES, np.nan_to_num(np.expm1(found - self._seen)).tolist(), strict=True))

    def _figures(
        self, start: Floats, first: Floats, last: Floats, parts: list[tuple[str, NDArray[np.int64]]]
    ) -> Floats:
        """Logarithms of medians by group, of the median time of a request, and of tokens a second."""
        start, first, last = (times[: len(self._outputs)] for times in (start, first, last))
        gaps = self._outputs - 1
        tpot = np.where(gaps > 0, (last - first) / np.maximum(gaps, 1), np.nan)
        values = {"ttft": first - start, "tpot": tpot}
        medians = [_median(values[figure][rows]) for figure, rows in parts]
        tokens = float(self._outputs.sum())
        return np.log([*medians, float(np.median(last - start)), tokens / float(last.max() - start.min())])


def _median(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _groups(run: Run) -> list[NDArray[np.int64]]:
    """Rows by prompt length, each group of enough requests; one group where prompts are alike."""
    order = np.argsort(run.workload.input_tokens[: run.counted], kind="stable")
    lengths = run.workload.input_tokens[order]
    if lengths[-1] < ALIKE * lengths[0]:
        return [order]
    return np.array_split(order, min(BINS, max(1, len(order) // FEWEST)))


def _noise(run: Run, outcome: Outcome) -> dict[str, float]:
    """How far measured over simulated moves from one quarter of the run to the next (standard deviation)."""
    gaps = run.workload.output_tokens - 1
    ratio = {
        "ttft": run.ttft_s / (outcome.first_token_s - outcome.arrival_s),
        "tpot": np.where(
            gaps > 0, (run.last_s - run.first_s) / np.maximum(outcome.done_s - outcome.first_token_s, 1e-9), np.nan
        ),
        "e2e": (run.last_s - run.start_s) / (outcome.done_s - outcome.arrival_s),
    }  # fmt: skip
    found = {
        figure: float(np.nan_to_num(np.std([_median(part) for part in np.array_split(values, _BLOCKS)])))
        for figure, values in ratio.items()
    }
    return found | {"throughput": found["e2e"]}


def worst_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """By figure, the largest of any run."""
    return {figure: max(abs(row[figure]) for row in rows) for figure in FIGURES}


# --- what was found ---------------------------------------------------------------------------------------------------


def _base(x: Floats, guess: _Guess, covariance: Floats) -> tuple[tuple[int, Coefficient], ...]:
    """base at its points; the range by the delta method."""
    values, n = np.exp(x), len(guess.points)
    seconds = _seconds(values, guess.points)
    steps = np.concatenate([[1.0], np.diff(guess.points)])
    found: list[tuple[int, Coefficient]] = []
    for i, tokens in enumerate(guess.points):
        gradient = np.where(np.arange(n) <= i, values[:n] * steps, 0.0)
        width = _NORMAL_95 * float(np.sqrt(gradient @ covariance[:n, :n] @ gradient))
        value = float(seconds[i])
        found.append((tokens, Coefficient(value=value, low=max(0.0, value - width), high=value + width)))
    return tuple(found)


def _coefficients(x: Floats, guess: _Guess, covariance: Floats) -> dict[str, Coefficient]:
    found: dict[str, Coefficient] = {}
    for i, name in enumerate(COEFFICIENTS, len(guess.points)):
        deviation, prior = float(np.sqrt(covariance[i, i])), float(guess.width[i])
        held = deviation > HELD * prior
        width = _NORMAL_95 * min(deviation, prior)
        value = float(np.exp(x[i]))
        found[name] = Coefficient(
            value=value, low=value * float(np.exp(-width)), high=value * float(np.exp(width)),
            how="held near a first guess: these runs say little of it" if held else "fitted",
        )  # fmt: skip
    return found
