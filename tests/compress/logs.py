"""A small log for the tests of `costplan compress`: every rung has requests whose saving can be worked out by hand."""

import json
import random
from pathlib import Path
from typing import Any

from costplan.tokens import counter

COUNT = counter("o200k_base")
TERMS = (
    "The refund is paid to the card that the order was paid with, within ten working days after the parcel has "
    "reached the warehouse. Parcels without a number are put aside and opened once a month by the staff."
)
QUESTION = "Which city has the largest harbour?"


def orders(n: int) -> str:
    """A JSON document of n uniform rows as people log it."""
    rows = [{"order": 1000 + i, "city": f"city {i % 3}", "paid": i % 2 == 0, "note": None} for i in range(n)]
    return json.dumps({"orders": rows}, indent=2)


def passage(number: int) -> str:
    """A paragraph of 60 words about a place of its own."""
    draw = random.Random(number)
    words = ["river", "market", "bridge", "tower", "street", "trade", "glass", "paper", "ship", "stone", "wool", "salt"]
    told = " ".join(draw.choice(["the", "of", "and", "was", *words, str(draw.randint(1000, 2000))]) for _ in range(45))
    return f"In Town{number} they tell that {told}. The largest harbour belongs to Port{number} since {1800 + number}."


CONTEXT = "\n\n".join([*(passage(number) for number in range(4)), f"Question: {QUESTION}"])


def record(
    number: int, hour: int, messages: list[dict[str, Any]], cached: int = 0, answer: str = "Yes.",
    site: str = "orders", status: int = 200,
) -> dict[str, Any]:  # fmt: skip
    """A call of gpt-4o-mini: $0.15, $0.075 cached and $0.60 out per million tokens; 3 tokens frame each message."""
    tokens = sum(COUNT(message["content"]) + 3 for message in messages) + 3
    usage = {
        "prompt_tokens": tokens, "completion_tokens": 10, "total_tokens": tokens + 10,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip
    response = {
        "id": f"chatcmpl-{number:04d}", "object": "chat.completion", "model": "gpt-4o-mini", "usage": usage,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
    }  # fmt: skip
    if status != 200:
        response = {"error": {"message": "overloaded", "type": "server_error"}}
    return {
        "timestamp": f"2026-10-{20 + hour // 24:02d}T{hour % 24:02d}:00:00Z", "user": f"u{number % 3}",
        "feature": site, "request": {"model": "gpt-4o-mini", "messages": messages}, "response": response,
        "latency_ms": 900, "status_code": status,
    }  # fmt: skip


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


SYSTEM = said("system", "You help the staff of a shop.   \n")


def agent(uses: int, words: int) -> list[dict[str, Any]]:
    """Tool uses with long results, as OpenAI's API takes them."""
    turns = [SYSTEM, said("user", "Look the orders up.")]
    for n in range(uses):
        turns.append(said("assistant", f"I call tool {n}."))
        turns.append({"role": "tool", "tool_call_id": f"t{n}", "content": f"result {n} " + " blue" * words})
    return turns


def by_hand() -> list[dict[str, Any]]:
    """Seven requests that can be shortened, one that cannot, one that failed."""
    one, many, most = (said("user", f"Orders:\n{orders(n)}") for n in (8, 60, 200))
    noted = said("assistant", "Noted.")
    return [
        record(1, 0, [SYSTEM, one]),
        record(2, 5, [SYSTEM, many], 1024),
        record(3, 8, [SYSTEM, most], 4096),
        record(4, 12, [SYSTEM, said("user", TERMS), noted, said("user", f"{TERMS}\n\nIs it so?")]),
        record(5, 30, [SYSTEM, said("user", "First.\n" + TERMS), noted, said("user", "Then: " + TERMS)]),
        record(6, 50, agent(5, 25_000), 110_080, site="agent"),
        record(
            7, 75, [SYSTEM, said("user", CONTEXT)], answer="The largest harbour belongs to Port2 since 1802.",
            site="search",
        ),
        record(8, 90, [SYSTEM, said("user", "Thank you.")]),
        record(9, 95, [SYSTEM, said("user", "Hello?")], status=500),
    ]  # fmt: skip


def write(path: Path, records: list[dict[str, Any]]) -> str:
    """The log's name."""
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return str(path)
