"""Logs in, settled chunks and books out: the one place that sees all files together; knows no price."""

import gc
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import Executor, read_batch
from costplan.errors import CostplanError, UsageError
from costplan.ingest.archive import is_zip, unzip
from costplan.ingest.detect import Detected, detect, reads_in_order
from costplan.ingest.features import FeatureSettings
from costplan.ingest.generic import parse_map
from costplan.ingest.parse import FIRST_LINES, Chunk, Parsed, ParseJob, parse_split, sha256_of
from costplan.ingest.settle import settle
from costplan.ingest.source import Source, Split, expand, open_source, splits_of
from costplan.ingest.trees import trees_of
from costplan.results import Input
from costplan.results.agents import CallTrees
from costplan.settings import AnalyzeSettings
from costplan.trace import NO_TIME, Flag

SHARE_FROM_SPLITS = 8
ROUND_BYTES = 1_600_000_000
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
    trees: CallTrees | None = None

    @property
    def rows(self) -> int:
        """Rows of all chunks, dropped ones included."""
        return sum(chunk.rows for chunk in self.chunks)


@dataclass(frozen=True, slots=True)
class Opened:
    """The logs of a run, each with its dialect, and the files beside them that are none."""

    sources: list[Source]
    detected: list[Detected]
    no_logs: list[str]


def read_log(
    paths: list[str] | Opened, settings: AnalyzeSettings, features: FeatureSettings, work: Path, pool: Executor,
    report: Progress,
) -> Log:  # fmt: skip
    """Parse all files. Raises CostplanError for a file that is no log and for a log without a single call."""
    opened = paths if isinstance(paths, Opened) else open_logs(paths, settings, work)
    _refuse_exports(opened)
    sources, detected = opened.sources, opened.detected
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
    if opened.no_logs:
        skipped["file_is_no_log"] = len(opened.no_logs)
        first_lines["file_is_no_log"] = [f"{name}:1" for name in opened.no_logs[:FIRST_LINES]]
    records = sum(split.books.records for split in parsed) + len(opened.no_logs)
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
        trees=trees_of(settled.chunks, [split.links for split in parsed], settled.dropped), 
    )  # fmt: skip


def _refuse_exports(opened: Opened) -> None:
    """A row that stands for many calls is none: raises CostplanError where a file holds such rows."""
    exports = [i for i, detected in enumerate(opened.detected) if detected.aggregated]
    if not exports:
        return
    name = opened.sources[exports[0]].shown
    if len(exports) < len(opened.sources):
        log = next(s.shown for i, s in enumerate(opened.sources) if i not in exports)
        paths = [log if "/" not in log.partition(".zip")[2] else "LOG", name]
        raise UsageError(
            f"{name}: an aggregated export beside a log ({log}): their calls would count twice",
            hint=f"{shlex.join(['costplan', 'analyze', paths[0], '--invoice', paths[1]])} compares them; or give one",
        )
    raise CostplanError(
        f"{name}: an aggregated export ({opened.detected[exports[0]].name}), which holds no single call",
        hint=f"this needs a request log; what the export can tell: {shlex.join(['costplan', 'analyze', name])}",
    )


def site_names(log: Log, by_spend: list[int]) -> tuple[dict[int, str], dict[int, str]]:
    """(name, first line) of every call site: the log's own name, else a number by spend that no name has taken."""
    names: dict[int, str] = {}
    places: dict[int, str] = {}
    for chunk in log.chunks:
        for key, name, line in chunk.sites:
            if key not in names:
                names[key] = name
                places[key] = f"{log.sources[chunk.source_index].shown}:{line + log.line_offsets[chunk.path]}"
    taken = set(names.values())
    free = (name for number in range(1, 2 * len(names) + 2) if (name := f"site-{number:02d}") not in taken)
    for key in by_spend:
        names[key] = names[key] or next(free)
    return names, places


