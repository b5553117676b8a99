"""Is the quantized or cheaper model good enough on every stratum of tasks? Two runs in, the document gate.json out."""

import shlex
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from costplan.errors import CostplanError
from costplan.gate.judge import WORST_FIRST, judge_stratum, overall
from costplan.gate.money import item_usd, price_of, side_facts
from costplan.gate.pairs import Pair, Progress, pair_up
from costplan.gate.read import Run, read_run
from costplan.results import Assumption, Skipped
from costplan.results.gate import Gate, GateItem
from costplan.settings import GateSettings
from costplan.tasks import Task, load_tasks
from costplan.tasks.builtin import MOST

__all__ = ["run_gate"]
_SHOWN_PLACES = 5


def run_gate(
    base_path: str, candidate_path: str, settings: GateSettings, origins: dict[str, str], report: Progress | None = None
) -> Gate:
    """Raises CostplanError for runs that cannot be compared."""
    base, candidate = read_run(base_path), read_run(candidate_path)
    tasks, named = _tasks(base, candidate, settings)
    pairs = pair_up(base, candidate, tasks, shlex.split(settings.grader_command or ""), report)
    if all(pair.missing for pair in pairs):
        raise CostplanError(
            f"{base_path} and {candidate_path}: no task has a score in both ({_commonest(pairs)})",
            hint="answer the same tasks with both, under the same ids; outputs need --tasks FILE",
        )
    by_stratum: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_stratum[pair.stratum].append(pair)
    rng = np.random.default_rng(settings.seed)
    results = [
        judge_stratum(name, found, margin=settings.margin / 100, relative=settings.relative, rng=rng)
        for name, found in by_stratum.items()
    ]
    verdict, reason = overall(results)
    base_price = price_of(base, settings.base_usd_per_mtok, settings)
    candidate_price = price_of(candidate, settings.candidate_usd_per_mtok, settings)
    scored = [pair for pair in pairs if not pair.missing]
    return Gate(
        verdict=verdict, reason=reason, margin=settings.margin, relative=settings.relative, tasks=named,
        base=side_facts(base, base_price, [pair.base for pair in scored]),
        candidate=side_facts(candidate, candidate_price, [pair.candidate for pair in scored]),
        strata=sorted(results, key=lambda each: WORST_FIRST.index(each.verdict)),
        left_out=_left_out(pairs, base, candidate),
        items=[
            _item(pair, item_usd(pair.base, base_price), item_usd(pair.candidate, candidate_price), settings.show_text)
            for pair in scored
        ],
        assumptions=[
            Assumption(name=name, value=str(getattr(settings, name)), origin=origins.get(name, "default"))
            for name in ("margin", "relative", "seed")
        ],
    )  # fmt: skip


def _tasks(base: Run, candidate: Run, settings: GateSettings) -> tuple[dict[str, Task], str]:
    """(tasks by id, what to call them); both runs must have been asked the same."""
    for name in base.tasks.keys() & candidate.tasks.keys():
        if base.tasks[name] != candidate.tasks[name]:
            raise CostplanError(
                f"{base.path} and {candidate.path} were asked different tasks under the same ids",
                hint="replay both with the same --tasks",
            )
    if settings.tasks is not None:
        tasks = load_tasks(settings.tasks, MOST if settings.tasks == "builtin" else None)
        return {task.id: task for task in tasks}, settings.tasks
    return {**base.tasks, **candidate.tasks}, "those of the runs" if base.tasks or candidate.tasks else "none"


def _commonest(pairs: Sequence[Pair]) -> str:
    reasons = [pair.missing for pair in pairs]
    return max(sorted(set(reasons)), key=reasons.count, default="there is none")


def _left_out(pairs: Sequence[Pair], base: Run, candidate: Run) -> dict[str, Skipped]:
    places: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        if pair.missing:
            places[pair.missing].append(pair.place)
    if base.bad_lines or candidate.bad_lines:
        places["bad line"] = [*base.bad_lines, *candidate.bad_lines]
    return {
        reason: Skipped(count=len(places[reason]), first_lines=places[reason][:_SHOWN_PLACES])
        for reason in sorted(places)
    }


def _item(pair: Pair, base_usd: float | None, candidate_usd: float | None, show_text: bool) -> GateItem:
    base, candidate = pair.scores
    task = pair.task
    return GateItem(
        id=pair.id, stratum=pair.stratum, level=pair.level, call_site=pair.call_site,
        group=pair.call_site or pair.stratum, strong_score=base, cheap_score=candidate, strong_usd=base_usd,
        cheap_usd=candidate_usd, prompt=task.messages[-1].content if show_text and task else None,
        expected=list(task.expected) if show_text and task else [],
        strong_answer=pair.base.text if show_text else None, cheap_answer=pair.candidate.text if show_text else None,
    )  # fmt: skip
