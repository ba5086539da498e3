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

import numpy as np
import torch
from torch import Tensor

from ._curvature import hessian_root
from ._network import Network, activations, blocks, differentiate
from ._watch import Layer, channels_last, watched

# Rows of a block at most: what more of them need falls out of the processor's caches.
_MAX_ROWS = 256
# A symmetric product is computed in stripes of so many rows, each up to the diagonal.
_STRIPE = 128


def kronecker_factors(
    network: Network, layers: list[Layer], X, y, weight: np.ndarray, chunk: int | None = None
) -> list[tuple[Tensor, Tensor]]:
    """(S, A) of each layer, by one forward and K - 1 backward passes of all rows."""
    widths = [len(layer.order) for layer in layers]
    heights = [len(layer.module.weight) for layer in layers]
    S = [torch.zeros(height, height, **network.like) for height in heights]
    A = [torch.zeros(width, width, **network.like) for width in widths]
    total = float(weight.sum()) / len(X)
    first = network.rows(X, slice(0, 1))
    size, last = _bytes_per_row(network, layers, first), channels_last(network, layers, first)
    for block in blocks(len(X), size, chunk, _MAX_ROWS):
        x, _, share = network.block(X, y, weight, block)
        with torch.enable_grad():
            z, seen = watched(network, layers, x, last=last)
        for place, a, _ in seen:
            rows = layers[place].input_rows(a)
            scale = (share / (total * rows.shape[1])).sqrt()
            add_products(A[place], rows.mul_(scale[:, None, None]))
        outputs = [o for _, _, o in seen]
        root = hessian_root(network, z.detach()) * share.sqrt()[:, None, None]
        for column in root.unbind(2):
            back = differentiate(z, outputs, column)
            for (place, _, _), delta in zip(seen, back, strict=True):
                add_products(S[place], layers[place].output_rows(delta))
    out = []
    for layer, left, right in zip(layers, S, A, strict=True):
        column = torch.argsort(layer.order)
        out.append((_whole(left), _whole(right)[column][:, column]))
    return out


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
        seen = watched(network, layers, x)[1]
        numbers = max(layers[place].input_rows(a).numel() for place, a, _ in seen)
    return 3.0 * numbers * network.like["dtype"].itemsize + 8.0 * activations(network.module, x)


def eigen_factors(
    network: Network,
    layers: list[Layer],
    X,
    y: np.ndarray,
    weight: np.ndarray,
    chunk: int | None = None,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """EKFAC: eigenvectors of both factors, and corrected eigenvalues, of each layer."""
    pairs = kronecker_factors(network, layers, X, y, weight, chunk)
    bases = [(_eigenvectors(S), _eigenvectors(A)) for S, A in pairs]
    values = [S.new_zeros(len(S), len(A)) for S, A in pairs]
    columns = [torch.argsort(layer.order) for layer in layers]
    first = network.rows(X, slice(0, 1))
    size = _bytes_per_row(network, layers, first)
    size += sum(2.0 * v.numel() * v.element_size() for v in values)
    last = channels_last(network, layers, first)
    for block in blocks(len(X), size, chunk, _MAX_ROWS):
        x, _, share = network.block(X, y, weight, block)
        with torch.enable_grad():
            z, seen = watched(network, layers, x, last=last)
        root = hessian_root(network, z.detach()) * share.sqrt()[:, None, None]
        rows = [
            layers[place].input_rows(a)[..., columns[place]] @ bases[place][1]
            for place, a, _ in seen
        ]
        for column in root.unbind(2):
            back = differentiate(z, [o for _, _, o in seen], column)
            for (place, _, _), u, delta in zip(seen, rows, back, strict=True):
                delta = layers[place].output_rows(delta) @ bases[place][0]
                values[place] += ((delta.transpose(1, 2) @ u) ** 2).sum(0)
    return [(S, A, v) for (S, A), v in zip(bases, values, strict=True)]


def _eigenvectors(factor: Tensor) -> Tensor:
    return torch.linalg.eigh(factor.double())[1].to(factor)
