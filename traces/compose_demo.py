"""Composes traces/demo.jsonl.gz, an openly composed log, from real arrivals, lengths, questions and answers.

    TIKTOKEN_CACHE_DIR=profiles/tokenizers python traces/compose_demo.py --data DIR [--out traces/demo.jsonl.gz]

DIR holds the public sources named in traces/README.md under the names in SOURCES below. What is real: the order and
burstiness of the arrivals, the answer lengths, the questions, the assistant's answers, the intent labels. What is
not: the calendar, the shares of the four call sites, who asked, how often a question repeats, failures, cache
counters, the answers of the bank. Same seed, same sources, same bytes.
"""

import argparse
import csv
import gzip
import json
import os
import random
import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

Record = dict[str, Any]

SEED = 20261020
HERE = Path(__file__).resolve().parent
SOURCES = {
    "arrivals": "traces/azure/AzureLLMInferenceTrace_conv.csv",
    "queries": "queries/banking77_train.csv",
    "prompts": "queries/arena_hard_questions.jsonl",
    "answers_strong": "queries/answer_gpt-4-0314.jsonl",
    "answers_cheap": "queries/answer_gpt-3.5-turbo-0125.jsonl",
}
START = datetime(2026, 10, 20, tzinfo=UTC)
DAYS = 10
# Relative request rate per hour of the day (UTC): quiet nights, a bump at 02:00 for the nightly job, two daily peaks.
HOURS = (14, 8, 95, 60, 5, 8, 18, 40, 70, 96, 110, 104, 84, 92, 106, 104, 96, 84, 66, 56, 50, 44, 34, 22)
WEEKEND = 0.45
NIGHT_HOURS, NIGHT_SHARE = (2, 3), 0.9
SITES = ("support-faq", "rag-answer", "assistant")
SHARES = (0.832, 0.148, 0.020)  # of the rows outside the nightly job that do not continue an assistant session
ZIPF = 0.9
MODELS = {"support-faq": "gpt-4o-mini", "rag-answer": "claude-sonnet-4-5", "nightly-tagging": "gpt-4.1-mini"}
TEMPERATURE = {"support-faq": 0.2, "rag-answer": 0.0, "nightly-tagging": 0.0, "assistant": 0.7}
MAX_TOKENS = {"support-faq": 300, "rag-answer": 512, "nightly-tagging": 24, "assistant": 2048}
UNKNOWN_MODEL, UNKNOWN_SHARE = "acme-internal-7b", 0.03  # of support-faq
FAILED, ABORTED, MALFORMED = 0.006, 0.003, 20
CACHE_TTL_S, CACHE_CHANCE, CACHE_MINIMUM, CACHE_STEP = 300, 0.70, 1024, 128
SECONDS_PER_TOKEN = {"gpt-4o-mini": 0.009, "gpt-4.1-mini": 0.010, "claude-sonnet-4-5": 0.016}


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The real and home-made texts that the requests are made of."""

    queries: list[tuple[str, str]]
    """Banking77: (question, intent)."""
    strong: list[tuple[str, str]]
    """Arena-Hard: (prompt, answer of gpt-4-0314)."""
    cheap: list[tuple[str, str]]
    """Arena-Hard: (prompt, answer of gpt-3.5-turbo-0125)."""
    sentences: list[str]
    system: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Session:
    """An open assistant conversation, its re-sent history and when its next turn is due."""

    name: str
    user: str
    model: str
    grow_to: int
    due: datetime
    last: datetime
    turns: list[tuple[str, str]]
    history: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    sent_tokens: int = 0


def main() -> None:
    """Reads the sources, writes the log and prints what a reader must know about it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the public sources")
    parser.add_argument("--out", type=Path, default=HERE / "demo.jsonl.gz")
    args = parser.parse_args()
    lines = list(with_malformed(compose(args.data), random.Random(SEED + 1)))
    with (
        args.out.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, filename="", mtime=0) as out,
    ):
        out.write(b"".join(lines))
    print(describe(lines), f"\n{args.out.name}: {args.out.stat().st_size:,} bytes")


