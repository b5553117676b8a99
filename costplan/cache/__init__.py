"""Would a semantic cache pay on this log, at which threshold, and what would it break? Logs in, cache.json out."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.cache.choose import Chosen, choose, frontier_rows, headline_ttl_s
from costplan.cache.export import HIT_COLUMNS, configuration, hit_rows
from costplan.cache.facts import clusters, growth, latency, leaders, scope_row, site_rows
from costplan.cache.frontier import EXACT, Tally, embed_s, run, settings_of, tally
from costplan.cache.labelled import encode_rows, label_rows, population
from costplan.cache.near import Near, near, vectors_of
from costplan.cache.read import Requests, read_requests
from costplan.cache.tell import assumptions, next_step, warnings
from costplan.cache.wrong import Evidence, evidence
from costplan.errors import CostplanError
from costplan.ledger import Progress
from costplan.month import Month, month_of
from costplan.results import Estimate
from costplan.results.cache import Cache, CacheChoice, FrontierRow, GuardFacts
from costplan.settings import CacheSettings
from costplan.similarity.guard import REASONS
from costplan.similarity.intervals import hit_interval
from costplan.similarity.labels import reach
from costplan.similarity.replay import Served, Setting
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

__all__ = ["Done", "Wanted", "run_cache"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Files to write beside the report."""

    hits: Path | None = None
    sample: tuple[int, Path] | None = None
    export: Path | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The document, the files that were asked for, and what there is to say about them."""

    document: Cache
    files: list[tuple[Path, bytes]]
    notes: list[str]


def run_cache(
    paths: list[str], settings: CacheSettings, origins: dict[str, str], wanted: Wanted, report: Progress | None = None
) -> Done:
    """Raises CostplanError for files that are no log, logs without a request to cache, and labels of other pairs."""
    with tempfile.TemporaryDirectory(prefix="costplan-") as folder:
        tell = report or _silent
        requests = read_requests(paths, settings, Path(folder), tell)
        return _run(_Case(requests, settings, origins, *_near(requests, settings)), wanted, tell)


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """A log that has been read, and its graph."""

    requests: Requests
    settings: CacheSettings
    origins: dict[str, str]
    near: Near
    vectors: NDArray[np.float32]
    vectors_name: str

    @property
    def embedder(self) -> str:
        """Whose time an embedding takes."""
        return "static" if self.settings.embedder == "static" and self.settings.embeddings is None else "minilm"


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def _near(requests: Requests, settings: CacheSettings) -> tuple[Near, NDArray[np.float32], str]:
    vectors, name = vectors_of(requests, settings)
    return near(requests, settings, vectors, settings.scope), vectors, name


def _run(case: _Case, wanted: Wanted, report: Progress) -> Done:
    grid = settings_of(case.settings)
    tallies: list[Tally] = []
    for index, setting in enumerate(grid, 1):
        tallies.append(tally(case.requests, case.near, setting, case.embedder))
        report("settings", index, len(grid))
    people = population(case.near, [each for each in tallies if each.setting.ttl_s == headline_ttl_s(case.settings)])
    told = evidence(case.requests, case.near, people, tallies, case.settings, case.vectors)
    rows = frontier_rows(tallies, told.bounds, case.requests.n, case.settings, told.basis)
    chosen = choose(rows, told.bounds, case.settings, told.basis)
    served = run(case.near, grid[chosen.index])
    wanted_labels = wanted.sample[0] if wanted.sample else 600
    target = tallies[chosen.index if chosen.potential is None else chosen.potential]
    bound = reach(people.pairs, wanted_labels, people.weight(case.near, target.edges, target.times))
    document = _document(case, grid, rows, chosen, told, served, bound)
    files: list[tuple[Path, bytes]] = []
    notes: list[str] = []
    if wanted.hits is not None:
        found = hit_rows(case.requests, case.near, served)
        files.append((wanted.hits, encode_rows(wanted.hits, found, HIT_COLUMNS)))
        notes.append(f"{wanted.hits}: {len(found):,} hits")
    if wanted.sample is not None:
        found, note = _sample(case, people, wanted.sample, bound)
        files.append(found)
        notes.append(note)
    if wanted.export is not None:
        files.append((wanted.export, configuration(document)))
        notes.append(f"{wanted.export}: {document.headline}")
    return Done(document, files, notes)


def _sample(case: _Case, people: Any, sample: tuple[int, Path], bound: float) -> tuple[tuple[Path, bytes], str]:
    n, path = sample
    if not len(people.key):
        raise CostplanError(
            "there is nothing to label: no setting serves a prompt for another one",
            hint="the exact cache needs no labels",
        )
    found = label_rows(case.requests, people, n, case.settings.seed)
    note = f"{path}: {len(found):,} pairs to label, with prompts and answers in plain text; "
    if len(found) == len(people.key):
        note += "these are all there are"
    else:
        note += f"if all are right, at most {bound:.1%} of the semantic hits are wrong (95%)"
    note += f". Fill same_answer with yes or no, then --labels {path}"
    return (path, encode_rows(path, found, list(found[0]))), note


def _document(
    case: _Case, grid: list[Setting], rows: list[FrontierRow], chosen: Chosen, told: Evidence, served: Served,
    bound: float,
) -> Cache:  # fmt: skip
    requests, settings, columns = case.requests, case.settings, case.requests.columns
    shown = chosen.index if chosen.potential is None else chosen.potential
    shown_served = served if shown == chosen.index else run(case.near, grid[shown])
    exact = run(case.near, replace(grid[shown], threshold=EXACT))
    semantic = replace(grid[shown], threshold=min(grid[shown].threshold, 1.0))
    leader = leaders(case.near, semantic)
    objections = np.bincount(case.near.objection, minlength=len(REASONS)) // 2
    time = columns["time_us"]
    scopes = [scope_row(requests, case.near, grid[shown], settings.scope)]
    if (columns["user"] != 0).any():
        other = "user" if settings.scope == "global" else "global"
        scopes.append(scope_row(requests, near(requests, settings, case.vectors, other), grid[shown], other))
    return Cache(
        inputs=requests.log.inputs, headline=chosen.headline, requests=requests.settled, eligible=requests.n,
        ineligible=requests.ineligible, cost_usd=requests.total_nanos / NANOS_PER_USD,
        eligible_usd=int(columns["cost"].sum()) / NANOS_PER_USD, unpriced=requests.unpriced,
        span_days=int(time[-1] - time[0]) / MICROS_PER_SECOND / SECONDS_PER_DAY, prompts=case.near.graph.texts,
        scope=settings.scope, embedder=case.vectors_name, max_wrong=settings.max_wrong, penalty_usd=settings.penalty,
        wrong_basis=told.basis, wrong_note=told.note, freshness=told.freshness, frontier=rows,
        recommended=_choice(case, rows[chosen.index], chosen, served, grid[chosen.index]),
        potential=None if chosen.potential is None else rows[chosen.potential], by_scope=scopes,
        by_call_site=site_rows(
            requests, shown_served, grid[shown], exact, case.embedder, told.by_site(shown_served),
            max_wrong=settings.max_wrong, penalty=settings.penalty,
        ),
        clusters=clusters(requests, case.near, leader, case.vectors, settings.show_text),
        growth=growth(leader), latency=latency(
            requests, served, embed_s(case.embedder) if grid[chosen.index].threshold <= 1 else 0.0
        ),
        guard=GuardFacts(
            pairs=len(case.near.objection) // 2,
            objections={name: int(count) for name, count in zip(REASONS, objections, strict=True) if name and count},
            too_long=int((~case.near.short).sum()) // 2,
        ),
        labels=told.facts, next_step=next_step(requests, chosen, told, bound, settings),
        assumptions=assumptions(settings, case.origins, grid[chosen.index], case.vectors_name),
        warnings=warnings(requests, case.near, settings),
    )  # fmt: skip


def _choice(case: _Case, row: FrontierRow, chosen: Chosen, served: Served, setting: Setting) -> CacheChoice:
    columns, hit = case.requests.columns, served.source >= 0
    half = case.requests.n // 2

    def share(amounts: NDArray[Any], value: float) -> tuple[Estimate, float]:
        found = hit_interval(hit, amounts.astype(np.float64), columns["time_us"], columns["user"], case.settings.seed)
        return Estimate(
            value=value, low=min(found.low, value), high=max(found.high, value), level=0.95, unit="share",
            basis="simulated",
        ), found.design_effect  # fmt: skip

    hit_share, effect = share(columns["weight"], row.hit_share)
    month, hours, net = _month(case, row, hit, setting)
    weight = columns["weight"][half:]
    saved_per_hit = row.saved_usd / row.hits if row.hits else 0.0
    return CacheChoice(
        row=row, chosen_by="user" if chosen.by_user else "costplan", reason=chosen.reason, hit_share=hit_share,
        hit_usd_share=share(columns["cost"], row.hit_usd_share)[0],
        net_usd_month=month.estimate(hours, net, "simulated"),
        design_effect=effect,
        break_even_hit_share=row.cost_usd / case.requests.n / saved_per_hit if saved_per_hit > 0 else None,
        second_half_hit_share=float(weight[hit[half:]].sum() / weight.sum()),
    )  # fmt: skip


def _month(
    case: _Case, row: FrontierRow, hit: NDArray[np.bool_], setting: Setting
) -> tuple[Month, NDArray[np.int64], NDArray[np.int64]]:
    """(month, hours, net nano-dollars in them); penalties are spread like the savings."""
    columns = case.requests.columns
    time = columns["time_us"]
    month = month_of(
        int(time[0]), int(time[-1]), requests=case.requests.calls, month_requests=case.settings.month_requests
    )  # fmt: skip
    hour = time // (SECONDS_PER_HOUR * MICROS_PER_SECOND)
    hours, of = np.unique(hour, return_inverse=True)
    saved = np.bincount(of, np.where(hit, columns["cost"], 0))
    rest = row.net_usd * NANOS_PER_USD - saved.sum()
    return month, hours, np.rint(saved + rest * np.bincount(of) / len(of)).astype(np.int64)
