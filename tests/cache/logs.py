"""Small logs for the tests of `costplan cache`: one whose answer is worked out by hand, one drawn at random."""

import json
import random
from pathlib import Path
from typing import Any

SYSTEM = "You help the customers of a bank."
# (minute, user, prompt, system prompt, status)
BY_HAND = (
    (0, "u1", "How do I freeze my card?", SYSTEM, 200),
    (1, "u2", "How do I freeze my card?", SYSTEM, 200),  # exact, of the first
    (2, "u1", "how do I  freeze my card", SYSTEM, 200),  # respelled, of the first
    (3, "u3", "How can I freeze my card?", SYSTEM, 200),  # similar to the first
    (4, "u1", "How do I unfreeze my card?", SYSTEM, 200),  # close, and the opposite
    (5, "u2", "What is the fee for 2 cards?", SYSTEM, 200),
    (6, "u2", "What is the fee for 3 cards?", SYSTEM, 200),  # close, and another number
    (7, "u1", "What is the rate today?", SYSTEM, 200),  # asks about now: not eligible
    (8, "u1", "How do I freeze my card?", "You answer in French.", 200),  # other context
    (90, "u1", "How do I freeze my card?", SYSTEM, 200),  # the first has expired
    (91, "u2", "How do I freeze my card?", SYSTEM, 200),  # exact, of the one before
    (92, "u2", "How do I freeze my card?", SYSTEM, 500),  # failed: not eligible
)


def record(number: int, second: int, user: str, prompt: str, system: str = SYSTEM, status: int = 200) -> dict[str, Any]:
    """A recorded call of gpt-4o-mini: 30 tokens in, 100 out, 1 s: $0.0000645."""
    stamp = f"2026-10-{20 + second // 86400:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    request = {"model": "gpt-4o-mini", "temperature": 0, "messages": messages}
    usage = {"prompt_tokens": 30, "completion_tokens": 100, "total_tokens": 130}
    answer = {"role": "assistant", "content": f"Answer {number}."}
    response = {
        "id": f"chatcmpl-{number:04d}", "object": "chat.completion", "model": "gpt-4o-mini", "usage": usage,
        "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
    }  # fmt: skip
    if status != 200:
        response = {"error": {"message": "overloaded", "type": "server_error"}}
    return {
        "timestamp": stamp, "user": user, "feature": "help", "request": request, "response": response,
        "latency_ms": 1000, "status_code": status,
    }  # fmt: skip


def write(path: Path, records: list[dict[str, Any]]) -> str:
    """The log's name."""
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return str(path)


def by_hand(path: Path) -> str:
    """See BY_HAND."""
    return write(path, [
        record(number, 60 * minute, user, prompt, system, status)
        for number, (minute, user, prompt, system, status) in enumerate(BY_HAND, 1)
    ])  # fmt: skip


_VERBS = ("freeze", "block", "cancel", "replace", "activate", "order", "return", "unlock")
_THINGS = ("card", "debit card", "virtual card", "account", "savings account", "PIN", "transfer", "direct debit")
_FRAMES = ("How do I {0} my {1}?", "How can I {0} my {1}?", "how do i {0} my {1}", "Can you tell me how to {0} my {1}?")


def at_random(path: Path, n: int, seed: int = 0) -> str:
    """Some questions often, others rarely; two system prompts, five users and requests without one."""
    rng = random.Random(seed)
    records: list[dict[str, Any]] = []
    second = 0
    for number in range(1, n + 1):
        second += rng.randrange(0, 240)
        verb, thing = (names[min(int(rng.expovariate(0.4)), 7)] for names in (_VERBS, _THINGS))
        prompt = rng.choice(_FRAMES).format(verb, thing)
        user = rng.choice(("", "u1", "u2", "u3", "u4", "u5"))
        records.append(record(number, second, user, prompt, rng.choice((SYSTEM, SYSTEM, "Be brief."))))
    return write(path, records)
