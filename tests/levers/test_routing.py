"""Routing in the ladder: money only where the user's scores say how good the cheaper model is."""

from pathlib import Path

import pytest
from costplan.errors import CostplanError
from costplan.levers.rungs import GOOD_ENOUGH
from costplan.levers.states import BATCH_MARKED, ROUTING, VERIFIED
from tests.levers.logs import analyzed, call, random_log

SCORES = "call_site,model,score,n\nfaq,gpt-4o,0.9,4000\nfaq,gpt-4o-mini,{score},{n}\n"


SAME = (1.0, 1.0, 1.0)


def scores(folder: Path, score: float = 0.9, n: int = 4000) -> Path:
    path = folder / "scores.csv"
    path.write_text(SCORES.format(score=score, n=n))
    return path


def two_sites() -> list[dict[str, object]]:
    return [
        call(3600 * n, f"Question {n}", model="gpt-4o", tokens=(1000, 100), feature=feature)
        for n, feature in enumerate(["faq", "faq", "other"])
    ]


def test_a_verified_site_is_repriced_by_hand(tmp_path: Path):
    """gpt-4o $2.50 / $10, mini $0.15 / $0.60: a call of 1000 + 100 tokens costs 3,500,000 and 210,000 nano-dollars."""
    seen = analyzed(tmp_path, two_sites(), quality=scores(tmp_path), output_ratio=SAME)
    totals = seen.ladder.totals
    assert totals[0] == 3 * 3_500_000
    assert totals[1 << VERIFIED] == totals[1 << ROUTING] == 2 * 210_000 + 3_500_000
    rung = next(rung for rung in seen.plan.ladder if rung.label == "routing (verified sites)")
    assert (rung.headline, rung.risk) == (True, "verified")
    [faq] = [site for site in rung.evidence["sites"] if site["call_site"] == "faq"]
    assert (faq["candidate"], faq["verified"], faq["loss"]["value"]) == ("gpt-4o-mini", True, 0.0)
    assert 0 < faq["loss"]["high"] < 0.02 and faq["break_even_gap"] == pytest.approx(1 - 0.21 / 3.5)


def test_longer_answers_cost_more_and_a_batch_half(tmp_path: Path):
    """At twice the length: 1000 x 150 + 200 x 600 = 270,000 nano-dollars; in a batch 135,000."""
    log = [call(0, model="gpt-4o", tokens=(1000, 100), feature="faq", tags=["batchable"])]
    totals = analyzed(tmp_path, log, quality=scores(tmp_path), output_ratio=(2.0, 2.0, 2.0)).ladder.totals
    assert (totals[1 << VERIFIED], totals[1 << VERIFIED | 1 << BATCH_MARKED]) == (270_000, 135_000)


def test_too_few_scores_make_a_potential_with_nothing_as_its_low_end(tmp_path: Path):
    seen = analyzed(
        tmp_path, two_sites(), quality=scores(tmp_path, n=30), output_ratio=SAME, max_loss=2.0, month_requests=3
    )
    assert seen.ladder.totals[1 << VERIFIED] == seen.ladder.totals[0] > seen.ladder.totals[1 << ROUTING]
    rung = next(rung for rung in seen.plan.ladder if rung.label == "routing (not verified)")
    assert not rung.headline and rung.risk == "needs-test"
    assert rung.marginal_usd_month.low == 0.0 and rung.marginal_usd_month.note == GOOD_ENOUGH
    assert seen.plan.after.potential.cost_usd_month.high == pytest.approx(3 * 3_500_000e-9)


def test_a_worse_model_moves_nothing(tmp_path: Path):
    seen = analyzed(tmp_path, two_sites(), quality=scores(tmp_path, score=0.8), output_ratio=SAME)
    assert seen.ladder.totals[1 << ROUTING] == seen.ladder.totals[0]
    assert all(
        site["candidate"] is None for site in seen.evidence.facts[VERIFIED]["sites"] if site["call_site"] == "faq"
    )


def test_a_prompt_longer_than_the_model_takes_stays(tmp_path: Path):
    """gpt-4o-mini takes 128,000 tokens."""
    log = [call(0, model="gpt-4o", tokens=(127_999, 100), feature="faq"), *two_sites()]
    totals = analyzed(tmp_path, log, quality=scores(tmp_path), output_ratio=SAME).ladder.totals
    assert totals[0] - totals[1 << VERIFIED] == 2 * (3_500_000 - 210_000)


@pytest.mark.parametrize("seed", range(4))
def test_states_of_all_levers_hold_the_same_money_by_hour_and_by_site(tmp_path: Path, seed: int):
    table = tmp_path / "scores.csv"
    table.write_text(
        "call_site,model,score,n\n*,gpt-4o,0.9,4000\n*,gpt-4o-mini,0.9,4000\n*,gpt-4.1,0.9,50\n"
        "*,claude-sonnet-4-5,0.9,50\n*,claude-haiku-4-5,0.9,50\n"
    )
    seen = analyzed(tmp_path, random_log(seed), quality=table, semantic="on")
    ladder = seen.ladder
    assert (ladder.by_hour.sums.sum(axis=0) == ladder.by_site.sums.sum(axis=0)).all()
    assert ladder.totals[0] == round((seen.plan.baseline.cost_usd_price_date.value or 0) * 1e9)
    assert (ladder.by_site.sums >= 0).all() and len(set(ladder.totals)) > 20


def test_a_broken_quality_table_says_where(tmp_path: Path):
    (tmp_path / "scores.csv").write_text("call_site,model,score,n\n*,gpt-4o,1.5,10\n")
    with pytest.raises(CostplanError, match="scores.csv:2"):
        analyzed(tmp_path, two_sites(), quality=tmp_path / "scores.csv")
