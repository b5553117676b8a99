"""What compression takes out of the prompts of a log, as evidence for its rungs; texts are not known here."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costplan.costing import Summary
from costplan.levers.states import COMPRESSION, STRUCTURAL
from costplan.units import plural

Facts = dict[str, Any]
NOT_LOOKED = "needs --semantic on, which reads the prompts"

_WHAT = "blanks in JSON, repeated blocks", "old tool results, context sent again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shorter:
    """What the rungs of compression found."""

    file: Path
    """(rows of the log, 7) int32, by row number; see variants.py."""
    prompts: int
    """Requests whose whole prompt was looked at."""
    touched: tuple[int, int]
    """Of them, those that lose tokens: by the lossless rungs, by the structural ones."""
    tokens: tuple[int, int]
    """Removed by each, without what an answer from a cache would save anyway."""
    by_rung: Counter[str]

    @property
    def levels(self) -> int:
        """How far compression goes on this log: 1 = nowhere, 2 = lossless, 3 = structural too."""
        return 3 if self.touched[1] else 2 if self.touched[0] else 1


def compression_of(found: Shorter | None, input_tokens: int) -> dict[int, tuple[Facts, bool, str]]:
    """(evidence, whether there is anything to do, one line) by lever."""
    if found is None:
        return {lever: ({"looked_at": 0, "note": NOT_LOOKED}, False, "") for lever in (COMPRESSION, STRUCTURAL)}
    facts: Facts = {
        "looked_at": found.prompts,
        "touched": {"lossless": found.touched[0], "structural": found.touched[1]},
        "removed_tokens": {"lossless": found.tokens[0], "structural": found.tokens[1]},
        "removed_share": {
            name: tokens / max(1, input_tokens)
            for name, tokens in zip(("lossless", "structural"), found.tokens, strict=True)
        },
        "by_rung": dict(sorted(found.by_rung.items())),
    }  # fmt: skip
    lines = [
        f"{tokens / max(1, input_tokens):.1%} of input tokens, in {plural(touched, 'prompt')}: {what}"
        for tokens, touched, what in zip(found.tokens, found.touched, _WHAT, strict=True)
    ]
    levers = (COMPRESSION, STRUCTURAL)
    return {
        lever: (facts, touched > 0, line) for lever, touched, line in zip(levers, found.touched, lines, strict=True)
    }


def compression_missing(summary: Summary, found: Shorter | None) -> dict[int, str]:
    """What it would take, by lever."""
    text = "nothing in the prompts can be left out without loss"
    if found is None:
        text = NOT_LOOKED
    elif not summary.counts["priced"]:
        text = "needs prices: no call could be priced"
    elif not found.prompts:
        text = "needs whole prompts: the log holds none"
    return dict.fromkeys((COMPRESSION, STRUCTURAL), text)
