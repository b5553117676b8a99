"""Real and generated JSON through the lossless rungs; `python -m benchmarks.compression` does it with all of it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.compression import document, real, round_trips

DATA = Path(__file__).parents[1] / "data"


def every(n: int, values: Iterator[Any]) -> Iterator[Any]:
    return (value for place, value in enumerate(values) if place % n == 0)


@pytest.mark.parametrize("seed", range(2))
def test_generated_documents_come_back_equal(seed: int):
    draw = random.Random(seed)
    assert round_trips("generated", (document(draw) for _ in range(60))) == 0


@pytest.mark.parametrize(
    "path", [DATA / "pairs" / "http_pairs.jsonl.gz", DATA / "usage_bodies" / "usages.json"], ids=lambda path: path.name
)
def test_recorded_bodies_come_back_equal(path: Path):
    assert round_trips(path.name, every(101, real(path))) == 0
