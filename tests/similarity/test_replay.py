"""The cache replay against hand-computed logs, a plain dictionary cache and the exact replay of the response cache."""

from dataclasses import replace as changed

import numpy as np
import pytest
from costplan.errors import UsageError
from costplan.levers import response_cache
from costplan.levers.stack import stack_distances
from costplan.similarity.graph import Graph
from costplan.similarity.replay import Events, Served, Setting, replay
from hypothesis import given, settings
from hypothesis import strategies as st

SECOND = 1_000_000
EXACT = 1.1


def graph_of(texts: int, pairs: dict[tuple[int, int], float], least: float = 0.8) -> Graph:
    """A symmetric graph of the pairs, rows nearest first, of equals the lower number."""
    rows: list[list[tuple[float, int]]] = [[] for _ in range(texts)]
    for (one, other), cosine in pairs.items():
        rows[one].append((-cosine, other))
        rows[other].append((-cosine, one))
    flat = [edge for row in rows for edge in sorted(row)]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    neighbour = np.array([other for _, other in flat], np.int32)
    return Graph(offsets, neighbour, np.array([-cosine for cosine, _ in flat], np.float32), least)


def log(*requests: tuple[float, int]) -> Events:
    """Requests as (second, text)."""
    return Events(
        np.array([text for _, text in requests], np.int32),
        np.array([int(second * SECOND) for second, _ in requests], np.int64),
    )


def play(events: Events, graph: Graph, setting: Setting, refused: set[tuple[int, int]] = frozenset()) -> list[int]:
    """Which event's answer each request is served."""
    return replay(events, graph, passing(graph, refused), setting).source.tolist()


def passing(graph: Graph, refused: set[tuple[int, int]] = frozenset()) -> np.ndarray:
    owner = np.repeat(np.arange(graph.texts), np.diff(graph.offsets))
    pairs = zip(owner.tolist(), graph.neighbour.tolist(), strict=True)
    return np.array([(a, b) not in refused and (b, a) not in refused for a, b in pairs], np.bool_)


def naive(events: Events, graph: Graph, passes: np.ndarray, setting: Setting) -> Served:
    """The same rules with dictionaries: text -> [event, since], in order of use."""
    held: dict[int, list[int]] = {}
    source, edge = [], []
    for event, (text, now) in enumerate(zip(events.text.tolist(), events.time_us.tolist(), strict=True)):

        def alive(key: int, now: int = now) -> bool:
            return key in held and now - held[key][1] <= setting.ttl_s * SECOND

        row = range(int(graph.offsets[text]), int(graph.offsets[text + 1]))
        ways = [
            (int(graph.neighbour[e]), e)
            for e in row
            if graph.cosine[e] >= np.float32(setting.threshold) and (passes[e] or not setting.guard)
        ]
        if setting.threshold > 1:
            ways = []
        found = next(((key, e) for key, e in [(text, -1), *ways] if alive(key)), None)
        if found is None:
            held.pop(text, None)
            held[text] = [event, now]
            source.append(-1)
            edge.append(-1)
            if setting.capacity is not None and len(held) > setting.capacity:
                del held[next(iter(held))]
        else:
            key, e = found
            entry = held[key] = held.pop(key)
            if setting.policy == "sliding":
                entry[1] = now
            source.append(entry[0])
            edge.append(e)
    return Served(np.array(source, np.int32), np.array(edge, np.int64))


def test_an_answer_lives_its_time_from_the_store_or_from_the_last_use():
    graph = graph_of(1, {})
    events = log((0, 0), (6, 0), (10, 0), (11, 0), (20, 0))
    assert play(events, graph, Setting(EXACT, ttl_s=10)) == [-1, 0, 0, -1, 3]
    assert play(events, graph, Setting(EXACT, ttl_s=10, policy="sliding")) == [-1, 0, 0, 0, 0]
    assert play(events, graph, Setting(EXACT, ttl_s=3)) == [-1, -1, -1, 2, -1]


