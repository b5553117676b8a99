"""The complexity score: the rules by hand, the same however texts are batched, hostile text, order of prompts."""

import math

import numpy as np
import pytest
from costplan.complexity.rules import CUTS, FORMS, PARTS, READ_CHARS, RULES
from costplan.complexity.score import counts, fired_rules, levels, scored
from hypothesis import given
from hypothesis import strategies as st

NAMES = [rule.name for rule in RULES]
FAQ = "How do I freeze my card?"
SPEC = """Write a Python function that parses a CSV file and computes the variance of each column. Requirements:
- it must not use pandas or numpy, only the standard library
- at most 40 lines; raise an exception unless every row has the same number of columns
- explain step by step why your algorithm is numerically stable, and compare it with the naive one
Return the code as a markdown block and a table of the complexity of each function."""


def one(text: str) -> tuple[int, float, dict[str, float]]:
    found = levels([text], np.ones(1), np.zeros(1))
    return int(found.level[0]), float(found.score[0]), dict(zip(PARTS, found.parts[0].tolist(), strict=True))


def test_the_rules_are_counted_and_weighed_as_written() -> None:
    """Why (reasoning word), 2 and 2 (numbers), one question mark; nothing else fires.

    reasoning = 1 - 2^-(1/2 + 2/12 + 1/6); the score is 0.3 of it.
    """
    fired = dict(zip(NAMES, counts(["Why is 2 not 2?"])[0].tolist(), strict=True))
    assert {name: count for name, count in fired.items() if count} == {
        "reasoning words": 1, "numbers": 2, "questions": 1, "negations": 1,
    }  # fmt: skip
    level, score, parts = one("Why is 2 not 2?")
    assert parts["reasoning"] == pytest.approx(1 - 2 ** -(1 / 2 + 2 / 12 + 1 / 6))
    assert parts["constraints"] == pytest.approx(1 - 2 ** -(1 / 5))
    assert score == pytest.approx(0.3 * parts["reasoning"] + 0.2 * parts["constraints"])
    assert level == 1 + sum(score >= cut for cut in CUTS)


def test_context_turns_and_form_come_from_outside_the_text() -> None:
    found = levels(
        ["hello"] * 4,
        np.array([1, 5, 1, 1]),
        np.array([0, 0, 99_995, 6_320]),
        np.array([0, 0, 0, list(FORMS).index("json")]),
    )
    names = list(PARTS)
    assert found.parts[:, names.index("multi_turn")].tolist() == [0, 0.5, 0, 0]
    assert found.parts[2, names.index("context")] == pytest.approx(1)
    assert found.parts[3, names.index("context")] == pytest.approx(math.log(6_325 / 400) / math.log(250))
    assert found.parts[:, names.index("output_form")].tolist() == [0, 0, 0, FORMS["json"]]


def test_a_question_is_easier_than_a_specification() -> None:
    assert one(FAQ)[0] == 1
    assert one(SPEC)[0] == 5
    assert one("Compare the two offers and say which is better for a small shop.")[0] == 2


def test_weights_sum_to_one_and_words_belong_to_one_rule() -> None:
    assert sum(PARTS.values()) == pytest.approx(1)
    words = [word for rule in RULES for word in rule.words]
    assert len(words) == len(set(words)) and all(word == word.lower() for word in words)
    assert list(CUTS) == sorted(CUTS) and {rule.part for rule in RULES} < set(PARTS)


@given(st.lists(st.text(max_size=80), max_size=6), st.integers(0, 5))
def test_a_text_scores_the_same_alone_and_among_others(texts: list[str], at: int) -> None:
    together = levels([*texts[:at], SPEC, *texts[at:]], np.ones(len(texts) + 1), np.zeros(len(texts) + 1))
    assert (together.score >= 0).all() and (together.score <= 1).all()
    assert together.score[min(at, len(texts))] == one(SPEC)[1]


@given(st.text(max_size=200), st.sampled_from(sorted(RULES[0].words)))
def test_more_of_what_is_counted_never_lowers_the_score(text: str, word: str) -> None:
    assert one(f"{text} {word} ")[1] >= one(text)[1]


def test_what_fired_is_named_without_the_text() -> None:
    fired = fired_rules(SPEC)
    assert {name: count for name, count, _ in fired} == {
        name: count for name, count in zip(NAMES, counts([SPEC])[0].tolist(), strict=True) if count
    }
    assert all(words == [] for _, _, words in fired)
    shown = {name: words for name, _, words in fired_rules(SPEC, show_words=True)}
    assert shown["negations"] == ["not"] and "variance" in shown["mathematics words"]


@pytest.mark.parametrize("text", ["", "\0", "\ud800 why", "1" * 30_000, "-\n" * 9_000, "{" * 50_000, "ﬁ ﷺ " * 9_000])
def test_hostile_text_is_scored_like_any_other(text: str) -> None:
    level, score, _ = one(text)
    assert 1 <= level <= 5 and 0 <= score <= 1


def test_of_a_long_prompt_only_the_beginning_is_searched_and_all_of_it_is_context() -> None:
    long = "x " * (READ_CHARS // 2)
    assert (counts([long + "why why why"]) == counts([long])).all()
    assert one(long * 5)[2]["context"] > one(long)[2]["context"] > 0


def test_the_score_of_counts_is_that_of_texts() -> None:
    texts = [FAQ, SPEC]
    chars = np.array([len(text) for text in texts])
    direct = scored(counts(texts), chars, np.ones(2), np.zeros(2))
    assert direct.score.tolist() == levels(texts, np.ones(2), np.zeros(2)).score.tolist()
