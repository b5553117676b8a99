"""The response cache: every request in arrival order against what an exact cache would hold; no similarity here.

A request hits when an earlier one with the same key is still held: the same model, system prompt, tools, history and
parameters, and the same last user turn after normalisation (NFKC, case, whitespace, trailing punctuation).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from costplan.engine import read_batch, take
from costplan.levers.stack import stack_distances
from costplan.units import MICROS_PER_SECOND

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
RETRY_WINDOW_S = 120.0
CAPACITIES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class CacheSetting:
    """How the simulated cache behaves."""

    ttl_s: float = 3600.0
    policy: Literal["store", "sliding"] = "store"
    """`store`: an answer lives `ttl_s` after it was stored; `sliding`: after it was last used."""
    scope: Literal["global", "user"] = "global"
    capacity: int | None = None
    """Entries held, least recently used out first; None = unlimited."""


@dataclass(frozen=True, slots=True)
class ResponseJob:
    """One bucket of requests that may share answers; the first setting is the one that the ladder uses."""

    bucket: int
    files: list[Path]
    settings: tuple[CacheSetting, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """Outcome of a bucket: row numbers of hits under the first setting, sums under each."""

    exact_gid: Ints
    normalised_gid: Ints
    """Hits whose stored prompt differs in case, blanks or trailing punctuation."""
    hits: Ints
    """By setting: requests, then nano-dollars (settings x 2)."""
    eligible: int
    distinct: int
    retries: int


def replay_bucket(job: ResponseJob) -> Replayed:
    """Replay one bucket under every setting."""
    rows = _load(job.files, job.bucket)
    retries = _retries(rows)
    rows = take(rows, rows["eligible"])
    first: tuple[Mask, Mask] | None = None
    hits = np.zeros((len(job.settings), 2), dtype=np.int64)
    for index, setting in enumerate(job.settings):
        hit, exact = replay(rows["norm_key"], rows["exact_key"], rows["time_us"], rows["user"], setting)
        hits[index] = int(hit.sum()), int(rows["cost"][hit].sum())
        first = first or (hit, exact)
    hit, exact = first if first else (np.zeros(0, np.bool_), np.zeros(0, np.bool_))
    return Replayed(
        exact_gid=rows["gid"][hit & exact],
        normalised_gid=rows["gid"][hit & ~exact],
        hits=hits,
        eligible=len(rows["gid"]),
        distinct=len(np.unique(rows["norm_key"])),
        retries=retries,
    )


def replay(
    key: NDArray[np.uint64],
    exact_key: NDArray[np.uint64],
    time_us: Ints,
    user: NDArray[np.uint64],
    setting: CacheSetting,
    distance: Ints | None = None,
) -> tuple[Mask, Mask]:
    """(hits, hits on literally the same prompt) of rows in arrival order.

    `distance` are LRU stack distances (see stack.py): with them a capacity is exact, because a request's place in
    the LRU order depends on what was asked since, not on whether it was answered from the cache.
    """
    if setting.scope == "user":
        key = (key ^ user) * np.uint64(0x9E3779B97F4A7C15)
    order = np.argsort(key, kind="stable")
    repeat = np.zeros(len(key), dtype=np.bool_)
    repeat[1:] = key[order][1:] == key[order][:-1]
    # only keys asked more than once can hit: the loop below sees nothing else
    involved = repeat.copy()
    involved[:-1] |= repeat[1:]
    chosen = order[involved]
    starts = ~repeat[involved]
    ttl_us = int(setting.ttl_s * MICROS_PER_SECOND)
    held = np.ones(len(chosen), np.bool_)
    if setting.capacity is not None and distance is not None:
        held = distance[chosen] < setting.capacity
    hit = np.zeros(len(key), dtype=np.bool_)
    exact = np.zeros(len(key), dtype=np.bool_)
    sliding = setting.policy == "sliding"
    since, stored = 0, 0
    hits: list[int] = []
    same: list[int] = []
    rows = zip(
        chosen.tolist(),
        starts.tolist(),
        time_us[chosen].tolist(),
        exact_key[chosen].tolist(),
        held.tolist(),
        strict=True,
    )
    for row, start, time, literal, is_held in rows:
        if start or time - since > ttl_us or not is_held:
            since, stored = time, literal
            continue
        hits.append(row)
        if literal == stored:
            same.append(row)
        if sliding:
            since = time
    hit[hits] = True
    exact[same] = True
    return hit, exact


def by_capacity(
    files: list[Path], buckets: int, ttl_s: float, policy: Literal["store", "sliding"]
) -> list[dict[str, Any]]:
    """Hits at several capacities, exact, from one pass of stack distances over all eligible requests in arrival order."""
    parts = [
        _load(files, bucket, ("eligible", "norm_key", "exact_key", "time_us", "cost", "gid"))
        for bucket in range(buckets)
    ]
    rows = {
        name: np.concatenate([part[name][part["eligible"]] for part in parts])
        for name in parts[0]
        if name != "eligible"
    }
    del parts
    order = np.lexsort((rows["gid"], rows["time_us"]))
    rows = {name: values[order] for name, values in rows.items()}
    distance = stack_distances(rows["norm_key"])
    users = np.zeros(1, np.uint64)
    found: list[dict[str, Any]] = []
    for capacity in CAPACITIES:
        setting = CacheSetting(ttl_s, policy, "global", capacity)
        hit, _ = replay(rows["norm_key"], rows["exact_key"], rows["time_us"], users, setting, distance)
        found.append({"capacity": capacity, "hits": int(hit.sum()), "cost": int(rows["cost"][hit].sum())})
    return found


def _load(files: Sequence[Path], bucket: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """A bucket's rows in arrival order."""
    parts = [read_batch(path, bucket, names) for path in files]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return take(rows, np.lexsort((rows["gid"], rows["time_us"])))


def _retries(rows: dict[str, Any]) -> int:
    """Requests that repeat, within two minutes, one of the same user that had failed."""
    order = np.lexsort((rows["time_us"], rows["user"], rows["exact_key"]))
    same = (rows["exact_key"][order][1:] == rows["exact_key"][order][:-1]) & (
        rows["user"][order][1:] == rows["user"][order][:-1]
    )
    soon = np.diff(rows["time_us"][order]) <= RETRY_WINDOW_S * MICROS_PER_SECOND
    return int((same & soon & rows["failed"][order][:-1]).sum())
