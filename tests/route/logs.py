"""Logs for the tests of `costplan route`: one whose amounts are worked out by hand, one with a planted gap."""

import json
import random
from pathlib import Path
from typing import Any

SYSTEM = "You help the customers of a bank. "
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def record(
    number: int, site: str, prompt: Any, *, model: str = "gpt-4o", status: int = 200,
    tokens: tuple[int, int, int] = (1_000, 400, 200), history: tuple[str, ...] = (), **body: Any,
) -> dict[str, Any]:  # fmt: skip
    """A recorded call; tokens: input, of which cached, and output. At gpt-4o's prices $0.004 by default."""
    second = 97 * number
    stamp = f"2026-10-{1 + second // 86400:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(history)]
    messages = [{"role": "system", "content": SYSTEM * (tokens[0] // 9)}, *turns, {"role": "user", "content": prompt}]
    request = {"model": model, "temperature": 0, "messages": messages, **body}
    usage = {
        "prompt_tokens": tokens[0], "completion_tokens": tokens[2], "total_tokens": tokens[0] + tokens[2],
        "prompt_tokens_details": {"cached_tokens": tokens[1]},
    }  # fmt: skip
    answer = {"role": "assistant", "content": f"Answer {number}."}
    response: dict[str, Any] = {
        "id": f"chatcmpl-{number:05d}", "object": "chat.completion", "model": model, "usage": usage,
        "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
    }  # fmt: skip
    if status != 200:
        response = {"error": {"message": "overloaded", "type": "server_error"}}
    return {
        "timestamp": stamp, "user": f"u{number % 7}", "feature": site, "tags": [f"team-{number % 2}"],
        "request": request, "response": response, "latency_ms": 1_000, "status_code": status,
    }  # fmt: skip


def write(path: Path, records: list[dict[str, Any]]) -> str:
    """The log's name."""
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return str(path)


TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}


def by_hand(path: Path) -> str:
    """Two priced sites, one of them with tools, JSON, an image and a long prompt; one call failed, one has no price."""
    return write(path, [
        record(1, "faq", "How do I freeze my card?"),
        record(2, "faq", "Why was I charged 2 fees? Explain step by step.", history=("Hello", "Hi, how can I help?")),
        record(3, "agent", "Book a table for 4", tools=[TOOL]),
        record(4, "agent", "List them", response_format={"type": "json_object"}),
        record(5, "agent", [{"type": "text", "text": "What is this?"}, IMAGE]),
        record(6, "agent", "Summarize", tokens=(120_000, 0, 200)),
        record(7, "faq", "lost", status=500),
        record(8, "faq", "Hello", model="in-house-model"),
    ])  # fmt: skip


WORDS = ("card", "account", "transfer", "loan", "branch", "app", "fee", "limit", "statement", "rate")
HARD = ("Prove why the rate changes and compare both", "Derive step by step the fee of", "Explain why the limit of")


def planted(path: Path, n: int, seed: int = 0) -> tuple[str, list[dict[str, Any]]]:
    """(log, labels): two sites of n requests, all labelled. With the cheap model one in fifty is lost; at `hard` one in
    two of the prompts that ask for reasoning."""
    rng = random.Random(seed)
    records: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    for number in range(1, 2 * n + 1):
        site = ("easy", "hard")[number % 2]
        demanding = site == "hard" and rng.random() < 0.5
        about = f"{rng.choice(WORDS)} {rng.choice(WORDS)} {number}"
        prompt = f"{rng.choice(HARD)} {about}" if demanding else f"Where is the {about}?"
        records.append(record(number, site, prompt, tokens=(200, 0, 300 if demanding else 100)))
        lost = rng.random() < (0.5 if demanding else 0.02)
        labels.append({
            "request_id": f"chatcmpl-{number:05d}", "strong_score": 1, "cheap_score": 0 if lost else 1,
            "cheap_model": "gpt-4o-mini",
        })  # fmt: skip
    return write(path, records), labels


def save(path: Path, rows: list[dict[str, Any]]) -> str:
    """JSONL, or CSV by the ending."""
    if path.suffix == ".csv":
        names = list(rows[0])
        path.write_text(",".join(names) + "\n" + "".join(",".join(str(row[n]) for n in names) + "\n" for row in rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)
