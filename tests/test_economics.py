"""Breakdowns that add up, users without names, sessions, and peaks counted minute by minute."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.results import Estimate, GroupRow, Plan
from tests.levers.logs import START, analyzed, call, random_log

BREAKDOWNS = ("by_model", "by_call_site", "by_user", "by_hour", "by_operation", "by_day")


def nanos(usd: float | None) -> int:
    assert usd is not None
    return round(usd * 1e9)


def value(estimate: Estimate | None) -> float:
    assert estimate is not None and estimate.value is not None
    return estimate.value


def rows(plan: Plan, name: str) -> list[GroupRow]:
    return getattr(plan.unit_economics, name)


@pytest.mark.parametrize("seed", range(4))
def test_every_breakdown_sums_to_the_log(tmp_path: Path, seed: int):
    plan = analyzed(tmp_path, random_log(seed, tags=["one"])).plan
    total = plan.baseline
    for name in (*BREAKDOWNS, "by_tag"):
        found = rows(plan, name)
        assert sum(nanos(row.cost_usd or 0.0) for row in found) == nanos(total.cost_usd.value), name
        assert sum(row.requests for row in found) == total.requests
        assert sum(row.input_tokens for row in found) == total.input_tokens
        assert sum(row.output_tokens for row in found) == total.output_tokens
        assert sum(row.cache_read_tokens for row in found) == total.cache_read_tokens
        assert sum(row.failed for row in found) == plan.ingest.failed
        assert sum(row.share or 0.0 for row in found) == pytest.approx(1)


def test_what_does_not_fit_a_table_is_summed_into_its_last_row(tmp_path: Path):
    """Sixty users and call sites; the table holds fifty."""
    log = [call(60 * n, f"Q{n}", user=f"u{n}", feature=f"f{n}", tokens=(29 + n, 8)) for n in range(60)]
    plan = analyzed(tmp_path, log).plan
    for name in ("by_user", "by_call_site"):
        found = rows(plan, name)
        assert len(found) == 51 and found[-1].key == "(10 more)" and found[-1].requests == 10
        assert sum(nanos(row.cost_usd or 0.0) for row in found) == nanos(plan.baseline.cost_usd.value)


def test_users_appear_by_rank_of_spend_and_never_by_name(tmp_path: Path):
    """b spends 3 x 9,150 nano-dollars, a 2 x, c 1 x; nobody knows who asked the last one."""
    log = [call(n, f"Q{n}", user=f"{name}@example.com") for n, name in enumerate("abbacb")] + [call(9)]
    plan = analyzed(tmp_path, log).plan
    found = [(row.key, row.requests, nanos(row.cost_usd)) for row in rows(plan, "by_user")]
    assert found == [("user-001", 3, 27_450), ("user-002", 2, 18_300), ("user-003", 1, 9_150)]
    assert "example.com" not in repr(plan)


def test_unit_costs_by_hand(tmp_path: Path):
    """Four calls of 210,000 nano-dollars (1000 in, 100 out) and one without a price, by two users on two days.

    Per request 210,000; per million tokens 840,000 / 4,400 tokens x 10^6; two sessions: 420,000; user-days: a on the
    first day, a and b on the second, b without a price on the first: 840,000 / 4.
    """
    day = 86_400
    log = [
        call(0, "1", tokens=(1000, 100), user="a", session="s"),
        call(day, "2", tokens=(1000, 100), user="a", session="s"),
        call(day + 1, "3", tokens=(1000, 100), user="a", session="t"),
        call(day + 2, "4", tokens=(1000, 100), user="b", session="t"),
        call(2, "5", model="acme-internal-7b", user="b"),
    ]
    unit = analyzed(tmp_path, log).plan.unit_economics
    assert nanos(unit.per_request.value) == 210_000 and nanos(unit.per_1k_requests.value) == 210_000_000
    assert value(unit.per_mtok_blended) == pytest.approx(840_000e-9 / 4400 * 1e6)
    assert nanos(unit.per_session.value) == 420_000 and nanos(unit.per_user_day.value) == 210_000
    assert unit.sessions is not None and unit.sessions.sessions == 2
    assert unit.sessions.steps["max"] == 2


def test_a_log_that_names_nobody_has_no_unit_costs_of_anybody(tmp_path: Path):
    plan = analyzed(tmp_path, [call(0)], revenue_per_user=5.0, month_requests=10).plan
    unit = plan.unit_economics
    for each in (unit.per_session, unit.per_user_day, unit.margin_per_user):
        assert each is not None and each.value is None and "names no" in each.note
    assert unit.sessions is None and unit.by_user == []


def test_the_cost_of_sessions_is_told_by_quantiles(tmp_path: Path):
    draw = random.Random(5)
    log = [call(9 * n, f"Q{n}", session=f"s{draw.randrange(40)}", tokens=(30, draw.randrange(400))) for n in range(200)]
    spent: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for record in log:
        usage = record["response"]["usage"]
        spent[record["session"]] += usage["prompt_tokens"] * 150 + usage["completion_tokens"] * 600
        steps[record["session"]] += 1
    sessions = analyzed(tmp_path, log).plan.unit_economics.sessions
    assert sessions is not None and sessions.sessions == len(spent)
    for found, counted, scale in ((sessions.cost_usd, spent, 1e-9), (sessions.steps, steps, 1.0)):
        values = np.array(list(counted.values())) * scale
        for name, level in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            assert found[name] == pytest.approx(float(np.quantile(values, level)))


def naive_rates(log: list[dict[str, Any]], model: str) -> list[float]:
    """Peak and 99th percentile of requests, then of tokens, over every minute from the first to the last call."""
    seconds = [int((np.datetime64(r["timestamp"][:19]) - np.datetime64(START.isoformat()[:19])).item().total_seconds())
               for r in log]  # fmt: skip
    minutes = range(min(seconds) // 60, max(seconds) // 60 + 1)
    requests, tokens = dict.fromkeys(minutes, 0), dict.fromkeys(minutes, 0)
    for second, record in zip(seconds, log, strict=True):
        if record["response"]["model"] == model:
            requests[second // 60] += 1
            tokens[second // 60] += record["response"]["usage"]["total_tokens"]
    found: list[float] = []
    for counts in (requests, tokens):
        found += [max(counts.values()), float(np.quantile(list(counts.values()), 0.99))]
    return found


@pytest.mark.parametrize(("gap_s", "seed"), [(3, 1), (40, 2), (700, 3), (90_000, 4)])
def test_peaks_and_p99_equal_a_count_of_every_minute(tmp_path: Path, gap_s: int, seed: int):
    draw = random.Random(seed)
    at, log = 59.0, []
    for number in range(120):
        at += draw.expovariate(1 / gap_s)
        model = draw.choice(["gpt-4o", "gpt-4o-mini"])
        log.append(call(int(at), f"Q{number}", model=model, tokens=(29, draw.randrange(99))))
    rates = analyzed(tmp_path, log).plan.unit_economics.rates
    assert {rate.model for rate in rates} == {"gpt-4o", "gpt-4o-mini"}
    for rate in rates:
        mine = [rate.requests_min_peak, rate.requests_min_p99, rate.tokens_min_peak, rate.tokens_min_p99]
        assert mine == pytest.approx(naive_rates(log, rate.model))


def test_the_margin_by_hand(tmp_path: Path):
    """Two users spend 840,000 nano-dollars in four calls; at 4,000 calls a month $0.84, $0.42 a user: $5 - $0.42."""
    log = [call(n, f"Q{n}", tokens=(1000, 100), user=f"u{n % 2}") for n in range(4)]
    plan = analyzed(tmp_path, log, revenue_per_user=5.0, month_requests=4000).plan
    assert value(plan.unit_economics.margin_per_user) == pytest.approx(4.58)
    assert analyzed(tmp_path, log).plan.unit_economics.margin_per_user is None
    short = analyzed(tmp_path, log, revenue_per_user=5.0).plan.unit_economics.margin_per_user
    assert short is not None and short.value is None and "24 hours" in short.note


def test_calls_without_a_price_are_named_with_the_reason(tmp_path: Path):
    aborted = call(3, "What?")
    del aborted["response"]["usage"], aborted["response"]["choices"]
    log = [call(0), call(1, model="acme-internal-7b"), call(2, model="acme-internal-7b"), call(4, model=""), aborted]
    books = analyzed(tmp_path, log).plan.ingest.unpriced
    assert {(row.model, row.requests) for row in books.models} == {
        ("acme-internal-7b", 2), ("(no model)", 1), ("gpt-4o-mini", 1),
    }  # fmt: skip
    reasons = {row.model: row.reason for row in books.models}
    assert reasons["(no model)"] == "the log names no model" and reasons["gpt-4o-mini"] == "no usage to price"
    assert books.requests == 4 and books.tokens == sum(row.tokens for row in books.models)


def test_a_group_without_a_price_is_unknown_and_not_free(tmp_path: Path):
    """Of three users one has no priced call, one has one of two; nobody's unknown cost is $0."""
    log = [call(0, user="a"), call(1, user="a", model="acme-7b"), call(2, user="b", model="acme-7b", feature="new")]
    unit = analyzed(tmp_path, log).plan.unit_economics
    assert [(row.requests, row.unpriced, row.cost_usd is None) for row in unit.by_user] == [(2, 1, False), (1, 1, True)]
    missing = {row.key: row for row in (*unit.by_model, *unit.by_call_site)}
    for key in ("acme-7b", "new"):
        assert (missing[key].cost_usd, missing[key].share) == (None, None) and missing[key].note


