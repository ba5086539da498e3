"""Few rows of many columns: pairs in the span of the training rows and the weights.

Under one L2 penalty H is the penalty's multiple of the identity beyond the span of the training
rows. What moving a training row does lies in the span of these rows and the weights, so that of
another row its projection onto the span is all that counts. In an orthonormal basis of the span
the problem is the same, with as many columns as there are rows and outputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config

from ._softmax import SoftmaxLinear, float_rows

_MOST = 0.25  # of the working memory, for rows and basis
# Beside a column of so many times their length, columns would lose digits in the basis.
_WIDEST = 1e4


def basis_of_span(model: SoftmaxLinear, X: Any) -> np.ndarray | None:
    """Orthonormal columns Q (d, r) of the span; None where it is not smaller, or differs."""
    d, n_vectors = model.n_features, X.shape[0] + len(model.beta)
    l2 = model.l2[:, :d]
    if n_vectors >= d or model.l1.any() or not 0 < l2.min() == l2.max():
        return None
    if 3 * 8 * n_vectors * d > _MOST * get_config()["working_memory"] * 2**20:
        return None
    rows = X.toarray() if sparse.issparse(X) else float_rows(X)
    lengths = np.linalg.norm(rows, axis=0)
    lengths = lengths[lengths > 0]
    if len(lengths) == 0 or lengths.max() > _WIDEST * lengths.min():
        return None
    return np.linalg.qr(np.concatenate([rows, model.W]).T)[0]


def in_basis(model: SoftmaxLinear, basis: np.ndarray) -> SoftmaxLinear:
    """The model of rows ``X Q``."""
    d, r = basis.shape

    def shortened(penalty: np.ndarray) -> np.ndarray:
        return np.concatenate([np.repeat(penalty[:, :1], r, axis=1), penalty[:, d:]], axis=1)

    beta = np.concatenate([model.W @ basis, model.beta[:, d:]], axis=1)
    return replace(model, beta=beta, l2=shortened(model.l2), l1=shortened(model.l1))


def project(basis: np.ndarray | None, vectors: np.ndarray) -> np.ndarray:
    """Extended rows (..., p) in the basis; as they are without one."""
    if basis is None:
        return vectors
    d = len(basis)
    return np.concatenate([vectors[..., :d] @ basis, vectors[..., d:]], axis=-1)
