"""The cost of every set of levers: the empty one is today's cost, and a lever changes only what it acts on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.levers import LADDER, N_SETS
from costplan.levers.states import AUTOMATIC_PREFIX, BATCH_MARKED, BATCH_REST, MARKED_PREFIX, RESPELLED, RESPONSE
from tests.levers.logs import FILLER, Seen, analyzed, call, claude, random_log

DEMO = Path(__file__).resolve().parents[2] / "traces" / "demo.jsonl.gz"
SEEDS = range(8)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return analyzed(tmp_path_factory.mktemp("demo"), DEMO)


def nanos(usd: float | None) -> int:
    assert usd is not None
    return round(usd * 1e9)


def changed_by(seen: Seen, lever: int) -> set[str]:
    """Call sites whose cost the lever changes, whatever else is done."""
    columns, by_site = seen.ladder.columns, seen.ladder.by_site
    having = [mask for mask in range(N_SETS) if mask >> lever & 1]
    changed = np.any(
        [by_site.column(columns[mask]) != by_site.column(columns[mask ^ 1 << lever]) for mask in having], axis=0
    )
    return {seen.sums["labels"][key] for key in by_site.keys[changed].tolist()}


def test_no_lever_at_all_costs_what_the_log_costs_to_the_nano_dollar(demo: Seen):
    assert demo.ladder.totals[0] == nanos(demo.plan.baseline.cost_usd_price_date.value)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_lever_at_all_costs_what_a_random_log_costs(tmp_path: Path, seed: int):
    seen = analyzed(tmp_path, random_log(seed))
    assert seen.ladder.totals[0] == nanos(seen.plan.baseline.cost_usd_price_date.value)


ODD_PRICES = """
models:
  - {model: acme-internal-7b, input: 0.1234567, output: 0.7654321}
  - {model: gpt-4o-mini, input: 0.1500007, output: 0.6000003, cache_read: 0.0750001}
"""


def test_no_lever_at_all_costs_the_same_at_odd_prices_and_of_a_sample(tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text(ODD_PRICES)
    for seed in SEEDS:
        seen = analyzed(tmp_path, random_log(seed, sample_weight=3.3), prices=prices)
        assert seen.ladder.totals[0] == nanos(seen.plan.baseline.cost_usd_price_date.value)


@pytest.mark.parametrize("seed", SEEDS)
def test_hours_and_call_sites_hold_the_same_money(tmp_path: Path, seed: int):
    ladder = analyzed(tmp_path, random_log(seed)).ladder
    assert (ladder.by_hour.sums.sum(axis=0) == ladder.by_site.sums.sum(axis=0)).all()
    assert set(ladder.columns.tolist()) == set(range(ladder.by_hour.sums.shape[1]))


def test_hours_and_call_sites_of_the_demo_hold_the_same_money(demo: Seen):
    assert (demo.ladder.by_hour.sums.sum(axis=0) == demo.ladder.by_site.sums.sum(axis=0)).all()
    assert (demo.ladder.by_site.sums >= 0).all()


def apart(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every request a call site of its own, named after its model and whether it is marked as able to wait."""
    for number, record in enumerate(log):
        marked = "marked" if "batchable" in record.get("tags", []) else "plain"
        record["feature"] = f"{record['request']['model']} {marked} {number}"
    return log


@pytest.mark.parametrize("seed", SEEDS)
def test_a_prompt_cache_changes_only_calls_to_its_kind_of_provider(tmp_path: Path, seed: int):
    seen = analyzed(tmp_path, apart(random_log(seed)))
    assert all(name.startswith("claude") for name in changed_by(seen, MARKED_PREFIX))
    assert all(name.startswith("gpt") for name in changed_by(seen, AUTOMATIC_PREFIX))


def lonely_log(rows: int = 30) -> list[dict[str, Any]]:
    """No two prompts share a first block."""
    return [
        call(60 * n, f"Question {n}", system=f"{n} {FILLER * 20}" + "." * n, tokens=(600 + n, 50), stream=n % 3 == 0,
             tags=["batchable"] if n % 4 == 0 else [], request={"temperature": 0.0 if n % 5 else 1.9})
        for n in range(rows)
    ]  # fmt: skip


def test_where_nothing_is_shared_a_lever_touches_only_its_own_calls(tmp_path: Path):
    """Marked calls go to the batch tier; hot ones (every fifth) never ask the response cache."""
    log = apart(lonely_log())
    seen = analyzed(tmp_path, log)
    names = [record["feature"] for record in log]
    marked = {name for name in names if " marked " in name}
    assert changed_by(seen, BATCH_MARKED) == marked
    assert changed_by(seen, RESPONSE) == {name for number, name in enumerate(names) if number % 5}
    assert changed_by(seen, BATCH_REST) <= set(names) - marked
    assert changed_by(seen, MARKED_PREFIX) == changed_by(seen, AUTOMATIC_PREFIX) == set()


