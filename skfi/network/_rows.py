"""Derivatives of each row by itself.

Rows do not interact in evaluation mode, so that a sum over a block of rows is differentiated
in one pass where the vector is common to all rows. Where each row has a vector of its own, or
wants its own gradient in the parameters, `torch.func` takes a block at once. It takes fewer
modules than autograd does (no branches on numbers, no checkpoints, no operations of one's own
without further methods): for the others autograd is asked row by row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from .._utils._warning_scopes import raised
from ._network import (
    Network,
    Perturbed,
    Theta,
    activations,
    along_moved,
    as_numpy,
    blocks,
    differentiate,
    flat,
    inner,
    unflat,
)

# (b, q, m) vectors of each row -> H⁻¹ times each of them
Solve = Callable[[Tensor], Tensor]


def batched(network: Network, at_once: Callable, one_by_one: Callable) -> Any:
    """What `torch.func` computes at once, or autograd one by one where that fails.

    Errors that are not torch.func's come back from autograd.
    """
    if not network.one_by_one:
        try:
            # torch warns where it loops by itself, and slowly.
            with raised(message="There is a performance drop"):
                return at_once()
        except Exception:
            network.take_one_by_one()
    return one_by_one()


def batched_gradients(
    network: Network, outputs: Tensor, inputs: list[Tensor], starts: Tensor
) -> list[Tensor]:
    """Gradients (c, ...) of ``starts_k · outputs`` for starts (c, ...)."""

    def at_once():
        parts = torch.autograd.grad(
            outputs, inputs, starts, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        zeros = (t.new_zeros(len(starts), *t.shape) for t in inputs)
        return [zero if part is None else part for zero, part in zip(zeros, parts, strict=True)]

    def one_by_one():
        parts = [differentiate(outputs, inputs, start) for start in starts]
        return [torch.stack(each) for each in zip(*parts, strict=True)]

    if not outputs.requires_grad:
        return one_by_one()
    return list(batched(network, at_once, one_by_one))


def score_jacobians(network: Network, x: Tensor, towards: Tensor) -> Tensor:
    """``towardsᵀ ∂_θ z`` of each row (b, c, m), for towards (b, n_outputs, c)."""

    def one(theta: Theta, x: Tensor, towards: Tensor) -> Tensor:
        return network.scores(theta, x[None])[0] @ towards

    def at_once() -> Tensor:
        return flat(vmap(jacrev(one), in_dims=(None, 0, 0))(network.theta, x, towards), 2)

    @torch.enable_grad()
    def one_by_one() -> Tensor:
        out = []
        for row, columns in zip(x, towards, strict=True):
            theta = network.leaves()
            z = network.scores(theta, row[None])[0]
            parts = [differentiate(z, list(theta.values()), c) for c in columns.T]
            out.append(
                torch.stack([flat(dict(zip(theta, part, strict=True))) for part in parts])
            )
        return torch.stack(out)

    return batched(network, at_once, one_by_one)


def own_jacobian(network: Network, x: Tensor) -> Tensor:
    """∂_θ of each row's own log-odds contrasts (b, q, m)."""
    return score_jacobians(network, x, network.contrasts.T.expand(len(x), -1, -1))


@torch.enable_grad()
def direct_jacobian(network: Network, x: Tensor) -> Tensor:
    """∂_ω of each row's own log-odds contrasts at fixed θ (b, q, d)."""
    omega = network.still(x).requires_grad_()
    own = network.scores(network.theta, x, omega) @ network.contrasts.T
    parts = [differentiate(column.sum(), [omega])[0] for column in own.T]
    return torch.stack([part.flatten(1) for part in parts], 1)


