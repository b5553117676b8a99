"""A log of any dialect -> its settled rows as columns with what each cost, and names of call sites; keeps no text."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.costing import CostJob, priced_rows
from costplan.engine import executor, usable_cores
from costplan.ingest.features import FeatureSettings
from costplan.ingest.log import Log, read_log, site_names
from costplan.keyed import grouped
from costplan.kinds import Kind, PricedKinds, price_kinds, with_model
from costplan.settings import AnalyzeSettings
from costplan.units import MICROS_PER_SECOND, SECONDS_PER_DAY

Progress = Callable[[str, int, int], None]
_DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ledger:
    """n settled rows in file order."""

    log: Log
    kinds: list[Kind]
    """By `kind`: with the model that was assumed where the log names none."""
    priced: PricedKinds
    columns: dict[str, NDArray[Any]]
    """(n,) each, as `costing.priced_rows` has them."""
    sites: dict[int, str]
    """By `site`: the names that analyze gives call sites."""
    tagsets: list[tuple[str, ...]]
    """By `tagset`."""
    price_date_us: int | None
    """Day of the prices in `cost_price_date`: the log's last."""


def read_ledger(
    paths: list[str],
    *,
    asked: AnalyzeSettings,
    columns: Sequence[str],
    work: Path,
    report: Progress,
) -> Ledger:
    """Of `asked`, what says how to read and price the log is used. Raises CostplanError for files that are no log."""
    features = FeatureSettings(max_temperature=asked.max_temperature, sample_rate=asked.sample_rate)
    with executor(asked.workers or usable_cores()) as pool:
        log = read_log(paths, asked, features, work, pool, report)
    number = {kind: at for at, kind in enumerate(dict.fromkeys(each for chunk in log.chunks for each in chunk.kinds))}
    kinds = [with_model(kind, asked.assume_model) for kind in number]
    priced = price_kinds(kinds, asked.prices)
    rates = work / "rates.pickle"
    rates.write_bytes(pickle.dumps(priced.rates))
    price_day = None if log.last_us is None else log.last_us // _DAY_US * _DAY_US
    jobs = [
        CostJob(
            index=index, path=chunk.path, rows=chunk.rows, first_gid=0, dropped=dropped,
            kind_ids=np.array([number[kind] for kind in chunk.kinds], dtype=np.int32).reshape(-1),
            kind_key=priced.kind_key, kind_batch_key=priced.kind_batch_key, tags=[], rates=rates,
            price_date_us=price_day, cut_lengths=log.cut_lengths, n_buckets=1, folder=work,
        )
        for index, (chunk, dropped) in enumerate(zip(log.chunks, log.dropped, strict=True))
    ]  # fmt: skip
    wanted = dict.fromkeys((*columns, "site", "cost"))
    parts = [{name: rows[name] for name in wanted} for rows in map(priced_rows, jobs)]
    tagsets = {tagset: at for at, tagset in enumerate(dict.fromkeys(t for chunk in log.chunks for t in chunk.tagsets))}
    for part, chunk in zip(parts, log.chunks, strict=True) if "tagset" in wanted else ():
        part["tagset"] = np.array([tagsets[each] for each in chunk.tagsets], np.int64).reshape(-1)[part["tagset"]]
    found = {name: np.concatenate([part[name] for part in parts]) for name in wanted}
    spend = grouped(found["site"], np.stack([np.ones(len(found["cost"]), np.int64), found["cost"]], axis=1))
    by_spend = spend.keys[np.lexsort((spend.keys, -spend.column(0), -spend.column(1)))]
    return Ledger(
        log=log, kinds=kinds, priced=priced, columns=found, sites=site_names(log, by_spend.tolist())[0],
        tagsets=list(tagsets), price_date_us=price_day,
    )  # fmt: skip
