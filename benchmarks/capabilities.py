"""Writes profiles/capabilities.yaml: what each API model takes, out of the price file inside litellm's wheel.

    pip download --no-deps litellm==1.109.1 -d . && python -m benchmarks.capabilities litellm-*.whl 2026-11-23

Kept: chat models of the sellers below that genai-prices knows too, and only the fields costplan uses. Several names of
one model are one entry: the smallest context, and what all names that say anything agree on. A field that litellm does
not state is left out, which costplan reads as unknown, never as no.
"""

import json
import sys
import zipfile
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from costplan.prices.catalog import DAY_US, EPOCH, Offer, list_offer

SELLERS = {
    "openai": "openai", "anthropic": "anthropic", "gemini": "google", "vertex_ai-language-models": "google",
    "mistral": "mistral", "deepseek": "deepseek", "xai": "x-ai", "groq": "groq", "cohere_chat": "cohere",
    "azure": "azure", "bedrock": "aws", "bedrock_converse": "aws", "together_ai": "together", "moonshot": "moonshotai",
}  # fmt: skip
"""litellm's name of a seller -> that of genai-prices."""
FIELDS = {"tools": "supports_function_calling", "json": "supports_response_schema", "vision": "supports_vision"}
SOURCE = "https://pypi.org/project/litellm/{version}/, litellm/model_prices_and_context_window_backup.json"


def main() -> None:
    wheel, checked = Path(sys.argv[1]), sys.argv[2]
    with zipfile.ZipFile(wheel) as packed:
        listed: dict[str, Any] = json.loads(packed.read("litellm/model_prices_and_context_window_backup.json"))
    now_us = (datetime.fromisoformat(checked + "T00:00:00+00:00") - EPOCH).days * DAY_US
    found: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for name, facts in listed.items():
        seller = SELLERS.get(facts.get("litellm_provider", ""))
        if seller and facts.get("mode") in ("chat", "responses"):
            offer = list_offer(seller, name, "")
            quote = offer.at(now_us) if isinstance(offer, Offer) else None
            if quote is not None and quote.provider == seller and is_named(seller, quote.model):
                found[seller][quote.model].append(facts)
    lines = [
        "# What API models take, written by benchmarks/capabilities.py; a field that is not there is not known.",
        f"source: {SOURCE.format(version=wheel.name.split('-')[1])}",
        "licence: MIT (c) 2023 Berri AI",
        f"checked: {checked}",
        "models:",
    ]
    for seller in sorted(found):
        lines.append(f"  {seller}:")
        lines += [f"    {json.dumps(model)}: {{{entry(found[seller][model])}}}" for model in sorted(found[seller])]
    (Path(__file__).parents[1] / "profiles" / "capabilities.yaml").write_text("\n".join(lines) + "\n")


def is_named(seller: str, model: str) -> bool:
    """Whether the model's own id finds its price again."""
    offer = list_offer(seller, model, "")
    return isinstance(offer, Offer) and offer.at(0).model == model


def entry(names: list[dict[str, Any]]) -> str:
    """The fields of one model."""
    parts: list[str] = []
    contexts = [int(each["max_input_tokens"]) for each in names if each.get("max_input_tokens")]
    if contexts:
        parts.append(f"context: {min(contexts)}")
    for field, theirs in FIELDS.items():
        stated = {bool(each[theirs]) for each in names if each.get(theirs) is not None}
        if stated:
            parts.append(f"{field}: {'true' if stated == {True} else 'false'}")
    ends = [each.get("deprecation_date") for each in names]
    if all(ends):
        parts.append(f"retires: {max(ends)}")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
