"""Usage objects of every provider under the inclusive rule."""

import json
from pathlib import Path
from typing import Any

import pytest
from costplan.ingest.usage import Usage, side_usages, usage_of
from costplan.trace import BadRecord

BODIES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data/usage_bodies/usages.json").read_text(encoding="utf-8")
)
FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}


def provider_of(body: dict[str, Any]) -> tuple[str, set[str]]:
    """The provider and flavours whose extraction is this body's own, by its shape and model."""
    usage, model = body.get("usage") or {}, str(body.get("model"))
    if "usageMetadata" in body:
        return "google", {"default"}
    if "inputTokens" in usage:
        return "aws", {"default"}
    if "meta" in body or "billed_units" in usage:
        return "cohere", {"default", "embeddings"}
    if "cache_creation" in usage:
        return "anthropic", {"default"}
    if "input_tokens" in usage:
        return "openai", {"responses"}
    if "mistral" in model and "num_cached_tokens" in usage:
        return "mistral", {"default"}
    if "cost_details" in usage:
        return "openrouter", {"default", "chat"}
    if "queue_time" in usage:
        return "groq", {"default"}
    return "openai", {"chat" if "completion_tokens" in usage else "embeddings"}


def expected(row: dict[str, Any]) -> dict[str, int]:
    provider, flavours = provider_of(row["body"])
    for alternative in row["extracted"]:
        for extractor in alternative["extractors"]:
            if extractor["provider_id"] == provider and extractor["api_flavor"] in flavours:
                return alternative["usage"]
    return row["extracted"][0]["usage"]


def differences() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in BODIES:
        usage, want = usage_of(row["body"]), expected(row)
        assert usage is not None, row["body"]
        wrong = [ours for ours, theirs in FIELDS.items() if (getattr(usage, ours) or 0) != want.get(theirs, 0)]
        for field in wrong:
            found.setdefault(field, []).append(str(row["body"].get("model")))
    return found


def test_real_bodies_give_the_expected_counts_and_every_difference_has_a_name() -> None:
    """797 bodies times five fields; the two known differences are on purpose."""
    found = differences()
    # Mistral reports num_cached_tokens; the reference ignores it, we read it (input and output agree).
    assert set(found.pop("cache_read_tokens")) == {"mistral-medium-latest", "mistral-large-latest"}
    # Gemini's OpenAI endpoint leaves thoughts out of completion_tokens but charges them: they stand in total_tokens.
    assert found.pop("output_tokens") == ["gemini-2.5-pro-preview-05-06"] * 2
    assert found.pop("reasoning_tokens") == ["gemini-2.5-pro-preview-05-06"] * 2
    assert found == {}
    comparisons = len(BODIES) * len(FIELDS)
    missed = sum(len(models) for models in differences().values())
    assert len(BODIES) == 797
    assert 1 - missed / comparisons >= 0.99


def test_every_real_body_holds_the_token_invariants() -> None:
    for row in BODIES:
        usage = usage_of(row["body"])
        assert usage is not None
        assert usage.cache_read_tokens + usage.cache_write_tokens <= (usage.input_tokens or 0)
        assert usage.reasoning_tokens <= (usage.output_tokens or 0)
        assert usage.cache_write_1h_tokens <= usage.cache_write_tokens


def test_web_searches_and_audio_are_units_of_their_own() -> None:
    searched = [row for row in BODIES if "web_searches" in expected(row)]
    assert searched
    for row in searched:
        usage = usage_of(row["body"])
        assert usage and usage.other_units["web_searches"] == expected(row)["web_searches"]
    usage = usage_of(
        {"usage": {"prompt_tokens": 81, "completion_tokens": 72, "prompt_tokens_details": {"audio_tokens": 69}}}
    )
    assert usage and usage.other_units == {"input_audio_tokens": 69}


def test_anthropic_cache_reads_and_writes_are_added_to_the_input() -> None:
    """5 + 128,955 read + 1,253 written (of which 1,000 for an hour) = 130,213."""
    usage = usage_of(
        {
            "usage": {
                "input_tokens": 5,
                "cache_read_input_tokens": 128_955,
                "cache_creation_input_tokens": 1_253,
                "cache_creation": {"ephemeral_5m_input_tokens": 253, "ephemeral_1h_input_tokens": 1_000},
                "output_tokens": 7,
            }
        }
    )
    assert usage == Usage(130_213, 7, 128_955, 1_253, 1_000, 0, {}, True, "anthropic")


