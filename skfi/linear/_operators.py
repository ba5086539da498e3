"""Curvature as an operator: what scores need of a Hessian, and of its inverse.

A Hessian is a sum over rows, which `HessianSum.invert` turns into a `Curvature`: H⁻¹, or what
stands for it, as products. Whole matrices, a matrix for each output, a Kronecker product and a
matrix of rows by rows each answer by themselves, so that no caller asks which it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np

from ._active import LinearPairs
from ._memory import check_residual
from ._scores import score_all, score_by_jacobian

if TYPE_CHECKING:
    from ._covariance import Whitening
    from ._softmax import SoftmaxLinear

_Hessian = TypeVar("_Hessian", bound="HessianSum")


class Hessian(Protocol):
    """The Hessian of a training loss over all rows."""

    def trace_of_loss(self, model: SoftmaxLinear) -> float:
        """Trace without the penalty, whether it has been added or not."""

    def invert(self, model: SoftmaxLinear, damping: float = 0.0) -> Curvature:
        """H⁻¹ with the model's penalty; ``damping``, in units of the summed loss, is added."""


class HessianSum(Hessian, Protocol):
    """A Hessian that is summed up over blocks of rows."""

    def __add__(self: _Hessian, other: _Hessian) -> _Hessian:
        """The Hessian over both blocks of rows."""

    def __iadd__(self: _Hessian, other: _Hessian) -> _Hessian:
        """The same in place."""

    def add_penalty(self, l2: np.ndarray) -> None:
        """Add an L2 penalty (n_outputs, p), where it does not come in with the inverse."""


@dataclass
class Objective:
    """A training objective at a model's coefficients, over all rows."""

    loss: float
    gradient: np.ndarray  # (n_outputs, p)
    hessian: Hessian


@dataclass
class CurvatureSum(Objective):
    """What one pass over the training rows leaves; adds up over blocks."""

    hessian: HessianSum

    def __add__(self, other: CurvatureSum) -> CurvatureSum:
        return CurvatureSum(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.hessian + other.hessian,
        )

    def __iadd__(self, other: CurvatureSum) -> CurvatureSum:
        self.loss += other.loss
        self.gradient += other.gradient
        self.hessian += other.hessian
        return self


class Solution(NamedTuple):
    """``h = H⁻¹u``, and its relative error where the solve may lose digits."""

    h: np.ndarray
    residual: float | None


class Root(NamedTuple):
    """A root of H⁻¹ on its range, and the root's inverse."""

    root: np.ndarray  # A (m, r) with A Aᵀ = H⁻¹
    white: np.ndarray  # W (r, m) with W A = I


class RowScorer(NamedTuple):
    """FI of blocks of rows, and the float64 temporaries of a row."""

    score: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # (X, y, weight) -> (b,)
    doubles_per_row: int


class Curvature(ABC):
    """H⁻¹ of a training objective, or what stands for it, as an operator."""

    @abstractmethod
    def solve(self, vectors: np.ndarray) -> np.ndarray:
        """H⁻¹ times parameter vectors (..., n_outputs, p)."""

    def refined(self, u: np.ndarray) -> Solution:
        """H⁻¹u of one parameter vector (n_outputs, p), as exact as can be, with its error."""
        return Solution(self.solve(u), None)

    threaded = True  # whether all of BLAS's threads pay in a large model's products

    def check(self, residual: float) -> None:
        """Warn where a refined solve lost digits, refuse where it lost all of them."""
        check_residual(residual)

    @property
    def error_of_rows(self) -> float:
        """Relative error of products with training rows, where these may lose digits."""
        return 0.0

    @abstractmethod
    def root(self) -> Root:
        """A root of H⁻¹: in ``Aᵀu`` gradients that scatter as H has it are white."""

    @abstractmethod
    def half_solve(self, noise: np.ndarray) -> np.ndarray:
        """White noise (n, n_outputs, p) with H⁻¹ as its covariance."""

    @abstractmethod
    def score_jacobian(
        self, model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray
    ) -> np.ndarray:
        """Z = ∂_ω z (b, n_outputs, d) of a block of rows, the refit included.

        ``sr`` and ``sS`` are the weighted derivatives of the loss in the scores.
        """

    def row_scorer(
        self, model: SoftmaxLinear, h: np.ndarray, root: np.ndarray | None
    ) -> RowScorer:
        """FI of any rows; ``root`` as in `score_all`."""
        outputs, p = model.beta.shape

        def score(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
            return score_by_jacobian(model, X, y, weight, self, h, root)

        if model.link.coupled:
            return RowScorer(score, p * (6 * outputs + 4) + 6 * outputs**2)
        smaller = min(model.link.n_classes - 1, p)  # of the metric tensor and its dual
        return RowScorer(score, p * (4 * outputs + 4) + 3 * smaller**2)

    def influence(
        self,
        model: SoftmaxLinear,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray,
        h: np.ndarray,
        whitening: Whitening | None = None,
    ) -> np.ndarray:
        """FI of each row of the objective (n,), where ``weight`` of it moves.

        In the Euclidean metric, or in coordinates that are white.
        """
        root = None if whitening is None else whitening.root
        return score_all(model, X, y, weight, self, h, root)

    def pairs(
        self,
        model: SoftmaxLinear,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray,
        root: np.ndarray | None = None,
    ) -> LinearPairs:
        """Training rows of positive weight, ready to be paired with others."""
        return LinearPairs(model, X, y, weight, self, root)
