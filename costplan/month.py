"""From a log's span to a month: which part of the span counts, and how wide the extrapolation is.

Month = 730 h. Days at the edge of the log are partial and dropped once three full days are left between them. The
interval treats days (or hours, in a short log) as the independent blocks; it knows nothing of growth or seasons.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.results import Basis, Estimate, exact, unknown
from costplan.units import HOURS_PER_MONTH, MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

MIN_FULL_DAYS = 3
WEEK_DAYS = 7
LEVEL = 0.95
UNIT = "USD/month"
EDGE_US = 600 * MICROS_PER_SECOND
"""A day counts as full when the log begins, or ends, within ten minutes of midnight (0.7 % of it)."""
_ONE_BLOCK = "all calls lie in one hour, which says nothing about others"
_HOUR_US = SECONDS_PER_HOUR * MICROS_PER_SECOND
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Month:
    """How hourly sums become monthly figures; linear, so that parts add up to their whole."""

    logs_per_month: float = 0.0
    """Months' worth of the whole log, for what has no time of its own; 0 = no monthly figure, `missing` says why."""
    missing: str = ""
    note: str = ""
    first_hour: int = 0
    last_hour: int = 0
    block_hours: int = 1
    n_blocks: int = 0
    """0: every month is `logs_per_month` logs; it spreads as the cost per call does between the blocks of `calls`."""
    blocks_per_month: float = 0.0
    widen: float = 1.0
    month_requests: float = 0.0
    calls: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
    """(hours, calls in them) of the log, where the volume of a month is stated."""

    def value(self, hours: NDArray[np.int64], sums: NDArray[Any]) -> float | None:
        """A month's worth of an hourly series, in its own unit. Hours below zero have no time (see `estimate`)."""
        if not self.logs_per_month:
            return None
        if not self.n_blocks:
            return float(sums.sum()) * self.logs_per_month
        untimed = float(sums[hours < 0].sum())
        return float(self._blocks(hours, sums).mean()) * self.blocks_per_month + untimed * self.logs_per_month

    def estimate(self, hours: NDArray[np.int64], sums: NDArray[Any], basis: Basis, note: str = "") -> Estimate:
        """USD a month of a series of nano-dollars by epoch hour; what stands at hours below zero has no time.

        Mean over blocks, two-sided Student t interval (df = blocks - 1), widened below a week of full days. Rows
        without a time are taken as spread evenly over the log.
        """
        value = self.value(hours, sums / NANOS_PER_USD)
        if value is None:
            return unknown(UNIT, self.missing)
        if not self.n_blocks:
            return self._stated(hours, sums / NANOS_PER_USD, value, basis, note)
        blocks = self._blocks(hours, sums / NANOS_PER_USD)
        half = _student(self.n_blocks - 1) * float(blocks.std(ddof=1)) / sqrt(self.n_blocks)
        timed, untimed = (abs(float(sums[where].sum())) for where in (hours >= 0, hours < 0))
        half *= self.blocks_per_month * self.widen * (1 + untimed / timed if timed else 1.0)
        low, high = value - half, value + half
        # what is not negative in any hour is not negative in a month, and the other way round
        low = max(low, 0.0) if (sums >= 0).all() else low
        high = min(high, 0.0) if (sums <= 0).all() else high
        return Estimate(value=value, low=low, high=high, level=LEVEL, unit=UNIT, basis=basis, note=note or self.note)

    def _stated(
        self, hours: NDArray[np.int64], usd: NDArray[np.float64], value: float, basis: Basis, note: str
    ) -> Estimate:
        """A month of a stated volume, which has no spread; what a call costs has one, between the days of the log.

        Ratio estimate (Cochran 1977, ch. 6): blocks with y_i USD and x_i calls, R = Σy / Σx; Student t interval of R
        from the residuals y_i - R x_i. Days are the blocks, or hours where calls lie on fewer than three days.
        """
        assumed: Basis = "assumed" if basis == "priced" else basis  # the volume is the user's word
        note = note or self.note
        if self.calls is None:
            return exact(value, UNIT, assumed, note)
        when, calls = (column[self.calls[0] >= 0] for column in self.calls)
        size, name = (24, "days") if len(np.unique(when // 24)) >= MIN_FULL_DAYS else (1, "hours")
        blocks, block = np.unique(when // size, return_inverse=True)
        timed = hours >= 0
        n = len(blocks)
        if n < 2:
            return exact(value, UNIT, assumed, f"{note}; no interval: {_ONE_BLOCK if n else 'the calls have no times'}")
        x = np.bincount(block, calls, n)
        y = np.bincount(np.searchsorted(blocks, hours[timed] // size), usd[timed], n)
        spread = sqrt(n / (n - 1) * float(((y - y.sum() / x.sum() * x) ** 2).sum())) / float(x.sum())
        known, rest = float(abs(usd[timed].sum())), float(abs(usd[~timed].sum()))
        half = _student(n - 1) * spread * self.month_requests * (1 + rest / known if known else 1.0)
        low = max(value - half, 0.0) if (usd >= 0).all() else value - half
        high = min(value + half, 0.0) if (usd <= 0).all() else value + half
        note += f"; interval: cost per request over {n} {name} of the log"
        return Estimate(value=value, low=low, high=high, level=LEVEL, unit=UNIT, basis=assumed, note=note)

    def _blocks(self, hours: NDArray[np.int64], sums: NDArray[Any]) -> NDArray[np.float64]:
        """Sum of the series in each block; the last one takes what is left of the hours that count."""
        kept = (hours >= self.first_hour) & (hours <= self.last_hour)
        block = np.minimum((hours - self.first_hour) // self.block_hours, self.n_blocks - 1)
        return np.bincount(block[kept], sums[kept], self.n_blocks).astype(np.float64)


def trusted(month: Month, hours: NDArray[np.int64], sums: NDArray[np.int64]) -> Month:
    """The month, or none where most of the cost lies outside the days that would make it (a log with holes)."""
    timed = int(sums[hours >= 0].sum())
    kept = int(sums[(hours >= month.first_hour) & (hours <= month.last_hour)].sum())
    if month.n_blocks and timed and kept < timed / 2:
        share = 1 - kept / timed
        return Month(missing=f"{share:.0%} of the cost lies in partial days at the log's edges")
    return month


def _student(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + LEVEL / 2))


def month_of(
    start_us: int | None,
    end_us: int | None,
    *,
    requests: float,
    month_requests: float | None = None,
    calls: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    partial: bool = False,
    mixed_clocks: bool = False,
) -> Month:
    """Which part of the log makes the month.

    `start_us`, `end_us` bound the log (None: no row has a time); `mixed_clocks`: some rows carry dates, others only
    offsets. `month_requests` replaces the extrapolation in time; `requests` are the calls that the log stands for,
    `calls` the same by hour.
    """
    if month_requests is not None:
        return Month(
            logs_per_month=month_requests / max(requests, 1), note=f"at {month_requests:,.0f} requests a month",
            month_requests=month_requests, calls=calls,
        )  # fmt: skip
    if partial:
        return Month(missing="a first look at part of the log gives no month: run without --head")
    if start_us is None or end_us is None:
        return Month(missing="no row carries a time: give --month-requests")
    if mixed_clocks:
        return Month(missing="some rows carry dates, others only offsets: give --month-requests")
    days = (end_us - start_us) / _DAY_US
    if days < 1:
        return Month(missing="the log spans less than 24 hours: give --month-requests")
    logs_per_month = HOURS_PER_MONTH / 24 / days
    first_day = -(-(start_us - EDGE_US) // _DAY_US)
    full_days = (end_us + EDGE_US) // _DAY_US - first_day
    if full_days >= MIN_FULL_DAYS:
        return Month(
            logs_per_month=logs_per_month, note=f"{full_days} full days; partial days at the edges dropped",
            first_hour=first_day * 24, last_hour=(first_day + full_days) * 24 - 1, block_hours=24, n_blocks=full_days,
            blocks_per_month=HOURS_PER_MONTH / 24, widen=sqrt(max(1.0, WEEK_DAYS / full_days)),
        )  # fmt: skip
    n_hours = round(days * 24)
    return Month(
        logs_per_month=logs_per_month, note=f"{days:.1f} days only: hours are the blocks, widened for missing weekdays",
        first_hour=start_us // _HOUR_US, last_hour=end_us // _HOUR_US, n_blocks=n_hours,
        blocks_per_month=n_hours * logs_per_month, widen=sqrt(max(1.0, WEEK_DAYS / days)),
    )  # fmt: skip
