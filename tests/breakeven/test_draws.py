"""Sampling from stated ranges: seeded, within the range, and honest about draws that have no break-even."""

import numpy as np
import pytest
from costplan.breakeven.draws import drawn, one_at_a_time, point, reached
from costplan.tco.facts import Fact, given

FACTS = {
    "a": Fact(value=2, low=1, high=5, unit="USD", source="here"),
    "b": given(3, "USD", "--b"),
    "c": Fact(value=1, low=0, high=1, unit="USD", source="here"),
}


def test_draws_stay_within_the_range_and_repeat_with_the_seed():
    first, again = (drawn(FACTS, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first["a"], again["a"])
    assert np.asarray(first["a"]).min() >= 1 and np.asarray(first["a"]).max() <= 5
    assert first["b"] == 3 and point(FACTS) == {"a": 2, "b": 3, "c": 1}


def test_a_figure_that_every_draw_has():
    found = reached(50.0, np.arange(1.0, 101.0), "USD")
    assert (found.value, found.share_reached, found.level) == (50.0, 1.0, 0.95)
    assert found.low == pytest.approx(3, abs=1) and found.high == pytest.approx(98, abs=1)


@pytest.mark.parametrize(("missing", "has_high"), [(2, True), (3, False)])
def test_the_upper_end_is_unknown_when_more_than_2_5_percent_have_none(missing: int, has_high: bool):
    draws = np.arange(1.0, 101.0)
    draws[:missing] = np.nan
    found = reached(50.0, draws, "USD")
    assert (found.high is not None) is has_high
    assert found.share_reached == 1 - missing / 100


def test_none_has_a_reason_and_no_value():
    found = reached(float("nan"), np.full(10, np.nan), "USD", note="too dear")
    assert (found.value, found.low, found.high, found.share_reached, found.note) == (None, None, None, 0.0, "too dear")


def test_one_figure_moves_at_a_time():
    rows = one_at_a_time(FACTS, lambda values: (float(values["a"]) * 10 + float(values["c"]), 0.0))
    assert rows == [("a", (11.0, 0.0), (51.0, 0.0)), ("c", (20.0, 0.0), (21.0, 0.0))]
