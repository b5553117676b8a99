"""From the cost of every set of levers to the rungs, the two totals and the opportunities of a plan.

Told in this order: what is defensible today, in physical order, then what needs a test, on top of it. So the marginal
savings of each part add up to its total. A contract turns their costs into cash.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.costing import Keyed
from costplan.levers import LADDER, N_SETS, Shares, climb, mask_of, shares_of, worthwhile
from costplan.levers.accepted import Accepted
from costplan.levers.states import BATCH_REST, COMPRESSION, ROUTING, SEMANTIC, STRUCTURAL, VERIFIED
from costplan.month import Month
from costplan.prices.contract import Contract, Contracts, cash_of
from costplan.results import (
    After,
    AfterTotal,
    Basis,
    Estimate,
    Opportunity,
    Rung,
    unknown,
)
from costplan.results.latency import Latency
from costplan.units import HOURS_PER_MONTH, NANOS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """What is known about a lever beforehand."""

    rung: Literal["response_cache", "compression", "routing", "prompt_cache", "batch"]
    label: str
    defensible: bool
    """It changes no answer and nobody has to wait or agree."""
    basis: Basis
    effort_days: float
    next_experiment: str

    @property
    def risk(self) -> Literal["none", "verified", "needs-test"]:
        if not self.defensible:
            return "needs-test"
        return "verified" if self.rung == "routing" else "none"


LEVERS = (
    Lever(
        rung="response_cache", label="exact cache", defensible=True, basis="simulated", effort_days=2.0,
        next_experiment="put a cache with the shown TTL before this call site and compare the answers it serves for a "
        "week",
    ),
    Lever(
        rung="response_cache", label="cache for respelled prompts", defensible=False, basis="simulated",
        effort_days=1.0,
        next_experiment="let the cache ignore case, blanks and final punctuation; compare what it serves for a week",
    ),
    Lever(
        rung="response_cache", label="semantic cache", defensible=False, basis="simulated", effort_days=5.0,
        next_experiment="costplan cache LOG --label-sample 600 labels.csv: judge the pairs, then --labels labels.csv",
    ),
    Lever(
        rung="compression", label="compression (lossless)", defensible=True, basis="simulated", effort_days=2.0,
        next_experiment="write JSON without blanks, and each block once, where this prompt is put together",
    ),
    Lever(
        rung="compression", label="compression (old context)", defensible=False, basis="simulated",
        effort_days=4.0,
        next_experiment="clear old tool results for a share of the sessions; compare the answers with costplan gate",
    ),
    Lever(
        rung="routing", label="routing (verified sites)", defensible=True, basis="estimated",
        effort_days=3.0,
        next_experiment="send this call site to the cheaper model for a share of its users, and watch its scores",
    ),
    Lever(
        rung="routing", label="routing (not verified)", defensible=False, basis="estimated",
        effort_days=4.0,
        next_experiment="costplan route LOG --quality FILE says how many more scored answers this call site takes",
    ),
    Lever(
        rung="prompt_cache", label="prompt cache (mark prefixes)", defensible=True, basis="simulated", effort_days=1.0,
        next_experiment="mark the end of the system prompt (cache_control) and watch cache_read_input_tokens",
    ),
    Lever(
        rung="prompt_cache", label="prompt cache (keep warm)", defensible=False, basis="simulated", effort_days=2.0,
        next_experiment="send a stable prompt_cache_key for this call site and watch cached_tokens",
    ),
    Lever(
        rung="batch", label="batch tier (marked calls)", defensible=True, basis="priced", effort_days=2.0,
        next_experiment="send these calls through the provider's batch endpoint",
    ),
    Lever(
        rung="batch", label="batch tier (if calls can wait)", defensible=False, basis="priced", effort_days=3.0,
        next_experiment="ask whether anyone waits for this call; if not, tag it and send it through the batch endpoint",
    ),
)  # fmt: skip
"""By index into LADDER."""
RUNGS = tuple(dict.fromkeys(lever.rung for lever in LEVERS))
GOOD_ENOUGH = "if the cheaper model's answers are good enough; the low end is if none are"
CAN_WAIT = "if all of these calls can wait up to a day; none can is the low end"
_PLAINER = {SEMANTIC: range(SEMANTIC), STRUCTURAL: (COMPRESSION,), ROUTING: (VERIFIED,)}
"""Levers that a wider one includes."""
_IF = {BATCH_REST: CAN_WAIT, ROUTING: GOOD_ENOUGH}
LENGTHS = "over the stated range of the length of the cheaper model's answers"
CASH_NOTE = "under the contract, for the month that begins at the price date"
SITE_NOTE = "the lever's interval, in proportion to the site's share of the saving in the log"
MIN_SHARE = 0.0005
"""Opportunities below this share of the cost are not worth a line."""
MAX_SITES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the rungs rest on; the tuples are by lever."""

    present: tuple[int, ...]
    """Levers that have requests to act on."""
    facts: tuple[dict[str, Any], ...]
    summary: tuple[str, ...]
    missing: tuple[str, ...]
    """What it would take, where a lever has nothing to act on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ladder:
    """The cost of every state of the traffic, by hour and by call site, and what that makes a month."""

    by_hour: Keyed
    by_site: Keyed
    columns: NDArray[np.int64]
    """(N_SETS,) which column holds the cost of each set of levers."""
    month: Month
    lengths: Mapping[int, tuple[float, float]] = field(default_factory=dict[int, tuple[float, float]])
    """By lever whose saving hangs on how long other answers are: what is left of it if they are long, and if short."""
    contract: Contracts = field(default_factory=dict[str, Contract])
    by_seller: Mapping[str, NDArray[np.int64]] = field(default_factory=dict[str, NDArray[np.int64]])
    """By provider with a contract of its own: nano-dollars of every state over the log that it bills."""
    price_day: date | None = None

    @cached_property
    def totals(self) -> list[int]:
        """Nano-dollars of every set over the whole log."""
        return self.by_site.sums.sum(axis=0)[self.columns].tolist()

    @cached_property
    def months(self) -> NDArray[np.float64] | None:
        """(N_SETS,) nano-dollars of every set in a month."""
        values = [self.month.value(self.by_hour.keys, column) for column in self.by_hour.sums.T]
        known = [value for value in values if value is not None]
        return np.array(known)[self.columns] if len(known) == len(values) else None

    @cached_property
    def valued(self) -> list[int]:
        """What is compared: nano-dollars of every set in a month, or over the log where there is no month."""
        months = self.months
        return np.rint(months).astype(np.int64).tolist() if months is not None and round(months[0]) else self.totals

    def site(self, levers: Sequence[int]) -> NDArray[np.int64]:
        """Nano-dollars with these levers, by call site."""
        return self.by_site.column(int(self.columns[mask_of(levers)]))

    def usd_month(self, weights: NDArray[Any], basis: Basis) -> Estimate:
        """A month of a weighted sum of sets."""
        by_state = np.zeros(self.by_hour.sums.shape[1], weights.dtype)
        np.add.at(by_state, self.columns, weights)
        return self.month.estimate(self.by_hour.keys, self.by_hour.sums @ by_state, basis)

    def cost(self, levers: Sequence[int], basis: Basis) -> Estimate:
        """What a month costs with these levers."""
        return self.usd_month(_unit(mask_of(levers)), basis)

    def saving(self, weights: NDArray[Any], lever: int) -> Estimate:
        """A month of savings; a range where it is the user's to say whether calls can wait or answers will do."""
        saving = self.usd_month(weights, LEVERS[lever].basis)
        if lever in self.lengths and saving.low is not None and saving.high is not None:
            least, most = self.lengths[lever]
            ends = [end * factor for end in (saving.low, saving.high) for factor in (least, 1.0, most)]
            saving = replace(saving, low=min(ends), high=max(ends), level=None, basis="assumed", note=LENGTHS)
        if lever not in _IF or saving.value is None or saving.low is None or saving.high is None:
            return saving
        return replace(
            saving, low=min(0.0, saving.low), high=max(0.0, saving.high), level=None, basis="assumed", note=_IF[lever]
        )

    def paid(self, usage_usd: float, levers: Sequence[int]) -> float:
        """Cash for a month of usage with these levers, split between the contracts as it is over the log."""
        mask = mask_of(levers)
        whole, column = self.totals[mask], self.columns[mask]
        shares = {name: float(sums[column]) / whole if whole else 0.0 for name, sums in self.by_seller.items()}
        return cash_of(self.contract, usage_usd, shares, self.price_day)

    def cash(self, usage: Estimate, levers: Sequence[int] = ()) -> Estimate | None:
        """What is paid for a month of usage with these levers; None without a contract."""
        if not self.contract or usage.value is None or usage.low is None or usage.high is None:
            return None
        value, low, high = (self.paid(usd, levers) for usd in (usage.value, usage.low, usage.high))
        return replace(usage, value=value, low=low, high=high, basis="assumed", note=CASH_NOTE)

    def cash_saving(self, before: Sequence[int], lever: int, saving: Estimate) -> Estimate:
        """What a saving on top of other levers changes in cash; usage without a contract.

        Low and high: the least and most over the ends of the cost before and of the saving.
        """
        cost = self.cost(before, "simulated")
        if not self.contract or saving.value is None or cost.value is None:
            return saving

        def paid_less(usage: float, saved: float) -> float:
            return self.paid(usage, before) - self.paid(usage - saved, [*before, lever])

        costs, savings = (cost.low, cost.value, cost.high), (saving.low, saving.value, saving.high)
        ends = [paid_less(usage or 0.0, saved or 0.0) for usage in costs for saved in savings]
        value = paid_less(cost.value, saving.value)
        return replace(saving, value=value, low=min(ends), high=max(ends), level=None, basis="assumed", note=CASH_NOTE)

    def adding(self, before: Sequence[int], lever: int) -> Estimate:
        """Monthly saving of one more lever."""
        return self.saving(_unit(mask_of(before)) - _unit(mask_of([*before, lever])), lever)


