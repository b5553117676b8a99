"""Claude Code and Codex: a call is counted once, however often and in however many files it was written."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest import claude_code, codex, source
from costplan.ingest.detect import Detected, reading_of
from costplan.trace import Call, NotACall
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.logs import TRACES, nanos, plan_of, write

CLAUDE = (TRACES / "claude_code_repeated.jsonl", TRACES / "claude_code_resumed.jsonl")
CODEX = (TRACES / "codex_rollout.jsonl", TRACES / "codex_rollout_fork.jsonl")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read(name: str, records: list[dict[str, Any]]) -> list[Call | NotACall]:
    """What a file's records give when they are read in order."""
    reader, at_end = reading_of(Detected(name, "", ""))
    return [call for record in records for call in reader(record)] + at_end()


def calls(name: str, records: list[dict[str, Any]]) -> list[Call]:
    return [call for call in read(name, records) if isinstance(call, Call)]


# --- Claude Code ---

ONCE = 15_177_000 + 12_370_500 + 11_540_000 + 11_649_000
"""Nano-dollars of the four calls of the fixture. Sonnet 4.5 (3000 in, 300 read, 3750 written, 15000 out):
4, 15,200, 2,100 and 182 tokens; 6, 17,300, 950, 240; 8, 18,250, 400, 310. Haiku 4.5 (1000, 2000 for an hour, 5000):
3,100 in, 4,000 written for an hour, 88 out."""
RESUMED = 5 * 3000 + 19_100 * 3750 + 150 * 15_000


def test_a_claude_code_call_is_counted_once_however_many_blocks_it_has():
    plan = plan_of(CLAUDE[0])
    assert (plan.ingest.records, plan.ingest.requests, plan.ingest.duplicates) == (13, 4, 3)
    assert nanos(plan) == ONCE
    reasons = {"claude_code_user": 4, "claude_code_synthetic": 1, "claude_code_summary": 1}
    assert plan.ingest.not_a_call_reasons == reasons


@pytest.mark.parametrize("order", [CLAUDE, CLAUDE[::-1], (CLAUDE[1],), (CLAUDE[1], CLAUDE[0], CLAUDE[1])])
def test_a_resumed_session_copies_history_that_is_counted_once(order: tuple[Path, ...]):
    plan = plan_of(*order)
    assert plan.ingest.requests == 5 and nanos(plan) == ONCE + RESUMED


def test_the_row_with_the_most_output_stays_and_of_equals_the_last_of_the_first_file(tmp_path: Path):
    """Input tokens tell the rows apart here; a real repeat has equal ones."""

    def row(uuid: str, asked: int, answered: int) -> dict[str, Any]:
        usage = {"input_tokens": asked, "cache_read_input_tokens": 0, "output_tokens": answered}
        message = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "usage": usage}
        return {"type": "assistant", "sessionId": "s", "uuid": uuid, "message": message}

    first = write(tmp_path / "a.jsonl", [row("a", 1, 9), row("b", 2, 50), row("c", 3, 50), row("d", 4, 20)])
    second = write(tmp_path / "b.jsonl", [row("e", 5, 50), row("f", 6, 49)])
    plan = plan_of(first, second)
    assert (plan.ingest.requests, plan.ingest.duplicates) == (1, 5) and nanos(plan) == 3 * 3000 + 50 * 15_000


def test_without_message_id_the_request_id_tells_repeats(tmp_path: Path):
    records = rows(CLAUDE[0])
    for record in records:
        record["message"] = {k: v for k, v in record.get("message", {}).items() if k != "id"}
        if record.get("uuid") == "a7":
            record["requestId"] = "req_4"
    assert plan_of(write(tmp_path / "log.jsonl", records)).ingest.requests == 4


@pytest.mark.parametrize("size", [700, 1500, 4001])
def test_claude_code_splits_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch):
    whole = plan_of(*CLAUDE)
    monkeypatch.setattr(source, "SPLIT_BYTES", size)
    monkeypatch.setattr(source, "FIRST_SPLIT_BYTES", size)
    plan = plan_of(*CLAUDE, workers=2)
    assert (plan.ingest, plan.baseline, plan.inputs) == (whole.ingest, whole.baseline, whole.inputs)


