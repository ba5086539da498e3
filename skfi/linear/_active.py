"""FI of pairs of a training row and any other row, for softmax-linear models.

With ``G_i⁺ = F_iᵀF_i`` of training row i and u_j the gradient of row j's loss,

    FI(z_j, z_i) = ‖B_i u_j‖²,   B_i = -s_i F_i (∂_x∂_θL_i)ᵀ H⁻¹   ((K - 1)×m)

so that all pairs are one product of the stacked B with the u, and their mean over the
training rows is a quadratic form, ``u_jᵀ C u_j`` with ``C = Σ_i v_i B_iᵀB_i`` and Σ v_i = 1,
whose cost per row j knows nothing of n. The gradients have rank one, ``u_j = c_j ⊗ x̃_j``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn import get_config

from .._utils._chunks import block_rows, dense_rows, map_blocks, one_blas_thread, row_blocks
from ._geometry import fisher_mixing
from ._links import Sigmoid
from ._scores import own_jacobian
from ._softmax import SoftmaxLinear

if TYPE_CHECKING:
    from ._operators import Curvature

_MAX = np.finfo(np.float64).max
# Entries of B in a quadratic form: a row of probability 1e-300 must not make it infinite.
_LARGEST = 1e140
# Share of the working memory in which B may be kept.
_KEPT = 0.5
# Doubles of a block of products, before they are squared and summed.
_TILE_DOUBLES = 250_000


def gradients(X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """``u_j = c_j ⊗ x̃_j`` of a block (b, m), of rows that are extended already."""
    return (c[:, :, None] * X[:, None, :]).reshape(len(X), -1)


@dataclass(frozen=True)
class RowMetrics:
    """Metric tensors of a block of training rows, and the mixed derivative beside them.

    ``F_i (∂_x∂_θ s L_i)ᵀ`` has the class blocks ``P_ia x̃ᵀ + s r_a F̃_i``.
    """

    F: np.ndarray  # F_i (b, q, d) with q = K - 1
    N: np.ndarray  # F_i = N_i Z_i, Z_i the log-odds contrasts' derivatives (b, q, q)
    P: np.ndarray  # F_i (sSW)ᵀ (b, q, n_outputs)
    sr: np.ndarray  # (b, n_outputs)
    sS: np.ndarray


def row_metrics(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    curvature: Curvature,
    root: np.ndarray | None = None,
) -> RowMetrics:
    """`RowMetrics` of a block; ``root`` is that of `skfi.linear._scores.score_all`."""
    z, sr, sS, Z = own_jacobian(model, X, y, weight, curvature)
    if isinstance(model.link, Sigmoid):
        Z = -np.sqrt(0.5) * Z  # of scores (0, z)
    else:
        Z = model.link.contrasts(z, Z)
    F, N = fisher_mixing(Z if root is None else Z @ root, model.link.log_proba(z))
    if root is not None:
        F = F @ root.T
    if model.link.coupled:
        P = F @ (sS @ model.W).transpose(0, 2, 1)
    else:
        P = (F @ model.W.T) * sS[:, None, :]
    return RowMetrics(F, N, P, sr, sS)


class Responses(NamedTuple):
    """How training rows act on any other row."""

    B: np.ndarray  # (b, q, m)
    expected: np.ndarray  # expected FI of each row (b,)


def respond_rows(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    curvature: Curvature,
    root: np.ndarray | None = None,
) -> Responses:
    """B_i of a block, and each row's expected FI.

    The latter is ``tr(B_i H B_iᵀ)``, the mean of FI(z_j, z_i) over rows j whose gradients
    scatter as H has it. It is the same in all coordinates of the parameters, as ‖B_i‖ is not.
    """
    metrics = row_metrics(model, X, y, weight, curvature, root)
    F = metrics.F
    b, q, d = F.shape
    T = metrics.P[:, :, :, None] * model.extended(X)[:, None, None, :]
    T[..., :d] += F[:, :, None, :] * metrics.sr[:, None, :, None]
    np.negative(T, out=T)
    B = curvature.solve(T)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.einsum("bqap,bqap->b", T, B)
    return Responses(B.reshape(b, q, -1), np.nan_to_num(np.maximum(expected, 0.0)))


@dataclass
class LinearPairs:
    """All training rows of a model, ready to be paired."""

    model: SoftmaxLinear
    X: np.ndarray  # training rows of positive weight
    y: np.ndarray
    weight: np.ndarray  # of what moves: one copy
    curvature: Curvature
    root: np.ndarray | None = None
    chunk: int | None = None

    @property
    def n_rows(self) -> int:
        return self.X.shape[0]

    def _block(self) -> int:
        outputs, p = self.model.beta.shape
        return self.chunk or block_rows(4 * (self.model.link.n_classes - 1) * outputs * p)

    def _respond(self, rows: slice) -> Responses:
        X = dense_rows(self.X, rows)
        return respond_rows(
            self.model, X, self.y[rows], self.weight[rows], self.curvature, self.root
        )

    @cached_property
    def expected(self) -> np.ndarray:
        """Expected FI of each training row (n,), see `respond_rows`."""
        blocks = map_blocks(
            lambda rows: self._respond(rows).expected, self.n_rows, self._block()
        )
        return np.concatenate(list(blocks))

    def stacked(self, share: np.ndarray) -> np.ndarray:
        """``√share_i B_i``, stacked and transposed (m, n (K - 1)): a root of `quadratic`."""

        def part(rows: slice) -> np.ndarray:
            B, _ = self._respond(rows)
            B *= np.sqrt(share[rows])[:, None, None]
            return np.clip(B, -_LARGEST, _LARGEST).reshape(-1, B.shape[2])

        return np.concatenate(list(map_blocks(part, self.n_rows, self._block()))).T

    def quadratic(self, share: np.ndarray) -> np.ndarray:
        """``C = Σ_i share_i B_iᵀB_i`` (m, m)."""
        size = self._block()
        q, m = self.model.link.n_classes - 1, self.model.beta.size

        def part(rows: slice) -> np.ndarray:
            C = np.zeros((m, m))
            for inner in row_blocks(rows.stop - rows.start, size):
                at = slice(rows.start + inner.start, rows.start + inner.stop)
                if share[at].any():
                    B, _ = self._respond(at)
                    B *= np.sqrt(share[at])[:, None, None]
                    B = np.clip(B, -_LARGEST, _LARGEST, out=B).reshape(-1, m)
                    C += B.T @ B
            return C

        # Every part is a matrix of m×m, so few and large blocks.
        rows = max(size, min(self.n_rows, -(-2 * m // q)))
        C = np.zeros((m, m))
        for block in map_blocks(part, self.n_rows, rows):
            C += block
        return C

    def keep(self) -> LinearPairs:
        """Sum up what is kept now, not in one of several threads that each would."""
        with one_blas_thread():
            _ = self._kept
        return self

    def other_rows(self) -> int:
        """How many rows `pairs` takes at a time at best."""
        return block_rows(self.model.beta.size + 3 * self.n_rows)

    def pairs(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        """FI(z_j, z_i) (b, n) of a block of other rows, extended, with their c."""
        u: np.ndarray = gradients(X, c)
        out = np.empty((len(X), self.n_rows))
        q = self.model.link.n_classes - 1
        size = max(1, _TILE_DOUBLES // (len(X) * q))
        for at, B in self._responses():
            for tile in row_blocks(len(B), size):
                with np.errstate(over="ignore"):
                    squares = u @ B[tile].reshape(-1, B.shape[2]).T
                    squares *= squares
                    fi = squares if q == 1 else squares.reshape(len(X), -1, q).sum(axis=2)
                rows = slice(at.start + tile.start, at.start + tile.stop)
                np.minimum(fi, _MAX, out=out[:, rows])
        return out

    def _responses(self) -> Iterator[tuple[slice, np.ndarray]]:
        if self._kept is not None:
            yield slice(0, self.n_rows), self._kept
            return
        for rows in row_blocks(self.n_rows, self._block()):
            yield rows, self._stacked(rows)

    def _stacked(self, rows: slice) -> np.ndarray:
        with np.errstate(over="ignore"):
            return self._respond(rows).B

    @cached_property
    def _kept(self) -> np.ndarray | None:
        """The stacked B, where they fit."""
        numbers = self.n_rows * (self.model.link.n_classes - 1) * self.model.beta.size
        if 8 * numbers > _KEPT * get_config()["working_memory"] * 2**20:
            return None
        return np.concatenate(list(map_blocks(self._stacked, self.n_rows, self._block())))
