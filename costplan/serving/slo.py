"""Service levels as users write them, `ttft.p95<1s,tpot.p95<50ms,goodput>0.99`; how latency comes about is not known.

Goodput is the share of requests that keep every latency limit of the same list, each request by itself.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from costplan.errors import UsageError
from costplan.units import parse_duration_s

METRICS = ("ttft", "tpot", "itl", "e2e", "queue")
STATISTICS = ("mean", "p50", "p90", "p95", "p99", "max")
_TERM = re.compile(r"^\s*([a-z0-9]+)(?:\.([a-z0-9]+))?\s*(<=|>=|<|>)\s*([0-9.]+\s*[a-z%]*)\s*$")
_HINT = 'write limits like "ttft.p95<1s,tpot.p95<50ms,e2e.p99<10s,goodput>0.99"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One limit: seconds a latency stays below, or the share goodput stays above."""

    metric: str
    statistic: str = ""
    """Empty for goodput."""
    limit: float
    text: str

    def met(self, value: float | None) -> bool:
        """What is unknown is not met."""
        return value is not None and (value >= self.limit if self.metric == "goodput" else value <= self.limit)


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits that hold together."""

    targets: tuple[Target, ...] = ()

    def limits_s(self) -> dict[str, float]:
        """The tightest limit by metric that one request can keep by itself: what goodput counts."""
        limits: dict[str, float] = {}
        for target in self.targets:
            if target.metric in ("ttft", "tpot", "e2e"):
                limits[target.metric] = min(target.limit, limits.get(target.metric, target.limit))
        return limits

    def __str__(self) -> str:
        return ",".join(target.text for target in self.targets)


def parse_slo(text: str) -> Slo:
    """Raises UsageError with the term that cannot be read."""
    slo = Slo(tuple(_target(term) for term in text.split(",") if term.strip()))
    if not slo.targets:
        raise UsageError("--slo holds no limit", hint=_HINT)
    seen = [(target.metric, target.statistic) for target in slo.targets]
    if len(set(seen)) < len(seen):
        raise UsageError(f"--slo {text}: the same figure is limited twice", hint=_HINT)
    if any(target.metric == "goodput" for target in slo.targets) and not slo.limits_s():
        raise UsageError(f"--slo {text}: goodput counts requests inside latency limits, and there are none", hint=_HINT)
    return slo


def judge(slo: Slo, value_of: Callable[[str, str], float | None]) -> list[tuple[Target, float | None]]:
    """Every target with its value; `value_of(metric, statistic)` looks it up."""
    return [(target, value_of(target.metric, target.statistic)) for target in slo.targets]


def _target(term: str) -> Target:
    match = _TERM.match(term)
    if match is None:
        raise UsageError(f"--slo: {term.strip()!r} is no limit", hint=_HINT)
    metric, statistic, sign, amount = match[1], match[2] or "", match[3][0], match[4].replace(" ", "")
    text = re.sub(r"\s+", "", term)
    if metric == "goodput":
        if sign != ">" or statistic:
            raise UsageError(f"--slo: {text!r}: goodput has a lower limit and no percentile", hint=_HINT)
        return Target(metric=metric, limit=_share(amount, text), text=text)
    if metric not in METRICS:
        raise UsageError(f"--slo: unknown figure {metric!r}", hint=f"one of {', '.join(METRICS)}, goodput")
    if statistic not in STATISTICS:
        raise UsageError(f"--slo: {text!r} needs one of {', '.join(STATISTICS)}", hint=_HINT)
    if sign != "<":
        raise UsageError(f"--slo: {text!r}: latency has an upper limit", hint=_HINT)
    try:
        limit = parse_duration_s(amount)
    except ValueError:
        raise UsageError(f"--slo: {amount!r} is no duration", hint=_HINT) from None
    if limit <= 0:
        raise UsageError(f"--slo: {text!r}: a latency limit is above 0", hint=_HINT)
    return Target(metric=metric, statistic=statistic, limit=limit, text=text)


def _share(amount: str, text: str) -> float:
    try:
        share = float(amount.removesuffix("%")) / (100 if amount.endswith("%") else 1)
    except ValueError:
        raise UsageError(f"--slo: {amount!r} is no share", hint=_HINT) from None
    if not 0 < share <= 1:
        raise UsageError(f"--slo: {text!r}: goodput is a share from 0 to 1", hint=_HINT)
    return share
