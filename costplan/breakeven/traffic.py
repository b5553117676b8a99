"""The traffic that moves: volume, shape over the hours, tokens of a request and what it costs today; from a plan, a
trace or stated defaults. What serves it is not known here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from costplan.breakeven.crossing import DAYS_PER_MONTH
from costplan.errors import CostplanError, UsageError
from costplan.results import Estimate, Plan, Rung
from costplan.serving.arrivals import Lengths, parse_lengths
from costplan.settings import BreakevenSettings
from costplan.tco.facts import Fact, fact, given
from costplan.tco.fleet import Shape, daily_shape, shape_of
from costplan.units import HOURS_PER_MONTH

DEFAULT_API_MODEL = "gpt-4o"
_PER_DAY, _TOKENS = "requests/day", "tokens/request"
_MIN_WINDOW_REQUESTS = 30
"""Ten-minute windows with fewer requests say more about chance than about bursts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """What is left after the levers that come before the model: a request that a cache answers is not in it."""

    origin: str
    requests_day: Fact
    volume_known: bool
    """False: the volume was assumed to fill the columns, and the answer is a volume."""
    input_tokens: float
    output_tokens: float
    """Means, as the API model counts."""
    lengths: tuple[Lengths, Lengths] | None = None
    """How they spread, where more than the mean is known."""
    shape: Shape
    hour_peak: Fact
    burst: Fact
    api_model: str
    api_usd_request: Fact | None = None
    """Column (a) by request; None: at the list price of `api_model`."""
    api_how: str = "list price"
    prefix_hit: float = 0.0
    """Share of prompt tokens that a replica finds in its prefix cache."""
    cached_share: float = 0.0
    """Share of prompt tokens that an API's prompt cache answers."""
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> float:
        return self.input_tokens + self.output_tokens


def stated_traffic(settings: BreakevenSettings) -> Traffic:
    """Flags, and for what they leave open the stated defaults."""
    volume = settings.requests_per_day
    inputs, outputs = (
        parse_lengths(text, option) if text else parse_lengths(f"{fact(name).value:.0f}", option)
        for text, option, name in (
            (settings.input, "--input", "traffic.input_tokens"), (settings.output, "--output", "traffic.output_tokens")
        )
    )  # fmt: skip
    peak = fact("traffic.hour_peak")
    shape = daily_shape(peak.value, HOURS_PER_MONTH)
    return Traffic(
        origin="stated" if volume else "default",
        requests_day=given(volume, _PER_DAY, "--requests-per-day") if volume else fact("traffic.requests_per_day"),
        volume_known=volume is not None,
        input_tokens=mean_of(inputs),
        output_tokens=mean_of(outputs),
        lengths=(inputs, outputs),
        shape=shape,
        hour_peak=peak,
        burst=fact("traffic.burst"),
        api_model=settings.api_model or DEFAULT_API_MODEL,
        prefix_hit=settings.prefix_hit or 0.0,
        cached_share=settings.prefix_hit or 0.0,
    )


def traffic_of_plan(plan: Plan, settings: BreakevenSettings, name: str) -> Traffic:
    """What a plan's defensible levers leave over, priced as the plan has it.

    Raises CostplanError for a plan without a priced request or, unless --requests-per-day is given, without a month.
    """
    for flag, value in (("--input", settings.input), ("--output", settings.output)):
        if value is not None:
            raise UsageError(f"{flag} and the lengths in {name} contradict each other", hint=f"leave out {flag}")
    books, base, after = plan.ingest, plan.baseline, plan.after.defensible
    if not books.priced or not base.input_tokens + base.output_tokens:
        raise CostplanError(f"{name}: no priced request in it", hint="costplan breakeven --gpus 4xA100 needs no plan")
    hits, hit_cost = _cached_away(plan)
    tokens_scale = (1 - hit_cost) / (1 - hits)
    kept = books.priced / max(1, books.requests) * (1 - hits)
    month = base.requests_month if base.cost_usd_month.value is not None else None
    if month is None and settings.requests_per_day is None:
        raise CostplanError(
            f"{name}: it has no monthly volume ({base.cost_usd_month.note or 'no month'})",
            hint="add --requests-per-day N, or analyze with --month-requests N",
        )
    per_day = (month or 0.0) * kept / DAYS_PER_MONTH
    cost = after.cost_usd_month
    if cost.value is not None and per_day:
        per_request = cost.value / per_day / DAYS_PER_MONTH
    else:
        per_request = (after.per_1k_requests.value or 0.0) / 1000 / max(kept, 1e-9)
    volume = _volume(per_day, base.cost_usd_month, settings.requests_per_day, name)
    shape, measured = _plan_shape(plan)
    model = settings.api_model or max(plan.unit_economics.by_model, key=lambda row: row.cost_usd or 0.0).key
    prefix = settings.prefix_hit
    found, cached = _prefix_shares(plan)
    return Traffic(
        origin=name, requests_day=volume, volume_known=True,
        input_tokens=base.input_tokens / books.priced * tokens_scale,
        output_tokens=base.output_tokens / books.priced * tokens_scale,
        shape=shape, hour_peak=measured, burst=fact("traffic.burst"), api_model=model,
        api_usd_request=given(per_request, "USD/request", f"{name}: after {', '.join(after.levers) or 'no lever'}"),
        api_how=f"after {_named(after.levers)}" if after.levers else "as it is",
        prefix_hit=found if prefix is None else prefix, cached_share=cached if prefix is None else prefix,
        notes=tuple(_plan_notes(plan, hits)),
    )  # fmt: skip


