"""Texts: the same keys and flags whichever loop finds them, and a normal form that only folds what does not matter."""

import numpy as np
import pytest
from costplan.ingest.prompt import HAS_TIME, IS_CUT, IS_MASKED, Texts, asks_about_now, normalised
from costplan.tokens import counter
from hypothesis import given, settings
from hypothesis import strategies as st

_WORDS = ("today", "tonight", "Tomorrow", "yesterday", "this year", "current date", "current", "know", " now", "now")
_WORDS += ("This Week", "this way", "Currently", "later", "latest", "Ä", "ß", "ｆｕｌｌ")
_MARKS = ("[REDACTED]", "[R", "<PERSON>", "******", "…", "...[truncated]", " cut", "more", "\n", "\t", "  ", "?", ",")
_PIECES = st.sampled_from([*_WORDS, *_MARKS, "\x00", "\x1f", "\ud800"])
TEXTS = st.lists(st.one_of(_PIECES, st.text(max_size=12)), max_size=12).map("".join)


@given(st.lists(TEXTS, min_size=1, max_size=20))
@settings(deadline=None)  # the first call compiles
def test_the_compiled_loop_finds_the_same_keys_and_flags(texts: list[str]):
    tables = []
    for compiled in (False, True):
        table = Texts(compiled=compiled)
        for index, text in enumerate(texts):
            table.number(text, for_user=index % 3 > 0)
        tables.append((table.arrays(), table.lengths()))
    for name, column in tables[0][0].items():
        np.testing.assert_array_equal(column, tables[1][0][name], err_msg=name)
    assert tables[0][1] == tables[1][1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I top up?", "how  do I\ttop up"),
        ("Where is my card!!", " where is my card. "),
        ("ＡＢＣ", "abc"),
        ("Straße", "STRASSE"),
    ],
)
def test_case_blanks_width_and_final_punctuation_do_not_make_another_question(one: str, other: str):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(("one", "other"), [("send 10", "send 100"), ("a-b", "a b"), ("is it?", "it is?")])
def test_everything_else_does(one: str, other: str):
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    "text", ["what is open today", "now what", "is it open now", "news of this week", "the latest"]
)
def test_words_that_tie_an_answer_to_the_moment_are_seen(text: str):
    assert asks_about_now(text)


@pytest.mark.parametrize("text", ["do you know", "nowhere to go", "this works", "currency", "a todo list", "later on"])
def test_words_that_only_look_like_it_are_not(text: str):
    assert not asks_about_now(text)


@pytest.mark.parametrize("text", ["mail [REDACTED] please", "hello <PERSON>", "card ******1234", "[masked: name]"])
def test_masks_are_seen(text: str):
    assert _flags(text) & IS_MASKED


@pytest.mark.parametrize(
    "text", ["a long story…", "and so on ...[truncated]", "text (truncated)", "abc ... (+120 more)"]
)
def test_cut_marks_are_seen_at_the_end_only(text: str):
    assert _flags(text) & IS_CUT
    assert not _flags(text + " and then it went on") & IS_CUT


def test_ordinary_text_carries_no_flag():
    assert _flags("How do I read a list [1, 2, 3] in <b>Python</b> (version 3)?") == 0


def test_only_user_turns_are_asked_for_time_words():
    table = Texts()
    table.number("Today is Monday.", for_user=False)
    table.number("What is today?", for_user=True)
    assert [int(flag) & HAS_TIME for flag in table.arrays()["flags"]] == [0, HAS_TIME]


def test_the_pieces_of_a_text_count_about_as_many_tokens_as_the_whole():
    """2,000 words in pieces of 512 characters: less than one token per piece apart."""
    text = "The quick brown fox jumps over the lazy dog and asks why. " * 200
    table = Texts()
    number = table.number(text, for_user=True)
    table.arrays()
    pieces = table.piece_tokens(0, np.array([number]))
    whole = counter("o200k_base")(text)
    assert len(pieces) == -(-len(text) // 512)
    assert abs(int(pieces.sum()) - whole) <= len(pieces)


def _flags(text: str) -> int:
    table = Texts()
    table.number(text, for_user=True)
    return int(table.arrays()["flags"][0])
