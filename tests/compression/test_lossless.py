"""Rungs 1 and 2: what is taken out can be put back, code stays, and hostile text takes no time."""

import json
import time
from typing import Any

import pytest
from costplan.compression.documents import DECODER, documents
from costplan.compression.exact import exact, without_repeats
from costplan.compression.table import NotATable, decode, encode, reformatted
from costplan.tokens import counter
from hypothesis import given, settings
from hypothesis import strategies as st

COUNT = counter("o200k_base")
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
)
KEYS = st.text(max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
CELLS = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(KEYS, SCALARS, max_size=2)


@st.composite
def tables(draw: st.DrawFn) -> Any:
    """Rows that share their keys, some of them missing; at the top or inside an object."""
    keys = draw(st.lists(KEYS, min_size=1, max_size=4, unique=True))
    some = st.lists(st.sampled_from(keys), unique=True).map(lambda found: sorted(found, key=keys.index))
    row = some.flatmap(lambda found: st.fixed_dictionaries(dict.fromkeys(found, CELLS)))
    rows = draw(st.lists(row, min_size=2, max_size=5))
    return draw(st.sampled_from([rows, {"rows": rows, "n": 1}, [[rows], "x"]]))


def restored(texts: list[str]) -> list[str]:
    """What a reader makes of pointers to paragraphs."""
    before: list[str] = []
    found: list[str] = []
    for text in texts:
        blocks: list[str] = []
        for block in text.split("\n\n"):
            if block.startswith("[same as above: "):
                shown = block.removeprefix("[same as above: ").removesuffix("…]")
                block = next(each for each in before if each.startswith(shown))
            before.append(block)
            blocks.append(block)
        found.append("\n\n".join(blocks))
    return found


def tree(text: str) -> Any:
    """Numbers as spelled, objects in order."""
    return DECODER.decode(text)


@given(st.one_of(VALUES, tables()), st.sampled_from([None, 0, 1, 4]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_minified_json_and_tables_come_back_equal(value: Any, indent: int | None, ascii_only: bool):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    neat = exact("Data:\n" + text)
    assert tree(neat.removeprefix("Data:\n")) == tree(text)
    assert decode(encode(tree(text))) == tree(text)


def test_numbers_double_keys_and_escapes_keep_their_spelling():
    text = '{ "a": 1.0, "a": 1, "big": 123456789012345678901234567890, "far": 1e400, "e": "\\u00e9 \\/" }'
    assert exact(text) == '{"a":1.0,"a":1,"big":123456789012345678901234567890,"far":1e400,"e":"\\u00e9 \\/"}'


def test_null_empty_missing_number_and_text_are_five_things_in_a_table():
    text = json.dumps([{"a": None, "b": ""}, {"b": "1"}, {"a": 1}, {"a": "null", "b": "x, y"}])
    assert encode(tree(text)) == '[#a,b\nnull,""\n,"1"\n1,\n"null","x, y"\n]'
    assert decode(encode(tree(text))) == tree(text)


def test_rows_in_another_order_of_keys_are_no_table():
    text = '[{"a":1,"b":2},{"b":3,"a":4}]'
    assert encode(tree(text)) == text


@pytest.mark.parametrize(
    "broken", ["[#a\n1", "[#a,b\n1\n]", '[#a\n"x\n]', '{"a":[#b\n1\n]', "[#a\n1\n]]", '[#a\n"x"y\n]']
)
def test_what_is_no_table_is_refused(broken: str):
    with pytest.raises(NotATable):
        decode(broken)


@pytest.mark.parametrize(
    "text",
    [
        '```python\nx = {"a": 1,\n     "b": 2}\n```',
        'rows = [\n    {"a": 1},\n    {"b": 2},\n]',
        'call({"a": 1, "b": [1, 2]})',
        'return {"a": 1}',
        'const f = () => { "use strict"; }',
        "see [1, 2] and [3]",
        'broken {"a": 1, "b": {"c": 2}',
        '{"not": NaN, "strict": Infinity}',
        '{"half": "\\ud800", "x": 1}',
    ],
)
def test_code_references_and_broken_json_stay_as_they_are(text: str):
    assert exact(text) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{ "a" : [ 1 , 2 ] }', '{"a":[1,2]}'),
        ('Order: {"id": 7, "s": "a  b"} was late.', 'Order: {"id":7,"s":"a  b"} was late.'),
        ('<result>{"a": 1}</result>', '<result>{"a":1}</result>'),
        ("```json\n[\n  1,\n  2\n]\n```", "```json\n[1,2]\n```"),
        ("one  \ntwo\t\n\n", "one\ntwo\n\n"),
        ("```python\nx = 1  \n```", "```python\nx = 1  \n```"),
    ],
)
def test_data_is_minified_where_it_stands(before: str, after: str):
    assert exact(before) == after


@given(
    st.lists(st.lists(st.sampled_from(["p" * 250, "q" * 250, "p" * 300, "short", "", "\n"]), max_size=4), max_size=4)
)
def test_repeated_blocks_can_be_put_back(blocks: list[list[str]]):
    texts = ["\n\n".join(some) for some in blocks]
    assert restored(without_repeats(texts, [True] * len(texts))) == texts


def test_a_block_is_pointed_at_only_where_its_beginning_names_one_block():
    first, other = (
        "Returns are free within 30 days, if the goods " + "a" * 200,
        "Returns are free within 30 days, if the goods " + "b" * 200,
    )
    found = without_repeats([first, first, other, other], [True] * 4)
    assert found[1] == "[same as above: Returns are free within 30 days, if the …]"
    assert found[2:] == [other, other]


def test_the_legend_is_paid_for():
    text = '[{"a":1},{"a":2}]'
    assert reformatted(text, COUNT).endswith("[#a\n1\n2\n]") is (COUNT("[#a\n1\n2\n]") < COUNT(text))


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        "[ " * 200_000,
        '["' * 200_000,
        "```\n" * 50_000 + "[1," * 50_000,
        " " * 400_000 + "[",
    ],
    ids=["brackets", "objects", "blanks", "quotes", "fences", "lead"],
)
def test_hostile_text_takes_no_time(hostile: str):
    start = time.process_time()
    assert isinstance(exact(hostile), str) and len(documents(hostile)) == 0
    assert time.process_time() - start < 5
