"""Products with a softmax's Hessian, a few sweeps over the rows each and no matrix of it.

``Hv = Σ s_i (S_i v x̃_i) ⊗ x̃_i + λv`` costs two products of X with a matrix of K columns, as a
step of a fit does.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config

from .._utils._chunks import block_rows, map_blocks
from ._links import Softmax, curve_columns
from ._softmax import SoftmaxLinear

MEGABYTE = 2**20


class HessianProduct:
    """Products of a softmax's Hessian, penalty and damping included, with (n_outputs, p)."""

    def __init__(
        self, model: SoftmaxLinear, X: Any, weight: np.ndarray, damping: float
    ) -> None:
        assert isinstance(model.link, Softmax)
        self.model, self.X, self.weight = model, X, weight.ravel()
        self.link = model.link
        self.diagonal = model.l2 + damping
        self.rows, n_classes = X.shape[0], model.link.n_classes
        self.chunk = block_rows(6 * n_classes + 2 * model.beta.shape[1])
        kept = 8 * self.rows * n_classes <= get_config()["working_memory"] * MEGABYTE / 2
        self.proba = self._all_proba() if kept else None  # (K, n)
        self.top = None if self.proba is None else self.proba.argmax(axis=0)

    def block(self, at: slice) -> Any:
        """Rows as float64."""
        X = self.X[at]
        return X if sparse.issparse(X) else np.asarray(X, dtype=np.float64)

    def _proba(self, at: slice) -> np.ndarray:
        """Classes by rows, contiguous."""
        p = np.exp(self.link.log_proba(self.model.scores(self.block(at))))
        return np.ascontiguousarray(p.T)

    def _all_proba(self) -> np.ndarray:
        return np.concatenate(list(map_blocks(self._proba, self.rows, self.chunk)), axis=1)

    def _of_block(self, v: np.ndarray, at: slice) -> np.ndarray:
        X = self.block(at)
        if self.proba is None or self.top is None:
            p = self._proba(at)
            top = p.argmax(axis=0)
        else:
            p, top = self.proba[:, at], self.top[at]
        # Classes go first: sums over a few classes are slow where rows go first.
        moved = curve_columns(p, top, np.ascontiguousarray(self.model.affine(X, v.T).T))
        moved *= self.weight[at]
        return self.model.moment(X, moved.T)

    def __call__(self, v: np.ndarray) -> np.ndarray:
        classes = self.link.basis @ v
        total = np.zeros_like(classes)
        for part in map_blocks(partial(self._of_block, classes), self.rows, self.chunk):
            total += part
        return np.asarray(self.link.basis.T @ total + self.diagonal * v)
