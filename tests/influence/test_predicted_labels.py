"""Classifiers that predict a column of labels are used as those that predict a vector."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skfi import FITrimmer, baselines


class Column(GaussianNB):
    """Predictions of shape (n, 1), as CatBoost's for three classes or more."""

    def predict(self, X):
        return super().predict(X)[:, None]


class ColumnLogistic(LogisticRegression):
    def predict(self, X):
        return super().predict(X)[:, None]


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    rows = np.random.RandomState(0).permutation(len(y))[:60]
    return X[rows[:20]], y[rows[:20]], X[rows[20:]], y[rows[20:]]


@pytest.mark.parametrize("scoring", [None, "accuracy", "neg_log_loss"])
def test_tmc_shapley(data, scoring):
    X, y, X_val, y_val = data
    options = {"tolerance": 0, "max_permutations": 2, "random_state": 0, "scoring": scoring}
    one, other = (
        baselines.tmc_shapley(kind(var_smoothing=1e-3).fit(X, y), X, y, X_val, y_val, **options)
        for kind in (GaussianNB, Column)
    )
    assert_array_equal(other, one)


def test_a_trimmer_and_its_report(data):
    X, y, X_val, y_val = data
    options = {"influence": "loss", "budget": 4, "step": None}
    one, other = (FITrimmer(kind(), **options).fit(X, y) for kind in (GaussianNB, Column))
    assert_array_equal(other.predict(X_val), one.predict(X_val))
    assert other.score(X_val, y_val) == one.score(X_val, y_val)
    pytest.importorskip("pandas")
    assert other.report().equals(one.report())
    pytest.importorskip("jinja2")
    assert ">Trimming report<" in other.to_html(frame=X)
