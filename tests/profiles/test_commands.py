"""`costplan gpus` and `costplan models`: a table of all, one in full, the same as JSON."""

import json
from pathlib import Path

import pytest
from tests.test_cli import Run, mistake, run
from tests.test_startup import HEAVY, loaded_by

__all__ = ["run"]


@pytest.mark.parametrize(
    ("command", "names"), [("gpus", ("A100", "L40S", "CPU")), ("models", ("llama-3.1-8b", "phi-4"))]
)
def test_the_list_has_every_profile_with_its_day(run: Run, command: str, names: tuple[str, ...]) -> None:
    ran = run(command)
    assert (ran.code, ran.err) == (0, "")
    assert all(any(line.startswith(name) for line in ran.out.splitlines()) for name in names)
    assert all("2026-" in line for line in ran.out.splitlines()[1:])


def test_a_model_in_full_shows_its_cache_and_its_weights(run: Run) -> None:
    ran = run("models", "meta-llama/Llama-3.1-8B-Instruct")
    assert (ran.code, ran.err) == (0, "")
    assert "bf16 131,072, fp8 65,536" in ran.out and "aiconfigurator-core" in ran.out


def test_a_gpu_in_full_shows_each_price_with_range_day_and_source(run: Run) -> None:
    ran = run("gpus", "A100")
    assert "1.65 (1.29 to 4.10), 2026-11-23: lowest Verda" in ran.out
    assert "clouds_usd_per_hour aws" in ran.out


@pytest.mark.parametrize("command", ["gpus", "models"])
def test_json_holds_the_same_facts(run: Run, tmp_path: Path, command: str) -> None:
    document = json.loads(run(command, "--json", "-").out)
    assert document["schema"] == f"costplan/{command}/1" and len(document[command]) >= 20
    for each in document[command]:
        assert each["source"] and each["checked"]
    path = tmp_path / "facts.json"
    assert run(command, "--json", str(path)).out and json.loads(path.read_text()) == document


def test_one_gpu_as_json(run: Run) -> None:
    (gpu,) = json.loads(run("gpus", "h100_sxm", "--json", "-").out)["gpus"]
    assert (gpu["name"], gpu["memory_gib"], gpu["on_demand_usd_per_hour"]["usd"]) == ("H100", 79.11, 2.95)


def test_a_config_json_can_be_shown_and_its_text_is_tamed(run: Run, tmp_path: Path) -> None:
    config = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100}
    config |= {"_name_or_path": "[red]\x1b[31mx"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ran = run("models", str(tmp_path))
    assert (ran.code, ran.err) == (0, "") and "\x1b" not in ran.out and "[red]" in ran.out


def test_unknown_names_end_in_two_lines(run: Run) -> None:
    assert mistake(run("gpus", "A1000"), 1)[0] == "A1000: unknown GPU"
    assert "llama-3.1-8b" in mistake(run("models", "llama-3.1-8c"), 1)[1]


@pytest.mark.parametrize("arguments", [("gpus", "--help"), ("models", "--help"), ("gpus", "A100"), ("models", "phi-4")])
def test_a_look_at_a_profile_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded_by(*arguments) & HEAVY == set()
