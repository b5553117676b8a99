"""Exports whose rows stand for many calls are told from logs of calls, and read under the trace's token rules."""

from pathlib import Path

import pytest
from costplan.ingest.aggregated import EXPORTS, Period, export_of, periods_of
from costplan.ingest.detect import dialect_of, sample_of
from costplan.ingest.source import open_source
from costplan.trace import BadRecord, NotACall
from hypothesis import given
from hypothesis import strategies as st
from tests.ingest.logs import TRACES
from tests.ingest.test_exports_hostile import values

OF_FILE = {
    "openai_usage.json": "openai_usage", "openai_costs.json": "openai_costs", "focus.csv": "focus",
    "anthropic_usage_report.json": "anthropic_usage", "anthropic_cost_report.json": "anthropic_costs",
    "daily.csv": "daily",
}  # fmt: skip
SAMPLES = sorted(p for p in TRACES.iterdir() if p.suffix in (".jsonl", ".csv", ".json", ".gz"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_a_log_or_the_export_it_is(path: Path):
    sample = sample_of(open_source(str(path)))
    assert export_of(sample) == OF_FILE.get(path.name, "")
    if path.name in OF_FILE and path.name != "daily.csv":
        assert not any(dialect_of(record) for record in sample)


def only(name: str, row: dict[str, object]) -> Period | NotACall | BadRecord:
    (found,) = periods_of(name, row)
    return found


def test_a_day_of_single_calls_is_no_daily_table():
    call = {"date": "2026-11-01", "model": "gpt-4o", "input_tokens": "5", "output_tokens": "5"}
    assert export_of([call, call]) == "" and export_of([call, call | {"date": "2026-11-02"}]) == "daily"
    timed = call | {"date": "2026-11-01T10:00:00"}
    assert export_of([timed]) == "" and export_of([timed | {"requests": "7"}]) == "daily"
    assert export_of([call | {"request_id": "a", "requests": "1"}]) == ""


def test_pages_flattened_to_a_table_keep_their_names():
    row = {"start_time": "1793491200", "end_time": "1793577600", "model": "gpt-4o", "num_model_requests": "3",
           "input_tokens": "90", "input_cached_tokens": "40", "output_tokens": "7", "batch": "True"}  # fmt: skip
    assert export_of([dict(row)]) == "openai_usage"
    assert only("openai_usage", dict(row)) == Period(
        start_us=1793491200_000000, end_us=1793577600_000000, provider="openai", model="gpt-4o", tier="batch",
        requests=3, input_tokens=90, cache_read_tokens=40, output_tokens=7,
    )  # fmt: skip
    flat = {"starting_at": "2026-11-01T00:00:00Z", "ending_at": "", "uncached_input_tokens": "10",
            "cache_creation.ephemeral_5m_input_tokens": "2", "cache_creation.ephemeral_1h_input_tokens": "3",
            "cache_read_input_tokens": "4", "output_tokens": "5", "context_window": "200k-1M"}  # fmt: skip
    found = only("anthropic_usage", dict(flat))
    assert isinstance(found, Period)
    assert (found.input_tokens, found.cache_write_tokens, found.cache_write_1h_tokens) == (19, 5, 3)
    assert found.prompt_tokens == 200_001


def test_what_a_row_may_not_say_is_a_reason():
    openai = {"start_time": 1793491200, "num_model_requests": 1, "input_tokens": 5, "output_tokens": 1}
    reasons = [
        only("openai_usage", openai | {"input_cached_tokens": 6}),
        only("openai_usage", openai | {"start_time": None}),
        only("openai_costs", {"start_time": 1793491200, "amount": {"value": 3, "currency": "eur"}}),
        only("anthropic_costs", {"starting_at": "2026-11-01", "amount": "much", "currency": "USD"}),
    ]
    assert [r.reason for r in reasons if isinstance(r, BadRecord)] == [
        "cached_tokens_exceed_input", "no_date", "not_in_usd", "bad_number",
    ]  # fmt: skip
    audio = only("openai_usage", openai | {"input_audio_tokens": 2})
    assert isinstance(audio, Period) and audio.unpriceable


_WORDS = """start_time starting_at data results amount currency line_item num_model_requests input_tokens output_tokens
    input_cached_tokens uncached_input_tokens cache_creation BilledCost EffectiveCost ChargePeriodStart BillingCurrency
    date requests cost object batch service_tier"""
FIELDS = tuple(_WORDS.split())


@given(st.sampled_from(EXPORTS), st.dictionaries(st.sampled_from(FIELDS), values, max_size=8))
def test_whatever_a_row_holds_it_is_read_or_refused(name: str, row: dict[str, object]):
    export_of([row])
    assert all(isinstance(found, Period | NotACall | BadRecord) for found in periods_of(name, row))