def test_nothing_is_stored_on_a_hit_so_a_neighbour_of_the_served_text_may_miss():
    graph = graph_of(3, {(0, 1): 0.9, (1, 2): 0.9})  # 0 and 2 are no neighbours
    events = log((0, 0), (1, 1), (2, 2), (3, 1))
    served = replay(events, graph, passing(graph), Setting(0.9))
    assert served.source.tolist() == [-1, 0, -1, 0]  # 1 was served, so 2 finds nothing; then of equals the lower number
    assert served.edge.tolist() == [-1, 1, -1, 1]


def test_the_nearest_text_that_is_held_and_near_enough_serves():
    graph = graph_of(4, {(0, 3): 0.95, (1, 3): 0.9, (2, 3): 0.85})
    assert play(log((0, 1), (1, 2), (2, 3)), graph, Setting(0.8)) == [-1, -1, 0]
    assert play(log((0, 2), (1, 3)), graph, Setting(0.86)) == [-1, -1]
    assert play(log((0, 0), (5, 1), (12, 3)), graph, Setting(0.8, ttl_s=10)) == [-1, -1, 1]  # the nearest has expired


def test_the_own_answer_comes_before_an_equally_near_one():
    graph = graph_of(2, {(0, 1): 1.0})
    assert play(log((0, 0), (1, 1)), graph, Setting(1.0)) == [-1, 0]
    assert play(log((0, 0), (8, 1), (12, 1), (13, 0)), graph, Setting(1.0, ttl_s=10)) == [-1, 0, -1, 2]
    assert play(log((0, 0), (1, 1)), graph, Setting(EXACT)) == [-1, -1]


def test_a_cosine_that_equals_the_threshold_is_near_enough_whatever_its_bits():
    for threshold in (0.8, 0.9, 0.92, 0.95):
        assert play(log((0, 0), (1, 1)), graph_of(2, {(0, 1): threshold}), Setting(threshold)) == [-1, 0]


def test_what_the_guard_names_is_not_served_unless_it_is_off():
    graph = graph_of(3, {(0, 2): 0.95, (1, 2): 0.9})
    events = log((0, 0), (1, 1), (2, 2))
    assert play(events, graph, Setting(0.8), refused={(0, 2)}) == [-1, -1, 1]
    assert play(events, graph, Setting(0.8, guard=False), refused={(0, 2)}) == [-1, -1, 0]


def test_beyond_its_capacity_the_cache_drops_what_was_used_longest_ago():
    graph = graph_of(4, {(0, 3): 0.9})
    events = log((0, 0), (1, 1), (2, 0), (3, 2), (4, 1), (5, 0))
    assert play(events, graph, Setting(EXACT, capacity=2)) == [-1, -1, 0, -1, -1, -1]
    assert play(events, graph, Setting(EXACT, capacity=3)) == [-1, -1, 0, -1, 1, 0]
    # a hit by a neighbour touches the entry that served: 0 stays, 1 goes
    assert play(log((0, 0), (1, 1), (2, 3), (3, 2), (4, 0), (5, 1)), graph, Setting(0.9, capacity=2)) == [
        -1, -1, 0, -1, 0, -1,
    ]  # fmt: skip


def test_an_expired_answer_is_replaced_by_the_new_one_of_the_same_text():
    graph = graph_of(2, {})
    events = log((0, 0), (1, 1), (20, 0), (21, 0), (22, 1))
    assert play(events, graph, Setting(EXACT, ttl_s=10, capacity=2)) == [-1, -1, -1, 2, -1]


def test_no_requests_are_played_to_nothing():
    served = replay(log(), graph_of(0, {}), np.zeros(0, np.bool_), Setting(0.9))
    assert len(served.source) == len(served.edge) == 0


