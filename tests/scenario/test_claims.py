"""docs/claims.md: what arithmetic can tell is told as it is, and the rest has the shape of an answer."""

import re
from pathlib import Path

import pytest
from benchmarks import claims
from costplan.scenario import find_scenario, read_scenario

PAGE = (Path(__file__).parents[2] / "docs" / "claims.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"claims\.bullets\('(\w+)'\)\) \]\]\] -->\n(.*?)\n<!-- \[\[\[end", PAGE, re.S))


def test_every_claim_has_its_figures_on_the_page() -> None:
    assert list(BLOCKS) == list(claims.CLAIMS)
    assert all(block.startswith("- ") for block in BLOCKS.values())
    assert PAGE.count("**Claim.**") == PAGE.count("**Answer.**") == PAGE.count("**Why.**") == len(BLOCKS)


@pytest.mark.parametrize("name", claims.ARITHMETIC)
def test_what_is_arithmetic_is_current(name: str) -> None:
    assert claims.bullets(name) == BLOCKS[name], "make claims"


def test_every_claim_with_traffic_has_its_scenario() -> None:
    """The rows of the table that name users, queries or hardware under load."""
    for name in ("writing-assistant", "writing-assistant-optimised", "customer-service", "copilot", "onprem-llama-70b",
                 "one-a100-70b", "vllm-8b-2xa100", "productivity-app"):  # fmt: skip
        told = read_scenario(find_scenario(name))
        assert told.claim and "section 12" in told.source


def test_the_share_to_route_solves_the_product() -> None:
    """(1 - 0.34) x (0.5 x 0.65 + 0.5) x (1 - s x 0.9) = 0.1375 at s = 0.8305."""
    s = claims.needed_routing(0.34, 0.65, 0.5, 0.1, 0.1375)
    assert 0.66 * (0.5 * 0.65 + 0.5) * (1 - s * 0.9) == pytest.approx(0.1375)
    assert s == pytest.approx(0.8305, abs=1e-4)


def test_four_a100_hold_a_70b_model_in_16_bits_with_room_to_spare() -> None:
    """320 KB of KV a token: 80 layers x 8 heads x 128 x 2 x 2 bytes; four GPUs of 80 GB less 141 GB of weights."""
    lines = list(claims.onprem())
    tokens = int(re.search(r"([\d,]+) tokens", lines[0])[1].replace(",", ""))  # type: ignore[index]
    kv = float(re.search(r"leaves ([\d.]+) GiB", lines[0])[1])  # type: ignore[index]
    assert tokens * 80 * 8 * 128 * 2 * 2 == pytest.approx(4 * kv * 2**30, rel=0.01)
    assert 4 * kv * 1.0737 > 320 * 0.9 - 141 - 10  # no less than what is left, but for 10 GB of buffers


def test_attention_is_a_small_part_of_a_short_prefill() -> None:
    """64 heads x 128 x 80 layers = 655,360; at 8,000 tokens 2 x 8,000 x 655,360 = 1.05e10 against 2 x 69.5e9."""
    assert claims.attention_share("llama-3.3-70b", 8000) == pytest.approx(1.0486e10 / (1.0486e10 + 1.39e11), rel=0.01)
    assert claims.attention_share("llama-3.3-70b", 1000) < 0.01


def test_a_third_of_hits_moves_p95_to_what_was_p92() -> None:
    assert "p92.4" in BLOCKS["hits_and_latency"]
    before, after = (float(x) for x in re.findall(r"p95 ([\d.]+) s -> ([\d.]+) s", BLOCKS["hits_and_latency"])[0])
    assert 0.85 < after / before < 0.97
