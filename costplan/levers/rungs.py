"""From the cost of every set of levers to the rungs, the two totals and the opportunities of a plan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Keyed
from costplan.levers import LADDER, Shares, climb, mask_of, worthwhile
from costplan.month import Month
from costplan.results import After, AfterTotal, Basis, Estimate, Opportunity, Rung, unknown
from costplan.units import HOURS_PER_MONTH, NANOS_PER_USD

_LEVER = ("response_cache", "prompt_cache", "prompt_cache", "batch", "batch")
_LABEL = (
    "exact cache",
    "prompt cache (mark prefixes)",
    "prompt cache (keep warm)",
    "batch tier (marked calls)",
    "batch tier (if calls can wait)",
)
_DEFENSIBLE = (True, True, False, True, False)
_BASIS: tuple[Basis, ...] = ("simulated", "simulated", "simulated", "priced", "priced")
_EFFORT_DAYS = (2.0, 1.0, 2.0, 2.0, 3.0)
_RISK = ("none", "none", "needs-test", "none", "needs-test")
_NEXT = (
    "put a cache with the shown TTL before this call site and compare the answers it serves for a week",
    "mark the end of the system prompt (cache_control) and watch cache_read_input_tokens",
    "send a stable prompt_cache_key for this call site and watch cached_tokens",
    "send these calls through the provider's batch endpoint",
    "ask whether anyone waits for this call; if not, tag it and send it through the batch endpoint",
)
MIN_SHARE = 0.0005
"""Opportunities below this share of the month's cost are not worth a line."""


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Everything the rungs are made of."""

    by_hour: Keyed
    by_site: Keyed
    month: Month
    present: Sequence[int]
    """Levers that have requests to act on."""
    evidence: Sequence[dict[str, Any]]
    summary: Sequence[str]
    missing: Sequence[str]
    """Per lever: what it would take, where it has nothing to act on."""

    def totals(self) -> list[int]:
        """Nano-dollars of every set over the whole log."""
        return [int(v) for v in self.by_site.sums.sum(axis=0)]


def rungs_of(ladder: Ladder) -> tuple[list[Rung], list[int], list[int]]:
    """(rungs, defensible levers, all counted levers); a rung with a negative saving is shown and not counted."""
    totals = ladder.totals()
    candidates = [lever for lever in ladder.present if _headline(ladder, totals, lever)]
    defensible = worthwhile(totals, candidates)
    potential = [lever for lever in ladder.present if lever not in candidates]
    counted = _add_worthwhile(totals, defensible, potential)
    shares, everything = climb(totals, defensible), climb(totals, counted)
    rungs: list[Rung] = []
    done: list[int] = []
    order = [lever for lever in ladder.present if lever in candidates] + potential
    for lever in order:
        if lever in counted:
            before = list(done)
            done.append(lever)
        else:
            before = [other for other in done if other < lever]
        share = shares.get(lever) or everything.get(lever)
        rungs.append(_rung(ladder, totals, lever, before, share, headline=lever in candidates))
    for lever_name in ("response_cache", "prompt_cache", "batch"):
        if all(rung.lever != lever_name for rung in rungs):
            rungs.append(_absent(ladder, _LEVER.index(lever_name)))
    return rungs, defensible, counted


def _headline(ladder: Ladder, totals: list[int], lever: int) -> bool:
    """Defensible today, unless its interval is wider than the saving itself."""
    if not _DEFENSIBLE[lever]:
        return False
    saving = _saving(ladder, totals, [], lever)
    if saving.value is None or saving.low is None or saving.high is None:
        return True
    return (saving.high - saving.low) / 2 <= abs(saving.value) or saving.value <= 0


def _add_worthwhile(totals: list[int], defensible: list[int], potential: list[int]) -> list[int]:
    counted = list(defensible)
    for lever in potential:
        if totals[mask_of(counted)] > totals[mask_of([*counted, lever])]:
            counted.append(lever)
    return counted


def _saving(ladder: Ladder, totals: list[int], before: list[int], lever: int) -> Estimate:
    """Monthly saving of adding one lever to others."""
    a, b = mask_of(before), mask_of([*before, lever])
    series = ladder.by_hour.column(a) - ladder.by_hour.column(b)
    saving = ladder.month.estimate(series, totals[a] - totals[b], _BASIS[lever])
    if lever == LADDER.index("batch_rest") and saving.value is not None:
        return Estimate(
            value=saving.value, low=0.0, high=saving.high, unit=saving.unit, basis="assumed",
            note="if all of these calls can wait up to a day; none can is the low end",
        )  # fmt: skip
    return saving


def _rung(
    ladder: Ladder, totals: list[int], lever: int, before: list[int], share: Shares | None, *, headline: bool
) -> Rung:
    marginal = _saving(ladder, totals, before, lever)
    left = totals[mask_of(before)]
    saved = left - totals[mask_of([*before, lever])]
    return Rung(
        lever=_LEVER[lever],  # type: ignore[arg-type]
        label=_LABEL[lever],
        headline=headline,
        standalone_usd_month=_saving(ladder, totals, [], lever),
        marginal_usd_month=marginal,
        shapley_usd_month=_share_of(marginal, saved, share.shapley) if share else marginal,
        saving_share=saved / left if left else None,
        order_range=_order_range(ladder, share),
        usage_usd_month=marginal,
        cash_usd_month=marginal,
        risk=_RISK[lever],  # type: ignore[arg-type]
        summary=ladder.summary[lever],
        evidence=ladder.evidence[lever] | {"saving_usd_in_log": saved / NANOS_PER_USD},
    )


def _order_range(ladder: Ladder, share: Shares | None) -> list[float] | None:
    if share is None or not ladder.month.blocks_per_month:
        return None
    total = ladder.totals()[0]
    base = ladder.month.estimate(ladder.by_hour.column(0), total, "priced").value
    if base is None or not total:
        return None
    return [share.low / total * base, share.high / total * base]


def _share_of(marginal: Estimate, saved: int, part: float) -> Estimate:
    """The Shapley share, with the marginal saving's relative width."""
    if marginal.value is None or marginal.low is None or marginal.high is None or not saved:
        return marginal
    factor = part / saved
    low, high = sorted((marginal.low * factor, marginal.high * factor))
    return Estimate(
        value=marginal.value * factor, low=low, high=high, level=marginal.level, unit=marginal.unit, basis=marginal.basis,
    )  # fmt: skip


