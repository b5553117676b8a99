"""How simulations and capacity plans read: a golden for each and format, from documents made by hand."""

import io
from collections.abc import Callable

import msgspec
import pytest
from costplan.report.numbers import seconds
from costplan.report.serving import capacity_markdown, rate, render_capacity, render_simulation, verdict_rows
from costplan.report.serving import simulation_markdown as markdown
from costplan.results import Assumption, Estimate, Input
from costplan.results.serving import (
    Capacity,
    FleetHour,
    FleetOption,
    KvFacts,
    LengthFacts,
    NaiveFleet,
    RequestCounts,
    ServingConfig,
    Simulation,
    Spread,
    TraceFacts,
    Verdict,
    WorkloadFacts,
)
from rich.console import Console

Golden = Callable[[str, str], None]
LENGTHS = LengthFacts(mean=547, p50=500, p95=1500, max=4000)
LOAD = WorkloadFacts(
    kind="rate", text="5 req/s, without end (Poisson)", req_s=5.0, cv=1.0, input_tokens=LENGTHS, output_tokens=LENGTHS,
    shared_share=0.3, seed=0,
)  # fmt: skip
CONFIG = ServingConfig(
    model="meta-llama/Llama-3.1-8B-Instruct", gpu="A100", gpus=4, tp=2, replicas=2, precision="bf16", kv_dtype="fp8",
    engine="vllm 0.15.1", engine_asked="vllm@0.15.1", max_num_seqs=256, max_num_batched_tokens=2048, block_size=16,
    kv_blocks=10_000, kv_tokens=160_000, weights_bytes_gpu=8 << 30, kv_bytes_gpu=60 << 30, memory_bytes_gpu=79 << 30,
    draft_tokens=3, acceptance=0.7, step_time="estimated",
)  # fmt: skip
TIMES = Spread(mean=0.25, p50=0.2, p90=0.4, p95=0.5, p99=0.99996, max=12.5)
RUN = Simulation(
    workload=LOAD, config=CONFIG, requests=RequestCounts(sent=3000, completed=2990, failed=10, unsent=0),
    duration_s=600.0, req_s=4.98, input_tok_s=2724.0, output_tok_s=1235.0, ttft_s=TIMES, tpot_s=TIMES, itl_s=TIMES,
    e2e_s=TIMES, queue_s=Spread(mean=0.0, p50=0.0, p90=0.0, p95=0.0, p99=0.00042, max=0.001), goodput_share=0.97,
    goodput_req_s=4.83, kv=KvFacts(peak_share=0.42, preemptions=1), prefix_hit_share=0.29,
    slo=[Verdict(target="ttft.p95<1s", value=0.5, limit=1.0, met=True),
        Verdict(target="goodput>0.99", value=0.97, limit=0.99, met=False)],
    saturated=False, sustainable_req_s=None, busy_share=0.93, replica_hours=0.33, mean_batch_tokens=64.0,
    basis="simulated", error_band={"e2e": 0.08, "itl": 0.07, "throughput": 0.1, "ttft": 0.15},
    error_source="published runs", assumptions=[Assumption(name="engine", value="vllm 0.15.1", origin="flag")],
    warnings=["10 requests are longer than a replica takes: a server would refuse them."],
)  # fmt: skip
OPTION = FleetOption(
    gpu="A100", precision="bf16", tp=2, replicas=2, spare=1, gpus=6, usd_hour=9.9,
    usd_month=Estimate(value=7227, low=5000, high=12000, unit="usd/month", basis="simulated"), ttft_p95_s=0.31,
    tpot_p95_s=0.021, e2e_p95_s=5.4, headroom_share=0.18, busy_share=0.99, utilisation=0.85, binding="bandwidth",
    binding_target="tpot.p95<50ms", pareto=True, step_time="estimated", error_band={},
)  # fmt: skip
DEARER = msgspec.structs.replace(OPTION, gpu="H100", headroom_share=7.0, e2e_p95_s=2.0, spare=0)
HOURS = [
    FleetHour(
        start=f"2026-11-02T{hour:02d}:00", requests=100 * hour, req_s=hour / 36, input_tokens=5000, output_tokens=900,
        replicas=2, utilisation=0.1 * hour, ttft_p95_s=0.2, e2e_p95_s=3.0, met=True, checked="simulated",
    )
    for hour in (7, 8)
]  # fmt: skip
PLAN = Capacity(
    inputs=[Input(path="log.jsonl", format="pairs", lines=2, bytes=2, sha256="00")],
    trace=TraceFacts(
        workload=LOAD, hours=2, span_s=7000.0, peak_hour="2026-11-02T08:00", peak_req_s=0.22, left_out={},
        out_of_order=0,
    ),
    model=CONFIG.model, engine="vllm 0.15.1", slo="ttft.p95<1s,tpot.p95<50ms", options=[OPTION, DEARER], best=OPTION,
    usd_per_mtok=Estimate(value=0.42, low=0.3, high=0.7, unit="usd/mtok", basis="simulated", note="GPU hours only"),
    autoscaled_usd_month=Estimate(value=5000, low=4000, high=9000, unit="usd/month", basis="simulated", note="1 to 2"),
    hours=HOURS,
    naive=NaiveFleet(batch=8, req_s_replica=0.7, replicas=9, gpus=20, usd_month=24090.0, note="fixed batches of 8"),
    searched=12, simulated=2, pruned={"the weights leave no room": 10},
    pruned_examples={"the weights leave no room": "TP1 T4 bf16"}, error_source="published runs",
    warnings=["5 requests stood behind a later one in the trace; they have been sorted."],
)  # fmt: skip


