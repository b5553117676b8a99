"""From a path to raw records with their line numbers: containers, compression, byte-range splits; knows no dialect.

A record is what one JSONL line, one array element, one CSV row or one Parquet row holds. Nothing is held whole:
memory is bounded by MAX_LINE_BYTES, whatever the file holds.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec

from costplan.errors import CostplanError
from costplan.trace import BadRecord

SPLIT_BYTES = 16 << 20
"""Fixed, not derived from the number of workers: the same splits, hence the same bytes, with 1, 2 or 4 of them."""
BLOCK_BYTES = 4 << 20
MAX_LINE_BYTES = 64 << 20
MAX_EXPANSION = 250
"""Logs shrink 5- to 40-fold; a file that expands more than this after its first 256 MB is taken for a bomb."""
_BOMB_FLOOR_BYTES = 256 << 20

Kind = Literal["lines", "values", "array", "csv", "parquet"]
Reject = Callable[[int, str], None]
"""Counts a record that could not be read: (line number, reason)."""

_DECODE = msgspec.json.Decoder().decode
_MAGIC = {b"\x89PNG": "a PNG image", b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"SQLi": "an SQLite database"}
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]"]|\n', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """One input file. `shown` is how the user named it; `file` is where its bytes are (stdin is spooled)."""

    shown: str
    file: Path
    kind: Kind
    compression: Literal["", "gzip", "zstd"]
    size: int
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a source: bytes [start, end) of a line file, row groups of a Parquet file, else the whole file."""

    source_index: int
    source: Source
    start: int
    end: int


def expand(paths: list[str]) -> list[str]:
    """Files named by paths, directories and globs, in a stable order. Raises CostplanError for what is not there."""
    found: list[str] = []
    for name in paths:
        path = Path(name)
        if name == "-" or path.is_file():
            found.append(name)
        elif path.is_dir():
            inside = sorted(str(p) for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            if not inside:
                raise CostplanError(
                    f"{name}: the directory holds no files", hint="name a log file or another directory"
                )
            found += [p for p in inside if _looks_like_log(p)]
        else:
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(anchor)) if path.is_absolute() else name
            matches = (
                sorted(str(p) for p in anchor.glob(pattern) if p.is_file()) if any(c in name for c in "*?[") else []
            )
            if not matches:
                raise CostplanError(
                    f"{name}: no such file", hint="check the path; quote globs so that costplan sees them"
                )
            found += matches
    return list(dict.fromkeys(found))


def _looks_like_log(name: str) -> bool:
    stem = name.lower().removesuffix(".gz").removesuffix(".zst")
    return stem.endswith((".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".log", ".txt"))


def open_source(name: str, spool: Path) -> Source:
    """Look at the first bytes of a file (`-` is stdin, copied to `spool`) and say how to read it.

    Raises CostplanError for an empty file and for what is no text, JSON, CSV or Parquet.
    """
    shown, file = ("stdin", spool) if name == "-" else (name, Path(name))
    size = file.stat().st_size
    if size == 0:
        raise CostplanError(f"{shown}: the file is empty", hint="export the log again, or name another file")
    with file.open("rb") as raw:
        magic = raw.read(4)
    compression: Literal["", "gzip", "zstd"] = (
        "gzip" if magic[:2] == b"\x1f\x8b" else "zstd" if magic == b"\x28\xb5\x2f\xfd" else ""
    )
    if magic == b"PAR1":
        return Source(shown, file, "parquet", "", size)
    if magic in _MAGIC:
        raise CostplanError(
            f"{shown}: this is {_MAGIC[magic]}, not a log", hint="costplan reads JSONL, JSON, CSV and Parquet"
        )
    with open_bytes(Source(shown, file, "lines", compression, size)) as stream:
        try:
            head = stream.read(1 << 18)
            while b"\n" not in head and len(head) < MAX_LINE_BYTES and (more := stream.read(BLOCK_BYTES)):
                head += more
        except (EOFError, OSError) as error:
            raise CostplanError(
                f"{shown}: cannot decompress ({error})", hint="the file is damaged or cut: copy it again"
            ) from error
    kind, delimiter = _kind(shown, head)
    return Source(shown, file, kind, compression, size, delimiter)


def _kind(shown: str, head: bytes) -> tuple[Kind, str]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise CostplanError(f"{shown}: the file holds only blanks", hint="export the log again, or name another file")
    if text[:1] == b"[":
        return "array", ","
    lines = [line for line in text.split(b"\n")[:50] if line.strip()]
    if any(_is_object(line) for line in lines):
        return "lines", ","
    if text[:1] == b"{" and b"\n" in text:
        return "values", ","
    first = lines[0]
    if b"\0" in head[:4096]:
        raise CostplanError(
            f"{shown}: this is a binary file, not a log", hint="costplan reads JSONL, JSON, CSV and Parquet"
        )
    delimiter = max((",", "\t", ";", "|"), key=lambda d: first.count(d.encode()))
    if text[:1] != b"{" and first.count(delimiter.encode()) > 0:
        return "csv", delimiter
    return "lines", ","


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line), dict)
    except BadRecord:
        return False


