"""Which near prompts do not ask the same: rules over words; knows neither vectors nor what was answered.

A cosine does not tell "enable" from "disable", 7 from 17, or "A to B" from "B to A". Each rule names one such
difference. What a text is compared by is worked out once per text; a pair then costs a few set operations. The rules
know English only: of other texts nothing but the numbers is compared (`numbers_only` says of which).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from costplan.similarity import forms
from costplan.similarity.features import Features, features_of, language_of, numbers_of
from costplan.similarity.forms import misspelt, opposites, token
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
    "words replaced",
    "other words",
    "more said",
)
"""What `objection` counts into; the first = nothing speaks against serving one text's answer for the other."""
PASSES, NUMBER, DATE, UNIT, NEGATION, OPPOSITE, ENTITY, SCOPE, QUESTION, DIRECTION, REPLACED, OTHER, MORE = range(13)

DEFAULT_THRESHOLD = 0.78
"""Least cosine of the static vectors to serve at, together with the guard."""

_OPEN = frozenset(("how", "what"))
_LIGHT = frozenset(("get", "use", "make"))
_SYMMETRIC = frozenset(("and", "or", "vs", "versus", "with", "nor", "between", "+", "*", "×", "plus", "times"))
_ONE_WAY = frozenset(map(token, ("replace", "substitute", "swap", "divide", "subtract")))
_HELD = 20_000
"""Texts of which more than the numbers is kept, some 10 kB each."""
_MOVED = 200
"""Longer stretches of words in another order are taken for another text."""
_SLIPS = 6
"""Slips of the pen are looked for only where neither side has more words of its own than this."""
_SHARED_PER_REPLACED = 3
_SHARED_PER_ADDED = 4
"""Words of topic in common for each that one side replaces or adds, below which the pair is not served. Tuned, together
with the threshold, on the even rows of the tests' pairs and on how far Banking77's intents were kept apart."""


