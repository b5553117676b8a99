"""The engine in balance, by hand: one step time that feeds itself; quick, and blind to queues and bursts.

At r requests a second each step lasts dt, in which r·dt prompts arrive and B = r·dt·(output steps) requests decode
(Little's law); dt = step time of exactly that mix. Requests only come in whole and at random, so a real engine holds
less: these rates start a search or rule a layout out, and are never reported.
"""

from dataclasses import dataclass

from costplan.capacity.layout import Layout

_ROUNDS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Mean request: prompt tokens to compute, prompt tokens found in the cache, answer tokens."""

    fresh: float
    cached: float
    output: float

    @property
    def prompt(self) -> float:
        return self.fresh + self.cached


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """A replica at a steady rate."""

    step_s: float
    tpot_s: float
    running: float
    compute_share: float
    """Of the step time, what grows with the tokens of a step; the rest reads weights and cache or is fixed."""


def balance(layout: Layout, shape: Shape, req_s: float) -> Balance | str:
    """The balance at that rate, or what makes it impossible: `compute`, `memory` or `queue` (max_num_seqs)."""
    step, config = layout.step, layout.config
    k, alpha = config.draft_tokens, config.acceptance
    gain = (1 - alpha ** (k + 1)) / (1 - alpha) if alpha < 1 else k + 1.0
    steps = max(shape.output / gain, 1.0)
    held = shape.prompt + shape.output / 2
    pair_s = step.pair_s * (shape.cached + shape.prompt) / 2
    attend_s = held * step.context_token_s + min(held, step.window) * step.window_token_s + step.request_s
    room, base_s = config.blocks * config.block_size, step.base_s
    dt = floor = base_s.item(1)
    for _ in range(_ROUNDS):
        running, fresh = req_s * dt * steps, req_s * dt * shape.fresh
        tokens = running * (1 + k) + fresh
        if tokens >= config.max_num_batched_tokens:
            return "compute"
        if running > config.max_num_seqs:
            return "queue"
        if running * held > room:
            return "memory"
        whole = int(tokens)
        low, high = base_s.item(max(whole, 1)), base_s.item(whole + 1)
        base = low + (high - low) * (tokens - whole)
        new = base + pair_s * fresh + attend_s * running + step.request_s * req_s * dt
        if abs(new - dt) < 1e-4 * dt:
            compute = base - floor + pair_s * fresh
            return Balance(step_s=new, tpot_s=new / gain, running=running, compute_share=compute / new)
        dt = new
    return "compute"


def highest_rate(layout: Layout, shape: Shape, tpot_limit_s: float = float("inf")) -> float:
    """The highest rate at which a balance exists whose mean TPOT keeps the limit; 0 where one request alone fails."""

    def holds(rate: float) -> bool:
        found = balance(layout, shape, rate)
        return not isinstance(found, str) and found.tpot_s <= tpot_limit_s

    low, high = 0.0, 1.0
    if not holds(1e-6):
        return 0.0
    while holds(high) and high < 1e6:
        low, high = high, 4 * high
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def alone(layout: Layout, shape: Shape) -> tuple[float, float]:
    """(TTFT, TPOT) of one request on an idle replica, in seconds: no load can make them better."""
    step, budget = layout.step, layout.config.max_num_batched_tokens
    chunks, rest = divmod(max(shape.fresh, 1.0), budget)
    prefill = chunks * float(step.base_s[budget]) + float(step.base_s[max(1, int(rest))])
    prefill += step.pair_s * shape.fresh * (shape.cached + shape.prompt) / 2
    found = balance(layout, shape, 1e-6)
    return step.frontend_s + prefill, found.tpot_s if isinstance(found, Balance) else float("inf")