def compose(data: Path) -> Iterator[Record]:
    """The records in time order: one per arrival of the Azure trace."""
    rng, texts = random.Random(SEED), load_texts(data)
    weights = list(accumulate(1 / rank**ZIPF for rank in range(1, len(texts.queries) + 1)))
    order = rng.sample(range(len(texts.queries)), len(texts.queries))
    open_sessions: list[Session] = []
    for number, (when, context, generated) in enumerate(arrivals(data / SOURCES["arrivals"])):
        site = pick_site(when, open_sessions, rng)
        query, intent = texts.queries[order[bisect_left(weights, rng.random() * weights[-1])]]
        if site == "assistant":
            record = assistant_turn(when, context, open_sessions, texts, number, rng)
        elif site == "nightly-tagging":
            # a job tags every message once: no Zipf draw, one pass after the other
            query, intent = texts.queries[number * 7919 % len(texts.queries)]
            record = openai_record(site, MODELS[site], [*system(texts, site), user(query)], f'{{"intent": "{intent}"}}')
            record |= {"user": "tagging-job", "session": f"tagging-{when:%Y%m%d}"}
            record |= {"tags": ["batchable"], "metadata": {"latency": "batch"}}
        else:
            who = f"u-{int(1200 * rng.random() ** 2):04d}"
            answer = write_answer(intent, min(generated, 90), texts)
            if site == "rag-answer":
                record = anthropic_record(site, texts.system[site], query, answer)
            else:
                model = UNKNOWN_MODEL if rng.random() < UNKNOWN_SHARE else MODELS[site]
                record = openai_record(site, model, [*system(texts, site), user(vary(query, rng))], answer)
            record |= {"user": who, "session": f"{site[:3]}-{who[2:]}-{when:%m%d}"}
        yield finish(record, when, rng)


def arrivals(path: Path) -> Iterator[tuple[datetime, int, int]]:
    """(time, context tokens, generated tokens): the Azure hour spread over DAYS by the HOURS and WEEKEND weights."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    seconds = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    span = (seconds[-1] - seconds[0]) * (1 + 1e-6)
    hours = [START + timedelta(hours=hour) for hour in range(24 * DAYS)]
    shape = [HOURS[h.hour] * (WEEKEND if h.weekday() >= 5 and h.hour not in NIGHT_HOURS else 1.0) for h in hours]
    edges = [0.0, *accumulate(shape)]
    for row, second in zip(rows, seconds, strict=True):
        mass = (second - seconds[0]) / span * edges[-1]
        hour = min(max(bisect_left(edges, mass) - 1, 0), len(hours) - 1)
        when = hours[hour] + timedelta(hours=(mass - edges[hour]) / shape[hour])
        yield when, int(row["ContextTokens"]), int(row["GeneratedTokens"])


def pick_site(when: datetime, sessions: list[Session], rng: random.Random) -> str:
    """The nightly job at night, else a due assistant session first, else a draw by SHARES."""
    if when.hour in NIGHT_HOURS and rng.random() < NIGHT_SHARE:
        return "nightly-tagging"
    if any(session.due <= when for session in sessions):
        return "assistant"
    return rng.choices(SITES, SHARES)[0]


def assistant_turn(
    when: datetime, context: int, sessions: list[Session], texts: Texts, number: int, rng: random.Random
) -> Record:
    """The next turn of the session that is longest overdue, else the first turn of a new one.

    A session grows until its prompt reaches the context length of the Azure row that opened it.
    """
    session = min((s for s in sessions if s.due <= when), key=lambda s: s.due, default=None)
    if session is None:
        model, turns = ("gpt-4.1", texts.strong) if rng.random() < 0.7 else ("gpt-4o", texts.cheap)
        picks = rng.sample(turns, 24)
        who = f"u-{int(1200 * rng.random() ** 2):04d}"
        session = Session(
            name=f"ast-{number:05d}", user=who, model=model, grow_to=context, due=when, last=when, turns=picks
        )
        sessions.append(session)
    prompt, answer = session.turns.pop()
    messages = [*system(texts, "assistant"), *session.history, user(prompt)]
    record = openai_record("assistant", session.model, messages, answer)
    record["request"]["stream"] = True
    usage = record["response"]["usage"]
    usage["prompt_tokens_details"] = {"cached_tokens": cached_tokens(session, when, rng)}
    record |= {"user": session.user, "session": session.name}
    session.history += [user(prompt), {"role": "assistant", "content": answer}]
    session.sent_tokens, session.last = usage["prompt_tokens"], when
    session.due = when + timedelta(seconds=rng.lognormvariate(4.2, 0.7))  # median 67 s to read and to write
    if usage["total_tokens"] >= session.grow_to or not session.turns:
        sessions.remove(session)
    return record


def cached_tokens(session: Session, when: datetime, rng: random.Random) -> int:
    """What a 5-minute prefix cache gives: whole steps of the previous prompt, with a 70 % chance to find it."""
    fresh = (when - session.last).total_seconds() <= CACHE_TTL_S and session.sent_tokens >= CACHE_MINIMUM
    found = rng.random() < CACHE_CHANCE
    return session.sent_tokens // CACHE_STEP * CACHE_STEP if fresh and found else 0


def openai_record(site: str, model: str, messages: list[dict[str, str]], answer: str) -> Record:
    """A chat completion as OpenAI shapes it, with counted usage."""
    prompt = sum(count(m["content"]) + 3 for m in messages) + 3
    completion = count(answer)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    message = {"role": "assistant", "content": answer}
    return {
        "feature": site,
        "request": {
            "model": model,
            "temperature": TEMPERATURE[site],
            "max_tokens": MAX_TOKENS[site],
            "messages": messages,
        },
        "response": {
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        },
    }


def anthropic_record(site: str, system_text: str, question: str, answer: str) -> Record:
    """A message as Anthropic shapes it; the o200k_base count stands in for Claude's own (unpublished) tokenizer."""
    usage = {
        "input_tokens": count(system_text) + count(question) + 2 * 3 + 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": count(answer),
    }
    model = MODELS[site]
    head = {"model": model, "temperature": TEMPERATURE[site], "max_tokens": MAX_TOKENS[site]}
    reply = {"type": "message", "role": "assistant", "model": model, "content": [{"type": "text", "text": answer}]}
    return {
        "feature": site,
        "request": {**head, "system": system_text, "messages": [user(question)]},
        "response": {**reply, "stop_reason": "end_turn", "usage": usage},
    }


