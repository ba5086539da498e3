"""The exact Hessian and its inverse, a matrix for each group of outputs that mix.

All outputs of a softmax mix, and its Hessian is one block (m, m); those of other links do not,
and have a block (p, p) each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from ._curvature import covariance_factor, inverse_on_range, range_root
from ._operators import Curvature, Root, RowScorer
from ._scores import score_binary
from ._softmax import SoftmaxLinear


@dataclass
class BlockHessian:
    """Sum over rows of the loss's second derivatives."""

    blocks: np.ndarray  # (1, m, m) or (n_outputs, p, p)

    def __add__(self, other: BlockHessian) -> BlockHessian:
        return BlockHessian(self.blocks + other.blocks)

    def __iadd__(self, other: BlockHessian) -> BlockHessian:
        self.blocks += other.blocks
        return self

    def add_penalty(self, l2: np.ndarray) -> None:
        _add_to_diagonals(self.blocks, l2.reshape(self.blocks.shape[:2]))

    def trace_of_loss(self, model: SoftmaxLinear) -> float:
        return float(np.einsum("kii->", self.blocks) - model.l2.sum())

    def invert(self, model: SoftmaxLinear, damping: float = 0.0) -> BlockCurvature:
        """H⁺, zero outside an L1 penalty's active set; the penalty is in H already."""
        blocks = self.blocks
        if damping:
            blocks = blocks.copy()
            _add_to_diagonals(blocks, damping)
        active = model.active
        if active is None:
            return BlockCurvature(np.stack([inverse_on_range(block) for block in blocks]))
        inverses = map(inverse_on_range, blocks, active.reshape(blocks.shape[:2]))
        return BlockCurvature(np.stack(list(inverses)))


def _add_to_diagonals(blocks: np.ndarray, values: np.ndarray | float) -> None:
    diagonals = np.einsum("kii->ki", blocks)
    diagonals += values


def sum_blocks(
    model: SoftmaxLinear, X: np.ndarray, z: np.ndarray, weight: np.ndarray
) -> BlockHessian:
    """The Hessian of a block of rows with scores z and weights (b, 1) or (b, n_outputs)."""
    S = model.link.curvature(z)
    if model.link.coupled:
        return BlockHessian(_coupled_hessian(model, X, S * weight[:, :, None]))
    return BlockHessian(_separate_hessians(model, X, S * weight))


def _separate_hessians(model: SoftmaxLinear, X: np.ndarray, sS: np.ndarray) -> np.ndarray:
    p, d = model.beta.shape[1], model.n_features
    hessians = np.empty((sS.shape[1], p, p))
    root = np.empty(X.shape)
    for k in range(sS.shape[1]):
        scale = np.sqrt(sS[:, k])
        np.multiply(X, scale[:, None], out=root)
        hessians[k, :d, :d] = root.T @ root  # BLAS sees the symmetric product
        if model.fit_intercept:
            hessians[k, d, :d] = hessians[k, :d, d] = scale @ root
            hessians[k, d, d] = scale @ scale
    return hessians


def _coupled_hessian(model: SoftmaxLinear, X: np.ndarray, sS: np.ndarray) -> np.ndarray:
    outputs, p = model.beta.shape
    x = model.extended(X)
    hessian = np.empty((outputs, p, outputs, p))
    for a in range(outputs):
        # All blocks right of the diagonal in one product: x̃ᵀ [S_ab x̃ for b ≥ a].
        right = (sS[:, a, a:, None] * x[:, None, :]).reshape(len(X), -1)
        hessian[a, :, a:, :] = (x.T @ right).reshape(p, outputs - a, p)
        for b in range(a + 1, outputs):
            hessian[b, :, a, :] = hessian[a, :, b, :].T
    return hessian.reshape(1, outputs * p, outputs * p)


@dataclass(frozen=True, eq=False)
class BlockCurvature(Curvature):
    """H⁻¹, of the shape of H."""

    blocks: np.ndarray  # (1, m, m) or (n_outputs, p, p)

    def solve(self, vectors: np.ndarray) -> np.ndarray:
        return self._times(vectors, self.blocks)

    def _times(self, vectors: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        """Row vectors (..., n_outputs, p) times a matrix for each group of outputs."""
        flat = vectors.reshape(-1, *blocks.shape[:2])
        product = np.matmul(flat.transpose(1, 0, 2), blocks).transpose(1, 0, 2)
        return product.reshape(vectors.shape)

    def root(self) -> Root:
        parts = [range_root(block) for block in self.blocks]
        return Root(block_diag(*(A for A, _ in parts)), block_diag(*(W for _, W in parts)))

    def half_solve(self, noise: np.ndarray) -> np.ndarray:
        factors = np.stack([covariance_factor(block).T for block in self.blocks])
        return self._times(noise, factors)

    def score_jacobian(
        self, model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray
    ) -> np.ndarray:
        if model.link.coupled:
            return self._coupled_jacobian(model, X, sr, sS)
        d = model.n_features
        Z = np.empty((len(X), sr.shape[1], d))
        for k, block in enumerate(self.blocks):
            Q = model.affine(X, block)
            np.multiply(Q[:, :d], -sr[:, k, None], out=Z[:, k])
            Z[:, k] += (1.0 - sS[:, k] * model.along(X, Q))[:, None] * model.W[k]
        return Z

    def _coupled_jacobian(
        self, model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray
    ) -> np.ndarray:
        outputs, p = model.beta.shape
        d = model.n_features
        inverse = self.blocks.reshape(outputs, p, outputs, p)
        Z = np.empty((len(X), outputs, d))
        leverage = np.empty((len(X), outputs, outputs))
        for a in range(outputs):
            Q = model.affine(X, inverse[a].reshape(p, -1)).reshape(len(X), outputs, p)
            np.matmul(Q[:, :, :d], X[:, :, None], out=leverage[:, a, :, None])
            if model.fit_intercept:
                leverage[:, a] += Q[:, :, d]
            np.matmul(-sr[:, None, :], Q[:, :, :d], out=Z[:, a, None, :])
        Z += (np.eye(outputs) - np.matmul(leverage, sS)) @ model.W
        return Z

    def row_scorer(
        self, model: SoftmaxLinear, h: np.ndarray, root: np.ndarray | None
    ) -> RowScorer:
        if len(h) > 1:
            return super().row_scorer(model, h, root)

        def score(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
            return score_binary(model, X, y, weight, self.blocks[0], h[0], root)

        return RowScorer(score, 6 * h.shape[1] + 6)  # two temporaries as large as the block
