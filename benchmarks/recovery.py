"""Does analyze find what was planted? Generates logs, analyzes them, compares every lever's interval with the truth.

    python -m benchmarks.recovery [--scenarios support-desk,chat-app] [--seeds 5] [--requests N] [--out recovery.json]
    python -m benchmarks.recovery --labels 300 --scenarios support-desk,document-search

The truth of a lever is its planted saving by itself (`costplan generate --truth`), from the days of the log to a month.
It is compared twice: with what is planted in this very log, and with the mean over all seeds, which is nearer to what
the product would save in another month. With `--labels` the share of wrong hits of a semantic cache is looked for
instead: a label file is answered from what the prompts mean.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from costplan.scenario import find_scenario, read_scenario

SCENARIOS = ("support-desk", "agent-fleet", "document-search", "batch-pipeline", "chat-app")
CEILINGS = ("response_cache.semantic",)
"""Planted as what a lever without any fault would save: found is covered where it does not go beyond."""
MAX_LOSS = 0.05
MONTH_DAYS = 730 / 24
# (lever of the rung, word in its label, truth)
COUNTERPARTS = (
    ("response_cache", "exact", "response_cache.exact"),
    ("response_cache", "respelled", "response_cache.respelled"),
    ("response_cache", "semantic", "response_cache.semantic"),
    ("response_cache", "similar", "response_cache.semantic"),
    ("compression", "lossless", "compression"),
    ("routing", "verified sites", "routing.site"),
    ("prompt_cache", "mark", "prompt_cache.marked"),
    ("prompt_cache", "warm", "prompt_cache.automatic"),
    ("batch", "marked", "batch"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rung of one plan beside its truth, USD a month."""

    scenario: str
    seed: int
    lever: str
    planted: float
    value: float | None
    low: float | None
    high: float | None
    level: float | None

    @property
    def covered(self) -> bool:
        return self.covers(self.planted)

    def covers(self, usd: float) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low <= usd <= self.high or (self.lever in CEILINGS and self.high < usd)

    @property
    def relative_width(self) -> float | None:
        """Half of the interval over what is planted."""
        if self.low is None or self.high is None or not self.planted:
            return None
        return (self.high - self.low) / 2 / abs(self.planted)

    @property
    def error(self) -> float | None:
        return None if self.value is None or not self.planted else self.value / self.planted - 1


def main() -> None:
    """Runs, prints the tables, writes the findings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--requests", type=int)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--labels", type=int, help="labels to draw; compares the share of wrong hits")
    args = parser.parse_args()
    if args.labels:
        for scenario in args.scenarios.split(","):
            for seed in range(args.seeds):
                print(wrong_hits(scenario, seed, args.labels, args.requests))
        return
    found: list[Finding] = []
    for scenario in args.scenarios.split(","):
        for seed in range(args.seeds):
            found += recover(scenario, seed, args.requests)
            print(f"{scenario} seed {seed}: {_cpu_s():.0f} CPU-s so far", file=sys.stderr)
    print("\n".join(table(found)))
    if args.out:
        rows = [{name: getattr(each, name) for name in Finding.__slots__} for each in found]
        args.out.write_text(json.dumps(rows, indent=1) + "\n")


def recover(scenario: str, seed: int, requests: int | None = None) -> list[Finding]:
    """The findings of one log."""
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        log, truth_file, plan_file = (Path(folder) / name for name in ("log.jsonl", "truth.json", "plan.json"))
        many = ["--requests", str(requests)] if requests else []
        _costplan("generate", scenario, "-o", str(log), "--seed", str(seed), "--truth", str(truth_file), *many)
        truth = json.loads(truth_file.read_bytes())
        setting = ["--price-date", truth["price_date"], "--ttl", f"{truth['cache_ttl_s']:g}s", "--semantic", "on"]
        told = read_scenario(find_scenario(scenario))
        cheaper = {call.name: call for call in told.calls if call.cheaper}
        if cheaper:
            quality = Path(folder) / "quality.jsonl"
            quality.write_text("".join(_scores(call, truth["routing"][name]["all"]) for name, call in cheaper.items()))
            ratio = next(iter(cheaper.values())).cheaper.output_ratio.value
            setting += ["--quality", str(quality), "--output-ratio", f"{ratio}:{ratio}:{ratio}"]
            truth["levers"]["routing.site"] = _routed_sites(truth)
        _costplan("analyze", str(log), "--json", str(plan_file), *setting)
        return compare(truth, json.loads(plan_file.read_bytes()))


def wrong_hits(scenario: str, seed: int, labels: int, requests: int | None = None) -> str:
    """Of a semantic cache at the product's own threshold: hits, wrong ones by meaning, and what labels make of them."""
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        names = ("log.jsonl", "rows.jsonl", "labels.jsonl", "hits.jsonl", "cache.json")
        log, rows_file, label_file, hits_file, cache_file = (Path(folder) / name for name in names)
        many = ["--requests", str(requests)] if requests else []
        _costplan("generate", scenario, "-o", str(log), "--seed", str(seed), "--truth-rows", str(rows_file), *many)
        meaning = {row["request_id"]: row["meaning"] for row in map(json.loads, rows_file.open())}
        cache = ["cache", str(log), "--ttl", "1d", "--threshold", "0.78", "-q"]
        _costplan(*cache, "--label-sample", str(labels), str(label_file), "--hits", str(hits_file))
        answered = [json.loads(line) for line in label_file.open()]
        for row in answered:
            row["same_answer"] = meaning[row["request_id"]] == meaning[row["from_request_id"]]
        label_file.write_text("".join(json.dumps(row) + "\n" for row in answered))
        _costplan(*cache, "--labels", str(label_file), "--json", str(cache_file))
        hits = [row for row in map(json.loads, hits_file.open()) if row["kind"] == "semantic"]
        wrong = sum(meaning[row["request_id"]] != meaning[row["from_request_id"]] for row in hits)
        found = next(row for row in json.loads(cache_file.read_bytes())["frontier"] if row["threshold"] == 0.78)
        share, low, high = (found[f"wrong_{name}"] for name in ("share", "low", "high"))
        missed = "" if low <= wrong / len(hits) <= high else " MISSED"
        return (
            f"{scenario} seed {seed}: {len(hits)} semantic hits, {wrong / len(hits):.2%} wrong; {len(answered)} labels "
            f"give {share:.2%} [{low:.2%} … {high:.2%}]{missed}"
        )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _costplan(*arguments: str) -> None:
    ran = subprocess.run([sys.executable, "-m", "costplan", *arguments], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"costplan {' '.join(arguments)}: {ran.stderr}")