def finish(record: Record, when: datetime, rng: random.Random) -> Record:
    """Adds ids, clock, latency, and turns a few calls into failed or aborted ones."""
    response, model, dice = record["response"], record["request"]["model"], rng.random()
    anthropic = response.get("type") == "message"
    usage = response["usage"]
    tokens = usage["output_tokens"] if anthropic else usage["completion_tokens"]
    latency = (0.35 + SECONDS_PER_TOKEN.get(model, 0.014) * tokens) * rng.lognormvariate(0.0, 0.25)
    identity = f"{rng.getrandbits(96):024x}"
    status = 200
    if dice < FAILED:
        status, latency = (429, 0.12) if dice < FAILED * 0.7 else (500, latency * 0.4)
        kind = "rate_limit_error" if status == 429 else "api_error"
        response = {"error": {"type": kind, "message": "Rate limit reached" if status == 429 else "Internal error"}}
    elif anthropic:
        response = {"id": f"msg_{identity}", **response}
    else:
        response = {"id": f"chatcmpl-{identity}", **response, "created": int(when.timestamp())}
        if dice < FAILED + ABORTED:
            cut_stream(record["request"], response)
    return {
        "id": f"req_{identity[:12]}",
        "timestamp": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **{key: record[key] for key in ("user", "session", "feature")},
        **{key: record[key] for key in ("tags", "metadata") if key in record},
        "request": record["request"],
        "response": response,
        "latency_ms": round(latency * 1000),
        "status_code": status,
    }