def mixed_transposed(network: Network, x: Tensor, y: Tensor, V: Tensor) -> Tensor:
    """``VᵀM_i`` (b, q, d) for q vectors a row, V (b, q, m)."""

    def one(x, y, omega, v):
        def directional(omega):
            def loss(theta):
                return network.row_loss(network.scores(theta, x[None], omega[None]), y[None])[0]

            return inner(grad(loss)(network.theta), v)

        return grad(directional)(omega)

    def at_once() -> Tensor:
        per_vector = vmap(one, in_dims=(None, None, None, 0))
        return vmap(per_vector)(x, y, network.still(x), unflat(network, V)).flatten(2)

    @torch.enable_grad()
    def one_by_one() -> Tensor:
        out = []
        for row, code, still, vectors in zip(x, y, network.still(x), V, strict=True):
            theta, omega, loss = _row_loss(network, row, code, still)
            slopes = differentiate(loss, list(theta.values()), create_graph=True)
            slope = flat(dict(zip(theta, slopes, strict=True)))
            out.append(torch.stack([differentiate(v @ slope, [omega])[0] for v in vectors]))
        return torch.stack(out).flatten(2)

    return batched(network, at_once, one_by_one)


def mixed(network: Network, x: Tensor, y: Tensor, W: Tensor) -> Tensor:
    """``M_i w`` (b, q, m) for q vectors a row, W (b, q, d)."""

    def one(x, y, omega, w):
        def directional(theta):
            def loss(omega):
                return network.row_loss(network.scores(theta, x[None], omega[None]), y[None])[0]

            return (grad(loss)(omega) * w).sum()

        return grad(directional)(network.theta)

    omegas = network.still(x)
    W = W.reshape(*W.shape[:2], *omegas.shape[1:])

    def at_once() -> Tensor:
        per_vector = vmap(one, in_dims=(None, None, None, 0))
        return flat(vmap(per_vector)(x, y, omegas, W), 2)

    @torch.enable_grad()
    def one_by_one() -> Tensor:
        out = []
        for row, code, still, vectors in zip(x, y, omegas, W, strict=True):
            theta, omega, loss = _row_loss(network, row, code, still)
            (slope,) = differentiate(loss, [omega], create_graph=True)
            parts = [differentiate((w * slope).sum(), list(theta.values())) for w in vectors]
            out.append(
                torch.stack([flat(dict(zip(theta, part, strict=True))) for part in parts])
            )
        return torch.stack(out)

    return batched(network, at_once, one_by_one)


def _row_loss(
    network: Network, x: Tensor, y: Tensor, still: Tensor
) -> tuple[Theta, Tensor, Tensor]:
    """Fresh θ, ω and the loss of one row in them."""
    theta, omega = network.leaves(), still.detach()[None].requires_grad_()
    return theta, omega, network.row_loss(network.scores(theta, x[None], omega), y[None])[0]


def vector_bytes(network: Network, x: Tensor) -> float:
    """Bytes one row takes where each row has vectors of its own."""
    q, itemsize = len(network.contrasts), network.like["dtype"].itemsize
    return 1.0 * q * (5 * network.n_parameters * itemsize + 8 * activations(network.module, x))


def perturb_rows(network: Network, x: Tensor, y: Tensor, share: Tensor, solve: Solve) -> Tensor:
    """Z (b, K - 1, d): what moving each row does to its own log-odds, refit included."""
    V = solve(own_jacobian(network, x))
    back = mixed_transposed(network, x, y, V)
    return direct_jacobian(network, x) - share[:, None, None] * back


def perturb_all(
    network: Network,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    solve: Solve,
    h: Theta,
    chunk: int | None = None,
) -> Perturbed:
    """Blocks of rows with g (b, d), ``s_i/n h·∂_θL_i`` (b,) and Z (b, K - 1, d)."""
    with torch.no_grad():
        size = vector_bytes(network, network.rows(X, slice(0, 1)))
        for block in blocks(len(X), size, chunk):
            x, codes, share = network.block(X, y, weight, block)
            g, change = along_moved(network, x, codes, share, h)
            Z = perturb_rows(network, x, codes, share, solve)
            yield block, as_numpy(g), as_numpy(change), as_numpy(Z)
