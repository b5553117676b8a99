"""The part of plan.json on agents: steps, loops, trimming, call trees, answers that could be shorter."""

from typing import Literal

import msgspec

from costplan.results.estimate import Estimate


class StepClass(msgspec.Struct, frozen=True, kw_only=True):
    """Steps by their place in a conversation; `last` None = and all later ones."""

    first: int
    last: int | None
    steps: int
    input_tokens_mean: float


class InputPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the prompts with full text: tools, system, history, tool_result, last (the last message)."""

    part: str
    tokens: int
    token_share: float
    cost_usd: float
    """With the cache's prices for what was read from it."""
    cost_share: float


class Loops(msgspec.Struct, frozen=True, kw_only=True):
    """The same tool with the same arguments 3 times or more in a task; the first call of each is free of blame."""

    groups: int
    repeated_calls: int
    tasks: int
    longest: int
    usd_in_log: Estimate
    """What the steps that asked again cost; that they make later prompts longer is not in it."""
    share: float
    usd_month: Estimate


class Trim(msgspec.Struct, frozen=True, kw_only=True):
    rule: Literal["last", "every", "results"]
    """Only the last steps; all but the last whenever there are twice as many; tool results older than that."""
    keep_steps: int
    usd_in_log_as_cached_today: float
    usd_in_log: float
    """Where the prompt cache works as it can: a trimmed prompt loses its cached prefix. May be negative."""
    usd_month: Estimate


class CallTrees(msgspec.Struct, frozen=True, kw_only=True):
    """Traces of calls with parent ids."""

    traces: int
    calls: int
    calls_p50: float
    calls_p95: float
    calls_max: int
    """Calls in one trace."""
    by_depth: dict[str, int]
    """Calls by the number of spans above them."""
    widest: int
    """Most calls right below one span."""


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks (sessions; traces where the log names none) step by step; not part of the ladder."""

    tasks: int
    steps: int
    tool_calls: int
    growth_tokens_per_step: Estimate
    by_step: list[StepClass]
    input_by: list[InputPart]
    loops: Loops
    call_trees: CallTrees | None = None
    tool_order_breaks: int
    tool_order_usd_month: Estimate
    trims: list[Trim]


class OutputCap(msgspec.Struct, frozen=True, kw_only=True):
    max_tokens: int
    answers_cut_share: float
    usd_month: Estimate


class OutputPotential(msgspec.Struct, frozen=True, kw_only=True):
    """Fewer output tokens: always a potential that needs an experiment, beside the ladder and in none of its sums."""

    reasoning_share: float
    """Of the output tokens."""
    reasoning_calls: int
    reasoning_usd_month: Estimate
    output_usd_month: Estimate
    caps: list[OutputCap]
    recommended_max_tokens: int | None
    """The lowest limit that cuts at most 1 % of the answers."""
    usd_month: Estimate
    formula: str
    risk: Literal["needs-test"] = "needs-test"
    next_experiment: str = "lower the effort, or set the limit, for a tenth of the calls; grade the answers of both"
