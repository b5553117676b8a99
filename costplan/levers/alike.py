"""Prompts of a log -> the pairs among them that a cache may ever serve for each other, and what a guard says of each.

Requests of equal context (all but the last turn) are compared. Where answers live a TTL from storing, only prompts that
were asked within it can be served for each other, so only these are compared: in windows of two TTLs, laid twice, half
a window apart, any two times within a TTL share a window. Texts and vectors lie in files; no worker sees them all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from costplan.engine import concat, read_batch, write_batches
from costplan.errors import CostplanError
from costplan.levers.response_cache import CacheSetting, eligible_rows
from costplan.similarity.guard import DEFAULT_THRESHOLD, NUMBER
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
_DIMENSIONS = 256
_JOB_PROMPTS = 20_000
_JOB_TEXTS = 5_000
_GUARD_PAIRS = 5_000


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
    """(U,) ascending."""
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
    key: NDArray[np.uint64]
    """(k,)"""


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """C different texts: where they lie, and which of them each prompt has."""

    files: list[Path]
    file: Ints
    """(C,) into `files`."""
    start: Ints
    end: Ints
    of_row: Ints
    """(U,) by row of Company.prompt."""


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


def keep_texts(folder: Path, rows: list[int], texts: list[str]) -> Kept:
    """Write texts to a file of their own."""
    file = folder / f"texts-{rows[0]}"
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    file.write_bytes(b"".join(raw))
    key = np.array([xxh3_64_intdigest(each) for each in raw], np.uint64)
    return Kept(file, np.array(rows, np.int64), np.cumsum([len(each) for each in raw]), key)


def contents_of(kept: list[Kept]) -> Contents:
    """The different texts among those kept."""
    key, row, end = (np.concatenate([getattr(part, name) for part in kept]) for name in ("key", "row", "end"))
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first)  # as they lie in the files
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    of_row = np.empty(len(row), np.int64)
    of_row[row] = rank[inverse]
    file = np.repeat(np.arange(len(kept)), [len(part.row) for part in kept])
    start = np.append(0, end[:-1])
    start[np.flatnonzero(np.diff(file, prepend=-1))] = 0
    at = first[order]
    return Contents([part.file for part in kept], file[at], start[at], end[at], of_row)


@dataclass(frozen=True, slots=True, eq=False)
class TextJob:
    """Some texts: where they lie, and the file of the vectors with the row at which theirs begin."""

    files: list[Path]
    file: Ints
    start: Ints
    end: Ints
    vectors: Path
    row: int

    def texts(self) -> list[str]:
        """All of them."""
        found = [""] * len(self.file)
        for number, path in enumerate(self.files):
            data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
            for text in np.flatnonzero(self.file == number).tolist():
                found[text] = data[self.start[text] : self.end[text]].tobytes().decode("utf-8", "surrogatepass")
        return found


def _text_job(contents: Contents, some: slice | Ints, vectors: Path, row: int = 0) -> TextJob:
    numbers, file = np.unique(contents.file[some], return_inverse=True)
    files = [contents.files[int(number)] for number in numbers]
    return TextJob(files, file, contents.start[some], contents.end[some], vectors, row)


def _embedded(contents: Contents, vectors: Path, spread: Map[Any, Any]) -> None:
    """Write the vectors of all texts to a file."""
    vectors.write_bytes(b"")
    starts = range(0, len(contents.file), _JOB_TEXTS)
    spread("vectors", write_vectors, [_text_job(contents, slice(at, at + _JOB_TEXTS), vectors, at) for at in starts])


def write_vectors(job: TextJob) -> None:
    """Write the vectors of some texts to their place."""
    from costplan.similarity.embed import static_vectors

    data = static_vectors(job.texts()).tobytes()
    with job.vectors.open("r+b") as file:
        file.seek(4 * _DIMENSIONS * job.row)
        file.write(data)


def _numbers(contents: Contents, used: Ints, spread: Map[Any, Any]) -> NDArray[np.uint64]:
    """(C,) keys of the numbers in some texts, 0 for the others."""
    parts = [used[at : at + _JOB_TEXTS] for at in range(0, len(used), _JOB_TEXTS)]
    found = np.zeros(len(contents.file), np.uint64)
    keys = spread("numbers", numbers_in, [_text_job(contents, part, Path()) for part in parts])
    for part, some in zip(parts, keys, strict=True):
        found[part] = some
    return found


def numbers_in(job: TextJob) -> NDArray[np.uint64]:
    """Keys of the numbers in some texts."""
    from costplan.similarity.guard import number_keys

    return number_keys(job.texts())


@dataclass(frozen=True, slots=True, eq=False)
class PairJob:
    """The prompts of some contexts: rows [first, last) of Company.prompt."""

    vectors: Path
    out: Path
    first: int
    last: int
    content: Ints
    """(last - first,) row of each one's vector."""
    nodes: list[tuple[Ints, Ints]]
    """(row, scope), as in Company."""
    asked_row: Ints
    """(m,) what is asked in these contexts, in order of arrival."""
    asked_us: Ints
    ttl_us: int | None


