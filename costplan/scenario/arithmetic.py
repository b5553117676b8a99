"""Calls, tokens and prices multiplied: what a product costs a month under a set of levers; nothing is simulated."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal

from costplan.profiles import CachePolicy
from costplan.scenario.money import Rates
from costplan.scenario.spec import CallSpec, Range, Scenario
from costplan.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

End = Literal["value", "low", "high"]
ENDS: tuple[End, ...] = ("value", "low", "high")
EXACT, RESPELLED, ROUTING, PREFIX, BATCH = range(5)
N_LEVERS = 5


@dataclass(frozen=True, slots=True)
class Priced:
    """One call in a month."""

    requests: float
    input_usd: float
    output_usd: float

    @property
    def usd(self) -> float:
        return self.input_usd + self.output_usd


def sessions_month(scenario: Scenario, end: End) -> float:
    """Sessions in 730 hours, every figure taken at that end of its range."""
    traffic = scenario.traffic
    daily = traffic.sessions_per_day
    days = HOURS_PER_MONTH / 24
    if daily is not None:
        return days * _at(daily, end)
    return days * (_at(traffic.users, end) if traffic.users else 0.0) * _at(traffic.sessions_per_user_day, end)


def priced(scenario: Scenario, rates: dict[str, Rates], call: CallSpec, end: End, levers: Sequence[int] = ()) -> Priced:
    """What a call costs a month with these levers."""
    asked = sessions_month(scenario, end) * _at(call.per_session, end)
    left = asked * (1 - _answered(call, end, levers))
    cheaper, share = call.cheaper, 0.0
    if ROUTING in levers and cheaper is not None:
        share = _at(cheaper.share, end)
    batch = _at(call.batch_share, end) if BATCH in levers else 0.0
    input_usd = output_usd = 0.0
    ratio = _at(cheaper.output_ratio, end) if cheaper else 1.0
    for model, part, longer in ((call.model, 1 - share, 1.0), (cheaper.model if cheaper else "", share, ratio)):
        if not part:
            continue
        rate = rates[model]
        waits = batch if rate.batch is not None else 0.0
        for price, some, cached in ((rate, 1 - waits, PREFIX in levers), (rate.batch or rate, waits, False)):
            requests = left * part * some
            hit = _hit_share(scenario, rate.cache, requests, end) if cached else 0.0
            prompt, answer = _call_usd(call, price, end, longer, hit, cached)
            input_usd += requests * prompt
            output_usd += requests * answer
    return Priced(asked, input_usd, output_usd)


def prompt_tokens(call: CallSpec, end: End) -> float:
    """Mean tokens of a prompt. A conversation of geometric length with mean m sends m - 1 earlier turns on average:
    E[n (n - 1) / 2] / E[n] = m - 1."""
    first = _at(call.input_tokens, end)
    if not (call.history or call.agent):
        return first
    turns = max(0.0, _at(call.per_session, end) - 1)
    return first + turns * (_at(call.turn_tokens, end) + _at(call.output_tokens, end))


def grown(scenario: Scenario, end: End, months: int) -> float:
    """The factor of so many months of growth."""
    return (1 + _at(scenario.traffic.growth_per_month, end)) ** months


def _answered(call: CallSpec, end: End, levers: Sequence[int]) -> float:
    """Share of the calls that a response cache answers: only first prompts of a conversation repeat."""
    share = _at(call.repeats.exact, end) if EXACT in levers or RESPELLED in levers else 0.0
    share += _at(call.repeats.respelled, end) if RESPELLED in levers else 0.0
    talks = call.history or call.agent
    return min(1.0, share) / (max(1.0, _at(call.per_session, end)) if talks else 1.0)


def _call_usd(call: CallSpec, rate: Rates, end: End, longer: float, hit: float, cached: bool) -> tuple[float, float]:
    """(USD of the prompt, USD of the answer) of one call."""
    prompt, answer = prompt_tokens(call, end), _at(call.output_tokens, end) * longer
    policy, read, write = rate.cache, 0.0, 0.0
    if cached and policy is not None and call.prefix_tokens >= policy.minimum_for(rate.model):
        prefix = call.prefix_tokens // policy.step_tokens * policy.step_tokens
        read, write = prefix * hit, prefix * (1 - hit) if policy.mode == "explicit" else 0.0
    return rate.usd(prompt, read, write, 0.0), rate.usd(0.0, 0.0, 0.0, answer)


def _hit_share(scenario: Scenario, cache: CachePolicy | None, requests: float, end: End) -> float:
    """Share of the calls that find their prefix still cached: one came within its life before them.

    Poisson arrivals at an hour's rate r: 1 - exp(-r x life), weighted by the hour's traffic.
    """
    if cache is None or cache.mode not in ("automatic", "explicit"):
        return 0.0
    life = {"value": cache.ttl_s, "low": cache.ttl_low_s, "high": cache.ttl_high_s}[end]
    hours = scenario.log.hours
    day = requests / (HOURS_PER_MONTH / 24)
    rates = [day * hour / sum(hours) / SECONDS_PER_HOUR for hour in hours]
    return sum(hour * (1 - exp(-rate * life)) for hour, rate in zip(hours, rates, strict=True)) / sum(hours)


def _at(value: Range, end: End) -> float:
    return getattr(value, end)
