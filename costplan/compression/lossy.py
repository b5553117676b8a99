"""Rung 4, lossy: prose brought down to a share of its tokens, by what words tell or by what a question asks for.

A compressor is a score for words; the highest stay, as many as fit into a budget of tokens. The weights were chosen on
one half of the NQ passages of "Lost in the Middle" (Liu et al. 2023); figures are from the other half.
"""

import re
from collections.abc import Callable, Sequence
from random import Random
from zlib import crc32

from costplan.compression.documents import not_prose
from costplan.compression.words import STOP_WORDS, Counts, Words, best, plain_word, stem, words_of

MIN_BLOCK_WORDS = 25
"""Shorter paragraphs are headings, instructions or questions, and stay."""
MIN_TEXT_WORDS = 150
MIN_BLOCKS = 3
"""From so many blocks on, a question decides what stays."""
_PROTECT_BITS, _PROTECT_BITS_OTHERWISE = 8.0, 2.0
"""Added to words with a digit or a capital; the second where the question asks for neither a name nor a number."""
_NEIGHBOUR_SHARE = 0.3
"""Of the mean score of the words on both sides: phrases stay together."""
_QUESTION_BITS, _MOST_QUESTION_BITS = 5.0, 40.0
"""For each sentence there is to choose from, at most the second: what the words of a sentence that holds all words of
the question are raised by, and as much again for its block."""
_ASKS_FOR_A_NAME = re.compile(
    r"\b(?:who|whose|whom|when|where|which|how (?:many|much|old|long|far|tall|high|big)"
    r"|what(?: is the|'s the)? (?:year|time|date|day|name|country|city|state|number))\b", re.I
)  # fmt: skip
_LINE = re.compile(r"[^\n]+")

Count = Callable[[str], int]
Score = Callable[[Words, str, Counts], list[float]]
"""(words of all blocks, question, counts) -> what each word is worth; the highest stay."""


def by_lot(words: Words, question: str, counts: Counts) -> list[float]:
    """The same lots for the same text."""
    draw = Random(crc32("\x1e".join(words.text).encode("utf-8", "surrogatepass")))
    return [draw.random() for _ in words.text]


def from_the_middle(words: Words, question: str, counts: Counts) -> list[float]:
    """The beginning and the end stay."""
    return [abs(2 * place - len(words.text) + 1) for place in range(len(words.text))]


def stop_words_last(words: Words, question: str, counts: Counts) -> list[float]:
    """Stop words go first, then others by lot."""
    lots = zip(words.text, by_lot(words, question, counts), strict=True)
    return [lot + (plain_word(word) not in STOP_WORDS) for word, lot in lots]


def self_information(words: Words, question: str, counts: Counts) -> list[float]:
    """The rarest words stay."""
    return [counts.bits(plain_word(word)) for word in words.text]


def protected(words: Words, question: str, counts: Counts) -> list[float]:
    """As `self_information`, with names and numbers raised, smoothed over neighbours."""
    return told_by(self_information(words, question, counts), words, question)


def sentences(words: Words, question: str, counts: Counts) -> list[float]:
    """By sentence: the share of the question's words in it."""
    return _relevance(words, words.sentence, question, counts)


def by_question(words: Words, question: str, counts: Counts) -> list[float]:
    """As `protected`, and words of sentences and blocks that hold words of the question come first."""
    return with_question(protected(words, question, counts), words, question, counts)


COMPRESSORS: tuple[tuple[str, Score], ...] = (
    ("random", by_lot), ("truncate_middle", from_the_middle), ("stop_words", stop_words_last),
    ("self_information", self_information), ("self_information_protected", protected), ("sentences", sentences),
    ("by_question", by_question),
)  # fmt: skip
"""The baselines first."""


def shortened(
    blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count, score: Score
) -> list[str]:  # fmt: skip
    """The blocks with what fits into `budget` tokens for all of them; some may be empty."""
    words = words_of(blocks)
    units = words.sentence if score is sentences else None
    return best(words, score(words, question, counts), budget, count, units)


def told_by(bits: list[float], words: Words, question: str) -> list[float]:
    """Bits of words, raised for names and numbers where the question may ask for one, smoothed over neighbours."""
    raised = _PROTECT_BITS if not question or _ASKS_FOR_A_NAME.search(question) else _PROTECT_BITS_OTHERWISE
    bits = [here + raised * inside for here, inside in zip(bits, names_and_numbers(words.text), strict=True)]
    around = zip([*bits[:1], *bits[:-1]], bits, [*bits[1:], *bits[-1:]], strict=True)
    return [here + _NEIGHBOUR_SHARE * (left + right) / 2 for left, here, right in around]