def pairs_of(
    asked: Asked, company: Company, kept: list[Kept], folder: Path, setting: CacheSetting, spread: Map[Any, Any]
) -> AlikePairs:
    """All pairs that a cache under this setting may ever serve for each other.

    Raises:
        CostplanError: too many pairs, or too many prompts to compare each with each.
    """
    if not kept:
        none = np.zeros(0, np.int32)
        return AlikePairs(none, none, np.zeros(0, np.float32), np.zeros(0, np.uint8))
    contents, vectors = contents_of(kept), folder / "vectors.f32"
    _embedded(contents, vectors, spread)
    jobs = list(_pair_jobs(asked, company, contents, vectors, setting))
    recalls = [recall for recall in spread("similar prompts", write_pairs, jobs) if recall is not None]
    if _pair_bytes(folder) > MOST_PAIRS * _PAIR_BYTES:
        raise _too_many()
    found = concat([read_batch(job.out, 0) for job in jobs])
    first, second = contents.of_row[found["first"]], contents.of_row[found["second"]]
    numbers = _numbers(contents, np.unique(np.concatenate([first, second])), spread)
    objection = np.full(len(first), NUMBER, np.uint8)
    same = np.flatnonzero(numbers[first] == numbers[second])
    objection[same] = _guarded(np.minimum(first, second)[same], np.maximum(first, second)[same], contents, spread)
    prompt = company.prompt.astype(np.int32)
    return AlikePairs(
        prompt[found["first"]], prompt[found["second"]], found["cosine"], objection, min(recalls, default=None)
    )


def _pair_jobs(
    asked: Asked, company: Company, contents: Contents, vectors: Path, setting: CacheSetting
) -> Iterator[PairJob]:
    row = np.full(len(asked.first_gid), -1, np.int64)
    row[company.prompt] = np.arange(len(company.prompt))
    nodes = [(row[prompt], scope) for prompt, scope in company.nodes]
    asked_row, ttl_us = row[asked.prompt], _ttl_us(setting)
    order = np.argsort(asked_row, kind="stable")
    ordered = asked_row[order]
    for first, last in _cut(asked.context[company.prompt]):
        here = np.sort(order[slice(*np.searchsorted(ordered, (first, last)).tolist())])
        yield PairJob(
            vectors, vectors.with_name(f"pairs-{first}"), first, last, contents.of_row[first:last],
            [_between(*each, first, last) for each in nodes], asked_row[here], asked.columns["time_us"][here], ttl_us,
        )  # fmt: skip


def _between(row: Ints, scope: Ints, first: int, last: int) -> tuple[Ints, Ints]:
    some = slice(*np.searchsorted(row, (first, last)).tolist())
    return row[some], scope[some]


