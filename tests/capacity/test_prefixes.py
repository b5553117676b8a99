"""Prefix keys of a log as blocks of an engine's cache: what is shared, and how far it reaches."""

from collections.abc import Sequence

import numpy as np
from costplan.capacity.prefixes import Chains, engine_blocks
from costplan.engine import Ragged
from hypothesis import given, settings
from hypothesis import strategies as st


def blocks(
    requests: Sequence[tuple[list[int], list[int], int, int]], *, block_size: int = 16, text: bool = False
) -> list[list[int]]:
    """The shared blocks of requests given as (keys, positions, input tokens, output tokens)."""
    keys = [key for request in requests for key in request[0]]
    offsets = np.concatenate([[0], np.cumsum([len(request[0]) for request in requests])]).astype(np.int32)
    inputs, outputs = (np.array([request[i] for request in requests], np.int64) for i in (2, 3))
    chains = Chains(
        keys=Ragged(offsets, np.array(keys, np.uint64)),
        weights=np.array([position for request in requests for position in request[1]], np.int64),
        ends=np.full(len(keys), 1 if text else 0, np.int8), total_weight=inputs,
        whole=np.ones(len(requests), np.bool_), is_text=np.full(len(requests), text),
    )  # fmt: skip
    found, ids = engine_blocks(chains, inputs, outputs, block_size)
    return [ids[a:b].tolist() for a, b in zip(found[:-1], found[1:], strict=True)]


def test_hash_blocks_of_512_are_split_into_blocks_of_the_engine() -> None:
    """Two prompts of 1,030 tokens share the first 512 tokens, 32 blocks of 16; what only one holds is not listed."""
    found = blocks([([7, 8, 9], [512, 1024, 1030], 1030, 5), ([7, 5, 6], [512, 1024, 1030], 1030, 5)])
    assert found == [list(range(32))] * 2


def test_a_short_last_block_is_shared_in_whole_engine_blocks() -> None:
    """6,758 - 6,656 = 102 tokens behind 13 full blocks: 6 of 16, so 422 in all when the prompt comes again."""
    keys, ends = list(range(14)), [min(512 * (i + 1), 6758) for i in range(14)]
    found = blocks([(keys, ends, 6758, 500)] * 2)
    assert [len(each) for each in found] == [422, 422] and found[0] == found[1]


def test_prompts_that_differ_from_the_start_share_nothing() -> None:
    assert blocks([([1, 2], [16, 32], 32, 4), ([3, 4], [16, 32], 32, 4)]) == [[], []]


def test_the_next_turn_reaches_into_the_answer_that_it_repeats() -> None:
    """A: 64 prompt tokens and a 64-token answer. B repeats both and asks on: A holds 8 blocks, 4 of them generated."""
    first = ([1], [64], 64, 64)
    turn = ([1, 2, 3], [64, 128, 160], 160, 10)
    found = blocks([first, turn], text=True)
    assert found == [list(range(8)), list(range(8))]


def test_an_answer_of_another_length_is_not_taken_for_the_one_generated() -> None:
    first = ([1], [64], 64, 200)
    turn = ([1, 2, 3], [64, 128, 160], 160, 10)
    assert blocks([first, turn], text=True) == [list(range(4)), list(range(4))]


def test_hash_traces_do_not_say_what_was_generated() -> None:
    assert blocks([([1], [64], 64, 64), ([1, 2, 3], [64, 128, 160], 160, 10)]) == [list(range(4))] * 2


def test_a_slightly_different_count_of_the_same_text_is_the_same_blocks() -> None:
    """The same key at token 1,000 and 1,003: the first request decides, so that no block is lost at the seam."""
    found = blocks([([1, 2], [1000, 1100], 1100, 5), ([1, 3], [1003, 1200], 1200, 5)])
    assert found[0] == found[1] == list(range(1000 // 16))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(1, 300)), max_size=12),
    st.sampled_from([16, 64, 512]),
    st.booleans(),
)  # fmt: skip
def test_listed_blocks_are_a_prefix_and_equal_blocks_mean_equal_beginnings(
    prompts: list[tuple[list[int], int]], block_size: int, text: bool
) -> None:
    """Pieces of 100 tokens; a key stands for all pieces up to it, as in a log."""
    requests: list[tuple[list[int], list[int], int, int]] = []
    for pieces, output in prompts:
        keys = [hash(tuple(pieces[: i + 1])) & 0xFFFFFFFF for i in range(len(pieces))]
        requests.append((keys, [100 * (i + 1) for i in range(len(pieces))], 100 * len(pieces), output))
    found = blocks(requests, block_size=block_size, text=text)
    for ids, (_, _, tokens_in, tokens_out) in zip(found, requests, strict=True):
        assert len(ids) <= (tokens_in + tokens_out) // block_size and len(set(ids)) == len(ids)
    for i, one in enumerate(found):
        for j, other in enumerate(found[:i]):
            common = next(
                (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
            )
            assert not set(one[common:]) & set(other[common:]), "blocks are shared from the beginning only"
            same = next((n for n, (a, b) in enumerate(zip(prompts[i][0], prompts[j][0], strict=False)) if a != b), None)
            if not text and same is not None:
                assert common <= 100 * same // block_size
