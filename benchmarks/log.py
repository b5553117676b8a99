"""Writes the benchmark log: OpenAI-shaped lines with heavy-tailed texts; its rates mean nothing about real traffic.

    python -m benchmarks.log [--lines 1000000] [--out FILE]

About 1.5 KB per line. Two processes write half of the lines each; seeded, so the same Python, numpy and pandas (whose
docstrings are the texts) give the same bytes. The share of repeated questions is a property of the draws below.
"""

import argparse
import ast
import multiprocessing
import os
import shutil
import sysconfig
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

SEED = 20261101
PROCESSES = 2
CHUNK = 10_000
START_S, RATE = 1_790_812_800.0, 5.0  # 2026-10-01T00:00Z, requests per second
MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano")
USERS, SYSTEM_PROMPTS, INTENTS, ANSWERS = 30_000, 40, 60_000, 5_000
NAMES = ("Anna", "Ben", "Chloe", "David", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jun")
WORLD = (
    "カードがまだ届いていません。いつ届きますか。",
    "我的银行卡还没有收到，请问什么时候能到？",
    "Моя карта ещё не пришла, когда её ждать?",
    "¿Por qué se ha rechazado mi transferencia de ayer?",
    "카드가 아직 도착하지 않았어요. 언제 받을 수 있나요?",
    "Warum wurde meine Überweisung gestern zurückgebucht?",
    "لم تصل بطاقتي بعد، متى يمكنني استلامها؟",
    "Pourquoi mon virement a-t-il été refusé hier soir ?",
    "मेरा कार्ड अभी तक नहीं आया है, कब तक आएगा?",
    "👩‍👩‍👧‍👦 family plan 👩🏽‍💻 please 🏳️‍🌈✨🧑‍🚀",
)
DOCUMENTED = {"numpy": ("lib", "_core"), "pandas": ("core", "core/indexes", "core/reshape")}


def main() -> None:
    """Writes one log and prints its size and speed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    out = args.out or Path(".benchmarks") / f"log-{args.lines}.jsonl"
    started = time.perf_counter()
    write_log(out, args.lines)
    seconds, size = time.perf_counter() - started, out.stat().st_size
    print(f"{out}: {args.lines:,} lines, {size:,} bytes, {seconds:.1f} s, {size / seconds / 1e6:.0f} MB/s")


def write_log(out: Path, lines: int) -> None:
    """The whole log, written under a temporary name and renamed when it is complete."""
    out.parent.mkdir(parents=True, exist_ok=True)
    cuts = [lines * part // PROCESSES for part in range(PROCESSES + 1)]
    parts = [out.with_name(f"{out.name}.{os.getpid()}.{part}") for part in range(PROCESSES)]
    the_corpus()  # before the fork, so that both processes share it
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("fork")) as pool:
        jobs = [
            pool.submit(write_part, path, part, first, last, lines)
            for part, (path, (first, last)) in enumerate(zip(parts, pairwise(cuts), strict=True))
        ]
        for job in jobs:
            job.result()
    with parts[0].open("ab") as whole:
        for path in parts[1:]:
            with path.open("rb") as piece:
                shutil.copyfileobj(piece, whole, 16 << 20)
            path.unlink()
    parts[0].replace(out)


def write_part(path: Path, part: int, first: int, last: int, lines: int) -> None:
    """The lines first..last of a log of so many lines."""
    corpus = the_corpus()
    times = START_S + np.cumsum(np.random.default_rng(SEED + 1).exponential(1 / RATE, lines))[first:last]
    rng = np.random.default_rng([SEED, 2, part])
    encode = msgspec.json.Encoder().encode
    sessions = max(1, (last - first) // 3)
    with path.open("wb", buffering=1 << 20) as out:
        for begin in range(0, last - first, CHUNK):
            rows = draw_rows(corpus, rng, times[begin : begin + CHUNK], part, sessions)
            out.write(b"".join(encode(row) + b"\n" for row in rows))


class Corpus:
    """The texts that lines are drawn from: system prompts, intents, answers and the paragraphs behind them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.paragraphs, functions = read_sources()
        # 200 to 1,600 characters; the draw below takes the first ones, the shorter, most often
        self.system = [self.text(rng, int(size)) for size in np.linspace(200, 1600, SYSTEM_PROMPTS)]
        lengths = np.clip(rng.lognormal(5.2, 0.9, INTENTS), 20, 6000).astype(int).tolist()
        kinds = rng.random(INTENTS).tolist()
        picks = rng.integers(0, 1 << 30, INTENTS).tolist()
        self.intents: list[str] = []
        for length, kind, pick in zip(lengths, kinds, picks, strict=True):
            if kind < 0.08:
                sentence = WORLD[pick % len(WORLD)] + " "
                self.intents.append((sentence * (length // len(sentence) + 1))[:length])
            elif kind < 0.20:
                self.intents.append(f"Explain this code:\n```python\n{functions[pick % len(functions)]}\n```")
            else:
                self.intents.append(self.text(rng, length))
        self.answers = [self.text(rng, 1200) for _ in range(ANSWERS)]

    def text(self, rng: np.random.Generator, length: int) -> str:
        """Random paragraphs, one after the other, cut to a length."""
        parts: list[str] = []
        missing = length
        while missing > 0:
            parts.append(self.paragraphs[int(rng.random() * len(self.paragraphs))])
            missing -= len(parts[-1]) + 1
        return " ".join(parts)[:length]


@cache
def the_corpus() -> Corpus:
    """The corpus of SEED."""
    return Corpus(np.random.default_rng(SEED))


def draw_rows(
    corpus: Corpus, rng: np.random.Generator, times: np.ndarray, part: int, sessions: int
) -> Iterator[dict[str, Any]]:
    """The records of one chunk; all draws are vectors, so that the loop only puts texts together."""
    n = len(times)
    stamps = np.round(times, 3).tolist()
    models, users = rng.integers(0, len(MODELS), n).tolist(), rng.integers(0, USERS, n).tolist()
    session = rng.integers(0, sessions, n).tolist()
    prompts = (np.minimum(rng.pareto(1.0, n), 1e15).astype(np.int64) % SYSTEM_PROMPTS).tolist()
    intents = (rng.zipf(1.15, n) % INTENTS).tolist()
    earlier = (rng.zipf(1.15, n) % INTENTS).tolist()
    surface, history = rng.random(n).tolist(), (rng.random(n) < 0.12).tolist()
    salts, answers = rng.integers(0, 1 << 40, n).tolist(), rng.integers(0, ANSWERS, n).tolist()
    cuts = np.minimum(rng.lognormal(5.3, 0.8, n) + 10, 1200).astype(int).tolist()
    latency = rng.integers(200, 9000, n).tolist()
    names = ids(rng, n)
    for i in range(n):
        question = vary(corpus, corpus.intents[intents[i]], surface[i], salts[i])
        messages = [{"role": "system", "content": corpus.system[prompts[i]]}]
        if history[i]:
            messages.append({"role": "user", "content": corpus.intents[earlier[i]]})
            messages.append({"role": "assistant", "content": corpus.answers[salts[i] % ANSWERS][: cuts[i - 1]]})
        messages.append({"role": "user", "content": question})
        answer = corpus.answers[answers[i]][: cuts[i]]
        # characters // 4: a made-up count, nobody's tokenizer
        sent, written = sum(len(message["content"]) for message in messages) // 4, len(answer) // 4
        yield {
            "id": names[i],
            "timestamp": stamps[i],
            "model": MODELS[models[i]],
            "user": f"user-{users[i]}",
            "session": f"s{part}-{session[i]}",
            "request": {"model": MODELS[models[i]], "temperature": 0.2, "max_tokens": 512, "messages": messages},
            "response": {
                "id": names[i],
                "object": "chat.completion",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
                "usage": {"prompt_tokens": sent, "completion_tokens": written, "total_tokens": sent + written},
            },
            "latency_ms": latency[i],
        }


def ids(rng: np.random.Generator, n: int) -> list[str]:
    """Message ids as OpenAI writes them, with 24 hex digits."""
    digits = rng.bytes(12 * n).hex()
    return [f"chatcmpl-{digits[24 * i : 24 * i + 24]}" for i in range(n)]


def vary(corpus: Corpus, question: str, dice: float, salt: int) -> str:
    """A question's surface: a quarter greet, a quarter name an order, a tenth add a paragraph, the rest is verbatim."""
    if dice < 0.25:
        return f"Hi, I'm {NAMES[salt % len(NAMES)]}. {question}"
    if dice < 0.50:
        return f"{question} (order #{10_000 + salt % 900_000})"
    if dice < 0.60:
        return f"{question} {corpus.paragraphs[salt % len(corpus.paragraphs)]}"
    return question


def read_sources() -> tuple[list[str], list[str]]:
    """Docstring paragraphs, and functions of 4 to 30 lines, from the standard library, numpy and pandas."""
    paragraphs: set[str] = set()
    functions: set[str] = set()
    for path in source_files():
        try:
            text = path.read_text("utf-8")
            module = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError):
            continue
        lines = text.splitlines()
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                docstring = ast.get_docstring(node) or ""
                paragraphs.update(
                    p for part in docstring.split("\n\n") if 40 <= len(p := " ".join(part.split())) <= 800
                )
            if isinstance(node, ast.FunctionDef) and 4 <= (node.end_lineno or 0) - node.lineno + 1 <= 30:
                functions.add("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return sorted(paragraphs), sorted(functions)


def source_files() -> Sequence[Path]:
    """Modules whose docstrings are read, in a fixed order."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    for package, folders in DOCUMENTED.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"error: {package} is not installed")
        for folder in folders:
            files += sorted((Path(spec.origin).parent / folder).glob("*.py"))
    return files


if __name__ == "__main__":
    main()
