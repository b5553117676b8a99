"""Logs in, plan out: the hand computation of the shipped sample, the identities of the demo, and awkward logs."""

import gzip
import json
import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from costplan.analyze import analyze
from costplan.errors import CostplanError
from costplan.levers import LADDER, mask_of
from costplan.levers.response_cache import LOOKUP_USD, STORE_USD_PER_GB_HOUR
from costplan.levers.rungs import MIN_SHARE
from costplan.report import facts
from costplan.results import Estimate, Plan, Rung, plan_from_json, to_json
from costplan.settings import AnalyzeSettings, resolve
from tests.levers.logs import FILLER, Seen, analyzed, call, claude, random_log
from tests.test_cli import Run, run

__all__ = ["run"]
TRACES = Path(__file__).resolve().parents[1] / "traces"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return analyzed(tmp_path_factory.mktemp("tiny"), TRACES / "tiny.jsonl")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return analyzed(tmp_path_factory.mktemp("demo"), TRACES / "demo.jsonl.gz")


def nanos(usd: float | Estimate | None) -> int:
    usd = usd.value if isinstance(usd, Estimate) else usd
    assert usd is not None
    return round(usd * 1e9)


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def rung(plan: Plan, lever: str) -> Rung:
    return next(rung for rung in plan.ladder if rung.lever == lever)


def cost(seen: Seen, *levers: str) -> int:
    """Nano-dollars of the whole log with these levers."""
    return seen.ladder.totals[mask_of([LADDER.index(name) for name in levers])]


def test_tiny_has_the_books_and_the_cost_that_its_readme_computes(tiny: Seen):
    books, baseline = tiny.plan.ingest, tiny.plan.baseline
    assert (books.records, books.requests, books.skipped.total) == (13, 12, 1)
    assert (books.priced, books.unpriced.requests, books.failed, books.gateway_hits) == (10, 1, 1, 0)
    assert nanos(baseline.cost_usd) == nanos(baseline.cost_usd_price_date) == 489_600
    parts = baseline.cost_by
    assert [nanos(part) for part in (parts.input, parts.cache_read, parts.output)] == [300_000, 124_800, 64_800]
    assert (baseline.input_tokens, baseline.cache_read_tokens, baseline.output_tokens) == (3664, 1664, 108)
    assert baseline.cost_usd_month.value is None and baseline.price_date == "2026-10-20"


def test_tiny_hits_twice_and_pays_for_asking_and_keeping(tiny: Seen):
    """Calls 2 and 9 are hits: 9,150 + 11,400 = 20,550 nano-dollars less.

    Against that, every one of the ten priced calls asks (3.4 nano-dollars), and the eight that miss keep their answer
    for an hour: 4.95 bytes a token at $0.125 per GB-hour = 0.61875 nano-dollars a token. Rounded call by call:
    output 8 keeps at 4.95, so 8; 14: 12; 13: 11; 15: 13; 7: 8; 8: 8; 12: 11; 11: 10, and the two hits 3 each: 87.
    """
    facts = rung(tiny.plan, "response_cache").evidence
    assert facts["hits"] == {"exact": 2, "normalised": 0, "semantic": 0}
    assert facts["eligible_requests"] == 11 and facts["distinct_prompts"] == 8
    assert cost(tiny) - cost(tiny, "response_cache") == 20_550 - 87


def test_tiny_reads_what_its_log_reads_from_the_provider(tiny: Seen):
    logged = rung(tiny.plan, "prompt_cache").evidence["logged"]
    assert logged["token_share"] == pytest.approx(1664 / 3664)
    assert cost(tiny, "prompt_cache_automatic") == cost(tiny)


def test_tiny_in_the_batch_tier_pays_half_and_loses_its_cached_tokens(tiny: Seen):
    """Without call 8, (489,600 - 141,600) / 2 = 174,000. Call 8 finds no warm prefix: 1,716 x 75 + 15 x 300 = 133,200.

    With the cache, calls 2 and 9 need no batch: 10,275 less, and 87 more for the cache.
    """
    assert cost(tiny, "batch_rest") == 174_000 + 133_200
    assert cost(tiny, "batch_rest", "response_cache") == 307_200 - 10_275 + 87


def test_the_books_of_the_demo_balance(demo: Seen):
    books = demo.plan.ingest
    assert (
        books.records
        == books.requests + books.not_a_call + books.skipped.total + books.duplicates + books.merged
        == 19_386
    )
    assert books.requests == books.priced + books.unpriced.requests + books.failed + books.gateway_hits
    assert sum(books.usage_source.values()) == sum(books.text_state.values()) == books.requests
    assert sum(books.failed_by.values()) == books.failed


