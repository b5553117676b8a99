"""A log of any dialect -> what its requests cost and which of them can be shortened; the prompts come one by one.

The log is read twice: for its columns and prices, and for the prompts, which are never held whole.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import CostJob, priced_rows
from costplan.engine import Executor
from costplan.errors import CostplanError
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, read_log, site_names
from costplan.ingest.normalize import settled_calls
from costplan.keyed import grouped
from costplan.kinds import price_kinds, with_model
from costplan.prices import RateTable
from costplan.settings import AnalyzeSettings, CompressSettings
from costplan.trace import Cacheable, Call, TextState

Ints = NDArray[np.int64]
Progress = Callable[[str, int, int], None]
_COLUMNS = (
    "time_us", "has_time", "relative", "user", "site", "cost", "parts", "weight", "input_tokens", "cache_read_tokens",
    "cache_write_tokens", "call_rate_row", "price_key", "priced",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """n requests of a log whose whole prompt is there, in file order."""

    log: Log
    settled: int
    """Requests of the log, whether they can be shortened or not."""
    calls: float
    """That the settled requests stand for, where the log is a sample."""
    total_nanos: int
    """What they all cost."""
    left_out: dict[str, int]
    """By the first reason that holds."""
    row: Ints
    """(n,) number among the settled requests."""
    columns: dict[str, NDArray[Any]]
    """(n,) each; `parts` (n, 5) nano-dollars by costing.PARTS."""
    rates: RateTable
    assumed_model: str
    """Where the log names none."""
    sites: dict[int, str]

    @property
    def n(self) -> int:
        return len(self.row)

    def texts(self) -> Iterator[tuple[int, Call, str]]:
        """(number from 0 to n - 1, call, `file:line`), in file order."""
        number_of = {row: number for number, row in enumerate(self.row.tolist())}
        for row, (call, _, name, line) in enumerate(settled_calls(self.log, None)):
            if row in number_of:
                yield number_of[row], call, f"{name}:{line}"


def read_requests(
    paths: list[str], settings: CompressSettings, work: Path, pool: Executor, report: Progress
) -> Requests:
    """Raises CostplanError for files that are no log, and for logs without a whole prompt."""
    asked = AnalyzeSettings(format=settings.format, map=settings.map)
    log = read_log(paths, asked, FeatureSettings(), work, pool, report)
    kinds = {kind: None for chunk in log.chunks for kind in chunk.kinds}
    kinds = {kind: number for number, kind in enumerate(kinds)}
    compiled = price_kinds([with_model(kind, settings.assume_model) for kind in kinds], settings.prices)
    rates = work / "rates.pickle"
    rates.write_bytes(pickle.dumps(compiled.rates))
    rows = [
        priced_rows(CostJob(
            index=index, path=chunk.path, rows=chunk.rows, first_gid=0, dropped=dropped,
            kind_ids=np.array([kinds[kind] for kind in chunk.kinds], dtype=np.int32).reshape(-1),
            kind_key=compiled.kind_key, kind_batch_key=compiled.kind_batch_key, tags=[], rates=rates,
            price_date_us=log.last_us, cut_lengths=log.cut_lengths, n_buckets=1, folder=work,
        ))
        for index, (chunk, dropped) in enumerate(zip(log.chunks, log.dropped, strict=True))
    ]  # fmt: skip
    why = np.concatenate([_why(part) for part in rows])
    left_out = {name: count for code, name in enumerate(_REASONS, 1) if (count := int((why == code).sum()))}
    columns = {name: np.concatenate([part[name] for part in rows]) for name in _COLUMNS}
    keep = np.flatnonzero(why == 0)
    if not len(keep):
        told = ", ".join(f"{count:,} {name}" for name, count in left_out.items())
        raise CostplanError(
            f"{log.inputs[0].path}: no request in it has a prompt to shorten ({told})",
            hint="the log needs the text of prompts and the input tokens; costplan normalize LOG -o FILE shows it",
        )
    spend = grouped(columns["site"], np.stack([np.ones(len(why), np.int64), columns["cost"]], axis=1))
    names = site_names(log, spend.keys[np.lexsort((spend.keys, -spend.column(0), -spend.column(1)))].tolist())[0]
    return Requests(
        log=log, settled=len(why), calls=float(columns["weight"].sum()), total_nanos=int(columns["cost"].sum()),
        left_out=left_out, row=keep, columns={name: column[keep] for name, column in columns.items()},
        rates=compiled.rates, sites=names, assumed_model=settings.assume_model or "",
    )  # fmt: skip


_REASONS = (
    "failed", "answered by a gateway's cache", "not text generation", "no text", "text cut or masked",
    "input tokens unknown",
)  # fmt: skip


def _why(rows: dict[str, Any]) -> NDArray[np.int8]:
    """(n,) number of the first of _REASONS that holds, 0 = none."""
    reasons = (
        ~rows["ok"], rows["gateway"], (rows["cacheable"] & Cacheable.OTHER_OPERATION) != 0,
        rows["text_state"] == TextState.ABSENT, rows["text_state"] != TextState.FULL, rows["input_tokens"] == 0,
    )  # fmt: skip
    return np.select(reasons, range(1, len(reasons) + 1), 0).astype(np.int8)
