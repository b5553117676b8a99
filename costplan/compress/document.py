"""From what requests lose to the document; it reads no log and no text.

What every request climbed is exact for this log. The lossy rung is tried on a sample: ratios of sums (Cochran 1977,
ch. 6) with a percentile bootstrap over the sampled requests, carried over to all of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.compress.money import Floats, Worth
from costplan.compress.read import Requests
from costplan.compress.tell import NOTES, WHAT, assumptions, next_step, warnings
from costplan.compress.work import CONTEXT, MEASURED, NAMES, NUMBERS, PARAGRAPHS, Found, Options
from costplan.compression.saved import LOSSLESS, RUNGS
from costplan.costing import NO_HOUR
from costplan.month import Month, month_of
from costplan.results import Basis, Estimate, exact, unknown
from costplan.results.compress import Compress, Example, RoleRow, RungRow, SiteRow, UnusedContext
from costplan.settings import CompressSettings
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

DRAWS = 999
_RISKS = ("none", "low", "medium", "medium", "high")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tried:
    """What requests lose on their way up the rungs: k rows, of n requests that were tried."""

    number: NDArray[np.int64]
    """(k,) among the requests looked at."""
    n: int
    found: Found
    table: Floats
    """(k, work.WIDTH)"""
    worth: Worth


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """All that was found."""

    requests: Requests
    settings: CompressSettings
    origins: dict[str, str]
    options: Options
    all: Tried
    sample: Tried
    inexact: NDArray[np.bool_]
    """(n,) requests of models whose tokenizer is not known here."""
    month: Month

    @property
    def rungs(self) -> list[int]:
        return [index for index, rung in enumerate(RUNGS) if rung in self.options.rungs]

    def input_nanos(self) -> NDArray[np.int64]:
        """(n,) what the input side cost."""
        return self.requests.columns["parts"][:, :3].sum(axis=1)

    def tokens(self) -> Floats:
        """(n,) input tokens of the calls that each row stands for."""
        return self.requests.columns["input_tokens"] * self.requests.columns["weight"]

    def basis(self, index: int) -> Basis:
        """Of a rung's figures."""
        counted: Basis = "estimated" if self.inexact.any() else "measured"
        return "simulated" if RUNGS[index] in ("tool_results", "lossy") else counted

    def per_month(self, tried: Tried | None, nanos: NDArray[Any], basis: Basis) -> Estimate:
        """A month of nano-dollars by row, or by request."""
        columns = self.requests.columns
        hour = np.where(columns["has_time"], columns["time_us"] // (SECONDS_PER_HOUR * MICROS_PER_SECOND), NO_HOUR)
        hours, of = np.unique(hour, return_inverse=True)
        sums = np.bincount(of if tried is None else of[tried.number], nanos, len(hours))
        return self.month.estimate(hours, np.rint(sums).astype(np.int64), basis)

    def ratio(self, tried: Tried, part: Floats, whole: Floats, basis: Basis) -> Estimate:
        """Sum of parts (k,) by sum of wholes: (k,) of a sample, (n,) where all requests were tried, which is exact."""
        if not whole.sum() > 0:
            return unknown("share", "nothing of the kind in the requests looked at")
        value = float(part.sum() / whole.sum())
        if tried.n == self.requests.n:
            return exact(value, "share", basis)
        rng = np.random.default_rng(self.settings.seed)
        times = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), DRAWS)
        wholes = times @ whole
        low, high = np.quantile((times @ part)[wholes > 0] / wholes[wholes > 0], [0.025, 0.975]).tolist()
        return Estimate(value=value, low=min(low, value), high=max(high, value), level=0.95, unit="share", basis=basis)


def month_for(requests: Requests, settings: CompressSettings) -> Month:
    """Which part of the log makes the month."""
    columns = requests.columns
    timed = columns["has_time"]
    time = columns["time_us"][timed]
    return month_of(
        int(time.min()) if len(time) else None, int(time.max()) if len(time) else None, requests=requests.calls,
        month_requests=settings.month_requests, mixed_clocks=len(np.unique(columns["relative"][timed])) > 1,
    )  # fmt: skip


def document_of(case: Case) -> Compress:
    """The document."""
    requests, columns = case.requests, case.requests.columns
    time, tokens = columns["time_us"][columns["has_time"]], case.tokens()
    counted = [index for index in case.rungs if RUNGS[index] in LOSSLESS]
    headline = case.all.worth.net[:, counted].sum(axis=1)
    document = Compress(
        inputs=requests.log.inputs, requests=requests.settled, looked_at=requests.n, left_out=requests.left_out,
        unpriced=int((~columns["priced"]).sum()), cost_usd=requests.total_nanos / NANOS_PER_USD,
        input_usd=int(case.input_nanos().sum()) / NANOS_PER_USD, input_tokens=round(float(tokens.sum())),
        cache_read_tokens=round(float((columns["cache_read_tokens"] * columns["weight"]).sum())),
        estimated_token_share=float(tokens[case.inexact].sum() / tokens.sum()),
        span_days=int(time.max() - time.min()) / MICROS_PER_SECOND / SECONDS_PER_DAY if len(time) else None,
        keep=case.options.keep, roles=sorted(case.options.roles), sampled=case.sample.n,
        headline_usd=float(headline.sum()) / NANOS_PER_USD,
        headline_share=float(headline.sum()) / max(1, requests.total_nanos),
        headline_usd_month=case.per_month(case.all, headline, case.basis(0)), rungs=_rungs(case),
        by_call_site=_sites(case, counted), by_role=_roles(case), unused_context=_unused(case),
        examples=_examples(case), next_step="",
        assumptions=assumptions(case.settings, case.origins, case.options.keep),
    )  # fmt: skip
    is_sample = bool((columns["weight"] != 1).any())
    return replace(document, next_step=next_step(document), warnings=warnings(document, is_sample))


