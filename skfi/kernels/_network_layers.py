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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import unfold

from .._extras import require
from ._curvature import inverse_on_range
from ._links import Sigmoid
from ._network import (
    Network,
    Perturbed,
    Theta,
    activations,
    as_numpy,
    blocks,
    flat,
    unflat,
)
from ._network_curvature import (
    ScoresModule,
    batches,
    in_precision,
    network_damping,
    root_of,
    weakest_penalty,
)

_MAX_LEVELS = 64  # different weights
# Rows of a block at most: what more of them need falls out of the processor's caches.
_MAX_ROWS = 256


@dataclass(frozen=True)
class Layer:
    """A layer some of whose parameters move."""

    name: str
    module: torch.nn.Module
    weight: bool  # does its weight move?
    bias: bool

    def inputs(self, a: Tensor) -> Tensor:
        """ũ (b, n_inputs, positions)."""
        parts = []
        if isinstance(self.module, torch.nn.Conv2d):
            conv = self.module
            padding = conv.padding
            assert not isinstance(padding, str)  # `find_layers` refuses names
            u = unfold(a, conv.kernel_size, conv.dilation, padding, conv.stride)
        else:
            u = a.reshape(len(a), -1, a.shape[-1]).transpose(1, 2)
        if self.weight:
            parts.append(u)
        if self.bias:
            parts.append(torch.ones_like(u[:, :1]))
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def outputs(self, o: Tensor) -> Tensor:
        """(b, n_outputs, positions)."""
        if isinstance(self.module, torch.nn.Conv2d):
            return o.flatten(2)
        return o.reshape(len(o), -1, o.shape[-1]).transpose(1, 2)

    def join(self, theta: Theta, leading: int = 0) -> Tensor:
        """The layer's part of parameter vectors as (…, n_outputs, n_inputs)."""
        parts = []
        if self.weight:
            parts.append(theta[_of(self.name, "weight")].flatten(leading + 1))
        if self.bias:
            parts.append(theta[_of(self.name, "bias")][..., None])
        return torch.cat(parts, -1)

    def split(self, G: Tensor, like: Theta) -> Theta:
        """The other way round, for G (…, n_outputs, n_inputs)."""
        out = {}
        if self.bias:
            out[_of(self.name, "bias")] = G[..., -1]
        if self.weight:
            W = G[..., :-1] if self.bias else G
            name = _of(self.name, "weight")
            out[name] = W.reshape(*W.shape[:-2], *like[name].shape)
        return out


def _of(layer: str, name: str) -> str:
    return f"{layer}.{name}" if layer else name


def unknown_to_kfac(network: Network) -> list[str]:
    """Parameters that move and are of no linear or convolutional layer."""
    known = {
        f"{name}.{part}" if name else part
        for name, module in network.module.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        for part in ("weight", "bias")
    }
    return [name for name in network.theta if name not in known]


def find_layers(network: Network) -> list[Layer]:
    """Linear and convolutional layers that hold all parameters that move."""
    layers = []
    for name, module in network.module.named_modules():
        weight, bias = _of(name, "weight") in network.theta, _of(name, "bias") in network.theta
        if not (weight or bias) or not isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            continue
        if isinstance(module, torch.nn.Conv2d) and (
            module.groups != 1
            or module.padding_mode != "zeros"
            or isinstance(module.padding, str)
        ):
            raise ValueError(
                f"K-FAC has no form for the grouped, padded by name or not zero-padded "
                f'convolution {name!r}. Leave it out of params, or use curvature="cg".'
            )
        layers.append(Layer(name, module, weight, bias))
    left = unknown_to_kfac(network)
    if left:
        raise ValueError(
            f"K-FAC knows linear layers and two-dimensional convolutions, and these "
            f"parameters are of other layers: {left[:5]}. Leave them out (params takes names "
            'or a predicate), or use curvature="ggn" or "cg".'
        )
    return layers