def test_an_answer_may_live_for_ever():
    assert play(log((0, 0), (4e12, 0)), graph_of(1, {}), Setting(EXACT, ttl_s=float("inf"))) == [-1, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 0.7}, "a threshold of 0.7 is below 0.8"),
        ({"capacity": 0}, "a cache of 0 entries"),
        ({"ttl_s": -1.0}, "a time to live of -1 s"),
        ({"ttl_s": float("nan")}, "a time to live of nan s"),
    ],
)
def test_a_setting_that_cannot_be_played_is_refused(change: dict[str, float], words: str):
    with pytest.raises(UsageError, match=words):
        play(log((0, 0)), graph_of(1, {}), changed(Setting(0.9), **change))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Events, Graph, set[tuple[int, int]], Setting]:
    texts = draw(st.integers(1, 7))
    every = [(a, b) for a in range(texts) for b in range(a)]
    cosine = st.sampled_from([0.8, 0.85, 0.9, 0.95, 1.0])
    pairs = draw(st.dictionaries(st.sampled_from(every), cosine)) if every else {}
    refused = draw(st.sets(st.sampled_from(every))) if every else set()
    steps = draw(st.lists(st.tuples(st.sampled_from([0, 0, 1, 2, 5]), st.integers(0, texts - 1)), max_size=40))
    seconds = np.cumsum([step for step, _ in steps]).tolist()
    setting = Setting(
        draw(st.sampled_from([0.8, 0.87, 0.9, 1.0, EXACT])),
        draw(st.sampled_from([0.0, 1.0, 4.0, 10.0, float("inf")])),
        draw(st.sampled_from(["store", "sliding"])),
        draw(st.sampled_from([None, 1, 2, 3, 6])),
        draw(st.booleans()),
    )
    return (
        log(*((at, text) for at, (_, text) in zip(seconds, steps, strict=True))),
        graph_of(texts, pairs),
        refused,
        setting,
    )


@settings(max_examples=400, deadline=None)
@given(cases())
def test_every_request_is_decided_as_by_a_plain_dictionary(case: tuple[Events, Graph, set[tuple[int, int]], Setting]):
    events, graph, refused, setting = case
    passes = passing(graph, refused)
    served, expected = replay(events, graph, passes, setting), naive(events, graph, passes, setting)
    assert served.source.tolist() == expected.source.tolist()
    assert served.edge.tolist() == expected.edge.tolist()


def zipf_log(requests: int, texts: int, seed: int = 1) -> Events:
    rng = np.random.default_rng(seed)
    weight = np.arange(1, texts + 1) ** -0.85
    text = rng.choice(texts, requests, p=weight / weight.sum()).astype(np.int32)
    return Events(text, np.sort(rng.integers(0, 86_400 * SECOND, requests)))


@pytest.mark.parametrize("policy", ["store", "sliding"])
@pytest.mark.parametrize(("ttl_s", "capacity"), [(3600, None), (60, None), (1e6, 50), (600, 100), (3600, 1)])
def test_without_neighbours_it_is_the_exact_response_cache(policy: str, ttl_s: float, capacity: int | None):
    events = zipf_log(20_000, 900)
    key = events.text.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    rule = response_cache.CacheSetting(ttl_s, policy, "global", capacity)
    distance = None if capacity is None else stack_distances(key)
    hit, _ = response_cache.replay(key, key, events.time_us, np.zeros_like(key), rule, distance)
    graph = graph_of(900, {})
    served = replay(events, graph, passing(graph), Setting(EXACT, ttl_s, policy, capacity))
    assert 0 < hit.sum() < len(hit)
    np.testing.assert_array_equal(served.source >= 0, hit)
    assert (events.text[served.source[hit]] == events.text[hit]).all()


def test_a_long_log_with_neighbours_is_decided_as_by_a_plain_dictionary():
    rng = np.random.default_rng(3)
    events, ends = zipf_log(20_000, 600), rng.integers(0, 600, (500, 2))
    pairs = {(max(a, b), min(a, b)): float(rng.uniform(0.8, 1)) for a, b in ends.tolist() if a != b}
    graph = graph_of(600, pairs)
    passes = rng.random(len(graph.neighbour)) < 0.8
    for setting in (
        Setting(0.85, 600, "store", 80),
        Setting(0.9, 3600, "sliding"),
        Setting(0.8, 1e6, "store", 200, False),
    ):
        served, expected = replay(events, graph, passes, setting), naive(events, graph, passes, setting)
        np.testing.assert_array_equal(served.source, expected.source)
        np.testing.assert_array_equal(served.edge, expected.edge)
        assert (served.edge >= 0).sum() > 500