@dataclass(frozen=True, slots=True)
class Told:
    """The rungs and which of them count."""

    rungs: list[Rung]
    defensible: list[int]
    counted: list[int]
    """The defensible levers, then the others that pay on top; the order in which the marginal savings are told."""


def _unit(mask: int) -> NDArray[np.int64]:
    weights = np.zeros(N_SETS, dtype=np.int64)
    weights[mask] = 1
    return weights


def rungs_of(ladder: Ladder, evidence: Evidence) -> Told:
    """The rungs; one that does not pay is shown with what it would cost, and is not counted."""
    totals = ladder.valued
    candidates = [lever for lever in evidence.present if _is_headline(ladder, lever)]
    potential = [lever for lever in evidence.present if lever not in candidates]
    defensible = worthwhile(totals, candidates)
    extra = _told_apart(totals, worthwhile(totals, potential, given=defensible), potential, defensible)
    counted = [*defensible, *extra]
    fair = climb(totals, defensible) | climb(totals, extra, given=defensible)
    rungs: list[Rung] = []
    for lever in (*candidates, *potential):
        told = defensible if lever in candidates else counted
        before = told[: told.index(lever)] if lever in told else _least(totals, told, lever)
        orders = shares_of(totals, lever, sorted({*counted, lever}))
        rungs.append(_rung(ladder, evidence, lever, before, fair.get(lever), orders, headline=lever in candidates))
    for name in RUNGS:
        if all(rung.lever != name for rung in rungs):
            rungs.append(_absent(evidence, next(i for i, lever in enumerate(LEVERS) if lever.rung == name)))
    return Told(rungs, defensible, counted)


