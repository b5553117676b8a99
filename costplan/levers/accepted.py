"""What an accepted answer costs, by the scores that the user knows; which model should answer is decided elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

from costplan.levers.routing import Cheaper, Traffic
from costplan.results import Basis, Estimate, unknown
from costplan.routing.decide import ANY_SITE, Quality
from costplan.units import NANOS_PER_USD

UNIT = "USD/1k accepted answers"
_Z = 1.959964
_LEVELS = range(3)
"""Of routing: today's models, those of verified routes, those of all routes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Answers that a score covers, and what they cost."""

    scored: float
    share: float
    """Of all requests: those with a score."""
    usd: float
    """Spend on them; retries and failed calls in proportion."""
    good: tuple[float, ...]
    """By level of routing: how many of them are accepted."""
    error: tuple[float, ...]
    """By level: its standard error."""
    penalty_usd: float
    """What a bad answer costs beside its price."""
    judging_usd: float
    """What it costs to judge an answer."""

    def per_1k(self, routing: int, left: float, basis: Basis, note: str = "") -> Estimate:
        """(spend + judging + penalty x bad) / accepted, for a thousand; `left` is the share of today's spend.

        The interval is that of the scores, each a mean of n (Wald); the error of one is the same for all its answers.
        """
        good, spread = self.good[routing], _Z * self.error[routing]

        def at(accepted: float) -> float:
            accepted = min(self.scored, accepted)
            bad = self.scored - accepted
            return 1000 * (self.usd * left + self.judging_usd * self.scored + self.penalty_usd * bad) / accepted

        told = f"{good / self.scored:.1%} of the answers accepted, by scores of models for {self.share:.0%} of requests"
        return Estimate(
            value=at(good), low=at(good + spread), high=at(good - spread) if good > spread else None, unit=UNIT,
            basis=basis, note=f"{told}; {note}" if note else told,
        )  # fmt: skip


def today_of(found: Accepted | None) -> Estimate:
    """What a thousand accepted answers cost today."""
    if found is None:
        return unknown(UNIT, "needs a score of today's models: --quality")
    return found.per_1k(0, 1.0, "measured")


def accepted_of(
    traffic: Traffic, sites: Mapping[int, str], models: Mapping[int, str], quality: Quality, nanos: int,
    moves: Cheaper | None = None, *, penalty_usd: float = 0.0, judging_usd: float = 0.0,
) -> Accepted | None:  # fmt: skip
    """What the scores say of the log's answers; None where they cover none.

    An answer's chance to be accepted is its model's score at its call site. Answers that no score covers are left out
    with their share of the spend.

    Args:
        traffic: priced calls by call site and price.
        sites: names; models: by price key, its name in the quality table.
        nanos: spend of all calls, those that failed too.
        moves: where routing takes them.
    """
    answers: list[dict[tuple[str, str], float]] = [{} for _ in _LEVELS]
    routes = {} if moves is None else {(site.name, site.model): site.targets for site in moves.sites}
    cost = every = scored = 0.0
    for site, key, (requests, usd, *_) in zip(
        traffic.site.tolist(), traffic.price_key.tolist(), traffic.sums.tolist(), strict=True
    ):
        every += usd
        model = models.get(key, "")
        score = _score(quality, sites[site], model)
        if score is None:
            continue
        cost, scored = cost + usd, scored + requests
        for counted, target in zip(answers, (None, *routes.get((sites[site], model), (None, None))), strict=True):
            where = score if target is None else _score(quality, sites[site], target) or score
            counted[where] = counted.get(where, 0.0) + requests
    good = tuple(sum(n * quality.scores[key].mean for key, n in level.items()) for level in answers)
    if not good[0] or not every:
        return None
    errors = (sum((n * _error(quality, key)) ** 2 for key, n in level.items()) for level in answers)
    return Accepted(
        scored=scored, share=scored / max(1, int(traffic.sums[:, 0].sum())), usd=nanos * (cost / every) / NANOS_PER_USD,
        good=good, error=tuple(sqrt(each) for each in errors),
        penalty_usd=penalty_usd, judging_usd=judging_usd,
    )  # fmt: skip


def _score(quality: Quality, site: str, model: str) -> tuple[str, str] | None:
    """The key of the score of a model at a call site."""
    return next((key for key in ((site, model), (ANY_SITE, model)) if key in quality.scores), None)


def _error(quality: Quality, key: tuple[str, str]) -> float:
    """Standard error of a score; without a standard deviation, the most it can be for right or wrong."""
    score = quality.scores[key]
    deviation = sqrt(score.mean * (1 - score.mean)) if score.sd is None else score.sd
    return deviation / sqrt(score.n)
