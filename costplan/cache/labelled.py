"""The file of would-be hits to label, out and back in; which pairs to draw and what labels prove is not decided here.

Every row names the draw it comes from (labels wanted, seed, and a digest of all pairs), so that labels are only ever
weighed against the pairs they were drawn from. The texts of prompts and answers stand in this file because it was
asked for.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from costplan.cache.frontier import Tally
from costplan.cache.near import Near
from costplan.cache.read import Ints, Mask, Requests
from costplan.errors import CostplanError
from costplan.rowfile import read_rows
from costplan.similarity.labels import Pairs, Sample, draw

_LONGEST = 100_000
"""Characters of a text in the file; spreadsheets and csv readers take no more."""
_ANSWERS = {
    "": None, "true": True, "yes": True, "y": True, "1": True, "same": True, "false": False, "no": False, "n": False,
    "0": False, "different": False,
}  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """m pairs of prompts that some setting serves: what labels are drawn from."""

    pairs: Pairs
    key: Ints
    """(m,) sorted: lower node x U + higher node."""
    request: Ints
    """(m,) the first request that is served through the pair, and the one whose answer it gets."""
    source: Ints

    def weight(self, near: Near, edges: Ints, times: NDArray[Any]) -> NDArray[np.float64]:
        """(m,) how often edges of a replay were taken, by pair."""
        place = np.searchsorted(self.key, _keys(near, edges))
        return np.bincount(place, times, len(self.key)).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What was read back; `wrong` and `given` follow `sample.index`."""

    sample: Sample
    wrong: Mask
    given: Mask


def population(near: Near, tallies: list[Tally]) -> Population:
    """The pairs that the tallied settings serve; hits and dollars are means over the settings."""
    keys = np.concatenate([_keys(near, tally.edges) for tally in tallies])
    edges = np.concatenate([tally.edges for tally in tallies])
    key, at, inverse = np.unique(keys, return_index=True, return_inverse=True)
    cosine = near.graph.cosine[edges[at]].astype(np.float64)
    hits = np.bincount(inverse, np.concatenate([tally.times for tally in tallies]), len(key)) / len(tallies)
    usd = np.bincount(inverse, np.concatenate([tally.usd for tally in tallies]), len(key)) / len(tallies)
    return Population(
        # rounded: the last digits of a cosine differ between machines, and the same pairs must be drawn on all of them
        pairs=Pairs(
            cosine=np.round(cosine, 3), passes=np.ones(len(key), np.bool_), hits=hits, usd=np.maximum(usd, 0.0)
        ),
        key=key, request=np.concatenate([tally.first for tally in tallies])[at],
        source=np.concatenate([tally.source for tally in tallies])[at],
    )  # fmt: skip


def _keys(near: Near, edges: Ints) -> Ints:
    low = np.searchsorted(near.graph.offsets, edges, side="right") - 1
    high = near.graph.neighbour[edges].astype(np.int64)
    return np.minimum(low, high) * near.graph.texts + np.maximum(low, high)


def _digest(people: Population) -> str:
    pairs = people.pairs
    columns = [people.key, pairs.cosine, np.round(pairs.hits, 6), np.round(pairs.usd, 9)]
    return hashlib.blake2b(b"".join(column.tobytes() for column in columns), digest_size=6).hexdigest()


def label_rows(requests: Requests, people: Population, n: int, seed: int) -> list[dict[str, Any]]:
    """The rows to label, in the order they should be worked through."""
    sample, told = draw(people.pairs, n, seed), f"{n}-{seed}-{_digest(people)}"
    rows: list[dict[str, Any]] = []
    for pair in sample.index.tolist():
        request, source = int(people.request[pair]), int(people.source[pair])
        texts = {
            "prompt": requests.texts[int(requests.text[request])],
            "cached_prompt": requests.texts[int(requests.text[source])],
            "cached_answer": requests.answer(source), "logged_answer": requests.answer(request),
        }  # fmt: skip
        rows.append({
            "request_id": requests.ids[request], "from_request_id": requests.ids[source],
            "similarity": float(people.pairs.cosine[pair]), "kind": "semantic", "same_answer": None,
            **{name: text[:_LONGEST] for name, text in texts.items()}, "stratum": int(sample.stratum[pair]),
            "probability": round(float(sample.probability[pair]), 6), "hits": round(float(people.pairs.hits[pair]), 6),
            "usd": round(float(people.pairs.usd[pair]), 9), "pair": pair, "sample": told,
        })  # fmt: skip
    return rows


def encode_rows(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> bytes:
    """JSONL, or CSV if the name ends in .csv: there a text that a spreadsheet would run is led by an apostrophe."""
    if path.suffix.lower() != ".csv":
        return b"".join(msgspec.json.encode({k: _whole(v) for k, v in row.items()}) + b"\n" for row in rows)
    file = io.StringIO()
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    return file.getvalue().encode()


def _whole(value: Any) -> Any:
    """Without halves of surrogate pairs, which UTF-8 has no bytes for."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value is None else value
    text = _whole(value).replace("\0", "")
    return "'" + text if text.startswith(_FORMULA) else text


def read_labels(path: Path, people: Population) -> Labels:
    """Raises CostplanError for what is no label file, and for labels of other pairs than this run's."""
    given: dict[int, bool] = {}
    told: set[str] = set()
    for place, row in read_rows(path, "write one: --label-sample 600 FILE"):
        try:
            pair, draw_of = int(row["pair"]), str(row["sample"])
        except (KeyError, TypeError, ValueError):
            raise CostplanError(
                f"{place}: not a row of a label file (no pair or sample)", hint="write one: --label-sample 600 FILE"
            ) from None
        told.add(draw_of)
        answer = str("" if row.get("same_answer") is None else row["same_answer"]).strip().lower()
        if answer not in _ANSWERS:
            hint = "write yes or no (true, false, 1, 0); empty = not labelled"
            raise CostplanError(f"{place}: same_answer is neither yes nor no", hint=hint)
        label = _ANSWERS[answer]
        if label is not None and given.setdefault(pair, label) != label:
            raise CostplanError(f"{place}: labelled yes here and no elsewhere", hint="keep one of the two rows")
    if not given:
        raise CostplanError(f"{path}: no row is labelled", hint="fill the column same_answer with yes or no")
    n, seed, digest = ([*told.pop().split("-"), "", ""] if len(told) == 1 else ["", "", ""])[:3]
    if digest != _digest(people) or not (n.isdecimal() and seed.isdecimal()):
        raise CostplanError(
            f"{path}: these labels were drawn from other pairs than this log and these options give",
            hint="use the log and the --ttl, --ttl-policy, --capacity, --scope, --embedder they were drawn with",
        )
    sample = draw(people.pairs, int(n), int(seed))
    answers = [given.get(pair) for pair in sample.index.tolist()]
    return Labels(
        sample, np.array([each is False for each in answers]), np.array([each is not None for each in answers])
    )  # fmt: skip
