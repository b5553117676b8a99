"""What a replica sustains, and the layouts of a number of GPUs."""

from dataclasses import replace

import numpy as np
import pytest
from costplan.capacity.layout import Tuning, error_bands, layouts, parse_speculative
from costplan.capacity.sustained import cached_share, sustained
from costplan.errors import CostplanError, UsageError
from costplan.profiles.engines import find_engine
from costplan.profiles.gpus import find_gpu
from costplan.profiles.models import find_model
from costplan.serving.arrivals import parse_lengths
from costplan.serving.slo import parse_slo
from costplan.serving.workload import Workload
from tests.capacity.small import layout

LENGTHS = (parse_lengths("50", "--input"), parse_lengths("100", "--output"))


def test_a_constant_step_sustains_its_seats() -> None:
    """8 seats x 1 / (100 steps x 10 ms) = 8 requests/s; the queue takes its share, so a little less."""
    found = sustained(layout(), LENGTHS, parse_slo("tpot.p95<20ms"))
    assert 6.4 < found.req_s <= 8.0
    assert (found.binding, found.basis) == ("queue", "simulated")
    assert found.tpot_p95_s == pytest.approx(0.01, rel=0.05)


def test_a_tighter_limit_never_allows_more() -> None:
    rates = [
        sustained(layout(seqs=64, token_s=50e-6), LENGTHS, parse_slo(f"tpot.p95<{limit}ms")).req_s
        for limit in (11, 12, 14, 18, 30)
    ]
    assert rates == sorted(rates) and rates[0] < rates[-1]


def test_the_limit_that_breaks_first_is_named() -> None:
    found = sustained(layout(seqs=64, token_s=50e-6), LENGTHS, parse_slo("ttft.p95<10s,tpot.p95<12ms"))
    assert found.target == "tpot.p95<12ms"


def test_what_one_request_alone_misses_is_sustained_at_no_rate() -> None:
    found = sustained(layout(), LENGTHS, parse_slo("tpot.p95<5ms"))
    assert (found.req_s, found.ttft_p95_s, found.tpot_p95_s) == (0.0, None, None)


def test_the_answer_is_the_same_every_time_and_seeds_differ_by_the_noise_of_a_p95() -> None:
    slo = parse_slo("ttft.p95<300ms,tpot.p95<20ms")
    one, again, other = (sustained(layout(), LENGTHS, slo, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert other.req_s == pytest.approx(one.req_s, rel=0.3)


def test_the_latencies_are_those_at_the_rate_it_names() -> None:
    found = sustained(layout(), LENGTHS, parse_slo("ttft.p95<300ms,tpot.p95<20ms"))
    assert found.ttft_p95_s is not None and found.ttft_p95_s <= 0.3


def test_requests_of_a_trace_can_be_given_instead_of_lengths() -> None:
    n = 2000
    traffic = Workload(
        arrival_s=np.zeros(n), input_tokens=np.full(n, 50, np.int32), output_tokens=np.full(n, 100, np.int32),
        shared_offsets=np.zeros(n + 1, np.int64), shared_ids=np.zeros(0, np.int32),
    )  # fmt: skip
    slo = parse_slo("tpot.p95<20ms")
    assert sustained(layout(), traffic, slo).req_s == pytest.approx(sustained(layout(), LENGTHS, slo).req_s, rel=0.15)


def test_a_prefix_held_once_is_counted_from_the_second_request_on() -> None:
    """Three prompts of 40 tokens that share two blocks of 16: 2 x 32 of 120 tokens."""
    traffic = Workload(
        arrival_s=np.zeros(3), input_tokens=np.full(3, 40, np.int32), output_tokens=np.full(3, 9, np.int32),
        shared_offsets=np.array([0, 2, 4, 6]), shared_ids=np.array([0, 1] * 3, np.int32),
    )  # fmt: skip
    assert cached_share(traffic) == pytest.approx(64 / 120)
    # one token is always computed: a prompt of exactly two blocks finds one
    assert cached_share(replace(traffic, input_tokens=np.full(3, 32, np.int32))) == pytest.approx(32 / 96)


def test_four_gpus_are_cut_into_every_equal_share() -> None:
    found, refused = layouts(4, find_gpu("A100"), find_model("llama-3.1-8b"), "bf16", find_engine("vllm"))
    assert [(each.replicas, each.gpus_per_replica) for each in found] == [(1, 4), (2, 2), (4, 1)]
    assert refused == {}


def test_what_does_not_fit_is_refused_with_its_reason() -> None:
    found, refused = layouts(3, find_gpu("A100"), find_model("llama-3.3-70b"), "bf16", find_engine("vllm"))
    assert found == []
    assert "heads" in refused["1 x TP3"] and "GiB" in refused["3 x TP1"]


def test_speculation_is_a_count_and_a_share() -> None:
    assert parse_speculative("3,0.7") == (3, 0.7)
    for text in ("3", "0,0.5", "3,1.5", "x,y", "3,0.5,1"):
        with pytest.raises(UsageError):
            parse_speculative(text)


def test_drafts_make_a_step_longer_and_seats_fewer_where_the_budget_is_short() -> None:
    model, gpu, engine = find_model("llama-3.1-8b"), find_gpu("A100"), find_engine("vllm@0.15.1")
    tuning = Tuning(draft_tokens=3, acceptance=0.7, max_num_batched_tokens=512)
    plain, drafted = (layouts(1, gpu, model, "bf16", engine, each)[0][0] for each in (
        Tuning(max_num_batched_tokens=512), tuning
    ))  # fmt: skip
    assert (drafted.step.base_s[1:] > plain.step.base_s[1:]).all()
    assert drafted.config.max_num_seqs == 512 // 4


def test_error_bands_are_shares_by_figure() -> None:
    assert all(0 < share < 1 for share in error_bands(find_engine("vllm")).values())


def test_an_unknown_precision_is_an_error() -> None:
    _, refused = layouts(1, find_gpu("A100"), find_model("llama-3.1-8b"), "fp3", find_engine("vllm"))
    assert "unknown precision" in refused["1 x TP1"]
    assert issubclass(UsageError, CostplanError)
