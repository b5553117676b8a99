"""A log of real questions, played through caches that others wrote; `make redis` has installed them in .venv-cache.

The caches run in processes of their own, in that environment: play_gptcache.py and play_redis.py read the log and say
for each request which one's answer it got.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.similarity.embed import static_vectors
from costplan.similarity.graph import Graph
from costplan.similarity.replay import Events, Setting, replay

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-cache" / "bin" / "python"
LEAST, REQUESTS, SECOND = 0.7, 5_000, 1_000_000
PLAY_TIMEOUT_S = 120


def pytest_sessionstart() -> None:
    if not PYTHON.exists() or not shutil.which("redis-server") or not shutil.which("cc"):
        raise pytest.UsageError("the caches of these tests are not installed: make redis")


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """5,000 requests for real questions, popular ones again and again, at whole seconds and a fraction."""

    texts: list[str]
    vectors: np.ndarray
    graph: Graph
    events: Events

    def sources(self, setting: Setting) -> np.ndarray:
        """What the replay says: the event whose answer each request gets, -1 = a miss."""
        return replay(self.events, self.graph, np.ones(len(self.graph.neighbour), np.bool_), setting).source


@pytest.fixture(scope="session")
def log() -> Log:
    texts = (HERE / "data" / "banking77.txt").read_text("utf-8").splitlines()
    rng = np.random.default_rng(77)
    weight = np.arange(1, len(texts) + 1) ** -0.85
    text = rng.choice(len(texts), REQUESTS, p=weight / weight.sum()).astype(np.int32)
    time_us = np.cumsum(rng.exponential(20, REQUESTS)).astype(np.int64) * SECOND + 250_000
    vectors = static_vectors(texts)
    return Log(texts, vectors, graph_of(vectors), Events(text, time_us))


def graph_of(vectors: np.ndarray) -> Graph:
    """All pairs, by one product: not costplan's own search, which has tests of its own."""
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -1)
    one, other = np.nonzero(cosine >= LEAST)
    near = cosine[one, other]
    order = np.lexsort((other, -near, one))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(one, minlength=len(vectors)))]).astype(np.int64)
    return Graph(offsets, other[order].astype(np.int32), near[order], LEAST)


def play(script: str, log: Log, folder: Path, **how: Any) -> np.ndarray:
    """What the cache did: the event whose answer each request got, -1 = a miss."""
    np.save(folder / "vectors.npy", log.vectors)
    times_ms = (log.events.time_us // 1_000).tolist()
    asked = {"texts": log.texts, "text": log.events.text.tolist(), "time_ms": times_ms, **how}
    (folder / "log.json").write_text(json.dumps(asked), "utf-8")
    command = [str(PYTHON), str(HERE / script)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PLAY_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return np.array(json.loads((folder / "sources.json").read_text("utf-8")))
