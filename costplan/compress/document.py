"""From what requests lose to the document; it reads no log and no text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.compress.money import Floats, Worth
from costplan.compress.read import Requests
from costplan.compress.tell import NOTES, WHAT, assumptions, next_step, warnings
from costplan.compress.work import MEASURED, Found, Options
from costplan.compression.saved import LOSSLESS, RUNGS, STRUCTURAL
from costplan.costing import NO_HOUR
from costplan.month import Month, month_of
from costplan.results import Basis, Estimate, exact, unknown
from costplan.results.compress import Compress, Example, RoleRow, RungRow, SiteRow, UnusedContext
from costplan.settings import CompressSettings
from costplan.similarity.intervals import hit_interval
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

DRAWS = 999
_RISKS = ("none", "low", "medium", "medium", "high")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """All that was found: for the n requests, and for the k that the lossy rung was tried on."""

    requests: Requests
    settings: CompressSettings
    origins: dict[str, str]
    options: Options
    found: Found
    worth: Worth
    inexact: NDArray[np.bool_]
    """(n,) requests of models whose tokenizer is not known here."""
    sample: NDArray[np.int64]
    """(k,) numbers of requests."""
    tried: Worth
    """(k, 5)"""
    lossy: Found

    @property
    def rungs(self) -> list[int]:
        return [index for index, rung in enumerate(RUNGS) if rung in self.options.rungs]


def document_of(case: Case) -> Compress:
    """The document."""
    requests, columns = case.requests, case.requests.columns
    weight = columns["weight"]
    input_nanos = columns["parts"][:, :3].sum(axis=1)
    timed = columns["has_time"]
    time = columns["time_us"][timed]
    month = month_of(
        int(time.min()) if len(time) else None, int(time.max()) if len(time) else None, requests=requests.calls,
        month_requests=case.settings.month_requests, mixed_clocks=len(np.unique(columns["relative"][timed])) > 1,
    )  # fmt: skip
    rows = _rows(case, month)
    counted = [index for index in case.rungs if RUNGS[index] in LOSSLESS]
    headline = case.worth.net[:, counted].sum(axis=1)
    inexact = float((columns["input_tokens"] * weight)[case.inexact].sum())
    tokens = float((columns["input_tokens"] * weight).sum())
    usd = float(headline.sum()) / NANOS_PER_USD
    document = Compress(
        inputs=requests.log.inputs, requests=requests.settled, looked_at=requests.n, left_out=requests.left_out,
        unpriced=int((~columns["priced"]).sum()), cost_usd=requests.total_nanos / NANOS_PER_USD,
        input_usd=int(input_nanos.sum()) / NANOS_PER_USD, input_tokens=round(tokens),
        cache_read_tokens=round(float((columns["cache_read_tokens"] * weight).sum())),
        estimated_token_share=inexact / tokens,
        span_days=int(time.max() - time.min()) / MICROS_PER_SECOND / SECONDS_PER_DAY if len(time) else None,
        keep=case.options.keep, roles=sorted(case.options.roles), sampled=len(case.sample), headline_usd=usd,
        headline_share=usd * NANOS_PER_USD / requests.total_nanos if requests.total_nanos else 0.0,
        headline_usd_month=_month(case, month, headline, _basis(case, 0)), rungs=rows,
        by_call_site=_sites(case, input_nanos, counted), by_role=_roles(case),
        unused_context=_unused(case), examples=_examples(case), next_step="",
        assumptions=assumptions(case.settings, case.origins, case.options.keep),
    )  # fmt: skip
    return replace(document, next_step=next_step(document), warnings=warnings(document, (weight != 1).any()))


def _rows(case: Case, month: Month) -> list[RungRow]:
    columns = case.requests.columns
    total = float((columns["input_tokens"] * columns["weight"]).sum())
    rows: list[RungRow] = []
    kept, cumulative = 1.0, 0.0
    for index in case.rungs:
        row = _row(case, month, index) if RUNGS[index] in MEASURED else _tried(case, month, index, total)
        kept -= (row.saved_tokens.value or 0.0) / total
        cumulative += row.saved_usd.value or 0.0
        rows.append(replace(row, kept_share=kept, cumulative_usd=cumulative))
    return rows


def _row(case: Case, month: Month, index: int) -> RungRow:
    """A rung that every request climbed: what it saves on this log is known, what it will save is not."""
    columns, basis = case.requests.columns, _basis(case, index)
    tokens, net = case.worth.tokens[:, index], case.worth.net[:, index]
    size = columns["input_tokens"] * columns["weight"]
    share = float(tokens.sum() / size.sum())
    spread = hit_interval(
        np.clip(tokens / size, 0.0, 1.0), size.astype(np.float64), columns["time_us"], columns["user"],
        case.settings.seed,
    )  # fmt: skip
    low, high = (spread.low, spread.high) if tokens.any() else (0.0, 0.0)
    touched = int((tokens > 0).sum())
    return RungRow(
        rung=RUNGS[index], what=WHAT[index], risk=_RISKS[index], headline=RUNGS[index] in LOSSLESS, basis=basis,
        touched=touched, touched_share=touched / case.requests.n,
        saved_tokens=exact(round(float(tokens.sum())), "tokens", basis),
        saved_share=Estimate(
            value=share, low=min(low, share), high=max(high, share), level=0.95, unit="share", basis=basis
        ),
        kept_share=0.0, saved_usd=exact(float(net.sum()) / NANOS_PER_USD, "USD", basis),
        lost_cache_usd=float(case.worth.lost[:, index].sum()) / NANOS_PER_USD, cumulative_usd=0.0,
        saved_usd_month=_month(case, month, net, basis), note=NOTES[index],
    )  # fmt: skip


def _tried(case: Case, month: Month, index: int, total: float) -> RungRow:
    """The lossy rung: shares of a sample, carried over to all requests (ratio estimates, Cochran 1977, ch. 6)."""
    columns = {name: column[case.sample] for name, column in case.requests.columns.items()}
    all_nanos = case.requests.columns["parts"][:, :3].sum(axis=1)
    size = (columns["input_tokens"] * columns["weight"]).astype(np.float64)
    spent = columns["parts"][:, :3].sum(axis=1).astype(np.float64)
    tokens, net = case.tried.tokens[:, index], case.tried.net[:, index]
    share = _ratio(tokens, size, "share", case)
    of_usd = _ratio(net, spent, "share", case)
    scale = float(all_nanos.sum()) / NANOS_PER_USD
    kept = np.array(case.lossy.kept, np.float64).reshape(-1, 8)
    months = _month(case, month, all_nanos * (of_usd.value or 0.0), "simulated")
    return RungRow(
        rung=RUNGS[index], what=WHAT[index], risk=_RISKS[index], headline=False, basis="simulated",
        touched=round(float((tokens > 0).mean()) * case.requests.n), touched_share=float((tokens > 0).mean()),
        saved_tokens=_times(share, total, "tokens"), saved_share=share, kept_share=0.0,
        saved_usd=_times(of_usd, scale, "USD"),
        lost_cache_usd=float(case.tried.lost[:, index].sum() / max(1.0, spent.sum())) * scale, cumulative_usd=0.0,
        saved_usd_month=_wider(months, of_usd),
        numbers_kept=_ratio(kept[:, 1], kept[:, 0], "share", case), 
        names_kept=_ratio(kept[:, 3], kept[:, 2], "share", case), note=NOTES[index],
    )  # fmt: skip


def _ratio(part: Floats, whole: Floats, unit: str, case: Case) -> Estimate:
    """Sum of parts by sum of wholes, with a bootstrap over the sampled requests; exact where all were tried."""
    if not whole.sum() > 0:
        return unknown(unit, "nothing of the kind in the sample")
    value = float(part.sum() / whole.sum())
    if len(part) == case.requests.n:
        return exact(value, unit, "simulated")
    draw = np.random.default_rng(case.settings.seed).multinomial(len(part), np.full(len(part), 1 / len(part)), DRAWS)
    wholes = draw @ whole
    drawn = (draw @ part)[wholes > 0] / wholes[wholes > 0]
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return Estimate(value=value, low=min(low, value), high=max(high, value), level=0.95, unit=unit, basis="simulated")


def _times(share: Estimate, scale: float, unit: str) -> Estimate:
    if share.value is None or share.low is None or share.high is None:
        return replace(share, unit=unit)
    return replace(share, value=share.value * scale, low=share.low * scale, high=share.high * scale, unit=unit)


def _wider(month: Estimate, share: Estimate) -> Estimate:
    """The month's interval widened by what is not known of the share: relative half widths add up."""
    if not month.value or not share.value or month.low is None or month.high is None:
        return month
    low, high = (share.low or 0.0) / share.value - 1, (share.high or 0.0) / share.value - 1
    ends = sorted((month.low + month.value * low, month.high + month.value * high))
    return replace(month, low=min(ends[0], month.value), high=max(ends[1], month.value))


