"""Solves on standardized columns by blocks for each class, against the dense Hessian."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skfi.bridge import bridge
from skfi.linear import _block_jacobi
from skfi.linear._block_jacobi import StandardizedHessian, fits_copy
from skfi.linear._conjugate import ConjugateCurvature
from skfi.linear._hessian_product import HessianProduct
from skfi.linear._objective import fit_curvature
from skfi.linear._removal import removal_all

N = 240
X, Y = make_classification(
    N, 8, n_informative=7, n_redundant=0, n_classes=5, n_clusters_per_class=1, flip_y=0.2,
    random_state=0,
)  # fmt: skip
WEIGHT = np.random.default_rng(0).integers(1, 4, N).astype(float)


def fitted(C=1.0, rows=X, fit_intercept=True, weight=WEIGHT):
    """A model, its exact H⁻¹ and K-FAC's."""
    model = LogisticRegression(C=C, max_iter=2000, fit_intercept=fit_intercept)
    linear = bridge(model.fit(rows, Y, weight)).make_model(N)
    exact = fit_curvature(linear, rows, Y, weight).hessian.invert(linear)
    metric = fit_curvature(linear, rows, Y, weight, kronecker=True).hessian.invert(linear)
    return linear, exact, metric


def gradient(linear, seed=1):
    return np.random.default_rng(seed).standard_normal(linear.beta.shape)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=str)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize(("dtype", "digits"), [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_a_solve_is_that_of_the_dense_hessian(form, fit_intercept, dtype, digits):
    linear, exact, metric = fitted(fit_intercept=fit_intercept)
    product = HessianProduct(linear, form(X), WEIGHT, 0.0)
    u = gradient(linear)
    inner = StandardizedHessian(product, metric.solve, dtype)
    assert inner.factors is not None
    h = inner.solve(u, digits)
    assert np.linalg.norm(u - product(h)) <= 2 * digits * np.linalg.norm(u)
    energy = np.sqrt((u * exact.solve(u)).sum())
    assert 0.4 * energy < inner.energy(u) < 3 * energy


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=str)
def test_kfac_preconditions_where_blocks_do_not_fit(form, monkeypatch):
    monkeypatch.setattr(_block_jacobi, "_COSTLY", 0)
    linear, exact, metric = fitted()
    product = HessianProduct(linear, form(X), WEIGHT, 0.0)
    inner = StandardizedHessian(product, metric.solve, np.float64)
    assert inner.factors is None
    u = gradient(linear)
    np.testing.assert_allclose(inner.solve(u, 1e-10), exact.solve(u), rtol=1e-6)


def test_blocks_save_steps(monkeypatch):
    rows = X + 10 * np.eye(5, X.shape[1])[Y]  # some are confident, others not
    linear, _, metric = fitted(rows=rows)
    product = HessianProduct(linear, rows, WEIGHT, 0.0)
    counted, times = StandardizedHessian.product, []
    monkeypatch.setattr(
        StandardizedHessian, "product", lambda *args: times.append(1) or counted(*args)
    )
    steps = []
    for costly in (_block_jacobi._COSTLY, 0):
        monkeypatch.setattr(_block_jacobi, "_COSTLY", costly)
        times.clear()
        StandardizedHessian(product, metric.solve).solve(gradient(linear), 1e-4)
        steps.append(len(times))
    assert steps[0] < 0.7 * steps[1]


def test_results_do_not_depend_on_threads(monkeypatch):
    linear, _, metric = fitted()
    product = HessianProduct(linear, X, WEIGHT, 0.0)
    u, found = gradient(linear), []
    monkeypatch.setattr(_block_jacobi, "_WORTH_THREADS", 0)
    for threads in (1, 3):
        monkeypatch.setattr(_block_jacobi, "n_threads", lambda threads=threads: threads)
        monkeypatch.setattr("skfi._utils._chunks.n_threads", lambda threads=threads: threads)
        found.append(StandardizedHessian(product, metric.solve).solve(u, 1e-4))
    np.testing.assert_allclose(found[1], found[0], atol=1e-4 * np.abs(found[0]).max())


SCALES = 10.0 ** np.random.default_rng(1).uniform(-4, 4, X.shape[1])
ROWS = {
    "means": X + 1e3,
    "scales": (X + 5) * SCALES,
    "heavy tails": np.exp(3 * X / X.std()),
    "constant columns": np.c_[X, np.ones(N), np.zeros(N)],
    "copies of columns": np.c_[X, X],
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("C", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("name", list(ROWS))
def test_rows_of_bad_condition_have_exact_gains_and_scores(name, C):
    rows, ones = ROWS[name], np.ones(N)
    linear, exact, metric = fitted(C, rows, weight=ones)
    curvature = ConjugateCurvature(metric, linear, rows, ones)
    u = linear.moment(rows[:40], linear.link.residual(linear.scores(rows[:40]), Y[:40])) / 40
    h, residual = curvature.refined(u)
    assert residual <= 1e-8
    data = linear, rows, Y, ones
    for of in (lambda h: removal_all(*data, h), lambda h: metric.influence(*data, h)):
        wanted = of(exact.solve(u))
        np.testing.assert_allclose(of(h), wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())


def test_without_a_penalty_the_solve_is_that_of_the_range():
    rows, ones = np.c_[X, np.ones(N)], np.ones(N)
    linear, exact, metric = fitted(np.inf, rows, weight=ones)
    u = linear.moment(rows[:40], linear.link.residual(linear.scores(rows[:40]), Y[:40]))
    h, residual = ConjugateCurvature(metric, linear, rows, ones).refined(u)
    assert residual <= 1e-8
    wanted = exact.solve(u)
    np.testing.assert_allclose(h, wanted, atol=1e-6 * np.abs(wanted).max())


def test_confident_rows_count():
    """Classes that are all but told apart, where few rows make up a block."""
    ones = np.ones(N)
    far = X + 30 * np.eye(5, X.shape[1])[Y]
    linear, exact, metric = fitted(1.0, far, weight=ones)
    u = gradient(linear)
    h, residual = ConjugateCurvature(metric, linear, far, ones).refined(u)
    assert residual <= 1e-8
    wanted = exact.solve(u)
    np.testing.assert_allclose(h, wanted, atol=1e-6 * np.abs(wanted).max())


def test_little_working_memory_copies_no_rows():
    linear, _, _ = fitted()
    with config_context(working_memory=0.01):
        assert not fits_copy(HessianProduct(linear, X, WEIGHT, 0.0), np.float32)
