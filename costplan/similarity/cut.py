"""Compiled loops that cut texts into the pieces of `pieces.Pieces`; worth their start-up for many texts only."""

from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_jit: Any = cast(Any, numba).njit(cache=True, error_model="numpy")
_BLANK, _DIGIT, _LINE_END, _OTHER = range(4)
_KIND = np.full(256, _OTHER, np.uint8)
_KIND[32], _KIND[10], _KIND[48:58] = _BLANK, _LINE_END, _DIGIT
_START, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, Fowler, Noll and Vo 1991
_MIX = np.uint64(0x9E3779B97F4A7C15)


@_jit
def cut(data: Any, starts: Any, ends: Any) -> tuple[NDArray[np.uint64], Ints, Ints, Ints]:
    """(key, start, end) of all pieces of some UTF-8 texts; last, (n + 1,) where each text's pieces begin."""
    size = 0
    for text in range(len(starts)):
        size += ends[text] - starts[text]
    keys, begin, stop = np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.int64)
    edges = np.zeros(len(starts) + 1, np.int64)
    piece = 0
    for text in range(len(starts)):
        at, end = starts[text], ends[text]
        while at < end:
            begin[piece], kind, key = at, _KIND[data[at]], _START
            if kind in (_DIGIT, _LINE_END):
                key = (key ^ np.uint64(data[at])) * _PRIME
                at += 1
            else:
                while at < end and _KIND[data[at]] == _BLANK:
                    key = (key ^ np.uint64(32)) * _PRIME
                    at += 1
                while at < end and _KIND[data[at]] == _OTHER:
                    key = (key ^ np.uint64(data[at])) * _PRIME
                    at += 1
            keys[piece], stop[piece] = max(key, np.uint64(1)), at
            piece += 1
        edges[text + 1] = piece
    return keys[:piece].copy(), begin[:piece].copy(), stop[:piece].copy(), edges


@_jit
def look_up(keys: Any, table: Any, numbers: Any) -> tuple[Ints, Ints]:
    """(number of every key or -1, the places of keys without one); `table` is as `enter` fills it."""
    found, unknown, n = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64), 0
    for index in range(len(keys)):
        place = _place(keys[index], table)
        found[index] = numbers[place] if table[place] else -1
        if found[index] < 0:
            unknown[n] = index
            n += 1
    return found, unknown[:n].copy()


@_jit
def enter(keys: Any, values: Any, table: Any, numbers: Any) -> None:
    """Put keys with their numbers into a table whose length is a power of 2; 0 marks a free place."""
    for index in range(len(keys)):
        place = _place(keys[index], table)
        table[place], numbers[place] = keys[index], values[index]


@_jit
def _place(key: Any, table: Any) -> Any:
    """Where a key stands, or may be put."""
    at = np.int64((key * _MIX) >> np.uint64(20)) & (len(table) - 1)
    while table[at] != key and table[at]:
        at = (at + 1) & (len(table) - 1)
    return at


@_jit
def gather(pieces: Any, edges: Any, ids: Any, ends: Any) -> tuple[NDArray[np.int32], Ints]:
    """(token ids of texts one after the other, where each text's begin) from the pieces of the texts."""
    size = 0
    for piece in pieces:
        size += ends[piece + 1] - ends[piece]
    found, after, n = np.empty(size, np.int32), np.zeros(len(edges), np.int64), 0
    for text in range(len(edges) - 1):
        for index in range(edges[text], edges[text + 1]):
            for token in range(ends[pieces[index]], ends[pieces[index] + 1]):
                found[n] = ids[token]
                n += 1
        after[text + 1] = n
    return found, after
