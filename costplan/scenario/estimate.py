"""A scenario -> a plan: what a product without a log will cost, and what arithmetic alone says of the levers."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from math import isclose
from pathlib import Path
from typing import Literal

from costplan.errors import CostplanError
from costplan.levers import climb, mask_of
from costplan.results import (
    After,
    AfterTotal,
    Assumption,
    Baseline,
    Books,
    CallCost,
    CostParts,
    Estimate,
    GroupRow,
    Input,
    Opportunity,
    Plan,
    PriceUsed,
    Rung,
    ScenarioFacts,
    SkippedBooks,
    Span,
    UnitEconomics,
    UnpricedBooks,
    unknown,
)
from costplan.scenario.arithmetic import ENDS, N_LEVERS, End, Priced, grown, priced, prompt_tokens, sessions_month
from costplan.scenario.money import PARTS, Rates, rates_of
from costplan.scenario.read import find_scenario, read_scenario
from costplan.scenario.spec import CallSpec, Range, Scenario
from costplan.units import HOURS_PER_MONTH, NANOS_PER_USD, TOKENS_PER_MTOK

_RANGE = "every figure of the scenario at its low, or high, end"
_MONTH = "USD/month"
_TIE = 0.01
Name = Literal["response_cache", "compression", "routing", "prompt_cache", "batch", "self_host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lever:
    """What is told of a lever, and what it would take where nothing can be told."""

    rung: Name
    label: str
    missing: str
    summary: str = ""
    effort_days: float = 0.0
    experiment: str = ""


_LEVERS = (
    _Lever(
        rung="response_cache", label="exact cache", missing="the scenario states no repeats", effort_days=2.0,
        summary="stated share of exact repeats", experiment="measure exact repeats in a week's log",
    ),
    _Lever(
        rung="response_cache", label="cache for respelled prompts", missing="", effort_days=1.0,
        summary="stated share of respelled repeats, too",
        experiment="let the cache ignore case, blanks and final punctuation",
    ),
    _Lever(
        rung="routing", label="routing to the cheaper model", missing="the scenario names no cheaper model",
        summary="stated share of the calls", effort_days=5.0, experiment="label some hundred answers of both models",
    ),
    _Lever(
        rung="prompt_cache", label="prompt cache of the stated prefix",
        summary="read while an earlier call keeps it warm", effort_days=1.0,
        missing="no prefix is stated that is long enough, or its reads cost no less",
        experiment="put what never changes first, and mark its end",
    ),
    _Lever(
        rung="batch", label="batch tier", missing="the scenario states no calls that can wait", effort_days=2.0,
        summary="stated share of calls that can wait", experiment="send these calls through the batch endpoint",
    ),
)  # fmt: skip
"""By number of the lever in `arithmetic`."""
_UNTOLD = (
    _Lever(rung="response_cache", label="semantic cache", missing="needs a log: which prompts mean the same"),
    _Lever(rung="compression", label="compression", missing="needs a log: the text of the prompts"),
)


def estimate(name: str, price_date: date | None, price_file: Path | None = None) -> Plan:
    """The plan of a file or a shipped scenario; its level is never a confidence level: all figures are assumed.

    Raises CostplanError for mistakes in the file, and where no price day is given by it or the caller.
    """
    path = find_scenario(name)
    scenario = read_scenario(path)
    day = price_date or scenario.price_date
    if day is None and not {call.model for call in scenario.calls} <= scenario.prices.keys():
        raise CostplanError(
            f"{path}: no day is given for list prices", hint="--price-date 2026-11-23, or `price_date:`"
        )
    rates = rates_of(scenario, day or date.min, price_file)
    case = _Case(scenario, rates, {end: _values(scenario, rates, end) for end in ENDS})
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    counted = [lever for lever in range(N_LEVERS) if case.values["value"][1 << lever] != case.values["value"][0]]
    calls = sorted(
        (_call_cost(case, call) for call in scenario.calls), key=lambda row: -(row.cost_usd_month.value or 0)
    )
    return Plan(
        inputs=[Input(path=name, format="scenario", lines=data.count(b"\n"), bytes=len(data), sha256=digest)],
        ingest=_no_books(), baseline=_baseline(case, day), unit_economics=_units(case, calls),
        ladder=_rungs(case, counted), opportunities=_opportunities(case, counted),
        after=After(defensible=_after(case, []), potential=_after(case, counted)),
        assumptions=_assumptions(path, day), prices=_prices(rates), scenario=_facts(case, calls),
        warnings=["There is no log: every figure follows from the scenario alone."],
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Case:
    """A scenario with its prices, and USD a month of every set of levers at each end of its ranges."""

    scenario: Scenario
    rates: dict[str, Rates]
    values: dict[End, list[float]]

    def calls(self, end: End) -> list[Priced]:
        return [priced(self.scenario, self.rates, call, end) for call in self.scenario.calls]

    def usd(self, end: End) -> float:
        return self.values[end][0]

    def requests(self, end: End) -> float:
        return sum(call.requests for call in self.calls(end))

    def tokens(self, end: End) -> float:
        pairs = zip(self.scenario.calls, self.calls(end), strict=True)
        return sum(one.requests * (prompt_tokens(call, end) + getattr(call.output_tokens, end)) for call, one in pairs)


def _values(scenario: Scenario, rates: dict[str, Rates], end: End) -> list[float]:
    sets = [tuple(lever for lever in range(N_LEVERS) if chosen >> lever & 1) for chosen in range(1 << N_LEVERS)]
    return [sum(priced(scenario, rates, call, end, levers).usd for call in scenario.calls) for levers in sets]


def _ranged(of: Callable[[End], float], unit: str) -> Estimate:
    """A figure and what it is at the ends of the ranges."""
    value, *ends = (of(end) for end in ENDS)
    low, high = min(value, *ends), max(value, *ends)
    if isclose(low, high, rel_tol=1e-9):
        low = high = value
    return Estimate(value=value, low=low, high=high, unit=unit, basis="assumed", note=_RANGE)


def _per(over: Callable[[End], float], under: Callable[[End], float], unit: str, scale: float = 1.0) -> Estimate:
    if not all(under(end) for end in ENDS):
        return unknown(unit, "the scenario may have none")
    return _ranged(lambda end: scale * over(end) / under(end), unit)


def _rungs(case: _Case, counted: list[int]) -> list[Rung]:
    """The levers that the scenario states something about, then those that it cannot tell."""
    climbs = {end: climb([round(usd * NANOS_PER_USD) for usd in case.values[end]], counted) for end in ENDS}
    rungs: list[Rung] = []
    for place, lever in enumerate(counted):
        shares = {end: climbs[end][lever] for end in ENDS}
        alone, marginal, fair = (
            _ranged(lambda end, name=name, shares=shares: getattr(shares[end], name) / NANOS_PER_USD, _MONTH)
            for name in ("standalone", "marginal", "shapley")
        )
        before = case.values["value"][mask_of(counted[:place])]
        orders = [shares["value"].low / NANOS_PER_USD, shares["value"].high / NANOS_PER_USD]
        rungs.append(_rung(_LEVERS[lever], alone, marginal, fair, (marginal.value or 0) / before, orders))
    stated = {_LEVERS[lever].rung for lever in counted}
    for lever in (*_UNTOLD, *(lever for lever in _LEVERS if lever.rung not in stated and lever.missing)):
        nothing = unknown(_MONTH, lever.missing)
        rungs.append(_rung(lever, nothing, nothing, nothing, None, None))
    return rungs


def _rung(
    lever: _Lever, alone: Estimate, marginal: Estimate, fair: Estimate, share: float | None, orders: list[float] | None
) -> Rung:
    return Rung(
        lever=lever.rung, label=lever.label, headline=False, standalone_usd_month=alone, marginal_usd_month=marginal,
        shapley_usd_month=fair, saving_share=share, order_range=orders, usage_usd_month=marginal,
        cash_usd_month=marginal, risk="needs-test", summary=lever.summary if orders else "", evidence={},
    )  # fmt: skip


def _call_cost(case: _Case, call: CallSpec) -> CallCost:
    def one(end: End) -> Priced:
        return priced(case.scenario, case.rates, call, end)

    usd = one("value").usd
    return CallCost(
        name=call.name, model=call.model, requests_month=_ranged(lambda end: one(end).requests, "requests/month"),
        cost_usd_month=_ranged(lambda end: one(end).usd, _MONTH),
        per_call=_per(lambda end: one(end).usd, lambda end: one(end).requests, "USD/call"),
        share=usd / case.usd("value") if usd else 0.0, input_share=one("value").input_usd / usd if usd else 0.0,
    )  # fmt: skip


def _facts(case: _Case, calls: list[CallCost]) -> ScenarioFacts:
    scenario = case.scenario
    users = scenario.traffic.users or Range(0, 0, 0)
    return ScenarioFacts(
        name=scenario.scenario, about=scenario.about, source=scenario.source, claim=scenario.claim,
        asks=list(scenario.asks), calls=calls, first=_first(calls),
        sessions_month=_ranged(lambda end: sessions_month(scenario, end), "sessions/month"),
        per_user_month=_per(case.usd, lambda end: getattr(users, end), "USD/user and month"),
        in_12_months=_ranged(lambda end: case.usd(end) * grown(scenario, end, 12), _MONTH),
    )  # fmt: skip


def _first(rows: list[CallCost]) -> str:
    """Where to look first: the dearest call, or those that cost the same."""
    top = rows[0]
    tied = [row.name for row in rows if row.share >= top.share * (1 - _TIE)]
    if len(tied) > 1:
        return f"{' and '.join(tied)} cost the same, {top.share:.0%} each: prices or repeats decide between them"
    side = "prompts" if top.input_share >= 0.5 else "answers"
    most = max(top.input_share, 1 - top.input_share)
    return f"{top.name}, {top.share:.0%} of the cost; {most:.0%} of that are {side}"


def _baseline(case: _Case, day: date | None) -> Baseline:
    calls, month = case.calls("value"), _ranged(case.usd, _MONTH)
    answers = sum(one.requests * call.output_tokens.value for call, one in zip(case.scenario.calls, calls, strict=True))
    sums = (sum(one.input_usd for one in calls), sum(one.output_usd for one in calls))
    return Baseline(
        cost_usd=month, cost_usd_price_date=month, cost_usd_month=month, cost_usd_reported=None,
        price_date=day.isoformat() if day else None, requests=round(case.requests("value")),
        requests_month=case.requests("value"), input_tokens=round(case.tokens("value") - answers),
        cache_read_tokens=0, cache_write_tokens=0, output_tokens=round(answers), reasoning_tokens=0,
        cost_by=CostParts(input=sums[0], cache_read=0.0, cache_write=0.0, output=sums[1], other=0.0),
    )  # fmt: skip


def _units(case: _Case, calls: list[CallCost]) -> UnitEconomics:
    tokens = {each.name: (prompt_tokens(each, "value"), each.output_tokens.value) for each in case.scenario.calls}
    rows = [
        GroupRow(
            key=call.name, requests=round(call.requests_month.value or 0), cost_usd=call.cost_usd_month.value,
            share=call.share, input_tokens=round((call.requests_month.value or 0) * tokens[call.name][0]),
            output_tokens=round((call.requests_month.value or 0) * tokens[call.name][1]), note="in a month, assumed",
        )
        for call in calls
    ]  # fmt: skip
    users = case.scenario.traffic.users or Range(0, 0, 0)
    return UnitEconomics(
        per_request=_per(case.usd, case.requests, "USD/request"),
        per_1k_requests=_per(case.usd, case.requests, "USD/1k requests", 1000),
        per_session=_per(case.usd, lambda end: sessions_month(case.scenario, end), "USD/session"),
        per_user_day=_per(case.usd, lambda end: getattr(users, end), "USD/user and day", 24 / HOURS_PER_MONTH),
        per_mtok_blended=_per(case.usd, case.tokens, "USD/Mtok", TOKENS_PER_MTOK), by_call_site=rows,
        by_model=[], by_user=[], by_tag=[], by_hour=[], by_operation=[], by_day=[], sessions=None, rates=[],
    )  # fmt: skip


def _opportunities(case: _Case, counted: list[int]) -> list[Opportunity]:
    """Each lever by itself at each call, largest first."""
    found: list[Opportunity] = []
    for number in counted:
        lever = _LEVERS[number]
        for call in case.scenario.calls:

            def saved(end: End, call: CallSpec = call, number: int = number) -> float:
                before, after = (priced(case.scenario, case.rates, call, end, some) for some in ((), (number,)))
                return before.usd - after.usd

            if saved("value") > 0:
                found.append(Opportunity(
                    call_site=call.name, lever=lever.rung, usd_month=_ranged(saved, _MONTH), risk="needs-test",
                    evidence=f"{lever.label}: {lever.summary}", effort_days=lever.effort_days, payback_days=None,
                    next_experiment=lever.experiment,
                ))  # fmt: skip
    return sorted(found, key=lambda o: (-(o.usd_month.low or 0.0), -(o.usd_month.value or 0.0), o.call_site, o.lever))


def _after(case: _Case, levers: list[int]) -> AfterTotal:
    def left(end: End) -> float:
        return case.values[end][mask_of(levers)]

    return AfterTotal(
        cost_usd_month=_ranged(left, _MONTH), per_1k_requests=_per(left, case.requests, "USD/1k requests", 1000),
        saving_share=1 - left("value") / case.usd("value") if case.usd("value") else None,
        levers=[_LEVERS[lever].label for lever in levers],
    )  # fmt: skip


def _no_books() -> Books:
    return Books(
        records=0, requests=0, not_a_call=0, not_a_call_reasons={}, skipped=SkippedBooks(total=0, reasons={}),
        duplicates=0, repeated_ids=0, merged=0, priced=0,
        unpriced=UnpricedBooks(requests=0, tokens=0, token_share=0.0, models=[]), failed=0, failed_by={},
        gateway_hits=0, possibly_billed=0, retries=0, usage_source={}, text_state={}, cache_reported_share=0.0,
        span=Span(start=None, end=None, days=None),
    )  # fmt: skip


def _assumptions(path: Path, day: date | None) -> list[Assumption]:
    told = [("range", _RANGE), ("month", "730 hours"), ("growth", "compound, month on month")]
    told += [("price_date", day.isoformat())] if day else []
    told += [("conversations", "geometric number of calls: each prompt holds the mean number of earlier turns")]
    told += [("prompt cache", "Poisson arrivals in every hour; a prefix is read while an earlier call keeps it warm")]
    told += [("response cache", "stated repeats all come while the answer is held; lookups and storage are free")]
    return [Assumption(name=name, value=value, origin=path.name) for name, value in told]


def _prices(rates: dict[str, Rates]) -> list[PriceUsed]:
    return [
        PriceUsed(
            model=rate.model, provider=rate.provider, tier="", requests=0, effective=rate.effective, source=rate.source,
            rates={part: round(getattr(rate, part) * TOKENS_PER_MTOK, 9) for part in PARTS}, notes=[],
        )
        for _, rate in sorted(rates.items())
    ]  # fmt: skip
