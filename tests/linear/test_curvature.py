"""The inverse Hessian on its range."""

from __future__ import annotations

import numpy as np
import pytest

from skfi.linear._curvature import inverse_on_range


@pytest.mark.parametrize("rank", [0, 1, 4, 6])
def test_equals_pinv(rank):
    A = np.random.default_rng(rank).standard_normal((6, rank))
    H = A @ A.T
    before = H.copy()
    np.testing.assert_allclose(
        inverse_on_range(H), np.linalg.pinv(H, rcond=1e-12), atol=1e-8, rtol=1e-8
    )
    np.testing.assert_array_equal(H, before)


def test_scales_far_apart_are_not_dependent():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 5))
    scale = np.array([1e-8, 1e-4, 1.0, 1e4, 1e8])
    H = (A * scale).T @ (A * scale)
    expected = np.linalg.inv(A.T @ A) / np.outer(scale, scale)
    np.testing.assert_allclose(inverse_on_range(H), expected, rtol=1e-8)


def test_null_space_among_scales_far_apart():
    """A duplicated column next to columns 10^6 larger and smaller."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((50, 4)) * [1e-3, 1.0, 1.0, 1e3]
    A[:, 2] = A[:, 1]
    H = A.T @ A
    inverse = inverse_on_range(H)
    null = np.array([0, 1, -1, 0]) / np.sqrt(2)
    assert np.abs(inverse @ null).max() < 1e-8
    on_range = np.eye(4) - np.outer(null, null)
    np.testing.assert_allclose(inverse @ H, on_range, atol=1e-6)


def test_inactive_parameters_are_held():
    A = np.random.default_rng(0).standard_normal((20, 5))
    H, active = A.T @ A, np.array([True, False, True, True, False])
    inverse = inverse_on_range(H, active)
    assert (inverse[~active] == 0).all()
    assert (inverse[:, ~active] == 0).all()
    np.testing.assert_allclose(
        inverse[np.ix_(active, active)], np.linalg.inv(H[np.ix_(active, active)]), rtol=1e-9
    )
    assert (inverse_on_range(H, np.zeros(5, bool)) == 0).all()
