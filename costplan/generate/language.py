"""Questions, answers and documents in plain English from profiles/grammar.yaml; what is asked is a Meaning, not a text.

Two questions mean the same where all slots of their patterns hold the same words; the pattern is only the wording.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from string import Formatter
from typing import Any

from costplan.generate.draws import below, pick
from costplan.profiles import profile_path

Slots = dict[str, str]
_LISTS = {
    "thing": "things", "thing2": "things", "kind": "kinds", "kind2": "kinds", "channel": "channels", "person": "people",
    "place": "places", "unit": "units", "goal": "goals", "aspect": "aspects", "aspect2": "aspects", "format": "formats",
}  # fmt: skip
_NUMBERS = {"n": (3, 40), "m": (2, 60), "k": (2, 9), "n2": (3, 12)}
_NEAR = ("act", "kind", "thing", "channel", "n", "person")
"""What a trap changes: one of these slots."""
_REWORDED = 0.3
"""Share of an answer's sentences that another answer to the same question says otherwise."""
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a question asks."""

    level: int
    """Complexity, 1 to 5."""
    slots: tuple[tuple[str, str], ...]

    @property
    def topic(self) -> str:
        """What it is about: questions about the same thing come with the same documents."""
        return "/".join(word for name, word in self.slots if name not in ("act", "channel", *_NUMBERS))


@cache
def grammar() -> dict[str, Any]:
    """The word lists and patterns by name."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(profile_path("grammar.yaml").read_text("utf-8"), loader)


@cache
def _acts() -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """(verb -> its noun and its contrary); the contrary by verb."""
    nouns: dict[str, tuple[str, str]] = {}
    contrary: dict[str, str] = {}
    for pair in grammar()["pairs"]:
        (do, noun), (undo, other) = pair["do"], pair["undo"]
        nouns[do], nouns[undo] = (do, noun), (undo, other)
        contrary[do], contrary[undo] = undo, do
    return nouns, contrary


@cache
def _patterns(level: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(patterns of a complexity, the slots in them)."""
    rows = tuple(grammar()["questions"][level - 1])
    return rows, tuple(sorted({name for _, name, _, _ in Formatter().parse(rows[0]) if name}))


def fresh(rng: Random, level: int) -> Meaning:
    """A new thing to ask; with millions of them, two draws rarely agree."""
    return Meaning(level, tuple(_drawn(rng, _patterns(level)[1]).items()))


def trap(rng: Random, meaning: Meaning) -> Meaning:
    """A meaning that differs in one slot: the contrary, another number, another thing."""
    slots = dict(meaning.slots)
    name = pick(rng, [each for each in _NEAR if each in slots])
    before = slots[name]
    while slots[name] == before:
        slots[name] = _acts()[1][before] if name == "act" else _drawn(rng, (name,))[name]
    return Meaning(meaning.level, tuple(slots.items()))


def wordings(level: int) -> int:
    """In how many ways a question of that complexity can be put."""
    return len(_patterns(level)[0])


def question(meaning: Meaning, wording: int) -> str:
    """The question in one of its wordings."""
    return _filled(_patterns(meaning.level)[0][wording], dict(meaning.slots))


def respelled(rng: Random, text: str) -> str:
    """The text with another case, more blanks inside it, or another end."""
    way = below(rng, 4)
    if way == 0:
        return text.lower()
    if way == 1:
        return text.upper()
    if way == 2:
        return text.replace(" ", "  ", 1 + below(rng, 3))
    return text.rstrip("?.!") + pick(rng, [each for each in ("", "??", "!", " ?") if not text.endswith(each or "~")])


def facts(rng: Random, about: Slots, n: int) -> list[str]:
    """`n` sentences around what `about` names."""
    return [_sentence(rng, grammar()["facts"], about) for _ in range(n)]


def answer_to(rng: Random, meaning: Meaning, n: int, wording: Random) -> str:
    """An answer of `n` sentences that names what was asked; `wording` puts some of them otherwise."""
    about = dict(meaning.slots)
    told = [facts(rng, about, 1)[0] for _ in range(n - 1)]
    others = [facts(wording, about, 1)[0] if wording.random() < _REWORDED else fact for fact in told]
    return " ".join([_sentence(wording, grammar()["answers"], about, true_to=1.0), *others])


def follow_up(rng: Random, meaning: Meaning) -> str:
    """A further question in a conversation."""
    about = {name: word for name, word in meaning.slots if name in ("act", "kind", "thing")}
    return _sentence(rng, grammar()["followups"], about)


def about_now(rng: Random) -> str:
    """A sentence that ties the answer to the moment."""
    return pick(rng, grammar()["about_now"])


def _sentence(rng: Random, patterns: Sequence[str], about: Slots, true_to: float = 0.8) -> str:
    """A sentence that keeps to what `about` names, or by chance to nothing of it."""
    pattern = pick(rng, patterns)
    names = _names(pattern)
    slots = _drawn(rng, names)
    if rng.random() < true_to:
        slots |= {name: about[name] for name in names if name in about and name not in _NUMBERS}
    if "noun" in names:
        slots["noun"] = _acts()[0][about["act"] if "act" in about else pick(rng, _words()["act"])][1]
    return _filled(pattern, slots)


@cache
def _names(pattern: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(pattern) if name)


def _drawn(rng: Random, names: Sequence[str]) -> Slots:
    """Words for slots; a second thing, kind or aspect is not the first."""
    slots: Slots = {}
    for name in names:
        words = _words().get(name)
        if words is not None:
            at = int(rng.random() * len(words))
            word = words[at]
            slots[name] = words[at - 1] if word == slots.get(name[:-1]) else word
    return slots


@cache
def _words() -> dict[str, list[str]]:
    """What may stand in each slot."""
    words = {name: grammar()[listed] for name, listed in _LISTS.items()}
    numbers = {name: [str(n) for n in range(low, high + 1)] for name, (low, high) in _NUMBERS.items()}
    return words | numbers | {"act": list(_acts()[0])}


def _filled(pattern: str, slots: Slots) -> str:
    text = pattern.format_map(slots)
    return _ARTICLE.sub(r"\1n ", text) if _has_article(pattern) else text


@cache
def _has_article(pattern: str) -> bool:
    """Whether an article stands before a slot, which may begin with a vowel."""
    return "a {" in pattern.lower()
