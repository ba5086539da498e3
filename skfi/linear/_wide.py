"""Wide data: H⁻¹ through a matrix of rows by rows, of a single output.

With more columns than rows, H of two classes is a penalty plus something of low rank. Let
``Q = diag(q) X`` with ``q² = s S``, λ the penalty of the weights and μ that of the intercept:

    B = I + Q Qᵀ/λ,  P = B⁻¹,  e = P q,  σ = qᵀe + μ,  P̃ = P - e eᵀ/σ

(Laplace's form for a Gaussian process, Rasmussen and Williams 2006, Section 3.4, bordered by
the intercept). Then, of the x-part and the intercept of ``H⁻¹x̃_i``,

    τ_i = Qᵀ P̃_i / (λ q_i),   e_i / (q_i σ),   and   1 - s_i S_i x̃_iᵀH⁻¹x̃_i = P̃_ii,

which loses no digits to cancellation where P̃_ii is small. P is held alone, in place of B: n²
numbers. X stays sparse, and there is never a matrix of columns by columns. `_wide_kronecker`
does the same for K-FAC's factor of the inputs, and so for several outputs.
"""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from sklearn.utils.extmath import row_norms

from .._utils._chunks import block_rows, map_blocks, one_blas_thread, row_blocks
from ._geometry import fi_binary
from ._losses import ValidationLoss, checked_loss
from ._softmax import SoftmaxLinear, _columns

# A Hessian of more bytes is left alone where rows by rows take less.
_LARGE_BYTES = 2 * 2**30
# What stands in memory at once beside each: H, its factor and inverse with their scaled
# copies; P and blocks of it.
_HESSIANS, _SQUARES = 6, 1.25
# q of a row whose p(1 - p) underflows: it counts for nothing, and can be divided by.
_LEAST_Q = 1e-150
# Rows whose own entry of B - I is smaller have 1 - P̃_ii from τ, which keeps its digits.
_LITTLE = 0.1
# Rows whose solves are checked, and the steps that refine H⁻¹u at most.
_CHECKED_ROWS, _REFINEMENTS = 16, 3
_GRAM_ROWS = 256
_REMEDY = (
    "Scale the columns (StandardScaler, MaxAbsScaler), penalise more (a smaller C), drop "
    "copies of rows, or cut the columns below the number of rows (TruncatedSVD, SelectKBest)."
)
# Bytes of a matrix that LAPACK may factor by several threads.
_MOST_SHARED = 2**31
# A solve of more relative error has lost digits that scores show; of yet more, all of them.
_LARGEST_RESIDUAL, _LOST = 1e-8, 1e-2


def by_rows(model: SoftmaxLinear, n_rows: int, kronecker: bool = False) -> bool:
    """Whether a matrix of rows by rows is the cheaper way to H⁻¹, and the same.

    ``kronecker``: to K-FAC's, of any number of outputs.
    """
    if not _possible(model, kronecker):
        return False
    if model.beta.shape[1] > n_rows:
        return True
    dense = _hessian_bytes(model, kronecker)
    needed = _needed_bytes(model, n_rows, True, kronecker)
    return dense > _LARGE_BYTES and needed < _HESSIANS * dense


def kronecker_fits(model: SoftmaxLinear, n_rows: int) -> bool:
    """Whether K-FAC takes the model's penalty, and memory its factors."""
    if model.l1.any() or (model.l2 != model.l2[0]).any():
        return False
    return _fits(model, n_rows, by_rows(model, n_rows, kronecker=True), True)


def columns_instead(
    model: SoftmaxLinear, n_rows: int, residual: float, kronecker: bool = False
) -> bool:
    """Whether to invert H itself: its rows left that error, and memory holds it."""
    return not residual <= _LARGEST_RESIDUAL and _fits(model, n_rows, False, kronecker)


def _fits(model: SoftmaxLinear, n_rows: int, rows: bool, kronecker: bool) -> bool:
    return _needed_bytes(model, n_rows, rows, kronecker) <= _physical_memory()


