"""Prices: equality with genai-prices on random rows, names that must and must not find a price, the user's file."""

import pickle
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from costplan.errors import CostplanError
from costplan.prices import PriceKey, RateTable, compile_rates, nearest
from costplan.prices.catalog import CONTEXTS
from costplan.prices.contract import Contract
from costplan.prices.names import vouches
from costplan.prices.userfile import read_price_file

DATA = Path(__file__).parent / "data" / "prices"
LITELLM = DATA / "litellm_excerpt.json"


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def usd(table: RateTable, time: str, counts: dict[str, int], key: int = 0) -> float | None:
    """Price of one row; None = unpriced."""
    prompt = counts.get("input", 0)
    row = table.lookup(np.array([key], np.int32), np.array([us(time)]), np.array([prompt]))
    if row[0] < 0:
        return None
    names = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning")
    return float(table.cost_usd(row, *(np.array([counts.get(name, 0)]) for name in names)).total[0])


def price(
    provider: str, model: str, time: str = "2026-11-20", *, file: Path | None = None, **more: str
) -> float | None:
    """USD of 1 M input and 1 M output tokens, priced at the short-prompt rate."""
    table = compile_rates(
        [PriceKey(provider, model, more.get("tier", ""), more.get("operation", "chat"))], price_file=file
    )
    row = table.lookup(np.array([0], np.int32), np.array([us(time)]), np.array([1]))
    if row[0] < 0:
        return None
    rates = table.row(int(row[0]))
    return round((rates.input + rates.output) * 1e6, 6)


