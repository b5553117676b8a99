"""From a path to raw records with their line numbers: containers, compression, byte-range splits; knows no dialect.

A record is what one JSONL line, one array element, one CSV row or one Parquet row holds. Nothing is held whole:
memory is bounded by MAX_LINE_BYTES, whatever the file holds.
"""

import csv
import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec
import numpy as np

from costplan.errors import CostplanError
from costplan.ingest.unpack import Compression, compression_of, damaged, open_unpacked
from costplan.trace import BadRecord

SPLIT_BYTES = 32 << 20
"""Fixed, not derived from the number of workers: the same splits, hence the same bytes, with 1, 2 or 4 of them."""
FIRST_SPLIT_BYTES = 4 << 20
"""Smaller than the others: while it is read, the other workers are not there yet."""
MAX_SPLITS = 128
"""Per file; splits of larger files are larger, since every later stage opens one spill file per split and bucket."""
BLOCK_BYTES = 4 << 20
LINE_REST_BYTES = 64 << 10
MAX_LINE_BYTES = 64 << 20
MAX_CELL_CHARS = 16 << 20
"""The csv module holds a cell with four bytes a character."""
HEAD_BYTES = 1 << 18

Kind = Literal["lines", "values", "csv", "parquet"]
Reject = Callable[[int, str], None]
"""Counts a record that could not be read: (line number, reason)."""

_DECODE = msgspec.json.Decoder().decode
_MAGIC = {b"\x89PNG": "a PNG image", b"PK\x03\x04": "a zip archive", b"%PDF": "a PDF", b"SQLi": "an SQLite database"}
_READS = "costplan reads JSONL, JSON, CSV and Parquet"
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]"]|\n', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """One input file. `shown` is how the user named it; `file` is where its bytes are (stdin is spooled)."""

    shown: str
    file: Path
    kind: Kind
    compression: Compression
    size: int
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Split:
    """A part of a source: bytes [start, end) of a line file, row groups of a Parquet file, else the whole file."""

    source_index: int
    source: Source
    start: int
    end: int


def expand(paths: list[str]) -> dict[str, bool]:
    """Files named by paths, directories and globs, in a stable order; True where the user named the file itself.

    Raises CostplanError for what is not there.
    """
    found: dict[str, bool] = {}
    seen: set[Path] = set()
    for name in paths:
        path = Path(name)
        if name == "-" or (path.exists() and not path.is_dir()):
            names = [name]
        elif path.is_dir():
            inside = sorted(str(p) for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
            names = [p for p in inside if _looks_like_log(p)]
            if not names:
                holds = "no file with a log's ending" if inside else "no files"
                raise CostplanError(f"{name}: the directory holds {holds}", hint="name the log files themselves")
        else:
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(anchor)) if path.is_absolute() else name
            names = sorted(str(p) for p in anchor.glob(pattern) if p.is_file()) if set(name) & set("*?[") else []
            if not names:
                raise CostplanError(
                    f"{name}: no such file", hint="check the path; quote globs so that costplan sees them"
                )
        for inner in names:
            resolved = Path(inner).resolve()
            if inner == "-" or resolved not in seen:
                found.setdefault(inner, inner == name)
                seen.add(resolved)
    return found


def _looks_like_log(name: str) -> bool:
    stem = name.lower().removesuffix(".gz").removesuffix(".zst")
    return stem.endswith((".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".log", ".txt"))


def open_source(name: str, spool: Path | None = None) -> Source:
    """Look at the first bytes of a file and say how to read it; a pipe's bytes have been copied to `spool`.

    Raises CostplanError for an empty file and for what is no text, JSON, CSV or Parquet.
    """
    shown, file = "stdin" if name == "-" else name, spool or Path(name)
    try:
        size = file.stat().st_size
        with file.open("rb") as raw:
            magic = raw.read(4)
    except OSError as error:
        raise CostplanError(f"{shown}: {error.strerror}", hint="check the name and that you may read it") from None
    if size == 0:
        raise CostplanError(f"{shown}: the file is empty", hint="export the log again, or name another file")
    if magic == b"PAR1":
        _open_parquet(shown, file)
        return Source(shown, file, "parquet", "", size)
    if magic in _MAGIC:
        raise CostplanError(f"{shown}: this is {_MAGIC[magic]}, not a log", hint=_READS)
    if magic[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise CostplanError(
            f"{shown}: the text is UTF-16", hint=f"convert it: iconv -f UTF-16 -t UTF-8 {shlex.quote(shown)}"
        )
    compression = compression_of(magic)
    with open_unpacked(file, compression, shown) as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise CostplanError(f"{shown}: nothing can be decompressed", hint="the file is damaged or cut: copy it again")
    kind, delimiter = _kind(shown, head)
    return Source(shown, file, kind, compression, size, delimiter)


def _open_parquet(shown: str, file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError):
        raise CostplanError(f"{shown}: the Parquet file is damaged or cut", hint="copy or export it again") from None


def _kind(shown: str, head: bytes) -> tuple[Kind, str]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise CostplanError(f"{shown}: the file holds only blanks", hint="export the log again, or name another file")
    if re.match(rb"\[\s*[{\]]", text):
        return "values", ","
    lines = [line for line in text.split(b"\n")[:50] if line.strip()]
    first = lines[0].rstrip()
    # a value that goes on in the next line ends in an opening bracket or a comma
    spread = text[:1] == b"{" and len(lines) > 1 and first[-1:] in b"{[,:"
    if not spread and any(_is_object(line) for line in lines):
        return "lines", ","
    if text[:1] == b"{" and b"\n" in text:
        return "values", ","
    if b"\0" in head[:4096]:
        raise CostplanError(f"{shown}: this is a binary file, not a log", hint=_READS)
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
        groups = _open_parquet(source.shown, source.file).metadata.num_row_groups
        return [Split(index, source, group, group + 1) for group in range(groups)]
    if source.kind != "lines" or source.compression:
        return [Split(index, source, 0, source.size)]
    size = max(SPLIT_BYTES, -(-source.size // MAX_SPLITS))
    edges = [0, *range(min(FIRST_SPLIT_BYTES, source.size), source.size, size), source.size]
    return [Split(index, source, start, end) for start, end in pairwise(edges) if start < end]


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
            return _parquet_records(split, reject, seen)
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
        value = json.loads(text)
        return _without_surrogates(value) if "\\ud" in text.lower() else value
    except RecursionError:
        raise BadRecord("nested_too_deeply") from None
    except ValueError:
        stripped = text.strip()
        if "\0" in stripped:
            raise BadRecord("binary_line") from None
        cut = stripped[:1] == "{" and stripped[-1:] != "}"
        raise BadRecord("truncated_json" if cut else "invalid_json") from None


def _without_surrogates(value: Any) -> Any:
    """The value with U+FFFD for every lone surrogate, which no UTF-8 document can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {_without_surrogates(key): _without_surrogates(item) for key, item in items}
    return value


