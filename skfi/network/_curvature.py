"""H⁻¹ of a network as an operator: dense, or matrix-free by conjugate gradients.

A network stops short of a minimum, where the Hessian has negative eigenvalues. The
generalised Gauss-Newton matrix ``(1/n) Σ s_i ∂_θz_iᵀ S_i ∂_θz_i`` leaves out the curvature of
the scores themselves: it has none, is the Hessian wherever the scores are linear in the
parameters (the last layer), and is the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .._utils._user_warnings import warn_user
from ..linear._curvature import inverse_on_range, resolve_damping
from ..linear._links import Sigmoid
from ._network import Labelled, Network, activations, as_numpy, blocks, differentiate, flat
from ._rows import batched_gradients, score_jacobians

LARGEST_MATRIX = 20_000  # parameters: 3 GiB of float64 for the matrix alone


class Curvature(Protocol):
    """H⁻¹ as an operator, with the damping that went into it."""

    @property
    def damping(self) -> float:
        """What was added to the diagonal, in units of the mean loss."""

    def solve(self, V: Tensor) -> Tensor:
        """H⁻¹ times vectors (…, m)."""

    def times_root(self, V: Tensor) -> Tensor:
        """``VR`` of vectors (…, m), with a root ``R Rᵀ = H⁻¹``: gradients are white in it."""


def weakest_penalty(network: Network) -> float:
    """The penalty of the least penalised parameter."""
    return min(float(t.min()) for t in network.penalty.values())


def _flat_penalty(network: Network) -> Tensor:
    return flat(p.expand_as(network.theta[name]) for name, p in network.penalty.items())


def network_damping(network: Network, damping: float | str, mean_eigenvalue: float) -> float:
    """The number behind "auto".

    The curvature of a network that is sure of every row may be so small that the inverse
    overflows in its precision.
    """
    used = resolve_damping(damping, mean_eigenvalue, weakest_penalty(network))
    least = float(np.sqrt(torch.finfo(network.like["dtype"]).tiny))
    return max(used, least) if damping == "auto" else used


def in_precision(network: Network, inverse: np.ndarray) -> Tensor:
    """An inverse in the network's dtype, refused where it overflows."""
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

    def times_root(self, V: Tensor) -> Tensor:
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
    network: Network, data: Labelled, kind: str, damping: float | str
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
        H = _hessian(network, data)
        trace = _trace(network, data) if damping == "auto" else 0.0
    else:
        H = _gauss_newton(network, data)
        trace = float(np.trace(H))
    used = network_damping(network, damping, trace / m)
    H[np.diag_indices(m)] += as_numpy(_flat_penalty(network)) + used
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
    # Step j takes class j from the remaining ones, whose probability is exp(remaining_j).
    log_p = torch.log_softmax(z, 1)
    remaining = log_p.flip(1).logcumsumexp(1).flip(1)
    before, after, own = remaining[:, :-1], remaining[:, 1:], log_p[:, :-1]
    root = -(log_p[:, :, None] + 0.5 * (own - before - after)[:, None]).exp().tril(-1)
    root.diagonal(dim1=1, dim2=2).copy_((0.5 * (own + after - before)).exp())
    return root


def _gauss_newton(network: Network, data: Labelled) -> np.ndarray:
    m = network.n_parameters
    total = np.zeros((m, m))
    for part in _root_gradients(network, data, 8.0 * m):
        rows = as_numpy(part)
        total += rows.T @ rows
    return total


def _trace(network: Network, data: Labelled) -> float:
    """Of the Gauss-Newton matrix."""
    return sum(float((part.double() ** 2).sum()) for part in _root_gradients(network, data))


