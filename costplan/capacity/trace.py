"""A log or trace of any dialect -> the workload an engine would see; what an engine does with it is not known here."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.capacity.prefixes import Chains, engine_blocks
from costplan.engine import concat, executor, read_batch, take, usable_cores
from costplan.errors import CostplanError
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, read_log
from costplan.results import Input
from costplan.serving.workload import Workload
from costplan.settings import AnalyzeSettings
from costplan.trace import NO_TIME, Flag, TextState
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_HOUR

_COLUMNS = (
    "time_us", "flags", "input_tokens", "output_tokens", "text_state", "block_size", "weight", "kind",
    "total_weight", "block_key", "block_weight", "block_end", "session", "duration_us",
)  # fmt: skip
NO_REQUEST = ("failed calls", "answered by a gateway's cache", "not text generation", "of zero length")
"""Reasons to leave out a row that no text engine has answered; rows left out for another reason are missing."""
_TEXT_OPERATIONS = ("", "chat", "text_completion", "generate_content", "responses")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """The calls of a log that a text engine can serve, in order of arrival."""

    inputs: list[Input]
    workload: Workload
    start: datetime | None
    """Of the first request; None where times are relative."""
    left_out: dict[str, int]
    """Rows an engine cannot replay, by reason."""
    out_of_order: int
    """Rows that stood behind a later one; they have been sorted."""
    sampled: bool
    """Rows stand for more calls than themselves."""

    @property
    def span_s(self) -> float:
        """First to last arrival."""
        return float(self.workload.arrival_s[-1])

    def hour_edges(self) -> NDArray[np.int64]:
        """Row numbers where the hours since the first request begin, and the end."""
        hours = np.arange(0, int(self.span_s // SECONDS_PER_HOUR) + 2) * float(SECONDS_PER_HOUR)
        return np.searchsorted(self.workload.arrival_s, hours, "left")

    def hour_name(self, hour: int) -> str:
        """`2023-11-16T18:15`, or `h3` without absolute times."""
        if self.start is None:
            return f"h{hour}"
        return (self.start + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M")


def read_trace(paths: list[str], settings: AnalyzeSettings, block_size: int, report: Progress | None = None) -> Trace:
    """Raises CostplanError for files that are no log and for logs without a single call that can be replayed."""
    with (
        tempfile.TemporaryDirectory(prefix="costplan-") as folder,
        executor(settings.workers or usable_cores()) as pool,
    ):
        features = FeatureSettings(
            batchable=frozenset(settings.batchable), max_temperature=settings.max_temperature,
            sample_rate=settings.sample_rate,
        )  # fmt: skip
        log = read_log(paths, settings, features, Path(folder), pool, report or _silent)
        return trace_of(log, block_size)[0]


def trace_of(log: Log, block_size: int, *, timed: bool = True) -> tuple[Trace, dict[str, Any]]:
    """(the trace, the rows it was made from in its order); `row` is the number among the settled rows of the log.

    Where it is not to be `timed`, rows without a time are in it too, each at that of the row before.
    Raises CostplanError for a log without a single call that can be replayed.
    """
    rows = concat([_rows(log, index) for index in range(len(log.chunks))])
    rows["row"] = np.arange(len(rows["flags"]))
    if not timed:
        rows["time_us"] = _filled(rows["time_us"])
    usable, left_out = _usable(rows)
    if not usable.any():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise CostplanError(
            f"{log.inputs[0].path}: no request in it has {'a time and ' if timed else ''}token counts ({reasons})",
            hint="costplan simulate --rate 5 --input 547 --output 248 needs no trace",
        )
    rows = take(rows, usable)
    time = rows["time_us"]
    out_of_order = int((time < np.maximum.accumulate(time)).sum())
    rows = take(rows, np.argsort(time, kind="stable"))
    relative = (rows["flags"] & Flag.RELATIVE_TIME) != 0
    start = None if relative.any() else _moment(int(rows["time_us"][0]))
    trace = Trace(
        inputs=log.inputs, workload=workload_of(rows, block_size), start=start, left_out=left_out,
        out_of_order=out_of_order, sampled=bool((rows["weight"] != 1).any()),
    )  # fmt: skip
    return trace, rows


def window(workload: Workload, start: int, end: int) -> Workload:
    """The requests from row `start` to before `end`, on a clock that begins with the hour's first request."""
    offsets = workload.shared_offsets[start : end + 1]
    arrival = workload.arrival_s[start:end]
    return replace(
        workload, arrival_s=arrival - (arrival[0] if len(arrival) else 0.0),
        input_tokens=workload.input_tokens[start:end], output_tokens=workload.output_tokens[start:end],
        shared_offsets=offsets - offsets[0], shared_ids=workload.shared_ids[int(offsets[0]) : int(offsets[-1])],
    )  # fmt: skip


