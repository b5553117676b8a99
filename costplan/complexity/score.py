"""Prompts -> six sub-scores, a score from 0 to 1 and a level from 1 to 5; pure, the same in every process.

A part of the score is 1 - 2^-(sum of count / half) over its rules: one rule at its `half` gives 0.5, much of anything
comes near 1 and no further. The score is the weighted sum of the parts. The system prompt is not to be handed in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.complexity.rules import CONTEXT_CHARS, CUTS, FORMS, PARTS, READ_CHARS, RULES, TURNS_HALF

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NUMBER = {rule.name: index for index, rule in enumerate(RULES)}
_RULE_OF = {word: index for index, rule in reversed(list(enumerate(RULES))) for word in sorted(rule.words)}
_NUMBERS, _QUESTIONS, _ITEMS = _NUMBER["numbers"], _NUMBER["questions"], _NUMBER["listed items"]
_MARKS, _LONG = _NUMBER["code marks"], _NUMBER["long words"]
_BREAKS = str.maketrans(dict.fromkeys('!"$%&()*,-./:;<=>?@[\\]^_`{|}~\t\r\x0b\x0c’“”‘—–…', " ") | {"#": " "})
_ITEM = re.compile(r"^[ \t]{0,8}(?:[-*•]|\d{1,2}[.)])[ \t]", re.M)
_DIGITS = tuple("0123456789")
_LONG_LETTERS = 10
_IS_LONG, _IS_NUMBER = 100, 255
_BATCH, _KEPT_WORDS = 4_096, 50_000
_CODE = ("```", "{", "};", ";\n", "()", "):", "=>", "==", "</")


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Of n prompts."""

    level: NDArray[np.int8]
    """(n,) 1 to 5."""
    score: Floats
    """(n,) 0 to 1."""
    parts: Floats
    """(n, 6) 0 to 1, in the order of PARTS."""


def levels(
    texts: Sequence[str], turns: NDArray[Any], context_chars: NDArray[Any], output_form: NDArray[Any] | None = None
) -> Levels:
    """How demanding each prompt looks.

    Args:
        texts: the last user turns.
        turns: (n,) user turns of each conversation so far, this one included; below 1 counts as 1.
        context_chars: (n,) characters beside text and system prompt: history, tool results, documents.
        output_form: (n,) position in FORMS of what the request demands; None: text.
    """
    return scored(counts(texts), np.array([len(text) for text in texts], np.int64), turns, context_chars, output_form)


def counts(texts: Sequence[str]) -> Ints:
    """(n, rules) how often each rule fires, in the order of RULES."""
    found = np.zeros((len(texts), len(RULES)), np.int64)
    for start in range(0, len(texts), _BATCH):
        some = [text[:READ_CHARS] for text in texts[start : start + _BATCH]]
        words = [bytes(map(_kind, _words(text))) for text in some]
        row = np.repeat(np.arange(len(some)), [len(each) for each in words])
        kinds = np.frombuffer(b"".join(words), np.uint8)
        table = np.bincount(row * 256 + kinds, minlength=256 * len(some)).reshape(len(some), 256)
        block = found[start : start + _BATCH]
        block[:] = table[:, : len(RULES)] + table[:, _IS_LONG : _IS_LONG + len(RULES)]
        block[:, _NUMBERS] = table[:, _IS_NUMBER]
        block[:, _LONG] = table[:, _IS_LONG : _IS_LONG + len(RULES) + 1].sum(axis=1)
        block[:, _QUESTIONS] = [text.count("?") for text in some]
        block[:, _MARKS] = [sum(map(text.count, _CODE)) for text in some]
        block[:, _ITEMS] = [len(_ITEM.findall(text)) if "\n" in text else 0 for text in some]
    return found


def _words(text: str) -> list[str]:
    return text.lower().translate(_BREAKS).split()


class _Kinds(dict[str, int]):
    """Word -> its rule (the number of rules: none), plus `_IS_LONG` where it is long; `_IS_NUMBER` for numbers."""

    def __missing__(self, word: str) -> int:
        if word[0] in _DIGITS:
            return _IS_NUMBER
        kind = _RULE_OF.get(word, len(RULES)) + (_IS_LONG if len(word) >= _LONG_LETTERS else 0)
        if len(self) < _KEPT_WORDS:
            self[word] = kind
        return kind


_kind = _Kinds().__getitem__


def scored(
    fired: Ints, chars: NDArray[Any], turns: NDArray[Any], context_chars: NDArray[Any],
    output_form: NDArray[Any] | None = None,
) -> Levels:  # fmt: skip
    """The same from `counts` and the (n,) lengths of the texts."""
    names = list(PARTS)
    parts = np.zeros((len(fired), len(names)))
    for index, rule in enumerate(RULES):
        parts[:, names.index(rule.part)] += fired[:, index] / rule.half
    parts = 1 - 2.0**-parts
    low, high = np.log(CONTEXT_CHARS)
    length = np.log(np.maximum(chars + np.asarray(context_chars, np.float64), 1.0))
    parts[:, names.index("context")] = np.clip((length - low) / (high - low), 0, 1)
    further = np.maximum(np.asarray(turns, np.float64) - 1, 0)
    parts[:, names.index("multi_turn")] = 1 - 2.0 ** (-further / TURNS_HALF)
    if output_form is not None:
        least = np.array(list(FORMS.values()))[np.asarray(output_form, np.int64)]
        form = names.index("output_form")
        parts[:, form] = np.maximum(parts[:, form], least)
    score = parts @ np.array(list(PARTS.values()))
    return Levels((1 + np.searchsorted(CUTS, score, side="right")).astype(np.int8), score, parts)


def fired_rules(text: str, *, show_words: bool = False) -> list[tuple[str, int, list[str]]]:
    """(rule, count, the words that fired it) of the rules that fire; words only where asked for."""
    words = _words(text[:READ_CHARS])
    found: list[tuple[str, int, list[str]]] = []
    for index, count in enumerate(counts([text])[0].tolist()):
        if count:
            own = sorted({word for word in words if _RULE_OF.get(word) == index}) if show_words else []
            found.append((RULES[index].name, count, own))
    return found