def _cut(context: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
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


def _pair_bytes(folder: Path) -> int:
    """About what the pairs that were found take up in files."""
    return sum(path.stat().st_size for path in folder.glob("pairs-*"))


def write_pairs(job: PairJob) -> tuple[float, float] | None:
    """Write the pairs that are close and were asked within a TTL; (recall, low) where an index found them."""
    from costplan.similarity.graph import TooManyPairs, close_pairs

    if _pair_bytes(job.out.parent) > MOST_PAIRS * _PAIR_BYTES:
        raise _too_many()
    count = job.last - job.first
    vectors = np.memmap(job.vectors, np.float32, "r").reshape(-1, _DIMENSIONS)
    parts: list[tuple[Ints, NDArray[np.float32]]] = []
    recalls: list[tuple[float, float]] = []
    for row, scope in job.nodes:
        here = row - job.first
        try:
            pairs, audit = close_pairs(
                vectors[job.content[here]], scope.astype(np.uint64), THRESHOLD, most_pairs=MOST_PAIRS
            )
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
    """(P,) pairs of which the one was ever asked within a TTL of the other.

    Args:
        first: (P,) numbers of prompts, below `count`, as `second` and `asked`.
        asked: (m,) prompt of each request, in order of arrival.
    """
    order = np.argsort(asked, kind="stable")  # by prompt, each one's requests in order of arrival
    place = asked[order] * len(time) + order
    edges = np.searchsorted(asked[order], np.arange(count + 1))
    earliest, latest, requests = time[order[edges[:-1]]], time[order[edges[1:] - 1]], np.diff(edges)
    met = np.abs(earliest[first] - earliest[second]) <= ttl_us
    gap = np.maximum(earliest[first] - latest[second], earliest[second] - latest[first])
    unsure = np.flatnonzero(~met & (gap <= ttl_us))
    # of the prompt with fewer requests: is any within a TTL of the other's last before it, or first behind it?
    one, other = first[unsure], second[unsure]
    fewer = requests[one] <= requests[other]
    few, many = np.where(fewer, one, other), np.where(fewer, other, one)
    pair = np.repeat(np.arange(len(unsure)), requests[few])
    nth = np.arange(len(pair)) - np.repeat(np.cumsum(requests[few]) - requests[few], requests[few])
    arrival = order[edges[few[pair]] + nth]
    behind: Ints = np.searchsorted(place, many[pair] * len(time) + arrival)
    for step in (-1, 0):
        near = order[np.clip(behind + step, 0, len(time) - 1)]
        close = (asked[near] == many[pair]) & (np.abs(time[near] - time[arrival]) <= ttl_us)
        met[unsure[pair[close]]] = True
    return met


@dataclass(frozen=True, slots=True, eq=False)
class GuardJob:
    """Some pairs of texts."""

    first: Ints
    second: Ints
    """Into the texts of the job."""
    of: TextJob


def _guarded(first: Ints, second: Ints, contents: Contents, spread: Map[Any, Any]) -> NDArray[np.uint8]:
    """What the guard says of pairs of texts, the lower number first."""
    count = len(contents.file)
    distinct, pair = np.unique(first * count + second, return_inverse=True)
    one, other = np.divmod(distinct, count)
    order = _by_family(one, other, count)
    jobs: list[GuardJob] = []
    for at in range(0, len(order), _GUARD_PAIRS):
        some = order[at : at + _GUARD_PAIRS]
        used, place = np.unique(np.concatenate([one[some], other[some]]), return_inverse=True)
        jobs.append(GuardJob(place[: len(some)], place[len(some) :], _text_job(contents, used, Path())))
    found = np.empty(len(distinct), np.uint8)
    found[order] = np.concatenate([np.zeros(0, np.uint8), *spread("guard", objections_of, jobs)])
    return found[pair]


def _by_family(one: Ints, other: Ints, count: int) -> Ints:
    """An order of pairs in which those that hang together follow each other: a worker looks at few texts only."""
    if len(one) <= _GUARD_PAIRS:
        return np.arange(len(one))
    from scipy.sparse import coo_array, csgraph

    edges = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(count, count))
    components: Any = cast(Any, csgraph).connected_components(edges, directed=False)
    family: Ints = components[1][one]
    return np.lexsort((other, one, family))


def objections_of(job: GuardJob) -> NDArray[np.uint8]:
    """What the guard says of each pair."""
    from costplan.similarity.guard import objections

    return objections(job.first, job.second, job.of.texts())