def test_random_rows_cost_what_genai_prices_says():
    """Random models of all providers, dates, tiers and token counts, to 1e-9 USD, wherever its price is effective."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import Usage

    rng = random.Random(20261123)
    snapshot = get_snapshot()
    models = [(p, m) for p in snapshot.providers for m in p.models]
    special = [(p, m) for p, m in models if m.price_variants or isinstance(m.prices, list)]
    keys = [PriceKey(p.id, m.id) for p, m in rng.sample(models, 250) + special]
    keys += [PriceKey(p.id, m.id, tier) for p, m in special if m.price_variants for tier in CONTEXTS]
    table = compile_rates(keys)
    compared = tiered = 0
    for index, key in enumerate(keys):
        for _ in range(6):
            first = datetime(2026, 8, 1, tzinfo=UTC) if key.tier else datetime(2024, 6, 1, tzinfo=UTC)
            last = datetime(2027, 2, 1, tzinfo=UTC)
            when = first + timedelta(seconds=rng.randrange(int((last - first).total_seconds())))
            prompt = rng.choice((0, 1, 900, 128_000, 128_001, 200_000, 200_001, 272_001, rng.randrange(1, 600_000)))
            read = rng.choice((0, rng.randint(0, prompt)))
            write = rng.choice((0, rng.randint(0, prompt - read)))
            counts = (prompt, read, write, rng.randint(0, write), out := rng.randrange(20_000), rng.randint(0, out))
            row = table.lookup(
                np.array([index], np.int32), np.array([int(when.timestamp()) * 1_000_000]), np.array([prompt])
            )
            if row[0] < 0:
                continue
            note = table.describe(index, int(row[0]))
            if key.tier and note.assumed:
                continue  # genai-prices would say the standard price; the assumption has tests of its own
            names = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "output_reasoning")
            usage = Usage(**{f"{name}_tokens": n for name, n in zip(names, counts, strict=True)})
            context = CONTEXTS.get(key.tier)
            provider = next(p for p in snapshot.providers if p.id == note.provider)
            model = next((m for m in provider.models if m.id == note.model), None)
            if model is None:
                continue  # sold by a host at its maker's price
            expected = model.calc_price(
                usage, provider, genai_request_timestamp=when, price_context=context
            ).total_price
            assert (
                abs(float(table.cost_usd(row, *(np.array([n]) for n in counts)).total[0]) - float(expected)) < 1e-9
            ), key
            compared += 1
            tiered += bool(key.tier)
    assert compared > 2500 and tiered > 500


def test_o3_costs_what_it_cost_on_the_day():
    table = compile_rates([PriceKey("openai", "o3")])
    assert usd(table, "2025-05-01T00:00", {"input": 1_000_000}) == pytest.approx(10)
    assert usd(table, "2025-07-01T00:00", {"input": 1_000_000}) == pytest.approx(2)
    assert table.describe(0).effective == "2025-06-10"


def test_deepseek_has_a_night_rate():
    table = compile_rates([PriceKey("deepseek", "deepseek-chat")])
    assert usd(table, "2026-01-01T00:29", {"output": 1_000_000}) == pytest.approx(0.55)
    assert usd(table, "2026-01-01T00:30", {"output": 1_000_000}) == pytest.approx(1.1)
    assert usd(table, "2026-01-01T16:30", {"output": 1_000_000}) == pytest.approx(0.55)


def test_a_prompt_over_the_bound_is_priced_whole_at_the_higher_rate():
    """gemini-2.5-pro: $1.25 per M up to 200,000 tokens, $2.50 for every token of a longer prompt."""
    table = compile_rates([PriceKey("google", "gemini-2.5-pro")])
    assert usd(table, "2026-11-01T00:00", {"input": 200_000}) == pytest.approx(0.25)
    assert usd(table, "2026-11-01T00:00", {"input": 200_001}) == pytest.approx(200_001 * 2.5e-6)


def test_cached_tokens_are_not_charged_twice():
    """claude-sonnet-4-5, 10,000 in of which 6,000 read, 3,000 written (1,000 for an hour); 500 out. In micro-USD:
    1,000 x 3 + 6,000 x 0.3 + 2,000 x 3.75 + 1,000 x 6 + 500 x 15 = 25,800."""
    table = compile_rates([PriceKey("anthropic", "claude-sonnet-4-5-20250929")])
    counts = {"input": 10_000, "cache_read": 6000, "cache_write": 3000, "cache_write_1h": 1000, "output": 500}
    assert usd(table, "2026-11-01T00:00", counts) == pytest.approx(0.0258, abs=1e-12)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("", "gpt-4o", 12.5),
        ("openai", "openai/gpt-4o", 12.5),
        ("", "openai/gpt-4o-2024-08-06", 12.5),
        ("azure.ai.openai", "gpt-4o", 12.5),
        ("", "azure/gpt-4o", 12.5),
        ("azure", "azure/eu/gpt-4o", 12.5),
        ("azure", "gpt-35-turbo", 2.0),
        ("", "azure_ai/gpt-4o", 12.5),
        ("anthropic", "claude-3-5-sonnet-20241022", 18.0),
        ("", "anthropic/claude-3-5-sonnet-20241022", 18.0),
        ("aws.bedrock", "anthropic.claude-3-5-sonnet-20240620-v1:0", 18.0),
        ("", "bedrock/us.anthropic.claude-3-5-sonnet-20240620-v1:0", 18.0),
        ("bedrock", "eu.anthropic.claude-3-5-sonnet-20240620-v1:0", 18.0),
        ("", "apac.anthropic.claude-3-5-sonnet-20240620-v1:0", 18.0),
        ("", "bedrock/converse/anthropic.claude-3-5-sonnet-20240620-v1:0", 18.0),
        ("", "bedrock/us-east-1/anthropic.claude-3-5-sonnet-20240620-v1:0", 18.0),
        ("vertex_ai", "claude-3-5-sonnet@20240620", 18.0),
        ("", "vertex_ai/claude-3-5-sonnet@20240620", 18.0),
        ("gcp.vertex_ai", "projects/p1/locations/us-central1/publishers/google/models/gemini-2.5-pro", 11.25),
        ("", "models/gemini-2.5-pro", 11.25),
        ("gemini", "gemini/gemini-2.5-pro", 11.25),
        ("vertex_ai-language-models", "gemini-2.5-pro", 11.25),
        ("x_ai", "grok-3", 18.0),
        ("", "xai/grok-3", 18.0),
        ("groq", "llama-3.1-8b-instant", 0.13),
        ("", "groq/llama-3.1-8b-instant", 0.13),
        ("groq", "openai/gpt-oss-20b", price("groq", "groq/openai/gpt-oss-20b")),
        (
            "together_ai",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            price("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ),
        ("", "mistral/mistral-large-latest", price("mistral", "mistral-large-latest")),
        ("", "openrouter/anthropic/claude-3.5-sonnet", price("openrouter", "anthropic/claude-3.5-sonnet")),
        ("openai", "claude-3-5-sonnet-20241022", 18.0),
    ],
)
def test_names_as_logs_spell_them_find_their_price(provider: str, model: str, expected: float):
    assert expected is not None and price(provider, model) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("", ""),
        ("", "acme-internal-7b"),
        ("", "foo-1"),
        ("", "gpt-4o-clone"),
        ("openai", "my-gpt-4o-clone"),
        ("azure", "my-o4-mini-proxy"),
        ("", "claude-3-5-sonnet-acme"),
        ("", "meta-llama/Llama-3-8B"),
        ("", "Qwen/Qwen2.5-7B-Instruct"),
        ("", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("", "deepseek-ai/DeepSeek-V3"),
        ("", "gpt-oss-20b"),
        ("openai", "openai/gpt-oss-20b"),
        ("openai", "meta-llama/Llama-3.1-8B-Instruct"),
        ("vllm", "gpt-4o"),
        ("ollama", "llama3"),
        ("", "ollama/llama3"),
        ("", "hosted_vllm/gpt-4o"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::abc"),
        ("", "openai/ft:gpt-4o-mini-2024-07-18:acme::abc"),
        ("azure", "gpt-4o-mini-2024-07-18.ft-0e208cf33a6a466994aff31a08aba678"),
        ("bedrock", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"),
        ("google", "gemma-3-27b-it"),
        ("github-copilot", "gpt-4o"),
    ],
)
def test_a_name_without_a_known_seller_stays_unpriced(provider: str, model: str):
    table = compile_rates([PriceKey(provider, model)])
    assert usd(table, "2026-11-20", {"input": 1000}) is None
    assert table.describe(0).unpriced


def test_the_guard_accepts_dates_and_regions_but_no_foreign_word():
    assert vouches("claude-3-5-haiku-20241022", "claude-3-5-haiku-latest")
    assert vouches("us.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0")
    assert not vouches("claude-3-5-haiku-acme", "claude-3-5-haiku-latest")
    assert not vouches("my-o4-mini-proxy", "o4-mini")


def test_unknown_names_get_suggestions():
    assert "gpt-4o-mini" in nearest("openai/gpt-4o-mni")
    assert nearest("zzzzqqqq") == []


@pytest.mark.parametrize(
    ("provider", "model", "share"), [("openai", "gpt-4o", 0.5), ("azure", "gpt-4o", 0.5), ("x-ai", "grok-3", 0.8)]
)
def test_a_batch_row_before_the_first_batch_price_gets_the_documented_discount(provider: str, model: str, share: float):
    standard = price(provider, model, "2026-09-01")
    assert standard is not None and price(provider, model, "2026-09-01", tier="batch") == pytest.approx(
        standard * share
    )
    table = compile_rates([PriceKey(provider, model, "batch")])
    row = table.lookup(np.zeros(1, np.int32), np.array([us("2026-09-01")]), np.array([1]))
    assert any("batch price" in note for note in table.describe(0, int(row[0])).assumed)


def test_priority_before_its_first_price_keeps_its_ratio_and_says_so():
    """gpt-4.1: $2 standard, $3.5 priority, the latter recorded from 2026-10-12."""
    table = compile_rates([PriceKey("openai", "gpt-4.1", "priority")])
    assert usd(table, "2026-09-01", {"input": 1_000_000}) == pytest.approx(3.5)
    assert usd(table, "2026-11-01", {"input": 1_000_000}) == pytest.approx(3.5)
    assert table.describe(0, 0).assumed and not table.describe(0).assumed


def test_a_tier_without_any_price_is_the_standard_price_and_labelled():
    table = compile_rates([PriceKey("openai", "gpt-4.1", "flex")])
    assert usd(table, "2026-11-01", {"input": 1_000_000}) == pytest.approx(2)
    assert table.describe(0).assumed == ("no flex price known, standard price used",)


def test_media_calls_are_not_priced_with_token_rates():
    assert price("openai", "gpt-image-1", operation="image_generation") is None
    assert price("openai", "gpt-4o", operation="realtime") is None
    table = compile_rates([PriceKey("openai", "whisper-1", "", "transcription")])
    row = table.lookup(np.zeros(1, np.int32), np.array([us("2026-11-01")]), np.array([0]))
    assert table.needs_units[row].all() and table.has_unit(int(row[0]), "audio_seconds")
    assert table.other_usd(row, {"audio_seconds": np.array([60.0])})[0] == pytest.approx(0.006)


def test_embeddings_cost_their_input():
    table = compile_rates([PriceKey("openai", "text-embedding-3-small", "", "embeddings")])
    assert usd(table, "2026-11-01", {"input": 1_000_000}) == pytest.approx(0.02)


def test_web_searches_are_billed_beside_tokens():
    table = compile_rates([PriceKey("openai", "gpt-4.1")])
    row = table.lookup(np.zeros(2, np.int32), np.full(2, us("2026-11-01")), np.ones(2, np.int64))
    assert table.other_usd(row, {"web_searches": np.array([2.0, 0.0])}).tolist() == pytest.approx([0.02, 0.0])


def test_a_table_survives_pickling_and_needs_no_price_package():
    code = (
        "import sys, pickle, numpy as np, costplan.prices;"
        "assert 'genai_prices' not in sys.modules and 'yaml' not in sys.modules;"
        "table = pickle.loads(sys.stdin.buffer.read());"
        "row = table.lookup(np.zeros(1, np.int32), np.zeros(1, np.int64), np.ones(1, np.int64));"
        "assert 'genai_prices' not in sys.modules; print(table.row(int(row[0])).input, table.describe(0).model)"
    )
    blob = pickle.dumps(compile_rates([PriceKey("openai", "gpt-4o")]))
    done = subprocess.run([sys.executable, "-c", code], input=blob, capture_output=True, check=True)
    assert done.stdout.decode().split() == ["2.5e-06", "gpt-4o"]


def test_unpriced_and_empty_tables_cost_nothing_and_do_not_fail():
    for keys in ([], [PriceKey("", "foo-1")]):
        table = compile_rates(keys)
        count = np.full(len(keys), 5, np.int64)
        row = table.lookup(np.arange(len(keys), dtype=np.int32), count, count)
        assert table.cost_usd(row, count, count, count * 0, count * 0, count, count).total.tolist() == [0.0] * len(keys)


OURS = """\
models:
  - model: acme-internal-7b
    input: 0.20
    output: 0.60
    cache_read: 0.02
    batch_discount: 0.25
    source: contract 2026
  - model: gpt-4o
    provider: openai
    input: 2.0
    output: 8.0
    batch: {input: 0.9, output: 3.6}
    effective: 2026-01-01
