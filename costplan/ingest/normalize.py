"""`costplan normalize`: logs of any dialect as one canonical trace, whole or anonymised; it prices nothing.

Two passes: the first decides what stays (duplicates, halves, parent spans), the second writes. Text passes through one
record at a time. Anonymised traces hold timing, lengths and salted prefix hashes, enough to replay and to size caches.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from costplan.engine import Executor, read_batch
from costplan.errors import CostplanError, UsageError
from costplan.ingest.canonical import SCHEMA, mooncake_row, row_of
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, read_log
from costplan.ingest.parse import SplitBooks, read_calls
from costplan.ingest.prompt import flat_text, json_text
from costplan.ingest.source import expand, splits_of
from costplan.settings import AnalyzeSettings
from costplan.tokens import encode, encoding_of
from costplan.trace import BadRecord, Call, Part, TextState

MOONCAKE_TOKENS = 512
"""Mooncake's block size (FAST '25 traces)."""
BLOCK_TOKENS = 16
"""Blocks of anonymised canonical rows, as vLLM caches them; short prompts share nothing in longer ones."""
BATCH_ROWS = 5_000
_PRIVATE = (
    "input_messages", "tools_text", "output_text", "output_tool_calls", "request_id", "source_file", "error_type",
    "tags", "params",
)  # fmt: skip
_SETTLED = ("text_state", "longest_user", "longest_system", "input_tokens", "output_tokens")
_KEYED = ("user", "session_id", "trace_id", "span_id", "parent_id", "feature")

Row = dict[str, Any]
Progress = Callable[[str, int, int], None] | None


def normalize(
    paths: list[str], output: Path, settings: AnalyzeSettings, *, work: Path, as_: str | None, anonymize: bool,
    salt: bytes, report: Progress,
) -> str:  # fmt: skip
    """Write the trace; returns one line that says what was written and what was not.

    Raises CostplanError or UsageError for an unknown output format or an unreadable log.
    """
    if as_ not in (None, "mooncake"):
        raise UsageError(f"--as {as_}: no such trace format", hint="leave it out, or write --as mooncake")
    if output.suffix not in (".parquet", ".jsonl") or (as_ and output.suffix != ".jsonl"):
        raise UsageError(
            f"{output}: cannot tell the format", hint="end the name in .jsonl or, for canonical rows, .parquet"
        )
    if any(name != "-" and output.exists() and output.samefile(name) for name in expand(paths)):
        raise UsageError(f"{output}: this is one of the logs to read", hint="give the trace a name of its own")
    log = read_log(paths, settings, FeatureSettings(), work, Executor(1), report or (lambda stage, done, total: None))
    left_out = [0]
    rows = (
        _mooncake(settled_calls(log, settings.head), salt, left_out)
        if as_
        else _canonical(settled_calls(log, settings.head), salt)
        if anonymize
        else _canonical(_kept(log, settings.head), None)
    )
    unfinished = output.with_name(output.name + ".part")
    try:
        written = _write_parquet(unfinished, rows) if output.suffix == ".parquet" else _write_jsonl(unfinished, rows)
        unfinished.replace(output)
    except OSError as error:
        raise CostplanError(f"{output}: {error.strerror}", hint="name a file in a folder that can be written") from None
    finally:
        unfinished.unlink(missing_ok=True)
    skipped = sum(log.skipped.values())
    return (
        f"{output}: {written:,} rows of {log.records:,} records "
        f"({sum(log.not_a_call.values()):,} not a call, {skipped:,} skipped, {log.duplicates:,} duplicates, "
        f"{log.merged:,} merged" + (f", {left_out[0]:,} without time or usage" if left_out[0] else "") + ")"
    )


def read_salt(path: Path | None) -> bytes:
    """The salt in a file (made there if it does not exist yet), or a fresh one that nobody keeps."""
    if path is None:
        return os.urandom(16)
    try:
        if not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(os.urandom(16))
        salt = path.read_bytes()
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror}", hint="name a file that can be read or made") from None
    if len(salt) < 16:
        raise CostplanError(f"{path}: a salt needs at least 16 bytes", hint="delete the file and a fresh one is made")
    return salt[:64]


def settled_calls(log: Log, head: int | None) -> Iterator[tuple[Call, str, str, int]]:
    """The rows of `_kept` as a trace without their text needs them: tokens counted from text where the source reports
    none, and no messages where the text is known to be cut or masked (its prefixes would look alike)."""
    kept = _kept(log, head)
    for chunk, dropped in zip(log.chunks, log.dropped, strict=True):
        columns = read_batch(chunk.path, 0, _SETTLED)
        state = np.array(columns["text_state"])
        for group, length in log.cut_lengths.items():
            state[columns[f"longest_{group}"] == length] = TextState.TRUNCATED
        counts = (columns["input_tokens"].tolist(), columns["output_tokens"].tolist())
        gone = set(dropped.tolist())
        for row in range(chunk.rows):
            if row in gone:
                continue
            call, dialect, file, line = next(kept)
            if call.input_tokens is None and counts[0][row] >= 0:
                call.input_tokens = counts[0][row]
            if call.output_tokens is None and counts[1][row] >= 0:
                call.output_tokens = counts[1][row]
            if call.messages and state[row] != TextState.FULL:
                call.messages, call.text_cut = [], True
            yield call, dialect, file, line


def _kept(log: Log, head: int | None) -> Iterator[tuple[Call, str, str, int]]:
    """(call, dialect, file, line) of every row that stays, in file order; halves are joined."""
    edges = np.concatenate([[0], np.cumsum([chunk.rows for chunk in log.chunks])])
    gone = {int(edges[i] + row) for i, rows in enumerate(log.dropped) for row in rows}
    requests = _requests(log) if log.merged else {}
    number = 0
    for index, source in enumerate(log.sources):
        offset = 0
        for split in splits_of(index, source):
            books = SplitBooks()
            for line, call in read_calls(split, log.detected[index], books, head):
                if not isinstance(call, Call):
                    continue
                if number == edges[-1]:  # --head: the first pass stopped here
                    return
                if call.part is Part.RESPONSE and (waiting := requests.get(call.join_id or "")):
                    call = _joined(call, waiting.popleft())
                if number not in gone:
                    yield call, log.detected[index].name, source.shown, line + offset
                number += 1
            offset += books.lines


def _requests(log: Log) -> dict[str, deque[Call]]:
    """The request halves of batch files by their join id (these are held: batch inputs are bounded by the provider)."""
    found: dict[str, deque[Call]] = {}
    for index, source in enumerate(log.sources):
        for split in splits_of(index, source):
            for _, call in read_calls(split, log.detected[index], SplitBooks()):
                if isinstance(call, Call) and call.part is Part.REQUEST and call.join_id:
                    found.setdefault(call.join_id, deque()).append(call)
    return found


def _joined(response: Call, request: Call) -> Call:
    return msgspec.structs.replace(
        response, messages=request.messages, tools=request.tools, params=request.params,
        user=request.user or response.user, session_id=request.session_id or response.session_id,
        temperature=request.temperature, feature=request.feature or response.feature, part=Part.WHOLE,
        request_model=request.request_model or response.request_model,
    )  # fmt: skip


def _canonical(calls: Iterator[tuple[Call, str, str, int]], salt: bytes | None) -> Iterator[Row]:
    for number, (call, dialect, file, line) in enumerate(calls):
        row: Row = row_of(call) | {"source_format": dialect, "source_file": file, "source_line": line}
        if salt is not None:
            row |= dict.fromkeys(_PRIVATE)
            row |= {name: _keyed(row[name], salt) for name in _KEYED}
            if not call.block_ids and not call.text_cut:
                row["prefix_block_ids"], row["block_size"] = (
                    _block_ids(call, salt, number, BLOCK_TOKENS) or None,
                    BLOCK_TOKENS,
                )
        yield row


def _mooncake(calls: Iterator[tuple[Call, str, str, int]], salt: bytes, left_out: list[int]) -> Iterator[Row]:
    """Ids are numbered by first appearance, so that nothing of the salted hashes is left in the file."""
    numbers: dict[int, int] = {}
    start: int | None = None
    for number, (call, _, _, _) in enumerate(calls):
        try:
            row = mooncake_row(call, start or 0)
        except BadRecord:
            left_out[0] += 1
            continue
        if start is None:
            start = 0 if call.time_is_relative else call.time_us
            row = mooncake_row(call, start or 0)
        if not (call.block_ids and call.block_size == MOONCAKE_TOKENS):
            keys = _block_ids(call, salt, number, MOONCAKE_TOKENS)
            row["hash_ids"] = [numbers.setdefault(key, len(numbers)) for key in keys]
        yield row


def _keyed(value: str | None, salt: bytes) -> str | None:
    if value is None:
        return None
    return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, key=salt).hexdigest()


def _block_ids(call: Call, salt: bytes, number: int, size: int) -> list[int]:
    """Salted hash of every prefix of the prompt that is `size` tokens longer, ceil(input_tokens / size) of them.

    Without text every block is its own: a prompt that nobody can compare shares nothing; `number` is the row's.
    """
    total = call.input_tokens or 0
    count = -(-total // size)
    state = hashlib.blake2b(digest_size=7, key=salt)
    if not call.messages:
        state.update(f"{number}".encode())
        unique = int.from_bytes(state.digest(), "little")
        return [unique + index for index in range(count)]
    vocabulary = encoding_of(call.response_model or call.request_model)[0]
    parts = [json_text(call.tools)] if call.tools else []
    parts += [f"{message.role}\x1f{flat_text(message)[0]}" for message in call.messages]
    ids = np.array(encode("\x1e".join(parts), vocabulary), dtype=np.uint32)
    state.update((call.response_model or call.request_model).encode("utf-8", "surrogatepass"))
    # Equal prefixes must be cut at equal places: tokens of another vendor are scaled in coarse steps, not row by row
    scale = max(1, round(4 * total / max(len(ids), 1))) / 4
    blocks: list[int] = []
    before = 0
    for index in range(count):
        cut = len(ids) if index == count - 1 else min(round((index + 1) * size / scale), len(ids))
        state.update(ids[before:cut].tobytes() or b"-")
        before = cut
        blocks.append(int.from_bytes(state.digest(), "little"))
    return blocks


def _write_jsonl(path: Path, rows: Iterator[Row]) -> int:
    encoder = msgspec.json.Encoder()
    count = 0
    with path.open("wb") as file:
        for row in rows:
            file.write(encoder.encode(row) + b"\n")
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterator[Row]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = cast(Any, pa)
    schema = arrow.schema([(name, _arrow_type(kind)) for name, kind in SCHEMA.items()])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        batch: list[Row] = []
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH_ROWS:
                writer.write_table(arrow.Table.from_pylist(batch, schema))
                count, batch = count + len(batch), []
        writer.write_table(arrow.Table.from_pylist(batch, schema))
    return count + len(batch)


def _arrow_type(kind: str) -> Any:
    import pyarrow as pa

    arrow = cast(Any, pa)
    text = arrow.string()
    message = arrow.struct([("role", text), ("text", text), ("tool_calls", text)])
    kinds: dict[str, Any] = {
        "str": text, "int": arrow.int64(), "float": arrow.float64(), "bool": arrow.bool_(),
        "strs": arrow.list_(text), "ints": arrow.list_(arrow.uint64()), "messages": arrow.list_(message),
    }  # fmt: skip
    return kinds[kind]
