"""Pairs of few rows of many columns, in the span of the rows, against all columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from skfi import FIActiveSampler, FIEmbedding, fi_active, fi_pairwise
from skfi.bridge import bridge
from skfi.influence import _curved
from skfi.linear._active import LinearPairs
from skfi.linear._active_few_columns import FewColumnPairs
from skfi.linear._objective import fit_curvature
from skfi.linear._span import basis_of_span, in_basis
from tests.data import sparse_logistic

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 40)) * (RNG.random((60, 40)) < 0.4)
LABELLED, POOL = X[:15], X[15:]


def labels(n_classes, n):
    return np.arange(n) % n_classes


@pytest.fixture
def all_columns(monkeypatch):
    """Calls a function without the reduction."""

    def run(function):
        with monkeypatch.context() as patched:
            patched.setattr(_curved, "basis_of_span", lambda model, X: None)
            return function()

    return run


FUNCTIONS = {
    "pairwise": lambda model, X, y, V, w: fi_pairwise(model, X, y, V, w),
    "mahalanobis": lambda model, X, y, V, w: fi_pairwise(
        model, X, y, V, w, metric="mahalanobis"
    ),
    "median": lambda model, X, y, V, w: fi_active(model, X, y, V, aggregate="median"),
    "mean": lambda model, X, y, V, w: fi_active(model, X, y, V, aggregate="mean"),
    "sampler": lambda model, X, y, V, w: (
        FIActiveSampler(model, random_state=0).fit(X, y).score_samples(V)
    ),
    "batch": lambda model, X, y, V, w: (
        FIActiveSampler(
            model, utility="fi", selection="diverse", aggregate="mean", random_state=0
        )
        .fit(X, y)
        .query(V, 5)
    ),
    "embedding": lambda model, X, y, V, w: (lambda E: E @ E.T)(
        FIEmbedding(model, n_components=None).fit(X, y).transform(V)
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_the_same_as_with_all_columns(all_columns, name, n_classes, form):
    y, w = labels(n_classes, 15), labels(n_classes, 45)
    rows, pool = form(LABELLED), form(POOL)
    model = LogisticRegression(C=2.0, tol=1e-8, max_iter=5000).fit(rows, y)
    if form is not np.asarray and name == "mahalanobis":
        rows, pool = LABELLED, POOL
    data = model, rows, y, pool, w
    actual, expected = FUNCTIONS[name](*data), all_columns(lambda: FUNCTIONS[name](*data))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-9 * scale)


def test_where_there_is_a_basis():
    def basis(model, rows=LABELLED):
        model.fit(LABELLED, labels(3, 15))
        return basis_of_span(bridge(model).make_model(15), rows)

    Q = basis(LogisticRegression())
    assert Q.shape == (40, 17)  # 15 rows, two contrasts
    np.testing.assert_allclose(Q.T @ Q, np.eye(17), atol=1e-12)
    assert basis(LogisticRegression(C=np.inf)) is None
    assert basis(sparse_logistic()) is None
    assert basis(LogisticRegression(), X) is None
    assert basis(LogisticRegression(), LABELLED * np.append(np.ones(39), 1e7)) is None


def test_the_model_in_the_basis_has_the_same_scores():
    model = bridge(LogisticRegression().fit(LABELLED, labels(3, 15))).make_model(15)
    Q = basis_of_span(model, LABELLED)
    np.testing.assert_allclose(
        in_basis(model, Q).scores(POOL @ Q), model.scores(POOL), atol=1e-10
    )


@pytest.mark.parametrize("root", [None, np.diag([1.0, 2.0, 0.5, 3.0])])
@pytest.mark.parametrize("reduced_memory", [False, True])
def test_pairs_of_few_columns_and_many_classes(root, reduced_memory):
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((90, 4))
    y = np.argmax(rows @ rng.standard_normal((4, 9)) + rng.gumbel(size=(90, 9)), axis=1)
    y[:9] = np.arange(9)
    weight = rng.integers(1, 4, 90).astype(float)
    model = bridge(LogisticRegression(C=0.5).fit(rows, y, weight)).make_model(90)
    kfac = fit_curvature(model, rows, y, weight, kronecker=True).hessian.invert(model)
    pairs = FewColumnPairs(
        model, rows, y, weight, kfac, root, chunk=7 if reduced_memory else None
    )
    others = rng.standard_normal((20, 4))
    c = model.link.residual(model.scores(others), rng.integers(0, 9, 20))
    x = model.extended(others)
    expected = LinearPairs(model, rows, y, weight, kfac, root).pairs(x, c)
    np.testing.assert_allclose(pairs.keep().pairs(x, c), expected, rtol=1e-9)
