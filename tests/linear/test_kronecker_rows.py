"""FI by K-FAC of many classes: the definition, however it is computed, and bounded memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import helmert
from sklearn import config_context

from skfi.bridge import Bridge
from skfi.linear._blocks import BlockCurvature
from skfi.linear._covariance import covariance_root
from skfi.linear._kronecker_rows import KroneckerRows, kronecker_rows
from skfi.linear._links import Softmax
from skfi.linear._losses import log_loss
from skfi.linear._objective import fit_curvature, no_rows
from skfi.linear._scores import score_all
from skfi.linear._softmax import validation_gradient
from tests.reference import Definition


def problem(n_classes, d, n=200, scored=40, scale=1.0, fit_intercept=True, seed=0):
    """A model with coefficients by hand, its rows and weights, H⁻¹ by K-FAC, and h."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    coef = rng.standard_normal((n_classes, d)) * scale / np.sqrt(d)
    y = (X @ coef.T + rng.gumbel(size=(n, n_classes))).argmax(axis=1)
    y[rng.random(n) < 0.1] = 0
    intercept = rng.standard_normal(n_classes) / 10 if fit_intercept else None
    linear = Bridge.linear(coef, intercept, classes=np.arange(n_classes), l2=1.0)
    model, weight = linear.make_model(n), rng.integers(1, 4, n).astype(float)
    inverse = fit_curvature(model, X, y, weight, kronecker=True).hessian.invert(model)
    u = validation_gradient(model, X[:20], y[19::-1], np.ones(20), log_loss)
    return model, X[:scored], y[:scored], weight[:scored], inverse, inverse.solve(u)


def by_definition(model, X, y, weight, inverse, h, root=None):
    """FI with S, the mixed derivative and the metric tensor as they are defined."""
    U, d = model.link.basis, model.n_features
    W, outputs, h = U @ model.W, U @ inverse.outputs @ U.T, U @ h
    log_p = model.link.log_proba(model.scores(X))
    fi = []
    for x, label, w, p in zip(X, y, weight, np.exp(log_p), strict=True):
        S = np.diag(p) - np.outer(p, p)
        r = p - np.eye(len(p))[label]
        xt = np.append(x, 1.0) if model.fit_intercept else x
        mixed = (S @ W)[:, None, :] * xt[:, None] + r[:, None, None] * np.eye(len(xt), d)
        moved = np.tensordot(inverse.inputs, w * mixed, (1, 1))
        moved = np.tensordot(outputs, moved, (1, 1))
        D = W - np.tensordot(moved, xt, (1, 0))
        g = -np.tensordot(h, w * mixed)
        D = D - p @ D
        if root is not None:
            g, D = g @ root, D @ root
        G = D.T @ (p[:, None] * D)
        fi.append(g @ np.linalg.pinv(G, rcond=1e-13, hermitian=True) @ g)
    return np.array(fi)


def prepared(model, X, y, weight, inverse, h):
    """What scores rows, and what it needs of each."""
    d = model.n_features
    T = model.affine(X, inverse.inputs)
    leverage = (model.affine(X, T.T) * np.eye(len(X))).sum(axis=0)
    rows = kronecker_rows(model.link, inverse.outputs, model.W, h[:, :d])
    data = model.scores(X), y, weight, leverage, model.affine(X, h.T), T[:, :d]
    return rows, data, rows.terms(*data)


SHAPES = [(4, 3), (4, 9), (60, 5), (60, 20), (60, 80)]


@pytest.mark.parametrize(("n_classes", "d"), SHAPES)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_equals_definition(n_classes, d, fit_intercept):
    args = problem(n_classes, d, fit_intercept=fit_intercept)
    np.testing.assert_allclose(score_all(*args), by_definition(*args), rtol=1e-8)


def test_least_squares_equal_the_definition():
    args = problem(60, 80)
    rows, _, block = prepared(*args)
    fi, sound = rows._by_least_squares(block, rows.least_squares)
    assert sound.mean() > 0.95
    np.testing.assert_allclose(fi[sound], by_definition(*args)[sound], rtol=1e-8)


@pytest.mark.parametrize(("n_classes", "d"), [(6, 4), (5, 7)])
def test_equals_the_dense_product(n_classes, d):
    model, X, y, weight, inverse, h = problem(n_classes, d)
    whole = BlockCurvature(inverse.dense()[None])
    expected = score_all(model, X, y, weight, whole, h)
    np.testing.assert_allclose(score_all(model, X, y, weight, inverse, h), expected, rtol=1e-8)


@pytest.mark.parametrize("d", [20, 80])
def test_equals_definition_mahalanobis(d):
    model, X, y, weight, inverse, h = problem(60, d)
    X = X * np.linspace(0.5, 2.0, d)
    root = covariance_root(X, weight)
    found = score_all(model, X, y, weight, inverse, h, root)
    expected = by_definition(model, X, y, weight, inverse, h, root)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert not score_all(model, X, y, weight, inverse, h, np.zeros((d, 0))).any()


