"""A bucket of tasks, step by step: growth, tool calls asked again, broken tool order, trimming. Sums, no estimates."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.agents.trim import TRIMS, Cache, cached, dollars, saved
from costplan.costing import BucketJob, load_rates
from costplan.engine import Ragged, concat, read_batch, take
from costplan.keyed import Keyed, begins, grouped, merged

Ints = NDArray[np.int64]
LOOP = 3
"""The same tool with the same arguments so often in one task is a suspect."""
STEP_FROM = (1, 2, 3, 4, 6, 11, 21, 51)
"""First step of each class of steps."""
SUMS = ("loop", "order", *(f"{world}:{rule}:{keep}" for world in ("logged", "cached") for rule, keep in TRIMS))


@dataclass(slots=True, eq=False)
class Walked:
    """Sums over tasks; money is nano-dollars at the price date."""

    counts: dict[str, int]
    money: Ints
    """By SUMS."""
    squares: NDArray[np.float64]
    """Squares of the tasks' money, by SUMS: what a bootstrap over tasks draws from has this variance."""
    growth: NDArray[np.float64]
    """Over tasks with x steps that follow another and y tokens added by them: Σx, Σy, Σx², Σxy, Σy²."""
    by_step: Ints
    """Steps and their prompt tokens, by STEP_FROM, of conversations of two steps or more."""
    sites: Keyed = field(default_factory=lambda: Keyed(np.zeros(0, np.uint64), np.zeros((0, len(SUMS)), np.int64)))
    """Money by call site."""


def walk(job: BucketJob, rates_file: Any, cache: Cache) -> Walked:
    """All tasks of a bucket."""
    parts = [read_batch(path, job.bucket) for path in job.files]
    steps = concat(parts)
    steps = {name: _wide(column) for name, column in steps.items()}
    talk = steps["site"] ^ (steps["price_key"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    order = np.lexsort((steps["gid"], steps["time_us"], talk, steps["task"]))
    steps, talk = take(steps, order), talk[order]
    n, prompt, task = len(order), steps["input_tokens"], steps["task"]
    same_task = ~begins(task) if n else np.zeros(0, np.bool_)
    follows = same_task.copy()
    follows[1:] &= (talk[1:] == talk[:-1]) & steps["has_context"][1:] & (prompt[1:] >= prompt[:-1])
    start = np.flatnonzero(~follows)
    number = np.arange(n) - np.repeat(start, np.diff(np.append(start, n)))
    rates = load_rates(rates_file)
    money = np.zeros((n, len(SUMS)), np.int64)
    counts = _loops(steps, money[:, 0])
    talks = np.flatnonzero(np.repeat(np.diff(np.append(start, n)) > 1, np.diff(np.append(start, n))))
    some, their, which = take(steps, talks), number[talks], follows[talks]
    best = cached(some, cache, which)
    logged = (some["cache_read_tokens"], some["cache_write_tokens"])
    broken = np.zeros(len(talks), np.bool_)
    broken[1:] = (some["tool_set"][1:] != 0) & (some["tool_set"][1:] == some["tool_set"][:-1])
    broken[1:] &= (some["tools_key"][1:] != some["tools_key"][:-1]) & which[1:]
    broken &= best[0] > logged[0]
    prices = [dollars(some, rates, some["input_tokens"], *reads) for reads in (logged, best)]
    money[talks, 1] = np.rint(np.where(broken, prices[0] - prices[1], 0.0)).astype(np.int64)
    for place, reads in ((2, logged), (2 + len(TRIMS), best)):
        found = saved(some, cache, rates, their, reads)
        money[talks, place : place + len(TRIMS)] = np.rint(found).astype(np.int64)
    paid = np.flatnonzero(money.any(axis=1))
    tasks = grouped(task[paid], money[paid])
    added = np.where(follows[1:], np.diff(prompt), 0) if n else np.zeros(0, np.int64)
    per_task = grouped(task[1:], np.stack([follows[1:].astype(np.int64), added], axis=1)) if n > 1 else None
    x, y = (per_task.sums.T if per_task else np.zeros((2, 0))).astype(np.float64)
    counts |= {
        "tasks": int((~same_task).sum()), "steps": n, "talk_steps": len(talks), "order_breaks": int(broken.sum()),
        "loop_tasks": int((tasks.sums[:, 0] != 0).sum()), "cost": int(steps["cost_price_date"].sum()),
    }  # fmt: skip
    return Walked(
        counts=counts, money=money.sum(axis=0), squares=(tasks.sums.astype(np.float64) ** 2).sum(axis=0),
        growth=np.array([x.sum(), y.sum(), (x * x).sum(), (x * y).sum(), (y * y).sum()]),
        by_step=_by_step(some["input_tokens"], their), sites=grouped(steps["site"][paid], money[paid]),
    )  # fmt: skip


def together(parts: list[Walked]) -> Walked:
    """The sum of several buckets."""
    names = parts[0].counts
    return Walked(
        counts={name: _most(name, [part.counts[name] for part in parts]) for name in names},
        money=np.sum([part.money for part in parts], axis=0),
        squares=np.sum([part.squares for part in parts], axis=0),
        growth=np.sum([part.growth for part in parts], axis=0),
        by_step=np.sum([part.by_step for part in parts], axis=0),
        sites=merged([part.sites for part in parts]),
    )


def _most(name: str, values: list[int]) -> int:
    return max(values) if name == "loop_longest" else sum(values)


def _wide(column: Any) -> Any:
    if isinstance(column, Ragged) or column.dtype.kind != "i":
        return column
    return column.astype(np.int64)


def _by_step(prompt: Ints, number: Ints) -> Ints:
    place = np.searchsorted(np.array(STEP_FROM), number + 1, side="right") - 1
    found = np.zeros((len(STEP_FROM), 2), np.int64)
    np.add.at(found, place, np.stack([np.ones_like(prompt), prompt], axis=1))
    return found


def _loops(steps: dict[str, Any], money: Ints) -> dict[str, int]:
    """Put on every step what it cost to ask once more for what its task had asked for before, LOOP times in all.

    The first of them is free of blame. A step that calls several tools stands for each with an equal part of its cost.
    """
    actions: Ragged = steps["actions"]
    calls = np.diff(actions.offsets).astype(np.int64)
    row = np.repeat(np.arange(len(calls)), calls)
    key = (steps["task"][row] * np.uint64(0x9E3779B97F4A7C15)) ^ actions.values
    order = np.lexsort((steps["gid"][row], steps["time_us"][row], key))
    key, row = key[order], row[order]
    first = begins(key) if len(key) else np.zeros(0, np.bool_)
    start = np.flatnonzero(first)
    length = np.diff(np.append(start, len(key)))
    repeat = np.repeat(length >= LOOP, length) & ~first
    share = steps["cost_price_date"][row[repeat]] // np.maximum(calls[row[repeat]], 1)
    np.add.at(money, row[repeat], share)
    return {
        "tool_calls": len(key), "loops": int((length >= LOOP).sum()), "loop_calls": int(repeat.sum()),
        "loop_longest": int(length.max()) if len(length) else 0,
    }  # fmt: skip
