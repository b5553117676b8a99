"""Token counts without a network: equal to tiktoken whichever counter is used, exact only where the model is known."""

import os
import socket
import sys
from collections.abc import Callable, Iterator

import pytest
import tiktoken
from costplan import tokens
from hypothesis import given, settings
from hypothesis import strategies as st

ENCODINGS = ("o200k_base", "cl100k_base")


@pytest.fixture(params=["fast", "tiktoken"])
def count(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Callable[[str], int]]]:
    """`counter`, with the optional fast library and without it."""
    if request.param == "tiktoken":
        monkeypatch.setitem(sys.modules, "toktok", None)
        monkeypatch.setattr(tokens, "_fast_counter", lambda encoding: None)
    tokens.counter.cache_clear()
    yield tokens.counter
    tokens.counter.cache_clear()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_known_texts_have_their_known_counts(count: Callable[[str], Callable[[str], int]], encoding: str) -> None:
    for text, known in tokens._CANARIES.items():  # pyright: ignore[reportPrivateUsage]
        assert count(encoding)(text) == known[encoding]


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(deadline=None, max_examples=60)
def test_both_counters_agree_with_tiktoken_on_any_text(encoding: str, text: str) -> None:
    assert tokens.counter(encoding)(text) == len(tokens.encode(text, encoding))


def test_special_tokens_are_plain_text() -> None:
    assert tokens.counter("cl100k_base")("<|endoftext|>") == len(tokens.encode("<|endoftext|>", "cl100k_base")) > 1


def test_the_shipped_vocabularies_need_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    tokens._tiktoken.cache_clear()  # pyright: ignore[reportPrivateUsage]
    tiktoken.registry.ENCODINGS.clear()
    before = dict(os.environ)
    assert tokens.encode("Hello, world!", "o200k_base") == [13225, 11, 2375, 0]
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-4o-mini-2024-07-18", ("o200k_base", True)),
        ("openai/gpt-4.1", ("o200k_base", True)),
        ("ft:gpt-4o-mini:acme::x", ("o200k_base", True)),
        ("gpt-4-turbo", ("cl100k_base", True)),
        ("gpt-35-turbo", ("cl100k_base", True)),
        ("text-embedding-3-small", ("cl100k_base", True)),
        ("claude-sonnet-4-5", ("o200k_base", False)),
        ("gemini-2.5-pro", ("o200k_base", False)),
        ("", ("o200k_base", False)),
    ],
)
def test_counts_are_exact_only_where_the_vocabulary_is_known(model: str, found: tuple[str, bool]) -> None:
    assert tokens.encoding_of(model) == found


def test_a_text_seen_before_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def counting(encoding: str) -> Callable[[str], int]:
        return lambda text: seen.append(text) or len(text)

    monkeypatch.setattr(tokens, "_fast_counter", counting)
    tokens.counter.cache_clear()
    count = tokens.counter("o200k_base")
    assert [count("abc"), count("abc"), count("de")] == [3, 3, 2]
    assert seen == ["abc", "de"]
    tokens.counter.cache_clear()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lone_surrogates_are_counted_as_tiktoken_counts_them(
    count: Callable[[str], Callable[[str], int]], encoding: str
) -> None:
    for text in ("é\ud800", "\udc00\ud83d", "ok \ud83d\ude00"):
        assert count(encoding)(text) == len(tokens.encode(text, encoding))
