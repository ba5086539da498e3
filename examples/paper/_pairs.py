"""FI-paired: the measure for two rows that are perturbed at once, for every pair, in blocks.

Of two rows that err alike, each may look harmless as long as the other is there (the masking
effect). The paper perturbs both at once, and found the result no better than FI and much
dearer.

Both rows move by ω = (ω_i, ω_j). The parameters follow both, so the validation loss
changes by g = (g_i, g_j), and row i's own scores by ``Z̃_i = [Z_ii, Z_ij]`` with

    Z_ij = ∂_θ z(x_i) J_j = -Σ_k ρ_jk Q^i_ak - (Q^i_ak·x̃_j)(s_j S_j W)_k

(Q^i_ak = x̃_iᵀ(H⁻¹)_ak, ρ = s r): how moving row j moves the probability of row i. The two
labels are independent given the parameters, so the metric tensor of the pair is the sum
``Z̃_iᵀS_iZ̃_i + Z̃_jᵀS_jZ̃_j``, and FI has the closed form of one row with twice the
contrasts: ``Σ_c (U a_i)_c²/p_ic + (U a_j)_c²/p_jc`` with ``(a_i, a_j) = (Z̃Z̃ᵀ)⁻¹ Z̃ gᵀ``.

For two classes Z̃Z̃ᵀ is 2×2 and made of inner products of few vectors a row: two kernel
matrices and some elementwise passes a block. For more classes the Z_ij are formed.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from scipy.linalg import helmert
from sklearn import get_config

from skfi._utils._chunks import (
    block_rows,
    dense_rows,
    map_blocks,
    n_threads,
    one_blas_thread,
    row_blocks,
)
from skfi.bridge._network import Choices
from skfi.influence._curved import LinearReading
from skfi.influence._reading import read_fitted
from skfi.linear._blocks import BlockCurvature
from skfi.linear._geometry import (
    _MAX,
    _TINY,
    _full_rank,
    _norm_in_probabilities,
)
from skfi.linear._links import Sigmoid
from skfi.linear._losses import resolve_validation_loss
from skfi.linear._scores import perturb_rows
from skfi.linear._softmax import SoftmaxLinear, weight_columns

_BLOCK_DOUBLES = 750_000  # temporaries of a block of pairs: most stay in the caches
# 1 - cos² between Z̃_i and Z̃_j under this: the rows are taken as dependent.
_DEPENDENT = 1e-11


def fi_paired(
    estimator,
    X,
    y,
    X_val,
    y_val,
    *,
    sample_weight=None,
    validation_loss="log_loss",
    metric="euclidean",
) -> np.ndarray:
    """FI of the best pair each training row is part of, ``max_j FI_ij`` (n,).

    Arguments as in `skfi.fi_util`. One copy of each row moves; a row of weight 2 or more forms
    a pair with another copy of itself as well, and a row of weight 0 is in no pair. For two
    classes all pairs take two products of n rows with n rows and some thirty passes over n²
    numbers.
    """
    choices = Choices(curvature="exact")  # of a network: its last layer
    training, held_out = (X, y, sample_weight), (X_val, y_val, None)
    reading = read_fitted(estimator, training, choices, held_out, wide=True)
    assert isinstance(reading, LinearReading)
    loss = resolve_validation_loss(validation_loss)
    solved = reading.curve().solve(reading.held_out, loss)
    curved, train = solved.curved.by_columns(), solved.curved.train
    assert isinstance(curved.curvature, BlockCurvature)
    present = np.flatnonzero(train.weight > 0)
    again = train.weight[present] >= 2
    if len(present) < 2 and not again.any():
        raise ValueError(f"X has {len(present)} rows with weight; FI-paired needs two.")
    score = np.zeros(train.X.shape[0])
    with one_blas_thread():
        score[present] = PairScores(
            curved.model,
            train.X[present],
            train.codes[present],
            curved.copy[present],
            curved.curvature,
            solved.h,
            again,
            curved.whitening.root if metric == "mahalanobis" else None,
        ).maxima()
    return score


def block_side(doubles_per_pair: int) -> int:
    """Side of a square of pairs, by cache and scikit-learn's ``working_memory``."""
    memory = get_config()["working_memory"] * 2**20
    allowed = int(memory // (8 * doubles_per_pair * n_threads()))
    return max(1, isqrt(min(allowed, max(_BLOCK_DOUBLES // doubles_per_pair, 16))))


@dataclass(frozen=True)
class _Rows:
    """Rows and what moving each of them does."""

    X: np.ndarray  # (b, d)
    g: np.ndarray  # (b, r), in the metric's coordinates like Z
    Z: np.ndarray  # own contrasts' derivatives (b, K - 1, r)
    z: np.ndarray  # scores (b, n_outputs)
    log_p: np.ndarray  # (b, K)
    rho: np.ndarray  # s r (b, n_outputs)
    SW: np.ndarray  # s S W (b, n_outputs, d)
    Q: np.ndarray  # x̃ᵀH⁻¹ (b, n_outputs, n_outputs, p)


@dataclass(frozen=True)
class PairScores:
    """FI of pairs of rows of one data set.

    ``again`` tells which rows have a second copy, with which they form a pair as well;
    ``root`` is that of ``score_all``.
    """

    model: SoftmaxLinear
    X: object  # ndarray or CSR (n, d)
    y: np.ndarray
    weight: np.ndarray
    curvature: BlockCurvature
    h: np.ndarray
    again: np.ndarray
    root: np.ndarray | None = None

    def maxima(self, side: int | None = None) -> np.ndarray:
        """FI of each row's best pair (n,)."""
        n_rows = len(self.y)
        if self.model.link.n_outputs == 1:
            block = _Binary(self).block
            side = side or block_side(20)
        else:
            block = self.explicit
            side = side or self._explicit_side()

        def part(rows: slice) -> np.ndarray:
            # FI is symmetric: blocks right of the diagonal serve both sides.
            best = np.zeros(n_rows)
            for other in row_blocks(n_rows - rows.start, side):
                columns = slice(rows.start + other.start, rows.start + other.stop)
                fi = block(rows, columns)
                if columns == rows:
                    np.fill_diagonal(fi, np.where(self.again[rows], np.diagonal(fi), 0.0))
                best[rows] = np.maximum(best[rows], fi.max(axis=1))
                best[columns] = np.maximum(best[columns], fi.max(axis=0))
            return best

        best = np.zeros(n_rows)
        for found in map_blocks(part, n_rows, side):
            np.maximum(best, found, out=best)
        return best

    def _explicit_side(self) -> int:
        outputs, p = self.model.beta.shape
        return block_side(14 * max(outputs, self.model.link.n_classes) * p + 8 * outputs**2)

    def explicit(self, first: slice, second: slice) -> np.ndarray:
        """FI of all pairs of two blocks with every derivative formed (b, c)."""
        left = self._rows(first)
        right = left if second == first else self._rows(second)
        crossed = self._cross(left, right)  # (b, c, K - 1, r): right moves left
        back = self._cross(right, left).swapaxes(0, 1)
        shape = crossed.shape
        own = np.broadcast_to(left.Z[:, None], shape), np.broadcast_to(right.Z[None], shape)
        upper = np.concatenate([own[0], crossed], axis=3)
        lower = np.concatenate([back, own[1]], axis=3)
        Z = np.concatenate([upper, lower], axis=2).reshape(-1, 2 * shape[2], 2 * shape[3])
        b, c = shape[:2]
        g = np.concatenate(
            [np.repeat(left.g, c, axis=0), np.tile(right.g, (b, 1))],
            axis=1,
        )
        log_p = np.stack(
            [np.repeat(left.log_p, c, axis=0), np.tile(right.log_p, (b, 1))], axis=1
        )
        return fi_joint(g, Z, log_p).reshape(b, c)

    def _rows(self, rows: slice) -> _Rows:
        model, link = self.model, self.model.link
        X, y, weight = dense_rows(self.X, rows), self.y[rows], self.weight[rows]
        g, Z, z = perturb_rows(model, X, y, weight, self.curvature, self.h)
        w, S = weight_columns(weight), link.curvature(z)
        if link.coupled:
            SW = np.matmul(S * w[:, :, None], model.W)
        else:
            SW = (S * w)[:, :, None] * model.W
        Z = self._contrasts(z, Z)
        if self.root is not None:
            g, Z = g @ self.root, Z @ self.root
        rho = w * link.residual(z, y)
        return _Rows(X, g, Z, z, link.log_proba(z), rho, SW, self._towards(X))

    def _contrasts(self, z: np.ndarray, Z: np.ndarray) -> np.ndarray:
        # The logit is √2 times the orthonormal contrast of two classes.
        scale = np.sqrt(0.5) if isinstance(self.model.link, Sigmoid) else 1.0
        return scale * self.model.link.contrasts(z, Z)

    def _towards(self, X: np.ndarray) -> np.ndarray:
        outputs, p = self.model.beta.shape
        blocks = self.curvature.blocks
        if self.model.link.coupled:
            columns = blocks.reshape(outputs, p, outputs, p).transpose(1, 0, 2, 3)
            flat = self.model.affine(X, np.ascontiguousarray(columns).reshape(p, -1))
            return flat.reshape(len(X), outputs, outputs, p)
        Q = np.zeros((len(X), outputs, outputs, p))
        for k in range(outputs):
            Q[:, k, k] = self.model.affine(X, blocks[k])
        return Q

    def _cross(self, left: _Rows, right: _Rows) -> np.ndarray:
        """How moving each row of ``right`` moves each row of ``left`` (b, c, K - 1, r)."""
        outputs, d = self.model.W.shape
        b, c = len(left.X), len(right.X)
        kappa = np.tensordot(left.Q[..., :d], right.X, (3, 1))  # (b, a, k, c)
        if self.model.fit_intercept:
            kappa += left.Q[..., d, None]
        kappa = np.ascontiguousarray(kappa.transpose(3, 0, 1, 2)).reshape(c, -1, outputs)
        Z = np.matmul(kappa, right.SW).reshape(c, b, outputs, d)
        Z += np.tensordot(right.rho, left.Q[..., :d], (1, 2))
        scores = np.repeat(left.z[None], c, axis=0).reshape(-1, outputs)
        Z = -self._contrasts(scores, Z.reshape(-1, outputs, d))
        if self.root is not None:
            Z = Z @ self.root
        return Z.reshape(c, b, *Z.shape[1:]).swapaxes(0, 1)


class _Binary:
    """Two classes: FI of pairs from inner products of few vectors a row.

    Z_ij = -(ρ_j τ_i + σ_j κ_ij W) with τ_i = (H⁻¹x̃_i)_x, κ_ij = x̃_iᵀH⁻¹x̃_j and σ = s S.
    Own derivatives V = Z_ii are formed, so that nothing cancels in their lengths.
    """

    def __init__(self, pairs: PairScores):
        self.pairs = pairs
        model, root = pairs.model, pairs.root
        n_rows, (W,), (h,) = len(pairs.y), model.W, pairs.h
        directions = np.stack([W, h[: model.n_features]])
        if root is not None:
            directions = directions @ root
        WW, Wh = directions[0] @ directions.T

        def part(rows: slice) -> tuple[np.ndarray, ...]:
            X, y, weight = dense_rows(pairs.X, rows), pairs.y[rows], pairs.weight[rows]
            g, Z, z = perturb_rows(model, X, y, weight, pairs.curvature, pairs.h)
            towards = model.affine(X, pairs.curvature.blocks[0])
            tau, V = towards[:, : model.n_features], Z[:, 0]
            if root is not None:
                g, tau, V = g @ root, tau @ root, V @ root
            w = weight_columns(weight)
            S = model.link.curvature(z)[:, 0]
            rho, sigma = (w * model.link.residual(z, y))[:, 0], w[:, 0] * S
            mixed = sigma * model.affine(X, h)
            tau_W, tau_h = directions @ tau.T
            scalars = np.stack(
                [
                    S,
                    rho,
                    sigma,
                    np.einsum("bd,bd->b", V, V),
                    np.einsum("bd,bd->b", V, g),
                    V @ directions[0],
                    np.einsum("bd,bd->b", tau, tau),
                    tau_W,
                    tau_h,
                    mixed,
                    sigma * (mixed * WW + rho * Wh),
                ]
            )
            return towards, tau, V, scalars

        blocks = map_blocks(part, n_rows, block_rows(6 * model.beta.shape[1] + 16))
        towards, tau, V, scalars = zip(*blocks, strict=True)
        self.towards = np.concatenate(towards)
        self.tau = self.towards[:, : model.n_features] if root is None else np.concatenate(tau)
        self.V = np.concatenate(V)
        self.scalars = np.concatenate(scalars, axis=1)
        self.WW = WW

    def block(self, first: slice, second: slice) -> np.ndarray:
        left, right = self.scalars[:, first, None], self.scalars[:, None, second]
        X = dense_rows(self.pairs.X, second)
        d = X.shape[1]
        kappa = self.towards[first, :d] @ X.T
        if self.pairs.model.fit_intercept:
            kappa += self.towards[first, d:]
        forth, back = self._half(left, right, kappa), self._half(right, left, kappa)
        length = np.sqrt(forth[0]), np.sqrt(back[0])
        # V_i·Z_ji + V_j·Z_ij
        S, rho, sigma, VW = 0, 1, 2, 5
        inner = -left[rho] * (self.V[first] @ self.tau[second].T)
        inner -= right[rho] * (self.tau[first] @ self.V[second].T)
        inner -= kappa * (left[sigma] * left[VW] + right[sigma] * right[VW])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            cosine = inner / (length[0] * length[1])
            t = forth[1] / length[0], back[1] / length[1]
            gap = (1.0 - cosine) * (1.0 + cosine)
            a = (t[0] - cosine * t[1]) / (gap * length[0])
            b = (t[1] - cosine * t[0]) / (gap * length[1])
            fi = a * (a / np.maximum(left[S], _TINY)) + b * (b / np.maximum(right[S], _TINY))
            irregular = ~(gap > _DEPENDENT)
        fi = np.minimum(fi, _MAX)
        if irregular.any():
            self._mend(fi, irregular, first, second)
        return fi

    def _half(self, row: np.ndarray, other: np.ndarray, kappa: np.ndarray):
        """|Z̃_i|² and Z̃_i·g for the pairs of a block."""
        _, _, _, VV, Vg, _, tau_tau, tau_W, tau_h, _, _ = row
        _, rho, sigma, _, _, _, _, _, _, mixed, along = other
        length = VV + rho**2 * tau_tau + kappa * (2.0 * rho * sigma * tau_W)
        length += (sigma * kappa) ** 2 * self.WW
        target = Vg + rho * (mixed * tau_W + rho * tau_h) + kappa * along
        return np.maximum(length, 0.0), target

    def _mend(self, fi: np.ndarray, irregular: np.ndarray, first: slice, second: slice):
        """Dependent pairs take the pseudo-inverse, in blocks of their own size."""
        side = self.pairs._explicit_side()
        for r in row_blocks(fi.shape[0], side):
            for c in row_blocks(fi.shape[1], side):
                where = irregular[r, c]
                if where.any():
                    full = self.pairs.explicit(
                        slice(first.start + r.start, first.start + r.stop),
                        slice(second.start + c.start, second.start + c.stop),
                    )
                    fi[r, c][where] = full[where]


def fi_joint(g: np.ndarray, Z: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """FI of each pair.

    Parameters
    ----------
    g : ndarray of shape (b, D)
        Derivative of the validation loss in both rows' perturbations.
    Z : ndarray of shape (b, 2 (K - 1), D)
        Derivatives of the log-odds contrasts, the first row's before the second's.
    log_p : ndarray of shape (b, 2, K)
        Log probabilities of the two rows.
    """
    n_classes = log_p.shape[2]
    if Z.shape[2] < Z.shape[1]:
        return _joint_by_svd(g, Z, log_p)
    length = np.sqrt(np.einsum("bkd,bkd->bk", Z, Z))
    scaled = Z / np.where(length > 0, length, 1.0)[:, :, None]
    gram = np.matmul(scaled, scaled.transpose(0, 2, 1))
    regular = _full_rank(gram)
    fi = np.empty(len(g))
    if regular.any():
        target = np.matmul(scaled[regular], g[regular][:, :, None])
        a = np.linalg.solve(gram[regular], target)[:, :, 0] / length[regular]
        a = a.reshape(-1, n_classes - 1) @ helmert(n_classes)
        parts = _norm_in_probabilities(a, log_p[regular].reshape(-1, n_classes))
        with np.errstate(over="ignore"):
            fi[regular] = np.minimum(parts.reshape(-1, 2).sum(axis=1), _MAX)
    if not regular.all():
        fi[~regular] = _joint_by_svd(g[~regular], Z[~regular], log_p[~regular])
    return fi


def _joint_by_svd(g: np.ndarray, Z: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The pseudo-inverse by A = [diag(√P_i) D̃_i; diag(√P_j) D̃_j], G = AᵀA."""
    n_pairs, _, n_classes = log_p.shape
    p = np.exp(log_p)[..., None]
    D = np.matmul(helmert(n_classes).T, Z.reshape(n_pairs, 2, n_classes - 1, -1))
    D = np.sqrt(p) * (D - (p * D).sum(axis=2, keepdims=True))
    _, sigma, Vt = np.linalg.svd(D.reshape(n_pairs, 2 * n_classes, -1), full_matrices=False)
    cut = sigma[:, :1] * (max(2 * n_classes, Z.shape[2]) * np.finfo(np.float64).eps)
    inverse = np.zeros_like(sigma)
    np.divide(1.0, sigma, out=inverse, where=sigma > cut)
    with np.errstate(over="ignore"):
        terms = inverse * np.matmul(Vt, g[:, :, None])[:, :, 0]
        fi = np.einsum("br,br->b", terms, terms)
    return np.minimum(fi, _MAX)
