"""What only the whole log can tell: duplicates, halves that belong together, parent spans, shortened exports.

Works on keys of all rows (a few dozen bytes per row), never on text. Prices are not known here.
"""

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.engine import concat, read_batch, take, write_batches
from costplan.ingest.features import Kind
from costplan.ingest.parse import Chunk, Parsed
from costplan.trace import Flag

Keys = NDArray[np.uint64]
PILE_MIN_CHARS = 64
PILE_MIN_TEXTS = 20
"""So many distinct texts of exactly the longest length are no accident."""
PILE_SHARE = 0.01
_FROM_REQUEST = (
    "user", "session",
    "text_state", "cacheable", "total_weight", "system_chars", "tools_chars", "history_chars", "tool_result_chars",
    "user_chars", "longest_user", "longest_system", "exact_key", "norm_key", "context_key", "root_key", "site",
    "block_key", "block_weight", "block_end", "tools_key", "tool_set",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """The chunks that remain, the rows to leave out of each, and what was found."""

    chunks: list[Chunk]
    dropped: list[NDArray[np.int64]]
    """Per chunk, sorted row numbers that are no rows of the trace (duplicates, merged halves, parent spans)."""
    duplicates: int
    repeated_ids: int
    merged: int
    parent_spans: int
    cut_lengths: dict[str, int]
    """Role group -> the length at which this export cuts its texts."""


def settle(parsed: list[Parsed], folder: Path) -> Settled:
    """Decide over all chunks which rows stay."""
    chunks = [chunk for split in parsed for chunk in split.chunks]
    chunks, merged_rows = _merge_halves(chunks, folder)
    rows = [chunk.rows for chunk in chunks]
    keep = np.ones(sum(rows), dtype=np.bool_)
    edges = np.concatenate([[0], np.cumsum(rows)])
    for index, gone in enumerate(merged_rows):
        keep[edges[index] + gone] = False
    merged = int((~keep).sum())
    snapshots = _snapshots(chunks, keep)
    parents = _parent_spans(chunks, [split.links for split in parsed], keep)
    duplicates, repeated = _duplicates(chunks, keep)
    duplicates += snapshots
    dropped = [np.flatnonzero(~keep[edges[i] : edges[i + 1]]) for i in range(len(chunks))]
    return Settled(chunks, dropped, duplicates, repeated, merged, parents, _cut_lengths(parsed))


def _column(chunks: list[Chunk], name: str, dtype: Any) -> NDArray[Any]:
    """One column of all chunks."""
    if not chunks:
        return np.zeros(0, dtype=dtype)
    return np.concatenate([np.asarray(read_batch(chunk.path, 0, [name])[name], dtype=dtype) for chunk in chunks])


def _snapshots(chunks: list[Chunk], keep: NDArray[np.bool_]) -> int:
    """Of the records of one call keep the one with the most output; of equals the last of the first file that has any.

    Agents write a call again as it grows and when they resume a session: the last record holds the answer's end.
    """
    shown = np.flatnonzero((_column(chunks, "flags", np.int64) & Flag.SNAPSHOT) != 0)
    keys = _column(chunks, "id_key", np.uint64)[shown] if len(shown) else np.zeros(0, np.uint64)
    shown, keys = shown[keys != 0], keys[keys != 0]
    if not len(shown):
        return 0
    output = _column(chunks, "output_tokens", np.int64)[shown]
    file = np.repeat([chunk.source_index for chunk in chunks], [chunk.rows for chunk in chunks])[shown]
    order = np.lexsort((-shown, file, -output, keys))
    again = keys[order][1:] == keys[order][:-1]
    keep[shown[order[1:][again]]] = False
    return int(again.sum())


def _duplicates(chunks: list[Chunk], keep: NDArray[np.bool_]) -> tuple[int, int]:
    """Drop rows whose id, model, usage and request hash were seen before; the first one in file order stays.

    Returns (rows dropped, rows that repeat an id with other content and stay).
    """
    again = _seen_before(_column(chunks, "dedupe_key", np.uint64), keep)
    keep[again] = False
    repeated = _seen_before(_column(chunks, "id_key", np.uint64), keep)
    return len(again), len(repeated)


def _seen_before(keys: Keys, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows whose non-zero key stands in an earlier kept row."""
    ordered = keys[(keys != 0) & keep]
    ordered.sort()
    if not (ordered[1:] == ordered[:-1]).any():
        return np.zeros(0, np.int64)
    candidates = np.flatnonzero((keys != 0) & keep)
    values = keys[candidates]
    order = np.argsort(values, kind="stable")
    same = np.zeros(len(order), dtype=np.bool_)
    same[1:] = values[order][1:] == values[order][:-1]
    return np.sort(candidates[order[same]])


def _merge_halves(chunks: list[Chunk], folder: Path) -> tuple[list[Chunk], list[NDArray[np.int64]]]:
    """Batch files: give each response row the prompt of the request row with its join id, and drop the request row.

    Ids start afresh in every batch, so the n-th response of an id belongs to its n-th request.
    """
    gone: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64) for _ in chunks]
    flags = [read_batch(chunk.path, 0, ["flags"])["flags"] for chunk in chunks]
    if not any((f & Flag.RESPONSE_PART).any() for f in flags) or not any((f & Flag.REQUEST_PART).any() for f in flags):
        return chunks, gone
    join = [read_batch(chunk.path, 0, ["join_key"])["join_key"] for chunk in chunks]
    where: dict[int, deque[tuple[int, int]]] = {}
    for index, (bits, keys) in enumerate(zip(flags, join, strict=True)):
        for row in np.flatnonzero(bits & Flag.REQUEST_PART):
            where.setdefault(int(keys[row]), deque()).append((index, int(row)))
    taken: list[list[int]] = [[] for _ in chunks]
    out = list(chunks)
    for index, (bits, keys) in enumerate(zip(flags, join, strict=True)):
        responses = np.flatnonzero(bits & Flag.RESPONSE_PART).tolist()
        pairs = [(row, *waiting.popleft()) for row in responses if (waiting := where.get(int(keys[row])))]
        if pairs:
            out[index] = _with_request_columns(index, chunks, pairs, folder)
            for _, chunk_index, row in pairs:
                taken[chunk_index].append(row)
    return out, [np.array(sorted(rows), dtype=np.int64) for rows in taken]


def _with_request_columns(index: int, chunks: list[Chunk], pairs: list[tuple[int, int, int]], folder: Path) -> Chunk:
    """A copy of chunk `index` whose rows in `pairs` (row, request chunk, request row) carry the request's prompt."""
    columns = read_batch(chunks[index].path, 0)
    sources = sorted({chunk_index for _, chunk_index, _ in pairs})
    rows_of = {s: np.array([r for _, c, r in pairs if c == s], dtype=np.int64) for s in sources}
    target = np.array([row for s in sources for row, c, _ in pairs if c == s], dtype=np.int64)
    requests = concat([take(read_batch(chunks[s].path, 0, list(_FROM_REQUEST)), rows_of[s]) for s in sources])
    own = {name: columns[name] for name in _FROM_REQUEST}
    pick = np.arange(chunks[index].rows)
    pick[target] = chunks[index].rows + np.arange(len(target))
    columns |= take(concat([own, requests]), pick)
    for name in ("user", "session"):  # a gateway's row of counts names them where its row of text does not
        columns[name] = np.where(columns[name] == 0, own[name], columns[name])
    kinds = _with_models(columns, chunks, index, pairs)
    path = folder / f"{chunks[index].path.stem}-merged.arrow"
    write_batches(path, [columns])
    sites = dict.fromkeys([site for s in (index, *sources) for site in chunks[s].sites])
    return replace(chunks[index], path=path, kinds=kinds, sites=list(sites))


def _with_models(
    columns: dict[str, Any], chunks: list[Chunk], index: int, pairs: list[tuple[int, int, int]]
) -> list[Kind]:
    """Name in each row's kind the model that its request asked for; returns the chunk's new table of kinds."""
    numbers = {kind: number for number, kind in enumerate(chunks[index].kinds)}
    asked = {s: read_batch(chunks[s].path, 0, ["kind"])["kind"] for s in {chunk for _, chunk, _ in pairs}}
    kind_of: NDArray[np.int64] = np.array(columns["kind"])
    for row, chunk, request in pairs:
        own = chunks[index].kinds[int(kind_of[row])]
        model = own[1] or chunks[chunk].kinds[int(asked[chunk][request])][1]
        kind_of[row] = numbers.setdefault((own[0], model, *own[2:]), len(numbers))
    columns["kind"] = kind_of
    return list(numbers)


def _parent_spans(chunks: list[Chunk], links: list[Keys], keep: NDArray[np.bool_]) -> int:
    """Drop a call that stands above other calls of its trace and repeats (at least) the sum of their usage."""
    spans, parents = (_column(chunks, name, np.uint64) for name in ("span_key", "parent_key"))
    turns = (_column(chunks, "flags", np.int64) & Flag.SNAPSHOT) != 0
    spans[turns] = parents[turns] = 0  # an agent's turns follow each other: none repeats the next
    if not spans.any():
        return 0
    through = {int(span): int(parent) for pair in links for span, parent in pair}
    tokens = _column(chunks, "input_tokens", np.int64).clip(0) + _column(chunks, "output_tokens", np.int64).clip(0)
    # a span that was exported twice counts once: its later rows are duplicates or repeat the parent
    row_of = {int(spans[row]): int(row) for row in np.flatnonzero(spans)[::-1]}
    below: dict[int, int] = {}
    for row in np.flatnonzero(parents):
        if row_of[int(spans[row])] != row:
            continue
        step, hops = int(parents[row]), 0
        while step not in row_of and step in through and hops < 64:
            step, hops = through[step], hops + 1
        parent_row = row_of.get(step)
        if parent_row is not None and parent_row != row:
            below[parent_row] = below.get(parent_row, 0) + int(tokens[row])
    repeats = [row for row, total in below.items() if keep[row] and total > 0 and tokens[row] >= 0.99 * total]
    repeats = [row for row in repeats if tokens[row] <= 1.01 * below[row]]
    gone = np.isin(spans, spans[repeats]) & keep & (spans != 0)
    keep[gone] = False
    return int(gone.sum())


def _cut_lengths(parsed: list[Parsed]) -> dict[str, int]:
    """The longest length of a role group where so many distinct texts end there that the export must cut them.

    Few system prompts are distinct: theirs count as cut where they end at the very length at which user turns are cut.
    """
    found: dict[str, int] = {}
    longest: dict[str, int] = {}
    for group in ("user", "system"):
        ends = [split.lengths[group] for split in parsed if group in split.lengths]
        longest[group] = max((length for length, _, _ in ends), default=0)
        that_long = sum(texts for length, texts, _ in ends if length == longest[group])
        needed = max(PILE_MIN_TEXTS, PILE_SHARE * sum(total for _, _, total in ends))
        if longest[group] >= PILE_MIN_CHARS and that_long >= needed:
            found[group] = longest[group]
    return {group: length for group, length in longest.items() if length in found.values()}
