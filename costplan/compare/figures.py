"""The figures of a plan or of a run that are put side by side, under the names that --fail-if takes."""

from collections.abc import Iterator
from math import sqrt

from costplan.results import Estimate, Plan
from costplan.results.compare import Figure
from costplan.results.serving import ServingRun, Spread

Value = float | Estimate | None
Shown = tuple[str, str, str, Value]
"""Name, label, unit, value."""
_LATENCIES = (
    ("ttft", "time to first token"), ("tpot", "time per output token"), ("itl", "gap between tokens"),
    ("e2e", "end to end"), ("queue", "in the queue"),
)  # fmt: skip
_Z = 1.959964


def plan_figures(plan: Plan) -> Iterator[Shown]:
    """Spend, unit costs, volume and what could be saved."""
    base, unit, books = plan.baseline, plan.unit_economics, plan.ingest
    yield "cost.month", "cost a month", "USD", base.cost_usd_month
    yield "cash.month", "paid a month, under the contract", "USD", base.cash_usd_month
    yield "cost.log", "cost of the log", "USD", base.cost_usd
    yield "cost.request", "per request", "USD", unit.per_request
    yield "cost.session", "per session", "USD", unit.per_session
    yield "cost.user_day", "per user and day", "USD", unit.per_user_day
    yield "cost.mtok", "per million tokens", "USD", unit.per_mtok_blended
    yield "cost.accepted", "per 1k accepted answers", "USD", unit.per_1k_accepted
    yield "requests", "requests in the log", "", base.requests
    yield "requests.month", "requests a month", "", base.requests_month
    priced = books.priced or None
    yield "tokens.input", "input tokens per request", "", priced and base.input_tokens / priced
    yield "tokens.output", "output tokens per request", "", priced and base.output_tokens / priced
    yield (
        "cache.read",
        "input read from a cache",
        "share",
        _share(base.cache_read_tokens, base.input_tokens),
    )
    yield "failed", "failed calls", "share", _share(books.failed, books.requests)
    yield "unpriced", "requests without a price", "share", _share(books.unpriced.requests, books.requests)
    yield "saving", "saving by the defensible steps", "share", plan.after.defensible.saving_share
    yield "saving.potential", "saving if all holds", "share", plan.after.potential.saving_share
    yield "after.month", "cost a month after the defensible steps", "USD", plan.after.defensible.cost_usd_month


def run_figures(run: ServingRun) -> Iterator[Shown]:
    """Throughput and latencies of a simulation or a measurement."""
    yield "req_s", "requests a second", "", run.req_s
    yield "output_tok_s", "output tokens a second", "", run.output_tok_s
    yield "input_tok_s", "input tokens a second", "", run.input_tok_s
    yield "goodput", "within the SLO", "share", run.goodput_share
    for name, label in _LATENCIES:
        spread: Spread | None = getattr(run, f"{name}_s")
        for statistic in ("mean", "p50", "p95", "p99"):
            value = None if spread is None else getattr(spread, statistic)
            yield f"{name}.{statistic}", f"{label}, {statistic}", "s", value
    yield "prefix_hit", "prefix hits", "share", run.prefix_hit_share
    yield "failed", "failed requests", "share", _share(run.requests.failed, run.requests.sent)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def side_by_side(a: Iterator[Shown], b: Iterator[Shown]) -> list[Figure]:
    """Figures that at least one of the two knows."""
    found: list[Figure] = []
    for (name, label, unit, old), (_, _, _, new) in zip(a, b, strict=True):
        before, after = (each.value if isinstance(each, Estimate) else each for each in (old, new))
        if before is None and after is None:
            continue
        change = None if before is None or after is None else after - before
        found.append(
            Figure(
                name=name, label=label, unit=unit, a=before, b=after, change=change,
                ratio=change / before if change is not None and before else None, differs=_differs(old, new),
            )
        )  # fmt: skip
    return found


def _differs(a: Value, b: Value) -> bool | None:
    """Whether two independent means differ (z test at 5 %), from their 95 % intervals; None where one has none."""
    errors: list[float] = []
    values: list[float] = []
    for each in (a, b):
        if not isinstance(each, Estimate) or each.level != 0.95 or each.value is None:
            return None
        if each.low is None or each.high is None:
            return None
        values.append(each.value)
        errors.append((each.high - each.low) / (2 * _Z))
    spread = sqrt(errors[0] ** 2 + errors[1] ** 2)
    return abs(values[1] - values[0]) > _Z * spread
