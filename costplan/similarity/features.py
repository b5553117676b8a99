"""One text -> what the guard compares it by: words, numbers, dates, units, names; two texts are not compared here."""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from costplan.similarity import words
from costplan.similarity.forms import SCOPE, scopes, token

_TOKEN = re.compile(
    r"(\d+(?:[.,:/]\d+)*(?:-\d+-\d+)?)"  # 1: a number, time, version or date, also inside a word (mp3, 10MB)
    r"|([^\W\d_]+(?:'[^\W\d_]+)*(?:\+\+|\#(?!\w))?)"  # 2: a word
    r"|(->|=>|→|[%$€£¥]|[+*×÷<>^]|[=!]=|(?<=\d)\s?-\s?(?=\d)|(?<![\w-])-(?=\d))"  # 3: a sign
)
_MAIL = re.compile(r"(?<=\b[eE])-(?=mail)")
_NAMED = re.compile(r"\"[^\"\n]{1,60}\"|`[^`\n]{1,60}`|(?<!\w)'[^'\n]{2,60}'(?!\w)|(?<!\w)[^\W_]+(?:[._]+[^\W_]+)+")
_JOINT = re.compile(r"[._][^\W_]")
_BREAK = re.compile(r"[.!?:;\n\"]")
_GREETING = re.compile(
    r"\A(?:\s*(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day))\b[^,.!?:\n]{0,25}[,.!:\n]"
    r"|(?:a )?quick question\b\s?[,:.!-]?|(?:sorry|excuse me|ok|okay|yeah|yes|so|well)\s?,))+",
    re.I,
)
_THANKS = re.compile(
    r"\b(?:(?:many |with )?thanks|thank you|thx|cheers|(?:kind|best) regards|please)"
    r"(?: (?:in advance|so much|very much|a lot|you|again|everyone|all))*[\s.!?]*\Z",
    re.I,
)
_HARMLESS_NOT = re.compile(
    r"\b(?:(?:i )?(?:do not|don'?t|did not|didn'?t) (?:know|understand|get|see)"
    r" (?:how|what|why|where|when|which|if|whether)"
    r"|(?:i'?m |i am )?not (?:so |very )?sure (?:how|what|why|where|when|which|if|whether|about)"
    r"|can(?:no|')?t (?:figure|work) out|no idea (?:how|what|why|where)"
    r"|(?:whether )?or not|if not|not only|no problem|no worries|why (?:not|don'?t you))\b"
)
_QUESTIONS = {"when": "when", "where": "where", "why": "why", "who": "who", "whom": "who", "whose": "who", "how": "how"}
_MEASURES = words.listed("much many long often far old big tall fast soon")
_TARGETS = {
    "to": "to", "into": "to", "onto": "to", "->": "to", "=>": "to", "→": "to", "from": "from", "than": "than",
    "instead": "instead", "by": "by", "over": "over", "minus": "minus",
}  # fmt: skip
_SKIPPED = words.listed("a an the my our your his her their its of some any this that these those")
_PER = frozenset(("a", "per", "every", "each", "one"))
_SIGNS = frozenset(("+", "-", "*", "×", "÷", "^", "<", ">", "==", "!="))
_FOREIGN = words.listed(
    """el los las del una por para con como que qué cómo est les des dans une pour avec sur comment pourquoi le der
    das und ist nicht ein eine wie kann ich mit für auf dem den il che di per sono come gli della não uma dos
    meu het een van niet hoe ik naar jak się nie czy czym att och är jag hur som det ve bir için nasıl yang dan
    untuk bagaimana saya og jeg hvordan ikke miten mikä ja hogyan cum este pentru la de"""
)


