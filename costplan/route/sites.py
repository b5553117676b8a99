"""The rows of the report about call sites: costs, losses and advice as estimates; it decides nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.results import Estimate, exact, unknown
from costplan.results.route import RouteOffer, RouteSite
from costplan.route.labelled import Pair
from costplan.route.offers import Advised
from costplan.route.read import Traffic
from costplan.routing.decide import ANY_SITE, Loss, Quality, break_even_gap
from costplan.routing.policies import ranged

_BOUNDS = "ends are one-sided 95 % bounds"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What is known of quality on a log."""

    traffic: Traffic
    advised: list[Advised]
    quality: Quality
    pairs: list[Pair]
    penalty_usd: float


def site_row(known: Known, each: Advised) -> RouteSite:
    """Of one (call site, model)."""
    traffic, group, decision = known.traffic, each.group, each.decision
    site, (provider, model) = traffic.site(group.number), traffic.model(group.number)
    offers: list[RouteOffer] = []
    for priced in group.priced:
        usd, now = priced.usd[priced.fits].sum(axis=0), float(group.now[priced.fits].sum())
        candidate = priced.candidate
        loss = known.quality.loss(site, model, candidate.model)
        offers.append(RouteOffer(
            model=candidate.model, provider=candidate.provider, cost_usd=ranged(usd),
            saving_usd=ranged((now - usd)[::-1]), request_share=float(priced.fits.mean()), cannot=priced.cannot,
            loss_points=_points(loss, "nothing says how good its answers are"),
        ))  # fmt: skip
    told = None if each.choice is None else offers[each.choice]
    return RouteSite(
        call_site=site, model=model, provider=provider, requests=len(group.rows), cost_usd=float(group.now.sum()),
        level_share=level_share(traffic.level[group.rows]), why=decision.note,
        advice="switch" if decision.verified else "test" if decision.potential is not None else "stay",
        candidate=None if told is None else told.model,
        saving_usd=exact(0.0, "USD", "estimated", decision.note) if told is None else told.saving_usd,
        break_even_gap=_gap(known, each), labels=sum(pair.group == group.number for pair in known.pairs),
        loss_points=_points(decision.loss, decision.note), offers=offers,
    )  # fmt: skip


def _gap(known: Known, each: Advised) -> Estimate:
    if each.choice is None:
        return unknown("share", each.decision.note)
    offer = each.group.offers()[each.choice]
    penalty = known.penalty_usd * float(known.traffic.columns["weight"][each.group.rows].sum()) * offer.share
    low, value, high = (
        break_even_gap(offer.now_usd, usd, penalty) for usd in (offer.usd_high, offer.usd, offer.usd_low)
    )
    return Estimate(
        value=value, low=low, high=high, unit="share", basis="estimated",
        note="(C - c) / (C + penalty): of today's good answers; range: output ratio",
    )  # fmt: skip


def _points(loss: Loss | None, why: str) -> Estimate:
    if loss is None:
        return unknown("points", why)
    where = "all call sites together" if loss.where == ANY_SITE else "at this call site"
    return Estimate(
        value=100 * loss.value, low=100 * loss.low, high=100 * loss.high, level=0.9, unit="points", basis="measured",
        note=f"n {loss.n:,}, {where}; {_BOUNDS}",
    )  # fmt: skip


def good_shares(known: Known) -> dict[int, float]:
    """By group, the share of the advised candidate's answers that are good, where labels or the table say so."""
    found: dict[int, float] = {}
    for each in known.advised:
        if each.priced is not None:
            number, model = each.group.number, each.priced.candidate.model
            mine = [pair.cheap for pair in known.pairs if pair.group == number and pair.model == model]
            score = known.quality.score(known.traffic.site(number), model)
            if mine or score is not None:
                found[number] = float(np.mean(mine)) if mine or score is None else score.mean
    return found


def verified_loss(advised: list[Advised]) -> Estimate:
    """Mean over the requests of the call sites that switch, each measured on its own."""
    sure = [(len(each.group.rows), each.decision.loss) for each in advised if each.decision.verified]
    known = [(requests, loss) for requests, loss in sure if loss is not None]
    if not known:
        return unknown("points", "no call site is shown to lose little enough")
    weights = np.array([requests for requests, _ in known]) / sum(requests for requests, _ in known)
    value = 100 * float(weights @ [loss.value for _, loss in known])
    half = 100 * float(np.sqrt(((weights * [loss.high - loss.value for _, loss in known]) ** 2).sum()))
    return Estimate(
        value=value, low=value - half, high=value + half, level=0.9, unit="points", basis="measured",
        note=f"over the requests of these call sites; {_BOUNDS}",
    )  # fmt: skip


def level_share(level: NDArray[np.int8]) -> list[float]:
    """Share of levels 1 to 5 among the scored; empty where none is."""
    counts = np.bincount(level[level > 0], minlength=6)[1:6]
    return (counts / counts.sum()).tolist() if counts.sum() else []
