"""The grammar: patterns of a row ask the same, traps differ in one thing, respellings are respellings."""

import re
from random import Random
from string import Formatter

import pytest
from costplan.generate import language
from costplan.generate.documents import SENTENCE_TOKENS, document
from costplan.ingest.prompt import asks_about_now, normalised
from costplan.scenario.spec import Padding
from costplan.tokens import counter

LEVELS = (1, 2, 3, 4, 5)


def slots(pattern: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(pattern) if name}


@pytest.mark.parametrize("row", language.grammar()["questions"], ids=LEVELS)
def test_all_wordings_of_a_question_have_the_same_slots(row: list[str]) -> None:
    assert len(row) >= 2 and len({frozenset(slots(pattern)) for pattern in row}) == 1


def test_no_word_list_holds_a_word_twice_or_anything_but_plain_ascii() -> None:
    for name, words in language.grammar().items():
        if name not in ("questions", "pairs"):
            assert len(set(words)) == len(words), name
            assert all(isinstance(word, str) and word.isascii() for word in words), name


@pytest.mark.parametrize("level", LEVELS)
def test_a_trap_differs_in_one_slot_and_a_paraphrase_in_none(level: int) -> None:
    rng = Random(5)
    for _ in range(200):
        meaning = language.fresh(rng, level)
        other = language.trap(rng, meaning)
        differing = [(a, b) for a, b in zip(meaning.slots, other.slots, strict=True) if a != b]
        assert len(differing) == 1
        texts = [language.question(meaning, wording) for wording in range(language.wordings(level))]
        assert len(set(texts)) == len(texts)
        assert all(language.question(other, 0) != text for text in texts)


def test_questions_answers_and_facts_ask_about_no_moment_unless_told_to() -> None:
    rng = Random(6)
    for level in LEVELS:
        for _ in range(100):
            meaning = language.fresh(rng, level)
            text = language.question(meaning, 0)
            assert not asks_about_now(normalised(text + " " + language.follow_up(rng, meaning)))
            assert asks_about_now(normalised(f"{text} {language.about_now(rng)}"))
    assert not asks_about_now(normalised(" ".join(language.facts(rng, {}, 500))))


def test_a_respelling_is_another_text_that_normalises_to_the_same() -> None:
    rng = Random(7)
    for level in LEVELS:
        for _ in range(100):
            text = language.question(language.fresh(rng, level), 0)
            other = language.respelled(rng, text)
            assert other != text and normalised(other) == normalised(text)


def test_an_article_fits_its_word() -> None:
    texts = language.facts(Random(8), {}, 500)
    assert not [text for text in texts if re.search(r"\b[Aa] [aeiou]", text)]


def test_a_document_has_about_the_tokens_asked_for() -> None:
    count = counter("o200k_base")
    for padding in (Padding(), Padding(json=1.0), Padding(repeated=1.0), Padding(blanks=1.0)):
        sizes = [count(document(Random(seed), {}, 600, padding)[0]) for seed in range(30)]
        assert abs(sum(sizes) / len(sizes) / 600 - 1) < 0.12, padding
    assert abs(count(" ".join(language.facts(Random(1), {}, 1000))) / 1000 / SENTENCE_TOKENS - 1) < 0.1


def test_a_document_without_padding_is_sent_as_it_is() -> None:
    sent, clean = document(Random(1), {}, 300, Padding())
    assert sent == clean and " \n" not in sent
