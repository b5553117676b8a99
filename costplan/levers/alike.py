"""Prompts of a log -> the pairs among them that a cache may ever serve for each other, and what a guard says of each.

Requests of equal context (all but the last turn) are compared. Where answers live a TTL from storing, only prompts that
were asked within it can be served for each other, so only these are compared: in windows of two TTLs, laid twice, half
a window apart, any two times within a TTL share a window. Texts and vectors lie in files; no worker sees them all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from costplan.engine import concat, read_batch, write_batches
from costplan.errors import CostplanError
from costplan.levers.response_cache import CacheSetting, eligible_rows
from costplan.similarity.guard import DEFAULT_THRESHOLD
from costplan.units import MICROS_PER_SECOND

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Item = TypeVar("Item")
Result = TypeVar("Result")
Map = Callable[[str, Callable[[Item], Result], Sequence[Item]], list[Result]]
"""Maps a function over jobs; first, the name of the stage."""

LONG_CHARS = 2_000
"""A mean over more words than this looks like every other one: longer prompts are served to exact repeats only."""
THRESHOLD = round(DEFAULT_THRESHOLD, 4)
MOST_PAIRS = 8_000_000
"""Some 40 bytes each."""
_PAIR_BYTES = 12
_NO_PAIRS = {"first": np.zeros(0, np.int32), "second": np.zeros(0, np.int32), "cosine": np.zeros(0, np.float32)}
_DIMENSIONS = 256
_JOB_PROMPTS = 20_000
_GUARD_PAIRS = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """n eligible requests in order of arrival, and their T different prompts, by context, then by first arrival."""

    columns: dict[str, Any]
    """(n,) each: gid, time_us, cost, user."""
    prompt: NDArray[np.int32]
    """(n,)"""
    first_gid: Ints
    """(T,) the row that asks it first."""
    context: NDArray[np.int32]
    """(T,) number of its context, ascending."""
    short: Mask
    """(T,) short enough to compare."""


@dataclass(frozen=True, slots=True, eq=False)
class Company:
    """The prompts that have others to be compared with."""

    prompt: Ints
    """(U,) ascending; row i of the file of vectors belongs to prompt[i]."""
    nodes: list[tuple[Ints, Ints]]
    """Twice, or once without windows: (prompt, key of its context and window), by prompt."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Texts in a file, one after the other."""

    file: Path
    row: Ints
    """(k,) into Company.prompt."""
    end: Ints
    """(k,)"""


