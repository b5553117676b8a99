"""Which near prompts do not ask the same: rules over words; knows neither vectors nor what was answered.

A cosine does not tell "enable" from "disable", 7 from 17, or "A to B" from "B to A". Each rule names one such
difference. What a text is compared by is worked out once per text; a pair then costs a few set operations. The rules
know English only: of other texts nothing but the numbers is compared (`numbers_only` says of which).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from costplan.similarity import forms, words
from costplan.similarity.features import Features, features_of, language_of
from costplan.similarity.forms import misspelt, opposed
from costplan.similarity.graph import Graph

REASONS = (
    "",
    "number",
    "date",
    "unit",
    "negation",
    "opposite",
    "entity",
    "scope",
    "question",
    "direction",
    "one word replaced",
    "other words",
)
"""What `objection` counts into; the first = nothing speaks against serving one text's answer for the other."""
PASSES, NUMBER, DATE, UNIT, NEGATION, OPPOSITE, ENTITY, SCOPE, QUESTION, DIRECTION, REPLACED, OTHER = range(12)

DEFAULT_THRESHOLD = 0.80
"""Least cosine of the static vectors to serve at, together with the guard."""

_SYMMETRIC = frozenset(("and", "or", "vs", "versus", "with", "nor", "between", "+", "*", "×", "plus", "times"))
_NOT_SUPERLATIVE = words.listed(
    """request interest harvest contest protest suggest invest digest honest forest arrest modest conquest manifest
    priest breast bequest behest latest"""
)


def numbers_only(texts: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) the texts that are not English: of their pairs only the numbers are compared."""
    return np.array([language_of(text) != "en" for text in texts], bool)


def objection(a: str, b: str) -> int:
    """Why b's answer should not be served for a, or the reverse: an index into REASONS, 0 = nothing found.

    The texts are wanted as they were typed: capital letters mark names. Symmetric.
    """
    return _objection(features_of(a), features_of(b))


def guarded(graph: Graph, texts: Sequence[str]) -> NDArray[np.uint8]:
    """(E,) for each edge of the graph what `objection` says of its two texts.

    About 0.05 ms per text and 0.02 ms per pair (2 shared x86 cores); a pair is looked at once for both directions.
    """
    source = np.repeat(np.arange(graph.texts, dtype=np.int64), np.diff(graph.offsets))
    target = graph.neighbour.astype(np.int64)
    pair = np.minimum(source, target) * graph.texts + np.maximum(source, target)
    distinct, edge = np.unique(pair, return_inverse=True)
    read: dict[int, Features] = {}
    found = np.zeros(len(distinct), np.uint8)
    for at, both in enumerate(distinct.tolist()):
        sides = divmod(both, graph.texts)
        for side in sides:
            if side not in read:
                read[side] = features_of(texts[side])
        found[at] = _objection(read[sides[0]], read[sides[1]])
    return found[edge]


def _objection(a: Features, b: Features) -> int:
    if a.numbers != b.numbers:
        return NUMBER
    if not (a.english and b.english):
        return PASSES
    if a.tokens == b.tokens:
        return NEGATION if a.negated != b.negated else PASSES
    if _apart(a.signs, b.signs):
        return NUMBER
    if a.dates != b.dates:
        return DATE
    if _clash(a.units, b.units):
        return UNIT
    if a.negated != b.negated:
        return NEGATION
    only_a, only_b = a.known - b.known, b.known - a.known
    if any(opposed(x, y) for x in only_a for y in only_b):
        return OPPOSITE
    rest_a, rest_b = _unmatched(only_a & a.plain.keys(), only_b & b.plain.keys(), a, b)
    if _turned(rest_a, rest_b):
        return NEGATION
    if _named(rest_a & a.names, rest_b & b.names):
        return ENTITY
    if _scoped(only_a, only_b):
        return SCOPE
    if _apart(a.questions, b.questions):
        return QUESTION
    if _reversed(a, b):
        return DIRECTION
    if len(rest_a) == 1 and len(rest_b) == 1:
        return REPLACED
    return OTHER if rest_a and rest_b else PASSES


def _apart(a: frozenset[str], b: frozenset[str]) -> bool:
    """Both sides have what the other lacks."""
    return bool(a - b and b - a)


def _clash(a: frozenset[tuple[str, str]], b: frozenset[tuple[str, str]]) -> bool:
    """Both sides have a unit that the other lacks, of the same dimension."""
    return a != b and bool({kind for kind, _ in a - b} & {kind for kind, _ in b - a})


def _turned(rest_a: set[str], rest_b: set[str]) -> bool:
    """A verb such as avoid or stop was added on one side and replaces nothing."""
    return (not rest_b and not forms.STOPPING.isdisjoint(rest_a)) or (
        not rest_a and not forms.STOPPING.isdisjoint(rest_b)
    )


def _named(a: set[str], b: set[str]) -> bool:
    return bool(a and b)


def _scoped(only_a: frozenset[str], only_b: frozenset[str]) -> bool:
    if not forms.STRONG.isdisjoint(only_a) or not forms.STRONG.isdisjoint(only_b):
        return True
    if any(map(_superlative, chain(only_a, only_b))):
        return True
    kinds_a = {forms.SCOPE[word] for word in only_a if word in forms.SCOPE}
    kinds_b = {forms.SCOPE[word] for word in only_b if word in forms.SCOPE}
    return bool(kinds_a - kinds_b and kinds_b - kinds_a)


def _superlative(word: str) -> bool:
    return len(word) > 5 and word.endswith("est") and word not in _NOT_SUPERLATIVE


def _unmatched(only_a: frozenset[str], only_b: frozenset[str], a: Features, b: Features) -> tuple[set[str], set[str]]:
    """Content words of one side alone, without those that are slips of the pen of each other."""
    rest_a, rest_b = set(only_a), set(only_b)
    if len(rest_a) <= 6 and len(rest_b) <= 6:
        for x in sorted(only_a):
            slip = next((y for y in sorted(rest_b) if misspelt(a.plain[x], b.plain[y])), None)
            if slip is not None:
                rest_a.discard(x)
                rest_b.discard(slip)
    return rest_a, rest_b


def _reversed(a: Features, b: Features) -> bool:
    """From A to B against from B to A: by what follows to, from, than; or two parts that changed places."""
    moved_a = {mark for mark, word in a.targets - b.targets if word in b.known}
    moved_b = {mark for mark, word in b.targets - a.targets if word in a.known}
    if moved_a & moved_b:
        return True
    return len(a.tokens) == len(b.tokens) and _swapped(a.tokens, b.tokens)


def _swapped(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """X m Y against Y m X, unless m is `and` or the like; X Y against Y X is only said in another order."""
    if Counter(a) != Counter(b):
        return False
    start, end = 0, len(a)
    while start < end and a[start] == b[start]:
        start += 1
    while end > start and a[end - 1] == b[end - 1]:
        end -= 1
    left, right = a[start:end], b[start:end]
    n = len(left)
    if any(left[cut:] + left[:cut] == right for cut in range(1, n)):
        return False
    for first in range(1, n - 1):
        if left[:first] != right[n - first :]:
            continue
        for last in range(1, n - first):
            middle = left[first : n - last]
            if left[n - last :] == right[:last] and middle == right[last : n - first]:
                return not _SYMMETRIC.issuperset(middle)
    return False
