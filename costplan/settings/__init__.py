"""What the user decided, where each decision came from, and what the values may be.

Precedence: flag > COSTPLAN_* environment variable > ./costplan.yaml > user configuration > default.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, cast

from costplan.errors import UsageError
from costplan.profiles import Section, read_yaml
from costplan.settings.commands import (
    AnalyzeSettings,
    BreakevenSettings,
    CacheSettings,
    CapacitySettings,
    CompressSettings,
    ExploreSettings,
    GateSettings,
    ReplaySettings,
    RouteSettings,
    SimulateSettings,
)
from costplan.units import parse_count, parse_duration_s

__all__ = [
    "AnalyzeSettings",
    "BreakevenSettings",
    "CacheSettings",
    "CapacitySettings",
    "CompressSettings",
    "ExploreSettings",
    "GateSettings",
    "ReplaySettings",
    "RouteSettings",
    "SimulateSettings",
    "resolve",
]
Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values come from: what to call it, what it holds, the place of each value and the folder paths start in."""

    name: str
    values: Mapping[str, Any]
    places: Mapping[str, str]
    folder: Path = Path()


def resolve(kind: type[Settings], flags: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    """(settings, origin of each value): `flags` holds what the command line gave, None or () = not given."""
    names = [field.name for field in fields(cast(Any, kind))]
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    sources = (
        _Source("flag", given, {name: "--" + name.replace("_", "-") for name in given}),
        _environment(names),
        _config("costplan.yaml", Path("costplan.yaml"), names),
        _config("user configuration", _user_config(), names),
    )
    chosen: dict[str, Any] = {}
    origins = dict.fromkeys(names, "default")
    for name in names:
        source = next((source for source in sources if name in source.values), None)
        if source is not None:
            chosen[name] = _value(name, source)
            origins[name] = source.name
    return kind(**chosen), origins


def _environment(names: list[str]) -> _Source:
    variables = {name: f"COSTPLAN_{name.upper()}" for name in names}
    found = {name: os.environ[variable] for name, variable in variables.items() if os.environ.get(variable)}
    return _Source("environment", found, variables)


def _user_config() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "costplan" / "config.yaml"


def _config(name: str, path: Path, names: list[str]) -> _Source:
    if not path.is_file():
        return _Source(name, {}, {})
    section = read_yaml(path)
    for key in section.values:
        if key.replace("-", "_") not in _PARSERS:  # the file serves all commands
            near = difflib.get_close_matches(key.replace("-", "_"), _PARSERS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise UsageError(f"{section.where(key)}: unknown setting {key!r}", hint=hint)
    values = {key.replace("-", "_"): value for key, value in section.values.items() if value is not None}
    places = {key.replace("-", "_"): f"{section.where(key)}, {key}" for key in section.values}
    return _Source(name, values, places, path.parent)


def _value(name: str, source: _Source) -> Any:
    """The value in its type; flags, variables and files spell the same things the same way."""
    raw, (parse, example) = source.values[name], _PARSERS[name]
    try:
        value = parse(raw)
    except (ValueError, TypeError) as error:
        shown = f"{raw!r} does not fit" if isinstance(raw, str | int | float) else "does not fit"
        raise UsageError(f"{source.places[name]}: {shown}: {error}", hint=f"write for example {example}") from None
    return source.folder / value if isinstance(value, Path) else value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """A list, or a text with commas; a mapping in a file stands for `key=value` items."""
    if isinstance(value, Section):
        return tuple(f"{key}={item}" for key, item in value.values.items())
    items = value.split(",") if isinstance(value, str) else value
    return tuple(str(item).strip() for item in items)


def _path(value: Any) -> Path:
    return Path(value).expanduser()


def _switch(value: Any) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if str(value).lower() not in known:
        raise ValueError("must be true or false")
    return known[str(value).lower()]


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(_text(value))


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return value

    return parse


def _on_off(value: Any) -> str:
    """YAML makes a truth value of `on`."""
    return _one_of("on", "off")(("off", "on")[value] if isinstance(value, bool) else value)


def _some_of(*choices: str) -> Callable[[Any], tuple[str, ...]]:
    def parse(value: Any) -> tuple[str, ...]:
        found = tuple(part for item in _texts(value) for part in item.split(","))
        if not found or not set(found) <= set(choices):
            raise ValueError(f"must be some of {', '.join(choices)}")
        return found

    return parse


def _number(*, above: float = float("-inf"), least: float = float("-inf"), most: float = float("inf")) -> Any:
    def parse(value: Any) -> float:
        number = float("nan") if isinstance(value, bool) else float(value)
        if not isfinite(number) or not above < number or not least <= number <= most:
            lower = f"above {above:g}" if above > float("-inf") else f"at least {least:g}"
            raise ValueError(f"must be a number {lower}" + (f" and at most {most:g}" if isfinite(most) else ""))
        return number

    return parse


def _count(*, least: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        number = parse_count(value) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"must be a whole number, at least {least}")
        return number

    return parse


def _duration(value: Any) -> float:
    return _number(above=0)(parse_duration_s(value) if isinstance(value, str) else value)


def _range(value: Any) -> tuple[float, float, float]:
    """Three rising numbers above 0; one number is a range of its own."""
    items = [float(each) for each in (value.split(":") if isinstance(value, str) else [value])]
    low, middle, high = items * 3 if len(items) == 1 else items
    if not (0 < low <= middle <= high < float("inf")):
        raise ValueError("must be three rising numbers above 0")
    return low, middle, high


_PARSERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "format": (_text, "--format litellm"),
    "map": (_texts, "--map tok_in=input_tokens"),
    "head": (_count(least=1), "--head 5000 or --head 5k"),
    "strict": (_switch, "COSTPLAN_STRICT=true"),
    "sample_rate": (_number(above=0, most=1), "--sample-rate 0.1, the share of requests that was logged"),
    "prices": (_path, "--prices prices.yaml"),
    "price_date": (_day, "--price-date 2026-11-01"),
    "assume_model": (_text, "--assume-model gpt-4o"),
    "month_requests": (_count(least=1), "--month-requests 5M"),
    "revenue_per_user": (_number(least=0), "--revenue-per-user 9.99"),
    "ttl": (_duration, "--ttl 15m, --ttl 1h or --ttl 7d"),
    "ttl_policy": (_one_of("store", "sliding"), "--ttl-policy sliding"),
    "scope": (_one_of("global", "user"), "--scope user"),
    "capacity": (_count(least=1), "--capacity 100k"),
    "max_temperature": (_number(least=0), "--max-temperature 0.7"),
    "batchable": (_texts, "--batchable nightly"),
    "workers": (_count(least=0), "--workers 4, or 0 for one per core"),
    "day_rate": (_number(least=0), "--day-rate 800"),
    "gpus": (_text, "--gpus 4xA100"),
    "model": (_text, "--model meta-llama/Llama-3.3-70B-Instruct"),
    "api_model": (_text, "--api-model gpt-4o"),
    "precision": (_text, "--precision fp8"),
    "engine": (_text, "--engine vllm@0.15.1"),
    "tp": (_count(least=1), "--tp 4"),
    "slo": (_text, '--slo "ttft.p95<1s,tpot.p95<50ms"'),
    "input": (_text, "--input 547 or --input lognormal:547,1500"),
    "output": (_text, "--output 248 or --output lognormal:248,600"),
    "requests_per_day": (_count(least=1), "--requests-per-day 200k"),
    "prefix_hit": (_number(least=0, most=0.99), "--prefix-hit 0.3, a share of the prompt tokens"),
    "growth": (_text, "--growth 15%/month"),
    "gpu_price": (_number(above=0), "--gpu-price 1.65, USD per GPU-hour"),
    "cloud": (_one_of("aws", "azure", "gcp", "specialised", "owned"), "--cloud aws"),
    "term": (_one_of("on-demand", "reserved", "spot", "owned"), "--term reserved"),
    "spare": (_count(least=0), "--spare 1, replicas that stand in for a broken one"),
    "autoscale": (_switch, "COSTPLAN_AUTOSCALE=true"),
    "open_price": (_text, "--open-price 0.60/0.80, USD per million input and output tokens"),
    "seller": (_text, "--seller together"),
    "fte": (_number(least=0), "--fte 0.5, engineers"),
    "salary": (_number(least=0), "--salary 205900, USD a year with everything on top"),
    "profile": (_path, "--profile measured.yaml"),
    "kv_dtype": (_text, "--kv-dtype fp8"),
    "replicas": (_count(least=1), "--replicas 4"),
    "max_num_seqs": (_count(least=1), "--max-num-seqs 256"),
    "max_num_batched_tokens": (_count(least=1), "--max-num-batched-tokens 8192"),
    "trace": (_text, "--trace log.jsonl"),
    "rate": (_text, "--rate 5, --rate 8:600s,20:600s or --rate inf --requests 1000"),
    "concurrency": (_count(least=1), "--concurrency 25 --requests 500"),
    "requests": (_count(least=1), "--requests 1000"),
    "cv": (_number(least=0, most=100), "--cv 1 is Poisson, 0 even gaps, 2 comes in bursts"),
    "routing": (_one_of("round-robin", "least-loaded", "prefix-affinity", "shared-queue"), "--routing least-loaded"),
    "autoscale_range": (_text, "--autoscale 1:4, the lowest and the highest number of replicas"),
    "cold_start": (_duration, "--cold-start 2m"),
    "speculative": (_text, "--speculative 3,0.7"),
    "seed": (_count(least=0), "--seed 7"),
    "tasks": (_text, "--tasks builtin or --tasks tasks.yaml"),
    "margin": (_number(above=0, most=100), "--margin 5, points that may be lost"),
    "relative": (_switch, "COSTPLAN_RELATIVE=true"),
    "grader_command": (_text, '--grader-command "python grade.py"'),
    "base_usd_per_mtok": (_text, "--base-usd-per-mtok 2.50/10, input and output"),
    "candidate_usd_per_mtok": (_text, "--candidate-usd-per-mtok 0.15/0.60, input and output"),
    "show_text": (_switch, "COSTPLAN_SHOW_TEXT=true"),
    "max_gpus": (_count(least=1), "--max-gpus 64"),
    "price": (_one_of("on-demand", "reserved", "spot"), "--price reserved"),
    "url": (_text, "--url http://127.0.0.1:8000/v1"),
    "known_as": (_text, "--as meta-llama/Llama-3.1-8B-Instruct"),
    "serve": (_text, "--serve meta-llama/Llama-3.1-8B-Instruct"),
    "quantization": (_text, "--quantization awq"),
    "serve_args": (_text, '--serve-args "--max-model-len 8192"'),
    "speed": (_number(above=0), "--speed 2, twice as fast as recorded"),
    "window": (_text, "--window 0:600s"),
    "max_gap": (_duration, "--max-gap 5s"),
    "sweep": (_switch, "COSTPLAN_SWEEP=true"),
    "sessions": (_switch, "--no-sessions"),
    "warm_up": (_text, "--warm-up 20 (requests) or --warm-up 30s"),
    "prompts": (_one_of("auto", "log", "synthetic"), "--prompts synthetic"),
    "endpoint": (_one_of("auto", "chat", "completions"), "--endpoint completions"),
    "salt": (_text, "--salt monday"),
    "collect": (_switch, "COSTPLAN_COLLECT=true"),
    "samples": (_count(least=1), "--samples 100, of each stratum"),
    "max_failures": (_count(least=1), "--max-failures 10"),
    "timeout": (_duration, "--timeout 10m"),
    "processes": (_count(least=0), "--processes 2, or 0 for as many as it takes"),
    "save_profile": (_path, "--save-profile my-server.yaml"),
    "earlier": (_texts, "--with replay-of-yesterday"),
    "api_key_env": (_text, "--api-key-env MY_KEY, the name of an environment variable"),
    "out": (_path, "--out measured"),
    "threshold": (_number(above=0, most=1), "--threshold 0.92, the least cosine that is served"),
    "semantic": (_on_off, "--semantic off"),
    "max_wrong": (_number(above=0, most=1), "--max-wrong 0.02, a share of the semantic hits"),
    "penalty": (_number(least=0), "--penalty 0.50, USD a wrong answer costs"),
    "judging": (_number(least=0), "--judging 0.002, USD it costs to judge one answer"),
    "embedder": (_one_of("static", "minilm"), "--embedder minilm"),
    "embeddings": (_path, "--embeddings vectors.npy, one row for each request of the log"),
    "labels": (_path, "--labels labels.csv"),
    "keep": (_number(above=0, most=1), "--keep 0.65, the share of tokens that stays"),
    "rung": (
        _some_of("exact", "reformat", "repeats", "tool_results", "lossy"),
        "--rung exact,reformat (of exact, reformat, repeats, tool_results, lossy)",
    ),
    "roles": (_some_of("system", "user", "assistant", "tool"), "--roles user,tool"),
    "sample": (_count(least=1), "--sample 500, requests that the lossy rung is tried on"),
    "lm": (_path, "--lm models/smollm2-135m, a directory or a .gguf file"),
    "cheap": (_texts, "--cheap gpt-4o-mini"),
    "quality": (_path, "--quality quality.csv"),
    "ptu": (_switch, "--ptu"),
    "scale_to_invoice": (_switch, "--scale-to-invoice"),
    "invoice": (_path, "--invoice bill.csv"),
    "policy": (_one_of("site", "complexity", "request", "cascade"), "--policy site"),
    "max_loss": (_number(least=0, most=100), "--max-loss 5, points"),
    "output_ratio": (_range, "--output-ratio 0.6:0.8:1.1, low, expected and high"),
    "by": (_texts, "--by model or --by call_site,hour"),
    "where": (_text, "--where 'model~gpt-4 and tag=search'"),
    "top": (_count(least=1), "--top 20"),
    "sort": (_one_of("cost", "requests", "input", "output", "failed", "name"), "--sort requests"),
    "slice_by": (_some_of("site", "model", "level", "tag"), "--slice-by site,level"),
}
