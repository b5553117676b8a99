"""One text -> what the guard compares it by: words, numbers, dates, units, names; two texts are not compared here."""

import re
import unicodedata
from dataclasses import dataclass, field

from costplan.similarity import words
from costplan.similarity.forms import SCOPE, scopes, token

_TOKEN = re.compile(
    r"(\d+(?:[.,:/]\d+)*(?:-\d+-\d+)?)"  # 1: a number, time, version or date, also inside a word (mp3, 10MB)
    r"|([^\W\d_]+(?:'[^\W\d_]+)*(?:\+\+|\#(?!\w))?)"  # 2: a word
    r"|(->|=>|→|[%$€£¥]|[+*×÷<>^]|[=!]=|(?<=\d)\s?-\s?(?=\d)|(?<![\w-])-(?=\d))"  # 3: a sign
)
_MAIL = re.compile(r"(?<=\b[eE])-(?=mail)")
_NAMED = re.compile(r"\"[^\"\n]{1,60}\"|`[^`\n]{1,60}`|(?<!\w)'[^'\n]{2,60}'(?!\w)|(?<!\w)[^\W_]+(?:[._]+[^\W_]+)+")
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
    """All of it in one walk over the text; about 10-15 us per word (a shared x86 core)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    text = _MAIL.sub("", text)
    asked = _THANKS.sub("", _GREETING.sub("", text)) or text
    found = _Found()
    _walk(asked, found)
    tokens = tuple(found.tokens)
    return Features(
        english=language_of(text) == "en",
        tokens=tokens,
        known=frozenset(tokens),
        plain=found.plain,
        names=frozenset(found.capitals),
        numbers=frozenset(found.numbers),
        dates=frozenset(found.dates),
        units=frozenset(found.units),
        signs=_SIGNS.intersection(tokens),
        scope=frozenset(filter(scopes, tokens)),
        questions=_asked(tokens),
        targets=_aimed(tokens),
        negated=found.negated and _negated(asked),
    )


def language_of(text: str) -> str:
    """`en` or `other`, from the script and the share of common short words; keywords alone count as English."""
    if not text.isascii():
        letters = [letter for letter in text[:2_000] if letter.isalpha()]
        if sum(letter > "ɏ" for letter in letters) * 4 > len(letters):
            return "other"
    found = re.findall(r"[^\W\d_]+", text[:2_000].lower())
    english = sum(word in words.FUNCTION for word in found)
    foreign = sum(word in _FOREIGN for word in found)
    return "other" if foreign > english or (not english and not text.isascii()) else "en"


def _negated(text: str) -> bool:
    """Whether a negation is left when turns such as "I don't know how" are taken out."""
    rest = _HARMLESS_NOT.sub(" ", text.lower())
    return any(word in words.NEGATIONS or word.endswith("n't") for word in re.findall(r"[a-z]+(?:'[a-z]+)?", rest))


def _walk(text: str, found: _Found) -> None:
    """Reads the text into `found`."""
    named = [match.span() for match in _NAMED.finditer(text)] if _may_name(text) else []
    pieces = list(_TOKEN.finditer(text))
    shouted = _shouted(text, [piece[2] for piece in pieces if piece[2]])
    at, end = 0, 0
    fresh = True
    while at < len(pieces):
        piece = pieces[at]
        fresh = not found.tokens or _BREAK.search(text, end, piece.start()) is not None
        end = piece.end()
        number = _number(pieces, at)
        if number is not None:
            value, taken = number
            end = pieces[at + taken - 1].end()
            at = _measured(found, pieces, at + taken, value)
            continue
        at += 1
        if piece[2]:
            quoted = any(start <= piece.start() < stop for start, stop in named)
            capital = not shouted and (piece[2][1:].lower() != piece[2][1:] or (piece[2][0].isupper() and not fresh))
            _word(found, pieces, at - 1, quoted or capital)
        else:
            _sign(found, piece[0].strip())


def _may_name(text: str) -> bool:
    return any(mark in text for mark in "\"`'._")


def _shouted(text: str, found: list[str]) -> bool:
    """Whether capitals say nothing here: all capitals, or nearly every word starts with one."""
    if text.isupper():
        return True
    return len(found) > 4 and sum(word[0].isupper() for word in found) > 0.6 * len(found)


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
    digits = pieces[at][1]
    if digits:
        value = re.sub(r",(?=\d{3}(?!\d))", "", digits).removesuffix(":00")
        if value.isdigit():
            value = value.lstrip("0") or "0"
        scale, taken = _lower(pieces, at + 1), 1
        if scale in words.SCALES and re.fullmatch(r"\d+(?:\.\d+)?", value):
            value, taken = f"{float(value) * words.SCALES[scale]:.15g}", 2
        elif scale in ("st", "nd", "rd", "th", "s") and pieces[at + 1].start() == pieces[at].end():
            taken = 2
        return value, taken
    return _spelled(pieces, at)


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
