"""Arrivals and draws: sequences that may never change, hours that get their share, bursts that are bursts."""

from collections import Counter
from datetime import date
from statistics import mean, pstdev

import pytest
from costplan.generate import draws
from costplan.generate.arrivals import rates, starts_ms
from costplan.generate.held import Held
from costplan.scenario.spec import LogSpec

STREAM, LOGNORMAL = [270, 405, 46, 941, 716], [328, 441, 394]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_a_stream_is_the_same_for_ever() -> None:
    """Values written down once: another machine or Python must draw the same."""
    rng = draws.stream(7, "a", 1)
    assert [draws.below(rng, 1000) for _ in range(5)] == STREAM
    assert [draws.lognormal(rng, 500, 0.5) for _ in range(3)] == LOGNORMAL
    assert draws.stream(7, "a", 2).random() != draws.stream(7, "a", 1).random()


def spread(sample: list[int]) -> tuple[float, float]:
    return mean(sample), pstdev(sample) / mean(sample)


def test_draws_have_their_means_and_spreads() -> None:
    """Four standard errors of 20,000 draws."""
    rng = draws.stream(1, "moments")
    n = 20_000
    for found, (centre, cv) in (
        ([draws.exponential(rng, 1e6) for _ in range(n)], (1e6, 1.0)),
        ([draws.lognormal(rng, 1e6, 0.5) for _ in range(n)], (1e6, 0.5)),
        ([draws.gamma(rng, 0.25, 1e6) for _ in range(n)], (1e6, 2.0)),
        ([draws.gamma(rng, 4.0, 1e6) for _ in range(n)], (1e6, 0.5)),
        ([draws.geometric(rng, 5.0) for _ in range(n)], (5.0, 0.8**0.5)),
        ([draws.often(rng, 2.3) for _ in range(n)], (2.3, 0.21**0.5 / 2.3)),
    ):
        middle, width = spread(found)
        assert abs(middle / centre - 1) < 4 * cv / n**0.5
        assert abs(width / cv - 1) < 0.1


def test_users_follow_zipf_s_law() -> None:
    """With exponent 1 and n users the first has a share of ln 2 / ln (n + 1) by the continuous law."""
    rng = draws.stream(2, "users")
    ranks = Counter(draws.zipf(rng, 1000, 1.0) for _ in range(20_000))
    assert abs(ranks[0] / 20_000 - 0.6931 / 6.9088) < 0.01
    assert min(ranks) == 0 and max(ranks) <= 999
    flat = Counter(draws.zipf(rng, 10, 0.0) for _ in range(10_000))
    assert max(flat.values()) / min(flat.values()) < 1.3


def test_every_hour_gets_its_share_and_the_weekend_less() -> None:
    log = LogSpec(start=date(2026, 10, 5), days=14, hours=(0,) * 8 + (1,) * 4 + (3,) * 4 + (1,) * 8, weekend=0.25)
    starts = list(starts_ms(log, 20_000, seed=1))
    assert starts == sorted(starts) and len(starts) == 20_000 and starts[-1] < 14 * DAY_MS
    hours = Counter(start % DAY_MS // HOUR_MS for start in starts)
    assert not any(hours[hour] for hour in range(8))
    assert hours[13] / hours[9] == pytest.approx(3, rel=0.15)
    days = Counter(start // DAY_MS for start in starts)
    assert sum(days[day] for day in (5, 6, 12, 13)) / sum(days.values()) == pytest.approx(4 / 4 / (4 / 4 + 10), rel=0.1)
    assert len(rates(log)) == 14 * 24


def test_bursts_spread_the_gaps() -> None:
    flat = {"hours": (1,) * 24, "days": 10}
    for cv in (0.5, 1.0, 2.0):
        starts = list(starts_ms(LogSpec(**flat, burst_cv=cv), 5_000, seed=2))
        gaps = [b - a for a, b in zip(starts, starts[1:], strict=False)]
        assert pstdev(gaps) / mean(gaps) == pytest.approx(cv, rel=0.12)


def test_a_key_is_held_for_its_life_from_storing_or_from_its_last_use() -> None:
    stored, refreshed = Held(100, refreshed=False), Held(100, refreshed=True)
    times = (0, 60, 120, 200, 301)
    assert [stored.ask("a", time) for time in times] == [False, True, False, True, False]
    assert [refreshed.ask("a", time) for time in times] == [False, True, True, True, False]
    assert not stored.has("b", 400) and not stored.has("a", 402)
