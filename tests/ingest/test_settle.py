"""What only the whole log can tell: duplicates, halves of batches, parents that repeat their children, same bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import source
from costplan.results import to_json
from tests.ingest.logs import PAIR_NANOS, ROOT, START, TRACES, nanos, pair, plan_of, skipped, write

# --- duplicates ---


def test_a_call_in_two_files_is_counted_once(tmp_path: Path):
    first = write(tmp_path / "a.jsonl", [pair(n) for n in range(6)])
    second = write(tmp_path / "b.jsonl", [pair(n) for n in range(4, 9)])
    plan = plan_of(first, second)
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.duplicates) == (11, 9, 2)
    assert nanos(plan) == 9 * PAIR_NANOS


def test_an_id_that_comes_back_with_other_content_is_another_call(tmp_path: Path):
    other_prompt, other_model = pair(1, "Something else?"), pair(1)
    other_model["request"]["model"] = "gpt-4o"
    other_usage = pair(1)
    other_usage["response"]["usage"] = {"prompt_tokens": 93, "completion_tokens": 17, "total_tokens": 110}
    plan = plan_of(write(tmp_path / "log.jsonl", [pair(1), other_prompt, other_model, other_usage, pair(1)]))
    assert (plan.ingest.requests, plan.ingest.duplicates, plan.ingest.repeated_ids) == (4, 1, 3)


def test_calls_without_an_id_are_never_duplicates(tmp_path: Path):
    nameless = pair(1)
    del nameless["id"], nameless["response"]["id"]
    plan = plan_of(write(tmp_path / "log.jsonl", [nameless] * 3))
    assert (plan.ingest.requests, plan.ingest.duplicates, plan.ingest.repeated_ids) == (3, 0, 0)


# --- batches ---


def half(number: int, join: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """The input and the output line of one batch call."""
    call = pair(number, f"Where is parcel {number}?")
    body = {**call["response"], "model": "gpt-4o-mini", "created": int(START) + number, "object": "chat.completion"}
    key = join or f"task-{number}"
    asked = {
        "custom_id": key,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {**call["request"], "user": "anna"},
    }
    return asked, {"id": f"b{number}", "custom_id": key, "response": {"status_code": 200, "body": body}, "error": None}


@pytest.mark.parametrize(
    "order", ["inputs first", "outputs first", "mixed", "reversed", "two files", "two files, turned"]
)
def test_batch_halves_join_in_any_order_and_cost_half(tmp_path: Path, order: str):
    asked, answered = zip(*(half(n) for n in range(10)), strict=True)
    arranged: dict[str, list[list[dict[str, Any]]]] = {
        "inputs first": [[*asked, *answered]],
        "outputs first": [[*answered, *asked]],
        "mixed": [[line for pair_ in zip(answered, asked, strict=True) for line in pair_]],
        "reversed": [[*asked, *answered[::-1]]],
        "two files": [[*asked], [*answered[::-1]]],
        "two files, turned": [[*answered], [*asked[::-1]]],
    }
    logs = [write(tmp_path / f"{n}.jsonl", part) for n, part in enumerate(arranged[order])]
    plan = plan_of(*logs)
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.merged) == (20, 10, 10)
    assert nanos(plan) == 10 * PAIR_NANOS // 2
    assert plan.ingest.text_state["full"] == 10 and [row.requests for row in plan.unit_economics.by_user] == [10]
    assert [row.key for row in plan.unit_economics.by_model] == ["gpt-4o-mini"]


def test_batch_halves_without_a_partner_stay_calls(tmp_path: Path):
    asked, answered = zip(*(half(n) for n in range(4)), strict=True)
    plan = plan_of(write(tmp_path / "log.jsonl", [*asked[:3], *answered[1:]]))
    assert (plan.ingest.merged, plan.ingest.requests, plan.ingest.priced) == (2, 4, 3)
    assert plan.ingest.unpriced.requests == 1 and nanos(plan) == 3 * PAIR_NANOS // 2


def test_ids_that_start_afresh_in_a_second_batch_do_not_cross(tmp_path: Path):
    first, second = [half(n, f"task-{n}") for n in range(3)], [half(10 + n, f"task-{n}") for n in range(3)]
    files = [[line[side] for line in batch] for side in (0, 1) for batch in (first, second)]
    plan = plan_of(*(write(tmp_path / f"{n}.jsonl", lines) for n, lines in enumerate(files)))
    assert (plan.ingest.merged, plan.ingest.requests, plan.ingest.priced) == (6, 6, 6)


def test_a_batch_named_twice_is_counted_once(tmp_path: Path):
    asked, answered = zip(*(half(n) for n in range(3)), strict=True)
    files = [asked, answered, asked, answered]
    plan = plan_of(*(write(tmp_path / f"{n}.jsonl", lines) for n, lines in enumerate(files)))
    assert (plan.ingest.records, plan.ingest.requests) == (12, 3) and nanos(plan) == 3 * PAIR_NANOS // 2


# --- traces ---


def span(number: int, parent: int | None = None, *, trace: int = 1, llm: bool = True, **tokens: Any) -> dict[str, Any]:
    """An OTLP span: a chat call of 92 and 17 tokens, or an HTTP request."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}
    counts = {"gen_ai.usage.input_tokens": 92, "gen_ai.usage.output_tokens": 17, **tokens}
    values = {**call, **counts} if llm else {"http.request.method": "POST"}
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent is not None else "",
        "startTimeUnixNano": str(int(START + number) * 10**9),
        "endTimeUnixNano": str(int(START + number + 1) * 10**9),
        "attributes": [
            {"key": k, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
            for k, v in values.items()
        ],
    }


