"""A small pool, strategies and an oracle that tests of learning curves share."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import make_classification
from sklearn.naive_bayes import GaussianNB

from skfi.queries import Margin, QueryStrategy
from skfi.queries._learning_curve import active_learning_curve

X, Y = make_classification(120, 5, n_informative=3, n_classes=3, flip_y=0.2, random_state=0)
MODEL = GaussianNB()
SHORT = {"n_initial": 9, "batch_size": 4, "n_rounds": 3, "n_repeats": 2, "random_state": 0}


class Chance(QueryStrategy):
    """At random."""

    _needs_model = False

    def _score(self, X_pool):
        return np.zeros(len(X_pool) if isinstance(X_pool, list) else X_pool.shape[0])


class Sure(QueryStrategy):
    """The rows the model is surest of; stops the run at a fit, where told to."""

    stop_after = None  # fits that are left

    def __init__(self, estimator=None, *, batch_size=1, random_state=None, weight=1.0):
        super().__init__(estimator, batch_size=batch_size, random_state=random_state)
        self.weight = weight

    def _score(self, X_pool):
        if Sure.stop_after is not None:
            Sure.stop_after -= 1
            if Sure.stop_after < 0:
                raise RuntimeError("killed")
        return self.weight * self._proba(X_pool).max(axis=1)


def run(strategies=None, model=MODEL, X=X, y=Y, **params):
    strategies = [Margin(), Sure()] if strategies is None else strategies
    return active_learning_curve(model, X, y, strategies, **SHORT | params)


def assert_same(curve, other, names=None):
    """All but the seconds."""
    for name in names or other.scores:
        np.testing.assert_array_equal(curve.scores[name], other.scores[name])
        np.testing.assert_array_equal(curve.indices[name], other.indices[name])
    np.testing.assert_array_equal(curve.n_labelled, other.n_labelled)
    np.testing.assert_array_equal(curve.initial_indices, other.initial_indices)
    np.testing.assert_array_equal(curve.test_indices, other.test_indices)
    assert curve.answers == other.answers


TEXT = np.array(["no", "perhaps", "surely"])[Y]


class Labels:
    """An oracle that knows all, notes what it was asked, and may be stopped."""

    given: list = []  # of the other process

    def __init__(self, y=TEXT, stop_after=None):
        self.y, self.stop_after = y, stop_after
        self.asked = []

    def __call__(self, X_rows, indices):
        assert len(indices) == len(X_rows)
        np.testing.assert_array_equal(X_rows, X[indices])
        if self.stop_after is not None and len(self.asked) + len(indices) > self.stop_after:
            raise KeyboardInterrupt
        self.asked += indices.tolist()
        return self.y[indices]

    def one_by_one(self, X_rows, indices):
        for row in indices:
            if len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(int(row))
            yield self.y[row]


def run_oracle(oracle, strategies=None, y=None, **params):
    """With the last 40 rows to test on."""
    if y is not None:
        y = y[:80]
    test = {"X_test": X[80:], "y_test": TEXT[80:]}
    strategies = [Margin(), Chance()] if strategies is None else strategies
    return active_learning_curve(
        MODEL, X[:80], y, strategies, **SHORT | test | {"oracle": oracle} | params
    )
