"""A log of any dialect -> the requests a response cache may answer: columns, and each different prompt once.

The log is read twice: once for its columns and prices, once for the prompts and answers, which pass through one record
at a time. Prompts that differ only in case, blanks or final punctuation are one text. It knows no similarity.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.errors import CostplanError
from costplan.ingest.log import Log
from costplan.ingest.normalize import settled_calls
from costplan.ingest.prompt import flat_text
from costplan.ledger import Progress, read_ledger
from costplan.settings import AnalyzeSettings, CacheSettings
from costplan.trace import Cacheable, TextState

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]
_COLUMNS = (
    "time_us", "user", "site", "cost", "weight", "input_tokens", "output_tokens", "duration_us", "exact_key",
    "norm_key", "context_key", "priced", "relative",
)  # fmt: skip
_REASON_COLUMNS = ("ok", "gateway", "cacheable", "text_state", "has_time")
_WHY = (
    (Cacheable.NO_TEXT, "no text"), (Cacheable.ACTION, "tool calls, tool results or media"),
    (Cacheable.TIME_WORDS, "asks about now (today, latest, ...)"), (Cacheable.HOT, "temperature above the limit"),
    (Cacheable.OTHER_OPERATION, "not text generation"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """n eligible requests in order of arrival (of equal times, in file order), and their T different texts."""

    log: Log
    settled: int
    """Requests of the log, eligible or not."""
    calls: float
    """That the settled requests stand for, where the log is a sample."""
    total_nanos: int
    """What they all cost."""
    unpriced: int
    """Eligible requests without a price."""
    ineligible: dict[str, int]
    """By the first reason that holds."""
    columns: dict[str, NDArray[Any]]
    """(n,) each: `row` is the number among the settled rows, `cost` nano-dollars at the call's price (times `weight`
    where the log is a sample); unknown durations are -1."""
    text: NDArray[np.int32]
    """(n,) number of the text."""
    texts: list[str]
    """By text: the last user turn as it was first written."""
    first: Ints
    """By text: the row of the log where it was first read."""
    context: Keys
    """By text: everything but the last user turn, as a key: model, system prompt, tools, history, parameters."""
    ids: list[str]
    """By request: its own id, or `file:line` where that is missing or not its own."""
    answers: Path
    answer_end: Ints
    """(n + 1,) where answers end in that file, in the order of `answer_rank`."""
    answer_rank: Ints
    """(n,)"""
    sites: dict[int, str]
    relative: bool
    """Times count from the start of the log."""

    @property
    def n(self) -> int:
        return len(self.text)

    def answer(self, request: int) -> str:
        """The logged answer; empty where the log holds none."""
        rank = int(self.answer_rank[request])
        with self.answers.open("rb") as file:
            file.seek(int(self.answer_end[rank]))
            length = int(self.answer_end[rank + 1] - self.answer_end[rank])
            return file.read(length).decode("utf-8", "surrogatepass")


def read_requests(paths: list[str], settings: CacheSettings, work: Path, report: Progress) -> Requests:
    """Raises CostplanError for files that are no log, and where no request in them may be answered from a cache."""
    asked = AnalyzeSettings(
        format=settings.format, map=settings.map, prices=settings.prices, assume_model=settings.assume_model,
        max_temperature=settings.max_temperature, workers=settings.workers,
    )  # fmt: skip
    ledger = read_ledger(paths, asked=asked, columns=(*_COLUMNS, *_REASON_COLUMNS), work=work, report=report)
    log, found = ledger.log, ledger.columns
    settled = len(found["cost"])
    why, names = _reason(found)
    ineligible = {name: count for code, name in enumerate(names, 1) if (count := int((why == code).sum()))}
    total, calls = int(found["cost"].sum()), float(found["weight"].sum())
    columns = {name: found[name] for name in _COLUMNS}
    columns["row"] = np.arange(settled)
    rows = np.flatnonzero(why == 0)
    if not len(rows):
        told = ", ".join(f"{count:,} {name}" for name, count in ineligible.items())
        raise CostplanError(
            f"{log.inputs[0].path}: no request in it may be answered from a cache ({told})",
            hint="the log needs the text of prompts and the time of each call; costplan normalize LOG -o FILE shows it",
        )
    rows = rows[np.argsort(columns["time_us"][rows], kind="stable")]
    columns = {name: column[rows] for name, column in columns.items()}
    _, first, text = np.unique(columns.pop("norm_key"), return_index=True, return_inverse=True)
    order = np.argsort(first)  # texts are numbered by first arrival
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    firsts, context = columns["row"][first[order]], columns.pop("context_key")[first[order]]
    told = _texts(log, columns["row"], firsts, work / "answers", report)
    return Requests(
        log=log, settled=settled, calls=calls, total_nanos=total, unpriced=int((~columns["priced"]).sum()),
        ineligible=ineligible, columns=columns, text=rank[text],
        texts=told.texts, first=firsts, context=context, ids=told.ids, answers=work / "answers",
        answer_end=told.ends, answer_rank=told.rank, sites=ledger.sites,
        relative=bool(columns.pop("relative").any()),
    )  # fmt: skip


def _reason(rows: dict[str, Any]) -> tuple[NDArray[np.int8], list[str]]:
    """(number of the first reason why a row is not eligible, 0 = it is; the reasons from number 1 on)."""
    reasons: list[tuple[str, Mask]] = [
        ("failed", ~rows["ok"]),
        ("answered by a gateway's cache", rows["gateway"]),
    ]
    reasons += [(name, (rows["cacheable"] & bit) != 0) for bit, name in _WHY]
    reasons += [
        ("text cut or masked", rows["text_state"] != TextState.FULL), ("without a time", ~rows["has_time"]),
    ]  # fmt: skip
    why = np.zeros(len(rows["ok"]), np.int8)
    for code, (_, where) in enumerate(reasons, 1):
        why[(why == 0) & where] = code
    return why, [name for name, _ in reasons]


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    texts: list[str]
    ids: list[str]
    ends: Ints
    rank: Ints


def _texts(log: Log, rows: Ints, firsts: Ints, answers: Path, report: Progress) -> _Told:
    """Second pass: the texts of the rows `firsts`, ids of all `rows` (in arrival order), answers into a file."""
    request_of = {row: request for request, row in enumerate(rows.tolist())}
    text_of = {row: number for number, row in enumerate(firsts.tolist())}
    texts, ids = [""] * len(firsts), [""] * len(rows)
    ends, rank = np.zeros(len(rows) + 1, np.int64), np.zeros(len(rows), np.int64)
    places: list[str] = [""] * len(rows)
    done = 0
    with answers.open("wb") as file:
        for row, (call, _, name, line) in enumerate(settled_calls(log, None)):
            request = request_of.get(row)
            if request is None:
                continue
            if row in text_of:
                texts[text_of[row]] = flat_text(call.messages[-1])[0]
            places[request] = f"{name}:{line}"
            ids[request] = call.request_id or places[request]
            data = (call.output_text or "").encode("utf-8", "surrogatepass")
            file.write(data)
            rank[request] = done
            ends[done + 1] = ends[done] + len(data)
            done += 1
            if done % 20_000 == 0:
                report("prompts", done, len(rows))
    uses = Counter(ids)
    ids = [name if uses[name] == 1 else place for name, place in zip(ids, places, strict=True)]
    return _Told(texts, ids, ends, rank)