def _rungs(case: Case) -> list[RungRow]:
    rows: list[RungRow] = []
    kept, cumulative = 1.0, 0.0
    for index in case.rungs:
        row = _rung(case, index)
        kept -= row.saved_share.value or 0.0
        cumulative += max(0.0, row.saved_usd.value or 0.0)
        rows.append(replace(row, kept_share=kept, cumulative_usd=cumulative))
    return rows


def _rung(case: Case, index: int) -> RungRow:
    is_measured = RUNGS[index] in MEASURED
    tried = case.all if is_measured else case.sample
    tokens, net, basis = tried.worth.tokens[:, index], tried.worth.net[:, index], case.basis(index)
    nanos, size = case.input_nanos().astype(np.float64), case.tokens()
    of = slice(None) if is_measured else tried.number
    share, of_usd = case.ratio(tried, tokens, size[of], basis), case.ratio(tried, net, nanos[of], basis)
    if is_measured:
        month = case.per_month(tried, net, basis)
    else:
        month = _wider(case.per_month(None, nanos * (of_usd.value or 0.0), basis), of_usd)
    usd = float(nanos.sum()) / NANOS_PER_USD
    lost = float(tried.worth.lost[:, index].sum() / max(1.0, nanos[of].sum()))
    return RungRow(
        rung=RUNGS[index], what=WHAT[index], risk=_RISKS[index], headline=RUNGS[index] in LOSSLESS, basis=basis,
        touched_share=int((tokens > 0).sum()) / tried.n, saved_tokens=_times(share, float(size.sum()), "tokens"),
        saved_share=share, kept_share=0.0, saved_usd=_times(of_usd, usd, "USD"), lost_cache_usd=lost * usd,
        cumulative_usd=0.0, saved_usd_month=month, note=NOTES[index],
        numbers_kept=None if is_measured else _kept(case, NUMBERS),
        names_kept=None if is_measured else _kept(case, NAMES),
    )  # fmt: skip


def _kept(case: Case, column: int) -> Estimate:
    before, after = case.sample.table[:, column : column + 2].T
    return case.ratio(case.sample, after, before, "measured")


def _times(share: Estimate, scale: float, unit: str) -> Estimate:
    ends = [None if end is None else end * scale for end in (share.value, share.low, share.high)]
    return replace(share, value=ends[0], low=ends[1], high=ends[2], unit=unit)


def _wider(month: Estimate, share: Estimate) -> Estimate:
    """The month's interval widened by what is not known of the share: relative half widths add up."""
    if not month.value or not share.value or month.low is None or month.high is None:
        return month
    low, high = (month.value * (end or 0.0) / share.value - month.value for end in (share.low, share.high))
    return replace(month, low=month.low + min(low, high), high=month.high + max(low, high))


def _sites(case: Case, counted: list[int]) -> list[SiteRow]:
    worth = case.all.worth
    keys, of = np.unique(case.requests.columns["site"], return_inverse=True)

    def by_site(values: NDArray[Any], where: NDArray[Any] = of) -> list[float]:
        return np.bincount(where, values, len(keys)).tolist()

    requests, tokens, usd = by_site(np.ones(len(of))), by_site(case.tokens()), by_site(case.input_nanos())
    row_of = of[case.all.number]
    touched = by_site(np.sign(worth.tokens[:, counted].sum(axis=1)), row_of)
    net = {RUNGS[index]: by_site(worth.net[:, index], row_of) for index in case.rungs if RUNGS[index] in MEASURED}
    rows = [
        SiteRow(
            call_site=case.requests.sites[int(key)], requests=int(requests[site]), input_tokens=round(tokens[site]),
            input_usd=usd[site] / NANOS_PER_USD, touched_share=touched[site] / requests[site],
            saved_usd={rung: nanos[site] / NANOS_PER_USD for rung, nanos in net.items()},
            headline_usd=sum(net[rung][site] for rung in LOSSLESS if rung in net) / NANOS_PER_USD,
        )
        for site, key in enumerate(keys)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row.headline_usd, -row.input_usd, row.call_site))


def _roles(case: Case) -> list[RoleRow]:
    told = case.all.found.by_role
    chars = {role: size for (rung, role), size in told.items() if not rung}
    measured = [RUNGS[index] for index in case.rungs if RUNGS[index] in MEASURED]
    return [
        RoleRow(
            role=role, rewritten=role in case.options.roles, text_share=chars[role] / max(1, sum(chars.values())),
            saved_tokens={rung: told[rung, role] for rung in measured},
        )
        for role in sorted(chars, key=lambda role: (-chars[role], role))
    ]  # fmt: skip


def _unused(case: Case) -> UnusedContext | None:
    table = case.sample.table
    if not table[:, PARAGRAPHS].any():
        return None
    return UnusedContext(
        requests=int((table[:, PARAGRAPHS] > 0).sum()), paragraphs=int(table[:, PARAGRAPHS].sum()),
        unused=int(table[:, PARAGRAPHS + 1].sum()),
        unused_token_share=case.ratio(case.sample, table[:, CONTEXT + 1], table[:, CONTEXT], "estimated"),
        note="an upper bound: an answer in words of its own leaves no trace",
    )  # fmt: skip


def _examples(case: Case) -> list[Example]:
    found = {**case.sample.found.examples, **case.all.found.examples}
    return [
        Example(
            rung=rung, request=found[rung][1], tokens=found[rung][0], before=found[rung][2] or None,
            after=found[rung][3] or None,
        )
        for rung in RUNGS
        if rung in found
    ]  # fmt: skip
