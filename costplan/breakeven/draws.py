"""Ranges and sensitivities: every uncertain figure drawn from its stated range, together and one at a time."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from costplan.results import Basis
from costplan.results.breakeven import Reached
from costplan.tco.bill import Number
from costplan.tco.facts import Fact

Array = NDArray[np.float64]
DRAWS = 2000
LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2


def point(facts: Mapping[str, Fact]) -> dict[str, Number]:
    """Every figure at its stated value."""
    return {name: fact.value for name, fact in facts.items()}


def drawn(facts: Mapping[str, Fact], rng: np.random.Generator, draws: int = DRAWS) -> dict[str, Number]:
    """One array per uncertain figure: triangular between low and high with its mode at the value; the order of names
    fixes which random numbers a figure gets."""
    found: dict[str, Number] = {}
    for name in sorted(facts):
        each = facts[name]
        if each.low < each.high:
            found[name] = rng.triangular(each.low, each.value, each.high, draws)
        else:
            found[name] = each.value
    return found


def reached(value: float, draws: Array, unit: str, *, basis: Basis = "simulated", note: str = "") -> Reached:
    """A figure that not every draw has (nan): its value, the range of 95 % of all draws, and the share that has it.

    Draws without the figure count as beyond the upper end, so `high` is null when more than 2.5 % have none.
    """
    known = ~np.isnan(draws)
    ends = [
        float(np.quantile(np.where(known, draws, np.inf), q, method="inverted_cdf")) for q in (_TAIL, 1 - _TAIL)
    ]  # fmt: skip
    low, high = (end if np.isfinite(end) else None for end in ends)
    missing = bool(np.isnan(value))
    if not missing:
        low = min(value, low) if low is not None else value
        high = max(value, high) if high is not None else None
    return Reached(
        value=None if missing else float(value), low=low, high=high, level=LEVEL, unit=unit, basis=basis, note=note,
        share_reached=float(known.mean()),
    )  # fmt: skip


def one_at_a_time(
    facts: Mapping[str, Fact], run: Callable[[dict[str, Number]], tuple[float, float]]
) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
    """(name, outcome at its low end, outcome at its high end) of every uncertain figure, others at their value."""
    base = point(facts)
    return [
        (name, run(base | {name: fact.low}), run(base | {name: fact.high}))
        for name, fact in sorted(facts.items())
        if fact.low < fact.high
    ]
