"""Wide data of several classes: K-FAC whose inputs' factor is inverted by rows.

In the notation of `_wide`, K-FAC's ``H⁻¹ = O ⊗ M⁻¹`` has, with s the rows' weights and w
their sum,

    M = Σ s x̃x̃ᵀ + w π √(λ/w),   O = (S̄ + √(λ/w)/π)⁻¹

(`_kronecker`), so that M is `RowInverse` with q² = s. With τ_i the x-part of ``M⁻¹x̃_i`` and ℓ_i
its product with x̃_i, a row of weight m moves its own scores by

    Z_i = (I - m ℓ_i O S_i) W - (m O r_i) τ_iᵀ,   and   g_i = -m ((S_i η_i)ᵀ W + r_iᵀ h_x).

(`_kronecker_rows`). All of it lies in the span of W, h_x and τ_i. An orthonormal basis of the
first two, and one more number for what of τ_i is beyond them, keep lengths and angles: rows
have as many coordinates as there are classes, twice, instead of one a column, and nothing is a
difference of squares. What there is to know of τ_i stands in P̃ already, with QQᵀ = λ(B - I):

    X τ_i = diag(1/q) (I - q eᵀ/σ - P̃)_i / q_i,
    ‖τ_i‖² = (P̃_ii - μ e_i²/σ² - ‖P̃_i‖²) / (λ s_i).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._utils._chunks import block_rows, map_blocks, row_blocks
from ._curvature import inverse_on_range
from ._geometry import fi_binary, fi_multiclass
from ._kronecker import balance
from ._kronecker_rows import KroneckerRows
from ._links import Softmax
from ._wide import RowInverse, float_rows

# Where P̃ would lose more digits to cancellation, τ is written out: rows whose own entry of
# B - I is smaller, or ‖τ‖² beside its first term, or what of it is beyond W and h.
_LITTLE = 1e-2


@dataclass
class RowKronecker(RowInverse):
    """K-FAC's factors over the training rows, that of the inputs inverted by rows."""

    mean_S: np.ndarray = field(init=False, repr=False)  # S̄ (q, q), with its penalty if inverted
    outputs: np.ndarray = field(init=False, repr=False)  # O (q, q)

    def __post_init__(self) -> None:
        if self.weight.ndim == 2 and self.weight.shape[1] > 1:
            raise ValueError(
                'curvature="kfac" needs one weight a row, and these class weights differ from '
                'output to output. Use curvature="exact".'
            )
        super().__post_init__()
        self.q = np.sqrt(self.weight)
        self.total = float(self.weight.sum())
        link = self.model.link
        if isinstance(link, Softmax):
            S = link.basis.T @ link.curvature_sum(self.z, self.weight) @ link.basis
        else:  # outputs do not mix
            S = np.diag(self.weight @ self.S)
        self.mean_S = S / self.total

    def trace(self) -> float:
        """Of ``w S̄ ⊗ Ā``, without the penalty."""
        return float(np.trace(self.mean_S)) * self._trace()

    def invert(self, damping: float = 0.0) -> None:
        """O and P̃, with ``damping``, in units of the summed loss, added to the penalty."""
        model = self.model
        penalty = (model.l2[0] + damping) / self.total
        strongest = float(penalty.max())
        per_input = self._trace() / self.total / len(penalty)
        per_output = float(np.trace(self.mean_S)) / model.full_outputs
        pi = balance(per_output, per_input)
        self.mean_S = self.mean_S + np.sqrt(strongest) / pi * np.eye(len(self.mean_S))
        self.outputs = inverse_on_range(self.mean_S)
        of_inputs = self.total * pi * penalty / np.sqrt(strongest)
        self.penalty, self.penalty_of_intercept = float(of_inputs[0]), float(of_inputs[-1])
        self._invert()

    def solve(self, u: np.ndarray) -> tuple[np.ndarray, float]:
        """``H⁻¹u`` for u (q, p), refined, and the relative length of what is left of u."""
        h, _ = super().solve(self.outputs @ u)
        length = float(np.linalg.norm(u))
        left = u - self.mean_S @ self.hessian_times(h)
        return h, float(np.linalg.norm(left)) / length if length else 0.0

    def influence(
        self,
        moved: np.ndarray,
        h: np.ndarray,
        spread: tuple[Any, np.ndarray] | None = None,
    ) -> np.ndarray:
        """FI of each row (n_all,), as `skfi.linear._softmax.score_rows` has it.

        ``spread`` are rows and their weights, whose covariance whitens the perturbation; None
        is the Euclidean metric.
        """
        model = self.model
        moved = moved.ravel()[self.present]
        eta = model.affine(self.X, h.T)
        directions = np.concatenate([model.W, h[:, : model.n_features]]).T
        span: _Span
        if spread is None:
            span = _Lengths(self, directions)
        else:
            span = _Whitened(self, directions, *spread)
        if model.link.coupled:
            return self._spread_out(self._by_classes(moved, eta, span))
        return self._spread_out(self._by_outputs(moved, eta, span))

    def _by_classes(self, moved: np.ndarray, eta: np.ndarray, span: _Span) -> np.ndarray:
        """FI of rows of a softmax."""
        assert isinstance(self.model.link, Softmax)
        beyond_span = np.zeros((len(span.W), 1))
        W, h = (np.concatenate([M, beyond_span], axis=1) for M in (span.W, span.h))
        prepared = KroneckerRows(self.model.link, self.outputs, W, h)

        def part(rows: slice) -> np.ndarray:
            inside, beyond, taken = span.look(rows)
            data = self.z[rows], self.y[rows], moved[rows], taken / self.weight[rows]
            t = np.concatenate([inside, beyond[:, None]], axis=1)
            return prepared.score(*data, eta[rows], t)

        size = block_rows(span.doubles_per_row + prepared.doubles_per_row)
        return np.concatenate(list(map_blocks(part, len(self.q), size)))

    def _by_outputs(self, moved: np.ndarray, eta: np.ndarray, span: _Span) -> np.ndarray:
        """FI of rows whose outputs do not mix."""
        link, (n_outputs, rank) = self.model.link, span.W.shape

        def part(rows: slice) -> np.ndarray:
            inside, beyond, taken = span.look(rows)
            m, S, z = moved[rows], self.S[rows], self.z[rows]
            mr, share = m[:, None] * self.r[rows], m / self.weight[rows]
            mixing = -(share * taken)[:, None, None] * (self.outputs * S[:, None, :])
            mixing += np.eye(n_outputs)
            pull = mr @ self.outputs
            Z = np.empty((len(m), n_outputs, rank + 1))
            np.matmul(mixing, span.W, out=Z[:, :, :rank])
            Z[:, :, :rank] -= pull[:, :, None] * inside[:, None, :]
            Z[:, :, rank] = -pull * beyond[:, None]
            g = np.zeros((len(m), rank + 1))
            g[:, :rank] = -(m[:, None] * S * eta[rows]) @ span.W - mr @ span.h
            if n_outputs == 1:
                v = Z[:, 0]
                dots = np.einsum("br,br->b", g, v), np.einsum("br,br->b", v, v)
                return fi_binary(*dots, S[:, 0])
            return fi_multiclass(g, link.contrasts(z, Z), link.log_proba(z))

        size = block_rows(span.doubles_per_row + 6 * n_outputs * (n_outputs + rank))
        return np.concatenate(list(map_blocks(part, len(self.q), size)))