def test_claude_code_rows_carry_session_agent_and_parents():
    found = {call.span_id: call for call in calls("claude_code", rows(CLAUDE[0]))}
    assert {call.session_id for call in found.values()} == {"11111111-aaaa"} == {c.trace_id for c in found.values()}
    assert {name for name, call in found.items() if call.feature == "sidechain"} == {"a6"}
    assert (found["a3"].parent_id, found["a3"].finish_reason) == ("a2", "tool_use")
    assert found["a3"].output_tool_calls[0]["input"] == {"pattern": "voucher"}
    assert (found["a6"].cache_write_1h_tokens, found["a1"].cache_write_1h_tokens) == (4000, 0)
    assert found["a1"].input_tokens == 4 + 15_200 + 2100
    (user,) = claude_code.calls(rows(CLAUDE[0])[0])
    assert user == NotACall("claude_code_user", span_id="u1", trace_id="11111111-aaaa")


def test_a_turn_that_follows_another_is_no_parent_that_repeats_it(tmp_path: Path):
    """Turn after turn with nearly the same context: in a trace of spans the upper one would be a wrapper."""
    template = rows(CLAUDE[0])[10]
    records: list[dict[str, Any]] = []
    for n in range(5):
        message = {**template["message"], "id": f"msg_{n}"}
        records.append({**template, "uuid": f"a{n}", "parentUuid": f"a{n - 1}", "message": message})
    plan = plan_of(write(tmp_path / "log.jsonl", records))
    assert (plan.ingest.requests, plan.ingest.not_a_call) == (5, 0) and nanos(plan) == 5 * 11_649_000


def test_a_real_shape_of_claude_code_is_read():
    """The sample of daaain/claude-code-log: 25+120, 45+85, 78+95, 25+35, 45+110 tokens."""
    found = calls("claude_code", rows(TRACES / "claude_code_sessions.jsonl"))
    assert [call.input_tokens for call in found] == [25, 45, 78, 25, 45]
    assert [call.output_tokens for call in found] == [120, 85, 95, 35, 110]
    assert {call.service_tier for call in found} == {""}


# --- Codex ---

FIRST = 6952 * 1250 + 2048 * 125 + 400 * 10_000
SECOND = 1408 * 1250 + 8192 * 125 + 250 * 10_000
THIRD = 984 * 1250 + 9216 * 125 + 600 * 10_000
FORKED = 2208 * 1250 + 8192 * 125 + 100 * 10_000
"""Nano-dollars of each call at gpt-5's and gpt-5-codex's price: 1250 fresh, 125 cached, 10000 out."""


def test_codex_calls_are_last_counts_or_differences_of_totals_never_sums():
    found = calls("codex", rows(CODEX[0]))
    counts = [(c.input_tokens, c.cache_read_tokens, c.output_tokens, c.reasoning_tokens) for c in found]
    assert counts == [(9000, 2048, 400, 256), (9600, 8192, 250, 64), (10_200, 9216, 600, 320)]
    assert [c.request_model for c in found] == ["gpt-5-codex", "gpt-5-codex", "gpt-5"]
    assert [c.params for c in found] == [f'{{"reasoning_effort":"{e}"}}' for e in ("medium", "medium", "high")]
    plan = plan_of(CODEX[0])
    assert nanos(plan) == FIRST + SECOND + THIRD and (plan.ingest.records, plan.ingest.requests) == (11, 3)


def test_a_codex_fork_copies_history_that_is_counted_once():
    for order in (CODEX, CODEX[::-1]):
        plan = plan_of(*order)
        assert (plan.ingest.requests, plan.ingest.duplicates) == (4, 2)
        assert nanos(plan) == FIRST + SECOND + THIRD + FORKED


