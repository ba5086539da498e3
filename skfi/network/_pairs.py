"""FI of every pair of a training row and another row, for torch modules.

What moving training row i does is the same for every other row j, so with ``H⁻¹ = R Rᵀ``
each pair is an inner product of two vectors that do not depend on each other:

    FI(z_j, z_i) = ‖B_i u_j‖² = ‖(s_i/n) F_i M_iᵀ R · Rᵀu_j‖²,   G_i⁺ = F_iᵀF_i

(K - 1)·n double backward passes and one backward pass for each j, then matrix products.
Both sides are m long. A sketch brings them to a chosen length s: a random projection Π that
keeps inner products on average. Their squares come out too large by the variance, which is
``‖b‖²‖u‖²/s + (b·u)²/s`` but for terms of single coordinates, and is taken off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Tensor

from ..linear._geometry import fisher_factors
from ..linear._losses import ValidationLoss
from ..linear._pool_gradients import looked_gradient
from ._curvature import Curvature
from ._kfsvd import Seed, perturb_block, start_low_rank
from ._network import Labelled, Network, as_numpy, blocks, scores_all, unflat
from ._rows import mixed, score_jacobians, vector_bytes
from ._scores import differentiable_twice, perturbed

Projection = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CountSketch:
    """Random projection of vectors (…, m) to (…, size), in time m and m numbers of memory.

    Each coordinate is added, with a random sign, to a random one of ``size`` sums
    (Charikar, Chen & Farach-Colton 2002); inner products are kept on average.
    """

    m: int
    size: int
    seed: Seed = None
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


class Side(NamedTuple):
    """One of the two sides of a block of pairs."""

    rows: slice
    vectors: Tensor  # (b, m) or (b, K - 1, m), projected
    squared: Tensor  # their squared lengths before they were projected (b,)


def _side(rows: slice, vectors: Tensor, project: Projection | None) -> Side:
    squared = vectors.square().flatten(1).sum(1)
    return Side(rows, vectors if project is None else project(vectors), squared)


@torch.no_grad()
def responses(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    project: Projection | None = None,
    rank: int | None = None,
    seed: Seed = None,
    root: np.ndarray | None = None,
) -> Iterator[Side]:
    """``B_i R`` of blocks of training rows, (b, K - 1, m).

    ``rank`` cuts ``M_i`` to a rank (KFSVD). ``root`` is that of
    `skfi.network._scores.score_network`. The squares are the expected FI of
    `skfi.linear._active.respond_rows`.
    """
    X, y, weight = train
    log_p = network.link.log_proba(scores_all(network, X))
    nothing = unflat(network, torch.zeros(network.n_parameters, **network.like))
    for block in blocks(len(X), vector_bytes(network, network.rows(X, slice(0, 1)))):
        x, codes, share = network.block(train, block)
        if rank is None:
            # The share s_i/n stays what it is among all rows.
            part = Labelled(X[block], y[block], weight[block] * (len(x) / len(X)))
            Z = np.concatenate([p.Z for p in perturbed(network, curvature, nothing, part)])
            F = _factors(Z, log_p[block], root)
            response = mixed(network, x, codes, torch.as_tensor(F, **network.like))
        else:
            M, change = perturb_block(
                network, x, codes, share, curvature, rank, start_low_rank(seed)
            )
            F = _factors(as_numpy(change), log_p[block], root)
            response = M.times(torch.as_tensor(F, **network.like))
        yield _side(block, curvature.times_root(response) * -share[:, None, None], project)


def _factors(Z: np.ndarray, log_p: np.ndarray, root: np.ndarray | None) -> np.ndarray:
    if root is None:
        return fisher_factors(Z, log_p)
    return fisher_factors(Z @ root, log_p) @ root.T


def cotangents(
    network: Network, X: Any, y: np.ndarray | None, loss: ValidationLoss, score: str = "fi"
) -> np.ndarray:
    """Derivative in z (b, n_outputs) of what a score differentiates, see `looked_gradient`."""
    z = scores_all(network, X)
    gradient = looked_gradient(score, network.link.log_proba(z), y, loss)
    return network.link.pull_back(z, gradient)


@torch.no_grad()
def pool_gradients(
    network: Network,
    curvature: Curvature,
    X: Any,
    cotangent: np.ndarray,
    project: Projection | None = None,
) -> Iterator[Side]:
    """``Rᵀu_j`` of blocks of rows, (b, m), with ``u_j = cotangent_j · ∂_θz_j``."""
    beside = 4.0 * network.n_parameters * network.like["dtype"].itemsize
    for block in network.blocks(X, 8.0, beside):
        towards = torch.as_tensor(cotangent[block], **network.like)
        u = score_jacobians(network, network.rows(X, block), towards[:, :, None])[:, 0]
        yield _side(block, curvature.times_root(u), project)


def fi_pairs(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    X: Any,
    cotangent: np.ndarray,
    sketch: int | None = None,
    rank: int | None = None,
    seed: Seed = None,
    root: np.ndarray | None = None,
) -> np.ndarray:
    """FI of each of the rows X through each training row (len(X), n).

    ``cotangent`` is that of `pool_gradients`. With ``sketch`` both sides are projected to that
    length and kept; single pairs are then estimates that are right on average, except that
    they are cut at 0. Without, the gradients of X are computed for each block of training rows.
    """
    project = None if sketch is None else CountSketch(network.n_parameters, sketch, seed)
    out = np.empty((len(X), len(train.X)))
    with differentiable_twice(network):
        kept = None
        if project is not None:
            kept = list(pool_gradients(network, curvature, X, cotangent, project))
        for rows, B, length in responses(network, curvature, train, project, rank, seed, root):
            others = kept or pool_gradients(network, curvature, X, cotangent)
            for block, u, other in others:
                fi = (torch.tensordot(u, B, ([1], [2])) ** 2).sum(2)  # (pool, rows)
                if sketch is not None:
                    fi = (fi - torch.outer(other, length) / sketch) / (1 + 1 / sketch)
                out[block, rows] = as_numpy(fi.clamp_min(0.0))
    return out


def pair_vectors(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    X: Any,
    cotangent: np.ndarray,
    share: np.ndarray,
    **settings: Any,
) -> np.ndarray:
    """``√share_i B_i u_j`` of all pairs, (len(X), n (K - 1)): squared lengths are mean FI."""
    out = np.empty((len(X), len(train.X), len(network.contrasts)))
    with differentiable_twice(network):
        for rows, B, _ in responses(network, curvature, train, **settings):
            B = B * torch.as_tensor(np.sqrt(share[rows]), **network.like)[:, None, None]
            for block, u, _ in pool_gradients(network, curvature, X, cotangent):
                out[block, rows] = as_numpy(torch.tensordot(u, B, ([1], [2])))
    return out.reshape(len(X), -1)


def expected_fi(
    network: Network, curvature: Curvature, train: Labelled, **settings: Any
) -> np.ndarray:
    """Expected FI of each training row (n,), see `skfi.linear._active.respond_rows`."""
    with differentiable_twice(network):
        sides = responses(network, curvature, train, **settings)
        return np.concatenate([as_numpy(side.squared) for side in sides])
