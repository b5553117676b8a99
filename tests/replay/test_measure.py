"""Figures of a run, from request lines whose figures can be computed by hand."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from costplan.replay.measure import batch_means, block_rates, figures, read_records
from costplan.replay.money import hourly_usd, per_mtok
from costplan.results.measurement import RequestRecord, ServerFacts
from costplan.serving.slo import Slo, parse_slo

SERVER = ServerFacts(url="http://127.0.0.1/v1", kind="vllm", model="m")


def request(index: int, due_s: float, *, sent_after_s: float = 0.0, ttft_s: float = 0.1, gap_s: float = 0.02,
            tokens: int = 11, prompt: int = 100, **more: Any) -> RequestRecord:  # fmt: skip
    """Due, sent a little later, its first token `ttft_s` after it was due, then one every `gap_s`."""
    first = due_s + ttft_s
    last = first + gap_s * (tokens - 1)
    fields: dict[str, Any] = {
        "index": index, "state": "completed", "due_s": due_s, "dispatched_s": due_s + sent_after_s,
        "sent_s": due_s + sent_after_s, "first_byte_s": first, "first_token_s": first, "last_token_s": last,
        "done_s": last, "gaps_s": [gap_s] * (tokens - 1), "input_tokens": prompt, "output_tokens": tokens,
        "asked_input_tokens": prompt, "asked_output_tokens": tokens, "finish_reason": "length",
    }  # fmt: skip
    return RequestRecord(**fields | more)


def failed(index: int, due_s: float, reason: str) -> RequestRecord:
    return RequestRecord(
        index=index, state="failed", reason=reason, due_s=due_s, dispatched_s=due_s, sent_s=due_s, done_s=due_s + 0.01
    )


def written(folder: Path, rows: list[RequestRecord]) -> Path:
    path = folder / "requests.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return path


def test_latency_counts_from_the_intended_time_and_from_send_beside_it(tmp_path: Path):
    rows = [request(0, 0.0), request(1, 1.0, sent_after_s=0.3, ttft_s=0.5)]
    found = figures(read_records(written(tmp_path, rows)), Slo(), SERVER)
    assert found.ttft_s.mean == pytest.approx(0.3) and found.ttft_s.max == pytest.approx(0.5)
    assert found.from_send["ttft_s"].max == pytest.approx(0.2)
    assert found.e2e_s.max == pytest.approx(0.7) and found.from_send["e2e_s"].max == pytest.approx(0.4)
    assert found.tpot_s.mean == pytest.approx(0.02) and found.itl_s.p50 == pytest.approx(0.02)


def test_tokens_are_the_server_s_not_the_chunks(tmp_path: Path):
    # 21 tokens in 11 chunks: gaps between chunks are 20 ms, a token takes 10
    row = request(0, 0.0, output_tokens=21)
    found = figures(read_records(written(tmp_path, [row])), Slo(), SERVER)
    assert found.tpot_s.mean == pytest.approx(0.01) and found.itl_s.mean == pytest.approx(0.02)
    assert found.token_chunk_ratio == pytest.approx(21 / 11)
    silent = request(0, 0.0, output_tokens=None)
    assert figures(read_records(written(tmp_path, [silent])), Slo(), SERVER).tpot_s.mean == pytest.approx(0.02)


def test_an_answer_of_one_token_has_no_time_per_token(tmp_path: Path):
    found = figures(read_records(written(tmp_path, [request(0, 0.0, tokens=1)])), Slo(), SERVER)
    assert found.tpot_s.mean is None and found.e2e_s.mean == pytest.approx(0.1)


def test_failed_and_unsent_requests_are_counted_by_reason_and_count_against_goodput(tmp_path: Path):
    rows = [
        request(0, 0.0), request(1, 0.1), request(2, 0.2, ttft_s=2.0), failed(3, 0.3, "http_429"),
        failed(4, 0.4, "http_429"), RequestRecord(index=5, state="unsent", reason="stopped", due_s=0.5),
    ]  # fmt: skip
    found = figures(read_records(written(tmp_path, rows)), parse_slo("ttft.p95<1s,goodput>0.9"), SERVER)
    counts = found.requests
    assert (counts.sent, counts.completed, counts.failed, counts.unsent) == (5, 3, 2, 1)
    assert found.failures == {"http_429": 2, "stopped": 1}
    assert found.goodput_share == pytest.approx(2 / 5)
    assert found.value("goodput", "") == found.goodput_share


def test_a_line_that_a_killed_run_left_unfinished_is_passed_over(tmp_path: Path):
    path = written(tmp_path, [request(0, 0.0), request(1, 1.0)])
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_records(path).index) == 1


def closed_loop(count: int, in_flight: int, e2e_s: float) -> list[RequestRecord]:
    """One after the other in each of `in_flight` slots, all slots in step but for a millisecond."""
    slots = [0.001 * slot for slot in range(in_flight)]
    rows: list[RequestRecord] = []
    for index in range(count):
        slot = index % in_flight
        rows.append(request(index, slots[slot], ttft_s=e2e_s - 0.2, gap_s=0.02))
        slots[slot] += e2e_s
    return rows


def test_rates_are_of_the_steady_window_and_leave_the_drain_out(tmp_path: Path):
    # 8 in flight of 1 s each, 11 tokens: 8 req/s; then one straggler alone for 30 s
    rows = closed_loop(160, 8, 1.0)
    rows.append(request(160, 20.0, ttft_s=30.0, gap_s=0.02))
    found = figures(read_records(written(tmp_path, rows)), Slo(), SERVER, open_loop=False)
    assert found.steady is not None and found.steady[1] == pytest.approx(20.0)
    assert found.duration_s == pytest.approx(50.2)
    assert found.req_s == pytest.approx(8.0, rel=0.05)
    assert found.output_tok_s == pytest.approx(88, rel=0.05) and found.input_tok_s == pytest.approx(800, rel=0.05)
    assert not found.saturated


def test_a_run_too_short_to_have_a_steady_part_is_taken_whole(tmp_path: Path):
    found = figures(read_records(written(tmp_path, closed_loop(8, 8, 1.0))), Slo(), SERVER)
    assert found.steady is None and found.req_s == pytest.approx(8 / found.duration_s)


def test_what_warms_up_counts_for_no_latency(tmp_path: Path):
    rows = [request(0, 0.0, ttft_s=9.0), request(1, 10.0), request(2, 11.0)]
    records = read_records(written(tmp_path, rows))
    found = figures(records, Slo(), SERVER, warm_up=records.index < 1)
    assert found.ttft_s.max == pytest.approx(0.1) and found.requests.completed == 3


def test_an_overloaded_open_loop_is_called_so_with_the_rate_it_sustained(tmp_path: Path):
    # 4 a second come, one a second is begun and done
    rows = [request(k, k / 4, ttft_s=k * 0.75 + 0.8, gap_s=0.02) for k in range(200)]
    found = figures(read_records(written(tmp_path, rows)), Slo(), SERVER)
    assert found.saturated and found.sustainable_req_s == pytest.approx(1.0, rel=0.05)


def test_prefix_hits_are_the_server_s_counters_else_what_it_said_of_each_request(tmp_path: Path):
    rows = [request(0, 0.0, cached_tokens=0), request(1, 1.0, cached_tokens=50)]
    records = read_records(written(tmp_path, rows))
    counters = {"prefix_cache_hits": 30.0, "prefix_cache_queries": 40.0, "num_preemptions": 2.0}
    counters |= {"request_queue_time_seconds_sum": 3.0, "request_queue_time_seconds_count": 6.0}
    told = msgspec.structs.replace(SERVER, counters=counters, peaks={"kv_cache_usage": 0.5})
    found = figures(records, Slo(), told)
    assert (found.prefix_hit_share, found.kv.preemptions, found.kv.peak_share) == (0.75, 2, 0.5)
    assert found.queue_s.mean == 0.5
    assert figures(records, Slo(), SERVER).prefix_hit_share == 0.25


def test_lengths_are_checked_against_the_trace(tmp_path: Path):
    rows = [request(0, 0.0), request(1, 1.0, asked_input_tokens=99), request(2, 2.0, asked_output_tokens=12)]
    found = figures(read_records(written(tmp_path, rows)), Slo(), SERVER)
    assert found.lengths_exact_share == pytest.approx(2 / 3) and found.output_exact_share == pytest.approx(2 / 3)


def test_a_million_tokens_cost_the_price_of_the_time_they_take(tmp_path: Path):
    rows = closed_loop(400, 8, 1.0)
    records = read_records(written(tmp_path, rows))
    found = figures(records, Slo(), SERVER, open_loop=False)
    cost = per_mtok(records, found, SERVER, (3.6, "a test"))
    # 888 tokens a second at $3.60 an hour = $0.001 a second: 1e6 / 888 s = 1126 s = $1.126
    dear = cost["usd_per_mtok"]
    assert dear is not None and dear.value == pytest.approx(0.001 * 1e6 / 888, rel=0.05)
    assert dear.low is not None and dear.high is not None and dear.low <= dear.value <= dear.high
    assert dear.high - dear.low < 0.2 * dear.value and cost["usd_per_mtok_input"] is None


def test_input_and_output_share_the_price_as_prefill_and_decoding_share_the_time(tmp_path: Path):
    records = read_records(written(tmp_path, closed_loop(400, 8, 1.0)))
    counters = {"request_prefill_time_seconds_sum": 10.0, "request_decode_time_seconds_sum": 30.0}
    told = msgspec.structs.replace(SERVER, counters=counters, energy_j=4440.0)
    found = figures(records, Slo(), told, open_loop=False)
    cost = per_mtok(records, found, told, (3.6, "a test"))
    both, prompts, answers = (cost[f"usd_per_mtok{part}"] for part in ("", "_input", "_output"))
    assert both and prompts and answers and both.value and prompts.value and answers.value
    paid = prompts.value * found.input_tok_s + answers.value * found.output_tok_s
    assert paid == pytest.approx(both.value * (found.input_tok_s + found.output_tok_s))
    assert prompts.value * found.input_tok_s == pytest.approx(paid / 4)
    joule = cost["joule_per_mtok"]  # 400 x 111 tokens
    assert joule is not None and joule.value == pytest.approx(4440 / 44_400 * 1e6)


def test_without_a_price_there_is_no_cost_and_a_known_gpu_has_one(tmp_path: Path):
    records = read_records(written(tmp_path, [request(0, 0.0)]))
    assert set(per_mtok(records, figures(records, Slo(), SERVER), SERVER, None).values()) == {None}
    assert hourly_usd("2xA100", 3.0) == (6.0, "2 GPUs at 3 USD an hour") and hourly_usd(None, 3.0) == (
        3.0, "3 USD an hour",
    )  # fmt: skip
    known = hourly_usd("2xA100", None)
    assert known is not None and known[0] == pytest.approx(3.30)


def test_batch_means_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = [low <= 5.0 <= high for _, low, high in (batch_means(rng.normal(5, 1, 10)) for _ in range(2000))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_blocks_add_up_to_all_tokens(tmp_path: Path):
    rows = [*closed_loop(50, 4, 1.0), failed(50, 3.0, "http_500")]
    records = read_records(written(tmp_path, rows))
    span = float(records.times["done_s"].max())
    assert block_rates(records, None).sum() * span / 10 == pytest.approx(50 * 111)
