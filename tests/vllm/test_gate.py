"""The quality gate on a real model and on the same weights rounded to 4 bits."""

import json
import subprocess
import sys
from pathlib import Path

from tests.vllm.conftest import BF16, Serving, costplan, rounded

STRATA = {"arithmetic", "format", "reasoning", "extraction", "writing"}
SAMPLES = 12


def test_every_stratum_gets_a_verdict_with_an_interval(serving: Serving, tmp_path: Path):
    for model in (BF16, rounded()):
        with serving(model) as served:
            asked = ("--tasks", "builtin", "--samples", str(SAMPLES), "--collect", "--concurrency", "16")
            where = ("--url", served.facts.url, "--model", model, "--out", tmp_path / model, "--quiet")
            costplan("replay", *asked, *where)
    command = ("gate", tmp_path / BF16, tmp_path / rounded(), "--json", "-")
    ran = subprocess.run([sys.executable, "-m", "costplan", *map(str, command)], capture_output=True, text=True)
    found = json.loads(ran.stdout)
    print(json.dumps(found["strata"], indent=1))
    assert {each["stratum"] for each in found["strata"]} == STRATA
    for each in found["strata"]:
        assert each["verdict"] in {"pass", "fail", "undecided", "uninformative"}
        assert each["loss"]["low"] <= each["loss"]["value"] <= each["loss"]["high"]
    assert ran.returncode == (0 if all(each["verdict"] == "pass" for each in found["strata"]) else 3)
