"""Likeness of answers by hand, the mixture on answers whose truth is known, the refusals, and the age of answers."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.answer_agreement import kept, run
from costplan.similarity.agreement import Disagreement, Freshness, Refusal, disagreeing, half_life, likeness
from hypothesis import given, settings
from hypothesis import strategies as st

KEPT = kept(Path(__file__).parent / "data" / "arena_hard" / "likeness.csv")
ONES = np.ones(200)


def one(a: str | None, b: str | None) -> float:
    return float(likeness([a], [b])[0])


# --- two answers ---


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Yes.", "yes", 1.0),
        ("Yes.", "No!", 0.0),
        ("1,250", "1250.0", 1.0),
        ("42", "43", 0.0),
        ('{"a": 1, "b": [2, 3]}', '{"b": [2, 3.0], "a": 1}', 1.0),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 1 / 3),  # a, b = 2, b = 3: one of three is common
        ('{"a": true}', '{"a": 1}', 0.0),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 1.0),
        ("{}", "{}", 1.0),
        ("[1, 2, 3, 4]", "[1, 2, 3]", 0.75),
        ("SELECT a\n  FROM t;", "SELECT a FROM t;", 1.0),
        ("SELECT a FROM t;", "SELECT b FROM t;", 0.0),
        ("```python\nx = 1\ny = 2\n```", "```python\nx  = 1\n\ny = 3\n```", 1 / 3),
        ("42", "yes", 0.0),
    ],
)
def test_answers_of_one_form_are_compared_by_it(a: str, b: str, expected: float):
    assert one(a, b) == pytest.approx(expected)
    assert one(b, a) == pytest.approx(expected)


def test_prose_is_compared_by_its_vectors():
    same, other = "Your card arrives in five working days.", "The capital of France is Paris."
    assert one(same, same) == pytest.approx(1)
    assert one(same, other) < one(same, "The card will arrive within five working days.") < 1


def test_an_english_sentence_that_begins_like_sql_is_prose():
    text = "Select the items you want from the list and press enter."
    assert 0 < one(text, "Choose the items you want and press enter.") < 1


def test_a_missing_answer_is_not_a_number():
    assert np.isnan(likeness([None, "", "  ", "a"], ["a", "b", "c", None])).all()


def test_an_answer_that_only_looks_like_json_is_prose():
    assert one("{not json} at all", "{not json} at all") == pytest.approx(1)
    deep = "[" * 100_000
    assert one(deep, "yes") <= 1


# --- the mixture ---


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_a_known_share_is_found_within_its_interval(share: float):
    """Real answers; 8 mixtures of 300 hits, 200 duplicates, 300 near misses."""
    runs = [run(KEPT, share, seed, "near control, wrong hits near") for seed in range(8)]
    told = [(each.found, each.truth) for each in runs if isinstance(each.found, Disagreement)]
    assert len(told) >= 7
    assert np.mean([found.value - truth for found, truth in told]) == pytest.approx(0, abs=0.025)
    assert np.mean([truth <= found.high for found, truth in told]) >= 0.9
    if share:  # near 0 the value and its lower bound come out up to a point too high: docs/decisions/014-agreement.md
        assert np.mean([found.low <= truth for found, truth in told]) >= 0.9
    assert all(found.separation > 0.95 and found.high - found.low < 0.25 for found, _ in told)


def test_controls_that_do_not_overlap_give_the_share_by_hand():
    """30 of 100 hits are as unlike as the negatives: 30 %, and the interval about that of a binomial, 21 to 39 %."""
    hits = np.array([0.1] * 30 + [0.9] * 70)
    found = disagreeing(hits, np.ones(100), np.full(200, 0.9), np.full(200, 0.1), 0)
    assert isinstance(found, Disagreement)
    assert found.value == pytest.approx(0.3, abs=2e-3)
    assert (found.low, found.high) == pytest.approx((0.21, 0.4), abs=0.02)


def test_no_unlike_answer_is_not_no_doubt():
    """Rule of three: none of 300 bounds the two-sided interval at 3.7 / 300."""
    found = disagreeing(np.full(300, 0.9), np.ones(300), np.full(200, 0.9), np.full(200, 0.1), 0)
    assert isinstance(found, Disagreement)
    assert (found.value, found.low) == (0, 0)
    assert 2.5 / 300 <= found.high <= 4.5 / 300


def test_a_pair_counts_as_often_as_it_is_served():
    """Unlike pairs have weight 3, alike ones 1: 30 x 3 of 30 x 3 + 70."""
    hits, weight = np.array([0.1] * 30 + [0.9] * 70), np.array([3.0] * 30 + [1.0] * 70)
    found = disagreeing(hits, weight, np.full(200, 0.9), np.full(200, 0.1), 0)
    assert isinstance(found, Disagreement) and found.value == pytest.approx(90 / 160, abs=2e-3)


def test_a_control_with_less_alike_wrong_pairs_than_the_hits_understates():
    """What the decision record warns of: random pairs as the negative control of hits that are wrong by little."""
    runs = [run(KEPT, 0.3, seed, "random control, wrong hits near") for seed in range(6)]
    told = [(each.found, each.truth) for each in runs if isinstance(each.found, Disagreement)]
    assert told and all(found.value < truth for found, truth in told)


@given(st.integers(0, 500), st.floats(0, 1), st.floats(0.5, 1_000))
@settings(max_examples=6, deadline=None)
def test_the_value_lies_in_its_interval_and_the_scale_of_weights_does_not_matter(seed: int, share: float, scale: float):
    rng = np.random.default_rng(seed)
    hits = np.where(rng.random(150) < share, rng.choice(KEPT.near, 150), rng.choice(KEPT.same, 150))
    weight = rng.integers(1, 9, 150).astype(float)
    found = disagreeing(hits, weight, KEPT.same, KEPT.near, seed)
    again = disagreeing(hits, weight * scale, KEPT.same, KEPT.near, seed)
    if isinstance(found, Disagreement) and isinstance(again, Disagreement):
        assert 0 <= found.low <= found.value <= found.high <= 1
        assert (again.value, again.low, again.high) == pytest.approx((found.value, found.low, found.high), abs=1e-3)


# --- refusals ---


def refusal(hits: np.ndarray, duplicates: np.ndarray, negatives: np.ndarray, weight: np.ndarray | None = None) -> str:
    found = disagreeing(hits, np.ones(len(hits)) if weight is None else weight, duplicates, negatives, 0)
    assert isinstance(found, Refusal)
    return found.reason


def test_too_few_controls_or_hits_are_refused():
    hits = KEPT.same[:200]
    assert "99 exact duplicates, 100 are needed" in refusal(hits, KEPT.same[:99], KEPT.near)
    assert "99 pairs that are no hits" in refusal(hits, KEPT.same, KEPT.near[:99])
    assert "20 hits, 50 are needed" in refusal(hits[:20], KEPT.same, KEPT.near)
    assert "0 exact duplicates" in refusal(hits, np.full(300, np.nan), KEPT.near)


def test_controls_that_do_not_separate_are_refused():
    assert "separation 0.50" in refusal(KEPT.same[:200], KEPT.near, KEPT.near)


def test_missing_answers_are_refused():
    hits = KEPT.same[:200].copy()
    hits[:40] = np.nan
    assert "for only 80% of the hits" in refusal(hits, KEPT.same, KEPT.near)
    weight = np.where(np.isnan(hits), 0.1, 1.0)  # the missing ones are 4 of 164 hits
    assert isinstance(disagreeing(hits, weight, KEPT.same, KEPT.near, 0), Disagreement)


def test_hits_that_are_no_mixture_of_the_controls_are_refused():
    """All halfway between: neither alike nor unlike."""
    hits = np.full(200, np.quantile(KEPT.near, 0.9))
    assert "no mixture" in refusal(hits, KEPT.same, KEPT.near)


# --- age ---


def test_answers_that_change_after_a_day_give_a_ttl_below_a_day():
    """400 pairs, 8 bins of 50 over two days: 0.9 alike in the first four, 0.5 in the last four."""
    age = np.linspace(1, 172_800, 400)
    alike = np.where(age <= 86_400, 0.9, 0.5) + np.resize([0.05, -0.05], 400)
    found = half_life(age, alike)
    assert isinstance(found, Freshness) and found.stale
    assert found.ttl_s == pytest.approx(86_400, rel=0.01)
    assert [each.pairs for each in found.bins] == [50] * 8
    assert [round(each.alike, 6) for each in found.bins] == [0.9] * 4 + [0.5] * 4


def test_answers_that_do_not_change_give_the_whole_span():
    found = half_life(np.linspace(1, 1_000, 400), np.full(400, 0.9))
    assert isinstance(found, Freshness) and not found.stale and found.ttl_s == 1_000


def test_too_few_duplicates_give_no_ttl():
    found = half_life(np.append(np.arange(99.0), 5), np.append(np.full(99, 0.9), np.nan))
    assert isinstance(found, Refusal) and "99 exact duplicates, 100 are needed" in found.reason


def test_a_decline_is_found_and_none_is_seldom_seen_where_there_is_none():
    rng = np.random.default_rng(2)
    age = rng.uniform(0, 1, 400)
    still = [half_life(age, rng.normal(0.85, 0.1, 400)) for _ in range(200)]
    falling = [half_life(age, rng.normal(0.85 - 0.2 * age, 0.1)) for _ in range(200)]
    assert np.mean([isinstance(each, Freshness) and each.stale for each in falling]) > 0.99
    assert (
        np.mean([isinstance(each, Freshness) and each.stale for each in still]) < 0.3
    )  # 7 tests at 5 %, not corrected
