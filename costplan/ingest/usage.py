"""Provider usage objects, told apart by shape and read under one inclusive rule; knows no record, model or price.

Inclusive already: OpenAI chat and Responses, Groq, Mistral, DeepSeek, OpenRouter, vLLM, LangChain, Cohere, embeddings.
Exclusive of cache: Anthropic, Bedrock Converse (reads and writes are added to the input).
Gemini counts the cache in, tool-use prompts and thoughts out (both are added).
"""

from typing import Any, cast

import msgspec

from costplan.ingest.fields import as_dict, as_float, as_int, as_list
from costplan.trace import BadRecord


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts under the inclusive rule; None where the body does not say. `rule` names what they came from."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    other_units: dict[str, float] = {}
    cache_reported: bool = False
    rule: str = "openai_chat"


_CACHED = ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", "cache_read_input_tokens")
_OPENAI = frozenset(
    ["prompt_tokens", "completion_tokens", "total_tokens"] + ["prompt_tokens_details", "completion_tokens_details"]
)
_NOTHING: dict[str, Any] = {}
_MODALITY = {"AUDIO": "audio", "IMAGE": "image"}


def usage_of(body: dict[str, Any]) -> Usage | None:
    """Usage in a response body (or in a bare usage object); None without counts. Raises BadRecord on broken ones."""
    usage: Any = body.get("usage")
    if type(usage) is not dict:
        usage = _elsewhere(body, usage)
    usage = cast(dict[str, Any], usage)
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return _chat(usage, body)
    if "input_tokens" in usage or "output_tokens" in usage:
        if "input_tokens_details" in usage or "input_token_details" in usage:
            return _responses(usage)
        anthropic = "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage
        return _anthropic(usage) if anthropic or "total_tokens" not in usage else _responses(usage)
    if "inputTokens" in usage or "outputTokens" in usage:
        return _converse(usage)
    if "generation_token_count" in usage:  # Llama in Bedrock invoke
        return Usage(as_int(usage.get("prompt_token_count")), as_int(usage["generation_token_count"]), rule="bedrock")
    if "inputTextTokenCount" in usage:  # Titan in Bedrock invoke
        parts = [as_int(as_dict(part).get("tokenCount")) or 0 for part in as_list(usage.get("results"))]
        return Usage(as_int(usage["inputTextTokenCount"]), sum(parts), rule="bedrock")
    if "inputTokenCount" in usage or "outputTokenCount" in usage:  # amazon-bedrock-invocationMetrics
        return _converse({k.replace("TokenCount", "Tokens"): v for k, v in usage.items()})
    if usage.get("type") == "duration":  # transcriptions charged by the second
        return Usage(0, 0, other_units={"input_audio_seconds": as_float(usage.get("seconds")) or 0.0})
    if "billed_units" in usage or isinstance(usage.get("tokens"), dict):
        return _cohere(usage)
    return _gemini(usage)


def side_usages(body: dict[str, Any]) -> list[tuple[str, Usage]]:
    """(model, usage) of sub-inferences that ran on another model inside this call and stand outside its own counts.

    Anthropic lists them in `usage.iterations` (advisor tool), each with its own `model`.
    """
    iterations: Any = as_dict(body.get("usage")).get("iterations")
    if not isinstance(iterations, list):
        return []
    found = [as_dict(item) for item in cast(list[Any], iterations)]
    return [(str(item["model"]), _anthropic(item)) for item in found if item.get("model")]


def _elsewhere(body: dict[str, Any], usage: Any) -> dict[str, Any]:
    """The usage object where it is not a mapping under `usage`: a JSON string, another key, or the body itself."""
    if usage:
        decoded = as_dict(usage)
        if not decoded:
            raise BadRecord("bad_usage")
        return decoded
    for key in ("usageMetadata", "usage_metadata", "meta", "amazon-bedrock-invocationMetrics"):
        found: Any = body.get(key)
        if isinstance(found, dict) and found:
            return cast(dict[str, Any], found)
    return body