def test_traffic_too_thin_for_a_month_is_called_so(tmp_path: Path):
    """150 calls over 50 days are enough in number; on 2 of the days they say little about a month."""
    even = [call(28_800 * n, f"Q{n}") for n in range(150)]
    gappy = [call(600 * n, f"Q{n}") for n in range(149)] + [call(86_400 * 50 - 1, f"Q{n}") for n in range(200)]
    assert analyzed(tmp_path, even).plan.warnings == []
    assert analyzed(tmp_path, gappy).plan.warnings[0].startswith("349 calls on 3 of 50 days: too thin")
    assert analyzed(tmp_path, even[:99]).plan.warnings[0].startswith("99 calls on 33 of 33 days: too thin")
    assert analyzed(tmp_path, gappy, month_requests=1000).plan.warnings == []
    assert analyzed(tmp_path, gappy[:9]).plan.warnings == []


def test_hours_and_days_are_utc(tmp_path: Path):
    log = [call(3600 * hour) for hour in (0, 5, 29, 30)]
    unit = analyzed(tmp_path, log).plan.unit_economics
    assert [(row.key, row.requests) for row in unit.by_hour] == [("00", 1), ("05", 2), ("06", 1)]
    assert [(row.key, row.requests) for row in unit.by_day] == [("2026-10-20", 2), ("2026-10-21", 2)]
