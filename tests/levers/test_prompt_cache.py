"""Prompt caches on small conversations, against dictionaries of prefixes with the time of their last use."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.costing import BucketJob
from costplan.engine import Ragged, write_batches
from costplan.keyed import together
from costplan.levers import prompt_cache
from costplan.levers.ceiling import NewJob, first_uses, held_of, write_new
from costplan.levers.prompt_cache import (
    Blocks,
    Policies,
    Reads,
    blocks_of,
    by_block_capacity,
    held,
    longest,
    simulate,
)
from costplan.trace import BlockEnd
from hypothesis import given
from hypothesis import strategies as st

SECOND = 1_000_000
STATIC, MESSAGE, CHUNK = BlockEnd.STATIC, BlockEnd.MESSAGE, BlockEnd.CHUNK

# a conversation is a path of pieces; (piece, tokens): equal paths are equal prefixes
PIECE_TOKENS = {0: 700, 1: 300, 2: 128, 3: 1000, 4: 5}
PROMPTS = st.lists(
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.sampled_from([0, 1, 100, 299, 301])), max_size=25
)


def rows_of(prompts: list[tuple[list[int], int]], key: int = 0) -> dict[str, Any]:
    """Prompts as (pieces, seconds since the one before); the first piece is the system prompt, others are messages."""
    keys: list[int] = []
    weights: list[int] = []
    ends: list[int] = []
    offsets = [0]
    for pieces, _ in prompts:
        total = 0
        for place, piece in enumerate(pieces):
            total += PIECE_TOKENS[piece]
            keys.append(hash((7, *pieces[: place + 1])) & (2**63 - 1))
            weights.append(total)
            ends.append(STATIC if place == 0 else MESSAGE)
        offsets.append(len(keys))
    n = len(prompts)
    prompt = np.array([sum(PIECE_TOKENS[piece] for piece in pieces) for pieces, _ in prompts], dtype=np.int64)
    table = np.array(offsets, dtype=np.int32)
    return {
        "gid": np.arange(n, dtype=np.int64),
        "time_us": np.cumsum(np.array([gap for _, gap in prompts], dtype=np.int64)) * SECOND,
        "input_tokens": prompt,
        "total_weight": prompt.copy(),
        "first_block": table[:-1],
        "n_blocks": np.diff(table),
        "price_key": np.full(n, key, dtype=np.int32),
        "block_key": Ragged(table, np.array(keys, dtype=np.uint64)),
        "block_weight": Ragged(table, np.array(weights, dtype=np.int64)),
        "block_end": Ragged(table, np.array(ends, dtype=np.int8)),
    }


def blocks_in(rows: dict[str, Any]) -> Blocks:
    """The blocks of rows in arrival order, with their order by key."""
    columns = {name: rows[name].values for name in ("block_key", "block_weight", "block_end")}
    blocks = blocks_of(rows, columns)
    return replace(blocks, order=together(blocks.key))


def policy(minimum: int = 1024, step: int = 128, ttl_s: float = 300) -> Policies:
    def one(value: int) -> Any:
        return np.array([value], dtype=np.int64)

    return Policies(np.array([1], dtype=np.int8), one(minimum), one(step), one(int(ttl_s * SECOND)))


def eligible(rows: dict[str, Any], policies: Policies) -> Blocks:
    """Only blocks that end at or above the provider's minimum, as the levers use them."""
    blocks = blocks_in(rows)
    return blocks.select(blocks.position >= policies.min_tokens[rows["price_key"]][blocks.row])


def simulated(prompts: list[tuple[list[int], int]], policies: Policies) -> Reads:
    rows = rows_of(prompts)
    return simulate(eligible(rows, policies), np.ones(len(prompts), dtype=np.bool_), rows, policies)


def walk(prompts: list[tuple[list[int], int]], ttl_s: float) -> list[list[tuple[int, bool]]]:
    """Per prompt, the prefixes (tokens, ended there before with a mark) that are held when it arrives."""
    used: dict[tuple[int, ...], tuple[int, bool]] = {}
    found: list[list[tuple[int, bool]]] = []
    now = 0
    for pieces, gap in prompts:
        now += gap
        prefixes = [tuple(pieces[: place + 1]) for place in range(len(pieces))]
        found.append([])
        for prefix in prefixes:
            if prefix in used and now - used[prefix][0] <= ttl_s:
                found[-1].append((sum(PIECE_TOKENS[piece] for piece in prefix), used[prefix][1]))
        for prefix in prefixes:
            used[prefix] = (now, prefix == prefixes[-1] or len(prefix) == 1)
    return found


def test_a_prompt_by_hand_is_read_in_steps_of_128_tokens_above_1024():
    """Prompts of 700 + 300 + 128 = 1128 tokens, one minute apart: 1128 // 128 = 8 steps = 1024 tokens are read.

    The third shares only 700 + 300 = 1000 tokens: below the minimum, nothing. The fourth comes 301 s after the third
    and 361 s after the last of its kind: forgotten.
    """
    reads = simulated([([0, 1, 2], 0), ([0, 1, 2], 60), ([0, 1, 3], 60), ([0, 1, 2], 301)], policy())
    assert reads.automatic.tolist() == [0, 1024, 0, 0]


