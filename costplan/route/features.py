"""Prompts -> what the regression of the gap sees: text statistics, counts of the complexity rules, embedding; no label.

Only what is known before a model has answered.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from costplan.complexity.rules import PARTS
from costplan.complexity.score import counts, scored
from costplan.similarity.embed import static_vectors

Floats = NDArray[np.float64]
LABELS_PER_AXIS = 16
"""Of the embedding, the first n / 16 principal axes are kept: of more, n labels tell nothing (equal APGR on half of
RouteLLM's MMLU labels at 6 to 32, in a fraction of the time)."""
READ_CHARS = 20_000

_DIGIT, _UPPER, _MARK, _LINE, _OTHER, _WIDE = range(6)
_CLASS = np.full(256, _OTHER, np.int64)
_CLASS[128:] = _WIDE
_CLASS[[ord(each) for each in "0123456789"]] = _DIGIT
_CLASS[ord("A") : ord("Z") + 1] = _UPPER
_CLASS[[ord(each) for each in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"]] = _MARK
_CLASS[ord("\n")] = _LINE


def statistics(texts: Sequence[str]) -> Floats:
    """(n, p) lengths, shares of kinds of characters, and how often each complexity rule fires, as logarithms."""
    fired = counts(texts)
    one = np.ones(len(texts), np.int64)
    parts = scored(fired, np.array([len(text) for text in texts], np.int64), one, 0 * one).parts
    known = [name != "multi_turn" for name in PARTS]
    return np.hstack([np.array([_shape(text) for text in texts]).reshape(-1, 12), np.log1p(fired), parts[:, known]])


def _shape(text: str) -> list[float]:
    """Twelve figures of one text."""
    read = text[:READ_CHARS]
    kinds = np.bincount(_CLASS[np.frombuffer(read.encode("utf-8", "replace"), np.uint8)], minlength=6)
    words = read.split()
    chars, n = max(len(read), 1), max(len(words), 1)
    sentences = read.count(". ") + read.count("?") + read.count("!") + read.count("\n") + 1
    return [
        np.log1p(len(text)), np.log1p(len(words)), chars / n, *(kinds[[_DIGIT, _UPPER, _MARK, _LINE, _WIDE]] / chars),
        len(set(read.lower().split())) / n, np.log1p(sentences), n / sentences,
        float(max(map(len, words), default=0)),
    ]  # fmt: skip


def embedding(texts: Sequence[str]) -> Floats:
    """(n, k) coordinates of n texts on the largest principal axes of their static vectors, as many as n labels bear."""
    vectors = static_vectors([text[:READ_CHARS] for text in texts]).astype(np.float64)
    vectors -= vectors.mean(axis=0)
    kept = int(np.clip(len(texts) // LABELS_PER_AXIS, 1, vectors.shape[1]))
    return vectors @ np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1][:, :kept]
