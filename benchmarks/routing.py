"""How good routers are on labelled pairs, how often random labels pass, and how fast prompts are scored.

    python -m benchmarks.routing [PAIRS.jsonl.gz ...] [--routellm FILE] [--null 200] [--arena questions.jsonl]

Prints APGR beside random orders and length for each file of pairs ({prompt, cheap_score, strong_score, group}).
--routellm takes RouteLLM's labels of MMLU and GSM8K (prompt, weak, strong, task, source) and judges the two apart, MMLU
with its subjects as groups. Then `--null` data sets of 45 to 2,000 real prompts with labels drawn at random, seeded:
how many get the verdict `routes`. A quarter each has no groups, the prompts' own, many made-up ones, or every prompt
twice. Last, prompts in a CPU-second.
"""

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from costplan.complexity.score import levels
from costplan.results import Estimate
from costplan.results.route import RoutePairs
from costplan.route.features import embedding, statistics
from costplan.route.pairs import judge_pairs
from costplan.routing.verdict import ROUTES, Pairs, judge

TESTS = Path(__file__).parents[1] / "tests"
BANKING = TESTS / "data" / "banking77" / "queries.txt.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("pairs", type=Path, nargs="*")
    parser.add_argument("--routellm", type=Path)
    parser.add_argument("--null", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1, help="judge each file with so many seeds of the folds")
    parser.add_argument("--arena", type=Path, help="prompts of Arena-Hard, for the speed on longer ones")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {path.name: path for path in args.pairs}
        files |= {} if args.routellm is None else apart(args.routellm, Path(folder))
        if files:
            print(f"{'data set':22}{'n':>7}  {'APGR':22}{'random':17}{'length':22}{'verdict':24}CPU s")
        for name, path in files.items():
            for seed in range(args.seeds):
                began = time.process_time()
                print(row(name, judge_pairs(path, seed), time.process_time() - began), flush=True)
        if args.null:
            null(list(files.values()), args.null)
    speed(args.arena)


def apart(path: Path, folder: Path) -> dict[str, Path]:
    """RouteLLM's labels by source, in the columns of --pairs."""
    found: dict[str, list[str]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            each = json.loads(line)
            pair = {"prompt": each["prompt"], "cheap_score": each["weak"], "strong_score": each["strong"]}
            found.setdefault(each["source"], []).append(json.dumps(pair | {"group": each["task"]}) + "\n")
    files = {source: folder / f"{source}.jsonl" for source in found}
    for source, file in files.items():
        file.write_text("".join(found[source]), "utf-8")
    return files


def row(name: str, found: RoutePairs, cpu_s: float) -> str:
    """One line of the table."""
    cells = [found.apgr, found.baselines.random, found.baselines.length]
    own, chance, length = (ends(each) for each in cells)
    return f"{name:22}{found.n:>7,}  {own:22}{chance[6:]:17}{length:22}{found.verdict:24}{cpu_s:5.1f}"


def ends(estimate: Estimate) -> str:
    values = [float("nan") if each is None else each for each in (estimate.value, estimate.low, estimate.high)]
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def null(files: list[Path], sets: int) -> None:
    """How often labels at random pass."""
    prompts, groups = known_prompts(files)
    features, vectors = statistics(prompts), embedding(prompts)
    passed, tried = 0, 0
    for number in range(sets):
        rng = np.random.default_rng((77, number))
        pairs = drawn(prompts, groups, features, vectors, number, rng)
        tried += 1
        passed += judge(pairs, 0).verdict == ROUTES
    print(f"random labels: {passed} of {tried} data sets get the verdict `routes` ({passed / tried:.1%})")


def known_prompts(files: list[Path]) -> tuple[list[str], list[str]]:
    """(prompts, groups) of the files, else the shipped questions."""
    if not files:
        return texts_of(BANKING), [""] * len(texts_of(BANKING))
    rows: list[dict[str, Any]] = []
    for path in files:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
        rows += [json.loads(line) for line in data.decode("utf-8").splitlines() if line.strip()]
    return [each["prompt"] for each in rows], [str(each.get("group", "")) for each in rows]


def drawn(
    prompts: list[str], groups: list[str], features: Any, vectors: Any, number: int, rng: np.random.Generator
) -> Pairs:
    """A data set of real prompts with labels that know nothing of them."""
    n = int(np.exp(rng.uniform(np.log(45), np.log(2_000))))
    some = rng.choice(len(prompts), min(n, len(prompts)), replace=False)
    if number % 4 == 3:
        some = np.repeat(some[: len(some) // 2 + 1], 2)
    wins, losses = rng.uniform(0.1, 0.6), rng.uniform(0.02, 0.3)
    copies = np.unique(some, return_inverse=True)[1]
    chance = [losses / 2, 1 - (wins + losses) / 2, wins / 2]
    gap = rng.choice([-1.0, 0.0, 1.0], int(copies.max()) + 1, p=chance)[copies]
    told = {1: [groups[at] for at in some], 2: rng.integers(0, max(2, len(some) // 3), len(some)).tolist()}
    group = np.unique(told[number % 4], return_inverse=True)[1] if number % 4 in told else None
    return Pairs(
        cheap=np.maximum(-gap, 0), strong=np.maximum(gap, 0), key=copies, group=group,
        chars=np.array([len(prompts[at]) for at in some]),
        blocks=[features[some], vectors[some][:, : max(1, len(some) // 16)]],
    )  # fmt: skip


def texts_of(path: Path) -> list[str]:
    """The texts of a compressed file, one a line."""
    return [line for line in gzip.decompress(path.read_bytes()).decode("utf-8").splitlines() if line.strip()]


def speed(arena: Path | None) -> None:
    """Prompts in a second of CPU, the best of three runs."""
    sets = {"banking77": texts_of(BANKING)}
    if arena is not None:
        sets["arena_hard"] = [json.loads(line)["turns"][0]["content"] for line in arena.open("rb")]
    for name, texts in sets.items():
        many = (texts * (20_000 // len(texts) + 1))[:20_000]
        mean = sum(map(len, many)) / len(many)
        zeros = np.zeros(len(many))
        rules = rate(lambda many=many, zeros=zeros: levels(many, zeros + 1, zeros), len(many))
        some = many[:2_000]
        router = rate(lambda some=some: (statistics(some), embedding(some)), len(some))
        print(
            f"{name} ({mean:.0f} characters): complexity {rules:,.0f}, router's features {router:,.0f} per CPU-second"
        )


def rate(work: Any, n: int) -> float:
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return n / best


if __name__ == "__main__":
    main()
