"""One split of a log -> a file of numeric columns and the books of what was read; runs in a worker."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from costplan.engine import write_batches
from costplan.ingest.detect import BY_NAME as DIALECT_BY_NAME
from costplan.ingest.detect import Detected, dialect_of, reader_of, unwrap
from costplan.ingest.features import FeatureBuilder, FeatureSettings
from costplan.ingest.source import Split, records
from costplan.trace import BadRecord, Call, NotACall, check

CHUNK_ROWS = 65_536
FIRST_LINES = 5


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


@dataclass(slots=True)
class Parsed:
    """A finished split."""

    job: ParseJob
    books: SplitBooks
    chunks: list[Chunk]
    lengths: dict[str, dict[int, int]]
    links: NDArray[np.uint64]


def read_calls(
    split: Split, detected: Detected, books: SplitBooks, max_records: int | None = None
) -> Iterator[tuple[int, Call | NotACall]]:
    """(line, call or non-call) for every record of a split that can be read; the books count the rest.

    A record that the file's dialect cannot use is offered to the dialect whose signature it carries: files are mixed.
    """
    read = reader_of(detected)
    lines = [0]
    for line, record in records(split, books.reject, lines):
        try:
            found = _calls(record, read, detected)
        except BadRecord as bad:
            books.reject(line, bad.reason)
            continue
        for call in found:
            books.records += 1
            if type(call) is Call:
                try:
                    check(call)
                except BadRecord as bad:
                    books.records -= 1
                    books.reject(line, bad.reason)
                    continue
            yield line, call
        if max_records is not None and books.records >= max_records:
            break
    books.lines = lines[0]


def _calls(record: Any, read: Any, detected: Detected) -> list[Call | NotACall]:
    if type(record) is not dict:
        raise BadRecord("not_an_object")
    try:
        return read(record)
    except BadRecord as bad:
        if detected.mapping:
            raise
        other = dialect_of(cast(dict[str, Any], record))
        if other is not None and other != detected.name:
            return DIALECT_BY_NAME[other].calls(record)
        inner = unwrap(cast(dict[str, Any], record)) if other is None else []
        if len(inner) > 1 or (inner and inner[0] is not record):
            return [call for element in inner for call in _calls(element, read, detected)]
        raise bad from None


def parse_split(job: ParseJob) -> Parsed:
    """Read a split, write its columns, return its books."""
    books = SplitBooks()
    builder = FeatureBuilder(job.settings)
    chunks: list[Chunk] = []
    rows = 0

    def flush() -> None:
        nonlocal rows
        features = builder.features()
        path = job.folder / f"rows-{job.index:06d}-{len(chunks):03d}.arrow"
        write_batches(path, [features.columns])
        chunks.append(Chunk(path, rows, job.split.source_index, features.kinds, features.sites, features.tagsets))
        rows = 0

    for line, call in read_calls(job.split, job.detected, books, job.max_records):
        if type(call) is Call:
            builder.add(call, line)
            rows += 1
            if rows == CHUNK_ROWS:
                flush()
        else:
            books.not_a_call[cast(NotACall, call).reason] += 1
            builder.link(cast(NotACall, call))
    flush()
    lengths = {group: dict(counts) for group, counts in builder.texts.lengths.items()}
    return Parsed(job, books, chunks, lengths, np.array(builder.links, dtype=np.uint64).reshape(-1, 2))


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes as they lie on disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