def test_the_ladder_of_the_demo_leads_from_today_to_after(demo: Seen):
    plan = demo.plan
    today = value(plan.baseline.cost_usd_month)
    counted = [r for r in plan.ladder if (r.marginal_usd_month.value or 0) > 0]
    for rungs, after in (
        ([r for r in counted if r.headline], plan.after.defensible),
        (counted, plan.after.potential),
    ):
        left = value(after.cost_usd_month)
        assert today - sum(value(r.marginal_usd_month) for r in rungs) == pytest.approx(left)
        assert today - sum(value(r.shapley_usd_month) for r in rungs) == pytest.approx(left)
        assert plan.baseline.requests_month is not None
        priced = plan.baseline.requests_month * plan.ingest.priced / plan.ingest.requests
        assert value(after.per_1k_requests) == pytest.approx(1000 * left / priced)
    assert nanos(plan.baseline.cost_usd) == sum(
        nanos(getattr(plan.baseline.cost_by, part))
        for part in ("input", "cache_read", "cache_write", "output", "other")
    )


def test_opportunities_of_the_demo_add_up_to_the_rungs(demo: Seen):
    for each in (rung for rung in demo.plan.ladder if rung.marginal_usd_month.value is not None):
        mine = [o for o in demo.plan.opportunities if o.evidence.startswith(each.label)]
        found = sum(value(o.usd_month) for o in mine)
        unlisted = MIN_SHARE * value(demo.plan.baseline.cost_usd_month) * len(demo.plan.unit_economics.by_call_site)
        assert found == pytest.approx(value(each.marginal_usd_month), rel=0.01, abs=unlisted)


def test_the_plan_survives_its_json(demo: Seen):
    assert to_json(plan_from_json(to_json(demo.plan))) == to_json(demo.plan)


def test_workers_and_repetition_change_no_byte(tmp_path: Path):
    log = random_log(4, rows=150)
    plans = [to_json(analyzed(tmp_path, log, workers=workers).plan) for workers in (1, 1, 2)]
    assert plans[0] == plans[1] == plans[2]


def test_the_evidence_of_the_response_cache_spans_life_renewal_room_and_scope(demo: Seen):
    facts = rung(demo.plan, "response_cache").evidence
    exact = [p for p in facts["frontier"] if p["threshold"] == 1]
    points = {(p["ttl_s"], p["policy"], p["scope"], p["capacity"]): p for p in exact}
    assert len(points) == len(exact)
    lives = (300.0, 3600.0, 86_400.0, 604_800.0)
    for policy in ("store", "sliding"):
        shares = [points[ttl, policy, "global", None]["hit_share"] for ttl in lives]
        assert shares == sorted(shares) and shares[0] < shares[-1]
    rooms = [points[3600.0, "store", "global", room]["hit_share"] for room in (100, 1000, 10_000, 100_000, None)]
    assert rooms == sorted(rooms)
    assert {p["scope"] for p in facts["by_scope"]} == {"global", "user"}
    assert all((p["ttl_s"], p["policy"], p["capacity"]) == (3600.0, "store", None) for p in facts["by_scope"])
    assert facts["recommended"].items() >= points[3600.0, "store", "global", None].items()
    assert facts["recommended"]["hit_share"] == facts["hit_share"]
    assert {p["wrong_share"] for p in facts["frontier"]} == {None} and facts["wrong_basis"] == "unverified"


def test_the_break_even_hit_share_by_hand(tmp_path: Path):
    """Calls of 210,000 nano-dollars: h x 210,000 = 3.4 + (1 - h) x 100 x 0.61875, so h = 65.275 / 210,061.875."""
    assert (LOOKUP_USD, STORE_USD_PER_GB_HOUR) == (0.0034e-6, 0.125)
    facts = rung(analyzed(tmp_path, [call(0, tokens=(1000, 100))]).plan, "response_cache").evidence
    assert facts["break_even_hit_share"] == pytest.approx(65.275 / 210_061.875)


def test_where_prompts_stop_repeating_is_told_by_call_site(tmp_path: Path):
    """Twenty claims under one long system prompt, twenty of another site under none; a third has too few."""
    system = FILLER * 60
    log = [claude(n, [f"Question {n} " + "x" * n], system=system, tokens=(1530, 5), feature="long") for n in range(20)]
    log += [call(100 + n, f"{n} {n}" + "y" * n, system=f"{n}", tokens=(20 + n, 5), feature="short") for n in range(20)]
    log += [call(200 + n, f"{n}", feature="rare") for n in range(19)]
    table = rung(analyzed(tmp_path, log).plan, "prompt_cache").evidence["first_break"]
    assert [row["call_site"] for row in table] == ["long", "short"]
    assert [row["requests"] for row in table] == [20, 20]
    assert 1400 < table[0]["shared_tokens_p50"] <= 1530 == table[0]["prompt_tokens_p50"]
    assert table[1]["shared_tokens_p50"] == 0