def check_fits(
    model: SoftmaxLinear, n_rows: int, rows: bool, kronecker: bool = False, remedy: str = ""
) -> None:
    """Refuse what this machine's memory cannot hold, before hours are spent on it.

    ``remedy`` is what the caller's user can do about it.
    """
    if _fits(model, n_rows, rows, kronecker):
        return
    memory, dense = _physical_memory(), _hessian_bytes(model, kronecker)
    outputs, p = model.beta.shape
    square = f"a matrix of {n_rows:,} rows by rows takes {_size(8 * n_rows**2)}"
    if rows:
        instead = f", and {square}"
    elif _possible(model, kronecker):
        instead = f"; {square}, and stands in for it in scores against validation rows only"
    else:
        where = "there are two classes, an L2 penalty and none of L1"
        if kronecker:
            where = "all classes share an L2 penalty, and there is none of L1"
        instead = f"; a matrix of rows by rows stands in for it only where {where}"
    raise MemoryError(
        f"The Hessian of {outputs} x {p:,} parameters takes {_size(dense)}, a few times over, "
        f"of this machine's {_size(memory)}{instead}. {remedy}".rstrip()
    )


def float_rows(X):
    """Rows as float64, sparse ones as CSR. No copy where none is needed."""
    if sparse.issparse(X):
        return sparse.csr_array(X, dtype=np.float64)
    return np.asarray(X, dtype=np.float64)


def _possible(model: SoftmaxLinear, kronecker: bool) -> bool:
    l2 = model.l2[:, : model.n_features]
    even = bool((model.l2 == model.l2[0]).all())  # the intercepts', too
    one_penalty = even and not model.l1.any() and bool(0 < l2.min() == l2.max())
    return one_penalty and (kronecker or len(model.beta) == 1)


def _hessian_bytes(model: SoftmaxLinear, kronecker: bool) -> int:
    outputs, p = model.beta.shape
    if kronecker:
        return 8 * (p * p + model.full_outputs**2)
    return 8 * outputs * p * p * (outputs if model.link.coupled else 1)


def _needed_bytes(model: SoftmaxLinear, n_rows: int, rows: bool, kronecker: bool) -> float:
    if rows:
        return _SQUARES * 8 * n_rows**2
    return _HESSIANS * _hessian_bytes(model, kronecker)


def _physical_memory() -> float:
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows: the allocation itself says so
        return np.inf


def _size(n_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} TiB"


def check_residual(residual: float, stacklevel: int) -> None:
    """Warn where solving through the rows lost digits, refuse where it lost all of them."""
    if residual <= _LARGEST_RESIDUAL:
        return
    message = (
        f"There are more columns than rows, and solving through the rows left a relative error "
        f"of {residual:.2g}: some columns are very large beside others, or some rows all but "
        f"follow from others beside a tiny penalty. {_REMEDY}"
    )
    if not residual <= _LOST:
        raise np.linalg.LinAlgError(message)
    warnings.warn(
        f"{message} The scores have as few digits.", UserWarning, stacklevel=stacklevel
    )


def sparse_gradient(
    model: SoftmaxLinear, X, y: np.ndarray, weight: np.ndarray, loss: ValidationLoss
) -> np.ndarray:
    """`skfi.linear._softmax.validation_gradient` of rows that stay sparse."""
    X = float_rows(X)
    z = model.scores(X)
    gradient = checked_loss(loss, y, model.link.log_proba(z))
    a = weight[:, None] * model.link.pull_back(z, gradient)
    return model.moment(X, a) / weight.sum()


