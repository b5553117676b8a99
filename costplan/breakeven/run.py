"""The use case: traffic, prices and layouts in, breakeven.json out."""

import re
from datetime import date

import msgspec
import numpy as np

from costplan.breakeven.case import Case, needed
from costplan.breakeven.document import Run, Today, document
from costplan.breakeven.draws import drawn
from costplan.breakeven.layouts import Served, served
from costplan.breakeven.offers import Shape, api_price, fact_of, open_offers, stated_offer
from costplan.breakeven.traffic import Traffic, stated_traffic, traffic_of_plan, with_arrivals
from costplan.capacity.layout import Tuning
from costplan.capacity.measured import check_covered, single_profile
from costplan.errors import CostplanError, UsageError
from costplan.profiles.gpus import Gpu, parse_gpus
from costplan.profiles.models import Model, find_model
from costplan.results import Plan
from costplan.results.breakeven import Breakeven, Offer
from costplan.serving.measured import beyond
from costplan.serving.slo import parse_slo
from costplan.serving.workload import Workload
from costplan.settings import BreakevenSettings
from costplan.tco.bill import Host, cost_facts
from costplan.tco.facts import Fact, fact, given, stand_in
from costplan.tco.fleet import FleetRule
from costplan.tco.rates import Supply, supply_of

_ABOUT = 0.02
"""Bills that differ by less are taken as equal when a layout is chosen."""


def breakeven(
    settings: BreakevenSettings,
    origins: dict[str, str],
    rng: np.random.Generator,
    *,
    plan: Plan | None = None,
    plan_name: str = "plan",
    workload: Workload | None = None,
) -> Breakeven:
    """API against self-hosting for the traffic of a plan, or for stated traffic.

    `workload` holds the requests behind the plan, where they are at hand: their lengths, shared prefixes and times.
    Raises CostplanError or UsageError for names nobody knows, contradictory settings and what no GPU here can serve.
    """
    settings, profile = single_profile(settings)
    growth = growth_of(settings.growth)
    count, gpu = parse_gpus(settings.gpus)
    supply = supply_of(gpu, cloud=settings.cloud or "", term=settings.term or "", usd_hour=settings.gpu_price)
    if settings.autoscale and supply.term in ("reserved", "owned"):
        raise UsageError(f"--autoscale and {supply.term} GPUs contradict each other", hint="--term on-demand")
    traffic = stated_traffic(settings) if plan is None else traffic_of_plan(plan, settings, plan_name)
    if workload is not None:
        traffic = with_arrivals(traffic, workload.arrival_s)
    day = _price_day(plan)
    today = _today(traffic, plan, day)
    model, stood_in = _open_model(settings, traffic)
    precision = settings.precision or model.native_precision
    ratio = _ratio(today, model)
    if profile is not None and settings.profile is not None:
        tps = (settings.tp,) if settings.tp else ()
        check_covered(profile, settings.profile, model, [gpu], tps, (precision,), profile.kv_dtype)
    tuning = Tuning(kv_dtype=profile.kv_dtype, measured=profile) if profile else None
    rows = served(
        count, gpu, model, precision, settings.engine, settings.tp, parse_slo(settings.slo), traffic, ratio.value,
        workload, tuning,
    )  # fmt: skip
    offers = _offers(settings, traffic, model, day)
    facts = _facts(settings, traffic, supply, offers, ratio)
    cases = [_case(row, traffic, supply, gpu, count, settings, facts) for row in rows if row.req_s > 0]
    case = _chosen(cases)
    sampled = drawn(case.facts | ({"growth": growth} if growth else {}), rng)
    grown = sampled.pop("growth", 0.0)
    run = Run(
        case=case, draws=case.outcome(sampled), supply=supply, gpu=gpu, count=count, model=model,
        offers=offers, today=today, growth=growth.value if growth else 0.0, stood_in=stood_in, precision=precision,
    )  # fmt: skip
    found = document(run, rows, cases, settings, origins, grown)
    if profile is None:
        return found
    longest = int(traffic.input_tokens if workload is None else workload.input_tokens.max())
    # Little's law with the slow ones' time: no fewer than are in flight
    flying = case.served.req_s * (case.served.e2e_p95_s or 0.0)
    return msgspec.structs.replace(found, warnings=[*found.warnings, *beyond(profile, longest, flying)])


def growth_of(text: str | None) -> Fact | None:
    """`15%/month`, `0.15` or `80%/year` as a share a month; half of it either way is taken as its range."""
    if not text:
        return None
    match = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*(?:(?:/|per\s+)\s*(month|year))?\s*", text)
    if match is None:
        raise UsageError(f"--growth {text}: cannot be read", hint="--growth 15%/month or --growth 80%/year")
    share = float(match[1]) / (100 if match[2] else 1)
    if not -0.5 < share <= 10:
        raise UsageError(f"--growth {text}: must lie between -50% and +1000%", hint="--growth 15%/month")
    share = (1 + share) ** (1 / 12) - 1 if match[3] == "year" else share
    low, high = sorted((0.5 * share, 1.5 * share))
    return Fact(value=share, low=low, high=high, unit="share/month", source=f"--growth {text}; half either way assumed")


def _price_day(plan: Plan | None) -> date | None:
    return date.fromisoformat(plan.baseline.price_date) if plan and plan.baseline.price_date else None


