"""Which setting of a semantic cache to recommend, and what it saves net; where the bounds come from is not known here.

Settings are tested one after the other, the strictest first, each at the full 5 %: the first whose one-sided 95 %
upper bound of the wrong share exceeds what is allowed ends the test. The order is fixed before a label is seen. Let the
k-th be the first that is truly above the limit. Whatever rule picks among the settings that passed, it can pick one
above the limit only if the k-th passed too, and that bound lies below its truth in at most 5 % of samples. So the
recommended setting is above the limit in at most 5 % of cases, however many are tried and though one sample of labels
serves them all (a priori ordered hypotheses: Maurer, Hothorn and Lehmacher 1995, in Biometrie in der chemisch-
pharmazeutischen Industrie 6; described in Wiens, Pharmaceutical Statistics 2, 2003, 211-215). It does not hold if the
order or the limit is chosen after the bounds are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of one setting."""

    upper: float
    """One-sided 95 % upper bound of the wrong share of its hits."""
    net_usd: float
    """`net_saving` of the log under it."""


def passed(candidates: Sequence[Candidate], max_wrong: float) -> int:
    """How many, from the first on, have a bound of at most `max_wrong` (a share)."""
    for number, candidate in enumerate(candidates):
        if not candidate.upper <= max_wrong:
            return number
    return len(candidates)


def recommended(candidates: Sequence[Candidate], max_wrong: float) -> int | None:
    """The one with the largest net saving (of equals, the strictest) among those that pass, strictest first.

    None: the strictest does not pass, or none that passes saves anything.
    """
    allowed = candidates[: passed(candidates, max_wrong)]
    best = max(range(len(allowed)), key=lambda number: allowed[number].net_usd, default=None)
    return best if best is not None and allowed[best].net_usd > 0 else None


def net_saving(
    *, saved_usd: float, lookups: float, lookup_usd: float, embeddings: float, embedding_usd: float,
    storage_usd: float, wrong_hits: float, penalty_usd: float,
) -> float:  # fmt: skip
    """US dollars: `saved_usd` by the hits - lookups - embeddings - storage - wrong hits at `penalty_usd` each.

    `lookup_usd`: one search; `embedding_usd`: one text; `storage_usd`: all of it, for the same span as the hits.
    """
    return saved_usd - lookups * lookup_usd - embeddings * embedding_usd - storage_usd - wrong_hits * penalty_usd


def break_even_share(*, overhead_usd: float, hit_usd: float, wrong_share: float, penalty_usd: float) -> float | None:
    """Share of requests that must be hits for the cache to pay: overhead / (hit - wrong share x penalty).

    `overhead_usd`: lookup, embedding and storage per request; `hit_usd`: what one hit saves. Above 1: not even if every
    request were a hit. None: a hit loses money, so no share is enough.
    """
    gain = hit_usd - wrong_share * penalty_usd
    return overhead_usd / gain if gain > 0 else None
