"""FI of an objective's own rows, where its curvature is inverted by rows (`_by_rows`).

With ℓ_i the product of ``M⁻¹x̃_i`` with x̃_i, a row of weight m moves its own scores by

    Z_i = (I - m ℓ_i O S_i) W - (m O r_i) τ_iᵀ,   and   g_i = -m ((S_i η_i)ᵀ W + r_iᵀ h_x).

All of it lies in the span of W, h_x and τ_i. An orthonormal basis of the first two, and one
more number for what of τ_i is beyond them, keep lengths and angles: rows have as many
coordinates as there are outputs, twice, instead of one a column, and nothing is a difference of
squares. P̃ has what is needed of τ_i, with QQᵀ = λ(B - I):

    X τ_i = diag(1/q) (I - q eᵀ/σ - P̃)_i / q_i,
    ‖τ_i‖² = (P̃_ii - μ e_i²/σ² - ‖P̃_i‖²) / (λ q_i²).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._utils._chunks import block_rows, map_blocks, row_blocks
from ._covariance import Whitening
from ._kronecker_rows import kronecker_rows
from ._links import Softmax
from ._scores import fi_of_scores
from ._softmax import float_rows

if TYPE_CHECKING:
    from ._by_rows import RowCurvature

# Where P̃ would lose more digits to cancellation, τ is written out: rows whose own entry of
# B - I is smaller, or ‖τ‖² beside its first term, or what of it is beyond W and h.
_LITTLE = 1e-2


class _Tau(NamedTuple):
    """τ of some rows in the basis, from P̃ alone."""

    inside: np.ndarray  # coordinates (b, rank)
    beyond: np.ndarray  # length beyond the basis (b,)
    sure: np.ndarray  # where both have their digits (b,) bool


class _Coordinates(NamedTuple):
    """What is needed of some rows."""

    inside: np.ndarray  # coordinates of τ (b, rank)
    beyond: np.ndarray  # its length beyond the basis (b,)
    taken: np.ndarray  # q² x̃ᵀM⁻¹x̃ (b,)
    free: np.ndarray  # 1 - taken, with its own digits


def score_own_rows(
    curvature: RowCurvature, weight: np.ndarray, h: np.ndarray, whitening: Whitening | None
) -> np.ndarray:
    """FI of each row that counts (n,), where ``weight`` of it moves."""
    model, rows = curvature.hessian.model, curvature.hessian.rows
    eta = model.affine(rows.X, h.T)
    directions = np.concatenate([model.W, h[:, : model.n_features]]).T
    basis: _Basis
    if whitening is None:
        basis = _EuclideanBasis(curvature, directions)
    else:
        basis = _WhiteBasis(curvature, directions, whitening)
    by_outputs = _by_classes if model.link.coupled else _by_separate_outputs
    return by_outputs(curvature, weight, eta, basis)


def _by_classes(
    curvature: RowCurvature, weight: np.ndarray, eta: np.ndarray, basis: _Basis
) -> np.ndarray:
    """FI of rows of a softmax."""
    model, rows = curvature.hessian.model, curvature.hessian.rows
    assert isinstance(model.link, Softmax)
    zeros = np.zeros((len(basis.W), 1))
    W, h = (np.concatenate([M, zeros], axis=1) for M in (basis.W, basis.h))
    scorer = kronecker_rows(model.link, curvature.outputs, W, h)

    def part(at: slice) -> np.ndarray:
        inside, beyond, taken, _ = basis.coordinates(at)
        data = rows.z[at], rows.y[at], weight[at], taken / rows.weight[at]
        t = np.concatenate([inside, beyond[:, None]], axis=1)
        return scorer.score(*data, eta[at], t)

    size = block_rows(basis.doubles_per_row + scorer.doubles_per_row)
    return np.concatenate(list(map_blocks(part, len(weight), size)))


def _by_separate_outputs(
    curvature: RowCurvature, weight: np.ndarray, eta: np.ndarray, basis: _Basis
) -> np.ndarray:
    """FI of rows whose outputs do not mix."""
    hessian, outputs = curvature.hessian, curvature.outputs
    model, rows = hessian.model, hessian.rows
    n_outputs, rank = basis.W.shape

    def part(at: slice) -> np.ndarray:
        inside, beyond, taken, free = basis.coordinates(at)
        z, m = rows.z[at], weight[at]
        S, mr, share = model.link.curvature(z), m[:, None] * rows.r[at], m / rows.weight[at]
        if hessian.kronecker:
            mixing = -(share * taken)[:, None, None] * (outputs * S[:, None, :])
            mixing += np.eye(n_outputs)
        else:  # one output, whose S is in q²
            mixing = ((1.0 - share) + share * free)[:, None, None]
        pull = mr @ outputs
        Z = np.empty((len(m), n_outputs, rank + 1))
        np.matmul(mixing, basis.W, out=Z[:, :, :rank])
        Z[:, :, :rank] -= pull[:, :, None] * inside[:, None, :]
        Z[:, :, rank] = -pull * beyond[:, None]
        g = np.zeros((len(m), rank + 1))
        g[:, :rank] = -(m[:, None] * S * eta[at]) @ basis.W - mr @ basis.h
        return fi_of_scores(model, g, Z, z)

    size = block_rows(basis.doubles_per_row + 6 * n_outputs * (n_outputs + rank))
    return np.concatenate(list(map_blocks(part, len(weight), size)))


class _Basis(ABC):
    """An orthonormal basis of W and h, lengths as the metric has them."""

    def __init__(self, curvature: RowCurvature, directions: np.ndarray) -> None:
        self.curvature = curvature
        self.basis, triangle = np.linalg.qr(directions)
        self.W, self.h = np.split(triangle.T, 2)  # (q, rank) each

    @property
    def doubles_per_row(self) -> int:
        """Of temporaries in `coordinates`."""
        return 3 * len(self.curvature.own)

    def split(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of columns t (b, rank), and the length of the rest of them (b,).

        Where they are shorter than the basis, they end in zeros.
        """
        inside = self.basis[: len(t)].T @ t
        rest = self.basis @ inside
        rest[: len(t)] -= t
        return inside.T, np.sqrt(np.einsum("db,db->b", rest, rest))

    def coordinates(self, rows: slice) -> _Coordinates:
        """What is needed of some rows, with τ written out where P̃ has not its digits."""
        curvature, q = self.curvature, self.curvature.hessian.q
        inside, beyond, sure = self.from_P(rows)
        free = curvature.P.diagonal()[rows].copy()
        taken = 1.0 - free
        unsure = np.flatnonzero(~sure | (curvature.own[rows] < _LITTLE))
        n_columns = curvature.hessian.rows.transposed.shape[0]
        of_tau = 2 * (n_columns + len(self.basis)) + len(q)
        for some in row_blocks(len(unsure), block_rows(of_tau)):
            which = unsure[some]
            at = rows.start + which
            tau = curvature.tau(at)
            inside[which], beyond[which] = self.split(self.measured(tau))
            taken[which] = curvature.hessian.mass[at] * curvature.leverage(at, tau)
        return _Coordinates(inside, beyond, taken, free)

    @abstractmethod
    def measured(self, tau: np.ndarray) -> np.ndarray:
        """What has, in plain coordinates, the lengths of the metric; from τ (columns, b)."""

    @abstractmethod
    def from_P(self, rows: slice) -> _Tau:
        """τ of some rows without writing it out."""


