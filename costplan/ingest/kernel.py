"""Compiled loops over texts: unescaping, cutting into pieces, normalising ASCII; the same results as prompt's own code.

Worth their start-up only in logs of some hundred megabytes; knows nothing of hashes or rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.ingest.hashing import jit

_TIME_WORDS = tuple(
    b"today,tonight,tomorrow,yesterday,latest,currently,current time,current date,this week,this month,this year,"
    b"this morning,now".split(b",")
)
_MASKS = (b"[red", b"[mas", b"[fil", b"[rem", b"<red", b"<mas", b"<per", b"<ema", b"<pho", b"****")
_TIME, _CLOSER = 1, 2

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


def _folding() -> Bytes:
    """What each ASCII character becomes: lower case, one kind of blank."""
    table = np.arange(256, dtype=np.uint8)
    table[65:91] += 32
    table[[*range(9, 14), *range(28, 32)]] = 32
    return table


_FOLD = _folding()
_UNESCAPED = np.arange(256, dtype=np.uint8)
_UNESCAPED[[ord(c) for c in "bfnrt"]] = [8, 12, 10, 13, 9]
_IS_WORD = np.array([48 <= c <= 57 or 97 <= c <= 122 for c in range(256)])
_ENDS_NO_TEXT = np.array([c in b" .,:;!?" for c in range(256)])
_ENDS_CUT = np.array([c <= 32 or c in b"])>detDET" for c in range(256)])


def _windows() -> dict[int, int]:
    """Four folded characters by which a time word (1) or a mask (2) shows."""
    found = {int.from_bytes(mask, "big"): _CLOSER for mask in _MASKS}
    for word in _TIME_WORDS:
        for last in [word[3]] if word[3:] else np.flatnonzero(~_IS_WORD[:128]).tolist():
            found[int.from_bytes(word[:3], "big") << 8 | last] = _TIME
    return found


def _slots() -> tuple[int, NDArray[np.uint32], Bytes]:
    """A multiplier that gives each window a slot of its own; the slots' windows, and what they show."""
    windows, factor = _windows(), 0x61C88647
    while len({window * factor >> 20 & 4095 for window in windows}) < len(windows):
        factor += 2
    words, shown = np.zeros(4096, np.uint32), np.zeros(4096, np.uint8)
    for window, hint in windows.items():
        words[window * factor >> 20 & 4095], shown[window * factor >> 20 & 4095] = window, hint
    return factor, words, shown


_FACTOR, _WINDOWS, _SHOWN = _slots()
_TIME_BYTES = np.array([list(word.ljust(12)) for word in _TIME_WORDS], np.uint8)
_TIME_SIZES = np.array([len(word) for word in _TIME_WORDS])


@jit
def unescape(data: Any, starts: Any, ends: Any, escaped: Any) -> tuple[Bytes, Ints]:
    """(bytes, where each text ends) of valid JSON strings, decoded, one after the other."""
    out, out_ends, n = np.empty((ends - starts).sum(), np.uint8), np.empty(len(starts), np.int64), 0
    for index in range(len(starts)):
        i, end = starts[index], ends[index]
        if not escaped[index]:
            out[n : n + end - i] = data[i:end]
            n += end - i
            i = end
        while i < end:
            c = data[i]
            if c != 92:
                out[n] = c
                n, i = n + 1, i + 1
                continue
            c = data[i + 1]
            if c != 117:
                out[n] = _UNESCAPED[c]
                n, i = n + 1, i + 2
                continue
            code, i = _code(data, i + 2), i + 6
            if 0xD800 <= code < 0xDC00:
                code, i = 0x10000 + ((code - 0xD800) << 10) + _code(data, i + 2) - 0xDC00, i + 6
            n = _put(out, n, code)
        out_ends[index] = n
    return out[:n], out_ends


@jit
def _code(data: Any, i: int) -> Any:
    value = 0
    for k in range(i, i + 4):
        c = np.int64(data[k])
        value = value * 16 + (c - 48 if c <= 57 else (c | 32) - 87)
    return value


