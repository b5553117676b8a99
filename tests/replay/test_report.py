"""What a measurement looks like: one screen, one Markdown page, from a fixed document."""

import io
from collections.abc import Callable

import msgspec
from costplan.report.replay import measurement_markdown, render_measurement
from costplan.results import Assumption, Estimate
from costplan.results.measurement import (
    ClientFacts,
    Measurement,
    PredictedFigure,
    ServerFacts,
    SweepFacts,
    SweepPoint,
)
from costplan.results.serving import KvFacts, LengthFacts, RequestCounts, Spread, Verdict, WorkloadFacts
from rich.console import Console

Golden = Callable[[str, str], None]


def spread(scale: float) -> Spread:
    return Spread(mean=scale, p50=0.9 * scale, p90=1.4 * scale, p95=1.6 * scale, p99=2.0 * scale, max=2.4 * scale)


def usd(value: float, low: float, high: float) -> Estimate:
    note = "1 x A100 at 1.65 USD an hour (2026-11-23); interval by batch means of ten blocks of the steady window"
    return Estimate(value=value, low=low, high=high, level=0.95, unit="USD/Mtok", basis="measured", note=note)


def point(load: float, output_tok_s: float, ttft_s: float, met: bool, valid: bool = True) -> SweepPoint:
    return SweepPoint(
        load=load, unit="req_s", requests=200, failed=0, req_s=min(load, 6.1), output_tok_s=output_tok_s,
        ttft_p50_s=ttft_s / 2, ttft_p95_s=ttft_s, tpot_p50_s=0.011, tpot_p95_s=0.016, e2e_p95_s=3.0,
        goodput_share=0.99 if met else 0.4, goodput_req_s=load * (0.99 if met else 0.4), slo_met=met, valid=valid,
    )  # fmt: skip


SWEEP = SweepFacts(
    points=[point(2, 480, 0.12, True), point(4, 950, 0.3, True), point(8, 1400, 4.0, False)],
    knee=point(8, 1400, 4.0, False), best=point(4, 950, 0.3, True),
)  # fmt: skip
RUN = Measurement(
    workload=WorkloadFacts(
        kind="trace", text="300 requests over 120 s, 5 times as fast as recorded", source="log.jsonl", req_s=2.5,
        input_tokens=LengthFacts(mean=1240, p50=900, p95=3900, max=7000),
        output_tokens=LengthFacts(mean=236, p50=200, p95=540, max=900), shared_share=0.31,
    ),
    config=None, requests=RequestCounts(sent=299, completed=296, failed=3, unsent=1), duration_s=124.5, req_s=2.46,
    input_tok_s=3050.0, output_tok_s=580.0, ttft_s=spread(0.181), tpot_s=spread(0.0112), itl_s=spread(0.0111),
    e2e_s=spread(2.81), queue_s=Spread(mean=0.012), goodput_share=0.973, goodput_req_s=2.39,
    kv=KvFacts(peak_share=0.41, preemptions=2), prefix_hit_share=0.287,
    slo=[Verdict(target="ttft.p95<1s", value=0.29, limit=1.0, met=True),
        Verdict(target="goodput>0.99", value=0.973, limit=0.99, met=False)],
    inputs=[], from_send={"ttft_s": spread(0.180), "e2e_s": spread(2.80)},
    failures={"http_429": 3, "stopped": 1}, steady=(2.1, 118.3), prompts="synthetic", salt="3fa9c2d1",
    lengths_exact_share=1.0, output_exact_share=0.996, saturated=False, sustainable_req_s=None, token_chunk_ratio=1.0,
    client=ClientFacts(
        lateness_p50_s=0.0002, lateness_p99_s=0.0031, lateness_max_s=0.0114, loop_lag_p99_s=0.0012, cpu_share=0.07,
        processes=1, connections=38, opened_late=0, peak_in_flight=31, started_at="2026-11-23T12:00:00Z", wall_s=124.6,
        valid=True, reasons=[],
    ),
    server=ServerFacts(
        url="http://127.0.0.1:8000/v1", kind="vllm", version="0.32.0", model="meta-llama/Llama-3.1-8B-Instruct",
        block_size=16, kv_blocks=27_120, gpus=["NVIDIA A100-SXM4-80GB"], power_mean_w=291.0,
    ),
    environment={"client": "x86_64, 16 cores, Linux 6.1", "python": "3.12.4", "costplan": "0.1.0"},
    usd_per_mtok=usd(0.126, 0.121, 0.132), usd_per_mtok_input=usd(0.031, 0.03, 0.033),
    usd_per_mtok_output=usd(0.626, 0.6, 0.65),
    joule_per_mtok=Estimate(value=80_200, low=80_200, high=80_200, unit="J/Mtok", basis="measured"),
    predicted=[
        PredictedFigure(figure="output_tok_s", measured=580.0, predicted=566.0, error_share=-0.024),
        PredictedFigure(figure="ttft_s.p50", measured=0.163, predicted=0.171, error_share=0.049),
        PredictedFigure(figure="prefix_hit_share", measured=0.287, predicted=0.29, error_share=0.0105),
        PredictedFigure(figure="e2e_s.p95", measured=None, predicted=4.1, error_share=None),
    ],
    predicted_basis="simulated, step times estimated; stated errors ttft ±14%, tpot ±6%",
    sweep=SWEEP, assumptions=[Assumption(name="speed", value="5.0", origin="flag")],
    warnings=["Not replayed: 12 failed calls."],
)  # fmt: skip


def screen(run: Measurement) -> str:
    out = io.StringIO()
    render_measurement(run, Console(file=out, width=120, highlight=False), verbose=True)
    return out.getvalue()


def test_a_measurement_on_one_screen_and_on_a_page(golden: Golden):
    golden("replay/terminal.txt", screen(RUN))
    golden("replay/page.md", measurement_markdown(RUN))


def test_a_run_in_which_the_client_was_the_limit_says_so_before_anything_else():
    client = msgspec.structs.replace(RUN.client, valid=False, reasons=["requests left 80 ms late"])
    run = msgspec.structs.replace(RUN, client=client)
    assert (
        screen(run).splitlines()[0].startswith("INVALID     the client was the limit, not the server: requests left 80")
    )
    assert measurement_markdown(run).splitlines()[2].startswith("**INVALID**: the client was the limit")


def test_text_of_the_server_is_shown_and_never_obeyed():
    server = msgspec.structs.replace(RUN.server, model="[bold]x\x1b[31m|<b>", version="\x1b]0;t\x07")
    run = msgspec.structs.replace(RUN, server=server, failures={"[red]x": 1})
    assert "\x1b" not in screen(run) and "[bold]x" in screen(run) and "[red]x" in screen(run)
    page = measurement_markdown(run)
    assert "\x1b" not in page and "<b>" not in page


def test_without_a_price_a_sweep_or_a_prediction_nothing_is_made_up():
    empty = Spread()
    run = msgspec.structs.replace(
        RUN, usd_per_mtok=None, joule_per_mtok=None, sweep=None, predicted=[], slo=[], steady=None,
        prefix_hit_share=None,
        kv=KvFacts(peak_share=None, preemptions=None), goodput_share=None, ttft_s=empty, tpot_s=empty, itl_s=empty,
        e2e_s=empty, from_send={}, queue_s=empty,
    )  # fmt: skip
    shown = screen(run)
    for name in ("Cost", "Energy", "Knee", "Predicted", "SLO", "Use", "Goodput", "Queue", "None"):
        assert name not in shown
    assert "whole run" in shown
