"""The semantic cache inside analyze: hits worked out by hand (see tests.cache.logs.BY_HAND)."""

from pathlib import Path

import pytest
from costplan.levers import LADDER, mask_of
from costplan.results import to_json
from tests.cache.logs import at_random, by_hand
from tests.levers.logs import analyzed


def test_one_prompt_is_similar_and_two_repeat_as_the_log_says_by_hand(tmp_path: Path):
    """Exact: requests 2 and 11; respelled: 3; similar: 4. Each saves $0.0000645."""
    seen = analyzed(tmp_path, Path(by_hand(tmp_path / "hand.jsonl")), semantic="on")
    facts = seen.plan.ladder[0].evidence
    assert facts["hits"] == {"exact": 2, "normalised": 1, "semantic": 1}
    assert facts["semantic"]["hits"] == 4
    assert facts["semantic"]["saved_usd_in_log"] == pytest.approx(4 * 0.0000645)
    totals = seen.ladder.totals
    saved = totals[0] - totals[mask_of([LADDER.index("response_cache_semantic")])]
    assert saved == pytest.approx(4 * 64_500 - 1_280, abs=20)  # the cache costs what `costplan cache` says
    assert "freeze" not in to_json(seen.plan).decode()


def test_the_same_log_gives_the_same_bytes_twice(tmp_path: Path):
    log = Path(at_random(tmp_path / "random.jsonl", 150))
    one, two = (to_json(analyzed(tmp_path, log, semantic="on", workers=n).plan) for n in (1, 1))
    assert one == two


def test_without_it_no_figure_of_the_plan_names_it(tmp_path: Path):
    seen = analyzed(tmp_path, Path(by_hand(tmp_path / "hand.jsonl")), semantic="off")
    assert "response_cache_semantic" not in to_json(seen.plan).decode()
    assert "semantic" not in seen.plan.ladder[0].evidence
