"""What stands for H⁻¹ of a network: dense, or matrix-free by conjugate gradients.

A network stops short of a minimum, where the Hessian has negative eigenvalues. The
generalised Gauss-Newton matrix ``(1/n) Σ s_i ∂_θz_iᵀ S_i ∂_θz_i`` leaves out the curvature of
the scores themselves: it has none, is the Hessian wherever the scores are linear in the
parameters (the last layer), and is the default.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..linear._curvature import inverse_on_range, resolve_damping
from ..linear._links import Sigmoid
from ._network import (
    Network,
    activations,
    as_numpy,
    blocks,
    differentiate,
    flat,
)
from ._rows import batched_gradients, score_jacobians

LARGEST_MATRIX = 20_000  # parameters: 3 GiB of float64 for the matrix alone


class Curvature(Protocol):
    """H⁻¹ as an operator, with the damping that went into it."""

    @property
    def damping(self) -> float:
        """What was added to the diagonal, in units of the mean loss."""

    def solve(self, V: Tensor) -> Tensor:
        """H⁻¹ times vectors (…, m)."""

    def whiten(self, V: Tensor) -> Tensor:
        """``RᵀV`` of vectors (…, m), with ``H⁻¹ = R Rᵀ``."""


def weakest_penalty(network: Network) -> float:
    """What the penalty adds to the least penalised parameter."""
    return min(float(t.min()) for t in network.penalty.values())


def network_damping(network: Network, damping: float | str, mean_eigenvalue: float) -> float:
    """The number behind "auto": also for a network that is sure of every row.

    Its curvature may be so small that the inverse has no number in its precision.
    """
    used = resolve_damping(damping, mean_eigenvalue, weakest_penalty(network))
    least = float(np.sqrt(torch.finfo(network.like["dtype"]).tiny))
    return max(used, least) if damping == "auto" else used


def in_precision(network: Network, inverse: np.ndarray) -> Tensor:
    """An inverse in the network's dtype, refused where it has no number there."""
    with np.errstate(over="ignore"):
        out = torch.as_tensor(inverse, **network.like)
    if not torch.isfinite(out).all():
        raise ValueError(
            "The curvature is so small that its inverse overflows: the network is sure of "
            'every row. Set damping="auto", or to a positive number.'
        )
    return out


def root_of(matrix: Tensor) -> Tensor:
    """R with R Rᵀ a positive semi-definite matrix."""
    root, failed = torch.linalg.cholesky_ex(matrix)
    if not failed:
        return root
    eigenvalue, Q = torch.linalg.eigh(matrix)
    return Q * eigenvalue.clamp_min(0.0).sqrt()


@dataclass(frozen=True)
class DenseCurvature:
    """The whole inverse, for networks of few parameters."""

    inverse: Tensor  # (m, m)
    damping: float
    smallest: float  # smallest eigenvalue of H, damping included

    def solve(self, V: Tensor) -> Tensor:
        return V @ self.inverse

    def whiten(self, V: Tensor) -> Tensor:
        if self.smallest < 0:
            raise ValueError(
                'An indefinite Hessian has no square root. Use curvature="ggn", or damping '
                f"above {-self.smallest:.2g}."
            )
        return V @ self.root

    @cached_property
    def root(self) -> Tensor:
        return root_of(self.inverse)


def dense_curvature(
    network: Network,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    kind: str,
    damping: float | str,
    chunk: int | None = None,
) -> DenseCurvature:
    """Exact Hessian or Gauss-Newton matrix, inverted on its range in float64."""
    m = network.n_parameters
    if m > LARGEST_MATRIX:
        raise ValueError(
            f'curvature="{kind}" keeps a matrix of {m} × {m} parameters, which needs '
            f'{m * m * 8 / 2**30:.0f} GiB. Use curvature="kfac", "ekfac" or "cg", or '
            'fewer parameters (params="last_layer").'
        )
    if kind == "exact":
        H = _hessian(network, X, y, weight, chunk)
        trace = _trace(network, X, weight, chunk) if damping == "auto" else 0.0
    else:
        H = _gauss_newton(network, X, weight, chunk)
        trace = float(np.trace(H))
    penalty = flat({n: p.expand_as(network.theta[n]) for n, p in network.penalty.items()})
    used = network_damping(network, damping, trace / m)
    H[np.diag_indices(m)] += penalty.double().cpu().numpy() + used
    eigenvalue = np.linalg.eigvalsh(H) if kind == "exact" else np.zeros(1)
    smallest = float(eigenvalue[0])
    if smallest < -1e-10 * max(float(eigenvalue[-1]), 1e-300):
        inverse = np.linalg.pinv(H, hermitian=True)
    else:
        inverse, smallest = inverse_on_range(H), max(smallest, 0.0)
    return DenseCurvature(in_precision(network, inverse), used, smallest)


