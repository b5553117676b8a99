"""What the user knows of quality: a table of scores, the results of a gate, labels of single requests; it fits nothing.

Models go by the names that prices know: `resolve` maps what a file says to them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from costplan.errors import CostplanError
from costplan.results.gate import GATE_SCHEMA, Gate
from costplan.routing.decide import ANY_SITE, Quality, Score, paired_loss
from costplan.rowfile import read_rows

Resolve = Callable[[str], str]
_TABLE = "columns call_site (or *), model, score (mean, 0 to 1), n, sd (optional); or a gate.json"
_LABELS = (
    '{"request_id": "...", "cheap_score": 1, "strong_score": 1}, or {"request_id", "model", "score"} for each model'
)
_CHEAP, _STRONG = ("cheap_score", "weak_score"), ("strong_score", "base_score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One request, answered by a cheap model and by the one that the log has."""

    request_id: str
    cheap: str
    """Model; empty: the file does not say."""
    cheap_score: float
    strong_score: float


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file of labels says; of `single` scores the log tells which is today's model."""

    pairs: list[Label]
    single: dict[str, dict[str, float]]
    """By request and model."""

    @property
    def ids(self) -> set[str]:
        """Requests that are named."""
        return {label.request_id for label in self.pairs} | self.single.keys()

    def of(self, strong: Callable[[str], str]) -> list[Label]:
        """All pairs; `strong`: today's model of a request."""
        found = list(self.pairs)
        for name, scores in self.single.items():
            own = strong(name)
            found += [
                Label(request_id=name, cheap=model, cheap_score=score, strong_score=scores[own])
                for model, score in sorted(scores.items())
                if own in scores and model != own
            ]
        return found


def read_quality(path: Path, resolve: Resolve) -> Quality:
    """Raises CostplanError for a line that is no row of such a table, with its number."""
    found = _gate(path, resolve)
    if found is not None:
        return found
    scores: dict[tuple[str, str], Score] = {}
    for place, row in read_rows(path, _TABLE):
        model = row.get("model")
        if not isinstance(model, str) or not model.strip():
            raise CostplanError(f"{place}: no model", hint=_TABLE)
        given = next((row[name] for name in ("score", "mean") if row.get(name) not in (None, "")), None)
        mean = score_of(given, f"{place}: score", _TABLE)
        n = _number(row.get("n"), f"{place}: n", least=1)
        sd = None if row.get("sd") in (None, "") else _number(row.get("sd"), f"{place}: sd", least=0)
        site = str(row.get("call_site") or row.get("site") or ANY_SITE).strip()
        key = (site, resolve(model))
        if key in scores:
            raise CostplanError(f"{place}: {model} at {site} is given twice", hint="keep one of the two rows")
        scores[key] = Score(mean=mean, n=int(n), sd=sd)
    if not scores:
        raise CostplanError(f"{path}: no score in it", hint=_TABLE)
    return Quality(scores=scores)


def score_of(value: Any, place: str, hint: str) -> float:
    """A number from 0 to 1, or true and false."""
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise CostplanError(f"{place}: not a score", hint=hint) from None
    if not 0 <= score <= 1:
        raise CostplanError(f"{place}: {score:g} is not from 0 to 1", hint="divide the scores by the best possible one")
    return score


def _number(value: Any, place: str, least: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not least <= number < 1e12:
        raise CostplanError(f"{place}: not a number of at least {least:g}", hint=_TABLE)
    return number


def _gate(path: Path, resolve: Resolve) -> Quality | None:
    """The losses that a gate measured, by call site where its items name one; None for another kind of file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CostplanError(f"{path}: {error.strerror or error}", hint=_TABLE) from None
    if GATE_SCHEMA.encode() not in data[:4_096]:
        return None
    try:
        gate = msgspec.json.decode(data, type=Gate)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CostplanError(f"{path}: not a gate.json: {error}", hint="costplan gate BASE CANDIDATE --json") from None
    models = [gate.base.model, gate.candidate.model]
    if None in models or not gate.items:
        what = "names no model" if gate.items else "holds no pair of scores"
        raise CostplanError(f"{path}: the gate {what}", hint="run the gate on two runs of known models")
    strong, cheap = (resolve(str(model)) for model in models)
    sites = {ANY_SITE: gate.items}
    for name in {item.call_site for item in gate.items if item.call_site}:
        sites[name] = [item for item in gate.items if item.call_site == name]
    losses = {
        (site, strong, cheap): paired_loss(
            np.array([item.strong_score for item in items]), np.array([item.cheap_score for item in items]), site
        )
        for site, items in sorted(sites.items())
    }
    return Quality(losses=losses)


def read_labels(path: Path, resolve: Resolve) -> Labels:
    """Both forms, mixed as they come. Raises CostplanError for a line that is no label, with its number."""
    rows: list[Label] = []
    single: dict[str, dict[str, float]] = {}
    for place, row in read_rows(path, _LABELS):
        name = str(row.get("request_id") or "").strip()
        if not name:
            raise CostplanError(f"{place}: no request_id", hint=_LABELS)
        both = [next((row[key] for key in keys if row.get(key) not in (None, "")), None) for keys in (_CHEAP, _STRONG)]
        model = str(row.get("cheap_model") or row.get("model") or "").strip()
        if both[0] is not None and both[1] is not None:
            cheap, strong = (score_of(value, place, _LABELS) for value in both)
            label = Label(
                request_id=name, cheap=resolve(model) if model else "", cheap_score=cheap, strong_score=strong
            )
            rows.append(label)
        elif row.get("score") not in (None, "") and model:
            single.setdefault(name, {})[resolve(model)] = score_of(row["score"], place, _LABELS)
        elif not any(each is not None for each in (*both, row.get("score") or None)):
            continue  # a row that nobody has filled in
        else:
            raise CostplanError(f"{place}: not a label", hint=_LABELS)
    if not rows and not single:
        raise CostplanError(f"{path}: no label in it", hint=_LABELS)
    return Labels(rows, single)
