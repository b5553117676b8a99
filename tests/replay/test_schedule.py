"""When requests are due: the trace's times cut and stretched, made-up arrivals, and turns that wait for an answer."""

import numpy as np
import pytest
from costplan.errors import UsageError
from costplan.replay.schedule import chosen_rows, closed, parse_window, poisson, recorded, turns
from hypothesis import given
from hypothesis import strategies as st

GAPS = st.lists(st.floats(0, 100), min_size=1, max_size=30)


@given(GAPS, st.floats(0.1, 50), st.floats(0.01, 20))
def test_order_is_kept_no_gap_is_longer_than_asked_and_short_ones_only_shrink_with_the_speed(
    gaps: list[float], speed: float, longest: float
):
    arrival = np.cumsum(gaps)
    due = recorded(arrival, np.arange(len(gaps)), speed=speed, max_gap_s=longest).due_s
    assert due[0] == 0
    assert np.allclose(np.diff(due), np.minimum(np.diff(arrival) / speed, longest), atol=1e-9)


@given(GAPS, st.floats(0, 500), st.floats(0.1, 500))
def test_a_window_takes_its_start_and_leaves_its_end(gaps: list[float], start: float, length: float):
    arrival = np.cumsum(gaps) - gaps[0]
    text = f"{start:f}:{start + length:f}"
    edges = parse_window(text)
    inside = [row for row, at in enumerate(arrival) if edges[0] <= at < edges[1]]
    if inside:
        assert chosen_rows(arrival, text, None).tolist() == inside
    else:
        with pytest.raises(UsageError, match="no request of the trace falls into it"):
            chosen_rows(arrival, text, None)


def test_a_window_without_an_end_is_open_and_requests_are_its_first():
    arrival = np.array([0.0, 10.0, 20.0, 30.0])
    assert chosen_rows(arrival, "10s:", 2).tolist() == [1, 2]
    with pytest.raises(UsageError, match="there are 3 in the trace and window"):
        chosen_rows(arrival, "10s:", 4)


@pytest.mark.parametrize("text", ["600s", "20:10", "a:b", "5:5", ""])
def test_what_is_no_window_is_refused(text: str):
    with pytest.raises(UsageError, match="not a start and a later end"):
        parse_window(text)


def test_the_next_turn_waits_for_the_turn_that_ended_last_before_it_began():
    # session 7: 0-4 s, 1-2 s (beside it), 3 s (thinks 1 s after the second), 9 s (5 s after the first); 8: a lone turn
    session = np.array([7, 7, 8, 7, 7, 0, 0], np.uint64)
    arrival = np.array([0.0, 1.0, 2.0, 3.0, 9.0, 9.5, 9.6])
    duration = np.array([4.0, 1.0, 1.0, 0.5, 1.0, 0.01, 0.01])
    previous, think = turns(session, arrival, duration)
    assert previous.tolist() == [-1, -1, -1, 1, 0, -1, -1]
    assert think.tolist() == [0, 0, 0, 1.0, 5.0, 0, 0]


def test_turns_whose_end_nobody_knows_hold_nobody_up():
    previous, _ = turns(np.array([7, 7], np.uint64), np.array([0.0, 5.0]), np.array([np.nan, 1.0]))
    assert previous.tolist() == [-1, -1]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 10), st.floats(0, 5)), min_size=1, max_size=40))
def test_a_predecessor_is_an_earlier_turn_of_the_same_session_that_was_over(rows: list[tuple[int, float, float]]):
    rows = sorted(rows, key=lambda row: row[1])
    session = np.array([row[0] for row in rows], np.uint64)
    arrival, duration = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    previous, think = turns(session, arrival, duration)
    for row, before in enumerate(previous.tolist()):
        over = [k for k in range(row) if session[k] == session[row] != 0 and arrival[k] + duration[k] <= arrival[row]]
        if before < 0:
            assert think[row] == 0 and not over
        else:
            assert before in over
            assert think[row] == arrival[row] - (arrival[before] + duration[before])


def test_speed_and_the_longest_gap_apply_to_thought_and_a_turn_outside_the_window_is_no_predecessor():
    arrival = np.array([0.0, 10.0, 20.0])
    previous, think = np.array([-1, 0, 1]), np.array([0.0, 8.0, 2.0])
    found = recorded(arrival, np.array([1, 2]), speed=2, max_gap_s=0.5, previous=previous, think_s=think)
    assert found.previous.tolist() == [-1, 0] and found.think_s.tolist() == [0, 0.5]
    assert found.due_s.tolist() == [0, 0.5]


def test_another_rate_stretches_the_same_arrivals_and_the_mean_is_the_rate():
    rows = np.arange(20_000)
    slow, fast = poisson(rows, 2.0, 5).due_s, poisson(rows, 8.0, 5).due_s
    assert np.allclose(slow, 4 * fast) and slow[0] == 0
    assert np.diff(slow).mean() == pytest.approx(0.5, rel=0.03)
    assert np.diff(slow).std() == pytest.approx(0.5, rel=0.03)  # as exponential gaps have it
    assert poisson(rows, 2.0, 6).due_s[1] != slow[1]


def test_in_a_closed_loop_nothing_is_due_and_nobody_waits_for_anybody():
    found = closed(np.arange(3))
    assert found.due_s.tolist() == [0, 0, 0] and found.previous.tolist() == [-1, -1, -1]
