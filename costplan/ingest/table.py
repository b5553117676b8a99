"""How a delimited file is laid out: delimiter, header, and how its dates and numbers are spelled; knows no dialect.

Spreadsheets export titles above the header, merged headers, local decimals and dates, totals below. All that is
decided once, from the first rows, by whole columns: a column of text is never touched.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from costplan.errors import CostplanError

SAMPLE_ROWS = 200
DELIMITERS = (",", "\t", ";", "|")
ENCODING_ERRORS = "costplan-cp1252"
"""Bytes that are no UTF-8 are read as Windows-1252, which holds Latin-1's letters."""
Reading = Literal["", "point", "comma", "day_first", "month_first", "year_first", "excel"]

_TOTALS = frozenset(
    ("total", "totals", "total:", "sum", "grand total", "subtotal", "gesamt", "summe", "gesamtsumme", "totale", "suma")
)
_NUMBER = re.compile(r"[-+]?(?:US\$|\$|USD)?[ \u00a0]?\d[\d.,' \u00a0\u202f]*(?:[eE][-+]?\d+)?(?:USD|\$)?")
_PLAIN = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_NOISE = re.compile(r"US\$|\$|USD|[' \u00a0\u202f]")
_GROUPED = {
    "point": re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?"),
    "comma": re.compile(r"[-+]?\d{1,3}(\.\d{3})+(,\d*)?"),
}
_DATE = re.compile(
    r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})"
    r"(?:[ T,]{1,3}(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,9})?))?(?: ?([AaPp])\.?[Mm]\.?)?)?"
)
_WHOLE = re.compile(r"token|request|count|calls", re.IGNORECASE)
_DATED = re.compile(r"date|datum|fecha|day|tag$|created|time|zeit|\bat\b", re.IGNORECASE)
_EXCEL_DAYS = (36_526.0, 73_051.0)
"""1 January 2000 and 2100 in the days that Excel counts from 30 December 1899."""
_EXCEL_EPOCH = datetime(1899, 12, 30)


@dataclass(frozen=True, slots=True)
class Form:
    """Layout of one delimited file. A column without a name is left out."""

    delimiter: str = ","
    header: tuple[str, ...] = ()
    above: int = 1
    """Rows with something in them up to the header, itself included."""
    readings: tuple[Reading, ...] = ()

    def row(self, cells: list[str]) -> list[str] | None:
        """The cells as the header counts them; None where there are more or fewer."""
        width = len(self.header)
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            return None
        if not self.readings:
            return cells
        return [_READ[how](cell) if how else cell for how, cell in zip(self.readings, cells, strict=True)]

    def record(self, cells: list[str]) -> dict[str, str]:
        found = dict(zip(self.header, cells, strict=True))
        found.pop("", None)
        return found


def is_total(cells: list[str]) -> bool:
    """Whether a row sums up the others: its first filled cell says so."""
    return next((cell for cell in cells if cell), "").strip().lower() in _TOTALS


def form_of(head: str, shown: str, *, whole: bool) -> Form:
    """The layout that the first characters of a file show; `whole`: there are no others.

    Raises CostplanError where two columns of one name differ, and for dates that may be read in two ways.
    """
    text = head.replace("\0", "") if whole else head.replace("\0", "").rpartition("\n")[0] or head
    delimiter, rows = _delimited(text)
    at = _header_at(rows)
    header, above = [cell.strip() for cell in rows[at]], at + 1
    data = rows[above:]
    merged = _merged(header, data)
    if merged:
        header, data, above = merged, data[1:], above + 1
    data = [row[: len(header)] for row in data if len(row) >= len(header) and not is_total(row)]
    columns = [[cell for row in data if (cell := row[i].strip())] for i in range(len(header))]
    names = _named(header, columns, data, shown)
    readings = _readings(names, columns, delimiter, shown)
    return Form(delimiter, tuple(names), above, tuple(readings) if any(readings) else ())


