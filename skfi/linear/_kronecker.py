"""K-FAC for softmax-linear models: H⁻¹ as one Kronecker product, in O(d² + K²) numbers.

The Hessian ``Σ s_i S_i ⊗ x̃_i x̃_iᵀ + λ`` is replaced by ``w S̄ ⊗ Ā`` with the weighted
means ``S̄`` of the S_i and ``Ā`` of the x̃x̃ᵀ, w the sum of weights. The penalty goes into both
factors as Martens & Grosse (2015, Section 6.3) put it there, so that the product stays a
product:

    (S̄ + (√λ/π) I) ⊗ (Ā + π √λ I),   π² = (tr Ā / p) / (tr S̄ / K).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from ._active import LinearPairs
from ._active_few_columns import FewColumnPairs
from ._active_kronecker import KroneckerPairs
from ._blocks import BlockCurvature
from ._curvature import covariance_factor, inverse_on_range, range_root
from ._kronecker_rows import kronecker_rows
from ._links import Softmax
from ._operators import Curvature, Root, RowScorer
from ._softmax import SoftmaxLinear


def balance(per_output: float, per_input: float) -> float:
    """π from the mean diagonal elements of S̄ and Ā."""
    return sqrt(per_input / per_output) if per_output > 0 < per_input else 1.0


@dataclass
class KroneckerHessian:
    """Sums over rows of both factors."""

    outputs: np.ndarray  # Σ s S, (K, K): of a softmax in the scores of all classes
    inputs: np.ndarray  # Σ s x̃x̃ᵀ, (p, p)
    weight: float  # Σ s

    def __add__(self, other: KroneckerHessian) -> KroneckerHessian:
        return KroneckerHessian(
            self.outputs + other.outputs,
            self.inputs + other.inputs,
            self.weight + other.weight,
        )

    def __iadd__(self, other: KroneckerHessian) -> KroneckerHessian:
        self.outputs += other.outputs
        self.inputs += other.inputs
        self.weight += other.weight
        return self

    def add_penalty(self, l2: np.ndarray) -> None:
        """Nothing: `invert` puts the penalty into both factors."""

    def trace_of_loss(self, model: SoftmaxLinear) -> float:
        return float(np.trace(self.outputs) * np.trace(self.inputs)) / self.weight

    def invert(self, model: SoftmaxLinear, damping: float = 0.0) -> Curvature:
        """The inverse of ``w S̄ ⊗ Ā`` with the penalty, which all outputs must share."""
        if model.active is not None or (model.l2 != model.l2[0]).any():
            raise ValueError(
                'curvature="kfac" needs an L2 penalty that is the same for all classes, '
                'and none of L1. Use curvature="exact".'
            )
        S, A = self.outputs / self.weight, self.inputs / self.weight
        n_outputs = len(S)
        if isinstance(model.link, Softmax):  # in the outputs that it is written in
            S = model.link.basis.T @ S @ model.link.basis
        share = (model.l2[0] + damping) / self.weight
        strongest = float(share.max())
        if strongest > 0:
            pi = balance(np.trace(S) / n_outputs, np.trace(A) / len(A))
            S = S + np.sqrt(strongest) / pi * np.eye(len(S))
            A = A + np.diag(pi * share / np.sqrt(strongest))
        outputs, inputs = inverse_on_range(S) / self.weight, inverse_on_range(A)
        if model.link.coupled:
            return KroneckerCurvature(outputs, inputs)
        return BlockCurvature(np.diagonal(outputs)[:, None, None] * inputs)


def check_one_weight(weight: np.ndarray) -> None:
    """Refuse class weights that differ from output to output."""
    if weight.ndim == 2 and weight.shape[1] > 1:
        raise ValueError(
            'curvature="kfac" needs one weight a row, and these class weights differ from '
            'output to output. Use curvature="exact".'
        )


def sum_outputs(model: SoftmaxLinear, z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Σ s S of rows with scores z, of a softmax in the scores of all classes."""
    if isinstance(model.link, Softmax):
        return model.link.curvature_sum(z, weight)
    return np.diag(weight @ model.link.curvature(z))  # outputs do not mix