def _today(traffic: Traffic, plan: Plan | None, day: date | None) -> Today:
    """The plan's own cost of a request after its levers; without a plan the list price of the API model."""
    if traffic.api_usd_request is not None:
        priced = plan.prices if plan else []
        provider = next((row.provider for row in priced if row.model == traffic.api_model), "")
        return Today(
            model=traffic.api_model, provider=provider, usd_request=traffic.api_usd_request.value, how=traffic.api_how,
            basis=plan.after.defensible.cost_usd_month.basis if plan else "priced",
        )  # fmt: skip
    price = api_price(traffic.api_model, _shape(traffic), day)
    cached = f", {traffic.cached_share:.0%} of the prompt read from its cache" if traffic.cached_share else ""
    how = f"list price, {price.source}{cached}"
    return Today(model=price.model, provider=price.provider, usd_request=price.usd_request, how=how)


def _shape(traffic: Traffic) -> Shape:
    return Shape(
        input_tokens=traffic.input_tokens, cached_tokens=traffic.input_tokens * traffic.cached_share,
        output_tokens=traffic.output_tokens,
    )  # fmt: skip


def _open_model(settings: BreakevenSettings, traffic: Traffic) -> tuple[Model, str]:
    """(open model, on whose word it stands in): the one named, else the API's own if that is open, else a stand-in."""
    if settings.model:
        return find_model(settings.model), ""
    own = _open(traffic.api_model)
    if own is not None:
        return own, ""
    name, source = stand_in(traffic.api_model)
    return find_model(name), source


def _open(api_model: str) -> Model | None:
    """The open model that an API model is, with or without its seller (`groq/openai/gpt-oss-120b`); else None."""
    for name in (api_model, api_model.partition("/")[2]):
        try:
            return find_model(name)
        except CostplanError:
            continue
    return None


def _ratio(today: Today, model: Model) -> Fact:
    """Tokens of the open model per token of the API's, for the same text."""
    own = _open(today.model)
    known = {"openai": "openai", "azure": "openai", "anthropic": "anthropic"}
    name = (
        "same"
        if own is not None and own.id == model.id
        else "anthropic"
        if "claude" in today.model
        else known.get(today.provider, "other")
    )
    return fact(f"tokens.{name}")


def _offers(settings: BreakevenSettings, traffic: Traffic, model: Model, day: date | None) -> list[Offer]:
    if settings.open_price and settings.seller:
        raise UsageError("--open-price and --seller contradict each other", hint="give one of them")
    if settings.open_price:
        return stated_offer(settings.open_price, model.id, _shape(traffic))
    return open_offers(model.id, _shape(traffic), day, settings.seller or "")


def _facts(
    settings: BreakevenSettings, traffic: Traffic, supply: Supply, offers: list[Offer], ratio: Fact
) -> dict[str, Fact]:
    """Every figure the comparison rests on, the rate of a replica apart."""
    fixed = bool(settings.open_price or settings.seller)
    facts = cost_facts(supply) | {
        "api_usd_request": fact_of(offers, fixed=fixed), "token_ratio": ratio, "hour_peak": traffic.hour_peak,
        "burst": traffic.burst, "requests_day": traffic.requests_day,
    }  # fmt: skip
    if settings.fte is not None:
        facts["people.fte_share"] = given(settings.fte, "engineers", "--fte")
        facts["people.fte_per_gpu"] = given(0.0, "engineers/GPU", "--fte counts all of them")
    if settings.salary is not None:
        facts["people.salary_usd_year"] = given(settings.salary, "USD/year", "--salary")
    return facts


def _case(
    row: Served, traffic: Traffic, supply: Supply, gpu: Gpu, count: int, settings: BreakevenSettings,
    facts: dict[str, Fact],
) -> Case:  # fmt: skip
    rule = FleetRule(
        gpus_per_replica=row.tp, given=count, spare=settings.spare, sizes=supply.sizes, hourly=settings.autoscale
    )  # fmt: skip
    host = Host(
        supply=supply, gpus_per_replica=row.tp, gpu_power_w=gpu.power_w, weights_bytes=row.weights_bytes,
        output_tokens=traffic.output_tokens,
    )  # fmt: skip
    against = "its own replay" if row.step_time == "measured" else "published runs"
    rate = Fact(
        value=row.req_s, low=row.req_s * (1 - row.error_band), high=row.req_s * (1 + row.error_band), unit="requests/s",
        source=f"simulated, step times {row.step_time}; median error {row.error_band:.0%} against {against}",
    )  # fmt: skip
    return Case(traffic=traffic, host=host, rule=rule, served=row, facts=facts | {"req_s": rate})


def _chosen(cases: list[Case]) -> Case:
    """The cheapest; of those that cost about the same one with a spare replica, then the one that holds most."""
    usd = [float(case.here.self_usd[0]) for case in cases]
    level = [case for case, cost in zip(cases, usd, strict=True) if cost <= min(usd) * (1 + _ABOUT)]

    def rank(case: Case) -> tuple[bool, float]:
        spare = case.rule.spare_replicas(np.array([needed(case)]))[0] >= min(1, case.rule.spare)
        return not spare, -case.served.req_s * case.served.replicas

    return min(level, key=rank)
