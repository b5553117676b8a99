"""The log's own answers as evidence: how often the two answers of a would-be hit disagree; it verifies no setting.

Controls are drawn from the same log: exact repeats of a prompt, and prompts of one context just below every threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.cache.frontier import Tally
from costplan.cache.labelled import Population
from costplan.cache.near import LEAST, Near
from costplan.cache.read import Ints, Requests
from costplan.similarity.agreement import Disagreement, Refusal, disagreeing, half_life, likeness
from costplan.similarity.embed import Vectors
from costplan.similarity.labels import Bound
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_HOUR

MOST_HITS, MOST_DUPLICATES, MOST_NEGATIVES = 3_000, 1_000, 600
_BELOW = 0.10
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answers:
    """Bounds by setting (None: refused), why or on what, and how long answers to repeats stay alike."""

    bounds: list[Bound | None]
    note: str
    freshness: str


def by_answers(
    requests: Requests, near: Near, people: Population, tallies: list[Tally], vectors: Vectors, ttl_s: float, seed: int
) -> Answers:
    """Disagreement of the settings of one TTL."""
    rng = np.random.default_rng(seed)
    first, second = _duplicates(requests, rng)
    alike = _likeness(requests, first, second)
    age = (requests.columns["time_us"][second] - requests.columns["time_us"][first]) / MICROS_PER_SECOND
    negatives = _likeness(requests, *_just_below(requests, vectors, rng))
    some = np.arange(len(people.key))
    if len(some) > MOST_HITS:
        some = np.sort(rng.choice(some, MOST_HITS, replace=False))
    hits = _likeness(requests, people.request[some], people.source[some])
    bounds: list[Bound | None] = []
    reasons: list[str] = []
    for tally in tallies:
        if tally.setting.threshold > 1 or tally.setting.ttl_s != ttl_s:
            bounds.append(None)
            continue
        weight = people.weight(near, tally.edges, tally.times)[some]
        found = disagreeing(hits, weight, alike, negatives, seed) if weight.sum() > 0 else Refusal(reason="no hits")
        if isinstance(found, Disagreement):
            share = (found.value, found.low, found.high, found.high)
            value, low, high, upper = (float(each) for each in share)
            bounds.append(Bound(value=value, low=low, high=high, upper=upper, labels=0, missing=0))
        else:
            bounds.append(None)
            reasons.append(found.reason)
    if any(bound is not None for bound in bounds):
        note = f"share of hits whose two logged answers disagree, on {len(some):,} of {len(people.key):,} pairs; "
        note += "answers that agree are not proven right: labels verify"
    else:
        note = f"no labels, and the log's answers do not tell: {reasons[-1] if reasons else 'no hits'}"
    known = any(bound is not None for bound in bounds)
    return Answers(bounds, note, _freshness(age, alike) if known else "")


def _freshness(age_s: NDArray[np.float64], alike: NDArray[np.float64]) -> str:
    found = half_life(age_s, alike)
    if isinstance(found, Refusal):
        return ""
    hours = found.ttl_s / SECONDS_PER_HOUR
    told = f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
    if found.stale:
        return f"answers to repeated prompts begin to differ after {told}"
    return f"answers to repeated prompts stay alike for {told}, the longest seen"


def _likeness(requests: Requests, first: Rows, second: Rows) -> NDArray[np.float64]:
    both = [[requests.answer(int(row)) for row in rows.tolist()] for rows in (first, second)]
    return likeness(both[0], both[1])


def _duplicates(requests: Requests, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Requests that follow one another with literally the same prompt under the same context."""
    key = requests.columns["exact_key"]
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(key[order][1:] == key[order][:-1])
    if len(again) > MOST_DUPLICATES:
        again = np.sort(rng.choice(again, MOST_DUPLICATES, replace=False))
    return order[again], order[again + 1]


def _just_below(requests: Requests, vectors: Vectors, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Per sampled prompt, the nearest one of its context that no threshold reaches, if it is not far off."""
    first: Ints = np.unique(requests.text, return_index=True)[1]
    sampled = rng.permutation(len(first))[: 2 * MOST_NEGATIVES]
    found: list[tuple[int, int]] = []
    for text in np.sort(sampled).tolist():
        others = np.flatnonzero(requests.context == requests.context[text])
        cosine = vectors[others] @ vectors[text]
        cosine[(cosine >= LEAST) | (cosine < LEAST - _BELOW)] = -1
        best = int(np.argmax(cosine))
        if cosine[best] > 0 and len(found) < MOST_NEGATIVES:
            found.append((int(first[text]), int(first[others[best]])))
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
