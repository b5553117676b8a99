"""What of a text can still be read in a shorter one: answers, numbers, names; no model judges anything."""

import re
import string
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_DROP = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_NAME = re.compile(r"(?<=[a-z0-9,;)] )[A-Z][\w'-]*|\b[A-Z]{2,}\b")
"""Capitalised words that no sentence begins with, and acronyms."""


def plain(text: str) -> str:
    """Lower case without punctuation, articles and double blanks (the SQuAD normalisation, Rajpurkar et al. 2016)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_DROP)).split())


def survives(answers: Iterable[str], text: str) -> bool:
    """Whether one of the answers stands in the text, as whole words where it is written with blanks between words."""
    held = f" {plain(text)} "
    return any((f" {found} " if found.isascii() else found) in held for found in map(plain, answers) if found)


def numbers(text: str) -> frozenset[str]:
    """The different numbers in a text."""
    return frozenset(_NUMBER.findall(text))


def names(text: str) -> frozenset[str]:
    """The different words that look like names."""
    return frozenset(_NAME.findall(text))