def test_marks_by_hand_pay_for_writing_what_they_do_not_read():
    """System prompt of 1000 tokens, minimum 1000. Turns: 5 more tokens, then 5 + 300, then another first turn of 128.

    Mark at the system prompt's end: the first writes 1000, the others read 1000.
    Mark at each prompt's end too: the first writes 1005; the second reads 1005 and writes 300; the third reads the
    1000 that its system prompt shares and writes 128.
    """
    reads = simulated([([3, 4], 0), ([3, 4, 1], 10), ([3, 2], 10)], policy(minimum=1000, step=1))
    assert (reads.static_read.tolist(), reads.static_write.tolist()) == ([0, 1000, 1000], [1000, 0, 0])
    assert (reads.whole_read.tolist(), reads.whole_write.tolist()) == ([0, 1005, 1000], [1005, 300, 128])


@given(PROMPTS, st.sampled_from([1, 100, 300]))
def test_held_prefixes_equal_a_dictionary(prompts: list[tuple[list[int], int]], ttl_s: float):
    rows = rows_of(prompts)
    blocks = blocks_in(rows)
    n = len(prompts)
    found, by_mark = held(blocks, np.ones(n, np.bool_), np.full(n, int(ttl_s * SECOND)))
    expected = walk(prompts, ttl_s)
    for row in range(n):
        mine = blocks.row == row
        assert sorted(blocks.position[mine & found].tolist()) == sorted(tokens for tokens, _ in expected[row])
        assert sorted(blocks.position[mine & by_mark].tolist()) == sorted(t for t, marked in expected[row] if marked)
    best = [max((tokens for tokens, _ in row), default=0) for row in expected]
    assert longest(blocks, found, n).tolist() == best


