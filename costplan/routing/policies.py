"""Four ways of routing compared on the same requests and candidates: what each saves, what it loses, what it rests on.

A policy that sends only part of a call site elsewhere breaks up its prompt cache: the requests it moves are charged as
if nothing were cached, for the upper end of their cost. The router's time and a cascade's checks and failed first
attempts are charged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.month import Month
from costplan.results import Estimate, unknown
from costplan.results.route import Policy, PolicyRow
from costplan.routing.decide import Z_ONE_SIDED
from costplan.routing.verdict import ROUTES, WIDER, Judged
from costplan.units import NANOS_PER_USD, SECONDS_PER_HOUR, plural

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
CPU_USD_PER_HOUR = 0.045
"""One vCPU of a compute instance, on demand (AWS c7i.large, us-east-1, list price, checked 2026-11)."""
RULES_PER_CPU_S, ROUTER_PER_CPU_S = 30_000, 1_500
"""Prompts in a CPU-second: scored by rules, and by statistics and static embedding (benchmarks/routing.py)."""
SHARES = tuple(round(0.05 * step, 2) for step in range(1, 21))
"""Shares of the requests that go to the cheap model, tried from the smallest up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """All n routable requests; what those cost that a candidate is advised for, and fits, with that candidate."""

    group: Ints
    """(n,) number of the (call site, model)."""
    level: NDArray[np.int8]
    """(n,) complexity from 1 up; 0 is not known."""
    hour: Ints
    """(n,) since the epoch; -1 without a time."""
    month: Month
    max_loss: float
    """Points."""
    inside: Mask
    """(n,) a candidate is advised and can take the request; the others stay in every policy."""
    verified: Mask
    whole: Mask
    """All of the call site may move; not where the candidate is measured to lose too much."""
    now: Floats
    cheap: Floats
    """(n, 3) USD at the low, expected and high output ratio; as today outside."""
    uncached: Floats
    check: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """m labelled requests that a candidate is advised for, and what a router makes of them."""

    request: Ints
    """Numbers among the routable requests."""
    groups: Ints
    """Those with a label."""
    gap: Floats
    level: NDArray[np.int8]
    weight: Floats
    """Requests of its (call site, model) that each stands for."""
    judged: Judged


def compare(table: Table, evidence: Evidence | None, good: dict[int, float], site_loss: Estimate) -> list[PolicyRow]:
    """One row per policy; two of `site` where some call sites are verified and others are not.

    Args:
        good: by group, the share of the candidate's answers that are known to be good.
        site_loss: of the sites that are verified, in points.
    """
    if not table.inside.any():
        return []
    return [
        *_by_site(table, site_loss), _by_level(table, evidence), _by_request(table, evidence), _cascade(table, good),
    ]  # fmt: skip


def _by_site(table: Table, loss: Estimate) -> list[PolicyRow]:
    def row(moved: Mask, text: str, loss: Estimate, verified: bool) -> PolicyRow:
        told = f"{plural(len(np.unique(table.group[moved])), 'call site')} {text}"
        usd = np.where(moved[:, None], table.cheap, table.now[:, None])
        return _row(table, "site", told, moved, usd, loss, verified=verified)

    rows = [row(table.verified, "shown to lose little enough", loss, True)] if table.verified.any() else []
    if (table.whole & ~table.verified).any():
        rows.append(row(table.whole, "with a candidate", unknown("points", "needs a test"), False))
    return rows


def _by_level(table: Table, evidence: Evidence | None) -> PolicyRow:
    """Levels are tried from 1 up; the first whose loss is not shown to be within --max-loss ends the test."""
    level = table.level
    most, loss = 0, unknown("points", "no labels; complexity does not predict quality")
    if evidence is not None:
        tried = _largest(table, evidence, list(range(1, 6)), lambda upper: evidence.level <= upper, 1.0)
        most, loss = int(tried[0]), tried[1]
    moved = table.inside & (level > 0) & (level <= (most or 2))
    if evidence is not None:
        moved &= np.isin(table.group, evidence.groups)
    usd = _split(table, moved) + _cpu_usd(table.inside, RULES_PER_CPU_S)
    text = f"levels 1 to {most or 2}" if most != 1 else "level 1"
    return _row(table, "complexity", text, moved, usd, loss, verified=most > 0)


def _by_request(table: Table, evidence: Evidence | None) -> PolicyRow:
    """The largest share, from the smallest up, whose loss on the labelled requests is shown to be small enough.

    The labelled requests of a call site stand for all of them, in dollars as in quality.
    """
    if evidence is None:
        return _blank("request", "none", "needs labels (--labels)")
    if evidence.judged.verdict != ROUTES:
        return _blank("request", "none", f"{evidence.judged.verdict}: falls back to call sites")
    rank = np.argsort(np.argsort(evidence.judged.score, kind="stable"))
    best, loss = _largest(table, evidence, list(SHARES), lambda share: rank < round(share * len(rank)), WIDER)
    moved = np.zeros(len(table.now), np.bool_)
    moved[evidence.request[rank < round(best * len(rank))]] = True
    scale = np.zeros(len(table.now))
    scale[evidence.request] = evidence.weight
    usd = table.now[:, None] + (_split(table, moved) - table.now[:, None]) * scale[:, None]
    usd += _cpu_usd(table.inside, ROUTER_PER_CPU_S)
    text = f"the {best:.0%} of the requests with the smallest predicted gap" if best else "no share passes"
    note = f"{len(rank):,} labelled requests taken for all"
    row = _row(table, "request", text, moved, usd, loss, verified=best > 0, note=note)
    return replace(row, cheap_share=float(scale[moved].sum()) / len(table.now))


