"""Pairs of fewer columns than contrasts equal the stacked responses of the same H⁻¹."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skfi.bridge import bridge
from skfi.linear._active import LinearPairs
from skfi.linear._active_few_columns import FewColumnPairs
from skfi.linear._objective import fit_curvature


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


def test_copied_columns_take_the_pseudo_inverse_of_few_columns():
    X, y, pool = draw(60, 3, 8)
    X, pool = np.c_[X, X[:, 0]], np.c_[pool, pool[:, 0]]
    model, weight = bridge(fitted(X, y)).make_model(len(X)), np.ones(60)
    curvature = fit_curvature(model, X, y, weight, kronecker=True).hessian.invert(model)
    c = looked_at(model, pool)
    expected = LinearPairs(model, X, y, weight, curvature).pairs(model.extended(pool), c)
    pairs = curvature.pairs(model, X, y, weight)
    np.testing.assert_allclose(pairs.pairs(model.extended(pool), c), expected, rtol=1e-6)