def _basis(case: Case, index: int) -> Basis:
    if RUNGS[index] in STRUCTURAL[1:]:
        return "simulated"
    return "estimated" if case.inexact.any() else "measured"


def _month(case: Case, month: Month, nanos: NDArray[Any], basis: Basis) -> Estimate:
    columns = case.requests.columns
    hour = np.where(columns["has_time"], columns["time_us"] // (SECONDS_PER_HOUR * MICROS_PER_SECOND), NO_HOUR)
    hours, of = np.unique(hour, return_inverse=True)
    return month.estimate(hours, np.rint(np.bincount(of, nanos, len(hours))).astype(np.int64), basis)


def _sites(case: Case, input_nanos: NDArray[np.int64], counted: list[int]) -> list[SiteRow]:
    columns, worth = case.requests.columns, case.worth
    keys, of = np.unique(columns["site"], return_inverse=True)
    n = len(keys)
    requests = np.bincount(of, minlength=n)
    tokens = np.bincount(of, columns["input_tokens"] * columns["weight"], n)
    usd = np.bincount(of, input_nanos, n) / NANOS_PER_USD
    net = np.stack([np.bincount(of, worth.net[:, index], n) / NANOS_PER_USD for index in range(len(RUNGS))], axis=1)
    touched = np.bincount(of, (worth.tokens[:, counted] > 0).any(axis=1), n)
    rows = [
        SiteRow(
            call_site=case.requests.sites[int(keys[site])], requests=int(requests[site]),
            input_tokens=round(float(tokens[site])), input_usd=float(usd[site]),
            touched_share=float(touched[site] / requests[site]), headline_usd=float(net[site, counted].sum()),
            saved_usd={RUNGS[index]: float(net[site, index]) for index in case.rungs if RUNGS[index] in MEASURED},
        )
        for site in range(n)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row.headline_usd, -row.input_usd, row.call_site))


