"""FI of all pairs where H⁻¹ is one Kronecker product: a few kernel matrices of n×U.

With ``H⁻¹ = O ⊗ I`` the response of row j to row i needs of their features only

    κ = x̃_iᵀ I x̃_j,   η = t_i·a_j  (t, a: I x̃ without the intercept),   ρ = s r_iᵀ O c_j

    -B_i u_j = κ P_iO c_j + ρ (N_iC_i w_j + η N_iq_i),   w_j = W a_j,
               F_i = N_i (C_i W + q_i t_iᵀ),  C_i = E(1 - ℓ_i O sS_i),  q_i = -E O s r_i

(E takes the log-odds contrasts, ℓ_i = x̃_iᵀ I x̃_i). Squared out, the K - 1 components go:

    FI = κ² cᵀαc + κρ (cᵀβw + η cᵀγ) + ρ² (wᵀδw + η wᵀε + η² φ)

with ``α = (PO)ᵀPO``, ``β = 2(PO)ᵀNC``, ``γ = 2(PO)ᵀNq``, ``δ = (NC)ᵀNC``, ``ε = 2(NC)ᵀNq``,
``φ = ‖Nq‖²`` of each training row. Each form is a matrix product of features of both rows, the
symmetric ones over K(K + 1)/2 of them, and the rest a dozen passes over n×U numbers, tile by
tile in the processor's cache.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import get_config

from .._utils._chunks import block_rows, dense_rows, map_blocks, one_blas_thread, row_blocks
from ._active import _KEPT, _MAX, LinearPairs, row_metrics
from ._links import Softmax

if TYPE_CHECKING:
    from ._kronecker import KroneckerCurvature

# A tile's eight n×U temporaries should stay in the cache of one core.
_TILE = 256, 64  # training rows, other rows
_PROBE = 16  # training rows whose pairs are checked


@dataclass(frozen=True)
class TrainFeatures(ABC):
    """Features of training rows; one row each."""

    x: np.ndarray  # what κ is a product with

    def take(self, rows: slice) -> TrainFeatures:
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @abstractmethod
    def fill(self, j: Any, out: np.ndarray) -> None:
        """FI of pairs (other rows, training rows) into ``out``."""


@dataclass(frozen=True)
class SquaredTrain(TrainFeatures):
    """Forms of c and w, and what κ, η and ρ are products with."""

    t: np.ndarray
    sr: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    delta: np.ndarray
    epsilon: np.ndarray
    phi: np.ndarray

    def fill(self, j: Any, out: np.ndarray) -> None:
        i = self
        with np.errstate(over="ignore", invalid="ignore"):
            kappa, eta, rho = j.kappa @ i.x.T, j.eta @ i.t.T, j.rho @ i.sr.T
            total, mixed = j.ww @ i.delta.T, j.cw @ i.beta.T
            linear = j.w @ i.epsilon.T
            part = eta * i.phi
            linear += part
            linear *= eta
            total += linear
            total *= rho
            np.matmul(j.c, i.gamma.T, out=linear)
            linear *= eta
            mixed += linear
            mixed *= kappa
            total += mixed
            total *= rho
            np.matmul(j.cc, i.alpha.T, out=part)
            kappa *= kappa
            part *= kappa
            total += part
            # The form is a square; rounding may leave a small one below zero.
            np.clip(total, 0.0, _MAX, out=out)


@dataclass(frozen=True)
class _Other:
    """Features of the rows looked at."""

    kappa: np.ndarray  # I x̃
    eta: np.ndarray  # a
    rho: np.ndarray  # O c
    cc: np.ndarray
    cw: np.ndarray
    c: np.ndarray
    ww: np.ndarray
    w: np.ndarray


@dataclass
class KroneckerPairs(LinearPairs):
    """`LinearPairs` of a softmax for K-FAC, in O(d + K²) a pair."""

    curvature: KroneckerCurvature

    @property
    def _tile(self) -> tuple[int, int]:
        """Training rows and other rows of a tile."""
        return _TILE

    def pairs(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        """FI(z_j, z_i) (b, n) of a block of other rows, extended, with their c."""
        if not self._digits_left:
            return super().pairs(X, c)
        return self._by_features(X, c)

    @cached_property
    def _digits_left(self) -> bool:
        """Whether a sample of pairs agrees with the form that does not cancel.

        Squared out, terms grow with the squared condition of the Z_i: contrasts that are all
        but dependent (columns of very different scales) leave rounding only.
        """
        rows = np.linspace(0, self.n_rows - 1, min(self.n_rows, _PROBE)).astype(int)
        data = self.X[rows], self.y[rows], self.weight[rows]
        few = KroneckerPairs(self.model, *data, self.curvature, self.root)
        block = dense_rows(few.X, slice(None))
        c = self.model.link.residual(self.model.scores(block), few.y)
        x = self.model.extended(block)
        short, exact = few._by_features(x, c), LinearPairs.pairs(few, x, c)
        return bool((np.abs(short - exact).sum(0) <= 1e-6 * exact.sum(0)).all())

    def _by_features(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        other = self._other(X, c)
        out = np.empty((len(c), self.n_rows))
        for rows, train in self._features():
            for at in row_blocks(len(train.x), self._tile[0]):
                tile = train.take(at)
                columns = slice(rows.start + at.start, rows.start + at.stop)
                tile.fill(other, out[:, columns])
        return out

    def keep(self) -> KroneckerPairs:
        """Sum up what is kept now, not in one of several threads that each would."""
        with one_blas_thread():
            _ = self._kept_features if self._digits_left else self._kept
        return self

    def other_rows(self) -> int:
        """How many rows `pairs` takes at a time at best."""
        most, least = self._tile
        rows = max(least, most * least // max(1, min(self.n_rows, most)))
        outputs, p = self.model.beta.shape
        return min(rows, block_rows(2 * p + 2 * outputs**2 + 3 * self.n_rows))

    def _other(self, X: np.ndarray, c: np.ndarray) -> Any:
        d, W = self.model.n_features, self.model.W
        kappa = X @ self.curvature.inputs
        eta = kappa[:, :d]
        if self.root is not None:
            eta = (eta @ self.root) @ self.root.T
        w = eta @ W.T
        features = (
            kappa,
            eta,
            c @ self.curvature.outputs,
            _symmetric(c),
            (c[:, :, None] * w[:, None, :]).reshape(len(c), -1),
            c,
            _symmetric(w),
            w,
        )
        return _Other(*(np.ascontiguousarray(f) for f in features))

    def _train(self, rows: slice) -> TrainFeatures:
        model, outputs, inputs = self.model, self.curvature.outputs, self.curvature.inputs
        assert isinstance(model.link, Softmax)
        block = dense_rows(self.X, rows)
        metrics = row_metrics(
            model, block, self.y[rows], self.weight[rows], self.curvature, self.root
        )
        x = model.extended(block)
        t = x @ inputs
        leverage = np.einsum("bp,bp->b", t, x)
        C = np.eye(len(outputs)) - leverage[:, None, None] * (outputs @ metrics.sS)
        NE = metrics.N if model.link.reduced else metrics.N @ model.link.helmert.T
        Z, Y = metrics.P @ outputs, NE @ C
        nu = -np.einsum("bqa,ba->bq", NE, metrics.sr @ outputs)
        with np.errstate(over="ignore", invalid="ignore"):
            features = (
                x,
                t[:, : model.n_features],
                metrics.sr,
                _symmetric_form(np.matmul(Z.transpose(0, 2, 1), Z)),
                2.0 * np.matmul(Z.transpose(0, 2, 1), Y).reshape(len(x), -1),
                2.0 * np.einsum("bqa,bq->ba", Z, nu),
                _symmetric_form(np.matmul(Y.transpose(0, 2, 1), Y)),
                2.0 * np.einsum("bqa,bq->ba", Y, nu),
                np.einsum("bq,bq->b", nu, nu),
            )
            return SquaredTrain(*(np.ascontiguousarray(f) for f in features))

    @property
    def _doubles_kept(self) -> int:
        """Numbers in the features of a training row."""
        outputs, p = self.model.beta.shape
        return 2 * p + outputs * (2 * outputs + 4)

    def _features(self) -> Iterator[tuple[slice, TrainFeatures]]:
        if self._kept_features is not None:
            yield slice(0, self.n_rows), self._kept_features
            return
        for rows in row_blocks(self.n_rows, self._block()):
            yield rows, self._train(rows)

    @cached_property
    def _kept_features(self) -> TrainFeatures | None:
        numbers = self.n_rows * self._doubles_kept
        if 8 * numbers > _KEPT * get_config()["working_memory"] * 2**20:
            return None
        parts = list(map_blocks(self._train, self.n_rows, self._block()))
        kind = type(parts[0])
        names = kind.__dataclass_fields__
        return kind(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _symmetric(v: np.ndarray) -> np.ndarray:
    """Products v_a v_b for a ≤ b (b, K(K + 1)/2)."""
    first, second = np.triu_indices(v.shape[1])
    return v[:, first] * v[:, second]


def _symmetric_form(M: np.ndarray) -> np.ndarray:
    """What goes with `_symmetric`: the diagonal once, all else twice."""
    first, second = np.triu_indices(M.shape[1])
    return M[:, first, second] * np.where(first == second, 1.0, 2.0)
