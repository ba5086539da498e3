"""K-FAC and EKFAC for whole networks, by what flows through the layers.

A layer's parameter gradient is ``Σ_t δ_t ũ_tᵀ``, outer products of what comes back to its
outputs with what went into it (t: positions that share the weights; ũ with a 1 for the
bias). With K-FAC ``H⁻¹ = S⁻¹ ⊗ A⁻¹`` keeps that form, so vectors of m parameters for each row
and class are never written down: with e the gradient of the row's loss at the outputs,

    v·∂_θ L_i(ω) = Σ_layers Σ_t e_t(ω)ᵀ V ũ_t(ω),   V = S⁻¹ (Σ_t' δ_t' ũ_t'ᵀ) A⁻¹ held fixed,

and its derivative in ω is one backward pass through e and ũ, whose starting values ``V ũ``
and ``Vᵀ e`` are sums over pairs of positions. EKFAC does the same in the factors' eigenbasis,
where its eigenvalues are one number for each pair of coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..linear._curvature import inverse_on_range
from ..linear._kronecker import balance
from ._curvature import in_precision, network_damping, root_of, weakest_penalty
from ._factors import MAX_ROWS, eigen_factors, kronecker_factors
from ._misuse import check_layers
from ._network import (
    Labelled,
    Network,
    PerturbedRows,
    Theta,
    activations,
    as_numpy,
    blocks,
    differentiate,
    flat,
    unflat,
)
from ._watch import Layer, find_layers, forward_with_flows, once


def times(M: Tensor, block: Tensor) -> Tensor:
    """``M`` (p, q) times each of the matrices (b, q, T) of a block, in one product.

    ``M @ block`` would be b products that read M again.
    """
    b, q, T = block.shape
    rows = block.transpose(1, 2).reshape(b * T, q)
    return (rows @ M.T).reshape(b, T, len(M)).transpose(1, 2)


class KroneckerFactors:
    """Inverse curvature of one layer; ``eigen`` (EKFAC) or a product (K-FAC)."""

    def __init__(self, S: Tensor, A: Tensor, eigen: Tensor | None = None):
        # K-FAC: S⁻¹, A⁻¹. EKFAC: both factors' eigenvectors and 1/eigenvalues.
        self.S, self.A, self.eigen = S, A, eigen

    def solve(self, G: Tensor) -> Tensor:
        """H⁻¹ of gradients (…, n_outputs, n_inputs)."""
        if self.eigen is None:
            return self.S @ G @ self.A
        return self.S @ ((self.S.T @ G @ self.A) * self.eigen) @ self.A.T

    def times_root(self, G: Tensor) -> Tensor:
        """G by a root R Rᵀ = H⁻¹."""
        if self.eigen is None:
            return root_of(self.S).T @ G @ root_of(self.A)
        return (self.S.T @ G @ self.A) * self.eigen.sqrt()

    def prepare(self, u: Tensor, e: Tensor) -> _Prepared:
        """What serves all classes; u, e are (b, n_inputs, T) and (b, n_outputs, T)."""
        if self.eigen is None:
            Q = times(self.A, u)
            gram = u.transpose(1, 2) @ Q if _by_positions(u, e) else None
            return _Prepared(u, e, Q, e, gram)
        return _Prepared(u, e, times(self.A.T, u), times(self.S.T, e), None)

    def pull(self, ready: _Prepared, delta: Tensor) -> tuple[Tensor, Tensor]:
        """``V ũ`` and ``Vᵀ e`` for ``V = H⁻¹ Σ_t δ_t ũ_tᵀ``."""
        if self.eigen is None:
            p = times(self.S, delta)
            if ready.gram is not None:
                return p @ ready.gram, ready.Q @ (p.transpose(1, 2) @ ready.e)
            V = p @ ready.Q.transpose(1, 2)
            return V @ ready.u, V.transpose(1, 2) @ ready.e
        turned = times(self.S.T, delta)
        if delta.shape[2] == 1:
            across = (ready.Q[:, :, 0] ** 2) @ self.eigen.T
            back = (turned * ready.rotated_e)[:, :, 0] @ self.eigen
            up = turned * across[:, :, None]
            down = ready.Q * back[:, :, None]
        else:
            V = (turned @ ready.Q.transpose(1, 2)) * self.eigen
            up, down = V @ ready.Q, V.transpose(1, 2) @ ready.rotated_e
        return times(self.S, up), times(self.A, down)


@dataclass(frozen=True)
class _Prepared:
    u: Tensor
    e: Tensor
    Q: Tensor  # A⁻¹u, or u in the eigenbasis
    rotated_e: Tensor
    gram: Tensor | None  # uᵀA⁻¹u over pairs of positions, where that is smaller


def _by_positions(u: Tensor, e: Tensor) -> bool:
    return u.shape[2] ** 2 <= u.shape[1] * e.shape[1]


@dataclass(frozen=True)
class LayerCurvature:
    """K-FAC or EKFAC of all layers."""

    network: Network
    layers: list[Layer]
    factors: list[KroneckerFactors]
    damping: float

    def solve(self, V: Tensor) -> Tensor:
        """H⁻¹ of explicit vectors (…, m)."""
        return self._by_layer(KroneckerFactors.solve, V)

    def times_root(self, V: Tensor) -> Tensor:
        """VR of explicit vectors (…, m), with R Rᵀ = H⁻¹."""
        return self._by_layer(KroneckerFactors.times_root, V)

    def _by_layer(
        self, function: Callable[[KroneckerFactors, Tensor], Tensor], V: Tensor
    ) -> Tensor:
        leading = V.dim() - 1
        theta = unflat(self.network, V)
        out: Theta = {}
        for layer, factor in zip(self.layers, self.factors, strict=True):
            G = function(factor, layer.join(theta, leading))
            out |= layer.split(G, self.network.theta)
        return flat((out[name] for name in self.network.theta), leading)


def layer_curvature(
    network: Network, data: Labelled, kind: str, damping: float | str
) -> LayerCurvature:
    """The factors, damped and inverted.

    K-FAC is damped as Martens & Grosse (2015) do, in both factors, so that it stays a
    product; EKFAC is damped exactly, in its eigenvalues.
    """
    layers = find_layers(network)
    check_layers(network, layers, data.X)
    build = eigen_factors if kind == "ekfac" else kronecker_factors
    factors = build(network, layers, data)
    trace = sum(
        float(torch.trace(S) * torch.trace(A) if values is None else values.sum())
        for S, A, values in factors
    )
    used = network_damping(network, damping, trace / network.n_parameters)
    lifted = used + weakest_penalty(network)
    inverses = []
    for S, A, values in factors:
        if values is not None:
            inverses.append(KroneckerFactors(S, A, 1.0 / (values + lifted)))
            continue
        pi = balance(*(float(torch.trace(factor)) / len(factor) for factor in (S, A)))
        root = lifted**0.5
        S, A = _inverse(network, S, root / pi), _inverse(network, A, root * pi)
        inverses.append(KroneckerFactors(S, A))
    return LayerCurvature(network, layers, inverses, used)


def _inverse(network: Network, factor: Tensor, damping: float) -> Tensor:
    lifted = factor.to("cpu", torch.float64, copy=True)
    lifted.diagonal().add_(damping)
    root, failed = torch.linalg.cholesky_ex(lifted)
    if not failed:  # a third of the time of what follows, of thousands of inputs
        inverse = torch.cholesky_inverse(root)
        condition = torch.linalg.matrix_norm(lifted, 1) * torch.linalg.matrix_norm(inverse, 1)
        if condition * len(lifted) * torch.finfo(lifted.dtype).eps < 1:
            return in_precision(network, inverse.numpy())
    return in_precision(network, inverse_on_range(lifted.numpy()))


def along_layers(
    curvature: LayerCurvature, data: Labelled, h: Theta
) -> Iterator[PerturbedRows]:
    """`perturb_all` through the layers."""
    network, layers = curvature.network, curvature.layers
    directions = [layer.join(h) for layer in layers]
    size = _bytes_per_row(curvature, network.rows(data.X, slice(0, 1)))
    for block in blocks(len(data.X), size, MAX_ROWS):
        g, change, Z = _block(curvature, *network.block(data, block), directions)
        yield PerturbedRows(block, as_numpy(g), as_numpy(change), as_numpy(Z))


@torch.enable_grad()
def _block(
    curvature: LayerCurvature, x: Tensor, y: Tensor, share: Tensor, directions: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    network = curvature.network
    omega = network.still(x).requires_grad_()
    z, flows = forward_with_flows(network, curvature.layers, x, omega, twice=True)
    # Only the layers that are used.
    places = [flow.place for flow in once(curvature.layers, flows)]
    layers = [curvature.layers[place] for place in places]
    factors = [curvature.factors[place] for place in places]
    directions = [directions[place] for place in places]
    outputs = [flow.output for flow in flows]
    u = [layer.inputs(flow.input) for layer, flow in zip(layers, flows, strict=True)]
    loss = (share * network.row_loss(z, y)).sum()
    errors = differentiate(loss, outputs, create_graph=True)
    e = [layer.outputs(part) for layer, part in zip(layers, errors, strict=True)]
    own = z @ network.contrasts.T

    def pull(starts: list[Tensor], own: Tensor | None = None) -> Tensor:
        """Derivative in ω of Σ (starts · e and ũ), which are numbers here, plus ``own``."""
        pairs = [
            (node, start)
            for node, start in zip([*e, *u], starts, strict=True)
            if node.requires_grad
        ]
        if own is not None and own.requires_grad:
            pairs.append((own, torch.ones_like(own)))
        if not pairs:
            return torch.zeros_like(omega)
        (out,) = torch.autograd.grad(
            [node for node, _ in pairs],
            omega,
            [start for _, start in pairs],
            retain_graph=True,
            materialize_grads=True,
        )
        return out

    at = [(node.detach(), back.detach()) for node, back in zip(u, e, strict=True)]
    up = [times(V, node) for V, (node, _) in zip(directions, at, strict=True)]
    down = [times(V.T, back) for V, (_, back) in zip(directions, at, strict=True)]
    g = -pull(up + down)
    change = sum(
        ((v * back).sum((1, 2)) for v, (_, back) in zip(up, at, strict=True)),
        start=torch.zeros(len(x), **network.like),
    )
    ready = [f.prepare(*pair) for f, pair in zip(factors, at, strict=True)]
    Z = []
    for k in range(own.shape[1]):
        contrast = own[:, k].sum()
        delta = differentiate(contrast, outputs)
        starts = [
            factor.pull(part, layer.outputs(d))
            for factor, part, layer, d in zip(factors, ready, layers, delta, strict=True)
        ]
        # own - V·∂L: the sign is taken where it is cheapest.
        back = pull([up for up, _ in starts] + [down for _, down in starts], -contrast)
        Z.append(-back)
    return g.flatten(1), change, torch.stack(Z, 1).flatten(2)


def _bytes_per_row(curvature: LayerCurvature, x: Tensor) -> float:
    """Of all temporaries of `_block`, roughly."""
    network = curvature.network
    with torch.no_grad():
        still = network.still(x)
        _, flows = forward_with_flows(network, curvature.layers, x, still, twice=True)
        numbers = 0.0
        for place, a, o in flows:
            layer = curvature.layers[place]
            u, out = layer.inputs(a), layer.outputs(o)
            positions = u.shape[2]
            explicit = u.shape[1] * out.shape[1] if positions > 1 else 0
            numbers += 5 * u.numel() + 5 * out.numel() + min(positions**2, explicit)
    return numbers * network.like["dtype"].itemsize + 12.0 * activations(network.module, x)
