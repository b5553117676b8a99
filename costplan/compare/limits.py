"""Limits of --fail-if: `cost.month>+5%`, `saving<10%`, `ttft.p95>1.5s`; where the figures come from is not known."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from costplan.errors import UsageError
from costplan.results.compare import Figure, Limit

_TERM = re.compile(r"\s*([a-z][a-z0-9_.]*)\s*(>=|<=|>|<)\s*([+-]?)\$?(\d+(?:\.\d+)?(?:e-?\d+)?)\s*(%|ms|s|)\s*")
_HINT = 'limits are like "cost.month>+5%" (change), "cost.month>+100" (change in USD) or "ttft.p95>1.5s" (value of B)'


def limits_of(texts: Sequence[str], figures: Sequence[Figure]) -> list[Limit]:
    """Each limit held against the figures. One that is not known breaks its limit.

    A sign makes a limit one of the change from A to B, in percent of A or in the figure's own unit; without one it is
    about B. Raises UsageError with the nearest name.
    """
    by_name = {figure.name: figure for figure in figures}
    return [_limit(text, by_name) for joined in texts for text in joined.split(",")]


def _limit(text: str, figures: Mapping[str, Figure]) -> Limit:
    found = _TERM.fullmatch(text)
    if found is None:
        raise UsageError(f"--fail-if {text.strip()[:60]!r} is no limit", hint=_HINT)
    name, comparison, sign, digits, unit = found.groups()
    figure = figures.get(name)
    if figure is None:
        near = get_close_matches(name, figures, 3, 0.4) or list(figures)
        raise UsageError(f"--fail-if: no figure {name!r} in these documents", hint=f"one of {', '.join(near)}")
    if unit in ("s", "ms") and figure.unit != "s":
        raise UsageError(f"--fail-if: {name} is in {figure.unit}, not in seconds", hint=_HINT)
    bound = float(f"{sign}{digits}") * {"%": 0.01, "ms": 0.001}.get(unit, 1.0)
    if unit == "%" and not sign and figure.unit != "share":
        raise UsageError(
            f"--fail-if {text.strip()}: {bound:.0%} of what?", hint=f"a change has a sign: {name}>+{digits}%"
        )
    relative = unit == "%" and bool(sign) and figure.unit != "share"
    value = figure.ratio if relative else figure.change if sign else figure.b
    if value is None:
        return Limit(text=text.strip(), value=None, broken=True, note="not known in both" if sign else "not known in B")
    broken = {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}[comparison]
    noise = broken and bool(sign) and figure.differs is False
    return Limit(
        text=text.strip(),
        value=value,
        broken=broken,
        note="the 95% intervals do not tell the two apart" if noise else "",
    )
