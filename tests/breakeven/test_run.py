"""The whole comparison on replicas of known speed: columns, lines, verdicts, what is said and what is refused."""

import json
from math import inf
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from costplan.breakeven.traffic import stated_traffic, with_arrivals
from costplan.errors import CostplanError, UsageError
from costplan.results import GroupRow
from costplan.results.breakeven import Breakeven, breakeven_schema, breakeven_to_json
from costplan.settings import BreakevenSettings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.breakeven.stand_in import compare, use
from tests.report.example_plan import example_plan, no_month

DAYS = 730 / 24
PLAIN = {"open_price": "0.50/1.00", "gpu_price": 2.0, "fte": 0.5, "salary": 120_000.0}


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    use(monkeypatch)


def lines_of(document: Breakeven) -> dict[str, float]:
    lines = document.self_host.lines
    return {name: getattr(lines, name) for name in lines.__struct_fields__}


def test_the_three_columns_by_hand():
    """1,000 in and 100 out, 200,000 a day = 6,083,333 a month. (a) gpt-4o 2.50/10: $0.0035 = 21,291.67. (b) 0.50/1.00:
    $0.0006 x 1.02 tokens = 3,723.00. (c) 4 GPUs at $2 for 730 h = 5,840, of which work: a replica of 4 GPUs holds 8
    req/s, so 6,083,333 / 28,800 x 4 x 2 = 1,689.81 and 4,150.19 idle."""
    document = compare(requests_per_day=200_000.0, input="1000", output="100", tp=4, **PLAIN)
    columns, lines = document.columns, lines_of(document)
    assert columns.api.usd_month.value == pytest.approx(0.0035 * 200_000 * DAYS)
    assert columns.open_model_api.usd_month.value == pytest.approx(0.0006 * 1.02 * 200_000 * DAYS)
    assert lines["gpu"] == pytest.approx(1689.81) or document.fleet.tp == 1
    assert lines["gpu"] + lines["idle"] + lines["spare"] == pytest.approx(5840.0)
    assert lines["people"] == pytest.approx(5000 + 540 * 52 / 12, abs=0.01)
    model, owning = document.gain_model_usd_month.value, document.gain_owning_usd_month.value
    assert model is not None and owning is not None and document.self_host.usd_month.value is not None
    assert model + owning == pytest.approx(0.0035 * 200_000 * DAYS - document.self_host.usd_month.value)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    day=st.integers(1, 20_000_000), spare=st.integers(0, 2), cloud=st.sampled_from([None, "aws", "owned"]),
    autoscale=st.booleans(),
)  # fmt: skip
def test_the_lines_add_up_to_the_cent_whatever_is_asked(day: int, spare: int, cloud: str | None, autoscale: bool):
    autoscale = autoscale and cloud != "owned"
    document = compare(requests_per_day=float(day), spare=spare, cloud=cloud, autoscale=autoscale)
    lines = lines_of(document)
    assert document.self_host.usd_month.value == round(sum(lines.values()), 2)
    assert document.columns.self_host.usd_month == document.self_host.usd_month
    assert min(lines.values()) >= 0
    assert (lines["power"] > 0) is (cloud == "owned")
    jsonschema.Draft202012Validator(breakeven_schema()).validate(json.loads(breakeven_to_json(document)))


def numbers_in(node: Any) -> list[dict[str, Any]]:
    """Every estimate in a document."""
    if isinstance(node, dict):
        own = [node] if {"value", "low", "high", "basis"} <= node.keys() else []
        return own + [found for child in node.values() for found in numbers_in(child)]
    return [found for child in node for found in numbers_in(child)] if isinstance(node, list) else []


def test_every_estimate_lies_within_its_range_and_says_where_it_comes_from():
    for settings in ({}, {"requests_per_day": 5e6, "growth": "15%/month", **PLAIN}, {"cloud": "owned"}):
        for found in numbers_in(json.loads(breakeven_to_json(compare(**settings)))):
            assert found["basis"] and found["unit"]
            if found["value"] is not None:
                assert (found["low"] if found["low"] is not None else -inf) <= found["value"]
                assert found["value"] <= (found["high"] if found["high"] is not None else inf)
            else:
                assert found["note"]


