"""One split of a log -> a file of numeric columns and the books of what was read; runs in a worker."""

import ctypes
import gc
import hashlib
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from costplan.engine import write_batches
from costplan.ingest.decode import decode
from costplan.ingest.detect import BY_NAME as DIALECT_BY_NAME
from costplan.ingest.detect import Detected, dialect_of, reader_of, reading_of, unwrap
from costplan.ingest.features import FeatureBuilder, FeatureSettings
from costplan.ingest.records import line_blocks, records
from costplan.ingest.source import Split
from costplan.trace import BadRecord, Call, NotACall, check

CHUNK_ROWS = 131_072
FIRST_LINES = 5
COMPILE_FROM_BYTES = 100_000_000
"""From here on, loading the compiled loops pays."""


@dataclass(slots=True)
class SplitBooks:
    """What happened to every record of a split. Line numbers count inside the split until `offset` is known."""

    records: int = 0
    lines: int = 0
    not_a_call: Counter[str] = field(default_factory=Counter[str])
    skipped: Counter[str] = field(default_factory=Counter[str])
    first_lines: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def reject(self, line: int, reason: str) -> None:
        """Count a record that cannot become a row."""
        self.records += 1
        self.skipped[reason] += 1
        lines = self.first_lines.setdefault(reason, [])
        if len(lines) < FIRST_LINES:
            lines.append(line)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one split on disk, with the small tables that its ids point into."""

    path: Path
    rows: int
    source_index: int
    split_index: int
    kinds: list[tuple[str, str, str, str, str, str]]
    sites: list[tuple[int, str, int]]
    tagsets: list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ParseJob:
    """Everything a worker needs to parse one split."""

    index: int
    split: Split
    detected: Detected
    settings: FeatureSettings
    folder: Path
    max_records: int | None = None

    @property
    def compiled(self) -> bool:
        """Whether the log is long enough for compiled loops."""
        return compiles(self.split, self.max_records)


def compiles(split: Split, max_records: int | None) -> bool:
    """Whether a log is long enough for compiled loops, and they can call the hash that they need."""
    return split.source.size >= COMPILE_FROM_BYTES and max_records is None and _exports_xxh3()


def walks(split: Split, detected: Detected, max_records: int | None) -> bool:
    """Whether lines are read by the compiled walk as far as they are plain."""
    plain = detected.name == "pairs" and split.source.kind == "lines" and not detected.mapping
    return plain and compiles(split, max_records)


@cache
def _exports_xxh3() -> bool:
    """Compiled loops can call the xxhash package's own function; on Windows modules hide theirs."""
    spec = find_spec("xxhash._xxhash")
    return spec is not None and spec.origin is not None and hasattr(ctypes.CDLL(spec.origin), "XXH3_64bits")


@dataclass(slots=True)
class Parsed:
    """A finished split."""

    job: ParseJob
    books: SplitBooks
    chunks: list[Chunk]
    lengths: dict[str, tuple[int, int, int]]
    """By role group: the longest text, how many distinct ones are that long, and how many there are in all."""
    links: NDArray[np.uint64]


def read_calls(
    split: Split, detected: Detected, books: SplitBooks, max_records: int | None = None, only: Set[int] | None = None
) -> Iterator[tuple[int, Call | NotACall]]:
    """(line, call or non-call) for every record of a split that can be read; the books count the rest.

    `only`: lines that must be among them; others are left out where that saves decoding them. A record that the file's
    dialect cannot use is offered to the dialect whose signature it carries: files are mixed.
    """
    read, at_end = reading_of(detected)
    lines, line = [0], 0
    for line, record in records(split, books.reject, lines, None if split.source.whole else only):
        try:
            found = _calls(record, read, detected)
        except BadRecord as bad:
            books.reject(line, bad.reason)
            continue
        for call in _checked(found, line, books):
            yield line, call
        if max_records is not None and books.records >= max_records:
            lines[0] = line  # --head: the source was left in the middle
            break
    for call in _checked(at_end(), line, books):
        yield line, call
    books.lines = lines[0]


