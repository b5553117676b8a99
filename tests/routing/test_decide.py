"""What is known of quality against what may be lost: bounds by hand, the break-even gap, the choice among offers."""

from math import sqrt

import numpy as np
import pytest
from costplan.profiles.capabilities import Capability
from costplan.routing.candidates import Candidate
from costplan.routing.decide import (
    Offer,
    Quality,
    Score,
    break_even_gap,
    decide,
    gap_spread,
    half_width,
    labels_needed,
    paired_loss,
    unpaired_loss,
)
from hypothesis import given
from hypothesis import strategies as st


def offer(model: str, usd: float, now: float = 10.0, share: float = 1.0) -> Offer:
    candidate = Candidate(provider="openai", model=model, usd_per_mtok=1.0, capability=Capability())
    return Offer(candidate=candidate, share=share, now_usd=now, usd=usd, usd_low=0.8 * usd, usd_high=1.2 * usd)


SCORES = {
    ("*", "big"): Score(mean=0.90, n=1_000), ("*", "mid"): Score(mean=0.89, n=1_000),
    ("*", "small"): Score(mean=0.80, n=1_000), ("faq", "small"): Score(mean=0.90, n=2_000),
    ("faq", "big"): Score(mean=0.91, n=2_000),
}  # fmt: skip


@given(st.floats(0.001, 9), st.floats(0.1, 1), st.floats(0, 100))
def test_at_the_break_even_gap_a_good_answer_costs_the_same(usd: float, good: float, penalty: float) -> None:
    now = 10.0
    gap = break_even_gap(now, usd, penalty)
    cheap = good * (1 - gap)
    per_good = [(cost + penalty * (1 - q)) / q for cost, q in ((now, good), (usd, cheap))]
    assert per_good[0] == pytest.approx(per_good[1], rel=1e-6)
    assert break_even_gap(1, 2) == 0


def test_without_quality_the_cheapest_is_to_be_tested() -> None:
    found = decide("faq", "big", [offer("mid", 4), offer("small", 1)], None, max_loss=0.05)
    assert (found.offer, found.potential, found.verified) == (None, 1, False)
    assert found.break_even_gap == pytest.approx(0.9)
    assert found.note == "nothing says how good its answers are"


def test_the_cheapest_whose_loss_is_shown_to_be_small_is_taken() -> None:
    """At `faq` small loses 1 point; elsewhere 10, which is measured and too much; mid loses 1 +- 2.3."""
    quality = Quality(scores=SCORES)
    offers = [offer("mid", 4), offer("small", 1)]
    at_faq = decide("faq", "big", offers, quality, max_loss=0.05)
    assert (at_faq.offer, at_faq.potential, at_faq.verified) == (1, None, True)
    elsewhere = decide("other", "big", offers, quality, max_loss=0.05)
    assert (elsewhere.offer, elsewhere.verified) == (0, True)
    strict = decide("other", "big", offers, quality, max_loss=0.02)
    assert (strict.offer, strict.potential, strict.verified) == (None, 0, False)
    assert "loses 1.0 points, at most 3.3" in strict.note
    none = decide("other", "big", [offer("small", 1)], quality, max_loss=0.05)
    assert (none.offer, none.potential, none.split) == (None, None, 0) and "at most 12.6" in none.note


def test_an_offer_that_may_cost_more_is_no_offer() -> None:
    assert decide("faq", "big", [offer("mid", 9)], None, max_loss=0.05).potential is None
    assert decide("faq", "big", [], None, max_loss=0.05).note == "no cheaper model can take its requests"


def test_a_loss_that_was_measured_on_pairs_goes_before_scores() -> None:
    pairs = paired_loss(np.array([1.0] * 50), np.array([0.5] * 50), "faq")
    quality = Quality(scores=SCORES, losses={("faq", "big", "small"): pairs})
    assert quality.loss("faq", "big", "small") is pairs
    assert quality.loss("faq", "big", "unheard-of") is None
    assert quality.score("faq", "small") == SCORES["faq", "small"] and quality.score("x", "mid") is SCORES["*", "mid"]


def test_bounds_of_pairs_by_hand() -> None:
    """8 ties, one lost, one won, and the two that are added: mean 0, variance 4 / 11, n + 2 = 12."""
    strong, cheap = np.array([1.0] * 9 + [0]), np.array([1.0] * 8 + [0, 1])
    found = paired_loss(strong, cheap)
    assert found.value == 0 and found.spread == pytest.approx(sqrt(4 / 11))
    assert found.high == pytest.approx(1.6448536 * sqrt(4 / 11 / 12)) and found.low == -found.high


def test_the_upper_bound_of_pairs_is_below_the_truth_in_five_percent_of_samples() -> None:
    """All counts of wins and losses of 40 pairs, weighted by their chance (multinomial), at a true loss of 5 points."""
    from scipy.stats import multinomial

    missed = 0.0
    for lost in range(0, 25):
        for won in range(0, 12):
            chance = float(multinomial.pmf([lost, won, 40 - lost - won], 40, [0.15, 0.10, 0.75]))
            if chance > 1e-9:
                strong = np.array([1.0] * lost + [0.0] * won + [1.0] * (40 - lost - won))
                cheap = np.array([0.0] * lost + [1.0] * won + [1.0] * (40 - lost - won))
                missed += chance * (paired_loss(strong, cheap).high < 0.05)
    assert 0.005 < missed < 0.06


def test_bounds_of_separate_samples_by_hand() -> None:
    """n + 4 = 104 and 404; means (90 + 2) / 104 and (340 + 2) / 404."""
    found = unpaired_loss(Score(mean=0.9, n=100), Score(mean=0.85, n=400))
    first, second = 92 / 104, 342 / 404
    half = 1.6448536 * sqrt(first * (1 - first) / 100 + second * (1 - second) / 400)
    assert found.value == pytest.approx(0.05) and found.high - 0.05 == pytest.approx(half)
    assert unpaired_loss(Score(mean=1.0, n=10), Score(mean=1.0, n=10)).high > 0.1


def test_labels_needed_is_that_of_the_notes() -> None:
    """Of MMLU: sd .46; 100 labels give +-9 points, 400 +-4.5, about 2,050 +-2."""
    spread = gap_spread(0.178, 0.053)
    assert spread == pytest.approx(0.46, abs=0.005)
    assert [round(100 * half_width(spread, n), 1) for n in (100, 400, 2_050)] == [9.1, 4.5, 2.0]
    assert labels_needed(spread, 0.045) == pytest.approx(400, abs=10)
