"""A block of rows -> its text-derived columns, vectorised: role lengths, states, cache keys and prefix blocks.

A prefix block ends every 512 characters inside a message and at every message's end; its key stands for the model and
everything before it (a polynomial hash over the pieces, modulo 2^64), so equal keys are equal prefixes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import Ragged
from costplan.ingest.prompt import CHUNK_CHARS, HAS_MEDIA, HAS_TIME, IS_CUT, IS_MASKED, VOCABULARIES, Texts
from costplan.tokens import TOKENS_PER_MESSAGE
from costplan.trace import TextState

EXACT_FROM_TOKENS = 1024
"""Below the smallest provider minimum, block positions follow characters; from there on, real token counts."""
_CHARS_PER_TOKEN = 4
_TOOLS, _SYSTEM, _USER, _HISTORY, _TOOL_RESULT = range(5)
_ACTION, _TIME, _CUT, _HAS_TOOLS, _INEXACT, _CL100K = 2, 4, 64, 128, 256, 512
_NO_TEXT = 1
_FULL, _TRUNCATED, _REDACTED, _ABSENT = (int(state) for state in TextState)
_MESSAGE_END, _STATIC_END = 1, 3
_FOLD = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64
_BASE = np.uint64(0x9E3779B97F4A7C15)

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Collected rows: their numbers, and the texts of their prompts one after the other."""

    rows: Columns
    text_numbers: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    roles: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    text_ends: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """By row: where its texts end."""
    hashes: dict[int, tuple[list[int], int]] = field(default_factory=dict[int, tuple[list[int], int]])
    """By row of a hash trace: (prefix block ids, block size)."""


def folded(keys: Keys) -> Keys:
    """Mix the bits of 64-bit keys."""
    keys = keys * _FOLD
    return keys ^ (keys >> np.uint64(29))


def columns_of(block: Block, texts: Texts) -> tuple[Columns, Keys]:
    """(columns of the rows, key of each row's tools and system prompt; 0 without)."""
    columns = dict(block.rows)
    hints = columns.pop("hints")
    n = len(hints)
    ends = block.text_ends
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    has_text = ends > starts
    table = texts.arrays()
    number, role = block.text_numbers, block.roles
    row = np.repeat(np.arange(n), ends - starts)
    chars, flags = table["chars"][number], table["flags"][number]
    index = np.arange(len(number))
    first_turn = _per_row(np.minimum, np.where(role > _SYSTEM, index, len(index)), starts, has_text, len(index), n)
    static = index < first_turn[row]
    is_last = np.zeros(len(number), np.bool_)
    is_last[ends[has_text] - 1] = True
    is_user = role == _USER
    seen = _per_row(np.bitwise_or, flags, starts, has_text, 0, n)
    masks = {
        "system_chars": static & (role == _SYSTEM), "tools_chars": role == _TOOLS,
        "tool_result_chars": role == _TOOL_RESULT, "user_chars": is_last & is_user,
    }  # fmt: skip
    for name, mask in masks.items():
        columns[name] = _per_row(np.add, np.where(mask, chars, 0), starts, has_text, 0, n)
    total = _per_row(np.add, chars, starts, has_text, 0, n)
    columns["history_chars"] = total - sum(columns[name] for name in masks)
    columns["longest_user"] = _per_row(np.maximum, np.where(is_user, chars, 0), starts, has_text, 0, n)
    columns["longest_system"] = _per_row(np.maximum, np.where(masks["system_chars"], chars, 0), starts, has_text, 0, n)
    last_is_user, now = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    last_is_user[row[is_last]] = is_user[is_last]
    now[row[is_last]] = (flags[is_last] & HAS_TIME) != 0
    reasons = hints & 63
    reasons |= np.where(~last_is_user | ((seen & HAS_MEDIA) != 0), _ACTION, 0) | np.where(last_is_user & now, _TIME, 0)
    columns["cacheable"] = np.where(has_text, reasons, _NO_TEXT)
    short = _shorter_than_billed(block, texts, hints, total, (seen & HAS_MEDIA) != 0, starts)
    cut = ((hints & _CUT) != 0) | ((seen & IS_CUT) != 0) | short
    state = np.where((seen & IS_MASKED) != 0, _REDACTED, np.where(cut, _TRUNCATED, _FULL))
    columns["text_state"] = np.where(has_text, state, _ABSENT)
    static_key = _add_blocks(columns, block, texts, table, row, static, starts, has_text, total, hints)
    _add_dedupe_key(columns)
    return columns, static_key


