"""FI of every pair of a training row and another row, for torch modules.

What moving training row i does is the same for every row j it is looked at through, so with
``H⁻¹ = R Rᵀ`` each pair is an inner product of two things that know nothing of each other:

    FI(z_j, z_i) = ‖B_i u_j‖² = ‖(s_i/n) F_i M_iᵀ R · Rᵀu_j‖²,   G_i⁺ = F_iᵀF_i

(K - 1)·n double backward passes and one backward pass for each j, then matrix products.
Both sides are m long. A sketch brings them to a chosen length s: a random projection Π that
keeps inner products on average. Their squares come out too large by the variance, which is
``‖b‖²‖u‖²/s + (b·u)²/s`` but for terms of single coordinates, and is taken off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from ..linear._geometry import fisher_factors
from ..linear._losses import ValidationLoss
from ..linear._pool_gradients import looked_gradient
from ._curvature import Curvature
from ._kfsvd import move_low_rank, start_low_rank
from ._network import (
    Network,
    activations,
    as_numpy,
    blocks,
    scores_all,
    unflat,
)
from ._rows import mixed, score_jacobians, vector_bytes
from ._scores import Labelled, differentiable_twice, perturbed

Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CountSketch:
    """Random projection of vectors (…, m) to (…, size), in time m and m numbers of memory.

    Each coordinate is added, with a random sign, to a random one of ``size`` sums
    (Charikar, Chen & Farach-Colton 2002); inner products are kept on average.
    """

    m: int
    size: int
    seed: int | np.random.RandomState | None = None
    place: Tensor = field(init=False, repr=False)
    sign: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rng = check_random_state(self.seed)
        place = torch.as_tensor(rng.randint(self.size, size=self.m))
        sign = torch.as_tensor(rng.choice([-1.0, 1.0], size=self.m))
        object.__setattr__(self, "place", place)
        object.__setattr__(self, "sign", sign)

    def __call__(self, V: Tensor) -> Tensor:
        place, sign = self.place.to(V.device), self.sign.to(V)
        out = V.new_zeros(*V.shape[:-1], self.size)
        return out.index_add_(-1, place, V * sign)


def responses(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    project: Projection | None = None,
    rank: int | None = None,
    seed=None,
    chunk: int | None = None,
    root: np.ndarray | None = None,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Blocks of training rows with ``B_i R`` (b, K - 1, m), projected, and ``‖B_i R‖²`` (b,).

    ``rank`` cuts ``M_i`` to a rank (KFSVD). ``root`` is that of
    `skfi.network._scores.score_network`. The squares are the expected FI of
    `skfi.linear._active.respond_rows`.
    """
    X, y, weight = train
    log_p = network.link.log_proba(scores_all(network, X, chunk))
    nothing = unflat(network, torch.zeros(network.n_parameters, **network.like))
    size = vector_bytes(network, network.rows(X, slice(0, 1)))
    with torch.no_grad():
        for block in blocks(len(X), size, chunk):
            x, codes, share = network.block(X, y, weight, block)
            if rank is None:
                # The share s_i/n stays what it is among all rows.
                part = X[block], y[block], weight[block] * (len(x) / len(X))
                ((_, _, _, Z),) = perturbed(network, curvature, nothing, *part, chunk=len(x))
                F = _factors(Z, log_p[block], root)
                response = mixed(network, x, codes, torch.as_tensor(F, **network.like))
            else:
                generator = start_low_rank(seed)
                M, moved = move_low_rank(network, x, codes, share, curvature, rank, generator)
                F = _factors(as_numpy(moved), log_p[block], root)
                response = M.times(torch.as_tensor(F, **network.like))
            white = curvature.whiten(response) * -share[:, None, None]
            length = (white**2).sum((1, 2))
            yield block, white if project is None else project(white), length


def _factors(Z: np.ndarray, log_p: np.ndarray, root: np.ndarray | None) -> np.ndarray:
    if root is None:
        return fisher_factors(Z, log_p)
    return fisher_factors(Z @ root, log_p) @ root.T