def _first(usage: dict[str, Any], *keys: str) -> int:
    """The first count that is there, else 0: aliases of one counter must never be added up."""
    for key in keys:
        value = usage.get(key)
        if value is not None:
            return as_int(value) or 0
    return 0


def _chat(usage: dict[str, Any], body: dict[str, Any]) -> Usage:
    prompt, completion = as_int(usage.get("prompt_tokens")), as_int(usage.get("completion_tokens"))
    total = as_int(usage.get("total_tokens"))
    if len(usage) == 3 and prompt is not None and completion is not None and total == prompt + completion:
        return Usage(prompt, completion)
    if usage.keys() <= _OPENAI and prompt is not None and completion is not None and total == prompt + completion:
        known, spent = (
            usage.get("prompt_tokens_details") or _NOTHING,
            usage.get("completion_tokens_details") or _NOTHING,
        )
        if type(known) is type(spent) is dict and not (
            known.get("audio_tokens")
            or known.get("cache_write_tokens")
            or "cache_creation_tokens" in known
            or spent.get("audio_tokens")
        ):
            read, reasoning = as_int(known.get("cached_tokens")) or 0, as_int(spent.get("reasoning_tokens")) or 0
            return Usage(prompt, completion, read, 0, 0, reasoning, {}, "cached_tokens" in known)
    # Assistants runs spell it prompt_token_details
    details = as_dict(usage.get("prompt_tokens_details") or usage.get("prompt_token_details"))
    out = as_dict(usage.get("completion_tokens_details"))
    read = _first(details, "cached_tokens") or _first(usage, *_CACHED)
    write = _first(details, "cache_write_tokens", "cache_creation_tokens") or _first(
        usage, "cache_creation_input_tokens"
    )
    write_1h = _first(as_dict(details.get("cache_creation_token_details")), "ephemeral_1h_input_tokens")
    reasoning = _first(out, "reasoning_tokens")
    if prompt is not None and total is not None:
        if completion is None:
            completion = max(0, total - prompt)  # embeddings: total == prompt
        hidden = total - prompt - completion
        # xAI counts reasoning beside completion_tokens; Gemini's OpenAI endpoint leaves thoughts only in the total
        if hidden > 0 and (hidden == reasoning or ("gemini" in str(body.get("model")) and not read and not write)):
            completion += hidden
            reasoning = max(reasoning, hidden)
    units = _units({"input_audio_tokens": details, "output_audio_tokens": out}, "audio_tokens")
    reported = "cached_tokens" in details or any(key in usage for key in _CACHED)
    return Usage(prompt, completion, read, write, write_1h, reasoning, units, reported)


def _responses(usage: dict[str, Any]) -> Usage:
    # LangChain's usage_metadata is the same shape with singular names and its own two cache keys
    details = as_dict(usage.get("input_tokens_details") or usage.get("input_token_details"))
    out = as_dict(usage.get("output_tokens_details") or usage.get("output_token_details"))
    units = _units({"input_audio_tokens": details, "output_audio_tokens": out}, "audio_tokens", "audio")
    units |= _units({"input_image_tokens": details, "output_image_tokens": out}, "image_tokens")
    _searches(usage, units)
    write_1h = _first(details, "ephemeral_1h_input_tokens")
    return Usage(
        as_int(usage.get("input_tokens")),
        as_int(usage.get("output_tokens")),
        _first(details, "cached_tokens", "cache_read"),
        # LangChain leaves the sum at 0 where it knows the parts
        _first(details, "cache_write_tokens", "cache_creation")
        or write_1h + _first(details, "ephemeral_5m_input_tokens"),
        write_1h,
        _first(out, "reasoning_tokens", "reasoning", "thinking_tokens"),
        units,
        "cached_tokens" in details or "cache_read" in details,
        "openai_responses",
    )


