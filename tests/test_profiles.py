"""Provider profiles: complete, sourced, dated; a mistake names its line."""

import hashlib
from datetime import date
from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.profiles import load_provider, profile_path, provider_policy

FILES = sorted(profile_path("providers").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_provider_rule_has_a_source_and_a_date(path: Path):
    policy = load_provider(path)
    assert policy.provider == path.stem
    for rule in (policy.cache, policy.batch):
        if rule is not None:
            assert rule.source.startswith("https://") and date(2026, 1, 1) <= rule.checked
    if policy.cache is not None:
        assert policy.cache.ttl_low_s <= policy.cache.ttl_s <= policy.cache.ttl_high_s


def test_the_nine_providers_are_there():
    expected = {"openai", "anthropic", "azure", "aws", "google", "deepseek", "mistral", "groq", "x-ai"}
    assert {path.stem for path in FILES} == expected


def test_openai_caches_in_steps_of_128_from_1024_tokens():
    cache = provider_policy("openai").cache
    assert cache is not None and (cache.mode, cache.min_tokens, cache.step_tokens) == ("automatic", 1024, 128)


def test_the_cache_minimum_depends_on_the_model():
    cache = provider_policy("anthropic").cache
    assert cache is not None and cache.max_breakpoints == 4 and cache.long_ttl_s == 3600
    assert cache.minimum_for("claude-haiku-4-5-20251001") == 4096
    assert cache.minimum_for("claude-sonnet-4-5") == 1024


def test_an_unknown_provider_caches_and_discounts_nothing():
    policy = provider_policy("acme")
    assert policy.cache is None and policy.batch is None


BATCH = "provider: a\nbatch:\n  discount: {}\n  stacks_with_cache: true\n  window_s: 1\n  source: s\n  checked: {}\n"
CACHE = (
    "provider: a\ncache:\n  mode: {}\n  min_tokens: {}\n  ttl_s: 1\n  ttl_low_s: 1\n  ttl_high_s: 1\n"
    "  source: s\n  checked: {}\n"
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("provider: a\nbatch:\n  discuont: 0.5\n", 3),
        ("provider: a\nbatch:\n  discount: 0.5\n", 3),
        ("provider: [a]\n", 1),
        (BATCH.format(2, "2026-11-23"), 3),
        (BATCH.format(0.5, "soon"), 7),
        (CACHE.format("maybe", 1, "2026-11-23"), 3),
        (CACHE.format("automatic", "few", "2026-11-23"), 4),
    ],
)
def test_a_mistake_in_a_profile_names_its_line(tmp_path: Path, text: str, line: int):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(CostplanError, match=rf"a\.yaml:{line}:"):
        load_provider(path)


def test_the_tokenizer_files_are_the_ones_their_note_names():
    note = profile_path("tokenizers", "SOURCE.md").read_text()
    for name in ("fb374d419588a4632f3f557e76b4b70aebbca790", "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"):
        assert hashlib.sha256(profile_path("tokenizers", name).read_bytes()).hexdigest() in note
