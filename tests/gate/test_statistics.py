"""The bounds against a published table, a numerical likelihood and every outcome; the verdicts by simulation."""

import numpy as np
import pytest
from costplan.gate import statistics
from costplan.gate.statistics import Loss, bootstrap_bounds, further_samples, paired_loss, score_bounds, score_statistic
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom

RUNS = 20_000
MARGIN = 0.05
Z_95_TWO_SIDED = 1.959963984540054


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def simulated(loss: float, *, discordant: float = 0.1, pairs: int = 600) -> tuple[float, float]:
    """Shares of runs that (pass, fail) where the candidate truly loses so much on that many discordant pairs."""
    cells = [(discordant + loss) / 2, (discordant - loss) / 2, 1 - discordant]
    counts = rng().multinomial(pairs, cells, RUNS).astype(float)
    low, high = score_bounds(counts[:, 0], counts[:, 1], pairs)
    return float((high <= MARGIN).mean()), float((low > MARGIN).mean())


def exact_rates(pairs: int, wins: float) -> tuple[float, float]:
    """Probabilities to (pass, fail) at a true loss of exactly the margin, summed over all outcomes that matter."""
    losses = wins + MARGIN
    most = [int(min(pairs, pairs * p + 9 * np.sqrt(pairs * p) + 12)) for p in (losses, wins)]
    b, c = np.meshgrid(np.arange(most[0] + 1.0), np.arange(most[1] + 1.0), indexing="ij")
    rest = np.maximum(pairs - b, 0)
    probability = binom.pmf(b, pairs, losses) * binom.pmf(c, rest, min(1.0, wins / (1 - losses))) * (b + c <= pairs)
    low, high = score_bounds(b, c, pairs)
    return float((probability * (high <= MARGIN)).sum()), float((probability * (low > MARGIN)).sum())


# --- the promises of the gate, at 600 pairs of which 10 % are discordant ---


def test_a_loss_of_ten_points_fails() -> None:
    passed, failed = simulated(0.10)
    assert failed >= 0.9 and passed == 0


def test_a_loss_of_exactly_the_margin_passes_in_at_most_five_percent() -> None:
    passed, failed = simulated(0.05)
    assert passed <= 0.05 and failed <= 0.05


def test_no_loss_passes_and_does_not_fail() -> None:
    passed, failed = simulated(0.0)
    assert passed >= 0.9 and failed <= 0.01


@pytest.mark.parametrize("pairs", [30, 50, 100, 300, 600, 1000])
def test_both_errors_stay_at_five_percent_for_every_share_of_discordant_pairs(pairs: int) -> None:
    rates = np.array([exact_rates(pairs, wins) for wins in (0.0, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.45)])
    assert rates[:, 0].max() <= 0.05
    assert rates[:, 1].max() <= 0.0512


def test_without_the_correction_they_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = statistics.highest_difference
    monkeypatch.setattr(statistics, "highest_difference", lambda b, c, n: plain(b, c, n, correction=0.0))
    assert max(exact_rates(600, wins)[1] for wins in (0.0, 0.002)) > 0.058


# --- the score interval ---


def test_the_interval_is_that_of_the_published_example() -> None:
    """Fagerland, Lydersen and Laake (Statistics in Medicine 33, 2014), table V: 1 and 7 discordant of 21 pairs give
    (-0.517, -0.026) at 95 %, two-sided and without a correction."""
    one, seven = np.array(1.0), np.array(7.0)
    high = statistics.highest_difference(one, seven, 21, z=Z_95_TWO_SIDED, correction=0.0)
    low = -statistics.highest_difference(seven, one, 21, z=Z_95_TWO_SIDED, correction=0.0)
    assert (round(float(low), 3), round(float(high), 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(
    ("losses", "wins", "pairs", "supposed"), [(9, 4, 60, 0.05), (40, 20, 160, 0.3), (2, 9, 50, -0.1)]
)
def test_the_nuisance_share_is_the_most_likely_one(losses: int, wins: int, pairs: int, supposed: float) -> None:
    """T with q from a numerical maximum of the likelihood with P(loss) = q + D, P(win) = q."""
    least = max(0.0, -supposed)

    def unlikely(q: float) -> float:
        parts = [(losses, q + supposed), (wins, q), (pairs - losses - wins, 1 - 2 * q - supposed)]
        return -sum(n * np.log(max(p, 1e-300)) for n, p in parts)

    q = minimize_scalar(unlikely, bounds=(least, (1 - supposed) / 2), method="bounded", options={"xatol": 1e-10}).x
    expected = (losses - wins - pairs * supposed) / np.sqrt(pairs * (2 * q + supposed - supposed**2))
    found = score_statistic(np.array(float(losses)), np.array(float(wins)), pairs, np.array(supposed))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))))
def test_bounds_hold_the_loss_and_mirror_when_the_runs_are_swapped(drawn: tuple[int, int, int]) -> None:
    pairs, losses, wins = drawn[0], drawn[1], min(drawn[2], drawn[0] - drawn[1])
    b, c = np.array(float(losses)), np.array(float(wins))
    low, high = score_bounds(b, c, pairs)
    assert -1 <= low <= (losses - wins) / pairs <= high <= 1
    assert score_bounds(c, b, pairs) == (-high, -low)


