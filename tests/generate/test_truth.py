"""The truth, worked out again from the lines of the log alone: by other means than the generator's, to the cent."""

import json
import unicodedata
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from costplan.tokens import counter
from tests.generate.logs import Generated, generated, seconds, usd

HOUR = 3600
LOOKUP_USD, STORE_USD = 0.0034e-6, 4.5 * 1.1 * 12 * 0.125 / 1e9  # of a look-up; of keeping a token for 12 h


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generated(tmp_path_factory.mktemp("shop"))


def answered(shop: Generated, call: str = "") -> list[dict[str, Any]]:
    return [line for line in shop.lines if line["status_code"] == 200 and call in ("", line["feature"])]


def prices(shop: Generated, line: dict[str, Any]) -> dict[str, float]:
    return shop.truth["prices_usd_per_mtok"][line["request"]["model"]]


def test_list_prices_are_those_of_the_day(shop: Generated) -> None:
    """gpt-4.1 $2 / $8 with reads at $0.50, claude-sonnet-4-5 $3 / $15 with reads at $0.30 and writes at $3.75."""
    found = shop.truth["prices_usd_per_mtok"]
    assert (found["gpt-4.1"]["input"], found["gpt-4.1"]["output"], found["gpt-4.1"]["cache_read"]) == (2, 8, 0.5)
    assert list(found["claude-sonnet-4-5"].values()) == [3, 0.3, 3.75, 15]


def test_the_baseline_is_the_sum_of_the_lines_by_day_and_by_call(shop: Generated) -> None:
    costs = [(line, usd(line, prices(shop, line))) for line in answered(shop)]
    baseline = shop.truth["baseline"]
    assert baseline["usd"] == pytest.approx(sum(cost for _, cost in costs), abs=1e-6)
    day = [cost for line, cost in costs if line["timestamp"].startswith("2026-10-07")]
    assert baseline["by_day"][2] == pytest.approx(sum(day), abs=1e-6)
    for name, told in baseline["by_call"].items():
        assert told == pytest.approx(sum(cost for line, cost in costs if line["feature"] == name), abs=1e-6)


