"""What compression would take out of the prompts of some rows, read a second time; texts are forgotten at once."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from costplan.compression.saved import LOSSLESS, STRUCTURAL, Saved, by_price, lost_reads, saved
from costplan.ingest.log import Log
from costplan.ingest.reread import Ints, PromptJob, joined_calls, wanted_calls
from costplan.tokens import encoding_of
from costplan.trace import Call

NO_EDIT = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Removed:
    """Of k rows that lose tokens."""

    number: Ints
    """(k,) what the caller calls them."""
    tokens: NDArray[np.int32]
    """(k, 7): removed from the prompt without loss, and how many fewer of what is left are read from and written to the
    provider's cache; the same by structural edits too; the token from which on a prompt differs from what was sent
    before (NO_EDIT: none)."""
    by_rung: Counter[str]
    """Tokens."""


@dataclass(frozen=True, slots=True)
class RemovedJob:
    """Wanted rows of a split; `hints`: in a long log, lines that cannot get shorter are passed over undecoded."""

    prompts: PromptJob
    hints: bool


def removed(job: RemovedJob) -> Removed:
    """What the wanted rows of a split lose."""
    prompts = job.prompts
    if job.hints and prompts.split.source.kind == "lines":
        from costplan.ingest.hints import hinted_lines

        hinted = np.isin(prompts.line, np.array(sorted(hinted_lines(prompts.split)), np.int64))
        names = ("line", "place", "number")
        prompts = replace(prompts, **{name: getattr(prompts, name)[hinted] for name in names})
    return _removed(wanted_calls(prompts))


def removed_joined(log: Log, rows: Ints, head: int | None) -> Removed:
    """As `removed`, of any log."""
    return _removed(joined_calls(log, rows, head))


def _removed(calls: Iterable[tuple[int, Call]]) -> Removed:
    numbers: list[int] = []
    tokens: list[tuple[int, ...]] = []
    by_rung: Counter[str] = Counter()
    for number, call in calls:
        vocabulary, _ = encoding_of(call.response_model or call.request_model)
        found = saved(call.messages, vocabulary, tools=call.tools, input_tokens=call.input_tokens)
        if not found.cuts:
            continue
        prompt = found.prompt_tokens if call.input_tokens is None else call.input_tokens
        scale = prompt / max(1, found.prompt_tokens)
        for cut in found.cuts:
            by_rung[cut.rung] += int(cut.tokens * scale)
        edit = NO_EDIT if found.rewritten_from is None else int(found.rewritten_from * scale)
        numbers.append(number)
        tokens.append((*_parts(call, found, prompt), edit))
    table = np.array(tokens, np.int32).reshape(-1, 7)
    return Removed(np.array(numbers, np.int64), table, by_rung)


def _parts(call: Call, found: Saved, prompt: int) -> Iterator[int]:
    """Tokens off the prompt, off what is read from the cache, off what is written to it: lossless, then all."""
    read, write = call.cache_read_tokens, call.cache_write_tokens
    for rungs, lost in ((LOSSLESS, 0.0), ((*LOSSLESS, *STRUCTURAL), lost_reads(found, prompt, read))):
        parts = by_price(found, rungs, prompt, read, write)
        off_read, off_write = min(read, int(parts.read + lost)), min(write, int(parts.write))
        fresh = prompt - read - write
        yield max(0, min(int(parts.fresh + parts.read + parts.write), fresh + off_read + off_write))
        yield off_read
        yield off_write
