"""How many would-be hits are wrong, by the best evidence at hand: labels, else the log's own answers, else nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costplan.cache.answers import by_answers
from costplan.cache.choose import headline_ttl_s
from costplan.cache.frontier import Tally
from costplan.cache.labelled import Labels, Population, read_labels
from costplan.cache.near import Near
from costplan.cache.read import Requests
from costplan.results.cache import LabelFacts, WrongBasis
from costplan.settings import CacheSettings
from costplan.similarity.embed import Vectors
from costplan.similarity.labels import Bound, wrong_share
from costplan.similarity.replay import Served


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of wrong hits."""

    basis: WrongBasis
    note: str
    bounds: list[Bound | None]
    """By setting; None: not known, or nothing to be wrong."""
    requests: Requests
    near: Near
    people: Population
    freshness: str = ""
    labels: Labels | None = None
    facts: LabelFacts | None = None

    def by_site(self, served: Served) -> dict[int, Bound]:
        """Of the call sites with labels, under one replay."""
        if self.labels is None:
            return {}
        semantic = np.flatnonzero(served.edge >= 0)
        site: NDArray[np.uint64] = self.requests.columns["site"][semantic]
        found: dict[int, Bound] = {}
        for key in np.unique(site).tolist():
            weight = self._weight(served.edge[semantic[site == key]])
            bound = wrong_share(self.labels.sample, self.labels.wrong, weight, self.labels.given)
            if bound.labels:
                found[key] = bound
        return found

    def _weight(self, edges: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.people.weight(self.near, edges, np.ones(len(edges)))


def evidence(
    requests: Requests,
    near: Near,
    people: Population,
    tallies: list[Tally],
    settings: CacheSettings,
    vectors: Vectors,
) -> Evidence:
    """Raises CostplanError for a label file that does not fit."""
    if settings.labels is None:
        told = by_answers(requests, near, people, tallies, vectors, headline_ttl_s(settings), settings.seed)
        basis: WrongBasis = "agreement" if any(bound is not None for bound in told.bounds) else "unverified"
        return Evidence(basis, told.note, told.bounds, requests, near, people, told.freshness)
    labels = read_labels(settings.labels, people)
    bounds = [
        wrong_share(labels.sample, labels.wrong, people.weight(near, tally.edges, tally.times), labels.given)
        if tally.setting.threshold <= 1 and tally.setting.ttl_s == headline_ttl_s(settings) else None
        for tally in tallies
    ]  # fmt: skip
    given, wrong = int(labels.given.sum()), int((labels.wrong & labels.given).sum())
    facts = LabelFacts(labels=given, wrong=wrong, unanswered=len(labels.given) - given, population=len(people.key))
    note = f"{given:,} labels of {len(people.key):,} pairs, {wrong:,} of them wrong"
    return Evidence("labels", note, bounds, requests, near, people, "", labels, facts)