def spelling(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .!?")


@pytest.mark.parametrize(("name", "key"), [("exact", str), ("respelled", spelling)])
def test_hits_of_a_response_cache_are_found_by_walking_the_lines(
    shop: Generated, name: str, key: Callable[[str], str]
) -> None:
    """A 12 h cache of type `store`; no tool calls or results, nothing about now."""
    stored: dict[str, float] = {}
    saved, hits = 0.0, 0
    for line in answered(shop):
        messages, answer = line["request"]["messages"], line["response"]["choices"][0]["message"]
        text = messages[-1]["content"]
        if (
            messages[-1]["role"] != "user"
            or "tool_calls" in answer
            or " now" in text
            or "oday" in text
            or "latest" in text
        ):
            continue
        where = json.dumps([line["feature"], messages[:-1], key(text)])
        saved -= LOOKUP_USD
        if seconds(line) - stored.get(where, -1e12) <= 12 * HOUR:
            hits, saved = hits + 1, saved + usd(line, prices(shop, line))
        else:
            stored[where] = seconds(line)
            saved -= line["response"]["usage"]["completion_tokens"] * STORE_USD
    told = shop.truth["levers"][f"response_cache.{name}"]
    assert hits > 40
    assert (told["requests"], told["usd"]) == (hits, pytest.approx(saved, abs=1e-6))


def without_padding(text: str) -> str:
    """What the document says, found by parsing: compact JSON, no blanks at line ends, no paragraph twice."""
    start = text.find("[\n")
    if text.startswith(("Data:\n", "[")) and start >= 0:
        tree, end = json.JSONDecoder().raw_decode(text, start)
        text = text[:start] + json.dumps(tree, separators=(",", ":")) + text[end:]
    blocks = "\n".join(line.rstrip() for line in text.split("\n")).split("\n\n")
    return "\n\n".join(block for at, block in enumerate(blocks) if block not in blocks[:at])


def test_padding_is_what_parsing_the_prompts_finds(shop: Generated) -> None:
    count, saved, tokens, padded = counter("o200k_base"), 0.0, 0, 0
    for line in answered(shop):
        usage = line["response"]["usage"]
        texts = [m["content"] for m in line["request"]["messages"] if m["role"] in ("user", "tool")]
        gone = sum(count(text) - count(without_padding(text)) for text in texts)
        tokens, padded = tokens + gone, padded + (gone > 0)
        if "prompt_tokens_details" not in usage:
            saved += gone * prices(shop, line)["input"] / 1e6
        elif gone:
            saved += next(row["usd"] for row in shop.rows if row["request_id"] == line["id"]) - cleaned_usd(
                shop, line, count
            )
    told = shop.truth["levers"]["compression"]
    assert padded > 100 and tokens > 5_000
    assert shop.truth["tokens"]["padding_tokens"] == tokens
    assert (told["requests"], told["usd"]) == (padded, pytest.approx(saved, abs=1e-5))


def cleaned_usd(shop: Generated, line: dict[str, Any], count: Callable[[str], int]) -> float:
    """The line without padding, where the provider's cache holds the same messages as before."""
    read = line["response"]["usage"]["prompt_tokens_details"]["cached_tokens"]
    tools = count(json.dumps(line["request"]["tools"], separators=(",", ":"))) + 3 if "tools" in line["request"] else 0
    full, clean, held = tools, tools, 0
    for message in line["request"]["messages"]:
        text = (message["content"] or "") + (
            json.dumps(message["tool_calls"], separators=(",", ":")) if "tool_calls" in message else ""
        )
        full += count(text) + 3
        clean += count(without_padding(text) if message["role"] in ("user", "tool") else text) + 3
        held = clean if full // 128 * 128 <= read else held
    held = held // 128 * 128 if held >= 1024 else 0
    return usd(line, prices(shop, line), prompt=clean + 3, cached=held)


def test_batches_save_half_of_the_marked_calls(shop: Generated) -> None:
    marked = [line for line in answered(shop) if line.get("tags") == ["batch"]]
    told = shop.truth["levers"]["batch"]
    assert len(marked) > 60 and told["requests"] == len(marked)
    # the list names batch prices for plain tokens; reads of gpt-4.1 cost a fourth of input there, too
    assert told["usd"] == pytest.approx(sum(usd(line, prices(shop, line)) for line in marked) / 2, rel=1e-6)


def test_marked_prefixes_save_what_reading_them_would(shop: Generated) -> None:
    """claude-sonnet-4-5: 1,024 tokens at least, 5 minutes since the last use; either the system prompt is marked, or
    the end of every prompt as well, whichever saves more."""
    count = counter("o200k_base")
    used: dict[str, float] = {}
    marked: dict[str, float] = {}
    saved = {"static": 0.0, "whole": 0.0}
    for line in answered(shop, "desk"):
        now, messages = seconds(line), line["request"]["messages"]
        ends = [sum(count(m["content"]) + 3 for m in messages[: at + 1]) for at in range(len(messages))]
        keys = [json.dumps(messages[: at + 1]) for at in range(len(messages))]
        cost, rate = usd(line, prices(shop, line)), prices(shop, line)
        assert ends[0] >= 1024
        read = ends[0] if now - used.get(keys[0], -1e9) <= 300 else 0
        used[keys[0]] = now
        saved["static"] += cost - usd(line, rate, cached=read, written=ends[0] - read)
        held = [(end, key) for end, key in zip(ends, keys, strict=True) if now - marked.get(key, -1e9) <= 300]
        read = max((end for end, _ in held), default=0)
        saved["whole"] += cost - usd(line, rate, cached=read, written=line["response"]["usage"]["prompt_tokens"] - read)
        marked |= dict.fromkeys([keys[0], keys[-1], *(key for _, key in held)], now)
    told = shop.truth["levers"]["prompt_cache.marked"]
    assert told["usd"] == pytest.approx(max(saved.values()), abs=1e-6) and told["usd"] > 0


def test_easy_calls_cost_the_cheaper_model_s_price(shop: Generated) -> None:
    levels = {row["request_id"]: row["level"] for row in shop.rows if row["ok"]}
    cheap = shop.truth["prices_usd_per_mtok"]["gpt-4.1-mini"]
    easy = [line for line in answered(shop, "widget") if levels[line["id"]] <= 2]
    saved = sum(
        usd(line, prices(shop, line)) - usd(line, cheap, answer=0.8 * line["response"]["usage"]["completion_tokens"])
        for line in easy
    )
    told, quality = shop.truth["levers"]["routing.easy"], shop.truth["routing"]["widget"]["easy"]
    assert (told["requests"], told["usd"]) == (len(easy), pytest.approx(saved, abs=1e-6))
    # planted: 0.9 and 0.8 or 0.9; three standard errors of some 300 draws
    assert abs(quality["good_share"] - 0.9) < 0.06 and abs(quality["cheap_good_share"] - 0.87) < 0.07


def test_what_the_provider_could_read_is_no_less_than_what_the_log_says(shop: Generated) -> None:
    rows = {row["request_id"]: row for row in shop.rows}
    robots = [(line, rows[line["id"]]) for line in answered(shop, "robot")]
    logged = [row["cached_tokens"] for _, row in robots]
    assert all(row["cached_tokens"] in (0, row["could_read_tokens"]) for _, row in robots)
    assert all(tokens % 128 == 0 and (tokens == 0 or tokens >= 1024) for tokens in logged)
    could = [row for _, row in robots if row["could_read_tokens"]]
    assert abs(sum(row["cached_tokens"] > 0 for row in could) / len(could) - 0.5) < 0.12


def test_paraphrases_mean_the_same_and_traps_do_not(shop: Generated) -> None:
    rows = {row["request_id"]: row for row in shop.rows}
    made = [row for row in shop.rows if row["of"] is not None]
    assert {row["kind"] for row in made} == {"exact", "respelled", "paraphrase", "trap"}
    for row in made:
        assert (row["meaning"] == rows[row["of"]]["meaning"]) == (row["kind"] != "trap")
    assert {pair["category"]: pair["same_answer"] for pair in shop.pairs} == {
        "respelled": True, "paraphrase": True, "trap": False
    }  # fmt: skip
    semantic = shop.truth["levers"]["response_cache.semantic"]["requests"]
    respelled = shop.truth["levers"]["response_cache.respelled"]["requests"]
    assert semantic - respelled == shop.truth["semantic_cache"]["right_hits"] > 20
    assert 0 < shop.truth["semantic_cache"]["traps_within_reach"] <= sum(row["kind"] == "trap" for row in shop.rows)


def test_hits_by_meaning_and_traps_are_found_by_walking_the_rows(shop: Generated) -> None:
    """A trap counts where what it imitates is stored and its own answer is not."""
    meanings = {row["request_id"]: row["meaning"] for row in shop.rows}
    stored: dict[str, float] = {}
    hits = traps = 0
    for row in shop.rows:
        if "semantic_hit" not in row or row["kind"] == "follow_up":
            continue
        now = datetime.fromisoformat(row["time"]).timestamp()
        own, near = (json.dumps([row["call"], m]) for m in (row["meaning"], meanings.get(row["of"])))
        held, imitated = (now - stored.get(key, -1e12) <= 12 * HOUR for key in (own, near))
        traps += row["kind"] == "trap" and imitated and not held
        hits += held
        if not held:
            stored[own] = now
    assert shop.truth["levers"]["response_cache.semantic"]["requests"] == hits > 60
    assert shop.truth["semantic_cache"]["traps_within_reach"] == traps > 10


def test_labelled_pairs_are_read_by_the_commands_they_are_for(shop: Generated) -> None:
    from costplan.similarity.pairs import read_pairs

    assert len(read_pairs(shop.log.parent / "pairs.jsonl").rows) == len(shop.pairs) > 100
    assert {route["group"] for route in shop.routes} == {"widget"}
    assert {(route["cheap_score"], route["strong_score"]) for route in shop.routes} <= {
        (a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)
    }  # fmt: skip
    assert all(route["cheap_usd"] < route["strong_usd"] for route in shop.routes)


def test_flat_prices_of_the_scenario_are_used(tmp_path: Path) -> None:
    text = """
scenario: flat
prices: {acme-1: {input: 10, output: 20, batch_discount: 0.25}}
calls: [{name: a, model: acme-1, input_tokens: 60, output_tokens: 30, batch_share: 1}]
log: {requests: 40, days: 2}
"""
    made = generated(tmp_path, text)
    usages = [line["response"]["usage"] for line in made.lines]
    spent = sum(10 * usage["prompt_tokens"] + 20 * usage["completion_tokens"] for usage in usages) / 1e6
    assert made.truth["baseline"]["usd"] == pytest.approx(spent, abs=1e-9)
    assert made.truth["levers"]["batch"]["usd"] == pytest.approx(spent / 4, abs=1e-9)
