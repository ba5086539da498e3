"""Pairs of few columns or few rows equal the stacked responses, and the definition."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from skfi import fi_pairwise
from skfi.bridge import bridge
from skfi.linear._active import LinearPairs
from skfi.linear._active_few_columns import FewColumnPairs
from skfi.linear._objective import fit_curvature
from tests.reference import definition_of


def draw(n, d, n_classes, density=1.0, seed=0):
    """Training rows with a row of each class at least, and a pool."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + 30, d)) * (rng.random((n + 30, d)) < density)
    scores = X @ rng.standard_normal((d, n_classes)) / np.sqrt(d * density)
    y = (2 * scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X[:n], y[:n], X[n:]


def fitted(X, y, **settings):
    return LogisticRegression(tol=1e-10, max_iter=5000, **settings).fit(X, y)


def looked_at(model, pool, seed=0):
    """Gradients in the scores of other rows."""
    return np.random.default_rng(seed).standard_normal((pool.shape[0], model.link.n_outputs))


@pytest.mark.parametrize("d", [1, 3, 6])
@pytest.mark.parametrize("white", [False, True])
def test_pairs_of_fewer_columns_than_contrasts_are_the_stacked_responses(d, white):
    X, y, pool = draw(60, d, 8)
    model = bridge(fitted(X, y)).make_model(len(X))
    weight = np.random.default_rng(1).random(60)
    curvature = fit_curvature(model, X, y, weight, kronecker=True).hessian.invert(model)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(X.T))) if white else None
    pairs = curvature.pairs(model, X, y, weight, root)
    assert isinstance(pairs, FewColumnPairs)
    c = looked_at(model, pool)
    expected = LinearPairs(model, X, y, weight, curvature, root).pairs(model.extended(pool), c)
    np.testing.assert_allclose(pairs.pairs(model.extended(pool), c), expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [60, 7])
def test_pairs_of_contrasts_are_the_stacked_responses(rows):
    """One class against another, as the flip ratio has it, and a block with another row."""
    X, y, pool = draw(60, 4, 9)
    model, weight = bridge(fitted(X, y)).make_model(len(X)), np.ones(60)
    curvature = fit_curvature(model, X, y, weight, kronecker=True).hessian.invert(model)
    data = X[:rows], y[:rows], weight[:rows]
    pairs = curvature.pairs(model, *data)
    gradient = np.zeros((len(pool), 9))
    order = np.random.default_rng(0).permuted(np.tile(np.arange(9), (len(pool), 1)), axis=1)
    np.put_along_axis(gradient, order[:, :1], 1.0, axis=1)
    np.put_along_axis(gradient, order[:, 1:2], -1.0, axis=1)
    c, x = gradient @ model.link.basis, model.extended(pool)
    assert pairs._other(x, c).pair is not None
    expected = LinearPairs(model, *data, curvature).pairs(x, c)
    np.testing.assert_allclose(pairs.pairs(x, c), expected, rtol=1e-6)
    c[3] *= 1.1
    assert pairs._other(x, c).pair is None
    expected[3] *= 1.1**2
    np.testing.assert_allclose(pairs.pairs(x, c), expected, rtol=1e-6)


def test_features_that_are_not_kept_give_the_same_pairs():
    X, y, pool = draw(60, 4, 9)
    model, weight = bridge(fitted(X, y)).make_model(len(X)), np.ones(60)
    curvature = fit_curvature(model, X, y, weight, kronecker=True).hessian.invert(model)
    c, x = looked_at(model, pool), model.extended(pool)
    expected = curvature.pairs(model, X, y, weight).keep().pairs(x, c)
    with config_context(working_memory=0.01):
        pairs = curvature.pairs(model, X, y, weight)
        np.testing.assert_allclose(pairs.keep().pairs(x, c), expected, rtol=1e-9)
        assert pairs._kept_tiles is None


def test_copied_columns_take_the_pseudo_inverse_of_few_columns():
    X, y, pool = draw(60, 3, 8)
    X, pool = np.c_[X, X[:, 0]], np.c_[pool, pool[:, 0]]
    model, weight = bridge(fitted(X, y)).make_model(len(X)), np.ones(60)
    curvature = fit_curvature(model, X, y, weight, kronecker=True).hessian.invert(model)
    c = looked_at(model, pool)
    expected = LinearPairs(model, X, y, weight, curvature).pairs(model.extended(pool), c)
    pairs = curvature.pairs(model, X, y, weight)
    np.testing.assert_allclose(pairs.pairs(model.extended(pool), c), expected, rtol=1e-6)


def test_pairs_of_more_columns_than_rows_are_the_definition():
    X, y, pool = draw(15, 20, 2)
    estimator = fitted(X, y)
    naive, one = definition_of(estimator, len(X)), np.ones(len(X))
    labels = estimator.predict(pool[:4])
    expected = [
        naive.fi(X, y, one, one, naive.validation_gradient(x[None], [label], [1.0]))
        for x, label in zip(pool[:4], labels, strict=True)
    ]
    np.testing.assert_allclose(fi_pairwise(estimator, X, y, pool[:4]), expected, rtol=1e-6)


def test_rows_of_a_class_without_weight_have_no_pairs():
    X, y, pool = draw(40, 60, 3)
    estimator = fitted(X, y, class_weight={0: 0.0, 1: 1.0, 2: 2.0})
    found = fi_pairwise(estimator, X, y, pool, curvature="kfac")
    assert (found[:, y == 0] == 0).all()
    assert (found[:, y != 0] > 0).all()
