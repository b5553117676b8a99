"""From a split to raw records with their line numbers: lines, CSV, Parquet rows, JSON values; knows no dialect.

A record is what one JSONL line, one array element, one CSV row or one Parquet row holds. Nothing is held whole:
memory is bounded by MAX_LINE_BYTES, whatever the file holds.
"""

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Set
from typing import IO, Any

import msgspec
import numpy as np

from costplan.ingest.decode import decode, strict
from costplan.ingest.source import Source, Split, open_parquet
from costplan.ingest.table import ENCODING_ERRORS, is_total
from costplan.ingest.unpack import damaged, open_unpacked
from costplan.trace import BadRecord

BLOCK_BYTES = 4 << 20
LINE_REST_BYTES = 64 << 10
MAX_LINE_BYTES = 64 << 20
MAX_CELL_CHARS = 16 << 20
"""The csv module holds a cell with four bytes a character."""
Reject = Callable[[int, str], None]
"""Counts a record that could not be read: (line number, reason)."""
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]"]|\n', re.DOTALL)


def records(
    split: Split, reject: Reject, lines: list[int] | None = None, only: Set[int] | None = None
) -> Iterator[tuple[int, Any]]:
    """(line number inside the split, decoded record) for every record; what cannot be read goes to `reject`.

    `lines`, a one-element list, is set to the number of lines seen (blank ones included). `only`: the numbers of the
    lines that are wanted; where a line is a record, the others are not decoded.
    """
    seen = lines if lines is not None else [0]
    match split.source.kind:
        case "lines":
            return _line_records(split, reject, seen, only)
        case "csv":
            return _csv_records(split, reject, seen)
        case "parquet":
            return _parquet_records(split, reject, seen)
        case _:
            return _value_records(split, reject, seen)


def _open(source: Source) -> IO[bytes]:
    return open_unpacked(source.file, source.compression, source.shown)


def _line_records(split: Split, reject: Reject, seen: list[int], only: Set[int] | None) -> Iterator[tuple[int, Any]]:
    for number, line in raw_lines(split, reject, seen):
        if only is not None and number not in only:
            continue
        try:
            yield number, strict(line)
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
    form = split.source.form
    width, plain = len(form.header), not form.readings and "" not in form.header
    with _open(split.source) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors=ENCODING_ERRORS, newline="")
        # strict: a quote that is never closed must not swallow the rest of the file as one field
        reader = csv.reader(_text_lines(text), delimiter=form.delimiter, strict=True)
        above = form.above
        while True:
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error:
                reject(reader.line_num, "invalid_csv")
                continue
            if row and above:
                above -= 1
                continue
            if not any(row):
                continue
            if not row[0][:1].isdigit() and is_total(row):
                reject(reader.line_num, "totals_row")
                continue
            cells = row if plain and len(row) == width else form.row(row)
            if cells is None:
                reject(reader.line_num, "wrong_field_count")
                continue
            yield reader.line_num, dict(zip(form.header, cells, strict=True)) if plain else form.record(cells)
        if damaged(stream):
            reject(reader.line_num + 1, "damaged_compression")
        seen[0] = reader.line_num


def csv_header(source: Source) -> list[str]:
    """The columns that a CSV file names; none for another file, or for prose that was taken for one."""
    names = list(source.form.header) if source.kind == "csv" else []
    return names if all(re.match(r"[^\W\d]", name) for name in names) else []


def _text_lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_CELL_CHARS):
        yield line.replace("\0", "")


def _parquet_records(split: Split, reject: Reject, seen: list[int]) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa

    number = 0
    try:
        file = open_parquet(split.source.shown, split.source.file)
        for batch in file.iter_batches(4096, row_groups=[*range(split.start, split.end)]):
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
