"""Labelled pairs -> what a router is worth on them, as a document; from a file, or from the labels of a log."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.results import Estimate, unknown
from costplan.results.route import Baselines, CurvePoint, DollarAxis, RoutePairs
from costplan.route.features import embedding, statistics
from costplan.routing.decide import Z_TWO_SIDED, labels_needed
from costplan.routing.known import score_of
from costplan.routing.metrics import Band
from costplan.routing.verdict import ROUTES, WIDER, Axis, Judged, Pairs, judge
from costplan.rowfile import read_rows

Floats = NDArray[np.float64]
_HINT = '{"prompt": "...", "cheap_score": 0, "strong_score": 1}, one object a line; scores from 0 to 1'
_POINTS = 20
_FINEST = 0.02
_METHOD = (
    "ridge regression of the signed gap on text statistics, complexity rules, static embedding and groups, a penalty "
    "per block by marginal likelihood on the training folds; 5-fold; bootstrap by prompt, intervals widened "
    f"{WIDER:g} times since each pair of items meets in two folds"
)


def judge_pairs(path: Path, seed: int) -> RoutePairs:
    """Raises CostplanError for a line that is no pair, with its number, and for a file without any."""
    texts: list[str] = []
    numbers: list[tuple[float, float, float, float]] = []
    groups: list[str] = []
    for place, row in read_rows(path, _HINT):
        prompt = row.get("prompt")
        if not isinstance(prompt, str):
            raise CostplanError(f"{place}: no prompt", hint=_HINT)
        texts.append(prompt)
        usd = [_dollars(row.get(name), f"{place}: {name}") for name in ("cheap_usd", "strong_usd")]
        scores = [score_of(row.get(name), f"{place}: {name}", _HINT) for name in ("cheap_score", "strong_score")]
        numbers.append((scores[0], scores[1], usd[0], usd[1]))
        groups.append("" if row.get("group") is None else str(row["group"]))
    if not texts:
        raise CostplanError(f"{path}: no labelled pair in it", hint=_HINT)
    columns = np.array(numbers).T
    dollars = columns[2:]
    unpriced = int(np.isnan(dollars).any(axis=0).sum())
    pairs = pairs_of(texts, columns[0], columns[1], groups, None if unpriced else dollars)
    document = document_of(pairs, judge(pairs, seed), len(set(groups)))
    if 0 < unpriced < len(texts):
        note = f"{unpriced:,} of {len(texts):,} pairs carry no costs: no dollar axis"
        document = replace(document, warnings=[*document.warnings, note])
    return document


def _dollars(value: Any, place: str) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        usd = float(value)
    except (TypeError, ValueError):
        usd = -1.0
    if not 0 <= usd < 1e9:
        raise CostplanError(f"{place}: not an amount in USD", hint="leave it out where it is not known")
    return usd


def pairs_of(
    texts: Sequence[str], cheap: Floats, strong: Floats, groups: Sequence[str], usd: Floats | None = None
) -> Pairs:
    """With the features of the texts. `usd`: (2, n) dollars of the cheap and the strong model."""
    group = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)[1]
    return Pairs(
        cheap=cheap, strong=strong, key=_numbers(texts), chars=np.array([len(text) for text in texts], np.int64),
        blocks=[statistics(texts), embedding(texts)], group=group if group.any() else None,
        cheap_usd=None if usd is None else usd[0], strong_usd=None if usd is None else usd[1],
    )  # fmt: skip


def _numbers(texts: Sequence[str]) -> NDArray[np.int64]:
    """Equal for equal texts, in order of first appearance."""
    number: dict[str, int] = {}
    return np.array([number.setdefault(text, len(number)) for text in texts], np.int64)


def document_of(pairs: Pairs, found: Judged, groups: int) -> RoutePairs:
    """All that was found, rounded nowhere."""
    gap, n = pairs.gap, len(pairs.gap)
    spread = float(np.sqrt((float((gap**2).sum()) + 2) / (n + 2) - float(gap.mean()) ** 2 * n / (n + 2)))
    half = 100 * Z_TWO_SIDED * spread / n**0.5
    mean = 100 * float(gap.mean())
    tier = "T2" if found.verdict == ROUTES else "T1" if groups > 1 else "T0"
    cheap = float(pairs.cheap.mean())
    return RoutePairs(
        verdict=found.verdict, reason=found.reason, tier=tier, n=n, prompts=len(np.unique(pairs.key)), groups=groups,
        cheap_score=cheap, strong_score=float(pairs.strong.mean()),
        gap_points=Estimate(
            value=mean, low=mean - half, high=mean + half, level=0.95, unit="points", basis="measured",
        ),
        wins=float((gap > 0).mean()), losses=float((gap < 0).mean()),
        apgr=_apgr(found.share.apgr, "out of fold"), baselines=_baselines(found.share),
        over_length=_apgr(found.share.over_length, "APGR less that of length alone"),
        slices_apgr=unknown("APGR", "no groups, or too few labels") if found.slices is None else _apgr(found.slices),
        cpt50=_needed(found.needed[0]), cpt80=_needed(found.needed[1]), aiq=found.share.aiq,
        aiq_random=found.share.aiq_random,
        usd=None if found.usd is None else DollarAxis(
            apgr=_apgr(found.usd.apgr, "out of fold"), baselines=_baselines(found.usd),
            over_length=_apgr(found.usd.over_length), aiq=found.usd.aiq, aiq_random=found.usd.aiq_random,
        ),
        curve=_points(found, cheap, pairs.extra is not None),
        further_labels=max(0, labels_needed(spread, _FINEST) - n), method=_METHOD,
        warnings=_warnings(found, mean - half),
    )  # fmt: skip


def _apgr(band: Band, note: str = "") -> Estimate:
    """Ends that the labels leave open are null."""
    value, low, high = (each if np.isfinite(each) else None for each in (band.value, band.low, band.high))
    if value is None:
        note = "the strong model is no better on the whole: there is no gap to recover"
    elif low is None or high is None:
        note = "; ".join(filter(None, [note, "the mean gap may be zero, which leaves an end open"]))
    return Estimate(value=value, low=low, high=high, level=0.95, unit="APGR", basis="measured", note=note)


def _needed(band: Band) -> Estimate:
    if not np.isfinite(band.value):
        return unknown("share", "the strong model is no better on the whole: there is no gap to recover")
    return Estimate(value=band.value, low=band.low, high=band.high, level=0.95, unit="share", basis="measured")


def _baselines(axis: Axis) -> Baselines:
    chance = axis.random
    ends = [end if np.isfinite(end) else None for end in (chance.low, chance.high)]
    note = "95 % of random orders of these pairs lie within"
    return Baselines(
        random=Estimate(value=0.5, low=ends[0], high=ends[1], level=0.95, unit="APGR", basis="simulated", note=note),
        length=_apgr(axis.length, "longest prompt first"),
    )  # fmt: skip


def _points(found: Judged, cheap: float, priced: bool) -> list[CurvePoint]:
    curve = found.curve
    total = float(curve.gap[-1])
    rows: list[CurvePoint] = []
    for step in range(_POINTS + 1):
        share = step / _POINTS
        gained = float(np.interp(share, curve.share, curve.gap))
        rows.append(CurvePoint(
            strong_share=share, usd_share=float(np.interp(share, curve.share, curve.usd_share)) if priced else None,
            pgr=gained / total if total > 0 else None, quality=cheap + gained, random_quality=cheap + share * total,
        ))  # fmt: skip
    return rows


def _warnings(found: Judged, low: float) -> list[str]:
    notes: list[str] = []
    if low <= 0:
        notes.append("the strong model is not shown to be better on the whole: the cheap one may do for all requests")
    if found.verdict == ROUTES and found.share.over_length.low <= 0:
        notes.append("the router is not shown to beat sending the longest prompts to the strong model")
    if found.usd is not None and found.verdict == ROUTES and found.usd.apgr.low <= 0.5:
        notes.append("on the dollar axis the router is not shown to beat a random order")
    return notes


def pairs_left(half: float, spread: float) -> int:
    """Pairs in a round number for a half-width of `half` points."""
    return 50 * ceil(labels_needed(spread, half / 100) / 50)