def with_arrivals(traffic: Traffic, arrival_s: NDArray[np.float64]) -> Traffic:
    """Hour by hour and burst by burst as in a trace, instead of a plan's hours of the day; needs a full day of it."""
    hours = np.floor(arrival_s / 3600).astype(np.int64)
    whole = int(arrival_s[-1] // 3600) if len(arrival_s) else 0
    if whole < 24:
        return traffic
    hourly = np.bincount(hours[hours < whole], minlength=whole).astype(np.float64)
    shape = shape_of(hourly, HOURS_PER_MONTH)
    peak = given(shape.hour_peak, "x the mean hour", f"{whole} hours of {traffic.origin}")
    windows = np.bincount((arrival_s // 600).astype(np.int64), minlength=6 * whole)[: 6 * whole].reshape(whole, 6)
    busy = hourly >= max(6 * _MIN_WINDOW_REQUESTS, 0.8 * hourly.max())
    burst = traffic.burst
    if busy.any():
        most = float((windows[busy].max(axis=1) / windows[busy].mean(axis=1)).max())
        burst = given(most, "x their hour", f"busiest hours of {traffic.origin}")
    return replace(traffic, shape=shape, hour_peak=peak, burst=burst)


def mean_of(lengths: Lengths) -> float:
    """Mean number of tokens."""
    if lengths.listed is not None:
        return float(lengths.listed.mean())
    return float(np.exp(lengths.mu + lengths.sigma**2 / 2))


def _volume(per_day: float, month: Estimate, stated: float | None, name: str) -> Fact:
    """Requests a day, with the relative range of the plan's month."""
    if stated is not None:
        return given(stated, _PER_DAY, "--requests-per-day")
    low, high = 1.0, 1.0
    if month.value and month.low is not None and month.high is not None:
        low, high = month.low / month.value, month.high / month.value
    return Fact(value=per_day, low=per_day * low, high=per_day * high, unit=_PER_DAY, source=f"{name}: {month.note}")


def _cached_away(plan: Plan) -> tuple[float, float]:
    """(share of requests, share of cost) that the plan's response cache answers, where it counts as defensible."""
    rung = _rung(plan, "response_cache")
    if rung is None or "response_cache" not in plan.after.defensible.levers:
        return 0.0, 0.0
    hits = _share(rung.evidence, "hit_share")
    return (hits, min(max(rung.saving_share or 0.0, 0.0), hits)) if hits < 1 else (0.0, 0.0)


def _prefix_shares(plan: Plan) -> tuple[float, float]:
    """(share of prompt tokens a replica's prefix cache holds, share an API's prompt cache bills as cached reads)."""
    rung = _rung(plan, "prompt_cache")
    if rung is None:
        return 0.0, 0.0
    rows: object = rung.evidence.get("by_capacity")
    smallest = cast(list[Any], rows)[0] if isinstance(rows, list) and rows else None
    simulated: object = rung.evidence.get("simulated")
    held = _share(cast(Mapping[str, Any], smallest), "token_share") if isinstance(smallest, Mapping) else 0.0
    read = _share(cast(Mapping[str, Any], simulated), "token_share") if isinstance(simulated, Mapping) else 0.0
    return held, read


def _plan_shape(plan: Plan) -> tuple[Shape, Fact]:
    """Hours of the day times days: the busiest hour is the busiest hour of the busiest day. A log of less than a day
    has no shape of its own."""
    by_hour = {row.key: float(row.requests or 0) for row in plan.unit_economics.by_hour}
    days = [float(row.requests or 0) for row in plan.unit_economics.by_day]
    if len(days) > 2:
        days = days[1:-1]  # partial days at the edges
    clock = np.array([by_hour.get(f"{hour:02d}", 0.0) for hour in range(24)])
    if not clock.any() or not days or (plan.ingest.span.days or 0.0) < 1:
        peak = fact("traffic.hour_peak")
        return daily_shape(peak.value, HOURS_PER_MONTH), peak
    shape = shape_of(np.outer(np.array(days), clock).ravel(), HOURS_PER_MONTH)
    source = f"hours of the day and {len(days)} days of the plan"
    return shape, given(shape.hour_peak, "x the mean hour", source)


def _plan_notes(plan: Plan, hits: float) -> list[str]:
    books = plan.ingest
    notes: list[str] = []
    counts = {"unpriced": books.unpriced.requests, "failed": books.failed, "answered by a gateway": books.gateway_hits}
    left_out = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    if left_out:
        notes.append(f"Requests left out of all columns: {left_out}.")
    if hits:
        notes.append(f"The response cache answers {hits:.1%} of requests before any model does, in all columns.")
    models = [row.key for row in plan.unit_economics.by_model if row.cost_usd]
    if len(models) > 1:
        notes.append(f"The log uses {len(models)} API models; (b) and (c) put all of their traffic on one open model.")
    if any(lever.startswith("batch") for lever in plan.after.defensible.levers):
        notes.append("The batch discount counts in (a) only: own GPUs could do batch work in idle hours at no price.")
    return notes


def _rung(plan: Plan, lever: str) -> Rung | None:
    return next((rung for rung in plan.ladder if rung.lever == lever), None)


def _share(evidence: Mapping[str, Any], key: str) -> float:
    value = evidence.get(key)
    return min(max(float(value), 0.0), 1.0) if isinstance(value, int | float) else 0.0


def _named(levers: list[str]) -> str:
    return ", ".join(lever.replace("_", " ") for lever in levers)
