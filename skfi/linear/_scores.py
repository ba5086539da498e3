"""FI of rows, each in closed form from a curvature and ``h = H⁻¹u``.

With x̃ = [x, 1], scores z = β x̃, r and S the first two derivatives of the training
loss in z, s a row's weight and H the Hessian in units of Σ s L (the 1/n of the paper's
Appendix A cancels), everything is a product with matrices:

    J_i = -s_i H⁻¹ ∂_x∂_θ L_i,   ∂_x∂_θ L_i in class block a:  x̃ ⊗ (S W)_a + r_a I
    g_i = u J_i = -s_i [ (h x̃)ᵀ S W + rᵀ h_x ]                 with h = H⁻¹u
    Z_i = ∂_ω z = W - s_i [ Σ_k r_k Q_ak + (Q_ak·x̃)(S W)_k ]   with Q_ak = x̃ᵀ(H⁻¹)_ak

All are pure functions of a block of rows, so that threads, processes and memory limits can all
run the same.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._utils._chunks import block_rows, dense_rows, map_blocks
from ._geometry import fi_binary, fi_few_columns, fi_multiclass
from ._softmax import SoftmaxLinear, weight_columns

if TYPE_CHECKING:
    from ._operators import Curvature


class OwnJacobian(NamedTuple):
    """Scores of a block, their loss's weighted derivatives, and what moving a row does."""

    z: np.ndarray  # (b, n_outputs)
    sr: np.ndarray  # (b, n_outputs)
    sS: np.ndarray  # (b, n_outputs), or (b, n_outputs, n_outputs) where outputs mix
    Z: np.ndarray  # ∂_ω z, the refit included (b, n_outputs, d)


class Perturbation(NamedTuple):
    """What moving each row of a block does."""

    g: np.ndarray  # derivative of the validation loss (b, d)
    Z: np.ndarray  # that of the row's own scores (b, n_outputs, d)
    z: np.ndarray  # scores (b, n_outputs)


def own_jacobian(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    curvature: Curvature,
) -> OwnJacobian:
    """How the scores of each row of a block follow its own move."""
    z = model.scores(X)
    w = weight_columns(weight)
    sr = w * model.link.residual(z, y)
    sS = model.link.curvature(z) * (w[:, :, None] if model.link.coupled else w)
    return OwnJacobian(z, sr, sS, curvature.score_jacobian(model, X, sr, sS))


def perturb_rows(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    curvature: Curvature,
    h: np.ndarray,
) -> Perturbation:
    """What moving each row of a block does to its scores and the validation loss."""
    z, sr, sS, Z = own_jacobian(model, X, y, weight, curvature)
    eta = model.affine(X, h.T)
    mixed = np.matmul(sS, eta[:, :, None])[:, :, 0] if model.link.coupled else sS * eta
    g = -(mixed @ model.W) - sr @ h[:, : model.n_features]
    return Perturbation(g, Z, z)


def score_by_jacobian(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    curvature: Curvature,
    h: np.ndarray,
    root: np.ndarray | None = None,
) -> np.ndarray:
    """FI of each row of a block, (b,)."""
    g, Z, z = perturb_rows(model, X, y, weight, curvature, h)
    if root is not None:
        g, Z = g @ root, Z @ root
    return fi_of_scores(model, g, Z, z)


def fi_of_scores(
    model: SoftmaxLinear, g: np.ndarray, Z: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """FI (b,) of the derivatives of the validation loss and of a row's own scores."""
    link = model.link
    if link.n_outputs == 1:
        v = Z[:, 0]
        dots = np.einsum("br,br->b", g, v), np.einsum("br,br->b", v, v)
        return fi_binary(*dots, link.curvature(z)[:, 0])
    log_p = link.log_proba(z)
    if Z.shape[2] < link.n_classes:
        return fi_few_columns(g, link.class_scores(z, Z), log_p)
    return fi_multiclass(g, link.contrasts(z, Z), log_p)


def score_binary(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray,
    h: np.ndarray,
    root: np.ndarray | None,
) -> np.ndarray:
    """`score_by_jacobian` of one output in one: neither g nor v needs to be formed.

    v = α W - s r τ with τ = (H⁻¹x̃)_x and g = -(s S η W + s r h_x), so only inner products of
    τ, W and h are needed, in the metric where ``root`` has one.
    """
    d, W, hx = model.n_features, model.W[0], h[: model.n_features]
    directions = np.stack([W, hx], axis=1)
    if root is not None:
        directions = root @ (root.T @ directions)
    W_dot_W, W_dot_h = W @ directions
    towards = inverse[:, :d] @ directions
    small = model.affine(X, np.column_stack([model.beta[0], h, towards, inverse[:, -1]]))
    z, eta, tau_W, tau_h, last = np.ascontiguousarray(small.T)
    z = z[:, None]
    w = weight_columns(weight)
    S = model.link.curvature(z)
    sr = (w * model.link.residual(z, y))[:, 0]
    sS = (w * S)[:, 0]
    tau = model.affine(X, inverse[:, :d])
    leverage = np.einsum("bj,bj->b", tau, X)
    if model.fit_intercept:
        leverage += last
    alpha = 1.0 - sS * leverage
    if root is not None:
        tau = tau @ root
    parts = alpha**2 * W_dot_W, sr**2 * np.einsum("bd,bd->b", tau, tau)
    v_dot_v = parts[0] + parts[1] - 2.0 * alpha * sr * tau_W
    W_dot_v = alpha * W_dot_W - sr * tau_W
    h_dot_v = alpha * W_dot_h - sr * tau_h
    # Where the two parts of v all but cancel, the expansion has lost its digits.
    cancelled = np.flatnonzero(v_dot_v < 1e-4 * (parts[0] + parts[1]))
    if len(cancelled):
        W, hx = (W, hx) if root is None else (W @ root, hx @ root)
        v = alpha[cancelled, None] * W - sr[cancelled, None] * tau[cancelled]
        v_dot_v[cancelled] = np.einsum("bd,bd->b", v, v)
        W_dot_v[cancelled], h_dot_v[cancelled] = v @ W, v @ hx
    g_dot_v = -(sS * eta * W_dot_v + sr * h_dot_v)
    return fi_binary(g_dot_v, v_dot_v, S[:, 0])


def score_all(
    model: SoftmaxLinear,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray,
    curvature: Curvature,
    h: np.ndarray,
    root: np.ndarray | None = None,
    chunk: int | None = None,
) -> np.ndarray:
    """FI of all rows (n,), in blocks.

    ``root`` is R with R Rᵀ the perturbation metric's inverse (the training covariance for
    Mahalanobis); None is the Euclidean metric.
    """
    scorer = curvature.row_scorer(model, h, root)
    if chunk is None:
        chunk = block_rows(scorer.doubles_per_row)
    fi = np.empty(X.shape[0])

    def part(rows: slice) -> None:
        fi[rows] = scorer.score(dense_rows(X, rows), y[rows], weight[rows])

    deque(map_blocks(part, X.shape[0], chunk), maxlen=0)
    return fi
