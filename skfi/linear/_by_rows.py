"""Wide data: H⁻¹ through a matrix of rows by rows.

With more columns than rows, ``M = Σ q² x̃x̃ᵀ`` plus a penalty is a multiple of the identity plus
something of low rank. Let ``Q = diag(q) X``, λ the penalty of the weights and μ that of the
intercept:

    B = I + Q Qᵀ/λ,  P = B⁻¹,  e = P q,  σ = qᵀe + μ,  P̃ = P - e eᵀ/σ

(Laplace's form for a Gaussian process, Rasmussen and Williams 2006, Section 3.4, bordered by
the intercept). Then, of the x-part and the intercept of ``M⁻¹x̃_i``,

    τ_i = Qᵀ P̃_i / (λ q_i),   e_i / (q_i σ),   and   1 - q_i² x̃_iᵀM⁻¹x̃_i = P̃_ii,

which loses no digits to cancellation where P̃_ii is small. P is held alone, instead of B: n²
numbers. X stays sparse, and there is never a matrix of columns by columns.

The Hessian of a single output is M itself, with ``q² = s S``. K-FAC's of any number of outputs
is ``S̄ ⊗ M`` with ``q² = s``, the rows' weights, w their sum, and (`_kronecker`)

    M = Σ s x̃x̃ᵀ + w π √(λ/w),   H⁻¹ = O ⊗ M⁻¹,   O = (S̄ + √(λ/w)/π)⁻¹.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from sklearn.utils.extmath import row_norms

from .._utils._chunks import one_blas_thread, row_blocks
from ._covariance import Whitening
from ._curvature import inverse_on_range
from ._kronecker import (
    KroneckerCurvature,
    ProductCurvature,
    balance,
    check_one_weight,
    sum_outputs,
)
from ._links import Softmax
from ._memory import SCALE_REMEDY
from ._operators import Objective, Root, Solution
from ._row_scores import score_own_rows
from ._softmax import SoftmaxLinear, float_rows, weight_columns

# q of a row whose p(1 - p) underflows: it counts for nothing, and can be divided by.
_LEAST_Q = 1e-150
# Rows whose solves are checked, and the steps that refine H⁻¹u at most.
_CHECKED_ROWS, _REFINEMENTS = 16, 3
_SOLVED = 4 * np.finfo(np.float64).eps  # the rest of u then is rounding
_GRAM_ROWS = 256
# Bytes of a matrix that LAPACK may factor by several threads.
_MOST_SHARED = 2**31


@dataclass(frozen=True, eq=False)
class CountedRows:
    """Rows of an objective, of which those of positive weight count."""

    X: Any  # those that count: ndarray or CSR (n, d), float64
    y: np.ndarray
    weight: np.ndarray  # what each counts in the objective (n,)
    z: np.ndarray  # scores (n, q)
    r: np.ndarray  # first derivative of the loss in them
    present: np.ndarray  # their positions among all rows
    n_all: int
    columns: Any  # positions of columns that are not empty, or all as a slice

    @cached_property
    def filled(self) -> Any:
        """X, of the columns that are not empty: in others τ is zero."""
        return self.X[:, self.columns] if sparse.issparse(self.X) else self.X

    @cached_property
    def transposed(self) -> Any:
        """Xᵀ, of the columns that are not empty."""
        return self.filled.T.tocsr() if sparse.issparse(self.X) else self.X.T

    def spread_out(self, values: np.ndarray) -> np.ndarray:
        """One number for each of all rows: 0 where it does not count."""
        out = np.zeros(self.n_all)
        out[self.present] = values
        return out


def _counted(model: SoftmaxLinear, X: Any, y: np.ndarray, weight: np.ndarray) -> CountedRows:
    n_all, X = len(y), float_rows(X)
    columns: Any = slice(None)
    if sparse.issparse(X):  # most columns of a hashed vocabulary are empty
        columns = np.flatnonzero(np.bincount(X.indices, minlength=X.shape[1]))
    # A row of weight 0, or of a class of weight 0, is no row of the objective's.
    present = np.flatnonzero(weight > 0)
    if len(present) < n_all:
        X, y, weight = X[present], y[present], weight[present]
    z = model.scores(X)
    return CountedRows(X, y, weight, z, model.link.residual(z, y), present, n_all, columns)


@dataclass(frozen=True, eq=False)
class RowHessian:
    """``S̄ ⊗ Σ q² x̃x̃ᵀ`` of the rows of an objective, never summed up."""

    model: SoftmaxLinear  # with an L2 penalty that its weights share
    rows: CountedRows
    mass: np.ndarray  # q² (n,)
    mean_S: np.ndarray  # S̄ (q, q); 1 for a single output's own Hessian
    kronecker: bool

    def trace_of_loss(self, model: SoftmaxLinear) -> float:
        return float(np.trace(self.mean_S)) * self._trace_of_inputs

    @cached_property
    def q(self) -> np.ndarray:
        return np.maximum(np.sqrt(self.mass), _LEAST_Q)

    @property
    def _trace_of_inputs(self) -> float:
        lengths = row_norms(self.rows.X, squared=True) + float(self.model.fit_intercept)
        return float(self.mass @ lengths)

    def invert(self, model: SoftmaxLinear, damping: float = 0.0) -> RefinedCurvature:
        """H⁻¹ by rows; ``damping``, in units of the summed loss, is added to the penalty."""
        penalty = model.l2[0] + damping
        if not self.kronecker:
            return _invert_rows(self, np.ones((1, 1)), np.ones((1, 1)), penalty)
        total = float(self.rows.weight.sum())
        share = penalty / total
        strongest = float(share.max())
        per_input = self._trace_of_inputs / total / len(penalty)
        per_output = float(np.trace(self.mean_S)) / model.full_outputs
        pi = balance(per_output, per_input)
        S = self.mean_S + np.sqrt(strongest) / pi * np.eye(len(self.mean_S))
        of_inputs = total * pi * share / np.sqrt(strongest)
        return _invert_rows(self, S, inverse_on_range(S), of_inputs)

    def gram(self, penalty: float) -> np.ndarray:
        """B, of which the lower triangle is what counts."""
        n, X = len(self.q), self.rows.X
        scale = self.q / np.sqrt(penalty)
        out = np.empty((n, n))
        if not sparse.issparse(X):
            np.matmul(X, X.T, out=out)
        for rows in row_blocks(n, _GRAM_ROWS):
            below = out[rows.start :, rows]
            if sparse.issparse(X):
                below[:] = (X[rows.start :] @ X[rows].T.tocsr()).toarray()
            below *= scale[rows.start :, None]
            below *= scale[rows]
        out.flat[:: n + 1] += 1.0
        return out


def sum_by_rows(
    model: SoftmaxLinear,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    kronecker: bool = False,
    kind: type[RowHessian] = RowHessian,
) -> Objective:
    """The solver's objective over all rows, whose Hessian, or K-FAC's, is inverted by rows."""
    check_one_weight(weight)
    rows, link = _counted(model, X, y, weight.ravel()), model.link
    w = rows.weight[:, None]
    if kronecker:
        S = sum_outputs(model, rows.z, rows.weight)
        if isinstance(link, Softmax):
            S = link.basis.T @ S @ link.basis
        mean_S = S / rows.weight.sum()
        hessian = kind(model, rows, rows.weight, mean_S, True)
    else:
        mass = rows.weight * link.curvature(rows.z)[:, 0]
        hessian = kind(model, rows, mass, np.ones((1, 1)), False)
    loss = float((weight_columns(link.loss(rows.z, rows.y)) * w).sum())
    loss += 0.5 * float((model.l2 * model.beta**2).sum())
    gradient = model.moment(rows.X, w * rows.r) + model.l2 * model.beta
    return Objective(loss, gradient, hessian)


@dataclass(frozen=True, eq=False)
class RefinedCurvature(ProductCurvature):
    """H⁻¹ = O ⊗ M⁻¹, whose solves are refined and checked by products with the rows."""

    hessian: RowHessian
    mean_S: np.ndarray  # O⁻¹
    outputs: np.ndarray  # O (q, q); 1 for a single output's own Hessian
    penalty: float  # λ
    penalty_of_intercept: float  # μ

    def factor_times(self, vectors: np.ndarray) -> np.ndarray:
        """M times vectors (anything, p)."""
        model, rows, d = self.hessian.model, self.hessian.rows, self.hessian.model.n_features
        weighted = self.hessian.mass[:, None] * model.affine(rows.X, vectors.T)
        out = np.empty_like(vectors)
        of_weights = out[:, :d]
        np.multiply(vectors[:, :d], self.penalty, out=of_weights)
        of_weights[:, rows.columns] += (rows.transposed @ weighted).T
        if model.fit_intercept:
            out[:, d] = weighted.sum(axis=0) + self.penalty_of_intercept * vectors[:, d]
        return out

    def refined(self, u: np.ndarray) -> Solution:
        """H⁻¹u by steps of refinement.

        The residual is the larger of what the solve leaves of u and of `error_of_rows`.
        """
        target = self.outputs @ u
        h = self.inputs_times(target)
        rest = target - self.factor_times(h)
        for _ in range(_REFINEMENTS):
            if np.linalg.norm(rest) <= _SOLVED * np.linalg.norm(target):
                break
            better = h + self.inputs_times(rest)
            better_rest = target - self.factor_times(better)
            if not np.linalg.norm(better_rest) < np.linalg.norm(rest):
                break
            h, rest = better, better_rest
        length = float(np.linalg.norm(u))
        error = float(np.linalg.norm(u - self.mean_S @ self.factor_times(h)))
        residual = error / length if length else 0.0
        return Solution(h, float(np.maximum(residual, self.error_of_rows)))  # NaN stays NaN

    @cached_property
    def error_of_rows(self) -> float:
        """Largest relative change of ``M⁻¹x̃`` by a step of refinement, over a few rows."""
        counted, n = self.hessian.rows, self.hessian.rows.X.shape[0]
        rows = np.unique(np.linspace(0, n - 1, min(n, _CHECKED_ROWS)).astype(int))
        X = counted.X[rows].toarray() if sparse.issparse(counted.X) else counted.X[rows]
        X, solved = self.hessian.model.extended(X), self.solved_rows(rows)
        step = np.linalg.norm(self.inputs_times(X - self.factor_times(solved)), axis=1)
        length = np.linalg.norm(solved, axis=1)
        return float(np.divide(step, length, out=np.zeros_like(step), where=length > 0).max())

    @abstractmethod
    def solved_rows(self, rows: np.ndarray) -> np.ndarray:
        """M⁻¹x̃ of some rows (b, p), from what scores use."""

    def dense(self) -> KroneckerCurvature:
        """The same as matrices, that of the inputs of columns by columns."""
        inputs = self.inputs_times(np.eye(self.hessian.model.beta.shape[1]))
        return KroneckerCurvature(self.outputs, inputs)

    def root(self) -> Root:
        return self.dense().root()

    def half_solve(self, noise: np.ndarray) -> np.ndarray:
        return self.dense().half_solve(noise)


@dataclass(frozen=True, eq=False)
class RowCurvature(RefinedCurvature):
    """H⁻¹ = O ⊗ M⁻¹, the latter by rows."""

    P: np.ndarray  # P̃ (n, n)
    own: np.ndarray  # diagonal of B - I (n,)
    e: np.ndarray
    sigma: float

    def inputs_times(self, vectors: np.ndarray) -> np.ndarray:
        """M⁻¹ times vectors (..., p)."""
        model, rows, d = self.hessian.model, self.hessian.rows, self.hessian.model.n_features
        q = self.hessian.q[:, None]
        flat = vectors.reshape(-1, vectors.shape[-1])
        weighted = q * (rows.X @ flat[:, :d].T) / self.penalty
        lifted = self.P @ weighted
        out = np.empty_like(flat)
        if model.fit_intercept:
            lifted += np.outer(self.e, flat[:, d] / self.sigma)
            out[:, d] = (flat[:, d] - self.e @ weighted) / self.sigma
        of_weights = out[:, :d]
        np.divide(flat[:, :d], self.penalty, out=of_weights)
        lifted *= q / self.penalty
        of_weights[:, rows.columns] -= (rows.transposed @ lifted).T
        return out.reshape(vectors.shape)

    def solved_rows(self, rows: np.ndarray) -> np.ndarray:
        model, columns = self.hessian.model, self.hessian.rows.columns
        solved = np.zeros((len(rows), model.beta.shape[1]))
        solved[:, : model.n_features][:, columns] = self.tau(rows).T
        if model.fit_intercept:
            solved[:, -1] = self.e[rows] / (self.hessian.q[rows] * self.sigma)
        return solved

    def tau(self, rows: slice | np.ndarray) -> np.ndarray:
        """τ of some rows, in the columns that are not empty (columns, b)."""
        lifted = self.P[rows].T * self.hessian.q[:, None]
        lifted /= self.hessian.q[rows] * self.penalty
        return self.hessian.rows.transposed @ lifted

    def leverage(self, rows: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """x̃ᵀM⁻¹x̃ of some rows, of which ``tau`` is τ (columns, b)."""
        leverage = dots(self.hessian.rows.filled[rows], tau.T)
        if self.hessian.model.fit_intercept:
            leverage += self.e[rows] / (self.hessian.q[rows] * self.sigma)
        return leverage

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
        with one_blas_thread():
            fi = score_own_rows(self, weight.ravel()[rows.present], h, whitening)
        return rows.spread_out(fi)


def _invert_rows(
    hessian: RowHessian, mean_S: np.ndarray, outputs: np.ndarray, penalty: np.ndarray
) -> RowCurvature:
    """P̃, of the penalty of each input (p,)."""
    of_weights, of_intercept = float(penalty[0]), float(penalty[-1])
    P, q = hessian.gram(of_weights), hessian.q
    own = P.diagonal() - 1.0
    invert_in_place(P)
    e, sigma = np.zeros(len(q)), 1.0
    if hessian.model.fit_intercept:  # there is something to border with
        e = P @ q
        sigma = float(q @ e + of_intercept)
        for rows in row_blocks(len(P), _GRAM_ROWS):
            P[rows] -= np.outer(e[rows], e / sigma)
    return RowCurvature(hessian, mean_S, outputs, of_weights, of_intercept, P, own, e, sigma)


def dots(X: Any, dense: np.ndarray) -> np.ndarray:
    """Row by row inner products."""
    if sparse.issparse(X):
        return np.asarray(X.multiply(dense).sum(axis=1)).ravel()
    return np.einsum("bd,bd->b", X, dense)


def _threads_of_lapack(B: np.ndarray) -> AbstractContextManager[None]:
    """One thread for a matrix of 2 GiB or more, where several crash.

    The OpenBLAS in SciPy's wheels (seen in 1.17.1, x86-64) counts bytes in 32 bits in its
    parallel Cholesky factorisation: 16,384 rows and more end the process.
    """
    return one_blas_thread(unless=B.nbytes < _MOST_SHARED)


def invert_in_place(B: np.ndarray) -> None:
    """B⁻¹ instead of B (n, n), whose lower triangle is read; it is at least the identity."""
    # LAPACK counts by columns: its upper triangle of Bᵀ is the lower one here.
    with _threads_of_lapack(B):
        factor, failed = lapack.dpotrf(B.T, lower=0, clean=0, overwrite_a=1)
        if not failed:
            inverse, failed = lapack.dpotri(factor, lower=0, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError(
            "The rows' inner products are too large beside the penalty to be solved for. "
            + SCALE_REMEDY
        )
    if not np.shares_memory(inverse, B):
        B[:] = inverse.T
    for rows in row_blocks(len(B), _GRAM_ROWS):
        B[rows, rows.stop :] = B[rows.stop :, rows].T
        square = B[rows, rows]
        B[rows, rows] = np.tril(square) + np.tril(square, -1).T
