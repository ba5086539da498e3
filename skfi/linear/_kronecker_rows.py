"""FI of rows where H⁻¹ is one Kronecker product O ⊗ I, for a softmax of many classes.

In the scores of all K classes, with ``S = diag(p) - ppᵀ``, ``c = s x̃ᵀ I x̃``, t = I x̃ without
the intercept, η = hᵀx̃, and O, W, h, r spread over the classes, what moving a row does is

    Z = C W - (O s r) tᵀ,   C = 1 - c O S,   g = -(s S η)ᵀ W - (s r)ᵀ h_x.

S is never formed: ``S v = p ∘ (v - pᵀv)``. All of Z would take K²d multiplications a row, and
it has the same W in all of them, but for what C and a product of vectors do:

    Z = C V,   V = W - y tᵀ   with   C y = O s r.

C differs from 1 by little, and much in few directions only, the classes that are likely for the
row. So conjugate gradients need a few products with O, for all rows of a block at once. In the
inner product of O, ``Cᵀ = 1 - c S O`` is symmetric, and y is ``O C⁻ᵀ s r``.

- As many columns as contrasts: ``a = (ZZᵀ)⁻¹ Z g`` (see `_geometry`) is C⁻ᵀ of the least
  squares solution for V, which has a closed form by the QR decomposition of W, made once.
- Fewer: ``G = VᵀCᵀSCV`` is nearly ``WᵀSW``, a product of K d² multiplications, whose inverse
  preconditions the solve.

Z is written out where either would lose digits, and where columns or classes are few.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._utils._chunks import block_rows, row_blocks
from ._geometry import _norm_in_probabilities, fi_few_columns, fi_multiclass
from ._links import Softmax, curve

# Relative error of the solves for y and a. That of G enters the scores squared.
_SOLVED, _SOLVED_METRIC = 1e-13, 1e-5
# More steps than that, and than half the columns, cost more than Z.
_MOST_STEPS = 40
# A condition over this costs too many digits: of W, of V, or of WᵀSW with a diagonal of 1.
_ILL = 1e6
# Steps save no time with fewer columns or classes, nor with more columns beside the classes.
_FEW, _MANY, _BESIDE = 16, 200, 0.5


@dataclass(frozen=True)
class _Rows:
    """What is needed of each row of a block."""

    log_p: np.ndarray  # (b, K)
    p: np.ndarray
    top: np.ndarray  # likeliest class (b,)
    scale: np.ndarray  # c (b, 1)
    sr: np.ndarray  # s r (b, K)
    g: np.ndarray  # (b, d)
    t: np.ndarray  # (b, d)

    def take(self, rows: np.ndarray) -> _Rows:
        return _Rows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def curve(self, v: np.ndarray) -> np.ndarray:
        """S v."""
        return curve(self.p, self.top, v)


@dataclass
class KroneckerRows:
    """A model whose rows are to be scored, in coordinates whose lengths are the metric's."""

    link: Softmax
    outputs: np.ndarray  # O in the model's outputs (q, q)
    W: np.ndarray  # (q, d); from here on of all classes (K, d)
    h: np.ndarray  # H⁻¹u without the intercept (q, d); from here on (K, d)

    def __post_init__(self) -> None:
        U = self.link.basis
        # A contrast of little length would lose its digits on the way to classes and back.
        self.contrasts = self.W if self.link.reduced else self.link.helmert.T @ self.W
        self.O = U @ self.outputs @ U.T
        self.W, self.h = U @ self.W, U @ self.h

    @property
    def doubles_per_row(self) -> int:
        """Of temporaries in `score`."""
        if self._least_squares is None:
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
        rows = self._rows(z, y, weight, leverage, eta, t)
        if self._least_squares is not None:
            fi, sound = self._many_columns(rows)
        elif self._steps_pay:
            fi, sound = self._some_columns(rows)
        else:
            return self._written_out(rows)
        rest = np.flatnonzero(~sound)
        for at in row_blocks(len(rest), block_rows(self._doubles_written)):
            fi[rest[at]] = self._written_out(rows.take(rest[at]))
        return fi

    def _rows(
        self,
        z: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        leverage: np.ndarray,
        eta: np.ndarray,
        t: np.ndarray,
    ) -> _Rows:
        log_p, s = self.link.log_proba(z), weight[:, None]
        p = np.exp(log_p)
        top = p.argmax(axis=1)
        sr = s * self.link.class_residual(p, y)
        g = (s * curve(p, top, eta @ self.link.basis.T)) @ self.W
        g += sr @ self.h
        np.negative(g, out=g)
        return _Rows(log_p, p, top, s * leverage[:, None], sr, g, t)

    @property
    def _steps_pay(self) -> bool:
        K, columns = self.link.n_classes, self.W.shape[1]
        return K >= _MANY and _FEW < columns < _BESIDE * K

    def _written_out(self, rows: _Rows) -> np.ndarray:
        """FI of each row from the whole of Z."""
        few = self.W.shape[1] < self.link.n_classes
        left, W = (self.O, self.W) if few else (self._left, self.contrasts)
        SW = self.W - np.matmul(rows.p[:, None], self.W)
        SW *= (-rows.scale * rows.p)[:, :, None]
        SW[np.arange(len(SW)), rows.top] -= SW.sum(axis=1)  # as `curve` does
        Z = np.matmul(left, SW)
        del SW
        Z += W
        Z -= (rows.sr @ left.T)[:, :, None] * rows.t[:, None, :]
        return (fi_few_columns if few else fi_multiclass)(rows.g, Z, rows.log_p)

    @cached_property
    def _left(self) -> np.ndarray:
        """O with contrasts for rows (K - 1, K)."""
        if self.link.reduced:
            return self.outputs @ self.link.basis.T
        return self.link.helmert.T @ self.O

    @cached_property
    def _least_squares(self) -> tuple[np.ndarray, np.ndarray] | None:
        """M and Q of ``UᵀW = L Qᵀ`` with orthonormal columns Q, U the contrasts, M = U L⁻ᵀ.

        None where there are no more columns than contrasts, or contrasts all but depend.
        """
        if self.W.shape[1] < self.link.n_classes:
            return None
        W = self.contrasts
        length = np.sqrt(np.einsum("kd,kd->k", W, W))
        if not length.all():
            return None
        Q, R = np.linalg.qr((W / length[:, None]).T)
        if not np.diagonal(R).all():
            return None
        inverse = np.linalg.inv(R)
        if not np.linalg.norm(R) * np.linalg.norm(inverse) < _ILL * len(R):
            return None
        return (self.link.helmert / length) @ inverse, Q

    def _many_columns(self, rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row by least squares, and which have kept their digits."""
        assert self._least_squares is not None
        M, Q = self._least_squares
        y, sound = self._y(rows)
        y, tau, g, t = y @ M, rows.t @ Q, rows.g, rows.t
        # V is L(Q - t yᵀ)ᵀ in these coordinates, and (Q - t yᵀ)ᵀ(Q - t yᵀ) is 1 but for the
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
        a, solved = self._refitted(rows, b @ M.T)
        return _norm_in_probabilities(a, rows.log_p), sound & solved

    def _some_columns(self, rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row by the metric tensor, and which have kept their digits."""
        A = self.W - np.matmul(rows.p[:, None], self.W)
        A *= np.sqrt(rows.p)[:, :, None]
        gram = np.matmul(A.transpose(0, 2, 1), A)
        del A
        inverse, sound = _inverses(gram)
        fi = np.zeros(len(gram))
        if sound.any():
            at = np.flatnonzero(sound)
            fi[at], sound[at] = self._preconditioned(rows.take(at), inverse[at])
        return fi, sound

    def _preconditioned(
        self, rows: _Rows, inverse: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """FI of each row by conjugate gradients, and which were solved."""
        y, sound = self._y(rows)

        def metric(x: np.ndarray) -> np.ndarray:
            return np.matmul(x[:, None], inverse)[:, 0]

        def apply(_: np.ndarray, w: np.ndarray) -> np.ndarray:
            """G w."""
            v = w @ self.W.T - _dot(rows.t, w) * y
            v = rows.curve(v - rows.scale * (rows.curve(v) @ self.O))
            v -= rows.scale * rows.curve(v @ self.O)
            return v @ self.W - _dot(y, v) * rows.t

        x, left, solved = _solve(rows.g, metric, apply, _SOLVED_METRIC, self._most_steps)
        # With what is left, the error is that of x squared.
        return _dot(metric(x), rows.g + left)[:, 0], sound & solved

    @property
    def _most_steps(self) -> int:
        return max(_MOST_STEPS, self.W.shape[1] // 2)

    def _y(self, rows: _Rows) -> tuple[np.ndarray, np.ndarray]:
        x, solved = self._refitted(rows, rows.sr)
        x[~solved] = 0.0
        return x @ self.O, solved

    def _refitted(self, rows: _Rows, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """C⁻ᵀ f of each row, and which were solved."""

        def metric(v: np.ndarray) -> np.ndarray:
            return v @ self.O

        def apply(v: np.ndarray, moved: np.ndarray) -> np.ndarray:
            return v - rows.scale * rows.curve(moved)

        x, left, solved = _solve(f, metric, apply, _SOLVED, self._most_steps)
        return x + left, solved


def _inverses(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses of matrices, and which of these are well-conditioned. Overwrites them."""
    length = np.sqrt(np.einsum("bjj->bj", gram))
    length[length == 0] = 1.0
    scale = length[:, :, None] * length[:, None, :]
    gram /= scale
    try:
        inverse = np.linalg.inv(gram)
    except np.linalg.LinAlgError:  # at least one has none: look at each
        inverse = np.full(gram.shape, np.inf)
        for k, matrix in enumerate(gram):
            with suppress(np.linalg.LinAlgError):
                inverse[k] = np.linalg.inv(matrix)
    # With a diagonal of 1 before, it is no less now, unless there was no inverse to rounding.
    diagonal = np.einsum("bjj->bj", inverse)
    sound = (diagonal.min(axis=1) > 0.5) & (diagonal.sum(axis=1) < _ILL)
    inverse /= scale
    return inverse, sound


def _dot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Inner product of each row's vectors (b, 1)."""
    return np.einsum("bi,bi->b", u, v)[:, None]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below != 0)


def _solve(
    f: np.ndarray,
    metric: Callable[[np.ndarray], np.ndarray],
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray],
    tolerance: float,
    most_steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's solution x of ``apply(x, metric(x)) = f``, what is left, and which are solved.

    By conjugate gradients from f on, which is near. ``metric`` is symmetric and not negative;
    ``apply`` is symmetric, and the tolerance meant, in its inner product.
    """
    x, seen = f.copy(), metric(f)
    enough = tolerance**2 * _dot(f, seen)
    left = f - apply(x, seen)
    step, seen = left, metric(left)
    energy = _dot(left, seen)
    with np.errstate(over="ignore", invalid="ignore"):  # of rows that are not solved
        for _ in range(most_steps):
            solved = energy <= enough
            if solved.all():
                break
            moved = apply(step, seen)
            # A row that is solved stays as it is: no score depends on the rows beside.
            along = np.where(solved, 0.0, _ratio(energy, _dot(seen, moved)))
            x += along * step
            left = left - along * moved
            towards = metric(left)
            energy, before = _dot(left, towards), energy
            share = _ratio(energy, before)
            step, seen = left + share * step, towards + share * seen
    return x, left, (energy <= enough)[:, 0]
