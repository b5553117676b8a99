"""What would shorter prompts save on this log, and at what risk? Logs in, compress.json out."""

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costplan.compress.document import Case, document_of
from costplan.compress.money import Worth, worth
from costplan.compress.read import Progress, Requests, read_requests
from costplan.compress.work import KEEP, PARTS, Asked, Found, Options, asked_of, spread
from costplan.compression.pieces import pieces_of
from costplan.compression.saved import RUNGS
from costplan.compression.words import counted
from costplan.engine import Executor, executor, usable_cores
from costplan.results.compress import Compress
from costplan.settings import CompressSettings

__all__ = ["run_compress"]


def run_compress(
    paths: list[str], settings: CompressSettings, origins: dict[str, str], report: Progress | None = None
) -> Compress:
    """Raises CostplanError for files that are no log, and for logs without a prompt to shorten."""
    tell = report or _silent
    with (
        tempfile.TemporaryDirectory(prefix="costplan-") as folder,
        executor(settings.workers or usable_cores()) as pool,
    ):
        work = Path(folder)
        requests = read_requests(paths, settings, work, pool, tell)
        chosen = _sample(requests.n, settings)
        options = Options(frozenset(settings.roles), settings.rung or RUNGS, settings.keep or KEEP, settings.show_text)
        inexact = np.zeros(requests.n, np.bool_)
        found = _together(spread(pool, _asked(requests, set(chosen.tolist()), work / "sample", inexact, tell), options))
        lossy = _tried(pool, work, options, settings, tell) if len(chosen) else Found()
        return document_of(Case(
            requests=requests, settings=settings, origins=origins, options=options, found=found,
            worth=_worth(requests, found, np.arange(requests.n)), inexact=inexact, sample=chosen,
            tried=_worth(requests, lossy, chosen), lossy=lossy,
        ))  # fmt: skip


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def _sample(n: int, settings: CompressSettings) -> NDArray[np.int64]:
    """(k,) numbers of the requests that the lossy rung is tried on, ascending."""
    if settings.rung and "lossy" not in settings.rung:
        return np.zeros(0, np.int64)
    return np.sort(np.random.default_rng(settings.seed).choice(n, min(n, settings.sample), replace=False))


def _asked(
    requests: Requests, chosen: set[int], sample: Path, inexact: NDArray[np.bool_], report: Progress
) -> Iterator[Asked]:
    """All requests, one by one; those chosen are put aside in a file on the way."""
    with sample.open("wb") as file:
        for number, call, place in requests.texts():
            asked = asked_of(number, call, place, requests.columns)
            inexact[number] = not asked.exact
            if number in chosen:
                pickle.dump(asked, file)
            yield asked
            if number % 20_000 == 0:
                report("prompts", number, requests.n)


def _tried(pool: Executor, work: Path, options: Options, settings: CompressSettings, report: Progress) -> Found:
    """The lossy rung on the requests put aside; a language model runs in this process only."""
    counts = counted(
        piece.text for asked in _aside(work / "sample") for piece in pieces_of(asked.messages)
        if piece.role in options.roles and not piece.fixed
    )  # fmt: skip
    (work / "counts").write_bytes(pickle.dumps(counts))
    options = replace(options, counts=work / "counts", model=settings.lm)
    return _together(spread(pool if settings.lm is None else Executor(1), _aside(work / "sample"), options))


def _aside(sample: Path) -> Iterator[Asked]:
    with sample.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # written by this run, in its own private folder
            except EOFError:
                return


def _together(parts: Iterable[Found]) -> Found:
    found = Found()
    for part in parts:
        found.add(part)
    return found


def _worth(requests: Requests, found: Found, numbers: NDArray[np.int64]) -> Worth:
    """Worth of what was found for the requests `numbers` (m,), ascending."""
    columns: dict[str, Any] = {name: column[numbers] for name, column in requests.columns.items()}
    parts, lost = np.zeros((len(numbers), len(RUNGS), len(PARTS))), np.zeros(len(numbers))
    place = np.searchsorted(numbers, found.number)
    if len(place):
        parts[place], lost[place] = np.array(found.parts), found.lost
    return worth(columns, requests.rates, parts, lost)