def _open(source: Source) -> IO[bytes]:
    return open_unpacked(source.file, source.compression, source.shown)


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
    """(number, line) of the lines that start inside [start, end)."""
    for number, block in line_blocks(split, reject, seen):
        yield from enumerate(bytes(block).removesuffix(b"\n").split(b"\n"), number)


def line_blocks(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, bytearray]]:
    """(number of the first one, whole lines with their line ends) of the lines that start inside [start, end).

    A line over MAX_LINE_BYTES is rejected without being held. `seen` gets the number of lines.
    """
    number, too_long, held = 1, False, bytearray()
    with _open(split.source) as stream:
        left = sys.maxsize if split.source.compression else split.end - split.start
        if split.start:
            stream.seek(split.start - 1)
            while (chunk := stream.readline(BLOCK_BYTES)) and not chunk.endswith(b"\n"):
                pass
            left = split.end - stream.tell()
        while left > 0 or held or too_long:  # past the end, only the line that is open is read on
            inside = left > 0
            data = stream.read(min(BLOCK_BYTES, left) if inside else LINE_REST_BYTES)
            if not data:
                break
            left, read = left - len(data), memoryview(data)
            cut = (data.rfind(b"\n") if inside else data.find(b"\n")) + 1
            if cut and too_long:
                reject(number, "line_too_long")
                first = data.find(b"\n") + 1
                number, too_long, read, cut = number + 1, False, read[first:], cut - first
            if cut:
                held += read[:cut]
                lines = int(np.count_nonzero(np.frombuffer(held, np.uint8) == 10))
                yield number, held
                number, held = number + lines, bytearray()
            if not too_long and (inside or not cut):
                held += read[cut:]
            if len(held) > MAX_LINE_BYTES:
                too_long, held = True, bytearray()
        if too_long:
            reject(number, "line_too_long")
            number += 1
        elif held:
            held += b"\n"
            yield number, held
            number += 1
        if damaged(stream):
            reject(number, "damaged_compression")
        seen[0] = number - 1


