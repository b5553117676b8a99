"""All rounding, number formatting and taming of log text; knows nothing of what the numbers or texts mean.

Money: whole dollars from $1,000, cents from $1, three significant digits below, billions from $10B; never an exponent.
Inside one table all amounts share the decimals of its largest, except where that would show a cost as $0.
"""

import math
import re

from rich.cells import cell_len, set_cell_size

from costplan.results import Estimate
from costplan.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

UNKNOWN = "unknown"
_SMALLEST_USD = 1e-9
_BILLION = 1e9
_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def money_decimals(usd: float) -> int:
    """Decimals an amount needs: 0 from $1,000, 2 from $1, else as many as three significant digits take."""
    size = abs(usd)
    if size >= 999.995:
        return 0
    if size >= 0.9995 or size < _SMALLEST_USD / 2:
        return 2
    return 2 - math.floor(math.log10(float(f"{size:.2e}")))


def money(usd: float | None, decimals: int | None = None) -> str:
    """`$18,420`, `$4.78`, `$0.00478`, `-$12.00`; `decimals` is the table's, unless it would hide the amount."""
    if usd is None or not math.isfinite(usd):
        return UNKNOWN
    sign = "-" if usd < 0 else ""
    return sign + _dollars(abs(usd), decimals)


def saving(usd: float | None, decimals: int | None = None) -> str:
    """A saving as it changes the bill: 940 saved is `-$940`, a lever that costs 120 is `+$120`."""
    if usd is None or not math.isfinite(usd):
        return UNKNOWN
    if usd == 0:
        return "$0"
    return ("-" if usd > 0 else "+") + _dollars(abs(usd), decimals)


def _dollars(size: float, decimals: int | None) -> str:
    if size == 0:
        return "$0"
    if size < _SMALLEST_USD / 2:
        return f"<${_SMALLEST_USD:.9f}"
    if size >= 10 * _BILLION:
        return f"${size / _BILLION:,.{1 if size < 1000 * _BILLION else 0}f}B"
    if decimals is None or size < 0.5 * 10**-decimals:
        decimals = money_decimals(size)
    return f"${size:,.{decimals}f}"


def interval(estimate: Estimate, decimals: int | None = None, *, saved: bool = False) -> str:
    """`[880 … 1,010]`; a plausible range says so; empty where nothing spreads.

    `saved`: the ends of a saving, signed as `saving` signs it: `[-1,010 … -880]`.
    """
    low, high = estimate.low, estimate.high
    if estimate.value is None or low is None or high is None or low == high:
        return ""
    if saved:
        low, high = -high, -low
    if decimals is None:
        decimals = money_decimals(max(abs(low), abs(high)))
    ends = [money(end, decimals).replace("$", "") for end in (low, high)]
    if ends[0] == ends[1]:
        return ""
    kind = " range" if estimate.level is None else "" if estimate.level == 0.95 else f" {percent(estimate.level)}"
    return f"[{ends[0]} … {ends[1]}]{kind}"


def mark(estimate: Estimate) -> str:
    """`=` counted, priced or measured; `≈` simulated or estimated; `?` assumed; blank where the number is unknown."""
    if estimate.value is None:
        return ""
    return "?" if estimate.basis == "assumed" else "≈" if estimate.basis in ("simulated", "estimated") else "="


def percent(share: float | None) -> str:
    """`5.1%`; a share that is not 0 or 1 is never shown as such."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    if share in (0, 1):
        return f"{share:.0%}"
    if abs(share) < 0.0005:
        return "<0.1%" if share > 0 else "-<0.1%"
    if 0.9995 <= share < 1:
        return ">99.9%"
    return f"{100 * share:,.1f}%"


def count(number: float | None) -> str:
    """`3,853,000`"""
    return UNKNOWN if number is None else f"{number:,.0f}"


def compact(number: float) -> str:
    """`812`, `1.25M`, `3.40B`: three significant digits, for token counts."""
    for size, letter in _SCALES:
        if number >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:,.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f}{letter}"
    return f"{number:,.0f}"


def span(days: float | None) -> str:
    """Length of a log: `30 d`, `6.2 h`, `12 min`, `0.4 s`."""
    if days is None:
        return "no times"
    seconds = days * SECONDS_PER_DAY
    steps = ((SECONDS_PER_DAY, "d"), (SECONDS_PER_HOUR, "h"), (SECONDS_PER_MINUTE, "min"), (1, "s"))
    size, unit = next((step for step in steps if seconds >= step[0]), steps[-1])
    return f"{seconds / size:,.1f}".removesuffix(".0") + f" {unit}"


def seconds(value: float | None) -> str:
    """`0.42 ms`, `23.1 ms`, `1.25 s`, `83 s`; `-` where there is none."""
    if value is None:
        return "-"
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= 0.9995 * size:
            scaled = value / size
            return f"{scaled:,.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f} {unit}"
    return f"{1000 * value:.2f} ms" if value else "0"


def day(stamp: str | None) -> str:
    """The date of an ISO timestamp, empty where it is none."""
    start = (stamp or "")[:10]
    return start if re.fullmatch(r"\d{4}-\d\d-\d\d", start, re.ASCII) else ""


def plain(text: str, width: int) -> str:
    """One printable line of at most `width` cells: control, bidi and other invisible characters become `\\x1b` text."""
    shown = "".join(c if c.isprintable() else _visible(c) for c in text[: 4 * width])
    if len(text) <= 4 * width and cell_len(shown) <= width:
        return shown
    return set_cell_size(shown, width - 1).rstrip() + "…"


def _visible(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def markdown_text(text: str, width: int = 200) -> str:
    """`plain`, with everything that Markdown, HTML or an autolinking viewer would act on escaped."""
    safe = re.sub(r"([\\`*|\[\]~])", r"\\\1", plain(text, width))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("://", ":&#47;&#47;")
    safe = re.sub(r"(?i)(www)\.", r"\1&#46;", safe)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", safe)
