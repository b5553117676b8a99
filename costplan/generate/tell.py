"""The truth in a few lines of text."""

from typing import Any

from costplan.units import plural


def summary(truth: dict[str, Any], log: str) -> str:
    """What was written and what is planted, each lever by itself."""
    baseline, size = (
        truth["baseline"]["usd"],
        f"{plural(truth['requests'], 'request')} in {plural(truth['days'], 'day')}",
    )
    lines = [f"{log}: {size}, ${baseline:,.2f}; planted, each lever by itself:"]
    for name, saved in truth["levers"].items():
        if saved["requests"]:
            label, share = name.replace("_", " ").replace(".", ", "), saved["usd"] / baseline if baseline else 0.0
            lines.append(f"  {label:<26} ${saved['usd']:>12,.4f} {share:>6.1%}  {plural(saved['requests'], 'request')}")
    traps = truth["semantic_cache"]["traps_within_reach"]
    lines += [f"  {plural(traps, 'request')} look like a stored prompt and need another answer"] if traps else []
    return "\n".join([*lines, f"Next: costplan analyze {log} --price-date {truth['price_date']}"])