def _delimited(text: str) -> tuple[str, list[list[str]]]:
    """The delimiter under which most rows have the same number of cells, more than one; the rows with content."""
    csv.field_size_limit(1 << 20)
    best: tuple[tuple[int, int], str, list[list[str]]] | None = None
    for delimiter in DELIMITERS:
        rows: list[list[str]] = []
        try:
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
                rows += [row] if row else []
                if len(rows) > SAMPLE_ROWS:
                    break
        except csv.Error:
            pass
        widths = Counter(len(row) for row in rows if len(row) > 1)
        score = max(((count, width) for width, count in widths.items()), default=(0, 0))
        if rows and (best is None or score > best[0]):
            best = score, delimiter, rows
    return (best[1], best[2]) if best else (",", [[""]])


def _header_at(rows: list[list[str]]) -> int:
    """The first row as wide as most that holds names: titles and dates of the export stand above it."""
    widths = Counter(len(row) for row in rows if len(row) > 1)
    most = max(widths, key=lambda width: (widths[width], width), default=0)
    for at, row in enumerate(rows[:50]):
        if len(row) == most and 2 * sum(map(bool, row)) > most and _names(row):
            return at
    return next((at for at, row in enumerate(rows[:50]) if len(row) > 1 and _names(row)), 0)


def _names(row: Sequence[str]) -> bool:
    filled = [cell.strip() for cell in row if cell.strip()]
    return len(filled) > 1 and not any(_NUMBER.fullmatch(cell) or _DATE.fullmatch(cell) for cell in filled)


def _merged(header: list[str], data: list[list[str]]) -> list[str]:
    """The names of a header of two rows, its upper cells merged over several columns; empty where it has one row."""
    if not data or "" not in header or len(data[0]) != len(header) or not _names(data[0]):
        return []
    below = [cell.strip() for cell in data[0]]
    pairs = list(zip(header, below, strict=True))
    if not any(sub and not top for top, sub in pairs) or not any(top and not sub for top, sub in pairs):
        return []
    found: list[str] = []
    group = ""
    for top, sub in pairs:
        group = top or group
        found.append(f"{group} {sub}" if sub else top)
    return found


def _named(header: list[str], columns: list[list[str]], data: list[list[str]], shown: str) -> list[str]:
    """Names of the columns; empty ones without a name, and repeated ones that say the same, get none."""
    names: list[str] = []
    for i, name in enumerate(header):
        kept = name or (f"column {i + 1}" if columns[i] else "")
        if kept and kept in names:
            first = names.index(kept)
            if any(row[i] != row[first] for row in data):
                safe = "".join(c if c.isprintable() else "?" for c in kept[:40])
                raise CostplanError(
                    f"{shown}: two columns are called {safe!r} and differ",
                    hint="give each column its own name in the first line, or delete the one that is not meant",
                )
            kept = ""
        names.append(kept)
    return names


def _readings(names: list[str], columns: list[list[str]], delimiter: str, shown: str) -> list[Reading]:
    numeric = [bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells) for cells in columns]
    sides: set[str] = set()
    spelled = blanks = commas = False
    for name, cells, counts in zip(names, columns, numeric, strict=True):
        if counts:
            sides |= {side for cell in cells if (side := _decimal(cell, bool(_WHOLE.search(name))))}
            spelled = spelled or not all(_PLAIN.fullmatch(cell) for cell in cells)
            blanks = blanks or any(_NOISE.search(cell) for cell in cells)
            commas = commas or any("," in cell for cell in cells)
    decimal: Reading = ""
    if spelled and len(sides) < 2:
        decimal = "comma" if "comma" in sides else "point" if sides or (blanks and not commas) else ""
    readings: list[Reading] = []
    for name, cells, counts in zip(names, columns, numeric, strict=True):
        reading: Reading = decimal if counts else ""
        if name and cells and (how := _dates(name, cells, decimal, delimiter, shown)):
            reading = how
        readings.append(reading)
    return readings


def _decimal(cell: str, whole: bool) -> str:
    """Which decimal sign a number gives away: its last sign is one unless exactly three digits follow it, once.

    In a column of counts three digits after a sign are a group, so that the other sign is the decimal one.
    """
    digits = re.split("[eE]", _NOISE.sub("", cell))[0].lstrip("+-")
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma < 0 and point < 0:
        return ""
    if comma >= 0 and point >= 0:
        return "comma" if comma > point else "point"
    mine, other = ("comma", "point") if comma >= 0 else ("point", "comma")
    sign = "," if comma >= 0 else "."
    if digits.count(sign) > 1:
        return other
    if len(digits) - max(comma, point) != 4 or digits[0] in "0,.":
        return mine
    return other if whole else ""