def busiest(workload: Workload, count: int) -> Workload:
    """So many requests in a row with most work (input and output tokens, each relative to its mean) in least time."""
    if workload.requests <= count:
        return workload
    work = workload.input_tokens / workload.input_tokens.mean() + workload.output_tokens / workload.output_tokens.mean()
    total = np.concatenate([[0.0], np.cumsum(work)])
    lasts = workload.arrival_s[count:] - workload.arrival_s[:-count]
    start = int(np.argmax((total[count:-1] - total[: -count - 1]) / np.maximum(lasts, 1e-9)))
    return window(workload, start, start + count)


def _rows(log: Log, index: int) -> dict[str, Any]:
    """The settled rows of a chunk; `text` says whether the call writes text at all."""
    chunk, dropped = log.chunks[index], log.dropped[index]
    rows = read_batch(chunk.path, 0, _COLUMNS)
    writes = np.array([kind[4] in _TEXT_OPERATIONS for kind in chunk.kinds], dtype=np.bool_)
    rows["text"] = writes[rows.pop("kind")] if len(writes) else np.zeros(chunk.rows, np.bool_)
    keep = np.ones(chunk.rows, dtype=np.bool_)
    keep[dropped] = False
    return take(rows, keep)


def _usable(rows: dict[str, Any]) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """(rows an engine can replay, why the others cannot be; the first reason counts)."""
    usable = np.ones(len(rows["flags"]), dtype=np.bool_)
    left_out: dict[str, int] = {}
    reasons = (
        ("failed calls", (rows["flags"] & Flag.OK) == 0),
        ("answered by a gateway's cache", (rows["flags"] & Flag.GATEWAY_HIT) != 0),
        ("not text generation", ~rows["text"]),
        ("without a time", rows["time_us"] == NO_TIME),
        ("without token counts", (rows["input_tokens"] < 0) | (rows["output_tokens"] < 0)),
        ("of zero length", (rows["input_tokens"] == 0) | (rows["output_tokens"] == 0)),
    )
    for reason, where in reasons:
        if (usable & where).any():
            left_out[reason] = int((usable & where).sum())
            usable &= ~where
    return usable, left_out


def workload_of(rows: dict[str, Any], block_size: int) -> Workload:
    """The rows of a trace, in order of arrival, as an engine with such blocks sees them."""
    time, inputs, outputs = rows["time_us"], rows["input_tokens"], rows["output_tokens"]
    whole = (rows["text_state"] == TextState.FULL) | (rows["block_size"] > 0)
    chains = Chains(
        keys=rows["block_key"], weights=rows["block_weight"].values, ends=rows["block_end"].values,
        total_weight=rows["total_weight"], whole=whole, is_text=rows["block_size"] == 0,
    )  # fmt: skip
    offsets, ids = engine_blocks(chains, inputs, outputs, block_size)
    return Workload(
        arrival_s=(time - time[0]) / MICROS_PER_SECOND, input_tokens=inputs.astype(np.int32),
        output_tokens=outputs.astype(np.int32), shared_offsets=offsets, shared_ids=ids, block_size=block_size,
    )  # fmt: skip


def _filled(time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows without a time at that of the last row with one; at the first row's before there is any."""
    known = time_us != NO_TIME
    if not known.any():
        return np.zeros_like(time_us)
    last = np.maximum.accumulate(np.where(known, np.arange(len(time_us)), -1))
    return time_us[np.where(last >= 0, last, np.argmax(known))]


def _moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us // MICROS_PER_SECOND, tz=UTC)


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""
