"""The inverse of the training objective's Hessian, on its range.

The Hessian can be singular: constant or duplicated columns without a penalty,
fewer rows than columns, separable data on which every p(1-p) underflows. Then the
definition's pseudo-inverse is meant. Columns may differ in scale by many orders
without being dependent, so rank is judged after equilibration.
"""

from __future__ import annotations

import numpy as np

_EPS = np.finfo(np.float64).eps
# Grosse et al. (2023, "Studying Large Language Model Generalization with Influence
# Functions") damp (E)K-FAC by a tenth of the mean eigenvalue.
_DAMPING = 0.1


def resolve_damping(damping: float | str, mean_eigenvalue: float, penalty: float) -> float:
    """The number behind "auto".

    "auto" lifts what the penalty adds to each eigenvalue to a tenth of the curvature's mean
    eigenvalue, unless it is there already.
    """
    if damping == "auto":
        return max(0.0, _DAMPING * mean_eigenvalue - penalty)
    return float(damping)


def inverse_on_range(H: np.ndarray, active: np.ndarray | None = None) -> np.ndarray:
    """H⁺ for a symmetric positive semi-definite H (m, m).

    Parameters
    ----------
    H : ndarray of shape (m, m)
        Hessian, penalty included. Not modified.
    active : ndarray of bool of shape (m,), default=None
        Parameters that may move; the rows and columns of all others are zero in
        the result.
    """
    if active is not None and not active.all():
        inverse = np.zeros_like(H)
        if active.any():
            inverse[np.ix_(active, active)] = inverse_on_range(H[np.ix_(active, active)])
        return inverse
    regular = _regular_inverse(H)
    if regular is not None:
        return regular
    null = _null_space(H)
    if null.shape[1] == len(H):
        return np.zeros_like(H)
    # Lift the null space out: H + t N Nᵀ is regular for an orthonormal N, and its
    # inverse is H⁺ + N Nᵀ / t.
    lift = np.median(np.diagonal(H)[np.diagonal(H) > 0])
    lifted = null @ null.T
    regular = _regular_inverse(H + lift * lifted, safely=False)
    if regular is None:  # the scales are too far apart for the lift
        return np.linalg.pinv(H, hermitian=True)
    return regular - lifted / lift


def _null_space(H: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the directions in which H is zero (m, dimension)."""
    scale = 1.0 / _diagonal_scale(H)
    eigenvalue, Q = np.linalg.eigh(H * scale[:, None] * scale)
    null = eigenvalue <= len(H) * _EPS * max(eigenvalue[-1], 0.0)
    if not null.any():
        return np.zeros((len(H), 0))
    basis, _ = np.linalg.qr(scale[:, None] * Q[:, null])
    return basis


def _regular_inverse(H: np.ndarray, safely: bool = True) -> np.ndarray | None:
    """Inverse by Cholesky, or None where H is not (safely) positive definite.

    NumPy's LAPACK on purpose: SciPy brings a second thread pool, and two pools that
    wait for each other cost more here than the arithmetic.
    """
    scale = 1.0 / _diagonal_scale(H)
    unit = H * scale[:, None] * scale
    try:
        factor = np.linalg.inv(np.linalg.cholesky(unit))
    except np.linalg.LinAlgError:
        return None
    inverse = factor.T @ factor
    if safely:
        condition = np.abs(unit).sum(axis=0).max() * np.abs(inverse).sum(axis=0).max()
        if not condition * len(H) * _EPS < 1.0:
            return None
    return inverse * scale[:, None] * scale


def range_root(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A (m, r) with A Aᵀ = S for a positive semi-definite S (m, m), and W with W A = I."""
    scale = _diagonal_scale(S)
    eigenvalue, Q = np.linalg.eigh(S / np.outer(scale, scale))
    kept = eigenvalue > len(S) * _EPS * max(eigenvalue[-1], 0.0)
    length, Q = np.sqrt(eigenvalue[kept]), Q[:, kept]
    return scale[:, None] * Q * length, (Q / length / scale[:, None]).T


def covariance_factor(S: np.ndarray) -> np.ndarray:
    """R with R Rᵀ = S for a positive semi-definite S (m, m).

    Through the symmetric root, which rounding in S moves as little as S itself: single
    eigenvectors turn freely where eigenvalues are equal, as they are in all directions
    that only the penalty knows.
    """
    scale = _diagonal_scale(S)
    eigenvalue, Q = np.linalg.eigh(S / np.outer(scale, scale))
    root = (Q * np.sqrt(np.maximum(eigenvalue, 0.0))) @ Q.T
    return np.sqrt(np.diagonal(S))[:, None] * root


def _diagonal_scale(S: np.ndarray) -> np.ndarray:
    """Lengths to divide by first: columns of very different scale are not dependent."""
    scale = np.sqrt(np.diagonal(S))
    return np.where(scale > 0, scale, 1.0)
