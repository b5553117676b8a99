"""Sessions and rates per minute of a log, from its sums; what a session or a model costs is added up elsewhere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Summary
from costplan.kinds import Kind, model_of
from costplan.results import Rate, Sessions
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_MINUTE

HEADROOM = 1.2
"""Assumed: a limit leaves a fifth above the p99 minute, and never lies below the peak minute."""


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """What is kept of all sessions; quantiles as in `Sessions`."""

    count: int
    cost_nanos: int
    steps: dict[str, float]
    cost_usd: dict[str, float]
    top_share: float | None = None
    """Share of the cost that the dearest 1 % of the sessions take, at least one."""


def session_figures(sessions: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> SessionFigures:
    """Steps and costs of all sessions, given bucket by bucket, summed up."""
    steps, cost = (np.sort(np.concatenate([part[column] for part in sessions])) for column in (0, 1))
    if not len(steps):
        return SessionFigures(0, 0, {}, {})
    return SessionFigures(
        len(steps), int(cost.sum()), _quantiles(steps.astype(np.float64)), _quantiles(cost / NANOS_PER_USD),
        float(cost[-max(1, len(cost) // 100) :].sum() / cost.sum()) if cost.sum() else None,
    )  # fmt: skip


def sessions_of(summary: Summary, sessions: SessionFigures, *, priceless: bool) -> Sessions | None:
    if not sessions.count:
        return None
    counts = summary.counts
    names = ("history", "tools", "tool_result", "system", "user")
    total = sum(counts[f"{name}_chars"] for name in names)

    def share(name: str) -> float | None:
        return counts[f"{name}_chars"] / total if total else None

    return Sessions(
        sessions=sessions.count,
        steps=sessions.steps,
        cost_usd={} if priceless else sessions.cost_usd,
        history_share=share("history"),
        tools_share=share("tools"),
        tool_results_share=share("tool_result"),
        system_share=share("system"),
        top_1_percent_share=None if priceless else sessions.top_share,
    )


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    p50, p95, p99 = (float(v) for v in np.quantile(values, (0.5, 0.95, 0.99)))
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(values.max()), "mean": float(values.mean())}


def rates_of(summary: Summary, kinds: list[Kind], weight: float) -> list[Rate]:
    """Peak and p99 per minute and model over all minutes of the log; those without a request count as zeros."""
    group = summary.groups["minute"]
    if not len(group.keys):
        return []
    first, last = (us // (SECONDS_PER_MINUTE * MICROS_PER_SECOND) for us in (summary.time_min, summary.time_max))
    minute, kind = group.keys >> 20, group.keys & ((1 << 20) - 1)
    models = [model_of(kind) for kind in kinds]
    kinds_of: dict[str, list[int]] = {}
    for number in np.unique(kind):
        kinds_of.setdefault(models[int(number)], []).append(int(number))
    rates: list[Rate] = []
    for model, numbers in kinds_of.items():
        mine = np.isin(kind, numbers)
        starts = np.flatnonzero(np.concatenate([[True], np.diff(minute[mine]) != 0]))
        sums = np.add.reduceat(group.sums[mine, :4], starts, axis=0) * weight
        sums = np.column_stack([sums, sums[:, 0] + sums[:, 3], sums[:, 1] + sums[:, 2]])
        ranked = [np.sort(column)[::-1] for column in sums.T]
        peak, p99 = [round(each[0]) for each in ranked], [_p99(each, last - first + 1) for each in ranked]
        rates.append(
            Rate(
                model=model, requests_min_peak=peak[0], requests_min_p99=p99[0],
                tokens_min_peak=peak[5], tokens_min_p99=p99[5],
                input_tokens_min_peak=peak[1], input_tokens_min_p99=p99[1],
                output_tokens_min_peak=peak[2], output_tokens_min_p99=p99[2],
                rate_limited=int(group.sums[mine][:, 3].sum()), ask_requests_min=_ask(peak[4], p99[4]),
                ask_input_tokens_min=_ask(peak[1], p99[1]), ask_output_tokens_min=_ask(peak[2], p99[2]),
            )
        )  # fmt: skip
    return sorted(rates, key=lambda rate: (-rate.tokens_min_peak, rate.model))


def _p99(busy: NDArray[np.float64], minutes: int) -> float:
    """The 99th percentile (linear) of `minutes` values: those in `busy`, largest first, and zeros."""
    place = 0.01 * (minutes - 1)
    index = int(place)
    upper, lower = (float(busy[i]) if i < len(busy) else 0.0 for i in (index, index + 1))
    return upper + (lower - upper) * (place - index)


def _ask(peak: float, p99: float) -> int:
    """The limit to ask for, rounded up to two figures."""
    needed = max(peak, HEADROOM * p99)
    unit = 10 ** max(0, int(np.log10(max(needed, 1))) - 1)
    return int(np.ceil(needed / unit - 1e-9)) * unit