@dataclass
class RowInverse:
    """``(Σ q² x̃x̃ᵀ + penalty)⁻¹`` over the rows of an objective that count, by rows."""

    model: SoftmaxLinear  # with an L2 penalty that its weights share
    X: Any  # ndarray or CSR (n, d); from here on rows that count, float64
    y: np.ndarray
    weight: np.ndarray  # what each counts in the objective (n,)
    n_all: int = field(init=False)  # rows, those of weight 0 among them
    q: np.ndarray = field(init=False, repr=False)
    penalty: float = field(init=False, default=0.0)  # λ
    penalty_of_intercept: float = field(init=False, default=0.0)  # μ
    P: np.ndarray = field(init=False, repr=False)  # P̃ (n, n)
    e: np.ndarray = field(init=False, repr=False)
    sigma: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        self.n_all, self.weight = len(self.y), self.weight.ravel()
        self.X = float_rows(self.X)
        # τ is zero in columns that no row has an entry in, most of a hashed vocabulary.
        self.columns: Any = slice(None)
        if sparse.issparse(self.X):
            self.columns = np.flatnonzero(
                np.bincount(self.X.indices, minlength=self.X.shape[1])
            )
        # A row of weight 0, or of a class of weight 0, is no row of the objective's.
        self.present = np.flatnonzero(self.weight > 0)
        if len(self.present) < self.n_all:
            self.X = self.X[self.present]
        self.y, self.weight = self.y[self.present], self.weight[self.present]
        model, link = self.model, self.model.link
        self.z = model.scores(self.X)
        self.r = link.residual(self.z, self.y)
        counted = self.weight[:, None]
        lost = float((_columns(link.loss(self.z, self.y)) * counted).sum())
        self.loss = lost + 0.5 * float((model.l2 * model.beta**2).sum())
        self.gradient = model.moment(self.X, counted * self.r) + model.l2 * model.beta

    @cached_property
    def S(self) -> np.ndarray:
        """Second derivatives of the loss in the scores."""
        return self.model.link.curvature(self.z)

    def _trace(self) -> float:
        """Of ``Σ q² x̃x̃ᵀ``."""
        lengths = row_norms(self.X, squared=True) + float(self.model.fit_intercept)
        return float(self.q**2 @ lengths)

    def _invert(self) -> None:
        """P̃, of q and the penalties."""
        self.P = self._gram()
        self.own = self.P.diagonal() - 1.0  # of B - I
        _invert_in_place(self.P)
        self.e = np.zeros(len(self.q))
        if not self.model.fit_intercept:
            return  # there is nothing to border with
        self.e = self.P @ self.q
        self.sigma = float(self.q @ self.e + self.penalty_of_intercept)
        for rows in row_blocks(len(self.P), _GRAM_ROWS):
            self.P[rows] -= np.outer(self.e[rows], self.e / self.sigma)

    @cached_property
    def _narrow(self):
        """X, of the columns that are not empty."""
        return self.X[:, self.columns] if sparse.issparse(self.X) else self.X

    @cached_property
    def _Xt(self):
        """Xᵀ, of the columns that are not empty."""
        return self._narrow.T.tocsr() if sparse.issparse(self.X) else self.X.T

    def _gram(self) -> np.ndarray:
        """``I + Q Qᵀ/λ``, of which the lower triangle is what counts."""
        n, X = len(self.q), self.X
        scale = self.q / np.sqrt(self.penalty)
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

    def hessian_times(self, H: np.ndarray) -> np.ndarray:
        """H times parameter vectors (anything, p)."""
        model, d = self.model, self.model.n_features
        seen = self.q[:, None] ** 2 * model.affine(self.X, H.T)
        out = np.empty_like(H)
        weights = out[:, :d]
        np.multiply(H[:, :d], self.penalty, out=weights)
        weights[:, self.columns] += (self._Xt @ seen).T
        if model.fit_intercept:
            out[:, d] = seen.sum(axis=0) + self.penalty_of_intercept * H[:, d]
        return out

    def _solve_once(self, U: np.ndarray) -> np.ndarray:
        """H⁻¹ times parameter vectors (anything, p)."""
        d = self.model.n_features
        seen = self.q[:, None] * (self.X @ U[:, :d].T) / self.penalty
        lifted = self.P @ seen
        H = np.empty_like(U)
        if self.model.fit_intercept:
            lifted += np.outer(self.e, U[:, d] / self.sigma)
            H[:, d] = (U[:, d] - self.e @ seen) / self.sigma
        weights = H[:, :d]
        np.divide(U[:, :d], self.penalty, out=weights)
        lifted *= self.q[:, None] / self.penalty
        weights[:, self.columns] -= (self._Xt @ lifted).T
        return H

    def solve(self, u: np.ndarray) -> tuple[np.ndarray, float]:
        """``H⁻¹u`` for u (1, p), refined, and the relative length of what is left of u."""
        length = float(np.linalg.norm(u))
        h = self._solve_once(u)
        left = u - self.hessian_times(h)
        for _ in range(_REFINEMENTS):
            better = h + self._solve_once(left)
            rest = u - self.hessian_times(better)
            if not np.linalg.norm(rest) < np.linalg.norm(left):
                break
            h, left = better, rest
        return h, float(np.linalg.norm(left)) / length if length else 0.0

    @cached_property
    def error_of_rows(self) -> float:
        """Largest relative change of ``H⁻¹x̃`` by a step of refinement, over a few rows."""
        n, d = self.X.shape
        rows = np.unique(np.linspace(0, n - 1, min(n, _CHECKED_ROWS)).astype(int))
        X = self.X[rows].toarray() if sparse.issparse(self.X) else self.X[rows]
        solved = np.zeros((len(rows), self.model.beta.shape[1]))
        solved[:, :d][:, self.columns] = self._tau(rows).T
        if self.model.fit_intercept:
            solved[:, d] = self.e[rows] / (self.q[rows] * self.sigma)
            X = np.concatenate([X, np.ones((len(rows), 1))], axis=1)
        step = np.linalg.norm(self._solve_once(X - self.hessian_times(solved)), axis=1)
        length = np.linalg.norm(solved, axis=1)
        return float(np.divide(step, length, out=np.zeros_like(step), where=length > 0).max())

    def _tau(self, rows) -> np.ndarray:
        """τ of some rows, in the columns that are not empty (columns, b)."""
        lifted = self.P[rows].T * self.q[:, None]
        lifted /= self.q[rows] * self.penalty
        return self._Xt @ lifted

    def _leverage(self, rows, tau: np.ndarray) -> np.ndarray:
        """x̃ᵀH⁻¹x̃ of some rows, of which ``tau`` is τ (columns, b)."""
        leverage = _dots(self._narrow[rows], tau.T)
        if self.model.fit_intercept:
            leverage += self.e[rows] / (self.q[rows] * self.sigma)
        return leverage

    def gain(self, moved: np.ndarray, h: np.ndarray) -> np.ndarray:
        """First-order decrease of the validation loss when ``moved`` of each row goes."""
        eta = self.model.affine(self.X, h.T)
        along = np.einsum("nk,nk->n", self.r, eta)
        return self._spread_out(-moved.ravel()[self.present] * along)

    def _spread_out(self, values: np.ndarray) -> np.ndarray:
        """One number a row (n_all,): 0 where it does not count."""
        out = np.zeros(self.n_all)
        out[self.present] = values
        return out


