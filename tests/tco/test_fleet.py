"""How many GPU-hours are paid for: steps, spare replicas, whole instances, and fleets that follow the hours."""

import numpy as np
import pytest
from costplan.tco.fleet import FleetRule, daily_shape, shape_of, staircase
from hypothesis import given
from hypothesis import strategies as st

HOURS = 730.0


def gpus(rule: FleetRule, *needed: int) -> list[int]:
    return rule.gpus(np.array(needed)).tolist()


def test_given_gpus_stand_there_and_beyond_them_a_spare_is_bought():
    """4 GPUs as 4 x TP1: up to 4 replicas nothing is added; 5 needed and 1 spare are 6."""
    rule = FleetRule(gpus_per_replica=1, given=4)
    assert gpus(rule, 1, 3, 4, 5, 6) == [4, 4, 4, 6, 7]
    assert rule.spare_replicas(np.array([1, 3, 4, 5])).tolist() == [1, 1, 0, 1]


def test_one_large_replica_leaves_no_spare():
    rule = FleetRule(gpus_per_replica=4, given=4)
    assert gpus(rule, 1, 2) == [4, 12]
    assert rule.spare_replicas(np.array([1])).tolist() == [0]


def test_clouds_that_sell_eights_are_paid_in_eights():
    """2 needed + 1 spare of TP4 = 12 GPUs = two instances of eight."""
    assert gpus(FleetRule(gpus_per_replica=4, given=4, sizes=(8,)), 1, 2, 3, 4) == [8, 16, 16, 24]
    assert gpus(FleetRule(gpus_per_replica=1, given=1, sizes=(8,)), 1, 7, 8) == [8, 8, 16]


def test_a_replica_does_not_span_two_instances_unless_it_must():
    """TP3 in instances of 4: one each. TP16 in eights: two for every replica."""
    assert gpus(FleetRule(gpus_per_replica=3, given=3, spare=0, sizes=(1, 2, 4)), 2) == [8]
    assert gpus(FleetRule(gpus_per_replica=16, given=16, spare=0, sizes=(8,)), 1, 2) == [16, 32]


def test_a_standing_fleet_is_paid_all_month():
    """x = 4.2 replicas need 5, with the spare 6 GPUs: 6 x 730 h."""
    stairs = staircase(FleetRule(gpus_per_replica=1, given=4), daily_shape(1.6, HOURS), 64)
    assert stairs.at(np.array([0.1, 4.0, 4.2])) == pytest.approx(np.array([4, 4, 6]) * HOURS)


def test_a_fleet_that_follows_the_hours_pays_less():
    """Half the hours at full demand, half at a half: x = 2 needs 2 and 1 replicas, each with a spare: 365 x (3 + 2)."""
    shape = shape_of(np.array([2.0, 1.0]), HOURS)
    rule = FleetRule(gpus_per_replica=1, given=1, hourly=True)
    assert staircase(rule, shape, 16).at(np.array([2.0]))[0] == pytest.approx(365 * (3 + 2))
    standing = FleetRule(gpus_per_replica=1, given=1)
    assert staircase(standing, shape, 16).at(np.array([2.0]))[0] == pytest.approx(730 * 3)


def test_the_shape_keeps_the_mean_of_the_hours():
    """Hours of 1, 2 and 3: the busiest is 1.5 times the mean."""
    assert shape_of(np.array([1.0, 2.0, 3.0]), HOURS).hour_peak == pytest.approx(1.5)
    assert daily_shape(1.6, HOURS).hour_peak == pytest.approx(1.6)
    assert daily_shape(1.6, HOURS).hours.sum() == pytest.approx(HOURS)


rules = st.builds(
    FleetRule, gpus_per_replica=st.sampled_from([1, 2, 4, 8]), given=st.integers(1, 16), spare=st.integers(0, 2),
    sizes=st.sampled_from([(1,), (1, 2, 4, 8), (8,)]), hourly=st.booleans(),
)  # fmt: skip


@given(rules, st.lists(st.floats(0.01, 10), min_size=1, max_size=48))
def test_more_demand_never_takes_fewer_gpu_hours_and_always_enough(rule: FleetRule, hourly: list[float]):
    shape = shape_of(np.array(hourly), HOURS)
    stairs = staircase(rule, shape, 32)
    x = np.linspace(0.05, 40, 200)
    paid = stairs.at(x)
    assert (np.diff(paid) >= -1e-6).all()
    work = x * float(shape.demand @ shape.hours) * rule.gpus_per_replica
    assert (paid[x <= 32] >= work[x <= 32] * (1 - 1e-9)).all()
