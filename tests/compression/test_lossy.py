"""Rung 4 and its diagnostics: budgets hold, questions decide, code and data stay, and survival is what it says."""

import math
import random

import pytest
from costplan.compression.lossy import (
    COMPRESSORS,
    Score,
    by_question,
    compressible,
    names_and_numbers,
    protected,
    question_of,
    sentences,
    shortened,
    thinned,
)  # fmt: skip
from costplan.compression.survival import names, numbers, plain, survives
from costplan.compression.unused import unused
from costplan.compression.words import Counts, counted, words_of
from costplan.tokens import counter
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compress.logs import CONTEXT, QUESTION, passage

COUNT = counter("o200k_base")
WORDS = st.sampled_from(
    ["the", "of", "Rome", "1969", "harbour", "e.g.", "naïve", "東京は", "a\n", "\n\n", "“x”.", "No. 5", "…"]
)
BLOCKS = st.lists(st.lists(WORDS, max_size=30).map(" ".join), min_size=1, max_size=4)


@given(BLOCKS, st.sampled_from(["", "Where is Rome?", "?"]), st.floats(0.05, 1), st.sampled_from(COMPRESSORS))
@settings(max_examples=150, deadline=None)
def test_every_compressor_stays_within_its_budget_and_says_the_same_twice(
    blocks: list[str], question: str, keep: float, compressor: tuple[str, Score]
):
    counts = counted(blocks)
    budget = int(keep * sum(map(COUNT, blocks)))
    found = shortened(blocks, question, budget, counts, COUNT, compressor[1])
    assert len(found) == len(blocks) and sum(map(COUNT, found)) <= budget
    assert found == shortened(blocks, question, budget, counts, COUNT, compressor[1])
    for before, after in zip(blocks, found, strict=True):
        kept = iter(words_of([before]).text)
        assert all(word in kept for word in words_of([after]).text)  # in order, and none of its own


def test_self_information_is_that_of_the_formula():
    """Counts rome 2, in 1, the 1 of n = 4 words, v = 3: -log2(2.5 / 5.5) = 1.1375 bits; unseen -log2(0.5 / 5.5)."""
    counts = counted(["Rome, in the ROME."])
    assert counts.bits("rome") == pytest.approx(math.log2(5.5 / 2.5))
    assert counts.bits("paris") == pytest.approx(math.log2(11))


def test_names_numbers_and_what_links_them_are_protected():
    words = ["the", "Lord", "of", "the", "Rings", "sold", "150", "million"]
    assert names_and_numbers(words) == [False, True, True, True, True, False, True, False]


def test_whole_sentences_are_ranked_by_the_question():
    block = "Cats sleep all day. The harbour of Genoa was built in 1128. Dogs bark at night. Cows eat grass."
    found = shortened([block], "When was the harbour of Genoa built?", 14, counted([block]), COUNT, sentences)
    assert found == ["The harbour of Genoa was built in 1128."]


def survival(score: Score, cases: list[tuple[list[str], str, str]], keep: float = 0.5) -> float:
    counts = counted(block for blocks, _, _ in cases for block in blocks)
    alive = 0
    for blocks, question, answer in cases:
        budget = int(keep * sum(map(COUNT, blocks)))
        alive += survives([answer], "\n\n".join(shortened(blocks, question, budget, counts, COUNT, score)))
    return alive / len(cases)


def planted(n: int, seed: int) -> list[tuple[list[str], str, str]]:
    """Questions about one of four made-up towns, each in a paragraph of its own."""
    draw = random.Random(seed)
    cases: list[tuple[list[str], str, str]] = []
    for _ in range(n):
        towns = draw.sample(range(10_000), 4)
        asked = draw.choice(towns)
        cases.append(
            ([passage(town) for town in towns], f"Which port has the largest harbour near Town{asked}?", f"Port{asked}")
        )
    return cases


def test_what_a_question_asks_for_survives_better_than_by_lot():
    cases = planted(120, 7)
    shares = {name: survival(score, cases) for name, score in COMPRESSORS}
    assert shares["random"] < shares["self_information"] <= shares["self_information_protected"]
    assert shares["by_question"] == 1.0 and shares["random"] < 0.7


def test_only_long_prose_is_thinned_and_the_question_stays():
    text = f"Be short.\n\n```python\n{'x = 1  # a comment that goes on and on ' * 20}\n```\n\n{CONTEXT}"
    found = thinned(text, question_of(text), 0.5, counted([text]), COUNT)
    blocks = [text[start:end] for start, end in compressible(text)]
    assert (
        len(blocks) == 4 and found.endswith(f"Question: {QUESTION}") and found.startswith(text[: text.index("In Town")])
    )
    size = sum(map(COUNT, blocks))
    assert size * 0.49 <= COUNT(found) - (COUNT(text) - size) + size * 0.03 <= size * 0.53
    assert thinned("Too short to thin.", "", 0.5, counted([text]), COUNT) == "Too short to thin."


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Some context.\n\nWho built it?\n\nAnswer in French.", "Who built it?"),
        ("Translate this.\n\n" + "word " * 40, "Translate this."),
        ("word " * 40, ""),
    ],
)
def test_a_question_is_a_short_paragraph(text: str, question: str):
    assert question_of(text) == question


def test_answers_survive_as_whole_words_however_they_are_written():
    assert survives(["The Beatles"], "It was by the  BEATLES!") and survives(["no", "1969"], "In 1969.")
    assert not survives(["69"], "In 1969.") and not survives(["", "the"], "the")
    assert survives(["東京"], "答えは東京です") and plain("A  “quoted”, An end.") == "“quoted” end"


def test_numbers_and_names_are_counted_once():
    assert numbers("2 of 1,000 on 2024-05-01, 2 more") == {"2", "1,000", "2024-05-01"}
    assert names("Yesterday we met Ann Lee of NASA. Then home.") == {"Ann", "Lee", "NASA"}


def test_context_that_leaves_no_trace_in_the_answer_is_unused():
    """Three words in a row; what half of the paragraphs share says nothing."""
    hours = "Opening hours are nine to five."
    blocks = [f"{hours} Refunds take ten days.", f"{hours} Parcels go by ship.", "The garden has a blue gate."]
    assert unused(blocks, "Opening hours are nine to five, and refunds take ten days.") == [False, True, True]
    assert unused(blocks, "It has a blue gate of the kind.") == [True, True, False]


def test_questions_after_other_things_than_names_protect_names_less():
    counts = Counts(counted(["x"]).words, counted(["x"]).stems, 1)
    words = words_of(["Rome shrugs"])
    named, other = protected(words, "Where is it?", counts), protected(words, "Why is it so?", counts)
    assert named[0] - named[1] > other[0] - other[1] and by_question(words, "", counts) == protected(words, "", counts)
