"""Labelled pairs of prompts -> how many of them a semantic cache would serve, right and wrong; knows no traffic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from costplan.errors import CostplanError
from costplan.similarity.embed import Vectors, static_vectors
from costplan.similarity.guard import numbers_only, objection

UNNAMED = "(no category)"
"""Category of the rows that name none."""
_HINT = 'one pair per line: {"a": "...", "b": "...", "same_answer": true, "category": "..."}; category may be left out'


@dataclass(frozen=True, slots=True)
class Pair:
    """Two prompts, and whether one answer is right for both."""

    a: str
    b: str
    same_answer: bool
    category: str = UNNAMED


@dataclass(frozen=True, slots=True)
class Pairs:
    """What a file of pairs holds."""

    rows: tuple[Pair, ...]
    ambiguous: int
    """Rows marked as ambiguous: left out."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the pairs that are served, 0 to 1; None where there is no such pair."""

    same: float | None
    """Of those with the same answer: wanted high."""
    different: float | None
    """Of those with different answers, each of which is a wrong answer served: wanted low."""


@dataclass(frozen=True, slots=True)
class Row:
    """One category."""

    category: str
    same_answer: bool
    n: int
    served_share: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a cache of one setting does with labelled pairs."""

    threshold: float
    guard: bool
    served: Shares
    rows: tuple[Row, ...]
    """By category and label, sorted."""
    ambiguous: int
    """Pairs left out by their label."""
    numbers_only: int
    """Pairs with a text that is not English: of these the guard compares nothing but numbers."""


class _Line(msgspec.Struct):
    a: str
    b: str
    same_answer: bool
    category: str | None = None
    ambiguous: bool | str | None = None


def read_pairs(path: Path) -> Pairs:
    """Pairs of a JSONL file: `a`, `b`, `same_answer`, optionally `category`; other fields are ignored.

    Rows whose `ambiguous` is true (or says why) are left out and counted; blank lines are skipped.

    Raises:
        CostplanError: a line that is no such pair, with its number; a file without any; one that cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror or error}", hint="name a JSONL file of labelled pairs") from None
    decoder = msgspec.json.Decoder(_Line)
    rows: list[Pair] = []
    ambiguous = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CostplanError(f"{path}:{number}: {error}", hint=_HINT) from None
        if row.ambiguous:
            ambiguous += 1
        else:
            rows.append(Pair(row.a, row.b, row.same_answer, row.category or UNNAMED))
    if not rows:
        raise CostplanError(f"{path}: no labelled pair in it", hint=_HINT)
    return Pairs(tuple(rows), ambiguous)


def evaluate(
    pairs: Pairs,
    threshold: float,
    guard: bool = True,
    *,
    same: Callable[[str, str], bool] = str.__eq__,
    embed: Callable[[Sequence[str]], Vectors] = static_vectors,
) -> Evaluation:
    """What would be served: a cosine of at least `threshold`, or the `same` prompt, and no objection of the guard.

    Args:
        pairs: from `read_pairs`.
        threshold: least cosine served; above 1 = only what is the same.
        guard: whether `guard.objection` is asked.
        same: whether two texts count as one prompt (as costplan's normalisation has it).
        embed: texts -> (n, d) rows of length 1.
    """
    rows = pairs.rows
    first, second = [row.a for row in rows], [row.b for row in rows]
    cosine = np.einsum("ij,ij->i", embed(first), embed(second))
    near = (cosine >= threshold) | np.array([same(row.a, row.b) for row in rows], bool)
    served = near & np.array([not (guard and objection(row.a, row.b)) for row in rows], bool)
    answers = np.array([row.same_answer for row in rows], bool)
    kinds = sorted({(row.category, row.same_answer) for row in rows})
    of_kind = np.array([kinds.index((row.category, row.same_answer)) for row in rows])
    return Evaluation(
        threshold=threshold,
        guard=guard,
        served=Shares(_share(served[answers]), _share(served[~answers])),
        rows=tuple(
            Row(category, label, int((of_kind == at).sum()), float(served[of_kind == at].mean()))
            for at, (category, label) in enumerate(kinds)
        ),
        ambiguous=pairs.ambiguous,
        numbers_only=int((numbers_only(first) | numbers_only(second)).sum()),
    )


def _share(served: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float | None:
    return float(served.mean()) if len(served) else None
