"""Growth of a daily cost: closed forms, another program's regression, and how often the interval holds the truth."""

import numpy as np
import pytest
from costplan.daily.growth import MIN_DAYS, growth_of
from costplan.units import HOURS_PER_MONTH
from scipy.stats import linregress, t


def test_an_exact_exponential_gives_its_own_growth():
    found = growth_of(100 * 1.01 ** np.arange(20))
    assert found.value == pytest.approx(1.01 ** (HOURS_PER_MONTH / 24) - 1)
    assert found.low == pytest.approx(found.value) and found.high == pytest.approx(found.value)


def test_weekends_are_no_growth():
    days = np.arange(28)
    found = growth_of(np.where(days % 7 > 4, 40.0, 100.0) * 1.02**days)
    assert found.value == pytest.approx(1.02 ** (HOURS_PER_MONTH / 24) - 1)


def test_without_weekdays_it_is_scipys_regression():
    rng = np.random.default_rng(5)
    usd = np.exp(0.01 * np.arange(18) + rng.normal(0, 0.2, 18))
    fit = linregress(np.arange(18), np.log(usd))
    half = t.ppf(0.975, 16) * fit.stderr
    found = growth_of(usd)
    ends = [np.exp(slope * HOURS_PER_MONTH / 24) - 1 for slope in (fit.slope, fit.slope - half, fit.slope + half)]
    assert (found.value, found.low, found.high) == pytest.approx(tuple(ends))


def test_the_interval_holds_the_truth_in_19_of_20_series():
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        found = growth_of(np.exp(0.005 * np.arange(30) + rng.normal(0, 0.3, 30)))
        truth = np.exp(0.005 * HOURS_PER_MONTH / 24) - 1
        held += (found.low or 0) <= truth <= (found.high or 0)
    assert 0.92 <= held / 400 <= 0.98


def test_too_few_days_and_days_without_cost_make_no_growth():
    assert growth_of(np.ones(MIN_DAYS - 1)).value is None
    assert growth_of(np.where(np.arange(20) % 3, 1.0, 0.0)).note == "7 of 20 days cost nothing: no growth in per cent"
