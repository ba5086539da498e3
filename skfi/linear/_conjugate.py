"""K-FAC's metric beside exact solves: H⁻¹u by conjugate gradients on products with H.

The metric tensor G needs H⁻¹ of every row, for which K-FAC stands. The sign of a score and the
influence value need one solve, h = H⁻¹u. A product with the Hessian costs two products of X
with a matrix of K columns, as a step of the fit does. Most of these products are in float32
and preconditioned by blocks (`_block_jacobi`); iterative refinement in float64 makes the
result exact. Where that does not come to the tolerance or memory is small, all products are
in float64, and K-FAC's inverse preconditions them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._utils._chunks import one_blas_thread
from .._utils._user_warnings import warn_user
from ._active import LinearPairs
from ._block_jacobi import StandardizedHessian, fits_copy
from ._covariance import Whitening
from ._hessian_product import HessianProduct
from ._links import Softmax
from ._operators import Curvature, Root, RowScorer, Solution
from ._softmax import SoftmaxLinear

TOLERANCE = 1e-8  # ‖Hh - u‖ / ‖u‖
_ERROR = 1e-7  # of h beside h, both in H's norm, by the preconditioner's estimate
_MOST_STEPS = 1000
# What a solve in float32 is to reach at once, and the least it has to gain.
_DIGITS, _GAINED = 1e-4, 0.1


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
        size = float(np.linalg.norm(u))
        if size == 0:
            return Solution(np.zeros_like(u), 0.0)
        with one_blas_thread():
            product = HessianProduct(self.model, self.X, self.weight, self.damping)
            h, residual = _refine(product, self.metric.solve, u)
            if residual > TOLERANCE:
                h = _conjugate_gradients(product, self.metric.solve, u, h)
                residual = float(np.linalg.norm(u - product(h))) / size
        return Solution(h, residual)

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


def _refine(
    product: HessianProduct, precondition: Callable[[np.ndarray], np.ndarray], u: np.ndarray
) -> tuple[np.ndarray, float]:
    """H⁻¹u by iterative refinement in float32, then in float64, and its relative residual."""
    h, rest, residual = np.zeros_like(u), u, 1.0
    penalty = product.diagonal[:, : product.model.n_features]
    if not (penalty > 0).all():  # H may be singular, and h has to stay in its range
        return h, residual
    size, excess = float(np.linalg.norm(u)), 1.0 / TOLERANCE
    for dtype, digits in ((np.float32, _DIGITS), (np.float64, 0.5 * TOLERANCE)):
        if not fits_copy(product, dtype):
            break
        inner = StandardizedHessian(product, precondition, dtype)
        energy = inner.energy(u)
        while excess > 1.0:
            refined = h + inner.solve(rest, max(digits, 0.5 / excess))
            left = u - product(refined)
            now = float(np.linalg.norm(left)) / size
            before = excess
            excess = max(now / TOLERANCE, inner.energy(left) / energy / _ERROR)
            if now < residual:
                h, rest, residual = refined, left, now
            if not excess <= _GAINED * before:
                break
        del inner  # memory for the next
        if excess <= 1.0:
            break
    return h, residual


def _conjugate_gradients(
    product: HessianProduct,
    precondition: Callable[[np.ndarray], np.ndarray],
    u: np.ndarray,
    h: np.ndarray,
) -> np.ndarray:
    """H⁻¹u from h on, in float64."""
    if not h.any():
        h = precondition(u)
    size = np.linalg.norm(u)
    rest = u - product(h)
    best, residual = h, float(np.linalg.norm(rest) / size)
    z = precondition(rest)
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
        z = precondition(rest)
        energy, before = np.vdot(rest, z), energy
        step = z + (energy / before) * step
    return best


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
