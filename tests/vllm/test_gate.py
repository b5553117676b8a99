"""The quality gate on a real model and on the same weights rounded to 4 bits."""

import json
import subprocess
import sys
from pathlib import Path

from costplan.replay.serve import Served
from tests.vllm.conftest import BF16, Serving, costplan, rounded

STRATA = {"arithmetic", "format", "reasoning", "extraction", "writing"}
SAMPLES = 8


def answer_tasks(served: Served, model: str, folder: Path) -> None:
    asked = ("--tasks", "builtin", "--samples", str(SAMPLES), "--collect", "--concurrency", "16")
    costplan("replay", *asked, "--url", served.facts.url, "--model", model, "--out", folder / model, "--quiet")


def test_every_stratum_gets_a_verdict_with_an_interval(bf16: Served, serving: Serving, tmp_path: Path):
    answer_tasks(bf16, BF16, tmp_path)
    with serving(rounded()) as served:
        answer_tasks(served, rounded(), tmp_path)
    command = ("gate", tmp_path / BF16, tmp_path / rounded(), "--json", "-")
    ran = subprocess.run([sys.executable, "-m", "costplan", *map(str, command)], capture_output=True, text=True)
    found = json.loads(ran.stdout)
    print(json.dumps(found["strata"], indent=1))
    assert {each["stratum"] for each in found["strata"]} == STRATA
    for each in found["strata"]:
        assert each["verdict"] in {"pass", "fail", "undecided", "uninformative"}
        assert each["loss"]["low"] <= each["loss"]["value"] <= each["loss"]["high"]
    assert ran.returncode == (0 if all(each["verdict"] == "pass" for each in found["strata"]) else 3)
