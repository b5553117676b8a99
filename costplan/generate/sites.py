"""The part of a call's prompts that never changes: a system prompt and tools of the stated length."""

from typing import Any

from costplan.generate.calls import End, Site
from costplan.generate.documents import PARAGRAPH, compact, paragraphs
from costplan.generate.draws import below, pick, stream
from costplan.generate.language import facts, grammar
from costplan.scenario.spec import CallSpec
from costplan.tokens import TOKENS_PER_MESSAGE, counter, encoding_of

_TOOLS_SHARE = 0.5
_PROPERTIES = ("id", "place", "amount", "unit", "reason", "limit", "owner", "date_from", "date_to", "language")


def site_of(spec: CallSpec, index: int, seed: int) -> Site:
    """The site; its prefix is at least as long as stated, by less than a sentence."""
    rng = stream(seed, "site", spec.name)
    count = counter(encoding_of(spec.model)[0])
    tools: list[dict[str, Any]] = []
    for number in range(spec.tools):
        thing = pick(rng, grammar()["things"]).replace(" ", "_")
        verb = pick(rng, grammar()["pairs"])["do"][0].replace(" ", "_")
        tools.append(_tool(f"{verb}_{thing}_{number}", facts(rng, {}, 1)[0], below(rng, len(_PROPERTIES))))
    framed = count(compact(tools)) + TOKENS_PER_MESSAGE if tools else 0
    room = spec.prefix_tokens - framed - TOKENS_PER_MESSAGE
    while tools and framed > _TOOLS_SHARE * spec.prefix_tokens and len(tools) > 1:
        tools.pop()
        framed = count(compact(tools)) + TOKENS_PER_MESSAGE
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
