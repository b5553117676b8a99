"""--where: what it means, and where it says that something is wrong."""

import re

import numpy as np
import pytest
from costplan.errors import UsageError
from costplan.explore.columns import Column, Labels, Tags
from costplan.explore.where import parse_where
from hypothesis import given
from hypothesis import strategies as st

MODELS = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "or", "a b"]
TAGSETS: list[tuple[str, ...]] = [(), ("search",), ("search", "beta"), ("nightly",)]
COLUMNS: dict[str, Column] = {
    "model": Labels(np.array([0, 1, 2, 3, 4, 0]), MODELS), "tag": Tags(np.array([0, 1, 2, 3, 1, 0]), TAGSETS),
    "cost": np.array([0.5, 0.01, 2.0, np.nan, 0.0, 0.5]),
    "day": Labels(np.array([0, 0, 1, 1, 1, 0]), ["2026-10-01", "2026-10-02"]),
}  # fmt: skip


def rows(text: str) -> list[int]:
    rule = parse_where(text, ["model", "tag", "day"], ["cost"])
    return np.flatnonzero(rule(COLUMNS.__getitem__, 6)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model=gpt-4o", [0, 5]), ("model~GPT-4", [0, 1, 5]), ("model!=gpt-4o", [1, 2, 3, 4]),
        ("model in (gpt-4o, claude-sonnet-4-5)", [0, 2, 5]), ("model='a b'", [4]), ('model="or"', [3]),
        ("model=or or cost>1", [2, 3]), ("tag=search", [1, 2, 4]), ("tag!=search", [0, 3, 5]), ("tag~NIGHT", [3]),
        ("cost>0.01", [0, 2, 5]), ("cost>=$0.01", [0, 1, 2, 5]), ("cost!=0.5", [1, 2, 4]), ("cost=0", [4]),
        ("day>=2026-10-02", [2, 3, 4]), ("day<2026-10-02 and cost<0.1", [1]),
        ("not model~gpt and not tag=search", [3]), ("not (model~gpt or tag=search)", [3]),
        ("tag=search and model~gpt or cost>1", [1, 2]), ("tag=search and (model~gpt or cost>1)", [1, 2]),
        ("MODEL".lower() + " = gpt-4o AND NOT cost > 1", [0, 5]), ("model~''", [0, 1, 2, 3, 4, 5]),
    ],
)  # fmt: skip
def test_an_expression_holds_for_these_rows(text: str, expected: list[int]) -> None:
    assert rows(text) == expected


@pytest.mark.parametrize(
    ("text", "place", "problem", "hint"),
    [
        ("modle=x", 1, "no column 'modle'", "model"), ("model=x and csot>1", 13, "no column 'csot'", "cost"),
        ("model", 6, "'the end' where one of", ""), ("model=", 7, "where a value should be", ""),
        ("model=a b", 9, "'b' where and, or, or the end should be", ""), ("(model=a", 9, "closing parenthesis", ""),
        ("model=a)", 8, "')' where and, or", ""), ("cost>cheap", 6, "'cheap' is no number", ""),
        ("cost~1", 6, "is a number", "cost>"), ("model='x", 7, "a quote that does not end", ""),
        ("model in a", 10, "in without a list", "model in (a, b)"), ("", 1, "no column 'the end'", ""),
        ("and model=a", 1, "no column 'and'", ""), ("not " * 50 + "model=a", 161, "nested too deep", ""),
        ("(" * 50, 41, "nested too deep", ""), ("__import__('os')", 1, "no column", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(text: str, place: int, problem: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        rows(text)
    assert f"--where, column {place}: " in str(caught.value) and problem in str(caught.value)
    assert hint in caught.value.hint


leaves = st.sampled_from(["model=gpt-4o", "tag=search", "cost>0.1", "day=2026-10-02", "model in (or, 'a b')"])
trees = st.recursive(
    leaves,
    lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner),
    max_leaves=8,
)


def spelled(tree: str | tuple[str, ...]) -> str:
    if isinstance(tree, str):
        return tree
    operator, *parts = tree
    texts = [f"({spelled(part)})" for part in parts]
    return f"not {texts[0]}" if operator == "not" else f" {operator} ".join(texts)


def holds(tree: str | tuple[str, ...], row: int) -> bool:
    if isinstance(tree, str):
        return row in rows(tree)
    operator, *parts = tree
    found = [holds(part, row) for part in parts]
    return not found[0] if operator == "not" else all(found) if operator == "and" else any(found)


@given(trees)
def test_and_or_and_not_are_those_of_logic(tree: str | tuple[str, ...]) -> None:
    assert rows(spelled(tree)) == [row for row in range(6) if holds(tree, row)]


@given(st.text(max_size=40))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    try:
        rows(text)
    except UsageError as error:
        assert re.match(r"--where, column \d+: ", str(error))
