"""What prompts consist of and what answers cost by length, in tokens and dollars, request by request; sums only.

A prompt is taken in the order in which providers hash it: tools and system prompt, the conversation so far, the last
message. Tokens are shared by characters; the cached ones are the first, so that history re-sent from the cache costs
what the cache charges.
"""

from collections import Counter

import numpy as np

from costplan.costing import PARTS, Rows
from costplan.trace import TextState

REGIONS = ("tools", "system", "history", "tool_result", "last")
CAPS = (256, 512, 1024, 2048, 4096, 8192)
"""Output limits that are tried, tokens."""


def parts_of(rows: Rows) -> Counter[str]:
    """Sums over priced rows: `tokens:`, `nanos:` by region (full texts only), `cap:` by limit, `reasoning:`."""
    counts: Counter[str] = Counter()
    _regions(rows, counts)
    _outputs(rows, counts)
    return counts


def _regions(rows: Rows, counts: Counter[str]) -> None:
    some = np.flatnonzero(rows["priced"] & (rows["text_state"] == TextState.FULL) & (rows["input_tokens"] > 0))
    prompt, read, write = (rows[f"{name}_tokens"][some] for name in ("input", "cache_read", "cache_write"))
    chars = {name: rows[f"{name}_chars"][some] for name in ("tools", "system", "history", "tool_result")}
    total = np.maximum(sum(chars.values()) + rows["user_chars"][some], 1)
    static, context = chars["tools"] + chars["system"], chars["history"] + chars["tool_result"]
    edges = [np.zeros(len(some), np.int64), prompt * static // total, prompt * (static + context) // total, prompt]
    paid = rows["parts"][some]
    units = (
        (np.zeros_like(read), read, paid[:, PARTS.index("cache_read")]),
        (read, read + write, paid[:, PARTS.index("cache_write")]),
        (read + write, prompt, paid[:, PARTS.index("input")]),
    )
    for place, inside in enumerate((("tools", "system"), ("history", "tool_result"), ("last",))):
        low, high = edges[place], edges[place + 1]
        nanos = np.zeros(len(some))
        for start, end, cost in units:
            common = np.maximum(np.minimum(high, end) - np.maximum(low, start), 0)
            nanos += cost * common / np.maximum(end - start, 1)
        whole = np.maximum(sum((chars[name] for name in inside if name in chars), start=np.zeros_like(prompt)), 1)
        for name in inside:
            share = chars[name] / whole if name in chars else 1.0
            counts[f"tokens:{name}"] = int(np.rint((high - low) * share).astype(np.int64).sum())
            counts[f"nanos:{name}"] = int(np.rint(nanos * share).astype(np.int64).sum())


def _outputs(rows: Rows, counts: Counter[str]) -> None:
    """Dollars at the price date of tokens beyond a limit, as the row's own output tokens cost on average."""
    some = np.flatnonzero(rows["priced"] & (rows["output_tokens"] > 0))
    tokens, reasoning = rows["output_tokens"][some], rows["reasoning_tokens"][some]
    later = rows["cost_price_date"][some] / np.maximum(rows["cost"][some], 1)
    each = rows["parts"][some, PARTS.index("output")] * later / tokens
    counts["output:calls"], counts["output:nanos"] = len(some), int(np.rint(each * tokens).astype(np.int64).sum())
    thinks = reasoning > 0
    counts["reasoning:calls"], counts["reasoning:tokens"] = int(thinks.sum()), int(reasoning.sum())
    counts["reasoning:nanos"] = int(np.rint(each * reasoning).astype(np.int64).sum())
    for cap in CAPS:
        over = np.flatnonzero(tokens > cap)
        counts[f"cap:{cap}:calls"] = len(over)
        counts[f"cap:{cap}:tokens"] = int((tokens[over] - cap).sum())
        counts[f"cap:{cap}:nanos"] = int(np.rint(each[over] * (tokens[over] - cap)).astype(np.int64).sum())
