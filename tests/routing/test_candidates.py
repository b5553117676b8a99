"""Cheaper models: sizes of one generation, withdrawn ones left out, what a request needs, facts with a source."""

from pathlib import Path

import numpy as np
import pytest
from costplan.errors import CostplanError
from costplan.prices import PriceKey, compile_rates
from costplan.profiles.capabilities import Capability, capabilities
from costplan.routing.candidates import Candidate, Needs, cheaper_for, stem, unfit

DAY_US = 86_400_000_000
NOW = 20_780 * DAY_US  # 2026-11-23


def names(provider: str, model: str, **options: object) -> list[str]:
    return [each.model for each in cheaper_for(provider, model, time_us=NOW, **options)]  # type: ignore[arg-type]


def test_other_sizes_of_the_same_generation_are_proposed_dearest_first() -> None:
    assert names("openai", "gpt-4o-2024-08-06") == ["gpt-4o-mini"]
    assert names("anthropic", "claude-opus-4-5") == ["claude-sonnet-4-5", "claude-haiku-4-5"]
    assert names("google", "gemini-2.5-pro") == ["gemini-2.5-flash", "gemini-2.5-flash-lite"]
    assert stem("claude-3-5-haiku-20241022") == stem("claude-3-5-sonnet-latest")


def test_a_withdrawn_model_is_no_candidate() -> None:
    """gpt-4.1-nano is withdrawn on 2026-10-23, claude-sonnet-4-5 a week after the day of these tests."""
    early = [each.model for each in cheaper_for("openai", "gpt-4.1", time_us=NOW - 60 * DAY_US)]
    assert early == ["gpt-4.1-mini", "gpt-4.1-nano"] and names("openai", "gpt-4.1") == ["gpt-4.1-mini"]


def test_without_a_sibling_small_models_of_the_maker_below_half_the_price() -> None:
    found = cheaper_for("openai", "gpt-4-turbo", time_us=NOW)
    assert 0 < len(found) <= 3 and all(each.model.startswith("gpt-") for each in found)
    assert not any("audio" in each.model or "realtime" in each.model for each in found)
    assert cheaper_for("", "a-model-nobody-knows", time_us=NOW) == []


def test_named_models_take_the_place_of_proposals_and_must_be_cheaper() -> None:
    assert names("openai", "gpt-4o", named=["claude-haiku-4-5", "gpt-4-turbo"]) == ["claude-haiku-4-5"]
    assert names("openai", "gpt-4o", named=["groq/llama-3.1-8b-instant"]) == ["llama-3.1-8b-instant"]


def test_a_price_file_counts(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("models:\n  - model: my-small\n    input: 0.01\n    output: 0.02\n")
    assert names("openai", "gpt-4o", named=["my-small"], price_file=prices) == ["my-small"]


def test_what_a_request_needs_and_is_not_there_or_not_known_excludes_it() -> None:
    def reasons(capability: Capability) -> dict[str, list[int]]:
        candidate = Candidate(provider="x", model="y", usd_per_mtok=1.0, capability=capability)
        needs = Needs(
            tokens=np.array([10, 10_000, 10, 10]), tools=np.array([False, False, True, False]),
            json=np.array([False, False, True, True]), vision=np.zeros(4, bool),
        )  # fmt: skip
        return {name: np.flatnonzero(where).tolist() for name, where in unfit(candidate, needs).items()}

    assert reasons(Capability(context=20_000, tools=True, json=True)) == {}
    assert reasons(Capability(context=8_000, tools=True, json=False)) == {
        "longer than its context": [1],
        "no JSON": [2, 3],
    }
    unknown = reasons(Capability(context=20_000))
    assert unknown == {"tools: not known": [2], "JSON: not known": [2, 3]}
    assert reasons(Capability(tools=True, json=True)) == {"its context is not known": [0, 1, 2, 3]}


def test_every_model_with_capabilities_has_a_price_under_its_name() -> None:
    known = sorted(capabilities().models)
    table = compile_rates([PriceKey(seller, model) for seller, model in known])
    found = [table.describe(index) for index in range(len(known))]
    assert [(note.provider, note.model) for note in found] == known
    assert capabilities().source.startswith("https://") and len(known) > 200


def test_a_mistake_in_the_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "capabilities.yaml"
    path.write_text("source: x\nlicence: MIT\nchecked: 2026-11-23\nmodels:\n  openai:\n    gpt-x: {tools: maybe}\n")
    with pytest.raises(CostplanError, match=r"capabilities.yaml:6: 'tools' must be true or false"):
        capabilities(path)
