"""A comparison that is worked out, as breakeven.json; nothing is decided here except what a figure is called."""

from dataclasses import dataclass

import numpy as np

from costplan.breakeven.case import Case, Outcome, needed
from costplan.breakeven.figures import break_evens, curve, growth_rows, price_curve, spread, stated, tornado
from costplan.breakeven.hybrid import cheapest_mixture
from costplan.breakeven.layouts import Served
from costplan.breakeven.tell import assumptions_of, fleet_note, traffic_facts, verdict_of, warnings_of
from costplan.profiles.gpus import Gpu
from costplan.profiles.models import Model
from costplan.results import Basis, Estimate
from costplan.results.breakeven import (
    Breakeven,
    Capacity,
    Column,
    Columns,
    Fleet,
    HostLines,
    Hybrid,
    LayoutRow,
    Offer,
    SelfHost,
)
from costplan.settings import BreakevenSettings
from costplan.tco.bill import Number, migration_usd
from costplan.tco.rates import Supply
from costplan.units import TOKENS_PER_MTOK

GROWTH_MONTHS = 36
_MONTH, _MTOK = "USD/month", "USD/Mtok"
QUALITY = "quality is not part of it: the models differ, test them on your own traffic first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Today's API: who sells which model, and what a request costs there after the levers that apply."""

    model: str
    provider: str
    usd_request: float
    how: str
    basis: Basis = "priced"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What the document is made of."""

    case: Case
    draws: Outcome
    supply: Supply
    gpu: Gpu
    count: int
    model: Model
    precision: str
    offers: list[Offer]
    today: Today
    growth: float
    stood_in: str
    """On whose word the open model stands in for the API's; empty where the user named it or it is the same."""

    @property
    def here(self) -> Outcome:
        return self.case.here


def document(
    run: Run, rows: list[Served], cases: list[Case], settings: BreakevenSettings, origins: dict[str, str],
    grown: Number,
) -> Breakeven:  # fmt: skip
    """`rows` are all layouts, `cases` those that serve, `grown` the growth drawn for each draw."""
    case, here, draws, traffic = run.case, run.here, run.draws, run.case.traffic
    evens = break_evens(case, here, draws, (run.growth, grown))
    table = tornado(case)
    share = float((draws.saving > 0).mean())
    verdict, reason = verdict_of(traffic.volume_known, share, table, evens.requests_per_day)
    api, api_draws = run.today.usd_request * float(here.requests[0]), run.today.usd_request * draws.requests
    open_usd, self_usd = float(here.api_usd[0]), here.bill_usd()
    return Breakeven(
        verdict=verdict, reason=reason, share_self_host=share, traffic=traffic_facts(traffic),
        columns=_columns(run, self_usd),
        gain_model_usd_month=spread(api - open_usd, api_draws - draws.api_usd, _MONTH, "estimated", QUALITY),
        gain_owning_usd_month=spread(open_usd - self_usd, draws.saving, _MONTH, "simulated"),
        self_host=_self_host(run, self_usd), fleet=_fleet(run), capacity=_capacity(run, rows, cases, settings.slo),
        hybrid=_hybrid(run), break_even=evens, sensitivity=table, curve=curve(case, run.today.usd_request),
        price_curve=price_curve(case), growth=growth_rows(case, run.growth, run.today.usd_request, GROWTH_MONTHS),
        assumptions=assumptions_of(case, settings, origins, (run.today.model, run.model.id, run.precision)),
        warnings=warnings_of(
            case, run.supply, run.count, (api, open_usd, self_usd), run.stood_in, (run.today.model, run.model.id)
        ),
    )  # fmt: skip


def _columns(run: Run, self_usd: float) -> Columns:
    traffic, here, draws = run.case.traffic, run.here, run.draws
    requests, tokens = float(here.requests[0]), float(here.requests[0]) * traffic.tokens
    sampled = draws.requests * traffic.tokens

    def column(
        usd: float, all_usd: "np.ndarray[tuple[int], np.dtype[np.float64]]", basis: Basis, **told: str
    ) -> Column:
        per_mtok = TOKENS_PER_MTOK / tokens
        note = "" if traffic.volume_known else f"at an assumed {traffic.requests_day.value:,.0f} requests a day"
        return Column(
            usd_month=spread(usd, all_usd, _MONTH, basis if traffic.volume_known else "assumed", note),
            usd_per_mtok=spread(usd * per_mtok, all_usd / sampled * TOKENS_PER_MTOK, _MTOK, basis),
            model=told["model"], how=told["how"],
            offers=run.offers if told["model"] == run.model.id and basis == "estimated" else [],
        )  # fmt: skip

    today, precision = run.today, run.precision
    sold = run.case.facts["api_usd_request"].source
    term = f"{run.supply.term} GPUs" + (f" of {run.supply.cloud}" if run.supply.cloud not in ("", "owned") else "")
    usd = today.usd_request * requests
    return Columns(
        api=column(usd, today.usd_request * draws.requests, today.basis, model=today.model, how=today.how),
        open_model_api=column(float(here.api_usd[0]), draws.api_usd, "estimated", model=run.model.id, how=sold),
        self_host=column(self_usd, draws.self_usd, "simulated", model=run.model.id, how=f"{precision}, {term}"),
    )


