"""The text of /metrics, written by hand as versions of vLLM write it, and any text that is none."""

from typing import Any

import pytest
from costplan.replay.metrics import Scrape, difference, mean_of, parse_metrics
from hypothesis import given
from hypothesis import strategies as st

NEW = """\
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 30.0
vllm:generation_tokens_total{engine="1",model_name="m"} 12.0
vllm:generation_tokens_created{engine="0",model_name="m"} 1.79e+09
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 3.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 1.0
vllm:iteration_tokens_total_bucket{engine="0",le="8.0",model_name="m"} 9.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 24.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 150.0
vllm:num_requests_running{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:cache_config_info{block_size="128",engine="0",name="a \\"b\\", c}",num_gpu_blocks="728"} 1.0
http_requests_total{handler="/metrics"} 4.0
"""
OLD = """\
vllm:generation_tokens{model_name="m"} 42
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
vllm:gpu_prefix_cache_hits_total{model_name="m"} 16
vllm:time_per_output_token_seconds_sum{model_name="m"} 1.5
vllm:time_per_output_token_seconds_count{model_name="m"} 3
"""


def test_engines_are_added_up_and_the_fullest_cache_counts():
    found = parse_metrics(NEW)
    assert found.counters == {
        "generation_tokens": 42, "request_success.stop": 3, "request_success.length": 1,
        "iteration_tokens_count": 24, "iteration_tokens_sum": 150,
    }  # fmt: skip
    assert found.gauges == {"running": 5, "kv_cache_usage": 0.75}
    assert found.info["cache_config_info"]["num_gpu_blocks"] == "728"


def test_old_names_are_taken_for_the_new_ones():
    found = parse_metrics(OLD)
    assert found.gauges == {"kv_cache_usage": 0.5}
    assert found.counters == {
        "generation_tokens": 42, "prefix_cache_hits": 16,
        "inter_token_latency_seconds_sum": 1.5, "inter_token_latency_seconds_count": 3,
    }  # fmt: skip


def test_a_difference_counts_from_zero_what_was_not_there_before():
    before = Scrape(counters={"prompt_tokens": 10, "iteration_tokens_sum": 6, "iteration_tokens_count": 2})
    after = Scrape(
        counters={
            "prompt_tokens": 25, "num_preemptions": 1, "iteration_tokens_sum": 18, "iteration_tokens_count": 5,
        }
    )  # fmt: skip
    gained = difference(before, after)
    assert gained == {
        "iteration_tokens_count": 3, "iteration_tokens_sum": 12, "num_preemptions": 1, "prompt_tokens": 15,
    }  # fmt: skip
    assert mean_of(gained, "iteration_tokens") == 4
    assert mean_of(gained, "time_to_first_token_seconds") is None


def test_a_counter_that_falls_means_that_the_server_was_started_anew():
    assert difference(Scrape(counters={"prompt_tokens": 10}), Scrape(counters={"prompt_tokens": 9})) is None


@pytest.mark.parametrize("text", ["", "<html>", "vllm:prompt_tokens_total", "vllm:prompt_tokens_total{ 5", "\0"])
def test_other_text_holds_nothing(text: str):
    assert parse_metrics(text) == Scrape()


@given(st.text() | st.lists(st.sampled_from([*NEW.splitlines(), *OLD.splitlines(), "vllm:x NaN"])).map("\n".join))
def test_any_text_can_be_read(text: str):
    found: Any = parse_metrics(text)
    assert all(isinstance(value, float) for value in [*found.counters.values(), *found.gauges.values()])
