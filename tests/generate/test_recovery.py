"""The recovery harness on a small scale: what analyze finds in a generated log is what was planted in it."""

import pytest
from benchmarks import recovery


@pytest.fixture(scope="module")
def found() -> list[recovery.Finding]:
    return recovery.recover("support-desk", 1, 2000) + recovery.recover("batch-pipeline", 1, 2000)


def test_every_planted_saving_lies_in_its_interval(found: list[recovery.Finding]) -> None:
    levers = {each.lever for each in found}
    assert {"response_cache.exact", "response_cache.respelled", "prompt_cache.marked", "batch"} <= levers
    cached = [each for each in found if each.lever != "compression" and not each.lever.startswith("routing")]
    assert [each for each in cached if not each.covered] == []


def test_batches_and_marked_prefixes_are_found_to_the_per_cent(found: list[recovery.Finding]) -> None:
    """The planted saving of this very log, scaled to a month; days at its edge count in both."""
    for each in found:
        if each.lever in ("batch", "prompt_cache.marked"):
            assert each.value == pytest.approx(each.planted, rel=0.12), each


def test_a_month_of_a_days_saving_is_thirty_and_five_twelfths_of_it() -> None:
    assert recovery.month([1.0, 3.0]) == pytest.approx(2 * 730 / 24)
    assert recovery.counterpart("batch", "batch tier (if calls can wait)") is None
    assert recovery.counterpart("batch", "batch tier (marked calls)") == "batch"
    assert recovery.counterpart("response_cache", "cache for respelled prompts") == "response_cache.respelled"


def test_coverage_and_width_are_counted() -> None:
    common = {"scenario": "s", "lever": "batch", "value": 1.0, "level": 0.95}
    hit = recovery.Finding(seed=0, planted=1.0, low=0.5, high=1.5, **common)
    miss = recovery.Finding(seed=1, planted=3.0, low=0.5, high=1.5, **common)
    assert (hit.covered, miss.covered, hit.relative_width) == (True, False, 0.5)
    assert recovery.expected([hit, miss], hit) == 2.0
    lines = recovery.table([hit, miss])
    assert "50%" in lines[1] and any("s seed 1 batch: planted 3.0000" in line for line in lines)
