"""The compiled keys are xxh3's, whatever the length, and a table of them numbers each once."""

import numpy as np
import pytest
import xxhash
from costplan.ingest.hashing import KeyTable, keys_of
from hypothesis import given, settings
from hypothesis import strategies as st

RANDOM = np.random.default_rng(5).integers(0, 256, 6_000).astype(np.uint8)


def _key(data: bytes) -> int:
    return int(keys_of(np.frombuffer(bytearray(data), np.uint8), np.array([0]), np.array([len(data)]))[0])


@pytest.mark.parametrize("start", [0, 1, 7])
def test_every_length_up_to_several_blocks_has_its_key(start: int):
    ends = np.arange(start, 4_000)
    found = keys_of(RANDOM, np.full(len(ends), start), ends)
    raw = RANDOM.tobytes()
    assert found.tolist() == [xxhash.xxh3_64_intdigest(raw[start:end]) for end in ends.tolist()]


@given(st.binary(max_size=3_000))
@settings(deadline=None)  # the first call compiles
def test_any_bytes_have_their_key(data: bytes):
    assert _key(data) == xxhash.xxh3_64_intdigest(data)


@given(st.lists(st.lists(st.integers(0, 3_000), max_size=900), max_size=4))
@settings(deadline=None)
def test_a_table_numbers_keys_in_the_order_in_which_they_come(runs: list[list[int]]):
    table, known = KeyTable(), dict[int, int]()
    for run in runs:
        keys = [value * 0x9E3779B97F4A7C15 % 2**64 for value in run]
        fresh = [key for key in dict.fromkeys(keys) if key not in known]
        for key in fresh:
            known[key] = len(known)
        found, places = table.numbers(np.array(keys, np.uint64))
        assert found.tolist() == [known[key] for key in keys]
        assert [keys[place] for place in places.tolist()] == fresh
