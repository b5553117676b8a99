"""Which dialect a file speaks, decided by its first records; knows no field of any dialect."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import Any, cast

from costplan.errors import CostplanError, UsageError
from costplan.ingest import (
    aggregated,
    anthropic_batch,
    apim,
    azure,
    bailian,
    bare,
    batch,
    bedrock,
    burstgpt,
    canonical,
    claude_code,
    cloudflare,
    codex,
    envoy,
    generic,
    helicone,
    kong,
    langfuse,
    langsmith,
    litellm,
    mooncake,
    openrouter,
    otlp,
    pairs,
    phoenix,
    portkey,
    sagemaker,
    vertex,
)
from costplan.ingest.fields import as_list, dig, from_json
from costplan.ingest.records import csv_header, records
from costplan.ingest.source import Source, Split, splits_of
from costplan.trace import BadRecord, Call, NotACall

DIALECTS: tuple[ModuleType, ...] = (
    canonical, otlp, bedrock, litellm, langfuse,
    helicone, langsmith, phoenix, openrouter, portkey, cloudflare,
    kong, envoy, apim, vertex, sagemaker, claude_code, codex,
    batch, anthropic_batch, bailian, mooncake, burstgpt, azure, pairs, bare,
    generic,
)  # fmt: skip
"""Specific before general: the first whose signature fits a record has it."""

BY_NAME = {cast(str, dialect.NAME): dialect for dialect in DIALECTS}
SAMPLE = 200
_CONTAINERS = (
    "data",
    "logs",
    "records",
    "items",
    "observations",
    "runs",
    "results",
    "generations",
    "requests",
    "traces",
    "result",
)

Reader = Callable[[dict[str, Any]], list[Call | NotACall]]
AtEnd = Callable[[], list[Call | NotACall]]


@dataclass(frozen=True, slots=True)
class Detected:
    """A file's dialect; `runner_up` also fitted some of the sampled records."""

    name: str
    runner_up: str
    rule: str
    mapping: tuple[tuple[str, str], ...] = ()
    forced: bool = False
    """Named by --format: records are not offered to other dialects first."""
    aggregated: bool = False
    """Its rows stand for many calls: `name` is one of `aggregated.EXPORTS`."""


def unwrap(record: Any) -> list[Any]:
    """The records inside `{"data": [...]}` and its kin or in CloudWatch's events; any other record is itself."""
    if isinstance(record, dict):
        for name in _CONTAINERS:
            inner: Any = cast(dict[str, Any], record).get(name)
            if isinstance(inner, list) and inner and isinstance(inner[0], dict):
                return cast(list[Any], inner)
        wrapped = cast(dict[str, Any], record)
        messages = [dig(event, "message") for event in as_list(wrapped.get("logEvents") or wrapped.get("events"))]
        if messages and isinstance(messages[0], str):  # CloudWatch: each event's message is a record as text
            return [from_json(message) if isinstance(message, str) else message for message in messages]
    return [record]


def dialect_of(record: dict[str, Any]) -> str | None:
    """Name of the first dialect whose signature the record carries."""
    return next((cast(str, dialect.NAME) for dialect in DIALECTS if dialect.matches(record)), None)


def sample_of(source: Source) -> list[dict[str, Any]]:
    """The first records of a file, unreadable ones left out."""
    found: list[dict[str, Any]] = []
    for split in splits_of(0, source):
        for _, record in islice(records(Split(0, source, split.start, split.end), _ignore), 2 * SAMPLE):
            fits = isinstance(record, dict) and dialect_of(cast(dict[str, Any], record)) is not None
            inner: list[Any] = [record] if fits else unwrap(record)
            found += [r for r in inner if isinstance(r, dict)]
            if len(found) >= SAMPLE:
                return found[:SAMPLE]
    return found


def _ignore(line: int, reason: str) -> None:
    """Detection only looks; the parse counts what cannot be read."""


