"""Logs in, settled chunks and books out: the one place that sees all files together; knows no price."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import Executor, read_batch
from costplan.errors import CostplanError
from costplan.ingest.detect import Detected, detect
from costplan.ingest.features import FeatureSettings
from costplan.ingest.generic import parse_map
from costplan.ingest.parse import FIRST_LINES, Chunk, Parsed, ParseJob, parse_split, sha256_of
from costplan.ingest.settle import settle
from costplan.ingest.source import Source, Split, expand, open_source, splits_of
from costplan.results import Input
from costplan.settings import AnalyzeSettings
from costplan.trace import NO_TIME, Flag

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Everything read from the files of one run."""

    sources: list[Source]
    detected: list[Detected]
    inputs: list[Input]
    chunks: list[Chunk]
    dropped: list[NDArray[np.int64]]
    line_offsets: dict[Path, int]
    """By chunk file: lines of its source before its split."""
    bytes: int
    records: int
    not_a_call: Counter[str]
    skipped: Counter[str]
    first_lines: dict[str, list[str]]
    duplicates: int
    repeated_ids: int
    merged: int
    cut_lengths: dict[str, int]
    last_us: int | None
    """Latest absolute time in the log."""


@dataclass(frozen=True, slots=True)
class _Digest:
    path: Path
    size: int


def read_log(
    paths: list[str], settings: AnalyzeSettings, features: FeatureSettings, work: Path, pool: Executor, report: Progress
) -> Log:
    """Parse all files. Raises CostplanError for a file that is no log and for a log without a single call."""
    sources, detected = open_logs(paths, settings, work)
    jobs = _jobs(sources, detected, settings, features, work)
    parsed, digests = _parse(jobs, sources, settings.head, pool, report)
    settled = settle(parsed, work)
    books: Counter[str] = Counter()
    for split in parsed:
        books.update(split.books.not_a_call)
    if settled.parent_spans:
        books["parent_span_repeats_children"] = settled.parent_spans
    skipped, first_lines, offsets, lines = _lines(parsed, sources)
    chunk_offsets = {chunk.path: offsets[split.job.index] for split in parsed for chunk in split.chunks}
    merged_from = {chunk.path: chunk for chunk in settled.chunks if chunk.path not in chunk_offsets}
    chunk_offsets |= {path: _origin_offset(path, chunk_offsets) for path in merged_from}
    records = sum(split.books.records for split in parsed)
    if records == sum(skipped.values()) + sum(books.values()):
        raise _no_calls(sources, skipped, first_lines, books)
    inputs = [
        Input(
            path=source.shown, format=detected[i].name, runner_up=detected[i].runner_up, rule=detected[i].rule,
            lines=lines[i], bytes=source.size, sha256=digests[i],
        )
        for i, source in enumerate(sources)
    ]  # fmt: skip
    return Log(
        sources=sources, detected=detected, inputs=inputs, chunks=settled.chunks, dropped=settled.dropped,
        line_offsets=chunk_offsets,
        bytes=sum(source.size for source in sources) * (1 if settings.head is None else 0) or 1,
        records=records, not_a_call=books, skipped=skipped, first_lines=first_lines,
        duplicates=settled.duplicates, repeated_ids=settled.repeated_ids, merged=settled.merged,
        cut_lengths=settled.cut_lengths, last_us=_last_us(settled.chunks), 
    )  # fmt: skip


def open_logs(paths: list[str], settings: AnalyzeSettings, work: Path) -> tuple[list[Source], list[Detected]]:
    """Files with their dialects. Stdin (`-`) is copied into the run's private folder first."""
    sources: list[Source] = []
    for name in expand(paths):
        spool = work / "stdin"
        if name == "-":
            _spool(spool)
        sources.append(open_source(name, spool))
    mapping = parse_map(list(settings.map)) if settings.map else {}
    return sources, [detect(source, forced=settings.format, mapping=mapping) for source in sources]