def hessian_root(network: Network, z: Tensor) -> Tensor:
    """R (b, n_outputs, columns) with R Rᵀ the Hessian of each row's loss in its scores."""
    if isinstance(network.link, Sigmoid):
        return (0.5 * (logsigmoid(z) + logsigmoid(-z))).exp()[:, :, None]
    # The j-th step takes class j from those not yet taken, whose probability is exp(left_j).
    log_p = torch.log_softmax(z, 1)
    left = log_p.flip(1).logcumsumexp(1).flip(1)
    before, after, own = left[:, :-1], left[:, 1:], log_p[:, :-1]
    root = -(log_p[:, :, None] + 0.5 * (own - before - after)[:, None]).exp().tril(-1)
    root.diagonal(dim1=1, dim2=2).copy_((0.5 * (own + after - before)).exp())
    return root


def _gauss_newton(network: Network, X, weight: np.ndarray, chunk: int | None) -> np.ndarray:
    m = network.n_parameters
    total = np.zeros((m, m))
    for part in _root_gradients(network, X, weight, chunk, 8.0 * m):
        rows = as_numpy(part)
        total += rows.T @ rows
    return total


def _trace(network: Network, X, weight: np.ndarray, chunk: int | None) -> float:
    """Of the Gauss-Newton matrix."""
    parts = _root_gradients(network, X, weight, chunk)
    return sum(float((part.double() ** 2).sum()) for part in parts)


@torch.no_grad()
def _root_gradients(
    network: Network, X, weight: np.ndarray, chunk: int | None, beside: float = 0.0
) -> Iterator[Tensor]:
    """``√(s_i/n) R_iᵀ ∂_θz_i`` of blocks of rows (b · columns of R, m), R of `hessian_root`.

    ``beside`` is what the caller needs for each of their rows, in bytes.
    """
    first = network.rows(X, slice(0, 1))
    columns = hessian_root(network, network.scores(network.theta, first)).shape[2]
    size = columns * (
        3.0 * network.n_parameters * network.like["dtype"].itemsize
        + 6.0 * activations(network.module, first)
        + beside
    )
    for block in blocks(len(X), size, chunk):
        x = network.rows(X, block)
        share = torch.as_tensor(weight[block] / len(X), **network.like)
        root = hessian_root(network, network.scores(network.theta, x))
        root = root * share.sqrt()[:, None, None]
        yield score_jacobians(network, x, root).flatten(0, 1)


def _hessian(
    network: Network, X, y: np.ndarray, weight: np.ndarray, chunk: int | None
) -> np.ndarray:
    m, like = network.n_parameters, network.like
    H = np.zeros((m, m))
    size = 24.0 * activations(network.module, network.rows(X, slice(0, 1)))
    for block in blocks(len(X), size, chunk, 256):
        x, codes, share = network.block(X, y, weight, block)
        theta = network.leaves()
        with torch.enable_grad():
            loss = share @ network.row_loss(network.scores(theta, x), codes)
            slopes = differentiate(loss, list(theta.values()), create_graph=True)
            slope = flat(dict(zip(theta, slopes, strict=True)))
        for columns in blocks(m, size * len(x) + 8.0 * m):
            unit = torch.eye(m, **like)[columns]
            parts = batched_gradients(network, slope, list(theta.values()), unit)
            H[columns] += as_numpy(flat(dict(zip(theta, parts, strict=True)), 1))
    return 0.5 * (H + H.T)


