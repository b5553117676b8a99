"""The price of a GPU-hour by cloud and term, worked out by hand."""

from dataclasses import replace

import pytest
from costplan.errors import UsageError
from costplan.profiles.gpus import find_gpu
from costplan.tco.facts import Fact
from costplan.tco.rates import owned_usd_hour, supply_of

A100 = find_gpu("A100")


def test_an_owned_gpu_costs_depreciation_and_capital():
    """10,000 USD, 5 years, 12 % left, 8 % a year: 10,000 x (0.88 / 5 + 1.12 / 2 x 0.08) / 8,760 h
    = 10,000 x (0.176 + 0.0448) / 8,760 = 0.25205 USD/h. Dearest: 3 years, nothing left, 12 %:
    10,000 x (1/3 + 0.06) / 8,760 = 0.44901. Cheapest: 6 years, 30 % left, 4 %: 10,000 x (0.7/6 + 0.026) / 8,760 =
    0.16286."""
    price = owned_usd_hour(Fact(value=10_000, low=10_000, high=10_000, unit="USD", source="offer"))
    assert price.value == pytest.approx(2208 / 8760)
    assert price.high == pytest.approx(10_000 * (1 / 3 + 0.06) / 8760)
    assert price.low == pytest.approx(10_000 * (0.7 / 6 + 0.026) / 8760)


def test_clouds_that_sell_eights_say_so():
    assert supply_of(A100, cloud="aws").sizes == (8,)
    assert supply_of(A100).sizes[0] == 1
    assert supply_of(A100, cloud="owned").sizes == (1,)


def test_a_cloud_has_its_own_price_and_a_term_its_share_of_it():
    aws = supply_of(A100, cloud="aws").usd_hour
    assert aws.value == A100.clouds["aws"].usd
    reserved = supply_of(A100, cloud="aws", term="reserved")
    assert reserved.usd_hour.value == pytest.approx(0.65 * aws.value)
    assert reserved.minimum_months == 12


def test_no_cloud_means_the_default_price_and_the_whole_range():
    price = supply_of(A100).usd_hour
    assert (price.value, price.low, price.high) == (A100.on_demand.usd, A100.on_demand.low, A100.on_demand.high)


def test_the_users_price_goes_before_all_others():
    price = supply_of(A100, cloud="aws", usd_hour=2.0).usd_hour
    assert (price.low, price.value, price.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("cloud,term", [("aws", "owned"), ("owned", "spot")])
def test_owned_and_rented_contradict_each_other(cloud: str, term: str):
    with pytest.raises(UsageError, match="contradict"):
        supply_of(A100, cloud=cloud, term=term)


def test_an_unknown_price_is_an_error_that_names_the_flag():
    bare = replace(A100, clouds={}, capex_usd=None)
    for kwargs in ({"cloud": "gcp"}, {"cloud": "owned"}):
        with pytest.raises(UsageError) as caught:
            supply_of(bare, **kwargs)
        assert "--gpu-price" in caught.value.hint