def numbers_only(texts: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) the texts that are not English: of their pairs only the numbers are compared."""
    return np.array([language_of(text) != "en" for text in texts], bool)


def objection(a: str, b: str) -> int:
    """Why b's answer should not be served for a, or the reverse: an index into REASONS, 0 = nothing found.

    The texts are wanted as they were typed: capital letters mark names. Symmetric.
    """
    return _objection(features_of(a), features_of(b))


def guarded(graph: Graph, texts: Sequence[str]) -> NDArray[np.uint8]:
    """(E,) for each edge of the graph what `objection` says of its two texts; a pair is looked at once."""
    source = np.repeat(np.arange(graph.texts, dtype=np.int64), np.diff(graph.offsets))
    target = graph.neighbour.astype(np.int64)
    pair = np.minimum(source, target) * graph.texts + np.maximum(source, target)
    distinct, edge = np.unique(pair, return_inverse=True)
    first, second = np.divmod(distinct, graph.texts)
    used, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    numbers = number_keys(texts[int(text)] for text in used)[place]
    same = numbers[: len(first)] == numbers[len(first) :]
    found = np.full(len(first), NUMBER, np.uint8)
    found[same] = objections(first[same], second[same], texts)
    return found[edge]


def number_keys(texts: Iterable[str]) -> NDArray[np.uint64]:
    """(n,) keys of the numbers that texts hold: of texts whose keys differ, `objection` says NUMBER.

    Some ten times as fast as all else; of texts made from one template, most differ in this.
    """
    keys = [xxh3_64_intdigest("\x1f".join(sorted(numbers_of(text))).encode()) for text in texts]
    return np.array(keys, np.uint64)


def objections(first: NDArray[np.int64], second: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.uint8]:
    """(P,) what `objection` says of pairs of texts, by their numbers.

    About 0.2 ms for a text of 50 words and 0.01 ms for a pair (a shared x86 core).
    """

    @lru_cache(_HELD)
    def read(text: int) -> Features:
        return features_of(texts[text])

    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return np.array([_objection(read(a), read(b)) for a, b in pairs], np.uint8)


def _objection(a: Features, b: Features) -> int:
    if a.numbers != b.numbers:
        return NUMBER
    if not (a.english and b.english):
        return PASSES
    if a.signs != b.signs and _apart(a.signs, b.signs):
        return NUMBER
    if a.dates != b.dates:
        return DATE
    if a.units != b.units and {kind for kind, _ in a.units - b.units} & {kind for kind, _ in b.units - a.units}:
        return UNIT
    if a.negated != b.negated:
        return NEGATION
    if a.tokens == b.tokens:
        return PASSES
    only_a, only_b = a.known - b.known, b.known - a.known
    if any(not opposites(word).isdisjoint(only_b) for word in only_a):
        return OPPOSITE
    rest_a, rest_b = _unmatched(a, b, only_a, only_b)
    if not (rest_a and rest_b) and not (forms.STOPPING.isdisjoint(rest_a) and forms.STOPPING.isdisjoint(rest_b)):
        return NEGATION  # stop, avoid and the like added to the same words
    if not (a.names.isdisjoint(rest_a) or b.names.isdisjoint(rest_b)):
        return ENTITY
    if a.scope != b.scope and _scoped(a.scope - b.scope, b.scope - a.scope):
        return SCOPE
    if a.questions != b.questions and _asks_other(a.questions - b.questions, b.questions - a.questions):
        return QUESTION
    if _reversed(a, b):
        return DIRECTION
    return _worded(a, b, rest_a, rest_b) or (REPLACED if _apart(only_a & _LIGHT, only_b & _LIGHT) else PASSES)


def _apart(a: frozenset[str], b: frozenset[str]) -> bool:
    """Both sides have what the other lacks."""
    return bool(a - b and b - a)


def _unmatched(
    a: Features, b: Features, only_a: frozenset[str], only_b: frozenset[str]
) -> tuple[AbstractSet[str], AbstractSet[str]]:
    """Words of topic of one side alone, without those that are slips of the pen of each other."""
    rest_a, rest_b = only_a & a.plain.keys(), only_b & b.plain.keys()
    if not (rest_a and rest_b) or len(rest_a) > _SLIPS or len(rest_b) > _SLIPS:
        return rest_a, rest_b
    slips = [(x, y) for x in rest_a for y in rest_b if misspelt(a.plain[x], b.plain[y])]
    return rest_a - {x for x, _ in slips}, rest_b - {y for _, y in slips}


def _scoped(a: frozenset[str], b: frozenset[str]) -> bool:
    """A word such as only or cheapest on one side, or words of different kinds (all, some) on both."""
    kinds_a, kinds_b = ({forms.SCOPE.get(word, "") for word in side} for side in (a, b))
    return "" in kinds_a or "" in kinds_b or bool(kinds_a - kinds_b and kinds_b - kinds_a)


def _asks_other(a: frozenset[str], b: frozenset[str]) -> bool:
    """Both ask, and for something else: when against where. What and a bare how go with all but why."""
    return bool(a and b) and ("why" in a or "why" in b or not (a <= _OPEN or b <= _OPEN))


def _reversed(a: Features, b: Features) -> bool:
    """From A to B against from B to A: by what follows to, from, than; or two parts that changed places."""
    if a.targets != b.targets:
        moved = [
            (mark, here, there)
            for mark, here in a.targets - b.targets
            if here in b.known
            for other, there in b.targets - a.targets
            if other == mark and there in a.known
        ]
        if len({mark for mark, _, _ in moved}) > 1:
            return True
        for _, here, there in moved:
            first = a.tokens.index(here) < a.tokens.index(there)
            if first != (b.tokens.index(here) < b.tokens.index(there)):
                return True
    return a.known == b.known and len(a.tokens) == len(b.tokens) and _swapped(a.tokens, b.tokens)


def _swapped(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    """X m Y against Y m X, unless m is `and` or the like; X Y against Y X is only said in another order."""
    if Counter(a) != Counter(b):
        return False
    left, right = _differing(a, b)
    n = len(left)
    if n > _MOVED:
        return True
    if any(left[cut:] + left[:cut] == right for cut in range(1, n)):
        return False
    for first in range(1, n - 1):
        if left[:first] != right[n - first :]:
            continue
        for last in range(1, n - first):
            middle = left[first : n - last]
            if left[n - last :] == right[:last] and middle == right[last : n - first]:
                return not _SYMMETRIC.issuperset(middle) or not _ONE_WAY.isdisjoint(a)
    return False


def _differing(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both without the words that they start and end with in common."""
    shorter, start = min(len(a), len(b)), 0
    while start < shorter and a[start] == b[start]:
        start += 1
    end = 0
    while end < shorter - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return a[start : len(a) - end], b[start : len(b) - end]


def _worded(a: Features, b: Features, rest_a: AbstractSet[str], rest_b: AbstractSet[str]) -> int:
    """What the words of topic that only one side has amount to."""
    if not rest_a and not rest_b:
        return PASSES
    shared = min(len(a.plain) - len(rest_a), len(b.plain) - len(rest_b))
    if not (rest_a and rest_b):
        return MORE if _SHARED_PER_ADDED * (len(rest_a) + len(rest_b)) > shared else PASSES
    if len(rest_a) == len(rest_b) == 1:
        return REPLACED
    span_a, span_b = _differing(a.tokens, b.tokens)
    if len(span_a) <= len(rest_a) + 1 and len(span_b) <= len(rest_b) + 1:
        return REPLACED  # one phrase for another, all else the same
    return OTHER if _SHARED_PER_REPLACED * max(len(rest_a), len(rest_b)) > shared else PASSES
