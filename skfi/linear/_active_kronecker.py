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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from sklearn import get_config

from .._utils._chunks import block_rows, dense_rows, map_blocks, one_blas_thread, row_blocks
from ._active import _KEPT, _MAX, _TILE_DOUBLES, LinearPairs, row_metrics
from ._links import Softmax

if TYPE_CHECKING:
    from ._kronecker import KroneckerCurvature

# A tile's eight n×U temporaries should stay in the cache of one core.
_TILE = 256, 64  # training rows, other rows
_PROBE = 16  # training rows whose pairs are checked


@dataclass(frozen=True)
class _Train:
    """Features of training rows; one row each."""

    x: np.ndarray  # x̃
    t: np.ndarray
    sr: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    gamma: np.ndarray
    delta: np.ndarray
    epsilon: np.ndarray
    phi: np.ndarray

    def take(self, rows: slice) -> _Train:
        return _Train(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Columns:
    """What `KroneckerPairs` needs of training rows of few columns."""

    x: np.ndarray  # x̃
    p: np.ndarray  # of all classes (n, K)
    mean_W: np.ndarray  # Wᵀp (n, d)
    sr: np.ndarray
    s: np.ndarray  # weights (n,)
    R: np.ndarray  # of F_i = Q_i R_i (n, d, d)

    def take(self, rows: slice) -> _Columns:
        return _Columns(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


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

    def pairs(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        """FI(z_j, z_i) (b, n) of a block of other rows, extended, with their c."""
        if self._few_columns:
            return self._by_columns(X, c)
        if not self._digits_left:
            return super().pairs(X, c)
        return self._squared_out(X, c)

    @property
    def _few_columns(self) -> bool:
        """Whether g itself is cheaper than the forms: K d and d² multiplications a pair."""
        return 2 * self.model.n_features <= self.model.link.n_classes

    def _by_columns(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        """``‖R_i g_ij‖²`` with R_iᵀR_i = G_i⁺.

        ``g_ij = -s_i (κ (S_iW)ᵀ O c_j + ρ a_j)`` has as many entries as there are columns.
        """
        model, link, d = self.model, self.model.link, self.model.n_features
        assert isinstance(link, Softmax)
        kappa = X @ self.curvature.inputs
        Oc = c @ self.curvature.outputs
        classes, W = Oc @ link.basis.T, link.basis @ model.W
        out = np.empty((len(X), self.n_rows))
        for rows, train in self._columns():
            # (S W)ᵀ v = Σ_k p_k (v_k - pᵀv) W_k
            towards = classes[:, :, None] * W
            for at in row_blocks(len(X), max(1, _TILE_DOUBLES // (len(train.p) * d))):
                mean = classes[at] @ train.p.T
                g = np.matmul(train.p, towards[at])
                g -= mean[:, :, None] * train.mean_W
                g *= (train.s * (kappa[at] @ train.x.T))[:, :, None]
                g += (Oc[at] @ train.sr.T)[:, :, None] * kappa[at, None, :d]
                moved = np.matmul(g.transpose(1, 0, 2), train.R.transpose(0, 2, 1))
                with np.errstate(over="ignore"):
                    fi = np.einsum("nbd,nbd->bn", moved, moved)
                np.minimum(fi, _MAX, out=out[at, rows])
        return out

    def _columns(self) -> Iterator[tuple[slice, _Columns]]:
        for rows in row_blocks(self.n_rows, self._block()):
            yield rows, self._kept_columns.take(rows)

    @cached_property
    def _kept_columns(self) -> _Columns:
        parts = list(map_blocks(self._train_columns, self.n_rows, self._block()))
        names = _Columns.__dataclass_fields__
        return _Columns(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def _train_columns(self, rows: slice) -> _Columns:
        model, X, weight = self.model, dense_rows(self.X, rows), self.weight[rows]
        assert isinstance(model.link, Softmax)
        metrics = row_metrics(model, X, self.y[rows], weight, self.curvature, self.root)
        p = np.exp(model.link.log_proba(model.scores(X)))
        R = np.asarray(np.linalg.qr(metrics.F, mode="r"))
        mean_W = p @ (model.link.basis @ model.W)
        return _Columns(model.extended(X), p, mean_W, metrics.sr, weight.ravel(), R)

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
        short, exact = few._squared_out(x, c), LinearPairs.pairs(few, x, c)
        return bool((np.abs(short - exact).sum(0) <= 1e-6 * exact.sum(0)).all())

    def _squared_out(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        other = self._other(X, c)
        out = np.empty((len(X), self.n_rows))
        for rows, train in self._features():
            for at in row_blocks(len(train.x), _TILE[0]):
                tile = train.take(at)
                columns = slice(rows.start + at.start, rows.start + at.stop)
                _tile(tile, other, out[:, columns])
        return out

    def keep(self) -> KroneckerPairs:
        """Sum up what is kept now, not in one of several threads that each would."""
        with one_blas_thread():
            if self._few_columns:
                _ = self._kept_columns
            else:
                _ = self._kept_features if self._digits_left else self._kept
        return self

    def other_rows(self) -> int:
        """How many rows `pairs` takes at a time at best."""
        rows = max(_TILE[1], _TILE[0] * _TILE[1] // max(1, min(self.n_rows, _TILE[0])))
        outputs, p = self.model.beta.shape
        return min(rows, block_rows(2 * p + 2 * outputs**2 + 3 * self.n_rows))

    def _other(self, X: np.ndarray, c: np.ndarray) -> _Other:
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

    def _train(self, rows: slice) -> _Train:
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
            return _Train(*(np.ascontiguousarray(f) for f in features))

    def _features(self) -> Iterator[tuple[slice, _Train]]:
        if self._kept_features is not None:
            yield slice(0, self.n_rows), self._kept_features
            return
        for rows in row_blocks(self.n_rows, self._block()):
            yield rows, self._train(rows)

    @cached_property
    def _kept_features(self) -> _Train | None:
        outputs, p = self.model.beta.shape
        numbers = self.n_rows * (2 * p + outputs * (2 * outputs + 4))
        if 8 * numbers > _KEPT * get_config()["working_memory"] * 2**20:
            return None
        parts = list(map_blocks(self._train, self.n_rows, self._block()))
        names = _Train.__dataclass_fields__
        return _Train(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def _symmetric(v: np.ndarray) -> np.ndarray:
    """Products v_a v_b for a ≤ b (b, K(K + 1)/2)."""
    first, second = np.triu_indices(v.shape[1])
    return v[:, first] * v[:, second]


def _symmetric_form(M: np.ndarray) -> np.ndarray:
    """What goes with `_symmetric`: the diagonal once, all else twice."""
    first, second = np.triu_indices(M.shape[1])
    return M[:, first, second] * np.where(first == second, 1.0, 2.0)


def _tile(i: _Train, j: _Other, out: np.ndarray) -> None:
    """FI of a tile of pairs (other rows, training rows) into ``out``."""
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
