"""The response cache against a dictionary with times in it."""

from collections import OrderedDict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from costplan.engine import split_by, write_batches
from costplan.levers.response_cache import CAPACITIES, CacheSetting, ResponseJob, by_capacity, replay, replay_bucket
from costplan.levers.stack import stack_distances
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000
Policy = Literal["store", "sliding"]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 6),  # normalised prompt
        st.integers(0, 2),  # spelling of it
        st.integers(0, 3),  # user
        st.sampled_from([0, 1, 30, 60, 61, 400]),  # seconds since the row before
    ),
    max_size=80,
)
POLICIES = st.sampled_from(["store", "sliding"])


def columns(rows: list[tuple[int, int, int, int]]) -> dict[str, Any]:
    norm, spelling, user, gap = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(4))
    return {  # spread over 64 bits, as hashes are
        "norm_key": (norm.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15),
        "exact_key": (norm * 10 + spelling).astype(np.uint64),
        "user": (user.astype(np.uint64) + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9),
        "time_us": np.cumsum(gap) * SECOND,
    }


def naive(rows: dict[str, Any], setting: CacheSetting) -> list[str]:
    """`exact`, `normalised` or `` per row; entries keep their place when they expire, until they fall out."""
    held: OrderedDict[tuple[int, ...], tuple[int, int]] = OrderedDict()
    found: list[str] = []
    for norm, exact, user, time in zip(*(rows[n].tolist() for n in rows), strict=True):
        key = (norm, user) if setting.scope == "user" else (norm,)
        entry = held.get(key)
        if entry is not None and time - entry[1] <= setting.ttl_s * SECOND:
            found.append("exact" if entry[0] == exact else "normalised")
            held[key] = (entry[0], time if setting.policy == "sliding" else entry[1])
        else:
            found.append("")
            held[key] = (exact, time)
        held.move_to_end(key)
        if setting.capacity is not None and len(held) > setting.capacity:
            held.popitem(last=False)
    return found


def replayed(rows: dict[str, Any], setting: CacheSetting, distance: Any = None) -> list[str]:
    hit, exact = replay(rows["norm_key"], rows["exact_key"], rows["time_us"], rows["user"], setting, distance)
    assert not (exact & ~hit).any()
    return ["exact" if e else "normalised" if h else "" for h, e in zip(hit.tolist(), exact.tolist(), strict=True)]


def test_an_hour_of_one_question_by_hand():
    """Asked at 0, 40, 80 and 170 minutes with one hour to live.

    Stored at 0: 40 hits, 80 does not (80 > 60) and stores, 170 does not (90 > 60).
    Sliding: 40 hits and renews, 80 hits (40 minutes after) and renews, 170 does not.
    """
    rows = columns([(0, 0, 0, 0), (0, 0, 0, 2400), (0, 0, 0, 2400), (0, 0, 0, 5400)])
    assert replayed(rows, CacheSetting(ttl_s=3600)) == ["", "exact", "", ""]
    assert replayed(rows, CacheSetting(ttl_s=3600, policy="sliding")) == ["", "exact", "exact", ""]


def test_an_answer_lives_up_to_and_including_its_last_instant():
    rows = columns([(0, 0, 0, 0), (0, 0, 0, 60), (1, 0, 0, 0), (1, 0, 0, 61)])
    assert replayed(rows, CacheSetting(ttl_s=60)) == ["", "exact", "", ""]


def test_a_hit_is_literal_when_the_stored_prompt_is_spelled_alike_not_the_last_asked():
    """The stored spelling is 0; the question is then asked as 1, 1 and 0."""
    rows = columns([(0, 0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1), (0, 0, 0, 1)])
    assert replayed(rows, CacheSetting()) == ["", "normalised", "normalised", "exact"]


@given(ROWS, POLICIES, st.sampled_from(["global", "user"]), st.sampled_from([0.5, 1, 60, 90, 1e6]))
def test_replay_equals_a_dictionary(rows: Any, policy: Policy, scope: Literal["global", "user"], ttl_s: float):
    setting = CacheSetting(ttl_s, policy, scope)
    assert replayed(columns(rows), setting) == naive(columns(rows), setting)


@given(ROWS, POLICIES, st.sampled_from([1, 60, 1e6]), st.integers(1, 8))
def test_replay_with_a_capacity_equals_an_lru_of_that_size(rows: Any, policy: Policy, ttl_s: float, capacity: int):
    table = columns(rows)
    setting = CacheSetting(ttl_s, policy, "global", capacity)
    assert replayed(table, setting, stack_distances(table["norm_key"])) == naive(table, setting)