_DIGITS = re.compile(r"\d+(?:[.,:/]\d+)*(?:-\d+-\d+)?")
_THOUSANDS = re.compile(r",(?=\d{3}(?!\d))")
_LETTERS = re.compile(r"[^\W\d_]+")
_LOWER_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_LOWER_LETTERS = bytes(ord(chr(code).lower()) if chr(code).isalpha() else 32 for code in range(128)).ljust(256)
_SPELLED = frozenset((*words.ORDINALS, *words.MULTIPLES, *words.ONES, *words.TENS, "dozen"))
"""Words that a number can start with."""
_SPECIAL = (
    _SPELLED, words.NEGATIONS, words.SHORTENED, words.FILLERS, words.COMPOUNDS, words.WEEKDAYS, words.MONTHS,
    words.DAYS, words.AMBIGUOUS_DATES, words.UNITS, ("best",),
)  # fmt: skip
_ASKING = frozenset((*_QUESTIONS, "what", "which"))
_MOST_WORDS = 200_000
_PIECES_OF_NUMBER = 3  # digits, a scale or the end of an ordinal, a unit
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})
_BETWEEN_DATES = words.listed("in of by until till since on last next this every each before after during")


@dataclass(frozen=True, slots=True)
class Features:
    """What one text is compared by."""

    english: bool
    tokens: tuple[str, ...]
    """Words as `words.token` has them, numbers and signs, in their order, without fillers and negations."""
    known: frozenset[str]
    """The same as a set."""
    plain: dict[str, str]
    """Those that carry the topic -> how they were written, lower-cased."""
    names: frozenset[str]
    """Those of them that are written as names: capitals inside a sentence, quotes, code."""
    numbers: frozenset[str]
    dates: frozenset[str]
    units: frozenset[tuple[str, str]]
    """(dimension, unit)"""
    signs: frozenset[str]
    scope: frozenset[str]
    """only, all, last, cheapest and the like"""
    questions: frozenset[str]
    targets: frozenset[tuple[str, str]]
    """(to, from, than and the like, the word of topic or number after it)"""
    negated: bool


_NONE = frozenset[Any]()
_OTHER = Features(
    english=False, tokens=(), known=_NONE, plain={}, names=_NONE, numbers=_NONE, dates=_NONE, units=_NONE, signs=_NONE,
    scope=_NONE, questions=_NONE, targets=_NONE, negated=False,
)  # fmt: skip


@dataclass(slots=True)
class _Found:
    """What the walk over a text has collected so far."""

    tokens: list[str] = field(default_factory=list[str])
    plain: dict[str, str] = field(default_factory=dict[str, str])
    numbers: set[str] = field(default_factory=set[str])
    dates: set[str] = field(default_factory=set[str])
    units: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    capitals: set[str] = field(default_factory=set[str])
    negated: bool = False


def features_of(text: str) -> Features:
    """All of it in one walk over the text; of a text that is not English only the numbers.

    About 2-5 us per word (a shared x86 core).
    """
    text = _one_spelling(text)
    if language_of(text) != "en":
        return _OTHER if not (numbers := _numbers(_asked_part(text))) else replace(_OTHER, numbers=numbers)
    asked = _asked_part(text)
    found = _Found()
    _walk(asked, found)
    tokens = tuple(found.tokens)
    known = frozenset(tokens)
    return Features(
        english=True,
        tokens=tokens,
        known=known,
        plain=found.plain,
        names=frozenset(found.capitals),
        numbers=frozenset(found.numbers),
        dates=frozenset(found.dates),
        units=frozenset(found.units),
        signs=_SIGNS & known,
        scope=frozenset(filter(scopes, known)),
        questions=frozenset() if _ASKING.isdisjoint(known) else _asked(tokens),
        targets=frozenset() if _TARGETS.keys().isdisjoint(known) else _aimed(tokens),
        negated=found.negated and _negated(asked),
    )


def numbers_of(text: str) -> frozenset[str]:
    """The numbers of `features_of`, some ten times as fast."""
    return _numbers(_asked_part(_one_spelling(text)))


def _one_spelling(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_PLAIN)