def _roles(case: Case) -> list[RoleRow]:
    chars = case.found.chars
    return [
        RoleRow(
            role=role, rewritten=role in case.options.roles, text_share=chars[role] / max(1, chars.total()),
            saved_tokens={
                RUNGS[index]: case.found.by_role[RUNGS[index], role]
                for index in case.rungs
                if RUNGS[index] in MEASURED
            },
        )
        for role in sorted(chars, key=lambda role: (-chars[role], role))
    ]  # fmt: skip


def _unused(case: Case) -> UnusedContext | None:
    kept = np.array(case.lossy.kept, np.float64).reshape(-1, 8)
    with_context = kept[:, 4] > 0
    if not with_context.any():
        return None
    return UnusedContext(
        requests=int(with_context.sum()), paragraphs=int(kept[:, 4].sum()), unused=int(kept[:, 5].sum()),
        unused_token_share=_ratio(kept[:, 7], kept[:, 6], "share", case),
        note="an upper bound: an answer in words of its own leaves no trace",
    )  # fmt: skip


def _examples(case: Case) -> list[Example]:
    found = case.found.examples | {rung: each for rung, each in case.lossy.examples.items() if rung == "lossy"}
    shown = case.settings.show_text
    return [
        Example(
            rung=rung, request=found[rung][1], tokens=found[rung][0], before=found[rung][2] if shown else None,
            after=found[rung][3] if shown else None,
        )
        for rung in RUNGS
        if rung in found
    ]  # fmt: skip
