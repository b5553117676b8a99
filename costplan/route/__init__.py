"""Which requests of a log may a cheaper model take, what does that save, how sure is it? Logs in, route.json out."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from costplan.complexity.rules import PARTS
from costplan.errors import CostplanError, UsageError
from costplan.ledger import Progress
from costplan.month import Month, month_of
from costplan.results import Estimate, exact, unknown
from costplan.results.route import ComplexityFacts, Route, RouteOffer, RoutePairs, RouteSite
from costplan.route.export import export_files
from costplan.route.offers import Group, price_groups, resolver
from costplan.route.pairs import document_of, pairs_of
from costplan.route.policies import Advised, Evidence, compare, ranged
from costplan.route.read import Traffic, read_traffic
from costplan.route.tell import assumptions, experiments, headline, mean_share, next_step, rule_rows, warnings
from costplan.routing.decide import Loss, Quality, break_even_gap, decide, paired_loss
from costplan.routing.known import Labels, read_labels, read_quality
from costplan.routing.verdict import judge
from costplan.settings import RouteSettings
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_DAY

__all__ = ["Done", "Wanted", "run_route"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is written beside the report."""

    explain: bool = False
    export: tuple[str, Path] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The document and the files that were asked for."""

    document: Route
    files: list[tuple[Path, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """One label that has found its request."""

    request: int
    cheap: str
    cheap_score: float
    strong_score: float
    text: str
    slice: str


def run_route(
    paths: list[str], settings: RouteSettings, origins: dict[str, str], wanted: Wanted, report: Progress | None = None
) -> Done:
    """Raises CostplanError for files that are no log, no table or no labels, and logs without a request to route."""
    names = resolver(settings.prices)
    quality = Quality() if settings.quality is None else read_quality(settings.quality, names.__getitem__)
    labels = Labels([], {}) if settings.labels is None else read_labels(settings.labels, names.__getitem__)
    with tempfile.TemporaryDirectory(prefix="costplan-") as folder:
        traffic = read_traffic(paths, settings, labels.ids, Path(folder), report or _silent, explain=wanted.explain)
        case = _case(traffic, settings, quality, labels)
        document = _document(case, origins, wanted)
    files = [] if wanted.export is None else export_files(wanted.export, document)
    return Done(document, files)


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """A log that has been read and priced, with what is known of quality."""

    traffic: Traffic
    settings: RouteSettings
    advised: list[Advised]
    quality: Quality
    pairs: list[_Pair]
    evidence: Evidence | None
    labels: RoutePairs | None
    unused: list[str]


def _case(traffic: Traffic, settings: RouteSettings, quality: Quality, labels: Labels) -> _Case:
    groups = price_groups(traffic, settings.cheap, settings.output_ratio, settings.prices)
    pairs, unused = _found(traffic, groups, settings, labels)
    quality = replace(quality, losses={**quality.losses, **_losses(traffic, pairs)})
    advised: list[Advised] = []
    for group in groups:
        requests = float(traffic.columns["weight"][group.rows].sum())
        decision = decide(
            traffic.site(group.number), traffic.model(group.number)[1], group.offers(), quality,
            max_loss=settings.max_loss / 100, penalty_usd=settings.penalty, requests=requests,
        )  # fmt: skip
        advised.append(Advised(group=group, decision=decision))
    evidence, found = _evidence(traffic, advised, pairs, settings)
    return _Case(
        traffic=traffic, settings=settings, advised=advised, quality=quality, pairs=pairs, evidence=evidence,
        labels=found, unused=unused,
    )  # fmt: skip


def _found(
    traffic: Traffic, groups: list[Group], settings: RouteSettings, labels: Labels
) -> tuple[list[_Pair], list[str]]:
    """(labels with their requests, what became of the others). Raises CostplanError where none names a request."""
    if not labels.ids:
        return [], []
    known = traffic.labelled
    if not known:
        raise CostplanError(
            f"{settings.labels}: none of its request ids is in the log, with its text",
            hint="request_id is the id of the provider's answer, or file:line",
        )
    of_request = {name: traffic.model(int(traffic.group[found.request]))[1] for name, found in known.items()}
    options = [[each.candidate.model for each in group.priced] for group in groups]
    pairs: list[_Pair] = []
    strange: set[str] = set()
    for label in labels.of(lambda name: of_request.get(name, "")):
        at = known.get(label.request_id)
        if at is None:
            continue
        mine = options[int(traffic.group[at.request])]
        cheap = label.cheap or (mine[0] if len(mine) == 1 else "")
        if not cheap:
            raise UsageError(
                f"{settings.labels}: the labels of {label.request_id} do not say which model is the cheap one",
                hint="add a column cheap_model, or name one candidate: --cheap MODEL",
            )
        if cheap not in mine:
            strange.add(cheap)
        pairs.append(_Pair(
            request=at.request, cheap=cheap, cheap_score=label.cheap_score, strong_score=label.strong_score,
            text=at.text, slice=_slice(traffic, at.request, at.tag, settings),
        ))  # fmt: skip
    notes: list[str] = []
    missing = len(labels.ids) - len({name for name in labels.ids if name in known})
    if missing:
        notes.append(f"{missing:,} labelled requests are not in the log, or without their text")
    if strange:
        notes.append(f"labels of {', '.join(sorted(strange))}: no candidate here, name it with --cheap")
    return sorted(pairs, key=lambda pair: (pair.request, pair.cheap)), notes


def _slice(traffic: Traffic, request: int, tag: str, settings: RouteSettings) -> str:
    group = int(traffic.group[request])
    parts = {
        "site": traffic.site(group), "model": traffic.model(group)[1], "level": str(traffic.level[request]), "tag": tag,
    }  # fmt: skip
    return "\x1f".join(parts[name] for name in settings.slice_by)


def _losses(traffic: Traffic, pairs: list[_Pair]) -> dict[tuple[str, str, str], Loss]:
    """By (call site, today's model, cheap model)."""
    scores: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for pair in pairs:
        group = int(traffic.group[pair.request])
        key = (traffic.site(group), traffic.model(group)[1], pair.cheap)
        scores.setdefault(key, []).append((pair.strong_score, pair.cheap_score))
    return {
        key: paired_loss(np.array([each[0] for each in found]), np.array([each[1] for each in found]), key[0])
        for key, found in scores.items()
    }


def _evidence(
    traffic: Traffic, advised: list[Advised], pairs: list[_Pair], settings: RouteSettings
) -> tuple[Evidence | None, RoutePairs | None]:
    """The labels of the candidates that are advised, and what a router makes of them."""
    chosen = {each.group.number: each for each in advised if each.choice is not None}
    mine: list[_Pair] = []
    usd: list[tuple[float, float]] = []
    for pair in pairs:
        each = chosen.get(int(traffic.group[pair.request]))
        if each is None or each.choice is None or each.group.priced[each.choice].candidate.model != pair.cheap:
            continue
        offer, row = each.group.priced[each.choice], int(np.searchsorted(each.group.rows, pair.request))
        if offer.fits[row]:
            mine.append(pair)
            usd.append((float(offer.usd[row, 1]), float(each.group.now[row])))
    if len(mine) < 2:
        return None, None
    cheap, strong = (np.array(column) for column in zip(*[(p.cheap_score, p.strong_score) for p in mine], strict=True))
    slices = [pair.slice for pair in mine]
    labelled = pairs_of([pair.text for pair in mine], cheap, strong, slices, np.array(usd).T)
    judged = judge(labelled, settings.seed)
    requests = np.array([pair.request for pair in mine])
    evidence = Evidence(
        request=requests, cheap=cheap, strong=strong, level=traffic.level[requests], judged=judged
    )  # fmt: skip
    return evidence, document_of(labelled, judged, len(set(slices)))


def _document(case: _Case, origins: dict[str, str], wanted: Wanted) -> Route:
    traffic, settings = case.traffic, case.settings
    month = _month(traffic, settings)
    rows = [_site_row(case, each) for each in case.advised]
    sites = sorted(rows, key=lambda row: (-(row.saving_usd.value or 0.0), -row.cost_usd, row.call_site, row.model))
    policies = compare(
        traffic, case.advised, case.evidence, _good(case), month, settings.max_loss, _site_loss(case)
    )  # fmt: skip
    of_site = {(traffic.site(each.group.number), traffic.model(each.group.number)[1]): each for each in case.advised}
    tests = experiments(sites, of_site, settings.max_loss)
    sure = [row for row in policies if row.verified and row.saving_usd.value is not None]
    best = max(sure, key=lambda row: row.saving_usd.value or 0.0).policy if sure else "site"
    labels = case.labels
    tier = "T2" if labels is not None and labels.tier == "T2" else "T1" if case.quality.known else "T0"
    level, columns = traffic.level, traffic.columns
    found = traffic.ledger.columns
    time = columns["time_us"][columns["has_time"]]
    span = None if not len(time) else float(time.max() - time.min()) / MICROS_PER_SECOND / SECONDS_PER_DAY
    return Route(
        inputs=traffic.ledger.log.inputs, headline=headline(sites), tier=tier,
        requests=len(found["ok"]), routable=traffic.n, not_routable=traffic.not_routable,
        cost_usd=float(found["cost_price_date"].sum()) / 1e9, routable_usd=float(columns["usd"].sum()), span_days=span,
        complexity=ComplexityFacts(
            scored=int((level > 0).sum()), unscored=int((level == 0).sum()), level_share=mean_share(level),
            parts={name: float(traffic.parts[level > 0, at].mean()) if level.any() else 0.0
                   for at, name in enumerate(PARTS)},
        ),
        by_call_site=sites, policies=policies, chosen=settings.policy or best, labels=labels, experiments=tests,
        explain=rule_rows(traffic, settings.show_text) if wanted.explain else [],
        max_loss_points=settings.max_loss,
        next_step=next_step(traffic.ledger.log.inputs[0].path, settings, sites, tests),
        assumptions=assumptions(traffic, settings, origins),
        warnings=warnings(traffic, sites, labels, case.unused),
    )  # fmt: skip


def _month(traffic: Traffic, settings: RouteSettings) -> Month:
    columns = traffic.columns
    time = columns["time_us"][columns["has_time"]]
    relative = columns["relative"][columns["has_time"]]
    return month_of(
        int(time.min()) if len(time) else None, int(time.max()) if len(time) else None,
        requests=float(traffic.ledger.columns["weight"].sum()), month_requests=settings.month_requests,
        mixed_clocks=bool(relative.any() and not relative.all()),
    )  # fmt: skip


def _site_row(case: _Case, each: Advised) -> RouteSite:
    traffic, group, decision = case.traffic, each.group, each.decision
    site, (provider, model) = traffic.site(group.number), traffic.model(group.number)
    offers = [_offer_row(case, group, at) for at in range(len(group.priced))]
    told = None if each.choice is None else offers[each.choice]
    loss = None if told is None else decision.loss
    gap = unknown("share", decision.note)
    if each.choice is not None:
        offer = group.offers()[each.choice]
        penalty = case.settings.penalty * float(traffic.columns["weight"][group.rows].sum()) * offer.share
        ends = [break_even_gap(offer.now_usd, usd, penalty) for usd in (offer.usd_high, offer.usd, offer.usd_low)]
        gap = Estimate(
            value=ends[1], low=ends[0], high=ends[2], unit="share", basis="estimated",
            note="(C - c) / (C + penalty): of today's good answers; range: output ratio",
        )  # fmt: skip
    labels = sum(int(traffic.group[pair.request]) == group.number for pair in case.pairs)
    advice = "switch" if decision.verified else "test" if decision.potential is not None else "stay"
    return RouteSite(
        call_site=site, model=model, provider=provider, requests=len(group.rows), cost_usd=float(group.now.sum()),
        level_share=mean_share(traffic.level[group.rows]), advice=advice, why=decision.note,
        candidate=None if told is None else told.model,
        saving_usd=exact(0.0, "USD", "estimated", decision.note) if told is None else told.saving_usd,
        break_even_gap=gap, loss_points=_loss_points(loss, decision.note), labels=labels, offers=offers,
    )  # fmt: skip


def _offer_row(case: _Case, group: Group, at: int) -> RouteOffer:
    traffic, offer = case.traffic, group.priced[at]
    usd = offer.usd[offer.fits].sum(axis=0)
    now = float(group.now[offer.fits].sum())
    model = offer.candidate.model
    loss = case.quality.loss(traffic.site(group.number), traffic.model(group.number)[1], model)
    return RouteOffer(
        model=model, provider=offer.candidate.provider, cost_usd=ranged(usd), saving_usd=ranged((now - usd)[::-1]),
        request_share=float(offer.fits.mean()), cannot=offer.cannot,
        loss_points=_loss_points(loss, "nothing says how good its answers are"),
    )  # fmt: skip


def _loss_points(loss: Loss | None, why: str) -> Estimate:
    if loss is None:
        return unknown("points", why)
    note = f"n {loss.n:,}, {'all call sites together' if loss.where == '*' else 'at this call site'}; "
    return Estimate(
        value=100 * loss.value, low=100 * loss.low, high=100 * loss.high, level=0.9, unit="points", basis="measured",
        note=note + "ends are one-sided 95 % bounds",
    )  # fmt: skip


def _good(case: _Case) -> dict[int, float]:
    """By group, the share of the advised candidate's answers that are good, where labels or the table say so."""
    found: dict[int, float] = {}
    for each in case.advised:
        if each.choice is None:
            continue
        number, cheap = each.group.number, each.group.priced[each.choice].candidate.model
        mine = [p.cheap_score for p in case.pairs if p.cheap == cheap and case.traffic.group[p.request] == number]
        score = case.quality.score(case.traffic.site(number), cheap)
        if mine:
            found[number] = float(np.mean(mine))
        elif score is not None:
            found[number] = score.mean
    return found


def _site_loss(case: _Case) -> Estimate:
    """Mean loss over the requests of the sites that switch, each measured on its own."""
    sure = [(each, each.decision.loss) for each in case.advised if each.decision.verified]
    known = [(float(len(each.group.rows)), loss) for each, loss in sure if loss is not None]
    if not known:
        return unknown("points", "no call site is shown to lose little enough")
    weights = np.array([weight for weight, _ in known]) / sum(weight for weight, _ in known)
    value = float(weights @ [loss.value for _, loss in known])
    half = float(np.sqrt(((weights * [loss.high - loss.value for _, loss in known]) ** 2).sum()))
    return Estimate(
        value=100 * value, low=100 * (value - half), high=100 * (value + half), level=0.9, unit="points",
        basis="measured", note="over the requests of these call sites; ends are one-sided 95 % bounds",
    )  # fmt: skip
