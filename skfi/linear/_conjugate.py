"""K-FAC's metric beside exact solves: H⁻¹u by conjugate gradients on products with H.

The metric tensor G needs H⁻¹ of every row, for which K-FAC stands. The sign of a score and the
influence value need one solve, h = H⁻¹u. A product with the Hessian costs two products of X
with a matrix of K columns, as a step of the fit does; K-FAC's inverse is the preconditioner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import get_config

from .._utils._chunks import block_rows, row_blocks
from .._utils._user_warnings import warn_user
from ._active import LinearPairs
from ._covariance import Whitening
from ._links import Softmax, curve
from ._operators import Curvature, Root, RowScorer, Solution
from ._softmax import SoftmaxLinear

TOLERANCE = 1e-8  # ‖Hh - u‖ / ‖u‖
_MOST_STEPS = 1000
_MEGABYTE = 2**20


@dataclass(frozen=True, eq=False)
class ConjugateCurvature(Curvature):
    """Another curvature's products with rows, and its solves of one vector made exact."""

    metric: Curvature
    model: SoftmaxLinear
    X: np.ndarray  # dense or CSR (n, d)
    weight: np.ndarray  # of rows in the objective (n,)
    damping: float = 0.0  # in units of the summed loss

    def solve(self, vectors: np.ndarray) -> np.ndarray:
        return self.metric.solve(vectors)

    def refined(self, u: np.ndarray) -> Solution:
        """H⁻¹u by preconditioned conjugate gradients, and its relative residual."""
        product = _HessianProduct(self.model, self.X, self.weight, self.damping)
        size = np.linalg.norm(u)
        if size == 0:
            return Solution(np.zeros_like(u), 0.0)
        h = self.metric.solve(u)
        rest = u - product(h)
        best, residual = h, float(np.linalg.norm(rest) / size)
        z = self.metric.solve(rest)
        step, energy = z, np.vdot(rest, z)
        for _ in range(_MOST_STEPS):
            if residual <= TOLERANCE or not energy > 0:
                break
            changed = product(step)
            length = energy / np.vdot(step, changed)
            h = h + length * step
            rest = rest - length * changed
            if np.linalg.norm(rest) / size < residual:
                best, residual = h, float(np.linalg.norm(rest) / size)
            z = self.metric.solve(rest)
            energy, before = np.vdot(rest, z), energy
            step = z + (energy / before) * step
        residual = float(np.linalg.norm(u - product(best)) / size)
        return Solution(best, residual)

    def check(self, residual: float) -> None:
        check_solved(residual)

    def root(self) -> Root:
        return self.metric.root()

    def half_solve(self, noise: np.ndarray) -> np.ndarray:
        return self.metric.half_solve(noise)

    def score_jacobian(
        self, model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray
    ) -> np.ndarray:
        return self.metric.score_jacobian(model, X, sr, sS)

    def row_scorer(
        self, model: SoftmaxLinear, h: np.ndarray, root: np.ndarray | None
    ) -> RowScorer:
        return self.metric.row_scorer(model, h, root)

    def influence(
        self,
        model: SoftmaxLinear,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray,
        h: np.ndarray,
        whitening: Whitening | None = None,
    ) -> np.ndarray:
        return self.metric.influence(model, X, y, weight, h, whitening)

    def pairs(
        self,
        model: SoftmaxLinear,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray,
        root: np.ndarray | None = None,
    ) -> LinearPairs:
        return self.metric.pairs(model, X, y, weight, root)


class _HessianProduct:
    """Products of a softmax's Hessian, penalty and damping included, with (n_outputs, p)."""

    def __init__(
        self, model: SoftmaxLinear, X: Any, weight: np.ndarray, damping: float
    ) -> None:
        assert isinstance(model.link, Softmax)
        self.model, self.X, self.weight = model, X, weight.ravel()
        self.link = model.link
        self.diagonal = model.l2 + damping
        n, n_classes = X.shape[0], model.link.n_classes
        self.rows = list(row_blocks(n, block_rows(6 * n_classes + 2 * model.beta.shape[1])))
        kept = 8 * n * n_classes <= get_config()["working_memory"] * _MEGABYTE / 2
        self.proba = [self._proba(at) for at in self.rows] if kept else None

    def _block(self, at: slice) -> Any:
        X = self.X[at]
        return X if sparse.issparse(X) else np.asarray(X, dtype=np.float64)

    def _proba(self, at: slice) -> np.ndarray:
        return np.exp(self.link.log_proba(self.model.scores(self._block(at))))

    def __call__(self, v: np.ndarray) -> np.ndarray:
        total = self.diagonal * v
        basis = self.link.basis
        for k, at in enumerate(self.rows):
            X = self._block(at)
            p = self._proba(at) if self.proba is None else self.proba[k]
            moved = curve(p, p.argmax(axis=1), self.model.affine(X, v.T) @ basis.T)
            moved *= self.weight[at, None]
            total += self.model.moment(X, moved @ basis)
        return total


def check_solved(residual: float) -> None:
    """Warn where conjugate gradients have not come to the tolerance."""
    if residual > 1e2 * TOLERANCE:
        warn_user(
            f"Conjugate gradients left a relative error of {residual:.2g} in H⁻¹u after "
            f"{_MOST_STEPS} steps: the columns are of very different scales, or hardly "
            "penalised. Scale the columns (StandardScaler), penalise more (a smaller C), or "
            'pass curvature="exact".'
        )


def exact_operations(model: SoftmaxLinear, n_rows: int) -> float:
    """Multiplications and additions of exact scores: the Hessian, its inverse, all rows."""
    m = float(model.beta.size)
    return 4.0 * n_rows * m**2 + 2.0 * m**3


def fit_operations(model: SoftmaxLinear, n_rows: int, n_iter: int = 100) -> float:
    """The same of a fit, whose steps are two products of X with a matrix of K columns each."""
    return 4.0 * n_iter * n_rows * model.beta.size


# Products of large matrices are so many times as fast as those of a fit.
_FASTER = 4.0
# Exact scores of fewer operations take a fraction of a second.
_LITTLE = 5e9


def exact_is_cheap(model: SoftmaxLinear, n_rows: int) -> bool:
    """Whether exact scores cost about the fit at most, or next to nothing."""
    exact = exact_operations(model, n_rows)
    return exact <= max(_LITTLE, _FASTER * fit_operations(model, n_rows))


def takes_kfac(model: SoftmaxLinear, weight: np.ndarray) -> bool:
    """Whether K-FAC knows the objective and is cheaper: a softmax under one L2 penalty."""
    even = bool((model.l2 == model.l2[0]).all()) and not model.l1.any()
    return model.link.coupled and isinstance(model.link, Softmax) and even and weight.ndim == 1
