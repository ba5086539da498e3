"""The measure for softmax-linear models in closed form, in two passes over the rows.

Both passes are pure functions of a block of rows, so that threads, processes and
memory limits can all run the same two:

- ``curvature_sum(model, X, y, weight)``: gradient and Hessian of the training
  loss over the block; sums of blocks are sums over all rows;
- ``score_rows(model, …)``: FI of each row of the block, given the inverse Hessian.

With x̃ = [x, 1], scores z = β x̃, r and S the first two derivatives of the training
loss in z, s a row's weight and H the Hessian in units of Σ s L (the 1/n of the paper's
Appendix A cancels), everything is a product with matrices:

    J_i = -s_i H⁻¹ ∂_x∂_θ L_i,   ∂_x∂_θ L_i in class block a:  x̃ ⊗ (S W)_a + r_a I
    g_i = u J_i = -s_i [ (h x̃)ᵀ S W + rᵀ h_x ]                 with h = H⁻¹u
    Z_i = ∂_ω z = W - s_i [ Σ_k r_k Q_ak + (Q_ak·x̃)(S W)_k ]   with Q_ak = x̃ᵀ(H⁻¹)_ak
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from .._utils._chunks import block_rows, dense_rows, map_blocks
from ._geometry import fi_binary, fi_few_columns, fi_multiclass
from ._kronecker import KroneckerInverse, KroneckerSum
from ._kronecker_rows import KroneckerRows
from ._links import Link, Softmax
from ._losses import ValidationLoss, checked_loss

# Features and coefficients beyond have squares, or inverses of them, that leave float64.
LARGEST = 1e150


@dataclass(frozen=True)
class SoftmaxLinear:
    """A fitted softmax-linear classifier, in the parameters its solver moved.

    Penalties are in units of the summed training loss: the objective is
    ``Σ_i s_i L_i + ½ Σ l2 β² + Σ l1 |β|``.
    """

    beta: np.ndarray  # (n_outputs, p); last column the intercept where there is one
    link: Link
    fit_intercept: bool
    l2: np.ndarray  # (n_outputs, p)
    l1: np.ndarray  # (n_outputs, p)

    @property
    def n_features(self) -> int:
        return self.beta.shape[1] - self.fit_intercept

    @property
    def W(self) -> np.ndarray:
        """Weights on the features (n_outputs, d)."""
        return self.beta[:, : self.n_features]

    @property
    def active(self) -> np.ndarray | None:
        """Parameters that move: with an L1 penalty, those that are not zero."""
        if not self.l1.any():
            return None
        return (self.beta != 0) | (self.l1 == 0)

    @property
    def full_outputs(self) -> int:
        """Outputs before a softmax is written in K - 1 contrasts."""
        return self.link.n_classes if isinstance(self.link, Softmax) else len(self.beta)

    @property
    def n_parameters(self) -> int:
        """Parameters as the classifier states them."""
        return self.full_outputs * self.beta.shape[1]

    def scores(self, X: np.ndarray) -> np.ndarray:
        return self.affine(X, self.beta.T)

    def affine(self, X: np.ndarray, M: np.ndarray) -> np.ndarray:
        """x̃ M for every row; M is (p, anything)."""
        if not self.fit_intercept:
            return X @ M
        out = X @ M[:-1]
        out += M[-1]
        return out

    def moment(self, X: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Σ_i a_i ⊗ x̃_i, of shape (columns of a, p)."""
        if not self.fit_intercept:
            return a.T @ X
        return np.concatenate([a.T @ X, a.sum(axis=0)[:, None]], axis=1)


@dataclass
class CurvatureSum:
    """What one pass over the training rows leaves; adds up over blocks."""

    loss: float
    gradient: np.ndarray  # (n_outputs, p)
    # (n_outputs, p, p) where outputs do not mix, else (n_outputs·p, n_outputs·p)
    hessian: np.ndarray | KroneckerSum

    def __add__(self, other: CurvatureSum) -> CurvatureSum:
        return CurvatureSum(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.hessian + other.hessian,  # type: ignore[operator]  # of one kind
        )

    def __iadd__(self, other: CurvatureSum) -> CurvatureSum:
        self.loss += other.loss
        self.gradient += other.gradient
        self.hessian += other.hessian  # type: ignore[operator]  # of one kind
        return self


def _columns(weight: np.ndarray) -> np.ndarray:
    return weight if weight.ndim == 2 else weight[:, None]


