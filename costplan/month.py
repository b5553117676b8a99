"""From a log's span to a month: which part of the span counts, and how wide the extrapolation is.

Month = 730 h. Days at the edge of the log are partial and dropped once three full days are left between them. The
interval treats days (or hours, in a short log) as the independent blocks; it knows nothing of growth or seasons.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from costplan.results import Basis, Estimate, exact, unknown
from costplan.units import HOURS_PER_MONTH, MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY

MIN_FULL_DAYS = 3
WEEK_DAYS = 7
LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Month:
    """How hourly sums become monthly figures."""

    blocks: NDArray[np.int64]
    """By hour of the log: the block it belongs to, -1 = dropped."""
    n_blocks: int
    blocks_per_month: float
    """0 where no monthly figure can be given; `missing` says why."""
    widen: float
    missing: str
    note: str

    def sums(self, by_hour: NDArray[np.int64]) -> NDArray[np.float64]:
        """USD by block of an hourly series (nano-dollars)."""
        kept = self.blocks >= 0
        return np.bincount(self.blocks[kept], weights=by_hour[kept], minlength=self.n_blocks) / NANOS_PER_USD

    def estimate(self, by_hour: NDArray[np.int64], total: int, basis: Basis, note: str = "") -> Estimate:
        """USD a month. `total` is the whole series' sum, rows without a time included; they scale the rest up.

        Mean over blocks, two-sided Student t interval (df = blocks - 1), widened below a week of full days.
        """
        if not self.blocks_per_month:
            return unknown("USD/month", self.missing)
        timed = int(by_hour.sum())
        scale = self.blocks_per_month * (total / timed if timed else 1.0)
        if self.n_blocks == 0:  # --month-requests: `blocks_per_month` months of this log
            return exact(total / NANOS_PER_USD * self.blocks_per_month, "USD/month", basis, note or self.note)
        sums = self.sums(by_hour)
        value = float(sums.mean()) * scale
        if self.n_blocks < 2:
            return Estimate(
                value=value, low=0.0, high=2 * value, unit="USD/month", basis="assumed", note="one block only"
            )
        half = _student(self.n_blocks - 1) * float(sums.std(ddof=1)) / sqrt(self.n_blocks) * scale * self.widen
        low, high = sorted((value - half, value + half))
        if value >= 0:
            low = max(low, 0.0)
        return Estimate(
            value=value, low=low, high=high, level=LEVEL, unit="USD/month", basis=basis, note=note or self.note
        )


def _student(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + LEVEL / 2))


def month_of(
    hours: NDArray[np.int64],
    *,
    start_us: int | None,
    end_us: int | None,
    requests: int,
    month_requests: float | None,
    partial: bool,
) -> Month:
    """Decide which hours (epoch hours, sorted) make the month.

    `start_us`, `end_us` bound the log (None: no row has a time). `month_requests` replaces the extrapolation in time.
    """
    none = np.full(len(hours), -1, dtype=np.int64)
    if month_requests is not None:
        return Month(none, 0, month_requests / max(requests, 1), 1.0, "", f"at {month_requests:,.0f} requests a month")
    if partial:
        return Month(none, 0, 0.0, 1.0, "a first look at part of the log gives no month: run without --head", "")
    if start_us is None or end_us is None:
        return Month(none, 0, 0.0, 1.0, "no row carries a time: give --month-requests", "")
    days = (end_us - start_us) / (SECONDS_PER_DAY * MICROS_PER_SECOND)
    if days < 1:
        return Month(none, 0, 0.0, 1.0, "the log spans less than 24 hours: give --month-requests", "")
    first_day, last_day = (us // (SECONDS_PER_DAY * MICROS_PER_SECOND) for us in (start_us, end_us))
    full_days = int(last_day - first_day - 1)
    day = hours // 24
    if full_days >= MIN_FULL_DAYS:
        blocks = np.where((day > first_day) & (day < last_day), day - first_day - 1, -1)
        widen = sqrt(max(1.0, WEEK_DAYS / full_days))
        note = f"{full_days} full days; partial days at the edges dropped"
        return Month(blocks, full_days, HOURS_PER_MONTH / 24, widen, "", note)
    n_hours = max(2, round(days * 24))
    blocks = np.clip(hours - start_us // (3600 * MICROS_PER_SECOND), 0, n_hours - 1)
    blocks = np.where(hours >= 0, blocks, -1)
    note = f"{days:.1f} days only: hours are the blocks, widened for the missing weekdays"
    return Month(blocks, n_hours, HOURS_PER_MONTH * n_hours / (days * 24), sqrt(WEEK_DAYS / days), "", note)
