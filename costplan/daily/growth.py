"""How fast the daily cost grows, from a straight line through its logarithm; it knows no season but the week."""

from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

from costplan.month import LEVEL
from costplan.results import Estimate, unknown
from costplan.units import HOURS_PER_MONTH

MIN_DAYS = 14
WEEKDAYS_FROM = 21
UNIT = "share/month"


def growth_of(usd: NDArray[np.float64]) -> Estimate:
    """Growth in a month of 730 h (0.1: a tenth more) of a series with one amount a day.

    Ordinary least squares of ln(usd) on the day, with one level for each weekday from WEEKDAYS_FROM days on:
    exp(slope * 730 / 24) - 1, the ends from the slope's two-sided Student t interval (Draper & Smith 1998, ch. 1).
    Days are taken as independent, so that a run of like days makes the interval too narrow.
    """
    days = len(usd)
    if days < MIN_DAYS:
        return unknown(UNIT, f"growth needs {MIN_DAYS} full days, the export has {days}")
    kept = np.flatnonzero(usd > 0)
    if len(kept) < 0.9 * days:
        return unknown(UNIT, f"{days - len(kept)} of {days} days cost nothing: no growth in per cent")
    weekly = days >= WEEKDAYS_FROM
    level = np.eye(7)[kept % 7] if weekly else np.ones((len(kept), 1))
    design = np.column_stack([kept - kept.mean(), level])
    found, _, rank, _ = np.linalg.lstsq(design, np.log(usd[kept]), rcond=None)
    residuals = np.log(usd[kept]) - design @ found
    degrees = len(kept) - int(rank)
    error = sqrt(float(residuals @ residuals) / degrees * float(np.linalg.pinv(design.T @ design)[0, 0]))
    from scipy.special import stdtrit

    half = float(stdtrit(degrees, 0.5 + LEVEL / 2)) * error
    value, low, high = (_a_month(float(found[0]) + step) for step in (0.0, -half, half))
    note = f"straight line through the logarithm of {len(kept)} days' cost{', by weekday' if weekly else ''}"
    return Estimate(value=value, low=low, high=high, level=LEVEL, unit=UNIT, basis="estimated", note=note)


def _a_month(slope_day: float) -> float:
    """Bounded where the exponential would overflow."""
    return exp(min(slope_day * HOURS_PER_MONTH / 24, 700.0)) - 1