@torch.no_grad()
def _root_gradients(network: Network, data: Labelled, beside: float = 0.0) -> Iterator[Tensor]:
    """``√(s_i/n) R_iᵀ ∂_θz_i`` of blocks of rows (b · columns of R, m), R of `hessian_root`.

    ``beside`` is what the caller needs for each of their rows, in bytes.
    """
    first = network.rows(data.X, slice(0, 1))
    columns = hessian_root(network, network.scores(network.theta, first)).shape[2]
    beside += 3.0 * network.n_parameters * network.like["dtype"].itemsize
    for block in network.blocks(data.X, 6.0 * columns, columns * beside):
        x, _, share = network.block(data, block)
        root = hessian_root(network, network.scores(network.theta, x))
        yield score_jacobians(network, x, root * share.sqrt()[:, None, None]).flatten(0, 1)


def _hessian(network: Network, data: Labelled) -> np.ndarray:
    m, like = network.n_parameters, network.like
    H = np.zeros((m, m))
    size = 24.0 * activations(network.module, network.rows(data.X, slice(0, 1)))
    for block in blocks(len(data.X), size, 256):
        x, codes, share = network.block(data, block)
        theta = list((named := network.leaves()).values())
        with torch.enable_grad():
            loss = share @ network.row_loss(network.scores(named, x), codes)
            slope = flat(differentiate(loss, theta, create_graph=True))
        for columns in blocks(m, size * len(x) + 8.0 * m):
            unit = torch.eye(m, **like)[columns]
            H[columns] += as_numpy(flat(batched_gradients(network, slope, theta, unit), 1))
    return 0.5 * (H + H.T)


class GaussNewton:
    """Products with the Gauss-Newton matrix, one pass over the rows each."""

    def __init__(self, network: Network, data: Labelled):
        self.network, self.data = network, data
        self.size = 24.0 * activations(network.module, network.rows(data.X, slice(0, 1)))

    def __matmul__(self, M: Tensor) -> Tensor:
        """Of vectors (m, c)."""
        out = torch.zeros_like(M.T)
        for block in blocks(len(self.data.X), self.size, 256):
            x, _, share = self.network.block(self.data, block)
            for part in blocks(M.shape[1], self.size * len(x) + 8.0 * len(M)):
                out[part] += self._block(x, share, M.T[part])
        return out.T

    @torch.enable_grad()
    def _block(self, x: Tensor, share: Tensor, V: Tensor) -> Tensor:
        network, theta = self.network, self.network.leaves()
        z, leaves = network.scores(theta, x), list(theta.values())
        # θ's gradient is linear in where it starts: its derivative there is ∂_θz itself.
        start = torch.zeros_like(z).requires_grad_()
        slope = flat(differentiate(z, leaves, start, create_graph=True))
        (along,) = batched_gradients(network, slope, [start], V)
        root = hessian_root(network, z.detach()) * share.sqrt()[:, None, None]
        back = (root @ (root.transpose(1, 2) @ along[..., None]))[..., 0]
        return flat(batched_gradients(network, z, leaves, back), 1)


@dataclass(frozen=True)
class CgCurvature:
    """Conjugate gradients on Gauss-Newton products: one pass over the data an iteration."""

    matrix: GaussNewton
    penalty: Tensor  # (m,), damping included
    damping: float
    tol: float
    max_iter: int

    def times_root(self, V: Tensor) -> Tensor:
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
            warn_user(
                f"Conjugate gradients stopped at a relative residual of {float(residual):.1g} "
                f"after {self.max_iter} iterations. A larger damping makes them converge.",
            )
        return (solution * scale).T.reshape(V.shape)


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], B: Tensor, tol: float, max_iter: int
) -> Tensor:
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


def cg_curvature(network: Network, data: Labelled, damping: float | str) -> CgCurvature:
    """Gauss-Newton products on demand; "auto" damping needs the trace, one pass."""
    trace = _trace(network, data) if damping == "auto" else 0.0
    used = network_damping(network, damping, trace / network.n_parameters)
    if used + weakest_penalty(network) <= 0:
        raise ValueError(
            'curvature="cg" needs a positive definite matrix, and there is no penalty. Set '
            'damping to a positive number, or "auto".'
        )
    tol = 1e-5 if network.like["dtype"] == torch.float32 else 1e-10
    penalty = _flat_penalty(network) + used
    return CgCurvature(GaussNewton(network, data), penalty, used, tol, max_iter=1000)
