"""Normalisation of plain ASCII texts in one compiled pass; the same result as prompt.normalised, which a test compares.

Worth its start-up (a second) only in logs of some hundred megabytes; knows nothing of hashes or rows.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPENINGS = tuple(
    int.from_bytes(opening, "big") for opening in (b"toda", b"toni", b"tomo", b"this", b"curr", b"late", b"yest")
)
_NOW = int.from_bytes(b"now", "big")
_MASKS = tuple(
    int.from_bytes(opening, "big")
    for opening in (b"[re", b"[ma", b"[fi", b"<re", b"<ma", b"<pe", b"<em", b"<ph", b"***")
)
_CUT_ENDINGS = tuple(int.from_bytes(ending, "big") for ending in (b"ted", b"cut", b"ore", b"TED", b"CUT", b"ORE"))
_THIS = int.from_bytes(b"this", "big")

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]


def fold_texts(data: Bytes, ends: Ints) -> tuple[Bytes, Ints, Bytes]:
    """(folded bytes, where each folded text ends, hints) of texts that lie one after the other in `data`.

    A folded text starts where its source starts. Hints are cheap and may be wrong, the caller looks closer: bit 1, a
    word begins like one of prompt.asks_about_now's; bit 2, the text may hold a mask or end in a cut mark.
    """
    return _compiled()(data, ends)


@cache
def _compiled() -> Any:
    import numba

    global _this_period, _may_be_cut
    _this_period, _may_be_cut = numba.njit(cache=True)(_this_period), numba.njit(cache=True)(_may_be_cut)
    return numba.njit(cache=True)(_fold)


def _this_period(out: Bytes, i: int, length: int) -> bool:
    """Whether "this " is followed by the first letter of week, month, morning or year."""
    if i + 5 >= length or out[i + 4] != 32:
        return False
    return out[i + 5] == 119 or out[i + 5] == 109 or out[i + 5] == 121


def _may_be_cut(data: Bytes, start: int, end: int) -> bool:
    """Whether a text ends like a cut mark: a bracket, a blank, or the last letters of truncated, cut, more."""
    if end - start < 3:
        return end > start
    last = data[end - 1]
    if last == 93 or last == 41 or last == 62 or last <= 32:
        return True
    ending = (np.int64(data[end - 3]) << 16) | (np.int64(data[end - 2]) << 8) | np.int64(last)
    return ending in _CUT_ENDINGS


def _fold(data: Bytes, ends: Ints) -> tuple[Bytes, Ints, Bytes]:
    out = np.empty(len(data), np.uint8)
    out_ends = np.empty(len(ends), np.int64)
    hints = np.zeros(len(ends), np.uint8)
    start = 0
    for text in range(len(ends)):
        end = ends[text]
        length = start
        blank = True  # as if a blank stood before: leading blanks fall away
        for i in range(start, end):
            c = data[i]
            if c == 32 or 9 <= c <= 13 or 28 <= c <= 31:
                if not blank:
                    out[length] = 32
                    length += 1
                    blank = True
                continue
            blank = False
            if 65 <= c <= 90:
                c += 32
            out[length] = c
            length += 1
        closer = _may_be_cut(data, start, end)
        while length > start:  # blanks and . , : ; ! ?
            c = out[length - 1]
            if c == 32 or c == 46 or c == 44 or c == 58 or c == 59 or c == 33 or c == 63:
                length -= 1
            else:
                break
        hint = 2 if closer else 0
        before = 32
        for i in range(start, length - 2):
            c = out[i]
            if 97 <= c <= 122:
                if not (97 <= before <= 122 or 48 <= before <= 57):
                    opening = (np.int64(c) << 16) | (np.int64(out[i + 1]) << 8) | np.int64(out[i + 2])
                    after = np.int64(out[i + 3]) if i + 3 < length else np.int64(32)
                    if opening == _NOW:
                        if not (97 <= after <= 122 or 48 <= after <= 57):
                            hint |= 1
                    else:
                        opening = (opening << 8) | after
                        if opening in _OPENINGS and (opening != _THIS or _this_period(out, i, length)):
                            hint |= 1
            elif c == 91 or c == 60 or c == 42:
                opening = (np.int64(c) << 16) | (np.int64(out[i + 1]) << 8) | np.int64(out[i + 2])
                if opening in _MASKS:
                    hint |= 2
            before = c
        hints[text] = hint
        out_ends[text] = length
        start = end
    return out, out_ends, hints
