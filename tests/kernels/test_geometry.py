"""From g, D and P to FI."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import helmert

from skfi.kernels._geometry import fi_binary, fi_multiclass


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
