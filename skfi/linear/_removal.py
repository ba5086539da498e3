"""What taking a training row away does to the validation loss, to first order.

With H the Hessian of the whole objective ``Σ s L + penalty`` the parameters follow the
weight of a row as ``∂θ/∂s_i = -H⁻¹ ∂_θL_i``. Taking one copy away therefore changes the
mean validation loss by ``uᵀH⁻¹ ∂_θL_i``, and everything is a product with one vector
``h = H⁻¹u``: ``∂_θL_i = r_i ⊗ x̃_i`` for a softmax-linear model.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from .._utils._chunks import block_rows, dense_rows, map_blocks
from ._softmax import SoftmaxLinear, _columns


def removal_rows(
    model: SoftmaxLinear, X: np.ndarray, y: np.ndarray, weight: np.ndarray, h: np.ndarray
) -> np.ndarray:
    """First-order decrease of the validation loss when ``weight`` of each row goes, (b,)."""
    residual = _columns(weight) * model.link.residual(model.scores(X), y)
    return -np.einsum("bk,bk->b", residual, model.affine(X, h.T))


def removal_all(
    model: SoftmaxLinear,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    h: np.ndarray,
    chunk: int | None = None,
) -> np.ndarray:
    """``removal_rows`` over all rows in blocks."""
    if chunk is None:
        chunk = block_rows(3 * X.shape[1] + 12 * model.link.n_classes)

    gain = np.empty(X.shape[0])

    def part(rows: slice) -> None:
        gain[rows] = removal_rows(model, dense_rows(X, rows), y[rows], weight[rows], h)

    deque(map_blocks(part, X.shape[0], chunk), maxlen=0)
    return gain