def test_a_softmax_in_all_classes_is_the_same():
    """With all K outputs instead of K - 1 contrasts, and with label smoothing."""
    reduced, X, y, weight, _, h = problem(20, 25)
    reduced = replace(reduced, link=Softmax(20, smoothing=0.1))
    link = Softmax(20, reduced=False, smoothing=0.1)
    U = reduced.link.basis
    l2 = np.repeat(reduced.l2[:1], 20, axis=0)
    whole = replace(reduced, link=link, beta=U @ reduced.beta, l2=l2, l1=0 * l2)
    sums = [fit_curvature(model, X, y, weight, kronecker=True) for model in (reduced, whole)]
    np.testing.assert_allclose(sums[0].hessian.outputs, sums[1].hessian.outputs, rtol=1e-12)
    for columns in (slice(None), slice(5)):
        root = np.eye(25)[:, columns]
        found = [
            score_all(model, X, y, weight, total.hessian.invert(model), moved, root)
            for model, total, moved in zip((reduced, whole), sums, (h, U @ h), strict=True)
        ]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-7)


@pytest.mark.parametrize("d", [20, 80])
@pytest.mark.parametrize("scale", [4.0, 12.0])
def test_steps_and_products_agree_where_probabilities_vanish(d, scale):
    """The definition in doubles knows nothing of classes of probability 1e-13 and less."""
    rows, data, block = prepared(*problem(60, d, scored=200, scale=scale))
    assert block.p.min() < 1e-10
    np.testing.assert_allclose(rows.score(*data), rows._written_out(block), rtol=1e-8)


def test_rows_that_steps_do_not_solve_are_written_out(monkeypatch):
    rows, data, block = prepared(*problem(60, 80))
    expected = rows.score(*data)
    monkeypatch.setattr(KroneckerRows, "_most_steps", 3)
    _, sound = rows._by_least_squares(block, rows.least_squares)
    assert not sound.all()
    np.testing.assert_allclose(rows.score(*data), expected, rtol=1e-8)


@pytest.mark.parametrize("d", [20, 80])
def test_blocks_of_any_size_give_the_same(d):
    args = problem(60, d)
    expected = score_all(*args)
    for chunk in (1, 7):
        np.testing.assert_allclose(score_all(*args, chunk=chunk), expected, rtol=1e-11)


@pytest.mark.parametrize("d", [20, 80])
def test_dependent_columns_and_rows_of_no_weight(d):
    model, X, y, weight, _, h = problem(60, d)
    X, beta = X.copy(), model.beta.copy()
    X[:, 1], beta[:, 1] = X[:, 0], beta[:, 0]
    X[:, 2] = beta[:, 2] = 0.0
    weight[::7] = 0.0
    model = replace(model, beta=beta)
    total = fit_curvature(model, X, y, weight, kronecker=True)
    inverse = total.hessian.invert(model)
    h = inverse.solve(total.gradient)
    found = score_all(model, X, y, weight, inverse, h)
    assert not found[::7].any()
    expected = by_definition(model, X, y, weight, inverse, h)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-20)


def test_fewer_columns_than_classes_one_versus_rest():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 3)), rng.integers(0, 7, 60)
    coef, intercept, weight = rng.standard_normal((7, 3)), np.zeros(7), np.ones(60)
    linear = Bridge.linear(coef, intercept, classes=np.arange(7), l2=1.0, one_vs_rest=True)
    model = linear.make_model(60)
    inverse = fit_curvature(model, X, y, weight).hessian.invert(model)
    u = validation_gradient(model, X[:20], y[:20], weight[:20], log_loss)
    naive = Definition(coef, intercept, 1.0, kind="ovr")
    expected = naive.fi(X, y, weight, weight, u.ravel())
    found = score_all(model, X, y, weight, inverse, inverse.solve(u))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_sums_are_those_of_every_row():
    model, X, y, weight, _, _ = problem(30, 4)
    total = no_rows(model, kronecker=True)
    total += fit_curvature(model, X, y, weight, chunk=37, kronecker=True)
    S = np.tensordot(weight, model.link.curvature(model.scores(X)), 1)
    U = helmert(30)
    np.testing.assert_allclose(U @ total.hessian.outputs @ U.T, S, atol=1e-13)
    assert total.hessian.trace_of_loss(model) == pytest.approx(
        np.trace(S) * np.trace(total.hessian.inputs) / weight.sum()
    )


def test_memory_of_a_thousand_classes():
    """One matrix of classes by classes for each row would alone be 800 MB."""
    n_classes, d, n = 1000, 30, 100
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, d)), rng.integers(0, n_classes, n)
    coef = rng.standard_normal((n_classes, d)) / 5
    tracemalloc.start()
    try:
        with config_context(working_memory=32):
            linear = Bridge.linear(
                coef, np.zeros(n_classes), classes=np.arange(n_classes), l2=1.0
            )
            model, one = linear.make_model(n), np.ones(n)
            total = fit_curvature(model, X, y, one, kronecker=True)
            inverse = total.hessian.invert(model)
            u = validation_gradient(model, X[:20], y[:20], one[:20], log_loss)
            fi = score_all(model, X, y, one, inverse, inverse.solve(u))
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert np.isfinite(fi).all()
    # A few matrices of classes by classes are 8 MB each; blocks have 32 MiB.
    assert peak < 100
