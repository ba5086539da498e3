"""Derivatives of each row by itself.

Rows do not interact in evaluation mode, so that a sum over a block of rows is differentiated
in one pass where the vector is common to all rows. Where each row has a vector of its own, or
wants its own gradient in the parameters, `torch.func` takes a block at once. It takes fewer
modules than autograd does (no branches on numbers, no checkpoints, no operations of one's own
without further methods): for the others autograd is asked row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from .._utils._warning_scopes import raised
from ._network import (
    Labelled,
    Network,
    PerturbedRows,
    Theta,
    activations,
    along_perturbed,
    as_numpy,
    blocks,
    differentiate,
    flat,
    inner,
    unflat,
)

# (b, q, m) vectors of each row -> H⁻¹ times each of them
Solve = Callable[[Tensor], Tensor]
_Result = TypeVar("_Result")


def batched(
    network: Network, at_once: Callable[[], _Result], one_by_one: Callable[[], _Result]
) -> _Result:
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

    def at_once() -> list[Tensor]:
        parts = torch.autograd.grad(
            outputs, inputs, starts, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        zeros = (t.new_zeros(len(starts), *t.shape) for t in inputs)
        return [zero if part is None else part for zero, part in zip(zeros, parts, strict=True)]

    def one_by_one() -> list[Tensor]:
        parts = [differentiate(outputs, inputs, start) for start in starts]
        return [torch.stack(each) for each in zip(*parts, strict=True)]

    if not outputs.requires_grad:
        return one_by_one()
    return batched(network, at_once, one_by_one)


def score_jacobians(network: Network, x: Tensor, towards: Tensor) -> Tensor:
    """``towardsᵀ ∂_θ z`` of each row (b, c, m), for towards (b, n_outputs, c)."""

    def one(theta: Theta, x: Tensor, towards: Tensor) -> Tensor:
        return network.scores(theta, x[None])[0] @ towards

    def at_once() -> Tensor:
        jacobian = vmap(jacrev(one), in_dims=(None, 0, 0))(network.theta, x, towards)
        return flat(jacobian.values(), 2)

    @torch.enable_grad()
    def one_by_one() -> Tensor:
        theta, out = network.leaves(), []
        for row, columns in zip(x, towards, strict=True):
            z = network.scores(theta, row[None])[0]
            parts = [flat(differentiate(z, list(theta.values()), c)) for c in columns.T]
            out.append(torch.stack(parts))
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

    def one(x: Tensor, y: Tensor, omega: Tensor, v: Theta) -> Tensor:
        def directional(omega: Tensor) -> Tensor:
            return inner(grad(_loss_of(network, x, y))(network.theta, omega), v)

        return grad(directional)(omega)

    def slope(loss: Tensor, theta: Theta, omega: Tensor) -> tuple[Tensor, list[Tensor]]:
        return flat(differentiate(loss, list(theta.values()), create_graph=True)), [omega]

    parts = unflat(network, V)
    return _contract(network, x, y, (one, parts), (slope, V)).flatten(2)


def mixed(network: Network, x: Tensor, y: Tensor, W: Tensor) -> Tensor:
    """``M_i w`` (b, q, m) for q vectors a row, W (b, q, d)."""

    def one(x: Tensor, y: Tensor, omega: Tensor, w: Tensor) -> Tensor:
        def directional(theta: Theta) -> Tensor:
            by_omega = grad(_loss_of(network, x, y), argnums=1)
            return (by_omega(theta, omega).flatten() * w).sum()

        return flat(grad(directional)(network.theta).values())

    def slope(loss: Tensor, theta: Theta, omega: Tensor) -> tuple[Tensor, list[Tensor]]:
        return differentiate(loss, [omega], create_graph=True)[0].flatten(), [*theta.values()]

    return _contract(network, x, y, (one, W), (slope, W))


def _loss_of(network: Network, x: Tensor, y: Tensor) -> Callable[[Theta, Tensor], Tensor]:
    """The loss of one row as a function of θ and ω."""

    def loss(theta: Theta, omega: Tensor) -> Tensor:
        return network.row_loss(network.scores(theta, x[None], omega[None]), y[None])[0]

    return loss


def _contract(
    network: Network,
    x: Tensor,
    y: Tensor,
    batch: tuple[Callable[..., Tensor], Tensor | Theta],
    single: tuple[Callable[..., tuple[Tensor, list[Tensor]]], Tensor],
) -> Tensor:
    """Products of each row's mixed derivative with vectors of its own.

    ``batch`` has the product of one row with one vector, for `torch.func`; ``single`` a row's
    first gradient and what its products with vectors are differentiated in, for autograd.
    """
    omegas = network.still(x)

    def at_once() -> Tensor:
        one, vectors = batch
        per_vector = vmap(one, in_dims=(None, None, None, 0))
        return vmap(per_vector)(x, y, omegas, vectors)

    @torch.enable_grad()
    def one_by_one() -> Tensor:
        (gradient, vectors), out = single, []
        for row, code, omega, own in zip(x, y, omegas, vectors, strict=True):
            theta, omega = network.leaves(), omega.detach().requires_grad_()
            first, inputs = gradient(_loss_of(network, row, code)(theta, omega), theta, omega)
            out.append(torch.stack([flat(differentiate(v @ first, inputs)) for v in own]))
        return torch.stack(out)

    return batched(network, at_once, one_by_one)


def vector_bytes(network: Network, x: Tensor) -> int:
    """Bytes one row takes where each row has vectors of its own."""
    q, itemsize = len(network.contrasts), network.like["dtype"].itemsize
    return q * (5 * network.n_parameters * itemsize + 8 * activations(network.module, x))


def perturb_rows(network: Network, x: Tensor, y: Tensor, share: Tensor, solve: Solve) -> Tensor:
    """Z (b, K - 1, d): what moving each row does to its own log-odds, refit included."""
    V = solve(own_jacobian(network, x))
    back = mixed_transposed(network, x, y, V)
    return direct_jacobian(network, x) - share[:, None, None] * back


@torch.no_grad()
def perturb_all(
    network: Network, data: Labelled, solve: Solve, h: Theta
) -> Iterator[PerturbedRows]:
    """Blocks of all rows."""
    size = vector_bytes(network, network.rows(data.X, slice(0, 1)))
    for block in blocks(len(data.X), size):
        x, codes, share = network.block(data, block)
        g, change = along_perturbed(network, x, codes, share, h)
        Z = perturb_rows(network, x, codes, share, solve)
        yield PerturbedRows(block, as_numpy(g), as_numpy(change), as_numpy(Z))