def test_a_fork_whose_parent_is_not_among_the_files_keeps_its_history():
    assert nanos(plan_of(CODEX[1])) == FIRST + SECOND + FORKED
    found = calls("codex", rows(CODEX[1]))
    parent, own = (rows(path)[0]["payload"]["id"] for path in CODEX)
    assert {(c.session_id, c.parent_id, c.trace_id) for c in found} == {(own, parent, parent)}


def test_sessions_with_equal_counts_are_different_calls(tmp_path: Path):
    other = rows(CODEX[0])
    other[0]["payload"]["id"] = "another"
    plan = plan_of(CODEX[0], write(tmp_path / "b.jsonl", other))
    assert (plan.ingest.requests, plan.ingest.duplicates) == (6, 0) and nanos(plan) == 2 * (FIRST + SECOND + THIRD)


@pytest.mark.parametrize("size", [300, 999])
def test_codex_splits_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch):
    whole = plan_of(*CODEX)
    monkeypatch.setattr(source, "SPLIT_BYTES", size)
    monkeypatch.setattr(source, "FIRST_SPLIT_BYTES", size)
    plan = plan_of(*CODEX, workers=2)
    assert (plan.ingest, plan.baseline, plan.inputs) == (whole.ingest, whole.baseline, whole.inputs)


def test_sessions_put_together_in_one_file_keep_their_own_totals_and_models(tmp_path: Path):
    second = rows(CODEX[0])
    second[0]["payload"]["id"] = "another"
    del second[1]  # its first turn names no model: the one of the session before is not taken over
    found = calls("codex", rows(CODEX[0]) + second)
    assert [c.input_tokens for c in found] == [9000, 9600, 10_200] * 2
    assert [c.request_model for c in found[3:]] == ["", "", "gpt-5"]


def test_a_spawned_agent_names_its_parent():
    meta = {"id": "child", "source": {"subagent": {"thread_spawn": {"parent_thread_id": "boss", "depth": 1}}}}
    event = {"type": "token_count", "info": {"last_token_usage": {"input_tokens": 5, "output_tokens": 1}}}
    records = [{"type": "session_meta", "payload": meta}, {"type": "event_msg", "payload": event}]
    (call,) = calls("codex", records)
    assert (call.session_id, call.parent_id, call.feature, call.request_id) == ("child", "boss", "subagent", None)


counters = st.tuples(st.integers(1, 50_000), st.integers(0, 1), st.integers(0, 9000))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(counters, st.booleans(), st.integers(1, 3)), max_size=12))
def test_what_codex_calls_add_up_to_is_the_last_total(steps: list[tuple[tuple[int, int, int], bool, int]]):
    """With or without last_token_usage, each total written one to three times."""
    total = [0, 0, 0]
    records: list[dict[str, Any]] = [{"type": "session_meta", "payload": {"id": "s"}}]
    names = ("input_tokens", "cached_input_tokens", "output_tokens")
    for step, says_last, times in steps:
        total = [before + more for before, more in zip(total, step, strict=True)]
        info = {"total_token_usage": dict(zip(names, total, strict=True))}
        if says_last:
            info["last_token_usage"] = dict(zip(names, step, strict=True))
        event = {"type": "token_count", "info": info}
        records += [{"type": "event_msg", "payload": event}] * times
    found = calls("codex", records)
    assert len(found) == len(steps)
    assert [sum(c.input_tokens or 0 for c in found), sum(c.output_tokens or 0 for c in found)] == total[::2]


def test_a_total_that_starts_again_is_taken_as_it_is():
    totals = [(900, 40), (1500, 70), (300, 10)]
    events = [{"type": "token_count", "info": {"total_token_usage": {"input_tokens": i, "output_tokens": o}}}
              for i, o in totals]  # fmt: skip
    found = calls("codex", [{"type": "event_msg", "payload": event} for event in events])
    assert [(c.input_tokens, c.output_tokens) for c in found] == [(900, 40), (600, 30), (300, 10)]


def test_a_rollout_record_alone_is_a_call_of_an_unnamed_model():
    (call,) = codex.calls(rows(CODEX[0])[4])
    assert isinstance(call, Call) and (call.request_model, call.input_tokens) == ("", 9000)
