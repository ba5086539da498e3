"""FI of rows where H⁻¹ is one Kronecker product O ⊗ I, for a softmax of many classes.

In the scores of all K classes, with ``S = diag(p) - ppᵀ``, ``c = s x̃ᵀ I x̃``, t = I x̃ without
the intercept, η = hᵀx̃, and O, W, h, r spread over the classes, what moving a row does is

    Z = C W - (O s r) tᵀ,   C = 1 - c O S,   g = -(s S η)ᵀ W - (s r)ᵀ h_x.

S is never formed: ``S v = p ∘ (v - pᵀv)``. With fewer columns than classes Z is written out,
in K²d multiplications a row. With as many columns as contrasts or more,

    Z = C V,   V = W - y tᵀ   with   C y = O s r,

and ``a = (ZZᵀ)⁻¹ Z g`` (see `_geometry`) is C⁻ᵀ of the least squares solution for V, which has
a closed form by the QR decomposition of W, made once. C differs from 1 by little, and much in
few directions only, the classes that are likely for the row: conjugate gradients need a few
products with O, for all rows of a block at once. In the inner product of O,
``Cᵀ = 1 - c S O`` is symmetric, and y is ``O C⁻ᵀ s r``. Z is written out where that would lose
digits, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._utils._chunks import block_rows, row_blocks
from ._geometry import _norm_in_probabilities, fi_few_columns, fi_multiclass
from ._links import Softmax, curve, curve_columns

# Relative error of the solves for y and a.
_SOLVED = 1e-13
# More steps cost more than Z, unless there are more columns yet.
_MOST_STEPS = 40
# A condition of W or V over this costs too many digits.
_ILL = 1e6


@dataclass(frozen=True)
class RowTerms:
    """What is needed of each row of a block."""

    log_p: np.ndarray  # (b, K)
    p: np.ndarray
    top: np.ndarray  # likeliest class (b,)
    scale: np.ndarray  # c (b, 1)
    sr: np.ndarray  # s r (b, K)
    g: np.ndarray  # (b, d)
    t: np.ndarray  # (b, d)

    def take(self, rows: np.ndarray) -> RowTerms:
        return RowTerms(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class _LeastSquares(NamedTuple):
    """``UᵀW = L Qᵀ`` with orthonormal columns Q, U the contrasts."""

    M: np.ndarray  # U L⁻ᵀ
    Q: np.ndarray


@dataclass(frozen=True)
class KroneckerRows:
    """A softmax whose rows are to be scored, in coordinates whose lengths are the metric's."""

    link: Softmax
    O: np.ndarray  # noqa: E741  # of all classes (K, K)
    W: np.ndarray  # of all classes (K, d)
    h: np.ndarray  # H⁻¹u of all classes without the intercept (K, d)
    to_contrasts: np.ndarray  # O with contrasts for rows (K - 1, K)
    contrasts: np.ndarray  # W of the contrasts (K - 1, d)
    least_squares: _LeastSquares | None  # None where it loses digits, or columns are few

    @property
    def doubles_per_row(self) -> int:
        """Of temporaries in `score`."""
        if self.least_squares is None:
            return self._doubles_written
        return 16 * self.link.n_classes + 3 * self.W.shape[1]

    @property
    def _doubles_written(self) -> int:
        """The same of rows whose Z is written out."""
        return 4 * self.link.n_classes * (self.W.shape[1] + 1)

    def score(
        self,
        z: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        leverage: np.ndarray,
        eta: np.ndarray,
        t: np.ndarray,
    ) -> np.ndarray:
        """FI of each row of a block (b,).

        Parameters
        ----------
        z : ndarray of shape (b, q)
            Scores.
        y : ndarray of shape (b,)
            Codes of classes.
        weight : ndarray of shape (b,)
            What of each row moves.
        leverage : ndarray of shape (b,)
            ``x̃ᵀ I x̃``.
        eta : ndarray of shape (b, q)
            ``hᵀx̃``, with the intercept.
        t : ndarray of shape (b, d)
            ``I x̃`` without the intercept.
        """
        rows = self.terms(z, y, weight, leverage, eta, t)
        if self.least_squares is None:
            return self._written_out(rows)
        fi, sound = self._by_least_squares(rows, self.least_squares)
        rest = np.flatnonzero(~sound)
        for at in row_blocks(len(rest), block_rows(self._doubles_written)):
            fi[rest[at]] = self._written_out(rows.take(rest[at]))
        return fi

    def terms(
        self,
        z: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        leverage: np.ndarray,
        eta: np.ndarray,
        t: np.ndarray,
    ) -> RowTerms:
        """What `score` needs of its rows."""
        log_p, s = self.link.log_proba(z), weight[:, None]
        p = np.exp(log_p)
        top = p.argmax(axis=1)
        sr = s * self.link.class_residual(p, y)
        g = (s * curve(p, top, eta @ self.link.basis.T)) @ self.W
        g += sr @ self.h
        np.negative(g, out=g)
        return RowTerms(log_p, p, top, s * leverage[:, None], sr, g, t)

    def _written_out(self, rows: RowTerms) -> np.ndarray:
        """FI of each row from the whole of Z."""
        few = self.W.shape[1] < self.link.n_classes
        Z = self.jacobian(rows, few)
        return (fi_few_columns if few else fi_multiclass)(rows.g, Z, rows.log_p)

    def jacobian(self, rows: RowTerms, of_classes: bool) -> np.ndarray:
        """Z of all classes (b, K, d), or of the contrasts."""
        outputs, W = (self.O, self.W) if of_classes else (self.to_contrasts, self.contrasts)
        SW = self.W - np.matmul(rows.p[:, None], self.W)
        SW *= (-rows.scale * rows.p)[:, :, None]
        SW[np.arange(len(SW)), rows.top] -= SW.sum(axis=1)  # as `curve` does
        Z = np.matmul(outputs, SW)
        del SW
        Z += W
        Z -= (rows.sr @ outputs.T)[:, :, None] * rows.t[:, None, :]
        return Z

    def _by_least_squares(
        self, rows: RowTerms, factors: _LeastSquares
    ) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row by least squares, and which have kept their digits."""
        M, Q = factors
        x, sound = self._solve(rows, rows.sr)
        x[~sound] = 0.0
        y, tau, g, t = x @ self.O @ M, rows.t @ Q, rows.g, rows.t
        # V is L(Q - t yᵀ)ᵀ in these coordinates, and (Q - t yᵀ)ᵀ(Q - t yᵀ) is 1 except for the
        # plane of y and τ.
        yy, y_tau, tau_tau, tt = _dot(y, y), _dot(y, tau), _dot(tau, tau), _dot(t, t)
        b = g @ Q - _dot(t, g) * y
        y_b, tau_b = _dot(y, b), _dot(tau, b)
        slack = 1.0 - y_tau
        det, trace = slack**2 + yy * (tt - tau_tau), 2.0 * slack + tt * yy
        with np.errstate(divide="ignore", invalid="ignore"):
            least = np.minimum(1.0, det / trace)
            sound &= (np.maximum(1.0, trace) < _ILL * least)[:, 0]
            b += (slack * y_b + yy * tau_b) / det * tau
            b += (slack * tau_b + (tau_tau - tt) * y_b) / det * y
        b[~sound] = 0.0
        a, solved = self._solve(rows, b @ M.T)
        return _norm_in_probabilities(a, rows.log_p), sound & solved

    @property
    def _most_steps(self) -> int:
        return max(_MOST_STEPS, self.W.shape[1] // 2)

    def _solve(self, rows: RowTerms, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """C⁻ᵀ f of each row, and which were solved.

        By conjugate gradients in the inner product of O, from f on, which is near.
        """
        # Classes go first, (K, b): sums over a few classes are slow where rows go first.
        p, scale = np.ascontiguousarray(rows.p.T), rows.scale[:, 0]

        def apply(v: np.ndarray, Ov: np.ndarray) -> np.ndarray:
            """Cᵀ v."""
            out = curve_columns(p, rows.top, Ov)
            out *= -scale
            out += v
            return out

        x = f.T.copy()
        O_step = self.O @ x  # O is symmetric
        enough = _SOLVED**2 * _column_dot(x, O_step)
        rest = x - apply(x, O_step)
        step, O_step = rest, self.O @ rest
        energy = _column_dot(rest, O_step)
        with np.errstate(over="ignore", invalid="ignore"):  # of rows that are not solved
            for _ in range(self._most_steps):
                solved = energy <= enough
                if solved.all():
                    break
                product = apply(step, O_step)
                # A row that is solved stays as it is: no score depends on the rows beside.
                length = np.where(solved, 0.0, _ratio(energy, _column_dot(O_step, product)))
                x += length * step
                product *= length
                rest = rest - product
                O_rest = self.O @ rest
                energy, before = _column_dot(rest, O_rest), energy
                share = _ratio(energy, before)
                step, O_step = rest + share * step, O_rest + share * O_step
        x += rest
        return np.ascontiguousarray(x.T), energy <= enough


def kronecker_rows(
    link: Softmax, outputs: np.ndarray, W: np.ndarray, h: np.ndarray
) -> KroneckerRows:
    """A scorer, from O, W and H⁻¹u in the outputs (q, ...) that the model is written in."""
    U, helmert = link.basis, link.helmert
    # A contrast of little length would lose its digits on the way to classes and back.
    contrasts = W if link.reduced else helmert.T @ W
    O = U @ outputs @ U.T  # noqa: E741
    to_contrasts = outputs @ U.T if link.reduced else helmert.T @ O
    factors = _factor_contrasts(contrasts, helmert)
    return KroneckerRows(link, O, U @ W, U @ h, to_contrasts, contrasts, factors)


def _factor_contrasts(contrasts: np.ndarray, helmert: np.ndarray) -> _LeastSquares | None:
    """None where there are fewer columns than contrasts, or contrasts all but depend."""
    if contrasts.shape[1] <= len(contrasts):
        return None
    length = np.sqrt(np.einsum("kd,kd->k", contrasts, contrasts))
    if not length.all():
        return None
    Q, R = np.linalg.qr((contrasts / length[:, None]).T)
    if not np.diagonal(R).all():
        return None
    inverse = np.linalg.inv(R)
    if not np.linalg.norm(R) * np.linalg.norm(inverse) < _ILL * len(R):
        return None
    return _LeastSquares((helmert / length) @ inverse, Q)


def _dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Inner product of each row's vectors (b, 1)."""
    return np.einsum("bi,bi->b", u, v)[:, None]


def _column_dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Inner product of each column's vectors (b,)."""
    return np.einsum("ib,ib->b", u, v)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)
