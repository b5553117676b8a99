"""A number with its basis and range; knows no document."""

from typing import Literal

import msgspec

Basis = Literal["reported", "priced", "measured", "simulated", "estimated", "assumed"]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A number that says where it comes from and how wide it is.

    `level` is 0.95 for a two-sided sampling interval and None for a stated plausible range, which is never called a
    confidence interval. Exact figures have low = value = high. `value` None means unknown; `note` says what is missing.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float | None = None
    unit: str
    basis: Basis
    note: str = ""


def exact(value: float, unit: str, basis: Basis, note: str = "") -> Estimate:
    """An Estimate without spread, e.g. a sum of priced rows."""
    return Estimate(value=value, low=value, high=value, unit=unit, basis=basis, note=note)


def unknown(unit: str, note: str) -> Estimate:
    """An Estimate that is not known; `note` says what it would take to know it."""
    return Estimate(value=None, low=None, high=None, unit=unit, basis="assumed", note=note)
