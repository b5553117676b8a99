"""Which requests of a log may a cheaper model take, what does that save, how sure is it? Logs in, route.json out."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from costplan.complexity.rules import PARTS
from costplan.ledger import Progress
from costplan.month import Month, month_of
from costplan.results.route import ComplexityFacts, Route
from costplan.route.export import export_file
from costplan.route.labelled import evidence_of, losses_of, paired
from costplan.route.offers import Advised, price_groups, resolver, table_of
from costplan.route.read import Traffic, read_traffic
from costplan.route.sites import Known, good_shares, level_share, site_row, verified_loss
from costplan.route.tell import assumptions, experiments, headline, next_step, rule_rows, warnings
from costplan.routing.decide import Quality, decide
from costplan.routing.known import Labels, read_labels, read_quality
from costplan.routing.policies import compare
from costplan.settings import RouteSettings
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY

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


def run_route(
    paths: list[str], settings: RouteSettings, origins: dict[str, str], wanted: Wanted, report: Progress | None = None
) -> Done:
    """Raises CostplanError for files that are no log, no table or no labels, and logs without a request to route."""
    names = resolver(settings.prices)
    quality = Quality() if settings.quality is None else read_quality(settings.quality, names.__getitem__)
    labels = Labels([], {}) if settings.labels is None else read_labels(settings.labels, names.__getitem__)
    with tempfile.TemporaryDirectory(prefix="costplan-") as folder:
        traffic = read_traffic(paths, settings, labels.ids, Path(folder), report or _silent, explain=wanted.explain)
        document = _document(traffic, settings, origins, quality, labels, explain=wanted.explain)
    return Done(document, [] if wanted.export is None else [export_file(*wanted.export, document)])


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def _document(
    traffic: Traffic, settings: RouteSettings, origins: dict[str, str], quality: Quality, labels: Labels, *,
    explain: bool,
) -> Route:  # fmt: skip
    groups = price_groups(traffic, settings.cheap, settings.output_ratio, settings.prices)
    pairs, unused = paired(traffic, groups, settings, labels)
    quality = replace(quality, losses={**quality.losses, **losses_of(traffic, pairs)})
    advised = [
        Advised(group=group, decision=decide(
            traffic.site(group.number), traffic.model(group.number)[1], group.offers(), quality,
            max_loss=settings.max_loss / 100, penalty_usd=settings.penalty,
            requests=float(traffic.columns["weight"][group.rows].sum()),
        )) for group in groups
    ]  # fmt: skip
    evidence, judged = evidence_of(traffic, advised, pairs, settings)
    known = Known(traffic=traffic, advised=advised, quality=quality, pairs=pairs, penalty_usd=settings.penalty)
    sites = sorted(
        (site_row(known, each) for each in advised),
        key=lambda row: (-(row.saving_usd.value or 0.0), -row.cost_usd, row.call_site, row.model),
    )
    table = table_of(traffic, advised, _month(traffic, settings), settings.max_loss)
    policies = compare(table, evidence, good_shares(known), verified_loss(advised))
    sure = [row for row in policies if row.verified]
    best = max(sure, key=lambda row: row.saving_usd.value or 0.0).policy if sure else "site"
    tests = experiments(sites, known, settings.max_loss)
    found, columns = traffic.ledger.columns, traffic.columns
    time = columns["time_us"][columns["has_time"]]
    return Route(
        inputs=traffic.ledger.log.inputs, headline=headline(sites),
        tier="T2" if judged is not None and judged.tier == "T2" else "T1" if quality.known else "T0",
        requests=len(found["ok"]), routable=traffic.n, not_routable=traffic.not_routable,
        cost_usd=float(found["cost_price_date"].sum()) / NANOS_PER_USD, routable_usd=float(columns["usd"].sum()),
        span_days=float(time.max() - time.min()) / MICROS_PER_SECOND / SECONDS_PER_DAY if len(time) else None,
        complexity=_complexity(traffic), by_call_site=sites, policies=policies, chosen=settings.policy or best,
        labels=judged, experiments=tests, explain=rule_rows(traffic, settings.show_text) if explain else [],
        max_loss_points=settings.max_loss,
        next_step=next_step(traffic.ledger.log.inputs[0].path, sites, tests),
        assumptions=assumptions(traffic, settings, origins), warnings=warnings(traffic, sites, judged, unused),
    )  # fmt: skip


def _complexity(traffic: Traffic) -> ComplexityFacts:
    known = traffic.level > 0
    parts = traffic.parts[known].mean(axis=0, dtype=float).tolist() if known.any() else [0.0] * len(PARTS)
    return ComplexityFacts(
        scored=int(known.sum()), unscored=int((~known).sum()), level_share=level_share(traffic.level),
        parts=dict(zip(PARTS, parts, strict=True)),
    )  # fmt: skip


def _month(traffic: Traffic, settings: RouteSettings) -> Month:
    columns = traffic.columns
    time, relative = (columns[name][columns["has_time"]] for name in ("time_us", "relative"))
    return month_of(
        int(time.min()) if len(time) else None, int(time.max()) if len(time) else None,
        requests=float(traffic.ledger.columns["weight"].sum()), month_requests=settings.month_requests,
        mixed_clocks=bool(relative.any() and not relative.all()),
    )  # fmt: skip
