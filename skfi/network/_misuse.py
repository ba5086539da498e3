"""Whether a layer's parameters reach the scores by its calls alone, which K-FAC supposes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ._network import Network, differentiate
from ._watch import KroneckerError, Layer, forward_with_flows, once

_FEW_ROWS = 8


def check_layers(network: Network, layers: list[Layer], X: Any) -> None:
    """Refuse layers whose parameters reach the scores by more than the layer's calls."""
    try:
        wrong = _misused(_in_double(network), layers, X)
    except (RuntimeError, TypeError):  # a module or device that needs its own dtype
        wrong = _misused(network, layers, X)
    if wrong:
        raise KroneckerError(
            "K-FAC has no form for layers that do more than multiply their inputs by their "
            "weights (a weight is shared with another layer, used again without a call of its "
            "layer, or computed from other parameters)",
            wrong,
        )


def _in_double(network: Network) -> Network:
    module = copy.deepcopy(network.module).double()
    return replace(
        network, module=module, theta={n: t.double() for n, t in network.theta.items()}
    )


@torch.enable_grad()
def _misused(network: Network, layers: list[Layer], X: Any) -> list[str]:
    """Layers whose gradient is not that of their calls, `Σ_t δ_t ũ_tᵀ`.

    Both are linear in what comes back to the scores, so that one random gradient there tells
    them apart, whatever the scores; it is taken in float64 on a few rows, at the network's
    parameters and at others, which other units let through.
    """
    x, wrong = network.rows(X, slice(0, _FEW_ROWS)), set()
    parts: dict[str, Any] = dict(network.module.named_modules())
    layers = [replace(layer, module=parts[layer.name]) for layer in layers]
    generator = torch.Generator().manual_seed(0)

    def draw(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    own = network.theta
    others = {name: t + 0.5 * t.std(correction=0) * draw(t) for name, t in own.items()}
    for theta in (own, others):
        network = replace(network, theta=theta)
        leaves = network.leaves()
        z = network.scores(leaves, x)
        back = draw(z)
        slopes = differentiate(z, list(leaves.values()), back)
        whole = dict(zip(leaves, slopes, strict=True))
        z, flows = forward_with_flows(network, layers, x, twice=True)
        deltas = differentiate(z, [flow.output for flow in once(layers, flows)], back)
        by_calls = [torch.zeros_like(layer.join(whole)) for layer in layers]
        for (place, a, _), delta in zip(flows, deltas, strict=True):
            layer = layers[place]
            u, d = layer.inputs(a.detach()), layer.outputs(delta)
            by_calls[place] += torch.einsum("bit,bjt->ij", d, u)
        for layer, calls in zip(layers, by_calls, strict=True):
            slope = layer.join(whole)
            size = torch.finfo(slope.dtype).eps ** 0.5 * slope.abs().max()
            if (slope - calls).abs().max() > size:
                wrong.add(layer.name)
    return [layer.name for layer in layers if layer.name in wrong]