def open_logs(paths: list[str], settings: AnalyzeSettings, work: Path) -> Opened:
    """Files with their dialects. Pipes (`-` is stdin) are copied into the run's private folder first.

    A file that a directory or a glob holds is left out where it is no log; one that the user named is an error.
    """
    opened = Opened([], [], [])
    mapping = parse_map(list(settings.map)) if settings.map else {}
    refused: list[CostplanError] = []
    for name, file, named in _files(paths, work):
        try:
            source = open_source(name, file)
            detected = detect(source, forced=settings.format, mapping=mapping)
        except CostplanError as error:
            if named or isinstance(error, UsageError):
                raise
            refused.append(error)
            if (file or Path(name)).stat().st_size:
                opened.no_logs.append(name)
            continue
        opened.sources.append(replace(source, whole=reads_in_order(detected)))
        opened.detected.append(detected)
    if not opened.sources:
        raise refused[0]
    return opened


def _files(paths: list[str], work: Path) -> Iterator[tuple[str, Path | None, bool]]:
    """(name, where its bytes are if elsewhere, whether the user named the file itself); a zip archive is a folder."""
    for name, named in expand(paths).items():
        file = _spooled(name, work)
        if is_zip(file or Path(name)):
            members = unzip("stdin" if name == "-" else name, file or Path(name), work)
            yield from ((member, copy, len(members) == 1) for member, copy in members)
        else:
            yield name, file, named


def _spooled(name: str, work: Path) -> Path | None:
    """Where the bytes of stdin or of a named pipe have been copied; None for a regular file."""
    if name != "-" and Path(name).is_file():
        return None
    spool = work / f"pipe-{len(list(work.glob('pipe-*')))}"
    with spool.open("wb") as file:
        if name == "-":
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        else:
            with Path(name).open("rb") as pipe:
                shutil.copyfileobj(pipe, file, 1 << 20)
    return spool


def _jobs(
    sources: list[Source], detected: list[Detected], settings: AnalyzeSettings, features: FeatureSettings, work: Path
) -> list[ParseJob]:
    splits = [split for index, source in enumerate(sources) for split in splits_of(index, source)]
    return [
        ParseJob(index, split, detected[split.source_index], features, work, settings.head)
        for index, split in enumerate(splits)
    ]


def _parse(
    jobs: list[ParseJob], sources: list[Source], head: int | None, pool: Executor, report: Progress
) -> tuple[list[Parsed], list[str]]:
    """Parse all splits and digest all files, side by side; with --head, splits one by one until enough is read."""
    if head is not None:
        looked: list[Parsed] = []
        for job in jobs:
            looked.append(parse_split(job))
            if sum(split.books.records for split in looked) >= head:
                break
        return looked, ["" for _ in sources]
    total = sum(_size(job) for job in jobs)
    done = 0

    def on_done(job: ParseJob) -> None:
        nonlocal done
        done += _size(job)
        report("reading", done, total)

    with pool.ahead(sha256_of, [source.file for source in sources]) as digests:
        first: list[Parsed] = []
        if len(jobs) >= SHARE_FROM_SPLITS:
            # parsed here, before the workers are forked: vocabularies and compiled loops that it loads are theirs, too
            first, jobs = [parse_split(jobs[0])], jobs[1:]
            gc.freeze()
        parsed = first
        for some in _rounds(jobs):
            parsed += pool.map(parse_split, some, on_done)
            pool.close()  # with the workers goes what they know of the texts
        return parsed, digests()


def _rounds(jobs: list[ParseJob]) -> list[list[ParseJob]]:
    """Jobs of about ROUND_BYTES each: every round gets new workers, since memory freed here and there stays theirs."""
    rounds: list[list[ParseJob]] = [[]]
    held = 0
    for job in jobs:
        if held > ROUND_BYTES:
            rounds.append([])
            held = 0
        rounds[-1].append(job)
        held += _size(job)
    return rounds


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
