"""What an accepted answer costs, by hand."""

import numpy as np
import pytest
from costplan.levers.accepted import accepted_of
from costplan.levers.routing import PAIR_COLUMNS, Traffic
from costplan.routing.decide import Quality, Score

SITES, MODELS = {1: "search", 2: "chat"}, {0: "small", 1: "large"}


def traffic(*rows: tuple[int, int, int, int]) -> Traffic:
    """Rows of (site, price key, requests, nano-dollars)."""
    sums = np.zeros((len(rows), len(PAIR_COLUMNS)), np.int64)
    sums[:, :2] = [row[2:] for row in rows]
    site, key = (np.array([row[at] for row in rows]) for at in (0, 1))
    return Traffic(site=site.astype(np.uint64), price_key=key.astype(np.int32), sums=sums)


def test_spend_with_failed_calls_over_accepted_answers() -> None:
    """1,000 answers at 0.8 and 1,000 at 0.5 are 1,300; $2 + $1, and $0.60 of failed calls: $3.60 / 1.3."""
    quality = Quality(scores={("search", "small"): Score(mean=0.8, n=400), ("*", "large"): Score(mean=0.5, n=100)})
    seen = traffic((1, 0, 1000, 2_000_000_000), (2, 1, 1000, 1_000_000_000))
    found = accepted_of(seen, SITES, MODELS, quality, 3_600_000_000)
    assert found.value == pytest.approx(3.6 / 1.3)
    # 1000 x 0.4 / 20 and 1000 x 0.5 / 10
    spread = 1.959964 * (20**2 + 50**2) ** 0.5
    assert (found.low, found.high) == pytest.approx((3600 / (1300 + spread), 3600 / (1300 - spread)))


def test_answers_without_a_score_are_left_out_with_what_they_cost() -> None:
    quality = Quality(scores={("search", "small"): Score(mean=0.5, n=100)})
    seen = traffic((1, 0, 1000, 2_000_000_000), (2, 1, 3000, 6_000_000_000))
    found = accepted_of(seen, SITES, MODELS, quality, 8_000_000_000)
    assert found.value == pytest.approx(2 / 0.5)
    assert "25% of the requests" in found.note


def test_without_any_score_nothing_is_said() -> None:
    assert accepted_of(traffic((1, 0, 10, 10)), SITES, MODELS, Quality(), 10).value is None
