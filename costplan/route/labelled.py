"""Labels brought together with the requests they name: losses per call site, and what a router makes of them."""

from dataclasses import dataclass

import numpy as np

from costplan.errors import CostplanError, UsageError
from costplan.results.route import RoutePairs
from costplan.route.offers import Advised, Group
from costplan.route.pairs import document_of, pairs_of
from costplan.route.read import Traffic
from costplan.routing.decide import Loss, paired_loss
from costplan.routing.known import Labels
from costplan.routing.policies import Evidence
from costplan.routing.verdict import judge
from costplan.settings import RouteSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One label that has found its request; scores from 0 to 1."""

    request: int
    group: int
    model: str
    """The cheap one."""
    cheap: float
    strong: float
    text: str
    slice: str


def paired(
    traffic: Traffic, groups: list[Group], settings: RouteSettings, labels: Labels
) -> tuple[list[Pair], list[str]]:
    """(labels with their requests, what became of the others). Raises CostplanError where none names a request."""
    if not labels.ids:
        return [], []
    known = traffic.labelled
    if not known:
        raise CostplanError(
            f"{settings.labels}: none of its request ids is in the log, with its text",
            hint="request_id is the id of the provider's answer, or file:line",
        )
    group_of = {name: int(traffic.group[found.request]) for name, found in known.items()}
    options = [[each.candidate.model for each in group.priced] for group in groups]
    pairs: list[Pair] = []
    for label in labels.of(lambda name: traffic.model(group_of[name])[1] if name in group_of else ""):
        if label.request_id not in known:
            continue
        at, group = known[label.request_id], group_of[label.request_id]
        model = label.cheap or (options[group][0] if len(options[group]) == 1 else "")
        if not model:
            raise UsageError(
                f"{settings.labels}: the labels of {label.request_id} do not say which model is the cheap one",
                hint="add a column cheap_model, or name one candidate: --cheap MODEL",
            )
        parts = {"site": traffic.site(group), "model": traffic.model(group)[1], "tag": at.tag}
        parts["level"] = str(traffic.level[at.request])
        pairs.append(Pair(
            request=at.request, group=group, model=model, cheap=label.cheap_score, strong=label.strong_score,
            text=at.text, slice="\x1f".join(parts[name] for name in settings.slice_by),
        ))  # fmt: skip
    notes: list[str] = []
    missing = len(labels.ids - known.keys())
    if missing:
        notes.append(f"{missing:,} labelled requests are not in the log, or without their text")
    strange = sorted({pair.model for pair in pairs if pair.model not in options[pair.group]})
    if strange:
        notes.append(f"labels of {', '.join(strange)}: no candidate here, name it with --cheap")
    return sorted(pairs, key=lambda pair: (pair.request, pair.model)), notes


def losses_of(traffic: Traffic, pairs: list[Pair]) -> dict[tuple[str, str, str], Loss]:
    """By (call site, today's model, cheap model)."""
    scores: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in pairs:
        scores.setdefault((traffic.site(pair.group), traffic.model(pair.group)[1], pair.model), []).append(pair)
    return {
        key: paired_loss(np.array([each.strong for each in found]), np.array([each.cheap for each in found]), key[0])
        for key, found in scores.items()
    }


def evidence_of(
    traffic: Traffic, advised: list[Advised], pairs: list[Pair], settings: RouteSettings
) -> tuple[Evidence | None, RoutePairs | None]:
    """The labels of the candidates that are advised, and what a router makes of them; nothing below two."""
    mine: list[Pair] = []
    usd: list[tuple[float, float]] = []
    for pair in pairs:
        group, offer = advised[pair.group].group, advised[pair.group].priced
        row = int(np.searchsorted(group.rows, pair.request))
        if offer is not None and offer.candidate.model == pair.model and offer.fits[row]:
            mine.append(pair)
            usd.append((float(offer.usd[row, 1]), float(group.now[row])))
    if len(mine) < 2:
        return None, None
    cheap, strong = np.array([(pair.cheap, pair.strong) for pair in mine]).T
    slices = [pair.slice for pair in mine]
    labelled = pairs_of([pair.text for pair in mine], cheap, strong, slices, np.array(usd).T)
    judged = judge(labelled, settings.seed)
    request, group = np.array([(pair.request, pair.group) for pair in mine]).T
    fitting = np.array([0 if each.priced is None else int(each.priced.fits.sum()) for each in advised])
    weight = fitting[group] / np.bincount(group, minlength=len(advised))[group]
    evidence = Evidence(
        request=request, groups=np.unique(group), gap=strong - cheap, level=traffic.level[request], weight=weight,
        judged=judged,
    )  # fmt: skip
    return evidence, document_of(labelled, judged, len(set(slices)))
