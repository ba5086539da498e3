"""From g, D and P to FI."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.linalg import helmert

from skfi.linear._geometry import (
    _fi_by_svd,
    fi_binary,
    fi_few_columns,
    fi_multiclass,
    fisher_factors,
)


def naive(g, Z, p):
    D = helmert(len(p)).T @ Z
    D = D - p @ D
    G = D.T @ (p[:, None] * D)
    return g @ np.linalg.pinv(G, rcond=1e-13, hermitian=True) @ g


@pytest.mark.parametrize(("n_classes", "d"), [(3, 5), (5, 4), (6, 2), (4, 1)])
def test_equals_pseudo_inverse(n_classes, d):
    rng = np.random.default_rng(0)
    g, Z = rng.standard_normal((30, d)), rng.standard_normal((30, n_classes - 1, d))
    p = rng.dirichlet(np.ones(n_classes), 30)
    expected = [naive(*row) for row in zip(g, Z, p, strict=True)]
    np.testing.assert_allclose(fi_multiclass(g, Z, np.log(p)), expected, rtol=1e-8)


@pytest.mark.parametrize(("n_classes", "d"), [(60, 5), (60, 40), (30, 28)])
def test_few_columns_equal_the_pseudo_inverse(n_classes, d):
    rng = np.random.default_rng(0)
    g, D = rng.standard_normal((20, d)), rng.standard_normal((20, n_classes, d))
    D[:5] *= 10.0 ** rng.integers(-3, 3, d)
    z = 2 * rng.standard_normal((20, n_classes))
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    expected = _fi_by_svd(g, D, log_p)
    np.testing.assert_allclose(fi_few_columns(g, D, log_p), expected, rtol=1e-8)
    shifted = fi_few_columns(g, D + rng.standard_normal((20, 1, d)), log_p)
    np.testing.assert_allclose(shifted, expected, rtol=1e-8)


def metric(D, p):
    """G in rational numbers; p is scaled to a sum of 1."""
    D = [[Fraction(v) for v in row] for row in D]
    p = [Fraction(v) / sum(map(Fraction, p)) for v in p]
    d = range(len(D[0]))
    mean = [sum(q * row[j] for q, row in zip(p, D, strict=True)) for j in d]
    D = [[row[j] - mean[j] for j in d] for row in D]
    return [[sum(q * r[i] * r[j] for q, r in zip(p, D, strict=True)) for j in d] for i in d]


def exact(g, *metrics):
    """g G⁻¹ gᵀ, G the sum of `metrics`, in rational numbers."""
    d = range(len(g))
    rows = [[sum(G[i][j] for G in metrics) for j in d] + [Fraction(g[i])] for i in d]
    fi = Fraction(0)
    for k in d:  # elimination leaves gᵀ G⁻¹ g as a sum over pivots
        fi += rows[k][-1] ** 2 / rows[k][k]
        for i in range(k + 1, len(g)):
            share = rows[i][k] / rows[k][k]
            rows[i] = [a - share * b for a, b in zip(rows[i], rows[k], strict=True)]
    return float(fi)


@pytest.mark.parametrize("likely", [1, 3, 6])
def test_few_columns_know_tiny_probabilities(likely):
    """A direction that only classes of 1e-30 and less can tell: no digit is cut off."""
    rng = np.random.default_rng(likely)
    g, D = rng.standard_normal((1, 4)), rng.standard_normal((1, 9, 4))
    p = np.where(np.arange(9) < likely, rng.random(9), 10.0 ** -rng.integers(30, 40, 9))
    p = rng.permutation(p / p.sum())
    expected = exact(g[0], metric(D[0], p))
    assert fi_few_columns(g, D, np.log(p)[None])[0] == pytest.approx(expected, rel=1e-8)
    factors = fisher_factors(helmert(9) @ D, np.log(p)[None])[0]
    assert ((factors @ g[0]) ** 2).sum() == pytest.approx(expected, rel=1e-8)


def test_few_columns_that_depend_among_others():
    rng = np.random.default_rng(0)
    g, D = rng.standard_normal((5, 4)), rng.standard_normal((5, 9, 4))
    D[1, :, 2] = 2 * D[1, :, 0] - D[1, :, 1]
    D[2, :, 1] = 0
    D[3] = 0
    log_p = np.log(rng.dirichlet(np.ones(9), 5))
    log_p[4, :8], log_p[4, 8] = np.log(1 / 8), -5000.0
    actual = fi_few_columns(g, D, log_p)
    np.testing.assert_allclose(actual, _fi_by_svd(g, D, log_p), rtol=1e-8)
    assert actual[3] == 0
    log_p[0] = np.where(np.arange(9) == 3, 0.0, -5000.0)
    assert np.isfinite(fi_few_columns(g, D, log_p)).all()


def test_dependent_and_vanishing_rows_among_others():
    rng = np.random.default_rng(0)
    g, Z = rng.standard_normal((4, 5)), rng.standard_normal((4, 3, 5))
    Z[1, 2] = 2 * Z[1, 0] - Z[1, 1]
    Z[2, 1] = 0
    Z[3] = 0
    p = rng.dirichlet(np.ones(4), 4)
    actual = fi_multiclass(g, Z, np.log(p))
    expected = [naive(*row) for row in zip(g, Z, p, strict=True)]
    np.testing.assert_allclose(actual, expected, rtol=1e-8)
    assert actual[3] == 0


def test_binary_equals_two_class_softmax():
    rng = np.random.default_rng(0)
    g, v, p = rng.standard_normal((9, 4)), rng.standard_normal((9, 4)), rng.random(9)
    both = np.column_stack([1 - p, p])
    # helmert(2) is (1, -1)/√2 and the logit is z1 - z0.
    expected = fi_multiclass(g, -v[:, None, :] / np.sqrt(2), np.log(both))
    actual = fi_binary((g * v).sum(1), (v * v).sum(1), p * (1 - p))
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


def test_never_nan_or_infinite():
    huge = fi_binary(np.array([1e200, 0.0]), np.array([1.0, 0.0]), np.array([0.0, 0.0]))
    assert np.isfinite(huge).all()
    log_p = np.array([[0.0, -5000.0, -1e5]])
    assert np.isfinite(fi_multiclass(np.ones((1, 3)) * 1e10, np.eye(3)[None, :2], log_p)).all()


@pytest.mark.parametrize("scale", [1e-8, 1e-12, 1e12])
@pytest.mark.parametrize(("n_classes", "d"), [(3, 2), (4, 3), (4, 2)])
def test_scales_of_columns_do_not_matter_where_there_are_few(n_classes, d, scale):
    """The metric tensor is of full rank, and FI the same in all coordinates."""
    rng = np.random.default_rng(0)
    g, Z = rng.standard_normal((20, d)), rng.standard_normal((20, n_classes - 1, d))
    log_p = np.log(rng.dirichlet(np.ones(n_classes), 20))
    unit = np.append(np.ones(d - 1), scale)
    expected = fi_multiclass(g, Z, log_p)
    np.testing.assert_allclose(fi_multiclass(g * unit, Z * unit, log_p), expected, rtol=1e-8)
    D = helmert(n_classes).T @ Z
    np.testing.assert_allclose(fi_few_columns(g * unit, D * unit, log_p), expected, rtol=1e-8)
    F = fisher_factors(Z * unit, log_p)
    # Undone, the scale leaves no rounding of the other columns behind.
    np.testing.assert_allclose(F * unit, fisher_factors(Z, log_p), rtol=1e-6, atol=1e-9)


def test_factors_keep_small_columns_beside_large_ones():
    """With more columns than contrasts the scales matter, and no column rounds another off."""
    rng = np.random.default_rng(0)
    Z, log_p = rng.standard_normal((20, 2, 4)), np.log(rng.dirichlet(np.ones(3), 20))
    Z[:, :, 3] *= 1e8
    F = fisher_factors(Z, log_p)
    D = helmert(3).T @ Z
    D -= np.einsum("bc,bcd->bd", np.exp(log_p), D)[:, None]
    A = np.exp(0.5 * log_p)[:, :, None] * D
    # A Fᵀ has orthonormal columns, as FᵀF = G⁺ says.
    product = A @ F.transpose(0, 2, 1)
    gram = product.transpose(0, 2, 1) @ product
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(2), gram.shape), atol=1e-6)
