"""How often the interval of the wrong-hit share holds the truth: python -m benchmarks.wrong_hits banking77_train.csv.

The customer questions of Banking77 arrive in seeded Zipf orders at a cache that serves the nearest stored neighbour.
Their intents are the truth: a hit is wrong if the two intents differ. 600 drawn pairs are labelled from the intents.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from costplan.similarity.embed import static_vectors
from costplan.similarity.guard import PASSES, objection
from costplan.similarity.labels import Bound, Pairs, draw, wrong_share
from numpy.typing import NDArray

THRESHOLDS = (0.80, 0.84, 0.88, 0.92)
ARRIVALS, ZIPF, LABELS, ORDERS = 20_000, 0.85, 600, 50
Floats = NDArray[np.float64]
Rows = list[tuple[NDArray[np.int64], Floats]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Pairs of one order with their truth, and each threshold's weights (m,) in hits and in dollars."""

    pairs: Pairs
    wrong: NDArray[np.bool_]
    hits: tuple[Floats, ...]
    usd: tuple[Floats, ...]


def read(path: Path) -> tuple[list[str], list[str]]:
    """(texts, intents) of a file with the columns text and category."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [row["text"].strip() for row in rows], [row["category"] for row in rows]


def neighbours(texts: Sequence[str], least: float = min(THRESHOLDS)) -> Rows:
    """Per text: its neighbours of at least this cosine, nearest first, and the cosines."""
    vectors = static_vectors(texts)
    rows: Rows = []
    for at in range(0, len(texts), 1_000):
        for number, cosines in enumerate(vectors[at : at + 1_000] @ vectors.T, start=at):
            cosines[number] = -1
            near = np.flatnonzero(cosines >= least)
            near = near[np.argsort(-cosines[near], kind="stable")]
            rows.append((near, cosines[near].astype(np.float64)))
    return rows


def replay(order: Sequence[int], rows: Rows, threshold: float) -> Iterator[tuple[int, int, int]]:
    """(arrival, text, text whose answer is served) of each hit that is not the same text; a miss is stored."""
    stored: set[int] = set()
    for arrival, text in enumerate(order):
        if text in stored:
            continue
        near, cosines = rows[text]
        for other in near[: np.searchsorted(-cosines, -threshold, side="right")].tolist():
            if other in stored:
                yield arrival, text, other
                break
        else:
            stored.add(text)


def traffic(texts: Sequence[str], intents: Sequence[str], rows: Rows, arrivals: int, seed: int) -> Traffic:
    """One seeded order: which text is popular, when it comes and what its answers cost are drawn anew."""
    rng = np.random.default_rng(seed)
    popularity = np.arange(1, len(texts) + 1) ** -ZIPF
    order = rng.permutation(len(texts))[rng.choice(len(texts), arrivals, p=popularity / popularity.sum())]
    usd = rng.lognormal(-6, 1, arrivals)
    numbers: dict[tuple[int, int], int] = {}
    served: list[tuple[int, int, float]] = []
    for setting, threshold in enumerate(THRESHOLDS):
        for arrival, text, other in replay(order.tolist(), rows, threshold):
            served.append((setting, numbers.setdefault((text, other), len(numbers)), float(usd[arrival])))
    columns = np.array(served)
    of = [columns[columns[:, 0] == setting] for setting in range(len(THRESHOLDS))]
    hits = tuple(np.bincount(each[:, 1].astype(int), minlength=len(numbers)).astype(float) for each in of)
    money = tuple(np.bincount(each[:, 1].astype(int), each[:, 2], minlength=len(numbers)) for each in of)
    cosine = np.array([rows[a][1][rows[a][0] == b][0] for a, b in numbers])
    passes = np.array([objection(texts[a], texts[b]) == PASSES for a, b in numbers])
    return Traffic(
        pairs=Pairs(cosine=cosine, passes=passes, hits=np.sum(hits, axis=0), usd=np.sum(money, axis=0)),
        wrong=np.array([intents[a] != intents[b] for a, b in numbers]), hits=hits, usd=money,
    )  # fmt: skip


def estimates(found: Traffic, labels: int, seed: int) -> dict[str, tuple[Bound, float]]:
    """Per threshold and unit: the estimate and the truth."""
    sample = draw(found.pairs, labels, seed)
    label = found.wrong[sample.index]
    return {
        f"{threshold:.2f} {unit}": (wrong_share(sample, label, weight), float(weight[found.wrong].sum() / weight.sum()))
        for unit, weights in (("hits", found.hits), ("dollars", found.usd))
        for threshold, weight in zip(THRESHOLDS, weights, strict=True)
    }


def row(name: str, seen: Sequence[tuple[Bound, float]]) -> str:
    """One line: mean truth, bias, coverage of both bounds, median width over truth."""
    truth = np.array([true for _, true in seen])
    held = np.mean([bound.low <= true <= bound.high for bound, true in seen])
    below = np.mean([true <= bound.upper for bound, true in seen])
    bias = np.mean([bound.value - true for bound, true in seen])
    width = np.median([(bound.high - bound.low) / true for bound, true in seen])
    used = np.median([bound.labels for bound, _ in seen])
    return f"| {name} | {truth.mean():.4f} | {bias:+.4f} | {held:.0%} | {below:.0%} | {width:.2f} | {used:.0f} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="banking77_train.csv of PolyAI-LDN/task-specific-datasets")
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--arrivals", type=int, default=ARRIVALS)
    parser.add_argument("--labels", type=int, default=LABELS)
    asked = parser.parse_args()
    texts, intents = read(asked.csv)
    rows = neighbours(texts)
    seen: dict[str, list[tuple[Bound, float]]] = {}
    pairs: list[int] = []
    for seed in range(asked.orders):
        found = traffic(texts, intents, rows, asked.arrivals, seed)
        pairs.append(len(found.wrong))
        for name, each in estimates(found, asked.labels, seed).items():
            seen.setdefault(name, []).append(each)
    print(f"{asked.orders} orders of {asked.arrivals:,} arrivals, {np.mean(pairs):,.0f} pairs, {asked.labels} labels")
    print(
        "| threshold, unit | truly wrong | bias | in 95 % interval | below 95 % bound | width / truth | labels used |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, values in seen.items():
        print(row(name, values))


if __name__ == "__main__":
    main()