def test_requests_that_no_cache_may_answer_are_counted_by_reason(tmp_path: Path):
    log = [
        call(1, "What is new today?"),
        call(2, request={"temperature": 1.7}),
        call(3, status=429),
        call(4, request={"messages": []}),
        call(5, request={"messages": [{"role": "user", "content": "Go"}, {"role": "tool", "content": "7"}]}),
        call(6),
    ]
    facts = rung(analyzed(tmp_path, log).plan, "response_cache").evidence
    expected = {"time_words": 1, "hot": 1, "failed": 1, "no_text": 1, "action": 1, "other_operation": 0}
    assert facts["not_eligible"] == expected and facts["eligible_requests"] == 1
    hotter = analyzed(tmp_path, log, max_temperature=2.0).plan
    assert rung(hotter, "response_cache").evidence["not_eligible"]["hot"] == 0


def o3(month: int) -> dict[str, Any]:
    return call(0, model="o3", tokens=(1000, 100), start=datetime(2025, month, 15, tzinfo=UTC))


def test_calls_before_and_after_a_price_cut_each_pay_the_price_of_their_day(tmp_path: Path):
    """o3 cost $10 in and $40 out per million until 2025-06-10, then $2 and $8: 14,000,000 and 2,800,000 nano-dollars.

    The month is told at the log's last day: two calls of 2,800,000; or at a day that the user names.
    """
    plan = analyzed(tmp_path, [o3(5), o3(7)], month_requests=2).plan
    assert nanos(plan.baseline.cost_usd) == 16_800_000
    assert nanos(plan.baseline.cost_usd_price_date) == nanos(plan.baseline.cost_usd_month) == 5_600_000
    assert [(price.rates["input"], price.requests) for price in plan.prices] == [(10.0, 1), (2.0, 1)]
    assert plan.prices[1].effective == "2025-06-10" and plan.baseline.price_date == "2025-07-15"
    earlier = analyzed(tmp_path, [o3(5), o3(7)], month_requests=2, price_date=date(2025, 5, 20)).plan
    assert nanos(earlier.baseline.cost_usd) == 16_800_000
    assert nanos(earlier.baseline.cost_usd_month) == 28_000_000
    assert earlier.baseline.price_date == "2025-05-20"


@pytest.mark.parametrize(("setting", "record"), [({"sample_rate": 0.1}, {}), ({}, {"sample_weight": 10})])
def test_a_sample_of_a_tenth_costs_ten_times_as_much_and_the_same_per_request(
    tmp_path: Path, setting: dict[str, Any], record: dict[str, Any]
):
    log = [call(4000 * n, f"Question {n}", user=f"u{n % 3}", session=f"s{n}", tokens=(31, 8)) for n in range(60)]
    whole = analyzed(tmp_path, log).plan
    part = analyzed(tmp_path, [each | record for each in log], **setting).plan
    assert nanos(part.baseline.cost_usd) == 10 * nanos(whole.baseline.cost_usd)
    assert part.baseline.requests_month == pytest.approx(10 * (whole.baseline.requests_month or 0))
    assert value(part.baseline.cost_usd_month) == pytest.approx(10 * value(whole.baseline.cost_usd_month))
    for name in ("per_request", "per_1k_requests", "per_mtok_blended"):
        mine, theirs = getattr(part.unit_economics, name), getattr(whole.unit_economics, name)
        assert value(mine) == pytest.approx(value(theirs))
    assert value(part.after.defensible.per_1k_requests) == pytest.approx(value(whole.after.defensible.per_1k_requests))
    assert part.unit_economics.rates[0].requests_min_peak == 10
    assert "at most" in part.unit_economics.per_session.note and "stands for 10;" in part.warnings[0]
    assert "lower_bound" in rung(part, "response_cache").evidence
    assert "lower_bound" not in rung(whole, "response_cache").evidence
    million = analyzed(tmp_path, [each | record for each in log], month_requests=1e6, **setting).plan
    assert value(million.baseline.cost_usd_month) == pytest.approx(1e6 * value(whole.unit_economics.per_request))
    assert million.baseline.requests_month == pytest.approx(1e6)


