"""The response cache: every request in arrival order against what an exact cache would hold; no similarity here.

A request hits when an earlier one with the same key is still held: the same model, system prompt, tools, history and
parameters, and the same last user turn after normalisation (NFKC, case, whitespace, trailing punctuation).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from costplan.engine import concat, read_batch, take
from costplan.keyed import together
from costplan.levers.stack import stack_distances
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_HOUR

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Scope = Literal["global", "user"]
RETRY_WINDOW_S = 120.0

# Amazon ElastiCache Serverless (Redis OSS), us-east-1 list price, checked 2026-11: the store a response cache needs.
LOOKUP_USD = 0.0034e-6
STORE_USD_PER_GB_HOUR = 0.125
BYTES_PER_OUTPUT_TOKEN = 4.5
"""English text in o200k_base."""
EXACT_REQUESTS = 1_000_000
CAPACITIES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class CacheSetting:
    """How the simulated cache behaves."""

    ttl_s: float = 3600.0
    policy: Literal["store", "sliding"] = "store"
    """`store`: an answer lives `ttl_s` after it was stored; `sliding`: after it was last used."""
    scope: Scope = "global"
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
    """By setting: requests and nano-dollars of literal hits, then of all hits (settings x 4)."""
    eligible: int
    distinct: int
    retries: int
    retry_nanos: int = 0
    """What the retries cost that were answered."""


def lookup_nanos() -> float:
    """Nano-dollars of asking the store once."""
    return LOOKUP_USD * NANOS_PER_USD


def store_nanos_per_output_token(ttl_s: float) -> float:
    """Nano-dollars of keeping one answer for its life, per output token; keys and framing add a tenth."""
    byte_hours = ttl_s / SECONDS_PER_HOUR * BYTES_PER_OUTPUT_TOKEN * 1.1
    return STORE_USD_PER_GB_HOUR * byte_hours / 1e9 * NANOS_PER_USD


def replay_bucket(job: ResponseJob) -> Replayed:
    """Replay one bucket under every setting."""
    rows = _load(job.files, job.bucket)
    retries, retry_nanos = _retries(rows)
    rows = take(rows, rows["eligible"])
    scopes: tuple[Scope, ...] = tuple(dict.fromkeys(("global", *(setting.scope for setting in job.settings))))
    repeats = {
        scope: repeats_of(rows["norm_key"], rows["exact_key"], rows["time_us"], rows["user"], scope) for scope in scopes
    }
    hits = np.zeros((len(job.settings), 4), dtype=np.int64)
    exact_rows = normalised_rows = np.zeros(0, np.int64)
    for index, setting in enumerate(job.settings):
        hit, exact = replay_repeats(repeats[setting.scope], setting)
        hits[index] = _sums(rows["cost"], hit, exact)
        if index == 0:
            exact_rows, normalised_rows = hit[exact], hit[~exact]
    return Replayed(
        exact_gid=rows["gid"][exact_rows],
        normalised_gid=rows["gid"][normalised_rows],
        hits=hits,
        eligible=len(rows["gid"]),
        distinct=len(rows["gid"]) - int((~repeats["global"].first).sum()),
        retries=retries,
        retry_nanos=retry_nanos,
    )  # fmt: skip


def _sums(cost: Ints, hit: Ints, exact: Mask) -> list[int]:
    """Requests and nano-dollars of literal hits, then of all hits."""
    return [int(exact.sum()), int(cost[hit[exact]].sum()), len(hit), int(cost[hit].sum())]


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """The rows whose key is asked more than once, by key and in arrival order: no other row can hit."""

    row: Ints
    first: Mask
    """The first row of its key."""
    time_us: Ints
    exact_key: NDArray[np.uint64]


def repeats_of(
    key: NDArray[np.uint64],
    exact_key: NDArray[np.uint64],
    time_us: Ints,
    user: NDArray[np.uint64],
    scope: Scope = "global",
) -> Repeats:
    """Repeats among rows in arrival order."""
    key = _scoped(key, user, scope)
    order = together(key)
    ordered = key[order]
    again = np.zeros(len(key), dtype=np.bool_)
    again[1:] = ordered[1:] == ordered[:-1]
    if scope == "user":
        again &= user[order] != 0  # nobody shares the answers of a request without a user
    involved = again.copy()
    involved[:-1] |= again[1:]
    row = order[involved]
    return Repeats(row, ~again[involved], time_us[row], exact_key[row])


def replay(
    key: NDArray[np.uint64],
    exact_key: NDArray[np.uint64],
    time_us: Ints,
    user: NDArray[np.uint64],
    setting: CacheSetting,
    distance: Ints | None = None,
) -> tuple[Mask, Mask]:
    """(hits, hits on literally the same prompt) of rows in arrival order, as masks."""
    row, literal = replay_repeats(repeats_of(key, exact_key, time_us, user, setting.scope), setting, distance)
    hit, exact = np.zeros(len(key), np.bool_), np.zeros(len(key), np.bool_)
    hit[row], exact[row[literal]] = True, True
    return hit, exact


def replay_repeats(repeats: Repeats, setting: CacheSetting, distance: Ints | None = None) -> tuple[Ints, Mask]:
    """(rows that hit, which of them repeat the stored prompt literally).

    `distance` are LRU stack distances by row (see stack.py): with them a capacity is exact, because a request's place
    in the LRU order depends on what was asked since, not on whether it was answered from the cache.
    """
    ttl_us = int(setting.ttl_s * MICROS_PER_SECOND)
    time = repeats.time_us
    held = ~repeats.first
    held[1:] &= time[1:] - time[:-1] <= ttl_us  # later than this after the last use, neither policy holds it
    if setting.capacity is not None and distance is not None:
        held &= distance[repeats.row] < setting.capacity
    stored_at = np.where(held, 0, np.arange(len(held)))
    stored_at = np.maximum.accumulate(stored_at) if len(held) else stored_at
    if setting.policy == "store":
        # inside a run of held rows the answer lives from its first; only runs longer than the TTL need the walk
        late = held & (time - time[stored_at] > ttl_us)
        if late.any():
            stored_at = _walk(stored_at, time, ttl_us, late)
            held = held & (stored_at != np.arange(len(held)))
    hit = np.flatnonzero(held)
    return repeats.row[hit], repeats.exact_key[hit] == repeats.exact_key[stored_at[hit]]


def _walk(stored_at: Ints, time: Ints, ttl_us: int, late: Mask) -> Ints:
    """Where each row's answer was stored, when answers expire a TTL after storing.

    From one store to the next: the first row of the run that is more than the TTL later. All runs take their steps
    together, on one time line on which they lie one after the other, further than the TTL apart.
    """
    is_late = np.zeros(len(time), dtype=np.bool_)
    is_late[stored_at[late]] = True
    rows = np.flatnonzero(is_late[stored_at])  # the runs that outlive an answer
    is_start = stored_at[rows] == rows
    gap = np.diff(time[rows], prepend=0)
    gap[is_start] = ttl_us + 1
    line = np.cumsum(gap)
    run = np.cumsum(is_start)
    following = np.searchsorted(line, line + ttl_us, side="right")
    is_store = is_start.copy()
    at = np.flatnonzero(is_start)
    while len(at):
        later = following[at]
        inside = later < len(rows)
        at, later = at[inside], later[inside]
        at = later[run[later] == run[at]]
        is_store[at] = True
    result = stored_at.copy()
    result[rows] = rows[np.maximum.accumulate(np.where(is_store, np.arange(len(rows)), 0))]
    return result


def replay_limited(files: list[Path], buckets: int, setting: CacheSetting) -> Replayed:
    """Hits of a cache with limited room: one pass of stack distances over all eligible requests in arrival order."""
    rows, distance = _all_eligible(files, buckets, setting.scope)
    repeats = repeats_of(rows["norm_key"], rows["exact_key"], rows["time_us"], rows["user"], setting.scope)
    hit, exact = replay_repeats(repeats, setting, distance)
    return Replayed(
        exact_gid=rows["gid"][hit[exact]],
        normalised_gid=rows["gid"][hit[~exact]],
        hits=np.array([_sums(rows["cost"], hit, exact)], dtype=np.int64),
        eligible=0,
        distinct=0,
        retries=0,
    )


def limited(replayed: list[Replayed], hits: Replayed) -> list[Replayed]:
    """Bucket replays whose first setting is replaced by what a replay with limited room found."""
    none = np.zeros(0, np.int64)
    cleared: list[Replayed] = []
    for part in replayed:
        kept = part.hits.copy()
        kept[0] = 0
        cleared.append(replace(part, exact_gid=none, normalised_gid=none, hits=kept))
    cleared[0].hits[0] = hits.hits[0]
    return [replace(cleared[0], exact_gid=hits.exact_gid, normalised_gid=hits.normalised_gid), *cleared[1:]]


def by_capacity(
    files: list[Path], buckets: int, ttl_s: float, policy: Literal["store", "sliding"], eligible: int
) -> list[dict[str, Any]]:
    """Hits at several capacities: one pass of stack distances over all eligible requests in arrival order.

    Exact up to EXACT_REQUESTS; beyond, one key in `stride` is followed and distances count that many times
    (Waldspurger et al. 2015, SHARDS), so that memory does not grow with the log.
    """
    stride = 1 << max(0, (-(-eligible // EXACT_REQUESTS) - 1).bit_length())
    rows, distance = _all_eligible(files, buckets, "global", stride)
    repeats = repeats_of(rows["norm_key"], rows["exact_key"], rows["time_us"], rows["user"])
    found: list[dict[str, Any]] = []
    for capacity in CAPACITIES:
        room = max(1, capacity // stride)
        hit, exact = replay_repeats(repeats, CacheSetting(ttl_s, policy, "global", room), distance)
        sums = [stride * each for each in _sums(rows["cost"], hit, exact)]
        found.append({"capacity": capacity, "sums": sums, "followed": 1 / stride})
    return found


def _scoped(key: NDArray[np.uint64], user: NDArray[np.uint64], scope: str) -> NDArray[np.uint64]:
    return (key ^ user) * np.uint64(0x9E3779B97F4A7C15) if scope == "user" else key


def eligible_rows(files: list[Path], buckets: int, stride: int = 1) -> dict[str, Any]:
    """Eligible rows of all buckets in arrival order; one key in `stride` of them."""
    names = ("gid", "time_us", "norm_key", "exact_key", "cost", "user")
    parts: list[dict[str, Any]] = []
    for path in files:
        for bucket in range(buckets):
            part = read_batch(path, bucket, ("eligible", *names))
            wanted = part.pop("eligible") & ((part["norm_key"] >> np.uint64(20)) % np.uint64(stride) == 0)
            parts.append(take(part, wanted))
    order = np.lexsort([np.concatenate([part[name] for part in parts]) for name in ("gid", "time_us")])
    rows: dict[str, Any] = {}
    for name in names:
        rows[name] = np.concatenate([part.pop(name) for part in parts])[order]
    return rows


def _all_eligible(files: list[Path], buckets: int, scope: str, stride: int = 1) -> tuple[dict[str, Any], Ints]:
    """(rows of `eligible_rows`, their stack distances)."""
    rows = eligible_rows(files, buckets, stride)
    return rows, stack_distances(_scoped(rows["norm_key"], rows["user"], scope))


def _load(files: Sequence[Path], bucket: int) -> dict[str, Any]:
    """A bucket's rows in arrival order."""
    rows = concat([read_batch(path, bucket) for path in files])
    return take(rows, np.lexsort((rows["gid"], rows["time_us"])))


def _retries(rows: dict[str, Any]) -> tuple[int, int]:
    """(number, nano-dollars) of requests that repeat, within two minutes, one of the same user that had failed."""
    asked = _scoped(rows["exact_key"], rows["user"], "user")
    # what was never refused is never asked again for that: only these rows need sorting
    rows = take(rows, np.isin(asked, asked[rows["failed"]]))
    order = np.lexsort((rows["time_us"], rows["user"], rows["exact_key"]))
    same = (rows["exact_key"][order][1:] == rows["exact_key"][order][:-1]) & (
        rows["user"][order][1:] == rows["user"][order][:-1]
    )
    soon = np.diff(rows["time_us"][order]) <= RETRY_WINDOW_S * MICROS_PER_SECOND
    again = order[1:][same & soon & rows["failed"][order][:-1]]
    return len(again), int(rows["cost"][again].sum())
