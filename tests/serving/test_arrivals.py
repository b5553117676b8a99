"""When requests come and how long they are: rates, stages, bursts, shared prefixes; same seed, same bytes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from costplan.errors import UsageError
from costplan.serving.arrivals import Lengths, Load, Stage, at_rate, first, make, parse_lengths, parse_rate
from hypothesis import given, settings
from hypothesis import strategies as st

INPUT, OUTPUT = parse_lengths("547", "--input"), parse_lengths("248", "--output")


def load(rate: str = "5", requests: int | None = 1000, **changes: object) -> Load:
    made = Load(stages=parse_rate(rate), requests=requests, input=INPUT, output=OUTPUT)
    return replace(made, **changes)  # pyright: ignore[reportArgumentType]


def test_a_plain_number_is_a_constant_length() -> None:
    workload = make(load(), 16)
    assert set(workload.input_tokens.tolist()) == {547} and set(workload.output_tokens.tolist()) == {248}


def test_a_lognormal_has_the_mean_and_p95_that_were_asked_for() -> None:
    drawn = parse_lengths("lognormal:547,1500", "--input").draw(200_000, np.random.default_rng(1))
    assert drawn.mean() == pytest.approx(547, rel=0.02)
    assert np.percentile(drawn, 95) == pytest.approx(1500, rel=0.02)
    assert drawn.min() >= 1


def test_a_file_of_lengths_is_drawn_from(tmp_path: Path) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text("10\n\n20\n30\n")
    drawn = parse_lengths(str(path), "--input").draw(1000, np.random.default_rng(1))
    assert set(drawn.tolist()) == {10, 20, 30}


@pytest.mark.parametrize(
    "text", ["0", "-3", "abc", "lognormal:5", "lognormal:10,5", "lognormal:10,1000", "lognormal:x,y"]
)
def test_lengths_that_cannot_be_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_lengths(text, "--input")
    assert caught.value.message.startswith("--input") and caught.value.hint


def test_a_bad_line_of_a_length_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lengths.txt"
    path.write_text("10\nten\n")
    with pytest.raises(UsageError, match=r"lengths\.txt:2"):
        parse_lengths(str(path), "--output")


def test_rates_are_numbers_stages_or_infinite() -> None:
    assert parse_rate("5") == (Stage(req_s=5.0),)
    assert parse_rate("8:600s,20:10m") == (Stage(req_s=8.0, seconds=600.0), Stage(req_s=20.0, seconds=600.0))
    assert math.isinf(parse_rate("inf")[0].req_s)


@pytest.mark.parametrize("text", ["-5", "0", "nan", "x", "5:", "5:0s", "inf:60s", "8:600s,20", ""])
def test_rates_that_cannot_be_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rate(text)
    assert "--rate" in caught.value.message and "--rate 5" in caught.value.hint


def test_poisson_gaps_have_the_rate_and_vary_as_much_as_their_mean() -> None:
    gaps = np.diff(make(load(requests=50_000), 16).arrival_s)
    assert gaps.mean() == pytest.approx(0.2, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("cv", [0.0, 0.5, 2.0])
def test_gamma_gaps_have_the_cv_that_was_asked_for(cv: float) -> None:
    gaps = np.diff(make(load(requests=100_000, cv=cv), 16).arrival_s)
    assert gaps.mean() == pytest.approx(0.2, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03, abs=1e-9)


def test_stages_hold_their_rates_for_their_durations() -> None:
    arrival = make(load("8:600s,20:600s", requests=None), 16).arrival_s
    early = int((arrival < 600).sum())
    # Poisson counts: 4,800 and 12,000, give or take four roots
    assert abs(early - 4800) < 280 and abs(len(arrival) - early - 12_000) < 440
    assert arrival[-1] <= 1200


def test_everything_at_once_arrives_at_zero() -> None:
    assert make(load("inf"), 16).arrival_s.tolist() == [0.0] * 1000


def test_only_a_lone_rate_without_a_number_of_requests_is_open_ended() -> None:
    assert make(load(requests=None), 16).open_ended
    assert not make(load(requests=10), 16).open_ended
    assert not make(load("5:60s", requests=None), 16).open_ended
    assert not make(load("inf", requests=10), 16).open_ended


def test_another_rate_only_stretches_the_same_requests() -> None:
    one, two = make(load("1"), 16), make(load("2"), 16)
    assert np.allclose(at_rate(one, 2.0).arrival_s, two.arrival_s, rtol=1e-12)


def test_a_longer_answer_leaves_arrivals_and_prompts_as_they_are() -> None:
    spread = parse_lengths("lognormal:547,1500", "--input")
    one, two = (make(load(input=spread, output=each), 16) for each in (OUTPUT, parse_lengths("999", "--output")))
    assert (one.arrival_s == two.arrival_s).all() and (one.input_tokens == two.input_tokens).all()


def test_a_shared_prefix_is_that_share_of_each_prompt_in_whole_blocks() -> None:
    # 0.3 x 547 = 164.1 tokens = 10 blocks of 16
    workload = make(load(prefix_share=0.3, requests=3), 16)
    assert workload.shared_offsets.tolist() == [0, 10, 20, 30]
    assert workload.shared_ids.tolist() == 3 * list(range(10))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31), count=st.integers(1, 300), share=st.floats(0, 1), cv=st.floats(0, 4),
    mean=st.integers(2, 5000), block=st.sampled_from([16, 32, 64]),
)  # fmt: skip
def test_any_load_is_a_sound_workload(seed: int, count: int, share: float, cv: float, mean: int, block: int) -> None:
    lengths = parse_lengths(f"lognormal:{mean},{2 * mean}", "--input")
    made = Load(
        stages=parse_rate("3"), requests=count, cv=cv, input=lengths, output=OUTPUT, prefix_share=share, seed=seed
    )  # fmt: skip
    workload = make(made, block)
    again = make(made, block)
    assert workload.requests == count and (np.diff(workload.arrival_s) >= 0).all()
    assert (workload.input_tokens >= 1).all() and workload.shared_offsets[-1] == len(workload.shared_ids)
    assert (np.diff(workload.shared_offsets) * block <= workload.input_tokens).all()
    assert workload.arrival_s.tobytes() == again.arrival_s.tobytes()
    assert workload.input_tokens.tobytes() == again.input_tokens.tobytes()
    part = first(workload, max(1, count // 2))
    assert part.requests == max(1, count // 2) and part.shared_offsets[-1] == len(part.shared_ids)


def test_constant_lengths_do_not_depend_on_the_generator() -> None:
    assert Lengths("547", mu=math.log(547)).draw(3, np.random.default_rng(0)).tolist() == [547, 547, 547]