def calls_of_line(raw: bytes, line: int, read: Any, detected: Detected, books: SplitBooks) -> list[Call | NotACall]:
    """The calls of one line; the books count what cannot be read."""
    try:
        return list(_checked(_calls(decode(raw), read, detected), line, books))
    except BadRecord as bad:
        books.reject(line, bad.reason)
        return []


def _checked(found: list[Call | NotACall], line: int, books: SplitBooks) -> Iterator[Call | NotACall]:
    """The calls that keep the trace's invariants; every one is counted, the others as skipped."""
    for call in found:
        try:
            if type(call) is Call:
                check(call)
        except BadRecord as bad:
            books.reject(line, bad.reason)
            continue
        books.records += 1
        yield call


def _calls(record: Any, read: Any, detected: Detected) -> list[Call | NotACall]:
    if not isinstance(record, dict):
        raise BadRecord("not_an_object")
    record = cast(dict[str, Any], record)
    try:
        return read(record)
    except BadRecord as bad:
        if detected.mapping or detected.forced:
            raise
        other = dialect_of(record)
        if other is not None and other != detected.name:
            return DIALECT_BY_NAME[other].calls(record)
        inner = unwrap(record) if other is None else []
        if len(inner) > 1 or (inner and inner[0] is not record):
            return [call for element in inner for call in _calls(element, read, detected)]
        raise bad from None


def parse_split(job: ParseJob) -> Parsed:
    """Read a split, write its columns, return its books."""
    gc.disable()  # nothing here makes reference cycles, and the collector would walk the remembered texts over and over
    try:
        return _parse_split(job)
    finally:
        gc.enable()


def _parse_split(job: ParseJob) -> Parsed:
    books = SplitBooks()
    builder = FeatureBuilder(job.settings, compiled=job.compiled)
    chunks: list[Chunk] = []

    def flush() -> None:
        rows, features = builder.rows, builder.features()
        path = job.folder / f"rows-{job.index:06d}-{len(chunks):03d}.arrow"
        write_batches(path, [features.columns])
        chunks.append(
            Chunk(path, rows, job.split.source_index, job.index, features.kinds, features.sites, features.tagsets)
        )

    for _ in _added(job, builder, books):
        if builder.rows >= CHUNK_ROWS:
            flush()
    flush()
    lengths = {
        group: (max(counts), counts[max(counts)], sum(counts.values()))
        for group, counts in builder.lengths.items()
        if counts
    }  # fmt: skip
    return Parsed(job, books, chunks, lengths, np.array(builder.links, dtype=np.uint64).reshape(-1, 2))


def _added(job: ParseJob, builder: FeatureBuilder, books: SplitBooks) -> Iterator[None]:
    """Add every record of the split to the builder; yields now and then, so that the caller can write what is there."""
    if walks(job.split, job.detected, job.max_records):
        yield from _added_blocks(job, builder, books)
        return
    for line, call in read_calls(job.split, job.detected, books, job.max_records):
        _add(builder, books, line, call)
        yield


def _add(builder: FeatureBuilder, books: SplitBooks, line: int, call: Call | NotACall) -> None:
    if type(call) is Call:
        builder.add(call, line)
    else:
        books.not_a_call[cast(NotACall, call).reason] += 1
        builder.link(cast(NotACall, call))


def _added_blocks(job: ParseJob, builder: FeatureBuilder, books: SplitBooks) -> Iterator[None]:
    """Lines of pairs, block by block: the plain ones straight into columns, all others the general way."""
    from costplan.ingest.plain import PlainLines

    plain, read, lines = PlainLines(builder), reader_of(job.detected), [0]
    for first, block in line_blocks(job.split, books.reject, lines):
        for line, raw in plain.declined(block, first):
            if not raw.strip():
                continue
            for call in calls_of_line(raw, line, read, job.detected, books):
                _add(builder, books, line, call)
            yield
        yield
    books.records += plain.taken
    books.lines = lines[0]


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes as they lie on disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
