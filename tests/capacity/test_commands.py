"""simulate and capacity from the command line: what they print, write, refuse and exit with."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from costplan.results.serving import serving_schema
from tests.test_cli import Run, mistake, run

__all__ = ["run"]
Golden = Callable[[str, str], None]
BASE = ("simulate", "--model", "llama-3.1-8b", "--gpus", "1xA100")
SIZES = ("--input", "547", "--output", "248")
AZURE = "traces/azure_conv_excerpt.csv"
CAPACITY = ("capacity", AZURE, "--gpus", "A100,L4", "--precision", "bf16", "--slo", "ttft.p95<2s,tpot.p95<100ms")


def document(run: Run, *arguments: str) -> dict[str, object]:
    """The JSON of a command, which must be what its schema says."""
    ran = run(*arguments, "--json", "-")
    assert ran.code == 0, ran
    found = json.loads(ran.out)
    jsonschema.Draft202012Validator(serving_schema(arguments[0].replace("simulate", "simulation"))).validate(found)
    return found


@pytest.mark.parametrize(
    "load",
    [
        ("--rate", "2", "--requests", "60", *SIZES),
        ("--rate", "2", *SIZES),
        ("--rate", "1:20s,3:20s", "--cv", "2", *SIZES),
        ("--rate", "inf", "--requests", "80", "--prefix-hit", "0.3", *SIZES),
        ("--concurrency", "8", "--requests", "60", "--speculative", "3,0.7", *SIZES),
        ("--trace", AZURE, "--requests", "50", "--prefix-hit", "0.5"),
        ("--trace", "traces/tiny.jsonl"),
    ],
    ids=" ".join,
)
def test_every_kind_of_load_gives_a_document_of_the_schema(run: Run, load: tuple[str, ...]) -> None:
    found = document(run, *BASE, *load, "--kv-dtype", "fp8", "--max-num-seqs", "128", "--slo", "ttft.p95<100s")
    assert found["schema"] == "costplan/simulation/1" and found["basis"] == "simulated"
    assert found == document(run, *BASE, *load, "--kv-dtype", "fp8", "--max-num-seqs", "128", "--slo", "ttft.p95<100s")


def test_a_rate_above_capacity_says_what_could_be_sustained(run: Run) -> None:
    found = document(run, *BASE, "--rate", "60", *SIZES)
    assert found["saturated"] and found["ttft_s"] == dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "max"))
    assert isinstance(found["sustainable_req_s"], float) and 5 < found["sustainable_req_s"] < 40


def test_a_missed_slo_is_exit_code_3_and_the_report_is_there(run: Run) -> None:
    ran = run(*BASE, "--rate", "2", "--requests", "50", *SIZES, "--slo", "ttft.p95<1ms,e2e.p99<100s")
    assert ran.code == 3 and "TTFT" in ran.out and "missed" in ran.out
    assert ran.err.splitlines()[0] == "error: the SLO is not met: ttft.p95<1ms"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--rate", "5", "--gpus", "1xA999", *SIZES), 1, "A999"),
        (("--rate", "5", "--model", "no-such-model", *SIZES), 1, "no-such-model"),
        (("--rate", "5", "--gpus", "3xA100", "--tp", "3", *SIZES), 1, "--tp 1, 2, 4, 8"),
        (("--rate", "5", "--tp", "2", *SIZES), 2, "--gpus"),
        (("--rate", "-5", *SIZES), 2, "--rate 5"),
        (("--rate", "5", "--input", "0", "--output", "248"), 2, "--input 0"),
        (("--rate", "5", "--input", "547"), 2, "--output"),
        (("--rate", "5", "--concurrency", "3", *SIZES), 2, "contradict"),
        (("--rate", "5:60s", "--requests", "10", *SIZES), 2, "contradict"),
        (("--rate", "inf", *SIZES), 2, "--requests"),
        (("--concurrency", "3", *SIZES), 2, "--requests"),
        (("--concurrency", "3", "--requests", "9", "--cv", "2", *SIZES), 2, "--cv"),
        (SIZES, 2, "no load"),
        (("--trace", AZURE, "--input", "5"), 2, "--input"),
        (("--trace", "traces/tiny.jsonl", "--prefix-hit", "0.5"), 2, "prefixes"),
        (("--rate", "5", "--input", "200000", "--output", "9"), 1, "context"),
        (("--rate", "5", "--model", "llama-3.3-70b", *SIZES), 1, "GiB"),
        (("--rate", "5", "--slo", "ttft<1s", *SIZES), 2, "ttft.p95<1s"),
        (("--rate", "5", "--routing", "random", *SIZES), 2, "round-robin"),
        (("--rate", "5", "--autoscale", "4:1", *SIZES), 2, "--autoscale 1:4"),
        (("--rate", "5", "--cold-start", "3m", *SIZES), 2, "--autoscale 1:4"),
        (("--rate", "5", "--routing", "least-loaded", *SIZES), 2, "--replicas 2"),
        (("--rate", "inf", "--requests", "9", "--cv", "2", *SIZES), 2, "all at once"),
        (("--trace", AZURE, "--seed", "3"), 2, "--seed"),
        (("--concurrency", "3", "--requests", "9", "--engine", "naive", *SIZES), 2, "--engine naive"),
        (("--rate", "5", "--speculative", "9", *SIZES), 2, "--speculative 3,0.7"),
        (("--rate", "5", "--max-num-seqs", "512", "--max-num-batched-tokens", "64", *SIZES), 1, "max_num_seqs"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_error_and_one_hint(run: Run, options: tuple[str, ...], code: int, words: str) -> None:
    error, hint = mistake(run(*BASE, *options), code)
    assert words in f"{error} {hint}"


def test_replicas_halve_the_load_of_each(run: Run) -> None:
    one = document(run, *BASE, "--rate", "8", "--requests", "300", *SIZES)
    two = document(run, *BASE, "--gpus", "2xA100", "--replicas", "2", "--rate", "8", "--requests", "300", *SIZES)
    assert two["tpot_s"]["mean"] < one["tpot_s"]["mean"]  # pyright: ignore[reportIndexIssue]


def test_a_trace_out_of_order_is_sorted_and_counted(run: Run, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    rows += [f"2023-11-16 18:00:{second:02d}.0000000,100,20" for second in (1, 5, 3, 9, 7)]
    trace.write_text("\n".join(rows) + "\n2023-11-16 18:00:11.0000000,100,0\n")
    found = document(run, *BASE, "--trace", str(trace))
    assert found["requests"]["sent"] == 5  # pyright: ignore[reportIndexIssue]
    assert found["warnings"][-2:] == [  # pyright: ignore[reportIndexIssue]
        "2 requests stood behind a later one in the trace; they have been sorted.",
        "Left out: 1 of zero length.",
    ]


def test_capacity_finds_the_cheapest_fleet_and_counts_what_it_ruled_out(run: Run) -> None:
    found = document(run, *CAPACITY)
    options, best = found["options"], found["best"]
    assert isinstance(options, list) and options[0] == best and best["spare"] == 1  # pyright: ignore
    costs = [option["usd_month"]["value"] for option in options]  # pyright: ignore
    assert costs == sorted(costs) and best["pareto"]  # pyright: ignore
    assert found["searched"] == 8 == found["simulated"] + sum(found["pruned"].values())  # pyright: ignore
    assert all(hour["met"] for hour in found["hours"])  # pyright: ignore


def test_capacity_is_the_same_with_two_processes(run: Run) -> None:
    assert document(run, *CAPACITY) == document(run, *CAPACITY, "--workers", "2")


def test_without_a_spare_the_fleet_is_smaller(run: Run) -> None:
    with_spare, without = document(run, *CAPACITY), document(run, *CAPACITY, "--spare", "0")
    assert without["best"]["gpus"] < with_spare["best"]["gpus"]  # pyright: ignore


def test_a_larger_model_is_split_over_gpus(run: Run) -> None:
    """132 GiB of weights in 16 bits have no room on one 80 GB GPU, on two they do."""
    found = document(run, *CAPACITY, "--gpus", "A100", "--model", "llama-3.3-70b", "--spare", "0")
    options: Any = found["options"]
    assert {option["tp"] for option in options} <= {2, 4, 8} and options[0]["tp"] >= 2
    assert found["pruned"]["the weights leave no room"] == 1  # pyright: ignore


def test_a_committed_price_is_the_same_fleet_for_less(run: Run) -> None:
    dear, cheap = (document(run, *CAPACITY, "--gpus", "A100", "--price", price) for price in ("on-demand", "reserved"))
    best: Any = [dear["best"], cheap["best"]]
    assert best[0]["replicas"] == best[1]["replicas"] and best[1]["usd_hour"] < best[0]["usd_hour"]


def test_a_fleet_that_follows_the_hours_costs_less(run: Run, tmp_path: Path) -> None:
    """An hour at 40 requests a second, then one at 1: the replicas of the first stand idle in the second."""
    trace = tmp_path / "trace.csv"
    times = [start + i / rate for start, rate, count in ((0, 40, 3000), (3600, 1, 300)) for i in range(count)]
    moments = [datetime(2023, 11, 16, 18) + timedelta(seconds=t) for t in times]
    rows = [f"{moment:%Y-%m-%d %H:%M:%S.%f}0,500,200" for moment in moments]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(rows) + "\n")
    asked = ("capacity", str(trace), "--gpus", "A100", "--precision", "bf16", "--slo", "ttft.p95<60s")
    fixed, follows = document(run, *asked), document(run, *asked, "--autoscale")
    best: Any = [fixed["best"], follows["best"]]
    assert best[1]["usd_month"]["value"] < best[0]["usd_month"]["value"]
    hours: Any = follows["hours"]
    assert hours[0]["replicas"] > hours[1]["replicas"] and all(hour["met"] for hour in hours)


def test_no_fleet_has_more_gpus_than_allowed_spares_included(run: Run) -> None:
    found = document(run, *CAPACITY, "--max-gpus", "2")
    assert {option["gpus"] for option in found["options"]} <= {2}  # pyright: ignore


def test_without_names_only_data_centre_gpus_are_searched_and_a_guessed_price_is_a_warning(run: Run) -> None:
    found = document(run, "capacity", AZURE, "--precision", "bf16")
    assert found["searched"] == 36 and found["warnings"] == []
    assert "H20" not in {option["gpu"] for option in found["options"]}  # pyright: ignore
    named: Any = document(run, *CAPACITY, "--gpus", "H20")
    assert "H20" in named["warnings"][0]


def test_an_unknown_cache_type_is_a_mistake_and_no_reason_to_rule_out(run: Run) -> None:
    error, _ = mistake(run(*CAPACITY, "--kv-dtype", "fp3"), 1)
    assert "fp3" in error


def test_a_trace_of_years_is_planned_in_seconds(run: Run) -> None:
    found = document(run, "capacity", "traces/openai_batch_output.jsonl", "--gpus", "A100", "--precision", "bf16")
    assert len(found["hours"]) > 18_000  # pyright: ignore


def test_an_slo_that_nothing_holds_is_exit_code_3(run: Run) -> None:
    ran = run(*CAPACITY[:-1], "ttft.p95<1ms")
    assert ran.code == 3 and "Nothing tried holds the SLO" in ran.out and ran.err.startswith("error: no configuration")


@pytest.mark.parametrize("name", ["simulation", "capacity"])
def test_the_schema_reads_as_reviewed(run: Run, golden: Golden, name: str) -> None:
    ran = run("schema", name)
    golden(f"schema/{name}.json", ran.out)
    jsonschema.Draft202012Validator.check_schema(json.loads(ran.out))


@pytest.mark.parametrize("command", ["simulate", "capacity"])
def test_help_holds_an_example(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0 and f"\n  costplan {command}" in ran.out