def test_calls_without_a_time_are_part_of_the_month(tmp_path: Path):
    """Ten days at one call an hour, and as many calls without a time: twice the month."""
    log = [call(3600 * n, f"Question {n}") for n in range(241)]
    alone = analyzed(tmp_path, log).plan
    both = analyzed(tmp_path, log + [call(None, f"Again {n}") for n in range(240)]).plan
    assert both.ingest.span.null_timestamps == 240
    assert value(alone.baseline.cost_usd_month) == pytest.approx(730 * 9150e-9)
    assert value(both.baseline.cost_usd_month) == pytest.approx(2 * 730 * 9150e-9)
    assert both.baseline.requests_month == pytest.approx(2 * 730)


def test_a_log_without_any_time_has_no_month_but_a_ladder(tmp_path: Path):
    plan = analyzed(tmp_path, [call(None, f"Question {n}") for n in range(3)]).plan
    assert plan.baseline.cost_usd_month.value is None and "no row carries a time" in plan.baseline.cost_usd_month.note
    assert {each.lever for each in plan.ladder} == {"response_cache", "compression", "routing", "prompt_cache", "batch"}
    stated = analyzed(tmp_path, [call(None)], month_requests=1000).plan
    assert nanos(stated.baseline.cost_usd_month) == 9_150_000


def test_dates_beside_offsets_give_no_span_and_no_month(tmp_path: Path):
    (tmp_path / "trace.jsonl").write_text(
        "".join(json.dumps({"timestamp": 1000 * n, "input_length": 600, "output_length": 5, "hash_ids": [n]}) + "\n"
                for n in range(30))
    )  # fmt: skip
    folder = tmp_path / "logs"
    folder.mkdir()
    (tmp_path / "trace.jsonl").rename(folder / "trace.jsonl")
    dated = folder / "dated.jsonl"
    dated.write_text("".join(json.dumps(call(40_000 * n)) + "\n" for n in range(30)))
    plan = analyzed(tmp_path, folder).plan
    assert plan.ingest.requests == 60 and plan.ingest.span.days is None
    assert plan.baseline.cost_usd_month.value is None and "offsets" in plan.baseline.cost_usd_month.note
    assert any("only offsets" in warning for warning in plan.warnings)


def test_a_first_look_gives_no_month(tmp_path: Path):
    plan = analyzed(tmp_path, [call(40_000 * n) for n in range(30)], head=10).plan
    assert plan.ingest.partial and plan.baseline.cost_usd_month.value is None
    assert "--head" in plan.baseline.cost_usd_month.note


def test_a_call_site_without_a_name_never_takes_the_name_of_another(tmp_path: Path):
    log = [call(0, feature="site-01"), call(1, system="Be short."), call(2, system="Be long.", tokens=(29, 80))]
    rows = analyzed(tmp_path, log).plan.unit_economics.by_call_site
    assert [row.key for row in rows] == ["site-02", "site-01", "site-03"]
    assert [row.note.rsplit(":", 1)[1] for row in rows] == ["3", "1", "2"]
    assert sum(row.requests for row in rows) == 3


def test_under_a_minimum_nothing_that_is_saved_is_cash(tmp_path: Path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("contract: {minimum_usd_month: 1000, minimum_until: 2026-12-31}\n")
    plan = analyzed(tmp_path, [call(0), call(60)], prices=prices, month_requests=100).plan
    stated = {item.name: item.value for item in plan.assumptions}["contract"]
    assert stated == "$1,000/month minimum until 2026-12-31"
    assert plan.baseline.cash_usd_month is not None and value(plan.baseline.cash_usd_month) == 1000
    cache = rung(plan, "response_cache")
    assert value(cache.usage_usd_month) > 0 == value(cache.cash_usd_month)
    over = analyzed(tmp_path, [call(0)], prices=prices, month_requests=100, price_date=date(2027, 1, 1)).plan
    assert over.baseline.cash_usd_month is not None
    assert over.baseline.cash_usd_month.value == over.baseline.cost_usd_month.value
    assert analyzed(tmp_path, [call(0)], month_requests=100).plan.baseline.cash_usd_month is None


def test_strict_ends_at_a_bad_line_or_at_a_call_without_a_price(tmp_path: Path):
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(call(0)) + "\n{torn\n")
    with pytest.raises(CostplanError, match="bad.jsonl:2"):
        analyzed(tmp_path, path, strict=True)
    with pytest.raises(CostplanError, match="1 call without a price"):
        analyzed(tmp_path, [call(0, model="acme-internal-7b")], strict=True)
    analyzed(tmp_path, [call(0)], strict=True)