def test_no_discordant_pair_is_not_certainty() -> None:
    """b = c = 0: the root of (n D - 0.5)^2 = z^2 n D (1 - D); at n = 600 it is 0.60 points, at 30 it is 11.1."""
    for pairs, expected in ((600, 0.0060), (30, 0.1110)):
        _, high = score_bounds(np.zeros(1), np.zeros(1), pairs)
        d = float(high[0])
        assert (pairs * d - 0.5) ** 2 == pytest.approx(statistics.Z_LEVEL**2 * pairs * d * (1 - d), rel=1e-6)
        assert d == pytest.approx(expected, abs=5e-4)


# --- graded scores ---


def test_bounds_of_graded_scores_are_those_of_the_normal_distribution_where_there_are_many() -> None:
    base = rng(2).uniform(0.4, 1.0, 4000)
    candidate = np.clip(base - rng(3).normal(0.03, 0.2, 4000), 0, 1)
    low, high = bootstrap_bounds(base, candidate, relative=False, rng=rng())
    difference = base - candidate
    width = statistics.Z_LEVEL * difference.std() / np.sqrt(4000)
    assert low == pytest.approx(difference.mean() - width, abs=3e-4)
    assert high == pytest.approx(difference.mean() + width, abs=3e-4)


def test_both_methods_agree_on_right_and_wrong() -> None:
    """30 lost and 12 won of 600."""
    base, candidate = np.ones(600), np.ones(600)
    candidate[:30], base[30:42] = 0, 0
    exact = paired_loss(base, candidate, relative=False, rng=rng())
    boot = bootstrap_bounds(base, candidate, relative=False, rng=rng())
    assert exact.value == pytest.approx(0.03) and exact.method.startswith("paired score")
    assert (exact.low, exact.high) == pytest.approx(boot, abs=4e-3)


def test_equal_graded_scores_are_not_certainty_where_they_are_few() -> None:
    for pairs, widest in ((10, 0.3), (1000, 0.004)):
        loss = paired_loss(np.full(pairs, 0.7), np.full(pairs, 0.7), relative=False, rng=rng())
        assert loss.value == 0 and 0 < loss.high <= widest and loss.method.startswith("bootstrap")
    assert paired_loss(np.full(10, 0.7), np.full(10, 0.7), relative=False, rng=rng()).high > MARGIN


def test_a_graded_loss_of_exactly_the_margin_rarely_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 runs of 150 items: a tenth of them loses half its score, so the standard error of the share is 0.7 %."""
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    draw = rng(7)
    passed = 0
    for _ in range(1000):
        lost = 0.5 * (draw.uniform(size=150) < 0.1)
        passed += bootstrap_bounds(np.full(150, 0.9), 0.9 - lost, relative=False, rng=draw)[1] <= MARGIN
    assert passed <= 65


def test_a_relative_loss_is_a_share_of_the_base_s_score() -> None:
    """The base is right on 300 of 600, the candidate on 270 of these: 5 points are 10 % of the base's score."""
    base, candidate = np.zeros(600), np.zeros(600)
    base[:300], candidate[:270] = 1, 1
    loss = paired_loss(base, candidate, relative=True, rng=rng())
    assert loss.value == pytest.approx(0.1)
    # delta method: the 270 kept of 300 have a binomial spread of sqrt(.1 * .9 / 300) = 1.73 %
    assert (loss.low, loss.high) == pytest.approx((0.1 - 1.645 * 0.0173, 0.1 + 1.645 * 0.0173), abs=0.006)


def test_the_same_seed_gives_the_same_bounds() -> None:
    base, candidate = rng(4).uniform(size=50), rng(5).uniform(size=50)
    first = paired_loss(base, candidate, relative=True, rng=rng(9))
    assert first == paired_loss(base, candidate, relative=True, rng=rng(9))


# --- further samples ---


def loss_of(value: float, spread: float) -> Loss:
    return Loss(value=value, low=value, high=value, spread=spread, method="")


def test_further_samples_by_hand() -> None:
    """((1.6449 + 1.2816) 0.3 / 0.03)^2 = 29.264^2 = 856.4, so 857 in all and 657 more; the same on the other side."""
    assert further_samples(loss_of(0.02, 0.3), 200, MARGIN) == 657
    assert further_samples(loss_of(0.08, 0.3), 200, MARGIN) == 657


def test_a_loss_on_the_margin_is_never_decided() -> None:
    assert further_samples(loss_of(0.05, 0.3), 200, MARGIN) is None


def test_so_many_samples_do_decide_nine_times_in_ten() -> None:
    """A true loss of 2 points on 12 % discordant pairs: spread sqrt(0.12 - 0.02^2) = 0.346."""
    needed = further_samples(loss_of(0.02, np.sqrt(0.12 - 0.02**2)), 0, MARGIN)
    assert needed is not None
    passed, _ = simulated(0.02, discordant=0.12, pairs=needed)
    assert passed == pytest.approx(0.9, abs=0.03)