def _asked_part(text: str) -> str:
    """The text without a greeting before and thanks behind it, unless there is nothing else."""
    if "-mail" in text:
        text = _MAIL.sub("", text)
    asked = _GREETING.sub("", text)
    lower = asked.lower()
    if any(word in lower for word in ("thank", "thx", "cheers", "regards", "please")):
        asked = _THANKS.sub("", asked)
    return asked or text


def language_of(text: str) -> str:
    """`en` or `other`, from the script and the share of common short words; keywords alone count as English."""
    if not text.isascii():
        letters = [letter for letter in text[:2_000] if letter.isalpha()]
        if sum(letter > "ɏ" for letter in letters) * 4 > len(letters):
            return "other"
    found = _LETTERS.findall(text[:2_000].lower())
    english = sum(map(words.FUNCTION.__contains__, found))
    foreign = sum(map(_FOREIGN.__contains__, found))
    return "other" if foreign > english or (not english and not text.isascii()) else "en"


def _negated(text: str) -> bool:
    """Whether a negation is left when turns such as "I don't know how" are taken out."""
    rest = _HARMLESS_NOT.sub(" ", text.lower())
    return any(word in words.NEGATIONS or word.endswith("n't") for word in _LOWER_WORD.findall(rest))


def _walk(text: str, found: _Found) -> None:
    """Reads the text into `found`."""
    named = [match.span() for match in _NAMED.finditer(text)] if _may_name(text) else []
    pieces = list(_TOKEN.finditer(text))
    raws = [piece[2] or "" for piece in pieces]
    shouted = _shouted(text, [raw for raw in raws if raw])
    tokens, plain = found.tokens, found.plain
    following, before, name = 0, -1, 0
    for at, raw in enumerate(raws):
        if at < following:
            continue
        quoted = False
        if named:
            start = pieces[at].start()
            while name < len(named) and named[name][1] <= start:
                name += 1
            quoted = name < len(named) and named[name][0] <= start
        kept, lower, capital = _ORDINARY[raw]
        if capital:  # names are written with one, shouts and sentences start with one
            inside = bool(tokens) and _BREAK.search(text, pieces[before].end(), pieces[at].start()) is None
            capital = not shouted and (inside or raw[1:].lower() != raw[1:])
        before = at
        if kept:
            tokens.append(kept)
            if lower:
                plain[kept] = lower
                if quoted or capital:
                    found.capitals.add(kept)
        elif number := _number(pieces, at):
            value, taken = number
            before, following = at + taken - 1, _measured(found, pieces, at + taken, value)
        elif raw:
            _word(found, pieces, at, quoted or capital)
        else:
            _sign(found, pieces[at][0].strip())


class _Ordinary(dict[str, tuple[str, str, bool]]):
    """Word -> what does not hang on the words around it: its token, how it is written in small letters if it carries
    the topic, and whether it has a capital letter. Other words have no token."""

    def __missing__(self, raw: str) -> tuple[str, str, bool]:
        if len(self) >= _MOST_WORDS:
            self.clear()
        lower = raw.lower()
        special = not raw or "'" in raw or any(lower in each for each in _SPECIAL)
        kept = "" if special else token(lower)
        carries = kept not in words.FUNCTION and kept not in SCOPE
        has_capital = bool(raw) and (raw[0].isupper() or raw[1:].lower() != raw[1:])
        found = self[raw] = kept, lower if carries else "", has_capital
        return found


_ORDINARY = _Ordinary()


def _may_name(text: str) -> bool:
    return '"' in text or "`" in text or "'" in text or _JOINT.search(text) is not None


def _shouted(text: str, found: list[str]) -> bool:
    """Whether capitals say nothing here: all capitals, or nearly every word starts with one."""
    if text.isupper():
        return True
    return len(found) > 4 and sum(word[0].isupper() for word in found) > 0.6 * len(found)


