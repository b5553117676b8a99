"""`model~gpt-4 and (tag=search or cost>0.01) and not status=ok`: parsed by hand, never executed; it knows no log.

    expression  = term {"or" term}
    term        = factor {"and" factor}
    factor      = "not" factor | "(" expression ")" | comparison
    comparison  = column ("=" | "!=" | "~" | "<" | "<=" | ">" | ">=") value | column "in" "(" value {"," value} ")"

`~` is contains, whatever the case. Values with blanks stand in quotes.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from costplan.errors import UsageError
from costplan.explore.columns import Column, Labels, Tags

Mask = NDArray[np.bool_]
Look = Callable[[str], Column]
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>!=|>=|<=|[=~<>(),])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s=!~<>(),"']+))"""
)
_COMPARED = ("=", "!=", "~", "<", "<=", ">", ">=")
_DEEPEST = 40
_EXAMPLE = "--where 'model~gpt-4 and tag=search and cost>0.01'"


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    at: int
    kind: str
    """sign, word or quoted."""


@dataclass(slots=True)
class _Reader:
    tokens: list[_Token]
    names: Collection[str]
    numbers: Collection[str]
    next: int = 0
    depth: int = 0

    def peek(self) -> _Token:
        return self.tokens[self.next]

    def take(self) -> _Token:
        token = self.tokens[self.next]
        self.next += token.kind != "end"
        return token

    def word(self, text: str) -> bool:
        """Takes this keyword if it comes next."""
        token = self.peek()
        found = token.kind == "word" and token.text.lower() == text
        self.next += found
        return found


Rule = Callable[[Look, int], Mask]
"""The rows that hold it, of a number of rows."""


def parse_where(text: str, names: Collection[str], numbers: Collection[str]) -> Rule:
    """`names` and `numbers` are the columns. Raises UsageError with the place of what cannot be read."""
    reader = _Reader(_tokens(text), names, numbers)
    rule = _either(reader)
    token = reader.peek()
    if token.kind != "end":
        raise _wrong(token, f"{token.text!r} where and, or, or the end should be")
    return rule


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(_Token("", at + len(text[at:]) - len(text[at:].lstrip()), ""), "a quote that does not end")
        kind = "sign" if match["sign"] else "word" if match["word"] else "quoted"
        shown = next(each for each in match.groups() if each is not None)
        found.append(_Token(shown, match.end() - len(match[0].lstrip()), kind))
        at = match.end()
    return [*found, _Token("the end", len(text), "end")]


def _wrong(token: _Token, problem: str, hint: str = "") -> UsageError:
    return UsageError(f"--where, column {token.at + 1}: {problem}", hint=hint or _EXAMPLE)


def _either(reader: _Reader) -> Rule:
    rules = [_all(reader)]
    while reader.word("or"):
        rules.append(_all(reader))
    return rules[0] if len(rules) == 1 else lambda look, n: np.logical_or.reduce([rule(look, n) for rule in rules])


def _all(reader: _Reader) -> Rule:
    rules = [_one(reader)]
    while reader.word("and"):
        rules.append(_one(reader))
    return rules[0] if len(rules) == 1 else lambda look, n: np.logical_and.reduce([rule(look, n) for rule in rules])


def _one(reader: _Reader) -> Rule:
    reader.depth += 1
    if reader.depth > _DEEPEST:
        raise _wrong(reader.peek(), "nested too deep")
    if reader.word("not"):
        inner = _one(reader)
        rule: Rule = lambda look, n: ~inner(look, n)  # noqa: E731
    elif reader.peek().text == "(" and reader.peek().kind == "sign":
        reader.take()
        rule = _either(reader)
        token = reader.take()
        if token.text != ")":
            raise _wrong(token, f"{token.text!r} where a closing parenthesis should be")
    else:
        rule = _comparison(reader)
    reader.depth -= 1
    return rule


def _comparison(reader: _Reader) -> Rule:
    name = reader.take()
    columns = [*reader.names, *reader.numbers]
    if name.kind != "word" or name.text not in columns:
        near = get_close_matches(name.text, columns, 3, 0.5) or columns
        raise _wrong(name, f"no column {name.text[:40]!r}", f"one of {', '.join(near)}")
    if reader.word("in"):
        if reader.take().text != "(":
            raise _wrong(reader.tokens[reader.next - 1], "in without a list", f"{name.text} in (a, b)")
        values = [_value(reader)]
        while reader.peek().text == "," and reader.take():
            values.append(_value(reader))
        if (token := reader.take()).text != ")":
            raise _wrong(token, f"{token.text!r} where the list should end", f"{name.text} in (a, b)")
        return _any([_compared(reader, name, "=", value) for value in values])
    sign = reader.take()
    if sign.kind != "sign" or sign.text not in _COMPARED:
        raise _wrong(sign, f"{sign.text!r} where one of {' '.join(_COMPARED)} should be")
    return _compared(reader, name, sign.text, _value(reader))


def _any(rules: list[Rule]) -> Rule:
    return lambda look, n: np.logical_or.reduce([rule(look, n) for rule in rules])


def _value(reader: _Reader) -> _Token:
    token = reader.take()
    if token.kind not in ("word", "quoted"):
        raise _wrong(token, f"{token.text!r} where a value should be")
    return token


def _compared(reader: _Reader, name: _Token, sign: str, value: _Token) -> Rule:
    column = name.text
    if column in reader.numbers:
        if sign == "~":
            raise _wrong(value, f"{column} is a number, it contains nothing", f"{column}>0.01")
        try:
            bound = float(value.text.removeprefix("$"))
        except ValueError:
            raise _wrong(value, f"{value.text[:40]!r} is no number", f"{column}>0.01") from None
        return lambda look, n: _number(look(column), sign, bound)
    return lambda look, n: _named(look(column), sign, value.text)


def _number(values: Column, sign: str, bound: float) -> Mask:
    """What is not known holds no comparison."""
    assert isinstance(values, np.ndarray)
    if sign == "!=":
        return (values != bound) & ~np.isnan(values)
    compare = {"=": np.equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[sign]
    return compare(values, bound)


def _named(column: Column, sign: str, value: str) -> Mask:
    """Names compare as text, so that days and hours have their order. Any of a row's tags will do; `!=`: none is it."""
    assert isinstance(column, Labels | Tags)
    holds: dict[str, Callable[[str], bool]] = {
        "=": lambda name: name == value, "~": lambda name: value.lower() in name.lower(),
        "<": lambda name: name < value, "<=": lambda name: name <= value, ">": lambda name: name > value,
        ">=": lambda name: name >= value, "!=": lambda name: name == value,
    }  # fmt: skip
    if isinstance(column, Labels):
        found = np.array([holds[sign](name) for name in column.names], np.bool_).reshape(-1)[column.code]
    else:
        held = [any(map(holds[sign], tagset)) for tagset in column.tagsets]
        found = np.array(held, np.bool_).reshape(-1)[column.tagset]
    return ~found if sign == "!=" else found