@dataclass(frozen=True, slots=True, eq=False)
class AlikePairs:
    """P pairs of prompts of equal context that are close, each once, by the first, then the second."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    cosine: NDArray[np.float32]
    objection: NDArray[np.uint8]
    """(P,) index into guard.REASONS."""
    recall: tuple[float, float] | None = None
    """(estimate, low) of the share of pairs that an index found; None = all were compared."""


def asked_of(files: list[Path], buckets: int, chunks: list[Path]) -> Asked:
    """The eligible requests of the files `response-`; their contexts stand in the files of the chunks."""
    rows = eligible_rows(files, buckets)
    del rows["exact_key"]
    _, first, inverse = np.unique(rows.pop("norm_key"), return_index=True, return_inverse=True)
    gid = rows["gid"][first].astype(np.int64)
    key, chars = _columns_at(chunks, gid)
    _, context = np.unique(key, return_inverse=True)
    order = np.lexsort((first, context))
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    context = context[order].astype(np.int32)
    return Asked(rows, number[inverse], gid[order], context, chars[order] <= LONG_CHARS)


def _columns_at(chunks: list[Path], gid: Ints) -> tuple[NDArray[np.uint64], Ints]:
    """(key of the context, characters of the last turn) of rows."""
    context, chars = np.zeros(len(gid), np.uint64), np.zeros(len(gid), np.int64)
    first = 0
    for path in chunks:
        columns = read_batch(path, 0, ("context_key", "user_chars"))
        here = np.flatnonzero((gid >= first) & (gid < first + len(columns["user_chars"])))
        context[here] = columns["context_key"][gid[here] - first]
        chars[here] = columns["user_chars"][gid[here] - first]
        first += len(columns["user_chars"])
    return context, chars


def company_of(asked: Asked, setting: CacheSetting) -> Company:
    """The prompts that any other may be served for under this setting."""
    nodes = [_company(prompt, scope) for prompt, scope in _scopes(asked, setting)]
    return Company(np.unique(np.concatenate([prompt for prompt, _ in nodes])), nodes)


def _scopes(asked: Asked, setting: CacheSetting) -> Iterator[tuple[Ints, Ints]]:
    """(prompt, key of its context and window) of every request whose prompt can be compared."""
    short = asked.short[asked.prompt]
    prompt, time = asked.prompt[short].astype(np.int64), asked.columns["time_us"][short]
    context = asked.context[prompt].astype(np.int64)
    ttl_us = _ttl_us(setting)
    # an answer that lives on with use can outlive any window
    if ttl_us is None or not len(time) or 2 * (ttl_us + 1) > int(time[-1] - time[0]):
        yield prompt, context
        return
    for shift in (0, ttl_us + 1):
        window = (time - time[0] + shift) // (2 * (ttl_us + 1))
        yield prompt, context * (int(window.max()) + 1) + window


def _ttl_us(setting: CacheSetting) -> int | None:
    """How far apart two requests may be that are served for each other; None = any time."""
    ttl = setting.ttl_s * MICROS_PER_SECOND
    return int(ttl) if setting.policy == "store" and ttl < 2**60 else None


def _company(prompt: Ints, scope: Ints) -> tuple[Ints, Ints]:
    """Each prompt of each scope once, without those that are alone in theirs; by prompt."""
    order = np.lexsort((scope, prompt))
    prompt, scope = prompt[order], scope[order]
    fresh = np.ones(len(prompt), np.bool_)
    fresh[1:] = (prompt[1:] != prompt[:-1]) | (scope[1:] != scope[:-1])
    prompt, scope = prompt[fresh], scope[fresh]
    _, number, counts = np.unique(scope, return_inverse=True, return_counts=True)
    several = counts[number] > 1
    return prompt[several], scope[several]


def vectors_file(folder: Path, company: Company) -> Path:
    """A file with room for the vectors of all of them."""
    path = folder / "vectors.f32"
    with path.open("wb") as file:
        file.truncate(4 * _DIMENSIONS * len(company.prompt))
    return path


def write_prompts(vectors: Path, rows: list[int], texts: list[str]) -> Kept:
    """Write texts to a file of their own beside that of the vectors, and their vectors into its rows."""
    from costplan.similarity.embed import static_vectors

    number: dict[str, int] = {}
    place = [number.setdefault(text, len(number)) for text in texts]
    row = np.array(rows, np.int64)
    data = np.memmap(vectors, np.float32, "r+").reshape(-1, _DIMENSIONS)
    data[row] = static_vectors(list(number))[place]
    file = vectors.with_name(f"texts-{rows[0]}")
    with file.open("wb") as out:
        sizes = [out.write(text.encode("utf-8", "surrogatepass")) for text in texts]
    return Kept(file, row, np.cumsum(sizes))


@dataclass(frozen=True, slots=True, eq=False)
class PairJob:
    """The prompts of some contexts: rows [first, last) of the vectors."""

    vectors: Path
    out: Path
    first: int
    last: int
    nodes: list[tuple[Ints, Ints]]
    """(row, scope), as in Company."""
    asked_row: Ints
    """(m,) what is asked in these contexts, in order of arrival."""
    asked_us: Ints
    ttl_us: int | None


def pairs_of(
    asked: Asked, company: Company, kept: list[Kept], vectors: Path, setting: CacheSetting, spread: Map[Any, Any]
) -> AlikePairs:
    """All pairs that a cache under this setting may ever serve for each other.

    Raises:
        CostplanError: too many pairs, or too many prompts to compare each with each.
    """
    jobs = list(_pair_jobs(asked, company, vectors, setting))
    recalls = [recall for recall in spread("similar prompts", write_pairs, jobs) if recall is not None]
    if _pair_bytes(vectors) > MOST_PAIRS * _PAIR_BYTES:
        raise _too_many()
    found = concat([_NO_PAIRS, *(read_batch(job.out, 0) for job in jobs)])
    row_first, row_second = found["first"], found["second"]
    guards = list(_guard_jobs(row_first, row_second, kept, len(company.prompt)))
    objection = np.concatenate([*spread("guard", objections_of, guards), np.zeros(0, np.uint8)])
    number = company.prompt.astype(np.int32)
    return AlikePairs(number[row_first], number[row_second], found["cosine"], objection, min(recalls, default=None))


def _pair_jobs(asked: Asked, company: Company, vectors: Path, setting: CacheSetting) -> Iterator[PairJob]:
    row = np.full(len(asked.first_gid), -1, np.int64)
    row[company.prompt] = np.arange(len(company.prompt))
    nodes = [(row[prompt], scope) for prompt, scope in company.nodes]
    asked_row, ttl_us = row[asked.prompt], _ttl_us(setting)
    order = np.argsort(asked_row, kind="stable")
    ordered = asked_row[order]
    for first, last in _cut(asked.context[company.prompt]):
        here = np.sort(order[slice(*np.searchsorted(ordered, (first, last)).tolist())])
        some = [(each[0] >= first) & (each[0] < last) for each in nodes]
        yield PairJob(
            vectors, vectors.with_name(f"pairs-{first}"), first, last,
            [(one[mask], scope[mask]) for (one, scope), mask in zip(nodes, some, strict=True)],
            asked_row[here], asked.columns["time_us"][here], ttl_us,
        )  # fmt: skip


def _cut(context: Ints) -> Iterator[tuple[int, int]]:
    """[first, last) of whole contexts, together up to some number of prompts."""
    ends = np.append(np.flatnonzero(context[1:] != context[:-1]) + 1, len(context))
    start = 0
    while start < len(context):
        stop = int(
            ends[max(np.searchsorted(ends, start + _JOB_PROMPTS, "right") - 1, np.searchsorted(ends, start + 1))]
        )
        yield start, stop
        start = stop


def _too_many() -> CostplanError:
    return CostplanError(
        f"more than {MOST_PAIRS:,} pairs of prompts are close to each other, as if made from one template",
        hint="a shorter --ttl compares fewer; costplan cache LOG --threshold 0.95 looks at the closest only",
    )


def _pair_bytes(vectors: Path) -> int:
    """About what the pairs that were found take up in files."""
    return sum(path.stat().st_size for path in vectors.parent.glob("pairs-*"))


def write_pairs(job: PairJob) -> tuple[float, float] | None:
    """Write the pairs that are close and were asked within a TTL; (recall, low) where an index found them."""
    from costplan.similarity.graph import TooManyPairs, close_pairs

    if _pair_bytes(job.vectors) > MOST_PAIRS * _PAIR_BYTES:
        raise _too_many()
    count = job.last - job.first
    offset = 4 * _DIMENSIONS * job.first
    vectors = np.fromfile(job.vectors, np.float32, _DIMENSIONS * count, offset=offset).reshape(-1, _DIMENSIONS)
    parts: list[tuple[Ints, NDArray[np.float32]]] = []
    recalls: list[tuple[float, float]] = []
    for row, scope in job.nodes:
        here = row - job.first
        try:
            pairs, audit = close_pairs(vectors[here], scope.astype(np.uint64), THRESHOLD, most_pairs=MOST_PAIRS)
        except TooManyPairs:
            raise _too_many() from None
        first, second = here[pairs[0]], here[pairs[1]]
        parts.append((np.minimum(first, second) * count + np.maximum(first, second), pairs[2]))
        if audit.sampled:
            recalls.append((audit.recall, audit.low))
    key, at = np.unique(np.concatenate([keys for keys, _ in parts]), return_index=True)
    cosine = np.concatenate([cosines for _, cosines in parts])[at]
    first, second = np.divmod(key, count)
    if job.ttl_us is not None:
        met = _met(first, second, job.asked_row - job.first, job.asked_us, job.ttl_us, count)
        first, second, cosine = first[met], second[met], cosine[met]
    columns = {"first": (first + job.first).astype(np.int32), "second": (second + job.first).astype(np.int32)}
    write_batches(job.out, [{**columns, "cosine": cosine}])
    return min(recalls, default=None)


def _met(first: Ints, second: Ints, asked: Ints, time: Ints, ttl_us: int, count: int) -> Mask:
    """(P,) pairs of which the one was ever asked within a TTL of the other; requests are in order of arrival."""
    order = np.argsort(asked, kind="stable")
    edges = np.searchsorted(asked[order], np.arange(count + 1))
    requests, ordered = np.diff(edges), time[order]
    earliest, latest = ordered[edges[:-1]], ordered[edges[1:] - 1]
    met = np.abs(earliest[first] - earliest[second]) <= ttl_us
    gap = np.maximum(earliest[first] - latest[second], earliest[second] - latest[first])
    open_ = np.flatnonzero(~met & (gap <= ttl_us))
    # the one with fewer requests: is any of them within a TTL of the other's last before it or first behind it?
    swap = requests[first[open_]] > requests[second[open_]]
    few, many = np.where(swap, (second[open_], first[open_]), (first[open_], second[open_]))
    pair = np.repeat(np.arange(len(open_)), requests[few])
    request = np.arange(len(pair)) - np.repeat(np.cumsum(requests[few]) - requests[few], requests[few])
    arrival = order[edges[few][pair] + request]
    place = np.searchsorted(asked[order] * len(time) + order, many[pair] * len(time) + arrival)
    close = np.zeros(len(pair), np.bool_)
    for step in (-1, 0):
        other = np.clip(place + step, 0, len(time) - 1)
        close |= (asked[order[other]] == many[pair]) & (np.abs(ordered[other] - time[arrival]) <= ttl_us)
    met[open_[pair[close]]] = True
    return met


@dataclass(frozen=True, slots=True, eq=False)
class GuardJob:
    """Some pairs, and where their texts lie."""

    first: Ints
    second: Ints
    """Into the texts below."""
    file: NDArray[np.int32]
    files: list[Path]
    start: Ints
    end: Ints


def _guard_jobs(first: Any, second: Any, kept: list[Kept], rows: int) -> Iterator[GuardJob]:
    file, start, end = np.zeros(rows, np.int32), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for number, part in enumerate(kept):
        file[part.row], end[part.row] = number, part.end
        start[part.row] = np.append(0, part.end[:-1])
    for at in range(0, len(first), _GUARD_PAIRS):
        one, other = first[at : at + _GUARD_PAIRS], second[at : at + _GUARD_PAIRS]
        used, place = np.unique(np.concatenate([one, other]), return_inverse=True)
        numbers, here = np.unique(file[used], return_inverse=True)
        yield GuardJob(
            place[: len(one)], place[len(one) :], here.astype(np.int32),
            [kept[number].file for number in numbers.tolist()], start[used], end[used],
        )  # fmt: skip


def objections_of(job: GuardJob) -> NDArray[np.uint8]:
    """What the guard says of each pair."""
    from costplan.similarity.guard import objections

    texts = [""] * len(job.file)
    for number, path in enumerate(job.files):
        with path.open("rb") as file:
            for text in np.flatnonzero(job.file == number).tolist():
                file.seek(int(job.start[text]))
                texts[text] = file.read(int(job.end[text] - job.start[text])).decode("utf-8", "surrogatepass")
    return objections(job.first, job.second, texts)
