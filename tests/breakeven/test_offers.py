"""Which seller's price stands for the open model, and which names mean the same model."""

from datetime import date

import pytest
from costplan.breakeven.offers import Shape, api_price, fact_of, open_offers, stated_offer, words_of
from costplan.errors import CostplanError, UsageError

SHAPE = Shape(input_tokens=1000, cached_tokens=0, output_tokens=100)
DAY = date(2026, 11, 20)
LLAMA = "meta-llama/Llama-3.3-70B-Instruct"


@pytest.mark.parametrize(
    "name",
    [
        "meta-llama/Llama-3.3-70B-Instruct-Turbo", "llama-3.3-70b-versatile", "Meta-Llama-3.3-70B-Instruct",
        "accounts/fireworks/models/llama-v3p3-70b-instruct", "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
    ],
)  # fmt: skip
def test_sellers_spell_the_same_model_differently(name: str):
    assert words_of(name) == words_of(LLAMA)


@pytest.mark.parametrize(
    "name", ["llama-3.1-70b", "llama-3.3-8b", "deephermes-3-llama-3-70b", "llama-3.3-70b-specdec", "llama-3-8b-lite"]
)
def test_other_models_are_not_taken_for_it(name: str):
    assert words_of(name) != words_of(LLAMA)


def test_the_median_seller_is_chosen_and_all_are_the_range():
    offers = open_offers(LLAMA, SHAPE, DAY)
    prices = [offer.usd_per_request for offer in offers]
    assert prices == sorted(prices) and len(offers) >= 3
    chosen = [offer for offer in offers if offer.chosen]
    assert [offers.index(offer) for offer in chosen] == [(len(offers) - 1) // 2]
    fact = fact_of(offers, fixed=False)
    assert (fact.low, fact.value, fact.high) == (prices[0], chosen[0].usd_per_request, prices[-1])
    assert not any(offer.provider.startswith(("huggingface", "openrouter")) for offer in offers)


def test_a_named_seller_has_no_range():
    offers = open_offers(LLAMA, SHAPE, DAY, "together")
    fact = fact_of(offers, fixed=True)
    assert fact.low == fact.value == fact.high
    with pytest.raises(UsageError, match="does not sell"):
        open_offers(LLAMA, SHAPE, DAY, "nobody")


def test_a_model_nobody_sells_needs_a_stated_price():
    with pytest.raises(CostplanError) as caught:
        open_offers("acme/private-3b", SHAPE, DAY)
    assert "--open-price" in caught.value.hint


def test_a_stated_price_is_per_million_tokens():
    """1,000 x 0.60 / 1e6 + 100 x 0.80 / 1e6 = 0.00068."""
    assert stated_offer("0.60/0.80", LLAMA, SHAPE)[0].usd_per_request == pytest.approx(0.00068)
    for wrong in ("0.6", "a/b", "-1/2"):
        with pytest.raises(UsageError, match="INPUT/OUTPUT"):
            stated_offer(wrong, LLAMA, SHAPE)


def test_cached_prompt_tokens_are_read_at_their_own_price():
    """gpt-4o: 2.50 and 10 per million, cached input half: 1,000 in of which 400 cached, 100 out = 0.0015 + 0.0005 +
    0.001."""
    shape = Shape(input_tokens=1000, cached_tokens=400, output_tokens=100)
    assert api_price("gpt-4o", shape, DAY).usd_request == pytest.approx(0.003)


def test_an_unknown_api_model_names_the_nearest():
    with pytest.raises(CostplanError) as caught:
        api_price("gpt-4oo", SHAPE, DAY)
    assert "gpt-4o" in caught.value.hint
