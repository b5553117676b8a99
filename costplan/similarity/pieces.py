"""Texts -> token ids, each piece of text between two blanks tokenized once; knows no vectors."""

import re
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_MOST_PIECES = 200_000
_PIECE = re.compile(r" *[^ \n0-9]+| +|[0-9]|\n")
_SPECIAL = ("▁", "<s>", "</s>", "<unk>")
"""What the tokenizer itself has to look at: its sign for a blank, and the names of its special tokens."""


class Pieces:
    """Token ids of texts, as the tokenizer of Llama 2 and its kin gives them.

    In its vocabulary a blank starts a token or is followed by nothing but blanks, digits stand alone, and no token
    holds a line end. So no merge reaches over such a place, and what lies between two can be tokenized by itself.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._forget()

    def _forget(self) -> None:
        self._known = _Known(self._tokenized)
        self._ids, self._ends = array("i"), array("q", [0])
        self._table, self._numbers = np.zeros(1 << 12, np.uint64), np.zeros(1 << 12, np.int64)
        """What `cut.enter` fills: numbers of pieces by key."""
        self._entered = 0

    def tokens(self, texts: Sequence[str], *, compiled: bool = False) -> tuple[NDArray[np.int32], Ints]:
        """(token ids of all texts one after the other, (n + 1,) where each text's begin and the last one's end)."""
        if len(self._ends) > _MOST_PIECES:
            self._forget()
        pieces, edges = (self._cut_compiled if compiled else self._cut)(texts)
        ids, ends = np.array(self._ids, np.int32), np.array(self._ends, np.int64)
        if compiled:
            from costplan.similarity.cut import gather

            return gather(pieces, edges, ids, ends)
        counts = np.diff(ends)[pieces]
        after = np.append(0, np.cumsum(counts))
        return ids[np.repeat(ends[pieces] - after[:-1], counts) + np.arange(after[-1])], after[edges]

    def _cut(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """(numbers of the pieces of all texts, (n + 1,) where each text's begin)."""
        number, numbers, edges = self._known.__getitem__, list[int](), [0]
        for text in texts:
            if _is_special(text):
                numbers.append(self._whole(text))
            elif text:
                numbers += map(number, _PIECE.findall(" " + text))
            edges.append(len(numbers))
        return np.array(numbers, np.int64), np.array(edges, np.int64)

    def _cut_compiled(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """The same."""
        from costplan.similarity.cut import cut, look_up

        special = [at for at, text in enumerate(texts) if _is_special(text)]
        apart = set(special)
        raw = [b"" if not text or at in apart else b" " + text.encode() for at, text in enumerate(texts)]
        ends = np.cumsum([0, *map(len, raw)])
        joined = b"".join(raw)
        keys, begin, stop, edges = cut(np.frombuffer(joined, np.uint8), ends[:-1], ends[1:])
        pieces, unknown = look_up(keys, self._table, self._numbers)
        if len(unknown):
            _, first = np.unique(keys[unknown], return_index=True)
            for at in np.sort(unknown[first]).tolist():
                self._enter(keys[at], self._tokenized(joined[begin[at] : stop[at]].decode()))
            pieces, _ = look_up(keys, self._table, self._numbers)
        for at in reversed(special):
            pieces = np.insert(pieces, edges[at], self._whole(texts[at]))
            edges[at + 1 :] += 1
        return pieces, edges

    def _enter(self, key: np.uint64, number: int) -> None:
        from costplan.similarity.cut import enter

        if 2 * self._entered >= len(self._table):
            old, numbers = self._table, self._numbers
            self._table, self._numbers = np.zeros(4 * len(old), np.uint64), np.zeros(4 * len(old), np.int64)
            enter(old[old > 0], numbers[old > 0], self._table, self._numbers)
        enter(np.array([key]), np.array([number], np.int64), self._table, self._numbers)
        self._entered += 1

    def _whole(self, text: str) -> int:
        return self._kept(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _tokenized(self, piece: str) -> int:
        return self._kept([token.id for token in self._tokenizer.model.tokenize(piece.replace(" ", "▁"))])

    def _kept(self, ids: list[int]) -> int:
        self._ids.extend(ids)
        self._ends.append(len(self._ids))
        return len(self._ends) - 2


class _Known(dict[str, int]):
    """Numbers of pieces of text; what is missing is made."""

    def __init__(self, make: Callable[[str], int]) -> None:
        self._make = make

    def __missing__(self, piece: str) -> int:
        number = self[piece] = self._make(piece)
        return number


def _is_special(text: str) -> bool:
    return any(each in text for each in _SPECIAL)
