"""The part of a call's prompts that never changes: a system prompt and tools of the stated length."""

from typing import Any

from costplan.generate.calls import End, Site
from costplan.generate.documents import PARAGRAPH, compact, paragraphs
from costplan.generate.draws import below, pick, stream
from costplan.generate.language import facts, grammar
from costplan.scenario.spec import CallSpec
from costplan.tokens import TOKENS_PER_MESSAGE, counter, encoding_of

_TOOLS_SHARE = 0.5
"""Of the prefix at most, but for the first tool."""
_PROPERTIES = ("id", "place", "amount", "unit", "reason", "limit", "owner", "date_from", "date_to", "language")


def site_of(spec: CallSpec, index: int, seed: int) -> Site:
    """The site; its prefix is at least as long as stated, by less than a sentence."""
    rng = stream(seed, "site", spec.name)
    count = counter(encoding_of(spec.model)[0])
    tools: list[dict[str, Any]] = []
    framed = 0
    for number in range(spec.tools):
        thing, verb = pick(rng, grammar()["things"]), pick(rng, grammar()["pairs"])["do"][0]
        name = f"{verb} {thing} {number}".replace(" ", "_")
        more = [*tools, _tool(name, facts(rng, {}, 1)[0], below(rng, len(_PROPERTIES)))]
        size = count(compact(more)) + TOKENS_PER_MESSAGE
        if tools and size > _TOOLS_SHARE * spec.prefix_tokens:
            break
        tools, framed = more, size
    room = spec.prefix_tokens - framed - TOKENS_PER_MESSAGE
    sentences = [f"You answer for the {spec.name} desk. Be brief and polite."]
    while room > 0 and count(paragraphs(sentences)) < room:
        sentences += facts(rng, {}, 1)
    system = paragraphs(sentences) if room > 0 else ""
    tokens = framed + (count(system) + TOKENS_PER_MESSAGE if system else 0)
    start = End(hash((spec.model, system, compact(tools))), tokens, tokens)
    return Site(index, spec, system, tools, start, count)


def _tool(name: str, about: str, first: int) -> dict[str, Any]:
    chosen = [_PROPERTIES[(first + step) % len(_PROPERTIES)] for step in range(PARAGRAPH)]
    schema = {
        "type": "object",
        "properties": {each: {"type": "string", "description": f"the {each}"} for each in chosen},
        "required": chosen[:2],
    }
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}
