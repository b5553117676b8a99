"""One request through all rungs: what is counted, where, and that nothing grows."""

import json
from typing import Any

import pytest
from costplan.compression.pieces import pieces_of
from costplan.compression.saved import LOSSLESS, Cut, Priced, Saved, by_price, lost_reads, saved
from costplan.compression.structural import PLACEHOLDER, Clearing, without_known_units
from costplan.tokens import counter
from costplan.trace import Message
from hypothesis import given, settings
from hypothesis import strategies as st

COUNT = counter("o200k_base")
ROWS = json.dumps({"rows": [{"id": n, "name": f"n {n}", "city": "Rome"} for n in range(12)]}, indent=2)
LINE = "The refund is paid to the card that the order was paid with, within ten working days."
FRAGMENTS = st.sampled_from(
    [ROWS, LINE, LINE * 4, "hello ", "\n\n", "  \n", '{"a": 1}', "[1, 2]", "```\nx  \n```", "é\ud800", "[…]"]
)
TEXTS = st.lists(FRAGMENTS, max_size=4).map("".join)
MESSAGES = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), TEXTS), max_size=6)


def tool_result(text: str) -> Message:
    return Message("user", [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": text}]}])


@given(MESSAGES, st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_rung_ever_adds_a_token(messages: list[Message], lossy: bool):
    def thin(text: str, question: str) -> str:
        return text[::2] + question if lossy else text

    found = saved(messages, "o200k_base", thin=thin, clearing=Clearing(50, 1))
    assert all(cut.tokens > 0 and 0 <= cut.start <= cut.end <= found.prompt_tokens for cut in found.cuts)
    assert sum(cut.tokens for cut in found.cuts) <= found.prompt_tokens or not found.cuts
    assert found == saved(messages, "o200k_base", thin=thin, clearing=Clearing(50, 1))


def test_a_prompt_that_nobody_can_shorten_is_not_counted():
    assert saved([Message("system", "Be kind."), Message("user", "Hello there?")], "o200k_base") == Saved()


def test_tokens_are_those_of_the_shorter_text():
    found = saved([Message("system", ROWS), Message("user", ROWS)], "o200k_base")
    neat = json.dumps(json.loads(ROWS), separators=(",", ":"))
    assert found.tokens("exact") == COUNT(ROWS) - COUNT(neat)
    assert found.prompt_tokens == 2 * COUNT(ROWS) + 2 * 3 + 3 and found.first_changed_token is not None
    assert found.first_changed_token >= COUNT(ROWS)  # the system prompt stays as it is
    assert {cut.role for cut in found.cuts} == {"user"}


def test_what_the_model_wrote_is_rewritten_only_where_asked():
    messages = [Message("assistant", ROWS)]
    assert saved(messages, "o200k_base") == Saved()
    assert saved(messages, "o200k_base", roles=frozenset({"assistant"})).lossless_tokens > 0


def test_a_prefix_is_edited_alike_however_the_conversation_goes_on():
    turns = [Message("user", "Look:\n" + ROWS), Message("assistant", "Yes."), Message("user", LINE * 5 + "\n\n" + LINE)]
    shorter, longer = saved(turns, "o200k_base"), saved([*turns, Message("user", ROWS + LINE)], "o200k_base")
    assert longer.cuts[: len(shorter.cuts)] != () and set(shorter.cuts) <= set(longer.cuts)


def test_a_line_of_an_earlier_turn_is_left_out():
    texts = [f"First.\n{LINE}\nEnd.", f"Again: yes.\n{LINE} New words here.\nMore."]
    assert without_known_units(texts, [True, True])[1] == "Again: yes.\n[…] New words here.\nMore."


def agent(n: int, size: int) -> list[Message]:
    """n tool uses, each with a result of `size` words."""
    turns = [Message("user", "Find it.")]
    for number in range(n):
        turns.append(Message("assistant", f"I look at {number}."))
        turns.append(tool_result(f"r{number} " + "word " * size))
    return turns


def test_old_tool_results_are_cleared_once_the_prompt_is_long_and_the_prefix_breaks_at_the_new_one():
    messages = agent(5, 100)
    found = saved(messages, "o200k_base", clearing=Clearing(250, 2))
    pieces = pieces_of(messages)
    tokens = [COUNT(piece.text) for piece in pieces]
    results = [number for number, piece in enumerate(pieces) if piece.role == "tool"]
    assert [cut.rung for cut in found.cuts] == ["tool_results"] * 3
    left = [COUNT(pieces[number].text) - COUNT(PLACEHOLDER) for number in results[:3]]
    assert [cut.tokens for cut in found.cuts] == left
    # the request before had results 0 to 3 and cleared two of them
    assert found.rewritten_from == sum(tokens[: results[2]])
    assert saved(messages, "o200k_base", clearing=Clearing(10_000, 2)).structural_tokens == 0


def test_cuts_are_priced_by_the_part_of_the_prompt_they_lie_in():
    """1,000 tokens counted, 2,000 reported, of which 800 read and 400 written: read up to token 400, written to 600.
    A cut of 100 of the tokens 350 to 450 is half read, half written; scaled by two, 100 each."""
    found = Saved(1000, (Cut("exact", "user", 350, 450, 100), Cut("reformat", "user", 900, 1000, 30)))
    assert by_price(found, ("exact",), 2000, 800, 400) == Priced(fresh=0.0, read=100.0, write=100.0)
    assert by_price(found, LOSSLESS, 2000, 800, 400).fresh == pytest.approx(60.0)


def test_reads_behind_a_cleared_result_are_lost_but_for_what_was_cleared():
    """Of 1,000 reads the first 200 stay shared; of the 800 behind, 300 are cleared and 500 have to be paid as new."""
    found = Saved(1000, (Cut("tool_results", "tool", 200, 500, 300),), rewritten_from=200)
    assert lost_reads(found, 1000, 1000) == pytest.approx(500.0)
    assert lost_reads(found, 1000, 150) == 0.0


@pytest.mark.parametrize(
    "content", [None, [], [None], [{"type": "image_url", "image_url": {"url": "data:x"}}], 7, [[["x"]]]]
)
def test_odd_contents_are_no_trouble(content: Any):
    assert saved([Message("user", content)], "o200k_base") == Saved()


def test_nothing_points_at_a_tool_result_that_is_cleared():
    """The paragraph stands in the first result, which goes, and again in the last one, which therefore keeps it."""
    paragraph = "The refund is paid within ten days. " * 10
    turns = [Message("user", "Find it.")]
    for text in (paragraph, "two", "three", paragraph):
        turns += [Message("assistant", "I look."), tool_result(f"Read:\n\n{paragraph}" if text == paragraph else text)]
    changes: list[tuple[str, str]] = []

    def watch(rung: str, before: str, after: str, tokens: int) -> None:
        changes.append((rung, after))

    saved(turns, "o200k_base", clearing=Clearing(10**6, 3), watch=watch)
    assert [rung for rung, _ in changes][-1] == "exact" and "[same as above: " in changes[-1][1]
    changes.clear()
    saved(turns, "o200k_base", clearing=Clearing(100, 3), watch=watch)
    assert ("tool_results", PLACEHOLDER) in changes and not any("[same as above" in after for _, after in changes)


def test_pictures_and_hidden_instructions_are_no_text_to_be_scaled():
    """1,000 tokens reported for a text of a tenth of that: of OpenAI's models the rest is something else, of others at
    most 1.6 tokens stand for one counted here."""
    messages = [Message("user", ROWS)]
    own = saved(messages, "o200k_base", exact=True, input_tokens=1000)
    other = saved(messages, "o200k_base", input_tokens=1000)
    assert own.prompt_tokens == 1000 and other.prompt_tokens == int(1000 / 1.6)
    picture = [Message("user", [{"type": "image", "source": {}}, {"type": "text", "text": ROWS}])]
    assert saved(picture, "o200k_base", input_tokens=1000).prompt_tokens == 1000
    assert by_price(own, LOSSLESS, 1000, 0, 0).fresh == pytest.approx(own.lossless_tokens)