def _scores(call: Any, planted: dict[str, Any]) -> str:
    """Two rows of a quality file: what both models were planted to answer well."""
    models = {call.model: planted["good_share"], call.cheaper.model: planted["cheap_good_share"]}
    rows = (
        {"call_site": call.name, "model": m, "score": score, "n": planted["requests"]} for m, score in models.items()
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


def _routed_sites(truth: dict[str, Any]) -> dict[str, Any]:
    """What the call sites save that lose at most MAX_LOSS by their planted quality."""
    easy = [
        name for name, parts in truth["routing"].items()
        if parts["all"]["good_share"] - parts["all"]["cheap_good_share"] <= MAX_LOSS
    ]  # fmt: skip
    usd = sum(truth["levers"]["routing.all"]["by_call"][name] for name in easy)
    return {"by_day": [usd / truth["days"]] * truth["days"]}


def compare(truth: dict[str, Any], plan: dict[str, Any]) -> list[Finding]:
    """Every rung of the plan that has a counterpart in the truth, by itself."""
    found: list[Finding] = []
    for rung in plan["ladder"]:
        name = counterpart(rung["lever"], rung["label"])
        if name is None or name not in truth["levers"]:
            continue
        estimate, part = rung["standalone_usd_month"], 1.0
        removed = rung["evidence"].get("by_rung", {})
        if "reformat" in removed:  # tables are nobody's padding: only what stays JSON has a counterpart
            part = removed["exact"] / max(1, sum(removed.values()))
        value, low, high = (None if estimate[end] is None else part * estimate[end] for end in ("value", "low", "high"))
        found.append(Finding(
            scenario=truth["scenario"], seed=truth["seed"], lever=name, planted=month(truth["levers"][name]["by_day"]),
            value=value, low=low, high=high, level=estimate["level"],
        ))  # fmt: skip
    return found


def counterpart(lever: str, label: str) -> str | None:
    """The truth that a rung speaks of."""
    return next((truth for of, word, truth in COUNTERPARTS if of == lever and word in label), None)


def month(by_day: list[float]) -> float:
    """A month of 730 hours like these days."""
    return sum(by_day) / len(by_day) * MONTH_DAYS


def table(found: list[Finding]) -> list[str]:
    """Coverage and width by lever, then the cases that are not covered."""
    lines = [f"{'lever':<26}{'n':>4}{'covered':>9}{'mean cov.':>11}{'median ± / planted':>20}{'median error':>14}"]
    for lever in [*sorted({each.lever for each in found}), "all"]:
        some = [each for each in found if lever in (each.lever, "all")]
        widths = [each.relative_width for each in some if each.relative_width is not None]
        errors = [each.error for each in some if each.error is not None]
        lines.append(
            f"{lever:<26}{len(some):>4}{share(each.covered for each in some):>9.0%}"
            f"{share(each.covers(expected(found, each)) for each in some):>11.0%}"
            f"{median(widths) if widths else float('nan'):>20.1%}{median(errors) if errors else float('nan'):>+14.1%}"
        )
    missed = [each for each in found if not each.covered]
    lines += ["", "not covered:"] if missed else []
    lines += [
        f"  {each.scenario} seed {each.seed} {each.lever}: planted {each.planted:.4f}, found {each.value} "
        f"[{each.low} … {each.high}]"
        for each in missed
    ]
    return lines


def share(held: Iterable[bool]) -> float:
    """Of the cases, those in which it held."""
    cases = list(held)
    return sum(cases) / len(cases) if cases else float("nan")


def expected(found: list[Finding], one: Finding) -> float:
    """Mean of what is planted over all seeds of the scenario."""
    same = [each.planted for each in found if (each.scenario, each.lever) == (one.scenario, one.lever)]
    return sum(same) / len(same)


if __name__ == "__main__":
    main()