def _told_apart(totals: list[int], extra: list[int], potential: list[int], given: list[int]) -> list[int]:
    """A wider lever does what the plainer ones do: what these save is told as theirs, where they pay."""
    told = extra
    for lever in (plainer for wide in extra for plainer in _PLAINER.get(wide, ())):
        more = sorted({*told, lever})
        before, at, after = ([*given, *more[: more.index(lever) + step]] for step in (0, 1, 2))
        pays = totals[mask_of(before)] > totals[mask_of(at)] >= totals[mask_of(after)]
        if lever in potential and pays and totals[mask_of([*given, *more])] == totals[mask_of([*given, *told])]:
            told = more
    return told


def _is_headline(ladder: Ladder, lever: int) -> bool:
    """Defensible today, unless its interval is wider than the saving itself."""
    if not LEVERS[lever].defensible:
        return False
    saving = ladder.adding([], lever)
    if saving.value is None or saving.low is None or saving.high is None:
        return True
    return (saving.high - saving.low) / 2 <= abs(saving.value) or saving.value <= 0


def _least(totals: list[int], told: list[int], lever: int) -> list[int]:
    """After which levers one that is not counted is shown: at its own place or at the end, where it saves less."""

    def saved(before: list[int]) -> int:
        return totals[mask_of(before)] - totals[mask_of([*before, lever])]

    return min(told, [other for other in told if other < lever], key=saved)