def traces(path: Path, *spans: dict[str, Any]) -> Path:
    """One line per span, as collectors write them."""
    return write(path, [{"resourceSpans": [{"scopeSpans": [{"spans": [s]}]}]} for s in spans])


TWICE = {"gen_ai.usage.input_tokens": 184, "gen_ai.usage.output_tokens": 34}


@pytest.mark.parametrize(
    ("spans", "calls"),
    [
        ([span(1), span(2, 1)], 1),
        ([span(2, 1), span(1)], 1),
        ([span(1), span(2, 1, llm=False), span(3, 2)], 1),
        ([span(1), span(2, 1, llm=False), span(3, 2, llm=False), span(4, 3)], 1),
        ([span(1, **TWICE), span(2, 1), span(3, 1)], 2),
        ([span(1), span(2, 1), span(3, 2)], 1),
        ([span(1, **TWICE), span(2, 1)], 2),
        ([span(1), span(2, 1, trace=2)], 2),
        ([span(1), span(2, 9)], 2),
        ([span(1, 1)], 1),
    ],
    ids=["gateway over client", "child first", "through an http span", "through two", "an agent over two calls",
         "three layers", "a parent with calls of its own", "another trace", "an unknown parent", "its own parent"],
)  # fmt: skip
def test_a_parent_that_repeats_its_childrens_usage_is_not_counted(tmp_path: Path, spans: list[Any], calls: int):
    log = traces(tmp_path / "log.jsonl", span(100, trace=7), *spans)
    plan = plan_of(log)
    own = 1 if spans == [span(1, **TWICE), span(2, 1)] else 0
    assert plan.ingest.priced == 1 + calls and nanos(plan) == (1 + calls + own) * PAIR_NANOS


def test_a_trace_exported_twice_is_counted_once(tmp_path: Path):
    spans = [span(1), span(2, 1), span(3, 1, llm=False)]
    for spread in (spans * 2, [s for s in spans for _ in range(2)]):
        plan = plan_of(traces(tmp_path / "log.jsonl", *spread))
        assert plan.ingest.priced == 1 and nanos(plan) == PAIR_NANOS


def test_turns_of_a_chat_are_no_parents_of_each_other():
    """Bailian's chains carry parent ids, too; each turn is a request of its own."""
    plan = plan_of(TRACES / "bailian_excerpt.jsonl")
    assert plan.ingest.requests == plan.ingest.records > 0 and plan.ingest.not_a_call == 0


# --- same input, same bytes ---


def mixed_log(path: Path) -> Path:
    """Some thousand lines: repeats, sessions, users, bad lines, failures, several models, duplicates across splits."""
    records: list[Any] = []
    for n in range(3000):
        record = pair(
            n, f"Where is parcel {n % 97}? " + "Please hurry. " * (n % 7), user=f"u{n % 31}", session=f"s{n % 211}"
        )
        record["feature"], record["tags"] = f"site {n % 5}", [f"tag{n % 3}", "batchable"] if n % 4 else []
        record["request"]["model"] = ("gpt-4o", "gpt-4o-mini", "acme-7b", "claude-sonnet-4-5")[n % 4]
        record["timestamp"] += 37 * (n % 13)
        if n % 50 == 7:
            record["status_code"], record["response"] = 429, {"error": {"type": "rate_limit_error"}}
        records.append(record)
        if n % 100 == 3:
            records += [b'{"torn', records[n // 2]]
    return write(path, records)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mixed_log(tmp_path_factory.mktemp("big") / "log.jsonl")


def test_one_two_or_four_workers_and_a_rerun_give_the_same_bytes(big: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source, "SPLIT_BYTES", big.stat().st_size // 7)
    plans = [to_json(plan_of(big, workers=workers)) for workers in (1, 1, 2, 4)]
    assert len(set(plans)) == 1


def test_cutting_a_log_into_splits_changes_no_figure(big: Path, monkeypatch: pytest.MonkeyPatch):
    whole = plan_of(big)
    for size in (20_011, 300_007):
        monkeypatch.setattr(source, "SPLIT_BYTES", size)
        plan = plan_of(big)
        assert plan.ingest.skipped == whole.ingest.skipped and plan.inputs == whole.inputs
        assert plan.baseline == whole.baseline and plan.unit_economics == whole.unit_economics
        assert [rung.evidence for rung in plan.ladder] == [rung.evidence for rung in whole.ladder]
        assert plan.ingest.duplicates == whole.ingest.duplicates == 30
        assert skipped(plan.ingest) == {"truncated_json": 30}


def test_another_hash_seed_gives_the_same_bytes(big: Path):
    plans: set[bytes] = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "costplan", "analyze", str(big), "--json", "-"]
        plans.add(subprocess.run(command, capture_output=True, env=environment, check=True).stdout)
    assert len(plans) == 1 and json.loads(plans.pop())["ingest"]["records"] == 3060
