"""When a router routes: planted signals are found, chance, constants and few labels are not; length is told apart."""

import numpy as np
import pytest
from costplan.routing.verdict import NO_BETTER, ROUTES, WIDER, Pairs, judge
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def made(seed: int, n: int, signal: float, *, by: str = "feature", groups: int = 0, usd: bool = False) -> Pairs:
    """Right or wrong answers; the strong model's share of wins depends on a feature, the length or the group."""
    rng = np.random.default_rng(seed)
    features, chars = rng.normal(size=(n, 6)), rng.integers(20, 2_000, n)
    group = rng.integers(0, groups, n) if groups else None
    kind = {"feature": features[:, 0], "length": (chars - 1_010) / 570}.get(by)
    if kind is None:
        kind = rng.normal(size=max(groups, 1))[group]
    wins = np.clip(0.3 + signal * kind, 0, 1)
    strong = (rng.random(n) < 0.95).astype(float)
    cheap = strong * (rng.random(n) > wins) + (1 - strong) * (rng.random(n) < 0.3)
    blocks = [np.column_stack([features, np.log(chars)]), rng.normal(size=(n, max(1, n // 16)))]
    extra = chars * 1e-5 if usd else None
    return Pairs(
        cheap=cheap, strong=strong, key=np.arange(n), chars=chars, blocks=blocks, group=group,
        cheap_usd=None if extra is None else 0.1 * extra, strong_usd=extra,
    )  # fmt: skip


def test_a_planted_signal_is_found_and_beats_length() -> None:
    found = judge(made(0, 1_000, 0.25), 0)
    assert found.verdict == ROUTES and found.share.apgr.low > 0.5
    assert found.share.over_length.low > 0 and "better than length alone" in found.reason
    assert found.needed[0].value < 0.4 < found.needed[1].value


def test_a_signal_of_length_alone_routes_and_is_said_not_to_beat_length() -> None:
    found = judge(made(1, 1_000, 0.25, by="length"), 0)
    assert found.verdict == ROUTES and "not shown to be better than length alone" in found.reason


def test_groups_tell_where_features_do_not() -> None:
    found = judge(made(2, 1_000, 0.3, by="group", groups=12), 0)
    assert found.verdict == ROUTES and found.slices is not None
    assert found.slices.value == pytest.approx(found.share.apgr.value, abs=0.05)


def test_labels_at_random_seldom_route() -> None:
    """Of 24 seeded sets of 60 to 280 pairs with no, few and many groups at most one.

    benchmarks/routing.py does the same with 200 sets of real prompts.
    """
    sets = [made(seed, 60 + 20 * (seed % 12), 0.0, groups=(0, 4, 60)[seed % 3]) for seed in range(100, 124)]
    assert sum(judge(each, 0).verdict == ROUTES for each in sets) <= 1


def test_repeated_prompts_are_no_evidence() -> None:
    """Labels at random, each prompt eight times with the same label: by item this would look perfect."""
    once = made(3, 60, 0.0)
    copies = np.repeat(np.arange(60), 8)
    found = judge(Pairs(
        cheap=once.cheap[copies], strong=once.strong[copies], key=copies, chars=once.chars[copies],
        blocks=[block[copies] for block in once.blocks],
    ), 0)  # fmt: skip
    assert found.verdict == NO_BETTER


@pytest.mark.parametrize(("cheap", "strong"), [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)])
def test_a_constant_gap_leaves_nothing_to_route(cheap: float, strong: float) -> None:
    base = made(4, 300, 0.0)
    found = judge(
        Pairs(
            cheap=np.full(300, cheap), strong=np.full(300, strong), key=base.key, chars=base.chars, blocks=base.blocks
        ),
        0,
    )
    assert found.verdict == NO_BETTER and "differs on 0 of 300 pairs" in found.reason


@pytest.mark.parametrize("n", [1, 2, 12, 39])
def test_few_labels_fall_back(n: int) -> None:
    found = judge(made(5, n, 0.5), 0)
    assert found.verdict == NO_BETTER and "40 are needed" in found.reason


def test_two_specialists_are_worth_a_router_although_neither_is_better_on_the_whole() -> None:
    base = made(6, 600, 0.0)
    right = (base.blocks[0][:, 0] > 0).astype(float)
    found = judge(Pairs(cheap=1 - right, strong=right, key=base.key, chars=base.chars, blocks=base.blocks), 0)
    assert found.verdict == ROUTES and "not shown to be better on the whole" in found.reason


def test_on_the_dollar_axis_the_order_is_by_gap_per_dollar() -> None:
    """The gap does not depend on length, dollars do: buying short prompts first recovers more per dollar."""
    found = judge(made(7, 1_500, 0.2, usd=True), 0)
    assert found.usd is not None and found.usd.apgr.value > found.share.apgr.value + 0.03
    assert found.usd.length.value < 0.42 < 0.44 < found.usd.random.low < 0.5


def test_the_same_pairs_give_the_same_bytes_and_intervals_are_widened() -> None:
    first, again = (judge(made(8, 200, 0.2), 0) for _ in range(2))
    assert first.score.tobytes() == again.score.tobytes() and first.share.apgr == again.share.apgr
    assert WIDER == 1.5  # sqrt(1 + 5 folds x 1/4)
