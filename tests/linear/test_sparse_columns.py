"""Sparse rows of many columns: scores are those of dense rows, and of a dense inverse."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import skfi.influence._curved as curved
from skfi import FITrimmer, fi_util
from skfi.baselines import iv
from skfi.bridge import bridge
from skfi.linear._sparse_columns import sparse_width
from skfi.linear._sparse_inverse import sparse_inverse


def texts(n=200, n_words=150, length=6, seed=0):
    """Rows of counts by Zipf's law (n, n_words), whose tone tells the class of most."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, n_words + 1)
    X = np.stack([rng.multinomial(length, share / share.sum()) for _ in range(n)]).astype(float)
    y = (X @ np.random.default_rng(1).normal(size=n_words) + rng.normal(size=n) > 0).astype(int)
    return X, y


@pytest.fixture
def never_sparse(monkeypatch):
    def switch():
        monkeypatch.setattr(curved, "sparse_width", lambda *_: 0)

    return switch


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("C", [1e-2, 1.0, 1e3])
def test_sparse_columns_give_the_scores_of_dense_ones(never_sparse, fit_intercept, C):
    X, y = texts()
    X_val, y_val = texts(60, seed=2)
    X[:, 40] = 0.0
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    model = LogisticRegression(C=C, fit_intercept=fit_intercept, solver="newton-cholesky")
    model.set_params(tol=1e-10).fit(X, y, weight)
    model.coef_[0, 40] = 0.01  # a weight on an empty column, which the fit would not leave
    rows = sparse.csr_array(X), y, sparse.csr_array(X_val), y_val

    def scores():
        for metric in ("euclidean", "mahalanobis"):
            yield fi_util(model, *rows, sample_weight=weight, metric=metric)
        yield fi_util(model, *rows, sample_weight=weight, unit="row", damping=0.01)
        yield iv(model, *rows, sample_weight=weight, validation_loss="expected_error")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, details = fi_util(model, *rows, sample_weight=weight, return_details=True)
        assert details.residual < 1e-12
        ours = list(scores())
        never_sparse()
        assert fi_util(model, *rows, return_details=True)[1].residual is None
        for sparse_scores, dense in zip(ours, scores(), strict=True):
            np.testing.assert_allclose(sparse_scores, dense, rtol=1e-9, atol=1e-13)


def test_a_trimmer_drops_the_same_rows_of_sparse_columns(never_sparse):
    X, y = texts()
    rows = sparse.csr_array(X)
    trimmed = FITrimmer(budget=0.1).fit(rows, y).trimmed_indices_
    never_sparse()
    np.testing.assert_array_equal(FITrimmer(budget=0.1).fit(rows, y).trimmed_indices_, trimmed)


def test_sparse_products_are_for_many_columns_with_few_entries():
    X, y = texts()
    model = bridge(LogisticRegression().fit(X, y)).make_model(len(y))
    rows = sparse.csr_array(X)
    empty = int((X == 0).all(axis=0).sum())
    assert sparse_width(model, rows, len(y)) == X.shape[1] - empty
    assert not sparse_width(model, X, len(y))
    assert not sparse_width(model, sparse.csr_array(np.abs(X) + 1), len(y))  # all are entries
    assert not sparse_width(model, rows, 100)  # fewer rows than columns
    assert not sparse_width(replace(model, l2=0 * model.l2), rows, len(y))


@pytest.mark.parametrize("density", [0.0, 0.01, 0.05, 0.5])
def test_the_sparse_inverse_is_the_inverse(density):
    drawn = np.random.default_rng(0).uniform(size=(2, 90, 70))
    factor = sparse.csr_array(drawn[0] * (drawn[1] < density))
    H = sparse.csr_array(factor.T @ factor + sparse.eye_array(70))
    eliminated = []

    def invert(core):
        eliminated.append(70 - len(core))
        core[:] = np.linalg.inv(core)

    P, order = sparse_inverse(H, invert)
    assert order[-1] == 69
    assert (eliminated[0] > 20) == (density < 0.5)
    expected = np.linalg.inv(H.toarray())[np.ix_(order, order)]
    np.testing.assert_allclose(P, expected, rtol=1e-10, atol=1e-13)