def cut_stream(request: Record, response: Record) -> None:
    """The caller hung up: half of the answer arrived, and no usage."""
    request["stream"] = True
    choice = response["choices"][0]
    text = choice["message"]["content"]
    choice["message"] = {"role": "assistant", "content": text[: len(text) // 2]}
    choice["finish_reason"] = None
    del response["usage"]


def vary(query: str, rng: random.Random) -> str:
    """The question as another person types it: 8 % lower case, 6 % other spacing, 6 % other punctuation."""
    dice = rng.random()
    if dice < 0.08:
        return query.lower()
    if dice < 0.14:
        return f"  {query.replace(' ', '  ', 1)} "
    if dice < 0.20:
        return query.rstrip("?.! ") + rng.choice(("", "??", " ?", "!"))
    return query


def write_answer(intent: str, tokens: int, texts: Texts) -> str:
    """A home-made answer: the intent's own order of the shipped sentences, up to the Azure row's length."""
    name = re.sub(r"[^a-z]+", " ", intent.lower()).strip()
    rng = random.Random(f"{SEED}-{intent}")
    parts = [f"This is about {name}."]
    for sentence in rng.sample(texts.sentences, len(texts.sentences)):
        parts.append(sentence)
        if sum(map(count, parts)) >= tokens:
            break
    return " ".join(parts)


def with_malformed(records: Iterator[Record], rng: random.Random) -> Iterator[bytes]:
    """Encoded lines; before MALFORMED of them stands a torn copy, as a writer that died and retried leaves it."""
    lines = [json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() for record in records]
    torn = set(rng.sample(range(len(lines)), MALFORMED))
    for number, line in enumerate(lines):
        if number in torn:
            yield line[: len(line) * rng.randint(20, 80) // 100] + b"\n"
        yield line + b"\n"


def load_texts(data: Path) -> Texts:
    """The questions and answers of DIR and the prompts beside this script."""
    with (data / SOURCES["queries"]).open(newline="", encoding="utf-8") as handle:
        queries = [(row["text"].strip(), row["category"]) for row in csv.DictReader(handle)]
    prompts = {r["question_id"]: r["turns"][0]["content"] for r in json_lines(data / SOURCES["prompts"])}

    def answered(name: str) -> list[tuple[str, str]]:
        rows = ((r["question_id"], r["choices"][0]["turns"][0]["content"]) for r in json_lines(data / SOURCES[name]))
        return [(prompts[key], text) for key, text in rows if key in prompts and text.strip()]

    read: Callable[[str], str] = lambda name: (HERE / "prompts" / f"{name}.txt").read_text("utf-8").strip()  # noqa: E731
    intents = ", ".join(sorted({intent for _, intent in queries}))
    sites = ("support-faq", "assistant", "rag-answer", "nightly-tagging")
    return Texts(
        queries=queries,
        strong=answered("answers_strong"),
        cheap=answered("answers_cheap"),
        sentences=read("answers").splitlines(),
        system={site: read(site).replace("{intents}", intents) for site in sites},
    )


def json_lines(path: Path) -> list[Record]:
    """The objects of a JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def system(texts: Texts, site: str) -> list[dict[str, str]]:
    """The site's fixed system message."""
    return [{"role": "system", "content": texts.system[site]}]


def user(text: str) -> dict[str, str]:
    """A user message."""
    return {"role": "user", "content": text}


@cache
def encoding() -> Any:
    """o200k_base from the vocabulary shipped in profiles/tokenizers."""
    os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(HERE.parent / "profiles" / "tokenizers"))
    import tiktoken

    return tiktoken.get_encoding("o200k_base")


@cache
def count(text: str) -> int:
    """Tokens of a text under o200k_base."""
    return len(encoding().encode_ordinary(text))


def describe(lines: list[bytes]) -> str:
    """The composition in numbers, for traces/README.md."""
    sites: Counter[str] = Counter()
    models: Counter[str] = Counter()
    status: Counter[int] = Counter()
    seen: set[str] = set()
    questions = repeats = no_usage = cached = assistant_input = bad = 0
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            bad += 1
            continue
        sites[record["feature"]] += 1
        models[record["request"]["model"]] += 1
        status[record["status_code"]] += 1
        usage = record["response"].get("usage")
        no_usage += usage is None and record["status_code"] == 200
        if record["feature"] == "assistant" and usage:
            cached += usage["prompt_tokens_details"]["cached_tokens"]
            assistant_input += usage["prompt_tokens"]
        if record["feature"] == "support-faq":
            text = record["request"]["messages"][-1]["content"]
            questions, repeats = questions + 1, repeats + (text in seen)
            seen.add(text)
    return (
        f"lines {len(lines):,}, malformed {bad}, bytes {sum(map(len, lines)):,}\nsites {dict(sites)}\n"
        f"models {dict(models)}\nstatus {dict(status)}, aborted without usage {no_usage}\n"
        f"support-faq exact repeats over the whole log: {repeats / questions:.1%} of {questions:,}\n"
        f"assistant: logged cached tokens {cached / assistant_input:.1%} of input"
    )


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.1f} s")
