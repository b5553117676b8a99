"""What costplan says about real traces and about logs whose answer is known, from the file to the plan."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest.normalize import normalize
from costplan.results import Plan
from costplan.settings import AnalyzeSettings
from tests.ingest.logs import DATA, TRACES, plan_of, rung, write

PAIRS = DATA / "pairs/http_pairs.jsonl.gz"


def written(*logs: Path, into: Path, **options: Any) -> list[dict[str, Any]]:
    """The canonical rows that `normalize` writes for some logs."""
    settings: dict[str, Any] = {"as_": None, "anonymize": False, "salt": b"0" * 16, "report": None, **options}
    out = into / "trace.jsonl"
    normalize([str(log) for log in logs], out, AnalyzeSettings(), work=into, **settings)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


# --- 356 recorded exchanges ---


def provider_usage(record: dict[str, Any]) -> dict[str, Any]:
    """The provider's own usage object in the plain body or in the stream, found without the code under test."""
    body = record["response"]
    if isinstance(body, dict):
        if "generation_token_count" in body:
            return {"prompt_tokens": body["prompt_token_count"], "completion_tokens": body["generation_token_count"]}
        if "inputTextTokenCount" in body:
            return {"prompt_tokens": body["inputTextTokenCount"], "completion_tokens": body["results"][0]["tokenCount"]}
        return body.get("usage") or {}
    found: dict[str, Any] = {}
    for line in (record["response_stream"] or "").splitlines():
        if line.startswith("data: {"):
            chunk = json.loads(line[5:])
            inner = chunk.get("message") or chunk.get("response") or {}
            found.update(chunk.get("usage") or inner.get("usage") or {})
    return found


def inclusive(usage: dict[str, Any]) -> tuple[int, int | None, int]:
    """(input, output, cache read): Anthropic and Bedrock leave the cache out of their input, OpenAI does not."""
    read = usage.get("cache_read_input_tokens") or usage.get("cacheReadInputTokens") or 0
    written = usage.get("cache_creation_input_tokens") or usage.get("cacheWriteInputTokens") or 0
    if "prompt_tokens" in usage:
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        return usage["prompt_tokens"], usage.get("completion_tokens", 0), cached
    if "inputTokens" in usage:
        return usage["inputTokens"] + read + written, usage.get("outputTokens"), read
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or read
    return usage["input_tokens"] + read + written, usage["output_tokens"], cached


@pytest.fixture(scope="module")
def pairs_plan() -> Plan:
    return plan_of(PAIRS)


def test_every_recorded_exchange_is_accounted_for(pairs_plan: Plan):
    books = pairs_plan.ingest
    assert (books.records, books.skipped.total, books.merged) == (356, 0, 0)
    assert books.not_a_call_reasons == {"assistants_run": 3, "assistants_setup": 3, "assistants_thread": 16}
    assert pairs_plan.inputs[0].lines == 356


def test_duplicates_and_repeated_ids_of_recorded_replies_are_both_shown(pairs_plan: Plan):
    assert (pairs_plan.ingest.duplicates, pairs_plan.ingest.repeated_ids) == (43, 0)


def test_rows_of_recorded_exchanges_carry_the_providers_own_tokens(tmp_path: Path):
    rows = {row["source_line"]: row for row in written(PAIRS, into=tmp_path)}
    seen: set[str] = set()
    compared = duplicates = 0
    for line, text in enumerate(gzip.decompress(PAIRS.read_bytes()).splitlines(), start=1):
        record = json.loads(text)
        usage = provider_usage(record)
        if record["status_code"] != 200 or not usage:
            continue
        row = rows.get(line)
        reply = record["response"] if isinstance(record["response"], dict) else {}
        identity = json.dumps([reply.get("id") or record["response_stream"], usage, record["request"]], sort_keys=True)
        if row is None:
            assert identity in seen, f"line {line} is gone and repeats nothing"
            duplicates += 1
            continue
        seen.add(identity)
        assert (row["input_tokens"], row["output_tokens"], row["cache_read_input_tokens"]) == inclusive(usage), line
        compared += 1
    assert (compared, duplicates) == (229, 36)


# --- benchmark traces ---


def test_mooncake_prefixes_repeat_as_often_as_counted_by_hand():
    """54,098,411 of 144,793,823 input tokens and 105,710 of 288,500 blocks were seen before."""
    plan = plan_of(DATA / "mooncake/conversation_trace.jsonl.gz")
    evidence = rung(plan, "prompt_cache").evidence["ceiling"]
    assert (evidence["blocks"], evidence["hit_tokens"]) == (288_500, 54_098_411)
    assert evidence["hit_blocks"] == 105_710
    assert evidence["token_share"] == 54_098_411 / 144_793_823
    assert f"{evidence['block_share']:.2%} {evidence['token_share']:.2%}" == "36.64% 37.36%"
    assert plan.ingest.requests == 12_031


def test_azure_trace_has_19366_requests_at_five_and_a_half_a_second():
    plan = plan_of(DATA / "azure/AzureLLMInferenceTrace_conv.csv.gz")
    days = plan.ingest.span.days
    assert plan.ingest.requests == 19_366 and days is not None
    assert f"{plan.ingest.requests / (days * 86_400):.2f}" == "5.53"


# --- shortened and masked exports ---


def demo(records: int) -> list[dict[str, Any]]:
    """The first readable records of the demo log."""
    found: list[dict[str, Any]] = []
    with gzip.open(TRACES / "demo.jsonl.gz") as log:
        for line in log:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
            if len(found) == records:
                break
    return found


def rewritten(value: Any, change: Any) -> Any:
    """The messages or system prompt with every text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [rewritten(item, change) for item in value]
    return {key: rewritten(item, change) if key in ("content", "text") else item for key, item in value.items()}


def shares(path: Path) -> tuple[float, float]:
    """(share of requests a response cache answers, share of prompt tokens a prompt cache may hold)."""
    plan = plan_of(path)
    ceiling = rung(plan, "prompt_cache").evidence["ceiling"]["token_share"]
    return rung(plan, "response_cache").evidence["hit_share"], ceiling or 0.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], tuple[float, float]]:
    records = demo(2000)
    return records, shares(write(tmp_path_factory.mktemp("demo") / "whole.jsonl", records))


def mask(text: str) -> str:
    return re.sub(r"\b(card|transfer|account|money|payment)s?\b", "[REDACTED]", text)


CUTS = {
    "at 500 characters": lambda text: text[:500],
    "at 200 characters": lambda text: text[:200],
    "at 500 with an ellipsis": lambda text: text if len(text) <= 500 else text[:499] + "…",
    "and saying so": lambda text: text if len(text) <= 500 else text[:500] + "... (truncated)",
    "by masking words": mask,
    "by masking everything": lambda text: "[REDACTED]",
}  # fmt: skip


@pytest.mark.parametrize("usage", [True, False], ids=["", "without usage"])
@pytest.mark.parametrize("cut", CUTS)
def test_an_export_that_shortens_texts_raises_no_hit_rate(whole: Any, cut: str, usage: bool, tmp_path: Path):
    records, (answered, reused) = whole
    shortened: list[dict[str, Any]] = []
    for record in records:
        request, response = record["request"], record["response"]
        texts = {key: rewritten(request[key], CUTS[cut]) for key in ("messages", "system") if key in request}
        counted = response if usage else {key: value for key, value in response.items() if key != "usage"}
        shortened.append({**record, "request": {**request, **texts}, "response": counted})
    now_answered, now_reused = shares(write(tmp_path / "cut.jsonl", shortened))
    assert now_answered <= answered and now_reused <= reused
