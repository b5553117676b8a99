"""Do lossless rungs come back equal, and do answers survive lossy ones?

    python -m benchmarks.compression [--json FILE ...] [--samples 10000] [--nq nq_open_oracle.jsonl.gz] [--lm DIR]

First table: generated JSON documents (seeded) and every object or array in the files given (JSON, JSONL, SSE streams
inside them), each compact and indented, through rungs 1 and 2; a document that does not come back equal is a failure
and ends the run with exit code 1.

Second table: questions with one gold passage each ("Lost in the Middle", Liu et al. 2023, nq-open-oracle). Every second
row is reported; the weights of `costplan.compression.lossy` were chosen on the others. Distractors are passages of
other rows: by lot, or those that share most words with the question. Rows whose answer is not in their passage are left
out. Survival: an answer still stands in the text; se: standard error; other: survival where the answers hold neither a
digit nor a capital.
"""

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from costplan.compression.documents import DECODER
from costplan.compression.exact import exact
from costplan.compression.lossy import COMPRESSORS, Score, shortened
from costplan.compression.survival import survives
from costplan.compression.table import NotATable, decode, encode, reformatted
from costplan.compression.words import counted, plain_word, stem
from costplan.tokens import counter

Row = tuple[str, list[str], list[str]]
"""question, answers, passages"""
COUNT = counter("o200k_base")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--json", type=Path, nargs="*", default=[])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--nq", type=Path)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.5])
    parser.add_argument("--docs", type=int, nargs="+", default=[1, 5, 10])
    parser.add_argument("--rows", type=int, default=10**9, help="most rows of each kind")
    parser.add_argument("--lm", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"{'documents':28}{'n':>8}{'tables':>8}{'failures':>10}{'rung 1':>9}{'rung 2':>9}{'MB/CPU-s':>10}")
    draw = random.Random(args.seed)
    failures = round_trips("generated", (document(draw) for _ in range(args.samples)))
    failures += sum(round_trips(path.name, real(path)) for path in args.json)
    if args.nq:
        survival(args)
    sys.exit(1 if failures else 0)


def round_trips(name: str, values: Iterator[Any]) -> int:
    """Prints one line; the number of documents that do not come back equal."""
    n = tables = failures = size = 0
    tokens = [0, 0, 0]
    spent = 0.0
    for value in values:
        for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
            start = time.process_time()
            neat = exact(text)
            table = reformatted(neat, COUNT)
            spent += time.process_time() - start
            n, size = n + 1, size + len(text)
            tables += table != neat
            failures += not comes_back(text, neat)
            for place, each in enumerate((text, neat, table)):
                tokens[place] += min(COUNT(each), tokens_before(place, text, neat))
    saved = [1 - tokens[1] / max(1, tokens[0]), 1 - tokens[2] / max(1, tokens[1])]
    speed = size / 1e6 / max(spent, 1e-9)
    print(f"{name:28}{n:>8,}{tables:>8,}{failures:>10}{saved[0]:>9.1%}{saved[1]:>9.1%}{speed:>10.1f}")
    return failures


def tokens_before(place: int, text: str, neat: str) -> int:
    """What a rung may cost at most: the tokens of the text before it."""
    return COUNT(text) if place < 2 else min(COUNT(text), COUNT(neat))


def comes_back(text: str, neat: str) -> bool:
    """Whether rung 1 gave an equal document and the table of the document is decoded equal."""
    tree = DECODER.decode(text)
    try:
        return DECODER.decode(neat) == tree and decode(encode(tree)) == tree
    except (ValueError, NotATable):
        return False


def document(draw: random.Random) -> Any:
    """An object, an array of rows of one kind, rows with holes, or rows that are no table."""
    kind = draw.randrange(4)
    if kind == 0:
        return {text(draw): value(draw, 3) for _ in range(draw.randrange(8))}
    keys = list(dict.fromkeys(text(draw) for _ in range(draw.randint(1, 6))))
    rows = [{key: value(draw, 1) for key in keys} for _ in range(draw.randint(2, 12))]
    if kind == 2:
        rows = [{key: cell for key, cell in row.items() if draw.random() < 0.8} for row in rows]
    if kind == 3:
        rows = [dict(draw.sample(list(row.items()), len(row))) for row in rows]
    return draw.choice([rows, {"results": rows, "total": len(rows)}, {"data": {"rows": rows}, "next": None}])


def value(draw: random.Random, depth: int) -> Any:
    """Any JSON value."""
    kind = draw.randrange(9 if depth else 7)
    if kind == 7:
        return [value(draw, depth - 1) for _ in range(draw.randrange(4))]
    if kind == 8:
        return {text(draw): value(draw, depth - 1) for _ in range(draw.randrange(4))}
    numbers = (
        draw.randint(-5, 10 ** draw.randint(1, 25)),
        draw.uniform(-1e3, 1e3),
        draw.random() * 10 ** draw.randint(-300, 300),
    )
    return (None, draw.random() < 0.5, *numbers, text(draw), text(draw))[kind]


