"""Which call sites a cheaper model may answer, from what the user knows of its quality; the decision is not made here.

Without quality there is no money in the ladder: `costplan route` prints how much worse the cheaper model may be before
a good answer costs as much as today.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import Summary
from costplan.levers.states import ROUTING, VERIFIED
from costplan.levers.variants import Routes, route_key
from costplan.prices import RateTable
from costplan.routing.candidates import Candidate
from costplan.routing.decide import Decision, Offer, Quality, decide
from costplan.units import NANOS_PER_USD

Facts = dict[str, Any]
PAIR_COLUMNS = ("requests", "cost", "input", "read", "write", "output", "with_tools")
"""Sums by call site and price."""
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """R pairs of call site and price with their sums; (R,) each."""

    site: NDArray[np.uint64]
    price_key: NDArray[np.int32]
    sums: NDArray[np.int64]
    """(R, PAIR_COLUMNS)"""


@dataclass(frozen=True, slots=True)
class Seller:
    """A candidate with its place in the price table."""

    candidate: Candidate
    key: int
    batch_key: int
    """-1: it has no batch price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What was decided for one call site at one price."""

    name: str
    model: str
    offers: list[Offer]
    decision: Decision

    @property
    def targets(self) -> tuple[str | None, str | None]:
        """The model that answers under verified routes, and under all."""
        decision = self.decision
        potential = None if decision.loss is None else decision.potential
        return self._model(decision.offer), self._model(potential if decision.offer is None else decision.offer)

    def _model(self, offer: int | None) -> str | None:
        return None if offer is None else self.offers[offer].candidate.model


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cheaper:
    """What routing does to the log, and why."""

    routes: Routes
    sites: list[Site]
    """By what they cost."""

    @property
    def levels(self) -> int:
        """1 = no request moves, 2 = those of verified sites, 3 = others too."""
        return 1 + int(self.routes.level.max(initial=0))

    @property
    def lengths(self) -> dict[int, tuple[float, float]]:
        """By lever: share of its saving that is left with the longest plausible answers, and with the shortest."""
        found: dict[int, tuple[float, float]] = {}
        for lever, verified in ((VERIFIED, True), (ROUTING, False)):
            offers = [
                site.offers[at] for site in self.sites
                if (at := site.decision.offer if verified else site.decision.potential) is not None
                and (verified or site.decision.loss is not None)
            ]  # fmt: skip
            saved = sum(offer.now_usd - offer.usd for offer in offers)
            if saved > 0:
                long, short = (
                    sum(offer.now_usd - getattr(offer, end) for offer in offers) for end in ("usd_high", "usd_low")
                )
                found[lever] = (long / saved, short / saved)
        return found


def traffic_of(summary: Summary, sites: Sequence[int], n_keys: int) -> Traffic:
    """The group `pair` of a summary, whose keys are of `route_key`, taken apart."""
    pairs = summary.groups["pair"]
    site = np.repeat(np.array(sites, np.uint64), n_keys)
    price_key = np.tile(np.arange(n_keys, dtype=np.int32), len(sites))
    keys = route_key(site, price_key)
    at = np.minimum(np.searchsorted(pairs.keys, keys), max(len(pairs.keys) - 1, 0))
    there = pairs.keys[at] == keys if len(pairs.keys) else np.zeros(len(keys), np.bool_)
    return Traffic(site=site[there], price_key=price_key[there], sums=pairs.sums[at[there]])


def decide_sites(
    traffic: Traffic, names: Mapping[int, str], rates: RateTable, sellers: Mapping[int, Sequence[Seller]],
    models: Mapping[int, str], quality: Quality, *, time_us: int, max_loss: float, ratio: tuple[float, float, float],
) -> Cheaper:  # fmt: skip
    """The routes of all call sites.

    Args:
        names: of call sites.
        sellers: by price key, who may take its requests; `models`: by price key, its name in the quality table.
        time_us: day of the prices.
        ratio: low, middle and high of the length of the cheaper model's answers over that of the logged ones.
    """
    sites: list[Site] = []
    rows: list[tuple[int, int, int, int, int, int]] = []
    for row in np.argsort(-traffic.sums[:, 1], kind="stable").tolist():
        site, key = int(traffic.site[row]), int(traffic.price_key[row])
        sums: dict[str, int] = dict(zip(PAIR_COLUMNS, traffic.sums[row].tolist(), strict=True))
        some = [
            each for each in sellers.get(key, ())
            if not (sums["with_tools"] and each.candidate.capability.tools is False)
        ]  # fmt: skip
        if not some or not sums["cost"]:
            continue
        offers = [_offer(each, sums, rates, time_us, ratio) for each in some]
        model = models[key]
        decision = decide(names[site], model, offers, quality, max_loss=max_loss, requests=sums["requests"])
        sites.append(Site(name=names[site], model=model, offers=offers, decision=decision))
        # a decided site moves now; one whose better offer is not verified moves there only in the wider rung
        if decision.offer is not None:
            rows.append(_route(site, key, some[decision.offer], 1))
        elif decision.potential is not None and decision.loss is not None:
            rows.append(_route(site, key, some[decision.potential], 2))
    table = np.array(rows, np.int64).reshape(-1, 6)
    keys = route_key(table[:, 0].view(np.uint64), table[:, 1])
    order = np.argsort(keys)
    routes = Routes(
        key=keys[order], to_key=table[order, 2].astype(np.int32), to_batch_key=table[order, 3].astype(np.int32),
        level=table[order, 4].astype(np.uint8), output_ratio=np.full(len(rows), ratio[1]), window=table[order, 5],
    )  # fmt: skip
    return Cheaper(routes=routes, sites=sites)


def _offer(
    seller: Seller, sums: Mapping[str, int], rates: RateTable, time_us: int, ratio: tuple[float, float, float]
) -> Offer:
    """What all of a site's requests would cost, at the prices for prompts of their mean length."""
    mean = np.array([sums["input"] // max(1, sums["requests"])], np.int64)
    row = int(rates.lookup(np.array([seller.key], np.int32), np.array([time_us]), mean)[0])
    rate = rates.row(row)
    prompt = (sums["input"] - sums["read"] - sums["write"]) * rate.input
    prompt += sums["read"] * rate.cache_read + sums["write"] * rate.cache_write
    low, middle, high = (prompt + sums["output"] * each * rate.output for each in ratio)
    return Offer(
        candidate=seller.candidate,
        share=1.0,
        now_usd=sums["cost"] / NANOS_PER_USD,
        usd=middle,
        usd_low=low,
        usd_high=high,
    )


def _route(site: int, key: int, seller: Seller, level: int) -> tuple[int, int, int, int, int, int]:
    window = seller.candidate.capability.context or np.iinfo(np.int64).max
    return int(np.uint64(site).view(np.int64)), key, seller.key, seller.batch_key, level, window


def routing_of(found: Cheaper | None) -> dict[int, tuple[Facts, bool, str]]:
    """(evidence, whether there is anything to do, one line) by lever."""
    if found is None:
        return {lever: ({"sites": []}, False, "") for lever in (VERIFIED, ROUTING)}
    facts: Facts = {"sites": [_told(site) for site in found.sites[:SHOWN]], "decided_sites": len(found.sites)}
    counts = [int((found.routes.level == level).sum()) for level in (1, 2)]
    texts = ("{} of {} call sites: the upper bound of what is lost is allowed", "{} of {} call sites: too few scores")
    return {
        lever: (facts, count > 0, text.format(count, len(found.sites)))
        for lever, count, text in zip((VERIFIED, ROUTING), counts, texts, strict=True)
    }


def _told(site: Site) -> Facts:
    decision = site.decision
    at = decision.offer if decision.offer is not None else decision.potential
    offer = None if at is None else site.offers[at]
    loss = decision.loss
    return {
        "call_site": site.name, "model": site.model, "candidate": None if offer is None else offer.candidate.model,
        "verified": decision.verified, "now_usd_in_log": site.offers[0].now_usd,
        "usd_in_log": None if offer is None else offer.usd, "break_even_gap": decision.break_even_gap,
        "loss": None if loss is None else {"value": loss.value, "low": loss.low, "high": loss.high, "n": loss.n},
        "note": decision.note,
    }  # fmt: skip


def routing_missing(summary: Summary, found: Cheaper | None) -> dict[int, str]:
    """What it would take, by lever."""
    text = "needs --quality (see costplan route LOG)"
    if not summary.counts["priced"]:
        text = "needs prices: no call could be priced"
    elif found is not None:
        text = "no cheaper model of the quality file holds its loss within --max-loss, or may"
    return dict.fromkeys((VERIFIED, ROUTING), text)
