"""A user's table as rows: JSONL, or CSV by the file's ending, plain or gzip; it knows no column."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from costplan.errors import CostplanError

LONGEST_CELL = 400_000
_MOST_BYTES = 1 << 29
_CHUNK = 1 << 20


def read_rows(path: Path, hint: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`file:line`, row), blank lines left out.

    Raises CostplanError with `hint` for a file that cannot be read, and with the line for one that is no row.
    """
    try:
        text = _bytes(path).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise CostplanError(f"{path}: {getattr(error, 'strerror', None) or 'cannot be unpacked'}", hint=hint) from None
    except UnicodeDecodeError:
        raise CostplanError(f"{path}: not UTF-8", hint="save it as CSV UTF-8") from None
    if path.name.lower().removesuffix(".gz").endswith(".csv"):
        head = text.partition("\n")[0]
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.DictReader(io.StringIO(text), delimiter=";" if head.count(";") > head.count(",") else ",")
        try:
            for row in reader:
                yield f"{path}:{reader.line_num}", row
        except csv.Error as error:
            raise CostplanError(f"{path}:{reader.line_num}: {error}", hint="save it as CSV UTF-8 again") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                raise CostplanError(f"{path}:{number}: not a JSON object", hint="one object a line") from None


def _bytes(path: Path) -> bytes:
    """The file's bytes; a gzip file that unpacks to more than fits a table is refused before it fills the memory."""
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    pieces: list[bytes] = []
    size = 0
    with gzip.open(path) as file:
        while piece := file.read(_CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > _MOST_BYTES:
                raise CostplanError(f"{path}: unpacks to more than 512 MB", hint="give fewer rows")
    return b"".join(pieces)
