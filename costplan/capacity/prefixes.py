"""Prefix keys of a log -> blocks of an engine's KV cache; it compares keys only and never sees text.

A key stands for everything up to its position (ingest.columns), so it decides all engine blocks that end there: block b
belongs to the first key at or behind its last token. Two requests hold the same block when they share that key. The
position of a key is the one of its first request: token counts of the same text differ slightly from call to call.

Answers are not hashed. Where a later prompt repeats a whole earlier one and goes on with a message about as long as
the earlier answer, that message is taken for the answer, and the earlier request's generated blocks get its keys.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.trace import BlockEnd

Ints = NDArray[np.int64]
ANSWER_SLACK = 0.25
ANSWER_SLACK_TOKENS = 16
_ROW = 1 << 32


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """The prefix keys of requests in order of arrival, as ingest writes them."""

    keys: Any
    """Ragged uint64."""
    weights: Ints
    """By key: position in characters or tokens."""
    ends: NDArray[np.int8]
    total_weight: Ints
    """By request: weight of the whole prompt."""
    whole: NDArray[np.bool_]
    """By request: the text (or the hash list) is complete."""
    is_text: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Keys:
    """Every (request, key), with the engine blocks the key decides."""

    row: Ints
    key: Ints
    """Dense key numbers."""
    end_block: Ints
    """Engine blocks up to the key's position."""
    start_block: Ints
    position: Ints
    is_message_end: NDArray[np.bool_]
    is_last: NDArray[np.bool_]


def engine_blocks(chains: Chains, inputs: Ints, outputs: Ints, block_size: int) -> tuple[Ints, NDArray[np.int32]]:
    """(offsets, dense block numbers) of the blocks each request shares with another one."""
    rows = len(inputs)
    keys = _positions(chains, inputs, block_size)
    if not len(keys.row):
        return np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int32)
    # blocks of key k are numbered from base[k]; the first request that holds the key says which they are
    _, first = np.unique(keys.key, return_index=True)
    count = (keys.end_block - keys.start_block)[first]
    base = np.concatenate([[0], np.cumsum(count)[:-1]])
    fits = (keys.start_block == keys.start_block[first][keys.key]) & (
        keys.end_block <= (inputs // block_size)[keys.row]
    )
    stop = np.full(rows, len(keys.row), dtype=np.int64)
    np.minimum.at(stop, keys.row[~fits], np.flatnonzero(~fits))
    keep = np.arange(len(keys.row)) < stop[keys.row]
    length = np.where(keep, keys.end_block - keys.start_block, 0)
    own_ids = np.repeat(base[keys.key], length) + _ramp(length)
    own = np.bincount(keys.row, weights=length, minlength=rows).astype(np.int64)
    own_start = np.concatenate([[0], np.cumsum(own)[:-1]])
    tail_start, tail = _answers(chains, keys, own, own_start, (inputs + outputs) // block_size, outputs)
    segment_start = np.stack([own_start, tail_start], axis=1).ravel()
    segment = np.stack([own, tail], axis=1).ravel()
    ids = own_ids[np.repeat(segment_start, segment) + _ramp(segment)]
    return _shared_only(ids, own + tail)


def _positions(chains: Chains, inputs: Ints, block_size: int) -> _Keys:
    lengths = np.diff(chains.keys.offsets).astype(np.int64)
    row = np.repeat(np.arange(len(lengths)), lengths)
    is_last = np.zeros(len(row), dtype=np.bool_)
    is_last[chains.keys.offsets[1:][lengths > 0] - 1] = True
    scale = inputs / np.maximum(chains.total_weight, 1)
    position = np.minimum(np.floor(chains.weights * scale[row] + 1e-9).astype(np.int64), inputs[row])
    use = chains.whole[row]
    row, position, is_last = row[use], position[use], is_last[use]
    _, first, key = np.unique(chains.keys.values[use], return_index=True, return_inverse=True)
    position = position[first][key]
    position = np.maximum.accumulate(position + row * _ROW) - row * _ROW if len(row) else position
    end_block = position // block_size
    start_block = np.concatenate([[0], end_block[:-1]]) if len(row) else end_block
    start_block[np.concatenate([[True], row[1:] != row[:-1]])[: len(row)]] = 0
    return _Keys(row, key, end_block, start_block, position, chains.ends[use] >= BlockEnd.MESSAGE, is_last)


def _answers(chains: Chains, keys: _Keys, own: Ints, own_start: Ints, most: Ints, outputs: Ints) -> tuple[Ints, Ints]:
    """(start in the next turn's blocks, count) of the generated blocks of each request, 0 without a next turn."""
    rows = len(own)
    tail_start, tail = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    # the earlier request whose whole prompt ends with a key, by key: the latest one before this row
    last = np.flatnonzero(keys.is_last & chains.is_text[keys.row])
    order = last[np.lexsort((keys.row[last], keys.key[last]))]
    stamp = keys.key[order] * _ROW + keys.row[order]
    inside = np.flatnonzero(keys.is_message_end & ~keys.is_last & chains.is_text[keys.row])
    found = np.searchsorted(stamp, keys.key[inside] * _ROW + keys.row[inside]) - 1
    hit = (found >= 0) & (keys.key[order[np.maximum(found, 0)]] == keys.key[inside]) if len(order) else found >= 0
    inside, earlier = inside[hit], keys.row[order[found[hit]]] if len(order) else found[hit]
    # position of the message end that follows
    ends = np.flatnonzero(keys.is_message_end)
    following = ends[np.searchsorted(ends, inside, "right")]
    answer = keys.position[following] - keys.position[inside]
    slack = np.maximum(ANSWER_SLACK * outputs[earlier], ANSWER_SLACK_TOKENS)
    match = np.abs(answer - outputs[earlier]) <= slack
    for later, before in zip(keys.row[inside[match]].tolist(), earlier[match].tolist(), strict=True):
        reach = min(int(most[before]), int(own[later])) - int(own[before])
        if tail[before] == 0 and reach > 0:
            tail_start[before], tail[before] = own_start[later] + own[before], reach
    return tail_start, tail


def _shared_only(ids: Ints, lengths: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """Each request's blocks up to the last that another one holds too, numbered without gaps."""
    shared = np.bincount(ids)[ids] > 1 if len(ids) else np.zeros(0, dtype=np.bool_)
    row = np.repeat(np.arange(len(lengths)), lengths)
    reach = np.zeros(len(lengths), dtype=np.int64)
    np.maximum.at(reach, row[shared], (_ramp(lengths) + 1)[shared])
    kept = ids[_ramp(lengths) < reach[row]]
    _, dense = np.unique(kept, return_inverse=True)
    return np.concatenate([[0], np.cumsum(reach)]).astype(np.int64), dense.astype(np.int32)


def _ramp(lengths: Ints) -> Ints:
    """0, 1, 2, ... of each length, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) - np.repeat(ends - lengths, lengths)
