"""The regression of the gap: against scikit-learn, blind to what it may not see, nothing where there is no signal."""

import numpy as np
import pytest
from costplan.routing.gap import design, out_of_fold, slice_columns


def test_one_block_is_scikit_learn_s_bayesian_ridge() -> None:
    """The same fixed point (MacKay 1992), there without hyperpriors; predictions of a held-out fold agree."""
    from sklearn.linear_model import BayesianRidge

    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 12))
    gap = features[:, 0] * 0.4 + rng.normal(0, 1, 200)
    built = design([features])
    key = np.arange(200)
    ours = out_of_fold(built, gap, key, 3)
    theirs = np.zeros(200)
    for repeat in range(5):
        fold = np.random.default_rng((3, repeat)).permutation(200) % 5
        for held in range(5):
            out = fold == held
            seen = built.columns[~out]
            model = BayesianRidge(
                alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, tol=1e-8, max_iter=1000, fit_intercept=False
            )
            model.fit(seen - seen.mean(0), gap[~out] - gap[~out].mean())
            theirs[out] += model.predict(built.columns[out] - seen.mean(0)) / 5
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert ours == pytest.approx(theirs, abs=0.02)


def test_a_block_of_noise_is_shrunk_to_nothing_beside_one_that_tells() -> None:
    rng = np.random.default_rng(1)
    signal, noise = rng.normal(size=(500, 3)), rng.normal(size=(500, 60))
    gap = signal[:, 0] + rng.normal(0, 0.5, 500)
    key = np.arange(500)
    both = out_of_fold(design([signal, noise]), gap, key, 0)
    alone = out_of_fold(design([signal]), gap, key, 0)
    assert np.corrcoef(both, alone)[0, 1] > 0.99


def test_no_item_helps_to_predict_itself_or_its_copies() -> None:
    """Labels at random, each prompt five times: whoever sees a copy predicts it; out of fold there is nothing."""
    rng = np.random.default_rng(2)
    features = np.repeat(rng.normal(size=(60, 50)), 5, axis=0)
    gap = np.repeat(rng.choice([0.0, 1.0], 60), 5)
    apart = out_of_fold(design([features]), gap, np.repeat(np.arange(60), 5), 0)
    leaking = out_of_fold(design([features]), gap, np.arange(300), 0)
    assert abs(np.corrcoef(apart, gap)[0, 1]) < 0.3 if apart.std() > 0 else True
    assert np.corrcoef(leaking, gap)[0, 1] > 0.8


def test_small_slices_share_the_mean_of_all() -> None:
    columns = slice_columns(np.array([5, 5, 5, 2, 2, 2, 9]))
    assert columns.tolist() == [[0, 1]] * 3 + [[1, 0]] * 3 + [[0, 0]]


def test_slices_alone_are_their_means_shrunk_as_far_as_they_do_not_differ() -> None:
    """A slice of n labels keeps the share t2 / (t2 + s2 / n) of its distance, t2 between slices and s2 within them."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(40), 25)
    members, key = slice_columns(group), np.arange(1_000)
    true = rng.normal(0.1, 0.4, 40)
    gap = true[group] + rng.normal(0, 1, 1_000)
    found = out_of_fold(design([members]), gap, key, 0)
    kept = float(np.polyfit(np.repeat([gap[group == each].mean() for each in range(40)], 25) - gap.mean(), found, 1)[0])
    assert kept == pytest.approx(0.16 / (0.16 + 1 / 20), abs=0.12)  # 20 of 25 are in the training part
    same = out_of_fold(design([members]), rng.normal(0.1, 1, 1_000), key, 0)
    assert same.std() < 0.2 * found.std()