def curvature_sum(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    kronecker: bool = False,
) -> CurvatureSum:
    """Loss, gradient and Hessian of ``Σ_i s_i L_i`` over a block, without penalty.

    ``weight`` is (b,), or (b, n_outputs) for one-versus-rest, whose class weights
    differ from output to output. ``kronecker`` sums up K-FAC's factors instead of the
    Hessian.
    """
    z = model.scores(X)
    link = model.link
    w = _columns(weight)
    loss = link.loss(z, y)
    gradient = model.moment(X, w * link.residual(z, y))
    hessian: np.ndarray | KroneckerSum
    if kronecker:
        hessian = _kronecker_sum(model, X, z, weight)
    elif link.coupled:
        hessian = _coupled_hessian(model, X, link.curvature(z) * w[:, :, None])
    else:
        hessian = _diagonal_hessian(model, X, link.curvature(z) * w)
    return CurvatureSum(float((_columns(loss) * w).sum()), gradient, hessian)


def _diagonal_hessian(model: SoftmaxLinear, X: np.ndarray, sS: np.ndarray) -> np.ndarray:
    p, d = model.beta.shape[1], model.n_features
    hessian = np.empty((sS.shape[1], p, p))
    root = np.empty(X.shape)
    for k in range(sS.shape[1]):
        scale = np.sqrt(sS[:, k])
        np.multiply(X, scale[:, None], out=root)
        hessian[k, :d, :d] = root.T @ root  # BLAS sees the symmetric product
        if model.fit_intercept:
            hessian[k, d, :d] = hessian[k, :d, d] = scale @ root
            hessian[k, d, d] = scale @ scale
    return hessian


def _coupled_hessian(model: SoftmaxLinear, X: np.ndarray, sS: np.ndarray) -> np.ndarray:
    outputs, p = model.beta.shape
    Xt = np.concatenate([X, np.ones((len(X), 1))], axis=1) if model.fit_intercept else X
    hessian = np.empty((outputs, p, outputs, p))
    for a in range(outputs):
        # All blocks right of the diagonal in one product: x̃ᵀ [S_ab x̃ for b ≥ a].
        right = (sS[:, a, a:, None] * Xt[:, None, :]).reshape(len(X), -1)
        hessian[a, :, a:, :] = (Xt.T @ right).reshape(p, outputs - a, p)
        for b in range(a + 1, outputs):
            hessian[b, :, a, :] = hessian[a, :, b, :].T
    return hessian.reshape(outputs * p, outputs * p)


def _kronecker_sum(
    model: SoftmaxLinear, X: np.ndarray, z: np.ndarray, weight: np.ndarray
) -> KroneckerSum:
    if weight.ndim == 2:
        raise ValueError(
            'curvature="kfac" needs one weight a row, and these class weights differ from '
            'output to output. Use curvature="exact".'
        )
    if isinstance(model.link, Softmax):
        S = model.link.curvature_sum(z, weight)
    else:  # outputs do not mix
        S = np.diag(weight @ model.link.curvature(z))
    Xt = np.concatenate([X, np.ones((len(X), 1))], axis=1) if model.fit_intercept else X
    root = np.sqrt(weight)[:, None] * Xt
    return KroneckerSum(S, root.T @ root, float(weight.sum()))


def validation_gradient(
    model: SoftmaxLinear,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    loss: ValidationLoss,
    chunk: int | None = None,
) -> np.ndarray:
    """u, the weighted mean over V of the validation loss's gradient (n_outputs, p)."""
    if chunk is None:
        chunk = block_rows(X.shape[1] + 6 * model.link.n_classes)

    def part(rows: slice) -> np.ndarray:
        block = dense_rows(X, rows)
        z = model.scores(block)
        gradient = checked_loss(loss, y[rows], model.link.log_proba(z))
        return model.moment(block, weight[rows, None] * model.link.pull_back(z, gradient))

    u = np.zeros_like(model.beta)
    for block in map_blocks(part, X.shape[0], chunk):
        u += block
    return u / weight.sum()


