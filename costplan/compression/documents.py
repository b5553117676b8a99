"""Where JSON documents and fenced code stand in a text; what to do with them is not decided here.

A document is taken for data only where prose or markup leads up to it; what looks like a literal in source code is
left out. Numbers keep their spelling and objects their order and double keys, so that equal trees are equal documents.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple


class Number(NamedTuple):
    """A number as it is spelled: 1.0 is not 1, and 1e400 stays."""

    spelled: str


class Object(tuple[tuple[str, Any], ...]):
    """Key-value pairs in order; a key may come twice."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Document:
    """`text[start:end]` is the JSON of `tree`: Object, list, str, Number, True, False or None."""

    start: int
    end: int
    tree: Any


class Spans:
    """Sorted, disjoint (start, end) that are asked about from left to right."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self._spans = spans
        self._next = 0

    def meet(self, start: int, end: int) -> bool:
        """Whether one of them shares a character with this one; starts must not fall from call to call."""
        while self._next < len(self._spans) and self._spans[self._next][1] <= start:
            self._next += 1
        return self._next < len(self._spans) and self._spans[self._next][0] < end


DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_float=Number, parse_int=Number, parse_constant=Number)
_OPENING = re.compile(r'[{\[](?=[ \t\r\n]*["{\[\]}\-0-9tfn])')
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)([^`\n]*)$", re.M)
_DATA_FENCES = {"", "json", "jsonl", "ndjson", "text", "txt", "output"}
_CODE_WORDS = re.compile(
    r"(?:and|assert|await|case|const|default|else|elif|export|extends|from|if|import|in|is|let|new|not|or|print|raise"
    r"|return|static|throw|typeof|var|while|with|yield)\Z"
)
_LAST_WORD = re.compile(r"[A-Za-z_]+\Z")
_BEFORE_CHARS = 64
_MOST_CHARS = 4_000_000
"""Longer texts are left alone: their trees would take too much memory."""


def fences(text: str) -> list[tuple[int, int, str]]:
    """(start, end, language) of fenced blocks, lines of the fence included; an open one runs to the end."""
    if "```" not in text and "~~~" not in text:
        return []
    found: list[tuple[int, int, str]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence[1].startswith(opened[1]) and not fence[2].strip():
            found.append((opened.start(), fence.end(), opened[2].strip().lower()))
            opened = None
    if opened is not None:
        found.append((opened.start(), len(text), opened[2].strip().lower()))
    return found


def code_spans(text: str) -> list[tuple[int, int]]:
    """Fenced blocks that may hold source code."""
    return [(start, end) for start, end, language in fences(text) if language not in _DATA_FENCES]


def not_prose(text: str) -> Spans:
    """Fenced blocks and JSON documents."""
    spans = [(start, end) for start, end, _ in fences(text)]
    spans += [(document.start, document.end) for document in documents(text)]
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return Spans(found)


def documents(text: str) -> list[Document]:
    """JSON objects and arrays that are data, in order; none inside fenced code. Each character is parsed once."""
    if ("{" not in text and "[" not in text) or len(text) > _MOST_CHARS:
        return []
    code = Spans(code_spans(text))
    found: list[Document] = []
    at = 0
    for opening in _OPENING.finditer(text):
        start = opening.start()
        if start < at or not _leads_to_data(text, start) or code.meet(start, start + 1):
            continue
        try:
            tree, end = DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            at = error.pos  # what stands inside a broken document is a part of it
            continue
        except (RecursionError, ValueError):  # nested too deep
            return found
        at = end
        if not _is_a_literal(text, end) and (type(tree) is Object or _is_worthwhile(tree, text, start, end)):
            found.append(Document(start, end, tree))
    return found


def _leads_to_data(text: str, start: int) -> bool:
    """Whether a line start, a colon, a closing tag, the end of a sentence or a plain word stands before the place."""
    window = text[max(0, start - _BEFORE_CHARS) : start]
    before = window.rstrip(" \t")
    if not before:
        return len(window) == start or "\n" in window  # 64 blanks are no lead
    if before[-1] == ">":
        return before[-2:] not in ("=>", "->")
    if before[-1] in "\n\r:.!?|":
        return True
    word = _LAST_WORD.search(before)
    return len(before) < len(window) and word is not None and not _CODE_WORDS.match(word[0])


def _is_a_literal(text: str, end: int) -> bool:
    """Whether what follows belongs to source code or to a larger document that is broken."""
    after = text[end : end + _BEFORE_CHARS].lstrip()
    return after[:1] in set("),;]}[(=+") or (after[:1] == "." and after[1:2].isalpha())


def _is_worthwhile(tree: list[Any], text: str, start: int, end: int) -> bool:
    """Arrays of plain values on one line are left alone: `[1, 2]` is as often a reference as data."""
    return any(type(item) in (Object, list) for item in tree) or text.find("\n", start, end) >= 0