@given(ROWS, POLICIES, st.sampled_from([1, 60, 400]))
def test_more_life_and_more_room_never_lose_a_hit_when_use_renews_it(rows: Any, policy: Policy, ttl_s: float):
    table = columns(rows)

    def hits(setting: CacheSetting) -> set[int]:
        distance = stack_distances(table["norm_key"])
        return {row for row, kind in enumerate(replayed(table, setting, distance)) if kind}

    sliding = hits(CacheSetting(ttl_s, "sliding"))
    assert hits(CacheSetting(ttl_s, "store")) <= sliding
    assert sliding <= hits(CacheSetting(2 * ttl_s, "sliding"))
    assert hits(CacheSetting(ttl_s, "sliding", "global", 2)) <= hits(CacheSetting(ttl_s, "sliding", "global", 3))


def bucket_file(folder: Path, rows: dict[str, Any], buckets: int = 2, **more: Any) -> list[Path]:
    n = len(rows["norm_key"])
    table = rows | {
        "gid": np.arange(n, dtype=np.int64), "site": np.ones(n, np.uint64), "cost": np.full(n, 1000, np.int64),
        "eligible": np.ones(n, np.bool_), "failed": np.zeros(n, np.bool_), **more,
    }  # fmt: skip
    path = folder / "response-000000.arrow"
    write_batches(path, split_by((table["norm_key"] % np.uint64(buckets)).astype(np.int64), buckets, table))
    return [path]


def many(n: int = 600) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    gaps = rng.integers(0, 200, n)
    return columns([*zip(rng.zipf(1.4, n) % 50, rng.integers(0, 2, n), rng.integers(0, 4, n), gaps, strict=True)])


def test_buckets_together_find_what_one_dictionary_finds(tmp_path: Path):
    rows = many()
    settings = (CacheSetting(600), CacheSetting(600, "sliding"), CacheSetting(3600, "store", "user"))
    files = bucket_file(tmp_path, rows, 5)
    parts = [replay_bucket(ResponseJob(bucket, files, settings)) for bucket in range(5)]
    found = naive(rows, settings[0])
    exact, normalised = (np.concatenate([getattr(p, f"{kind}_gid") for p in parts]) for kind in ("exact", "normalised"))
    assert sorted(exact.tolist()) == [row for row, kind in enumerate(found) if kind == "exact"]
    assert sorted(normalised.tolist()) == [row for row, kind in enumerate(found) if kind == "normalised"]
    hits = np.sum([part.hits for part in parts], axis=0)
    for index, setting in enumerate(settings):
        kinds = naive(rows, setting)
        exactly, n = kinds.count("exact"), sum(map(bool, kinds))
        assert hits[index].tolist() == [exactly, 1000 * exactly, n, 1000 * n]
    assert sum(part.eligible for part in parts) == 600
    assert sum(part.distinct for part in parts) == len(set(rows["norm_key"].tolist()))


@pytest.mark.parametrize("policy", ["store", "sliding"])
def test_hits_by_capacity_equal_an_lru_over_all_buckets(tmp_path: Path, monkeypatch: Any, policy: Policy):
    monkeypatch.setattr("costplan.levers.response_cache.CAPACITIES", (1, 5, 20, 1000))
    rows = many()
    points = by_capacity(bucket_file(tmp_path, rows, 3), 3, 600, policy, len(rows["norm_key"]))
    for point in points:
        kinds = naive(rows, CacheSetting(600, policy, "global", point["capacity"]))
        exactly, n = kinds.count("exact"), sum(map(bool, kinds))
        assert point["sums"] == [exactly, 1000 * exactly, n, 1000 * n]
    assert [point["capacity"] for point in points] == [1, 5, 20, 1000]
    assert len(CAPACITIES) == 4


def test_a_refused_request_stores_nothing_and_its_repetition_is_a_retry(tmp_path: Path):
    """The first is refused; the same user asks again a minute later (a retry), then after five minutes (a hit)."""
    rows = columns([(0, 0, 1, 0), (0, 0, 1, 60), (0, 0, 1, 300)])
    refused = np.array([True, False, False])
    files = bucket_file(tmp_path, rows, 1, failed=refused, eligible=~refused)
    part = replay_bucket(ResponseJob(0, files, (CacheSetting(),)))
    assert (part.exact_gid.tolist(), part.retries, part.eligible) == ([2], 1, 2)


def test_an_empty_bucket_has_no_hits(tmp_path: Path):
    files = bucket_file(tmp_path, columns([]), 2)
    part = replay_bucket(ResponseJob(1, files, (CacheSetting(), CacheSetting(60))))
    assert part.hits.tolist() == [[0] * 4] * 2 and part.eligible == 0
    assert by_capacity(files, 2, 60, "store", 0)[0]["sums"] == [0] * 4