def splits_of(index: int, source: Source) -> list[Split]:
    """Cut a source; what cannot be cut (compressed, arrays, CSV with quoted line ends) is one split."""
    if source.kind == "parquet":
        import pyarrow.parquet as pq

        groups = pq.ParquetFile(source.file).metadata.num_row_groups
        return [Split(index, source, group, group + 1) for group in range(groups)]
    if source.kind != "lines" or source.compression:
        return [Split(index, source, 0, source.size)]
    starts = range(0, source.size, SPLIT_BYTES)
    return [Split(index, source, start, min(start + SPLIT_BYTES, source.size)) for start in starts]


def records(split: Split, reject: Reject, lines: list[int] | None = None) -> Iterator[tuple[int, Any]]:
    """(line number inside the split, decoded record) for every record; what cannot be read goes to `reject`.

    `lines`, a one-element list, is set to the number of lines seen (blank ones included).
    """
    seen = lines if lines is not None else [0]
    match split.source.kind:
        case "lines":
            return _line_records(split, reject, seen)
        case "csv":
            return _csv_records(split, reject, seen)
        case "parquet":
            return _parquet_records(split, seen)
        case _:
            return _value_records(split, reject, seen)


def decode(line: bytes) -> Any:
    """The JSON value of one line, by msgspec or, where that refuses it (NaN, lone surrogates, a byte order mark,
    invalid UTF-8), by the standard library. Raises BadRecord with the reason."""
    try:
        return _DECODE(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    text = line.decode("utf-8-sig", "replace")
    try:
        return json.loads(text)
    except RecursionError:
        raise BadRecord("nested_too_deeply") from None
    except ValueError:
        stripped = text.strip()
        if "\0" in stripped:
            raise BadRecord("binary_line") from None
        cut = stripped[:1] == "{" and stripped[-1:] != "}"
        raise BadRecord("truncated_json" if cut else "invalid_json") from None


def open_bytes(source: Source) -> IO[bytes]:
    """The decompressed bytes as a stream; raises CostplanError once it expands like a decompression bomb."""
    if source.compression == "gzip":
        return cast(IO[bytes], io.BufferedReader(_Guarded(_gzip(source.file), source)))
    if source.compression == "zstd":
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(
            source.file.open("rb"), read_across_frames=True, closefd=True
        )
        return cast(IO[bytes], io.BufferedReader(_Guarded(cast(IO[bytes], reader), source)))
    return source.file.open("rb")


def _gzip(file: Path) -> IO[bytes]:
    try:
        from isal import igzip
    except ModuleNotFoundError:
        return cast(IO[bytes], gzip.open(file, "rb"))
    return cast(IO[bytes], igzip.open(str(file), "rb"))


class _Guarded(io.RawIOBase):
    """A decompressed stream that counts what it gives out."""

    def __init__(self, inner: IO[bytes], source: Source) -> None:
        self._inner, self._source, self._out = inner, source, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        self._out += len(data)
        if self._out > max(_BOMB_FLOOR_BYTES, MAX_EXPANSION * self._source.size):
            raise CostplanError(
                f"{self._source.shown}: expands more than {MAX_EXPANSION}-fold, stopped as a decompression bomb",
                hint="if you trust the file, decompress it yourself and name the result",
            )
        return len(data)

    def close(self) -> None:
        self._inner.close()
        super().close()


def _line_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    for number, line in raw_lines(split, reject, seen):
        try:
            yield number, _DECODE(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            if not line.strip():
                continue
            try:
                yield number, decode(line)
            except BadRecord as bad:
                reject(number, bad.reason)


def raw_lines(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, bytes]]:
    """Lines that start inside [start, end); a line over MAX_LINE_BYTES is rejected without being held."""
    number, cut_line = 0, False
    limit = split.end - split.start if not split.source.compression else None
    with open_bytes(split.source) as stream:
        if split.start:
            stream.seek(split.start - 1)
            skipped = 0
            while (chunk := stream.readline(BLOCK_BYTES)) and not chunk.endswith(b"\n"):
                skipped += len(chunk)
            limit = split.end - stream.tell() if limit is not None else None
            if limit is not None and limit <= 0:
                return
        consumed, tail = 0, b""
        while True:
            try:
                block = stream.read(BLOCK_BYTES)
            except (EOFError, OSError):
                reject(number + 1, "damaged_compression")
                break
            if not block:
                break
            lines = (tail + block).split(b"\n")
            tail = lines.pop()
            for line in lines:
                if limit is not None and consumed >= limit:
                    seen[0] = number
                    return
                consumed += len(line) + 1
                number += 1
                if cut_line:
                    cut_line = False
                    reject(number, "line_too_long")
                    continue
                yield number, line
            if len(tail) > MAX_LINE_BYTES:
                cut_line, consumed, tail = True, consumed + len(tail), b""
        if tail or cut_line:
            if limit is None or consumed < limit or cut_line:
                number += 1
                if cut_line:
                    reject(number, "line_too_long")
                else:
                    yield number, tail
        seen[0] = number


def _csv_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    with open_bytes(split.source) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        reader = csv.reader((line.replace("\0", "") for line in text), delimiter=split.source.delimiter)
        header = [name.strip() for name in next(reader, [])]
        while True:
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error:
                reject(reader.line_num, "invalid_csv")
                continue
            if not row:
                continue
            if len(row) != len(header):
                reject(reader.line_num, "wrong_field_count")
                continue
            yield reader.line_num, dict(zip(header, row, strict=True))
        seen[0] = reader.line_num


def _parquet_records(split: Split, seen: list[int]) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet as pq

    number = 0
    for batch in pq.ParquetFile(split.source.file).iter_batches(4096, row_groups=[split.start]):
        for row in batch.to_pylist():
            number += 1
            yield number, row
    seen[0] = number


def _value_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    """Elements of a JSON array, or JSON values one after the other (pretty-printed), found by matching brackets."""
    depth_of_value = 1 if split.source.kind == "array" else 0
    buffer, scanned, depth, line, start, start_line = b"", 0, 0, 1, -1, 1
    with open_bytes(split.source) as stream:
        while block := stream.read(BLOCK_BYTES):
            buffer += block
            for token in _STRUCTURE.finditer(buffer, scanned):
                mark = token[0]
                if mark == b'"':  # a string that the block's end cuts: scan it again with the next block
                    break
                scanned = token.end()
                if mark in b"{[":
                    if depth == depth_of_value:
                        start, start_line = token.start(), line
                    depth += 1
                elif mark in b"}]":
                    depth -= 1
                    if depth == depth_of_value and start >= 0:
                        try:
                            yield start_line, decode(buffer[start:scanned])
                        except BadRecord as bad:
                            reject(start_line, bad.reason)
                        start = -1
                else:
                    line += mark.count(b"\n")
                    if depth == depth_of_value and mark[:1] == b'"':
                        reject(line, "not_an_object")
            keep = start if start >= 0 else scanned
            if len(buffer) - keep > MAX_LINE_BYTES:
                reject(start_line, "record_too_long")
                break
            buffer, scanned, start = buffer[keep:], scanned - keep, 0 if start >= 0 else -1
    if start >= 0:
        reject(start_line, "truncated_json")
    seen[0] = line