def _csv_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(MAX_CELL_CHARS)
    with _open(split.source) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        # strict: a quote that is never closed must not swallow the rest of the file as one field
        reader = csv.reader(_text_lines(text), delimiter=split.source.delimiter, strict=True)
        header: list[str] | None = None
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
            if header is None:
                header = [name.strip() for name in row]
                continue
            if len(row) != len(header):
                reject(reader.line_num, "wrong_field_count")
                continue
            yield reader.line_num, dict(zip(header, row, strict=True))
        if damaged(stream):
            reject(reader.line_num + 1, "damaged_compression")
        seen[0] = reader.line_num


def csv_header(source: Source) -> list[str]:
    """The columns that a CSV file names; none for another file, or for prose that was taken for one."""
    if source.kind != "csv":
        return []
    with _open(source) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        try:
            header: list[str] = next(csv.reader(_text_lines(text), delimiter=source.delimiter), list[str]())
            names = [name.strip() for name in header]
            return names if all(re.match(r"[^\W\d]", name) for name in names) else []
        except csv.Error:
            return []


def _text_lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_CELL_CHARS):
        yield line.replace("\0", "")


def _parquet_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa

    number = 0
    try:
        file = _open_parquet(split.source.shown, split.source.file)
        for batch in file.iter_batches(4096, row_groups=[split.start]):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, OSError):
        reject(number + 1, "damaged_parquet")
    seen[0] = number


def _value_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    """JSON values one after the other and the elements of JSON arrays, found by matching brackets.

    `base` is 1 inside an array, 0 outside; `start` is where the value begins that is being read, -1 between values.
    """
    buffer, scanned, after, depth, base, line, start, start_line = b"", 0, 0, 0, 0, 1, -1, 1
    with _open(split.source) as stream:
        while block := stream.read(BLOCK_BYTES):
            buffer += block
            for token in _STRUCTURE.finditer(buffer, scanned):
                mark = token[0]
                if mark == b'"':  # a string that the block's end cuts: scan it again with the next block
                    break
                scanned = token.end()
                if mark == b"\n" or start >= 0 and mark[:1] == b'"':
                    line += mark.count(b"\n")
                    continue
                if start < 0:
                    _reject_stray(buffer[after : token.start()], reject, line)
                    after = scanned
                if mark[:1] == b'"':
                    line += mark.count(b"\n")
                    reject(line, "not_an_object")
                elif start < 0 and mark == (b"]" if base else b"["):
                    base = depth = 1 - base
                elif mark in b"{[":
                    if start < 0:
                        start, start_line = token.start(), line
                    depth += 1
                elif start < 0:
                    reject(line, "invalid_json")
                else:
                    depth -= 1
                    if depth == base:
                        try:
                            yield start_line, decode(buffer[start:scanned])
                        except BadRecord as bad:
                            reject(start_line, bad.reason)
                        start, after = -1, scanned
            keep = start if start >= 0 else after
            if len(buffer) - keep > MAX_LINE_BYTES:
                reject(start_line, "record_too_long")
                start = -1
                break
            buffer, scanned, after, start = buffer[keep:], scanned - keep, 0, 0 if start >= 0 else -1
        if start >= 0:
            reject(start_line, "truncated_json")
        else:
            _reject_stray(buffer[after:], reject, line)
        if damaged(stream):
            reject(line, "damaged_compression")
    seen[0] = line


def _reject_stray(between: bytes, reject: Reject, line: int) -> None:
    """Count what stands between two values and is neither blank nor a comma: numbers, words, log prefixes."""
    for piece in between.strip(b"\xef\xbb\xbf").split(b","):
        if piece.strip():
            reject(line, "not_an_object")