def _spool(path: Path) -> None:
    import shutil
    import sys

    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)


def _jobs(
    sources: list[Source], detected: list[Detected], settings: AnalyzeSettings, features: FeatureSettings, work: Path
) -> list[ParseJob]:
    splits = [split for index, source in enumerate(sources) for split in splits_of(index, source)]
    return [
        ParseJob(index, split, detected[split.source_index], features, work, settings.head)
        for index, split in enumerate(splits)
    ]


def _work(item: ParseJob | _Digest) -> Parsed | str:
    return parse_split(item) if isinstance(item, ParseJob) else sha256_of(item.path)


def _parse(
    jobs: list[ParseJob], sources: list[Source], head: int | None, pool: Executor, report: Progress
) -> tuple[list[Parsed], list[str]]:
    """Parse all splits and digest all files, side by side; with --head, splits one by one until enough is read."""
    if head is not None:
        parsed: list[Parsed] = []
        for job in jobs:
            parsed.append(parse_split(job))
            if sum(split.books.records for split in parsed) >= head:
                break
        return parsed, ["" for _ in sources]
    total = sum(_size(job) for job in jobs)
    done = 0

    def on_done(item: ParseJob | _Digest) -> None:
        nonlocal done
        if isinstance(item, ParseJob):
            done += _size(item)
            report("reading", done, total)

    digests: list[ParseJob | _Digest] = [_Digest(source.file, source.size) for source in sources]
    results = pool.map(_work, [*digests, *jobs], on_done)
    return [r for r in results if isinstance(r, Parsed)], [r for r in results if isinstance(r, str)]


def _size(job: ParseJob) -> int:
    split: Split = job.split
    return split.end - split.start if split.source.kind != "parquet" else split.source.size


def _lines(
    parsed: list[Parsed], sources: list[Source]
) -> tuple[Counter[str], dict[str, list[str]], dict[int, int], list[int]]:
    """(skipped by reason, their first places, lines before each split, lines per source)."""
    skipped: Counter[str] = Counter()
    first: dict[str, list[str]] = {}
    lines = [0 for _ in sources]
    offsets: dict[int, int] = {}
    for split in parsed:
        index = split.job.split.source_index
        offsets[split.job.index] = lines[index]
        skipped.update(split.books.skipped)
        for reason, numbers in split.books.first_lines.items():
            places = first.setdefault(reason, [])
            places += [f"{sources[index].shown}:{number + lines[index]}" for number in numbers]
            del places[FIRST_LINES:]
        lines[index] += split.books.lines
    return skipped, first, offsets, lines


def _origin_offset(path: Path, offsets: dict[Path, int]) -> int:
    """A merged chunk keeps the offset of the chunk it was made from."""
    return offsets[path.with_name(path.name.replace("-merged", ""))]


def _last_us(chunks: list[Chunk]) -> int | None:
    latest: int | None = None
    for chunk in chunks:
        columns: dict[str, Any] = read_batch(chunk.path, 0, ["time_us", "flags"])
        dated = columns["time_us"][(columns["time_us"] != NO_TIME) & ((columns["flags"] & Flag.RELATIVE_TIME) == 0)]
        if len(dated):
            latest = max(int(dated.max()), latest) if latest is not None else int(dated.max())
    return latest


def _no_calls(
    sources: list[Source], skipped: Counter[str], first: dict[str, list[str]], not_a_call: Counter[str]
) -> CostplanError:
    shown = ", ".join(source.shown for source in sources[:3])
    reasons = [f"{count} {reason} ({first[reason][0]})" for reason, count in skipped.most_common(3)]
    reasons += [f"{count} {reason}" for reason, count in not_a_call.most_common(3)]
    return CostplanError(
        f"{shown}: no record in it is a model call" + (f": {'; '.join(reasons)}" if reasons else ""),
        hint="check that this is the export with the requests; --format NAME or --map COLUMN=FIELD override the guess",
    )
