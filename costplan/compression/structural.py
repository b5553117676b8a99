"""Rung 3, lossy in what the model can look back at: texts that come again in later turns, and old tool results.

Old tool results are cleared as Anthropic's context editing does it (`clear_tool_uses_20250919`, platform.claude.com,
"Context editing", read 2026-11): once the prompt has more than 100,000 input tokens, all results but the last 3 are
replaced by a placeholder; calls and arguments stay. What is cleared moves on with every tool use, so the cached prefix
breaks at the first result that the request before still held.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from costplan.compression.documents import not_prose
from costplan.compression.pieces import Piece
from costplan.compression.table import LEGEND

TRIGGER_TOKENS = 100_000
KEEP_RESULTS = 3
PLACEHOLDER = "[Old tool result content cleared]"
LEFT_OUT = "[…]"
MIN_UNIT_CHARS = 60
"""Lines and sentences that are shorter may come again for a reason of their own."""
_UNIT = re.compile(r"[^\n]*?[.!?](?=[ \n])[ \n]?|[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Clearing:
    """When old tool results go, and how many stay."""

    trigger_tokens: int = TRIGGER_TOKENS
    keep_results: int = KEEP_RESULTS


def long_units(text: str) -> tuple[int, ...]:
    """Hashes (of this process) of the lines and sentences that are long enough to be left out when they come again."""
    if len(text) < MIN_UNIT_CHARS:
        return ()
    units = (unit[0].strip() for unit in _UNIT.finditer(text))
    return tuple(hash(unit) for unit in units if len(unit) >= MIN_UNIT_CHARS)


def without_known_units(texts: list[str], editable: list[bool], gone: Collection[int] = ()) -> list[str]:
    """The texts of one request without the lines and sentences that an earlier one of them holds, outside code and
    data; `[…]` stands where some are left out. The texts `gone` hold nothing."""
    known: set[str] = set()
    found: list[str] = []
    for number, (text, may_change) in enumerate(zip(texts, editable, strict=True)):
        units = [(match.start(), match[0]) for match in _UNIT.finditer(text)]
        long = {unit.strip() for _, unit in units if len(unit.strip()) >= MIN_UNIT_CHARS}
        if may_change and not known.isdisjoint(long) and LEGEND not in text:
            text = _without(units, known, text)
        known |= set() if number in gone else long
        found.append(text)
    return found


def _without(units: list[tuple[int, str]], known: set[str], text: str) -> str:
    fixed = not_prose(text)
    pieces: list[str] = []
    gone = False
    for start, unit in units:
        goes = unit.strip() in known and not fixed.meet(start, start + len(unit))
        if not goes:
            pieces.append(unit)
        elif not gone:
            pieces.append(LEFT_OUT + (unit[-1] if unit[-1] in " \n" else ""))
        gone = goes
    return "".join(pieces)


def cleared(pieces: list[Piece], tokens: list[int], clearing: Clearing) -> tuple[list[int], int | None]:
    """(numbers of the tool results that are cleared, number of the first that the request before still held).

    `tokens` of each piece; the request before is taken to end where the last turn of the model begins.
    """
    last = max((piece.message for piece in pieces if piece.role == "assistant"), default=0)
    now = _to_clear(pieces, tokens, len(pieces), clearing)
    before = _to_clear(pieces, tokens, sum(piece.message < last for piece in pieces), clearing)
    return now, now[len(before)] if len(now) > len(before) else None


def _to_clear(pieces: list[Piece], tokens: list[int], n: int, clearing: Clearing) -> list[int]:
    if sum(tokens[:n]) <= clearing.trigger_tokens:
        return []
    results = [number for number in range(n) if pieces[number].role == "tool"]
    return results[: max(0, len(results) - clearing.keep_results)]