def _dates(name: str, cells: list[str], decimal: Reading, delimiter: str, shown: str) -> Reading:
    found = [_DATE.fullmatch(cell) for cell in cells]
    dates = [match for match in found if match]
    if len(dates) == len(cells):
        if all(len(match[1]) == 4 for match in dates):
            return "" if all(match[2] == "-" for match in dates) else "year_first"
        if not all(len(match[4]) in (2, 4) for match in dates):
            return ""
        first, second = (max(int(match[group]) for match in dates) for group in (1, 3))
        if first > 12 or second > 12:
            return "" if first > 12 and second > 12 else "day_first" if first > 12 else "month_first"
        if dates[0][2] == "." or decimal == "comma" or delimiter == ";":
            return "day_first"
        if any(match[8] for match in dates):
            return "month_first"  # am and pm go with this order
        if _DATED.search(name):
            raise CostplanError(
                f"{shown}: {dates[0][0][:10]} may be a day of either of two months: no date in the first rows tells",
                hint="write the dates as YYYY-MM-DD (a spreadsheet's cell format), or add rows of days after the 12th",
            )
        return ""
    try:
        numbers = [float(cell.replace(",", ".")) for cell in cells]
    except ValueError:
        return ""
    if not _EXCEL_DAYS[0] <= min(numbers) <= max(numbers) < _EXCEL_DAYS[1]:
        return ""
    named = re.search(r"date|datum|fecha|day|created|time|zeit", name, re.IGNORECASE) and not _WHOLE.search(name)
    clock = any(len(re.split("[.,]", cell)[-1]) >= 5 and re.search("[.,]", cell) for cell in cells)
    sure = re.search(r"date|datum|fecha|^day$|created", name, re.IGNORECASE) is not None
    return "excel" if sure or (named and clock) else ""


def _number(value: str, decimal: Literal["point", "comma"]) -> str:
    """`1.234,56` as `1234.56`; what is no number so spelled stays."""
    text = value.strip()
    if not _NUMBER.fullmatch(text):
        return value
    digits = _NOISE.sub("", text)
    if _GROUPED[decimal].fullmatch(digits):
        digits = digits.replace("," if decimal == "point" else ".", "")
    elif decimal == "comma" and "." in digits:
        return value
    return digits.replace(",", ".") if decimal == "comma" else digits


def _day(value: str, order: str) -> str:
    """A date in ISO 8601; what is none stays."""
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return value
    parts = {"day_first": (4, 3, 1), "month_first": (4, 1, 3), "year_first": (1, 3, 4)}[order]
    year, month, day = (int(match[part]) for part in parts)
    hour = int(match[5] or 0)
    if match[8]:
        hour = hour % 12 + (12 if match[8] in "Pp" else 0)
    clock = f"T{hour:02}:{match[6]}:{match[7] or '00'}" if match[5] else ""
    return f"{year + 2000 if year < 100 else year:04}-{month:02}-{day:02}{clock}"


def _excel(value: str) -> str:
    try:
        moment = _EXCEL_EPOCH + timedelta(days=float(value.replace(",", ".")))
    except (ValueError, OverflowError):
        return value
    moment = datetime.min + timedelta(milliseconds=round((moment - datetime.min) / timedelta(milliseconds=1)))
    return moment.date().isoformat() if moment.time() == datetime.min.time() else moment.isoformat()


_READ: dict[str, Callable[[str], str]] = {
    "point": lambda value: _number(value, "point"),
    "comma": lambda value: _number(value, "comma"),
    "day_first": lambda value: _day(value, "day_first"),
    "month_first": lambda value: _day(value, "month_first"),
    "year_first": lambda value: _day(value, "year_first"),
    "excel": _excel,
}


def _as_cp1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(ENCODING_ERRORS, _as_cp1252)
