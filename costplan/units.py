"""Units and their conversions: the only place with 1_000_000, 3600 and 730; knows nothing of prices."""

import re

TOKENS_PER_MTOK = 1_000_000
MICROS_PER_SECOND = 1_000_000
SECONDS_PER_MINUTE = 60
SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86_400
HOURS_PER_MONTH = 730.0
SECONDS_PER_MONTH = HOURS_PER_MONTH * SECONDS_PER_HOUR
NANOS_PER_USD = 1_000_000_000
"""Money is summed as whole nano-dollars: integer sums do not depend on the order of rows or workers."""

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|min|h|d)?\s*$")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_duration_s(text: str) -> float:
    """Seconds in `800ms`, `90s`, `15m`, `1h`, `7d`; a bare number is seconds. Raises ValueError."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    return float(match[1]) * _SECONDS[match[2] or ""]


def format_duration(seconds: float) -> str:
    """Shortest exact spelling: 300 -> `5m`, 3600 -> `1h`, 0.8 -> `0.8s`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def parse_count(text: str) -> int:
    """Whole number in `5000`, `5_000_000`, `5k`, `5M`. Raises ValueError."""
    match = re.match(r"^\s*(\d[\d_]*(?:\.\d+)?)\s*([kKmM]?)\s*$", text)
    if match is None:
        raise ValueError(f"not a count: {text!r}")
    return round(float(match[1].replace("_", "")) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()])


def plural(number: int, noun: str) -> str:
    """`1 request`, `2 requests`"""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
