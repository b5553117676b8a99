"""Rows with equal keys brought together, and exact sums over them; knows nothing of what the keys stand for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Keyed:
    """Sums per key: `sums[i]` are the column sums of `keys[i]`; keys sorted and distinct."""

    keys: NDArray[Any]
    sums: Ints

    def column(self, index: int) -> Ints:
        """One column of sums, in key order."""
        return self.sums[:, index]


def scaled(part: Keyed, factor: float) -> Keyed:
    """Every sum times a factor, as whole numbers again."""
    return Keyed(part.keys, np.rint(part.sums * factor).astype(np.int64))


def grouped(keys: NDArray[Any], columns: Ints) -> Keyed:
    """Column sums (rows x columns, exact integers) per distinct key."""
    distinct, number = numbered(keys)
    return Keyed(distinct, summed(number, columns, len(distinct)))


def numbered(keys: NDArray[Any]) -> tuple[NDArray[Any], Ints]:
    """(distinct keys in order, number of each row's key among them)."""
    if not len(keys):
        return keys, np.zeros(0, np.int64)
    low = keys.min()
    if int(keys.max()) - int(low) < 2 * len(keys):
        offset = (keys - low).astype(np.int64)
        there = np.bincount(offset) > 0
        return np.flatnonzero(there).astype(keys.dtype) + low, (np.cumsum(there) - 1)[offset]
    order = np.argsort(keys)
    ordered = keys[order]
    first = begins(ordered)
    number = np.empty(len(keys), dtype=np.int64)
    number[order] = np.cumsum(first) - 1
    return ordered[first], number


def summed(number: Ints, columns: Ints, n: int) -> Ints:
    """Column sums per number 0..n-1."""
    sums = np.zeros((n, columns.shape[1]), dtype=np.int64)
    for index, column in enumerate(columns.T if len(columns) else ()):
        largest = max(int(column.max()), -int(column.min()))
        if largest * len(column) < 1 << 53:  # every partial sum is exact as a float
            sums[:, index] = np.bincount(number, column, n)
        else:
            np.add.at(sums[:, index], number, column)
    return sums


def merged(parts: list[Keyed]) -> Keyed:
    """Sums over several Keyed with the same columns."""
    return grouped(np.concatenate([part.keys for part in parts]), np.concatenate([part.sums for part in parts]))


def begins(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a run of equal keys begins."""
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def together(keys: NDArray[Any]) -> Ints:
    """An order in which equal 64-bit keys are neighbours, in the order of their rows; keys come in no useful order.

    Sorts one word per row: the upper bits of the mixed key above the row number (a few times faster than argsort).
    Different keys that agree in those bits, which is rare, are told apart by a full sort.
    """
    n = len(keys)
    bits = np.uint64(max(1, (n - 1).bit_length()))
    wide = keys if keys.dtype.itemsize == 8 else keys.astype(np.int64)
    mixed = wide.view(np.uint64) * _ODD  # a bijection: equal stays equal
    words = (mixed >> bits << bits) | np.arange(n, dtype=np.uint64)
    words.sort()
    order = (words & ((np.uint64(1) << bits) - np.uint64(1))).view(np.int64)
    words >>= bits
    ordered = mixed[order]
    if ((ordered[1:] != ordered[:-1]) & (words[1:] == words[:-1])).any():
        return np.argsort(mixed, kind="stable")
    return order
