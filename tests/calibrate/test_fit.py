"""A server of known speed is measured with noise at two loads; what is fitted must predict it at two others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costplan.calibrate import About, fit_profile
from costplan.calibrate.runs import read_run
from costplan.errors import CostplanError
from costplan.profiles.models import find_model
from costplan.serving.measured import measured_step
from costplan.serving.outcome import Outcome
from costplan.serving.simulator import simulate
from costplan.serving.step_time import StepTime
from costplan.serving.workload import Workload
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.calibrate.made_up import CONFIG, FAST, LIKE_A_CPU, SLOW, document, workload, write_run

MIXED: tuple[Any, Any] = ((32, 512), (32, 64))


def figures(run: Outcome, load: Workload) -> Any:
    """(tokens a second, median TPOT)."""
    tpot = (run.done_s - run.first_token_s) / (load.output_tokens - 1)
    return np.array([load.output_tokens.sum() / run.done_s.max(), np.median(tpot)])


@pytest.mark.parametrize(
    ("truth", "lengths", "within", "seed"),
    [
        (FAST, MIXED, 0.05, 1), (FAST, (256, 48), 0.05, 2), (FAST, ((300, 1500), (100, 200)), 0.05, 3),
        (SLOW, MIXED, 0.05, 4), (SLOW, (256, 48), 0.05, 5), (SLOW, ((300, 1500), (32, 64)), 0.05, 6),
        # twelve ms for each of the first tokens and three for the later ones: lines can only come near such a bend
        (LIKE_A_CPU, MIXED, 0.10, 7),
    ],
    ids=["fast-mixed", "fast-equal", "fast-long", "slow-mixed", "slow-equal", "slow-prompts", "bent"],
)  # fmt: skip
def test_runs_at_1_and_16_in_flight_predict_those_at_4_and_32(
    tmp_path: Path, truth: StepTime, lengths: tuple[Any, Any], within: float, seed: int
):
    folders = [write_run(tmp_path / f"at-{n}", truth, workload(60, n, *lengths, seed=seed), seed=seed) for n in (1, 16)]
    found = fit_profile(folders)
    step = measured_step(found, find_model(found.model), CONFIG.max_num_batched_tokens)
    for concurrency in (4, 32):
        load = workload(96, concurrency, *lengths, seed=seed + 10)
        measured, predicted = (figures(simulate(CONFIG, each, load), load) for each in (truth, step))
        assert predicted == pytest.approx(measured, rel=within)
    assert max(found.error["tpot"], found.error["throughput"]) < 0.06


@settings(max_examples=8, deadline=None)
@given(
    base=st.floats(1e-3, 0.2), slope=st.floats(1e-6, 1e-2), request=st.floats(0.0, 0.02), seed=st.integers(0, 99),
    loads=st.sampled_from([(1, 8), (4,), (2, 16), (1,)]),
)  # fmt: skip
def test_whatever_was_measured_no_step_takes_less_for_more_and_ranges_hold_their_values(
    tmp_path_factory: pytest.TempPathFactory, base: float, slope: float, request: float, seed: int,
    loads: tuple[int, ...],
):  # fmt: skip
    truth = StepTime(
        base_s=base + slope * np.arange(2049.0), pair_s=0.0, context_token_s=1e-7, request_s=request, frontend_s=0.01
    )
    folder = tmp_path_factory.mktemp("runs")
    runs = [write_run(folder / str(n), truth, workload(16, n, (20, 200), (4, 30), seed=seed), noise=0.1) for n in loads]
    found = fit_profile(runs)
    step = measured_step(found, find_model(found.model), 4096)
    assert np.all(np.diff(step.base_s) >= 0) and step.base_s[1] > 0
    every = [*found.coefficients.values(), *(value for _, value in found.base_s)]
    assert all(0 <= each.low <= each.value <= each.high for each in every)
    assert all(0 <= share < 10 for share in (*found.error.values(), *found.noise.values()))


def test_the_same_runs_give_the_same_profile(tmp_path: Path):
    folders = [write_run(tmp_path / str(n), FAST, workload(20, n, *MIXED)) for n in (1, 8)]
    assert fit_profile(folders) == fit_profile(folders)


def test_one_request_at_a_time_says_nothing_of_what_another_one_adds(tmp_path: Path):
    found = fit_profile([write_run(tmp_path / "alone", SLOW, workload(40, 1, *MIXED))])
    assert found.coefficients["request_s"].how.startswith("held")
    assert any("not measured" in note for note in found.notes)
    assert found.measured.concurrency_high == 1
    # a step of one token: 40 ms, 3 ms for the token, 9 ms for the request, 0.2 ms for 300 tokens of context
    one = found.base_s[0][1].value + found.coefficients["request_s"].value
    assert one == pytest.approx(0.0522, rel=0.03)


def test_what_was_measured_and_how_well_is_on_record(tmp_path: Path):
    loads = [workload(40, n, *MIXED) for n in (1, 16)]
    found = fit_profile([write_run(tmp_path / f"at-{load.concurrency}", FAST, load) for load in loads])
    assert (found.measured.runs, found.measured.requests) == (2, 80)
    assert (found.measured.concurrency_low, found.measured.concurrency_high) == (1, 16)
    assert found.measured.input_tokens_high == max(int(load.input_tokens.max()) for load in loads)
    assert (found.gpu, found.engine, found.kv_blocks, found.checked) == ("CPU", "vllm@0.32.0", 6000, "2026-11-23")
    assert found.notes[0].startswith("at-1, 40 requests, 1 in flight: simulated / measured ttft")
    assert 0.0 < found.noise["tpot"] <= found.error["tpot"] < 0.06


def test_what_the_user_says_of_the_server_comes_before_what_it_says(tmp_path: Path):
    folder = write_run(
        tmp_path / "run", FAST, workload(20, 4, *MIXED), model="some-alias", gpus=["NVIDIA H100 80GB HBM3"]
    )
    with pytest.raises(CostplanError, match="some-alias"):
        fit_profile([folder])
    found = fit_profile([folder], About(model="llama-3.1-8b", precision="fp8"))
    assert (found.model, found.gpu, found.precision) == ("meta-llama/Llama-3.1-8B-Instruct", "H100", "fp8")


def test_of_a_long_run_the_first_requests_count_and_those_behind_them_keep_them_company(tmp_path: Path):
    """600 of 650 are simulated; the 8 in flight at the cut end in a drain that was none."""
    run = read_run(write_run(tmp_path / "run", FAST, workload(650, 8, *MIXED)), 16)
    assert (run.workload.requests, run.counted, run.left_out) == (600, 592, 0)
    short = read_run(write_run(tmp_path / "short", FAST, workload(40, 8, *MIXED)), 16)
    assert (short.workload.requests, short.counted) == (40, 40)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_run_whose_client_was_the_limit_is_refused(tmp_path: Path):
    folder = write_run(tmp_path / "run", FAST, workload(20, 4, *MIXED), reasons=("a core was 97 % busy",))
    with pytest.raises(CostplanError, match="INVALID.*97 % busy"):
        fit_profile([folder])


def test_runs_of_different_models_are_not_mixed(tmp_path: Path):
    names = ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-360M-Instruct")
    folders = [write_run(tmp_path / name[-12:], FAST, workload(20, 4, *MIXED), model=name) for name in names]
    with pytest.raises(CostplanError, match="135M.*360M"):
        fit_profile(folders)


def test_a_run_without_answers_is_an_error_that_says_how_many_there_were(tmp_path: Path):
    folder = write_run(tmp_path / "run", FAST, workload(20, 4, *MIXED))
    lines = (folder / "requests.jsonl").read_text().replace('"completed"', '"failed"', 15)
    (folder / "requests.jsonl").write_text(lines)
    with pytest.raises(CostplanError, match="5 of 20 requests"):
        fit_profile([folder])
    (folder / "requests.jsonl").write_text("")
    with pytest.raises(CostplanError, match="0 of 0 requests"):
        fit_profile([folder])


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("requests.jsonl", '{"index": 0, "state": "lost"}', "requests.jsonl:1"),
        ("measurement.json", "{", "measurement.json: not a measurement"),
        ("measurement.json", None, "measurement.json: No such file"),
        ("requests.jsonl", None, "requests.jsonl: No such file"),
    ],
)
def test_a_broken_folder_is_named_with_the_file_and_line(tmp_path: Path, name: str, content: str | None, where: str):
    folder = write_run(tmp_path / "run", FAST, workload(20, 4, *MIXED))
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(CostplanError, match=where):
        fit_profile([folder])


def test_no_folder_at_all_is_an_error():
    with pytest.raises(CostplanError, match="no run"):
        fit_profile([])


def test_prefix_hits_make_prompts_cheaper_in_the_simulation_too(tmp_path: Path):
    """Half of each prompt is cached: without knowing it, a token of a prompt would seem to take half its time."""
    load = workload(40, 1, 512, 16)
    shared = Workload(
        arrival_s=load.arrival_s, input_tokens=load.input_tokens, output_tokens=load.output_tokens,
        shared_offsets=np.arange(41) * 16, shared_ids=np.tile(np.arange(16, dtype=np.int32), 40), concurrency=1,
    )  # fmt: skip
    folder = write_run(tmp_path / "run", SLOW, shared, noise=0.0)
    lines = (folder / "requests.jsonl").read_text().splitlines()
    told = [line.replace('"output_tokens"', '"cached_tokens":256,"output_tokens"') for line in lines]
    plain = fit_profile([folder]).base_s[-1][1].value
    (folder / "requests.jsonl").write_text("\n".join(told))
    assert fit_profile([folder]).base_s[-1][1].value == pytest.approx(2 * plain, rel=0.15)
    assert document(shared).prefix_hit_share is None
