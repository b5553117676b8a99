"""The prompts of some rows of a log, read a second time: the columns hold none; what they are wanted for is not known.

Lines that hold no wanted row are passed over undecoded where a line is a record. Halves that were joined lie apart, so
such logs are read whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from costplan.engine import read_batch
from costplan.ingest.detect import Detected, reader_of
from costplan.ingest.log import Log
from costplan.ingest.normalize import settled_calls
from costplan.ingest.parse import SplitBooks, calls_of_line, read_calls, walks
from costplan.ingest.prompt import flat_text
from costplan.ingest.records import line_blocks
from costplan.ingest.source import Split, splits_of
from costplan.trace import Call

Ints = NDArray[np.int64]
Keep = Callable[[list[int], list[str]], Any]
"""Takes prompts: what the caller calls them, and the texts of their last turns."""
Turn = TypeVar("Turn", str | Call, Call)
_TOGETHER = 20_000


def no_texts(_numbers: list[int], _texts: list[str]) -> None:
    """Keeps nothing: for those who take whole calls."""


@dataclass(frozen=True, slots=True, eq=False)
class PromptJob:
    """k wanted rows of one split."""

    split: Split
    detected: Detected
    head: int | None
    line: Ints
    """(k,) line of each row inside the split."""
    place: Ints
    """(k,) which call of its line it is, from 0."""
    number: Ints
    """(k,) what the caller calls it."""
    keep: Keep


def prompt_jobs(log: Log, rows: Ints, head: int | None, keep: Keep) -> list[PromptJob]:
    """By split, what it takes to read the prompts of `rows` (k,), which count over all chunks of the log.

    The number of a row is its place in `rows`. Not for logs with joined halves.
    """
    splits = [split for index, source in enumerate(log.sources) for split in splits_of(index, source)]
    edges = np.concatenate([[0], np.cumsum([chunk.rows for chunk in log.chunks])])
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    chunks_of: dict[int, list[int]] = {}
    for number, chunk in enumerate(log.chunks):
        chunks_of.setdefault(chunk.split_index, []).append(number)
    jobs: list[PromptJob] = []
    for index, chunks in chunks_of.items():
        first, last = np.searchsorted(ordered, [edges[chunks[0]], edges[chunks[-1] + 1]]).tolist()
        if first == last:
            continue
        line = np.concatenate([read_batch(log.chunks[at].path, 0, ["line"])["line"] for at in chunks]).astype(np.int64)
        wanted = ordered[first:last] - edges[chunks[0]]
        split = splits[index]
        jobs.append(PromptJob(
            split, log.detected[split.source_index], head, line[wanted], _place(line)[wanted], order[first:last], keep
        ))  # fmt: skip
    return jobs


def _place(line: Ints) -> Ints:
    """Which call of its line each row is; the calls of a line follow each other."""
    at = np.arange(len(line))
    is_first = np.ones(len(line), np.bool_)
    is_first[1:] = line[1:] != line[:-1]
    return at - np.maximum.accumulate(np.where(is_first, at, 0))


def read_prompts(job: PromptJob) -> list[Any]:
    """What `keep` makes of the wanted prompts of a split, some at a time."""
    only = frozenset(job.line.tolist())
    turns = _walked_turns(job, only) if walks(job.split, job.detected, job.head) else _turns(job, only)
    return _kept(_wanted(job, turns), job.keep)


def wanted_calls(job: PromptJob) -> Iterator[tuple[int, Call]]:
    """(what the caller calls it, call) of the wanted rows of a split."""
    return _wanted(job, _turns(job, frozenset(job.line.tolist())))


def _wanted(job: PromptJob, turns: Iterator[tuple[tuple[int, int], Turn]]) -> Iterator[tuple[int, Turn]]:
    places = zip(job.line.tolist(), job.place.tolist(), strict=True)
    wanted = dict(zip(places, job.number.tolist(), strict=True))
    for key, turn in turns:
        number = wanted.get(key)
        if number is not None:
            yield number, turn


def _turns(job: PromptJob, only: frozenset[int]) -> Iterator[tuple[tuple[int, int], Call]]:
    """((line, which call of it), call) for the calls of the lines `only`, and perhaps of others."""
    last, place = -1, 0
    for line, call in read_calls(job.split, job.detected, SplitBooks(), job.head, only):
        if type(call) is Call:
            last, place = line, place + 1 if line == last else 0
            yield (line, place), call


def _walked_turns(job: PromptJob, only: frozenset[int]) -> Iterator[tuple[tuple[int, int], str | Call]]:
    """The same for logs that the compiled walk reads; of its plain lines the last turn alone."""
    from costplan.ingest.features import BLOCK_ROWS
    from costplan.ingest.plain import Slots

    slots, read, books = Slots(BLOCK_ROWS, 0), reader_of(job.detected), SplitBooks()
    for first, block in line_blocks(job.split, books.reject, [0]):
        before = first
        for _ in slots.walked(block):
            for line in only.intersection(range(before, before + slots.rows)):
                text = slots.last_turn(line - before)
                if text is not None:
                    yield (line, 0), text
                    continue
                calls = calls_of_line(slots.line(line - before), line, read, job.detected, books)
                for place, call in enumerate(each for each in calls if type(each) is Call):
                    yield (line, place), call
            before += slots.rows


def read_joined_prompts(log: Log, rows: Ints, head: int | None, keep: Keep) -> list[Any]:
    """As all of `prompt_jobs` together, of any log; every record is decoded."""
    return _kept(joined_calls(log, rows, head), keep)


def joined_calls(log: Log, rows: Ints, head: int | None) -> Iterator[tuple[int, Call]]:
    """As `wanted_calls`, of any log."""
    number_of = {row: number for number, row in enumerate(rows.tolist())}
    edges = np.concatenate([[0], np.cumsum([chunk.rows for chunk in log.chunks])])
    kept = [
        first + np.delete(np.arange(chunk.rows), gone)
        for first, chunk, gone in zip(edges[:-1], log.chunks, log.dropped, strict=True)
    ]
    for row, (call, _, _, _) in zip(np.concatenate(kept).tolist(), settled_calls(log, head), strict=True):
        if row in number_of:
            yield number_of[row], call


def _kept(turns: Iterator[tuple[int, Turn]], keep: Keep) -> list[Any]:
    prompts = ((number, _text(turn)) for number, turn in turns)
    found: list[Any] = []
    while some := list(islice(prompts, _TOGETHER)):
        found.append(keep([number for number, _ in some], [text for _, text in some]))
    return found


def _text(turn: str | Call) -> str:
    return turn if isinstance(turn, str) else flat_text(turn.messages[-1])[0]
