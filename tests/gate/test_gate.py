"""From two runs to verdicts: what is compared, what is left out, what it costs, and what stays private."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from costplan.errors import CostplanError
from costplan.gate import pairs
from costplan.results.gate import GateVerdict, StratumResult
from tests.gate.runs import SECRET, folder, gate, lines, sample

TASKS = [sample(index) for index in range(600)]


def only(strata: list[StratumResult]) -> StratumResult:
    (row,) = strata
    return row


# --- verdicts ---


@pytest.mark.parametrize(
    ("lost", "verdict"), [(0, "pass"), (15, "pass"), (30, "undecided"), (60, "fail")]
)  # fmt: skip
def test_a_loss_is_judged_against_the_margin(tmp_path: Path, lost: int, verdict: GateVerdict) -> None:
    base = folder(tmp_path / "base", TASKS, set())
    found = gate(base, folder(tmp_path / "candidate", TASKS, set(range(lost))))
    row = only(found.strata)
    assert (found.verdict, row.verdict, row.wins, row.losses, row.ties) == (verdict, verdict, 0, lost, 600 - lost)
    assert row.loss is not None and row.loss.value == pytest.approx(100 * lost / 600)
    assert (row.further_samples is not None) == (verdict == "undecided" and lost != 30)


def test_a_base_that_guesses_is_uninformative(tmp_path: Path) -> None:
    """Right on 419 of 600, 69.8 %, where guessing gives 50: 19.8 points above chance; with one more it is 20."""
    tasks = [sample(index, chance=0.5) for index in range(600)]
    for right, verdict in ((419, "uninformative"), (420, "pass")):
        base = folder(tmp_path / f"base{right}", tasks, set(range(right, 600)))
        assert gate(base, base).verdict == verdict


def test_one_bad_stratum_fails_the_gate_and_comes_first(tmp_path: Path) -> None:
    tasks = [sample(index, stratum) for stratum in ("good", "bad") for index in range(200)]
    base = folder(tmp_path / "base", tasks, set())
    found = gate(base, folder(tmp_path / "candidate", tasks, set(range(200, 260))))
    assert [(row.stratum, row.verdict) for row in found.strata] == [("bad", "fail"), ("good", "pass")]
    assert (found.verdict, found.reason) == ("fail", "1 fail, 1 pass; every stratum has to pass")


def test_a_relative_margin_is_of_the_base_s_score(tmp_path: Path) -> None:
    """50 % against 46.7 %: 3.3 points, but 6.7 % of what the base can do."""
    base = folder(tmp_path / "base", TASKS, set(range(300)))
    candidate = folder(tmp_path / "candidate", TASKS, set(range(320)))
    relative = only(gate(base, candidate, relative=True).strata)
    assert relative.loss is not None and relative.loss.value == pytest.approx(100 * 20 / 300)
    assert relative.verdict != "pass" and only(gate(base, candidate, margin=6.0).strata).verdict == "pass"


def test_graded_scores_are_compared_too(tmp_path: Path) -> None:
    base = [{"id": n, "score": 0.5 + (n % 5) / 10, "stratum": "essays"} for n in range(300)]
    worse = [{**row, "score": row["score"] - 0.2} for row in base]
    found = only(gate(lines(tmp_path / "a.jsonl", base), lines(tmp_path / "b.jsonl", worse)).strata)
    assert found.verdict == "fail" and found.method.startswith("bootstrap") and found.losses == 300


# --- what is left out ---


@pytest.mark.parametrize(("failed", "verdict"), [(12, "pass"), (13, "undecided")])
def test_failed_requests_are_left_out_and_over_two_percent_decide_nothing(
    tmp_path: Path, failed: int, verdict: GateVerdict
) -> None:
    """12 of 600 are 2 %."""
    records: dict[int, dict[str, Any]] = {
        index: {"state": "failed", "reason": "timeout", "text": None} for index in range(failed)
    }
    candidate = folder(tmp_path / "candidate", TASKS, set(), records=records)
    found = gate(folder(tmp_path / "base", TASKS, set()), candidate)
    row = only(found.strata)
    assert (row.verdict, row.items, row.left_out) == (verdict, 600 - failed, failed)
    (reason,) = found.left_out
    assert reason == "failed timeout" and found.left_out[reason].count == failed
    assert found.left_out[reason].first_lines[:2] == [f"{candidate}/requests.jsonl:{n}" for n in (1, 2)]


def test_every_item_without_a_pair_is_counted_under_its_reason(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", TASKS, set(), records={4: {"text": None}, 5: {"index": 9999}})
    rows = [{"id": f"sums-{n}", "output": "right"} for n in range(1, 600)] + [{"id": "else", "output": "right"}]
    candidate = Path(lines(tmp_path / "candidate.jsonl", rows))
    candidate.write_text(candidate.read_text() + '{"id": "torn", "outp\n{"id": "empty"}\n{"output": "right"}\n')
    found = gate(base, str(candidate))
    assert {reason: each.count for reason, each in found.left_out.items()} == {
        "bad line": 4, "no record": 1, "no text: replay without --collect": 1, "only in BASE": 1,
        "only in CANDIDATE": 1,
    }  # fmt: skip
    assert found.left_out["only in CANDIDATE"].first_lines == [f"{candidate}:600"]
    assert found.left_out["bad line"].first_lines == [f"{base}/requests.jsonl:6"] + [
        f"{candidate}:{n}" for n in (601, 602, 603)
    ]  # fmt: skip
    assert len(found.items) == 597


def test_an_answer_cut_at_its_limit_is_graded_and_counted(tmp_path: Path) -> None:
    cut = folder(tmp_path / "cut", TASKS, set(), records={3: {"finish_reason": "length"}})
    assert gate(cut, cut).base.cut_short == 1 and len(gate(cut, cut).items) == 600


def test_the_user_s_own_score_goes_before_a_grader(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", TASKS[:100], set())
    rows = [{"task": task.id, "output": "right", "score": False} for task in TASKS[:100]]
    assert only(gate(base, lines(tmp_path / "b.jsonl", rows)).strata).candidate_score == 0


def test_tasks_can_come_from_a_file_or_be_the_built_in_ones(tmp_path: Path) -> None:
    rows = [{"id": f"arithmetic-1-{n:03}", "output": "0"} for n in range(50)]
    answers = lines(tmp_path / "a.jsonl", rows)
    assert only(gate(answers, answers, tasks="builtin").strata).stratum == "arithmetic"
    with pytest.raises(CostplanError, match="no task has a score in both .no such task"):
        gate(answers, answers)


# --- mistakes ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": 1, "score": 1}\n{"id": "1", "score": 0}\n', "b.jsonl:2: this task was answered before"),
        ('{"id": 1, "score": 1.5}\n', "b.jsonl:1: 'score' must be from 0 to 1"),
        ('{"id": 1, "score": 1, "chance": 1}\n', "b.jsonl:1: 'chance'"),
        ("", "no answer in it"), ("\0\0\n[]\n", "no answer in it"), ('{"id": 7, "score": 1}\n', "no task has a score"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_compared_says_where(tmp_path: Path, text: str, said: str) -> None:
    base = lines(tmp_path / "a.jsonl", [{"id": 1, "score": 1}])
    (tmp_path / "b.jsonl").write_text(text)
    with pytest.raises(CostplanError) as caught:
        gate(base, str(tmp_path / "b.jsonl"))
    assert said in caught.value.message and caught.value.hint


def test_runs_of_different_tasks_are_not_compared(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", TASKS[:50], set())
    other = folder(tmp_path / "other", [sample(n, chance=0.1) for n in range(50)], set())
    with pytest.raises(CostplanError, match="different tasks"):
        gate(base, other)


def test_a_folder_without_answers_is_told_what_makes_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CostplanError, match="tasks.jsonl: No such file"):
        gate(str(tmp_path / "empty"), str(tmp_path / "empty"))


def test_a_grader_that_keeps_failing_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "MOST_GRADING_FAILURES", 2)
    tasks = [{"id": n, "stratum": "s", "prompt": "?", "grader": "command"} for n in range(9)]
    file = lines(tmp_path / "tasks.jsonl", tasks)
    answers = lines(tmp_path / "a.jsonl", [{"id": n, "output": "x"} for n in range(9)])
    program = f'"{sys.executable}" -c "print({{}})"'
    with pytest.raises(CostplanError, match="a.jsonl:3: grading failed 3 times, here: grader's score"):
        gate(answers, answers, tasks=file, grader_command=program.format(2))
    assert only(gate(answers, answers, tasks=file, grader_command=program.format(0.5)).strata).base_score == 0.5


# --- money ---


def test_dollars_by_hand(tmp_path: Path) -> None:
    """100 + 10 tokens a task at $2.50/$10 are 0.00035 USD, 0.35 per 1,000; half of them right: 0.70 per 1,000 right."""
    base = folder(tmp_path / "base", TASKS, set(range(300)))
    found = gate(base, base, base_usd_per_mtok="2.50/10", candidate_usd_per_mtok="1")
    assert found.base.usd_per_1k_tasks.value == pytest.approx(0.35)
    assert found.base.usd_per_1k_right.value == pytest.approx(0.70)
    assert found.candidate.usd_per_1k_tasks.value == pytest.approx(0.11)
    assert found.base.tokens_per_task == (100, 10)
    assert found.items[0].strong_usd == pytest.approx(0.00035)


def test_without_a_price_the_cost_is_unknown_and_says_so(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", TASKS, set())
    found = gate(base, base)
    assert found.base.usd_per_1k_tasks.value is None and "--base-usd-per-mtok" in found.base.usd_per_1k_tasks.note


def test_a_measured_price_and_a_price_list_are_used(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", TASKS, set())
    measured: dict[str, Any] = {"value": 4.0, "low": 3, "high": 5, "unit": "USD", "basis": "measured"}
    document: dict[str, Any] = {"server": {"model": "gpt-4o-mini"}, "usd_per_mtok": measured, "else": [1]}
    (tmp_path / "base" / "measurement.json").write_text(json.dumps(document))
    found = gate(base, base)
    assert (found.base.model, found.base.usd_per_1k_tasks.basis) == ("gpt-4o-mini", "measured")
    assert found.base.usd_per_1k_tasks.value == pytest.approx(1000 * 110 * 4 / 1e6)
    (tmp_path / "base" / "measurement.json").write_text(json.dumps({"server": {"model": "gpt-4o-mini"}}))
    (tmp_path / "prices.yaml").write_text("models:\n  - {model: gpt-4o-mini, input: 1.0, output: 2.0}\n")
    listed = gate(base, base, prices=tmp_path / "prices.yaml").base.usd_per_1k_tasks
    assert listed.value == pytest.approx(1000 * (100 * 1 + 10 * 2) / 1e6) and listed.basis == "priced"


@pytest.mark.parametrize("price", ["cheap", "1/2/3", "-1", "nan/1", ""])
def test_what_is_no_price_is_a_mistake(tmp_path: Path, price: str) -> None:
    base = folder(tmp_path / "base", TASKS[:3], set())
    with pytest.raises(CostplanError, match="not a price"):
        gate(base, base, base_usd_per_mtok=price)


# --- labels and privacy ---


def test_items_are_labelled_pairs_by_call_site(tmp_path: Path) -> None:
    tasks = [sample(0, call_site="faq"), sample(1)]
    found = gate(folder(tmp_path / "base", tasks, set()), folder(tmp_path / "candidate", tasks, {0}))
    rows = [(each.group, each.call_site, each.strong_score, each.cheap_score) for each in found.items]
    assert rows == [("faq", "faq", 1, 0), ("sums", None, 1, 1)]


def test_text_stays_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    tasks = TASKS[:40]
    base, candidate = folder(tmp_path / "base", tasks, set()), folder(tmp_path / "candidate", tasks, {1})
    assert all(item.prompt is None and item.cheap_answer is None for item in gate(base, candidate).items)
    shown = gate(base, candidate, show_text=True).items[1]
    assert SECRET in (shown.prompt or "") and SECRET in (shown.cheap_answer or "") and shown.expected == ["right"]
