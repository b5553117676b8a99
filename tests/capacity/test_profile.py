"""`--profile` on the command line: what it changes, what it fills in, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from costplan.profiles.measured import write_profile
from costplan.results.serving import serving_schema
from tests.calibrate.made_up import profile
from tests.test_cli import Run, mistake, run

__all__ = ["run"]
LOAD = ("--concurrency", "1", "--requests", "5", "--input", "100", "--output", "11")
AZURE = "traces/azure_conv_excerpt.csv"
LAX = ("--slo", "ttft.p95<20s,tpot.p95<2s")


@pytest.fixture
def measured(tmp_path: Path) -> str:
    path = tmp_path / "measured.yaml"
    write_profile(profile(), path)
    return str(path)


def test_simulate_takes_everything_from_the_profile(run: Run, measured: str) -> None:
    ran = run("simulate", "--profile", measured, *LOAD, "--json", "-")
    found = json.loads(ran.out)
    jsonschema.Draft202012Validator(serving_schema("simulation")).validate(found)
    config = found["config"]
    assert (found["basis"], config["step_time"]) == ("measured", "measured")
    assert (config["model"], config["gpu"], config["precision"]) == (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "CPU",
        "bf16",
    )
    assert (config["kv_blocks"], config["kv_tokens"], config["engine"]) == (6000, 96_000, "vllm 0.32.0")
    assert found["error_band"] == {"ttft": 0.05, "tpot": 0.02, "e2e": 0.02, "throughput": 0.03}
    # 0.02 frontend; a step of 100 tokens 0.05 + 99 x 0.002 = 0.248; 0.01 for the request
    assert found["ttft_s"]["p50"] == pytest.approx(0.278)
    # 0.05 + 0.01, and 1 us for each of the 101 to 110 tokens of context
    assert found["tpot_s"]["p50"] == pytest.approx(0.06 + 105.5e-6)
    assert found["warnings"] == []


def test_simulate_says_where_it_goes_beyond_the_measured(run: Run, measured: str) -> None:
    many = ("--concurrency", "40", "--requests", "80", "--input", "900", "--output", "100")
    found = json.loads(run("simulate", "--profile", measured, *many, "--json", "-").out)
    assert [text.split(" are beyond")[0] for text in found["warnings"]] == [
        "Prompts of up to 900 tokens", "Up to 40 requests in flight on a replica",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--gpus", "1xA100"), "on A100"), (("--model", "smollm2-360m"), "360M"), (("--precision", "fp8"), "fp8"),
        (("--kv-dtype", "fp8"), "measured with"),
    ],
)  # fmt: skip
def test_a_profile_of_something_else_is_an_error_with_a_way_out(
    run: Run, measured: str, options: tuple[str, ...], words: str
) -> None:
    error, hint = mistake(run("simulate", "--profile", measured, *options, *LOAD), 1)
    assert words in error and "leave out --profile" in hint


def test_a_profile_that_is_not_there_or_broken_is_named(run: Run, tmp_path: Path) -> None:
    assert "nowhere.yaml" in mistake(run("simulate", "--profile", "nowhere.yaml", *LOAD), 1)[0]
    (tmp_path / "broken.yaml").write_text("model: x\n")
    error, _ = mistake(run("simulate", "--profile", str(tmp_path / "broken.yaml"), *LOAD), 1)
    assert "broken.yaml:1: 'gpu' is missing" in error


def test_capacity_searches_the_measured_layout_alone(run: Run, measured: str) -> None:
    found = json.loads(run("capacity", AZURE, "--profile", measured, *LAX, "--json", "-").out)
    jsonschema.Draft202012Validator(serving_schema("capacity")).validate(found)
    assert [(each["gpu"], each["tp"], each["step_time"]) for each in found["options"]] == [("CPU", 1, "measured")]
    assert found["options"][0]["error_band"]["throughput"] == 0.03
    assert found["options"][0]["usd_month"]["basis"] == "measured" and found["searched"] == 1
    assert any("4,107 tokens are beyond" in text for text in found["warnings"])


def test_capacity_beside_other_gpus_says_which_are_estimates(run: Run, measured: str) -> None:
    options = ("--gpus", "CPU,L4", "--precision", "bf16")
    found = json.loads(run("capacity", AZURE, "--profile", measured, *options, *LAX, "--json", "-").out)
    assert {each["gpu"]: each["step_time"] for each in found["options"]} == {"CPU": "measured", "L4": "estimated"}
    assert any("1 of 2 options" in text for text in found["warnings"])
    assert "on L4" in mistake(run("capacity", AZURE, "--profile", measured, "--gpus", "L4", *LAX), 1)[0]


def test_breakeven_rests_on_the_measured_rate(run: Run, measured: str) -> None:
    volume = ("--requests-per-day", "2000", "--input", "300", "--output", "50", "--open-price", "0.05/0.1")
    slo = ("--slo", "ttft.p95<10s,tpot.p95<1s")
    found = json.loads(run("breakeven", "--profile", measured, *volume, *slo, "--json", "-").out)
    rate = found["capacity"]["req_s_at_slo"]
    assert rate["basis"] == "measured" and "its own replay" in rate["note"]
    assert rate["low"] == pytest.approx(0.97 * rate["value"])
    assert [row["layout"] for row in found["capacity"]["layouts"]] == ["1 x TP1"]
    assert (found["fleet"]["gpu"], found["columns"]["self_host"]["model"]) == (
        "CPU", "HuggingFaceTB/SmolLM2-135M-Instruct",
    )  # fmt: skip
    assert "on L4" in mistake(run("breakeven", "--profile", measured, "--gpus", "2xL4", *volume), 1)[0]


def test_breakeven_cuts_the_prompts_of_a_log_into_the_blocks_of_the_profile(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wide.yaml"
    write_profile(replace(profile(), block_size=128, kv_blocks=750), path)
    lax, price = ("--slo", "ttft.p95<60s,e2e.p95<10m"), ("--open-price", "0.02/0.02")
    ran = run("breakeven", "traces/demo.jsonl.gz", "--profile", str(path), *lax, *price, "--json", "-")
    assert ran.code == 0, ran
    assert json.loads(ran.out)["columns"]["self_host"]["usd_month"]["value"] > 0
