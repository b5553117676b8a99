"""Volume, mix, usage and price: by hand, and adding up whatever is compared."""

import math
from collections.abc import Mapping

import pytest
from costplan.compare.decompose import Rates, Use, causes_of
from hypothesis import given
from hypothesis import strategies as st
from tests.compare.test_command import LIST

MODELS = ("large", "small", "other")
amounts = st.floats(0.001, 1e6)
uses = st.builds(
    Use,
    requests=st.floats(1, 1e7),
    usd=amounts,
    fresh=st.floats(0, 1e9),
    read=st.floats(0, 1e9),
    output=st.floats(0, 1e9),
)
sides = st.dictionaries(st.sampled_from(MODELS), uses)
rates = st.dictionaries(
    st.sampled_from(MODELS), st.fixed_dictionaries(dict.fromkeys(("input", "cache_read", "output"), amounts))
)


def use(requests: float, usd: float, fresh: float = 1e6, read: float = 0.0, output: float = 0.0) -> Use:
    return Use(requests=requests, usd=usd, fresh=fresh, read=read, output=output)


def parts(
    a: Mapping[str, Use], b: Mapping[str, Use], old: Mapping[str, Rates], new: Mapping[str, Rates]
) -> dict[str, float]:
    return {cause.cause: cause.usd for cause in causes_of(a, b, old, new)[0]}


def test_each_cause_is_valued_at_what_the_one_before_it_left() -> None:
    """100 calls at $1 (large) and 100 at $0.10 (small): $110. Then 60 at $1.20 and 180 at $0.08: $86.40.

    Volume: 40 more at $0.55 each: +$22. Mix: large falls from 1/2 to 1/4, 240 x (-0.25 x 1 + 0.25 x 0.1): -$54.
    Prices of large rise by half: $0.80 at the old ones, so usage is
    60 x -0.2 + 180 x -0.02 = -$15.60 and price 60 x 0.4 = +$24.
    """
    old = {"large": LIST, "small": LIST}
    new = {"large": {name: 1.5 * usd for name, usd in LIST.items()}, "small": LIST}
    found = parts(
        {"large": use(100, 100), "small": use(100, 10)}, {"large": use(60, 72), "small": use(180, 14.4)}, old, new
    )
    assert found == pytest.approx({"volume": 22, "mix": -54, "usage": -15.6, "price": 24})
    assert sum(found.values()) == pytest.approx(86.4 - 110)


def test_a_new_model_and_a_gone_one_are_mix() -> None:
    causes, models = causes_of({"large": use(100, 100)}, {"small": use(100, 10)}, {"large": LIST}, {"small": LIST})
    assert {cause.cause: cause.usd for cause in causes} == pytest.approx(
        {"volume": 0, "mix": -90, "usage": 0, "price": 0}
    )
    assert [(model.model, model.status, model.mix_usd) for model in models] == [
        ("large", "gone", -100), ("small", "new", 10),
    ]  # fmt: skip


def test_prices_are_weighed_by_the_tokens_of_today() -> None:
    """Output alone doubles; it is 2 of 3 dollars before: 5 instead of 3 for the same tokens, so $2 of $5 are price."""
    old = {"large": {"input": 1.0, "cache_read": 0.5, "output": 2.0}}
    new = {"large": {"input": 1.0, "cache_read": 0.5, "output": 4.0}}
    each = {"fresh": 1e6, "output": 1e6}
    found = parts({"large": use(10, 3, **each)}, {"large": use(10, 5, **each)}, old, new)
    assert found == pytest.approx({"volume": 0, "mix": 0, "usage": 0, "price": 2})


@given(sides, sides, rates, rates)
def test_the_causes_add_up_to_the_change_in_all_and_by_model(
    a: dict[str, Use], b: dict[str, Use], old: dict[str, Rates], new: dict[str, Rates]
) -> None:
    causes, models = causes_of(a, b, old, new)
    before, after = (sum(each.usd for each in side.values()) for side in (a, b))
    # terms of several times the totals cancel where the number of requests changes a lot
    size = sum(abs(cause.usd) for cause in causes) + before + after
    assert math.isclose(sum(cause.usd for cause in causes), after - before, rel_tol=0, abs_tol=1e-9 * size + 1e-9)
    for model in models:
        terms = (model.volume_usd, model.mix_usd, model.usage_usd, model.price_usd)
        most = sum(map(abs, terms)) + model.a_usd + model.b_usd
        assert math.isclose(sum(terms), model.b_usd - model.a_usd, rel_tol=0, abs_tol=1e-9 * most + 1e-9)


@given(sides, rates)
def test_what_stays_the_same_changes_nothing(a: dict[str, Use], old: dict[str, Rates]) -> None:
    assert all(abs(usd) < 1e-6 for usd in parts(a, a, old, old).values())