def test_the_same_seed_gives_the_same_bytes_and_another_one_other_ranges():
    first, again, other = (breakeven_to_json(compare(seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_without_a_volume_the_answer_is_a_volume():
    document = compare(open_price="5/10", gpu_price=1.0)
    assert document.traffic["volume_assumed"] and document.verdict == "depends on requests per day"
    day = document.break_even.requests_per_day.value
    assert day is not None
    above = compare(open_price="5/10", gpu_price=1.0, requests_per_day=20.0 * day)
    below = compare(open_price="5/10", gpu_price=1.0, requests_per_day=day / 20)
    assert (above.verdict, below.verdict) == ("self-host", "api")


def test_between_the_two_the_verdict_names_what_it_hangs_on():
    day = compare(open_price="5/10", gpu_price=1.0).break_even.requests_per_day.value
    document = compare(open_price="5/10", gpu_price=1.0, requests_per_day=day)
    assert document.verdict.startswith("depends on ")
    flipping = [row for row in document.sensitivity if row.flips]
    assert document.verdict == f"depends on {flipping[0].label}"
    swings = [row.swing_usd_month for row in document.sensitivity]
    assert swings == sorted(swings, reverse=True)


def test_where_tokens_are_cheap_no_volume_does_and_the_reason_is_given():
    document = compare(open_price="0.01/0.01")
    volume = document.break_even.requests_per_day
    assert (volume.value, volume.high, document.verdict) == (None, None, "api")
    assert "per GPU-hour there is such a volume" in volume.note or "a replica costs" in volume.note
    assert document.break_even.crossings == []


def test_the_price_curve_is_always_there_and_a_dearer_gpu_needs_more_volume():
    for settings in ({}, {"open_price": "5/10"}):
        rows = compare(**settings).price_curve
        volumes = [inf if row.requests_per_day is None else row.requests_per_day for row in rows]
        assert len(rows) > 10 and volumes == sorted(volumes)


def test_crossings_alternate_and_the_last_is_the_break_even():
    document = compare(open_price="1/2", gpu_price=3.0, cloud="aws", requests_per_day=1_000_000.0)
    found = document.break_even.crossings
    assert [row.cheaper_above for row in found[::2]] == ["self_host"] * len(found[::2])
    assert [row.cheaper_above for row in found[1::2]] == ["api"] * len(found[1::2])
    if document.break_even.requests_per_day.value is not None:
        assert found[-1].requests_per_day == pytest.approx(document.break_even.requests_per_day.value)


def test_of_equal_costs_the_layout_with_a_spare_replica_is_taken():
    document = compare(requests_per_day=100_000.0)
    assert (document.fleet.layout, document.fleet.spare) == ("4 x TP1", 1)
    assert [row.chosen for row in document.capacity.layouts].count(True) == 1
    refused = next(row for row in document.capacity.layouts if row.layout == "2 x TP2")
    assert not refused.fits and "needs 70 GiB" in refused.reason and refused.usd_month is None


def test_it_says_when_fewer_gpus_would_do_when_none_is_spare_and_when_more_are_needed():
    fewer = compare(requests_per_day=1000.0).warnings
    assert any("1 of 4 GPUs would do, 2 with a spare: $" in text for text in fewer)
    # 4 replicas of 1.5 req/s hold 6 req/s in the busiest hour; one of TP4 holds 8
    assert any("no spare" in text for text in compare(requests_per_day=350_000.0).warnings)
    more = compare(requests_per_day=2_000_000.0)
    assert any("the 4 GPUs given hold" in text for text in more.warnings)
    assert more.fleet.gpus > 4 and more.fleet.spare == 1


def test_eights_are_paid_for_and_said():
    document = compare(cloud="aws", requests_per_day=1000.0)
    assert document.fleet.gpus == 8 and any("instances of 8" in text for text in document.warnings)


def test_growth_brings_a_break_even_month_and_rows():
    flat = compare(open_price="2/4", gpu_price=1.0, requests_per_day=50_000.0)
    growing = compare(open_price="2/4", gpu_price=1.0, requests_per_day=50_000.0, growth="15%/month")
    assert flat.break_even.month.value is None and "no --growth" in flat.break_even.month.note and flat.growth == []
    month = growing.break_even.month.value
    assert month is not None and len(growing.growth) == 36
    if month <= 36:
        assert growing.growth[int(month) - 1].saved_usd_to_date >= 0 > growing.growth[int(month) - 2].saved_usd_to_date
    assert growing.growth[1].requests_per_day == pytest.approx(57_500)


@pytest.mark.parametrize(("text", "share"), [("15%/month", 0.15), ("0.15", 0.15), ("100%/year", 2 ** (1 / 12) - 1)])
def test_growth_is_read_as_people_write_it(text: str, share: float):
    rows = compare(growth=text, requests_per_day=1000.0).growth
    assert rows[1].requests_per_day == pytest.approx(1000 * (1 + share))


def test_a_hybrid_is_never_dearer_than_the_same_gpus_for_all():
    document = compare(open_price="5/10", gpu_price=1.0, requests_per_day=1_000_000.0)
    assert document.hybrid is not None and 0 < document.hybrid.self_hosted_share <= 1
    assert document.hybrid.usd_month <= document.columns.self_host.usd_month.value


def test_a_fleet_that_follows_the_hours_costs_less():
    standing = compare(requests_per_day=3_000_000.0, gpus="1xA100")
    following = compare(requests_per_day=3_000_000.0, gpus="1xA100", autoscale=True)
    assert following.self_host.lines.idle < standing.self_host.lines.idle
    assert following.fleet.follows_hours


def test_an_open_model_in_the_log_stands_for_itself():
    document = compare(api_model="groq/openai/gpt-oss-120b", open_price="0.1/0.5", requests_per_day=1000.0)
    assert document.columns.self_host.model == "openai/gpt-oss-120b"
    assert not any("stands in" in text for text in document.warnings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"growth": "fast"}, "--growth fast"), ({"growth": "-90%/month"}, "between"),
        ({"cloud": "aws", "term": "owned"}, "contradict"), ({"term": "reserved", "autoscale": True}, "contradict"),
        ({"open_price": "1/2", "seller": "groq"}, "contradict"),
    ],
)  # fmt: skip
def test_contradictions_are_wrong_usage(settings: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        compare(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"gpus": "4xA10O"}, "A10O"), ({"model": "llama-9"}, "llama-9"), ({"api_model": "gpt-4oo"}, "gpt-4oo")],
)
def test_unknown_names_are_errors_that_name_the_nearest(settings: dict[str, Any], message: str):
    with pytest.raises(CostplanError, match=message) as caught:
        compare(**settings)
    assert caught.value.hint