@dataclass
class RowSpace(RowInverse):
    """The curvature of a single output's objective over its rows, inverted by rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.q = np.maximum(np.sqrt(self.weight * self.S[:, 0]), _LEAST_Q)

    def trace(self) -> float:
        """Of H without the penalty."""
        return self._trace()

    def invert(self, damping: float = 0.0) -> None:
        """P̃, with ``damping``, in units of the summed loss, added to the penalty."""
        self.penalty = float(self.model.l2[0, 0]) + damping
        self.penalty_of_intercept = float(self.model.l2[0, -1]) + damping
        self._invert()

    def influence(
        self,
        moved: np.ndarray,
        h: np.ndarray,
        spread: tuple[Any, np.ndarray] | None = None,
    ) -> np.ndarray:
        """FI of each row (n_all,), as `skfi.linear._softmax.score_rows` has it.

        ``spread`` are rows and their weights, whose covariance whitens the perturbation; None
        is the Euclidean metric.
        """
        n, d = self.X.shape
        moved = moved.ravel()[self.present]
        eta = self.model.affine(self.X, h.T)[:, 0]
        both = np.stack([self.model.W[0], h[0, :d]], axis=1)
        W, directions = both[self.columns, 0], both[self.columns]
        metric, empty = None, both.copy()
        empty[self.columns] = 0.0
        beyond = empty[:, 0] @ empty  # of W with itself and h, in empty columns
        if spread is not None:  # which knows nothing of these
            metric = _Covariance(float_rows(spread[0])[:, self.columns], spread[1], directions)

        def part(rows: slice) -> np.ndarray:
            tau = self._tau(rows)
            S, r = self.S[rows, 0], self.r[rows, 0]
            m, share = moved[rows], moved[rows] / self.weight[rows]
            own, leverage = self.P.diagonal()[rows], self._leverage(rows, tau)
            alpha = np.where(
                self.own[rows] < _LITTLE, 1.0 - m * S * leverage, (1.0 - share) + share * own
            )
            v: np.ndarray = tau
            v *= -(m * r)
            v += W[:, None] * alpha
            if metric is None:
                v_dot = v.T @ directions + np.outer(alpha, beyond)
                v_dot_v = np.einsum("db,db->b", v, v) + alpha**2 * beyond[0]
            else:
                v_dot_v, v_dot = metric.products(v)
            g_dot_v = -m * (S * eta[rows] * v_dot[:, 0] + r * v_dot[:, 1])
            return fi_binary(g_dot_v, v_dot_v, S)

        wide = n if metric is None else n + 2 * metric.X.shape[0]
        size = block_rows(3 * len(W) + n + wide)
        return self._spread_out(np.concatenate(list(map_blocks(part, n, size))))


@dataclass
class _Covariance:
    """Inner products in the rows' covariance, through the rows."""

    X: Any  # ndarray or CSR
    weight: np.ndarray
    directions: np.ndarray  # (d, 2)

    def __post_init__(self) -> None:
        self.share = self.weight / self.weight.sum()
        self.towards = self.share[:, None] * self._centred(self.directions)

    def _centred(self, M: np.ndarray) -> np.ndarray:
        seen = self.X @ M
        seen -= self.share @ seen
        return seen

    def products(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each column of v (d, b) with itself (b,), and with the directions (b, 2)."""
        seen = self._centred(v)
        return np.einsum("n,nb,nb->b", self.share, seen, seen), seen.T @ self.towards


def _dots(X, dense: np.ndarray) -> np.ndarray:
    """Row by row inner products."""
    if sparse.issparse(X):
        return np.asarray(X.multiply(dense).sum(axis=1)).ravel()
    return np.einsum("bd,bd->b", X, dense)


def _threads_of_lapack(B: np.ndarray) -> AbstractContextManager:
    """One thread for a matrix of 2 GiB or more, where several crash.

    The OpenBLAS in SciPy's wheels (seen in 1.17.1, x86-64) counts bytes in 32 bits in its
    parallel Cholesky factorisation: 16,384 rows and more end the process.
    """
    return one_blas_thread(unless=B.nbytes < _MOST_SHARED)


def _invert_in_place(B: np.ndarray) -> None:
    """B⁻¹ in place of B (n, n), whose lower triangle is read; it is at least the identity."""
    # LAPACK counts by columns: its upper triangle of Bᵀ is the lower one here.
    with _threads_of_lapack(B):
        factor, failed = lapack.dpotrf(B.T, lower=0, clean=0, overwrite_a=1)
        if not failed:
            inverse, failed = lapack.dpotri(factor, lower=0, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError(
            "The rows' inner products are too large beside the penalty to be solved for. "
            + _REMEDY
        )
    if not np.shares_memory(inverse, B):
        B[:] = inverse.T
    for rows in row_blocks(len(B), _GRAM_ROWS):
        B[rows, rows.stop :] = B[rows.stop :, rows].T
        square = B[rows, rows]
        B[rows, rows] = np.tril(square) + np.tril(square, -1).T