def test_only_literal_repeats_are_defensible_and_respelled_ones_need_a_test(tmp_path: Path):
    """One question, its literal repeat and one in capitals; 9,150 nano-dollars each (see tiny)."""
    seen = analyzed(tmp_path, [call(0), call(60), call(120, "WHERE DO I RETURN A BOOK?")], month_requests=3)
    totals = seen.ladder.totals
    keep = 5  # what keeping an answer of 8 tokens for an hour costs, rounded
    assert totals[0] - totals[1 << RESPONSE] == pytest.approx(9_150, abs=9 + 2 * keep)
    assert totals[1 << RESPONSE] - totals[1 << RESPELLED] == pytest.approx(9_150, abs=keep)
    assert totals[1 << RESPELLED] == totals[1 << RESPELLED | 1 << RESPONSE]
    assert seen.plan.after.defensible.levers[0] == "response_cache"
    assert "response_cache_respelled" not in seen.plan.after.defensible.levers
    rungs = {each.label: each for each in seen.plan.ladder}
    assert rungs["exact cache"].headline and "hit 33.3%" in rungs["exact cache"].summary
    assert (
        not rungs["cache for respelled prompts"].headline and rungs["cache for respelled prompts"].risk == "needs-test"
    )


def test_the_batch_tier_halves_a_call_by_hand(tmp_path: Path):
    """gpt-4o-mini: 1000 x $0.15 + 100 x $0.60 per million = 210,000 nano-dollars, 105,000 in a batch."""
    seen = analyzed(tmp_path, [call(0, tokens=(1000, 100), tags=["batchable"])])
    totals = seen.ladder.totals
    assert (totals[0], totals[1 << BATCH_MARKED], totals[1 << BATCH_REST]) == (210_000, 105_000, 210_000)


def test_marked_prefixes_by_hand(tmp_path: Path):
    """claude-sonnet-4-5: $3 per million in, $15 out, $0.30 read, $3.75 written. Three prompts share a system prompt.

    They are 1510 tokens each, a minute apart. As logged: 3 x (1510 x 3000 + 10 x 15000) = 14,040,000 nano-dollars.
    With the system prompt of S tokens marked, S is written once at 3750 and read twice at 300 instead of three times
    at 3000: saved are S x (3 x 3000 - 3750 - 2 x 300) = 4650 S.
    """
    system = FILLER * 60
    log = [claude(60 * n, [f"Question {n}?"], system=system, tokens=(1510, 10)) for n in range(3)]
    seen = analyzed(tmp_path, log)
    totals = seen.ladder.totals
    assert totals[0] == 14_040_000
    saved = totals[0] - totals[1 << MARKED_PREFIX]
    assert saved % 4650 == 0 and 1450 <= saved / 4650 <= 1510


def test_marks_that_never_pay_back_their_premium_are_not_set(tmp_path: Path):
    """An hour between prompts: every mark would be written at $3.75 instead of $3 and never read."""
    system = FILLER * 60
    log = [claude(3600 * n, [f"Question {n}?"], system=system, tokens=(1510, 10)) for n in range(3)]
    seen = analyzed(tmp_path, log)
    totals = seen.ladder.totals
    assert totals[1 << MARKED_PREFIX] == totals[0]
    [rung] = [rung for rung in seen.plan.ladder if rung.lever == "prompt_cache"]
    assert rung.saving_share == 0 and "prompt_cache_marked" not in seen.plan.after.defensible.levers


def test_asking_a_cache_that_never_hits_costs_money_and_is_not_counted(tmp_path: Path):
    seen = analyzed(tmp_path, lonely_log(), month_requests=1e6)
    rung = seen.plan.ladder[0]
    saving = rung.marginal_usd_month.value
    assert rung.lever == "response_cache" and saving is not None and saving < 0
    assert "response_cache" not in seen.plan.after.potential.levers


def test_a_row_that_stands_for_two_calls_costs_twice_as_much_under_every_lever(tmp_path: Path):
    once = np.array(analyzed(tmp_path, random_log(1)).ladder.totals)
    twice = np.array(analyzed(tmp_path, random_log(1, sample_weight=2.0)).ladder.totals)
    assert np.abs(twice - 2 * once).max() <= 60


def test_a_hit_that_the_cache_serves_no_longer_warms_the_prompt_cache(tmp_path: Path):
    """Prompts of equal text at 0, 200 and 400 s: the provider forgets after 300 s without use.

    Alone, the second and third read the prefix. With the response cache the second never reaches the provider, and so
    does the third; a fourth with another question at 450 s finds nothing warm.
    """
    system = FILLER * 60
    log = [call(at, "Same?", system=system, tokens=(1510, 10), feature=f"s{at}") for at in (0, 200, 400)]
    log.append(call(450, "Another?", system=system, tokens=(1510, 10), feature="s450"))
    seen = analyzed(tmp_path, log)
    last = seen.named("s450")
    column = seen.ladder.by_site.sums[last][seen.ladder.columns]
    automatic, both = 1 << AUTOMATIC_PREFIX, 1 << AUTOMATIC_PREFIX | 1 << RESPONSE
    assert column[automatic] < column[0]
    assert column[both] > column[0] - 10 and LADDER[AUTOMATIC_PREFIX] == "prompt_cache_automatic"