aliases:
  my-deployment: openai/gpt-4o-mini
  "arn:aws:bedrock:us-east-1:1:application-inference-profile/x": bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0
  "ft:gpt-4o-2024-08-06:acme::abc": acme-internal-7b
discounts: {anthropic: 0.12}
contract: {minimum_usd_month: 1000}
"""


def test_a_contract_turns_usage_into_cash_by_hand():
    """10 % off, at least $1,000 until March, $300 of credits until January."""
    terms = Contract(
        discount=0.1, minimum_usd_month=1000, minimum_until=date(2027, 3, 31), credits_usd=300,
        credits_until=date(2027, 1, 31),
    )  # fmt: skip
    january, march, april = date(2027, 1, 31), date(2027, 3, 31), date(2027, 4, 1)
    assert [terms.cash(2000, day) for day in (january, march, april)] == [1500, 1800, 1800]
    assert [terms.cash(500, day) for day in (january, march, april)] == [700, 1000, 450]
    assert Contract(credits_usd=900).cash(500, None) == 0
    assert str(terms) == "10.0% discount, $1,000/month minimum until 2027-03-31, $300 credits until 2027-01-31"


@pytest.mark.parametrize(
    ("terms", "said", "hint"),
    [
        ("{volume_tiers: {a: 1}}", "'volume_tiers' must be a list", "start each"),
        (
            "{volume_tiers: [{above_usd_month: 9, discount: 0.2}, {above_usd_month: 9, discount: 0.3}]}",
            "'volume_tiers' must go up",
            "lowest",
        ),
        ("{provisioned: [{model: a, usd_per_unit_hour: 1}]}", "'tokens_per_minute_per_unit' is missing", ""),
        (
            "{provisioned: [{model: a, usd_per_unit_hour: 1, tokens_per_minute_per_unit: 0}]}",
            "'tokens_per_minute",
            "2500",
        ),
        ("{minimum_usd_year: 9, minimum_used_usd: 3}", "'minimum_used_usd' needs", "minimum_until"),
        ("{openai: {minimum_usd_year: 9, minimum_usd_month: 3}}", "'minimum_usd_year' stands beside", "leave one"),
        ("{discuont: 0.1}", "unknown key 'discuont'", "did you mean 'discount'"),
        ("{discount: 1.5}", "'discount' must be a number", "write `discount"),
        ("{minimum_until: 2027-03-31}", "'minimum_until' must be the last day", "minimum_usd_month: 50000"),
    ],
)
def test_terms_that_cannot_be_applied_are_refused(tmp_path: Path, terms: str, said: str, hint: str):
    path = tmp_path / "prices.yaml"
    path.write_text(f"contract: {terms}\n")
    with pytest.raises(CostplanError) as found:
        read_price_file(path)
    assert f"{path}:1: {said}" in found.value.message and hint in found.value.hint


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(OURS)
    return path


def test_the_users_price_comes_first_from_its_day_on(ours: Path):
    assert price("", "acme-internal-7b", file=ours) == 0.8
    assert price("vllm", "acme-internal-7b", file=ours, tier="batch") == 0.6
    assert price("openai", "gpt-4o", "2025-12-31", file=ours) == 12.5
    assert price("openai", "gpt-4o", "2026-01-01", file=ours) == 10.0
    assert price("openai", "gpt-4o", "2026-02-01", file=ours, tier="batch") == 4.5
    assert price("azure", "gpt-4o", "2026-02-01", file=ours) == 12.5


def test_aliases_and_discounts_of_the_user_apply(ours: Path):
    assert price("azure", "my-deployment", file=ours) == price("openai", "gpt-4o-mini")
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"
    assert price("bedrock", arn, file=ours) == 18.0
    assert price("openai", "ft:gpt-4o-2024-08-06:acme::abc", file=ours) == 0.8
    assert price("anthropic", "claude-3-5-sonnet-20241022", file=ours) == pytest.approx(18 * 0.88)
    table = compile_rates(
        [PriceKey("", "acme-internal-7b"), PriceKey("anthropic", "claude-sonnet-4-5")], price_file=ours
    )
    assert table.describe(0).source == "user file prices.yaml (contract 2026)"
    assert table.describe(0).rates["cache_write"] == 0.2
    assert table.describe(1).assumed == ("12.0% off list (prices.yaml)",)
    assert table.contract == {"": Contract(minimum_usd_month=1000)}


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("models:\n  - model: a\n    inptu: 1\n    output: 2\n", 3, "did you mean 'input'?"),
        ("models:\n  - model: a\n    input: -1\n", 3, "write"),
        ("models:\n  - model: a\n    input: lots\n", 3, "write"),
        ("models:\n  - model: a\n    output: 1\n", 2, "input"),
        ("models:\n  - model: a\n    input: 1\n    effective: soon\n", 4, "2026-01-01"),
        ("discounts:\n  openai: 1.5\n", 2, "write"),
        ("modles: []\n", 1, "did you mean 'models'?"),
        ("models:\n  - {model: a\n", 3, "indentation"),
        ("models: []\nmodels: []\n", 2, "first on line 1"),
        ("- a\n", 1, "models"),
    ],
)
def test_a_mistake_in_the_price_file_names_its_line(tmp_path: Path, text: str, line: int, hint: str):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(CostplanError) as caught:
        compile_rates([PriceKey("", "a")], price_file=path)
    assert f"prices.yaml:{line}:" in caught.value.message and hint in caught.value.hint


def test_a_litellm_map_is_read_as_it_is():
    assert price("openai", "gpt-4o", file=LITELLM) == 12.5
    assert price("openai", "gpt-4o", file=LITELLM, tier="batch") == 6.25
    assert price("openai", "gpt-4o", file=LITELLM, tier="priority") == 21.25
    table = compile_rates(
        [PriceKey("gemini", "gemini-2.5-pro"), PriceKey("anthropic", "claude-sonnet-4-5")], price_file=LITELLM
    )
    assert usd(table, "2026-11-01", {"input": 200_001}) == pytest.approx(200_001 * 2.5e-6)
    writes = {"input": 2000, "cache_write": 2000, "cache_write_1h": 1000}
    assert usd(table, "2026-11-01", writes, key=1) == pytest.approx(1000 * 3.75e-6 + 1000 * 6e-6)
    assert table.describe(1).source == "litellm file litellm_excerpt.json"
    assert price("", "groq/llama-3.3-70b-versatile", file=LITELLM) == 1.38


def test_a_broken_litellm_map_names_its_line(tmp_path: Path):
    path = tmp_path / "map.json"
    path.write_text('{"a": {\n"input_cost_per_token": }}')
    with pytest.raises(CostplanError, match=r"map\.json:2: not valid JSON"):
        compile_rates([PriceKey("", "a")], price_file=path)
