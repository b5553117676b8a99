"""What the end-to-end tests share: home-made logs, a plan of some files, the identities of its books."""

import io
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from costplan.analyze import analyze
from costplan.cli import main
from costplan.results import Books, Plan, Rung
from costplan.settings import AnalyzeSettings, resolve

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT / "traces"
DATA = ROOT / "tests" / "data"
START = 1_790_812_800.0  # 2026-10-01T00:00Z


def plan_of(*paths: Path | str, **flags: Any) -> Plan:
    """The plan of some files, by one worker unless said otherwise; its books must balance."""
    chosen, origins = resolve(AnalyzeSettings, {"workers": 1, **flags})
    plan = analyze([str(path) for path in paths], chosen, origins)
    assert_balanced(plan)
    return plan


def assert_balanced(plan: Plan) -> None:
    """The identities that hold for every log."""
    books = plan.ingest
    assert books.records == books.requests + books.not_a_call + books.skipped.total + books.duplicates + books.merged
    assert books.requests == books.priced + books.unpriced.requests + books.failed + books.gateway_hits
    assert books.skipped.total == sum(reason.count for reason in books.skipped.reasons.values())
    assert books.not_a_call == sum(books.not_a_call_reasons.values())
    assert books.failed == sum(books.failed_by.values())
    assert sum(books.usage_source.values()) == sum(books.text_state.values()) == books.requests
    parts = plan.baseline.cost_by
    total = sum(part or 0.0 for part in (parts.input, parts.cache_read, parts.cache_write, parts.output, parts.other))
    if books.unpriced.requests and not books.priced:
        assert plan.baseline.cost_usd.value is None and not total
    else:
        assert plan.baseline.cost_usd.value == pytest.approx(total, abs=1e-12)
    for rows in (plan.unit_economics.by_model, plan.unit_economics.by_call_site, plan.unit_economics.by_operation):
        assert sum(row.cost_usd or 0.0 for row in rows) == pytest.approx(total, abs=1e-12)
        assert sum(row.requests for row in rows) == books.requests


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: bytes
    said: list[str]
    """Lines on stderr."""


def run(capsysbinary: pytest.CaptureFixture[bytes], *arguments: Path | str, stdin: bytes = b"") -> Ran:
    """A costplan command in this process, as the installed program would run it."""
    before = sys.argv, sys.stdin
    sys.argv, sys.stdin = ["costplan", *map(str, arguments)], io.TextIOWrapper(io.BytesIO(stdin))
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    finally:
        sys.argv, sys.stdin = before
    printed = capsysbinary.readouterr()
    return Ran(code, printed.out, printed.err.decode().splitlines())


def rung(plan: Plan, lever: str) -> Rung:
    """The first rung of a lever."""
    return next(item for item in plan.ladder if item.lever == lever)


def skipped(books: Books) -> dict[str, int]:
    """Skipped records by reason."""
    return {reason: entry.count for reason, entry in books.skipped.reasons.items()}


def pair(number: int = 0, text: str = "Where is my parcel?", **more: Any) -> dict[str, Any]:
    """One call in the flat home-made shape: 92 tokens in, 17 out, gpt-4o-mini ($24 for a million such calls)."""
    return {
        "id": f"log-{number}",
        "timestamp": START + number,
        "request": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]},
        "response": {
            "id": f"chatcmpl-{number}",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Soon."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 92, "completion_tokens": 17, "total_tokens": 109},
        },
        "status_code": 200,
        **more,
    }


PAIR_NANOS = 92 * 150 + 17 * 600
"""Nano-dollars of one such call: $0.15 and $0.60 for a million tokens."""


def lines(records: Iterable[Any]) -> bytes:
    """JSON Lines; bytes stand for themselves."""
    return b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records)


def write(path: Path, records: Iterable[Any]) -> Path:
    """The records as a JSONL file."""
    path.write_bytes(lines(records))
    return path


def nanos(plan: Plan) -> int:
    """The plan's cost in nano-dollars."""
    assert plan.baseline.cost_usd.value is not None
    return round(plan.baseline.cost_usd.value * 1e9)
