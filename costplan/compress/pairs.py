"""`costplan compress --pairs`: contexts with questions and answers -> how often an answer survives each compressor.

Survival means that one of the answers still stands in the shorter text; no model reads it. No log, no money.
"""

import gzip
import pickle
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.compress.work import counts_in, model_in
from costplan.compression.exact import exact
from costplan.compression.lossy import COMPRESSORS, Score, paragraphs, shortened
from costplan.compression.survival import survives
from costplan.compression.table import reformatted
from costplan.compression.words import counted
from costplan.engine import Executor, executor, usable_cores
from costplan.errors import CostplanError
from costplan.results.compress import CompressorRow, CompressPairs
from costplan.settings import CompressSettings
from costplan.tokens import counter, encoding_of

KEEP, LOSSLESS = 0.5, "lossless"
_HINT = 'one row per line: {"context": "..." or ["...", "..."], "question": "...", "answers": ["..."]}'
_BATCH = 100


class _Line(msgspec.Struct):
    context: str | list[str]
    question: str
    answers: str | list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """Blocks of context, what is asked of them, and what answers it."""

    blocks: tuple[str, ...]
    question: str
    answers: tuple[str, ...]


def judge_contexts(path: Path, settings: CompressSettings) -> CompressPairs:
    """Raises CostplanError for bad files."""
    rows = read_contexts(path)
    kept = [row for row in rows if survives(row.answers, "\n\n".join(row.blocks))]
    if not kept:
        raise CostplanError(f"{path}: no context in it holds its answer", hint=_HINT)
    keep = settings.keep or KEEP
    encoding = encoding_of(settings.assume_model or "")[0]
    with tempfile.TemporaryDirectory(prefix="costplan-") as folder:
        counts = Path(folder) / "counts"
        counts.write_bytes(pickle.dumps(counted(block for row in kept for block in row.blocks)))
        jobs = [
            (kept[at : at + _BATCH], keep, encoding, counts, settings.lm) for at in range(0, len(kept), _BATCH)
        ]  # fmt: skip
        with executor(settings.workers or usable_cores()) as pool:
            parts = (pool if settings.lm is None else Executor(1)).map(_judge, jobs)
    found = np.concatenate(parts)
    other = np.array([not any(map(_has_name_or_number, row.answers)) for row in kept])
    names = [name for name, _ in _scores(settings.lm)] + [LOSSLESS]
    return CompressPairs(
        keep=keep, tokenizer=encoding, by=_table(names, found),
        other_answers=_table(names, found[other]) if other.any() else [], without_answer=len(rows) - len(kept),
    )  # fmt: skip


def read_contexts(path: Path) -> list[Row]:
    """Rows of a JSONL file, gzip or plain; other fields are ignored. Raises CostplanError with the line."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise CostplanError(f"{path}: {reason}", hint="name a JSONL file of contexts and answers") from None
    decoder = msgspec.json.Decoder(_Line)
    rows: list[Row] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CostplanError(f"{path}:{number}: {error}", hint=_HINT) from None
        text = row.context
        blocks = [text[start:end] for start, end in paragraphs(text)] if isinstance(text, str) else text
        answers = [row.answers] if isinstance(row.answers, str) else row.answers
        rows.append(Row(tuple(filter(str.strip, blocks)), row.question, tuple(answers)))
    if not rows:
        raise CostplanError(f"{path}: no context in it", hint=_HINT)
    return rows


def _scores(model: Path | None) -> list[tuple[str, Score]]:
    return [*COMPRESSORS, *([] if model is None else [("perplexity", model_in(model).score)])]


def _judge(job: tuple[list[Row], float, str, Path, Path | None]) -> NDArray[np.int64]:
    """(rows, compressors, 3): tokens before, tokens after, whether an answer survives; the last is LOSSLESS."""
    rows, keep, encoding, counts_file, model = job
    counts, count = counts_in(counts_file), counter(encoding)
    found: list[list[tuple[int, int, bool]]] = []
    for row in rows:
        before = sum(map(count, row.blocks))
        budget = int(keep * before)
        ways = [
            shortened(row.blocks, row.question, budget, counts, count, score) for _, score in _scores(model)
        ]  # fmt: skip
        ways.append([reformatted(exact(block), count) for block in row.blocks])
        after = [min(before, sum(map(count, blocks))) for blocks in ways]
        alive = [survives(row.answers, "\n\n".join(blocks)) for blocks in ways]
        found.append([(before, size, there) for size, there in zip(after, alive, strict=True)])
    return np.array(found)


def _table(names: list[str], found: NDArray[np.int64]) -> list[CompressorRow]:
    rows: list[CompressorRow] = []
    for place, name in enumerate(names):
        before, after, alive = found[:, place].sum(axis=0).tolist()
        low, high = _wilson(alive, len(found))
        rows.append(CompressorRow(
            compressor=name, kept_token_share=after / before, answer_survival=alive / len(found), low=low, high=high,
            n=len(found),
        ))  # fmt: skip
    return rows


def _wilson(alive: int, n: int) -> tuple[float, float]:
    from scipy import stats

    found: Any = cast(Any, stats).binomtest(alive, n).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _has_name_or_number(answer: str) -> bool:
    return any(char.isupper() or char.isdigit() for char in answer)
