"""Scores from probabilities, against their definitions row by row."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from skfi.queries import Entropy, LeastConfident, Margin, PowerMargin, Random
from skfi.queries._uncertainty import margin


class Given(ClassifierMixin, BaseEstimator):
    """Returns its rows as probabilities."""

    def __init__(self, n_classes=3):
        self.n_classes = n_classes

    def fit(self, X, y):
        raise AssertionError("used as it is")

    def predict_proba(self, X):
        return np.asarray(X)

    @property
    def classes_(self):
        return np.arange(self.n_classes)

    def __sklearn_is_fitted__(self):
        return True


THIRD = 1 / 3
ROWS = [[0.2, 0.5, 0.3], [1, 0, 0], [0.4, 0.4, 0.2], [THIRD, THIRD, THIRD], [0.05, 0.05, 0.9]]
PROBA = np.array(ROWS)


def on_probabilities(kind, proba, **params):
    strategy = kind(FrozenEstimator(Given(proba.shape[1])), **params)
    return strategy.fit(proba[:1], [0])


def naive_margin(row):
    second, first = sorted(row)[-2:]
    return 1 - (first - second)


def naive_entropy(row):
    return -sum(p * math.log(p) for p in row if p > 0)


def naive_least_confident(row):
    return 1 - max(row)


DEFINITIONS = [
    (Margin, naive_margin),
    (PowerMargin, naive_margin),
    (Entropy, naive_entropy),
    (LeastConfident, naive_least_confident),
]


@pytest.mark.parametrize(("kind", "definition"), DEFINITIONS)
def test_definition(kind, definition):
    scores = on_probabilities(kind, PROBA).score_samples(PROBA)
    np.testing.assert_allclose(scores, [definition(row) for row in PROBA], atol=1e-15)
    assert scores[1] == scores.min() == 0
    assert scores[3] == scores.max()
    X, y = make_classification(80, 6, n_informative=4, n_classes=3, random_state=0)
    strategy = kind(LogisticRegression(C=0.1)).fit(X[:30], y[:30])
    proba = LogisticRegression(C=0.1).fit(X[:30], y[:30]).predict_proba(X[30:])
    expected = [definition(row) for row in proba]
    np.testing.assert_allclose(strategy.score_samples(X[30:]), expected, rtol=1e-12)


def test_they_agree_for_two_classes():
    p = np.random.default_rng(0).random(20)
    proba = np.column_stack([p, 1 - p])
    kinds = (Margin, Entropy, LeastConfident)
    orders = {tuple(on_probabilities(kind, proba).query(proba, 20)) for kind in kinds}
    assert len(orders) == 1


def test_they_disagree_for_three_classes():
    """Two classes that tie against one that is almost as good as two others."""
    proba = np.array([[0.48, 0.48, 0.04], [0.45, 0.30, 0.25]])
    assert on_probabilities(Margin, proba).query(proba) == [0]
    assert on_probabilities(Entropy, proba).query(proba) == [1]
    assert on_probabilities(LeastConfident, proba).query(proba) == [1]


@pytest.mark.parametrize("kind", [Margin, Entropy, LeastConfident, PowerMargin])
def test_a_model_that_knows_one_class_is_sure(kind):
    proba = np.ones((4, 1))
    np.testing.assert_array_equal(on_probabilities(kind, proba).score_samples(proba), 0)
    np.testing.assert_array_equal(margin(proba), 1)


def test_probabilities_in_single_precision():
    scores = on_probabilities(Entropy, PROBA).score_samples(PROBA.astype(np.float32))
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, [naive_entropy(row) for row in PROBA], rtol=1e-6)


def test_a_refusal_says_what_to_do():
    with pytest.raises(TypeError, match=r"LinearSVC has no predict_proba.*Calibrated"):
        Margin(LinearSVC()).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("exponent", [0.5, 2.0])
def test_power_margin_draws_by_its_exponent(exponent):
    proba = PROBA[[0, 1, 2, 4]]
    strategy = on_probabilities(
        PowerMargin, proba, exponent=exponent, random_state=np.random.RandomState(0)
    )
    drawn = Counter(int(strategy.query(proba)[0]) for _ in range(3000))
    assert drawn[1] == 0
    weight = np.array([naive_margin(row) for row in proba[[0, 2, 3]]]) ** exponent
    observed = [drawn[row] for row in (0, 2, 3)]
    assert chisquare(observed, 3000 * weight / weight.sum()).pvalue > 1e-4


@pytest.mark.parametrize("exponent", [0, -1.0, np.inf, np.nan, "1"])
def test_power_margin_refuses_exponents(exponent):
    with pytest.raises(ValueError, match="exponent"):
        PowerMargin(exponent=exponent).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("labels", [[1, 2], [1, 1]])
def test_random_looks_at_nothing(labels):
    """Not at the rows, nor at the classifier, and one class is no reason for a warning."""
    strategy = Random(Given(), random_state=0).fit(["one", "two"], labels)
    assert strategy.estimator_ is None
    pool = [None, "three", np.nan, {"four": 4}]
    indices, utilities = strategy.query(pool, 4, return_utilities=True)
    assert sorted(indices) == [0, 1, 2, 3]
    np.testing.assert_array_equal(utilities, np.zeros(4))


def test_random_draws_all_rows_alike():
    strategy = Random(random_state=np.random.RandomState(0)).fit([[0.0]], [1])
    pool = np.zeros((5, 1))
    counts = np.bincount(np.concatenate([strategy.query(pool, 2) for _ in range(1500)]))
    assert chisquare(counts).pvalue > 1e-4