def _cascade(table: Table, good: dict[int, float]) -> PolicyRow:
    """First the candidate, then today's model where a check that is never wrong refuses the answer (best case)."""
    inside, now = table.inside, table.now
    first = table.cheap + table.check[:, None]
    least = float(first[inside, 1].sum()) / max(float(now[inside].sum()), 1e-300)
    text = "the candidate first, today's model where a check refuses"
    accepted = np.array([good.get(group, np.nan) for group in range(int(table.group.max()) + 1)])[table.group]
    if np.isnan(accepted[inside]).any():
        return _blank("cascade", text, f"pays if the check accepts {least:.0%} of the answers or more")
    usd = np.where(inside[:, None], first + (1 - accepted[:, None]) * now[:, None], now[:, None])
    loss = Estimate(value=0, low=0, high=0, unit="points", basis="assumed", note="if the check is never wrong")
    note = f"best case: no wrong check; failed first attempts add to latency; pays from {least:.0%} accepted on"
    row = _row(table, "cascade", text, inside, usd, loss, note=note)
    return replace(row, cheap_share=float(accepted[inside].sum()) / len(now))


def _largest(
    table: Table, evidence: Evidence, settings: list[float], moves: Callable[[float], Mask], wider: float
) -> tuple[float, Estimate]:
    """(the last setting before the first whose loss is not shown to be small enough, or 0; its loss, else the first's).

    Settings are in the order in which they move more requests: a fixed order of tests, each at the full 5 % (Maurer,
    Hothorn and Lehmacher 1995).
    """
    best: tuple[float, Estimate] | None = None
    for setting in settings:
        loss = _loss(evidence, moves(setting), wider)
        if loss.high is None or loss.high > table.max_loss:
            return best or (0.0, loss)
        best = setting, loss
    return best or (0.0, unknown("points", "nothing to try"))


def _loss(evidence: Evidence, moved: Mask, wider: float) -> Estimate:
    """Points lost over the requests of the labelled call sites when the labelled ones `moved` go to the cheap model.

    A lost and a won answer are added for the spread (Agresti and Min 2005); `high` is the one-sided 95 % bound.
    """
    lost = np.where(moved, evidence.gap, 0.0) * evidence.weight / evidence.weight.mean()
    n, value = len(lost), float(lost.mean())
    half = wider * Z_ONE_SIDED * float(np.concatenate([lost, [1.0, -1.0]]).std(ddof=1)) / (n + 2) ** 0.5
    return Estimate(
        value=100 * value, low=100 * (value - half), high=100 * (value + half), level=0.9, unit="points",
        basis="measured", note="ends are one-sided 95 % bounds",
    )  # fmt: skip


def _split(table: Table, moved: Mask) -> Floats:
    """(n, 3) USD with the requests `moved`, at the high end without their cached tokens."""
    cheap = table.cheap.copy()
    cheap[:, 2] = np.maximum(cheap[:, 2], table.uncached)
    return np.where(moved[:, None], cheap, table.now[:, None])


def _cpu_usd(scored: Mask, per_cpu_s: int) -> Floats:
    return scored[:, None].astype(np.float64) * (CPU_USD_PER_HOUR / SECONDS_PER_HOUR / per_cpu_s)


def _row(
    table: Table, policy: Policy, text: str, moved: Mask, usd: Floats, loss: Estimate, *, verified: bool = False,
    note: str = "",
) -> PolicyRow:  # fmt: skip
    """`usd`: (n, 3) what all requests cost under the policy."""
    saved = table.now[:, None] - usd
    return PolicyRow(
        policy=policy, setting=text, cheap_share=float(moved.mean()), cost_usd=ranged(usd.sum(axis=0)),
        saving_usd=ranged(saved.sum(axis=0)[::-1]), saving_usd_month=_monthly(table, saved), loss_points=loss,
        verified=verified, note=note,
    )  # fmt: skip


def _monthly(table: Table, saved: Floats) -> Estimate:
    """Expected, with the widest of both ends of the output ratio."""
    hours, of = np.unique(table.hour, return_inverse=True)
    nanos = [np.rint(np.bincount(of, each) * NANOS_PER_USD).astype(np.int64) for each in saved.T]
    most, middle, least = (table.month.estimate(hours, each, "estimated") for each in nanos)
    if middle.value is None or least.low is None or most.high is None:
        return middle
    return Estimate(
        value=middle.value, low=least.low, high=most.high, unit=middle.unit, basis="estimated",
        note=f"range: output ratio and days; {middle.note}",
    )  # fmt: skip


def ranged(usd: Floats) -> Estimate:
    """Of (3,) low, expected, high."""
    low, value, high = (float(each) for each in usd)
    note = "range: output ratio"
    return Estimate(value=value, low=min(low, value), high=max(high, value), unit="USD", basis="estimated", note=note)


def _blank(policy: Policy, setting: str, why: str) -> PolicyRow:
    nothing = unknown("USD", why)
    return PolicyRow(
        policy=policy, setting=setting, cheap_share=None, cost_usd=nothing, saving_usd=nothing,
        saving_usd_month=unknown("USD/month", why), loss_points=unknown("points", why), verified=False, note=why,
    )  # fmt: skip