def test_without_prices_every_rung_says_what_it_needs(tmp_path: Path):
    plan = analyzed(tmp_path, [call(40_000 * n, model="acme-internal-7b") for n in range(5)]).plan
    assert plan.ingest.unpriced.requests == 5
    for unknown in (plan.baseline.cost_usd, plan.baseline.cost_usd_price_date, plan.baseline.cost_usd_month):
        assert unknown.value is None and unknown.note == "no request has a price"
    assert plan.baseline.cost_by.input is None and plan.after.defensible.cost_usd_month.value is None
    assert all(each.marginal_usd_month.value is None for each in plan.ladder)
    assert plan.baseline.requests_month is not None and plan.baseline.requests_month > 0
    assert "needs prices" in rung(plan, "batch").marginal_usd_month.note
    assert rung(plan, "response_cache").evidence["break_even_hit_share"] is None


def test_calls_without_token_counts_are_not_sent_to_look_for_a_price(tmp_path: Path):
    bare = call(0)
    del bare["response"]["usage"], bare["response"]["choices"]
    with pytest.raises(CostplanError) as found:
        analyzed(tmp_path, [bare], strict=True)
    assert "token counts" in found.value.hint and "--prices" not in found.value.hint
    plan = analyzed(tmp_path, [bare]).plan
    assert "'gpt-4o-mini': no token counts" in facts.unpriced_gap(plan.ingest)
    assert "--prices" not in facts.next_step(plan) and "token counts" in facts.next_step(plan)


def test_without_times_a_cache_needs_times_and_not_other_calls(tmp_path: Path):
    plan = analyzed(tmp_path, [call(None, f"Question {n}") for n in range(3)]).plan
    for lever in ("response_cache", "prompt_cache"):
        assert "needs times" in rung(plan, lever).marginal_usd_month.note


def test_a_cache_with_little_room_hits_less(tmp_path: Path):
    log = [call(n, f"Question {n % 20}") for n in range(100)]
    roomy, narrow = (analyzed(tmp_path, log, capacity=room).plan for room in (20, 3))
    assert rung(roomy, "response_cache").evidence["hits"]["exact"] == 80
    assert rung(narrow, "response_cache").evidence["hits"]["exact"] == 0


def test_calls_of_a_named_environment_can_wait_without_a_tag_or_a_feature(tmp_path: Path):
    plan = analyzed(tmp_path, [call(n, f"Q{n}", environment="night") for n in range(3)], batchable=("night",)).plan
    assert rung(plan, "batch").evidence["marked_requests"] == 3


def test_an_assumed_model_prices_only_what_names_none(tmp_path: Path):
    """Two calls of 1,000 in and 100 out at gpt-4o-mini's $0.15 and $0.60 per Mtok: 2 x (150 + 60) micro-dollars."""
    named = [call(n, f"Question {n}") for n in range(3)]
    plain = analyzed(tmp_path, named).plan
    assert analyzed(tmp_path, named, assume_model="gpt-4.1").plan.baseline.cost_usd == plain.baseline.cost_usd
    log = tmp_path / "flat.csv"
    log.write_text("timestamp,input_tokens,output_tokens\n1790000000,1000,100\n1790000060,1000,100\n")
    settings, origins = resolve(AnalyzeSettings, {"assume_model": "gpt-4o-mini"})
    flat = analyze([str(log)], settings, origins)
    assert flat.ingest.priced == 2
    assert flat.baseline.cost_usd.value == pytest.approx(2 * (1000 * 0.15e-6 + 100 * 0.60e-6), abs=1e-12)


def test_the_prompt_cache_loses_what_the_log_without_its_repeats_loses(demo: Seen, run: Run, tmp_path: Path):
    """The calls that `cache --hits` lists as exact are taken out of the file: to the nano-dollar the same rung."""
    log, hits, thin = TRACES / "demo.jsonl.gz", tmp_path / "hits.jsonl", tmp_path / "thin.jsonl"
    assert run("cache", str(log), "--ttl", "1h", "--hits", str(hits)).code == 0
    rows = [json.loads(line) for line in hits.read_text("utf-8").splitlines()]
    answered = {row["request_id"] for row in rows if row["kind"] == "exact"}
    with gzip.open(log, "rt", encoding="utf-8") as lines:
        left = [line for line in lines if answered.isdisjoint(re.findall(r"(?:chatcmpl-|msg_)\w+", line))]
    thin.write_text("".join(left), "utf-8")
    after = analyzed(tmp_path, thin)
    alone, marginal, direct = (
        cost(seen, *before) - cost(seen, *before, "prompt_cache_marked")
        for seen, before in ((demo, ()), (demo, ("response_cache",)), (after, ()))
    )
    assert marginal == direct < 0.9 * alone