def _numbers(text: str) -> frozenset[str]:
    """The numbers that `_walk` finds."""
    if text.isascii():
        parts = text.encode().translate(_LOWER_LETTERS).decode().split()
    else:
        parts = [word.lower() for word in _LETTERS.findall(text)]
    scaled = not words.SCALES.keys().isdisjoint(parts)
    if (spelled := _SPELLED.intersection(parts)) and (
        scaled or spelled != frozenset(("one",))
    ):  # a single one counts nothing
        return frozenset(_all_numbers(list(_TOKEN.finditer(text))))
    found: set[str] = set()
    for match in _DIGITS.finditer(text):  # no other piece takes up a digit: each match is a piece
        value = _value(match[0])
        if scaled or value == "1":  # what stands behind it counts
            pieces = list(islice(_TOKEN.finditer(text, match.start()), _PIECES_OF_NUMBER))
            found |= _all_numbers(pieces, first_only=True)
        else:
            found.add(value)
    return frozenset(found)


def _all_numbers(pieces: list[re.Match[str]], *, first_only: bool = False) -> set[str]:
    """The numbers among some pieces, or the one that they start with."""
    found: set[str] = set()
    at = 0
    while at < (1 if first_only else len(pieces)):
        number = _number(pieces, at) if pieces[at][1] or pieces[at][0].lower() in _SPELLED else None
        if number is None:
            at += 1
            continue
        value, taken = number
        after = _lower(pieces, at + taken)
        if not (value == "1" and (after in words.AFTER_NUMBERS or after in words.UNITS)):
            found.add(value)
        at += taken + (after in words.AFTER_NUMBERS)
    return found


def _word(found: _Found, pieces: list[re.Match[str]], at: int, named: bool) -> None:
    raw = pieces[at][2]
    lower = raw.lower()
    if lower in words.NEGATIONS or lower.endswith("n't"):
        found.negated = True
        return
    lower = lower.partition("'")[0] if "'" in lower else lower
    lower = words.SHORTENED.get(lower, lower)
    after = _lower(pieces, at + 1)
    if lower in words.FILLERS or (lower == "best" and after in ("way", "ways", "method")):
        return
    for part in words.COMPOUNDS.get(lower, (lower,)):
        date = _date(part, raw, _lower(pieces, at - 1), after, named)
        if date:
            found.dates.add(date)
            found.tokens.append(date)
        elif part in words.UNITS:
            unit = words.UNITS[part]
            found.units.add(unit)
            _keep(found, unit[1], part, named)
        else:
            _keep(found, token(part), part, named)


def _keep(found: _Found, kept: str, plain: str, named: bool) -> None:
    found.tokens.append(kept)
    if kept not in words.FUNCTION and kept not in SCOPE:
        found.plain[kept] = plain
        if named:
            found.capitals.add(kept)


def _sign(found: _Found, sign: str) -> None:
    if sign in words.UNITS:
        unit = words.UNITS[sign]
        found.units.add(unit)
        found.tokens.append(unit[1])
        found.plain.setdefault(unit[1], sign)
    else:
        found.tokens.append(sign)


def _lower(pieces: list[re.Match[str]], at: int) -> str:
    return pieces[at][0].lower() if 0 <= at < len(pieces) else ""


def _date(word: str, raw: str, before: str, after: str, named: bool) -> str:
    """The weekday, month or day that the word names, or nothing."""
    date = words.WEEKDAYS.get(word) or words.MONTHS.get(word) or (word if word in words.DAYS else "")
    if word in words.AMBIGUOUS_DATES and not (
        (named and raw[0].isupper()) or before in _BETWEEN_DATES or before[:1].isdigit() or after[:1].isdigit()
    ):
        return ""
    return date


