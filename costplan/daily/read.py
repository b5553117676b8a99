"""Aggregated exports -> one entry per stretch of time, model and project, and books; knows no price.

Memory holds the entries, not the rows: a bill of any length has as many as it has days and names.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

from costplan.errors import CostplanError
from costplan.ingest.aggregated import COSTS, ROW, Period, periods_of
from costplan.ingest.log import Opened
from costplan.ingest.parse import FIRST_LINES, sha256_of
from costplan.ingest.records import records
from costplan.ingest.source import Source, splits_of
from costplan.prices.names import provider_id
from costplan.results import Input
from costplan.trace import BadRecord, NotACall
from costplan.units import MICROS_PER_SECOND, NANOS_PER_USD, SECONDS_PER_DAY, SECONDS_PER_HOUR

DAY_US = SECONDS_PER_DAY * MICROS_PER_SECOND
HOUR_US = SECONDS_PER_HOUR * MICROS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Rows of one export that share time, model and project, added up; money in nano-dollars."""

    export: str
    period: Period
    """What the rows share; its counts are the sums."""
    rows: int
    uncounted: int
    """Rows that do not say how many calls they stand for."""
    usd_nanos: int | None

    @property
    def has_tokens(self) -> bool:
        return self.period.input_tokens is not None

    @property
    def provider(self) -> str:
        return provider_id(self.period.provider) or self.period.provider.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """All that the exports say."""

    entries: list[Entry]
    span_us: tuple[int, int]
    width_us: int
    """The longest stretch that one row stands for."""
    inputs: list[Input]
    records: int
    not_a_call: Counter[str]
    skipped: Counter[str]
    first_lines: dict[str, list[str]]


_SUMS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
    "reasoning_tokens", "requests",
)  # fmt: skip


def read_exports(opened: Opened) -> Usage:
    """Raises CostplanError where no row can be read."""
    entries: list[Entry] = []
    inputs: list[Input] = []
    not_a_call: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    first_lines: dict[str, list[str]] = {}
    spans: list[tuple[int, int]] = []
    if opened.no_logs:
        skipped["file_is_no_log"] = len(opened.no_logs)
        first_lines["file_is_no_log"] = [f"{name}:1" for name in opened.no_logs[:FIRST_LINES]]
    for source, detected in zip(opened.sources, opened.detected, strict=True):
        sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * (len(_SUMS) + 3))
        seen: dict[tuple[Any, ...], Period] = {}
        empty: list[Period] = []
        lines = 0

        def reject(line: int, reason: str, source: Source = source) -> None:
            skipped[reason] += 1
            places = first_lines.setdefault(reason, [])
            if len(places) < FIRST_LINES:
                places.append(f"{source.shown}:{line}")

        for split in splits_of(0, source):
            count, before = [0], lines
            for number, record in records(split, lambda line, why, at=before, say=reject: say(line + at, why), count):
                if not isinstance(record, dict):
                    reject(number + before, "not_an_object")
                    continue
                for found in periods_of(detected.name, cast(dict[str, Any], record)):
                    if isinstance(found, BadRecord):
                        reject(number + before, found.reason)
                    elif isinstance(found, NotACall):
                        not_a_call[found.reason] += 1
                    elif found.empty:
                        empty.append(found)
                    else:
                        _add(sums, seen, found)
                        not_a_call[ROW] += 1
            lines += count[0]
        mine = [_entry(detected.name, seen[key], total) for key, total in sums.items()]
        width = HOUR_US if any(entry.period.start_us % DAY_US for entry in mine) else DAY_US
        mine = [replace(e, period=replace(e.period, end_us=_end(e.period, width))) for e in mine]
        entries += mine
        spans += [(p.start_us, _end(p, width)) for p in (*empty, *(entry.period for entry in mine))]
        inputs.append(Input(
            path=source.shown, format=detected.name, rule=detected.rule, lines=lines, bytes=source.size,
            sha256=sha256_of(source.file),
        ))  # fmt: skip
    if not entries:
        raise _nothing(opened, skipped, first_lines, not_a_call)
    entries.sort(key=lambda e: (e.period.start_us, e.export, _shared(e.period, e.has_tokens)))
    return Usage(
        entries, (min(start for start, _ in spans), max(end for _, end in spans)),
        max(end - start for start, end in spans), inputs,
        sum(not_a_call.values()) + sum(skipped.values()), not_a_call, skipped, first_lines,
    )  # fmt: skip


def _shared(period: Period, tokens: bool) -> tuple[Any, ...]:
    return (
        period.start_us, period.end_us or 0, period.provider, period.model, period.tier, period.operation,
        period.label, period.unpriceable, period.prompt_tokens or 0, tokens, period.usd is not None,
    )  # fmt: skip


def _add(sums: dict[tuple[Any, ...], list[int]], seen: dict[tuple[Any, ...], Period], period: Period) -> None:
    key = _shared(period, period.input_tokens is not None)
    seen.setdefault(key, period)
    total = sums[key]
    for index, name in enumerate(_SUMS):
        total[index] += getattr(period, name) or 0
    total[-3] += round((period.usd or 0.0) * NANOS_PER_USD)
    total[-2] += 1
    total[-1] += period.requests is None


def _entry(export: str, period: Period, total: list[int]) -> Entry:
    counts: dict[str, Any] = dict(zip(_SUMS, total, strict=False))
    if period.input_tokens is None:
        counts["input_tokens"] = None
    nanos = None if period.usd is None else total[-3]
    return Entry(export=export, period=replace(period, **counts), rows=total[-2], uncounted=total[-1], usd_nanos=nanos)


def _end(period: Period, width: int) -> int:
    """Where a row ends; one without an end, or with one that is no later than its start, is `width` long."""
    end = period.end_us
    return end if end is not None and end > period.start_us else period.start_us + width


def unused_costs(entries: Sequence[Entry], priced: Set[str]) -> set[int]:
    """Entries of amounts that say again what others say: of providers whose tokens are `priced`, or whose amounts
    stand in another cost export, too (the first of COSTS is kept)."""
    first: dict[str, str] = {}
    for export in COSTS:
        for entry in entries:
            if entry.export == export:
                first.setdefault(entry.provider, export)
    return {
        i for i, entry in enumerate(entries)
        if entry.export in COSTS and (entry.provider in priced or first[entry.provider] != entry.export)
    }  # fmt: skip


def day_of(us: int) -> str:
    return datetime.fromtimestamp(us // DAY_US * SECONDS_PER_DAY, UTC).date().isoformat()


def _nothing(
    opened: Opened, skipped: Counter[str], first: dict[str, list[str]], not_a_call: Counter[str]
) -> CostplanError:
    reasons = [f"{count} {reason} ({first[reason][0]})" for reason, count in skipped.most_common(3)]
    reasons += [f"{count} {reason}" for reason, count in not_a_call.most_common(3)]
    hint = "export it again, by day and grouped by model"
    if not_a_call["other_service"]:
        hint = "FOCUS rows count where ServiceCategory is AI and Machine Learning, or empty"
    return CostplanError(
        f"{opened.sources[0].shown}: no row can be used" + (f": {'; '.join(reasons)}" if reasons else ""), hint=hint
    )
