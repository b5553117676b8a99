"""The user's table of how good models are, by call site: CSV or JSONL; what follows from it is not decided here."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from costplan.errors import CostplanError
from costplan.routing.decide import ANY_SITE, Quality, Score

HINT = "columns: call_site (or *), model, score (0 to 1), n (scored answers), and sd where scores are not 0 or 1"
_NEEDED = ("model", "score", "n")


def read_quality(path: Path) -> Quality:
    """Raises CostplanError with the line that cannot be read."""
    scores: dict[tuple[str, str], Score] = {}
    for line, row in _rows(path):
        place = f"{path.name}:{line}"
        missing = [name for name in _NEEDED if row.get(name) in (None, "")]
        if missing:
            raise CostplanError(f"{place}: no {missing[0]}", hint=HINT)
        site, model = str(row.get("call_site") or ANY_SITE), str(row["model"])
        if (site, model) in scores:
            raise CostplanError(f"{place}: a second score of {model} at {site}", hint="one line for each pair")
        scores[site, model] = _score(row, place)
    if not scores:
        raise CostplanError(f"{path.name}: no scores in it", hint=HINT)
    return Quality(scores=scores)


def _score(row: dict[str, Any], place: str) -> Score:
    try:
        mean, n = float(row["score"]), float(row["n"])
        sd = None if row.get("sd") in (None, "") else float(row["sd"])
    except (TypeError, ValueError):
        raise CostplanError(f"{place}: score, n and sd must be numbers", hint=HINT) from None
    if not (0 <= mean <= 1 and n >= 1 and n == int(n) and (sd is None or 0 <= sd <= 1)):
        raise CostplanError(f"{place}: a score lies from 0 to 1, n is a whole number from 1 on", hint=HINT)
    return Score(mean=mean, n=int(n), sd=sd)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row)"""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CostplanError(f"{path}: {why}", hint="--quality scores.csv") from None
    if path.suffix.lower() == ".csv":
        lines = csv.DictReader(text.splitlines())
        if lines.fieldnames is None or not set(_NEEDED) <= {name.strip() for name in lines.fieldnames}:
            raise CostplanError(f"{path.name}:1: not the columns of a quality table", hint=HINT)
        for row in lines:
            yield lines.line_num, {str(name).strip(): value for name, value in row.items()}
        return
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield number, msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise CostplanError(f"{path.name}:{number}: not a JSON object", hint=HINT) from None
