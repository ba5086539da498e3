"""FI of pairs for K-FAC with fewer columns than contrasts: a pair's d components at once.

The response of row j to row i (see `_active_kronecker`) is then short when it is written in
the columns,

    -B_i u_j = κ P_iO c_j + ρ F_i a_j,   F_i (d×d),   P_i = F_i Wᵀ S_i,

which takes d(K + d) multiplications a pair, and no matrix of K×K a row: F_i comes from the
derivatives of all classes, and ``S v = p ∘ (v - pᵀv)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._utils._chunks import block_rows, dense_rows
from ._active import _MAX
from ._active_kronecker import KroneckerPairs, TrainFeatures
from ._geometry import factor_few_columns
from ._kronecker_rows import kronecker_rows
from ._links import Softmax, curve

# Doubles of a tile's components, which should stay in the cache of one core; its other rows.
_TILE, _OTHERS = 128_000, 128


class _Other(NamedTuple):
    """Features of the rows looked at."""

    kappa: np.ndarray  # I x̃
    rho: np.ndarray  # O c
    c: np.ndarray


@dataclass(frozen=True)
class _Components(TrainFeatures):
    """Both parts of the components, and what κ and ρ are products with."""

    sr: np.ndarray
    PO: np.ndarray  # (b, rank, n_outputs)
    F: np.ndarray  # (b, rank, d)

    def fill(self, j: Any, out: np.ndarray) -> None:
        rank, d = self.F.shape[1:]
        with np.errstate(over="ignore", invalid="ignore"):
            parts = (j.c @ self.PO.reshape(-1, self.PO.shape[2]).T).reshape(*out.shape, rank)
            parts *= (j.kappa @ self.x.T)[:, :, None]
            rest = (j.kappa[:, :d] @ self.F.reshape(-1, d).T).reshape(parts.shape)
            rest *= (j.rho @ self.sr.T)[:, :, None]
            parts += rest
            np.minimum(np.einsum("bnr,bnr->bn", parts, parts), _MAX, out=out)


@dataclass
class FewColumnPairs(KroneckerPairs):
    """`KroneckerPairs` of fewer columns than contrasts."""

    _digits_left = True  # nothing is squared out

    @property
    def _tile(self) -> tuple[int, int]:
        return max(1, _TILE // (_OTHERS * self.model.n_features)), _OTHERS

    @property
    def _doubles_kept(self) -> int:
        outputs, p = self.model.beta.shape
        return (p + 1) * (outputs + p)

    def _block(self) -> int:
        K, d = self.model.link.n_classes, self.model.n_features
        return self.chunk or block_rows(8 * K * (d + 1))

    def _other(self, X: np.ndarray, c: np.ndarray) -> _Other:
        return _Other(X @ self.curvature.inputs, c @ self.curvature.outputs, c)

    def _train(self, rows: slice) -> _Components:
        model, outputs, root = self.model, self.curvature.outputs, self.root
        link, d = model.link, model.n_features
        assert isinstance(link, Softmax)
        block = dense_rows(self.X, rows)
        T = self.curvature.lifted(model, block)
        t, W = (T[:, :d], model.W) if root is None else (T[:, :d] @ root, model.W @ root)
        scorer = kronecker_rows(link, outputs, W, np.zeros_like(W))
        z, leverage = model.scores(block), model.along(block, T)
        terms = scorer.terms(z, self.y[rows], self.weight[rows], leverage, np.zeros_like(z), t)
        F = factor_few_columns(scorer.jacobian(terms, of_classes=True), terms.log_p)
        if root is not None:
            F = F @ root.T
        b, rank = F.shape[:2]
        P = (F @ (link.basis @ model.W).T).reshape(b * rank, -1)
        P = curve(np.repeat(terms.p, rank, axis=0), np.repeat(terms.top, rank), P)
        PO = (P @ link.basis @ outputs).reshape(b, rank, -1)
        PO *= self.weight[rows, None, None]
        return _Components(model.extended(block), terms.sr @ link.basis, PO, F)
