"""Compression in the ladder: what is taken out of the prompts costs what it had cost, no more and no less."""

import json
from pathlib import Path

import pytest
from costplan.levers.states import BATCH_MARKED, COMPRESSION, MARKED_PREFIX, RESPONSE
from costplan.tokens import TOKENS_PER_MESSAGE, TOKENS_PER_REPLY, counter
from tests.levers.logs import FILLER, analyzed, call, claude

COUNT = counter("o200k_base")
RECORD = [{"id": n, "name": f"Reader {n}", "books": [n, n + 1]} for n in range(6)]
PRETTY = "What is wrong with these?\n" + json.dumps({"readers": RECORD[:1]}, indent=4)
SHORT = "What is wrong with these?\n" + json.dumps({"readers": RECORD[:1]}, separators=(",", ":"))
SYSTEM = "You check records."
SENT = COUNT(SYSTEM) + COUNT(PRETTY) + 2 * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY
REMOVED = COUNT(PRETTY) - COUNT(SHORT)


def test_blanks_in_json_are_saved_at_the_price_of_input_by_hand(tmp_path: Path):
    """gpt-4o-mini at $0.15 per million: each removed token is 150 nano-dollars; two calls, an hour apart."""
    log = [call(4000 * n, PRETTY + f"\n{n}", system=SYSTEM, tokens=(SENT + 2, 8)) for n in range(2)]
    seen = analyzed(tmp_path, log, semantic="on")
    assert REMOVED > 5
    assert seen.ladder.totals[0] - seen.ladder.totals[1 << COMPRESSION] == 2 * REMOVED * 150
    rung = next(rung for rung in seen.plan.ladder if rung.lever == "compression")
    assert rung.headline and rung.risk == "none"
    assert rung.evidence["touched"] == {"lossless": 2, "structural": 0}
    assert rung.evidence["removed_tokens"]["lossless"] == 2 * REMOVED


def test_what_was_read_from_the_provider_s_cache_is_saved_at_the_price_of_a_read(tmp_path: Path):
    """The whole prompt was read at $0.075: half of it."""
    log = [call(0, PRETTY, system=SYSTEM, tokens=(SENT, 8), cached=SENT)]
    seen = analyzed(tmp_path, log, semantic="on")
    assert seen.ladder.totals[0] - seen.ladder.totals[1 << COMPRESSION] == REMOVED * 75


def test_a_batched_call_saves_half_and_a_cached_answer_nothing(tmp_path: Path):
    log = [call(n, PRETTY, system=SYSTEM, tokens=(SENT, 8), tags=["batchable"]) for n in (0, 60)]
    totals = analyzed(tmp_path, log, semantic="on").ladder.totals
    batch, response = 1 << BATCH_MARKED, 1 << RESPONSE
    assert totals[batch] - totals[batch | 1 << COMPRESSION] == 2 * REMOVED * 75
    assert totals[response] - totals[response | 1 << COMPRESSION] == REMOVED * 150


def test_shorter_prompts_leave_the_prompt_cache_less_to_save(tmp_path: Path):
    """claude-sonnet-4-5: marks on a shared system prompt; the questions hold JSON with blanks."""
    log = [
        claude(60 * n, [f"{PRETTY}\n{n}"], system=FILLER * 60, tokens=(1600, 10)) for n in range(4)
    ]  # fmt: skip
    totals = analyzed(tmp_path, log, semantic="on").ladder.totals
    prefix, both = 1 << MARKED_PREFIX, 1 << MARKED_PREFIX | 1 << COMPRESSION
    assert totals[0] > totals[prefix] > totals[both]
    assert totals[0] - totals[1 << COMPRESSION] >= totals[prefix] - totals[both] > 0


def test_without_a_second_reading_the_rung_says_what_is_missing(tmp_path: Path):
    seen = analyzed(tmp_path, [call(0, PRETTY)], semantic="off")
    rung = next(rung for rung in seen.plan.ladder if rung.lever == "compression")
    assert rung.marginal_usd_month.value is None and "--semantic on" in rung.marginal_usd_month.note


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_finds_the_same(tmp_path: Path, workers: int):
    log = [call(400 * n, PRETTY + f"\n{n % 5}", system=SYSTEM, tokens=(SENT + 2, 8)) for n in range(60)]
    first = analyzed(tmp_path, log, semantic="on").ladder
    other = analyzed(tmp_path, log, semantic="on", workers=workers).ladder
    assert (first.by_site.sums == other.by_site.sums).all() and (first.by_hour.sums == other.by_hour.sums).all()
