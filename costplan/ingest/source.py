"""From a path to files and byte-range splits: names, containers, compression; what is in a record is not known."""

import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from costplan.errors import CostplanError
from costplan.ingest.decode import decode
from costplan.ingest.table import ENCODING_ERRORS, Form, form_of
from costplan.ingest.unpack import Compression, compression_of, open_unpacked
from costplan.trace import BadRecord

SPLIT_BYTES = 32 << 20
"""Fixed, not derived from the number of workers: the same splits, hence the same bytes, with 1, 2 or 4 of them."""
FIRST_SPLIT_BYTES = 4 << 20
"""Smaller than the others: while it is read, the other workers are not there yet."""
MAX_SPLITS = 128
"""Per file; splits of larger files are larger, since every later stage opens one spill file per split and bucket."""
HEAD_BYTES = 1 << 18

Kind = Literal["lines", "values", "csv", "parquet"]
_MAGIC = {b"\x89PNG": "a PNG image", b"%PDF": "a PDF", b"SQLi": "an SQLite database"}
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_BEDROCK_BODY = re.compile(r"(^|/)data/[^/]+_(?:input|output)\.json\.gz$")
"""Large bodies that Bedrock's invocation log keeps beside its records: the records count them already."""
_READS = "costplan reads JSONL, JSON, CSV and Parquet"


@dataclass(frozen=True, slots=True)
class Source:
    """One input file. `shown` is how the user named it; `file` is where its bytes are (stdin is spooled)."""

    shown: str
    file: Path
    kind: Kind
    compression: Compression
    size: int
    form: Form = Form()
    """Layout of a CSV file."""
    whole: bool = False
    """A record means something only after those before it: the file is one split."""


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
            inside = sorted(
                str(p) for p in path.rglob("*") if p.is_file() and not p.name.startswith(".") and _is_own(p)
            )
            names = [p for p in inside if _looks_like_log(p)]
            if not names:
                holds = "no file with a log's ending" if inside else "no files"
                raise CostplanError(f"{name}: the directory holds {holds}", hint="name the log files themselves")
        else:
            anchor = Path(path.anchor) if path.is_absolute() else Path()
            pattern = str(path.relative_to(anchor)) if path.is_absolute() else name
            names = (
                sorted(str(p) for p in anchor.glob(pattern) if p.is_file() and _is_own(p))
                if set(name) & set("*?[")
                else []
            )
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


def _is_own(path: Path) -> bool:
    """Whether a file that a directory or a glob holds stands for calls of its own."""
    return _BEDROCK_BODY.search(path.as_posix()) is None


def _looks_like_log(name: str) -> bool:
    stem = name.lower().removesuffix(".gz").removesuffix(".zst")
    return stem.endswith((".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".log", ".txt", ".zip"))


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
        open_parquet(shown, file)
        return Source(shown, file, "parquet", "", size)
    if magic in _MAGIC:
        raise CostplanError(f"{shown}: this is {_MAGIC[magic]}, not a log", hint=_READS)
    if magic in (_ZIP, _OLE):
        raise _workbook(shown, "an old Excel workbook" if magic == _OLE else "a zip archive")
    compression = compression_of(magic)
    with open_unpacked(file, compression, shown) as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise CostplanError(f"{shown}: nothing can be decompressed", hint="the file is damaged or cut: copy it again")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _utf_16(shown, "UTF-16")
    kind, form = _kind(shown, head)
    return Source(shown, file, kind, compression, size, form)


def _workbook(shown: str, what: str) -> CostplanError:
    return CostplanError(
        f"{shown}: this is {what}, not a log", hint="save its sheet as CSV UTF-8 (File > Save As), and name that file"
    )


def _utf_16(shown: str, name: str) -> CostplanError:
    quoted = shlex.quote(shown)
    return CostplanError(
        f"{shown}: the text is UTF-16", hint=f"convert it: iconv -f {name} -t UTF-8 {quoted} > {quoted}.utf8"
    )


def open_parquet(shown: str, file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError):
        raise CostplanError(f"{shown}: the Parquet file is damaged or cut", hint="copy or export it again") from None


def _kind(shown: str, head: bytes) -> tuple[Kind, Form]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise CostplanError(f"{shown}: the file holds only blanks", hint="export the log again, or name another file")
    if re.match(rb"\[\s*[{\]]", text):
        return "values", Form()
    lines = [line for line in text.split(b"\n")[:50] if line.strip()]
    first = lines[0].rstrip()
    # a value that goes on in the next line ends in an opening bracket or a comma
    spread = text[:1] == b"{" and len(lines) > 1 and first[-1:] in b"{[,:"
    if not spread and any(_is_object(line) for line in lines):
        return "lines", Form()
    if text[:1] == b"{" and b"\n" in text:
        return "values", Form()
    _refuse_binary(shown, head[:4096])
    if text[:1] != b"{":
        form = form_of(head.decode("utf-8-sig", ENCODING_ERRORS), shown, whole=len(head) < HEAD_BYTES)
        if len(form.header) > 2 or form.delimiter.encode() in first:
            return "csv", form
    return "lines", Form()


def _refuse_binary(shown: str, head: bytes) -> None:
    """Some zeros between the words of a table are left out later; more of them are another kind of file."""
    for name, zeros in (("UTF-16LE", head[1::2].count(0)), ("UTF-16BE", head[::2].count(0))):
        if 0.4 < zeros / len(head) <= head.count(0) / len(head) < 0.55:
            raise _utf_16(shown, name)
    if 12 * sum(head.count(code) for code in (*range(9), *range(14, 32))) > len(head):
        raise CostplanError(f"{shown}: this is a binary file, not a log", hint=_READS)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line), dict)
    except BadRecord:
        return False


def splits_of(index: int, source: Source) -> list[Split]:
    """Cut a source; what cannot be cut (compressed, arrays, CSV with quoted line ends) is one split."""
    if source.kind == "parquet":
        groups = open_parquet(source.shown, source.file).metadata.num_row_groups
        step = max(groups, 1) if source.whole else 1
        return [Split(index, source, group, group + step) for group in range(0, groups, step)]
    if source.kind != "lines" or source.compression or source.whole:
        return [Split(index, source, 0, source.size)]
    size = max(SPLIT_BYTES, -(-source.size // MAX_SPLITS))
    edges = [0, *range(min(FIRST_SPLIT_BYTES, source.size), source.size, size), source.size]
    return [Split(index, source, start, end) for start, end in pairwise(edges) if start < end]