class _Span:
    """W, h and τ in an orthonormal basis of W and h, lengths as the metric has them."""

    def __init__(self, space: RowKronecker, directions: np.ndarray) -> None:
        self.space = space
        self.basis, found = np.linalg.qr(directions)
        self.W, self.h = np.split(found.T, 2)  # (q, rank) each

    @property
    def doubles_per_row(self) -> int:
        """Of temporaries in `look`."""
        return 3 * len(self.space.q)

    def split(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of columns t (b, rank), and the length of what is left of them (b,).

        Where they are shorter than the basis, they end in zeros.
        """
        inside = self.basis[: len(t)].T @ t
        left = self.basis @ inside
        left[: len(t)] -= t
        return inside.T, np.sqrt(np.einsum("db,db->b", left, left))

    def look(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates of τ (b, rank), its length beyond (b,), and s x̃ᵀM⁻¹x̃ (b,)."""
        space = self.space
        inside, beyond, sure = self.from_P(rows)
        taken = 1.0 - space.P.diagonal()[rows]
        unsure = np.flatnonzero(~sure | (space.own[rows] < _LITTLE))
        of_tau = 2 * (space._Xt.shape[0] + len(self.basis)) + len(space.q)
        for some in row_blocks(len(unsure), block_rows(of_tau)):
            which = unsure[some]
            tau = space._tau(rows.start + which)
            inside[which], beyond[which] = self.split(self.measured(tau))
            taken[which] = space.weight[rows][which] * space._leverage(rows.start + which, tau)
        return inside, beyond, taken

    def measured(self, tau: np.ndarray) -> np.ndarray:
        """What has, in plain coordinates, the lengths of the metric; from τ (columns, b)."""
        raise NotImplementedError

    def from_P(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates and length beyond, without τ; and which can be trusted (b,)."""
        raise NotImplementedError


class _Lengths(_Span):
    """In the Euclidean metric."""

    def __init__(self, space: RowKronecker, directions: np.ndarray) -> None:
        kept = directions[space.columns]
        if len(kept) < len(directions):  # τ is zero there, and angles are all that counts
            empty = np.delete(directions, space.columns, axis=0)
            kept = np.concatenate([kept, np.linalg.qr(empty, mode="r")])
        super().__init__(space, kept)
        n_columns = space._Xt.shape[0]
        self.seen = space._Xt.T @ self.basis[:n_columns]
        self.seen *= space.q[:, None]

    def measured(self, tau: np.ndarray) -> np.ndarray:
        return tau

    def from_P(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        space, P = self.space, self.space.P[rows]
        scale = space.q[rows] * space.penalty
        inside = P @ self.seen / scale[:, None]
        own = space.P.diagonal()[rows]
        length = own - np.einsum("bn,bn->b", P, P)
        length -= space.penalty_of_intercept * (space.e[rows] / space.sigma) ** 2
        sure = length > _LITTLE * own
        length /= scale * space.q[rows]
        left = length - np.einsum("br,br->b", inside, inside)
        sure &= left > _LITTLE * length
        return inside, np.sqrt(np.maximum(left, 0.0)), sure


class _Whitened(_Span):
    """In the covariance of weighted rows."""

    def __init__(
        self, space: RowKronecker, directions: np.ndarray, X: Any, weight: np.ndarray
    ) -> None:
        # A class of weight 0 has rows that the objective does not know.
        self.known = np.array_equal(np.flatnonzero(weight > 0), space.present)
        weight = weight[space.present] if self.known else weight
        self.X = space.X if self.known else float_rows(X)
        self.share = weight / weight.sum()
        super().__init__(space, self._centred(self.X @ directions))

    @property
    def doubles_per_row(self) -> int:
        return 6 * len(self.share)

    def _centred(self, seen: np.ndarray) -> np.ndarray:
        seen -= self.share @ seen
        seen *= np.sqrt(self.share)[:, None]
        return seen

    def measured(self, tau: np.ndarray) -> np.ndarray:
        return self._centred(self.X[:, self.space.columns] @ tau)

    def from_P(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        q, size = self.space.q, rows.stop - rows.start
        if not self.known:
            nothing = np.zeros((size, len(self.W[0])))
            return nothing, np.zeros(size), np.zeros(size, dtype=bool)
        seen = -self.space.P[:, rows]
        seen[np.arange(rows.start, rows.stop), np.arange(size)] += 1.0
        seen /= q[:, None]
        seen /= q[rows]
        return *self.split(self._centred(seen)), np.ones(size, dtype=bool)