def cotangents(
    network: Network, X, y: np.ndarray | None, loss: ValidationLoss, score: str = "fi"
) -> np.ndarray:
    """Derivative in z of what is looked at (b, n_outputs), see `looked_gradient`."""
    z = scores_all(network, X)
    gradient = looked_gradient(score, network.link.log_proba(z), y, loss)
    return network.link.pull_back(z, gradient)


def pool_gradients(
    network: Network,
    curvature: Curvature,
    X,
    cotangent: np.ndarray,
    project: Projection | None = None,
    chunk: int | None = None,
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Blocks of rows with ``Rᵀu_j`` (b, m), projected, and its square (b,).

    ``u_j = cotangent_j · ∂_θz_j`` is the gradient of the loss that is looked at.
    """
    size = 4.0 * network.n_parameters * network.like["dtype"].itemsize
    size += 8.0 * activations(network.module, network.rows(X, slice(0, 1)))
    with torch.no_grad():
        for block in blocks(len(X), size, chunk):
            x = network.rows(X, block)
            towards = torch.as_tensor(cotangent[block], **network.like)
            u = score_jacobians(network, x, towards[:, :, None])[:, 0]
            white = curvature.whiten(u)
            length = (white**2).sum(1)
            yield block, white if project is None else project(white), length


def fi_pairs(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    X,
    cotangent: np.ndarray,
    sketch: int | None = None,
    rank: int | None = None,
    seed=None,
    chunk: int | None = None,
    root: np.ndarray | None = None,
) -> np.ndarray:
    """FI of each of the rows X through each training row (len(X), n).

    ``cotangent`` is that of `pool_gradients`. With ``sketch`` both sides are projected to that
    length and kept; single pairs are then estimates that are right on average but for being
    cut at 0. Without, the gradients of X are taken anew for each block of training rows.
    """
    project = None if sketch is None else CountSketch(network.n_parameters, sketch, seed)
    out = np.empty((len(X), len(train[0])))
    with differentiable_twice(network):
        kept = None
        if project is not None:
            kept = list(pool_gradients(network, curvature, X, cotangent, project, chunk))
        found = responses(network, curvature, train, project, rank, seed, chunk, root)
        for rows, B, length in found:
            others = kept or pool_gradients(network, curvature, X, cotangent, None, chunk)
            for block, u, other in others:
                moved = torch.tensordot(u, B, ([1], [2]))  # (pool, rows, K - 1)
                fi = (moved**2).sum(2)
                if sketch is not None:
                    fi = (fi - torch.outer(other, length) / sketch) / (1 + 1 / sketch)
                out[block, rows] = as_numpy(fi.clamp_min(0.0))
    return out


def moved_pairs(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    X,
    cotangent: np.ndarray,
    share: np.ndarray,
    **settings,
) -> np.ndarray:
    """``√share_i B_i u_j`` of all pairs, (len(X), n (K - 1)): squared lengths are mean FI."""
    q = len(network.contrasts)
    out = np.empty((len(X), len(train[0]), q))
    chunk = settings.pop("chunk", None)
    with differentiable_twice(network):
        for rows, B, _ in responses(network, curvature, train, chunk=chunk, **settings):
            B = B * torch.as_tensor(np.sqrt(share[rows]), **network.like)[:, None, None]
            for block, u, _ in pool_gradients(network, curvature, X, cotangent, None, chunk):
                out[block, rows] = as_numpy(torch.tensordot(u, B, ([1], [2])))
    return out.reshape(len(X), -1)


def expected_fi(
    network: Network, curvature: Curvature, train: Labelled, **settings
) -> np.ndarray:
    """Expected FI of each training row (n,), see `skfi.linear._active.respond_rows`."""
    out = np.empty(len(train[0]))
    with differentiable_twice(network):
        for rows, _, length in responses(network, curvature, train, **settings):
            out[rows] = as_numpy(length)
    return out
