"""Lines of a JSONL log that compression might shorten, found in raw bytes; the others need not be decoded.

A superset of what `costplan.compression` changes: JSON inside a text that has blanks or objects in a row, blanks at the
end of a line, a long sentence or paragraph that comes twice, and prompts so long that old tool results would go. A
compiled loop, worth its start-up in large logs only.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.compression.exact import MIN_BLOCK_CHARS
from costplan.compression.structural import MIN_UNIT_CHARS, TRIGGER_TOKENS
from costplan.ingest.hashing import jit
from costplan.ingest.records import line_blocks
from costplan.ingest.source import Split

_SLOTS = 4096
_QUOTE, _BACKSLASH, _BLANK, _NEWLINE, _TAB, _COLON, _COMMA = (ord(c) for c in '"\\ nt:,')
_BRACE, _BRACE_END, _BRACKET_END, _MINUS, _PLUS, _POINT = (ord(c) for c in "{}]-+.")
_OPENS = np.array([chr(c) in "[{" for c in range(256)])
_ENDS = np.array([chr(c) in ".!?" for c in range(256)])
_BLANKS = np.array([chr(c) in "nrt" for c in range(256)])
"""Behind a backslash."""
_DIGITS = np.array([chr(c) in "0123456789" for c in range(256)])
_PLAIN = np.array([chr(c) == "-" or (c < 128 and chr(c).isalnum()) for c in range(256)])
_VALUE, _FIRST, _AFTER, _HAS_COLON, _KEY, _FIRST_KEY = range(6)
"""What may come next in JSON: a value, or that or an end, a comma or an end, a colon, a key, or that or an end."""
_LEADS_TO_CODE, _ENDS_IN_CODE = (np.array([chr(c) in found for c in range(256)]) for found in ("([{,=", "),;]}[(=+"))
_NEAR = 60
_HASHED = 32
_DEEPEST = 60
_MOST_READ = 8
"""Times the length of a line: of one that opens more brackets than that, nothing is known."""
_FNV, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


def hinted_lines(split: Split) -> frozenset[int]:
    """Numbers of the lines of a split that might get shorter."""
    found: list[int] = []
    for first, block in line_blocks(split, lambda line, reason: None, [0]):
        data = np.frombuffer(bytes(block), np.uint8)
        found += (np.flatnonzero(_hinted(data)) + first).tolist()
    return frozenset(found)


@jit
def _hinted(data: NDArray[np.uint8]) -> Any:
    """Whether each line of a block, which ends with a line end, has a hint."""
    lines = 0
    for c in data:
        lines += c == 10
    hinted = np.zeros(lines, np.bool_)
    slots, stamps = np.zeros(_SLOTS, np.uint64), np.full(_SLOTS, -1, np.int64)
    start = 0
    for line in range(lines):
        end = start
        while data[end] != 10:
            end += 1
        hinted[line] = end - start > TRIGGER_TOKENS or _has_blanks(data, start, end) or (
            _repeats(data, start, end, slots, stamps, line)
        )  # fmt: skip
        start = end + 1
    return hinted


@jit
def _has_blanks(data: Any, start: int, end: int) -> bool:
    """Blanks that a line inside a string, or JSON inside one, could do without; or objects in a row."""
    i, left = start, _MOST_READ * (end - start)
    while i < end:
        c = data[i]
        if c == _BACKSLASH:
            if data[i + 1] == _NEWLINE and (data[i - 1] == _BLANK or (data[i - 1] == _TAB and data[i - 2] == c)):
                return True
            i += 2
        elif _OPENS[c]:
            behind, shorter = _document(data, i, end)
            left -= abs(behind) - i
            if left < 0 or (shorter and not _is_code(data, i, behind)):
                return True
            i = behind if behind > 0 and not shorter else i + 1
        else:
            i += 1
    return False


@jit
def _document(data: Any, i: int, end: int) -> tuple[int, bool]:
    """(where JSON inside a string ends, or minus where it breaks off; whether compression might shorten it).

    A quote is \\" here, and one inside a JSON string is \\\\\\". Takes some things for JSON that are none.
    """
    depth, kinds, state = 0, 0, _VALUE
    blanks = nested = in_a_row = False
    while i < end:
        c = data[i]
        if c == _BLANK or (c == _BACKSLASH and _BLANKS[data[i + 1]]):
            blanks = True
            nested |= c == _BACKSLASH and data[i + 1] == _NEWLINE
            i += 1 if c == _BLANK else 2
        elif c == _BACKSLASH and data[i + 1] == _QUOTE and state != _AFTER and state != _HAS_COLON:
            i = _behind_string(data, i + 2, end)
            if i < 0:
                return i, False
            state = _HAS_COLON if state >= _KEY else _AFTER
        elif _OPENS[c] and state <= _FIRST:
            if depth == _DEEPEST:
                return i, True
            nested |= depth > 0 or c == _BRACE
            in_a_row |= c == _BRACE and depth > 0 and kinds & 1 == 0
            depth, kinds = depth + 1, kinds << 1 | (c == _BRACE)
            state = _FIRST_KEY if c == _BRACE else _FIRST
            i += 1
        elif c == _COLON and state == _HAS_COLON:
            state = _VALUE
            i += 1
        elif c == _COMMA and state == _AFTER:
            state = _KEY if kinds & 1 else _VALUE
            i += 1
        elif (c == _BRACE_END and kinds & 1 and state in (_FIRST_KEY, _AFTER)) or (
            c == _BRACKET_END and kinds & 1 == 0 and state in (_FIRST, _AFTER)
        ):
            depth, kinds, state = depth - 1, kinds >> 1, _AFTER
            i += 1
            if depth == 0:
                return i, nested and (blanks or in_a_row)
        elif _PLAIN[c] and state <= _FIRST:
            after = _behind_plain(data, i, end)
            if after == i:
                return -i, False
            i, state = after, _AFTER
        else:
            return -i, False
    return -i, False


@jit
def _is_code(data: Any, start: int, end: int) -> bool:
    """Whether what stands around JSON makes it a part of source code, or of more JSON: `documents` leaves that out."""
    before, after = start - 1, _behind_blanks(data, end, min(len(data), end + _NEAR))
    while before > start - _NEAR and data[before] == _BLANK:
        before -= 1
    return bool(_LEADS_TO_CODE[data[before]] or _ENDS_IN_CODE[data[after]])


@jit
def _behind_string(data: Any, i: int, end: int) -> int:
    """Behind the quote that ends a JSON string inside a string; minus where the outer one ends before."""
    while i < end:
        if data[i] == _QUOTE:
            return -i
        if data[i] != _BACKSLASH:
            i += 1
        elif data[i + 1] == _QUOTE:
            return i + 2
        elif data[i + 1] == _BACKSLASH:  # whatever it escapes
            i += 4 if data[i + 2] == _BACKSLASH else 3
        else:
            i += 2
    return -i


@jit
def _behind_plain(data: Any, i: int, end: int) -> int:
    """Behind a number or a word such as true; `i` where it is no JSON."""
    start = i
    if not _DIGITS[data[i]] and data[i] != _MINUS:
        while i < end and _PLAIN[data[i]] and data[i] != _MINUS:
            i += 1
        return i
    i += data[i] == _MINUS
    digits = i
    while i < end and _DIGITS[data[i]]:
        i += 1
    if i == digits:
        return start
    if data[i] == _POINT:
        digits = i + 1
        i = digits
        while i < end and _DIGITS[data[i]]:
            i += 1
        if i == digits:
            return start
    while i < end and (_PLAIN[data[i]] or data[i] == _PLUS):  # an exponent
        i += 1
    return i


@jit
def _behind_blanks(data: Any, i: int, end: int) -> int:
    while i + 1 < end:
        if data[i] == _BLANK:
            i += 1
        elif data[i] == _BACKSLASH and _BLANKS[data[i + 1]]:
            i += 2
        else:
            break
    return i


@jit
def _repeats(data: Any, start: int, end: int, slots: Any, stamps: Any, line: int) -> bool:
    """A long sentence, line or paragraph that comes twice inside strings."""
    held, unit, i = 0, start, start
    while i <= end:
        c = data[i] if i < end else _QUOTE
        newline = c == _BACKSLASH and data[i + 1] == _NEWLINE
        sentence = _ENDS[c] and (data[i + 1] == _BLANK or (data[i + 1] == _BACKSLASH and data[i + 2] == _NEWLINE))
        if c == _QUOTE or newline or sentence:
            stop = i + 1 if sentence else i
            if stop - unit >= MIN_UNIT_CHARS:
                held = _seen(_hash(data, unit, stop), slots, stamps, line, held)
                if held < 0:
                    return True
            i += 2 if newline else 1
            unit = i
            continue
        i += 2 if c == _BACKSLASH else 1
    return _paragraphs(data, start, end, slots, stamps, line, held)


@jit
def _paragraphs(data: Any, start: int, end: int, slots: Any, stamps: Any, line: int, held: int) -> bool:
    begin, i = start, start
    while i <= end:
        c = data[i] if i < end else _QUOTE
        gap = c == _BACKSLASH and data[i + 1] == _NEWLINE and data[i + 2] == _BACKSLASH and data[i + 3] == _NEWLINE
        if c == _QUOTE or gap:
            if i - begin >= MIN_BLOCK_CHARS:
                held = _seen(_hash(data, begin, i) ^ np.uint64(1), slots, stamps, line, held)
                if held < 0:
                    return True
            i += 4 if gap else 1
            begin = i
            continue
        i += 2 if c == _BACKSLASH else 1
    return False


@jit
def _hash(data: Any, start: int, end: int) -> Any:
    """FNV-1a of some of the bytes between the blanks at both ends: equal if they are, else rarely."""
    start = _behind_blanks(data, start, end)
    while end > start and (
        data[end - 1] == _BLANK or (end - 2 > start and data[end - 2] == _BACKSLASH and _BLANKS[data[end - 1]])
    ):
        end -= 1 if data[end - 1] == _BLANK else 2
    found = (_FNV ^ np.uint64(end - start)) * _FNV_PRIME
    for i in range(start, end, 1 + (end - start) // _HASHED):
        found = (found ^ np.uint64(data[i])) * _FNV_PRIME
    return found


@jit
def _seen(key: Any, slots: Any, stamps: Any, line: int, held: int) -> int:
    """How many keys of the line are held now; -1 where this one was among them, or there is no room to know."""
    slot = np.int64(key >> np.uint64(20)) & (_SLOTS - 1)
    while stamps[slot] == line:
        if slots[slot] == key:
            return -1
        slot = (slot + 1) & (_SLOTS - 1)
    if held >= _SLOTS // 2:
        return -1
    slots[slot], stamps[slot] = key, line
    return held + 1
