"""The truth in a few lines of text."""

from typing import Any

from costplan.units import plural

_NAMES = {
    "response_cache.exact": "response cache, by the letter",
    "response_cache.respelled": "response cache, by spelling",
    "response_cache.semantic": "response cache, by meaning (one that never errs)",
    "compression": "padding left out of prompts",
    "routing.easy": "easy calls to the cheaper model",
    "routing.all": "all calls to the cheaper model",
    "prompt_cache.marked": "prompt cache, prefixes marked",
    "prompt_cache.automatic": "prompt cache, every repeated prefix read",
    "batch": "marked calls in the batch tier",
}


def summary(truth: dict[str, Any], log: str) -> str:
    """What was written and what is planted, each lever by itself."""
    days, baseline = truth["days"], truth["baseline"]["usd"]
    size = f"{plural(truth['requests'], 'request')} in {plural(days, 'day')}"
    lines = [f"{log}: {size}, ${baseline:,.2f}; planted, each lever by itself:"]
    for name, label in _NAMES.items():
        saved = truth["levers"].get(name)
        if saved is not None and saved["requests"]:
            share = saved["usd"] / baseline if baseline else 0.0
            lines.append(f"  {label:<50} ${saved['usd']:>12,.4f} {share:>6.1%}  {plural(saved['requests'], 'request')}")
    traps = truth["semantic_cache"]["traps_within_reach"]
    if traps:
        lines.append(f"  {plural(traps, 'request')} look like a stored prompt and need another answer")
    return "\n".join([*lines, f"Next: costplan analyze {log} --price-date {truth['price_date']}"])