def _rung(
    ladder: Ladder, evidence: Evidence, lever: int, before: Sequence[int], fair: Shares | None, orders: Shares,
    *, headline: bool,
) -> Rung:  # fmt: skip
    valued, totals = ladder.valued, ladder.totals
    left = valued[mask_of(before)]
    in_log = totals[mask_of(before)] - totals[mask_of([*before, lever])]
    marginal = ladder.adding(before, lever)
    return Rung(
        lever=LEVERS[lever].rung,
        label=LEVERS[lever].label,
        headline=headline,
        standalone_usd_month=ladder.adding([], lever),
        marginal_usd_month=marginal,
        shapley_usd_month=ladder.saving(fair.weights, lever) if fair else marginal,
        saving_share=1 - valued[mask_of([*before, lever])] / left if left else None,
        order_range=_order_range(ladder, lever, orders),
        usage_usd_month=marginal,
        cash_usd_month=ladder.cash_saving(before, lever, marginal),
        risk=LEVERS[lever].risk,
        summary=evidence.summary[lever],
        evidence=evidence.facts[lever] | {"saving_usd_in_log": in_log / NANOS_PER_USD},
    )


def _order_range(ladder: Ladder, lever: int, orders: Shares) -> list[float] | None:
    """Least and most that the lever saves in a month, over all sets of counted levers that may come before it."""
    months, befores = ladder.months, np.flatnonzero(orders.weights > 0)
    if months is None:
        return None
    saved = (months[befores] - months[befores | 1 << lever]) / NANOS_PER_USD
    return [float(saved.min()), float(saved.max())]


def _absent(evidence: Evidence, lever: int) -> Rung:
    nothing = unknown("USD/month", evidence.missing[lever])
    return Rung(
        lever=LEVERS[lever].rung,
        label=LEVERS[lever].label.split(" (")[0],
        headline=False,
        standalone_usd_month=nothing,
        marginal_usd_month=nothing,
        shapley_usd_month=nothing,
        saving_share=None,
        order_range=None,
        usage_usd_month=nothing,
        cash_usd_month=nothing,
        risk="none",
        summary="",
        evidence=evidence.facts[lever],
    )


def after_of(
    ladder: Ladder, told: Told, per_1k: Estimate, latency: Latency | None = None, accepted: Accepted | None = None
) -> After:
    """The two totals. `per_1k`: what 1,000 requests cost today, at the price date."""

    def total(levers: list[int]) -> AfterTotal:
        valued = ladder.valued
        share = 1 - valued[mask_of(levers)] / valued[0] if valued[0] else None
        cost = ladder.cost(levers, "simulated" if levers else "priced")
        for lever in levers:
            if lever in ladder.lengths and cost.low is not None and cost.high is not None:
                least, most = ladder.lengths[lever]
                saved = ladder.adding(levers[: levers.index(lever)], lever).value or 0.0
                low, high = max(0.0, cost.low - saved * (most - 1)), cost.high + saved * (1 - least)
                cost = replace(cost, low=low, high=high, level=None, basis="assumed", note=LENGTHS)
        open_questions = [lever for lever in levers if lever in _IF]
        if open_questions and cost.value is not None:
            none_holds = ladder.cost([lever for lever in levers if lever not in _IF], "simulated")
            notes = [LENGTHS] * (cost.note == LENGTHS) + [_IF[lever] for lever in open_questions]
            cost = replace(cost, high=none_holds.high, level=None, basis="assumed", note="; ".join(notes))
        return AfterTotal(
            cost_usd_month=cost,
            cash_usd_month=ladder.cash(cost, levers),
            per_1k_requests=_per_1k(per_1k, cost, share),
            saving_share=share,
            per_1k_accepted=_accepted(accepted, levers, share),
            levers=[LADDER[lever] for lever in levers],
        )

    return After(defensible=total(told.defensible), potential=total(told.counted), latency=latency)