def screen(show: Callable[[Console], None], width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show(console)
    return str(getattr(console.file, "getvalue")())  # noqa: B009


def test_a_simulation_reads_as_reviewed(golden: Golden) -> None:
    golden("simulate/terminal.txt", screen(lambda console: render_simulation(RUN, console, verbose=True)))
    golden("simulate/report.md", markdown(RUN))


def test_a_saturated_rate_reads_as_reviewed(golden: Golden) -> None:
    none = Spread()
    run = msgspec.structs.replace(
        RUN, ttft_s=none, tpot_s=none, itl_s=none, e2e_s=none, queue_s=none, saturated=True, sustainable_req_s=4.1,
        goodput_share=None, goodput_req_s=None, warnings=[],
        slo=[Verdict(target="ttft.p95<1s", value=None, limit=1.0, met=False)],
    )  # fmt: skip
    golden("simulate/saturated.txt", screen(lambda console: render_simulation(run, console)))


def test_a_limit_missed_by_less_than_is_shown_does_not_look_met() -> None:
    late = Verdict(target="ttft.p95<1s", value=1.0001, limit=1.0, met=False)
    few = Verdict(target="goodput>0.99", value=0.98999, limit=0.99, met=False)
    run = msgspec.structs.replace(RUN, slo=[late, few])
    assert verdict_rows(run) == [
        ("ttft.p95<1s", "1.00 s, just over", "missed"), ("goodput>0.99", "99.0%, just under", "missed"),
    ]  # fmt: skip


def test_a_capacity_plan_reads_as_reviewed(golden: Golden) -> None:
    golden("capacity/terminal.txt", screen(lambda console: render_capacity(PLAN, console)))
    golden("capacity/report.md", capacity_markdown(PLAN))


def test_a_plan_without_a_fleet_reads_as_reviewed(golden: Golden) -> None:
    plan = msgspec.structs.replace(
        PLAN, options=[], best=None, usd_per_mtok=None, autoscaled_usd_month=None, hours=[], naive=None
    )
    golden("capacity/none.txt", screen(lambda console: render_capacity(plan, console)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (0.00042, "0.42 ms"), (0.0231, "23.1 ms"), (0.99996, "1.00 s"), (83, "83.0 s")],
)  # fmt: skip
def test_times_have_three_digits_and_the_unit_that_fits(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.512, "0.512"), (9.812, "9.81"), (12.34, "12.3"), (1250.4, "1,250")])
def test_rates_have_three_digits(value: float, text: str) -> None:
    assert rate(value) == text