def text(draw: random.Random) -> str:
    """Words, traps of CSV and JSON, and any characters but lone surrogates."""
    traps = [
        "",
        "null",
        "1",
        "-0",
        "1e5",
        "true",
        "a,b",
        'say "hi"',
        "[x]",
        "{}",
        "#",
        " lead",
        "tail ",
        "a\nb",
        "]",
        "\u2028",
    ]
    kind = draw.randrange(4)
    if kind == 0:
        return draw.choice(traps)
    if kind == 1:
        return "".join(chr(draw.choice([draw.randrange(1, 0xD800), draw.randrange(0xE000, 0x11000)])) for _ in range(6))
    return " ".join(
        draw.choice(["order", "city", "Ann", "total", "x-1", "2024-05-01"]) for _ in range(draw.randint(1, 4))
    )


def real(path: Path) -> Iterator[Any]:
    """Every object and array of a file with more than one member that is not inside another text."""
    raw = path.read_bytes()
    content = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")
    try:
        yield from inside(json.loads(content))
    except json.JSONDecodeError:
        for line in content.splitlines():
            if line.strip():
                yield from inside(json.loads(line))


def inside(found: Any) -> Iterator[Any]:
    """The value, its members, and JSON that stands in its texts (SSE data lines, tool arguments)."""
    if isinstance(found, dict | list):
        if len(found) > 1:
            yield found
        for member in found.values() if isinstance(found, dict) else found:
            yield from inside(member)
    elif isinstance(found, str) and "{" in found:
        for line in found.splitlines():
            try:
                yield from inside(json.loads(line.removeprefix("data:")))
            except (json.JSONDecodeError, RecursionError):
                continue


def survival(args: argparse.Namespace) -> None:
    """Prints one line per number of passages, kind of distractor, budget and compressor."""
    with gzip.open(args.nq, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    gold = [(row["question"], row["answers"], row["ctxs"][0]["text"]) for row in rows]
    held = [row for row in gold[1::2] if survives(row[1], row[2])]
    scores: list[tuple[str, Score]] = list(COMPRESSORS)
    if args.lm:
        from costplan.compression.lm import LanguageModel

        scores.append(("perplexity", LanguageModel(args.lm).score))
    print(f"\n{len(held):,} of {len(gold[1::2]):,} rows hold their answer")
    heads = f"{'compressor':28}{'kept':>7}{'survival':>10}{'se':>7}{'other':>8}{'n':>7}{'ktok/s':>8}"
    print(f"{'docs':>5} {'distractors':12}{'keep':>5}  {heads}")
    for docs in args.docs:
        for kind in ("by lot", "close") if docs > 1 else ("none",):
            cases = [case(held, index, docs, kind == "close", args.seed) for index in range(min(len(held), args.rows))]
            for keep in args.keep:
                for name, score in scores:
                    print(f"{docs:>5} {kind:12}{keep:>5g}  {judged(cases, keep, name, score)}", flush=True)


def case(held: Sequence[tuple[str, list[str], str]], index: int, docs: int, close: bool, seed: int) -> Row:
    """A question, its answers, and its passage among passages of other rows, in an order by lot."""
    question, answers, passage = held[index]
    draw = random.Random(f"{seed}/{index}")
    others = [place for place in range(len(held)) if place != index and not survives(answers, held[place][2])]
    if close:
        asked = {stem(word) for word in map(plain_word, question.split()) if len(word) > 3}
        shared = {place: len(asked & stems(held[place][2])) for place in others}
        chosen = sorted(others, key=lambda place: (-shared[place], place))[: docs - 1]
    else:
        chosen = draw.sample(others, docs - 1)
    passages = [passage, *(held[place][2] for place in chosen)]
    draw.shuffle(passages)
    return question, answers, passages


_stems: dict[str, set[str]] = {}


def stems(passage: str) -> set[str]:
    """Stems of a passage's words, remembered."""
    if passage not in _stems:
        _stems[passage] = {stem(plain_word(word)) for word in passage.split()}
    return _stems[passage]


def judged(cases: list[Row], keep: float, name: str, score: Score) -> str:
    """One compressor on all cases."""
    counts = counted(passage for _, _, passages in cases for passage in passages)
    before = after = 0
    alive: list[bool] = []
    start = time.process_time()
    for question, answers, passages in cases:
        size = sum(map(COUNT, passages))
        blocks = shortened(passages, question, int(keep * size), counts, COUNT, score)
        before, after = before + size, after + sum(map(COUNT, blocks))
        alive.append(survives(answers, "\n\n".join(blocks)))
    speed = before / 1000 / max(time.process_time() - start, 1e-9)
    share = sum(alive) / len(alive)
    error = sqrt(share * (1 - share) / len(alive))
    other = [there for there, (_, answers, _) in zip(alive, cases, strict=True) if not any(map(is_name, answers))]
    rest = f"{sum(other) / len(other):>8.3f}" if other else f"{'':8}"
    return f"{name:28}{after / before:>7.3f}{share:>10.3f}{error:>7.3f}{rest}{len(alive):>7,}{speed:>8.0f}"


def is_name(answer: str) -> bool:
    """Whether it holds a digit or a capital."""
    return any(char.isdigit() or char.isupper() for char in answer)


if __name__ == "__main__":
    main()
