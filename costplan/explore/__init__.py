"""`costplan explore`: what the requests of a log cost, chosen and grouped by its columns; no lever acts here."""

import tempfile
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.errors import UsageError
from costplan.explore.columns import NAMES, NUMBERS, READ, Column, Labels, Tags, column_of, exploded
from costplan.explore.where import parse_where
from costplan.keyed import grouped
from costplan.ledger import Ledger, Progress, read_ledger
from costplan.results.explore import Explore, ExploreRow
from costplan.settings import AnalyzeSettings, ExploreSettings
from costplan.units import NANOS_PER_USD

__all__ = ["run_explore"]
Ints = NDArray[np.int64]
_SUMS = (
    "requests", "cost", "priced", "failed", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens",
)  # fmt: skip
_MOST_COLUMNS = 2
_AT = {name: at for at, name in enumerate(_SUMS)}
SORTS = {"cost": "cost", "requests": "requests", "input": "input_tokens", "output": "output_tokens", "failed": "failed"}


def run_explore(paths: list[str], settings: ExploreSettings, report: Progress | None = None) -> Explore:
    """Raises CostplanError for files that are no log, UsageError for columns that there are not."""
    by = [_column(name) for name in settings.by]
    if len(by) > _MOST_COLUMNS:
        raise UsageError(f"--by names {len(by)} columns", hint="--by takes one column or two: --by call_site,hour")
    rule = parse_where(settings.where, NAMES, NUMBERS) if settings.where else None
    asked = AnalyzeSettings(
        format=settings.format, map=settings.map, prices=settings.prices, assume_model=settings.assume_model,
        sample_rate=settings.sample_rate, workers=settings.workers,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="costplan-") as folder:
        ledger = read_ledger(paths, asked=asked, columns=READ, work=Path(folder), report=report or _silent)
    sums = _sums_of(ledger)

    @cache
    def look(name: str) -> Column:
        return column_of(ledger, name)

    some = np.arange(len(sums)) if rule is None else np.flatnonzero(rule(look, len(sums)))
    rows, labels = exploded([_names(look(name)) for name in by], len(sums))
    kept = np.isin(rows, some)
    total = _row([], sums[some].sum(axis=0), None)
    found = _grouped([Labels(each.code[kept], each.names, each.ordered) for each in labels], sums[rows[kept]], total)
    ranked = _ranked(found, settings.sort, labels)
    whole, log = sums.sum(axis=0), ledger.log
    return Explore(
        inputs=log.inputs, by=by, where=settings.where or "", sort=settings.sort or "", requests=len(some),
        requests_log=len(sums), cost_usd=total.cost_usd, cost_usd_log=_row([], whole, None).cost_usd,
        groups=len(ranked), rows=[row for _, row in ranked[: settings.top]],
        rest=_rest(ranked[settings.top :], len(by), total), total=total, warnings=_warnings(by, total, len(some)),
    )  # fmt: skip


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def _column(name: str) -> str:
    if name in NAMES:
        return name
    if name in NUMBERS:
        raise UsageError(f"--by {name}: a number is no group", hint=f"choose by it: --where '{name}>…'")
    near = get_close_matches(name, NAMES, 3, 0.5) or list(NAMES)
    raise UsageError(f"--by: no column {name[:40]!r}", hint=f"one of {', '.join(near)}")


def _names(column: Column) -> Labels | Tags:
    assert not isinstance(column, np.ndarray)
    return column


def _sums_of(ledger: Ledger) -> Ints:
    """(n, _SUMS)"""
    rows = ledger.columns
    priced: Ints = rows["priced"].astype(np.int64)
    columns = [np.ones(len(priced), np.int64), rows["cost"], priced, ~rows["ok"], rows["unpriced"]]
    columns += [rows[name] * priced for name in _SUMS[5:]]
    return np.stack([column.astype(np.int64) for column in columns], axis=1)


def _grouped(labels: Sequence[Labels], sums: Ints, total: ExploreRow) -> list[tuple[Ints, ExploreRow]]:
    """(sums, row) of every group."""
    code = np.zeros(len(sums), np.int64)
    for each in labels:
        code = code * len(each.names) + each.code
    found = grouped(code, sums)
    groups: list[tuple[Ints, ExploreRow]] = []
    keys: list[int] = found.keys.tolist()
    for key, amounts in zip(keys, found.sums, strict=True):
        names: list[str] = []
        for each in reversed(labels):
            key, at = divmod(key, len(each.names))
            names.append(each.names[at])
        groups.append((amounts, _row(names[::-1], amounts, total)))
    return groups


def _row(key: list[str], sums: Ints, total: ExploreRow | None) -> ExploreRow:
    value = dict(zip(_SUMS, sums.tolist(), strict=True))
    cost = None if value["unpriced"] and not value["priced"] else value["cost"] / NANOS_PER_USD
    whole = cost if total is None else total.cost_usd
    share = None if cost is None else cost / whole if whole else 0.0
    return ExploreRow(
        key=key, requests=value["requests"], cost_usd=cost, share=share,
        usd_per_request=cost / value["priced"] if cost is not None and value["priced"] else None,
        input_tokens=value["input_tokens"], cache_read_tokens=value["cache_read_tokens"],
        cache_write_tokens=value["cache_write_tokens"], output_tokens=value["output_tokens"],
        reasoning_tokens=value["reasoning_tokens"], failed=value["failed"], unpriced=value["unpriced"],
    )  # fmt: skip


def _ranked(
    found: list[tuple[Ints, ExploreRow]], sort: str | None, labels: Sequence[Labels]
) -> list[tuple[Ints, ExploreRow]]:
    """By --sort, the largest first; by their names where these have an order, unless one is asked for."""
    if sort == "name" or (sort is None and all(each.ordered for each in labels)):
        return sorted(found, key=lambda group: group[1].key)
    at = _AT[SORTS[sort or "cost"]]
    return sorted(found, key=lambda group: (-int(group[0][at]), -int(group[0][0]), group[1].key))


def _rest(groups: list[tuple[Ints, ExploreRow]], columns: int, total: ExploreRow) -> ExploreRow | None:
    if not groups:
        return None
    sums = np.array([amounts for amounts, _ in groups]).sum(axis=0)
    return _row([f"({len(groups)} more)", *[""] * (columns - 1)], sums, total)


def _warnings(by: Sequence[str], total: ExploreRow, chosen: int) -> list[str]:
    found: list[str] = []
    if not chosen:
        found.append("no request of the log holds --where")
    if "tag" in by:
        found.append("a request counts under each of its tags: rows may add up to more than the total")
    if total.unpriced:
        found.append(f"{total.unpriced:,} requests without a price are in no amount")
    return found
