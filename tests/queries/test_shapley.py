"""Shapley regression: values by the public functions, and a pattern that it has to find."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.baselines import knn_shapley, tmc_shapley
from skfi.queries._shapley import ShapleyRegression

X, Y = make_classification(90, 4, n_informative=4, n_redundant=0, n_classes=3, random_state=1)
LABELLED, LABELS, POOL = X[:45], Y[:45], X[45:]


def folds(y, n_splits=5):
    return list(StratifiedKFold(n_splits).split(np.zeros(len(y)), y))


def over_folds(value):
    total, count = np.zeros(45), np.zeros(45)
    for fit, look in folds(LABELS):
        total[fit] -= value(fit, look)
        count[fit] += 1
    return total / count


@pytest.mark.parametrize("n_neighbors", [1, 5, 50])
def test_knn_values(n_neighbors):
    scaler = make_pipeline(StandardScaler(), GaussianNB()).fit(LABELLED, LABELS)
    strategy = ShapleyRegression(
        make_pipeline(StandardScaler(), GaussianNB()),
        n_neighbors=n_neighbors,
        regressor=LinearRegression(),
    ).fit(LABELLED, LABELS)
    expected = over_folds(
        lambda fit, look: knn_shapley(
            scaler,
            *(LABELLED[fit], LABELS[fit]),
            *(LABELLED[look], LABELS[look]),
            n_neighbors=n_neighbors,
        )
    )
    np.testing.assert_allclose(strategy.values_, expected)
    z, pool = scaler[0].transform(LABELLED), scaler[0].transform(POOL)
    line = LinearRegression().fit(z, expected)
    np.testing.assert_allclose(strategy.score_samples(POOL), line.predict(pool), atol=1e-8)
    best = np.argsort(-line.predict(pool))[:5]
    np.testing.assert_array_equal(strategy.query(POOL, 5), best)


def test_knn_needs_no_classifier():
    strategy = ShapleyRegression(random_state=0).fit(LABELLED, LABELS)
    assert strategy.estimator_ is None
    assert isinstance(strategy.regressor_, RandomForestRegressor)
    with_one = ShapleyRegression(GaussianNB(), random_state=0).fit(LABELLED, LABELS)
    np.testing.assert_allclose(strategy.values_, with_one.values_)
    np.testing.assert_array_equal(strategy.query(POOL, 6), with_one.query(POOL, 6))


def test_tmc_values():
    model = GaussianNB()
    strategy = ShapleyRegression(
        model, values="tmc", max_permutations=3, regressor=LinearRegression(), random_state=0
    ).fit(LABELLED, LABELS)
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)[1]
    expected = over_folds(
        lambda fit, look: tmc_shapley(
            GaussianNB().fit(LABELLED, LABELS),
            *(LABELLED[fit], LABELS[fit]),
            *(LABELLED[look], LABELS[look]),
            tolerance=0,
            max_permutations=3,
            random_state=int(seed),
        )
    )
    np.testing.assert_allclose(strategy.values_, expected)
    assert np.ptp(strategy.score_samples(POOL)) > 0
    assert not hasattr(model, "classes_")


def test_tmc_defaults_to_logistic_regression():
    params = dict(values="tmc", max_permutations=1, validation=0.3, random_state=0)
    strategy = ShapleyRegression(**params).fit(LABELLED[:15], LABELS[:15])
    assert isinstance(strategy.estimator_, LogisticRegression)
    frozen = FrozenEstimator(LogisticRegression().fit(LABELLED, LABELS))
    strategy = ShapleyRegression(frozen, **params).fit(LABELLED[:15], LABELS[:15])
    assert strategy.estimator_.estimator is frozen.estimator
    with pytest.warns(UserWarning, match="one class"):
        ShapleyRegression(**params).fit(LABELLED, np.zeros(45))


@pytest.mark.parametrize("values", ["knn", "tmc"])
def test_a_known_pattern(values):
    """Left of 0 labels follow a rule, right of it they are coins that mislead nobody else."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, size=(240, 2))
    labels = (rows[:, 1] > 0).astype(int)
    coins = rows[:, 0] > 0
    labels[coins] = rng.integers(2, size=coins.sum())
    pool = rng.uniform(-1, 1, size=(200, 2))
    size = 240 if values == "knn" else 80
    strategy = ShapleyRegression(
        GaussianNB() if values == "tmc" else None,
        values=values,
        max_permutations=30,
        validation=5 if values == "knn" else 0.5,
        random_state=0,
    ).fit(rows[:size], labels[:size])
    auc = roc_auc_score(pool[:, 0] < 0, strategy.score_samples(pool))
    assert auc > (0.9 if values == "knn" else 0.6)
    top = strategy.query(pool, 30)
    assert (pool[top, 0] < 0).mean() > (0.9 if values == "knn" else 0.6)


def test_features_are_those_of_the_last_layer():
    net = MLPClassifier((7, 5), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=0)
    strategy = ShapleyRegression(net, random_state=0).fit(LABELLED, LABELS)
    assert strategy.regressor_.n_features_in_ == 5
    assert len(strategy.query(POOL, 4)) == 4


def test_rows_that_were_only_held_out_have_no_value():
    strategy = ShapleyRegression(validation=0.4, random_state=0).fit(LABELLED, LABELS)
    assert np.isnan(strategy.values_).sum() == 18
    assert np.isfinite(strategy.score_samples(POOL)).all()


def test_few_rows():
    strategy = ShapleyRegression(random_state=0)
    with pytest.warns(UserWarning, match="too few to hold any out") as caught:
        strategy.fit(LABELLED[:2], [0, 1])
    assert caught[0].filename == __file__
    assert not strategy.score_samples(POOL).any()
    strategy.fit(LABELLED[:3], [0, 1, 1])
    assert np.isfinite(strategy.score_samples(POOL)).all()
    strategy.fit(LABELLED[:3], [1, 1, 1])
    assert strategy.regressor_ is None
    assert len(set(strategy.query(POOL, 9))) == 9


def test_regressors_are_cloned_and_seeded():
    forest = RandomForestRegressor(5)
    first = ShapleyRegression(regressor=forest, random_state=0).fit(LABELLED, LABELS)
    again = ShapleyRegression(regressor=forest, random_state=0).fit(LABELLED, LABELS)
    other = ShapleyRegression(regressor=forest, random_state=1).fit(LABELLED, LABELS)
    assert not hasattr(forest, "estimators_")
    np.testing.assert_array_equal(first.score_samples(POOL), again.score_samples(POOL))
    assert (first.score_samples(POOL) != other.score_samples(POOL)).any()


@pytest.mark.parametrize(
    "params",
    [{"values": "beta"}, {"n_neighbors": 0}, {"max_permutations": 0}, {"regressor": 1}],
)
def test_what_is_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        ShapleyRegression(**params).fit(LABELLED, LABELS)
