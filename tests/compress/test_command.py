"""`costplan compress` as a user meets it: reports as reviewed, money by hand, contexts judged, bad input."""

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from costplan.compress.money import worth
from costplan.kinds import price_kinds
from costplan.results.compress import compress_schema
from tests.compress.logs import (
    COUNT,
    QUESTION,
    SYSTEM,
    TERMS,
    agent,
    by_hand,
    orders,
    passage,
    record,
    said,
    write,
)  # fmt: skip
from tests.test_cli import Run, mistake, run
from tests.test_startup import HEAVY, WATCHED, loaded_by

__all__ = ["run"]
Golden = Callable[[str, str], None]
FRESH, READ = 0.15e-6, 0.075e-6  # USD a token, gpt-4o-mini
REPORTS = {
    "terminal.txt": [], "verbose.txt": ["--verbose", "--show-text"], "report.md": ["--md", "-"],
    "lossless.txt": ["--rung", "exact,reformat", "--month-requests", "1M"],
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Path:
    """A folder with the log, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "hand.jsonl", by_hand())
    return tmp_path


def document(run: Run, *arguments: str) -> dict[str, Any]:
    """compress.json, read back."""
    ran = run("compress", *arguments, "--json", "-")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def rungs(found: dict[str, Any]) -> dict[str, Any]:
    return {row["rung"]: row for row in found["rungs"]}


@pytest.mark.parametrize("name", REPORTS)
def test_the_report_reads_as_reviewed(run: Run, here: Path, golden: Golden, name: str) -> None:
    ran = run("compress", "hand.jsonl", *REPORTS[name])
    assert (ran.code, ran.err) == (0, "")
    golden(f"compress/{name}", ran.out)


def test_the_document_fits_its_schema_whatever_the_workers(run: Run, here: Path, golden: Golden) -> None:
    found = document(run, "hand.jsonl")
    jsonschema.Draft202012Validator(compress_schema()).validate(found)
    golden("compress/compress.json", json.dumps(found, indent=2))
    golden("schema/compress.json", run("schema", "compress").out)
    assert document(run, "hand.jsonl", "--workers", "2") == found


def test_fresh_tokens_are_saved_at_the_input_price(run: Run, here: Path) -> None:
    write(here / "one.jsonl", by_hand()[:1])
    found = rungs(document(run, "one.jsonl"))
    text = f"Orders:\n{orders(8)}"
    neat = "Orders:\n" + json.dumps(json.loads(orders(8)), separators=(",", ":"))
    assert found["exact"]["saved_tokens"]["value"] == COUNT(text) - COUNT(neat)
    assert found["exact"]["saved_usd"]["value"] == pytest.approx((COUNT(text) - COUNT(neat)) * FRESH)
    assert found["reformat"]["headline"] and found["reformat"]["saved_tokens"]["value"] > 0


def test_cached_tokens_are_saved_at_the_price_of_reads_and_a_prompt_that_gets_too_short_is_read_no_more(
    run: Run, here: Path
) -> None:
    """The long prompts stay above the provider's 1,024 tokens, the short one does not: its reads are fresh input."""
    messages = [SYSTEM, said("user", f"Orders:\n{orders(200)}")]
    whole = sum(COUNT(each["content"]) + 3 for each in messages) + 3
    write(here / "long.jsonl", [record(1, 0, messages, cached=whole // 2), record(2, 1, messages, cached=whole)])
    row = rungs(document(run, "long.jsonl", "--rung", "exact"))["exact"]
    saved = COUNT(f"Orders:\n{orders(200)}") - COUNT(
        "Orders:\n" + json.dumps(json.loads(orders(200)), separators=(",", ":"))
    )
    assert row["saved_tokens"]["value"] == pytest.approx(2 * saved)
    # cuts are spread over the text they come from: half of the first request's are reads, all of the second's
    assert row["saved_usd"]["value"] == pytest.approx(saved * (0.5 * READ + 0.5 * FRESH + READ), rel=0.01)
    assert row["lost_cache_usd"] == 0
    write(here / "short.jsonl", by_hand()[1:2])
    row = rungs(document(run, "short.jsonl", "--rung", "exact,reformat"))["reformat"]
    assert row["lost_cache_usd"] > 0


def test_clearing_tool_results_costs_the_reads_behind_them(run: Run, here: Path) -> None:
    """Two of five results of 25,003 tokens go; the request before had four and cleared one, so the prefix breaks at the
    second. What is read behind it and stays, about 110,080 - 25,040 - 25,003 = 60,000 tokens, is paid as fresh."""
    write(here / "agent.jsonl", [by_hand()[5]])
    row = rungs(document(run, "agent.jsonl", "--rung", "tool_results"))["tool_results"]
    turns = [COUNT(each["content"]) for each in agent(5, 25_000)]
    gone = 2 * (turns[3] - COUNT("[Old tool result content cleared]"))
    assert row["saved_tokens"]["value"] == pytest.approx(gone)
    stays = 110_080 - sum(turns[:5]) - (turns[5] - COUNT("[Old tool result content cleared]"))
    assert row["lost_cache_usd"] == pytest.approx(stays * (FRESH - READ), rel=1e-3)
    assert row["saved_usd"]["value"] == pytest.approx(gone * READ - stays * (FRESH - READ), rel=1e-3)
    assert row["basis"] == "simulated" and not row["headline"]


def test_worth_is_the_formula_with_cache_writes(tmp_path: Path) -> None:
    """100 fresh, 50 read and 20 written tokens of claude-sonnet-4-5: $3, $0.30 and $3.75 per million."""
    kinds = price_kinds([("anthropic", "claude-sonnet-4-5", "", "", "chat", "")], None)
    one = np.ones(1)
    columns = {
        "call_rate_row": kinds.rates.lookup(kinds.kind_key[:1], np.array([2**50]), np.array([9000])),
        "price_key": kinds.kind_key[:1], "weight": 2 * one, "priced": one > 0, "cache_read_tokens": 5000 * one,
        "input_tokens": 9000 * one,
    }  # fmt: skip
    parts = np.zeros((1, 5, 3))
    parts[0, 0], parts[0, 3] = (100, 50, 20), (0, 1000, 0)
    found = worth(columns, kinds.rates, parts, np.array([3000.0]))
    first = 2e9 * (100 * 3e-6 + 50 * 0.3e-6 + 20 * 3.75e-6)
    cleared = 2e9 * (1000 * 0.3e-6 - 3000 * (3.75e-6 - 0.3e-6))
    assert found.net[0].tolist() == pytest.approx([first, 0, 0, cleared, 0])
    assert found.tokens[0].tolist() == [340, 0, 0, 2000, 0]


def test_a_sample_gives_an_interval_that_holds_what_all_requests_say(run: Run, here: Path) -> None:
    texts = ["\n\n".join([*(passage(n + 7 * i) for i in range(1 + n % 5)), QUESTION]) for n in range(150)]
    records = [record(n, n % 90, [SYSTEM, said("user", text)]) for n, text in enumerate(texts)]
    write(here / "search.jsonl", records)
    whole = rungs(document(run, "search.jsonl", "--keep", "0.4"))["lossy"]
    part = rungs(document(run, "search.jsonl", "--keep", "0.4", "--sample", "60"))["lossy"]
    assert whole["saved_usd"]["low"] == whole["saved_usd"]["high"] and whole["saved_usd"]["level"] is None
    for name in ("saved_share", "saved_usd", "saved_tokens"):
        assert part[name]["low"] < part[name]["value"] < part[name]["high"] and part[name]["level"] == 0.95
        assert part[name]["low"] <= whole[name]["value"] <= part[name]["high"]
    assert whole["kept_share"] == pytest.approx(1 - whole["saved_share"]["value"])


def test_keep_and_roles_and_rungs_are_heeded(run: Run, here: Path) -> None:
    deep, light = (document(run, "hand.jsonl", "--keep", keep) for keep in ("0.3", "0.9"))
    assert deep["keep"] == 0.3
    assert rungs(deep)["lossy"]["saved_tokens"]["value"] > rungs(light)["lossy"]["saved_tokens"]["value"] > 0
    nobody = document(run, "hand.jsonl", "--roles", "assistant")
    assert nobody["headline_usd"] == 0 and nobody["roles"] == ["assistant"]
    everyone = document(run, "hand.jsonl", "--roles", "system,user,tool")
    assert rungs(everyone)["exact"]["saved_tokens"]["value"] > rungs(deep)["exact"]["saved_tokens"]["value"]
    assert list(rungs(document(run, "hand.jsonl", "--rung", "repeats"))) == ["repeats"]


def test_sites_and_roles_add_up_to_the_rungs(run: Run, here: Path) -> None:
    found = document(run, "hand.jsonl")
    for name, row in rungs(found).items():
        if name != "lossy":
            sites = sum(site["saved_usd"][name] for site in found["by_call_site"])
            assert sites == pytest.approx(row["saved_usd"]["value"])
            tokens = sum(role["saved_tokens"][name] for role in found["by_role"])
            assert tokens == pytest.approx(row["saved_tokens"]["value"], abs=3)
    assert sum(role["text_share"] for role in found["by_role"]) == pytest.approx(1)
    headline = sum(row["saved_usd"]["value"] for row in found["rungs"] if row["headline"])
    assert found["headline_usd"] == pytest.approx(headline)


def test_a_trace_of_context_is_found_in_the_answer(run: Run, here: Path) -> None:
    found = document(run, "hand.jsonl")["unused_context"]
    assert (found["requests"], found["paragraphs"], found["unused"]) == (1, 4, 3)


def contexts(path: Path, n: int = 30) -> str:
    rows = [
        {"context": [passage(4 * row + at) for at in range(4)], "question": f"Which port is near Town{4 * row + 2}?",
         "answers": [f"Port{4 * row + 2}"], "id": row}
        for row in range(n)
    ]  # fmt: skip
    rows[0]["context"] = "\n\n".join(rows[0]["context"])
    rows[1]["answers"] = ["nowhere to be found"]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.mark.parametrize("name", ["contexts.jsonl", "contexts.jsonl.gz"])
def test_contexts_are_judged_at_half_of_their_tokens(run: Run, here: Path, golden: Golden, name: str) -> None:
    found = document(run, "--pairs", contexts(here / name))
    rows = {row["compressor"]: row for row in found["by"]}
    assert found["keep"] == 0.5 and found["without_answer"] == 1 and {row["n"] for row in found["by"]} == {29}
    assert all(row["kept_token_share"] <= 0.5 for name, row in rows.items() if name != "lossless")
    assert rows["lossless"]["answer_survival"] == 1 and rows["lossless"]["kept_token_share"] <= 1
    assert rows["by_question"]["answer_survival"] == 1 > rows["random"]["answer_survival"]
    assert all(row["low"] <= row["answer_survival"] <= row["high"] for row in found["by"])
    if name.endswith(".gz"):
        golden("compress/pairs.txt", run("compress", "--pairs", name).out)
        few = {row["compressor"]: row for row in document(run, "--pairs", name, "--keep", "0.2")["by"]}
        assert few["random"]["answer_survival"] < rows["random"]["answer_survival"]


def test_hostile_text_is_counted_and_neither_interpreted_nor_shown(run: Run, here: Path) -> None:
    bad = "[bold red]\x1b[31m<script>alert(1)</script>=cmd()" + "\u202e"
    messages = [said("user", f'{bad}\n{{"a": "{bad[:10]}", \n "b": [1, 2]}}\n\n' + f"{bad} {TERMS}\n\n" * 3)]
    records = [record(n, n, messages, site=bad) for n in range(3)]
    for each in records:
        each["request"]["messages"][0]["content"] += "\ud800\0"
    write(here / "bad.jsonl", records)
    for arguments in ([], ["--verbose"], ["--md", "-"]):
        ran = run("compress", "bad.jsonl", *arguments)
        assert (ran.code, ran.err) == (0, "") and "refund" not in ran.out
        assert (
            "\x1b" not in ran.out and "\u202e" not in ran.out and ("--md" not in arguments or "<script>" not in ran.out)
        )
    shown = run("compress", "bad.jsonl", "--show-text")
    assert "refund" in shown.out and "\x1b" not in shown.out
    assert all(each["before"] is None for each in document(run, "bad.jsonl")["examples"])


def test_mistakes_take_two_lines(run: Run, here: Path) -> None:
    (here / "bad.jsonl").write_text('{"context": ["a"], "question": "b"}\n')
    (here / "none.jsonl").write_text('{"context": "a b c", "question": "?", "answers": ["d"]}\n')
    (here / "torn.jsonl.gz").write_bytes(gzip.compress(b"{}")[:-9])
    (here / "empty.jsonl").write_text("\n")
    write(here / "failed.jsonl", by_hand()[-1:])
    cases = [
        (["compress"], 2, "no log is named"),
        (["compress", "nothing.jsonl"], 1, "nothing.jsonl"),
        (["compress", "hand.jsonl", "--keep", "1.5"], 2, "--keep"),
        (["compress", "hand.jsonl", "--rung", "magic"], 2, "--rung"),
        (["compress", "hand.jsonl", "--roles", "user,nobody"], 2, "--roles"),
        (["compress", "hand.jsonl", "--sample", "0"], 2, "--sample"),
        (["compress", "hand.jsonl", "--lm", "no-model"], 1, "no-model: no such model"),
        (["compress", "hand.jsonl", "--md", "-", "--json", "-"], 2, "both want stdout"),
        (["compress", "failed.jsonl"], 1, "no request in it has a prompt to shorten (1 failed)"),
        (["compress", "--pairs", "nothing.jsonl"], 1, "No such file"),
        (["compress", "--pairs", "bad.jsonl"], 1, "bad.jsonl:1: Object missing required field `answers`"),
        (["compress", "--pairs", "none.jsonl"], 1, "no context in it holds its answer"),
        (["compress", "--pairs", "torn.jsonl.gz"], 1, "torn.jsonl.gz"),
        (["compress", "--pairs", "empty.jsonl"], 1, "no context in it"),
    ]  # fmt: skip
    for arguments, code, told in cases:
        assert told in mistake(run(*arguments), code)[0], arguments


def test_without_torch_the_error_says_what_to_install(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    error, hint = mistake(run("compress", "--pairs", contexts(here / "contexts.jsonl", 3), "--lm", "."), 1)
    assert error == "--lm needs torch, which is not installed" and "pip install torch" in hint


def test_help_loads_nothing_heavy_and_a_run_opens_no_socket(here: Path) -> None:
    loaded_by("compress", str(here / "hand.jsonl"), "--workers", "1", before=WATCHED)
    assert loaded_by("compress", "--help") & HEAVY == set()
