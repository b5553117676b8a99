"""The bill: a worked example, and lines that are disjoint and add up to the cent."""

from typing import Any

import numpy as np
import pytest
from costplan.profiles.gpus import find_gpu
from costplan.tco.bill import LINES, Host, cost_facts, lines_of, load_of, migration_usd, month, sum_of, total
from costplan.tco.fleet import FleetRule, daily_shape, staircase
from costplan.tco.rates import supply_of
from hypothesis import given
from hypothesis import strategies as st

A100 = find_gpu("A100")


def host(cloud: str = "", output_tokens: float = 200, gpus: int = 4) -> Host:
    supply = supply_of(A100, cloud=cloud)
    return Host(
        supply=supply, gpus_per_replica=gpus, gpu_power_w=400, weights_bytes=140e9, output_tokens=output_tokens
    )  # fmt: skip


def values(which: Host, **changes: float) -> dict[str, Any]:
    base = {name: fact.value for name, fact in cost_facts(which.supply).items()}
    return base | {"req_s": 2.0, "token_ratio": 1.0} | {name.replace("__", "."): v for name, v in changes.items()}


def test_a_worked_example_of_rented_gpus():
    """4 GPUs as 1 x TP4 at $2, 1M requests a month at 2 req/s held: busy 1e6 / 7200 x 4 = 555.56 GPU-hours of 2,920.
    gpu 1,111.11; idle 2 x (2,920 - 555.56) = 4,728.89; network 25 + 1e6 x 200 x 250 B = 50 GB x 0.09 = 29.50;
    storage (140 + 50) GB x 0.08 = 15.20; people 120,000 x (0.5 + 4 x 0.005) / 12 + 540 x 52 / 12 = 5,200 + 2,340;
    software 500; overhead 5 % of 5,840 = 292, moving 6 / 52 x 120,000 / 24 = 576.92."""
    which = host()
    given_values = values(which, gpu__usd_hour=2.0, people__salary_usd_year=120_000.0)
    rule = FleetRule(gpus_per_replica=4, given=4)
    stairs = staircase(rule, daily_shape(1.6, 730), 8)
    bill = month(lines_of(given_values, which), load_of(1e6, 0.5, rule, stairs, 1e6 / 7200 * 4))
    assert bill == {
        "gpu": 1111.11, "idle": 4728.89, "spare": 0.0, "power": 0.0, "network": 29.5, "storage": 15.2,
        "people": 7540.0, "software": 500.0, "overhead": 868.92,
    }  # fmt: skip
    assert sum_of(bill) == 14793.62
    assert migration_usd(given_values) == pytest.approx(13_846.15, abs=0.01)


def test_power_is_a_line_of_owned_gpus_only():
    """4 owned GPUs, idle all month: 400 W x 1.6 x 1.54 x 0.2 = 197.12 W a GPU; 2,920 h x 0.19712 kW x 0.11 = 63.315."""
    rule = FleetRule(gpus_per_replica=4, given=4)
    stairs = staircase(rule, daily_shape(1.6, 730), 8)
    for cloud, power in (("owned", 63.315), ("aws", 0.0)):
        which = host(cloud)
        bill = month(lines_of(values(which), which), load_of(0.0, 0.01, rule, stairs, 0.0))
        assert bill["power"] == pytest.approx(power, abs=0.0051)
        assert bill["gpu"] == 0.0 < bill["idle"]


@given(
    requests=st.floats(0, 5e7), req_s=st.floats(0.05, 50), price=st.floats(0.1, 15), given_gpus=st.integers(1, 16),
    tp=st.sampled_from([1, 2, 4]), spare=st.integers(0, 2), cloud=st.sampled_from(["", "aws", "owned"]),
    hourly=st.booleans(),
)  # fmt: skip
def test_the_lines_are_disjoint_and_add_up(
    requests: float, req_s: float, price: float, given_gpus: int, tp: int, spare: int, cloud: str, hourly: bool
):
    """Work + idle + spare is the price of every GPU-hour paid for; all lines together are the bill, to the cent."""
    which = host(cloud, gpus=tp)
    chosen = values(which, gpu__usd_hour=price, req_s=req_s)
    rule = FleetRule(gpus_per_replica=tp, given=given_gpus, spare=spare, sizes=which.supply.sizes, hourly=hourly)
    shape = daily_shape(1.6, 730)
    stairs = staircase(rule, shape, 64)
    x = requests / 730 / 3600 / req_s * 1.6
    load = load_of(requests, x, rule, stairs, requests / (req_s * 3600) * tp)
    lines = lines_of(chosen, which)
    bill = month(lines, load)
    assert tuple(bill) == LINES and min(bill.values()) >= 0
    assert bill["gpu"] + bill["idle"] + bill["spare"] == pytest.approx(price * load.gpu_hours, abs=0.02)
    line = total(lines)
    whole = line.fixed + line.per_gpu_hour * load.gpu_hours + line.per_request * requests
    assert sum_of(bill) == pytest.approx(float(whole), abs=0.06)
    assert sum_of(bill) == round(sum(bill.values()), 2)


def test_draws_and_points_use_the_same_formulas():
    which = host("owned")
    lines = lines_of(values(which, gpu__usd_hour=2.0), which)
    drawn = lines_of(values(which) | {"gpu.usd_hour": np.array([2.0, 3.0])}, which)
    assert np.asarray(drawn["overhead"].per_gpu_hour)[0] == lines["overhead"].per_gpu_hour
