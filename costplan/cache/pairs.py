"""Labelled pairs of prompts -> which of them a semantic cache would serve, by category; no log, no money."""

from collections import defaultdict
from pathlib import Path

import msgspec

from costplan.errors import CostplanError, UsageError
from costplan.results.cache import CachePairs, PairsRow, ServedShares
from costplan.settings import CacheSettings
from costplan.similarity import embed
from costplan.similarity.guard import DEFAULT_THRESHOLD, objection

_HINT = 'one line each: {"a": "...", "b": "...", "same_answer": true, "category": "..."}'


class _Pair(msgspec.Struct, frozen=True):
    """A line of the file; other keys are ignored."""

    a: str
    b: str
    same_answer: bool
    category: str = ""


def judge_pairs(path: Path, settings: CacheSettings) -> CachePairs:
    """Served: a cosine of at least the threshold, and no objection of the guard. Raises CostplanError for bad files."""
    if settings.embeddings is not None:
        raise UsageError("--pairs takes no --embeddings", hint="--embedder static or minilm")
    pairs = _read(path)
    make = embed.static_vectors if settings.embedder == "static" else embed.minilm_vectors
    first, second = make([pair.a for pair in pairs]), make([pair.b for pair in pairs])
    threshold = DEFAULT_THRESHOLD if settings.threshold is None else settings.threshold
    near = (first * second).sum(axis=1) >= threshold
    served: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for pair, close in zip(pairs, near.tolist(), strict=True):
        served[pair.category, pair.same_answer].append(close and not objection(pair.a, pair.b))

    def share(same: bool) -> float | None:
        found = [each for (_, kind), group in served.items() if kind is same for each in group]
        return sum(found) / len(found) if found else None

    return CachePairs(
        served=ServedShares(same=share(True), different=share(False)),
        by=[
            PairsRow(category=category, same_answer=same, served_share=sum(group) / len(group), n=len(group))
            for (category, same), group in sorted(served.items(), key=lambda each: (not each[0][1], each[0][0]))
        ],
        setting={"threshold": threshold, "guard": True, "embedder": settings.embedder},
    )  # fmt: skip


def _read(path: Path) -> list[_Pair]:
    decode = msgspec.json.Decoder(_Pair).decode
    pairs: list[_Pair] = []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror}", hint=_HINT) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                pairs.append(decode(line.removeprefix(b"\xef\xbb\xbf")))
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise CostplanError(f"{path}:{number}: not a labelled pair", hint=_HINT) from None
    if not pairs:
        raise CostplanError(f"{path}: no pair in it", hint=_HINT)
    return pairs