def _absent(ladder: Ladder, lever: int) -> Rung:
    nothing = unknown("USD/month", ladder.missing[lever])
    return Rung(
        lever=_LEVER[lever],  # type: ignore[arg-type]
        label=_LABEL[lever].split(" (")[0],
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
        evidence=ladder.evidence[lever],
    )


def after_of(ladder: Ladder, defensible: list[int], counted: list[int], requests_month: float | None) -> After:
    """The two totals."""

    def total(levers: list[int]) -> AfterTotal:
        totals = ladder.totals()
        left = totals[mask_of(levers)]
        cost = ladder.month.estimate(ladder.by_hour.column(mask_of(levers)), left, "simulated" if levers else "priced")
        if LADDER.index("batch_rest") in levers and cost.value is not None:
            without = mask_of([lever for lever in levers if lever != LADDER.index("batch_rest")])
            highest = ladder.month.estimate(ladder.by_hour.column(without), totals[without], "simulated").high
            cost = Estimate(value=cost.value, low=cost.low, high=highest, unit=cost.unit, basis="assumed")
        return AfterTotal(
            cost_usd_month=cost,
            per_1k_requests=_per_1k(cost, requests_month),
            saving_share=1 - left / totals[0] if totals[0] else None,
            levers=[LADDER[lever] for lever in levers],
        )

    return After(defensible=total(defensible), potential=total(counted))


def _per_1k(cost: Estimate, requests_month: float | None) -> Estimate:
    if cost.value is None or not requests_month:
        return unknown("USD/1k requests", cost.note or "no monthly volume")
    scale = 1000 / requests_month
    return Estimate(
        value=cost.value * scale, low=(cost.low or 0) * scale, high=(cost.high or 0) * scale, level=cost.level,
        unit="USD/1k requests", basis=cost.basis,
    )  # fmt: skip


def opportunities_of(
    ladder: Ladder, rungs: list[Rung], counted: list[int], label: Callable[[int], str], day_rate_usd: float
) -> list[Opportunity]:
    """Call site x lever, sorted by the low bound of the monthly saving."""
    totals = ladder.totals()
    found: list[Opportunity] = []
    for position, lever in enumerate(counted):
        before, after = mask_of(counted[:position]), mask_of(counted[: position + 1])
        whole = totals[before] - totals[after]
        saving = _saving(ladder, totals, counted[:position], lever)
        if whole <= 0 or saving.value is None or saving.low is None or saving.high is None:
            continue
        by_site: NDArray[np.int64] = ladder.by_site.column(before) - ladder.by_site.column(after)
        for index in np.argsort(-by_site, kind="stable")[:20]:
            part = int(by_site[index]) / whole
            usd = saving.value * part
            if part <= 0 or int(by_site[index]) < MIN_SHARE * totals[0]:
                break
            estimate = Estimate(
                value=usd, low=saving.low * part, high=saving.high * part, level=saving.level, unit=saving.unit,
                basis=saving.basis, note=saving.note,
            )  # fmt: skip
            found.append(
                Opportunity(
                    call_site=label(int(ladder.by_site.keys[index])),
                    lever=_LEVER[lever],
                    usd_month=estimate,
                    evidence=f"{_LABEL[lever]}: {ladder.summary[lever]}",
                    risk=_RISK[lever],  # type: ignore[arg-type]
                    effort_days=_EFFORT_DAYS[lever],
                    payback_days=_EFFORT_DAYS[lever] * day_rate_usd / (usd / (HOURS_PER_MONTH / 24)),
                    next_experiment=_NEXT[lever],
                )
            )
    return sorted(found, key=lambda o: (-(o.usd_month.low or 0), -(o.usd_month.value or 0), o.call_site, o.lever))
