"""Two runs -> the items both answered, each with two scores, and why the others are left out; no statistics here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from costplan.errors import CostplanError
from costplan.gate.grade import Ungraded, grade
from costplan.gate.read import Answer, Run
from costplan.tasks import Task

MOST_GRADING_FAILURES = 20
"""Each may take the whole time limit, and over 2 % left out decides nothing anyway."""
ALL = "all"
"""Stratum of an item for which neither a task nor a line names one."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One item of both runs; `missing` says why it has no two scores."""

    id: str
    stratum: str
    level: int
    chance: float
    call_site: str | None
    place: str
    task: Task | None
    base: Answer
    candidate: Answer
    missing: str = ""

    @property
    def scores(self) -> tuple[float, float]:
        assert self.base.score is not None and self.candidate.score is not None
        return self.base.score, self.candidate.score


def pair_up(
    base: Run, candidate: Run, tasks: dict[str, Task], command: Sequence[str], report: Progress | None
) -> list[Pair]:
    """Every item of either run, in the order of the tasks, then of the files."""
    known = [*(name for name in tasks if name in base.answers or name in candidate.answers)]
    names = dict.fromkeys([*known, *base.answers, *candidate.answers])
    found: list[Pair] = []
    failures = 0
    for index, name in enumerate(names):
        pair = _graded(_pair(name, base, candidate, tasks.get(name)), command)
        failures += pair.missing.startswith("grading: ")
        if failures > MOST_GRADING_FAILURES:
            raise CostplanError(
                f"{pair.place}: grading failed {failures} times, here: {pair.missing.removeprefix('grading: ')}",
                hint="try the grader on one answer; simplify the pattern or speed up the command",
            )
        found.append(pair)
        if report:
            report("grading", index + 1, len(names))
    return found


def _pair(name: str, base: Run, candidate: Run, task: Task | None) -> Pair:
    one, two = base.answers.get(name), candidate.answers.get(name)
    absent = "" if one and two else "only in CANDIDATE" if two else "only in BASE"
    given = one or two
    assert given is not None
    one, two = one or Answer(place=given.place), two or Answer(place=given.place)
    reason = absent or one.missing or two.missing
    at = next((each.place for each in (one, two) if each.missing), given.place)
    if not reason and task is None and (one.score is None or two.score is None):
        reason = "no such task"
    chances = [task.chance if task else None, one.chance, two.chance, 0.0]
    return Pair(
        id=name, stratum=task.stratum if task else one.stratum or two.stratum or ALL, level=task.level if task else 1,
        chance=next(each for each in chances if each is not None), place=at, task=task, base=one, candidate=two,
        call_site=(task.call_site if task else None) or one.call_site or two.call_site, missing=reason,
    )  # fmt: skip


def _graded(pair: Pair, command: Sequence[str]) -> Pair:
    if pair.missing:
        return pair
    try:
        base = _score(pair.task, pair.base, command)
        same = pair.base.score is None and pair.candidate.score is None and pair.base.text == pair.candidate.text
        candidate = base if same else _score(pair.task, pair.candidate, command)
    except Ungraded as error:
        return replace(pair, missing=f"grading: {error}")
    return replace(pair, base=replace(pair.base, score=base), candidate=replace(pair.candidate, score=candidate))


def _score(task: Task | None, answer: Answer, command: Sequence[str]) -> float:
    if answer.score is not None:
        return answer.score
    assert task is not None and answer.text is not None
    return grade(task, answer.text, command)