def detect(source: Source, *, forced: str | None, mapping: dict[str, str]) -> Detected:
    """Decide by majority over the first records. `forced` is --format, `mapping` is --map (column -> field).

    Raises CostplanError with the columns found and a filled-in --map command where nothing fits.
    """
    if mapping:
        return Detected(generic.NAME, "", generic.RULE, tuple(sorted(mapping.items())))
    if forced is not None:
        if forced not in BY_NAME:
            raise UsageError(f"unknown format {forced!r}", hint=f"one of: {', '.join(sorted(BY_NAME))}")
        return Detected(forced, "", cast(str, BY_NAME[forced].RULE), forced=True)
    sample = sample_of(source)
    if export := aggregated.export_of(sample):
        return Detected(export, "", aggregated.RULES[export], aggregated=True)
    votes: Counter[str] = Counter(name for record in sample if (name := dialect_of(record)))
    if not votes:
        raise _unrecognised(source, sample)
    ranked = sorted(votes.items(), key=lambda item: (-item[1], list(BY_NAME).index(item[0])))
    return Detected(ranked[0][0], _runner_up(sample, ranked), cast(str, BY_NAME[ranked[0][0]].RULE))


def _runner_up(sample: list[dict[str, Any]], ranked: list[tuple[str, int]]) -> str:
    """The dialect with the second most records, or one whose signature the winner's records carry as well."""
    if len(ranked) > 1:
        return ranked[1][0]
    others: Counter[str] = Counter()
    for record in sample[:20]:
        others.update(d.NAME for d in DIALECTS if ranked[0][0] != d.NAME and d.matches(record))
    return others.most_common(1)[0][0] if others else ""


def _unrecognised(source: Source, sample: list[dict[str, Any]]) -> CostplanError:
    if not sample:
        header = csv_header(source)
        if header:
            return CostplanError(
                f"{source.shown}: a table without a readable row; its columns are: {_listed(header)}",
                hint="export it again with its rows",
            )
        return CostplanError(
            f"{source.shown}: no JSON object, CSV row or Parquet row in it can be read",
            hint="costplan reads JSONL, JSON, CSV and Parquet logs (.gz and .zst too)",
        )
    columns = list(dict.fromkeys(column for record in sample[:20] for column in record))
    guess = generic.guess_map(columns, sample)
    return CostplanError(
        f"{source.shown}: no known log format; its columns are: {_listed(columns)}",
        hint=generic.fill_command(guess, source.shown)
        if guess
        else "map its columns: costplan analyze FILE --map COLUMN=input_tokens --map COLUMN=output_tokens …",
    )


def _listed(columns: list[str]) -> str:
    return ", ".join(_safe(column) for column in columns[:20]) + (", …" if len(columns) > 20 else "")


def _safe(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def reads_in_order(detected: Detected) -> bool:
    """Whether a record of this dialect means something only after those before it."""
    return not detected.mapping and hasattr(BY_NAME.get(detected.name), "reading")


def reading_of(detected: Detected) -> tuple[Reader, AtEnd]:
    """(`reader_of` for one file from its first record on, what gives the calls that are held back until its end)."""
    if not reads_in_order(detected):
        return reader_of(detected), list
    own: Any = BY_NAME[detected.name]
    read, at_end = cast(tuple[Reader, AtEnd], own.reading())
    return reader_of(detected, read), at_end


def reader_of(detected: Detected, in_order: Reader | None = None) -> Reader:
    """The function that turns a record of this file into calls: by the file's dialect where the record carries its
    signature, else by the dialect whose signature it carries; a wrapper around records by what it wraps."""
    if detected.mapping:
        mapping = dict(detected.mapping)
        return lambda record: generic.calls_with_map(record, mapping)
    own = BY_NAME[detected.name]
    read, matches = in_order or cast(Reader, own.calls), own.matches
    if detected.forced:
        return read

    def route(record: dict[str, Any]) -> list[Call | NotACall]:
        if matches(record):
            return read(record)
        other = dialect_of(record)
        if other is not None:
            return BY_NAME[other].calls(record)
        inner = unwrap(record)
        if inner[0] is record:
            return read(record)
        return [call for element in inner for call in inside(element)]

    def inside(element: Any) -> list[Call | NotACall]:
        """One bad element must not take its neighbours along."""
        try:
            return route(cast(dict[str, Any], element)) if isinstance(element, dict) else [NotACall("not_an_object")]
        except BadRecord as bad:
            return [NotACall("bad_element_" + bad.reason)]

    return route
