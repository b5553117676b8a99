"""A log of any dialect -> the requests that another model could answer: columns, complexity, what they need of a model.

The log is read twice: once for its columns and prices, once for the prompts, which pass through one record at a time
and are forgotten, but for those that are labelled.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from costplan.complexity.rules import FORMS, PARTS, RULES
from costplan.complexity.score import counts, fired_rules, scored
from costplan.errors import CostplanError
from costplan.ingest.normalize import settled_calls
from costplan.ingest.prompt import flat_text
from costplan.ledger import Ledger, Progress, read_ledger
from costplan.settings import AnalyzeSettings, RouteSettings
from costplan.trace import Cacheable, Call, Message

Mask = NDArray[np.bool_]
_COLUMNS = (
    "time_us", "has_time", "relative", "ok", "gateway", "cacheable", "priced", "rate_row", "price_key", "weight",
    "cost_price_date", "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
    "output_tokens", "reasoning_tokens",
)  # fmt: skip
_BATCH = 2_048
_FORM = {name: number for number, name in enumerate(FORMS)}


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is kept of a request that a label names."""

    request: int
    """Number among the routable requests."""
    text: str
    tag: str


@dataclass(frozen=True, slots=True, eq=False)
class Fired:
    """How often rules fired, by call site; `words` is filled with --show-text only."""

    counts: dict[int, NDArray[np.int64]]
    """By site: (rules, 2) how often, and in how many requests."""
    words: dict[tuple[int, str], Counter[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traffic:
    """n routable requests in file order."""

    ledger: Ledger
    not_routable: dict[str, int]
    columns: dict[str, NDArray[Any]]
    """(n,) each; `usd` is the cost at the prices of the log's last day."""
    group: NDArray[np.int64]
    """(n,) number of the (call site, model)."""
    groups: list[tuple[int, int]]
    """(site key, price key) by number."""
    level: NDArray[np.int8]
    """(n,) complexity from 1 to 5; 0 where the text is not whole."""
    parts: NDArray[np.float32]
    """(n, 6)"""
    tools: Mask
    json: Mask
    vision: Mask
    labelled: dict[str, Labelled]
    """By the id that a label gives."""
    fired: Fired

    @property
    def n(self) -> int:
        return len(self.group)

    def site(self, group: int) -> str:
        return self.ledger.sites.get(self.groups[group][0], "unknown")

    def model(self, group: int) -> tuple[str, str]:
        """(seller, model) as the prices name them."""
        note = self.ledger.priced.rates.describe(self.groups[group][1])
        return note.provider, note.model


@dataclass(slots=True, eq=False)
class _Texts:
    """The requests of one batch, until they are scored."""

    row: list[int] = field(default_factory=list[int])
    text: list[str] = field(default_factory=list[str])
    turns: list[int] = field(default_factory=list[int])
    context: list[int] = field(default_factory=list[int])
    form: list[int] = field(default_factory=list[int])


def read_traffic(
    paths: list[str], settings: RouteSettings, ids: Collection[str], work: Path, report: Progress, *, explain: bool
) -> Traffic:
    """`ids`: of the requests that are labelled. Raises CostplanError where no request can be routed."""
    asked = AnalyzeSettings(
        format=settings.format, map=settings.map, prices=settings.prices, assume_model=settings.assume_model,
        workers=settings.workers,
    )  # fmt: skip
    ledger = read_ledger(paths, asked=asked, columns=_COLUMNS, work=work, report=report)
    found = ledger.columns
    why, left_out = _why(found)
    rows = np.flatnonzero(why == 0)
    if not len(rows):
        told = ", ".join(f"{count:,} {name}" for name, count in left_out.items())
        raise CostplanError(
            f"{ledger.log.inputs[0].path}: no request in it can be routed ({told})",
            hint="routing needs calls with a price: --prices FILE or --assume-model MODEL",
        )
    columns = {name: column[rows] for name, column in found.items()}
    columns["usd"] = columns.pop("cost_price_date") / 1e9
    pairs = np.stack([columns["site"].view(np.int64), columns["price_key"].astype(np.int64)], axis=1)
    known, group = np.unique(pairs, axis=0, return_inverse=True)
    n = len(rows)
    traffic = Traffic(
        ledger=ledger, not_routable=left_out, columns=columns, group=group.reshape(-1).astype(np.int64),
        groups=[(int(np.int64(site).view(np.uint64)), int(key)) for site, key in known],
        level=np.zeros(n, np.int8), parts=np.zeros((n, len(PARTS)), np.float32), tools=np.zeros(n, np.bool_),
        json=np.zeros(n, np.bool_), vision=np.zeros(n, np.bool_), labelled={}, fired=Fired({}, {}),
    )  # fmt: skip
    _read_texts(traffic, rows, set(ids), report, explain=explain, show=settings.show_text)
    return traffic


def _why(rows: dict[str, Any]) -> tuple[NDArray[np.int8], dict[str, int]]:
    """(number of the first reason why a row cannot be routed, 0 = it can; how many there are of each)."""
    reasons = {
        "failed": ~rows["ok"],
        "answered by a gateway's cache": rows["gateway"],
        "not text generation": (rows["cacheable"] & Cacheable.OTHER_OPERATION) != 0,
        "without a price": ~rows["priced"] | (rows["rate_row"] < 0),
    }
    why = np.select(list(reasons.values()), list(range(1, len(reasons) + 1)), 0).astype(np.int8)
    return why, {name: count for code, name in enumerate(reasons, 1) if (count := int((why == code).sum()))}


def _read_texts(
    traffic: Traffic, rows: NDArray[np.int64], ids: set[str], report: Progress, *, explain: bool, show: bool
) -> None:
    """Second pass: fills what only the text tells."""
    number_of = np.full(int(rows[-1]) + 1, -1, np.int64)
    number_of[rows] = np.arange(len(rows))
    batch = _Texts()
    for row, (call, _, name, line) in enumerate(settled_calls(traffic.ledger.log, None)):
        if row >= len(number_of) or number_of[row] < 0:
            continue
        number = int(number_of[row])
        json = "json" in call.params.lower()
        tools = bool(call.tools) or any(message.tool_calls for message in call.messages)
        traffic.tools[number], traffic.json[number] = tools, json
        traffic.vision[number] = any(map(_has_image, call.messages))
        asked = last_turn(call)
        if asked is None:
            continue
        place = f"{name}:{line}"
        for label in ids.intersection((call.request_id or place, place)):
            traffic.labelled.setdefault(label, Labelled(number, asked, call.tags[0] if call.tags else ""))
        batch.row.append(number)
        batch.text.append(asked)
        batch.turns.append(sum(message.role == "user" for message in call.messages))
        batch.context.append(_context_chars(call) - len(asked))
        batch.form.append(_FORM["json"] if json else _FORM["tools"] if tools else _FORM["text"])
        if len(batch.row) == _BATCH:
            _score(traffic, batch, explain=explain, show=show)
            batch = _Texts()
            report("prompts", number, len(rows))
    _score(traffic, batch, explain=explain, show=show)


def _score(traffic: Traffic, batch: _Texts, *, explain: bool, show: bool) -> None:
    if not batch.row:
        return
    rows = np.array(batch.row)
    fired = counts(batch.text)
    chars = np.array([len(text) for text in batch.text], np.int64)
    found = scored(fired, chars, np.array(batch.turns), np.array(batch.context), np.array(batch.form))
    traffic.level[rows], traffic.parts[rows] = found.level, found.parts
    if not explain:
        return
    sites = traffic.columns["site"][rows]
    for site in np.unique(sites).tolist():
        mine = fired[sites == site]
        sums = np.stack([mine.sum(axis=0), (mine > 0).sum(axis=0)], axis=1)
        traffic.fired.counts[site] = traffic.fired.counts.get(site, np.zeros((len(RULES), 2), np.int64)) + sums
    for site, text in zip(sites.tolist(), batch.text, strict=True) if show else ():
        for rule, _, words in fired_rules(text, show_words=True):
            traffic.fired.words.setdefault((site, rule), Counter()).update(words)


def last_turn(call: Call) -> str | None:
    """The text of the last user turn, without its media; None where the log holds no text."""
    last = next((message for message in reversed(call.messages) if message.role == "user"), None)
    return None if last is None else _text(last)


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    if not isinstance(message.content, list):
        return ""
    pieces: list[str] = []
    for part in cast(list[Any], message.content):
        text = cast(dict[str, Any], part).get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            pieces.append(text)
    return "\n".join(pieces)


def _context_chars(call: Call) -> int:
    """Characters of all but system prompts."""
    return sum(
        len(message.content if isinstance(message.content, str) else flat_text(message)[0])
        for message in call.messages
        if message.role not in ("system", "developer")
    )


def _has_image(message: Message) -> bool:
    if not isinstance(message.content, list):
        return False
    for part in cast(list[Any], message.content):
        if isinstance(part, dict):
            keys = cast(dict[str, Any], part)
            if "image" in str(keys.get("type", "")) or not keys.keys().isdisjoint(
                ("image", "inlineData", "inline_data")
            ):
                return True
    return False
