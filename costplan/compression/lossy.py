"""Rung 4."""

import re

from costplan.compression.documents import not_prose

MIN_BLOCK_WORDS = 25
"""Shorter paragraphs are headings, instructions or questions, and stay."""
MIN_TEXT_WORDS = 150
_PARAGRAPH = re.compile(r"(?:[^\n]+(?:\n|\Z))+")


def compressible(text: str) -> list[tuple[int, int]]:
    """(start, end) of the long paragraphs of prose in a text that has enough of them; none in code and data."""
    if len(text) < MIN_TEXT_WORDS * 2:
        return []
    fixed = not_prose(text)
    found: list[tuple[int, int]] = []
    words = 0
    for match in _PARAGRAPH.finditer(text):
        size = len(match[0].split())
        if size >= MIN_BLOCK_WORDS and not fixed.meet(match.start(), match.end()):
            found.append((match.start(), match.end()))
            words += size
    return found if words >= MIN_TEXT_WORDS else []
