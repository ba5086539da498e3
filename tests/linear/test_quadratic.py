"""Quadratic forms of rank-one vectors, by a root and by the table of products."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context

from skfi.linear._active import gradients
from skfi.linear._blocks import BlockCurvature
from skfi.linear._kronecker import KroneckerCurvature
from skfi.linear._quadratic import Quadratic, cheaper_by_root, principal_root
from skfi.linear._vectors import DenseVectors, FactoredVectors, in_length


def problem(K, p, rank, n, seed):
    rng = np.random.default_rng(seed)
    L = rng.normal(size=(K * p, rank))
    return L, L @ L.T, rng.normal(size=(n, p)), rng.normal(size=(n, K))


@given(
    K=st.integers(1, 7),
    p=st.integers(1, 7),
    rank=st.integers(1, 6),
    n=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_both_forms_are_the_definition(K, p, rank, n, seed):
    L, C, X, c = problem(K, p, rank, n, seed)
    u = gradients(X, c)
    expected = np.einsum("bi,ij,bj->b", u, C, u)
    scale = np.abs(C).max() * (u**2).sum(axis=1)
    for form in (Quadratic(K, C), Quadratic(K, root=L)):
        assert (np.abs(form(X, c) - expected) <= 1e-12 * scale + 1e-300).all()
        np.testing.assert_allclose(form.times(u[0]), C @ u[0], rtol=1e-9, atol=1e-9 * scale[0])


@pytest.mark.parametrize("K", [2, 7])
def test_any_block_size(monkeypatch, K):
    _, C, X, c = problem(K, 9, 9 * K, 500, 0)
    form = Quadratic(K, C)
    whole = form(X, c)
    monkeypatch.setattr("skfi.linear._quadratic._BLOCK_BYTES", 1)
    np.testing.assert_allclose(form(X, c), whole, rtol=1e-12)


@pytest.mark.parametrize("K", [1, 3, 5])
def test_pairs_of_outputs_and_the_table_agree(monkeypatch, K):
    """Two ways to the same numbers, of which each has outputs where it is the quicker."""
    _, C, X, c = problem(K, 65, 65 * K, 700, 0)
    pairs = Quadratic(K, C)
    monkeypatch.setattr("skfi.linear._quadratic._FEW_OUTPUTS", 0)
    table = Quadratic(K, C)
    assert pairs.table.shape == (65, 65 * K * (K + 1) // 2)
    assert table.table.shape == (K * (K + 1) // 2, 65 * 66 // 2)
    monkeypatch.undo()
    found = pairs(X, c)
    monkeypatch.setattr("skfi.linear._quadratic._FEW_OUTPUTS", 0)
    np.testing.assert_allclose(found, table(X, c), rtol=1e-12)


def test_which_is_cheaper():
    assert cheaper_by_root(585, 9, 100)
    assert not cheaper_by_root(585, 9, 585)
    assert cheaper_by_root(5, 1, 5)
    assert not cheaper_by_root(5, 1, 6)


@pytest.mark.parametrize("K", [1, 3, 7])
def test_products_stay_under_the_working_memory(monkeypatch, K):
    """Of which each thread at work has its part, and the rows the other half of that."""
    _, C, X, c = problem(K, 65, 65 * K, 3000, 0)
    form = Quadratic(K, C)
    whole = form(X, c)
    monkeypatch.setattr("skfi.linear._quadratic.n_threads", lambda: 4)
    tracemalloc.start()
    with config_context(working_memory=4):
        found = form(X, c)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    np.testing.assert_allclose(found, whole, rtol=1e-12)


@pytest.mark.parametrize("rank", [3, 20])
def test_principal_root(rank):
    L, C, _, _ = problem(3, 4, rank, 1, 0)
    inverse = np.linalg.inv(np.cov(np.random.default_rng(1).normal(size=(12, 40))))
    A, white = BlockCurvature(inverse[None]).root()
    np.testing.assert_allclose(A @ A.T, inverse, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(white @ A, np.eye(12), atol=1e-9)
    for C_or_L in ((C, None), (None, L)):
        root, variance = principal_root(*C_or_L, A, white)
        np.testing.assert_allclose(root @ root.T, C, rtol=1e-9, atol=1e-9)
        assert root.shape == (12, min(rank, 12))
        # Coordinates of gradients that scatter as the Hessian has it are uncorrelated.
        scatter = root.T @ np.linalg.inv(inverse) @ root
        np.testing.assert_allclose(scatter, np.diag(variance), atol=1e-9 * variance[0])
        assert (np.diff(variance) <= 1e-9).all()
    root, variance = principal_root(np.zeros((12, 12)), None, A, white)
    assert root.shape == (12, 0)
    assert variance.shape == (0,)


def test_inverse_roots_of_every_shape():
    rng = np.random.default_rng(0)
    S, A = (M @ M.T for M in (rng.normal(size=(2, 2)), rng.normal(size=(3, 3))))
    for curvature, dense in [
        (KroneckerCurvature(S, A), np.kron(S, A)),
        (BlockCurvature(np.stack([A, 2 * A])), np.kron(np.diag([1.0, 2.0]), A)),
        (BlockCurvature(np.diag([1.0, 0.0, 1e-12])[None]), np.diag([1.0, 0.0, 1e-12])),
    ]:
        root, white = curvature.root()
        np.testing.assert_allclose(root @ root.T, dense, rtol=1e-9, atol=1e-20)
        np.testing.assert_allclose(white @ root, np.eye(root.shape[1]), atol=1e-9)


def test_memory_is_bounded_where_there_are_many_columns():
    """The products of p²/2 columns are taken a part at a time."""
    rng = np.random.default_rng(0)
    L = rng.normal(size=(1200, 1200))
    form = Quadratic(1, L @ L.T)
    X, c = rng.normal(size=(200, 1200)), rng.normal(size=(200, 1))
    tracemalloc.start()
    found = form(X, c)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20
    u = gradients(X, c)
    np.testing.assert_allclose(found, ((u @ L) ** 2).sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("whitened", [True, False])
def test_factored_vectors_are_their_dense_ones(fit_intercept, whitened):
    """Lengths and inner products, which are all that choosing by distance asks."""
    L, C, X, c = problem(3, 5, 15, 30, 1)
    x = X[:, :4] if fit_intercept else X
    full = np.column_stack([x, np.ones(30)]) if fit_intercept else x
    form = Quadratic(3, C) if whitened else None
    vectors = FactoredVectors(x, c, fit_intercept, form)
    dense = DenseVectors(gradients(full, c) @ (L if whitened else np.eye(15)))
    np.testing.assert_allclose(vectors.lengths, dense.lengths, rtol=1e-9)
    for i in (0, 7, 29):
        np.testing.assert_allclose(vectors.inner(i), dense.inner(i), rtol=1e-8, atol=1e-8)
    # Drawn out to other lengths; one without a direction has none.
    dense.V[3] = 0.0
    wanted = np.arange(30.0)
    lengths, inner = in_length(DenseVectors(dense.V), wanted)
    np.testing.assert_allclose(lengths, np.where(wanted == 3, 0, wanted))
    np.testing.assert_allclose([inner(i)[i] for i in range(30)], lengths, rtol=1e-9)
    # Lengths far from their own do not overflow on the way.
    tiny, wanted = DenseVectors(dense.V * 1e-150), np.full(30, 1e300)
    lengths, inner = in_length(tiny, wanted)
    np.testing.assert_allclose([inner(i)[i] for i in range(30)], lengths, rtol=1e-9)