def _self_host(run: Run, self_usd: float) -> SelfHost:
    here, facts = run.here, run.case.facts
    bill, sampled = here.bill(), run.draws.lines["people"]
    fte, more, salary = (facts[f"people.{name}"] for name in ("fte_share", "fte_per_gpu", "salary_usd_year"))
    told = f"{fte.value:g} engineers" + (f" and one per {1 / more.value:,.0f} GPUs" if more.value else "")
    told += f" at ${salary.value:,.0f} a year, on call ${facts['people.oncall_usd_week'].value:,.0f} a week"
    note = f"{told}. Engineers: {fte.source}. Salary: {salary.source}"
    ends = np.asarray(sampled.fixed + sampled.per_gpu_hour * run.draws.gpu_hours, np.float64)
    column = _columns(run, self_usd).self_host
    once = float(np.asarray(migration_usd(here.values)))
    return SelfHost(
        usd_month=column.usd_month, lines=HostLines(**bill), usd_per_mtok=column.usd_per_mtok,
        usd_per_gpu_hour=stated(facts["gpu.usd_hour"]),
        people=spread(bill["people"], ends, _MONTH, "assumed", note),
        once_usd=spread(
            once, np.atleast_1d(np.asarray(migration_usd(run.draws.values))), "USD", "assumed",
            f"{facts['people.migration_weeks'].value:g} engineer-weeks",
        ),
    )  # fmt: skip


def _fleet(run: Run) -> Fleet:
    case, supply = run.case, run.supply
    rule, wanted = case.rule, needed(case)
    at = np.array([wanted])
    load = run.here.load()
    return Fleet(
        gpu=run.gpu.name, gpus_given=run.count, gpus=int(rule.gpus(at)[0]), gpus_needed=wanted * rule.gpus_per_replica,
        layout=case.served.name, tp=rule.gpus_per_replica, replicas=int(rule.replicas(at)[0]), replicas_needed=wanted,
        spare=int(rule.spare_replicas(at)[0]), term=supply.term, cloud=supply.cloud, instance_gpus=supply.sizes[0],
        minimum_months=supply.minimum_months, follows_hours=rule.hourly,
        busy_share=float(load.busy_gpu_hours) / float(load.gpu_hours), note=fleet_note(case, run.count),
    )  # fmt: skip


def _capacity(run: Run, rows: list[Served], cases: list[Case], slo: str) -> Capacity:
    chosen, rate = run.case.served, run.case.facts["req_s"]
    usd = {case.served.name: case.here.bill_usd() for case in cases}
    spare = run.case.rule.spare
    return Capacity(
        req_s_at_slo=Estimate(
            value=rate.value, low=rate.low, high=rate.high, unit="requests/s", basis=chosen.basis, note=rate.source
        ),
        slo=slo, binding=chosen.binding,
        layouts=[
            LayoutRow(
                layout=row.name, tp=row.tp, replicas=row.replicas, chosen=row is chosen, fits=row.weights_bytes > 0,
                reason=row.reason, req_s_per_replica=row.req_s or None, req_s=row.req_s * row.replicas or None,
                req_s_spared=row.req_s * max(0, row.replicas - spare) if row.req_s else None,
                usd_month=usd.get(row.name), ttft_p95_s=row.ttft_p95_s, tpot_p95_s=row.tpot_p95_s,
                e2e_p95_s=row.e2e_p95_s, binding=row.binding,
            )
            for row in rows
        ],
    )  # fmt: skip


def _hybrid(run: Run) -> Hybrid:
    mixed = cheapest_mixture(run.here)
    open_usd = float(run.here.api_usd[0])
    worth = "cheaper" if mixed.usd_month < min(open_usd, run.here.bill_usd()) else "not cheaper"
    return Hybrid(
        replicas=mixed.replicas, gpus=mixed.gpus, self_hosted_share=mixed.share, usd_month=round(mixed.usd_month, 2),
        note=f"{worth} than all of it bought or all of it on own GPUs; no spare, the API takes over",
    )  # fmt: skip
