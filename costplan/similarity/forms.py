"""English words brought to one form, and whether two of them are opposites or one word spelt twice; knows no texts."""

import json
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from costplan.similarity import words

_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1$")


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A lower-cased word without its inflection, British and American spellings alike; not always a word itself.

    Strips -s, -ed, -ing, -ly, -ation, -ment and a final e. Endings that change who or what is meant (-er, -ee, -less,
    -ful, -able) stay.
    """
    word = words.IRREGULAR.get(word, word)
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes", "zes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    word = words.IRREGULAR.get(word, word)
    for ending, least in (("ation", 4), ("ment", 4), ("ing", 3), ("ied", 3), ("ed", 3), ("ly", 4)):
        rest = word[: -len(ending)]
        if word.endswith(ending) and len(rest) >= least and re.search("[aeiouy]", rest):
            word = rest + "y" if ending == "ied" else rest
            break
    if len(word) > 5 and word.endswith(("ise", "is", "ize", "iz")) and not word.endswith(("sis", "cis", "cise")):
        word = re.sub("i[sz]e?$", "iz", word)
    elif len(word) > 4 and word.endswith("our"):
        word = word[:-3] + "or"
    elif len(word) > 5 and word.endswith("tre"):
        word = word[:-2] + "er"
    elif len(word) > 6 and word.endswith("ate"):
        word = word[:-3]
    elif len(word) > 5 and word.endswith("at") and len(word) - 2 >= 4:
        word = word[:-2]
    word = _DOUBLED.sub(r"\1", word)
    if len(word) > 3 and word[-1] == "e":
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word[-1] == "y" else word


def _grouped(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in text.split():
        stems = [stem(word) for word in group.split(",")]
        head = found.get(stems[0], stems[0])
        for each in stems:
            found.setdefault(each, head)
    return found


_GROUPS = _grouped(words.SYNONYMS)


@lru_cache(maxsize=100_000)
def canonical(word: str) -> str:
    """The word's stem, or that of the first of its listed synonyms."""
    base = stem(word)
    return _GROUPS.get(base, base)


@lru_cache(maxsize=100_000)
def token(word: str) -> str:
    """What a lower-cased word is compared as: itself where it is a function word, its canonical form elsewhere."""
    return word if word in words.FUNCTION else canonical(word)


def _opposed(text: str) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in text.split():
        left, right = ([token(word) for word in side.split(",")] for side in pair.split("/"))
        for a in left:
            for b in right:
                if a != b:
                    found.setdefault(a, set()).add(b)
                    found.setdefault(b, set()).add(a)
    return {word: frozenset(others) for word, others in found.items()}


_NOT_SUPERLATIVE = words.listed(
    """request interest harvest contest protest suggest invest digest honest forest arrest modest conquest manifest
    priest breast bequest latest behest dishonest infest ingest northwest southwest northeast southeast midwest"""
)


@lru_cache(maxsize=100_000)
def scopes(word: str) -> bool:
    """Whether a word, as `token` has it, says which or how many are meant: only, all, cheapest."""
    if word in SCOPE or word in STRONG:
        return True
    return len(word) > 5 and word.endswith("est") and word not in _NOT_SUPERLATIVE


SCOPE = {token(word): kind for word, kind in words.SCOPE_CLASSES.items()}
"""Word of scope, as `token` has it -> its class."""
STRONG = frozenset(map(token, words.STRONG_SCOPE))
STOPPING = frozenset(map(token, words.STOPPERS))
_OPPOSED = _opposed(words.OPPOSITES)
"""Canonical word -> the canonical words that mean the contrary."""
_NEGATING = ("un", "dis", "non", "in", "im", "il", "ir", "de", "mis")
_CONTRARY = (
    ("in", "ex"), ("im", "ex"), ("in", "de"), ("en", "dis"), ("hyper", "hypo"), ("pre", "post"), ("over", "under"),
    ("in", "out"), ("up", "down"), ("inter", "intra"), ("macro", "micro"), ("multi", "single"), ("mono", "poly"),
    ("uni", "bi"), ("maxi", "mini"), ("indoor", "outdoor"), ("fore", "hind"), ("anti", "pro"), ("ante", "post"),
    ("on", "off"), ("fore", "back"), ("front", "back"), ("low", "high"),
)  # fmt: skip


@lru_cache(maxsize=100_000)
def opposites(word: str) -> frozenset[str]:
    """All that would be a contrary of a word, as `token` has it: listed, or by form (un-, in/outbound, -less/-ful).

    Symmetric: x is among the opposites of y where y is among those of x.
    """
    found = set(_OPPOSED.get(word, ()))
    for prefix in _NEGATING:
        if len(word) >= 3:
            found.add(prefix + word)
        if word.startswith(prefix) and len(word) - len(prefix) >= 3:
            found.add(word[len(prefix) :])
    for left, right in _CONTRARY:
        for here, there in ((left, right), (right, left)):
            if word.startswith(here) and len(word) - len(here) >= 3:
                found.add(there + word[len(here) :])
    base = word[:-3]  # a stem ends in -les where its word ends in -less
    if len(base) >= 3 and word.endswith("les"):
        found.update((base, base + "ful"))
    if len(base) >= 3 and word.endswith("ful"):
        found.add(base + "les")
    if len(word) >= 3:
        found.add(word + "les")
    found.discard(word)
    return frozenset(found)


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    """Frequent English words: those that the static embedder's vocabulary holds whole (wordllama's wheel)."""
    spec = find_spec("wordllama")
    if spec is None or spec.origin is None:
        return frozenset()
    file = Path(spec.origin).parent / "tokenizers" / "l2_supercat_tokenizer_config.json"
    vocabulary = json.loads(file.read_bytes())["model"]["vocab"]
    return frozenset(piece[1:].lower() for piece in vocabulary if piece.startswith("▁"))


def misspelt(a: str, b: str) -> bool:
    """Whether one of two lower-cased words reads as a slip of the other.

    One edit (a letter more, less, other, or two swapped) from 5 letters on, two from 9 on, with the same first letter;
    never two frequent words (contact/contract).
    """
    longest = max(len(a), len(b))
    allowed = 0 if longest < 5 else 1 if longest < 9 else 2
    if not allowed or a[0] != b[0] or abs(len(a) - len(b)) > allowed or _edits(a, b) > allowed:
        return False
    return not (a in _known() and b in _known())


def _edits(a: str, b: str) -> int:
    """Optimal string alignment distance (Damerau 1964): insert, delete, replace, swap of neighbours."""
    before, row = list[int](), list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
