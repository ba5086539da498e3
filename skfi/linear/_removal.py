"""What taking a training row away does to the validation loss, to first order.

With H the Hessian of the whole objective ``Σ s L + penalty`` the parameters follow the
weight of a row as ``∂θ/∂s_i = -H⁻¹ ∂_θL_i``. Taking one copy away therefore changes the
mean validation loss by ``uᵀH⁻¹ ∂_θL_i``, and everything is a product with one vector
``h = H⁻¹u``: ``∂_θL_i = r_i ⊗ x̃_i`` for a softmax-linear model.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from .._utils._chunks import block_rows, map_blocks
from ._softmax import SoftmaxLinear, doubles_of_row, float_rows, weight_columns


def removal_all(
    model: SoftmaxLinear,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    h: np.ndarray,
    chunk: int | None = None,
) -> np.ndarray:
    """First-order decrease of the validation loss when ``weight`` of each row goes, (n,)."""
    if chunk is None:
        chunk = block_rows(3 * doubles_of_row(X) + 12 * model.link.n_classes)
    gain = np.empty(X.shape[0])

    def part(rows: slice) -> None:
        block = float_rows(X, rows)
        residual = model.link.residual(model.scores(block), y[rows])
        residual = weight_columns(weight[rows]) * residual
        gain[rows] = -np.einsum("bk,bk->b", residual, model.affine(block, h.T))

    deque(map_blocks(part, X.shape[0], chunk), maxlen=0)
    return gain
