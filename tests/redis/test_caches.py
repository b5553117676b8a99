"""Request by request, the replay decides as GPTCache and Redis do."""

from pathlib import Path

import numpy as np
import pytest
from costplan.similarity.replay import Setting
from tests.redis.conftest import REQUESTS, Log, play

ALIKE = 0.999
FOR_EVER = float("inf")


def compare(found: np.ndarray, expected: np.ndarray) -> None:
    """At least 999 of 1,000 requests alike: a hit or a miss, and whose answer."""
    assert len(found) == len(expected) == REQUESTS
    different = np.flatnonzero(found != expected)
    shown = [(int(at), int(found[at]), int(expected[at])) for at in different[:5]]
    print(f"{REQUESTS - len(different)} of {REQUESTS} alike, {np.mean(expected >= 0):.1%} hits")
    assert len(different) <= (1 - ALIKE) * REQUESTS, f"(request, cache, replay): {shown}"


@pytest.mark.parametrize("threshold", [0.75, 0.9])
def test_gptcache_serves_the_same_answers_from_the_same_vectors(log: Log, threshold: float, tmp_path: Path):
    expected = log.sources(Setting(threshold, FOR_EVER))
    exact = log.sources(Setting(1.1, FOR_EVER))
    assert ((expected >= 0) & (exact < 0)).sum() > 100  # served by another question's answer
    compare(play("play_gptcache.py", log, tmp_path, threshold=threshold), expected)


@pytest.mark.parametrize("capacity", [50, 500])
def test_gptcache_with_little_room_drops_the_same_answers(log: Log, capacity: int, tmp_path: Path):
    expected = log.sources(Setting(1.1, FOR_EVER, capacity=capacity))
    assert (expected >= 0).sum() < 0.9 * (log.sources(Setting(1.1, FOR_EVER)) >= 0).sum()
    compare(play("play_gptcache.py", log, tmp_path, capacity=capacity), expected)


@pytest.mark.parametrize("policy", ["store", "sliding"])
@pytest.mark.parametrize("ttl_s", [600, 7_200])
def test_redis_keeps_the_same_answers_as_long(log: Log, ttl_s: int, policy: str, tmp_path: Path):
    expected = log.sources(Setting(1.1, ttl_s, policy))
    assert (expected >= 0).sum() < 0.9 * (log.sources(Setting(1.1, FOR_EVER)) >= 0).sum()
    compare(play("play_redis.py", log, tmp_path, ttl_s=ttl_s, policy=policy), expected)


def test_redis_too_serves_an_answer_at_the_very_millisecond_of_its_end_and_no_later(log: Log, tmp_path: Path):
    again = int(np.flatnonzero(log.events.text == log.events.text[0])[1])
    life_s = float(log.events.time_us[again] - log.events.time_us[0]) / 1e6
    for ttl_s, source in ((life_s, 0), (life_s - 0.001, -1)):
        expected = log.sources(Setting(1.1, ttl_s))
        found = play("play_redis.py", log, tmp_path, ttl_s=ttl_s, policy="store")
        assert found[again] == expected[again] == source
        compare(found, expected)
        (tmp_path / "socket").unlink(missing_ok=True)
