"""Sparse rows of many columns: H⁻¹ as a matrix, and no other product of columns by columns.

Texts have thousands of columns and few entries a row. Two classes then need one matrix of
columns by columns, which `_sparse_inverse` inverts. Every other product is with sparse rows: H
itself, ``H⁻¹x̃`` of all rows, and lengths in the covariance, which are taken through the rows.
Columns without an entry know of the penalty alone, and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .._utils._chunks import block_rows, map_blocks, one_blas_thread
from ._by_rows import RefinedCurvature, RowHessian, dots, invert_in_place
from ._covariance import Whitening
from ._geometry import fi_binary
from ._memory import one_l2_penalty
from ._softmax import SoftmaxLinear, float_rows
from ._sparse_inverse import sparse_inverse

# A product with an entry of a sparse row takes as long as so many with entries of a dense one.
_SPARSE = 10


def sparse_width(model: SoftmaxLinear, X: Any, n_rows: int) -> int:
    """Columns that are not empty, where sparse products with them cost less; otherwise 0."""
    if not (sparse.issparse(X) and one_l2_penalty(model, kronecker=False)):
        return 0
    if _SPARSE * X.nnz >= X.shape[1] ** 2:  # before a copy of the entries is made
        return 0
    width = int(np.count_nonzero(np.bincount(X.indices, minlength=X.shape[1])))
    return width if width < n_rows and _SPARSE * X.nnz < width**2 else 0


class SparseHessian(RowHessian):
    """``Σ q² x̃x̃ᵀ`` of the rows of a single output, summed up where it is inverted."""

    def invert(self, model: SoftmaxLinear, damping: float = 0.0) -> SparseCurvature:
        """H⁻¹ by columns; ``damping``, in units of the summed loss, is added to the penalty."""
        X, places = self.rows.filled, self.rows.columns
        if model.fit_intercept:
            ones = sparse.csr_array(np.ones((X.shape[0], 1)))
            X = sparse.csr_array(sparse.hstack([X, ones], format="csr"))
            places = np.append(places, model.n_features)
        penalty = model.l2[0] + damping
        H = X.T.tocsr() @ X.multiply(self.mass[:, None]).tocsr()
        P, order = sparse_inverse(H + sparse.diags_array(penalty[places]), invert_in_place)
        one, of_each = np.ones((1, 1)), (float(penalty[0]), float(penalty[-1]))
        return SparseCurvature(self, one, one, *of_each, P, X[:, order], places[order])


@dataclass(frozen=True, eq=False)
class SparseCurvature(RefinedCurvature):
    """H⁻¹ of a single output, of the columns that are not empty."""

    threaded = False  # they would wait for each other

    P: np.ndarray  # H⁻¹ in an order of its own, the intercept last
    X: sparse.csr_array  # rows that count, extended, in this order
    places: np.ndarray  # its columns among the parameters

    def inputs_times(self, vectors: np.ndarray) -> np.ndarray:
        out = vectors / self.penalty
        out[..., self.places] = vectors[..., self.places] @ self.P
        return out

    def solved_rows(self, rows: np.ndarray) -> np.ndarray:
        solved = np.zeros((len(rows), self.hessian.model.beta.shape[1]))
        solved[:, self.places] = self.X[rows] @ self.P
        return solved

    def influence(
        self,
        model: SoftmaxLinear,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray,
        h: np.ndarray,
        whitening: Whitening | None = None,
    ) -> np.ndarray:
        rows = self.hessian.rows
        weight = weight.ravel()[rows.present]
        curvature, eta = model.link.curvature(rows.z)[:, 0], model.affine(rows.X, h.T)[:, 0]
        directions = np.stack([model.W[0], h[0, : model.n_features]], axis=1)
        columns = self.places[: len(rows.columns)]
        lengths: _Lengths | _Covariance
        if whitening is None:
            lengths = _Lengths(directions, columns)
        else:
            lengths = _Covariance(directions, columns, whitening)

        def part(at: slice) -> np.ndarray:
            block, S, r, m = self.X[at], curvature[at], rows.r[at, 0], weight[at]
            lifted = block @ self.P
            alpha = 1.0 - m * S * dots(block, lifted)
            v = lifted[:, : len(columns)]
            v *= -(m * r)[:, None]
            v_dot_v, v_dot = lengths.products(v, alpha)
            g_dot_v = -m * (S * eta[at] * v_dot[:, 0] + r * v_dot[:, 1])
            return fi_binary(g_dot_v, v_dot_v, S)

        size = block_rows(3 * len(columns) + 2 * lengths.n_rows)
        with one_blas_thread():
            fi = np.concatenate(list(map_blocks(part, len(weight), size)))
        return rows.spread_out(fi)


class _Lengths:
    """Inner products of ``α W + v`` with itself and with W and h."""

    n_rows = 0

    def __init__(self, directions: np.ndarray, columns: np.ndarray) -> None:
        self.directions = directions[columns]
        empty = directions.copy()
        empty[columns] = 0.0
        self.beyond = empty[:, 0] @ empty  # of W with itself and h, in empty columns

    def products(self, v: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        v += np.outer(alpha, self.directions[:, 0])
        square = np.einsum("bd,bd->b", v, v) + alpha**2 * self.beyond[0]
        return square, v @ self.directions + np.outer(alpha, self.beyond)


class _Covariance:
    """The same in the covariance of rows, through these rows."""

    def __init__(
        self, directions: np.ndarray, columns: np.ndarray, whitening: Whitening
    ) -> None:
        X = float_rows(whitening.X)[:, columns]
        share = whitening.weight / whitening.weight.sum()
        root = np.sqrt(share)[:, None]
        self.mean = share @ X
        self.n_rows = X.shape[0]
        self.X = sparse.csr_array(X.multiply(root))
        self.towards = self.X @ directions[columns] - root * (self.mean @ directions[columns])
        self.along = np.concatenate([self.towards[:, :1], -root], axis=1)

    def products(self, v: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lengths = self.X @ v.T
        lengths += self.along @ np.stack([alpha, v @ self.mean])
        return np.einsum("nb,nb->b", lengths, lengths), lengths.T @ self.towards