def with_question(scores: list[float], words: Words, question: str, counts: Counts) -> list[float]:
    """Scores raised by how much of the question a word's sentence and block hold."""
    weight = min(_MOST_QUESTION_BITS, _QUESTION_BITS * (words.sentence[-1] + 1)) if words.text else 0.0
    of_sentence = _relevance(words, words.sentence, question, counts)
    of_block = _relevance(words, words.block, question, counts)
    if len(words.blocks) < 2:
        of_block = [0.0]
    return [
        score + weight * (of_sentence[sentence] + of_block[block])
        for score, sentence, block in zip(scores, words.sentence, words.block, strict=True)
    ]


def names_and_numbers(words: Sequence[str]) -> list[bool]:
    """Words with a digit or a capital, and up to two stop words between such ("Lord of the Rings")."""
    found = [any(char.isupper() or char.isdigit() for char in word) for word in words]
    last = -9
    for place in [place for place, inside in enumerate(found) if inside]:
        if 1 < place - last <= 3 and STOP_WORDS.issuperset(words[last + 1 : place]):
            found[last + 1 : place] = [True] * (place - last - 1)
        last = place
    return found


def paragraphs(text: str) -> list[tuple[int, int]]:
    """(start, end) of the blocks of a text: long lines, and runs of shorter ones without a blank line between them."""
    found: list[tuple[int, int]] = []
    is_open = False
    for match in _LINE.finditer(text):
        start, end = match.span()
        words = len(match[0].split())
        if is_open and 0 < words < MIN_BLOCK_WORDS and found[-1][1] == start - 1:
            found[-1] = (found[-1][0], end)
        elif words:
            found.append((start, end))
        is_open = 0 < words < MIN_BLOCK_WORDS
    return found


def compressible(text: str) -> list[tuple[int, int]]:
    """(start, end) of the long blocks of prose in a text that has enough of them; none in code and data."""
    if len(text) < MIN_TEXT_WORDS * 2:
        return []
    fixed = not_prose(text)
    sizes = [(start, end, len(text[start:end].split())) for start, end in paragraphs(text)]
    found = [(a, b, size) for a, b, size in sizes if size >= MIN_BLOCK_WORDS and not fixed.meet(a, b)]
    return [(start, end) for start, end, _ in found] if sum(size for *_, size in found) >= MIN_TEXT_WORDS else []


def question_of(text: str) -> str:
    """The last short paragraph that asks something, else the last short paragraph; empty without one."""
    short = [
        found for part in text.split("\n\n") if (found := part.strip()) and len(found.split()) < MIN_BLOCK_WORDS
    ]  # fmt: skip
    return next((part for part in reversed(short) if "?" in part), short[-1] if short else "")


def thinned(
    text: str, question: str, keep: float, counts: Counts, count: Count, score: Score | None = None
) -> str:  # fmt: skip
    """A text whose long paragraphs are brought down to a share of their tokens; everything else stays.

    Without a score: where three blocks or more and a question can be told apart, `by_question`; else `protected`.
    """
    spans = compressible(text)
    blocks = [text[start:end] for start, end in spans]
    score = score or (by_question if question and len(blocks) >= MIN_BLOCKS else protected)
    shorter = shortened(blocks, question, int(keep * sum(map(count, blocks))), counts, count, score)
    pieces: list[str] = []
    at = 0
    for (start, end), block in zip(spans, shorter, strict=True):
        pieces += (text[at:start], block)
        at = end
    return "".join([*pieces, text[at:]])


def _relevance(words: Words, unit: Sequence[int], question: str, counts: Counts) -> list[float]:
    """By unit, the share of the question's content words that it holds, weighted by their bits."""
    asked = {stem(word) for word in map(plain_word, words_of([question]).text) if word and word not in STOP_WORDS}
    bits = {word: counts.stem_bits(word) for word in sorted(asked)}
    held: list[set[str]] = [set() for _ in range(unit[-1] + 1 if unit else 0)]
    for number, word in zip(unit, words.text, strict=True):
        held[number].add(stem(plain_word(word)))
    total = sum(bits.values()) or 1.0
    return [sum(bits[word] for word in sorted(some & asked)) / total for some in held]
