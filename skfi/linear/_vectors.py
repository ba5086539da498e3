"""Vectors that are chosen from by their distances, without a matrix of them.

Gradients of a softmax-linear model have rank one, ``u = c ⊗ x̃``. In the embedding
``e = C^½ u`` the inner products of one row with all others are one pass over the rows:
``e_i·e_j = c_jᵀ (C u_i) x̃_j`` with ``C u_i`` as a matrix (K×p).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.utils.extmath import row_norms

from .._utils._chunks import block_rows, dense_rows, map_blocks, one_blas_thread
from ._quadratic import Quadratic


@dataclass
class DenseVectors:
    """Vectors as they are (n, length)."""

    V: np.ndarray

    @cached_property
    def lengths(self) -> np.ndarray:
        """Squared lengths (n,)."""
        return np.einsum("bv,bv->b", self.V, self.V)

    def inner(self, i: int) -> np.ndarray:
        """Inner products of one with all (n,)."""
        return self.V @ self.V[i]


@dataclass
class FactoredVectors:
    """``C^½ (c ⊗ x̃)`` of rows X; without a form C is the identity."""

    X: Any  # ndarray or CSR (n, d)
    c: np.ndarray  # (n, n_outputs)
    fit_intercept: bool
    form: Quadratic | None = None  # of C

    def _extended(self, rows: slice) -> np.ndarray:
        X = dense_rows(self.X, rows)
        if not self.fit_intercept:
            return X
        return np.concatenate([X, np.ones((len(X), 1))], axis=1)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Squared lengths (n,)."""
        form = self.form
        if form is None:  # also of a sparse X, which stays so
            squares = row_norms(self.X, squared=True) + float(self.fit_intercept)
            return squares * row_norms(self.c, squared=True)
        size = block_rows(2 * self.X.shape[1] + form.doubles_per_row)

        def part(rows: slice) -> np.ndarray:
            return form(self._extended(rows), self.c[rows])

        with one_blas_thread():
            return np.concatenate(list(map_blocks(part, self.X.shape[0], size)))

    def inner(self, i: int) -> np.ndarray:
        """Inner products of one with all (n,)."""
        x, c = self._extended(slice(i, i + 1))[0], self.c[i]
        if self.form is None:
            return (self.c @ c) * self._affine(x)
        towards = self.form.times(np.outer(c, x).ravel()).reshape(len(c), -1)
        return np.einsum("nk,nk->n", self.c, self._affine(towards.T))

    def _affine(self, M: np.ndarray) -> np.ndarray:
        if not self.fit_intercept:
            return self.X @ M
        return self.X @ M[:-1] + M[-1]


def in_length(
    vectors: DenseVectors | FactoredVectors, lengths: np.ndarray
) -> tuple[np.ndarray, Callable[[int], np.ndarray]]:
    """The vectors drawn out to other squared lengths: these, and their inner products.

    A vector without a direction keeps length 0.
    """
    own = vectors.lengths
    root, length = np.sqrt(np.where(own > 0, own, np.inf)), np.sqrt(lengths)

    def inner(i: int) -> np.ndarray:
        cosine = vectors.inner(i) / root[i] / root
        return length[i] * cosine * length

    return np.where(own > 0, lengths, 0.0), inner
