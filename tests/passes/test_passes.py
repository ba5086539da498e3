"""Sums over blocks in any order give the fit and the scores of rows in memory."""

from __future__ import annotations

from functools import reduce as fold
from operator import add

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfi import fi_util
from skfi.baselines import iv
from skfi.passes import fit_linear, make_scorer
from tests.conftest import make_split

try:
    import cloudpickle
except ImportError:  # older versions of joblib bring their own
    from joblib.externals import cloudpickle

SOME = {0: 2.0, 1: 1.0, 2: 0.5}


def over(X, y, weight=None, size=17, order=1):
    """A `reduce` over blocks, which are added up from either end."""
    slices = [slice(i, i + size) for i in range(0, len(X), size)][::order]

    def everywhere(part):
        part = cloudpickle.loads(cloudpickle.dumps(part))
        weights = (None if weight is None else weight[rows] for rows in slices)
        found = [part(X[r], y[r], w) for r, w in zip(slices, weights, strict=True)]
        return cloudpickle.loads(cloudpickle.dumps(fold(add, found)))

    return everywhere


def reference(**params):
    return LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=200, **params)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("class_weight", [None, "balanced", SOME])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_fit_is_that_of_rows_in_memory(n_classes, class_weight, fit_intercept):
    X, y, _, _, weight = make_split(n_classes)
    if isinstance(class_weight, dict):
        class_weight = {k: v for k, v in class_weight.items() if k < n_classes}
    params = {"C": 0.7, "class_weight": class_weight, "fit_intercept": fit_intercept}
    model = fit_linear(over(X, y, weight, order=-1), 5, np.unique(y), **params)
    expected = reference(**params).fit(X, y, weight)
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, atol=1e-8)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.n_features_in_ == 5


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_a_start_nearby_saves_passes(n_classes, fit_intercept):
    X, y, _, _, weight = make_split(n_classes)
    classes, params = np.unique(y), {"C": 0.7, "fit_intercept": fit_intercept}
    first = fit_linear(over(X, y, weight), 5, classes, **params)
    again = fit_linear(over(X, y, weight), 5, classes, start=first, **params)
    assert again.n_iter_[0] == 1
    np.testing.assert_allclose(again.coef_, first.coef_, atol=1e-9)
    fewer = over(X[5:], y[5:])
    cold = fit_linear(fewer, 5, classes, **params)
    warm = fit_linear(fewer, 5, classes, start=first, **params)
    assert warm.n_iter_[0] < cold.n_iter_[0]
    np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-7)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis"])
@pytest.mark.parametrize("unit", ["copy", "row"])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_scores_are_those_of_rows_in_memory(n_classes, metric, unit, class_weight):
    X, y, X_val, y_val, weight = make_split(n_classes)
    model = reference(class_weight=class_weight).fit(X, y, weight)
    rule = {"metric": metric, "unit": unit, "validation_loss": "expected_error"}
    scorer = make_scorer(over(X, y, weight), model, X_val, y_val, **rule)
    scorer = cloudpickle.loads(cloudpickle.dumps(scorer))
    fi, gain = scorer(X[:40], y[:40], weight[:40])
    data = X, y, X_val, y_val
    expected = fi_util(model, *data, sample_weight=weight, **rule)
    np.testing.assert_allclose(fi, expected[:40], rtol=1e-8)
    value = iv(model, *data, sample_weight=weight, validation_loss="expected_error")
    np.testing.assert_allclose(gain, value[:40], rtol=1e-8, atol=1e-14)


def test_a_pipeline_and_a_penalty_beside_the_mean():
    X, y, X_val, y_val, _ = make_split()
    sgd = SGDClassifier(loss="log_loss", alpha=0.05, tol=1e-9, max_iter=9000, random_state=0)
    model = make_pipeline(StandardScaler(), sgd).fit(X, y)
    scorer = make_scorer(over(X, y), model, X_val, y_val)
    expected = fi_util(model, X, y, X_val, y_val)
    np.testing.assert_allclose(scorer(X, y)[0], expected, rtol=1e-8)


def test_what_is_refused():
    X, y, X_val, y_val, _ = make_split()
    model = reference().fit(X, y)
    with pytest.raises(ValueError, match="C=0 must be a positive number"):
        fit_linear(over(X, y), 5, [0, 1], C=0)
    with pytest.raises(ValueError, match="at least two"):
        fit_linear(over(X, y), 5, [0])
    with pytest.raises(ValueError, match="never saw"):
        fit_linear(over(X, y), 5, [1, 2])
    with pytest.raises(ValueError, match=r"4 features.*fitted on 5"):
        make_scorer(over(X[:, :4], y), model, X_val, y_val)
    with pytest.raises(ValueError, match=r"X_val has 4 features.*fitted on 5"):
        make_scorer(over(X, y), model, X_val[:, :4], y_val)
    with pytest.raises(ValueError, match=r"shape \(1, 5\).*needs \(1, 4\)"):
        fit_linear(over(X[:, :4], y), 4, [0, 1], start=model)
    with pytest.raises(ValueError, match=r"classes \[0, 1\].*for \[1, 2\]"):
        fit_linear(over(X, y), 5, [1, 2], start=model)
    with pytest.raises(TypeError, match=r"start=StandardScaler.*coef_ and intercept_"):
        fit_linear(over(X, y), 5, [0, 1], start=StandardScaler())
    net = MLPClassifier((3,), solver="lbfgs", random_state=0).fit(X, y)
    with pytest.raises(TypeError, match=r"make_scorer takes linear.*block by block"):
        make_scorer(over(X, y), net, X_val, y_val)
    with pytest.warns(ConvergenceWarning, match="not converged in 1 passes"):
        fit_linear(over(X, y), 5, [0, 1], max_iter=1)
    with pytest.warns(ConvergenceWarning, match="not at its optimum"):
        make_scorer(over(X, 1 - y), model, X_val, y_val)
