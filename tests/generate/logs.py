"""Small generated logs for the tests, and what a reader of the lines alone finds in them."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from costplan.generate import Outputs, generate
from costplan.scenario import read_scenario

SHOP = """
scenario: shop
price_date: 2026-10-11
calls:
  - name: widget
    model: gpt-4.1
    per_session: 4
    input_tokens: 320
    output_tokens: 60
    prefix_tokens: 120
    batch_share: 0.3
    repeats: {exact: 0.2, respelled: 0.15, paraphrase: 0.15, trap: 0.1, window: 30}
    padding: {json: 0.3, repeated: 0.3, blanks: 0.4}
    levels: [0.4, 0.2, 0.2, 0.1, 0.1]
    quality: [0.9, 0.9, 0.9, 0.9, 0.9]
    cheaper: {model: gpt-4.1-mini, output_ratio: 0.8, quality: [0.9, 0.8, 0.5, 0.3, 0.1]}
    about_now: 0.1
  - name: desk
    model: claude-sonnet-4-5
    per_session: 2
    input_tokens: 1300
    output_tokens: 40
    prefix_tokens: 1100
    history: true
    think_s: 60
  - name: robot
    model: gpt-4.1-mini
    per_session: 4
    input_tokens: 1300
    output_tokens: 30
    prefix_tokens: 1200
    tools: 4
    agent: true
    loops: 0.5
    turn_tokens: 150
    padding: {json: 1}
    think_s: 5
log:
  {start: 2026-10-05, days: 7, requests: 900, users: 40, failure_share: 0.05, cached_share: 0.5, weekend: 0.5,
   cache_ttl_s: 43200}
"""


@dataclass(frozen=True, slots=True)
class Generated:
    log: Path
    lines: list[dict[str, Any]]
    truth: dict[str, Any]
    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    routes: list[dict[str, Any]]


def generated(folder: Path, text: str = SHOP, seed: int = 3) -> Generated:
    """Everything that generate writes for a scenario."""
    scenario = folder / "scenario.yaml"
    scenario.write_text(text)
    names = ("log", "rows", "pairs", "routes")
    files = {name: folder / f"{name}.jsonl" for name in names}
    outputs = Outputs(
        log=files["log"], truth=folder / "truth.json", truth_rows=files["rows"], cache_pairs=files["pairs"],
        route_pairs=files["routes"],
    )  # fmt: skip
    generate(read_scenario(scenario), outputs, seed=seed)
    read = [[json.loads(line) for line in files[name].read_bytes().splitlines()] for name in names]
    return Generated(files["log"], read[0], json.loads(outputs.truth.read_bytes()), *read[1:])  # type: ignore[union-attr]


def seconds(line: dict[str, Any]) -> float:
    """When the call was made."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def usd(line: dict[str, Any], prices: dict[str, float], **counts: float) -> float:
    """What a line costs; `counts` replace those of its usage (prompt, cached, written, answer)."""
    usage = line["response"]["usage"]
    known = {
        "prompt": usage["prompt_tokens"], "answer": usage["completion_tokens"], "written": 0.0,
        "cached": usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
    } | counts  # fmt: skip
    plain = known["prompt"] - known["cached"] - known["written"]
    per_mtok = plain * prices["input"] + known["cached"] * prices["cache_read"]
    return (per_mtok + known["written"] * prices["cache_write"] + known["answer"] * prices["output"]) / 1e6
