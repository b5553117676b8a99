"""The counters and gauges of a vLLM server, from the text of its /metrics; knows neither HTTP nor when to ask.

Names as in vLLM 0.32 (vllm/v1/metrics/loggers.py) without the prefix and `_total`; older names are taken for the newer.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"^vllm:(?P<name>\w+)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)", re.ASCII | re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_COUNTERS = frozenset({
    "prompt_tokens", "prompt_tokens_cached", "prompt_tokens_by_source", "generation_tokens", "prefix_cache_queries",
    "prefix_cache_hits", "external_prefix_cache_queries", "external_prefix_cache_hits", "num_preemptions",
    "request_success", "admission_rejections", "spec_decode_num_drafts", "spec_decode_num_draft_tokens",
    "spec_decode_num_accepted_tokens",
})  # fmt: skip
_LABELLED = {
    "request_success": "finished_reason",
    "prompt_tokens_by_source": "source",
    "admission_rejections": "reason",
}
_HISTOGRAMS = frozenset({
    "time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds",
    "request_queue_time_seconds", "request_inference_time_seconds", "request_prefill_time_seconds",
    "request_decode_time_seconds", "iteration_tokens",
})  # fmt: skip
_GAUGES = {
    "num_requests_running": "running",
    "num_requests_waiting": "waiting",
    "kv_cache_usage_perc": "kv_cache_usage",
}
_RENAMED = {  # until vLLM 0.10 or so
    "gpu_cache_usage_perc": "kv_cache_usage_perc",
    "gpu_prefix_cache_queries": "prefix_cache_queries",
    "gpu_prefix_cache_hits": "prefix_cache_hits",
    "time_per_output_token_seconds": "inter_token_latency_seconds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One look; engines behind one server are added up, the fullest KV cache counts."""

    counters: dict[str, float] = field(default_factory=dict[str, float])
    """`generation_tokens`, `request_success.stop`, `time_to_first_token_seconds_sum` and `_count`, ..."""
    gauges: dict[str, float] = field(default_factory=dict[str, float])
    """`running`, `waiting` in requests; `kv_cache_usage` from 0 to 1."""
    info: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """The labels of `cache_config_info`."""


def parse_metrics(text: str) -> Scrape:
    """From the Prometheus text format 0.0.4; lines of other programs and of other shapes are passed over."""
    counters: dict[str, float] = defaultdict(float)
    gauges: dict[str, float] = defaultdict(float)
    info: dict[str, dict[str, str]] = {}
    for match in _SAMPLE.finditer(text):
        raw = match["name"]
        if raw.endswith(("_bucket", "_created")):
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        base, part = _split(raw)
        if part and base in _HISTOGRAMS:
            counters[f"{base}_{part}"] += value
        elif base in _COUNTERS:
            by = _LABELLED.get(base)
            label = f".{_labels(match['labels']).get(by, '')}" if by else ""
            counters[base + label] += value
        elif base in _GAUGES:
            name = _GAUGES[base]
            gauges[name] = max(gauges[name], value) if name == "kv_cache_usage" else gauges[name] + value
        elif base == "cache_config_info":
            info.setdefault(base, _labels(match["labels"]))
    return Scrape(counters=dict(counters), gauges=dict(gauges), info=info)


def difference(before: Scrape, after: Scrape) -> dict[str, float] | None:
    """What the counters gained; None when one fell, since then the server was started anew in between."""
    gained = {name: value - before.counters.get(name, 0.0) for name, value in sorted(after.counters.items())}
    return None if any(value < 0 for value in gained.values()) else gained


def mean_of(gained: dict[str, float], histogram: str) -> float | None:
    """Of the values that went into a histogram in the meantime."""
    count = gained.get(f"{histogram}_count", 0.0)
    return gained[f"{histogram}_sum"] / count if count else None


def _split(raw: str) -> tuple[str, str]:
    """(name, sum or count or nothing): `iteration_tokens_total_sum` -> (`iteration_tokens`, `sum`)."""
    name, part = raw, ""
    for suffix in ("sum", "count"):
        if raw.endswith(f"_{suffix}"):
            name, part = raw.removesuffix(f"_{suffix}"), suffix
    name = name.removesuffix("_total")
    return _RENAMED.get(name, name), part


def _labels(text: str | None) -> dict[str, str]:
    return dict(_LABEL.findall(text or ""))
