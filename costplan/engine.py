"""How work is spread and spilled: `map` over splits or buckets, column files between stages; knows nothing of logs.

An executor is only `map(fn, items)`. Every stage is a pure function of its item and of files that earlier stages
finished, so one worker, two or a cluster give the same bytes. A finished stage item is a file.
"""

import json
import mmap
import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_HELD_RESULTS = 8
_BUFFER_BYTES = 1 << 20

Item = TypeVar("Item")
Result = TypeVar("Result")
Column = "NDArray[Any] | Ragged"


@dataclass(frozen=True, slots=True)
class Ragged:
    """A list column: row i holds `values[offsets[i]:offsets[i + 1]]`."""

    offsets: NDArray[np.int32]
    values: NDArray[Any]

    def take(self, rows: NDArray[np.int64]) -> "Ragged":
        """The rows in the given order."""
        lengths = (self.offsets[1:] - self.offsets[:-1])[rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int32)
        np.cumsum(lengths, out=offsets[1:])
        starts = self.offsets[:-1][rows]
        index = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1], dtype=np.int64)
        return Ragged(offsets, self.values[index])


Columns = Mapping[str, "NDArray[Any] | Ragged"]


class Executor:
    """`map` over a process pool that lives as long as the run; one worker runs inline, in this process."""

    def __init__(self, workers: int) -> None:
        self.workers = max(1, workers)
        self._pool: ProcessPoolExecutor | None = None

    def map(
        self,
        fn: Callable[[Item], Result],
        items: Sequence[Item],
        on_done: Callable[[Item], None] | None = None,
    ) -> list[Result]:
        """`[fn(item) for item in items]`, in the order of `items` whatever finishes first."""
        if self.workers == 1 or len(items) <= 1:
            results: list[Result] = []
            for item in items:
                results.append(fn(item))
                if on_done:
                    on_done(item)
            return results
        pool = self._start()
        futures = {pool.submit(fn, item): index for index, item in enumerate(items)}
        done: dict[int, Result] = {}
        try:
            for future in as_completed(futures):
                index = futures[future]
                done[index] = future.result()
                if on_done:
                    on_done(items[index])
        except BaseException:
            self.close(cancel=True)
            raise
        return [done[index] for index in range(len(items))]

    def reduce(
        self,
        fn: Callable[[Item], Result],
        items: Sequence[Item],
        merge: Callable[[list[Result]], Result],
        on_done: Callable[[Item], None] | None = None,
    ) -> Result:
        """`merge` of all results, merged on the way so that only a few are held.

        `merge` must not care for order or grouping: results come in as they finish.
        """
        held: list[Result] = []

        def take_in(result: Result) -> None:
            held.append(result)
            if len(held) == _HELD_RESULTS:
                held[:] = [merge(held)]

        if self.workers == 1 or len(items) <= 1:
            for item in items:
                take_in(fn(item))
                if on_done:
                    on_done(item)
            return merge(held)
        futures = {self._start().submit(fn, item): item for item in items}
        try:
            for future in as_completed(list(futures)):
                take_in(future.result())
                item = futures.pop(future)
                if on_done:
                    on_done(item)
        except BaseException:
            self.close(cancel=True)
            raise
        return merge(held)

    @contextmanager
    def ahead(self, fn: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Callable[[], list[Result]]]:
        """Start on the items now, in a process beside the pool; calling what is given waits for the results."""
        if self.workers == 1:
            yield lambda: [fn(item) for item in items]
            return
        context = _context()
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_send_results, args=(fn, items, sending))
        process.start()
        sending.close()

        def results() -> list[Result]:
            found = receiving.recv()
            if isinstance(found, BaseException):
                raise found
            return found

        try:
            yield results
        finally:
            process.terminate()  # nobody waits any more
            process.join()

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, mp_context=_context())
        return self._pool

    def close(self, *, cancel: bool = False) -> None:
        """Stop the workers; the next `map` starts fresh ones. Call it between stages to give memory back."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=cancel)
            self._pool = None


def _context() -> Any:
    """fork shares the imported modules; elsewhere the platform's default start method is used."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else None)


def _send_results(fn: Callable[[Any], Any], items: Sequence[Any], sending: Any) -> None:
    try:
        sending.send([fn(item) for item in items])
    except Exception as error:
        sending.send(error)


