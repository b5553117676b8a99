"""What shorter prompts of a conversation would cost, with what shortening does to the prompt cache.

Rules (t = steps since the conversation began, I_t = its prompt tokens, k = steps kept):
  last k        what steps 1 to t-k added goes: D_t = I_(t-k) - I_0; the first prompt (instructions, task) stays.
                What follows moves up, so only the first I_0 tokens can still be read from the cache.
  last k-2k     the same, but only every k steps, so that the prefix stands still in between.
  results       tool results that are older than k steps go: D_t = T_(t-k), T = tokens of tool results in the prompt;
                what stands before the newest of them that went can still be read.
A provider reads a prefix in whole steps and from its minimum on (profiles/providers).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from costplan.prices import RateTable
from costplan.units import NANOS_PER_USD

Ints = NDArray[np.int64]
KEEP = (3, 5, 10, 20)
Rule = Literal["last", "every", "results"]
RULES: tuple[Rule, ...] = ("last", "every", "results")
TRIMS: tuple[tuple[Rule, int], ...] = tuple((rule, keep) for rule in RULES for keep in KEEP)


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """Prompt caches by price key: `mode` 0 none, 1 automatic, 2 explicit marks; tokens and microseconds."""

    mode: NDArray[Any]
    min_tokens: Ints
    step_tokens: Ints
    ttl_us: Ints

    def readable(self, key: Ints, tokens: Ints) -> Ints:
        """How much of a prefix of so many tokens can be read."""
        step = np.maximum(self.step_tokens[key], 1)
        held = tokens // step * step
        return np.where((self.mode[key] > 0) & (held >= self.min_tokens[key]), np.maximum(held, 0), 0)


def dollars(steps: dict[str, Any], rates: RateTable, prompt: Ints, read: Ints, write: Ints) -> NDArray[np.float64]:
    """Nano-dollars of every step with another prompt; one-hour writes are priced as ordinary ones."""
    cost = rates.cost_usd(
        steps["rate_row"], prompt, read, write, np.zeros_like(write), steps["output_tokens"], steps["reasoning_tokens"]
    )
    return (cost.total - cost.other) * steps["weight"] * NANOS_PER_USD


def cached(steps: dict[str, Any], cache: Cache, follows: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """(read, written) tokens of every step where the provider's cache works as it can: each step reads the one before.

    Where marks are explicit, the whole prompt is written. Never less than the log says was read.
    """
    prompt, key = steps["input_tokens"], steps["price_key"]
    read = np.zeros_like(prompt)
    read[1:] = np.where(follows[1:], cache.readable(key[1:], prompt[:-1]), 0)
    soon = np.zeros(len(prompt), np.bool_)
    soon[1:] = np.diff(steps["time_us"]) <= cache.ttl_us[key[1:]]
    read = np.maximum(np.where(soon, read, 0), steps["cache_read_tokens"])
    marks = (cache.mode[key] == 2) & (cache.readable(key, prompt) > 0)
    rest: Ints = prompt - read
    return read, np.asarray(np.where(marks, rest, np.minimum(steps["cache_write_tokens"], rest)), np.int64)


def dropped(steps: dict[str, Any], number: Ints, rule: Rule, keep: int) -> tuple[Ints, Ints]:
    """(tokens dropped at every step, tokens at its beginning that the step before had sent alike)."""
    prompt = steps["input_tokens"]
    at = np.arange(len(prompt))
    first = at - number
    gone = np.maximum(number - keep, 0)
    if rule == "every":
        gone = np.where(number < 2 * keep, 0, ((number - 2 * keep) // keep + 1) * keep)
    upto = first + gone
    what = steps["tool_tokens"] if rule == "results" else prompt - prompt[first]
    less = np.where(gone > 0, what[upto], 0)
    before = np.where(number > 0, less[at - (number > 0)], 0)
    alike = prompt[at - (number > 0)] - before  # the whole shortened prompt of the step before
    if rule == "results":
        last = first + np.maximum(gone - 1, 0)
        moved = np.maximum(prompt[last] - before, 0)
    else:
        moved = prompt[first]
    return less, np.asarray(np.where(less > before, np.minimum(moved, alike), alike), np.int64)


def saved(
    steps: dict[str, Any], cache: Cache, rates: RateTable, number: Ints, reads: tuple[Ints, Ints]
) -> NDArray[np.float64]:
    """Nano-dollars (steps x TRIMS) that every rule saves where the cache reads and writes `reads` today."""
    prompt, key = steps["input_tokens"], steps["price_key"]
    read, write = reads
    today = dollars(steps, rates, prompt, read, write)
    found = np.zeros((len(prompt), len(TRIMS)))
    for column, (rule, keep) in enumerate(TRIMS):
        less, alike = dropped(steps, number, rule, keep)
        short = np.flatnonzero(less > 0)
        some = {name: steps[name][short] for name in ("rate_row", "output_tokens", "reasoning_tokens", "weight")}
        new_prompt = prompt[short] - less[short]
        # no more is read than today: what today's cache had lost by then is lost after trimming, too
        new_read = cache.readable(key[short], np.minimum(np.minimum(alike[short], read[short]), new_prompt))
        tail = (prompt - read - write)[short]
        new_write = np.where(write[short] > 0, np.maximum(new_prompt - new_read - tail, 0), 0)
        found[short, column] = today[short] - dollars(some, rates, new_prompt, new_read, new_write)
    return found