def _anthropic(usage: dict[str, Any]) -> Usage:
    split = as_dict(usage.get("cache_creation"))
    write_1h = _first(split, "ephemeral_1h_input_tokens")
    read = _first(usage, "cache_read_input_tokens")
    write = _first(usage, "cache_creation_input_tokens") or write_1h + _first(split, "ephemeral_5m_input_tokens")
    tokens_in, tokens_out = as_int(usage.get("input_tokens")), as_int(usage.get("output_tokens"))
    units: dict[str, float] = {}
    _searches(usage, units)
    reasoning = _first(as_dict(usage.get("output_tokens_details")), "thinking_tokens", "reasoning_tokens")
    inclusive = None if tokens_in is None else tokens_in + read + write
    for item in as_list(usage.get("iterations")):
        # A compaction pass is billed to the same model and stands outside the top-level counts
        if isinstance(item, dict) and cast(dict[str, Any], item).get("type") == "compaction":
            extra = _anthropic({k: v for k, v in cast(dict[str, Any], item).items() if k != "iterations"})
            inclusive = (inclusive or 0) + (extra.input_tokens or 0)
            tokens_out = (tokens_out or 0) + (extra.output_tokens or 0)
            read, write = read + extra.cache_read_tokens, write + extra.cache_write_tokens
            write_1h += extra.cache_write_1h_tokens
    reported = "cache_read_input_tokens" in usage
    return Usage(inclusive, tokens_out, read, write, write_1h, reasoning, units, reported, "anthropic")


def _converse(usage: dict[str, Any]) -> Usage:
    read = _first(usage, "cacheReadInputTokens", "cacheReadInputTokenCount")
    write = _first(usage, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    tokens_in = as_int(usage.get("inputTokens"))
    split = [as_dict(item) for item in as_list(usage.get("cacheDetails"))]
    write_1h = sum(_first(item, "inputTokens") for item in split if item.get("ttl") == "1h")
    reported = "cacheReadInputTokens" in usage or "cacheReadInputTokenCount" in usage
    inclusive = None if tokens_in is None else tokens_in + read + write
    return Usage(inclusive, as_int(usage.get("outputTokens")), read, write, write_1h, 0, {}, reported, "bedrock")


def _gemini(usage: dict[str, Any]) -> Usage | None:
    if "prompt_token_count" in usage or "candidates_token_count" in usage:  # the Python SDK's own dump
        usage = {_camel(key): value for key, value in usage.items()}
    if "promptTokenCount" not in usage and "candidatesTokenCount" not in usage:
        return None
    thoughts, units = _first(usage, "thoughtsTokenCount"), dict[str, float]()
    for direction, key in (("input", "promptTokensDetails"), ("output", "candidatesTokensDetails")):
        for part in map(as_dict, as_list(usage.get(key))):
            name = _MODALITY.get(str(part.get("modality")))
            count = _first(part, "tokenCount", "token_count")
            # Only where Google charges another rate: audio both ways, images on the way out
            if count and name and (name == "audio" or direction == "output"):
                units[f"{direction}_{name}_tokens"] = count
    return Usage(
        _first(usage, "promptTokenCount") + _first(usage, "toolUsePromptTokenCount"),
        _first(usage, "candidatesTokenCount") + thoughts,
        _first(usage, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        other_units=units,
        cache_reported="cachedContentTokenCount" in usage,
        rule="gemini",
    )


def _cohere(usage: dict[str, Any]) -> Usage:
    """`billed_units` is what the invoice says; `tokens` also counts Cohere's own preamble and is not charged."""
    billed = as_dict(usage.get("billed_units")) or as_dict(usage.get("tokens"))
    searches = _first(billed, "search_units")
    units: dict[str, float] = {"rerank_searches": searches} if searches else {}
    return Usage(_first(billed, "input_tokens"), _first(billed, "output_tokens"), other_units=units, rule="cohere")


def _units(where: dict[str, dict[str, Any]], *keys: str) -> dict[str, float]:
    return {unit: float(count) for unit, details in where.items() if (count := _first(details, *keys))}


def _searches(usage: dict[str, Any], units: dict[str, float]) -> None:
    searches = _first(as_dict(usage.get("server_tool_use")), "web_search_requests")
    if searches:
        units["web_searches"] = searches


def _camel(key: str) -> str:
    head, *tail = key.split("_")
    return head + "".join(word.capitalize() for word in tail)
