"""How work is spread and spilled: `map` over splits or buckets, column files between stages; knows nothing of logs.

An executor is only `map(fn, items)`. Every stage is a pure function of its item and of files that earlier stages
finished, so one worker, two or a cluster give the same bytes. A finished stage item is a file.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_HELD_RESULTS = 8

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

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # fork shares the imported modules; elsewhere the platform's default start method is used
            method = "fork" if sys.platform == "linux" else None
            self._pool = ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context(method))
        return self._pool

    def close(self, *, cancel: bool = False) -> None:
        """Stop the workers; the next `map` starts fresh ones. Call it between stages to give memory back."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=cancel)
            self._pool = None


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
    """One Arrow IPC file; batch p of the file holds the columns of `batches[p]`. Renamed into place when complete."""
    pa = _pyarrow()

    unfinished = path.with_suffix(".part")
    arrow = [_to_arrow(columns) for columns in batches]
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, arrow[0].schema) as writer:
        for batch in arrow:
            writer.write_batch(batch)
    unfinished.rename(path)


def read_batch(path: Path, index: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Batch `index` of an IPC file as numpy columns (views of the mapped file, read-only); `names` limits them."""
    pa = _pyarrow()

    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(index)
        return {name: _to_numpy(batch.column(name)) for name in (names or batch.schema.names)}


def count_batches(path: Path) -> int:
    """Number of batches in an IPC file."""
    pa = _pyarrow()

    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).num_record_batches


def concat(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of several batches one below the other."""
    return {name: _concat([part[name] for part in parts]) for name in parts[0]}


def take(columns: Mapping[str, Any], rows: NDArray[Any]) -> dict[str, Any]:
    """The given rows (indices or a mask) of every column."""
    index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return {name: column.take(index) for name, column in columns.items()}


def split_by(bucket: NDArray[np.int64], n_buckets: int, columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns cut into `n_buckets` batches by bucket number, order kept inside each."""
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(n_buckets + 1))
    return [take(columns, order[edges[p] : edges[p + 1]]) for p in range(n_buckets)]


def _concat(parts: list[Any]) -> Any:
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)
    offsets = [np.zeros(1, dtype=np.int32)]
    base = 0
    for part in parts:
        offsets.append(part.offsets[1:] - part.offsets[0] + base)
        base += len(part.values)
    return Ragged(np.concatenate(offsets).astype(np.int32), np.concatenate([part.values for part in parts]))


def _pyarrow() -> Any:
    """pyarrow, imported late (0.25 s) and without its types, which are incomplete."""
    import pyarrow

    return pyarrow


def _to_arrow(columns: Columns) -> Any:
    pa = _pyarrow()

    arrays: list[Any] = [
        pa.ListArray.from_arrays(_array(column.offsets), _array(column.values))
        if isinstance(column, Ragged)
        else _array(column)
        for column in columns.values()
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _array(values: NDArray[Any]) -> Any:
    """Arrow array over a numpy buffer. `pa.array` would import pandas (0.5 s, 40 MB in every worker)."""
    pa = _pyarrow()

    if values.dtype == np.bool_:
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _to_numpy(array: Any) -> Any:
    pa = _pyarrow()

    if pa.types.is_list(array.type):
        offsets = _values(array.offsets)
        return Ragged(offsets - offsets[0], _values(array.flatten()))
    return _values(array)


def _values(array: Any) -> NDArray[Any]:
    """Numpy view of an Arrow array without nulls (`Array.to_numpy` would import pandas)."""
    pa = _pyarrow()

    buffer = array.buffers()[1]
    if not len(array):
        return np.zeros(0, dtype=array.type.to_pandas_dtype())
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little")
        return bits[array.offset : array.offset + len(array)].view(np.bool_)
    dtype = np.dtype(array.type.to_pandas_dtype())
    return np.frombuffer(buffer, dtype=dtype, count=len(array), offset=array.offset * dtype.itemsize)
