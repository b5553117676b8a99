"""Lines of a JSONL log that compression might shorten, found in raw bytes; the others need not be decoded.

A superset of what `costplan.compression` changes: blanks in JSON that stands in a text, blanks at the end of a line, a
long sentence or paragraph that comes twice, and prompts so long that old tool results would go. A compiled
loop, worth its start-up in large logs only.
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
_QUOTE, _BACKSLASH, _BLANK, _NEWLINE, _COLON = (ord(c) for c in '"\\ n:')
_OPENS = np.array([chr(c) in "[{" for c in range(256)])
_ENDS = np.array([chr(c) in ".!?" for c in range(256)])
_BLANKS = np.array([chr(c) in "nrt" for c in range(256)])
"""Behind a backslash."""
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
    """Blanks that JSON inside a string, or a line inside one, could do without."""
    i = start
    while i < end:
        c = data[i]
        if c == _BACKSLASH:
            after = data[i + 1]
            if after == _QUOTE:
                j = _behind_blanks(data, i + 2, end)
                if data[j] == _COLON:
                    return True
            elif after == _NEWLINE and (data[i - 1] == _BLANK or (data[i - 1] == 116 and data[i - 2] == _BACKSLASH)):
                return True
            i += 2
            continue
        if _OPENS[c] and i + 1 < end:
            j = _behind_blanks(data, i + 1, end)
            if j > i + 1 or (c == 91 and data[j] == 91):
                return True
        i += 1
    return False


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
    """FNV-1a of the bytes between the blanks at both ends."""
    start = _behind_blanks(data, start, end)
    while end > start and (
        data[end - 1] == _BLANK or (end - 2 > start and data[end - 2] == _BACKSLASH and _BLANKS[data[end - 1]])
    ):
        end -= 1 if data[end - 1] == _BLANK else 2
    found = _FNV
    for i in range(start, end):
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
