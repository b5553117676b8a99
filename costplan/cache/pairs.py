"""`costplan cache --pairs`: labelled pairs of prompts -> the document of what would be served; no log, no money."""

from pathlib import Path

from costplan.errors import UsageError
from costplan.ingest.prompt import normalised
from costplan.results.cache import CachePairs, PairsRow, ServedShares
from costplan.settings import CacheSettings
from costplan.similarity import embed
from costplan.similarity.guard import DEFAULT_THRESHOLD
from costplan.similarity.pairs import evaluate, read_pairs


def judge_pairs(path: Path, settings: CacheSettings) -> CachePairs:
    """Served: equal after normalisation or a cosine of at least the threshold, and no objection of the guard.

    Raises CostplanError for bad files.
    """
    if settings.embeddings is not None:
        raise UsageError("--pairs takes no --embeddings", hint="--embedder static or minilm")
    threshold = DEFAULT_THRESHOLD if settings.threshold is None else settings.threshold
    found = evaluate(
        read_pairs(path), threshold, same=lambda a, b: normalised(a) == normalised(b),
        embed=embed.static_vectors if settings.embedder == "static" else embed.minilm_vectors,
    )  # fmt: skip
    setting = {"threshold": threshold, "guard": True, "embedder": settings.embedder, "ambiguous": found.ambiguous}
    return CachePairs(
        served=ServedShares(same=found.served.same, different=found.served.different),
        by=[
            PairsRow(category=row.category, same_answer=row.same_answer, served_share=row.served_share, n=row.n)
            for row in sorted(found.rows, key=lambda row: (not row.same_answer, row.category))
        ],
        setting=setting,
    )  # fmt: skip
