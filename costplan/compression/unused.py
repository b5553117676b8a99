"""Which paragraphs of context an answer shows no trace of; a diagnostic, for nothing is cut by it."""

from collections import Counter
from collections.abc import Sequence

from costplan.compression.words import STOP_WORDS, plain_word, words_of

_GRAM = 3


def unused(blocks: Sequence[str], answer: str) -> list[bool]:
    """By block: no three words in a row, one of them no stop word, that stand in the answer as well.

    Three words that half of the blocks hold say nothing of where they come from. An answer that uses a block in words
    of its own leaves no trace, so the share of unused blocks is an upper bound.
    """
    said = _grams(answer)
    held = [_grams(block) for block in blocks]
    common = {gram for gram, times in Counter(gram for some in held for gram in some).items() if 2 * times > len(held)}
    return [not (some & said) - common for some in held]


def _grams(text: str) -> set[tuple[str, ...]]:
    words = [found for word in words_of([text]).text if (found := plain_word(word))]
    grams = (tuple(words[at : at + _GRAM]) for at in range(len(words) - _GRAM + 1))
    return {gram for gram in grams if not STOP_WORDS.issuperset(gram)}
