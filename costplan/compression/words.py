"""Words and sentences of prose, what each tells, and which fit into a budget of tokens; it knows no compressor.

Self-information of a word w: u(w) = -log2((c(w) + 0.5) / (n + 0.5 v)) bits, from the counts c of n words, v of them
different, in the log's own texts (the unigram form of Selective Context, Li et al. 2023, arXiv:2310.06201).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import log2

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about after all also an and any are as at be because been before being between both but by can could did do"
        " does during each few for from further had has have he her here his how i if in into is it its may me more"
        " most my no nor not of on or other our out over own same she should so some such than that the their them"
        " then there these they this those through to too under until up us very was we were what when where which"
        " while who whom whose why will with would you your",
    )
)
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(f"[{_CJK}]|[^\\s{_CJK}]+")
_SENTENCE_END = re.compile(r"[.!?][\"')\]”’]*\s+(?=[A-Z0-9\"'(\[“‘])|[。！？]|\n\s*")
_EDGES = " \t\"'`.,;:!?()[]{}<>*_#“”‘’–—…。！？、，"
_GAPS = ("", " ", "\n")
_SUFFIXES = ("'s", "ies", "es", "s", "ed", "ing")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several blocks, one after the other."""

    blocks: Sequence[str]
    text: list[str] = field(default_factory=list[str])
    before: list[str] = field(default_factory=list[str])
    """What stands between a word and the one before it in its block."""
    sentence: list[int] = field(default_factory=list[int])
    block: list[int] = field(default_factory=list[int])

    def kept(self, keep: Sequence[bool]) -> list[str]:
        """The kept words by block; where words are left out the widest gap stays: a line end before a blank."""
        pieces: list[list[str]] = [[] for _ in self.blocks]
        gap = 0
        for word, before, block, here in zip(self.text, self.before, self.block, keep, strict=True):
            gap = max(gap, _gap(before))
            if here:
                pieces[block] += (_GAPS[gap] if pieces[block] else "", word)
                gap = 0
        return ["".join(some) for some in pieces]


def _gap(before: str) -> int:
    return 2 if "\n" in before else 1 if before else 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How often words come in the texts at hand, as they are and by stem."""

    words: Counter[str]
    stems: Counter[str]
    n: int

    def bits(self, word: str) -> float:
        """Self-information of a plain word."""
        return _bits(self.words, self.n, word)

    def stem_bits(self, stem: str) -> float:
        """The same of a stem."""
        return _bits(self.stems, self.n, stem)


def _bits(counts: Counter[str], n: int, word: str) -> float:
    return -log2((counts.get(word, 0) + 0.5) / (n + 0.5 * max(1, len(counts))))


def counted(texts: Iterable[str]) -> Counts:
    """Counts over texts."""
    words: Counter[str] = Counter()
    for text in texts:
        words.update(map(plain_word, _WORD.findall(text)))
    stems: Counter[str] = Counter()
    for word, times in words.items():
        stems[stem(word)] += times
    return Counts(words, stems, sum(words.values()))


def words_of(blocks: Sequence[str]) -> Words:
    """The words of blocks of text with their sentences."""
    found = Words(blocks)
    sentence = -1
    for number, block in enumerate(blocks):
        ends = [match.end() for match in _SENTENCE_END.finditer(block)] + [len(block) + 1]
        sentence, at, last = sentence + 1, 0, 0
        for match in _WORD.finditer(block):
            while match.start() >= ends[at]:
                at, sentence = at + 1, sentence + 1
            found.text.append(match[0])
            found.before.append(block[last : match.start()])
            found.sentence.append(sentence)
            found.block.append(number)
            last = match.end()
    return found


def plain_word(word: str) -> str:
    """Lower case, without punctuation around it."""
    return word.strip(_EDGES).lower()


def stem(word: str) -> str:
    """Without the commonest English endings, so that a question's word finds its other forms."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def best(
    words: Words, scores: Sequence[float], budget: int, count: Callable[[str], int], units: Sequence[int] | None = None
) -> list[str]:
    """By block, the highest-scored words that fit into `budget` tokens together, earlier ones first among equals.

    With `units` (the unit of each word, ascending from 0) these are kept or left as a whole, and scored.
    """
    units = range(len(words.text)) if units is None else units
    costs = [0] * len(scores)
    for unit, word, before in zip(units, words.text, words.before, strict=True):
        costs[unit] += count(_GAPS[_gap(before)] + word)
    order = sorted(range(len(scores)), key=lambda unit: -scores[unit])
    room = budget
    while True:
        keep, left = [False] * len(scores), room
        for unit in order:
            if costs[unit] <= left:
                keep[unit], left = True, left - costs[unit]
        found = words.kept([keep[unit] for unit in units])
        over = sum(map(count, filter(None, found))) - budget
        if over <= 0:
            return found
        room -= over  # words do not always cost the same alone and together