def _per_row(
    function: Any, values: NDArray[Any], starts: Ints, has_text: NDArray[np.bool_], default: int, n: int
) -> NDArray[Any]:
    """Reduce values over each row's texts; rows without texts get the default."""
    result = np.full(n, default, dtype=np.int64)
    if has_text.any():
        result[has_text] = function.reduceat(values, starts[has_text])
    return result


def _shorter_than_billed(
    block: Block, texts: Texts, hints: Ints, chars: Ints, media: NDArray[np.bool_], starts: Ints
) -> NDArray[np.bool_]:
    """Far fewer tokens in the text than the provider counted: the export was cut (or parts were never logged).

    English and code hold 3.5 to 5 characters per token; only texts below 3.2 are worth counting exactly.
    Another vendor's tokenizer differs by up to a third, tool definitions are framed differently: more slack there.
    """
    billed = block.rows["input_tokens"]
    short = np.zeros(len(billed), np.bool_)
    suspects = (billed > 0) & (block.text_ends > starts) & (chars < 3.2 * billed) & ~media
    for row in np.flatnonzero(suspects).tolist():
        vocabulary = VOCABULARIES[1 if hints[row] & _CL100K else 0]
        numbers = block.text_numbers[starts[row] : block.text_ends[row]].tolist()
        counted = sum(texts.tokens(number, vocabulary) + TOKENS_PER_MESSAGE for number in numbers)
        slack = 0.55 if hints[row] & (_INEXACT | _HAS_TOOLS) else 0.85
        short[row] = counted < slack * billed[row] - 20
    return short


def _add_blocks(
    columns: Columns, block: Block, texts: Texts, table: Columns, row: Ints, static: NDArray[np.bool_], starts: Ints,
    has_text: NDArray[np.bool_], chars: Ints, hints: Ints,
) -> Keys:  # fmt: skip
    """Prefix blocks and cache keys; returns the key of the static part of each row."""
    n = len(hints)
    number = block.text_numbers
    pieces_of = table["piece_end"][number] - table["piece_start"][number]
    piece_ends = np.cumsum(pieces_of)
    text = np.repeat(np.arange(len(number)), pieces_of)
    source = np.arange(len(text)) - (piece_ends - pieces_of)[text] + table["piece_start"][number][text]
    piece_row = row[text]
    is_tail = np.zeros(len(text), np.bool_)
    is_tail[piece_ends - 1] = True
    weight = _weights(block, texts, table, columns["input_tokens"], chars, hints, row, text, source, is_tail)
    first_piece = np.concatenate([[0], piece_ends])[starts] if len(number) else np.zeros(n, np.int64)
    piece_count = np.bincount(piece_row, minlength=n)
    place = np.arange(len(text)) - np.repeat(first_piece, piece_count)
    powers = np.cumprod(np.full(int(place.max()) + 1 if len(place) else 0, _BASE), dtype=np.uint64)
    running = np.cumsum(table["piece_key"][source] * powers[place], dtype=np.uint64)
    before = np.concatenate([np.zeros(1, np.uint64), running])
    local = running - np.repeat(before[first_piece], piece_count)
    positions = np.cumsum(weight)
    positions = positions - np.repeat(np.concatenate([[0], positions])[first_piece], piece_count)
    model = columns["model_key"]
    key = folded(local ^ folded(model)[piece_row])
    end = np.zeros(len(text), np.int8)
    end[is_tail] = _MESSAGE_END
    static_key = np.zeros(n, np.uint64)
    last_static = np.flatnonzero(static & np.append((~static[1:]) | (row[1:] != row[:-1]), True)[: len(static)])
    end[piece_ends[last_static] - 1] = _STATIC_END
    static_key[row[last_static]] = local[piece_ends[last_static] - 1]
    columns["total_weight"] = np.zeros(n, np.int64)
    columns["root_key"] = np.zeros(n, np.uint64)
    last_piece = (first_piece + piece_count - 1)[has_text]
    columns["total_weight"][has_text] = positions[last_piece]
    columns["root_key"][has_text] = key[first_piece[has_text]]
    _add_cache_keys(columns, block, table, model, local, piece_ends, pieces_of, has_text)
    offsets = np.concatenate([[0], np.cumsum(piece_count)]).astype(np.int32)
    blocks = {"block_key": key, "block_weight": positions, "block_end": end}
    columns |= {name: Ragged(offsets, values) for name, values in blocks.items()}
    if block.hashes:
        _add_hashes(columns, block.hashes)
    return static_key


