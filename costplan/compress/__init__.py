"""What would shorter prompts save on this log, and at what risk? Logs in, compress.json out."""

import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from costplan.compress.document import Case, Tried, document_of, month_for
from costplan.compress.money import worth
from costplan.compress.read import Progress, Requests, read_requests
from costplan.compress.work import KEEP, LOST, PRICES, WIDTH, Asked, Found, Options, spread
from costplan.compression.pieces import pieces_of
from costplan.compression.saved import RUNGS
from costplan.compression.words import counted
from costplan.engine import Executor, executor, usable_cores
from costplan.results.compress import Compress
from costplan.settings import CompressSettings
from costplan.tokens import encoding_of

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
        options = Options(frozenset(settings.roles), settings.rung or RUNGS, settings.keep or KEEP, settings.show_text)
        chosen = np.zeros(0, np.int64)
        if "lossy" in options.rungs:
            rng = np.random.default_rng(settings.seed)
            chosen = np.sort(rng.choice(requests.n, min(requests.n, settings.sample), replace=False))
        inexact = np.zeros(requests.n, np.bool_)
        found = spread(pool, _asked(requests, set(chosen.tolist()), work / "sample", inexact, tell), options)
        tried = _try(pool, work, options, settings) if len(chosen) else Found()
        return document_of(Case(
            requests=requests, settings=settings, origins=origins, options=options, inexact=inexact,
            all=_tried(requests, found, requests.n), sample=_tried(requests, tried, len(chosen)),
            month=month_for(requests, settings),
        ))  # fmt: skip


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""


def _asked(
    requests: Requests, chosen: set[int], sample: Path, inexact: NDArray[np.bool_], report: Progress
) -> Iterator[Asked]:
    """All requests, one by one; those chosen are put aside in a file on the way."""
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    tokens: list[tuple[int, int, int]] = list(zip(*(requests.columns[name].tolist() for name in names), strict=True))
    with sample.open("wb") as file:
        for number, call, place in requests.texts():
            encoding, exact = encoding_of(call.response_model or call.request_model or requests.assumed_model)
            inexact[number] = not exact
            asked = Asked(
                number, place, call.messages, call.tools, call.output_text or "", encoding, exact, tokens[number]
            )
            if number in chosen:
                pickle.dump(asked, file)
            yield asked
            if number % 20_000 == 0:
                report("prompts", number, requests.n)


def _try(pool: Executor, work: Path, options: Options, settings: CompressSettings) -> Found:
    """The lossy rung on the requests put aside; a language model runs in this process only."""
    counts = counted(
        piece.text for asked in _aside(work / "sample") for piece in pieces_of(asked.messages)
        if piece.role in options.roles and not piece.fixed
    )  # fmt: skip
    (work / "counts").write_bytes(pickle.dumps(counts))
    options = replace(options, counts=work / "counts", model=settings.lm)
    return spread(pool if settings.lm is None else Executor(1), _aside(work / "sample"), options)


def _aside(sample: Path) -> Iterator[Asked]:
    with sample.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)  # written by this run, in its own private folder
            except EOFError:
                return


def _tried(requests: Requests, found: Found, n: int) -> Tried:
    """What was found for n requests."""
    number = np.concatenate([np.zeros(0, np.int64), *found.number])
    table = np.concatenate([np.zeros((0, WIDTH)), *found.table])
    columns = {name: column[number] for name, column in requests.columns.items()}
    parts = table[:, :LOST].reshape(len(number), len(RUNGS), PRICES)
    return Tried(
        number=number, n=n, found=found, table=table, worth=worth(columns, requests.rates, parts, table[:, LOST])
    )
