"""What an accepted answer costs, by the scores that the user knows; which model should answer is decided elsewhere."""

from collections.abc import Mapping
from math import sqrt

from costplan.levers.routing import Traffic
from costplan.results import Estimate, unknown
from costplan.routing.decide import ANY_SITE, Quality
from costplan.units import NANOS_PER_USD

UNIT = "USD/1k accepted answers"
_Z = 1.959964


def accepted_of(
    traffic: Traffic, sites: Mapping[int, str], models: Mapping[int, str], quality: Quality, nanos: int
) -> Estimate:
    """Spend over accepted answers, a thousand of them.

    An answer's chance to be accepted is its model's score at its call site. Answers that no score covers are left out
    with their share of the spend, in which retries and failed calls are. The interval is that of the scores, each a
    mean of n (Wald); the error of one score is the same for all its answers.

    Args:
        traffic: priced calls by call site and price.
        sites: names; models: by price key, its name in the quality table.
        nanos: spend of all calls, those that failed too.
    """
    answers: dict[tuple[str, str], float] = {}
    cost = every = scored = 0.0
    for site, key, (requests, usd, *_) in zip(
        traffic.site.tolist(), traffic.price_key.tolist(), traffic.sums.tolist(), strict=True
    ):
        every += usd
        name, model = sites[site], models.get(key, "")
        where = name if (name, model) in quality.scores else ANY_SITE
        if (where, model) in quality.scores:
            answers[where, model] = answers.get((where, model), 0.0) + requests
            cost, scored = cost + usd, scored + requests
    accepted = sum(n * quality.scores[key].mean for key, n in answers.items())
    if not accepted or not every:
        return unknown(UNIT, "needs a score of today's models: --quality")
    spread = _Z * sqrt(sum((n * _error(quality, key)) ** 2 for key, n in answers.items()))
    usd = 1000 * nanos * (cost / every) / NANOS_PER_USD
    share = scored / max(1, int(traffic.sums[:, 0].sum()))
    return Estimate(
        value=usd / accepted, low=usd / min(scored, accepted + spread),
        high=usd / (accepted - spread) if accepted > spread else None, unit=UNIT, basis="measured",
        note=f"{accepted / scored:.1%} of the answers accepted, by scores of models for {share:.0%} of the requests",
    )  # fmt: skip


def _error(quality: Quality, key: tuple[str, str]) -> float:
    """Standard error of a score; without a standard deviation, the most it can be for right or wrong."""
    score = quality.scores[key]
    deviation = sqrt(score.mean * (1 - score.mean)) if score.sd is None else score.sd
    return deviation / sqrt(score.n)
