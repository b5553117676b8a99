"""Known shares of unlike answers against their estimate: python -m benchmarks.answer_agreement FOLDER.

FOLDER holds arena_hard_questions.jsonl, answer_gpt-4-0314.jsonl and answer_gpt-3.5-turbo-0125.jsonl of
lm-sys/arena-hard-auto. Two models' answers to one question stand for the same question sampled twice, answers to two
questions of one cluster for near misses, answers to any two questions for random pairs. `--write` keeps the likenesses.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from costplan.similarity.agreement import Disagreement, Refusal, disagreeing, likeness
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHARES = (0.0, 0.02, 0.05, 0.1, 0.3, 0.5)
HITS, DUPLICATES, NEGATIVES = 300, 200, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """Of 500 pairs each."""

    same: Floats
    near: Floats
    random: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One mixture with its true share, and what came out."""

    truth: float
    found: Disagreement | Refusal


def measured(folder: Path) -> Likeness:
    """The likeness of the answers."""

    def lines(name: str) -> Iterator[dict[str, object]]:
        with (folder / name).open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def answers(name: str) -> dict[str, str]:
        return {line["question_id"]: line["choices"][0]["turns"][0]["content"] for line in lines(name)}

    clusters = {line["question_id"]: line["cluster"] for line in lines("arena_hard_questions.jsonl")}
    strong, weak = answers("answer_gpt-4-0314.jsonl"), answers("answer_gpt-3.5-turbo-0125.jsonl")
    ids, rng = list(clusters), np.random.default_rng(0)
    near = [(a, b) for a in ids for b in ids if a != b and clusters[a] == clusters[b]]
    any_two = [(a, b) for a, b in zip(ids, rng.permutation(ids), strict=True) if clusters[a] != clusters[b]]
    kinds = ([(each, each) for each in ids], near, any_two)
    same, close, far = (likeness([strong[a] for a, _ in kind], [weak[b] for _, b in kind]) for kind in kinds)
    return Likeness(same=same, near=close, random=far)


def kept(path: Path) -> Likeness:
    """The likenesses as `--write` kept them."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    of = {
        name: np.array([float(row["likeness"]) for row in rows if row["pair"] == name]) for name in Likeness.__slots__
    }
    return Likeness(**of)


def write(path: Path, found: Likeness) -> None:
    """One row per pair."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["pair", "likeness"])
        for name in Likeness.__slots__:
            out.writerows([name, f"{each:.4f}"] for each in getattr(found, name))


def run(found: Likeness, share: float, seed: int, case: str) -> Run:
    """One mixture of hits and its controls, no pair in two of them; weights from 1 to 20 (few are served often)."""
    rng = np.random.default_rng(seed)
    same, near, random = (rng.permutation(each) for each in (found.same, found.near, found.random))
    unlike = rng.random(HITS) < share
    duplicates, right = same[:DUPLICATES], same[DUPLICATES : DUPLICATES + HITS]
    negatives, wrong = {
        "random control, wrong hits near": (random[:NEGATIVES], near),
        "near control, wrong hits random": (near[:NEGATIVES], random),
        "random control, wrong hits random": (random[:NEGATIVES], random[NEGATIVES:]),
    }.get(case, (near[:NEGATIVES], near[NEGATIVES:]))
    if case == "a fifth of the near control is right":
        negatives = np.concatenate([near[: NEGATIVES * 4 // 5], rng.choice(found.same, NEGATIVES // 5)])
    if case == "duplicates without their least alike 10 %":
        duplicates = duplicates[duplicates > np.quantile(duplicates, 0.1)]
    if case == "duplicates a tenth closer to 1":
        duplicates = duplicates + 0.1 * (1 - duplicates)
    hits = np.where(unlike, wrong[np.cumsum(unlike) % len(wrong)], right)
    weight = np.ceil(20 * rng.random(HITS) ** 3) if case == "near control, hits of unequal weight" else np.ones(HITS)
    return Run(
        truth=float(weight[unlike].sum() / weight.sum()), found=disagreeing(hits, weight, duplicates, negatives, seed)
    )


CASES = (
    "random control, wrong hits random", "near control, wrong hits near", "near control, hits of unequal weight",
    "near control, wrong hits random", "random control, wrong hits near", "a fifth of the near control is right",
    "duplicates without their least alike 10 %", "duplicates a tenth closer to 1",
)  # fmt: skip


def row(case: str, share: float, runs: list[Run]) -> str:
    """One line: bias, coverage, width and refusals."""
    told = [(each.found, each.truth) for each in runs if isinstance(each.found, Disagreement)]
    refused = 1 - len(told) / len(runs)
    if not told:
        return f"| {case} | {share:.2f} | | | | | {refused:.0%} |"
    bias = np.mean([found.value - truth for found, truth in told])
    held = np.mean([found.low <= truth <= found.high for found, truth in told])
    below = np.mean([truth <= found.high for found, truth in told])
    width = np.median([found.high - found.low for found, _ in told])
    return f"| {case} | {share:.2f} | {bias:+.3f} | {held:.0%} | {below:.0%} | {width:.3f} | {refused:.0%} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--write", type=Path, metavar="CSV")
    asked = parser.parse_args()
    found = measured(asked.folder)
    if asked.write:
        write(asked.write, found)
        return
    print("| controls and hits | share | bias | in 95 % interval | below its top | width | refused |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for case in CASES:
        for share in SHARES:
            print(row(case, share, [run(found, share, seed, case) for seed in range(asked.runs)]), flush=True)


if __name__ == "__main__":
    main()
