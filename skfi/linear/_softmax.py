"""A fitted softmax-linear classifier, and its products with rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .._utils._chunks import block_rows, dense_rows, map_blocks
from ._links import Link, Softmax
from ._losses import ValidationLoss, checked_loss

# Features and coefficients beyond have squares, or inverses of them, that leave float64.
LARGEST = 1e150


@dataclass(frozen=True)
class SoftmaxLinear:
    """A fitted softmax-linear classifier, in the parameters its solver moved.

    Penalties are in units of the summed training loss: the objective is
    ``Σ_i s_i L_i + ½ Σ l2 β² + Σ l1 |β|``.
    """

    beta: np.ndarray  # (n_outputs, p); last column the intercept where there is one
    link: Link
    fit_intercept: bool
    l2: np.ndarray  # (n_outputs, p)
    l1: np.ndarray  # (n_outputs, p)

    @property
    def n_features(self) -> int:
        return self.beta.shape[1] - self.fit_intercept

    @property
    def W(self) -> np.ndarray:
        """Weights on the features (n_outputs, d)."""
        return self.beta[:, : self.n_features]

    @property
    def active(self) -> np.ndarray | None:
        """Parameters that move: with an L1 penalty, those that are not zero."""
        if not self.l1.any():
            return None
        return (self.beta != 0) | (self.l1 == 0)

    @property
    def full_outputs(self) -> int:
        """Outputs before a softmax is written in K - 1 contrasts."""
        return self.link.n_classes if isinstance(self.link, Softmax) else len(self.beta)

    @property
    def n_parameters(self) -> int:
        """Parameters as the classifier states them."""
        return self.full_outputs * self.beta.shape[1]

    def extended(self, X: np.ndarray) -> np.ndarray:
        """x̃ of a block (b, p)."""
        if not self.fit_intercept:
            return X
        return np.concatenate([X, np.ones((len(X), 1))], axis=1)

    def scores(self, X: Any) -> np.ndarray:
        return self.affine(X, self.beta.T)

    def affine(self, X: Any, M: np.ndarray) -> np.ndarray:
        """x̃ M for every row; M is (p, anything)."""
        if not self.fit_intercept:
            return X @ M
        out = X @ M[:-1]
        out += M[-1]
        return out

    def along(self, X: np.ndarray, T: np.ndarray) -> np.ndarray:
        """x̃·t of each row with its own t (b, p)."""
        d = self.n_features
        out: np.ndarray = np.einsum("bj,bj->b", T[:, :d], X)
        if self.fit_intercept:
            out += T[:, d]
        return out

    def moment(self, X: Any, a: np.ndarray) -> np.ndarray:
        """Σ_i a_i ⊗ x̃_i, of shape (columns of a, p)."""
        if not self.fit_intercept:
            return a.T @ X
        return np.concatenate([a.T @ X, a.sum(axis=0)[:, None]], axis=1)


def weight_columns(weight: np.ndarray) -> np.ndarray:
    """Weights (b, 1), or (b, n_outputs) where they differ from output to output."""
    return weight if weight.ndim == 2 else weight[:, None]


def float_rows(X: Any, rows: slice | None = None) -> Any:
    """Rows as float64, sparse ones as CSR. No copy where none is needed."""
    if sparse.issparse(X):
        return sparse.csr_array(X if rows is None else X[rows], dtype=np.float64)
    return dense_rows(X, slice(None) if rows is None else rows)


def doubles_of_row(X: Any) -> int:
    """Numbers that a row of X holds, of sparse rows on average."""
    return X.nnz // max(1, X.shape[0]) + 1 if sparse.issparse(X) else X.shape[1]


def validation_gradient(
    model: SoftmaxLinear,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    loss: ValidationLoss,
    chunk: int | None = None,
) -> np.ndarray:
    """u, the weighted mean over V of the validation loss's gradient (n_outputs, p)."""
    if chunk is None:
        chunk = block_rows(doubles_of_row(X) + 6 * model.link.n_classes)

    def part(rows: slice) -> np.ndarray:
        block = float_rows(X, rows)
        z = model.scores(block)
        gradient = checked_loss(loss, y[rows], model.link.log_proba(z))
        return model.moment(block, weight[rows, None] * model.link.pull_back(z, gradient))

    u = np.zeros_like(model.beta)
    for block in map_blocks(part, X.shape[0], chunk):
        u += block
    return u / weight.sum()
