"""Tolerant readers for single fields (numbers, times, nested paths); knows no dialect."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from costplan.trace import BadRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_JSON = msgspec.json.Decoder()
# Epoch numbers are told apart by size: seconds until the year 5138, then milli-, micro-, nanoseconds.
_EPOCH_SCALE_US = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3))


def as_int(value: Any) -> int | None:
    """Whole number in an int, an integral float or a numeric string; None stays None. Raises BadRecord."""
    if type(value) is int:
        return value
    if value is None or value == "":
        return None
    number = as_float(value)
    if number is None:
        return None
    if not number.is_integer():
        raise BadRecord("bad_number")
    return int(number)


def as_float(value: Any) -> float | None:
    """Finite float in a number (Parquet writes decimals) or a numeric string; None and "" are None.

    Raises BadRecord on NaN, infinity and text.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise BadRecord("bad_number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise BadRecord("bad_number") from None
    if not math.isfinite(number):
        raise BadRecord("bad_number")
    return number


def as_bool(value: Any) -> bool:
    """True for true, 1, "true", "True", "1", "yes"; everything else is False."""
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in {"true", "1", "yes"})


def as_text(value: Any) -> str | None:
    """The string itself, a number's text; None for empty, None and containers."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_dict(value: Any) -> dict[str, Any]:
    """The mapping itself, or the one inside a JSON string; else an empty dict."""
    if isinstance(value, dict):
        return cast(dict[str, Any], value)
    if isinstance(value, str) and value[:1] == "{":
        decoded = from_json(value)
        return cast(dict[str, Any], decoded) if isinstance(decoded, dict) else {}
    return {}


def as_list(value: Any) -> list[Any]:
    """The list itself, or the one inside a JSON string; else an empty list."""
    if isinstance(value, list):
        return cast(list[Any], value)
    if isinstance(value, str) and value[:1] == "[":
        decoded = from_json(value)
        return cast(list[Any], decoded) if isinstance(decoded, list) else []
    return []


def from_json(text: str) -> Any:
    """The decoded JSON, or None where it is not JSON (also when it stops in the middle)."""
    try:
        return _JSON.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def dig(record: Any, *path: str) -> Any:
    """`record[path[0]][path[1]]…`, or None as soon as a step is missing."""
    for key in path:
        if not isinstance(record, dict):
            return None
        record = cast(dict[str, Any], record).get(key)
    return record


def time_us(value: Any) -> int | None:
    """Microseconds since the epoch (UTC) in an epoch number (s, ms, us, ns), its string, ISO 8601 or an HTTP date.

    A time without a zone is UTC. None, an empty or an unreadable time is None: the row stays, out of the time span.
    """
    if value is None or value == "" or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _epoch_us(float(value)) if abs(value) < 1e20 else None
    if isinstance(value, datetime):
        return _datetime_us(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        return _epoch_us(float(text))
    except ValueError:
        pass
    try:
        return _datetime_us(datetime.fromisoformat(_six_decimals(text)))
    except (ValueError, OverflowError):
        pass
    try:
        return _datetime_us(parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _epoch_us(number: float) -> int | None:
    if not math.isfinite(number) or number <= 0:
        return None
    for below, scale in _EPOCH_SCALE_US:
        if number < below:
            return round(number * scale)
    return None


def _datetime_us(moment: datetime) -> int:
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _six_decimals(text: str) -> str:
    """Cut fractions of more than six digits (Azure writes seven, Go nine): `fromisoformat` would cut them, 3.11 on."""
    text = text.removesuffix(" UTC").removesuffix(" +0000 UTC")
    dot = text.find(".")
    if dot < 0:
        return text
    end = dot + 1
    while end < len(text) and text[end].isdigit():
        end += 1
    return text[: min(end, dot + 7)] + text[end:]