def _accepted(accepted: Accepted | None, levers: list[int], share: float | None) -> Estimate | None:
    """Scored answers at the price that is left on average, by the scores of the models that answer then."""
    if accepted is None or share is None:
        return None
    routing = 2 if ROUTING in levers else int(VERIFIED in levers)
    note = "the saving of all calls, in proportion"
    note += "; wrong hits of the semantic cache are not counted" if SEMANTIC in levers else ""
    return accepted.per_1k(routing, 1 - share, "estimated", note)


def _per_1k(today: Estimate, cost: Estimate, share: float | None) -> Estimate:
    """Today's unit cost less the share that is saved, as wide as the month's cost is."""
    if today.value is None or share is None:
        return unknown("USD/1k requests", today.note or "nothing is priced")
    left = today.value * (1 - share)
    if not cost.value:
        return replace(today, value=left, low=left, high=left, basis=cost.basis)
    return _scaled(cost, left / cost.value, "USD/1k requests")


def _scaled(estimate: Estimate, factor: float, unit: str = "") -> Estimate:
    """An estimate with a value, times something above zero."""
    value, low, high = estimate.value or 0.0, estimate.low or 0.0, estimate.high or 0.0
    return replace(estimate, value=value * factor, low=low * factor, high=high * factor, unit=unit or estimate.unit)


def opportunities_of(
    ladder: Ladder, evidence: Evidence, told: Told, label: Callable[[int], str], day_rate_usd: float
) -> list[Opportunity]:
    """Call site x lever, sorted by the low bound of the monthly saving; without sites that a lever does not help."""
    totals = ladder.totals
    found: list[Opportunity] = []
    for position, lever in enumerate(told.counted):
        before, after = told.counted[:position], told.counted[: position + 1]
        whole = totals[mask_of(before)] - totals[mask_of(after)]
        saving = ladder.adding(told.counted[:position], lever)
        if whole <= 0 or saving.value is None or saving.value <= 0:
            continue
        by_site = ladder.site(before) - ladder.site(after)
        for index in np.argsort(-by_site, kind="stable")[:MAX_SITES].tolist():
            saved = int(by_site[index])
            if saved <= 0 or saved < MIN_SHARE * totals[0]:
                break
            usd = replace(_scaled(saving, saved / whole), level=None, note=SITE_NOTE)
            found.append(_opportunity(label(int(ladder.by_site.keys[index])), lever, usd, evidence, day_rate_usd))
    return by_low_bound(found)


def by_low_bound(found: list[Opportunity]) -> list[Opportunity]:
    """The surest saving first."""
    return sorted(found, key=lambda o: (-(o.usd_month.low or 0), -(o.usd_month.value or 0), o.call_site, o.lever))


def _opportunity(site: str, lever: int, usd: Estimate, evidence: Evidence, day_rate_usd: float) -> Opportunity:
    known = LEVERS[lever]
    usd_day = (usd.value or 0.0) / (HOURS_PER_MONTH / 24)
    return Opportunity(
        call_site=site,
        lever=known.rung,
        usd_month=usd,
        evidence=f"{known.label}: {evidence.summary[lever]}",
        risk=known.risk,
        effort_days=known.effort_days,
        payback_days=known.effort_days * day_rate_usd / usd_day if usd_day > 0 else None,
        next_experiment=known.next_experiment,
    )
