"""`fit_logistic` beside scikit-learn's own solvers on the same rows in memory."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from skfi._utils import _progress
from skfi.outofcore import ArrayRows, fit_logistic
from tests._utils.test_progress import Display
from tests.conftest import make_split
from tests.outofcore.sources import KINDS, in_blocks, names, source


def reference(X, y, weight=None, **params):
    solver = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000, **params)
    return solver.fit(X, y, weight)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 2.0}])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 10.0])
def test_equals_scikit_learn(n_classes, class_weight, fit_intercept, C):
    X, y, _, _, weight = make_split(n_classes)
    params = dict(class_weight=class_weight, fit_intercept=fit_intercept, C=C)
    expected = reference(X, y, weight, **params)
    found = fit_logistic(in_blocks(ArrayRows(X, y, weight), 33), **params)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(found.classes_, expected.classes_)
    assert found.predict(X).tolist() == expected.predict(X).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_source(kind, tmp_path):
    X, y, _, _, weight = make_split(3)
    X = X.astype(np.float32).astype(np.float64)
    labels = np.array(["ash", "beech", "oak"])[y]
    found = fit_logistic(source(kind, X, labels, weight, tmp_path, 45))
    expected = reference(X, labels, weight)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-7, atol=1e-9)
    assert found.classes_.tolist() == ["ash", "beech", "oak"]
    known = getattr(found, "feature_names_in_", None)
    assert (known is not None) == (kind in ("frame", "parquet", "folder"))


@pytest.mark.parametrize("kind", ["array", "batches", "parquet"])
def test_transformer_is_fitted_block_by_block(kind, tmp_path):
    X, y, _, _, weight = make_split(2)
    X = X * [1, 10, 100, 1, 1] + 5
    found = fit_logistic(
        source(kind, X, y, weight, tmp_path, 33), transformer=StandardScaler(), C=0.1
    )
    scaler = StandardScaler().fit(X)
    expected = reference(scaler.transform(X), y, weight, C=0.1)
    assert isinstance(found, Pipeline)
    np.testing.assert_allclose(found[0].mean_, scaler.mean_)
    np.testing.assert_allclose(found[-1].coef_, expected.coef_, rtol=1e-7)
    if kind == "parquet":
        assert found.feature_names_in_.tolist() == names(X)


@pytest.mark.parametrize("transformer", [Normalizer(), "fitted"])
def test_transformer_that_needs_no_fit(transformer):
    X, y, *_ = make_split(2)
    if transformer == "fitted":
        transformer = FrozenEstimator(PCA(2).fit(X[:50]))
    found = fit_logistic(in_blocks(ArrayRows(X, y), 60), transformer=transformer)
    expected = reference(transformer.transform(X), y)
    np.testing.assert_allclose(found[-1].coef_, expected.coef_, rtol=1e-7)
    assert isinstance(found, Pipeline)


def test_transformer_that_wants_all_rows_at_once():
    X, y, *_ = make_split(2)
    with pytest.raises(TypeError, match=r"PCA has no partial_fit.*FrozenEstimator"):
        fit_logistic(ArrayRows(X, y), transformer=PCA(2))


def test_rows_left_out_have_no_part():
    X, y, _, _, weight = make_split(3)
    gone = np.zeros(len(y), dtype=bool)
    gone[10:80] = True
    found = fit_logistic(in_blocks(ArrayRows(X, y, weight), 20).without(gone))
    expected = reference(X[~gone], y[~gone], weight[~gone])
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-7, atol=1e-9)


def test_each_step_is_a_bar():
    X, y, *_ = make_split(2)
    display = Display()
    with _progress.shown_by(display):
        model = fit_logistic(ArrayRows(X, y))
    passes = len(display.bars)
    assert display.bars == [(f"Fit, pass {k}", 140, [140]) for k in range(1, passes + 1)]
    assert passes >= model.n_iter_[0]


def test_too_few_steps_are_told():
    X, y, *_ = make_split(2)
    with pytest.warns(ConvergenceWarning, match="has not converged") as caught:
        fit_logistic(ArrayRows(X, y), max_iter=1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(C=0), "C=0 must be a positive number"),
        (dict(classes=[1, 0]), "in sorted order"),
        (dict(classes=[1]), "at least two"),
        (dict(classes=[0, 2]), r"rows 0 to 139 of X: y has labels the classifier never saw"),
    ],
)
def test_refusals(params, message):
    X, y, *_ = make_split(2)
    with pytest.raises(ValueError, match=message):
        fit_logistic(ArrayRows(X, y), **params)


def test_one_class_and_no_weight():
    X, y, *_ = make_split(2)
    with pytest.raises(ValueError, match="at least two"):
        fit_logistic(ArrayRows(X, np.zeros(len(y))))
    with pytest.raises(ValueError, match="have no weight"):
        fit_logistic(ArrayRows(X, y, np.zeros(len(y))))