@contextmanager
def executor(workers: int) -> Generator[Executor]:
    """An Executor whose workers are gone when the block ends, also after an error."""
    pool = Executor(workers)
    try:
        yield pool
    finally:
        pool.close(cancel=True)


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def write_batches(path: Path, batches: Sequence[Columns]) -> None:
    """One column file; batch p of it holds the columns of `batches[p]`, all alike. Renamed into place when complete.

    Buffers one after the other, 8-byte aligned; then where each begins and how many values it has (int64, batches x
    buffers x 2); then names and types as JSON and the length of that. Only this run reads it, with nothing to import.
    """
    unfinished = path.with_suffix(".part")
    index: list[tuple[int, int]] = []
    with unfinished.open("wb", buffering=_BUFFER_BYTES) as file:
        for batch in batches:
            for buffer in (buffer for column in batch.values() for buffer in _buffers(column)):
                index.append((file.tell(), len(buffer)))
                file.write(np.ascontiguousarray(buffer).data)
                file.write(bytes(-file.tell() % 8))
        names = {name: [buffer.dtype.str for buffer in _buffers(column)] for name, column in batches[0].items()}
        schema = json.dumps({"batches": len(batches), "columns": names}).encode()
        file.write(np.array(index, dtype=np.int64).tobytes() + schema + len(schema).to_bytes(8, "little"))
    unfinished.rename(path)


def _buffers(column: "NDArray[Any] | Ragged") -> "tuple[NDArray[Any], ...]":
    return (column.offsets, column.values) if isinstance(column, Ragged) else (column,)


def read_batch(path: Path, index: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Batch `index` of a column file as numpy columns (views of the mapped file, read-only); `names` limits them."""
    data, batches, columns = _open(path)
    n_buffers = sum(map(len, columns.values()))
    table_at = len(data) - 8 - int.from_bytes(data[-8:], "little") - batches * n_buffers * 16
    table = np.frombuffer(data, np.int64, n_buffers * 2, table_at + index * n_buffers * 16).tolist()
    found: dict[str, Any] = {}
    number = 0
    for name, types in columns.items():
        if names is None or name in names:
            buffers = [
                np.frombuffer(data, dtype, table[2 * place + 1], table[2 * place])
                for place, dtype in enumerate(types, number)
            ]
            found[name] = Ragged(*buffers) if len(buffers) == 2 else buffers[0]
        number += len(types)
    return found if names is None else {name: found[name] for name in names}


def count_batches(path: Path) -> int:
    """Number of batches in a column file."""
    return _open(path)[1]


def _open(path: Path) -> tuple[mmap.mmap, int, dict[str, list[str]]]:
    """(mapped bytes, number of batches, types of each column's buffers) of a column file."""
    with path.open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = int.from_bytes(data[-8:], "little")
    schema = json.loads(data[len(data) - 8 - size : len(data) - 8])
    return data, schema["batches"], schema["columns"]


def concat(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of several batches one below the other."""
    return {name: _concat([part[name] for part in parts]) for name in parts[0]}


def take(columns: Mapping[str, Any], rows: NDArray[Any]) -> dict[str, Any]:
    """The given rows (indices or a mask) of every column."""
    index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return {name: column.take(index) for name, column in columns.items()}


def split_by(bucket: NDArray[np.int64], n_buckets: int, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns cut into `n_buckets` batches by bucket number, order kept inside each."""
    order = np.argsort(bucket.astype(np.uint16 if n_buckets < 1 << 16 else np.int64), kind="stable")  # 16 bits: radix
    edges = [0, *np.cumsum(np.bincount(bucket, minlength=n_buckets)).tolist()]
    ordered = take(columns, order)
    return [{name: _slice(column, a, b) for name, column in ordered.items()} for a, b in pairwise(edges)]


def _slice(column: Any, start: int, end: int) -> Any:
    if not isinstance(column, Ragged):
        return column[start:end]
    offsets = column.offsets[start : end + 1]
    return Ragged(offsets - offsets[0], column.values[offsets[0] : offsets[-1]])


def _concat(parts: list[Any]) -> Any:
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)
    offsets = [np.zeros(1, dtype=np.int32)]
    base = 0
    for part in parts:
        offsets.append(part.offsets[1:] - part.offsets[0] + base)
        base += len(part.values)
    return Ragged(np.concatenate(offsets).astype(np.int32), np.concatenate([part.values for part in parts]))
