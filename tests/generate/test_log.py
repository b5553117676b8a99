"""The log: the same bytes for a seed, exact counts, the stated shares, and read by analyze as what it is."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from costplan.profiles import profile_path
from tests.generate.logs import SHOP, Generated, generated, seconds
from tests.test_cli import Run, mistake, run

__all__ = ["run"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generated(tmp_path_factory.mktemp("shop"))


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(shop: Generated, tmp_path: Path) -> None:
    assert generated(tmp_path).log.read_bytes() == shop.log.read_bytes()
    assert generated(tmp_path, seed=4).log.read_bytes() != shop.log.read_bytes()


def test_the_first_lines_of_a_small_log_read_as_reviewed(golden: Callable[[str, str], None], tmp_path: Path) -> None:
    text = SHOP.replace("requests: 900", "requests: 6").replace("prefix_tokens: 1100", "prefix_tokens: 40")
    text = text.replace("prefix_tokens: 1200", "prefix_tokens: 200").replace("input_tokens: 1300", "input_tokens: 300")
    golden("generate/log.jsonl", generated(tmp_path, text).log.read_text("ascii"))


def test_reported_tokens_are_those_of_the_text(
    shop: Generated, monkeypatch: pytest.MonkeyPatch
) -> None:  # an own count: 3 tokens a message, 3 for the reply
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(profile_path("tokenizers")))
    encode = tiktoken.get_encoding("o200k_base").encode_ordinary

    def tokens(message: dict[str, Any]) -> int:
        return len(
            encode((message["content"] or "") + (compact(message["tool_calls"]) if "tool_calls" in message else ""))
        )

    for line in shop.lines:
        if line["status_code"] != 200:
            continue
        request, usage = line["request"], line["response"]["usage"]
        counts = [tokens(message) for message in request["messages"]]
        counts += [len(encode(compact(request["tools"])))] if "tools" in request else []
        assert usage["prompt_tokens"] == sum(counts) + 3 * len(counts) + 3
        assert usage["completion_tokens"] == tokens(line["response"]["choices"][0]["message"])


def test_lines_come_in_order_of_time_within_the_days_with_ids_of_their_own(shop: Generated) -> None:
    times = [seconds(line) for line in shop.lines]
    assert times == sorted(times)
    start = datetime.fromisoformat("2026-10-05T00:00:00Z").timestamp()
    assert start <= times[0] and times[-1] < start + 7 * 86_400
    assert len({line["id"] for line in shop.lines}) == len(shop.lines)
    assert abs(len(shop.lines) - 900) < 120


def test_first_prompts_repeat_in_the_stated_shares(shop: Generated) -> None:
    kinds = Counter(row["kind"] for row in shop.rows if row["call"] == "widget" and not row["retry"])
    total = kinds.total()
    stated = {"exact": 0.2, "respelled": 0.15, "paraphrase": 0.15, "trap": 0.1}
    for kind, share in stated.items():
        assert abs(kinds[kind] / total - share) < 3 * (share / total) ** 0.5, (kind, kinds)


def test_calls_fail_and_are_sent_again_in_the_stated_shares(shop: Generated) -> None:
    failed = sum(not row["ok"] for row in shop.rows)
    assert abs(failed / len(shop.rows) - 0.05) < 0.025
    assert 0.4 < sum(row["retry"] for row in shop.rows) / failed < 0.95
    assert {line["status_code"] for line in shop.lines} == {200, 429, 500}


def test_an_agent_calls_its_tools_in_loops_and_sends_its_history(shop: Generated) -> None:
    steps = [line for line in shop.lines if line["feature"] == "robot" and line["status_code"] == 200]
    loops = same = 0
    for line in steps:
        calls = [each["tool_calls"][0]["function"] for each in line["request"]["messages"] if "tool_calls" in each]
        loops += sum(a == b for a, b in zip(calls, calls[1:], strict=False))
        same += max(0, len(calls) - 1)
        results = [each["content"] for each in line["request"]["messages"] if each["role"] == "tool"]
        assert all(isinstance(json.loads(text), list) for text in results)
    assert 0.3 < loops / same < 0.7
    assert max(len(line["request"]["messages"]) for line in steps) > 10


def test_the_mean_lengths_are_near_the_stated_ones(shop: Generated) -> None:
    first = [row for row in shop.rows if row["call"] == "widget" and row["ok"]]
    assert abs(sum(row["input_tokens"] for row in first) / len(first) / 320 - 1) < 0.15
    assert abs(sum(row["output_tokens"] for row in first) / len(first) / 60 - 1) < 0.15


def test_analyze_reads_every_line_and_finds_the_planted_books(shop: Generated, run: Run) -> None:
    ran = run("analyze", str(shop.log), "--json", "-", "--price-date", "2026-10-11", "-q")
    assert ran.code == 0, ran.err
    plan = json.loads(ran.out)
    books, truth = plan["ingest"], shop.truth
    assert plan["inputs"][0]["format"] == "pairs"
    assert (books["requests"], books["failed"]) == (truth["requests"], truth["failed"])
    assert books["skipped"]["total"] == books["duplicates"] == books["unpriced"]["requests"] == 0
    assert books["text_state"]["full"] == truth["requests"]
    cost = plan["baseline"]["cost_usd_price_date"]["value"]
    assert cost == pytest.approx(truth["baseline"]["usd"], abs=1e-6)
    sites = {row["key"] for row in plan["unit_economics"]["by_call_site"]}
    assert sites == {"widget", "desk", "robot"}


def test_the_command_writes_all_files_and_says_what_is_planted(run: Run, tmp_path: Path) -> None:
    scenario, log = tmp_path / "shop.yaml", tmp_path / "log.jsonl.gz"
    scenario.write_text(SHOP)
    truth = tmp_path / "truth.json"
    ran = run("generate", str(scenario), "-o", str(log), "--requests", "60", "--truth", str(truth), "-q")
    assert (ran.code, ran.err) == (0, "")
    assert "  batch  " in ran.out
    assert json.loads(truth.read_bytes())["schema"] == "costplan/truth/1"
    assert log.read_bytes()[:2] == b"\x1f\x8b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl.gz", "shop.yaml", "truth.json"]
    assert run("analyze", str(log), "-q").code == 0


def test_a_scenario_without_calls_leaves_no_file(run: Run, tmp_path: Path) -> None:
    scenario, log = tmp_path / "none.yaml", tmp_path / "log.jsonl"
    scenario.write_text(
        "scenario: none\ncalls: [{name: a, model: gpt-4.1, per_session: 0, input_tokens: 9, output_tokens: 9}]\n"
    )
    error, hint = mistake(run("generate", str(scenario), "-o", str(log), "-q"), 1)
    assert "makes no call" in error and "per_session" in hint
    assert not log.exists() and not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(("requests", "code"), [("many", 2), ("0", 2)])
def test_a_number_of_lines_is_a_number(run: Run, tmp_path: Path, requests: str, code: int) -> None:
    error, _ = mistake(run("generate", "chat-app", "-o", str(tmp_path / "log"), "--requests", requests, "-q"), code)
    assert "--requests" in error
