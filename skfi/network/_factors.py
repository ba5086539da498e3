"""K-FAC's factors of a network's layers: second moments of what flows in and what flows back.

The generalised Gauss-Newton matrix of a layer, ``Σ_i (s_i/n) Σ_c j_ic j_icᵀ`` with
``j_ic = Σ_t δ_ict ⊗ ũ_it``, is replaced by ``S ⊗ A`` with

    S = Σ_i (s_i/n) Σ_c Σ_t δ_ict δ_ictᵀ,    A = Σ_i s_i mean_t ũ_it ũ_itᵀ / Σ_i s_i,

where positions t share the layer's weights (Grosse & Martens 2016; "expand" in Eschenhagen et
al. 2023). δ_ic is what comes back to the layer's output from column c of a root of the loss's
Hessian in the scores: exact, without drawn labels. The Hessian of K classes has rank K - 1, and
its Cholesky factor so many columns (Tanabe & Sagae 1992), one backward pass each.

EKFAC's eigenvalues are the second moments of the gradients in the factors' eigenbasis
(George et al. 2018), by as many passes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ._curvature import hessian_root
from ._network import Labelled, Network, activations, blocks, differentiate
from ._watch import Flow, Layer, channels_last, forward_with_flows

# Rows of a block at most: what more of them need falls out of the processor's caches.
MAX_ROWS = 256
# A symmetric product is computed in stripes of so many rows, each up to the diagonal.
_STRIPE = 128


class Factors(NamedTuple):
    """A layer's S and A; for EKFAC their eigenvectors, and the eigenvalues of both together."""

    S: Tensor  # (n_outputs, n_outputs)
    A: Tensor  # (n_inputs, n_inputs)
    eigenvalues: Tensor | None = None  # (n_outputs, n_inputs)


class _Passes(NamedTuple):
    """A block's forward pass, and its backward passes from each column of the root."""

    share: Tensor
    flows: list[Flow]
    deltas: Iterator[tuple[Tensor, ...]]  # of each flow's output


def _passes(
    network: Network, layers: list[Layer], data: Labelled, beside: float = 0.0
) -> Iterator[_Passes]:
    first = network.rows(data.X, slice(0, 1))
    size = _bytes_per_row(network, layers, first) + beside
    last = channels_last(network, layers, first)
    for block in blocks(len(data.X), size, MAX_ROWS):
        x, _, share = network.block(data, block)
        with torch.enable_grad():
            z, flows = forward_with_flows(network, layers, x, last=last)
        root = hessian_root(network, z.detach()) * share.sqrt()[:, None, None]
        outputs = [flow.output for flow in flows]
        yield _Passes(share, flows, (differentiate(z, outputs, c) for c in root.unbind(2)))


def kronecker_factors(network: Network, layers: list[Layer], data: Labelled) -> list[Factors]:
    """S and A of each layer, by one forward and K - 1 backward passes of all rows."""
    widths = [len(layer.order) for layer in layers]
    heights = [len(layer.module.weight) for layer in layers]
    S = [torch.zeros(height, height, **network.like) for height in heights]
    A = [torch.zeros(width, width, **network.like) for width in widths]
    total = float(data.weight.sum()) / len(data.X)
    for share, flows, deltas in _passes(network, layers, data):
        for place, a, _ in flows:
            rows = layers[place].input_rows(a)
            scale = (share / (total * rows.shape[1])).sqrt()
            add_products(A[place], rows.mul_(scale[:, None, None]))
        for back in deltas:
            for (place, _, _), delta in zip(flows, back, strict=True):
                add_products(S[place], layers[place].output_rows(delta))
    columns = [torch.argsort(layer.order) for layer in layers]
    A = [_whole(right)[c][:, c] for right, c in zip(A, columns, strict=True)]
    return [Factors(_whole(left), right) for left, right in zip(S, A, strict=True)]


def add_products(total: Tensor, rows: Tensor) -> None:
    """Add Σ_t r_t r_tᵀ of rows (…, n), without what is above the diagonal's stripes."""
    rows = rows.flatten(0, -2)
    for start in range(0, len(total), _STRIPE):
        stop = min(start + _STRIPE, len(total))
        total[start:stop, :stop].addmm_(rows[:, start:stop].T, rows[:, :stop])


def _whole(total: Tensor) -> Tensor:
    return total.tril() + total.tril(-1).T


def _bytes_per_row(network: Network, layers: list[Layer], x: Tensor) -> float:
    """Of a block's temporaries, roughly."""
    with torch.no_grad():
        flows = forward_with_flows(network, layers, x)[1]
        sizes = [layers[place].input_rows(a).numel() for place, a, _ in flows]
    return 3.0 * max(sizes, default=0) * network.like["dtype"].itemsize + 8.0 * activations(
        network.module, x
    )


def eigen_factors(network: Network, layers: list[Layer], data: Labelled) -> list[Factors]:
    """EKFAC: eigenvectors of both factors, and corrected eigenvalues, of each layer."""
    factors = [
        Factors(_eigenvectors(S), _eigenvectors(A), S.new_zeros(len(S), len(A)))
        for S, A, _ in kronecker_factors(network, layers, data)
    ]
    columns = [torch.argsort(layer.order) for layer in layers]
    beside = sum(2.0 * len(S) * len(A) * S.element_size() for S, A, _ in factors)
    for _, flows, deltas in _passes(network, layers, data, beside):
        inputs = [
            layers[place].input_rows(a)[..., columns[place]] @ factors[place].A
            for place, a, _ in flows
        ]
        for back in deltas:
            for (place, _, _), u, delta in zip(flows, inputs, back, strict=True):
                S, _, eigenvalues = factors[place]
                rows = layers[place].output_rows(delta) @ S
                assert eigenvalues is not None
                eigenvalues += ((rows.transpose(1, 2) @ u) ** 2).sum(0)
    return factors


def _eigenvectors(factor: Tensor) -> Tensor:
    return torch.linalg.eigh(factor.double())[1].to(factor)