def _weights(
    block: Block, texts: Texts, table: Columns, tokens_in: Ints, chars: Ints, hints: Ints, row: Ints, text: Ints,
    source: Ints, is_tail: NDArray[np.bool_],
) -> Ints:  # fmt: skip
    """Length of every piece with its message's framing: characters, or tokens where the prompt is long enough."""
    number = block.text_numbers[text]
    tail_chars = table["chars"][number] - (table["piece_end"] - table["piece_start"] - 1)[number] * CHUNK_CHARS
    weight = np.where(is_tail, tail_chars + _CHARS_PER_TOKEN * TOKENS_PER_MESSAGE, CHUNK_CHARS)
    long = np.where(tokens_in >= 0, tokens_in, chars // _CHARS_PER_TOKEN) >= EXACT_FROM_TOKENS
    for vocabulary in range(len(VOCABULARIES)):
        mine = long & (((hints & _CL100K) != 0) == bool(vocabulary))
        chosen = mine[row[text]]
        if chosen.any():
            tokens = texts.piece_tokens(vocabulary, number[chosen])[source[chosen]]
            weight[chosen] = tokens + np.where(is_tail[chosen], TOKENS_PER_MESSAGE, 0)
    return weight


def _add_cache_keys(
    columns: Columns, block: Block, table: Columns, model: Keys, local: Keys, piece_ends: Ints, pieces_of: Ints,
    has_text: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Everything but the last turn (the context), then the last turn literally, and as it reads when normalised."""
    exact, norm, context_key = (np.zeros(len(model), np.uint64) for _ in range(3))
    last = block.text_ends[has_text] - 1
    start = (piece_ends - pieces_of)[last]
    first = np.concatenate([[0], piece_ends])[np.concatenate([[0], block.text_ends[:-1]]).astype(np.int64)[has_text]]
    context = np.where(start > first, local[np.maximum(start - 1, 0)], np.uint64(0))
    base = folded(folded(context ^ folded(model[has_text])) ^ columns["params_key"][has_text])
    context_key[has_text] = base
    number = block.text_numbers[last]
    exact[has_text] = folded(base ^ table["key"][number])
    norm[has_text] = folded(~base ^ table["norm"][number])
    columns["exact_key"], columns["norm_key"], columns["context_key"] = exact, norm, context_key
    del columns["params_key"]


def _add_dedupe_key(columns: Columns) -> None:
    """Message id, request and usage in one key; 0 without an id (such calls are never duplicates)."""
    usage = (columns["input_tokens"] << 40) ^ (columns["output_tokens"] << 16) ^ columns["cache_read_tokens"]
    request = columns["exact_key"] ^ folded(columns.pop("model_key"))
    key = folded(columns["id_key"] ^ request) ^ usage.view(np.uint64)
    halves = (columns["flags"] >> 8 & 3).astype(np.uint64)
    columns["dedupe_key"] = np.where(columns["id_key"] == 0, np.uint64(0), folded(key ^ halves) | np.uint64(1))


def _add_hashes(columns: Columns, hashes: dict[int, tuple[list[int], int]]) -> None:
    """Rows of hash traces: ids already stand for whole prefixes; the last block may be shorter."""
    n = len(columns["flags"])
    rows: dict[str, list[list[int]]] = {}
    for name in ("block_key", "block_weight", "block_end"):
        column = columns[name]
        rows[name] = [column.values[column.offsets[i] : column.offsets[i + 1]].tolist() for i in range(n)]
    for row, (ids, size) in hashes.items():
        total = int(columns["input_tokens"][row])
        ends = [size * (i + 1) for i in range(len(ids))]
        rows["block_key"][row] = [block & (2**64 - 1) for block in ids]
        rows["block_weight"][row] = [min(end, total) for end in ends] if total > 0 else ends
        rows["block_end"][row] = [0] * len(ids)
        columns["root_key"][row] = ids[0] & (2**64 - 1)
        columns["total_weight"][row] = total if total > 0 else ends[-1]
    offsets = np.concatenate([[0], np.cumsum([len(keys) for keys in rows["block_key"]])]).astype(np.int32)
    for name, lists in rows.items():
        dtype = columns[name].values.dtype
        columns[name] = Ragged(offsets, np.array([value for values in lists for value in values], dtype=dtype))