def test_compaction_is_added_and_an_advisor_is_a_usage_of_its_own() -> None:
    """Top level 23,000 in and 1,000 out; compaction read 180,000 and wrote 3,500: 203,000 in and 4,500 out."""
    counts = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    body = {
        "usage": {
            "input_tokens": 23_000,
            "output_tokens": 1_000,
            **counts,
            "iterations": [
                {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500, **counts},
                {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000, **counts},
                {
                    "type": "advisor_message",
                    "model": "claude-opus-4-8",
                    "input_tokens": 9,
                    "output_tokens": 2,
                    **counts,
                },
            ],
        }
    }
    usage = usage_of(body)
    assert usage and (usage.input_tokens, usage.output_tokens) == (203_000, 4_500)
    [(model, side)] = side_usages(body)
    assert (model, side.input_tokens, side.output_tokens) == ("claude-opus-4-8", 9, 2)


def test_the_two_names_of_one_bedrock_cache_counter_are_not_added_up() -> None:
    """458 + 2,098 = 2,556, not 458 + 2 x 2,098."""
    usage = usage_of(
        {
            "usage": {
                "inputTokens": 458,
                "outputTokens": 4,
                "cacheReadInputTokens": 2098,
                "cacheReadInputTokenCount": 2098,
            }
        }
    )
    assert usage and (usage.input_tokens, usage.cache_read_tokens) == (2556, 2098)


def test_bedrock_one_hour_writes_are_told_apart() -> None:
    details = [{"inputTokens": 100, "ttl": "1h"}, {"inputTokens": 20, "ttl": "5m"}]
    usage = usage_of(
        {"usage": {"inputTokens": 3, "outputTokens": 1, "cacheWriteInputTokens": 120, "cacheDetails": details}}
    )
    assert usage and (usage.input_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens) == (123, 120, 100)


def test_gemini_thoughts_are_output_and_tool_prompts_are_input() -> None:
    metadata = {
        "promptTokenCount": 209,
        "toolUsePromptTokenCount": 286,
        "candidatesTokenCount": 206,
        "thoughtsTokenCount": 131,
    }
    usage = usage_of({"usageMetadata": metadata})
    assert usage and (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (495, 337, 131)
    snake = {"prompt_token_count": 10, "candidates_token_count": 2, "thoughts_token_count": 3}
    usage = usage_of({"usage_metadata": snake})
    assert usage and (usage.input_tokens, usage.output_tokens) == (10, 5)


def test_reasoning_beside_the_completion_is_added_once() -> None:
    """xAI: 30 + 20 + 50 reasoning = total 100, so the output is 70."""
    usage = {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 100}
    found = usage_of({"usage": {**usage, "completion_tokens_details": {"reasoning_tokens": 50}}})
    assert found and (found.output_tokens, found.reasoning_tokens) == (70, 50)


def test_a_plain_mismatch_of_the_total_changes_nothing() -> None:
    found = usage_of({"model": "gpt-4o", "usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 99}})
    assert found == Usage(30, 20)


def test_titan_and_llama_bodies_carry_their_counts_at_the_top() -> None:
    assert usage_of({"inputTextTokenCount": 30, "results": [{"tokenCount": 29}]}) == Usage(30, 29, rule="bedrock")
    assert usage_of({"prompt_token_count": 8, "generation_token_count": 35}) == Usage(8, 35, rule="bedrock")


def test_embeddings_have_no_output() -> None:
    assert usage_of({"usage": {"prompt_tokens": 4, "total_tokens": 4}}) == Usage(4, 0)


def test_the_short_way_for_openai_reads_what_the_long_way_reads() -> None:
    usage = {"prompt_tokens": 92, "completion_tokens": 17, "total_tokens": 109}
    details = {"prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 8}}
    short = usage_of({"usage": {**usage, **details}})
    assert short == usage_of({"usage": {**usage, **details, "cost": 0.1}})
    assert short == Usage(92, 17, 64, 0, 0, 8, {}, True)


@pytest.mark.parametrize("body", [{}, {"usage": None}, {"usage": {}}, {"usage": {"total_tokens": 4}}, {"meta": {}}])
def test_no_counts_is_no_usage(body: dict[str, Any]) -> None:
    assert usage_of(body) is None


@pytest.mark.parametrize(
    "usage", [[1], "many", 7, {"prompt_tokens": "x"}, {"input_tokens": True}, {"inputTokens": 0.5}]
)
def test_unusable_usage_is_a_bad_record(usage: Any) -> None:
    with pytest.raises(BadRecord):
        usage_of({"usage": usage})