class GaussNewton:
    """Products with the Gauss-Newton matrix, one pass over the rows each."""

    def __init__(self, network: Network, X, weight: np.ndarray, chunk: int | None):
        self.network, self.X, self.weight, self.chunk = network, X, weight, chunk
        self.size = 24.0 * activations(network.module, network.rows(X, slice(0, 1)))

    def __matmul__(self, M: Tensor) -> Tensor:
        """Of vectors (m, c)."""
        network, out = self.network, torch.zeros_like(M.T)
        for block in blocks(len(self.X), self.size, self.chunk, 256):
            x = network.rows(self.X, block)
            share = torch.as_tensor(self.weight[block] / len(self.X), **network.like)
            for part in blocks(M.shape[1], self.size * len(x) + 8.0 * len(M)):
                out[part] += self._block(x, share, M.T[part])
        return out.T

    @torch.enable_grad()
    def _block(self, x: Tensor, share: Tensor, V: Tensor) -> Tensor:
        network, theta = self.network, self.network.leaves()
        z, leaves = network.scores(theta, x), list(theta.values())
        # θ's gradient is linear in where it starts: its derivative there is ∂_θz itself.
        start = torch.zeros_like(z).requires_grad_()
        slopes = differentiate(z, leaves, start, create_graph=True)
        slope = flat(dict(zip(theta, slopes, strict=True)))
        (along,) = batched_gradients(network, slope, [start], V)
        root = hessian_root(network, z.detach()) * share.sqrt()[:, None, None]
        back = (root @ (root.transpose(1, 2) @ along[..., None]))[..., 0]
        parts = batched_gradients(network, z, leaves, back)
        return flat(dict(zip(theta, parts, strict=True)), 1)


@dataclass(frozen=True)
class CgCurvature:
    """Conjugate gradients on Gauss-Newton products: one pass over the data an iteration."""

    matrix: GaussNewton
    penalty: Tensor  # (m,), damping included
    damping: float
    tol: float
    max_iter: int

    def whiten(self, V: Tensor) -> Tensor:
        raise ValueError(
            'curvature="cg" has products with the inverse only, and pairs need its root. Use '
            '"kfac", "ekfac" or "ggn".'
        )

    def solve(self, V: Tensor) -> Tensor:
        columns = V.reshape(-1, V.shape[-1]).T.contiguous()
        scale = columns.norm(dim=0).clamp_min(torch.finfo(V.dtype).tiny)

        def product(M: Tensor) -> Tensor:
            return self.matrix @ M + self.penalty[:, None] * M

        solution = conjugate_gradients(product, columns / scale, self.tol, self.max_iter)
        residual = (product(solution) - columns / scale).norm(dim=0).max()
        if not residual <= 10 * self.tol:
            warnings.warn(
                f"Conjugate gradients stopped at a relative residual of {float(residual):.1g} "
                f"after {self.max_iter} iterations. A larger damping makes them converge.",
                UserWarning,
                stacklevel=2,
            )
        return (solution * scale).T.reshape(V.shape)


def conjugate_gradients(product, B: Tensor, tol: float, max_iter: int) -> Tensor:
    """Solve for columns B (m, c) until each residual is at most tol."""
    X, R = torch.zeros_like(B), B.clone()
    P, size = R.clone(), (R**2).sum(0)
    for _ in range(max_iter):
        todo = torch.nonzero(size > tol**2)[:, 0]
        if not len(todo):
            break
        Q = product(P[:, todo])
        step = size[todo] / (P[:, todo] * Q).sum(0)
        X[:, todo] += step * P[:, todo]
        R[:, todo] -= step * Q
        after = (R[:, todo] ** 2).sum(0)
        P[:, todo] = R[:, todo] + after / size[todo] * P[:, todo]
        size[todo] = after
    return X


def cg_curvature(
    network: Network,
    X,
    weight: np.ndarray,
    damping: float | str,
    chunk: int | None = None,
) -> CgCurvature:
    """Gauss-Newton products on demand; "auto" damping needs the trace, one pass."""
    matrix = GaussNewton(network, X, weight, chunk)
    weakest = weakest_penalty(network)
    trace = _trace(network, X, weight, chunk) if damping == "auto" else 0.0
    used = network_damping(network, damping, trace / network.n_parameters)
    if used + weakest <= 0:
        raise ValueError(
            'curvature="cg" needs a positive definite matrix, and there is no penalty. Set '
            'damping to a positive number, or "auto".'
        )
    penalty = flat({n: p.expand_as(network.theta[n]) for n, p in network.penalty.items()})
    tol = 1e-5 if network.like["dtype"] == torch.float32 else 1e-10
    return CgCurvature(matrix, penalty + used, used, tol, 10 * 100)
