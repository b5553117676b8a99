"""Four ways of routing compared on the same requests and candidates: what each saves, what it loses, what it rests on.

A policy that sends only part of a call site elsewhere breaks up its prompt cache: the requests it moves are charged as
if nothing were cached, for the upper end of their cost. The router's time and a cascade's checks and failed first
attempts are charged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.complexity.rules import LEVELS
from costplan.month import Month
from costplan.results import Basis, Estimate, unknown
from costplan.results.route import Policy, PolicyRow
from costplan.route.offers import Group
from costplan.route.read import Traffic
from costplan.routing.decide import Z_ONE_SIDED, Decision
from costplan.routing.verdict import ROUTES, WIDER, Judged
from costplan.units import NANOS_PER_USD, SECONDS_PER_HOUR, plural

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
CPU_USD_PER_HOUR = 0.045
"""One vCPU of a compute instance, on demand (AWS c7i.large, us-east-1, list price, checked 2026-11)."""
RULES_PER_CPU_S, ROUTER_PER_CPU_S = 30_000, 1_500
"""Prompts in a CPU-second: scored by rules, and by statistics and static embedding (benchmarks/routing.py)."""
SHARES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Shares of the requests that go to the cheap model, tried from the smallest up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Advised:
    """A (call site, model) with what was decided for it."""

    group: Group
    decision: Decision

    @property
    def choice(self) -> int | None:
        """The offer to take, else the one to test, else the one that may take a part."""
        found = self.decision
        return next((each for each in (found.offer, found.potential, found.split) if each is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """m labelled requests of sites that are advised a candidate, and what a router makes of them."""

    request: NDArray[np.int64]
    cheap: Floats
    strong: Floats
    level: NDArray[np.int8]
    judged: Judged

    @property
    def gap(self) -> Floats:
        return self.strong - self.cheap


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stream:
    """(n,) USD of each request that is advised a candidate and fits it; the others are not in it."""

    rows: NDArray[np.int64]
    now: Floats
    cheap: Floats
    """(n, 3)"""
    uncached: Floats
    check: Floats
    verified: Mask
    whole: Mask
    """False at call sites where the candidate is measured to lose too much to take all."""


def compare(
    traffic: Traffic, advised: list[Advised], evidence: Evidence | None, good: dict[int, float], month: Month,
    max_loss: float, site_loss: Estimate,
) -> list[PolicyRow]:  # fmt: skip
    """One row per policy.

    Args:
        good: by group, the share of the candidate's answers that are known to be good.
        max_loss: points.
        site_loss: of the sites that are advised a candidate, in points.
    """
    stream = _stream(advised)
    if not len(stream.rows):
        return []
    table = _Table(traffic, stream, month, max_loss)
    return [
        *table.by_site(advised, site_loss), table.by_level(evidence), table.by_request(evidence),
        table.cascade(traffic, good),
    ]  # fmt: skip


def _stream(advised: list[Advised]) -> _Stream:
    parts: list[tuple[NDArray[Any], ...]] = []
    for each in advised:
        if each.choice is not None:
            offer = each.group.priced[each.choice]
            fits = offer.fits
            sure, whole = np.full((2, int(fits.sum())), [[each.decision.verified], [each.decision.split is None]])
            parts.append((
                each.group.rows[fits], each.group.now[fits], offer.usd[fits], offer.uncached[fits], offer.check[fits],
                sure, whole,
            ))  # fmt: skip
    if not parts:
        none = np.zeros(0)
        return _Stream(
            rows=np.zeros(0, np.int64), now=none, cheap=np.zeros((0, 3)), uncached=none, check=none,
            verified=np.zeros(0, np.bool_), whole=np.zeros(0, np.bool_),
        )  # fmt: skip
    rows, now, cheap, uncached, check, verified, whole = (np.concatenate(each) for each in zip(*parts, strict=True))
    return _Stream(rows=rows, now=now, cheap=cheap, uncached=uncached, check=check, verified=verified, whole=whole)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    traffic: Traffic
    stream: _Stream
    month: Month
    max_loss: float

    def by_site(self, advised: list[Advised], loss: Estimate) -> list[PolicyRow]:
        sure, whole = self.stream.verified, self.stream.whole
        switched = sum(each.decision.verified for each in advised)
        tested = sum(each.decision.potential is not None and not each.decision.verified for each in advised)
        rows: list[PolicyRow] = []
        if sure.any():
            text = f"{plural(switched, 'call site')}, shown to lose little enough"
            rows.append(self._row("site", text, sure, self.stream.cheap, loss, verified=True))
        if (whole & ~sure).any():
            text = f"{plural(switched + tested, 'call site')} with a candidate"
            note = "needs a test where nothing is shown"
            rows.append(self._row("site", text, whole, self.stream.cheap, unknown("points", note), note=note))
        return rows

    def by_level(self, evidence: Evidence | None) -> PolicyRow:
        """Levels are tried from 1 up; the first whose loss is not shown to be within --max-loss ends the test."""
        level = self.traffic.level[self.stream.rows]
        most, loss, verified = 2, unknown("points", "no labels; complexity does not predict quality"), False
        if evidence is not None:
            for upper in range(1, LEVELS + 1):
                tried = self._loss(evidence, (evidence.level <= upper) & (evidence.level > 0), 1.0)
                if tried.high is None or tried.high > self.max_loss:
                    loss = loss if verified else tried
                    break
                most, loss, verified = upper, tried, True
        moved = (level > 0) & (level <= most)
        usd = self._split(moved) + self._router_usd(RULES_PER_CPU_S)
        text = f"levels 1 to {most}" if most > 1 else "level 1"
        return self._row("complexity", text, moved, usd, loss, verified=verified)

    def by_request(self, evidence: Evidence | None) -> PolicyRow:
        """The largest share, from the smallest up, whose loss on the labelled requests is shown to be small enough."""
        if evidence is None:
            return _blank("request", "none", "needs labels (--labels)")
        if evidence.judged.verdict != ROUTES:
            return _blank("request", "none", f"{evidence.judged.verdict}: falls back to call sites")
        order = np.argsort(evidence.judged.score, kind="stable")
        best, loss = 0.0, unknown("points", "no share passes")
        for share in SHARES:
            moved = np.zeros(len(order), np.bool_)
            moved[order[: round(share * len(order))]] = True
            tried = self._loss(evidence, moved, WIDER)
            if tried.high is None or tried.high > self.max_loss:
                break
            best, loss = share, tried
        moved = np.zeros(len(self.traffic.group), np.bool_)
        moved[evidence.request[order[: round(best * len(order))]]] = True
        known = np.isin(self.stream.rows, evidence.request)
        # the labelled requests stand for the others: their share of dollars moved is taken for all
        usd = self._split(moved[self.stream.rows] & known)
        weight = float(self.stream.now.sum()) / max(float(self.stream.now[known].sum()), 1e-300)
        scaled = np.where(known[:, None], (usd - self.stream.now[:, None]) * weight, 0.0) + self.stream.now[:, None]
        text = f"the {best:.0%} of the requests with the smallest predicted gap" if best else "no share passes"
        row = self._row(
            "request", text, moved[self.stream.rows], scaled + self._router_usd(ROUTER_PER_CPU_S), loss,
            verified=best > 0, note=f"dollars of {int(known.sum()):,} labelled requests taken for all",
        )  # fmt: skip
        return replace(row, cheap_share=best)

    def cascade(self, traffic: Traffic, good: dict[int, float]) -> PolicyRow:
        """First the candidate, then today's model where a check that is never wrong refuses the answer (best case)."""
        stream = self.stream
        failed = np.array([1 - good.get(int(group), np.nan) for group in traffic.group[stream.rows]])
        first = stream.cheap + stream.check[:, None]
        least = float(first[:, 1].sum()) / max(float(stream.now.sum()), 1e-300)
        text = "the candidate first, today's model where a check refuses"
        if np.isnan(failed).any():
            return _blank("cascade", text, f"pays if the check accepts {least:.0%} of the answers or more")
        usd = first + failed[:, None] * stream.now[:, None]
        loss = Estimate(value=0, low=0, high=0, unit="points", basis="assumed", note="if the check is never wrong")
        note = f"best case: no wrong check; failed first attempts add to latency; pays from {least:.0%} accepted on"
        every = np.ones(len(stream.rows), np.bool_)
        row = self._row("cascade", text, every, usd, loss, note=note)
        return replace(row, cheap_share=float(1 - failed.mean()))

    def _split(self, moved: Mask) -> Floats:
        """(n, 3) USD with the requests `moved`, at the high end without their cached tokens."""
        cheap = self.stream.cheap.copy()
        cheap[:, 2] = np.maximum(cheap[:, 2], self.stream.uncached)
        return np.where(moved[:, None], cheap, self.stream.now[:, None])

    def _router_usd(self, per_cpu_s: int) -> float:
        return CPU_USD_PER_HOUR / SECONDS_PER_HOUR / per_cpu_s

    def _loss(self, evidence: Evidence, moved: Mask, wider: float) -> Estimate:
        """Points lost over all labelled requests when those `moved` go to the cheap model.

        A lost and a won answer are added for the spread (Agresti and Min 2005); `high` is the one-sided 95 % bound.
        """
        lost = np.where(moved, evidence.gap, 0.0)
        n = len(lost)
        if not moved.any():
            return unknown("points", "no labelled request of these levels")
        spread = float(np.concatenate([lost, [1.0, -1.0]]).std(ddof=1)) / (n + 2) ** 0.5
        value = float(lost.mean())
        return Estimate(
            value=100 * value, low=100 * (value - wider * Z_ONE_SIDED * spread),
            high=100 * (value + wider * Z_ONE_SIDED * spread), level=0.9, unit="points", basis="measured",
            note="ends are one-sided 95 % bounds",
        )  # fmt: skip

    def _row(
        self, policy: Policy, text: str, moved: Mask, usd: Floats, loss: Estimate, *, verified: bool = False,
        note: str = "",
    ) -> PolicyRow:  # fmt: skip
        """`usd`: (n, 3) what all requests of the stream cost under the policy; those not `moved` as today."""
        if policy == "site":
            usd = np.where(moved[:, None], usd, self.stream.now[:, None])
        saved = self.stream.now[:, None] - usd
        return PolicyRow(
            policy=policy, setting=text, cheap_share=float(moved.mean()), cost_usd=ranged(usd.sum(axis=0)),
            saving_usd=ranged(saved.sum(axis=0)[::-1]), saving_usd_month=self._monthly(saved), loss_points=loss,
            verified=verified, note=note,
        )  # fmt: skip

    def _monthly(self, saved: Floats) -> Estimate:
        """Expected, with the widest of both ends of the output ratio."""
        columns, rows = self.traffic.columns, self.stream.rows
        hour = np.where(columns["has_time"][rows], columns["time_us"][rows] // (SECONDS_PER_HOUR * 1_000_000), -1)
        hours, of = np.unique(hour, return_inverse=True)
        ends = [
            self.month.estimate(hours, np.rint(np.bincount(of, each) * NANOS_PER_USD).astype(np.int64), "estimated")
            for each in saved.T
        ]
        low, middle, high = ends[2].low, ends[1], ends[0].high
        if middle.value is None or low is None or high is None:
            return middle
        return Estimate(
            value=middle.value, low=low, high=high, unit=middle.unit, basis="estimated",
            note=f"range: output ratio and days; {middle.note}",
        )  # fmt: skip


def ranged(usd: Floats, basis: Basis = "estimated") -> Estimate:
    """Of (3,) low, expected, high."""
    low, value, high = (float(each) for each in usd)
    return Estimate(
        value=value, low=min(low, value), high=max(high, value), unit="USD", basis=basis, note="output ratio"
    )


def _blank(policy: Policy, setting: str, why: str) -> PolicyRow:
    nothing = unknown("USD", why)
    return PolicyRow(
        policy=policy, setting=setting, cheap_share=None, cost_usd=nothing, saving_usd=nothing,
        saving_usd_month=unknown("USD/month", why), loss_points=unknown("points", why), verified=False, note=why,
    )  # fmt: skip