@given(PROMPTS, st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_in_an_endless_cache_a_prompt_is_held_up_to_its_first_new_block(
    tmp_path_factory: pytest.TempPathFactory,
    prompts: list[tuple[list[int], int]],
    chunks: int,
    buckets: int,
    late: bool,
):
    """Whatever chunks the log came in, also where the chunk that was read last holds the oldest requests."""
    folder = tmp_path_factory.mktemp("ceiling")
    rows = rows_of(prompts)
    n = len(prompts)
    expected = walk(prompts, 1e12)
    parts = [part.tolist() for part in np.array_split(np.arange(n), chunks)]
    if late:
        parts = parts[::-1]
    files: list[Path] = []
    read: list[dict[str, Any]] = []
    first = 0
    for number, part in enumerate(parts):
        mine = {
            name: rows[name][part] for name in ("time_us", "input_tokens", "total_weight", "first_block", "n_blocks")
        }
        mine["gid"] = first + np.arange(len(part))
        first += len(part)
        blocks = blocks_of(mine, {name: rows[name].values for name in ("block_key", "block_weight", "block_end")})
        mine["prefix_tokens"] = mine["input_tokens"]
        files.append(folder / f"first-{number}.columns")
        write_batches(files[-1], first_uses(blocks, mine["gid"], buckets))
        read.append(mine)
    new = [folder / f"new-{bucket}.columns" for bucket in range(buckets)]
    ends = np.cumsum([len(part) for part in parts]).tolist()
    for bucket, target in enumerate(new):
        write_new(NewJob(BucketJob(bucket, files), ends, target))
    if (np.diff(rows["time_us"]) == 0).any() and late:
        return  # equal times: another order of arrival
    for number, part in enumerate(parts):
        held_blocks, tokens = held_of(read[number], new, number)
        assert held_blocks.tolist() == [len(expected[row]) for row in part]
        assert tokens.tolist() == [max((t for t, _ in expected[row]), default=0) for row in part]


@given(PROMPTS, st.sampled_from([1, 1000, 1024]), st.sampled_from([1, 128]), st.sampled_from([100, 300]))
def test_simulated_reads_equal_a_trie(prompts: Any, minimum: int, step: int, ttl_s: float):
    reads = simulated(prompts, policy(minimum, step, ttl_s))
    for row, (live, (pieces, _)) in enumerate(zip(walk(prompts, ttl_s), prompts, strict=True)):
        total, static = (sum(PIECE_TOKENS[piece] for piece in part) for part in (pieces, pieces[:1]))

        def at_least(tokens: int) -> int:
            return tokens if tokens >= minimum else 0

        automatic = at_least(max((t for t, _ in live if t >= minimum), default=0) // step * step)
        marked = [t for t, mark in live if mark and t >= minimum]
        static_read = max((t for t in marked if t == static), default=0)
        # a prompt without any block above the minimum cannot be cached at all
        whole = at_least(total)
        assert reads.automatic[row] == automatic
        assert (reads.static_read[row], reads.static_write[row]) == (static_read, at_least(static) - static_read)
        whole_read = max(marked, default=0)
        assert (reads.whole_read[row], reads.whole_write[row]) == (whole_read, whole - whole_read)


@given(PROMPTS, st.data())
def test_requests_out_of_the_stream_neither_read_nor_keep_warm(prompts: Any, data: Any):
    inside = np.array([data.draw(st.booleans()) for _ in prompts], dtype=np.bool_)
    rows, policies = rows_of(prompts), policy(1, 1)
    reads = simulate(blocks_in(rows), inside, rows, policies)
    times = np.cumsum([gap for _, gap in prompts])
    kept = [(prompts[row][0], int(times[row])) for row in np.flatnonzero(inside)]
    alone = simulated([(p, t - (kept[i - 1][1] if i else 0)) for i, (p, t) in enumerate(kept)], policies)
    assert reads.automatic[inside].tolist() == alone.automatic.tolist()
    assert reads.whole_read[inside].tolist() == alone.whole_read.tolist()
    assert not reads.automatic[~inside].any() and not reads.whole_write[~inside].any()


def test_positions_are_scaled_to_the_tokens_that_were_billed():
    """Blocks end after 700 and 1000 of 1000 weighed tokens; the provider billed 2000: 1400 and 2000."""
    rows = rows_of([([0, 1], 0)])
    rows["input_tokens"] = np.array([2000])
    assert blocks_in(rows).position.tolist() == [1400, 2000]


def test_rows_whose_blocks_do_not_count_hold_none():
    rows = rows_of([([0, 1], 0), ([0, 1], 1)])
    rows["n_blocks"] = np.array([0, 2])
    assert blocks_in(rows).row.tolist() == [1, 1]


def capacity_curve(folder: Path, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The curve of chunks that stand in files as the levers find them."""
    files: list[tuple[Path, Path]] = []
    gid = 0
    for number, rows in enumerate(chunks):
        files.append((folder / f"chunk-{number}.columns", folder / f"rows-{number}.columns"))
        n = len(rows["time_us"])
        ragged = {name: rows[name] for name in ("block_key", "block_weight", "block_end")}
        plain = {name: rows[name] for name in ("time_us", "input_tokens", "total_weight", "first_block", "n_blocks")}
        write_batches(files[-1][0], [ragged])
        write_batches(files[-1][1], [plain | {"gid": gid + np.arange(n)}])
        gid += n
    return by_block_capacity([chunk for chunk, _ in files], [rows for _, rows in files])


def conversations(n: int) -> list[tuple[list[int], int]]:
    rng = np.random.default_rng(11)
    return [([*rng.integers(0, 4, rng.integers(1, 6)).tolist()], int(rng.integers(0, 90))) for _ in range(n)]


@pytest.mark.parametrize("capacity", [1, 4, 30, 1000])
def test_hit_tokens_by_capacity_equal_an_lru_of_blocks(tmp_path: Path, monkeypatch: Any, capacity: int):
    """Blocks of a prompt enter last block first, so that a block leaves before the one it builds on."""
    monkeypatch.setattr(prompt_cache, "BLOCK_CAPACITIES", (capacity,))
    prompts = conversations(200)
    cache: dict[tuple[int, ...], None] = {}
    hit = total = 0
    for pieces, _ in prompts:
        for place in reversed(range(len(pieces))):
            prefix = tuple(pieces[: place + 1])
            total += PIECE_TOKENS[pieces[place]]
            if prefix in cache:
                hit += PIECE_TOKENS[pieces[place]]
                del cache[prefix]
            cache[prefix] = None
            if len(cache) > capacity:
                del cache[next(iter(cache))]
    [point] = capacity_curve(tmp_path, [rows_of(prompts)])
    assert point == {"capacity_blocks": capacity, "token_share": pytest.approx(hit / total), "sampled": False}


def test_a_sampled_capacity_curve_keeps_every_access_of_the_blocks_it_follows(tmp_path: Path, monkeypatch: Any):
    """The same 500 prompts of one block each in six files: in an endless cache 5 of 6 hit, and of any sample."""
    monkeypatch.setattr(prompt_cache, "BLOCK_CAPACITIES", (1_000_000,))
    monkeypatch.setattr(prompt_cache, "SAMPLE_FROM", 500)
    keys = np.random.default_rng(5).integers(1, 2**62, 500).astype(np.uint64)
    chunks: list[dict[str, Any]] = []
    for number in range(6):
        rows = rows_of([([3], 1)] * 500)
        rows["block_key"] = Ragged(rows["block_key"].offsets, keys)
        rows["time_us"] += number * 1000 * SECOND
        chunks.append(rows)
    [point] = capacity_curve(tmp_path, chunks)
    assert point == {"capacity_blocks": 1_000_000, "token_share": pytest.approx(5 / 6), "sampled": True}