def _number(pieces: list[re.Match[str]], at: int) -> tuple[str, int] | None:
    """(value, pieces taken) where a number starts at a piece, in digits or in words."""
    if pieces[at][2] and pieces[at][2].lower() not in _SPELLED:
        return None
    digits = pieces[at][1]
    if digits:
        value = _value(digits)
        scale, taken = _lower(pieces, at + 1), 1
        if scale in words.SCALES and re.fullmatch(r"\d+(?:\.\d+)?", value):
            value, taken = f"{float(value) * words.SCALES[scale]:.15g}", 2
        elif scale in ("st", "nd", "rd", "th", "s") and pieces[at + 1].start() == pieces[at].end():
            taken = 2
        return value, taken
    return _spelled(pieces, at)


def _value(digits: str) -> str:
    """The number without commas between thousands, full hours' minutes and leading zeros."""
    if not digits.isdigit():
        digits = _THOUSANDS.sub("", digits).removesuffix(":00")
    return digits.lstrip("0") or "0" if digits.isdigit() else digits


def _spelled(pieces: list[re.Match[str]], at: int) -> tuple[str, int] | None:
    """A number in words: twenty five, three hundred, third; `one` alone is a number only before a unit or a scale."""
    first = _lower(pieces, at)
    if first in words.ORDINALS:
        before = _lower(pieces, at - 1)
        counted = before in words.ONES or before in words.TENS or before[:1].isdigit()
        if first == "second" and (counted or before in _PER):
            return None  # of time
        return str(words.ORDINALS[first]), 1
    if first in words.MULTIPLES:
        return str(words.MULTIPLES[first]), 1
    total, current, taken = 0, 0, 0
    while (word := _lower(pieces, at + taken)) in words.ONES or word in words.TENS or (taken and word in words.SCALES):
        if word in words.SCALES:
            current *= words.SCALES[word]
            if words.SCALES[word] >= 1_000:
                total, current = total + current, 0
        elif taken and not (current % 100 == 0 or (word in words.ONES and current % 10 == 0 and current % 100 >= 20)):
            break
        else:
            current += words.ONES.get(word, 0) + words.TENS.get(word, 0)
        taken += 1
    if not taken or (first == "one" and taken == 1 and word not in words.UNITS):
        return ("12", 1) if first == "dozen" else None
    return str(total + current), taken


def _measured(found: _Found, pieces: list[re.Match[str]], at: int, value: str) -> int:
    """Keeps a number with the unit after it, and says where to go on; 1 of a unit is the unit alone (a week)."""
    after = _lower(pieces, at)
    unit = words.AFTER_NUMBERS.get(after) or words.UNITS.get(after)
    if not (value == "1" and unit):
        found.numbers.add(value)
        found.tokens.append(value)
    if unit and after in words.AFTER_NUMBERS:
        found.units.add(unit)
        found.tokens.append(unit[1])
        found.plain.setdefault(unit[1], after)
        return at + 1
    return at


def _asked(tokens: tuple[str, ...]) -> frozenset[str]:
    """Which of when, where, why, who, what, how, how much ... the text asks."""
    found: set[str] = set()
    for at, word in enumerate(tokens):
        kind = _QUESTIONS.get(word)
        after = tokens[at + 1] if at + 1 < len(tokens) else ""
        if word in ("what", "which") and after in ("time", "date", "day"):
            found.add("when")
        elif kind == "how" and after == "come":
            found.add("why")
        elif kind == "how" and after in _MEASURES:
            found.add("when" if after == "soon" else f"how {after}")
        elif kind:
            found.add(kind)
        elif word in ("what", "which"):
            found.add("what")
    return frozenset(found)


def _aimed(tokens: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """What stands after to, from, than and the like."""
    found: set[tuple[str, str]] = set()
    for at, word in enumerate(tokens):
        mark = _TARGETS.get(word)
        if mark:
            target = next((each for each in tokens[at + 1 : at + 4] if each not in _SKIPPED), "")
            if target and target not in words.FUNCTION:
                found.add((mark, target))
    return frozenset(found)
