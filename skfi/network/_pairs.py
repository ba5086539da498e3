"""FI of every pair of a training row and another row, for torch modules.

What moving training row i does is the same for every other row j, so with ``H⁻¹ = R Rᵀ``
each pair is an inner product of two vectors that do not depend on each other:

    FI(z_j, z_i) = ‖B_i u_j‖² = ‖(s_i/n) F_i M_iᵀ R · Rᵀu_j‖²,   G_i⁺ = F_iᵀF_i

(K - 1)·n double backward passes and one backward pass for each j, then matrix products.
Both sides are m long.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..linear._geometry import fisher_factors
from ..linear._losses import ValidationLoss
from ..linear._pool_gradients import score_gradient
from ._curvature import Curvature
from ._kfsvd import Seed, perturb_block, start_low_rank
from ._network import Labelled, Network, as_numpy, blocks, scores_all, unflat
from ._rows import mixed, score_jacobians, vector_bytes
from ._scores import differentiable_twice, perturbed


class Side(NamedTuple):
    """One of the two sides of a block of pairs."""

    rows: slice
    vectors: Tensor  # (b, m) or (b, K - 1, m)


@torch.no_grad()
def responses(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    rank: int | None = None,
    seed: Seed = None,
    root: np.ndarray | None = None,
) -> Iterator[Side]:
    """``B_i R`` of blocks of training rows, (b, K - 1, m).

    ``rank`` cuts ``M_i`` to a rank (KFSVD). ``root`` is that of
    `skfi.network._scores.score_network`.
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
        yield Side(block, curvature.times_root(response) * -share[:, None, None])


def _factors(Z: np.ndarray, log_p: np.ndarray, root: np.ndarray | None) -> np.ndarray:
    if root is None:
        return fisher_factors(Z, log_p)
    return fisher_factors(Z @ root, log_p) @ root.T


def cotangents(
    network: Network, X: Any, y: np.ndarray | None, loss: ValidationLoss, score: str = "fi"
) -> np.ndarray:
    """Derivative in z (b, n_outputs) of what a score differentiates, see `score_gradient`."""
    z = scores_all(network, X)
    gradient = score_gradient(score, network.link.log_proba(z), y, loss)
    return network.link.pull_back(z, gradient)


@torch.no_grad()
def pool_gradients(
    network: Network, curvature: Curvature, X: Any, cotangent: np.ndarray
) -> Iterator[Side]:
    """``Rᵀu_j`` of blocks of rows, (b, m), with ``u_j = cotangent_j · ∂_θz_j``."""
    beside = 4.0 * network.n_parameters * network.like["dtype"].itemsize
    for block in network.blocks(X, 8.0, beside):
        towards = torch.as_tensor(cotangent[block], **network.like)
        u = score_jacobians(network, network.rows(X, block), towards[:, :, None])[:, 0]
        yield Side(block, curvature.times_root(u))


def pair_changes(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    X: Any,
    cotangent: np.ndarray,
    **settings: Any,
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """``B_i u_j`` of blocks of rows X and of training rows, (b, rows, K - 1).

    ``cotangent`` is that of `pool_gradients`, whose gradients are computed for each block of
    training rows; ``settings`` are those of `responses`.
    """
    with differentiable_twice(network):
        for rows, B in responses(network, curvature, train, **settings):
            for block, u in pool_gradients(network, curvature, X, cotangent):
                yield block, rows, as_numpy(torch.tensordot(u, B, ([1], [2])))


def fi_pairs(
    network: Network,
    curvature: Curvature,
    train: Labelled,
    X: Any,
    cotangent: np.ndarray,
    **settings: Any,
) -> np.ndarray:
    """FI of each of the rows X through each training row (len(X), n)."""
    out = np.empty((len(X), len(train.X)))
    pairs = pair_changes(network, curvature, train, X, cotangent, **settings)
    for block, rows, change in pairs:
        out[block, rows] = (change**2).sum(2)
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
    pairs = pair_changes(network, curvature, train, X, cotangent, **settings)
    for block, rows, change in pairs:
        out[block, rows] = change * np.sqrt(share[rows])[:, None]
    return out.reshape(len(X), -1)


def expected_fi(
    network: Network, curvature: Curvature, train: Labelled, **settings: Any
) -> np.ndarray:
    """Expected FI of each training row (n,), see `skfi.linear._active.respond_rows`."""
    with differentiable_twice(network):
        sides = responses(network, curvature, train, **settings)
        return np.concatenate([as_numpy((B**2).sum((1, 2))) for _, B in sides])
