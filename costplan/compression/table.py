"""Rung 2, lossless for whoever reads tables: uniform JSON arrays with their keys once, and the way back.

    [{"id": 1, "name": "Ann"}, {"id": 2, "name": null}]   becomes   [#id,name
                                                                    1,Ann
                                                                    2,null
                                                                    ]

A cell is JSON, except that strings which nothing else is spelled like go without quotes; an empty cell is a key that
the row does not have (`""` is the empty string). The shape follows CSV and TOON; unlike a CSV it tells null, empty,
missing, text and number apart. A table counts only where `decode(encode(tree)) == tree`.
"""

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, cast

from costplan.compression.documents import DECODER, Document, Number, Object, documents
from costplan.compression.exact import minified, replaced

LEGEND = "(tables: [#keys, then a row per line; empty = no such key)\n"
"""Stands before the first table of a text, and is paid for."""
DEPTH = 8
"""Arrays that lie deeper stay JSON."""
_OPEN = "[#"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_BARE = re.compile(r'[^\s",\[\]{}#](?:[^,\x00-\x1f\x7f]*[^\s,])?')
_QUOTED = ('"', "{", "[")
_ABSENT = object()


class NotATable(Exception):
    """The text is no document of this form."""


def reformatted(text: str, count: Callable[[str], int]) -> str:
    """The text with tables for the documents that are shorter that way, in tokens as `count` counts them."""
    if "},{" not in text:  # minified, every array with two objects holds this
        return text
    found: list[tuple[Document, str]] = []
    for document in documents(text):
        before = text[document.start : document.end]
        after = _table_of(text, document) if "},{" in before else None
        if after is not None and count(after) < count(before):
            found.append((document, after if found else LEGEND + after))
    return replaced(text, found)


def _table_of(text: str, document: Document) -> str | None:
    """The document with tables; None where it is no strict JSON or does not come back equal."""
    try:
        if minified(text, document) is None:
            return None
        encoded = encode(document.tree)
        return encoded if decode(encoded) == document.tree else None
    except (NotATable, RecursionError):
        return None


def encode(tree: Any, depth: int = DEPTH) -> str:
    """A document with tables for its outermost uniform arrays down to a depth, everything else as minified JSON."""
    if type(tree) is Object:
        return "{" + ",".join([f"{encode_basestring(key)}:{encode(value, depth - 1)}" for key, value in tree]) + "}"
    if type(tree) is list:
        rows = cast(list[Any], tree)
        header = _header(rows) if depth > 0 else None
        return _table(header, rows) if header else "[" + ",".join([encode(row, depth - 1) for row in rows]) + "]"
    if type(tree) is str:
        return encode_basestring(tree)
    if type(tree) is Number:
        return tree.spelled
    return "null" if tree is None else "true" if tree else "false"


def decode(text: str) -> Any:
    """The tree that `encode` was given. Raises NotATable."""
    try:
        tree, end = _value(text, 0)
    except (json.JSONDecodeError, IndexError) as error:
        raise NotATable(str(error)) from None
    if end != len(text):
        raise NotATable(f"text after the document at {end}")
    return tree


def _header(rows: list[Any]) -> list[str] | None:
    """All keys, in an order that every row keeps; None where the array is no table."""
    if len(rows) < 2 or not all(type(row) is Object for row in rows):
        return None
    widest = max(rows, key=len)
    keys = list(dict.fromkeys(key for row in (widest, *rows) for key, _ in row))
    place = {key: index for index, key in enumerate(keys)}
    for row in rows:
        places = [place[key] for key, _ in row]
        if any(after <= before for before, after in zip(places, places[1:], strict=False)):
            return None
    return keys


def _table(header: list[str], rows: list[Any]) -> str:
    lines = [_OPEN + ",".join(map(_cell, header))]
    for row in rows:
        cells = {key: _cell(value) for key, value in row}
        lines.append(",".join([cells.get(key, "") for key in header]))
    return "\n".join([*lines, "]"])


def _cell(value: Any) -> str:
    if type(value) is str and _BARE.fullmatch(value) and not _NUMBER.fullmatch(value) and value not in _WORDS:
        return value
    return encode(value, 0)


def _value(text: str, at: int) -> tuple[Any, int]:
    """(value that begins at a place, where it ends)"""
    if text.startswith(_OPEN, at):
        return _rows(text, at + len(_OPEN))
    try:
        return DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        if text[at] not in "{[":
            raise
    return _members(text, at)  # there is a table inside


def _members(text: str, at: int) -> tuple[Any, int]:
    """An object or array with a table somewhere in it."""
    is_object, pairs = text[at] == "{", list[tuple[str, Any]]()
    while True:
        at += 1
        key = ""
        if is_object:
            key, at = DECODER.raw_decode(text, at)
            at += 1  # the colon
        value, at = _value(text, at)
        pairs.append((key, value))
        if text[at] != ",":
            break
    if text[at] != ("}" if is_object else "]"):
        raise NotATable(f"no end of the document at {at}")
    return (Object(pairs) if is_object else [value for _, value in pairs]), at + 1


def _rows(text: str, at: int) -> tuple[Any, int]:
    header, at = _line(text, at)
    rows: list[Any] = []
    while not text.startswith("]", at):
        cells, at = _line(text, at)
        if len(cells) != len(header):
            raise NotATable(f"{len(cells)} cells under {len(header)} keys at {at}")
        rows.append(Object((key, cell) for key, cell in zip(header, cells, strict=True) if cell is not _ABSENT))
    return rows, at + 1


def _line(text: str, at: int) -> tuple[list[Any], int]:
    """(cells of a line, where the next one begins)"""
    cells: list[Any] = []
    end = text.find("\n", at)
    while True:
        if text.startswith(_QUOTED, at):
            cell, at = DECODER.raw_decode(text, at)
        else:
            comma = text.find(",", at, end)
            stop = end if comma < 0 else comma
            cell, at = _bare(text[at:stop]), stop
        cells.append(cell)
        if text[at] == "\n":
            return cells, at + 1
        if text[at] != ",":
            raise NotATable(f"no end of the cell at {at}")
        at += 1


def _bare(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    return _ABSENT if not text else Number(text) if _NUMBER.fullmatch(text) else text