def perturb_rows(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray | KroneckerInverse,
    h: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What moving each row of a block does.

    Returns g (b, d), the derivative of the validation loss; Z (b, n_outputs, d),
    that of the row's own scores; and z (b, n_outputs), the scores.
    """
    z, sr, sS, Z = own_jacobian(model, X, y, weight, inverse)
    eta = model.affine(X, h.T)
    mixed = np.matmul(sS, eta[:, :, None])[:, :, 0] if model.link.coupled else sS * eta
    g = -(mixed @ model.W) - sr @ h[:, : model.n_features]
    return g, Z, z


def own_jacobian(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray | KroneckerInverse,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores z, s r, s S and Z = ∂_ω z of a block, the refit included."""
    z = model.scores(X)
    w = _columns(weight)
    sr = w * model.link.residual(z, y)
    sS = model.link.curvature(z) * (w[:, :, None] if model.link.coupled else w)
    if isinstance(inverse, KroneckerInverse):
        Z = _kronecker_jacobian(model, X, sr, sS, inverse)
    elif model.link.coupled:
        Z = _coupled_jacobian(model, X, sr, sS, inverse)
    else:
        Z = _diagonal_jacobian(model, X, sr, sS, inverse)
    return z, sr, sS, Z


def _diagonal_jacobian(
    model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    d = model.n_features
    Z = np.empty((len(X), sr.shape[1], d))
    for k in range(sr.shape[1]):
        Q = model.affine(X, inverse[k])
        leverage = np.einsum("bj,bj->b", Q[:, :d], X)
        if model.fit_intercept:
            leverage += Q[:, d]
        np.multiply(Q[:, :d], -sr[:, k, None], out=Z[:, k])
        Z[:, k] += (1.0 - sS[:, k] * leverage)[:, None] * model.W[k]
    return Z


def _coupled_jacobian(
    model: SoftmaxLinear, X: np.ndarray, sr: np.ndarray, sS: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    outputs, p = model.beta.shape
    d = model.n_features
    blocks = inverse.reshape(outputs, p, outputs, p)
    Z = np.empty((len(X), outputs, d))
    leverage = np.empty((len(X), outputs, outputs))
    for a in range(outputs):
        Q = model.affine(X, blocks[a].reshape(p, -1)).reshape(len(X), outputs, p)
        np.matmul(Q[:, :, :d], X[:, :, None], out=leverage[:, a, :, None])
        if model.fit_intercept:
            leverage[:, a] += Q[:, :, d]
        np.matmul(-sr[:, None, :], Q[:, :, :d], out=Z[:, a, None, :])
    Z += (np.eye(outputs) - np.matmul(leverage, sS)) @ model.W
    return Z


def _kronecker_jacobian(
    model: SoftmaxLinear,
    X: np.ndarray,
    sr: np.ndarray,
    sS: np.ndarray,
    inverse: KroneckerInverse,
) -> np.ndarray:
    # Q_ak = (outputs)_ak T with one T = x̃ᵀ inputs for all classes.
    d = model.n_features
    T = model.affine(X, inverse.inputs)
    leverage = np.einsum("bj,bj->b", T[:, :d], X)
    if model.fit_intercept:
        leverage += T[:, d]
    mixing = np.matmul(inverse.outputs, sS) * leverage[:, None, None]
    Z = (np.eye(len(inverse.outputs)) - mixing) @ model.W
    Z -= (sr @ inverse.outputs)[:, :, None] * T[:, None, :d]
    return Z


def score_rows(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray | KroneckerInverse,
    h: np.ndarray,
    root: np.ndarray | None = None,
) -> np.ndarray:
    """FI of each row of a block, shape (b,), by the whole inverse.

    ``root`` is R with R Rᵀ the perturbation metric's inverse (the training
    covariance for Mahalanobis); None is the Euclidean metric. The products with an inverse
    of float32 are taken in float32.
    """
    assert not isinstance(inverse, KroneckerInverse)  # `score_all` prepares for that once
    if model.link.n_outputs == 1:
        return _score_binary(model, X, y, weight, inverse[0], h[0], root)
    g, Z, z = perturb_rows(model, X, y, weight, inverse, h)
    if root is not None:
        g, Z = g @ root, Z @ root
    log_p = model.link.log_proba(z)
    if Z.shape[2] < model.link.n_classes:
        return fi_few_columns(g, model.link.class_scores(z, Z), log_p)
    return fi_multiclass(g, model.link.contrasts(z, Z), log_p)


def _score_binary(
    model: SoftmaxLinear,
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray,
    h: np.ndarray,
    root: np.ndarray | None,
) -> np.ndarray:
    """``perturb_rows`` and the geometry in one: neither g nor v needs to be formed.

    v = α W - s r τ with τ = (H⁻¹x̃)_x and g = -(s S η W + s r h_x), so all that is asked
    of them are inner products of τ, W and h.
    """
    d, W, hx = model.n_features, model.W[0], h[: model.n_features]
    towards = inverse[:, :d] @ np.stack([W, hx], axis=1)
    small = model.affine(X, np.column_stack([model.beta[0], h, towards, inverse[:, -1]]))
    z, eta, tau_W, tau_h, last = np.ascontiguousarray(small.T)
    z = z[:, None]
    w = _columns(weight)
    S = model.link.curvature(z)
    sr = (w * model.link.residual(z, y))[:, 0]
    sS = (w * S)[:, 0]
    tau = model.affine(X, inverse[:, :d])
    leverage = np.einsum("bj,bj->b", tau, X)
    if model.fit_intercept:
        leverage += last
    alpha = 1.0 - sS * leverage
    if root is None:
        parts = alpha**2 * (W @ W), sr**2 * np.einsum("bd,bd->b", tau, tau)
        v_dot_v = parts[0] + parts[1] - 2.0 * alpha * sr * tau_W
        W_dot_v = alpha * (W @ W) - sr * tau_W
        h_dot_v = alpha * (W @ hx) - sr * tau_h
        # Where the two parts of v all but cancel, the expansion has lost its digits.
        cancelled = np.flatnonzero(v_dot_v < 1e-4 * (parts[0] + parts[1]))
    else:
        v_dot_v, W_dot_v, h_dot_v = np.empty((3, len(X)))
        cancelled = np.arange(len(X))
    if len(cancelled):
        v = alpha[cancelled, None] * W - sr[cancelled, None] * tau[cancelled]
        directions = np.stack([W, hx], axis=1)
        if root is not None:
            v, directions = v @ root, root.T @ directions
        v_dot_v[cancelled] = np.einsum("bd,bd->b", v, v)
        W_dot_v[cancelled], h_dot_v[cancelled] = (v @ directions).T
    g_dot_v = -(sS * eta * W_dot_v + sr * h_dot_v)
    return fi_binary(g_dot_v, v_dot_v, S[:, 0])


def score_all(
    model: SoftmaxLinear,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: np.ndarray | KroneckerInverse,
    h: np.ndarray,
    root: np.ndarray | None = None,
    chunk: int | None = None,
) -> np.ndarray:
    """FI of all rows, in blocks."""
    if isinstance(inverse, KroneckerInverse):
        return _score_kronecker(model, X, y, weight, inverse, h, root, chunk)
    if chunk is None:
        outputs, p = model.beta.shape
        # A binary block makes two temporaries as large as itself, others many more.
        if outputs == 1:
            chunk = block_rows(6 * p + 6)
        elif model.link.coupled:
            chunk = block_rows(p * (6 * outputs + 4) + 6 * outputs**2)
        else:
            smaller = min(model.link.n_classes - 1, p)  # of the metric tensor and its dual
            chunk = block_rows(p * (4 * outputs + 4) + 3 * smaller**2)

    fi = np.empty(X.shape[0])

    def part(rows: slice) -> None:
        block = dense_rows(X, rows)
        fi[rows] = score_rows(model, block, y[rows], weight[rows], inverse, h, root)

    deque(map_blocks(part, X.shape[0], chunk), maxlen=0)
    return fi


def _score_kronecker(
    model: SoftmaxLinear,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    inverse: KroneckerInverse,
    h: np.ndarray,
    root: np.ndarray | None,
    chunk: int | None,
) -> np.ndarray:
    assert isinstance(model.link, Softmax)  # other links have an inverse for each output
    d = model.n_features
    W, hx = model.W, h[:, :d]
    if root is not None:
        W, hx = W @ root, hx @ root
    prepared = KroneckerRows(model.link, inverse.outputs, W, hx)
    if chunk is None:
        chunk = block_rows(prepared.doubles_per_row + 2 * model.beta.shape[1])
    fi = np.empty(X.shape[0])

    def part(rows: slice) -> None:
        block = dense_rows(X, rows)
        T = model.affine(block, inverse.inputs)
        leverage = np.einsum("bj,bj->b", T[:, :d], block)
        if model.fit_intercept:
            leverage += T[:, d]
        t = T[:, :d] if root is None else T[:, :d] @ root
        z, eta = model.scores(block), model.affine(block, h.T)
        fi[rows] = prepared.score(z, y[rows], weight[rows], leverage, eta, t)

    deque(map_blocks(part, X.shape[0], chunk), maxlen=0)
    return fi
