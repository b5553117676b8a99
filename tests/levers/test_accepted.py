"""What an accepted answer costs, by hand."""

from pathlib import Path

import numpy as np
import pytest
from costplan.levers.accepted import accepted_of, today_of
from costplan.levers.routing import PAIR_COLUMNS, Traffic
from costplan.routing.decide import Quality, Score
from tests.levers.logs import analyzed, call

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
    found = today_of(accepted_of(seen, SITES, MODELS, quality, 3_600_000_000))
    assert found.value == pytest.approx(3.6 / 1.3)
    # 1000 x 0.4 / 20 and 1000 x 0.5 / 10
    spread = 1.959964 * (20**2 + 50**2) ** 0.5
    assert (found.low, found.high) == pytest.approx((3600 / (1300 + spread), 3600 / (1300 - spread)))


def test_answers_without_a_score_are_left_out_with_what_they_cost() -> None:
    quality = Quality(scores={("search", "small"): Score(mean=0.5, n=100)})
    seen = traffic((1, 0, 1000, 2_000_000_000), (2, 1, 3000, 6_000_000_000))
    found = today_of(accepted_of(seen, SITES, MODELS, quality, 8_000_000_000))
    assert found.value == pytest.approx(2 / 0.5)
    assert "25% of requests" in found.note


def test_without_any_score_nothing_is_said() -> None:
    assert today_of(accepted_of(traffic((1, 0, 10, 10)), SITES, MODELS, Quality(), 10)).value is None


def test_judging_and_bad_answers_are_paid_by_the_accepted_ones() -> None:
    """$4 of spend, 1,000 answers judged at $0.002 and 200 bad ones at $0.05: $4 + $2 + $10 over 800."""
    seen, quality = traffic((1, 0, 1000, 4_000_000_000)), Quality(scores={("*", "small"): Score(mean=0.8, n=400)})
    found = today_of(accepted_of(seen, SITES, MODELS, quality, 4_000_000_000, penalty_usd=0.05, judging_usd=0.002))
    assert found.value == pytest.approx(16 / 0.8)
    # 0.8 +- 1.96 x 0.02: 839 accepted and 161 bad, or 761 and 239
    assert found.low == pytest.approx((4 + 2 + 8.04) / 0.8392, rel=1e-3)
    assert found.high == pytest.approx((4 + 2 + 11.96) / 0.7608, rel=1e-3)


def test_after_the_ladder_routed_answers_have_the_score_of_the_model_that_gives_them(tmp_path: Path) -> None:
    """100 calls to gpt-4o with a score of 0.9; gpt-4o-mini, verified at 0.89, takes them."""
    quality = tmp_path / "quality.csv"
    quality.write_text("model,score,n\ngpt-4o,0.9,90000\ngpt-4o-mini,0.89,90000\n", "utf-8")
    log = [call(at, f"Question {at}?", model="gpt-4o", tokens=(2000, 80)) for at in range(100)]
    plan = analyzed(tmp_path, log, quality=quality, output_ratio=(1.0, 1.0, 1.0), month_requests=100).plan
    today, after = plan.unit_economics.per_1k_accepted, plan.after.defensible
    assert today is not None and after.per_1k_accepted is not None and after.saving_share is not None
    assert today.value is not None and after.levers == ["routing_verified"]
    assert after.per_1k_accepted.value == pytest.approx(today.value * (1 - after.saving_share) * 0.9 / 0.89)
    assert after.per_1k_accepted.basis == "estimated"
