"""Coordinates in which gradients that scatter as the Hessian has it are white.

Axes and ranks found in raw parameter coordinates depend on the units of the features; in these
they do not. With ``A Aᵀ = H⁻¹`` they are ``Aᵀu``.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import block_diag

from ._kronecker import KroneckerInverse


def inverse_root(inverse: np.ndarray | KroneckerInverse) -> tuple[np.ndarray, np.ndarray]:
    """A (m, r) with ``A Aᵀ = H⁻¹``, and W (r, m) with ``W A = I``.

    H⁻¹ in any of the shapes that `skfi.linear._objective.invert` gives; its null space is left
    out.
    """
    if isinstance(inverse, KroneckerInverse):
        (A, W), (B, V) = _factor(inverse.outputs), _factor(inverse.inputs)
        return np.kron(A, B), np.kron(W, V)
    if inverse.ndim == 3:  # outputs that do not mix have an inverse each
        parts = [_factor(block) for block in inverse]
        return block_diag(*(A for A, _ in parts)), block_diag(*(W for _, W in parts))
    return _factor(inverse)


def _factor(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Columns may differ in scale by many orders without being dependent: equilibrate first.
    scale = np.sqrt(np.diagonal(S))
    scale = np.where(scale > 0, scale, 1.0)
    eigenvalue, Q = np.linalg.eigh(S / np.outer(scale, scale))
    kept = eigenvalue > len(S) * np.finfo(np.float64).eps * max(eigenvalue[-1], 0.0)
    length, Q = np.sqrt(eigenvalue[kept]), Q[:, kept]
    return scale[:, None] * Q * length, (Q / length / scale[:, None]).T