@jit
def _put(out: Any, n: int, code: int) -> int:
    """Writes a character as UTF-8; returns where the next one goes."""
    if code < 0x80:
        out[n] = code
        return n + 1
    more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
    out[n] = (code >> 6 * more) | (0xC0 if more == 1 else 0xE0 if more == 2 else 0xF0)
    for k in range(1, more + 1):
        out[n + k] = 0x80 | (code >> 6 * (more - k)) & 0x3F
    return n + more + 1


@jit
def cut_pieces(data: Any, starts: Any, ends: Any, chunk: int) -> tuple[Ints, Ints, Ints, Ints]:
    """(characters, pieces) of each text, (start, end) of all pieces of `chunk` characters; the last may be shorter."""
    n = len(starts)
    chars, counts = np.empty(n, np.int64), np.empty(n, np.int64)
    size = n + (ends[-1] - starts[0]) // chunk if n else 0
    piece_starts, piece_ends, piece = np.empty(size, np.int64), np.empty(size, np.int64), 0
    for index in range(n):
        wide = 0
        for i in range(starts[index], ends[index]):
            wide += (data[i] & 0xC0) == 0x80
        chars[index] = ends[index] - starts[index] - wide
        first, at = piece, starts[index]
        for _ in range((chars[index] - 1) // chunk if chars[index] else 0):
            piece_starts[piece] = at
            if wide == 0:
                at += chunk
            else:
                left = chunk
                while left > 0 or (data[at] & 0xC0) == 0x80:
                    left -= (data[at] & 0xC0) != 0x80
                    at += 1
            piece_ends[piece] = at
            piece += 1
        piece_starts[piece], piece_ends[piece] = at, ends[index]
        piece += 1
        counts[index] = piece - first
    return chars, counts, piece_starts[:piece], piece_ends[:piece]


@jit
def _may_be_cut(data: Any, start: int, end: int) -> bool:
    """Whether a text ends like a cut mark, with an ellipsis or "(t)runca(ted)" shortly before its end."""
    if end == start or not _ENDS_CUT[data[end - 1]]:
        return False
    for i in range(max(start, end - 120), end - 2):
        a, b, c = data[i] | 32, data[i + 1] | 32, data[i + 2] | 32
        if (a == 46 and b == 46 and c == 46) or (a == 117 and b == 110 and c == 99):
            return True
    return False


@jit
def _is_time(out: Any, i: int, length: int) -> bool:
    """Whether a time word stands at out[i]."""
    for word in range(len(_TIME_SIZES)):
        same = 0
        while same < _TIME_SIZES[word] and i + same < length and out[i + same] == _TIME_BYTES[word, same]:
            same += 1
        if same == _TIME_SIZES[word]:
            return True
    return False


@jit
def fold_texts(data: Any, starts: Any, ends: Any, ascii_only: Any) -> tuple[Bytes, Ints, Bytes]:
    """(folded bytes, where each folded text ends, hints) of adjoining texts; those that are not ASCII are left out.

    A folded text starts where its source starts. Hints: bit 1, the text holds a word of prompt.asks_about_now; bit 2,
    it may hold a mask or end in a cut mark, the caller looks closer.
    """
    base = starts[0] if len(starts) else 0
    out = np.empty((ends[-1] - base if len(starts) else 0) + 1, np.uint8)
    out_ends, hints = starts - base, np.zeros(len(starts), np.uint8)
    for text in range(len(starts)):
        if not ascii_only[text]:
            continue
        start, length, blank = out_ends[text], out_ends[text], True  # leading blanks fall away
        for i in range(starts[text], ends[text]):
            c = _FOLD[data[i]]
            out[length] = c
            length += not (blank and c == 32)
            blank = c == 32
        hint = _CLOSER if _may_be_cut(data, starts[text], ends[text]) else 0
        while length > start and _ENDS_NO_TEXT[out[length - 1]]:
            length -= 1
        window = np.int64(0x20202020)
        for i in range(start, length + 1):
            window = (window << 8 | (out[i] if i < length else 32)) & 0xFFFFFFFF
            slot = window * _FACTOR >> 20 & 4095
            if _WINDOWS[slot] == window:
                if _SHOWN[slot] == _CLOSER:
                    hint |= _CLOSER
                elif not (i - 4 >= start and _IS_WORD[out[i - 4]]) and _is_time(out, i - 3, length):
                    hint |= _TIME
        hints[text], out_ends[text] = hint, length
    return out, out_ends, hints
