"""The logs inside a zip archive as files of their own, copied out under a bound; it never trusts a member's name."""

import shlex
import zipfile
from pathlib import Path

from costplan.errors import CostplanError
from costplan.ingest.unpack import BOMB_FLOOR_BYTES, MAX_EXPANSION

MAX_MEMBERS = 10_000
_BLOCK = 1 << 20
_OFFICE = ("xl/workbook.xml", "word/document.xml", "xl/workbook.bin")


def is_zip(file: Path) -> bool:
    """By the first bytes, not by the name; what cannot be read is none."""
    try:
        with file.open("rb") as raw:
            return raw.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def unzip(shown: str, file: Path, work: Path) -> list[tuple[str, Path]]:
    """(`archive.zip/member`, copy in the run's folder) of every file in it, in the archive's order.

    Raises CostplanError for a workbook, a password, damage, too many members and a decompression bomb.
    """
    by_hand = f"unzip it and name the files: unzip {shlex.quote(shown)} -d logs && costplan analyze logs"
    folder = work / f"zip-{len(list(work.glob('zip-*')))}"
    folder.mkdir()
    found: list[tuple[str, Path]] = []
    room = max(BOMB_FLOOR_BYTES, MAX_EXPANSION * file.stat().st_size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and not _hidden(info.filename)]
            if any(info.filename in _OFFICE for info in members):
                raise CostplanError(
                    f"{shown}: this is an Excel workbook or another office document, not a log",
                    hint="save its sheet as CSV UTF-8 (File > Save As), and name that file",
                )
            if any(info.flag_bits & 1 for info in members):
                raise CostplanError(f"{shown}: the archive has a password", hint=by_hand)
            if len(members) > MAX_MEMBERS:
                raise CostplanError(f"{shown}: holds {len(members):,} files", hint=by_hand)
            for number, info in enumerate(members):
                copy = folder / f"{number}"
                with archive.open(info) as packed, copy.open("wb") as out:
                    while block := packed.read(_BLOCK):
                        room -= len(block)
                        if room < 0:
                            raise CostplanError(
                                f"{shown}: expands more than {MAX_EXPANSION}-fold, stopped as a decompression bomb",
                                hint=f"if you trust the file, {by_hand}",
                            )
                        out.write(block)
                found.append((f"{shown}/{info.filename}", copy))
    except CostplanError:
        raise
    except Exception:  # BadZipFile, EOFError, zlib.error, an unknown method: all mean unreadable
        raise CostplanError(f"{shown}: the zip archive is damaged or of an unknown kind", hint=by_hand) from None
    if not found:
        raise CostplanError(f"{shown}: the zip archive holds no files", hint="name the log files themselves")
    return found


def _hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")
