"""Strategies of the paper's comparisons, against the public functions they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi.baselines import iv, knn_shapley

strategies = pytest.importorskip("examples.paper._strategies")

X, Y = make_classification(90, 4, n_informative=4, n_redundant=0, n_classes=3, random_state=1)
LABELLED, LABELS, POOL = X[:45], Y[:45], X[45:]
TIGHT = {"tol": 1e-10, "max_iter": 10_000}


def over_folds(value):
    total, count = np.zeros(45), np.zeros(45)
    for fit, look in StratifiedKFold(5).split(LABELLED, LABELS):
        total[fit] -= value(fit, look)
        count[fit] += 1
    return total / count


def test_influence_values_are_those_of_models_that_did_not_see_the_rows_held_out():
    model = make_pipeline(StandardScaler(), LogisticRegression(**TIGHT))
    strategy = strategies.InfluenceValue(model, random_state=0).fit(LABELLED, LABELS)

    def value(fit, look):
        trained = clone(model).fit(LABELLED[fit], LABELS[fit])
        return iv(trained, LABELLED[fit], LABELS[fit], LABELLED[look], LABELS[look])

    np.testing.assert_allclose(strategy.values_, over_folds(value), atol=1e-8)
    features = strategy.estimator_[0].transform(POOL)
    expected = strategy.regressor_.predict(features)
    np.testing.assert_allclose(strategy.score_samples(POOL), expected)


def test_shapley_values_are_those_of_neighbours_in_the_folds():
    model = make_pipeline(StandardScaler(), GaussianNB())
    strategy = strategies.ShapleyRegression(model, random_state=0).fit(LABELLED, LABELS)
    fitted = clone(model).fit(LABELLED, LABELS)

    def value(fit, look):
        data = LABELLED[fit], LABELS[fit], LABELLED[look], LABELS[look]
        return knn_shapley(fitted, *data, n_neighbors=5)

    np.testing.assert_allclose(strategy.values_, over_folds(value))


def test_badge_is_k_means_in_the_gradients_of_the_last_layer():
    net = MLPClassifier((7, 5), solver="lbfgs", alpha=3.0, max_iter=2000, random_state=0)
    strategy = strategies.BADGE(net, random_state=0).fit(LABELLED, LABELS)
    phi = POOL
    model = strategy.estimator_
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        phi = np.maximum(phi @ W + b, 0)
    residual = strategy.estimator_.predict_proba(POOL)
    residual[np.arange(len(residual)), residual.argmax(axis=1)] -= 1
    gradients = np.einsum("nk,nd->nkd", residual, phi).reshape(len(phi), -1)
    lengths = np.linalg.norm(gradients, axis=1)
    np.testing.assert_allclose(strategy.score_samples(POOL), lengths, atol=1e-8)
    batch = strategy.query(POOL, 45)
    assert batch[0] == lengths.argmax()
    assert sorted(batch) == list(range(45))


@pytest.mark.parametrize("name", ["InfluenceValue", "ShapleyRegression"])
def test_too_few_labelled_rows_are_asked_at_random(name):
    strategy = getattr(strategies, name)(random_state=0)
    with pytest.warns(UserWarning, match="too few labelled rows"):
        strategy.fit(LABELLED[:2], [0, 1])
    assert not strategy.score_samples(POOL).any()
    assert len(set(strategy.query(POOL, 9))) == 9
