"""Documents in prompts as they are sent, and without what carries nothing: both are made, nothing is parsed."""

import json
from random import Random
from typing import Any

from costplan.generate.draws import below, pick
from costplan.generate.language import Slots, facts, grammar
from costplan.scenario.spec import Padding

PARAGRAPH = 4
"""Sentences: a few hundred characters."""
SENTENCE_TOKENS = 16.5
"""Mean of the sentences of profiles/grammar.yaml in o200k_base; only the size of a text hangs on it, no count."""
RECORD_TOKENS = 78.0
"""Of one record, printed over many lines."""


def document(rng: Random, about: Slots, tokens: int, padding: Padding) -> tuple[str, str]:
    """(as sent, without padding) about so many tokens of it; empty where there is no room for a sentence."""
    kind = rng.random(), rng.random(), rng.random()
    if kind[0] < padding.json:
        n = max(1, round(tokens / RECORD_TOKENS))
        records = [record(rng, about) for _ in range(n)]
        return f"Data:\n{pretty(records)}", f"Data:\n{compact(records)}"
    sentences = round(tokens / SENTENCE_TOKENS)
    twice = kind[1] < padding.repeated and sentences > 2 * PARAGRAPH
    text = paragraphs(facts(rng, about, sentences - PARAGRAPH * twice))
    sent = "\n\n".join((text, text.partition("\n\n")[0])) if twice else text
    if kind[2] < padding.blanks:
        sent = "\n".join(line + " " * (1 + below(rng, 8)) if line else line for line in sent.split("\n"))
    return sent, text


def paragraphs(sentences: list[str]) -> str:
    """Sentences in paragraphs, one sentence a line."""
    return "\n\n".join("\n".join(sentences[at : at + PARAGRAPH]) for at in range(0, len(sentences), PARAGRAPH))


def record(rng: Random, about: Slots) -> dict[str, Any]:
    """One row of what a tool or a database returns."""
    words = grammar()
    return {
        "id": 10_000 + below(rng, 90_000),
        "name": f"{pick(rng, words['kinds'])} {about.get('thing') or pick(rng, words['things'])}",
        "place": pick(rng, words["places"]),
        "amount": below(rng, 100_000) / 100,
        "unit": pick(rng, words["units"]),
        "tags": [pick(rng, words["kinds"]), pick(rng, words["aspects"])],
        "owner": {"role": pick(rng, words["people"]), "active": rng.random() < 0.7},
    }


def pretty(value: Any) -> str:
    """JSON over many lines."""
    return json.dumps(value, indent=2)


def compact(value: Any) -> str:
    """JSON without a blank."""
    return json.dumps(value, separators=(",", ":"))
