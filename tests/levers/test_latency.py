"""Latencies before and after the exact cache: by hand, unknown for a reason, and the same however the log is cut."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.levers.bins import GROWTH, LOOKUP_S, Counts, all_counted, bins_of, counted
from costplan.levers.latency import latency_of
from costplan.report import facts
from costplan.results import Estimate, to_json
from costplan.results.latency import Latency, Percentiles
from hypothesis import given
from hypothesis import strategies as st
from tests.levers.logs import analyzed, call

LOOKUP_US = round(LOOKUP_S * 1e6)
WITHIN_A_BIN = GROWTH**0.5 - 1 + 1e-9
micros = st.lists(
    st.tuples(st.integers(LOOKUP_US, 10**10), st.booleans(), st.sampled_from([1.0, 2.5, 10.0])), min_size=1, max_size=60
)


def timed(latencies_ms: list[float | None], questions: str, **fields: Any) -> list[dict[str, Any]]:
    """Calls a second apart; equal letters ask the same question."""
    return [
        call(at, f"What about {letter}?", **({} if ms is None else {"latency_ms": ms}) | fields)
        for at, (ms, letter) in enumerate(zip(latencies_ms, questions, strict=True))
    ]


def latency(folder: Path, log: list[dict[str, Any]], **settings: Any) -> Latency:
    found = analyzed(folder, log, **settings).plan.after.latency
    assert found is not None
    return found


def values(percentiles: Percentiles) -> list[float | None]:
    return [percentiles.p50.value, percentiles.p95.value]


def notes(percentiles: Percentiles) -> str:
    """Why neither is known."""
    assert values(percentiles) == [None, None] and percentiles.p50.note == percentiles.p95.note
    return percentiles.p50.note


def rows_of(calls: list[tuple[int, bool, float]]) -> dict[str, Any]:
    latencies = np.array([us for us, _, _ in calls], dtype=np.int64)
    rows: dict[str, Any] = {"duration_us": latencies, "ttft_us": latencies // 2}
    return rows | bins_of(rows) | {"weight": np.array([weight for _, _, weight in calls])}


def everyone(rows: dict[str, Any]) -> Counts:
    return counted(rows, np.ones(len(rows["weight"]), np.bool_))


def test_a_hit_answers_in_the_time_of_a_lookup_and_all_others_as_logged(tmp_path: Path):
    """Before: 1, 2, 3, 4 s: the second is the p50, the fourth the p95. The second call repeats the first.

    After: 15 ms, 1, 3, 4 s: the p50 is 1 s, the p95 still 4 s.
    """
    found = latency(tmp_path, timed([1000, 2000, 3000, 4000], "aabc"))
    assert values(found.before.e2e_s) == pytest.approx([2, 4], rel=WITHIN_A_BIN)
    assert values(found.after.e2e_s) == pytest.approx([1, 4], rel=WITHIN_A_BIN)
    assert (found.before.e2e_s.p50.basis, found.after.e2e_s.p50.basis) == ("reported", "simulated")
    assert "streaming and the shorter prefill of a prompt cache are not modelled" in found.after.e2e_s.p50.note


def test_where_most_calls_are_hits_half_of_them_take_exactly_a_lookup(tmp_path: Path):
    assert latency(tmp_path, timed([1000, 2000, 3000], "aaa")).after.e2e_s.p50.value == LOOKUP_S


def test_the_true_latency_lies_between_low_and_high(tmp_path: Path):
    p50 = latency(tmp_path, timed([1234, 1234, 1234], "abc")).before.e2e_s.p50
    assert p50.low is not None and p50.high is not None and p50.low <= 1.234 <= p50.high <= 1.0101 * p50.low


def test_the_first_token_of_a_hit_comes_with_its_answer(tmp_path: Path):
    """First tokens after 0.5, 0.6, 0.7 s; the second call is a hit: 15 ms, 0.5, 0.7 s."""
    log = timed([1000, 2000, 3000], "aab")
    log = [record | {"ttft_ms": 500 + 100 * index} for index, record in enumerate(log)]
    found = latency(tmp_path, log)
    assert values(found.before.ttft_s) == pytest.approx([0.6, 0.7], rel=WITHIN_A_BIN)
    assert values(found.after.ttft_s) == pytest.approx([0.5, 0.7], rel=WITHIN_A_BIN)


def test_a_call_that_failed_has_no_latency_to_improve(tmp_path: Path):
    log = [*timed([1000, 2000, 3000], "aab"), *timed([90_000] * 3, "ccc", status=429)]
    assert values(latency(tmp_path, log).before.e2e_s) == pytest.approx([2, 3], rel=WITHIN_A_BIN)


def test_a_weighted_call_counts_as_often_as_it_stands_for():
    """Nine calls in one row at 1 s, one at 2 s: the median is 1 s; after hits on those nine, a lookup."""
    rows = rows_of([(1_000_000, True, 9.0), (2_000_000, False, 1.0)])
    hits = counted(rows, np.array([True, False]))
    found = latency_of(everyone(rows), hits, None, cached=True, partial=False, sampled=True)
    assert values(found.before.e2e_s) == pytest.approx([1, 2], rel=WITHIN_A_BIN)
    assert values(found.after.e2e_s) == pytest.approx([LOOKUP_S, 2], rel=WITHIN_A_BIN)
    assert "the log is a sample, in which a cache hits less often" in found.after.e2e_s.p50.note


def test_a_log_without_latencies_says_so(tmp_path: Path):
    found = latency(tmp_path, timed([None, None], "aa"))
    assert notes(found.before.e2e_s) == notes(found.after.e2e_s) == "the log carries no latency"
    assert notes(found.before.ttft_s) == notes(found.after.ttft_s) == "the log carries no time to first token"


def test_latencies_of_under_half_of_the_calls_stand_for_nothing(tmp_path: Path):
    few = latency(tmp_path, timed([1000, None, None], "aaa"))
    needed = "the log carries the latency of 33.3% of the successful calls; half of them are needed"
    assert notes(few.before.e2e_s) == notes(few.after.e2e_s) == needed
    half = latency(tmp_path, timed([1000, 2000, None, None], "aabc"))
    assert half.after.e2e_s.p50.value is not None
    assert "50.0% of the successful calls carry a latency" in half.before.e2e_s.p50.note


def test_a_first_look_has_no_latency(tmp_path: Path):
    found = latency(tmp_path, timed([1000, 2000, 3000], "aab"), head=2)
    assert "--head" in notes(found.before.e2e_s) and "--head" in notes(found.after.e2e_s)


def test_without_a_hit_only_the_logged_latency_is_known(tmp_path: Path):
    found = latency(tmp_path, timed([1000, 2000], "ab"))
    assert values(found.before.e2e_s) == pytest.approx([1, 2], rel=WITHIN_A_BIN)
    assert notes(found.after.e2e_s) == "no call is a literal hit of the response cache"


def test_a_hit_on_a_respelled_prompt_is_not_a_literal_one(tmp_path: Path):
    log = [call(0, "Where?", latency_ms=1000), call(1, "where", latency_ms=2000)]
    assert notes(latency(tmp_path, log).after.e2e_s) == "no call is a literal hit of the response cache"


def test_hits_without_a_logged_latency_cannot_be_compared(tmp_path: Path):
    log = timed([1000, None, 3000, 4000], "aabc")
    assert notes(latency(tmp_path, log).after.e2e_s) == "no hit of the response cache has a latency in the log"


def test_a_cache_that_does_not_pay_answers_nothing(tmp_path: Path):
    """Without a price no lever saves anything."""
    found = latency(tmp_path, timed([1000, 2000], "aa", model="acme-internal-7b"))
    assert notes(found.after.e2e_s) == "the exact cache is not among the defensible levers"


def test_the_report_has_a_line_on_latency_only_where_it_is_known(tmp_path: Path):
    known = analyzed(tmp_path, timed([1000, 1000, 4000, 4000], "aabc")).plan
    # a second lies in the bin around 999 ms, four in that around 3.98 s
    assert facts.latency(known) == "e2e p50 999 ms -> 999 ms · p95 3.98 s -> 3.98 s  ≈ hits answer in 15 ms"
    assert facts.latency(analyzed(tmp_path, timed([None, None], "aa")).plan) == ""


def test_workers_change_no_byte_of_the_latencies(tmp_path: Path):
    draw = random.Random(5)
    log = timed([draw.randrange(5000) for _ in range(300)], "".join(draw.choices("abcdefghijklmnop", k=300)))
    log = [record | {"ttft_ms": draw.randrange(900)} for record in log]
    plans = [analyzed(tmp_path, log, workers=workers).plan for workers in (1, 2, 4)]
    assert plans[0].after.latency is not None and plans[0].after.latency.after.e2e_s.p50.value is not None
    assert to_json(plans[0]) == to_json(plans[1]) == to_json(plans[2])


@given(micros, st.integers(0, 60))
def test_chunks_add_up_to_the_whole_log(calls: list[tuple[int, bool, float]], cut: int):
    parts = [everyone(rows_of(part)) for part in (calls[:cut], calls[cut:]) if part]
    whole, summed = everyone(rows_of(calls)), all_counted(parts)
    for name, counts in whole.items():
        assert (counts.keys == summed[name].keys).all() and (counts.sums == summed[name].sums).all()


@given(micros)
def test_a_percentile_is_the_logged_one_to_half_a_bin(calls: list[tuple[int, bool, float]]):
    rows = rows_of(calls)
    found = latency_of(everyone(rows), counted(rows, np.zeros(len(calls), np.bool_)), None, cached=True, partial=False,
                       sampled=False)  # fmt: skip
    ordered = sorted((us, weight) for us, _, weight in calls)
    upto = np.cumsum([weight for _, weight in ordered])
    for share, estimate in ((0.5, found.before.e2e_s.p50), (0.95, found.before.e2e_s.p95)):
        exact = ordered[int(np.searchsorted(upto, share * upto[-1] - 1e-9))][0] / 1e6
        assert estimate.value == pytest.approx(exact, rel=WITHIN_A_BIN)


@given(micros)
def test_a_cache_faster_than_every_logged_call_makes_no_percentile_worse(calls: list[tuple[int, bool, float]]):
    rows = rows_of(calls)
    hits = counted(rows, np.array([hit for _, hit, _ in calls]))
    found = latency_of(everyone(rows), hits, None, cached=True, partial=False, sampled=False)

    def at_most(after: Estimate, before: Estimate) -> bool:
        return after.value is None or (before.value is not None and after.value <= before.value)

    assert at_most(found.after.e2e_s.p50, found.before.e2e_s.p50)
    assert at_most(found.after.e2e_s.p95, found.before.e2e_s.p95)
    assert (found.after.e2e_s.p50.value is None) == (not any(hit for _, hit, _ in calls))


# --- streaming, and the pace of other models ---


def streamed(ttft_ms: int, **fields: Any) -> dict[str, Any]:
    return {"request": {"stream": True}, "ttft_ms": ttft_ms, "latency_ms": 4000} | fields


def test_who_does_not_stream_waits_for_the_end_and_would_see_first_tokens_as_others_do(tmp_path: Path):
    """40 streamed calls begin after 0.2 to 0.98 s, 60 others end after 3 s.

    First tokens today: 60 % at 3 s, so p50 and p95 are 3 s. If all streamed: the 20th of the 40, 0.58 s, and the 38th,
    0.94 s.
    """
    log = [call(at, f"Question {at}?", **streamed(200 + 20 * at)) for at in range(40)]
    log += [call(at, f"Question {at}?", latency_ms=3000) for at in range(40, 100)]
    found = latency(tmp_path, log).streaming
    assert found is not None and found.unstreamed_share == 0.6
    assert values(found.before) == pytest.approx([3, 3], rel=WITHIN_A_BIN)
    assert values(found.after) == pytest.approx([0.58, 0.94], rel=WITHIN_A_BIN)


def test_the_interval_of_a_streamed_first_token_is_that_of_its_distribution(tmp_path: Path):
    """One model, n = 40: sqrt(ln 40 / 80) = 0.2147 on 60 % of the calls: 12.9 points around the median.

    These are ranks 15 (0.48 s) and 26 (0.7 s) of the 40.
    """
    log = [call(at, f"Question {at}?", **streamed(200 + 20 * at)) for at in range(40)]
    log += [call(at, f"Question {at}?", latency_ms=3000) for at in range(40, 100)]
    found = latency(tmp_path, log).streaming
    assert found is not None
    p50 = found.after.p50
    assert (p50.low, p50.high) == (pytest.approx(0.48, rel=0.011), pytest.approx(0.7, rel=0.011)) and p50.level == 0.95


def test_first_tokens_of_another_model_say_nothing(tmp_path: Path):
    log = [call(at, f"Question {at}?", model="gpt-4.1", **streamed(300)) for at in range(40)]
    log += [call(at, f"Question {at}?", latency_ms=3000) for at in range(40, 50)]
    found = latency(tmp_path, log).streaming
    assert found is not None and "none of the calls that are not streamed" in notes(found.after)
    plan = analyzed(tmp_path, log).plan
    assert facts.streaming(plan) == ""


def test_where_every_call_streams_there_is_nothing_to_gain(tmp_path: Path):
    assert latency(tmp_path, [call(at, f"Question {at}?", **streamed(300)) for at in range(40)]).streaming is None


def test_a_verified_route_answers_at_the_pace_of_the_model_that_takes_it(tmp_path: Path):
    """gpt-4o takes 100 ms a token, gpt-4o-mini 20 ms: 8 s become 8 x 20/100 x 0.5 (half as long) = 0.8 s."""
    quality = tmp_path / "quality.csv"
    sites = [f"{model},{site},0.9,5000\n" for model in ("gpt-4o", "gpt-4o-mini") for site in ("hard", "easy")]
    quality.write_text("model,call_site,score,n\n" + "".join(sites), "utf-8")
    hard = {"model": "gpt-4o", "feature": "hard", "latency_ms": 8000}
    easy = {"feature": "easy", "latency_ms": 1600}
    log = [call(at, f"Question {at}?", tokens=(29, 80), **(hard if at < 60 else easy)) for at in range(100)]
    found = latency(tmp_path, log, quality=quality, output_ratio=(0.5, 0.5, 0.5))
    assert values(found.before.e2e_s) == pytest.approx([8, 8], rel=WITHIN_A_BIN)
    assert values(found.after.e2e_s) == pytest.approx([0.8, 1.6], rel=2.5 * WITHIN_A_BIN)
    assert "100.0% of the routed calls" in found.after.e2e_s.p50.note
    few = [record for record in log if record["feature"] == "hard"] + log[-5:]
    assert "keep their time" not in notes(latency(tmp_path, few, quality=quality).after.e2e_s)
