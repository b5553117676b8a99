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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.compression.lossy import compressible, thinned
from costplan.compression.pieces import pieces_of
from costplan.compression.saved import RUNGS, Rung, by_price, lost_reads, saved
from costplan.compression.survival import names, numbers
from costplan.compression.unused import unused
from costplan.compression.words import Counts
from costplan.engine import Executor
from costplan.tokens import counter
from costplan.trace import Message

KEEP = 0.65
"""Share of the tokens of long prose that stays, unless the user says otherwise."""
MEASURED: tuple[Rung, ...] = RUNGS[:-1]
"""Rungs that every request climbs."""
PRICES = 3
"""Tokens are told apart by what was paid for them: fresh, read, written."""
LOST, NUMBERS, NAMES, PARAGRAPHS, CONTEXT = (len(RUNGS) * PRICES + place for place in (0, 1, 3, 5, 7))
"""Columns of a request, after the tokens of each rung by PRICES: unshared cache reads; numbers before and after in the
texts that the lossy rung shortens; names likewise; paragraphs of context, and unused ones; tokens of both."""
WIDTH = CONTEXT + 2
_BATCH_CALLS, _BATCH_CHARS, _ROUND = 400, 4_000_000, 16
_SHOWN_CHARS = 2_000


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
    tokens: tuple[int, int, int]
    """Input, cache reads, cache writes."""


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


@dataclass(slots=True, eq=False)
class Found:
    """What some requests lose; of all of them where the lossy rung is tried, else of those that lose anything."""

    number: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    table: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    """By batch: (k,) and (k, WIDTH)."""
    by_role: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Tokens by rung and role; with "" for the rung, characters of all prompts."""
    examples: dict[str, tuple[int, str, str, str]] = field(default_factory=dict[str, tuple[int, str, str, str]])
    """By rung the text that loses most: tokens, place, before, after."""


def spread(pool: Executor, asked: Iterable[Asked], options: Options) -> Found:
    """`look` at all requests in batches, a few of them on their way at a time."""
    found = Found()
    waiting: list[tuple[list[Asked], Options]] = []
    for batch in _batches(asked):
        waiting.append((batch, options))
        if len(waiting) == _ROUND or not batch:
            for part in pool.map(look, waiting):
                found.number += part.number
                found.table += part.table
                found.by_role.update(part.by_role)
                for rung, example in part.examples.items():
                    found.examples[rung] = max(example, found.examples.get(rung, example))
            waiting = []
    return found


def _batches(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    batch: list[Asked] = []
    chars = 0
    for each in asked:
        batch.append(each)
        chars += sum(len(message.content) for message in each.messages if isinstance(message.content, str))
        if len(batch) == _BATCH_CALLS or chars > _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    yield from ([batch] if batch else [])
    yield []


def look(job: tuple[list[Asked], Options]) -> Found:
    """What some requests lose."""
    batch, options = job
    found = Found()
    rows = [(each.number, row) for each in batch if (row := _look(each, options, found))]
    found.number.append(np.array([number for number, _ in rows], np.int64))
    found.table.append(np.array([row for _, row in rows], np.float64).reshape(-1, WIDTH))
    return found


def _look(asked: Asked, options: Options, found: Found) -> list[float]:
    """A row of the table; empty where nothing is lost."""
    row = [0.0] * WIDTH

    def watch(rung: Rung, before: str, after: str, tokens: int) -> None:
        for at, tell in ((NUMBERS, numbers), (NAMES, names)) if rung == "lossy" else ():
            there = tell(before)
            row[at] += len(there)
            row[at + 1] += len(there & tell(after))
        if tokens > found.examples.get(rung, (0,))[0]:
            shown = _SHOWN_CHARS if options.show_text else 0
            found.examples[rung] = (tokens, asked.place, before[:shown], after[:shown])

    def thin(text: str, question: str) -> str:
        assert options.counts is not None
        score = None if options.model is None else model_in(options.model).score
        return thinned(text, question, options.keep, counts_in(options.counts), counter(asked.encoding), score)

    input_tokens, read, write = asked.tokens
    told = saved(
        asked.messages, asked.encoding, exact=asked.exact, tools=asked.tools, input_tokens=input_tokens,
        thin=thin if options.counts else None, roles=options.roles, rungs=options.rungs, watch=watch,
    )  # fmt: skip
    pieces = pieces_of(asked.messages)
    for piece in pieces:
        found.by_role["", piece.role] += len(piece.text)
    for cut in told.cuts:
        found.by_role[cut.rung, cut.role] += round(cut.tokens * input_tokens / told.prompt_tokens)
    if options.counts:
        texts = [piece.text for piece in pieces if piece.role in options.roles and not piece.fixed]
        row[PARAGRAPHS:] = _unused(texts, asked)
    parts = [by_price(told, (rung,), input_tokens, read, write) for rung in RUNGS]
    row[:LOST] = [tokens for part in parts for tokens in (part.fresh, part.read, part.write)]
    row[LOST] = lost_reads(told, input_tokens, read)
    return row if told.cuts or options.counts else []


def _unused(texts: list[str], asked: Asked) -> list[float]:
    """Paragraphs of context, those without a trace in the answer, tokens of both; zeros where there is no context."""
    blocks = [text[start:end] for text in texts for start, end in compressible(text)]
    if len(blocks) < 3 or len(asked.answer.split()) < 5:
        return [0, 0, 0, 0]
    gone = unused(blocks, asked.answer)
    tokens = list(map(counter(asked.encoding), blocks))
    return [len(blocks), sum(gone), sum(tokens), sum(n for n, is_gone in zip(tokens, gone, strict=True) if is_gone)]


@lru_cache(maxsize=1)
def counts_in(path: Path) -> Counts:
    """Word counts that this run wrote, read once per process."""
    return pickle.loads(path.read_bytes())


@lru_cache(maxsize=1)
def model_in(path: Path) -> Any:
    """The language model, loaded once."""
    from costplan.compression.lm import LanguageModel

    return LanguageModel(path)
