"""H⁻¹u of a softmax by conjugate gradients, preconditioned by a block for each class.

In float32, as the inner solve of iterative refinement: a few digits for half the time of a
product in float64. Columns are standardized first, so that float32 holds their products
whatever their means and scales are; the penalty is transformed with them. Parameters are those
of all K classes. Where the penalty is too weak for float32, the same goes in float64.

The preconditioner is block Jacobi's: a Cholesky factor for each class of
``D_k = Σ s_i p_ik (1 - p_ik) x̃_i x̃_iᵀ + λ``. A few rows for each column are enough for it,
drawn in proportion to p(1 - p), and all of those that count for much. It takes a third to a
fifth of the steps that K-FAC's inverse takes as a preconditioner, which replaces it where
factors of all classes would take too much memory or time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import blas, lapack
from sklearn import get_config

from .._utils._chunks import map_blocks, n_threads, row_blocks
from ._hessian_product import MEGABYTE, HessianProduct

_MOST_STEPS = 300
# Means and scales of columns are those of so many rows.
_ROWS_OF_SCALES = 2048
# Rows of a block of the preconditioner for each column; as many more as all blocks take the
# time of so many products.
_ROWS_A_COLUMN, _PRODUCTS = 6, 2
# p³ over the numbers in X, from which on factors cost more than the steps that they save.
_COSTLY = 400
# Share of the largest element that is added to the diagonal of a block, in units of rounding.
_JITTER = 10.0
_BLOCK_DOUBLES = 200_000
# Operations of a product that is worth the start of threads.
_WORTH_THREADS = 2e7


def fits_copy(product: HessianProduct, dtype: type) -> bool:
    """Whether working memory holds a copy of the rows."""
    if product.proba is None:
        return False
    numbers = _stored(product.X) + product.rows * product.link.n_classes
    allowed = get_config()["working_memory"] * MEGABYTE / 4
    return numbers * np.dtype(dtype).itemsize <= allowed


def _stored(X: Any) -> int:
    return int(X.nnz) if sparse.issparse(X) else int(np.prod(X.shape))


class StandardizedHessian:
    """A softmax's Hessian on standardized columns, of all classes (K, p)."""

    def __init__(
        self,
        product: HessianProduct,
        instead: Callable[[np.ndarray], np.ndarray],
        dtype: type = np.float32,
    ) -> None:
        """Copy the rows; ``instead`` preconditions (n_outputs, p) where blocks do not fit."""
        assert product.proba is not None
        assert product.top is not None
        model, X, weight = product.model, product.X, product.weight
        self.dtype, self.instead = dtype, instead
        self.basis, self.intercept = product.link.basis, model.fit_intercept
        self.unit = float(weight.max())
        penalty = product.diagonal[0]
        self._standardize(product, penalty)
        self.rows, self.columns = product.rows, len(penalty)
        n_classes = product.link.n_classes
        self.penalty = (penalty / self.unit / self.scale**2).astype(dtype)
        self.proba: np.ndarray = product.proba.astype(dtype)  # (K, n)
        self.top = product.top
        even = bool((weight == self.unit).all())
        self.weight: np.ndarray | None = None if even else (weight / self.unit).astype(dtype)
        operations = 4.0 * _stored(X) * n_classes
        self.threads = n_threads() if operations > _WORTH_THREADS else 1
        chunk = min(4096, max(256, _BLOCK_DOUBLES // n_classes))
        blocks = -(-self.rows // chunk)
        blocks = -(-blocks // self.threads) * self.threads  # as many for each thread
        self.chunk = max(1, -(-self.rows // blocks))
        self.X = self._copied(product)
        self.factors = self._factors() if self._blocks_pay(X) else None

    def _standardize(self, product: HessianProduct, penalty: np.ndarray) -> None:
        """Means and scales of the columns, of one row in many."""
        X, d = product.X, product.model.n_features
        sample = X[:: max(1, product.rows // _ROWS_OF_SCALES)]
        sample = sample.toarray() if sparse.issparse(sample) else sample
        sample = np.asarray(sample, dtype=np.float64)
        self.shift = np.zeros(d)
        # A penalty on the intercept would be one on sums of weights, too.
        if self.intercept and penalty[-1] == 0 and not sparse.issparse(X):
            self.shift = sample.mean(axis=0)
        square = ((sample - self.shift) ** 2).mean(axis=0)
        square += penalty[:d] / product.weight.sum()  # of columns that are all but constant
        self.scale = np.ones(len(penalty))
        self.scale[:d] = np.sqrt(np.where(square > 0, square, 1.0))

    def _copied(self, product: HessianProduct) -> Any:
        """Standardized rows with the intercept's column (n, p)."""
        X, d = product.X, product.model.n_features
        if sparse.issparse(X):
            scaled = sparse.csr_array(X @ sparse.diags_array(1.0 / self.scale[:d]))
            parts = [scaled, np.ones((self.rows, 1))] if self.intercept else [scaled]
            return sparse.csr_array(sparse.hstack(parts), dtype=self.dtype)
        out = np.ones((self.rows, self.columns), dtype=self.dtype)

        def copy(at: slice) -> None:
            block = product.block(at)
            block = block - self.shift if self.shift.any() else block
            np.multiply(block, 1.0 / self.scale[:d], out=out[at, :d], casting="unsafe")

        for _ in map_blocks(copy, self.rows, self.chunk):
            pass
        return out

    def _blocks_pay(self, X: Any) -> bool:
        """Whether factors fit, and cost less than the steps of `product` that they save."""
        numbers = len(self.proba) * self.columns**2
        allowed = get_config()["working_memory"] * MEGABYTE / 4
        fit = numbers * np.dtype(self.dtype).itemsize <= allowed
        return fit and self.columns**3 <= _COSTLY * _stored(X)

    def _factors(self) -> list[np.ndarray] | None:
        """Cholesky factors Lᵀ of all classes' blocks; None where digits are too few."""
        factorize = lapack.spotrf if self.dtype is np.float32 else lapack.dpotrf

        def factor(at: slice) -> np.ndarray:
            block = self._block(at.start)  # symmetric: its transpose is it, in LAPACK's order
            L, failed = factorize(block.T, lower=0, overwrite_a=1, clean=0)
            if failed:
                raise np.linalg.LinAlgError("a block is not positive definite")
            return np.asarray(L)

        try:
            return list(map_blocks(factor, len(self.proba), 1))
        except np.linalg.LinAlgError:
            return None

    def _block(self, k: int) -> np.ndarray:
        """D of a class, of a part of the rows."""
        share = self.proba[k] * (1.0 - self.proba[k])
        if self.weight is not None:
            share *= self.weight
        # Rows above the threshold count as they do; of others every so many, each for the
        # threshold: as many as add up to it.
        drawn = max(_ROWS_A_COLUMN * self.columns, 4 * _PRODUCTS * self.rows // self.columns)
        least = share.sum(dtype=np.float64) / drawn
        if least > 0:
            passed = np.floor(np.cumsum(np.minimum(share / least, 1.0), dtype=np.float64))
            rows = np.flatnonzero(np.diff(passed, prepend=0.0))
        else:
            rows = np.zeros(0, dtype=np.intp)
        root = np.sqrt(np.maximum(share[rows], least)).astype(self.dtype)
        part = self.X[rows]
        part = part.toarray() if sparse.issparse(part) else part
        part *= root[:, None]
        block: np.ndarray = part.T @ part
        diagonal = np.einsum("jj->j", block)
        diagonal += self.penalty
        diagonal += _JITTER * np.finfo(self.dtype).eps * diagonal.max()
        return block

    def precondition(self, v: np.ndarray) -> np.ndarray:
        """What stands for H⁻¹v."""
        if self.factors is None:
            v = self.scale * v
            out = self.basis @ self.instead(self.basis.T @ v)
            return (self.scale * out).astype(self.dtype)
        out = np.empty_like(v)
        solve = blas.strsv if self.dtype is np.float32 else blas.dtrsv
        for k, L in enumerate(self.factors):
            out[k] = solve(L, solve(L, v[k], trans=1))
        out -= out.mean(axis=0)  # a shift of all classes changes no probability
        return out

    def _of_block(self, v: np.ndarray, at: slice) -> np.ndarray:
        X, p = self.X[at], self.proba[:, at]
        z = np.ascontiguousarray((X @ v.T).T)  # classes by rows: sums over classes are quick
        z -= z[self.top[at], np.arange(z.shape[1])]  # whose p would cancel with 1
        z -= np.einsum("cb,cb->b", p, z)
        z *= p
        if self.weight is not None:
            z *= self.weight[at]
        out: np.ndarray = (X.T @ z.T).T if sparse.issparse(X) else z @ X
        return out

    def product(self, v: np.ndarray, pool: ThreadPoolExecutor | None) -> np.ndarray:
        total = self.penalty * v
        of_block = partial(self._of_block, v)
        if pool is None:
            parts: Any = map(of_block, row_blocks(self.rows, self.chunk))
        else:
            parts = map_blocks(of_block, self.rows, self.chunk, pool)
        for part in parts:
            total += part
        return total

    def solve(self, u: np.ndarray, tolerance: float) -> np.ndarray:
        """H⁻¹u of (n_outputs, p), to a residual of ``tolerance`` times the norm of u."""
        rest = self._standardized(u)
        size = float(np.linalg.norm(rest))
        enough = tolerance * float(np.linalg.norm(u)) / size
        rest = (rest / size).astype(self.dtype)
        if self.threads > 1:
            with ThreadPoolExecutor(self.threads) as pool:
                h = self._steps(rest, enough, pool)
        else:
            h = self._steps(rest, enough, None)
        out = h.astype(np.float64) * (size / self.unit)
        out /= self.scale
        if self.shift.any():
            d = len(self.shift)
            out[:, d] -= out[:, :d] @ self.shift
        return np.asarray(self.basis.T @ out)

    def energy(self, u: np.ndarray) -> float:
        """What stands for the norm of H⁻¹u in H's inner product."""
        rest = self._standardized(u)
        size = float(np.linalg.norm(rest))
        if size == 0:
            return 0.0
        rest = (rest / size).astype(self.dtype)
        square = max(0.0, float(np.vdot(rest, self.precondition(rest))))
        return size * float(np.sqrt(square / self.unit))

    def _standardized(self, u: np.ndarray) -> np.ndarray:
        """A gradient in the parameters of standardized columns and all classes."""
        out: np.ndarray = self.basis @ u
        if self.shift.any():
            d = len(self.shift)
            out[:, :d] -= out[:, d:] * self.shift
        out /= self.scale
        return out

    def _norm(self, rest: np.ndarray) -> float:
        """Norm of a residual as it is before columns were standardized."""
        rest = self.scale.astype(self.dtype) * rest
        if self.shift.any():
            d = len(self.shift)
            rest[:, :d] += rest[:, d:] * self.shift.astype(self.dtype)
        return float(np.linalg.norm(rest))

    def _steps(
        self, rest: np.ndarray, enough: float, pool: ThreadPoolExecutor | None
    ) -> np.ndarray:
        """Conjugate gradients from 0."""
        h = np.zeros_like(rest)
        z = self.precondition(rest)
        step, energy = z, float(np.vdot(rest, z))
        for _ in range(_MOST_STEPS):
            if not energy > 0:
                break
            changed = self.product(step, pool)
            length = self.dtype(energy / float(np.vdot(step, changed)))
            h += length * step
            rest -= length * changed
            if self._norm(rest) <= enough:
                break
            z = self.precondition(rest)
            energy, before = float(np.vdot(rest, z)), energy
            step = z + self.dtype(energy / before) * step
        return h