def test_a_plan_brings_its_traffic_its_cost_and_its_levers():
    plan = example_plan()
    document = compare(plan)
    month = plan.after.defensible.cost_usd_month.value
    assert document.columns.api.usd_month.value == pytest.approx(month)
    assert document.traffic["origin"] == "plan.json" and not document.traffic["volume_assumed"]
    served = plan.baseline.requests_month * plan.ingest.priced / plan.ingest.requests
    assert document.traffic["requests_per_day"]["value"] <= served / DAYS * (1 + 1e-9)


def test_a_log_of_an_hour_has_no_shape_of_its_own():
    """All of its calls lie in one hour of the day: 24 times the mean, were that a day."""
    plan, change = example_plan(), msgspec.structs.replace
    row = GroupRow(key="14", requests=100, cost_usd=1, share=1, input_tokens=1, output_tokens=1)
    plan = change(
        plan, unit_economics=change(plan.unit_economics, by_hour=[row], by_day=[change(row, key="2026-11-01")])
    )
    hour = change(plan.ingest, span=change(plan.ingest.span, days=1 / 24))
    assert compare(plan).traffic["hour_peak"] == pytest.approx(24)
    assert compare(change(plan, ingest=hour), requests_per_day=1000.0).traffic["hour_peak"] == 1.6


def test_arrivals_of_a_trace_go_before_the_hours_of_a_plan():
    """Two days in which one hour of each has ten times the requests of the others: 10 x 24 / 33 of the mean."""
    minutes = np.arange(2 * 24 * 60)
    busy = np.where(minutes // 60 % 24 == 14, 10, 1)
    arrivals = np.repeat(minutes * 60.0, busy * 10)
    arrivals = np.append(arrivals, 2 * 24 * 3600.0)
    traffic = with_arrivals(stated_traffic(BreakevenSettings()), arrivals)
    assert traffic.hour_peak.value == pytest.approx(240 / 33)
    assert traffic.burst.value == pytest.approx(1.0)
    short = with_arrivals(stated_traffic(BreakevenSettings()), arrivals[:1000])
    assert short.hour_peak.value == 1.6


def test_another_volume_scales_the_plan():
    plan = example_plan()
    day = compare(plan).traffic["requests_per_day"]["value"]
    double = compare(plan, requests_per_day=2 * day)
    assert double.columns.api.usd_month.value == pytest.approx(2 * plan.after.defensible.cost_usd_month.value)


def test_lengths_of_a_plan_are_the_plans():
    with pytest.raises(UsageError, match="contradict"):
        compare(example_plan(), input="1000")


def test_a_plan_without_a_month_needs_a_volume():
    with pytest.raises(CostplanError, match="no monthly volume") as caught:
        compare(no_month())
    assert "--requests-per-day" in caught.value.hint
    assert compare(no_month(), requests_per_day=1000.0).columns.api.usd_month.value
