"""The engine in balance, against sums done by hand."""

import pytest
from costplan.capacity.steady import Balance, Shape, alone, balance, highest_rate
from tests.capacity.small import layout

SHAPE = Shape(fresh=50.0, cached=0.0, output=100.0)


def test_a_constant_step_runs_rate_times_duration_requests() -> None:
    """Little's law: 4 requests/s x 100 steps x 10 ms = 4 running; a token each step: TPOT = 10 ms."""
    found = balance(layout(), SHAPE, 4.0)
    assert isinstance(found, Balance)
    assert (found.step_s, found.tpot_s, found.running) == pytest.approx((0.01, 0.01, 4.0))


def test_a_step_that_grows_with_its_tokens_feeds_itself() -> None:
    """dt = 10 ms + 20 us x (r dt 100 + r dt 50) = 10 ms / (1 - 20 us x 150 x 4/s) = 10.12 ms at 4 requests/s."""
    found = balance(layout(token_s=20e-6), SHAPE, 4.0)
    assert isinstance(found, Balance)
    assert found.step_s == pytest.approx(0.01 / (1 - 20e-6 * 150 * 4), rel=1e-3)


def test_the_limit_that_gives_way_is_named() -> None:
    assert balance(layout(seqs=8), SHAPE, 9.0) == "queue"
    assert balance(layout(seqs=500, blocks=20), SHAPE, 9.0) == "memory"
    assert balance(layout(seqs=500, tokens=64), SHAPE, 60.0) == "compute"


def test_the_highest_rate_fills_every_seat() -> None:
    """8 seats / (100 steps x 10 ms) = 8 requests/s."""
    assert highest_rate(layout(), SHAPE) == pytest.approx(8.0, rel=1e-3)


def test_a_limit_below_the_step_time_cannot_be_held_by_one_request() -> None:
    assert highest_rate(layout(), SHAPE, 0.009) == 0.0


def test_one_request_alone_takes_its_chunks_and_its_steps() -> None:
    """1,100 prompt tokens in chunks of 512: three steps of 10 ms."""
    ttft_s, tpot_s = alone(layout(tokens=512), Shape(fresh=1100.0, cached=0.0, output=100.0))
    assert (ttft_s, tpot_s) == pytest.approx((0.03, 0.01))
