"""Rung 4, lossy: prose brought down to a share of its tokens, by what words tell or by what a question asks for.

Every compressor takes blocks of text, a question (may be empty), a budget of tokens for all blocks, and counts of words
of the texts at hand; it returns the blocks, some of them perhaps empty. None looks at a model. The weights below were
chosen on one half of the NQ passages of "Lost in the Middle" (Liu et al. 2023); what is reported is the other half.
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
_QUESTION_BITS, _QUESTION_BITS_ALONE = 40.0, 10.0
"""For a sentence that holds all words of the question, and as much for its block; the second for a single block."""
_ASKS_FOR_A_NAME = re.compile(
    r"\b(?:who|whose|whom|when|where|which|how (?:many|much|old|long|far|tall|high|big)"
    r"|what(?: is the|'s the)? (?:year|time|date|day|name|country|city|state|number))\b", re.I
)  # fmt: skip
_PARAGRAPH = re.compile(r"(?:[^\n]+(?:\n|\Z))+")
_LONG_LINE = re.compile(r"[^\n]+")

Count = Callable[[str], int]
Compressor = Callable[[Sequence[str], str, int, Counts, Count], list[str]]


def random_words(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """Words by lot, the same for the same text."""
    words = words_of(blocks)
    return best(blocks, words, _lots(words), budget, count)


def truncated_middle(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """The beginning and the end."""
    words = words_of(blocks)
    middle = (len(words.text) - 1) / 2
    return best(blocks, words, [abs(place - middle) for place in range(len(words.text))], budget, count)


def stop_words_first(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """Stop words go first, then others by lot."""
    words = words_of(blocks)
    lots = _lots(words)
    scores = [lot + (plain_word(word) not in STOP_WORDS) for word, lot in zip(words.text, lots, strict=True)]
    return best(blocks, words, scores, budget, count)


def self_information(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """The rarest words."""
    words = words_of(blocks)
    return best(blocks, words, [counts.bits(plain_word(word)) for word in words.text], budget, count)


def protected(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """The rarest words, and before them those with a digit or a capital; neighbours pull each other along."""
    words = words_of(blocks)
    return best(blocks, words, told_by(words, question, counts), budget, count)


def sentences(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """Whole sentences, those first that share rare words with the question."""
    words = words_of(blocks)
    scores = _relevance(words, words.sentence, question, counts)
    return best(blocks, words, scores, budget, count, words.sentence)


def by_question(blocks: Sequence[str], question: str, budget: int, counts: Counts, count: Count) -> list[str]:
    """As `protected`, but words of sentences and blocks that share rare words with the question come first."""
    words = words_of(blocks)
    scores = told_by(words, question, counts)
    if question and words.text:
        weight = _QUESTION_BITS if len(blocks) > 1 else _QUESTION_BITS_ALONE
        of_sentence = _relevance(words, words.sentence, question, counts)
        of_block = _relevance(words, words.block, question, counts) if len(blocks) > 1 else [0.0]
        for place, (sentence, block) in enumerate(zip(words.sentence, words.block, strict=True)):
            scores[place] += weight * (of_sentence[sentence] + of_block[block])
    return best(blocks, words, scores, budget, count)


def told_by(words: Words, question: str, counts: Counts) -> list[float]:
    """Bits of each word, names and numbers raised, smoothed over neighbours."""
    raised = _PROTECT_BITS if not question or _ASKS_FOR_A_NAME.search(question) else _PROTECT_BITS_OTHERWISE
    bits = [
        counts.bits(plain_word(word)) + raised * inside
        for word, inside in zip(words.text, names_and_numbers(words.text), strict=True)
    ]
    around = zip([*bits[:1], *bits[:-1]], bits, [*bits[1:], *bits[-1:]], strict=True)
    return [here + _NEIGHBOUR_SHARE * (left + right) / 2 for left, here, right in around]


def names_and_numbers(words: Sequence[str]) -> list[bool]:
    """Words with a digit or a capital, and up to two stop words between such ("Lord of the Rings")."""
    found = [any(char.isupper() or char.isdigit() for char in word) for word in words]
    last = -9
    for place in range(len(words)):
        if found[place]:
            if 1 < place - last <= 3 and all(word in STOP_WORDS for word in words[last + 1 : place]):
                found[last + 1 : place] = [True] * (place - last - 1)
            last = place
    return found


def compressible(text: str) -> list[tuple[int, int]]:
    """(start, end) of the long paragraphs of prose in a text that has enough of them; none in code and data.

    Lines that are long paragraphs themselves stand for themselves.
    """
    if len(text) < MIN_TEXT_WORDS * 2:
        return []
    fixed = not_prose(text)
    found: list[tuple[int, int]] = []
    total = 0
    for paragraph in _PARAGRAPH.finditer(text):
        lines = [(paragraph.start() + line.start(), line[0]) for line in _LONG_LINE.finditer(paragraph[0])]
        if not all(len(line.split()) >= MIN_BLOCK_WORDS for _, line in lines):
            lines = [(paragraph.start(), paragraph[0].rstrip("\n"))]
        for start, line in lines:
            size = len(line.split())
            if size >= MIN_BLOCK_WORDS and not fixed.meet(start, start + len(line)):
                found.append((start, start + len(line)))
                total += size
    return found if total >= MIN_TEXT_WORDS else []


def question_of(text: str) -> str:
    """The last short paragraph that asks something, else the last short paragraph; empty without one."""
    short = [
        found for part in text.split("\n\n") if (found := part.strip()) and len(found.split()) < MIN_BLOCK_WORDS
    ]  # fmt: skip
    return next((part for part in reversed(short) if "?" in part), short[-1] if short else "")


def thinned(
    text: str, question: str, keep: float, counts: Counts, count: Count, compressor: Compressor | None = None
) -> str:
    """A text whose long paragraphs are brought down to a share of their tokens; everything else stays.

    Without a compressor: where three blocks or more and a question can be told apart, `by_question`; else `protected`.
    """
    spans = compressible(text)
    blocks = [text[start:end] for start, end in spans]
    compressor = compressor or (by_question if question and len(blocks) >= MIN_BLOCKS else protected)
    budget = int(keep * sum(map(count, blocks)))
    pieces: list[str] = []
    at = 0
    for (start, end), block in zip(spans, compressor(blocks, question, budget, counts, count), strict=True):
        pieces += (text[at:start], block)
        at = end
    return "".join([*pieces, text[at:]])


def _relevance(words: Words, unit: Sequence[int], question: str, counts: Counts) -> list[float]:
    """By unit, the share of the question's content words that it holds, weighted by their bits."""
    asked = {stem(word) for word in map(plain_word, question.split()) if word and word not in STOP_WORDS}
    bits = {word: counts.stem_bits(word) for word in sorted(asked)}
    held: list[set[str]] = [set() for _ in range(unit[-1] + 1 if unit else 0)]
    for number, word in zip(unit, words.text, strict=True):
        held[number].add(stem(plain_word(word)))
    total = sum(bits.values()) or 1.0
    return [sum(bits[word] for word in sorted(some & asked)) / total for some in held]


def _lots(words: Words) -> list[float]:
    draw = Random(crc32("\x1e".join(words.text).encode("utf-8", "surrogatepass")))
    return [draw.random() for _ in words.text]
