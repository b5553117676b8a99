"""CPU-seconds to embed texts and to find their near pairs, beside a plain product of all texts with all texts.

    python -m benchmarks.similarity [--sizes 10000 30000 100000] [--texts FILE ...] [--plain 30000]
        [--plot growth.html]

Texts are put together from the sentences of `tests/data/banking77` or of the files given (one text per line): one, the
first half of one and the second half of another, or two; seeded and all different. The plain way is all texts times all
texts in one piece, 5 bytes per pair, hence only up to `--plain` texts; the run stops if it finds other pairs. Both ways
use all cores. `--plot` draws how the cost grows with the number of texts.
"""

import argparse
import gzip
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from costplan.similarity.embed import Vectors, static_vectors
from costplan.similarity.graph import neighbours

SENTENCES = Path(__file__).parents[1] / "tests" / "data" / "banking77" / "queries.txt.gz"
LEAST = 0.80


Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call took, over all threads."""

    wall_s: float
    cpu_s: float


def main() -> None:
    """Prints one line per number of texts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--texts", type=Path, nargs="+", default=[SENTENCES])
    parser.add_argument("--plain", type=int, default=30_000, help="most texts for the plain way")
    parser.add_argument("--plot", type=Path, help="an HTML file")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sentences = [line for path in args.texts for line in lines(path)]
    static_vectors(sentences[:1])  # loads the weights
    print(f"{'':>9}{'embedding':>11}{'graph':>16}{'':>12}{'plain':>16}")
    print(f"{'texts':>9}{'CPU s':>11}{'wall s':>8}{'CPU s':>8}{'pairs':>12}{'wall s':>8}{'CPU s':>8}")
    curves: dict[str, dict[int, float]] = {"embedding": {}, "graph": {}, "plain product": {}}
    for size in args.sizes:
        texts = recombined(sentences, size, args.seed)
        vectors, embedding = timed(partial(static_vectors, texts))
        graph, cost = timed(partial(neighbours, vectors, np.zeros(size, np.uint64), LEAST))
        found = len(graph.neighbour) // 2
        curves["embedding"][size], curves["graph"][size] = embedding.cpu_s, cost.cpu_s
        line = f"{size:>9,}{embedding.cpu_s:>11.2f}{cost.wall_s:>8.2f}{cost.cpu_s:>8.2f}{found:>12,}"
        if size <= args.plain:
            other, plain = timed(partial(plain_pairs, vectors))
            curves["plain product"][size] = plain.cpu_s
            line += f"{plain.wall_s:>8.2f}{plain.cpu_s:>8.2f}"
            if abs(other - found) > 1e-4 * found:  # pairs at the very threshold round either way in float32
                raise SystemExit(f"the plain way finds {other:,} pairs of {size:,} texts, the graph has {found:,}")
        print(line, flush=True)
    if args.plot:
        plot(curves, args.plot)


def plot(curves: dict[str, dict[int, float]], path: Path) -> None:
    """CPU-seconds over the number of texts, both on logarithmic axes: a slope of 2 is a square."""
    from plotly import graph_objects

    figure: Any = cast(Any, graph_objects).Figure(
        [{"name": name, "x": list(costs), "y": list(costs.values())} for name, costs in curves.items()],
        {"title": "Similar prompts: cost and number of different texts"},
    )
    figure.update_xaxes(type="log", title="different texts").update_yaxes(type="log", title="CPU-seconds")
    figure.write_html(path)


def lines(path: Path) -> list[str]:
    """The texts of a file, which may be compressed with gzip."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [line for line in text.splitlines() if line.strip()]


def recombined(sentences: Sequence[str], size: int, seed: int) -> list[str]:
    """`size` different texts out of sentences, in a seeded order."""
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    for _ in range(100 * size):
        first, second, way = rng.integers([len(sentences), len(sentences), 10]).tolist()
        one, other = sentences[first].split(), sentences[second].split()
        if way == 0:
            words = one
        elif way < 6:
            words = one[: (len(one) + 1) // 2] + other[len(other) // 2 :]
        else:
            words = one + other
        found[" ".join(words)] = None
        if len(found) == size:
            return list(found)
    raise SystemExit(f"{len(sentences):,} sentences are too few for {size:,} different texts")


def plain_pairs(vectors: Vectors) -> int:
    """Pairs at `LEAST` or above, by one product of all with all."""
    near = vectors @ vectors.T >= np.float32(LEAST)
    return (int(np.count_nonzero(near)) - int(np.count_nonzero(near.diagonal()))) // 2


def timed(call: Callable[[], Found]) -> tuple[Found, Cost]:
    """What the call gives, and its cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    return found, Cost(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
