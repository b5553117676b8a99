"""Pairs of scores of a stratum -> its verdict with the evidence; it knows neither files nor prices."""

from collections.abc import Iterable, Sequence

import numpy as np

from costplan.gate.pairs import Pair
from costplan.gate.statistics import Loss, further_samples, paired_loss
from costplan.results import Estimate
from costplan.results.gate import GateVerdict, LevelScores, StratumResult
from costplan.units import plural

MOST_LEFT_OUT_SHARE = 0.02
"""More could hide a loss of the size that is looked for."""
LEAST_ABOVE_CHANCE = 0.2
"""A base that guesses cannot lose anything."""
WORST_FIRST: tuple[GateVerdict, ...] = ("fail", "undecided", "uninformative", "pass")


def judge_stratum(
    stratum: str, pairs: Sequence[Pair], *, margin: float, relative: bool, rng: np.random.Generator
) -> StratumResult:
    """`margin` is a share: of all items, or of the base's score."""
    scored = [pair for pair in pairs if not pair.missing]
    left_out = len(pairs) - len(scored)
    if not scored:
        return StratumResult(
            stratum=stratum, verdict="undecided", reason="no item has two scores", items=0, left_out=left_out,
            base_score=None, candidate_score=None, chance=None, loss=None, method="", wins=0, losses=0, ties=0,
            further_samples=None, levels=[],
        )  # fmt: skip
    base, candidate = np.array([pair.scores for pair in scored]).T
    chance = float(np.mean([pair.chance for pair in scored]))
    loss = paired_loss(base, candidate, relative=relative, rng=rng)
    more = further_samples(loss, len(scored), margin)
    verdict, reason = _verdict(loss, margin, float(base.mean()) - chance, left_out / len(pairs), more)
    return StratumResult(
        stratum=stratum, verdict=verdict, reason=reason, items=len(scored), left_out=left_out,
        base_score=float(base.mean()), candidate_score=float(candidate.mean()), chance=chance,
        loss=_estimate(loss, relative), method=loss.method, wins=int((candidate > base).sum()),
        losses=int((base > candidate).sum()), ties=int((base == candidate).sum()),
        further_samples=more if verdict == "undecided" and left_out / len(pairs) <= MOST_LEFT_OUT_SHARE else None,
        levels=_levels(scored),
    )  # fmt: skip


def _verdict(
    loss: Loss, margin: float, above_chance: float, left_out_share: float, more: int | None
) -> tuple[GateVerdict, str]:
    if above_chance < LEAST_ABOVE_CHANCE - 1e-9:
        least = f"{100 * LEAST_ABOVE_CHANCE:.0f} points"
        return (
            "uninformative",
            f"the base scores {100 * above_chance:.1f} points above chance, under {least}: its tasks are too hard",
        )
    if left_out_share > MOST_LEFT_OUT_SHARE:
        return "undecided", f"{100 * left_out_share:.1f}% of the items are left out, over {MOST_LEFT_OUT_SHARE:.0%}"
    if loss.high <= margin:
        return "pass", "the upper bound of the loss is within the margin"
    if loss.low > margin:
        return "fail", "the lower bound of the loss is over the margin"
    if more is None:
        return "undecided", "the loss is so near the margin that no million samples would decide"
    return "undecided", f"{plural(more, 'further sample')} would decide, 9 times in 10, if the loss stays as observed"


def _estimate(loss: Loss, relative: bool) -> Estimate:
    return Estimate(
        value=100 * loss.value, low=100 * loss.low, high=100 * loss.high, level=0.9,
        unit="percent of the base's score" if relative else "points", basis="measured",
        note="low and high are one-sided 95 % bounds",
    )  # fmt: skip


def _levels(pairs: Sequence[Pair]) -> list[LevelScores]:
    rows: list[LevelScores] = []
    for level in sorted({pair.level for pair in pairs}):
        scores = np.array([pair.scores for pair in pairs if pair.level == level])
        base, candidate = scores.mean(axis=0)
        rows.append(
            LevelScores(level=level, items=len(scores), base_score=float(base), candidate_score=float(candidate))
        )
    return rows


def overall(strata: Iterable[StratumResult]) -> tuple[GateVerdict, str]:
    """The worst verdict, and how many strata have which."""
    found: list[GateVerdict] = [each.verdict for each in strata]
    told = ", ".join(f"{found.count(verdict)} {verdict}" for verdict in WORST_FIRST if verdict in found)
    return next(verdict for verdict in WORST_FIRST if verdict in found), f"{told}; every stratum has to pass"