def sum_factors(
    model: SoftmaxLinear, X: np.ndarray, z: np.ndarray, weight: np.ndarray
) -> KroneckerHessian:
    """Both factors of a block of rows with scores z."""
    check_one_weight(weight)
    weight = weight.ravel()
    root = np.sqrt(weight)[:, None] * model.extended(X)
    outputs = sum_outputs(model, z, weight)
    return KroneckerHessian(outputs, root.T @ root, float(weight.sum()))


class ProductCurvature(Curvature):
    """H⁻¹ = O ⊗ I."""

    outputs: np.ndarray  # O (q, q)

    @abstractmethod
    def inputs_times(self, vectors: np.ndarray) -> np.ndarray:
        """I times vectors (..., p)."""

    def lifted(self, model: SoftmaxLinear, X: np.ndarray) -> np.ndarray:
        """I x̃ of a block of rows (b, p)."""
        return self.inputs_times(model.extended(X))

    def solve(self, vectors: np.ndarray) -> np.ndarray:
        return self.inputs_times(np.matmul(self.outputs, vectors))

    def score_jacobian(
        self, model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray
    ) -> np.ndarray:
        # Q_ak = O_ak T with one T = I x̃ for all classes.
        T = self.lifted(model, X)
        S = sS if model.link.coupled else sS[:, :, None] * np.eye(sS.shape[1])
        mixing = np.matmul(self.outputs, S) * model.along(X, T)[:, None, None]
        Z: np.ndarray = (np.eye(len(self.outputs)) - mixing) @ model.W
        Z -= (sr @ self.outputs)[:, :, None] * T[:, None, : model.n_features]
        return Z


@dataclass(frozen=True, eq=False)
class KroneckerCurvature(ProductCurvature):
    """Both factors as matrices, of a softmax."""

    outputs: np.ndarray  # (q, q)
    inputs: np.ndarray  # (p, p)

    def inputs_times(self, vectors: np.ndarray) -> np.ndarray:
        return vectors @ self.inputs

    def lifted(self, model: SoftmaxLinear, X: np.ndarray) -> np.ndarray:
        return model.affine(X, self.inputs)

    def dense(self) -> np.ndarray:
        """The whole matrix (q·p, q·p)."""
        return np.kron(self.outputs, self.inputs)

    def root(self) -> Root:
        (A, W), (B, V) = range_root(self.outputs), range_root(self.inputs)
        return Root(np.kron(A, B), np.kron(W, V))

    def half_solve(self, noise: np.ndarray) -> np.ndarray:
        return covariance_factor(self.outputs) @ noise @ covariance_factor(self.inputs).T

    def row_scorer(
        self, model: SoftmaxLinear, h: np.ndarray, root: np.ndarray | None
    ) -> RowScorer:
        assert isinstance(model.link, Softmax)  # other links have an inverse for each output
        W, hx = model.W, h[:, : model.n_features]
        if root is not None:
            W, hx = W @ root, hx @ root
        rows = kronecker_rows(model.link, self.outputs, W, hx)

        def score(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
            T = self.lifted(model, X)
            t = T[:, : model.n_features]
            if root is not None:
                t = t @ root
            z, eta = model.scores(X), model.affine(X, h.T)
            return rows.score(z, y, weight, model.along(X, T), eta, t)

        return RowScorer(score, rows.doubles_per_row + 2 * model.beta.shape[1])

    def pairs(
        self,
        model: SoftmaxLinear,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray,
        root: np.ndarray | None = None,
    ) -> LinearPairs:
        few = model.n_features < len(self.outputs)
        kind = FewColumnPairs if few else KroneckerPairs
        return kind(model, X, y, weight, self, root)
