"""Sums by key -> the rows of a breakdown, most expensive first; it does not know what a key stands for."""

import numpy as np
from numpy.typing import NDArray

from costplan.costing import GROUP_COLUMNS, Keyed
from costplan.results import GroupRow
from costplan.units import NANOS_PER_USD

TOP = 50
UNPRICED = "no request has a price"
COLUMN = {name: index for index, name in enumerate(GROUP_COLUMNS)}
Sums = NDArray[np.int64]


def items(group: Keyed) -> list[tuple[int, Sums]]:
    return [(int(key), sums) for key, sums in zip(group.keys, group.sums, strict=True)]


def regroup(group: Keyed, names: list[str]) -> dict[str, Sums]:
    found: dict[str, Sums] = {}
    for key, sums in items(group):
        name = names[key]
        found[name] = found[name] + sums if name in found else sums
    return found


def _row(key: str, sums: Sums, cost: float, note: str = "") -> GroupRow:
    value = {name: int(sums[index]) for name, index in COLUMN.items()}
    usd = value["cost"] / NANOS_PER_USD
    unpriced = bool(value["unpriced"]) and not value["cost"]
    return GroupRow(
        key=key, requests=value["requests"], cost_usd=None if unpriced else usd,
        share=None if unpriced else usd / cost if cost else 0.0,
        input_tokens=value["input"], output_tokens=value["output"], cache_read_tokens=value["cache_read"],
        failed=value["failed"], unpriced=value["unpriced"], note=note or (UNPRICED if unpriced else ""),
    )  # fmt: skip


def rows(groups: dict[str, Sums], cost: float, notes: dict[str, str] | None = None) -> list[GroupRow]:
    """Most expensive first; what is below the TOP is summed into one row, so that the rows add up to the total."""
    ranked = sorted(groups.items(), key=lambda item: (-int(item[1][COLUMN["cost"]]), -int(item[1][0]), item[0]))
    rows = [_row(key, sums, cost, (notes or {}).get(key, "")) for key, sums in ranked[:TOP]]
    if len(ranked) > TOP:
        rest = np.array([sums for _, sums in ranked[TOP:]]).sum(axis=0)
        rows.append(_row(f"({len(ranked) - TOP} more)", rest, cost))
    return rows


def ordered(groups: dict[str, Sums], cost: float) -> list[GroupRow]:
    return [_row(key, groups[key], cost) for key in sorted(groups)]


def ranked_users(users: Keyed, cost: float) -> list[GroupRow]:
    """Users appear by rank of spend, never by name."""
    order = np.lexsort((users.keys, -users.column(0), -users.column(COLUMN["cost"])))
    rows = [_row(f"user-{rank + 1:03d}", users.sums[index], cost) for rank, index in enumerate(order[:TOP])]
    if len(order) > TOP:
        rows.append(_row(f"({len(order) - TOP} more)", users.sums[order[TOP:]].sum(axis=0), cost))
    return rows