class _EuclideanBasis(_Basis):
    def __init__(self, curvature: RowCurvature, directions: np.ndarray) -> None:
        columns = curvature.hessian.rows.columns
        kept = directions[columns]
        if len(kept) < len(directions):  # τ is zero there, and angles are all that counts
            empty = np.delete(directions, columns, axis=0)
            kept = np.concatenate([kept, np.linalg.qr(empty, mode="r")])
        super().__init__(curvature, kept)
        transposed = curvature.hessian.rows.transposed
        self.projected = transposed.T @ self.basis[: transposed.shape[0]]
        self.projected *= curvature.hessian.q[:, None]

    def measured(self, tau: np.ndarray) -> np.ndarray:
        return tau

    def from_P(self, rows: slice) -> _Tau:
        curvature, q, P = self.curvature, self.curvature.hessian.q, self.curvature.P[rows]
        scale = q[rows] * curvature.penalty
        inside = P @ self.projected / scale[:, None]
        own = curvature.P.diagonal()[rows]
        length = own - np.einsum("bn,bn->b", P, P)
        length -= curvature.penalty_of_intercept * (curvature.e[rows] / curvature.sigma) ** 2
        sure = length > _LITTLE * own
        length /= scale * q[rows]
        rest = length - np.einsum("br,br->b", inside, inside)
        sure &= rest > _LITTLE * length
        return _Tau(inside, np.sqrt(np.maximum(rest, 0.0)), sure)


class _WhiteBasis(_Basis):
    """In the covariance of weighted rows."""

    def __init__(
        self, curvature: RowCurvature, directions: np.ndarray, whitening: Whitening
    ) -> None:
        rows, weight = curvature.hessian.rows, whitening.weight
        # A class of weight 0 has rows that the objective does not know.
        self.known = np.array_equal(np.flatnonzero(weight > 0), rows.present)
        weight = weight[rows.present] if self.known else weight
        self.X = rows.X if self.known else float_rows(whitening.X)
        self.share = weight / weight.sum()
        super().__init__(curvature, self._centred(self.X @ directions))

    @property
    def doubles_per_row(self) -> int:
        return 6 * len(self.share)

    def _centred(self, products: np.ndarray) -> np.ndarray:
        products -= self.share @ products
        products *= np.sqrt(self.share)[:, None]
        return products

    def measured(self, tau: np.ndarray) -> np.ndarray:
        return self._centred(self.X[:, self.curvature.hessian.rows.columns] @ tau)

    def from_P(self, rows: slice) -> _Tau:
        q, size = self.curvature.hessian.q, rows.stop - rows.start
        if not self.known:
            nothing = np.zeros((size, len(self.W[0])))
            return _Tau(nothing, np.zeros(size), np.zeros(size, dtype=bool))
        products = -self.curvature.P[:, rows]
        products[np.arange(rows.start, rows.stop), np.arange(size)] += 1.0
        products /= q[:, None]
        products /= q[rows]
        return _Tau(*self.split(self._centred(products)), np.ones(size, dtype=bool))
