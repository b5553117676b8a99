"""Stack distances against a cache kept as a plain list."""

from collections import OrderedDict

import numpy as np
from costplan.levers.stack import NEVER, greater_before, stack_distances
from hypothesis import given
from hypothesis import strategies as st

STREAMS = st.lists(st.integers(0, 12), max_size=120)


def naive_distances(keys: list[int]) -> list[int]:
    """Depth of each key in a list that has the latest key in front."""
    recent: list[int] = []
    found: list[int] = []
    for key in keys:
        found.append(recent.index(key) if key in recent else NEVER)
        recent = [key, *(other for other in recent if other != key)]
    return found


def lru_hits(keys: list[int], capacity: int) -> list[bool]:
    """Whether an LRU cache of so many entries holds each key when it is asked."""
    held: OrderedDict[int, None] = OrderedDict()
    found: list[bool] = []
    for key in keys:
        found.append(key in held)
        held[key] = None
        held.move_to_end(key)
        if len(held) > capacity:
            held.popitem(last=False)
    return found


def test_a_stream_by_hand():
    """a b c b a a: b comes back past c (1), a past b and c (2), a past nothing (0); first ones never."""
    assert stack_distances(np.array([1, 2, 3, 2, 1, 1])).tolist() == [NEVER, NEVER, NEVER, 1, 2, 0]


@given(STREAMS)
def test_distances_are_depths_in_a_list_of_recent_keys(keys: list[int]):
    assert stack_distances(np.array(keys, dtype=np.uint64)).tolist() == naive_distances(keys)


@given(STREAMS)
def test_a_cache_of_any_capacity_hits_where_the_distance_is_below_it(keys: list[int]):
    distances = stack_distances(np.array(keys, dtype=np.uint64))
    for capacity in range(1, 14):
        assert (distances < capacity).tolist() == lru_hits(keys, capacity)


def test_many_accesses_are_counted_like_few():
    keys = (np.random.default_rng(7).zipf(1.3, 3000) % 400).tolist()
    assert stack_distances(np.array(keys)).tolist() == naive_distances(keys)


@given(st.permutations(range(9)) | st.permutations(range(16)) | st.permutations(range(1)))
def test_greater_elements_before_each_are_counted(order: list[int]):
    expected = [sum(earlier > value for earlier in order[:place]) for place, value in enumerate(order)]
    assert greater_before(np.array(order, dtype=np.int32)).tolist() == expected
