"""The shipped sample logs are what traces/README.md says they are."""

import gzip
import json
import os
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TRACES = ROOT / "traces"
NANO_USD = {"input": 150, "cached": 75, "output": 600}


def readable(raw: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records of a log and the number of lines that are none."""
    records: list[dict[str, Any]] = []
    torn = 0
    for line in raw.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            torn += 1
    return records, torn


def test_tiny_costs_what_the_readme_computes_by_hand():
    records, torn = readable((TRACES / "tiny.jsonl").read_bytes())
    assert (len(records), torn) == (12, 1)
    sums: Counter[str] = Counter()
    for record in records:
        usage = record["response"].get("usage")
        if usage and record["request"]["model"] == "gpt-4o-mini":
            cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
            sums["input"] += usage["prompt_tokens"] - cached
            sums["cached"] += cached
            sums["output"] += usage["completion_tokens"]
            sums["priced"] += 1
    assert sums == {"input": 2000, "cached": 1664, "output": 108, "priced": 10}
    assert sum(NANO_USD[kind] * sums[kind] for kind in NANO_USD) == 489_600


def test_tiny_repeats_two_questions_within_an_hour_and_one_after_it():
    records, _ = readable((TRACES / "tiny.jsonl").read_bytes())
    stored: dict[str, datetime] = {}
    hits: list[str] = []
    expired: list[str] = []
    for record in records:
        now = datetime.fromisoformat(record["timestamp"])
        if record["status_code"] != 200:
            continue
        key = json.dumps(record["request"])
        if key in stored and now - stored[key] < timedelta(hours=1):
            hits.append(record["id"])
            continue
        if key in stored:
            expired.append(record["id"])
        stored[key] = now
    assert hits == ["req_tiny0002", "req_tiny0009"]
    assert expired == ["req_tiny0011"]


def test_usage_in_tiny_is_the_real_token_count(monkeypatch: Any):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", os.fspath(ROOT / "profiles" / "tokenizers"))
    import tiktoken

    encoding = tiktoken.get_encoding("o200k_base")
    for record in readable((TRACES / "tiny.jsonl").read_bytes())[0]:
        if "usage" not in record["response"]:
            continue
        counted = 3 + sum(3 + len(encoding.encode_ordinary(m["content"])) for m in record["request"]["messages"])
        answer = record["response"]["choices"][0]["message"]["content"]
        assert record["response"]["usage"]["prompt_tokens"] == counted
        assert record["response"]["usage"]["completion_tokens"] == len(encoding.encode_ordinary(answer))


def test_demo_has_the_composition_the_readme_states():
    records, torn = readable(gzip.decompress((TRACES / "demo.jsonl.gz").read_bytes()))
    assert (len(records), torn) == (19_366, 20)
    sites = Counter(record["feature"] for record in records)
    assert sites == {"support-faq": 13_784, "rag-answer": 2_516, "nightly-tagging": 2_068, "assistant": 998}
    assert Counter(record["status_code"] for record in records) == {200: 19_277, 429: 69, 500: 20}
    aborted = [r for r in records if r["status_code"] == 200 and "usage" not in r["response"]]
    assert len(aborted) == 62
    times = [record["timestamp"] for record in records]
    assert times == sorted(times) and times[0][:10] == "2026-10-20" and times[-1][:10] == "2026-10-29"
    assert len({record["id"] for record in records}) == len(records)


def test_demo_sessions_resend_their_history():
    records, _ = readable(gzip.decompress((TRACES / "demo.jsonl.gz").read_bytes()))
    before: dict[str, list[dict[str, str]]] = {}
    continued = 0
    for record in records:
        if record["feature"] != "assistant":
            continue
        messages = record["request"]["messages"]
        earlier = before.get(record["session"])
        if earlier is not None:
            assert messages[: len(earlier)] == earlier
            continued += 1
        before[record["session"]] = messages
    assert continued > 500