def times(M: Tensor, block: Tensor) -> Tensor:
    """``M`` (p, q) times each of the matrices (b, q, T) of a block, in one product.

    ``M @ block`` would be b products that read M anew.
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

    def whiten(self, G: Tensor) -> Tensor:
        """RᵀG, with H⁻¹ = R Rᵀ."""
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

    def whiten(self, V: Tensor) -> Tensor:
        """RᵀV of explicit vectors (…, m), with H⁻¹ = R Rᵀ."""
        return self._by_layer(KroneckerFactors.whiten, V)

    def _by_layer(self, function: Callable, V: Tensor) -> Tensor:
        leading = V.dim() - 1
        theta = unflat(self.network, V)
        out: Theta = {}
        for layer, factor in zip(self.layers, self.factors, strict=True):
            G = function(factor, layer.join(theta, leading))
            out |= layer.split(G, self.network.theta)
        return flat({name: out[name] for name in self.network.theta}, leading)


def layer_curvature(
    network: Network,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    kind: str,
    damping: float | str,
    chunk: int | None = None,
) -> LayerCurvature:
    """K-FAC's factors from curvlinops, damped and inverted.

    K-FAC is damped as Martens & Grosse (2015) do, in both factors, so that it stays a
    product; EKFAC is damped exactly, in its eigenvalues.
    """
    layers = find_layers(network)
    factors = _factors(network, layers, X, y, weight, kind, chunk)
    penalty = weakest_penalty(network)
    total = 0.0
    for S, A, eigen in factors:
        whole = torch.trace(S) * torch.trace(A) if eigen is None else eigen.sum()
        total += float(whole)
    used = network_damping(network, damping, total / network.n_parameters)
    lifted = used + penalty
    inverses = []
    for S, A, eigen in factors:
        if eigen is not None:
            inverses.append(KroneckerFactors(S, A, 1.0 / (eigen + lifted)))
            continue
        per_output, per_input = torch.trace(S) / len(S), torch.trace(A) / len(A)
        pi = float((per_input / per_output) ** 0.5) if per_output > 0 < per_input else 1.0
        root = lifted**0.5
        inverses.append(
            KroneckerFactors(_inverse(network, S, root / pi), _inverse(network, A, root * pi))
        )
    return LayerCurvature(network, layers, inverses, used)


def _inverse(network: Network, factor: Tensor, damping: float) -> Tensor:
    lifted = as_numpy(factor) + damping * np.eye(len(factor))
    return in_precision(network, inverse_on_range(lifted))


def _factors(
    network: Network,
    layers: list[Layer],
    X,
    y,
    weight: np.ndarray,
    kind: str,
    chunk: int | None,
) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """(S, A, None), or for EKFAC eigenvectors and corrected eigenvalues, for each layer."""
    levels = np.unique(weight[weight > 0])
    if kind == "ekfac" and len(levels) > 1:
        raise ValueError(
            'curvature="ekfac" knows no class weights or sample weights. Use "kfac", or "ggn".'
        )
    if len(levels) > _MAX_LEVELS:
        raise ValueError(
            f"K-FAC takes up to {_MAX_LEVELS} different weights, and there are {len(levels)}: "
            'the factors of each are summed up by themselves. Use curvature="ggn" or "cg".'
        )
    sums: list[tuple[Tensor, Tensor, Tensor | None]] = []
    for level in levels:
        rows = np.flatnonzero(weight == level)
        share = float(level) * len(rows) / len(X)
        parts = _plain_factors(network, layers, X[rows], y[rows], kind, chunk)
        if kind == "ekfac":
            return [(S, A, share * eigen) for S, A, eigen in parts]
        scaled = [(share * S, share * A) for S, A, _ in parts]
        if sums:
            scaled = [(S + T, A + B) for (S, A), (T, B, _) in zip(scaled, sums, strict=True)]
        sums = [(S, A, None) for S, A in scaled]
    total = float(weight.sum()) / len(X)  # Ā is a weighted mean
    return [(S, A / total, None) for S, A, _ in sums]


def _plain_factors(network: Network, layers: list[Layer], X, y, kind: str, chunk: int | None):
    require("curvlinops", f'curvature="{kind}"')
    from curvlinops import EKFACLinearOperator, KFACLinearOperator

    scores = ScoresModule(network)
    named = {f"module.{name}" for name in network.theta}
    data = []
    for x, target in batches(network, X, y, np.ones(len(X)), chunk):
        binary = isinstance(network.link, Sigmoid)
        data.append((x, target[:, :1] if binary else target[:, 0].long()))
    loss = torch.nn.BCEWithLogitsLoss() if binary else torch.nn.CrossEntropyLoss()
    operator = (EKFACLinearOperator if kind == "ekfac" else KFACLinearOperator)(
        scores,
        loss,
        [p for name, p in scores.named_parameters() if name in named],
        data,
        check_deterministic=False,
        fisher_type="type-2",
        separate_weight_and_bias=False,
        num_data=len(X),
        num_per_example_loss_terms=1,
    )
    operator.compute_kronecker_factors()
    state = operator.state_dict()
    outputs, inputs = state["gradient_covariances"], state["input_covariances"]
    eigen = {}
    if kind == "ekfac":
        operator.compute_eigenvalue_correction()
        state = operator.state_dict()
        outputs = state["gradient_covariances_eigenvectors"]
        inputs = state["input_covariances_eigenvectors"]
        eigen = state["corrected_eigenvalues"]
    out = []
    for layer in layers:
        name = f"module.{layer.name}" if layer.name else "module"
        S = outputs[name]
        one = torch.ones(1, 1, **network.like)
        A = inputs[name] if layer.weight else one  # a bias sees a constant
        values = eigen.get(name)
        if isinstance(values, dict):  # weight or bias alone
            (values,) = values.values()
            values = values.reshape(len(S), len(A))
        out.append((S, A, values))
    return out


def along_layers(
    curvature: LayerCurvature,
    X,
    y: np.ndarray,
    weight: np.ndarray,
    h: Theta,
    chunk: int | None = None,
) -> Perturbed:
    """`perturb_all` through the layers."""
    network, layers = curvature.network, curvature.layers
    directions = [layer.join(h) for layer in layers]
    size = _bytes_per_row(curvature, network.rows(X, slice(0, 1)))
    for block in blocks(len(X), size, chunk, _MAX_ROWS):
        x, codes, share = network.block(X, y, weight, block)
        g, change, Z = _block(curvature, x, codes, share, directions)
        yield block, as_numpy(g), as_numpy(change), as_numpy(Z)


@torch.enable_grad()
def _block(
    curvature: LayerCurvature, x: Tensor, y: Tensor, share: Tensor, directions: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    network, layers = curvature.network, curvature.layers
    omega = network.still(x).requires_grad_()
    z, seen = _watched(network, layers, x, omega)
    outputs = [o for _, o in seen]
    u = [layer.inputs(a) for layer, (a, _) in zip(layers, seen, strict=True)]
    loss = (share * network.row_loss(z, y)).sum()
    errors = torch.autograd.grad(loss, outputs, create_graph=True)
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
    ready = [f.prepare(*pair) for f, pair in zip(curvature.factors, at, strict=True)]
    Z = []
    for k in range(own.shape[1]):
        up_to_k = own[:, k].sum()
        delta = torch.autograd.grad(up_to_k, outputs, retain_graph=True, materialize_grads=True)
        starts = [
            factor.pull(part, layer.outputs(d))
            for factor, part, layer, d in zip(
                curvature.factors, ready, layers, delta, strict=True
            )
        ]
        # own - V·∂L: the sign is taken where it is cheapest.
        back = pull([up for up, _ in starts] + [down for _, down in starts], -up_to_k)
        Z.append(-back)
    return g.flatten(1), change, torch.stack(Z, 1).flatten(2)


def _watched(
    network: Network, layers: list[Layer], x: Tensor, omega: Tensor
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Scores, and what went into and came out of each layer."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    handles = []
    for layer in layers:

        def watch(module, args, output, name=layer.name):
            if name in seen:
                raise ValueError(
                    f"The layer {name!r} is used more than once in a forward pass, and K-FAC "
                    'has no form for that. Leave it out of params, or use curvature="ggn".'
                )
            if not output.requires_grad:
                output.requires_grad_()  # nothing before it depends on ω
            seen[name] = (args[0], output)
            return output.clone()  # what follows may work in place

        handles.append(layer.module.register_forward_hook(watch))
    try:
        z = network.scores(network.theta, x, omega)  # detached: no gradients of weights
    finally:
        for handle in handles:
            handle.remove()
    return z, [seen[layer.name] for layer in layers]


def _bytes_per_row(curvature: LayerCurvature, x: Tensor) -> float:
    """Of all temporaries of `_block`, roughly."""
    network = curvature.network
    with torch.no_grad():
        seen = _watched(network, curvature.layers, x, network.still(x))[1]
        numbers = 0.0
        for layer, (a, o) in zip(curvature.layers, seen, strict=True):
            u, out = layer.inputs(a), layer.outputs(o)
            positions = u.shape[2]
            explicit = u.shape[1] * out.shape[1] if positions > 1 else 0
            numbers += 5 * u.numel() + 5 * out.numel() + min(positions**2, explicit)
    return numbers * network.like["dtype"].itemsize + 12.0 * activations(network.module, x)
