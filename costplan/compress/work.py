"""Prompts in, numbers out: what a worker process does with some requests of a log; it knows no prices.

Every request climbs the lossless and structural rungs; a sample of them the lossy one too, after the words of the whole
sample have been counted.
"""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from costplan.compression.lossy import compressible, thinned
from costplan.compression.pieces import pieces_of
from costplan.compression.saved import RUNGS, Rung, Saved, by_price, lost_reads, saved
from costplan.compression.survival import names, numbers
from costplan.compression.unused import unused
from costplan.compression.words import Counts
from costplan.engine import Executor
from costplan.tokens import counter, encoding_of
from costplan.trace import Call, Message

KEEP = 0.65
"""Share of the tokens of long prose that stays, unless the user says otherwise."""
PARTS = ("fresh", "read", "write")
MEASURED: tuple[Rung, ...] = RUNGS[:-1]
"""Rungs that every request climbs."""
_BATCH_CALLS, _BATCH_CHARS, _ROUND = 400, 4_000_000, 16
_SHOWN_CHARS = 2_000
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as far as it matters here."""

    number: int
    place: str
    messages: list[Message]
    tools: Any
    answer: str
    encoding: str
    exact: bool
    input_tokens: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class Options:
    """What of the settings a worker needs."""

    roles: frozenset[str]
    rungs: tuple[Rung, ...]
    keep: float
    show_text: bool
    counts: Path | None = None
    """Word counts of the sample: the lossy rung is tried."""
    model: Path | None = None


@dataclass(slots=True)
class Found:
    """What k requests lose."""

    number: list[int] = field(default_factory=list[int])
    parts: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    """Of each request (5 rungs, 3): tokens taken out by PARTS, as reported."""
    lost: list[float] = field(default_factory=list[float])
    """Cache reads that stay in the prompt but are shared no more."""
    by_role: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Tokens by rung and role."""
    chars: Counter[str] = field(default_factory=Counter[str])
    """Of all prompts, by role."""
    examples: dict[str, tuple[int, str, str, str]] = field(default_factory=dict[str, tuple[int, str, str, str]])
    """By rung the text that loses most: tokens, place, before, after."""
    kept: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    """Of each request (numbers before, numbers after, names before, names after) in the texts that the lossy rung
    shortens; then paragraphs of context, unused ones, and the tokens of both."""

    def add(self, other: "Found") -> None:
        """Take in what another worker found."""
        for name in ("number", "parts", "lost", "kept"):
            getattr(self, name).extend(getattr(other, name))
        self.by_role.update(other.by_role)
        self.chars.update(other.chars)
        for rung, example in other.examples.items():
            self.examples[rung] = max(example, self.examples.get(rung, example))


def asked_of(number: int, call: Call, place: str, columns: dict[str, NDArray[Any]]) -> Asked:
    """What a worker gets to see of a call."""
    encoding, exact = encoding_of(call.response_model or call.request_model)
    input_tokens, read, write = (
        int(columns[name][number]) for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    )
    return Asked(
        number, place, call.messages, call.tools, call.output_text or "", encoding, exact, input_tokens, read, write
    )


def spread(pool: Executor, asked: Iterable[Asked], options: Options) -> Iterator[Found]:
    """`look` at all requests in batches, a few of them on their way at a time."""
    waiting: list[tuple[list[Asked], Options]] = []
    for batch in _batches(asked):
        waiting.append((batch, options))
        if len(waiting) == _ROUND:
            yield from pool.map(look, waiting)
            waiting = []
    yield from pool.map(look, waiting)


def _batches(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    batch: list[Asked] = []
    chars = 0
    for each in asked:
        batch.append(each)
        chars += sum(len(message.content) for message in each.messages if isinstance(message.content, str))
        if len(batch) == _BATCH_CALLS or chars > _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def look(job: tuple[list[Asked], Options]) -> Found:
    """What some requests lose."""
    batch, options = job
    found = Found()
    for each in batch:
        _look(each, options, found)
    return found


def _look(asked: Asked, options: Options, found: Found) -> None:
    kept = [0] * 8

    def watch(rung: Rung, before: str, after: str, tokens: int) -> None:
        if rung == "lossy":
            for at, tell in ((0, numbers), (2, names)):
                there = tell(before)
                kept[at] += len(there)
                kept[at + 1] += len(there & tell(after))
        best = found.examples.get(rung)
        if best is None or tokens > best[0]:
            shown = _SHOWN_CHARS if options.show_text else 0
            found.examples[rung] = (tokens, asked.place, before[:shown], after[:shown])

    def thin(text: str, question: str) -> str:
        assert options.counts is not None
        compress = None if options.model is None else model_in(options.model).compress
        return thinned(text, question, options.keep, counts_in(options.counts), counter(asked.encoding), compress)

    told = saved(
        asked.messages, asked.encoding, exact=asked.exact, tools=asked.tools, input_tokens=asked.input_tokens,
        thin=thin if options.counts else None, roles=options.roles, rungs=options.rungs, watch=watch,
    )  # fmt: skip
    for piece in pieces_of(asked.messages):
        found.chars[piece.role] += len(piece.text)
    if options.counts:
        kept[4:] = _unused(asked, options)
        found.kept.append(tuple(kept))
    if told.cuts:
        scale = asked.input_tokens / told.prompt_tokens
        for cut in told.cuts:
            found.by_role[cut.rung, cut.role] += round(cut.tokens * scale)
    if told.cuts or options.counts:
        found.number.append(asked.number)
        found.parts.append(_parts(asked, told))
        found.lost.append(lost_reads(told, asked.input_tokens, asked.cache_read))


def _parts(asked: Asked, told: Saved) -> NDArray[np.float64]:
    rows = (by_price(told, (rung,), asked.input_tokens, asked.cache_read, asked.cache_write) for rung in RUNGS)
    return np.array([[getattr(row, part) for part in PARTS] for row in rows])


def _unused(asked: Asked, options: Options) -> list[int]:
    """Paragraphs of context, those without a trace in the answer, tokens of both; zeros where there is no context."""
    texts = [piece.text for piece in pieces_of(asked.messages) if piece.role in options.roles and not piece.fixed]
    blocks = [text[start:end] for text in texts for start, end in compressible(text)]
    if len(blocks) < 3 or len(asked.answer.split()) < 5:
        return [0, 0, 0, 0]
    gone = unused(blocks, asked.answer)
    tokens = [counter(asked.encoding)(block) for block in blocks]
    lost = sum(each for each, is_gone in zip(tokens, gone, strict=True) if is_gone)
    return [len(blocks), sum(gone), sum(tokens), lost]


@lru_cache(maxsize=1)
def counts_in(path: Path) -> Counts:
    """Word counts that this run wrote, read once per process."""
    with path.open("rb") as file:
        return pickle.load(file)


@lru_cache(maxsize=1)
def model_in(path: Path) -> Any:
    """The language model, loaded once."""
    from costplan.compression.lm import LanguageModel

    return LanguageModel(path)
