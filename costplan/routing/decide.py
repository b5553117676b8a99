"""Which model each call site gets: what is known of the quality lost, against what the user allows; no text, no I/O.

Without quality the break-even gap alone is known. A good answer costs (c + P (1 - q)) / q where a share q is good, each
answer costs c and each bad one P on top. That is the same for both models where q_cheap / q_strong = (c + P) / (C + P),
so the cheap one may lose the share (C - c) / (C + P) of the good answers before its good answers cost more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from costplan.routing.candidates import Candidate

Z_ONE_SIDED = 1.6448536269514722
Z_TWO_SIDED = 1.959963984540054
ANY_SITE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean of n scores from 0 to 1; `sd` None: the most it can be for right or wrong, sqrt(q (1 - q))."""

    mean: float
    n: int
    sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Score of the strong model minus that of the cheap one, a share: positive is worse."""

    value: float
    low: float
    high: float
    """One-sided 95 % bounds each."""
    n: int
    spread: float
    """Standard deviation of one pair, for planning."""
    where: str
    """Call site that it was measured at, or `*`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What is known: scores of models, and losses measured on pairs, by (call site or `*`, model)."""

    scores: Mapping[tuple[str, str], Score] = field(default_factory=dict[tuple[str, str], Score])
    losses: Mapping[tuple[str, str, str], Loss] = field(default_factory=dict[tuple[str, str, str], Loss])
    """By (call site or `*`, strong model, cheap model)."""

    def loss(self, site: str, strong: str, cheap: str) -> Loss | None:
        """At the call site itself, else over all of them; None: nothing is known."""
        for where in (site, ANY_SITE):
            paired = self.losses.get((where, strong, cheap))
            if paired is not None:
                return paired
            one, other = self.scores.get((where, strong)), self.scores.get((where, cheap))
            if one is not None and other is not None:
                return unpaired_loss(one, other, where)
        return None

    def score(self, site: str, model: str) -> Score | None:
        """Of one model, at the call site itself, else over all of them."""
        return self.scores.get((site, model), self.scores.get((ANY_SITE, model)))

    @property
    def models(self) -> list[str]:
        """Every model that something is known of."""
        compared = {model for _, *pair in self.losses for model in pair}
        return sorted({model for _, model in self.scores} | compared)

    @property
    def known(self) -> bool:
        """Whether anything is."""
        return bool(self.scores or self.losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A candidate at one call site, for the requests that it can take."""

    candidate: Candidate
    share: float
    """Of the site's requests."""
    now_usd: float
    """What these cost today; `usd` what they would cost, at the middle and both ends of the output ratio."""
    usd: float
    usd_low: float
    usd_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Of one call site."""

    offer: int | None
    """Position of the offer to take now; None: stay."""
    verified: bool
    """The upper bound of its loss is within what is allowed."""
    potential: int | None
    """Position of the one that would save most if its quality were shown; None: there is none, or it is decided."""
    split: int | None
    """Where there is neither: position of the one that saves most, of those measured to lose too much to take all."""
    break_even_gap: float | None
    """Share of good answers that the offer told (the decided, else the potential one) may lose before it costs more per
    good answer."""
    loss: Loss | None
    """Of that offer, where known."""
    note: str


def decide(
    site: str, strong: str, offers: Sequence[Offer], quality: Quality | None, *, max_loss: float,
    penalty_usd: float = 0.0, requests: float = 1.0,
) -> Decision:  # fmt: skip
    """The cheapest offer whose loss is shown to be at most `max_loss` (a share), and the best of the others.

    Args:
        site: name of the call site; `strong`: the model that answers there now.
        offers: as many candidates as there are, in any order.
        penalty_usd: what a bad answer costs beside its price.
        requests: of the site, which an offer takes its share of.
    """
    best: tuple[float, int] | None = None
    hoped: tuple[float, int] | None = None
    lossy: tuple[float, int] | None = None
    known: list[Loss | None] = []
    for index, offer in enumerate(offers):
        loss = None if quality is None else quality.loss(site, strong, offer.candidate.model)
        known.append(loss)
        saved = offer.now_usd - offer.usd
        if saved <= 0 or offer.now_usd <= offer.usd_high:
            continue
        if loss is not None and loss.high <= max_loss:
            best = max(best or (0.0, -1), (saved, index))
        elif loss is None or loss.value <= max_loss:
            hoped = max(hoped or (0.0, -1), (saved, index))
        else:
            lossy = max(lossy or (0.0, -1), (saved, index))
    if hoped is not None and best is not None and hoped[0] <= best[0]:
        hoped = None
    told = next((each for each in (best, hoped, lossy) if each is not None), None)
    offer = None if told is None else offers[told[1]]
    loss = None if told is None else known[told[1]]
    gap = None if offer is None else break_even_gap(
        offer.now_usd, offer.usd, penalty_usd * requests * offer.share
    )  # fmt: skip
    return Decision(
        offer=None if best is None else best[1],
        verified=best is not None,
        potential=None if hoped is None else hoped[1],
        split=lossy[1] if lossy is not None and told is lossy else None,
        break_even_gap=gap,
        loss=loss,
        note=_note(offers, known, best is not None, loss, max_loss),
    )


def break_even_gap(now_usd: float, usd: float, penalty_usd: float = 0.0) -> float:
    """(C - c) / (C + P), all for the same requests; see the formula at the top. 0 where nothing is saved."""
    return max(0.0, (now_usd - usd) / (now_usd + penalty_usd)) if now_usd > 0 else 0.0


def _note(offers: Sequence[Offer], known: list[Loss | None], best: bool, loss: Loss | None, max_loss: float) -> str:
    if loss is not None:
        where = f"n {loss.n:,}" + (", all call sites together" if loss.where == ANY_SITE else "")
        if best:
            return f"loses at most {100 * loss.high:.1f} points (95%, {where})"
        return f"loses {100 * loss.value:.1f} points, at most {100 * loss.high:.1f} (95%, {where})"
    measured = sum(each is not None and each.value > max_loss for each in known)
    lossy = f"{measured} that was measured loses more than {100 * max_loss:g} points" if measured else ""
    if any(each is None and offer.now_usd > offer.usd_high for each, offer in zip(known, offers, strict=True)):
        return "nothing says how good its answers are" + (f"; {lossy}" if lossy else "")
    if lossy:
        return lossy
    return "no candidate is cheaper on this traffic" if offers else "no cheaper model can take its requests"


def unpaired_loss(strong: Score, cheap: Score, where: str = ANY_SITE) -> Loss:
    """Two means of separate samples: sd of the difference sqrt(s1^2/n1 + s2^2/n2).

    Two scores of one half, a right and a wrong answer, are added to each sample (Agresti and Coull 1998): without them
    a perfect score of few would have no spread.
    """
    value = strong.mean - cheap.mean
    variances: list[float] = []
    for each in (strong, cheap):
        n = each.n + 4
        mean = (each.n * each.mean + 2) / n
        spread = each.sd if each.sd is not None else sqrt(mean * (1 - mean))
        variances.append(max(spread, 1 / n) ** 2 / each.n)
    half = Z_ONE_SIDED * sqrt(sum(variances))
    n = min(strong.n, cheap.n)
    return Loss(
        value=value, low=value - half, high=value + half, n=n, spread=sqrt(sum(variances) * n), where=where
    )  # fmt: skip


def paired_loss(strong: NDArray[np.float64], cheap: NDArray[np.float64], where: str = ANY_SITE) -> Loss:
    """Both models on the same n >= 1 items: one item lost in full and one won are added for the bounds.

    Agresti and Min, Statistics in Medicine 24 (2005) 729-740: the Wald interval of paired proportions with these two
    keeps its level for small n; the same serves scores between 0 and 1.
    """
    gap = np.concatenate([strong - cheap, [1.0, -1.0]])
    value, n = float((strong - cheap).mean()), len(strong)
    spread = float(gap.std(ddof=1))
    half = Z_ONE_SIDED * spread / sqrt(n + 2)
    middle = float(gap.mean())
    return Loss(
        value=value, low=min(middle - half, value), high=max(middle + half, value), n=n, spread=spread, where=where
    )  # fmt: skip


def half_width(spread: float, n: int) -> float:
    """95 % half-width of a mean gap over n pairs: 1.96 sd / sqrt(n)."""
    return Z_TWO_SIDED * spread / sqrt(n)


def labels_needed(spread: float, half: float) -> int:
    """Pairs to label for a 95 % half-width of `half`: (1.96 sd / half)^2."""
    return ceil((Z_TWO_SIDED * spread / half) ** 2)


def gap_spread(strong_wins: float, weak_wins: float) -> float:
    """Paired sd of right-or-wrong gaps: sqrt(p_sw + p_ws - G^2), G = p_sw - p_ws."""
    return sqrt(max(0.0, strong_wins + weak_wins - (strong_wins - weak_wins) ** 2))
