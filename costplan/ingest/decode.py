"""One line or element of JSON -> its value, however damaged the text; knows no container and no dialect."""

import json
from typing import Any, cast

import msgspec

from costplan.trace import BadRecord

strict = msgspec.json.Decoder().decode
"""Fast, and raises for NaN, lone surrogates, a byte order mark and invalid UTF-8, which `decode` reads."""


def decode(line: bytes) -> Any:
    """The JSON value of one line, by msgspec or, where that refuses it (NaN, lone surrogates, a byte order mark,
    invalid UTF-8), by the standard library. Raises BadRecord with the reason."""
    try:
        return strict(line)
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
